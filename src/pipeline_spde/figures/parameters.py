"""What an SPDE prior believes: its parameters as maps, a draw, the footprint of one cell.

The input is a Dataset on (lat, lon), NaN on land, of one day:

    sigma               stationary standard deviation, m
    range_major         range along the major axis, km
    range_minor         range across it, km
    angle               of the major axis, degrees counter-clockwise from east
    decorrelation_time  of the largest scales, days
    m_east, m_north     advection, km/day; both may be missing: none

and, where known, `draw` [m] and `correlation` [1] on (time, lat, lon): a sample of the prior, and
the correlation of every cell and day with one cell on one day, whose own value is 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cmocean
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from pipeline_spde.figures import style
from pipeline_spde.grids import KM_PER_DEGREE

_AXES = ("time", "lat", "lon")
NEEDED = ("sigma", "range_major", "range_minor", "angle", "decorrelation_time")
CONTOURS = (0.14, 0.5)  # correlations; the first is that of a Matérn field at its range
LONGEST_LAG = 5  # days
MOST_ELLIPSES = 9  # per side
MOST_ARROWS = 16  # per side
_ENLARGEMENTS = (0.5, 1, 2, 3, 5, 10, 20, 50, 100)
_PATH_DAYS = (0.1, 0.2, 0.5, 1, 2, 3, 5, 10, 20, 50, 100)
_ELLIPSE_SPACING = 1.9  # ranges between neighbouring centres: outlines hardly overlap
_FEWEST_ELLIPSES = 4  # per side; drawn at half their size where there is no room for so many
Painter = Callable[[Axes, xr.Dataset], None]


def _lighter(colours: Colormap, share: float) -> Colormap:
    """Return the light end of a colour map, on which black lines stand out."""
    light = colours(np.linspace(0.0, share, 256))
    return LinearSegmentedColormap.from_list(f"{colours.name}_light", light)


RANGE_MAP = _lighter(cmocean.cm.deep, 0.6)
ADVECTION_MAP = _lighter(cmocean.cm.speed, 0.6)
TIME_MAP = cmocean.cm.tempo
CORRELATION_SCALE = style.Scale(style.HEIGHT_MAP, -1.0, 1.0)


def sigma_map(parameters: xr.Dataset) -> Figure:
    """Draw the standard deviation of the prior."""
    return _single(parameters, draw_sigma)


def time_map(parameters: xr.Dataset) -> Figure:
    """Draw the decorrelation time."""
    return _single(parameters, draw_time)


def range_map(parameters: xr.Dataset) -> Figure:
    """Draw the geometric mean range, and ellipses whose semi-axes are the two ranges.

    On a small map they are drawn at half their size, on a large one enlarged; a note says so. The
    correlation with the centre on the ellipse is 0.14 for α = 4 and short steps; `footprint_panels`
    shows what it is for other settings.
    """
    return _single(parameters, draw_ranges)


def advection_map(parameters: xr.Dataset) -> Figure:
    """Draw the speed of the advection, and arrows as long as the path of the days noted."""
    return _single(parameters, draw_advection)


def draw_panels(draw: xr.DataArray, days: Sequence[int] | None = None) -> Figure:
    """Show a sample of the prior on up to three days, with one scale.

    Args:
        draw: heights in m on (time, lat, lon), NaN on land.
        days: positions on the time axis; three around the middle day when omitted.
    """
    shown = _around(draw.sizes["time"] // 2, draw.sizes["time"]) if days is None else list(days)
    with style.context():
        figure = style.new_figure(_row_height(draw, len(shown)))
        _draw_sample(figure, draw, shown)
    return figure


def footprint_panels(correlation: xr.DataArray, lag: int | None = None) -> Figure:
    """Show how one cell on one day is correlated with all cells before, on and after that day.

    Args:
        correlation: on (time, lat, lon), NaN on land; 1 in the cell itself.
        lag: steps of the first and last panel; at most `LONGEST_LAG` when omitted.

    Raises:
        ValueError: no cell has correlation 1.
    """
    steps = _around(own_cell(correlation)[0], correlation.sizes["time"], lag)
    with style.context():
        figure = style.new_figure(_row_height(correlation, len(steps)))
        _draw_footprint(figure, correlation, lag)
    return figure


def overview(parameters: xr.Dataset, title: str = "") -> Figure:
    """Draw all that is known of a prior on one page: parameters, a draw, a footprint.

    The dashed ellipse in the footprint is that of the ranges in the cell itself. The contours are
    0.14 and 0.5.

    Args:
        parameters: Dataset in the layout of the module, with or without draw and correlation.
        title: method and day, over the page; empty for none.
    """
    fields = one_day(parameters)
    extras = [name for name in ("draw", "correlation") if name in parameters]
    ratio = style.map_ratio(fields["lat"].values, fields["lon"].values)
    heights = [2 * (2.6 * ratio + 0.3), *[1.9 * ratio + 0.4 for _ in extras]]
    with style.context():
        figure = style.new_figure(sum(heights) + (0.25 if title else 0.0))
        parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        grid = parts[0].subplots(2, 2, sharex=True, sharey=True)
        painters = (draw_sigma, draw_ranges, draw_time, draw_advection)
        for axes, painter in zip(grid.ravel(), painters, strict=True):
            painter(axes, fields)
        for part, name in zip(parts[1:], extras, strict=True):
            field = parameters[name].where(np.isfinite(fields["sigma"]))
            if name == "draw":
                _draw_sample(part, field, _around(field.sizes["time"] // 2, field.sizes["time"]))
            else:
                _draw_footprint(part, field, parameters=fields)
        if title:
            figure.suptitle(title, fontsize=9)
    return figure


def local_panels(prior: xr.Dataset, title: str = "") -> Figure:
    """Draw σ, range and decorrelation time of a prior matched to moments by region.

    Args:
        prior: Dataset with sigma, range_km and decorrelation_time_days on (lat, lon), NaN on land.
        title: over the page; empty for none.
    """
    fields = prior[["sigma", "range_km", "decorrelation_time_days"]].transpose("lat", "lon")
    sigma, size, time = (fields[name].values for name in fields)
    ratio = style.map_ratio(fields["lat"].values, fields["lon"].values)
    with style.context():
        figure = style.new_figure(3 * min(style.PAGE_WIDTH * ratio, 2.6) + 0.6)
        first, second, third = figure.subplots(3, 1, sharex=True)
        draw_parameter(
            first, fields, sigma, style.positive_scale([sigma], style.STD_MAP),
            "standard deviation", "σ [m]",
        )  # fmt: skip
        draw_parameter(second, fields, size, range_scale(size, RANGE_MAP), "range", "range [km]")
        draw_parameter(
            third, fields, time, range_scale(time, TIME_MAP), "decorrelation time", "T [day]"
        )
        if title:
            figure.suptitle(title, fontsize=9)
    return figure


def one_day(parameters: xr.Dataset) -> xr.Dataset:
    """Return the parameters on (lat, lon), NaN where sigma is, zeros for a missing advection.

    Raises:
        ValueError: a variable is missing or has other dimensions, or sigma has no value.
    """
    missing = [name for name in NEEDED if name not in parameters]
    if missing:
        held = list(parameters)
        raise ValueError(f"no variable {missing} among the parameters, which hold {held}")
    given = [name for name in ("m_east", "m_north") if name in parameters]
    if len(given) == 1:
        raise ValueError(f"the parameters hold {given[0]} alone: give both m_east and m_north")
    fields = parameters[[*NEEDED, *given]]
    for name, field in fields.items():
        if set(field.dims) != {"lat", "lon"}:
            raise ValueError(
                f"{name} has dimensions {field.dims}, expected (lat, lon): choose one day with "
                ".isel(time=0)"
            )
    if not given:
        fields = fields.assign(dict.fromkeys(("m_east", "m_north"), xr.zeros_like(fields["sigma"])))
    ocean = np.isfinite(fields["sigma"])
    if not bool(ocean.any()):
        raise ValueError("nothing to draw: sigma has no finite value")
    return fields.where(ocean).transpose("lat", "lon", ...)


def own_cell(correlation: xr.DataArray) -> tuple[int, int, int]:
    """Return (day, row, column) of the cell that the correlations belong to.

    Raises:
        ValueError: no value is 1 (to a thousandth).
    """
    values = correlation.transpose(*_AXES).values
    distance = np.where(np.isfinite(values), np.abs(values - 1), np.inf)
    day, row, column = np.unravel_index(int(distance.argmin()), values.shape)
    if distance[day, row, column] > 1e-3:
        raise ValueError(
            f"no cell has correlation 1, the nearest has {values[day, row, column]:.4f}: pass the "
            "correlations with one cell on one day, itself included"
        )
    return int(day), int(row), int(column)


def ellipses(
    lat: NDArray, lon: NDArray, major: NDArray, minor: NDArray, angle: NDArray, points: int = 73
) -> NDArray[np.float64]:
    """Return closed outlines (ellipse, point, 2) as (lon, lat) in degrees.

    Centres (degrees), semi-axes (km) and angle of the major axis (degrees counter-clockwise from
    east) have the shape (ellipse,); the last of the points is the first.
    """
    turn = np.linspace(0.0, 2 * np.pi, points)
    along, across = major[:, None] * np.cos(turn), minor[:, None] * np.sin(turn)
    cosine, sine = np.cos(np.radians(angle))[:, None], np.sin(np.radians(angle))[:, None]
    east, north = along * cosine - across * sine, along * sine + across * cosine
    width = KM_PER_DEGREE * np.cos(np.radians(lat))[:, None]
    return np.stack([lon[:, None] + east / width, lat[:, None] + north / KM_PER_DEGREE], axis=-1)


def _single(parameters: xr.Dataset, painter: Painter) -> Figure:
    """Return a figure of one map."""
    fields = one_day(parameters)
    ratio = style.map_ratio(fields["lat"].values, fields["lon"].values)
    with style.context():
        figure = style.new_figure(ratio * 3.45 + 0.45, 4.6)
        painter(figure.subplots(), fields)
    return figure


def _land(field: xr.DataArray) -> NDArray[np.bool_]:
    """Return the cells (lat, lon) that have no value, on no day."""
    cells = ~np.isfinite(field.transpose(..., "lat", "lon").values)
    return np.asarray(cells.reshape(-1, *cells.shape[-2:]).all(axis=0))


def _row_height(field: xr.DataArray, panels: int) -> float:
    """Return the height of a figure of some panels side by side, inches."""
    ratio = style.map_ratio(field["lat"].values, field["lon"].values)
    return min(ratio * (style.PAGE_WIDTH - 1.0) / panels + 0.45, 6.5)


def _around(centre: int, size: int, lag: int | None = None) -> list[int]:
    """Return centre − lag, centre and centre + lag, those that lie in the window."""
    if lag is None:
        lag = min(LONGEST_LAG, max(centre, size - 1 - centre))
    return [step for step in sorted({centre - lag, centre, centre + lag}) if 0 <= step < size]


def draw_sigma(axes: Axes, fields: xr.Dataset) -> None:
    """Draw the standard deviation on given axes."""
    sigma = fields["sigma"].values
    scale = style.positive_scale([sigma], style.STD_MAP)
    draw_parameter(axes, fields, sigma, scale, "standard deviation", "σ [m]")


def draw_time(axes: Axes, fields: xr.Dataset) -> None:
    """Draw the decorrelation time on given axes."""
    time = fields["decorrelation_time"].values
    draw_parameter(axes, fields, time, range_scale(time, TIME_MAP), "decorrelation time", "T [day]")


def draw_ranges(axes: Axes, fields: xr.Dataset) -> None:
    """Draw mean range and ellipses, as in `range_map`, on given axes."""
    mean = np.sqrt(fields["range_major"].values * fields["range_minor"].values)
    title, label = "ranges and anisotropy", "mean range [km]"
    draw_parameter(axes, fields, mean, range_scale(mean, RANGE_MAP), title, label)
    rows, columns, factor = _ellipse_places(fields)
    _add_ellipses(axes, fields.isel(lat=xr.DataArray(rows), lon=xr.DataArray(columns)), factor)
    size = {0.5: "half their size", 1: "true size"}.get(factor, f"{factor:g} times enlarged")
    style.corner_text(axes, f"ellipses: ranges, {size}")


def draw_advection(axes: Axes, fields: xr.Dataset) -> None:
    """Draw speed and arrows, as in `advection_map`, on given axes."""
    speed = np.hypot(fields["m_east"].values, fields["m_north"].values)
    moving = bool(np.nanmax(speed) > 0)
    still = style.Scale(ADVECTION_MAP, 0.0, 1.0)
    scale = style.positive_scale([speed], ADVECTION_MAP) if moving else still
    draw_parameter(axes, fields, speed, scale, "advection", "speed |m| [km day$^{-1}$]")
    days = _add_arrows(axes, fields, speed) if moving else None
    unit = "day" if days == 1 else "days"
    style.corner_text(axes, "no advection" if days is None else f"arrows: path in {days:g} {unit}")


def range_scale(values: NDArray, colours: Colormap) -> style.Scale:
    """Return the range of a field; a tenth around the value of a constant one."""
    low, high = (float(v) for v in np.nanpercentile(values, [0.2, 99.8]))
    if high - low < 0.02 * high:
        return style.Scale(colours, 0.9 * low, 1.1 * high)
    return style.Scale(colours, low, high)


def draw_parameter(
    axes: Axes, fields: xr.Dataset, values: NDArray, scale: style.Scale, title: str, label: str
) -> None:
    """Draw one field with its own colour bar."""
    lat, lon, land = fields["lat"].values, fields["lon"].values, _land(fields["sigma"])
    image = style.draw_map(axes, values, lat, lon, scale, land)
    axes.set_title(title)
    _bar(axes.figure, image, [axes], label, "max" if scale.low == 0 else "both")


def _bar(
    figure: Figure | SubFigure, image: AxesImage, beside: list[Axes], label: str, ends: str
) -> None:
    bar = figure.colorbar(image, ax=beside, label=label, extend=ends, aspect=22, pad=0.015)
    bar.ax.tick_params(length=2, pad=1.5)


def _sides_km(fields: xr.Dataset) -> tuple[float, float]:
    """Return height and width of the box at its middle latitude, km."""
    lat, lon = fields["lat"].values, fields["lon"].values
    west, east, south, north = style.extent(lat, lon)
    width = (east - west) * KM_PER_DEGREE * float(np.cos(np.radians((south + north) / 2)))
    return (north - south) * KM_PER_DEGREE, width


def _ellipse_places(fields: xr.Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64], float]:
    """Return rows and columns of a thinned lattice in the ocean, and how large to draw."""
    typical = float(np.nanpercentile(fields["range_major"].values, 90))
    room = [side / (_ELLIPSE_SPACING * typical) for side in _sides_km(fields)]
    factor = max((e for e in _ENLARGEMENTS if min(room) / e >= _FEWEST_ELLIPSES), default=0.5)
    land = _land(fields["sigma"])
    counts = [int(np.clip(fit / factor, 1, MOST_ELLIPSES)) for fit in room]
    places = [_thinned(*pair) for pair in zip(land.shape, counts, strict=True)]
    rows, columns = (part.ravel() for part in np.meshgrid(*places, indexing="ij"))
    wet = ~land[rows, columns]
    return rows[wet], columns[wet], factor


def _thinned(size: int, count: int) -> NDArray[np.int64]:
    """Return the middles of `count` equal parts of an axis of `size` cells."""
    return np.unique(((np.arange(count) + 0.5) * size / count).astype(np.int64))


def _add_ellipses(axes: Axes, cells: xr.Dataset, factor: float = 1, dashes: str = "-") -> None:
    """Draw the ellipses of a list of cells; a white rim keeps them readable."""
    names = ("lat", "lon", "range_major", "range_minor", "angle")
    lat, lon, major, minor, angle = (np.atleast_1d(cells[name].values) for name in names)
    outlines = ellipses(lat, lon, factor * major, factor * minor, angle)
    for colour, width, style_of_line in (("white", 1.8, "-"), ("black", 0.8, dashes)):
        look = {"colors": colour, "linewidths": width, "linestyles": style_of_line}
        axes.add_collection(LineCollection(list(outlines), **look, zorder=3), autolim=False)


def _add_arrows(axes: Axes, fields: xr.Dataset, speed: NDArray) -> float:
    """Draw paths of some days on a thinned lattice; return how many days."""
    lat, lon = fields["lat"].values, fields["lon"].values
    sides = _sides_km(fields)
    spacing = max(sides) / MOST_ARROWS
    counts = [int(np.clip(side / spacing, 1, MOST_ARROWS)) for side in sides]
    rows, columns = (_thinned(*pair) for pair in zip(speed.shape, counts, strict=True))
    fast = float(np.nanpercentile(speed, 98)) or float(np.nanmax(speed))
    days = max((d for d in _PATH_DAYS if d * fast <= 1.6 * spacing), default=_PATH_DAYS[0])
    east, north = (fields[name].values[np.ix_(rows, columns)] for name in ("m_east", "m_north"))
    visible = np.hypot(east, north) * days > 0.12 * spacing
    x, y = np.meshgrid(lon[columns], lat[rows])
    width = KM_PER_DEGREE * np.cos(np.radians(y))
    path_east, path_north = days * east / width, days * north / KM_PER_DEGREE
    drawn = (part[visible] for part in (x, y, path_east, path_north))
    look: dict[str, Any] = {"width": 0.005, "headwidth": 3.5, "headlength": 4, "zorder": 3}
    axes.quiver(*drawn, angles="xy", scale_units="xy", scale=1, headaxislength=3.5, **look)
    return days


def _draw_sample(part: Figure | SubFigure, draw: xr.DataArray, days: Sequence[int]) -> None:
    """Draw days of a sample side by side."""
    shown = draw.isel(time=list(days)).transpose(*_AXES)
    bound = style.positive_scale([np.abs(shown.values)], style.HEIGHT_MAP).high
    line, image = _draw_row(part, shown, style.Scale(style.HEIGHT_MAP, -bound, bound))
    for axes, time in zip(line, shown["time"].values, strict=True):
        axes.set_title(f"a draw, {style.day_label(time)}")
    _bar(part, image, line, "height [m]", "both")


def _draw_footprint(
    part: Figure | SubFigure,
    correlation: xr.DataArray,
    lag: int | None = None,
    parameters: xr.Dataset | None = None,
) -> None:
    """Draw the correlations of one cell side by side, with its ellipse on the same day."""
    day, row, column = own_cell(correlation)
    steps = _around(day, correlation.sizes["time"], lag)
    shown = correlation.isel(time=steps).transpose(*_AXES)
    lat, lon, time = (correlation[name].values for name in ("lat", "lon", "time"))
    line, image = _draw_row(part, shown, CORRELATION_SCALE)
    for axes, step, field in zip(line, steps, shown.values, strict=True):
        levels = [level for level in CONTOURS if np.nanmin(field) < level < np.nanmax(field)]
        if levels:
            axes.contour(lon, lat, field, levels, colors="black", linewidths=0.7, zorder=3)
        axes.plot(lon[column], lat[row], "+", color="black", markersize=5, zorder=4)
        axes.set_title(f"footprint, {_lag(time[step], time[day])}")
        if parameters is not None and step == day:
            _add_ellipses(axes, parameters.isel(lat=row, lon=column), dashes="--")
    _bar(part, image, line, "correlation [1]", "neither")


def _draw_row(
    part: Figure | SubFigure, shown: xr.DataArray, scale: style.Scale
) -> tuple[list[Axes], AxesImage]:
    """Draw the days of a field side by side."""
    lat, lon, land = shown["lat"].values, shown["lon"].values, _land(shown)
    line = part.subplots(1, shown.sizes["time"], squeeze=False, sharex=True, sharey=True)[0]
    for axes, field in zip(line, shown.values, strict=True):
        image = style.draw_map(axes, field, lat, lon, scale, land)
    return list(line), image


def _lag(time: np.datetime64, origin: np.datetime64) -> str:
    """Return "same day", "3 days before" …."""
    days = float((time - origin) / np.timedelta64(1, "D"))
    if days == 0:
        return "same day"
    unit = "day" if abs(days) == 1 else "days"
    return f"{abs(days):g} {unit} {'later' if days > 0 else 'before'}"
