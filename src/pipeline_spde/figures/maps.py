"""Maps of heights, errors, standard deviations and geostrophic currents, method beside method.

Datasets are in the layout of the files: `ssh`, `sla` or `adt` [m] on (time, lat, lon), optionally
`*_std` [m]; observations also hold `observed` (0/1). Values on land are NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline_spde.figures import style
from pipeline_spde.figures.panels import (
    Kind,
    Panel,
    check_same_axes,
    land_of,
    observed_field,
    on_day,
    panel_figure,
    rms_text,
)
from pipeline_spde.grids import KM_PER_DEGREE

GRAVITY = 9.81  # m s-2
EARTH_RATE = 7.2921e-5  # s-1
METRES_PER_DEGREE = 1000 * KM_PER_DEGREE
EQUATORIAL_BAND = 3.0  # degrees; no geostrophic balance nearer to the equator


def reconstruction_panels(
    observations: xr.Dataset,
    maps: Mapping[str, xr.Dataset],
    days: Sequence[Any],
    truth: xr.Dataset | None = None,
    land: NDArray[np.bool_] | None = None,
) -> Figure:
    """Show, for each day, the observations and every method's map, with its error or deviation.

    With a truth: two rows a day, truth over observations, then each method's map over its absolute
    error, whose root mean square is noted. Without: one row a day, the observations, each method's
    map and the standard deviation of each method that has one.

    Args:
        observations: gridded observations.
        maps: method -> maps, all on the same axes; drawn in the order of `style.METHODS`.
        days: calendar days (date, text or datetime64).
        truth: true maps on the same axes.
        land: True on land, shape (lat, lon); cells without any value when omitted.

    Returns:
        The figure; heights share one scale, errors (or deviations) another.

    Raises:
        ValueError: no day, no method, different axes, or a day that some input does not hold.
    """
    reference = _reference(maps, days, truth)
    check_same_axes(reference, {"observations": observations, **maps})
    rows: list[list[Panel]] = []
    labels: list[str] = []
    for day in days:
        block = day_panels(day, observations, maps, truth)
        if rows:
            block = [[replace(panel, title="") for panel in row] for row in block]
        rows += block
        labels += [style.day_label(day), *[""] * (len(block) - 1)]
    figure, _ = panel_figure(
        rows, *_frame(reference, land), row_labels=labels, bars=bar_labels(reference)
    )
    return figure


def day_panels(
    day: Any,
    observations: xr.Dataset,
    maps: Mapping[str, xr.Dataset],
    truth: xr.Dataset | None = None,
) -> list[list[Panel]]:
    """Return the one or two rows of panels of a day, as described in `reconstruction_panels`."""
    quantity = style.quantity_of(observations)
    seen = Panel("observations", observed_field(observations, quantity, day), "height")
    heights = {name: on_day(maps[name], _height(maps[name]), day) for name in style.in_order(maps)}
    upper = [Panel(style.method_look(name).label, h, "height") for name, h in heights.items()]
    if truth is not None:
        actual = on_day(truth, _height(truth), day)
        lower = [_error_panel(actual, h) for h in heights.values()]
        return [[Panel("truth", actual, "height"), *upper], [seen, *lower]]
    deviations = [_std_panel(name, maps[name], day) for name in heights if _std(maps[name])]
    return [[seen, *upper, *deviations]]


def std_panels(
    maps: Mapping[str, xr.Dataset],
    days: Sequence[Any],
    truth: xr.Dataset | None = None,
    land: NDArray[np.bool_] | None = None,
) -> Figure:
    """Show the standard deviation that methods claim and, with a truth, the error they made.

    One column per day; for each method that has a standard deviation a row with it and, with a
    truth, a row with the absolute error on the same scale. Root mean squares are noted.

    Raises:
        ValueError: no method has a standard deviation, or as in `reconstruction_panels`.
    """
    reference = _reference(maps, days, truth)
    check_same_axes(reference, maps)
    methods = [name for name in style.in_order(maps) if _std(maps[name])]
    if not methods:
        raise ValueError(f"none of {list(maps)} has a standard deviation (variable *_std) to draw")
    rows: list[list[Panel]] = []
    labels: list[str] = []
    for name in methods:
        label = style.method_look(name).label
        panels = [_std_panel(name, maps[name], day) for day in days]
        if not rows:
            panels = [
                replace(p, title=style.day_label(d)) for p, d in zip(panels, days, strict=True)
            ]
        else:
            panels = [replace(p, title="") for p in panels]
        rows.append(panels)
        labels.append(f"{label}\nstandard deviation")
        if truth is not None:
            rows.append([_error_as_std(maps[name], truth, day) for day in days])
            labels.append(f"{label}\nabsolute error")
    unit = "standard deviation" if truth is None else "standard deviation, absolute error"
    figure, _ = panel_figure(
        rows, *_frame(reference, land), row_labels=labels, bars={"std": f"{unit} [m]"}
    )
    return figure


def speed_panels(
    maps: Mapping[str, xr.Dataset],
    days: Sequence[Any],
    truth: xr.Dataset | None = None,
    land: NDArray[np.bool_] | None = None,
) -> Figure:
    """Show surface geostrophic speeds: a physical check of the small scales of a map.

    One row per day; truth first, then the methods. Root-mean-square speeds are noted: a smooth map
    has too slow currents. Heights must be absolute for total currents; anomalies give anomalies.
    """
    reference = _reference(maps, days, truth)
    check_same_axes(reference, maps)
    sources = {} if truth is None else {"truth": truth}
    sources |= {name: maps[name] for name in style.in_order(maps)}
    lat, lon = reference["lat"].values, reference["lon"].values
    rows = []
    for number, day in enumerate(days):
        row = []
        for name, data in sources.items():
            label = "truth" if name == "truth" else style.method_look(name).label
            height = on_day(data, _height(data), day)
            row.append(speed_panel(label if number == 0 else "", height, lat, lon))
        rows.append(row)
    figure, _ = panel_figure(
        rows,
        *_frame(reference, land),
        row_labels=[style.day_label(day) for day in days],
        bars={"speed": "geostrophic speed [m s$^{-1}$]"},
    )
    return figure


def speed_panel(title: str, height: NDArray, lat: NDArray, lon: NDArray) -> Panel:
    """Return the panel of the geostrophic speed of a height (lat, lon), its rms noted."""
    speed = geostrophic_speed(height, lat, lon)
    kept = speed[np.isfinite(speed)]
    note = f"rms {np.sqrt(np.mean(kept**2)):.2f} m/s" if kept.size else ""
    return Panel(title, speed, "speed", note)


def geostrophic_speed(height: NDArray, lat: NDArray, lon: NDArray) -> NDArray[np.float64]:
    """Return |g/f ∇h| in m s⁻¹ by centred differences; NaN beside land and near the equator.

    Args:
        height: m, shape (lat, lon).
        lat: degrees north, regular.
        lon: degrees east, regular.
    """
    f = 2 * EARTH_RATE * np.sin(np.radians(lat))
    f = np.where(np.abs(lat) < EQUATORIAL_BAND, np.nan, f)[:, None]
    dy = METRES_PER_DEGREE * (lat[1] - lat[0])
    dx = METRES_PER_DEGREE * (lon[1] - lon[0]) * np.cos(np.radians(lat))[:, None]
    slope_north = np.gradient(np.asarray(height, dtype=np.float64), axis=0) / dy
    slope_east = np.gradient(np.asarray(height, dtype=np.float64), axis=1) / dx
    return np.asarray(GRAVITY / np.abs(f) * np.hypot(slope_north, slope_east))


def bar_labels(reference: xr.Dataset) -> dict[Kind, str]:
    """Return the labels of the colour bars of the panels of a day."""
    return {
        "height": style.height_label(style.quantity_of(reference)),
        "error": "absolute error [m]",
        "std": "std of the error [m]",
    }


def _height(data: xr.Dataset) -> str:
    return style.quantity_of(data)


def _std(data: xr.Dataset) -> bool:
    """Return True when the maps hold standard deviations."""
    return f"{style.quantity_of(data)}_std" in data


def _reference(
    maps: Mapping[str, xr.Dataset], days: Sequence[Any], truth: xr.Dataset | None
) -> xr.Dataset:
    if not maps or not len(days):
        raise ValueError(f"nothing to draw: {len(maps)} methods on {len(days)} days")
    return next(iter(maps.values())) if truth is None else truth


def _frame(
    reference: xr.Dataset, land: NDArray[np.bool_] | None
) -> tuple[NDArray, NDArray, NDArray[np.bool_]]:
    """Return lat, lon and land of a figure."""
    mask = land_of([reference]) if land is None else land
    return reference["lat"].values, reference["lon"].values, mask


def _error_panel(truth: NDArray, estimate: NDArray) -> Panel:
    error = np.abs(estimate - truth)
    # the panel above names the method
    return Panel("|error|", error, "error", rms_text("RMSE", error))


def _std_panel(name: str, data: xr.Dataset, day: Any) -> Panel:
    field = on_day(data, f"{_height(data)}_std", day)
    return Panel(f"std {style.method_look(name).label}", field, "std", rms_text("spread", field))


def _error_as_std(data: xr.Dataset, truth: xr.Dataset, day: Any) -> Panel:
    error = np.abs(on_day(data, _height(data), day) - on_day(truth, _height(truth), day))
    return Panel("", error, "std", rms_text("RMSE", error))
