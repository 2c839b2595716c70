"""The whole ocean: the gradient of the sea surface of truth and maps, with boxes enlarged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from pipeline_spde.figures import style
from pipeline_spde.figures.members import MEAN, heights_of_day, part_on_day, quantity
from pipeline_spde.figures.panels import on_day
from pipeline_spde.grids import Grid, wrap_longitude

Array = NDArray[np.float64]
Box = tuple[tuple[float, float], tuple[float, float]]
_LAND = "0.75"
_SHARE = 99.0  # per cent of the gradient that the colours resolve


def gradient(height: Array, grid: Grid) -> Array:
    """Return the magnitude of the slope of a map in m per 100 km, (lat, lon), NaN on land.

    Central differences of neighbours in the ocean; a periodic grid has no seam.
    """
    field = np.where(grid.ocean, height, np.nan)
    up, down = np.vstack([field[1:], field[-1:]]), np.vstack([field[:1], field[:-1]])
    north = (up - down) / (2 * grid.dy_km)
    if grid.periodic:
        right, left = np.roll(field, -1, 1), np.roll(field, 1, 1)
    else:
        right = np.hstack([field[:, 1:], field[:, -1:]])
        left = np.hstack([field[:, :1], field[:, :-1]])
    east = (right - left) / (2 * grid.dx_km[:, None])
    return 100.0 * np.hypot(north, east)


def fields_of_day(
    day: Any, maps: Mapping[str, xr.Dataset], ensemble: xr.Dataset | None = None
) -> dict[str, Array]:
    """Return the heights of a day by their label: those of maps, and the first members.

    Members have their calibrated spread where it is known.

    Args:
        day: calendar day.
        maps: label -> daily maps.
        ensemble: members in the layout of `figures.members`; None for none.
    """
    fields = {label: on_day(data, style.quantity_of(data), day) for label, data in maps.items()}
    if ensemble is None:
        return fields
    drawn = heights_of_day(day, ensemble)
    mean = drawn.pop(MEAN)
    if f"{quantity(ensemble)}_std_calibrated" in ensemble:
        raw, better = (part_on_day(ensemble, part, day) for part in ("std", "std_calibrated"))
        factor = better / np.where(raw > 0, raw, 1.0)
        drawn = {label: mean + factor * (field - mean) for label, field in drawn.items()}
    return fields | drawn


def globe_panels(
    fields: Mapping[str, Array], grid: Grid, boxes: Mapping[str, Box], title: str = ""
) -> Figure:
    """Draw the gradient of fields, a row each: the whole domain and its boxes enlarged.

    Args:
        fields: label -> heights in m, (lat, lon), NaN on land: truth, mean or members.
        grid: their grid.
        boxes: name -> ((south, north), (west, east)) in degrees, enlarged on the right.
        title: what is drawn, e.g. the day.

    Raises:
        ValueError: no field.
    """
    if not fields:
        raise ValueError("nothing to draw: give at least one field")
    slopes = {label: gradient(field, grid) for label, field in fields.items()}
    high = float(np.nanpercentile(np.stack(list(slopes.values())), _SHARE))
    shape = grid.shape
    wide = max(shape[1] / shape[0], 1.0)
    with style.context():
        figure = style.new_figure(1.35 * len(slopes) + 0.7)
        panels = figure.subplots(
            len(slopes), 1 + len(boxes), squeeze=False, width_ratios=[wide] + [0.9] * len(boxes)
        )
        for row, (label, slope) in zip(panels, slopes.items(), strict=True):
            image = _draw(row[0], slope, grid, high)
            row[0].set_ylabel(label)
            for axes, box in zip(row[1:], boxes.values(), strict=True):
                _enlarge(axes, slope, grid, box, high)
                _frame(row[0], box)
        panels[0, 0].set_title(title)
        for axes, name in zip(panels[0, 1:], boxes, strict=True):
            axes.set_title(name.replace("_", " "))
        bar = figure.colorbar(
            image, ax=panels.ravel().tolist(), location="bottom", shrink=0.5, aspect=40,
            pad=0.01, extend="max",
        )  # fmt: skip
        bar.set_label("gradient of the sea surface, m per 100 km")
    return figure


def _draw(axes: Axes, slope: Array, grid: Grid, high: float) -> AxesImage:
    south, north, west, east = grid.bounds
    axes.set_facecolor(_LAND)
    axes.set_xlim(west, east)
    axes.tick_params(labelsize=6)
    return axes.imshow(
        slope, extent=(west, east, south, north), cmap=style.SPEED_MAP, vmin=0, vmax=high,
        aspect="auto",
    )  # fmt: skip


def _enlarge(axes: Axes, slope: Array, grid: Grid, box: Box, high: float) -> None:
    """Draw the cells of a box, from its west to its east."""
    (south, north), (west, east) = box
    rows = np.flatnonzero((grid.lat > south) & (grid.lat < north))
    lon = wrap_longitude(grid.lon, west)
    columns = np.flatnonzero(lon < east)
    columns = columns[np.argsort(lon[columns], kind="stable")]
    axes.set_facecolor(_LAND)
    axes.tick_params(labelsize=6)
    if rows.size and columns.size:
        axes.imshow(
            slope[np.ix_(rows, columns)], extent=(west, east, south, north), cmap=style.SPEED_MAP,
            vmin=0, vmax=high, aspect="auto",
        )  # fmt: skip


def _frame(axes: Axes, box: Box) -> None:
    """Frame a box on the map; one across the date line is framed in two parts."""
    (south, north), (west, east) = box
    for shift in (0.0, -360.0):
        axes.add_patch(
            Rectangle((west + shift, south), east - west, north - south, fill=False, lw=0.6)
        )


def spread_boxes(regions: Mapping[str, Box], wanted: Sequence[str]) -> dict[str, Box]:
    """Return the regions of the names wanted that there are, else the first three."""
    found = {name: regions[name] for name in wanted if name in regions}
    return found or dict(list(regions.items())[:3])
