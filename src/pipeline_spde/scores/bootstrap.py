"""Moving-block bootstrap: confidence intervals of scores of correlated days or latitude rows.

Blocks of consecutive elements are drawn with replacement until the series is as long as before
(Künsch 1989, Ann. Statist. 17, 1217). Draws are kept as weights, how often each element counts, so
that any score that is a function of sums over elements is resampled by one matrix product. The
same seed gives the same draws: scores of different methods are then paired.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from pipeline_spde.scores.statistic import Array, Bounds, DailySums, Metric, Score


@dataclass(frozen=True)
class Resampling:
    """How intervals are made.

    Attributes:
        draws: number of bootstrap draws.
        block_days: length of the blocks of days.
        confidence: coverage of the intervals.
        seed: seed of the draws.
    """

    draws: int
    block_days: int
    confidence: float
    seed: int

    def __post_init__(self) -> None:
        if self.draws < 1 or self.block_days < 1:
            raise ValueError(
                f"draws and block_days must be 1 or more, got {self.draws}, {self.block_days}"
            )
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must lie between 0 and 1, got {self.confidence}")

    def over_days(self, days: int) -> Draws:
        """Return the draws of blocks of days."""
        return self._draws(days, self.block_days, "days", stream=0)

    def over_rows(self, rows: int, block: int) -> Draws:
        """Return the draws of blocks of latitude rows."""
        return self._draws(rows, block, "latitude rows", stream=1)

    def _draws(self, size: int, block: int, elements: str, stream: int) -> Draws:
        what = f"blocks of {block} {elements}"
        if size < 2 * block:
            method = f"none: {size} {elements} are fewer than two {what}"
            return Draws(None, 0.0, self.confidence, method)
        rng = np.random.default_rng([self.seed, stream])
        weights = moving_block_weights(size, block, self.draws, rng)
        method = (
            f"moving-block bootstrap, {what}, {self.draws} draws, {100 * self.confidence:.4g} %"
        )
        return Draws(weights, size / block, self.confidence, method)


@dataclass(frozen=True, eq=False)
class Draws:
    """Bootstrap draws of the elements (days, rows) of one period or box.

    Attributes:
        weights: how often each element counts, shape (draws, elements); None: too few elements
            for two blocks.
        blocks: number of blocks that fill the series.
        confidence: coverage of the intervals.
        method: how intervals are made, or why there are none.
    """

    weights: Array | None
    blocks: float
    confidence: float
    method: str

    def interval(self, score: Callable[[Array], Array]) -> Bounds:
        """Return the interval of a score that is a function of weights (draws, elements)."""
        if self.weights is None:
            return (None, None)
        return self.bounds(score(self.weights))

    def bounds(self, samples: Array) -> Bounds:
        """Return the interval of samples, one of each draw."""
        return percentile_interval(samples, self.confidence, self.blocks)


def moving_block_weights(
    size: int, block: int, draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return how often each of `size` elements counts in each draw, shape (draws, size).

    Args:
        size: number of elements of the series.
        block: length of the blocks, at most `size`.
        draws: number of draws.
        rng: source of randomness.

    Raises:
        ValueError: the block is longer than the series.
    """
    if not 1 <= block <= size:
        raise ValueError(f"the block ({block}) must be between 1 and the series' length ({size})")
    blocks = -(-size // block)
    starts = rng.integers(0, size - block + 1, (draws, blocks))
    index = (starts[:, :, None] + np.arange(block)).reshape(draws, -1)[:, :size]
    flat = index + size * np.arange(draws)[:, None]
    counts = np.bincount(flat.ravel(), minlength=draws * size)
    return counts.reshape(draws, size).astype(np.float64)


def percentile_interval(samples: Array, confidence: float, blocks: float | None = None) -> Bounds:
    """Return the percentile interval of bootstrap samples.

    With few blocks plain percentiles cover far less than they claim. The tails are therefore
    taken further out, at Φ(−√(n/(n−1)) t_{n−1}) for n blocks, which makes the interval of a mean
    that of Student's t (expanded percentiles, Hesterberg 2015, Am. Stat. 69, 371).

    Infinite samples are ordered like numbers; a bound that falls on one is None. Samples that are
    NaN (a draw without a defined score) count as +inf.

    Args:
        samples: one score of each draw.
        confidence: nominal coverage.
        blocks: number of independent blocks; None: plain percentiles.
    """
    tail = (1.0 - confidence) / 2.0
    if blocks is not None:
        tail = float(ndtr(stdtrit(blocks - 1.0, tail) * np.sqrt(blocks / (blocks - 1.0))))
    ordered = np.where(np.isnan(samples), np.inf, samples)
    bounds = np.quantile(ordered, [tail, 1.0 - tail], method="inverted_cdf")
    low, high = (float(bound) if np.isfinite(bound) else None for bound in bounds)
    return low, high


def score_with_interval(metric: Metric, sums: DailySums, resampling: Resampling) -> Score:
    """Return a metric of daily sums with its interval over blocks of days."""
    value = float(metric.value(sums))
    if not np.isfinite(value):
        reason = "not defined: no valid cell, or a reference of zero"
        return Score(None, metric.unit, reason=reason)
    draws = resampling.over_days(sums.days.size)
    interval = draws.interval(lambda weights: metric.value(sums, weights))
    return Score(value, metric.unit, interval=interval, interval_method=draws.method)


def paired_change(
    *, estimate: DailySums, reference: DailySums, resampling: Resampling
) -> dict[str, Any]:
    """Return how the error of one method differs from another's, with paired intervals.

    Both methods' squared errors are summed over the same cells of the same days and resampled
    with the same blocks of days: what both miss on a difficult day cancels.

    Args:
        estimate: daily sums of "squared_error" of the method in question.
        reference: the same of the method it is compared with.
        resampling: how intervals are made.

    Returns:
        `relative_rmse` = RMSE/RMSE_reference − 1 (negative: better), `mse_difference` in m², and
        `better`: True or False where the interval excludes zero, else None.
    """
    if not np.array_equal(estimate.count, reference.count):
        raise ValueError("a paired comparison needs the same cells of both methods on each day")
    sums = DailySums(
        estimate.days,
        estimate.count,
        {
            "estimate": estimate.sums["squared_error"],
            "reference": reference.sums["squared_error"],
        },
    )
    relative = Metric(
        "relative_rmse",
        "1",
        (),
        lambda means: np.sqrt(means["estimate"]) / np.sqrt(means["reference"]) - 1.0,
    )
    difference = Metric(
        "mse_difference", "m2", (), lambda means: means["estimate"] - means["reference"]
    )
    change = score_with_interval(relative, sums, resampling)
    low, high = change.interval
    better = None
    if low is not None and high is not None and (high < 0 or low > 0):
        better = high < 0
    return {
        "relative_rmse": change.to_json(),
        "mse_difference": score_with_interval(difference, sums, resampling).to_json(),
        "better": better,
        "days": int(np.count_nonzero(sums.count)),
        "cells": int(sums.count.sum()),
    }
