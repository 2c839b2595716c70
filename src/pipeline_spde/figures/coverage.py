"""Where and how much the altimeters see: observed share per day, ground tracks of some days."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pipeline_spde.figures import style
from pipeline_spde.figures.series import finish_time_axis
from pipeline_spde.figures.style import Series

MOST_COLUMNS = 4


def coverage_series(coverage: Series, samples: Series | None = None) -> Figure:
    """Draw the observed share of the ocean cells per day and the samples of each mission.

    Args:
        coverage: columns `time` (days) and `coverage` (fraction, 0 to 1).
        samples: columns `time` and one per mission with its number of samples of the day.
    """
    share = 100 * style.as_numbers(coverage["coverage"])
    with style.context():
        figure = style.new_figure(2.4 if samples is None else 3.8)
        lines = figure.subplots(1 if samples is None else 2, sharex=True, squeeze=False)[:, 0]
        lines[0].bar(style.as_times(coverage), share, width=1.0, color=style.COVERAGE_COLOUR)
        lines[0].axhline(float(np.nanmean(share)), color="0.3", linewidth=0.8, linestyle="--")
        lines[0].set_title(
            f"mean {np.nanmean(share):.2f} %, {int((share == 0).sum())} of {share.size} days "
            "without any observation"
        )
        lines[0].set_ylabel("observed cells [%]")
        if samples is not None:
            _stack_samples(lines[1], samples)
        lines[0].grid(axis="y")
        finish_time_axis(lines[-1])
    return figure


def track_map(
    tracks: xr.Dataset,
    lat: tuple[float, float],
    lon: tuple[float, float],
    days: Sequence[Any],
    land: xr.DataArray | None = None,
) -> Figure:
    """Draw the samples of some days over the box, one panel per day, coloured by mission.

    Args:
        tracks: samples on dim `obs`: `time`, `lat`, `lon` and `mission`, whose attribute
            `flag_meanings` names the missions.
        lat: southern and northern bound in degrees.
        lon: western and eastern bound in degrees; samples may use any longitude convention.
        days: calendar days.
        land: True on land, on axes (lat, lon) of its own that cover the box.

    Raises:
        ValueError: no day given.
    """
    if not len(days):
        raise ValueError("nothing to draw: no day given")
    missions = str(tracks["mission"].attrs["flag_meanings"]).split()
    columns = min(len(days), MOST_COLUMNS)
    rows = -(-len(days) // columns)
    bounds = (lon[0], lon[1], lat[0], lat[1])
    ratio = (lat[1] - lat[0]) / (lon[1] - lon[0]) * style.map_aspect(bounds)
    with style.context():
        height = rows * (ratio * (style.PAGE_WIDTH - 0.6) / columns + 0.2) + 0.6
        figure = style.new_figure(height)
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes, day in zip(grid.ravel(), days, strict=False):
            _draw_day(axes, _of_day(tracks, day), missions, bounds, land)
            axes.set_title(style.day_label(day))
        for axes in grid.ravel()[len(days) :]:
            axes.set_visible(False)
        _mission_legend(figure, missions)
    return figure


def _of_day(tracks: xr.Dataset, day: Any) -> xr.Dataset:
    chosen = tracks["time"].values.astype("datetime64[D]") == np.datetime64(day, "D")
    return tracks.isel(obs=np.flatnonzero(chosen))


def _draw_day(
    axes: Axes,
    samples: xr.Dataset,
    missions: list[str],
    bounds: tuple[float, float, float, float],
    land: xr.DataArray | None,
) -> None:
    """Draw one panel; wide swaths lie below the lines of the nadir altimeters."""
    if land is not None:
        _draw_land(axes, land)
    lat = samples["lat"].values
    lon = np.mod(samples["lon"].values - bounds[0], 360.0) + bounds[0]
    mission = samples["mission"].values
    for index, name in enumerate(missions):
        swath = "karin" in name
        axes.plot(
            lon[mission == index],
            lat[mission == index],
            ".",
            color=style.mission_look(name).colour,
            markersize=1.0 if swath else 2.0,
            zorder=2 if swath else 3,
            rasterized=True,
        )
    style.shape_as_map(axes, bounds)


def _draw_land(axes: Axes, land: xr.DataArray) -> None:
    mask = np.asarray(land.transpose("lat", "lon").values, dtype=bool)
    axes.imshow(
        np.ma.masked_array(np.ones(mask.shape), ~mask),
        extent=style.extent(land["lat"].values, land["lon"].values),
        cmap=ListedColormap([style.LAND_COLOUR]),
        zorder=1,
    )


def _mission_legend(figure: Figure, missions: list[str]) -> None:
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=4, color=look.colour, label=look.label)
        for look in map(style.mission_look, missions)
    ]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=min(len(missions), 6), handletextpad=0.1
    )


def _stack_samples(axes: Axes, samples: Series) -> None:
    """Draw stacked bars of the samples of each mission."""
    missions = [str(name) for name in samples if name != "time"]
    days = style.as_times(samples)
    base: NDArray[np.float64] = np.zeros(days.size)
    for name in missions:
        look = style.mission_look(name)
        number = style.as_numbers(samples[name])
        axes.bar(days, number, width=1.0, bottom=base, color=look.colour, label=look.label)
        base = base + np.nan_to_num(number)
    axes.set_ylabel("samples per day")
    axes.grid(axis="y")
    axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(len(missions), 6), handlelength=1
    )
