"""Statistic → mean → Metric: what every score of maps, tracks and ensembles is made of.

A `Statistic` is a value per cell (a squared error, a squared height …). `DailySums` holds its sum
and the number of valid cells of each day, so that sums of regions, tiles or chunks of days add up.
A `Metric` is a function of the mean statistics: pooled over all days, or of each day and then
averaged over the days. Bootstrap weights of the days go through the same path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bounds = tuple[float | None, float | None]


@dataclass(frozen=True)
class Score:
    """A score that is ready for JSON: a number, or the reason why there is none.

    Attributes:
        value: the score, or None.
        unit: its unit ("1" when it has none).
        reason: why `value` is None.
        limit: what is still known when a scale is not resolved, e.g. "< 11.2".
        interval: lower and upper confidence bound; None where a bound does not exist.
        interval_method: how the interval was made, or why there is none.
    """

    value: float | None
    unit: str
    reason: str | None = None
    limit: str | None = None
    interval: Bounds = (None, None)
    interval_method: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.reason is None):
            raise ValueError(f"a score has a value or a reason, got {self.value}, {self.reason}")
        if self.value is not None and not np.isfinite(self.value):
            raise ValueError(f"a score must be finite, got {self.value}; give a reason instead")

    def to_json(self) -> dict[str, Any]:
        """Return the score as a dict of JSON types; the interval is always a list of two."""
        return {
            "value": self.value,
            "interval": list(self.interval),
            "unit": self.unit,
            "reason": self.reason,
            "limit": self.limit,
            "interval_method": self.interval_method,
        }


@dataclass(frozen=True, eq=False)
class Sample:
    """Truth and estimate at the same cells or points.

    Attributes:
        truth: m, shape (time, …) for maps, (obs,) for tracks.
        estimate: m, same shape.
        valid: True where both count, same shape; nothing else is ever read.
    """

    truth: Array
    estimate: Array
    valid: NDArray[np.bool_]

    def __post_init__(self) -> None:
        for name in ("truth", "estimate"):
            array = getattr(self, name)
            if array.shape != self.valid.shape:
                raise ValueError(
                    f"{name} has shape {array.shape}, the mask `valid` {self.valid.shape}; "
                    "bring all fields to one grid first"
                )
            bad = int(np.count_nonzero(~np.isfinite(array) & self.valid))
            if bad:
                raise ValueError(f"{name} is not finite at {bad} cells that are marked valid")

    @classmethod
    def of(cls, *, truth: Array, estimate: Array, where: NDArray[np.bool_] | None = None) -> Sample:
        """Return a sample; the cells that count are `where` (default: both are finite)."""
        truth = np.asarray(truth, dtype=np.float64)
        estimate = np.asarray(estimate, dtype=np.float64)
        if truth.shape != estimate.shape:
            raise ValueError(
                f"truth has shape {truth.shape}, estimate {estimate.shape}; interpolate the "
                "estimate to the truth's grid and times first (score_maps does)"
            )
        valid = np.isfinite(truth) & np.isfinite(estimate) if where is None else where
        return cls(truth, estimate, valid)


@dataclass(frozen=True)
class Statistic:
    """A value per cell whose mean over cells and days is meaningful.

    Attributes:
        name: key of the statistic in `DailySums`.
        compute: the values at every cell of a sample, shape of the sample; values at cells that
            are not valid are ignored.
    """

    name: str
    compute: Callable[[Sample], Array]


@dataclass(frozen=True, eq=False)
class DailySums:
    """Sums of statistics over the valid cells of each day.

    Attributes:
        days: the days, increasing, shape (days,).
        count: number of valid cells of each day, shape (days,).
        sums: statistic name -> sum over the valid cells of each day, shape (days,).
    """

    days: NDArray[np.datetime64]
    count: Array
    sums: Mapping[str, Array]

    @classmethod
    def of_maps(
        cls,
        sample: Sample,
        days: NDArray[np.datetime64],
        statistics: Sequence[Statistic],
        weights: Array | None = None,
    ) -> DailySums:
        """Return the sums of a sample of maps, shape (time, …), one map a day.

        Args:
            sample: truth and estimate.
            days: calendar days, shape (time,).
            statistics: what is summed.
            weights: weight of each cell of a map, such as its area, 0 for cells that do not count;
                default: 1. The counts are then sums of weights.
        """
        axes = tuple(range(1, sample.valid.ndim))
        weight = 1.0 if weights is None else weights
        sums = {
            statistic.name: np.where(sample.valid, weight * statistic.compute(sample), 0.0).sum(
                axis=axes
            )
            for statistic in statistics
        }
        return cls(days, np.where(sample.valid, weight, 0.0).sum(axis=axes), sums)

    @classmethod
    def of_points(
        cls, sample: Sample, time: NDArray[np.datetime64], statistics: Sequence[Statistic]
    ) -> DailySums:
        """Return the sums of a sample of points, shape (obs,), by the calendar day of `time`.

        Every day from the first to the last point is kept, days without points with a count of 0:
        blocks of days keep their length.
        """
        stamps = time.astype("datetime64[D]")
        first = stamps.min()
        row = (stamps - first).astype(np.int64)
        size = int(row.max()) + 1

        def by_day(values: Array) -> Array:
            return np.asarray(np.bincount(row, values, size), dtype=np.float64)

        sums = {
            statistic.name: by_day(np.where(sample.valid, statistic.compute(sample), 0.0))
            for statistic in statistics
        }
        return cls(first + np.arange(size), by_day(sample.valid.astype(np.float64)), sums)

    def __add__(self, other: DailySums) -> DailySums:
        """Return the sums over the cells of both (regions, tiles) on the same days."""
        if not np.array_equal(self.days, other.days) or set(self.sums) != set(other.sums):
            raise ValueError(
                f"only sums of the same statistics on the same days add up; got {list(self.sums)} "
                f"on {self.days.size} days and {list(other.sums)} on {other.days.size} days"
            )
        sums = {name: values + other.sums[name] for name, values in self.sums.items()}
        return DailySums(self.days, self.count + other.count, sums)

    def means(self, weights: Array | None = None) -> dict[str, Array]:
        """Return the pooled means: Σ_d w_d sum_d / Σ_d w_d count_d, shape weights.shape[:-1].

        Args:
            weights: how often each day counts, shape (…, days); default: once.
        """
        weights = np.ones(self.days.size) if weights is None else weights
        with np.errstate(invalid="ignore", divide="ignore"):
            return {k: (weights @ v) / (weights @ self.count) for k, v in self.sums.items()}

    def daily_means(self) -> dict[str, Array]:
        """Return the mean of each day, shape (days,); NaN on days without valid cells."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return {name: values / self.count for name, values in self.sums.items()}


@dataclass(frozen=True)
class Metric:
    """A score: a function of mean statistics.

    Attributes:
        name: key of the score.
        unit: its unit.
        statistics: what it needs.
        function: mean statistics -> score, elementwise over leading dimensions.
        reduction: "pooled": function of the means over all days; "daily mean" and "daily
            deviation" (ddof 0): mean and standard deviation over days of the score of each day.
        minimum_count: days with fewer valid cells are left out of the daily reductions.
    """

    name: str
    unit: str
    statistics: tuple[Statistic, ...]
    function: Callable[[Mapping[str, Array]], Array]
    reduction: Literal["pooled", "daily mean", "daily deviation"] = "pooled"
    minimum_count: int = 1

    def daily(self, sums: DailySums) -> tuple[Array, NDArray[np.bool_]]:
        """Return the score of each day and which days have one, both of shape (days,)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.asarray(self.function(sums.daily_means()), dtype=np.float64)
        return values, (sums.count >= self.minimum_count) & np.isfinite(values)

    def value(self, sums: DailySums, weights: Array | None = None) -> Array:
        """Return the score, shape weights.shape[:-1]; not finite where it is not defined.

        Args:
            sums: daily sums that hold the statistics.
            weights: how often each day counts, shape (…, days); default: once.
        """
        if self.reduction == "pooled":
            with np.errstate(invalid="ignore", divide="ignore"):
                return np.asarray(self.function(sums.means(weights)), dtype=np.float64)
        values, defined = self.daily(sums)
        weights = np.ones(sums.days.size) if weights is None else weights
        share = weights * defined
        # centred first: the variance of scores near 1 would lose digits otherwise
        centre = values[defined].mean() if defined.any() else 0.0
        anomaly = np.where(defined, values - centre, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (share @ anomaly) / share.sum(axis=-1)
            if self.reduction == "daily mean":
                return np.asarray(centre + mean)
            variance = (share @ anomaly**2) / share.sum(axis=-1) - mean**2
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def unique_statistics(metrics: Sequence[Metric]) -> tuple[Statistic, ...]:
    """Return the statistics that metrics need, each once."""
    found = {s.name: s for metric in metrics for s in metric.statistics}
    return tuple(found.values())


def correlation_of_means(mean_x: Array, mean_y: Array, xx: Array, yy: Array, xy: Array) -> Array:
    """Return the correlation of x and y from ⟨x⟩, ⟨y⟩, ⟨x²⟩, ⟨y²⟩, ⟨xy⟩; NaN if one is constant."""
    variance_x, variance_y = xx - mean_x**2, yy - mean_y**2
    defined = (variance_x > 0) & (variance_y > 0)
    scale = np.sqrt(np.where(defined, variance_x * variance_y, 1.0))
    return np.where(defined, (xy - mean_x * mean_y) / scale, np.nan)


def finite_or_none(value: float) -> float | None:
    """Return a number as JSON knows it; None where it is not finite."""
    return float(value) if np.isfinite(value) else None
