"""Optimal interpolation of gridded anomalies with given parameters: mean and formal deviation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.baselines.cells import CellAnomalies, Days, window_index
from pipeline_spde.baselines.conjugate import GridModes, solve
from pipeline_spde.baselines.covariance import (
    ProductModes,
    gaussian_modes,
    plane_axes_km,
    product_modes,
)
from pipeline_spde.baselines.exact import DaySums, Posterior, condition, day_sums
from pipeline_spde.files import DataError, read_json
from pipeline_spde.grids import Grid

Array = NDArray[np.float64]

_AXIS_TOLERANCE = 1e-8  # variance left out of the mean; far below any observation error
_BATCH_BYTES = 200e6


@dataclass(frozen=True)
class OiParameters:
    """Parameters of the tuned optimal interpolation.

    Attributes:
        length_km: L of exp(−(d/L)²), the same in both directions.
        length_days: the same in time.
        noise_factor: multiplies the observations' own error.
        prior_std_m: standard deviation of the anomalies in m.
    """

    length_km: float
    length_days: float
    noise_factor: float
    prior_std_m: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive and finite, got {value}")

    @classmethod
    def from_mapping(cls, found: Mapping[str, Any]) -> OiParameters:
        """Return the parameters held by the result of `tuning.tune`."""
        return cls(**{name: float(found[name]) for name in cls.__dataclass_fields__})

    @classmethod
    def read(cls, path: Path) -> OiParameters:
        """Return the parameters of a JSON file written by the tuning.

        Raises:
            DataError: the file is damaged or does not hold every parameter.
        """
        found = read_json(path)
        missing = [name for name in cls.__dataclass_fields__ if name not in found]
        if missing:
            raise DataError(f"{path}: {missing} not found; it holds {sorted(found)}; tune again")
        return cls.from_mapping(found)


def mean_maps(
    cells: CellAnomalies,
    grid: Grid,
    targets: Days,
    offsets: NDArray[np.int64],
    parameters: OiParameters,
    iterations: int,
) -> Array:
    """Return the analysed anomaly of each target day in m, shape (targets, lat, lon).

    Args:
        cells: the observations.
        grid: their grid.
        targets: days to map, datetime64[D].
        offsets: days relative to the target whose observations are used.
        parameters: covariance and noise.
        iterations: largest number of conjugate-gradient steps.
    """
    y, x, circle = plane_axes_km(grid)
    time = gaussian_modes(np.union1d(offsets, [0]), parameters.length_days, _AXIS_TOLERANCE)
    lat = gaussian_modes(y, parameters.length_km, _AXIS_TOLERANCE)
    lon = gaussian_modes(x, parameters.length_km, _AXIS_TOLERANCE, circle)
    modes = GridModes(time(offsets), lat(y), lon(x))
    at_target = GridModes(time([0.0]), modes.lat, modes.lon)
    places = window_index(cells, targets, offsets)
    size = max(1, int(_BATCH_BYTES / (8 * offsets.size * grid.lat.size * grid.lon.size)))
    maps = np.empty((targets.size, *grid.shape))
    for start in range(0, targets.size, size):
        values, weights = _windows(cells, places[start : start + size], parameters)
        z = solve(modes, values, weights, iterations)
        maps[start : start + size] = parameters.prior_std_m * at_target.expand(z)[:, 0]
    return maps


def _windows(
    cells: CellAnomalies, places: NDArray[np.int64], parameters: OiParameters
) -> tuple[Array, Array]:
    """Return values and weights of windows in units of the prior, (targets, window, lat, lon)."""
    held = (places >= 0)[:, :, None, None]
    observed = cells.observed[places] & held
    value = np.where(observed, cells.value[places] / parameters.prior_std_m, 0.0)
    ratio = (parameters.prior_std_m / parameters.noise_factor) ** 2
    return value, np.where(observed, ratio / cells.variance[places], 0.0)


class ExactAnalysis:
    """The same analysis by Cholesky factorisation in a truncated basis, with its variance.

    The neglected variance counts as observation error and as error of the map, so that both
    truncation errors are on the cautious side.
    """

    def __init__(
        self,
        cells: CellAnomalies,
        grid: Grid,
        offsets: NDArray[np.int64],
        parameters: OiParameters,
        variance_tolerance: float,
    ) -> None:
        y, x, circle = plane_axes_km(grid)
        share = variance_tolerance / 100
        self.modes: ProductModes = product_modes(
            gaussian_modes(np.union1d(offsets, [0]), parameters.length_days, share),
            gaussian_modes(y, parameters.length_km, share),
            gaussian_modes(x, parameters.length_km, share, circle),
            variance_tolerance,
        )
        self.cells, self.grid, self.offsets = cells, grid, offsets
        self.parameters = parameters
        self._features = self.modes.nodes(y, x)
        self._time_modes = self.modes.time(offsets)
        self._at_target = self.modes.time([0.0])[0, : self.modes.prefix.size]
        self._sums: dict[int, DaySums] = {}

    def map(self, target: np.datetime64) -> tuple[Array, Array]:
        """Return mean and standard deviation of the analysed anomaly of a day in m, (lat, lon)."""
        posterior = self._posterior(target)
        scale = self.parameters.prior_std_m
        mean = self._features @ posterior.spatial_mean(self._at_target)
        variance = posterior.variance(self._at_target, self._features)
        shape = self.grid.shape
        return scale * mean.reshape(shape), scale * np.sqrt(variance).reshape(shape)

    def _posterior(self, target: np.datetime64) -> Posterior:
        places = window_index(self.cells, np.array([target]), self.offsets)[0]
        for place in [held for held in self._sums if held < places.max() - 2 * self.offsets.size]:
            del self._sums[place]
        seen = [(i, place) for i, place in enumerate(places) if place >= 0]
        days = [self._day(int(place)) for _, place in seen]
        return condition(self.modes, days, [self._time_modes[i : i + 1] for i, _ in seen])

    def _day(self, place: int) -> DaySums:
        if place not in self._sums:
            observed = self.cells.observed[place]
            scale = self.parameters.prior_std_m
            noise = self.cells.variance[place][observed] * (self.parameters.noise_factor / scale) ** 2
            self._sums[place] = day_sums(
                self._features[observed.ravel()],
                1.0 / (noise + self.modes.neglected),
                self.cells.value[place][observed] / scale,
            )
        return self._sums[place]


def exact_maps(
    cells: CellAnomalies,
    grid: Grid,
    targets: Days,
    offsets: NDArray[np.int64],
    parameters: OiParameters,
    variance_tolerance: float,
) -> tuple[Array, Array]:
    """Return (mean, standard deviation) of the analysed anomalies in m, (targets, lat, lon)."""
    analysis = ExactAnalysis(cells, grid, offsets, parameters, variance_tolerance)
    pairs = [analysis.map(day) for day in targets]
    return np.stack([mean for mean, _ in pairs]), np.stack([std for _, std in pairs])
