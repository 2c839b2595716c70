"""RMSE, the RMSE score µ, its daily series S(t) and its stability σ (challenge 2020a).

With e = estimate − truth and r = truth, all means unweighted over the valid cells:

    S(t) = 1 − √⟨e²⟩_xy / √⟨r²⟩_xy      µ = 1 − √⟨e²⟩_xyt / √⟨r²⟩_xyt      σ = std_t S(t), ddof 0

µ is one pooled number, not the mean of S(t). The denominator is the RMS of the full height, its
spatial mean included.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline_spde.scores.statistic import Array, DailySums, Metric, Sample, Statistic

SQUARED_ERROR = Statistic("squared_error", lambda s: (s.estimate - s.truth) ** 2)
SQUARED_TRUTH = Statistic("squared_truth", lambda s: s.truth**2)


def _score(means: Mapping[str, Array]) -> Array:
    return 1.0 - np.sqrt(means["squared_error"]) / np.sqrt(means["squared_truth"])


def _rmse(means: Mapping[str, Array]) -> Array:
    return np.asarray(np.sqrt(means["squared_error"]))


RMSE = Metric("rmse", "m", (SQUARED_ERROR,), _rmse)
MU = Metric("mu", "1", (SQUARED_ERROR, SQUARED_TRUTH), _score)
SIGMA = Metric("sigma", "1", (SQUARED_ERROR, SQUARED_TRUTH), _score, "daily deviation")


def rmse(*, truth: ArrayLike, estimate: ArrayLike, where: NDArray[np.bool_] | None = None) -> float:
    """Return √⟨(estimate − truth)²⟩ in the unit of the heights.

    Args:
        truth: shape (time, …).
        estimate: same shape.
        where: cells that count, same shape; default: both are finite.

    Raises:
        ValueError: shapes differ, or no cell counts.
    """
    return _pooled(RMSE, truth, estimate, where)


def rmse_score(
    *, truth: ArrayLike, estimate: ArrayLike, where: NDArray[np.bool_] | None = None
) -> float:
    """Return µ = 1 − RMSE / RMS(truth), pooled over days and cells; arguments as in `rmse`."""
    return _pooled(MU, truth, estimate, where)


def daily_score(
    *, truth: ArrayLike, estimate: ArrayLike, where: NDArray[np.bool_] | None = None
) -> Array:
    """Return S(t) of each day, shape (time,); arguments as in `rmse`.

    Raises:
        ValueError: shapes differ, or a day has no cell that counts or a truth of zero.
    """
    values, defined = MU.daily(_sums(MU, truth, estimate, where))
    if not defined.all():
        raise ValueError(
            f"days {np.flatnonzero(~defined).tolist()} have no valid cell or a truth of zero; "
            "leave them out"
        )
    return values


def stability(
    *, truth: ArrayLike, estimate: ArrayLike, where: NDArray[np.bool_] | None = None
) -> float:
    """Return σ, the standard deviation (ddof 0) of `daily_score`; arguments as in `rmse`."""
    return _pooled(SIGMA, truth, estimate, where)


def _sums(
    metric: Metric, truth: ArrayLike, estimate: ArrayLike, where: NDArray[np.bool_] | None
) -> DailySums:
    arrays = (np.asarray(a, dtype=np.float64) for a in (truth, estimate))
    sample = Sample.of(truth=next(arrays), estimate=next(arrays), where=where)
    days = np.datetime64("1970-01-01", "D") + np.arange(sample.valid.shape[0])
    return DailySums.of_maps(sample, days, metric.statistics)


def _pooled(
    metric: Metric, truth: ArrayLike, estimate: ArrayLike, where: NDArray[np.bool_] | None
) -> float:
    value = float(metric.value(_sums(metric, truth, estimate, where)))
    if not np.isfinite(value):
        raise ValueError(f"{metric.name} is not defined: no valid cell, or a truth of zero")
    return value
