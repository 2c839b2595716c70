"""Scores of estimates with an uncertainty: CRPS, skill, spread/skill, coverage, sharpness.

`verify` judges an estimate day by day and keeps daily sums, from which every mean score comes with
its interval, and for each point its spread, error and rank, which `calibration` looks into. No more
than one day of members is in memory at a time.

CRPS         mean over all points and days (m): fair for members, Gaussian, or |error|
CRPSS        1 − CRPS / CRPS of a reference, at the same points
spread       √⟨s²⟩, for members √((M + 1)/M · ⟨s²_{ddof 1}⟩)           (averaged before the root)
spread/skill spread / √⟨(mean − truth)²⟩                               (1: consistent)
coverage     share of truths inside the central interval of a level    (the level: consistent)
width        mean width of that interval (m): sharpness, meant to be small at the right coverage
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.scores.bootstrap import Resampling, score_with_interval
from pipeline_spde.scores.ensemble import Estimate, GaussianMaps
from pipeline_spde.scores.point_scores import LEVELS, PointScores, gaussian_crps, members_needed
from pipeline_spde.scores.regional import RegionalSums
from pipeline_spde.scores.spread_spectrum import SpreadSpectrum
from pipeline_spde.scores.statistic import Array, DailySums, Metric, Score
from pipeline_spde.scores.targets import Target, TargetDay

_TIES = 2  # stream of random numbers; 0 and 1 are those of the bootstrap

CRPS = Metric("crps", "m", (), itemgetter("crps"))
CRPS_STANDARD = Metric("crps_standard", "m", (), itemgetter("crps_standard"))
MAE = Metric("mae", "m", (), itemgetter("absolute_error"))
RMSE_OF_MEAN = Metric("rmse", "m", (), lambda means: np.sqrt(means["squared_error"]))
SPREAD = Metric("spread", "m", (), lambda means: np.sqrt(means["variance"]))
SPREAD_SKILL = Metric(
    "spread_skill",
    "1",
    (),
    lambda means: np.sqrt(means["variance"]) / np.sqrt(means["squared_error"]),
)
CRPSS_DETERMINISTIC = Metric(
    "crpss_deterministic", "1", (), lambda means: 1.0 - means["crps"] / means["absolute_error"]
)
CRPSS_OI = Metric("crpss_oi", "1", (), lambda means: 1.0 - means["crps"] / means["reference"])


def percent(name: str, level: float) -> str:
    """Return the key of a score of the central interval, e.g. coverage_90."""
    return f"{name}_{round(100 * level)}"


@dataclass(eq=False)
class Verification:
    """What is kept of one version of an estimate, judged over the whole period.

    Attributes:
        days: calendar days, shape (days,).
        count: number of judged points of each day, shape (days,).
        sums: name -> sum over the points of each day, shape (days,).
        reference_sums: the same over the points that the reference covers, with their `count`.
        points: name -> one value per judged point, shape (points,): `spread` and `error` (m),
            `rank`, `row` of the day, `lat`, `lon`.
        ranks: number of values that `rank` can take; 0 without a spread.
        excluded: places with a truth and a map, but without a spread.
    """

    days: NDArray[np.datetime64]
    count: Array
    sums: dict[str, Array] = field(default_factory=dict)
    reference_sums: dict[str, Array] = field(default_factory=dict)
    points: dict[str, NDArray] = field(default_factory=dict)
    ranks: int = 0
    excluded: int = 0

    @property
    def daily_sums(self) -> DailySums:
        """The sums over all judged points."""
        return DailySums(self.days, self.count, self.sums)

    @property
    def against_reference(self) -> DailySums | None:
        """The sums of `crps` and `reference` over common points; None without a reference."""
        if not self.reference_sums:
            return None
        sums = {name: self.reference_sums[name] for name in ("crps", "reference")}
        return DailySums(self.days, self.reference_sums["count"], sums)


def judged_places(target: Target, estimate: Estimate) -> list[NDArray[np.bool_]]:
    """Return of each day which places have a truth and an estimate with its spread."""
    places = [target.of_day(row).valid for row in range(target.days.size)]
    return [
        valid & estimate.covered(target, row) if valid.any() else valid
        for row, valid in enumerate(places)
    ]


def verify(
    target: Target,
    estimate: Estimate,
    reference: GaussianMaps | None,
    judged: Sequence[NDArray[np.bool_]],
    seed: int,
    spectra: dict[str, SpreadSpectrum] | None = None,
    regional: Mapping[str, RegionalSums] | None = None,
) -> dict[str, Verification]:
    """Return version -> verification of an estimate at a target.

    Args:
        target: where and when.
        estimate: what is judged.
        reference: Gaussian maps whose CRPS at the same points is the reference of `crpss_oi`.
        judged: of each day, which places are judged, as `judged_places` returns them.
        seed: of the random ranks of ties and of the errors that noisy truths give to members; the
            same for every version, and for every estimate of one target.
        spectra: version -> spectrum that receives the members of each day, or None.
        regional: version -> sums by region that receive the statistics of each day, or None.

    Raises:
        ValueError: no point can be judged.
    """
    collectors = {name: _Collector(target.days) for name in estimate.versions}
    for row, valid in enumerate(judged):
        day = target.of_day(row)
        for collector in collectors.values():
            collector.add_places(row, day.valid, valid)
        if not valid.any():
            continue
        benchmark = None if reference is None else _gaussian_crps(reference, target, row, day)
        map_error = target.at(estimate.mean, row) - day.truth
        for version, values in estimate.on_day(target, row):
            stamp = int(target.days[row].astype("datetime64[D]").astype(np.int64))
            rng = np.random.default_rng([seed, _TIES, stamp])
            scores = estimate.judge(values, day, valid, rng)
            absolute_error = np.abs(map_error[valid])
            collectors[version].add_scores(row, scores, absolute_error)
            if regional is not None:
                regional[version].add(row, point_statistics(scores, absolute_error), valid)
            collectors[version].keep_points(row, scores, day, valid)
            if benchmark is not None:
                collectors[version].add_reference(row, scores.crps, benchmark[valid])
            if spectra and isinstance(values, np.ndarray):
                spectra[version].add(values, day.truth)
    return {version: collector.result() for version, collector in collectors.items()}


def point_statistics(scores: PointScores, absolute_error: Array) -> dict[str, Array]:
    """Return the statistics of judged points whose means are meaningful, by name."""
    intervals = (("coverage", scores.covered), ("width", scores.width))
    known = {
        "crps": scores.crps,
        "crps_standard": scores.crps_standard,
        "absolute_error": absolute_error,
        "squared_error": scores.error**2,
        "variance": scores.variance,
        **{percent(name, k): v for name, values in intervals for k, v in values.items()},
    }
    return {name: array for name, array in known.items() if array is not None}


class _Collector:
    """Sums up the days of one version."""

    def __init__(self, days: NDArray[np.datetime64]) -> None:
        self._found = Verification(days, np.zeros(days.size))
        self._lists: dict[str, list[NDArray]] = {}

    def add_places(self, row: int, given: NDArray[np.bool_], judged: NDArray[np.bool_]) -> None:
        self._found.count[row] = np.count_nonzero(judged)
        self._found.excluded += int(np.count_nonzero(given & ~judged))

    def add_scores(self, row: int, scores: PointScores, absolute_error: Array) -> None:
        for name, array in point_statistics(scores, absolute_error).items():
            self._sums(self._found.sums, name)[row] = array.sum()

    def keep_points(
        self, row: int, scores: PointScores, day: TargetDay, valid: NDArray[np.bool_]
    ) -> None:
        if scores.variance is None or scores.rank is None:
            return
        self._found.ranks = scores.ranks
        # float32: half the memory of a long period, and far finer than any sampling error
        columns = {
            "spread": np.sqrt(scores.variance).astype(np.float32),
            "error": scores.error.astype(np.float32),
            "rank": scores.rank.astype(np.int32),
            "row": np.full(scores.error.size, row, np.int32),
            "lat": day.lat[valid].astype(np.float32),
            "lon": day.lon[valid].astype(np.float32),
        }
        for name, values in columns.items():
            self._lists.setdefault(name, []).append(values)

    def add_reference(self, row: int, crps: Array, reference: Array) -> None:
        common = np.isfinite(reference)
        parts = {"count": common, "crps": crps[common], "reference": reference[common]}
        for name, array in parts.items():
            self._sums(self._found.reference_sums, name)[row] = array.sum()

    def _sums(self, sums: dict[str, Array], name: str) -> Array:
        return sums.setdefault(name, np.zeros(self._found.days.size))

    def result(self) -> Verification:
        if not self._found.count.any():
            raise ValueError(
                "no scored place has both a truth and an estimate with its spread; check that the "
                "file covers the scored days and cells and is not all NaN"
            )
        self._found.points = {name: np.concatenate(parts) for name, parts in self._lists.items()}
        return self._found


def _gaussian_crps(reference: GaussianMaps, target: Target, row: int, day: TargetDay) -> Array:
    """Return the CRPS of the reference on a day, NaN where it has no value."""
    mean = target.at(reference.mean, row)
    std = np.hypot(target.at(next(iter(reference.std.values())), row), day.truth_error)
    crps = gaussian_crps(truth=day.truth, mean=mean, std=std)
    return np.where(np.isfinite(mean) & np.isfinite(std), crps, np.nan)


def mean_scores(
    found: Verification, members: int | None, resampling: Resampling
) -> dict[str, Score]:
    """Return every score that is a function of mean statistics, with intervals over days.

    Args:
        found: one version.
        members: number of members, to say why a level has no interval.
        resampling: how confidence intervals are made.
    """
    sums = found.daily_sums
    scores = {
        metric.name: score_with_interval(metric, sums, resampling)
        for metric in _metrics(found.sums)
    }
    against = found.against_reference
    if against is not None:
        scores[CRPSS_OI.name] = score_with_interval(CRPSS_OI, against, resampling)
    if found.ranks:
        for level in LEVELS:
            for name, unit in (("coverage", "1"), ("width", "m")):
                scores.setdefault(percent(name, level), _unreachable(level, members, unit))
    return scores


def regional_metrics(sums: Mapping[str, Array]) -> list[Metric]:
    """Return the metrics that are given by region, those whose statistics are known."""
    kept = {CRPS.name, SPREAD.name, SPREAD_SKILL.name, *(percent("coverage", k) for k in LEVELS)}
    return [metric for metric in _metrics(sums) if metric.name in kept]


def _metrics(sums: Mapping[str, Array]) -> Iterator[Metric]:
    """Yield the metrics whose statistics are known."""
    yield CRPS
    if "crps_standard" in sums:
        yield CRPS_STANDARD
    yield from (MAE, RMSE_OF_MEAN)
    if "variance" in sums:
        yield from (SPREAD, SPREAD_SKILL, CRPSS_DETERMINISTIC)
    for level in LEVELS:
        for name, unit in (("coverage", "1"), ("width", "m")):
            key = percent(name, level)
            if key in sums:
                yield Metric(key, unit, (), itemgetter(key))


def _unreachable(level: float, members: int | None, unit: str) -> Score:
    return Score(
        None,
        unit,
        f"a central {100 * level:g} % interval needs {members_needed(level)} members, "
        f"there are {members}",
    )
