"""Spectra of truth and error as Datasets, for figures; on the cells that `ssh-v1` scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.grids import KM_PER_DEGREE
from pipeline_spde.scores.collocation import collocate
from pipeline_spde.scores.spectral import Power, WindowName, complete_rows, spectrum, taper

_FEWEST_CELLS = 16
"""Of a box along longitude whose spectrum says anything."""


def score_spectra(
    *,
    truth: xr.DataArray,
    estimate: xr.DataArray,
    margin_degrees: float,
    window: WindowName = "hann",
) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the space-time score field and the zonal spectra of truth and error.

    Latitude rows without holes or land are taken, or, where they are fewer cells than half of it,
    the largest box without.

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
        ValueError: nothing in common, days with gaps, or no such row and no such box.
    """
    maps = collocate(truth=truth, estimate=estimate, margin_degrees=margin_degrees)
    if np.any(np.diff(maps.days) != np.timedelta64(1, "D")):
        raise ValueError("the days have gaps; a space-time spectrum needs consecutive days")
    rows, columns = complete_rows(maps.valid), slice(None)
    south, north, west, east = largest_box(np.asarray(maps.valid.all(axis=0)))
    # land in nearly every row, as around the globe or in a basin: the largest box without any
    if 2 * rows.sum() * maps.lon.size < (north - south) * (east - west):
        rows, columns = np.zeros(rows.size, bool), slice(west, east)
        rows[south:north] = True
    if rows.sum() < 2 or maps.truth[:, rows][..., columns].shape[2] < _FEWEST_CELLS:
        raise ValueError("no latitude row is without holes or land, nor is a box of some size")
    step_lon = maps.step[1]
    lattice = spectrum(
        truth=maps.truth[:, rows][..., columns],
        estimate=maps.estimate[:, rows][..., columns],
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
    shape = (maps.days.size, int(rows.sum()), maps.lon[columns].size)
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


def largest_box(valid: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return the largest rectangle of True cells, by area.

    Args:
        valid: shape (lat, lon).

    Returns:
        First row, row after the last, first column, column after the last; zeros for none.
    """
    best, area = (0, 0, 0, 0), 0
    heights = np.zeros(valid.shape[1] + 1, np.int64)  # a last column of height 0 ends all boxes
    for row, line in enumerate(valid):
        heights[:-1] = np.where(line, heights[:-1] + 1, 0)
        open_boxes: list[tuple[int, int]] = []  # (first column, height), heights growing
        for column, height in enumerate(heights.tolist()):
            first = column
            while open_boxes and open_boxes[-1][1] >= height:
                first, high = open_boxes.pop()
                if high * (column - first) > area:
                    area = high * (column - first)
                    best = (row + 1 - high, row + 1, first, column)
            open_boxes.append((first, height))
    return best


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
