"""Does the deviation that is claimed look like the error that is made, in every task?

Per task two rows of maps, the calibrated posterior standard deviation over the absolute error of
the reconstruction on the same days, and at their right the score of every day over the coverage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pipeline_spde.figures import series, style
from pipeline_spde.figures.members import part_on_day
from pipeline_spde.figures.panels import (
    Panel,
    check_same_axes,
    draw_panel,
    land_of,
    on_day,
    rms_text,
    scales_of,
)
from pipeline_spde.figures.style import Series

MOST_DAYS = 6
STEP = 7  # days between the maps
_WIDE = 0.5  # height of a map over its width below which it needs more room
_DAYS_OF_WIDE_MAPS = 2
_STEPS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)  # degrees

# inches
_LEFT = 0.66  # names of the rows, latitudes
_TOP = 0.27  # dates, name of the first task
_GAP = 0.05  # between maps
_BETWEEN = (0.27, 0.14)  # between tasks, whose series have a title, and without series
_LOWEST = 0.62  # height for a map, however flat: there is text at its side
_BAR = 0.09
_BAR_LABELS = 0.44
_SERIES = 1.12
_SERIES_LABELS = (0.50, 0.38)  # at its left and right
_LONGITUDES = 0.22
_DATES = 0.18  # second line of the dates of the series
_KEYS = 0.19  # a line of the legend
_KEYS_PER_LINE = 6


@dataclass(frozen=True)
class TaskResult:
    """What is known of a method in one task.

    Attributes:
        maps: reconstruction `ssh` (or `sla`, `adt`) in m on (time, lat, lon), NaN on land.
        ensemble: `ssh_std_calibrated` in m on the same axes.
        scores: method -> columns `time` and `score` (1 − RMSE/RMS); empty where there is no truth.
    """

    maps: xr.Dataset
    ensemble: xr.Dataset
    scores: Mapping[str, Series]


def uncertainty_panels(
    tasks: Mapping[str, TaskResult],
    truth: xr.Dataset | None = None,
    coverage: Series | None = None,
    days: Sequence[Any] | None = None,
) -> Figure:
    """Draw deviations over errors on days a week apart, and the daily scores, task below task.

    Both rows of a task share one scale; root mean squares are noted. Without a truth only the
    deviations are drawn.

    Args:
        tasks: task -> what is known of it, in the order of the rows.
        truth: true heights on the axes of the maps.
        coverage: columns `time` and `coverage` (observed fraction of the ocean cells, 0 to 1).
        days: up to six calendar days; `weekly_days` of those all tasks share when omitted.

    Raises:
        ValueError: no task, no day or too many, different axes, or a day that is not there.
    """
    _check_axes(tasks, truth)
    maps = next(iter(tasks.values())).maps
    ratio = style.map_ratio(maps["lat"].values, maps["lon"].values)
    most = _DAYS_OF_WIDE_MAPS if ratio < _WIDE else MOST_DAYS
    shown = weekly_days(shared_days(tasks), most) if days is None else list(days)
    if not 0 < len(shown) <= MOST_DAYS:
        raise ValueError(f"give 1 to {MOST_DAYS} days that all tasks hold, got {len(shown)}")
    keys = [] if truth is None else _keys(tasks, coverage is not None)
    lines, columns = -(-len(keys) // _KEYS_PER_LINE), max(most, len(shown))
    page = _Page(len(tasks), len(shown), columns, ratio, truth is not None, lines)
    with style.context():
        figure = style.new_figure(page.height, page.width)
        figure.set_layout_engine("none")  # everything has its place
        for number, (name, result) in enumerate(tasks.items()):
            rows = task_rows(result, shown, truth)
            _draw_maps(figure, page, number, rows, result.maps, name)
        for axes, day in zip(figure.axes, shown, strict=False):  # the first row
            axes.set_title(style.day_label(day), fontsize=7, pad=3)
        if truth is not None:
            _draw_series(figure, page, tasks, coverage, shown)
            columns = -(-len(keys) // page.key_lines)
            figure.legend(handles=keys, loc="lower center", ncols=columns, handlelength=2.2)
    return figure


def weekly_days(
    days: NDArray[np.datetime64], most: int = MOST_DAYS, step: int = STEP
) -> list[np.datetime64]:
    """Return up to `most` of consecutive days, `step` apart, in the middle of them."""
    count = min(most, 1 + (len(days) - 1) // step) if len(days) else 0
    start = (len(days) - 1 - step * (count - 1)) // 2
    return [days[start + step * number] for number in range(count)]


def shared_days(tasks: Mapping[str, TaskResult]) -> NDArray[np.datetime64]:
    """Return the sorted calendar days that the maps and deviations of all tasks hold."""
    sources = [data for result in tasks.values() for data in (result.maps, result.ensemble)]
    days = [set(data["time"].values.astype("datetime64[D]")) for data in sources]
    return np.array(sorted(set.intersection(*days)), dtype="datetime64[D]")


def task_rows(
    result: TaskResult, days: Sequence[Any], truth: xr.Dataset | None = None
) -> list[list[Panel]]:
    """Return the row of deviations and, with a truth, the row of absolute errors of a task."""
    rows = [[_panel(part_on_day(result.ensemble, "std_calibrated", day)) for day in days]]
    if truth is not None:
        name, actual = style.quantity_of(result.maps), style.quantity_of(truth)
        pairs = ((on_day(result.maps, name, day), on_day(truth, actual, day)) for day in days)
        rows.append([_panel(np.abs(estimate - height)) for estimate, height in pairs])
    return rows


def _panel(field: NDArray[np.float64]) -> Panel:
    """Return the panel, in cm, of a deviation or error in m."""
    return Panel("", 100 * field, "std", rms_text("", field).strip())


def _check_axes(tasks: Mapping[str, TaskResult], truth: xr.Dataset | None) -> None:
    if not tasks:
        raise ValueError("nothing to draw: no task given")
    reference = next(iter(tasks.values())).maps
    others = {} if truth is None else {"truth": truth}
    for name, result in tasks.items():
        others |= {f"{name}, maps": result.maps, f"{name}, ensemble": result.ensemble}
    check_same_axes(reference, others)


@dataclass(frozen=True)
class _Page:
    """Where everything stands, in inches from the upper left corner.

    Attributes:
        tasks: number of tasks.
        days: columns of maps; a short period leaves its room to the series.
        most: columns that there is room for.
        ratio: height of a map over its width.
        with_series: scores, and a second row of maps, are drawn.
        key_lines: lines of the legend.
    """

    tasks: int
    days: int
    most: int
    ratio: float
    with_series: bool
    key_lines: int

    @property
    def side(self) -> float:
        """Width of a map."""
        series = _SERIES + sum(_SERIES_LABELS) if self.with_series else 0.0
        room = style.PAGE_WIDTH - _LEFT - _BAR - _BAR_LABELS - series
        return room / self.most - _GAP

    @property
    def cell(self) -> tuple[float, float]:
        """Width and height of the place of a map."""
        return self.side, max(self.side * self.ratio, _LOWEST)

    @property
    def rows(self) -> int:
        """Rows of maps of a task."""
        return 2 if self.with_series else 1

    @property
    def block(self) -> float:
        """Height of the maps of a task."""
        return self.rows * (self.cell[1] + _GAP) - _GAP

    @property
    def bar(self) -> float:
        """Left edge of the colour bars."""
        return _LEFT + self.days * (self.side + _GAP)

    @property
    def width(self) -> float:
        """Width of the page."""
        return style.PAGE_WIDTH if self.with_series else self.bar + _BAR + _BAR_LABELS

    @property
    def height(self) -> float:
        """Height of the page."""
        return _TOP + self.top(self.tasks - 1) + self.block + self.foot

    @property
    def foot(self) -> float:
        """Height below the lowest maps."""
        return _LONGITUDES + (_DATES + _KEYS * self.key_lines if self.with_series else 0.0)

    def top(self, task: int) -> float:
        """Return the upper edge of a task's maps below that of the first task."""
        return task * (self.block + _BETWEEN[not self.with_series])

    def add(self, figure: Figure, task: int, x: float, y: float, size: tuple[float, float]) -> Axes:
        """Add axes of some width and height, y below the upper edge of a task's maps."""
        width, height = size
        below = _TOP + self.top(task) + y + height
        left, bottom = x / self.width, 1 - below / self.height
        return figure.add_axes((left, bottom, width / self.width, height / self.height))


def _draw_maps(
    figure: Figure,
    page: _Page,
    number: int,
    rows: Sequence[Sequence[Panel]],
    maps: xr.Dataset,
    task: str,
) -> None:
    """Draw the rows of a task with one scale and one colour bar."""
    lat, lon, land = maps["lat"].values, maps["lon"].values, land_of([maps])
    scale = scales_of(rows)["std"]
    for line, (row, label) in enumerate(zip(rows, ("std", "|error|"), strict=False)):
        lowest = number == page.tasks - 1 and line == page.rows - 1
        for column, panel in enumerate(row):
            x, y = _LEFT + column * (page.side + _GAP), line * (page.cell[1] + _GAP)
            axes = page.add(figure, number, x, y, page.cell)
            image = draw_panel(axes, panel, lat, lon, scale, land).image
            axes.set_xticks([_middle(lon)])
            axes.tick_params(bottom=lowest, labelbottom=lowest)
            axes.tick_params(left=column == 0, labelleft=column == 0)
            if column == 0:
                axes.set_ylabel(f"{task}\n{label}")
    bar = page.add(figure, number, page.bar, 0.0, (_BAR, page.block))
    meaning = "std, |error| [cm]" if page.with_series else "std [cm]"
    figure.colorbar(image, cax=bar, label=meaning, extend="max", extendfrac=0.04)
    bar.tick_params(length=2, pad=1.5)
    bar.yaxis.set_major_locator(_few())


def _draw_series(
    figure: Figure,
    page: _Page,
    tasks: Mapping[str, TaskResult],
    coverage: Series | None,
    days: Sequence[Any],
) -> None:
    """Draw the daily scores of every task; dotted lines mark the days of the maps."""
    x = page.bar + _BAR + _BAR_LABELS + _SERIES_LABELS[0]
    size = (page.width - x - _SERIES_LABELS[1], page.block)
    for number, (name, result) in enumerate(tasks.items()):
        axes = page.add(figure, number, x, 0.0, size)
        series.draw_daily_scores(
            axes, result.scores, coverage, label="1 − RMSE/RMS [1]", ticks=round(3.5 * size[0])
        )
        for day in days:
            date = float(date2num(np.datetime64(day, "D")))
            axes.axvline(date, color="0.6", linewidth=0.5, linestyle=":", zorder=1)
        axes.set_title(name, pad=3)
        axes.yaxis.set_label_coords(-(_SERIES_LABELS[0] - 0.1) / size[0], 0.5)
        axes.yaxis.set_major_locator(_few())
        axes.set_xlabel("")
        axes.tick_params(labelbottom=number == page.tasks - 1, length=2, pad=1.5)
        axes.xaxis.get_offset_text().set_visible(number == page.tasks - 1)


def _few() -> MaxNLocator:
    """Return the locator of up to five ticks with short numbers."""
    return MaxNLocator(5, steps=[1, 2, 5, 10])


def _middle(lon: NDArray) -> float:
    """Return a round longitude near the middle: the one label for which a map has room."""
    step = max((s for s in _STEPS if s <= (lon[-1] - lon[0]) / 4), default=_STEPS[0])
    return float(step * np.round((lon[0] + lon[-1]) / 2 / step))


def _keys(tasks: Mapping[str, TaskResult], with_coverage: bool) -> list[Line2D | Patch]:
    """Return the entries of the legend: the methods of all tasks, and the bars."""
    looks = [
        style.method_look(name)
        for name in style.in_order({name for result in tasks.values() for name in result.scores})
    ]
    keys: list[Line2D | Patch] = [
        Line2D([], [], color=look.colour, linestyle=look.dashes, label=look.label) for look in looks
    ]
    if with_coverage:
        keys.append(Patch(color=style.COVERAGE_COLOUR, label="observed cells"))
    return keys
