"""What a probabilistic estimate scores at single points: members, a Gaussian, or one value.

Members x_1 … x_M, truth y:

    standard CRPS  (1/M) Σ|x_i − y| − (1/2M²) ΣΣ|x_i − x_j|
    fair CRPS      the second term divided by 2M(M − 1) instead: its mean does not depend on M when
                   truth and members are drawn from one distribution (Ferro 2014, QJRMS 140, 1917)

both from the sorted members, ΣΣ|x_i − x_j| = 2 Σ (2i − M − 1) x_(i). For N(m, s²):

    CRPS = s·[z(2Φ(z) − 1) + 2φ(z) − 1/√π],  z = (y − m)/s;  |y − m| where s = 0, as for one value
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from pipeline_spde.scores.statistic import Array

LEVELS = (0.5, 0.8, 0.9, 0.95)  # probabilities of the central intervals
PIT_BINS = 20


@dataclass(frozen=True, eq=False)
class PointScores:
    """Scores at points, every array of shape (points,).

    Attributes:
        error: mean of the estimate − truth in m.
        crps: m; fair for members.
        crps_standard: m; members only.
        variance: variance of `error` that the estimate claims in m², or None if it claims none;
            for members (M + 1)/M times their variance (ddof 1), as their mean errs too.
        rank: number of members below the truth (0 … M), or bin of the Gaussian's PIT.
        ranks: number of values that `rank` can take.
        covered: level -> 1.0 where the central interval holds the truth, else 0.0.
        width: level -> width of the central interval in m.
    """

    error: Array
    crps: Array
    crps_standard: Array | None = None
    variance: Array | None = None
    rank: NDArray[np.int64] | None = None
    ranks: int = 0
    covered: Mapping[float, Array] = field(default_factory=dict)
    width: Mapping[float, Array] = field(default_factory=dict)


def of_map(truth: Array, estimate: Array) -> PointScores:
    """Return the scores of one value per point: its CRPS is the absolute error."""
    error = estimate - truth
    return PointScores(error, np.abs(error))


def of_gaussian(truth: Array, mean: Array, std: Array) -> PointScores:
    """Return the scores of N(mean, std²) at points, shape (points,)."""
    error = mean - truth
    half = {level: float(ndtri(0.5 + level / 2)) * std for level in LEVELS}
    with np.errstate(divide="ignore", invalid="ignore"):
        pit = np.where((std == 0) & (error == 0), 0.5, ndtr(-error / std))
    return PointScores(
        error,
        gaussian_crps(truth=truth, mean=mean, std=std),
        variance=std**2,
        rank=np.minimum((PIT_BINS * pit).astype(np.int64), PIT_BINS - 1),
        ranks=PIT_BINS,
        covered={k: (np.abs(error) <= width).astype(np.float64) for k, width in half.items()},
        width={level: 2.0 * width for level, width in half.items()},
    )


def of_members(truth: Array, members: Array, rng: np.random.Generator) -> PointScores:
    """Return the scores of members, shape (members, points), at points.

    Central intervals lie between order statistics, linear at the positions p·(M + 1): a truth
    exchangeable with the members falls inside with the nominal probability whatever M is. Levels
    that M is too small for (see `members_needed`) have no interval.

    Args:
        truth: shape (points,).
        members: two or more.
        rng: breaks ties between truth and members: the rank is drawn among those possible.
    """
    departure = _sorted_departures(truth, members)
    size = departure.shape[1]
    below, equal = ((test).sum(axis=1) for test in (departure < 0, departure == 0))
    covered, width = {}, {}
    for level in LEVELS:
        if size >= members_needed(level):
            low, high = _central_interval(departure, level)
            covered[level] = ((low <= 0) & (high >= 0)).astype(np.float64)
            width[level] = high - low
    return PointScores(
        departure.mean(axis=1),
        _crps(departure, fair=True),
        crps_standard=_crps(departure, fair=False),
        variance=departure.var(axis=1, ddof=1) * (size + 1) / size,
        rank=below + rng.integers(0, equal + 1),
        ranks=size + 1,
        covered=covered,
        width=width,
    )


def gaussian_crps(*, truth: Array, mean: Array, std: Array) -> Array:
    """Return the CRPS of N(mean, std²) at every point, in the unit of the heights.

    Args:
        truth: verifying value.
        mean: same shape.
        std: same shape, not negative.
    """
    error = np.abs(np.asarray(truth, dtype=np.float64) - mean)
    positive = std > 0
    safe = np.where(positive, std, 1.0)
    z = error / safe
    density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
    crps = safe * (z * (2.0 * ndtr(z) - 1.0) + 2.0 * density - 1.0 / np.sqrt(np.pi))
    return np.where(positive, crps, error)


def ensemble_crps(*, truth: Array, members: Array, fair: bool = True) -> Array:
    """Return the CRPS of members at every point, shape (points,), in the unit of the heights.

    Args:
        truth: verifying value, shape (points,).
        members: shape (members, points).
        fair: True: the fair, False: the standard estimator.

    Raises:
        ValueError: fewer than two members.
    """
    return _crps(_sorted_departures(np.asarray(truth), np.asarray(members)), fair)


def members_needed(level: float) -> int:
    """Return how many members a central interval of probability `level` needs at least."""
    return math.ceil(2.0 / (1.0 - level) - 1.0 - 1e-9)


def _sorted_departures(truth: Array, members: Array) -> Array:
    """Return the sorted members − truth, shape (points, members)."""
    if members.shape[0] < 2:
        raise ValueError(f"scores of an ensemble need two or more members, got {members.shape[0]}")
    # the truth first: differences keep their digits, and each point's members lie together
    return np.sort(np.ascontiguousarray((members - truth).T, dtype=np.float64), axis=1)


def _crps(departure: Array, fair: bool) -> Array:
    size = departure.shape[1]
    weights = 2.0 * np.arange(1, size + 1) - size - 1
    pairs = size * (size - 1) if fair else size**2
    return np.asarray(np.abs(departure).mean(axis=1) - departure @ weights / pairs)


def _central_interval(ordered: Array, level: float) -> tuple[Array, Array]:
    """Return the bounds of the central interval of sorted members, shape (points, members)."""
    size = ordered.shape[1]
    position = (1.0 - level) / 2.0 * (size + 1) - 1.0
    inner = min(int(np.floor(position + 1e-9)) + 1, size - 1)
    share = np.clip(position - (inner - 1), 0.0, 1.0)

    def between(outside: int, inside: int) -> Array:
        return np.asarray((1.0 - share) * ordered[:, outside] + share * ordered[:, inside])

    return between(inner - 1, inner), between(size - inner, size - 1 - inner)
