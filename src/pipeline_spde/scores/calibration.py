"""Is the claimed uncertainty right, and where? What the points of a verification tell.

rank histogram    how often the truth has each rank among the members (Gaussian: 20 bins of the
                  PIT); flat when truth and members are draws of one distribution
reliability index Σ|f_i − 1/bins|
χ²                of flatness, on one point per 1° × 1° × 10 days: points closer than that are no
                  independent evidence, and any large histogram would be "significantly" not flat
binned            RMSE of 20 equally populated bins of spread, with a straight line: a global
                  ratio of 1 can hide a spread that says nothing about where the errors are
retain            RMSE of the q % of points with the smallest spread; `best` sorts by the error
                  itself, which no spread can beat
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from pipeline_spde.scores.bootstrap import Resampling
from pipeline_spde.scores.probabilistic import Verification
from pipeline_spde.scores.spread_correlation import CONSTANT, constant
from pipeline_spde.scores.statistic import Array, Score, finite_or_none

SPREAD_BINS = 20
DECORRELATION_DEGREES = 1.0
DECORRELATION_DAYS = 10
_POINTS_PER_BIN = 5  # expected, for χ² and the smallest bins of spread
_GROUPS = 20  # of neighbouring ranks in the χ² test
RETAINED = tuple(round(0.05 * step, 2) for step in range(1, 21))


def rank_histogram(found: Verification) -> dict[str, Any]:
    """Return counts of the ranks, their reliability index, and the χ² test of flatness.

    `reliability_index_if_flat` is what the independent points alone would give on average by
    chance; the index of all points is less noisy, so that it should stay below.
    """
    rank = found.points["rank"]
    counts = np.bincount(rank, minlength=found.ranks)
    flat = 1.0 / found.ranks
    independent = decimated(found)
    noise = np.sqrt(2.0 * flat * (1.0 - flat) / (np.pi * independent.size))
    return {
        "counts": counts.tolist(),
        "independent_points": int(independent.size),
        "reliability_index": float(np.abs(counts / rank.size - flat).sum()),
        "reliability_index_if_flat": float(found.ranks * noise),
        "chi_square": _chi_square(rank[independent], found.ranks),
    }


def decimated(found: Verification) -> NDArray[np.intp]:
    """Return the index of one point in each box of 1° × 1° × 10 days, the first one there."""
    points = found.points
    boxes = [
        # a little more: cells on the edge of a box are all counted to the same side
        ((points[name] - points[name].min() + 1e-3) // DECORRELATION_DEGREES).astype(np.int64)
        for name in ("lat", "lon")
    ]
    boxes.append(points["row"].astype(np.int64) // DECORRELATION_DAYS)
    key = np.ravel_multi_index(boxes, [int(box.max()) + 1 for box in boxes])
    return np.unique(key, return_index=True)[1]


def _chi_square(rank: NDArray[np.int32], ranks: int) -> dict[str, Any]:
    """Return the test of flatness; neighbouring ranks are joined until each group has points."""
    groups = min(ranks, _GROUPS, rank.size // _POINTS_PER_BIN)
    if groups < 2:
        return {"p_value": None, "reason": f"{rank.size} independent points are too few"}
    group = np.arange(ranks) * groups // ranks
    expected = np.bincount(group) / ranks * rank.size
    statistic = float(
        ((np.bincount(group[rank], minlength=groups) - expected) ** 2 / expected).sum()
    )
    return {
        "p_value": float(chdtrc(groups - 1, statistic)),
        "statistic": statistic,
        "degrees_of_freedom": groups - 1,
        "groups": groups,
    }


def binned(found: Verification, resampling: Resampling) -> dict[str, Any]:
    """Return spread and RMSE (m) of bins of spread, and the line RMSE = slope·spread + intercept.

    The bins hold equal numbers of points. The edges stay the same in all bootstrap draws.
    """
    spread, error, row = (found.points[name] for name in ("spread", "error", "row"))
    bins = min(SPREAD_BINS, spread.size // _POINTS_PER_BIN)
    if bins < 2 or constant(spread):
        reason = CONSTANT if bins >= 2 else f"{spread.size} points are too few"
        return {
            "slope": Score(None, "1", reason).to_json(),
            "intercept": Score(None, "m", reason).to_json(),
        }
    index = np.empty(spread.size, np.int64)
    index[np.argsort(spread, kind="stable")] = np.arange(spread.size) * bins // spread.size
    days = found.days.size
    count, variance, square = (
        np.bincount(row * bins + index, values, minlength=days * bins).reshape(days, bins)
        for values in (None, spread.astype(np.float64) ** 2, error.astype(np.float64) ** 2)
    )

    def curve(weights: Array) -> tuple[Array, Array]:
        with np.errstate(invalid="ignore", divide="ignore"):
            total = weights @ count
            return np.sqrt((weights @ variance) / total), np.sqrt((weights @ square) / total)

    x, y = curve(np.ones(days))
    line = {
        "slope": _over_days(lambda w: _line(*curve(w))[0], "1", days, resampling),
        "intercept": _over_days(lambda w: _line(*curve(w))[1], "m", days, resampling),
    }
    return {
        "spread": x.tolist(),
        "rmse": y.tolist(),
        "count": np.bincount(index).tolist(),
        **{name: score.to_json() for name, score in line.items()},
    }


def _line(x: Array, y: Array) -> tuple[Array, Array]:
    """Return slope and intercept of least squares along the last axis; empty bins are left out."""
    known = np.isfinite(x) & np.isfinite(y)
    number = known.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = (np.where(known, a, 0.0).sum(axis=-1) / number for a in (x, y))
        dx = np.where(known, x - mean_x[..., None], 0.0)
        dy = np.where(known, y - mean_y[..., None], 0.0)
        slope = (dx * dy).sum(axis=-1) / (dx**2).sum(axis=-1)
    return slope, mean_y - slope * mean_x


def _over_days(
    function: Callable[[Array], Array], unit: str, days: int, resampling: Resampling
) -> Score:
    """Return a score that is a function of day weights, with its interval."""
    value = finite_or_none(float(function(np.ones(days))))
    if value is None:
        return Score(None, unit, "not defined")
    draws = resampling.over_days(days)
    return Score(value, unit, interval=draws.interval(function), interval_method=draws.method)


def retained(found: Verification) -> dict[str, list[float]]:
    """Return the RMSE (m) of the shares of points that have the smallest spread.

    A spread that is the same everywhere picks no points: its curve is the RMSE of all.
    """
    spread = found.points["spread"]
    square = found.points["error"].astype(np.float64) ** 2
    number = np.maximum(np.rint(np.array(RETAINED) * square.size).astype(np.int64), 1)

    def curve(order: NDArray[np.intp]) -> list[float]:
        return np.sqrt(np.cumsum(square[order])[number - 1] / number).tolist()

    by_spread = curve(np.argsort(spread, kind="stable"))
    return {
        "share": list(RETAINED),
        "rmse": by_spread[-1:] * number.size if constant(spread) else by_spread,
        "best": curve(np.argsort(square, kind="stable")),
    }
