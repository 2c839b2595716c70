"""Daily scores with the coverage by observations, and memory of a field over time lags."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline_spde.figures import style
from pipeline_spde.figures.style import Series

COVERAGE_SHARE = 0.3  # of the height of the axes: the tallest coverage bar


def daily_scores(
    series: Mapping[str, Series],
    coverage: Series | None = None,
    variable: str = "score",
    label: str = "score 1 − RMSE/RMS",
) -> Figure:
    """Draw one curve per method of a daily score, over green bars of the observed share of cells.

    Args:
        series: method -> columns `time` (days) and `variable`; None or NaN leaves a gap.
        coverage: columns `time` and `coverage` (observed fraction of the ocean cells, 0 to 1).
        variable: column to draw, e.g. "score" or "rmse".
        label: label of the axis, with its unit.
    """
    with style.context():
        figure = style.new_figure(2.8)
        axes = figure.subplots()
        draw_daily_scores(axes, series, coverage, variable, label)
        _legend_above(axes)
    return figure


def draw_daily_scores(
    axes: Axes,
    series: Mapping[str, Series],
    coverage: Series | None = None,
    variable: str = "score",
    label: str = "score 1 − RMSE/RMS",
    ticks: int = 8,
) -> None:
    """Draw the curves and bars of `daily_scores` on given axes, with at most `ticks` dates."""
    _draw_curves(axes, series, variable)
    axes.set_ylabel(label)
    if coverage is not None:
        _draw_coverage(axes, coverage)
    finish_time_axis(axes, ticks)


def along_track_scores(series: Mapping[str, Series]) -> Figure:
    """Draw daily scores on independent tracks: RMSE, and the number of points behind each day.

    Args:
        series: method -> columns `time`, `rmse` [m] and, if known, `count` (points of the day,
            equal for all methods) and `score`.
    """
    methods = style.in_order(series)
    counts = [name for name in methods if "count" in series[name]]
    with style.context():
        figure = style.new_figure(3.4 if counts else 2.8)
        ratios = [3, 1] if counts else [1]
        lines = figure.subplots(
            len(ratios), sharex=True, squeeze=False, gridspec_kw={"height_ratios": ratios}
        )[:, 0]
        _draw_curves(lines[0], series, "rmse", factor=100)
        lines[0].set_ylabel("RMSE on withheld tracks [cm]")
        lines[0].set_ylim(bottom=0)
        if counts:
            days = style.as_times(series[counts[0]])
            number = style.as_numbers(series[counts[0]]["count"])
            lines[1].bar(days, number, width=0.9, color=style.COVERAGE_COLOUR)
            lines[1].set_ylabel("points\nper day")
        finish_time_axis(lines[-1])
        lines[0].grid(axis="y")
        _legend_above(lines[0])
    return figure


def lag_correlation(curves: Mapping[str, Series]) -> Figure:
    """Draw the correlation of anomalies against the time lag, one curve per field.

    Args:
        curves: name -> columns `lag` [day] and `correlation`, as `autocorrelation` returns them.
    """
    with style.context():
        figure = style.new_figure(2.6, 3.4)
        draw_lag_correlation(figure.subplots(), curves)
    return figure


def draw_lag_correlation(axes: Axes, curves: Mapping[str, Series]) -> None:
    """Draw the curves of `lag_correlation` on given axes."""
    for number, (name, curve) in enumerate(curves.items()):
        colour = style.TRUTH.colour if number == 0 else f"C{number - 1}"
        lag, value = (style.as_numbers(curve[key]) for key in ("lag", "correlation"))
        axes.plot(lag, value, color=colour, label=name.replace("_", " "))
    axes.axhline(np.exp(-1), color="0.6", linestyle=":", linewidth=0.8)
    axes.text(0.99, np.exp(-1) + 0.01, "1/e", transform=axes.get_yaxis_transform(), ha="right")
    axes.set_xlabel("lag [day]")
    axes.set_ylabel("correlation of the anomaly [1]")
    axes.set_ylim(top=1.02)
    axes.set_xlim(left=0)
    axes.grid()
    if len(curves) > 1:
        axes.legend()


def autocorrelation(height: NDArray[np.floating], lags: int) -> dict[str, NDArray[np.float64]]:
    """Return the lag correlation of anomalies from the time mean, pooled over the ocean.

    r(l) = ⟨a(t) a(t+l)⟩ / (⟨a(t)²⟩ ⟨a(t+l)²⟩)^½, means over all days t and cells.

    Args:
        height: daily heights, NaN on land, shape (time, lat, lon).
        lags: largest lag in days; must be shorter than the record.

    Returns:
        {"lag": (lags + 1,), "correlation": (lags + 1,)}.
    """
    days = height.shape[0]
    if not 0 < lags < days:
        raise ValueError(f"lags must lie in 1..{days - 1} for {days} days, got {lags}")
    ocean = np.isfinite(height).all(axis=0)
    cells = np.asarray(height, dtype=np.float64)[:, ocean]
    anomaly = cells - cells.mean(axis=0)
    values = []
    for lag in range(lags + 1):
        first, second = anomaly[: days - lag], anomaly[lag:]
        scale = np.sqrt(np.mean(first**2) * np.mean(second**2))
        values.append(np.mean(first * second) / scale)
    return {"lag": np.arange(lags + 1, dtype=np.float64), "correlation": np.array(values)}


def _draw_curves(
    axes: Axes, series: Mapping[str, Series], variable: str, factor: float = 1.0
) -> None:
    if not series:
        raise ValueError("nothing to draw: no method given")
    for name in style.in_order(series):
        look = style.method_look(name)
        values = factor * style.as_numbers(series[name][variable])
        finite = values[np.isfinite(values)]
        mean = f" (mean {finite.mean():.3g})" if finite.size else " (no value)"
        axes.plot(
            style.as_times(series[name]),
            values,
            color=look.colour,
            linestyle=look.dashes,
            marker="." if values.size < 60 else "",
            markersize=3,
            label=look.label + mean,
            zorder=3,
        )


def _draw_coverage(axes: Axes, coverage: Series) -> None:
    """Draw bars from the bottom on an axis of their own, for the days of the curves only."""
    days = style.as_times(coverage)
    drawn = np.concatenate([line.get_xdata(orig=True) for line in axes.lines])
    kept = (days >= drawn.min()) & (days <= drawn.max())
    if not kept.any():
        raise ValueError(
            f"the coverage holds none of the scored days {drawn.min()} to {drawn.max()}"
        )
    days, share = days[kept], 100 * style.as_numbers(coverage["coverage"])[kept]
    top = max(float(np.nanmax(share)), 1e-3)
    bars = axes.twinx()
    bars.bar(days, share, width=0.8, color=style.COVERAGE_COLOUR)
    bars.set_ylim(0, top / COVERAGE_SHARE)
    bars.set_yticks([0, float(f"{top:.1g}")])
    bars.set_ylabel("observed cells [%]", loc="bottom", color="#3C8D6C")
    bars.tick_params(axis="y", colors="#3C8D6C", length=2)
    low, high = axes.get_ylim()
    axes.set_ylim(low - COVERAGE_SHARE * 1.15 * (high - low) / (1 - COVERAGE_SHARE), high)
    axes.set_zorder(bars.get_zorder() + 1)
    axes.patch.set_visible(False)


def finish_time_axis(axes: Axes, ticks: int = 8) -> None:
    """Label a time axis by days, months and the year, at most `ticks` of them."""
    locator = AutoDateLocator(minticks=min(5, ticks), maxticks=ticks)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.set_xlabel("day")
    axes.grid(axis="y")
    axes.margins(x=0.01)


def _legend_above(axes: Axes) -> None:
    columns = min(len(axes.lines), 4)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns)
