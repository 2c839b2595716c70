"""Spread and error by scale: does the ensemble spread at the wavelengths where the map errs?

    spread(k) = (M + 1)/M · Σ_i |F(x_i − x̄)|² / (M − 1)      error(k) = |F(x̄ − truth)|²

Both are power spectral densities in m²/(1/km), averaged over the days; √(spread/error) is 1 at
every wavenumber of a consistent ensemble. Isotropic rings where the box has no holes, else zonal
spectra of the latitude rows without holes. Maps are tapered by a Hann window in space.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.grids import KM_PER_DEGREE
from pipeline_spde.scores.bootstrap import Resampling
from pipeline_spde.scores.spectral import (
    complete_rows,
    positive_bins,
    ring_power,
    ring_width,
    taper,
    zonal_power,
)
from pipeline_spde.scores.statistic import Array, Bounds, finite_or_none

_LEAST_CELLS = 5  # two wavenumbers
_MEMBERS_AT_ONCE = 16  # caps the memory of the transforms


class SpreadSpectrum:
    """Collects the spectra of spread and error day by day.

    Args:
        valid: cells that are judged, shape (days, lat, lon).
        lat: latitudes of the cells.
        step: cell size in degrees of latitude and longitude.

    Attributes:
        obstacle: why there is no spectrum, or None.
    """

    def __init__(self, valid: NDArray[np.bool_], lat: Array, step: tuple[float, float]) -> None:
        self._rows = complete_rows(valid[valid.any(axis=(1, 2))])
        self._shape = (int(self._rows.sum()), valid.shape[2])
        self._isotropic = bool(self._rows.all())
        self.obstacle = self._find_obstacle()
        self._spread: list[Array] = []
        self._error: list[Array] = []
        if self.obstacle is None:
            cosine = float(np.cos(np.radians(lat[self._rows])).mean())
            self._steps = KM_PER_DEGREE * step[0], KM_PER_DEGREE * cosine * step[1]
            self._wavenumber = (
                ring_power(np.zeros((1, *self._shape)), *self._steps)[0]
                if self._isotropic
                else positive_bins(self._shape[1], self._steps[1])
            )

    def _find_obstacle(self) -> str | None:
        rows, columns = self._shape
        if 2 * rows < self._rows.size:
            return f"only {rows} of {self._rows.size} latitude rows are without holes or land"
        least = min(self._shape) if self._isotropic else columns
        if least < _LEAST_CELLS:
            return f"{rows}x{columns} cells are too few for a spectrum"
        return None

    def add(self, members: Array, truth: Array) -> None:
        """Take in the members (members, lat, lon) and the truth (lat, lon) of a day in m."""
        if self.obstacle is not None:
            return
        box = members[:, self._rows]
        size = box.shape[0]
        mean = box.mean(axis=0)
        spread = np.zeros(self._wavenumber.size)
        for start in range(0, size, _MEMBERS_AT_ONCE):
            spread += self._power(box[start : start + _MEMBERS_AT_ONCE] - mean).sum(axis=0)
        self._spread.append(spread / (size - 1) * (size + 1) / size)
        self._error.append(self._power((mean - truth[self._rows])[None])[0])

    def to_json(self, resampling: Resampling) -> dict[str, Any]:
        """Return wavenumber (1/km), spread, error and spread/skill with its interval over days."""
        if self.obstacle is not None or not self._spread:
            return {"reason": self.obstacle or "no day was scored"}
        spread, error = np.array(self._spread), np.array(self._error)

        def ratio(weights: Array) -> Array:
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.asarray(np.sqrt((weights @ spread) / (weights @ error)))

        draws = resampling.over_days(len(spread))
        bounds: list[Bounds] = [(None, None)] * self._wavenumber.size
        if draws.weights is not None:
            bounds = [draws.bounds(samples) for samples in ratio(draws.weights).T]
        return {
            "direction": "isotropic" if self._isotropic else "zonal",
            "unit": "1/km",
            "wavenumber": self._wavenumber.tolist(),
            "spread": spread.mean(axis=0).tolist(),
            "error": error.mean(axis=0).tolist(),
            "spread_skill": [finite_or_none(r) for r in ratio(np.ones(len(spread)))],
            "low": [bound[0] for bound in bounds],
            "high": [bound[1] for bound in bounds],
        }

    def _power(self, maps: Array) -> Array:
        """Return densities in m²/(1/km) of each map, shape (maps, wavenumber)."""
        rows, columns = self._shape
        window = (taper("hann", columns) ** 2).sum()
        if not self._isotropic:
            return zonal_power(maps) * 2.0 * self._steps[1] / (window * rows)
        window *= (taper("hann", rows) ** 2).sum()
        scale = window * rows * columns * ring_width(self._shape, *self._steps)
        return ring_power(maps, *self._steps)[1] / scale
