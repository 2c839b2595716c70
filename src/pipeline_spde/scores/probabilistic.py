"""Scores of a Gaussian estimate (mean, standard deviation): CRPS, spread/skill, coverage.

CRPS(m, s; y) = s·[z(2Φ(z) − 1) + 2φ(z) − 1/√π],  z = (y − m)/s;  |y − m| where s = 0
spread/skill  = √⟨s²⟩ / √⟨(m − y)²⟩               (averaged before the root; 1: consistent)
coverage_90   = share of y inside m ± 1.6449 s     (0.90: consistent)
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from pipeline_spde.scores.rmse import SQUARED_ERROR
from pipeline_spde.scores.statistic import Array, Metric, Sample, Statistic

COVERAGE = 0.9
_HALF_WIDTH = float(ndtri(0.5 + COVERAGE / 2))  # standard deviations


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


def _std(sample: Sample) -> Array:
    if sample.std is None:
        raise ValueError("probabilistic scores need the standard deviation of the estimate")
    return sample.std


CRPS_VALUES = Statistic(
    "crps",
    lambda s: gaussian_crps(truth=s.truth, mean=s.estimate, std=_std(s)),
)
VARIANCE = Statistic("variance", lambda s: _std(s) ** 2)
COVERED = Statistic(
    "covered",
    lambda s: (np.abs(s.truth - s.estimate) <= _HALF_WIDTH * _std(s)).astype(np.float64),
)

CRPS = Metric("crps", "m", (CRPS_VALUES,), lambda means: means["crps"])
SPREAD_SKILL = Metric(
    "spread_skill",
    "1",
    (VARIANCE, SQUARED_ERROR),
    lambda means: np.sqrt(means["variance"]) / np.sqrt(means["squared_error"]),
)
COVERAGE_90 = Metric("coverage_90", "1", (COVERED,), lambda means: means["covered"])

PROBABILISTIC = (CRPS, SPREAD_SKILL, COVERAGE_90)
