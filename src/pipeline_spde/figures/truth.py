"""What the true ocean of a twin experiment looks like: can it stand in for a real one?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline_spde.figures import series, spectra, style
from pipeline_spde.figures.panels import land_of, on_day
from pipeline_spde.grids import KM_PER_DEGREE

SMALLEST_BOX = 16  # cells; fewer have no spectrum worth drawing
LONGEST_LAG = 30  # days


def truth_overview(
    truth: xr.Dataset,
    day: Any | None = None,
    reference_spectra: Mapping[str, Mapping[str, Any]] | None = None,
    reference_correlations: Mapping[str, Mapping[str, Any]] | None = None,
) -> Figure:
    """Draw a snapshot, the temporal standard deviation, the isotropic spectrum and the memory.

    Args:
        truth: maps `ssh` (or `sla`, `adt`) on (time, lat, lon), NaN on land.
        day: day of the snapshot; the middle one when omitted.
        reference_spectra: other oceans, name -> columns `wavenumber` [1/km] and `psd`.
        reference_correlations: other oceans, name -> columns `lag` [day] and `correlation`.
    """
    quantity = style.quantity_of(truth)
    height = truth[quantity].values.astype(np.float64)
    lat, lon, land = truth["lat"].values, truth["lon"].values, land_of([truth])
    shown = truth["time"].values[height.shape[0] // 2] if day is None else day
    with style.context():
        figure = style.new_figure(6.2)
        grid = figure.subplots(2, 2, gridspec_kw={"height_ratios": [1.35, 1]})
        snapshot = on_day(truth, quantity, shown)
        _map(grid[0, 0], snapshot, lat, lon, land, quantity, style.day_label(shown))
        _std_map(grid[0, 1], height, lat, lon, land)
        _spectrum(grid[1, 0], height, lat, lon, land, reference_spectra or {})
        lags = min(LONGEST_LAG, height.shape[0] // 3)
        curves = {"truth": series.autocorrelation(height, lags), **(reference_correlations or {})}
        series.draw_lag_correlation(grid[1, 1], curves)
    return figure


def ocean_box(land: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Return the larger of the widest band of rows and of columns without land, or None.

    Args:
        land: True on land, shape (lat, lon).
    """
    rows, columns = (_longest_run(np.asarray(~land.any(axis=axis))) for axis in (1, 0))
    everywhere = slice(0, None)
    by_rows = (rows.stop - rows.start) * land.shape[1]
    by_columns = (columns.stop - columns.start) * land.shape[0]
    box = (rows, everywhere) if by_rows >= by_columns else (everywhere, columns)
    return box if min(land[box].shape) >= SMALLEST_BOX else None


def _longest_run(flags: NDArray[np.bool_]) -> slice:
    """Return the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    starts, stops = edges[::2], edges[1::2]
    if starts.size == 0:
        return slice(0, 0)
    best = int(np.argmax(stops - starts))
    return slice(int(starts[best]), int(stops[best]))


def _map(
    axes: Axes,
    field: NDArray,
    lat: NDArray,
    lon: NDArray,
    land: NDArray[np.bool_],
    quantity: str,
    title: str,
) -> None:
    image = style.draw_map(axes, field, lat, lon, style.height_scale([field]), land)
    axes.set_title(title)
    figure = axes.get_figure(root=True)
    if figure is not None:
        figure.colorbar(image, ax=axes, label=style.height_label(quantity), extend="both")


def _std_map(
    axes: Axes, height: NDArray, lat: NDArray, lon: NDArray, land: NDArray[np.bool_]
) -> None:
    std = np.full(land.shape, np.nan)
    std[~land] = height[:, ~land].std(axis=0)
    image = style.draw_map(axes, std, lat, lon, style.positive_scale([std], style.STD_MAP), land)
    axes.set_title(f"{height.shape[0]} days, rms {np.sqrt(np.nanmean(std**2)):.3f} m")
    figure = axes.get_figure(root=True)
    if figure is not None:
        figure.colorbar(image, ax=axes, label="standard deviation in time [m]", extend="max")


def _spectrum(
    axes: Axes,
    height: NDArray,
    lat: NDArray,
    lon: NDArray,
    land: NDArray[np.bool_],
    references: Mapping[str, Mapping[str, Any]],
) -> None:
    box = ocean_box(land)
    if box is None:
        axes.text(0.5, 0.5, "no box without land", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    dy = float(lat[1] - lat[0]) * KM_PER_DEGREE
    dx = float(lon[1] - lon[0]) * KM_PER_DEGREE * float(np.cos(np.radians(lat[box[0]].mean())))
    own = spectra.isotropic_spectrum(height[(slice(None), *box)], dx, dy)
    spectra.draw_isotropic(axes, {"truth": own, **references})
