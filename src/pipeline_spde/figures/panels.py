"""Grids of map panels with shared scales: what the map figures and the animation are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from numpy.typing import NDArray

from pipeline_spde.figures import style

Kind = Literal["height", "error", "std", "speed", "difference"]


@dataclass(frozen=True)
class Panel:
    """One map to draw.

    Attributes:
        title: a few words over the panel; empty for none.
        field: values (lat, lon); NaN where there is nothing.
        kind: which scale and colour bar it shares.
        note: short text in its corner, e.g. its RMSE.
    """

    title: str
    field: NDArray[np.floating]
    kind: Kind
    note: str = ""


PanelRow = Sequence[Panel]


@dataclass(frozen=True)
class DrawnPanel:
    """What is needed to show another field in the same place."""

    image: AxesImage
    note: Text
    title: Text

    def show(self, panel: Panel) -> None:
        """Replace field, note and title."""
        self.image.set_data(np.ma.masked_invalid(np.asarray(panel.field, dtype=float)))
        self.note.set_text(panel.note)
        self.note.set_visible(bool(panel.note))
        self.title.set_text(panel.title)


def on_day(data: xr.Dataset, name: str, day: Any) -> NDArray[np.float64]:
    """Return a variable (time, lat, lon) on one calendar day, shape (lat, lon).

    Raises:
        ValueError: the day is not in the data.
    """
    days = data["time"].values.astype("datetime64[D]")
    found = np.flatnonzero(days == np.datetime64(day, "D"))
    if found.size == 0:
        raise ValueError(f"no {name} on {style.day_label(day)}; there are {days[0]} to {days[-1]}")
    return np.asarray(data[name].values[found[0]], dtype=np.float64)


def observed_field(observations: xr.Dataset, name: str, day: Any) -> NDArray[np.float64]:
    """Return observed cells of a day, NaN (drawn as nothing) where `observed` is False."""
    seen = on_day(observations, "observed", day).astype(bool)
    return np.where(seen, on_day(observations, name, day), np.nan)


def land_of(maps: Sequence[xr.Dataset]) -> NDArray[np.bool_]:
    """Return the land of gridded maps: cells that are finite on no day of the first of them."""
    first = maps[0]
    return np.asarray(~np.isfinite(first[style.quantity_of(first)].values).any(axis=0))


def check_same_axes(reference: xr.Dataset, others: Mapping[str, xr.Dataset]) -> None:
    """Raise ValueError unless all maps have the reference's lat and lon."""
    for name, data in others.items():
        for axis in ("lat", "lon"):
            ours, theirs = reference[axis].values, data[axis].values
            if ours.shape != theirs.shape or not np.allclose(ours, theirs, atol=1e-3):
                raise ValueError(
                    f"{name}: {axis} has {theirs.size} values {theirs[0]} … {theirs[-1]}, expected "
                    f"{ours.size} values {ours[0]} … {ours[-1]}; interpolate the maps first"
                )


def rms_text(label: str, field: NDArray[np.floating]) -> str:
    """Return e.g. "RMSE 3.2 cm" of a field in m, area-unweighted over its finite cells."""
    values = field[np.isfinite(field)]
    if values.size == 0:
        return ""
    return f"{label} {100 * np.sqrt(np.mean(values**2)):.1f} cm"


def scales_of(rows: Sequence[PanelRow]) -> dict[Kind, style.Scale]:
    """Return one scale per kind of panel, from all panels of that kind."""
    fields: dict[Kind, list[NDArray]] = {}
    for panel in (panel for row in rows for panel in row):
        fields.setdefault(panel.kind, []).append(panel.field)
    colours = {"error": style.ERROR_MAP, "std": style.STD_MAP, "speed": style.SPEED_MAP}
    signed = {"height": style.height_scale, "difference": style.difference_scale}
    return {
        kind: signed[kind](arrays)
        if kind in signed
        else style.positive_scale(arrays, colours[kind])
        for kind, arrays in fields.items()
    }


def draw_panel(
    axes: Axes,
    panel: Panel,
    lat: NDArray,
    lon: NDArray,
    scale: style.Scale,
    land: NDArray[np.bool_],
) -> DrawnPanel:
    """Draw one panel and return the handles to update it."""
    image = style.draw_map(axes, panel.field, lat, lon, scale, land)
    title = axes.set_title(panel.title, pad=3)
    note = style.corner_text(axes, panel.note)
    note.set_visible(bool(panel.note))
    return DrawnPanel(image, note, title)


def panel_figure(
    rows: Sequence[PanelRow],
    lat: NDArray,
    lon: NDArray,
    land: NDArray[np.bool_],
    row_labels: Sequence[str],
    bars: Mapping[Kind, str],
    scales: Mapping[Kind, style.Scale] | None = None,
    width: float = style.PAGE_WIDTH,
) -> tuple[Figure, list[list[DrawnPanel]]]:
    """Draw rows of panels with shared scales and one horizontal colour bar per kind.

    Args:
        rows: panels; all rows have the same length.
        lat: cell centres in degrees north.
        lon: cell centres in degrees east.
        land: True on land, shape (lat, lon).
        row_labels: text left of each row, may be empty.
        bars: kind -> label of its colour bar with unit, from left to right.
        scales: limits of each kind; found from the panels when omitted.
        width: inches.

    Returns:
        The figure and the handles of the panels.
    """
    columns = len(rows[0])
    scales = scales or scales_of(rows)
    panel_height = style.map_ratio(lat, lon) * (width - 0.75 - 0.08 * columns) / columns
    titles = sum(any(panel.title for panel in row) for row in rows)
    height = len(rows) * (panel_height + 0.06) + 0.17 * titles + 0.75
    with style.context():
        figure = style.new_figure(height, width)
        grid = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
        drawn = [
            [
                draw_panel(axes, panel, lat, lon, scales[panel.kind], land)
                for axes, panel in zip(line, row, strict=True)
            ]
            for line, row in zip(grid, rows, strict=True)
        ]
        for line, label in zip(grid, row_labels, strict=True):
            line[0].set_ylabel(label)
        _add_bars(figure, grid, rows, drawn, bars)
    return figure, drawn


def _add_bars(
    figure: Figure,
    grid: NDArray,
    rows: Sequence[PanelRow],
    drawn: list[list[DrawnPanel]],
    bars: Mapping[Kind, str],
) -> None:
    """Put the colour bars side by side under the panels, each under a share of the columns."""
    images: dict[Kind, AxesImage] = {}
    for row, handles in zip(rows, drawn, strict=True):
        for panel, handle in zip(row, handles, strict=True):
            images.setdefault(panel.kind, handle.image)
    shown = [kind for kind in bars if kind in images]
    for kind, columns in zip(shown, _bar_columns(rows, shown), strict=True):
        bar = figure.colorbar(
            images[kind],
            ax=grid[:, columns].ravel().tolist(),
            location="bottom",
            label=bars[kind],
            shrink=0.9,
            aspect=12 * len(columns),
            pad=0.01,
            extend="max" if images[kind].get_clim()[0] == 0 else "both",
        )
        bar.ax.tick_params(length=2, pad=1.5)


def _bar_columns(rows: Sequence[PanelRow], shown: Sequence[Kind]) -> list[list[int]]:
    """Return the columns under which each bar goes: its own ones, else an even share."""
    columns = range(len(rows[0]))
    kinds = [{row[column].kind for row in rows} for column in columns]
    if all(len(of_column) == 1 for of_column in kinds):
        return [[column for column in columns if kinds[column] == {kind}] for kind in shown]
    shares = np.array_split(np.arange(len(rows[0])), len(shown))
    everywhere = list(columns)
    return [share.tolist() or everywhere for share in shares]
