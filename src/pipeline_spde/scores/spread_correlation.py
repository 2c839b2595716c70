"""Does the spread tell where and when the errors are large?

error_spread_correlation               |error| with spread, Spearman's, all points and days
error_spread_correlation_within_days   the same within each day, mean over the days: is the spread
                                       in the right places?
daily_spread_error_correlation         daily RMSE with daily spread, Pearson's: on the right days?
"""

from __future__ import annotations

from operator import itemgetter

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from pipeline_spde.scores.bootstrap import Resampling, score_with_interval
from pipeline_spde.scores.probabilistic import Verification
from pipeline_spde.scores.statistic import (
    Array,
    DailySums,
    Metric,
    Score,
    correlation_of_means,
)

CONSTANT = "the spread or the error is the same everywhere"
_LEAST_DAYS = 3  # for a correlation over days
CORRELATIONS = (
    "error_spread_correlation",
    "error_spread_correlation_within_days",
    "daily_spread_error_correlation",
)


def correlations(found: Verification, resampling: Resampling) -> dict[str, Score]:
    """Return how well the spread tells large errors from small ones, in place and in time.

    The ranks of the resampled points are those of the whole period.
    """
    spread, size = found.points["spread"], np.abs(found.points["error"])
    row = found.points["row"]
    used = np.flatnonzero(found.count)
    means = found.daily_sums.daily_means()
    daily = [np.sqrt(means[name][used]) for name in ("variance", "squared_error")]
    if constant(spread) or constant(size):
        return dict.fromkeys(CORRELATIONS, Score(None, "1", CONSTANT))
    return {
        "error_spread_correlation": _correlation(
            found, row, _centred_ranks(spread), _centred_ranks(size), resampling
        ),
        "error_spread_correlation_within_days": _mean_over_days(
            found, used, [_rank_correlation(*_of_day(found, int(day))) for day in used], resampling
        ),
        "daily_spread_error_correlation": (
            _correlation(found, used, _centred(daily[0]), _centred(daily[1]), resampling)
            if used.size >= _LEAST_DAYS
            else Score(None, "1", f"{used.size} days are too few for a correlation")
        ),
    }


def _of_day(found: Verification, day: int) -> tuple[Array, Array]:
    """Return spread and |error| of the points of a day, which lie together."""
    low, high = np.searchsorted(found.points["row"], [day, day + 1])
    return found.points["spread"][low:high], np.abs(found.points["error"][low:high])


def constant(values: Array) -> bool:
    """Return whether values differ by no more than rounding does."""
    return bool(np.ptp(values) <= 1e-5 * np.abs(values).max())


def _centred(values: Array) -> Array:
    """Return deviations from the mean; zeros where values differ by rounding only."""
    return np.zeros(values.shape) if constant(values) else values - values.mean()


def _centred_ranks(values: Array) -> Array:
    """Return ranks scaled to −½ … ½: sums of them lose no digits."""
    return np.asarray((rankdata(values) - 0.5) / values.size - 0.5)


def _rank_correlation(x: Array, y: Array) -> float:
    """Return Spearman's correlation; NaN where one of the two is constant."""
    if constant(x) or constant(y):
        return float("nan")
    x, y = _centred_ranks(x), _centred_ranks(y)
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def _correlation(
    found: Verification, row: NDArray, x: Array, y: Array, resampling: Resampling
) -> Score:
    """Return the correlation of pairs that belong to the days `row`."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return Score(None, "1", CONSTANT)
    size = found.days.size
    products = {"x": x, "y": y, "xx": x**2, "yy": y**2, "xy": x * y}
    sums = {name: _by_day(row, values, size) for name, values in products.items()}
    pairs = DailySums(found.days, _by_day(row, np.ones(row.size), size), sums)
    metric = Metric(
        "correlation", "1", (), lambda means: correlation_of_means(*(means[k] for k in products))
    )
    return score_with_interval(metric, pairs, resampling)


def _by_day(row: NDArray, values: Array, days: int) -> Array:
    """Return the sums of values that belong to the days `row`, shape (days,)."""
    return np.asarray(np.bincount(row, values, days), dtype=np.float64)


def _mean_over_days(
    found: Verification, row: NDArray, of_day: list[float], resampling: Resampling
) -> Score:
    """Return the mean of one value of each of the days `row`; those not defined are left out."""
    series = np.array(of_day)
    known = np.isfinite(series)
    if not known.any():
        return Score(None, "1", CONSTANT)
    count, total = (
        _by_day(row[known], values, found.days.size)
        for values in (np.ones(row[known].size), series[known])
    )
    sums = DailySums(found.days, count, {"mean": total})
    return score_with_interval(Metric("mean", "1", (), itemgetter("mean")), sums, resampling)
