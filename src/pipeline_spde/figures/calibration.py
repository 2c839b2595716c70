"""Is the uncertainty of the maps honest? Ranks, spread and error, intervals, scales, days.

Every figure reads score files (docs/scores.md): method -> content with "probabilistic" and "daily".
Methods without a spread are left out. A colour is a method; solid lines are the version whose
scores tables quote, dashed lines the raw one where there is a calibrated one beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from pipeline_spde.figures import series, style

Scores = Mapping[str, Mapping[str, Any]]

LEVELS = (50, 80, 90, 95)  # % of the central intervals
GROUPS = 20  # bars of a rank histogram at most
RAW, CALIBRATED = "raw", "calibrated"
_FLAT = "0.5"  # colour of what a perfect spread would give


def calibration(scores: Scores) -> Figure:
    """Draw all panels of this module on one page, for all methods with a spread.

    Args:
        scores: method -> content of its score file.

    Raises:
        ValueError: no method has a spread.
    """
    kept = _with_spread(scores)
    with style.context():
        figure = style.new_figure(9.0)
        bands = np.asarray(figure.subfigures(4, 1, height_ratios=[2.0, 2.5, 2.5, 2.0]))
        _draw_rank_histograms(bands[0], kept)
        binned, intervals = bands[1].subplots(1, 2)
        draw_binned(binned, kept)
        draw_intervals(intervals, kept)
        spectral, retained = bands[2].subplots(1, 2)
        draw_spectral(spectral, kept)
        draw_retained(retained, kept)
        _draw_daily(bands[3], kept)
        _legend(figure, kept)
    return figure


def rank_histograms(scores: Scores) -> Figure:
    """Draw how often the truth has each rank among the members: flat for an honest spread.

    A panel per method: bars of the quoted version, a dashed line for the raw one; the grey band
    holds 95 % of the bars of a flat histogram of as many independent points.
    """
    return _panels(scores, _draw_rank_histograms, 2.3)


def daily_spread(scores: Scores) -> Figure:
    """Draw the spread of each day beside the RMSE of that day; a panel per method."""
    return _panels(scores, _draw_daily, 2.3)


def binned_spread_skill(scores: Scores) -> Figure:
    """Draw the RMSE of points with equal spread against that spread, and its straight line."""
    return _single(scores, draw_binned)


def interval_reliability(scores: Scores) -> Figure:
    """Draw how many more or fewer truths than claimed fall into central intervals."""
    return _single(scores, draw_intervals)


def spectral_spread_skill(scores: Scores) -> Figure:
    """Draw spread over error at each wavelength: 1 where the spread has the right scales."""
    return _single(scores, draw_spectral)


def retained_rmse(scores: Scores) -> Figure:
    """Draw the RMSE of the most confident part of the points; dotted: chosen by the error."""
    return _single(scores, draw_retained)


def draw_binned(axes: Axes, scores: Scores) -> None:
    """Draw `binned_spread_skill` on given axes; a spread that never changes is one diamond."""
    top = 0.0
    for name, version, line in _lines(scores):
        found = scores[name]["probabilistic"]
        curve, label = found["binned"][version], style.method_look(name).label
        if "spread" in curve:
            spread, rmse = (100 * style.as_numbers(curve[key]) for key in ("spread", "rmse"))
            axes.plot(spread, rmse, marker="o", markersize=2.5, **line | {"linewidth": 0.8})
            label = f"{label}: slope {curve['slope']['value']:.2f}"
        else:
            spread, rmse = (
                100 * style.as_numbers([found[version][key]["value"]]) for key in ("spread", "rmse")
            )
            axes.plot(spread, rmse, marker="D", markersize=4, **line)
            label = f"{label}: the same everywhere"
        if line["linestyle"] == "-":
            axes.plot([], [], color=line["color"], label=label)
        top = max(top, float(np.nanmax(spread)), float(np.nanmax(rmse)))
    axes.plot([0, 1.05 * top], [0, 1.05 * top], color=_FLAT, linewidth=0.8, zorder=1)
    axes.set_title("error where the spread is equal")
    axes.set_xlim(0, top * 1.05)
    axes.set_ylim(0, top * 1.05)
    axes.set_xlabel("spread [cm]")
    axes.set_ylabel("RMSE [cm]")
    axes.grid()
    axes.legend(loc="upper left", handlelength=1.2)


def draw_intervals(axes: Axes, scores: Scores) -> None:
    """Draw `interval_reliability` on given axes, with the bounds left by chance."""
    axes.axhline(0, color=_FLAT, linewidth=0.8, zorder=1)
    lines = list(_lines(scores))
    for number, (name, version, line) in enumerate(lines):
        found = scores[name]["probabilistic"][version]
        known = [k for k in LEVELS if found[f"coverage_{k}"]["value"] is not None]
        if not known:
            continue
        held = [found[f"coverage_{level}"] for level in known]
        low, value, high = (
            100 * style.as_numbers(column) - np.array(known)
            for column in (
                [score["interval"][0] for score in held],
                [score["value"] for score in held],
                [score["interval"][1] for score in held],
            )
        )
        shift = 0.09 * (number - (len(lines) - 1) / 2)  # bars stay apart
        place = np.array([LEVELS.index(level) for level in known]) + shift
        axes.plot(place, value, marker="o", markersize=3, **line)
        axes.vlines(place, low, high, color=line["color"], linewidth=0.8, alpha=0.7)
    reach = max(5.0, *(abs(bound) for bound in axes.get_ylim()))
    axes.set_ylim(-reach, reach)
    axes.set_title("truths inside central intervals")
    axes.set_xticks(range(len(LEVELS)), [str(level) for level in LEVELS])
    axes.set_xlabel("nominal probability of the interval [%]")
    axes.set_ylabel("observed − nominal [%]")
    axes.grid(axis="y")


def draw_spectral(axes: Axes, scores: Scores) -> None:
    """Draw `spectral_spread_skill` on given axes."""
    axes.axhline(1.0, color=_FLAT, linewidth=0.8, zorder=1)
    drawn = False
    for name, version, line in _lines(scores):
        curve = scores[name]["probabilistic"]["spectral"][version]
        if "wavenumber" not in curve:
            continue
        drawn = True
        length = 1 / style.as_numbers(curve["wavenumber"])
        axes.plot(length, style.as_numbers(curve["spread_skill"]), **line)
        if line["linestyle"] == "-":
            low, high = (style.as_numbers(curve[key]) for key in ("low", "high"))
            axes.fill_between(length, low, high, color=line["color"], alpha=0.15, linewidth=0)
    if not drawn:
        axes.text(
            0.5, 0.6, "no method with members on\ncells without holes", ha="center",
            transform=axes.transAxes,
        )  # fmt: skip
        axes.set_xticks([])
    else:
        _wavelength_axis(axes)
    axes.set_ylim(0, max(2.0, min(3.0, axes.get_ylim()[1])))
    axes.set_title("spread by scale")
    axes.set_xlabel("wavelength [km]")
    axes.set_ylabel("spread / error at this scale [1]")
    axes.grid()


def draw_retained(axes: Axes, scores: Scores) -> None:
    """Draw `retained_rmse` on given axes."""
    for name, version, line in _lines(scores):
        curve = scores[name]["probabilistic"]["retain"][version]
        share = 100 * style.as_numbers(curve["share"])
        axes.plot(share, 100 * style.as_numbers(curve["rmse"]), **line)
        if line["linestyle"] == "-":
            best = 100 * style.as_numbers(curve["best"])
            axes.plot(share, best, color=line["color"], linestyle=":", linewidth=1.0)
    axes.set_title("most confident points (dotted: chosen by the error itself)")
    axes.set_xlabel("points kept, smallest spread first [%]")
    axes.set_ylabel("their RMSE [cm]")
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    axes.grid()


def _draw_rank_histograms(figure: Figure | SubFigure, scores: Scores) -> None:
    panels = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, scores, strict=True):
        histograms = scores[name]["probabilistic"]["rank_histogram"]
        quoted = histograms[_quoted(histograms)]
        frequency = _relative_frequency(quoted["counts"])
        half = 1.96 * np.sqrt((frequency.size - 1) / quoted["independent_points"])
        axes.axhspan(max(1 - half, 0), 1 + half, color="0.9", zorder=0)
        axes.axhline(1.0, color=_FLAT, linewidth=0.8, zorder=1)
        colour = style.method_look(name).colour
        axes.stairs(frequency, _edges(frequency), color=colour, fill=True, alpha=0.35, zorder=2)
        axes.stairs(frequency, _edges(frequency), color=colour, linewidth=1.2, zorder=3)
        if CALIBRATED in histograms:
            raw = _relative_frequency(histograms[RAW]["counts"])
            axes.stairs(raw, _edges(raw), color=colour, linestyle="--", linewidth=1.0, zorder=3)
        axes.set_title(f"{style.method_look(name).label}{_flatness(quoted)}")
        axes.set_xlabel("rank / members" if quoted["of"] == "ranks" else "PIT")
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    panels[0].set_ylim(0, 1.05 * max(1.5, *(axes.get_ylim()[1] for axes in panels)))
    panels[0].set_ylabel("frequency (flat: 1)")


def _flatness(histogram: Mapping[str, Any]) -> str:
    p_value = histogram["chi_square"]["p_value"]
    if p_value is None:
        return ""
    return "\nflatness: p < 0.001" if p_value < 1e-3 else f"\nflatness: p = {p_value:.2g}"


def _relative_frequency(counts: list[int]) -> NDArray[np.float64]:
    """Return frequencies of neighbouring ranks joined to at most `GROUPS`, 1 where flat."""
    number = np.array(counts, dtype=np.float64)
    groups = min(GROUPS, number.size)
    group = np.arange(number.size) * groups // number.size
    joined = np.bincount(group, number) / np.bincount(group)
    return np.asarray(joined / number.sum() * number.size)


def _edges(frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.linspace(0.0, 1.0, frequency.size + 1)


def _draw_daily(figure: Figure | SubFigure, scores: Scores) -> None:
    panels = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, scores, strict=True):
        daily, colour = scores[name]["daily"], style.method_look(name).colour
        days = style.as_times(daily)
        axes.plot(days, 100 * style.as_numbers(daily["rmse"]), color=style.TRUTH.colour)
        calibrated = "spread_calibrated" in daily
        raw_line = "--" if calibrated else "-"
        axes.plot(days, 100 * style.as_numbers(daily["spread"]), color=colour, linestyle=raw_line)
        if calibrated:
            axes.plot(days, 100 * style.as_numbers(daily["spread_calibrated"]), color=colour)
        correlation = scores[name]["daily_spread_error_correlation"]["value"]
        note = "spread constant" if correlation is None else f"r = {correlation:.2f}"
        axes.set_title(f"{style.method_look(name).label}\n{note}")
        series.finish_time_axis(axes, max(2, 8 // len(scores)))
        axes.set_xlabel("")
    panels[0].set_ylim(0, 1.05 * panels[0].get_ylim()[1])
    panels[0].set_ylabel("spread (black: RMSE) [cm]")


def _panels(
    scores: Scores, draw: Callable[[Figure | SubFigure, Scores], None], height: float
) -> Figure:
    kept = _with_spread(scores)
    with style.context():
        figure = style.new_figure(height)
        draw(figure, kept)
        _legend(figure, kept)
    return figure


def _single(scores: Scores, draw: Callable[[Axes, Scores], None]) -> Figure:
    kept = _with_spread(scores)
    with style.context():
        figure = style.new_figure(3.1, 4.2)
        draw(figure.subplots(), kept)
        _legend(figure, kept)
    return figure


def _with_spread(scores: Scores) -> dict[str, Mapping[str, Any]]:
    """Return the methods that have a spread, in the order of all figures."""
    kept = [
        name
        for name in style.in_order(scores)
        if scores[name]["probabilistic"]["kind"] != "deterministic"
    ]
    if not kept:
        raise ValueError(f"nothing to draw: none of {list(scores)} has a spread")
    return {name: scores[name] for name in kept}


def _quoted(versions: Mapping[str, Any]) -> str:
    return CALIBRATED if versions.get(CALIBRATED) else RAW


def _lines(scores: Scores) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, version and the style of its line; the quoted version last, on top."""
    for name in scores:
        quoted = _quoted(scores[name]["probabilistic"])
        colour = style.method_look(name).colour
        if quoted == CALIBRATED:
            yield name, RAW, {"color": colour, "linestyle": "--", "linewidth": 1.0, "zorder": 2}
        yield name, quoted, {"color": colour, "linestyle": "-", "linewidth": 1.4, "zorder": 3}


def _legend(figure: Figure, scores: Scores) -> None:
    """Name the colours and, where both are drawn, the raw and the calibrated version."""
    looks = [style.method_look(name) for name in scores]
    handles = [Line2D([], [], color=look.colour, label=look.label) for look in looks]
    if any(_quoted(content["probabilistic"]) == CALIBRATED for content in scores.values()):
        handles += [
            Line2D([], [], color=_FLAT, label="calibrated (or as given)"),
            Line2D([], [], color=_FLAT, linestyle="--", linewidth=1.0, label="raw"),
        ]
    columns = min(len(handles), 6 if figure.get_figwidth() > 5 else 3)
    figure.legend(handles=handles, loc="outside upper center", ncols=columns)


def _wavelength_axis(axes: Axes) -> None:
    """Make the horizontal axis logarithmic, long waves at the left."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda length, _: f"{length:g}"))
    axes.invert_xaxis()
