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
    spread = np.maximum(members.std(axis=1, ddof=1), _LEAST_SPREAD)
    reference = float(np.median(spread))
    pairs = _mean_distance(members)

    def covered(found: Inflation) -> float:
        return float(np.mean(np.abs(error) <= _HALF_WIDTH * found.of(spread) * spread))

    def matched(power: float) -> Inflation:
        """Return the law of a power whose mean square is that of the errors."""
        shape = (spread / reference) ** power * spread
        factor = np.sqrt(np.mean(error**2) / np.mean(shape**2))
        return Inflation(float(np.clip(factor, *_SHARES)), float(power), reference)

    def cost(found: Inflation) -> float:
        return float(np.mean(_crps(error, members, found.of(spread), pairs)))

    one = scipy.optimize.minimize_scalar(
        lambda log: cost(Inflation(float(np.exp(log)), 0.0, reference)),
        bounds=tuple(np.log(_SHARES)),
        method="bounded",
    )
    best = Inflation(float(np.exp(one.x)), 0.0, reference)
    scalar_coverage = covered(best)
    if not GOOD_COVERAGE[0] <= scalar_coverage <= GOOD_COVERAGE[1]:
        power = scipy.optimize.minimize_scalar(
            lambda power: cost(matched(power)), bounds=_POWERS, method="bounded"
        )
        best = matched(float(power.x))
    record = {
        "days": float(truth.shape[0]),
        "crps_raw_m": cost(Inflation()),
        "crps_m": cost(best),
        "coverage_90_raw": covered(Inflation()),
        "coverage_90_scalar": scalar_coverage,
        "coverage_90": covered(best),
        "spread_skill_raw": float(np.sqrt(np.mean(spread**2) / np.mean(error**2))),
    }
    return best, record


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


def _crps(error: Array, members: Array, factor: Array, pairs: Array) -> Array:
    """Return the fair CRPS of deviations times a factor, for errors (truth − mean)."""
    distance = np.abs(members * factor[:, None] - error[:, None]).mean(axis=1)
    return np.asarray(distance - factor * pairs)
