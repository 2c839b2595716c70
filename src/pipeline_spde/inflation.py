"""Calibration of an ensemble: a factor of its spread, fitted by CRPS on validation days.

    calibrated spread = a · s · (s / s₀)^b

b = 0 (a scalar, by CRPS) unless the 90 % interval of the scaled ensemble then holds less than 88 %
or more than 92 % of the truth. Then b is that of the smallest CRPS among the laws whose mean square
is that of the errors (spread/skill 1), s₀ being the median spread: a scalar that pays with coverage
for CRPS deflates too far. So do few days: errors of the mesoscale are the same for weeks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.optimize
from numpy.typing import NDArray
from scipy.special import ndtri

from pipeline_spde.files import DataError, read_json

Array = NDArray[np.float64]

GOOD_COVERAGE = (0.88, 0.92)
_LEAST_SPREAD = 1e-6  # m; a spread of zero has no logarithm
_SHARES = (0.05, 20.0)  # limits of a
_POWERS = (-0.9, 2.0)  # limits of b: the calibrated spread still grows with the raw one
_HALF_WIDTH = float(ndtri(0.95))
_MOST_POINTS = 40_000


@dataclass(frozen=True)
class Inflation:
    """Factor of the spread.

    Attributes:
        factor: a.
        power: b, 0 for a scalar.
        reference_m: s₀, m.
    """

    factor: float = 1.0
    power: float = 0.0
    reference_m: float = 0.1

    def __post_init__(self) -> None:
        for name in ("factor", "reference_m"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        if not (np.isfinite(self.power) and self.power > -1):
            raise ValueError(f"power must be finite and above -1, got {self.power}")

    def of(self, std: NDArray) -> NDArray:
        """Return the factor at points of a given raw spread (m), of the same shape."""
        if self.power == 0:
            return np.full_like(std, self.factor)
        relative = np.maximum(std, _LEAST_SPREAD) / self.reference_m
        return np.asarray(self.factor * relative**self.power, dtype=std.dtype)

    @classmethod
    def read(cls, path: Any) -> Inflation:
        """Return the calibration of a JSON file.

        Raises:
            DataError: damaged, or something is missing.
        """
        found = read_json(path)
        try:
            return cls(**{name: float(found[name]) for name in cls.__dataclass_fields__})
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: not a calibration ({error}); fit it again") from error


def fit_inflation(
    truth: Array,
    mean: Array,
    deviations: NDArray,
    scored: NDArray[np.bool_],
    seed: int,
    fewest_days: int,
) -> tuple[Inflation, Mapping[str, float]]:
    """Return the factor of the spread that gives the smallest fair CRPS, and a record of the fit.

    Args:
        truth: m, shape (days, lat, lon).
        mean: the maps, m, same shape.
        deviations: of the members, m, shape (days, members, lat, lon).
        scored: cells that count, shape (lat, lon).
        seed: of the choice of points, where there are very many.
        fewest_days: number of days that are needed.

    Raises:
        ValueError: there are fewer days.
    """
    if truth.shape[0] < fewest_days:
        raise ValueError(
            f"{truth.shape[0]} days are too few to calibrate an ensemble on, {fewest_days} are "
            "needed (ensembles.calibration_days): errors of eddies last for weeks; make "
            "periods.validation longer"
        )
    error, members = _points(truth - mean, deviations, scored, seed)
    best, record = fit_points(error, members, np.zeros_like(error), seed)
    return best, {"days": float(truth.shape[0])} | dict(record)


def fit_points(
    error: Array, members: Array, error_std: Array, seed: int
) -> tuple[Inflation, Mapping[str, float]]:
    """Return the factor of the spread for errors at points, and a record of the fit.

    Where what maps are compared with has errors of its own, members get a draw of them, and the
    mean square of the errors is matched less theirs.

    Args:
        error: what is compared with − map, m, shape (points,).
        members: deviations of the members, m, shape (points, members).
        error_std: standard deviation of the error of what is compared with, m, shape (points,).
        seed: of the draws of these errors.
    """
    fit = _Fit.of(error, members, error_std, seed)
    one = scipy.optimize.minimize_scalar(
        lambda log: fit.crps(Inflation(float(np.exp(log)), 0.0, fit.reference)),
        bounds=tuple(np.log(_SHARES)),
        method="bounded",
    )
    best = Inflation(float(np.exp(one.x)), 0.0, fit.reference)
    scalar_coverage = fit.covered(best)
    if not GOOD_COVERAGE[0] <= scalar_coverage <= GOOD_COVERAGE[1]:
        power = scipy.optimize.minimize_scalar(
            lambda power: fit.crps(fit.matched(power)), bounds=_POWERS, method="bounded"
        )
        best = fit.matched(float(power.x))
    record = {
        "crps_raw_m": fit.crps(Inflation()),
        "crps_m": fit.crps(best),
        "coverage_90_raw": fit.covered(Inflation()),
        "coverage_90_scalar": scalar_coverage,
        "coverage_90": fit.covered(best),
        "spread_skill_raw": fit.spread_skill(Inflation()),
    }
    return best, record


def cross_validated(
    error: Array, members: Array, error_std: Array, part: NDArray[np.int64], seed: int
) -> Mapping[str, float]:
    """Return the scores at every part of the points of the factor that was fitted on the others.

    Args:
        error: as for `fit_points`.
        members: as for `fit_points`.
        error_std: as for `fit_points`.
        part: number of the part of each point, shape (points,).
        seed: as for `fit_points`.

    Returns:
        CRPS (m), coverage of the 90 % interval and spread/skill; means weighted by points.
    """
    found, weight = [], []
    for number in np.unique(part):
        own = part == number
        if own.all():
            continue
        others = (error[~own], members[~own], error_std[~own])
        factor, _ = fit_points(*others, seed)
        fit = _Fit.of(error[own], members[own], error_std[own], seed)
        found.append([fit.crps(factor), fit.covered(factor), fit.spread_skill(factor)])
        weight.append(int(own.sum()))
    if not found:
        return {}
    means = np.average(np.array(found), axis=0, weights=weight)
    names = ("crps_m", "coverage_90", "spread_skill")
    return {f"{n}_cross_validated": float(m) for n, m in zip(names, means, strict=True)}


@dataclass(frozen=True, eq=False)
class _Fit:
    """Errors at points, and what laws of the spread score there.

    Attributes:
        error: m, shape (points,).
        members: deviations, m, shape (points, members).
        spread: raw standard deviation of the members, m, shape (points,).
        error_std: of the error of what is compared with, m, shape (points,).
        noise: draws of that error, shape (points, members); None where it is zero.
    """

    error: Array
    members: Array
    spread: Array
    error_std: Array
    noise: Array | None

    @classmethod
    def of(cls, error: Array, members: Array, error_std: Array, seed: int) -> _Fit:
        spread = np.maximum(members.std(axis=1, ddof=1), _LEAST_SPREAD)
        noise = None
        if error_std.any():
            rng = np.random.default_rng([seed, 1])
            noise = rng.standard_normal(members.shape) * error_std[:, None]
        return cls(error, members, spread, error_std, noise)

    @property
    def reference(self) -> float:
        return float(np.median(self.spread))

    def crps(self, found: Inflation) -> float:
        members = self.members * found.of(self.spread)[:, None]
        members = members if self.noise is None else members + self.noise
        return float(np.mean(_crps(self.error, members)))

    def covered(self, found: Inflation) -> float:
        std = np.hypot(found.of(self.spread) * self.spread, self.error_std)
        return float(np.mean(np.abs(self.error) <= _HALF_WIDTH * std))

    def spread_skill(self, found: Inflation) -> float:
        variance = (found.of(self.spread) * self.spread) ** 2 + self.error_std**2
        return float(np.sqrt(np.mean(variance) / np.mean(self.error**2)))

    def matched(self, power: float) -> Inflation:
        """Return the law of a power whose mean square is that of the errors."""
        shape = (self.spread / self.reference) ** power * self.spread
        wanted = float(np.mean(self.error**2) - np.mean(self.error_std**2))
        factor = np.sqrt(max(wanted, 0.0) / float(np.mean(shape**2)))
        return Inflation(float(np.clip(factor, *_SHARES)), float(power), self.reference)


def to_json(inflation: Inflation, record: Mapping[str, float]) -> dict[str, float]:
    """Return what a file of the calibration holds."""
    return asdict(inflation) | dict(record)


def _points(
    error: Array, deviations: NDArray, scored: NDArray[np.bool_], seed: int
) -> tuple[Array, Array]:
    """Return errors (points,) and deviations (points, members) of at most `_MOST_POINTS` points."""
    day, row, column = np.nonzero(np.broadcast_to(scored, error.shape))
    if day.size > _MOST_POINTS:
        chosen = np.random.default_rng(seed).choice(day.size, _MOST_POINTS, replace=False)
        day, row, column = (index[np.sort(chosen)] for index in (day, row, column))
    members = np.asarray(deviations[day, :, row, column], dtype=np.float64)
    return np.asarray(error[day, row, column], dtype=np.float64), members


def _mean_distance(members: Array) -> Array:
    """Return half the mean distance of two different members, (points,)."""
    count = members.shape[1]
    ordered = np.sort(members, axis=1)
    rank = 2 * np.arange(1, count + 1) - count - 1
    return np.asarray((ordered @ rank) / (count * (count - 1)))


def _crps(error: Array, members: Array) -> Array:
    """Return the fair CRPS of deviations for errors (truth − mean)."""
    distance = np.abs(members - error[:, None]).mean(axis=1)
    return np.asarray(distance - _mean_distance(members))
