"""Spectra of truth and error as Datasets, for figures; on the cells that `ssh-v1` scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from pipeline_spde.grids import KM_PER_DEGREE
from pipeline_spde.scores.collocation import collocate
from pipeline_spde.scores.spectral import Power, WindowName, complete_rows, spectrum, taper


def score_spectra(
    *,
    truth: xr.DataArray,
    estimate: xr.DataArray,
    margin_degrees: float,
    window: WindowName = "hann",
) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the space-time score field and the zonal spectra of truth and error.

    Args:
        truth: one map a day in m on consecutive days, NaN on land, dims (time, lat, lon).
        estimate: maps in m on any regular grid.
        margin_degrees: what is cut off each side of the truth's grid.
        window: taper in time and longitude.

    Returns:
        * dims (frequency [1/day], wavenumber [1/degree]): `score` = 1 − P̄_error/P̄_truth;
        * dim wavenumber [1/km], true zonal kilometres: `truth` and `error`, one-sided power
          spectral densities in m²/(1/km), which integrate to the windowed variance.

    Raises:
        ValueError: nothing in common, days with gaps, or no latitude row without holes.
    """
    maps = collocate(truth=truth, estimate=estimate, margin_degrees=margin_degrees)
    if np.any(np.diff(maps.days) != np.timedelta64(1, "D")):
        raise ValueError("the days have gaps; a space-time spectrum needs consecutive days")
    rows = complete_rows(maps.valid)
    if not rows.any():
        raise ValueError("no latitude row is without holes or land")
    step_lon = maps.step[1]
    lattice = spectrum(
        truth=maps.truth[:, rows],
        estimate=maps.estimate[:, rows],
        window=window,
        step_degrees=step_lon,
    )
    field = xr.Dataset(
        {"score": (("frequency", "wavenumber"), lattice.score())},
        coords={
            "frequency": ("frequency", lattice.frequency, {"units": "1/day"}),
            "wavenumber": ("wavenumber", lattice.wavenumber, {"units": "1/degree"}),
        },
    )
    km_per_degree = float(KM_PER_DEGREE * np.cos(np.radians(maps.lat[rows])).mean())
    shape = (maps.days.size, int(rows.sum()), maps.lon.size)
    densities = {
        name: (
            "wavenumber",
            _density(power, shape, window, step_lon * km_per_degree),
            {"units": "m2 km", "long_name": f"zonal power spectral density of the {name}"},
        )
        for name, power in (("truth", lattice.truth), ("error", lattice.error))
    }
    wavenumber = lattice.wavenumber / km_per_degree
    zonal = xr.Dataset(
        densities, coords={"wavenumber": ("wavenumber", wavenumber, {"units": "1/km"})}
    )
    return field, zonal


def method_spectra(
    truth: xr.Dataset, maps: Mapping[str, xr.Dataset], margin_degrees: float
) -> tuple[dict[str, xr.Dataset], dict[str, xr.Dataset]]:
    """Return (method -> score field, method -> zonal spectra), as `score_spectra` gives them.

    Args:
        truth: true maps; the attribute `quantity` names the variable that is compared.
        maps: method -> maps with that variable.
        margin_degrees: what is cut off each side of the truth's grid.
    """
    name = truth.attrs["quantity"]
    found = {
        method: score_spectra(truth=truth[name], estimate=data[name], margin_degrees=margin_degrees)
        for method, data in maps.items()
    }
    fields = {method: field for method, (field, _) in found.items()}
    return fields, {method: zonal for method, (_, zonal) in found.items()}


def _density(
    power: Power, shape: tuple[int, int, int], window: WindowName, step_km: float
) -> np.ndarray:
    """Return the one-sided density: 2Δx Σ w_t²|FFT_x|² / (Σ w_x² · Σ w_t² · rows)."""
    days, rows, columns = shape
    squares = (taper(window, columns) ** 2).sum() * (taper(window, days) ** 2).sum()
    return np.asarray(2.0 * step_km * power.by_day.sum(axis=0) / (squares * rows))
