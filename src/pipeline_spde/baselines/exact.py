"""The exact Gaussian posterior in a truncated basis, by Cholesky factorisation.

With the products of modes Φ (observations × products) and the diagonal W of inverse error
variances, the coefficients have the posterior precision and mean

    P = I + Φᵀ W Φ,    P z = Φᵀ W y.

The spatial part of ΦᵀWΦ is summed once per day and serves every window that holds the day. Where
samples have times of their own, the time modes are taken as linear within a day, which needs the
sums weighted by 1, τ and τ² (τ the time since the middle of the day).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from pipeline_spde.baselines.covariance import AxisModes, ProductModes

Array = NDArray[np.float64]

_CHUNK_ROWS = 64


@dataclass(frozen=True, eq=False)
class DaySums:
    """Sums over the observations of one day, or of a part of one.

    Attributes:
        gram: Σ w τ^q f fᵀ of the spatial products f, q = 0 or 0…2, shape (q, spatial, spatial).
        right: Σ w τ^q y f, q = 0 or 0…1, shape (q, spatial).
    """

    gram: Array
    right: Array

    def scaled(self, weight: float) -> DaySums:
        """Return the sums with every weight multiplied by `weight`."""
        return DaySums(weight * self.gram, weight * self.right)


def day_sums(
    features: Array, weights: Array, values: Array, within_day: Array | None = None
) -> DaySums:
    """Return the sums of one day.

    Args:
        features: spatial products at the observations, shape (n, spatial).
        weights: inverse error variances in units of the prior variance, shape (n,).
        values: observations in units of the prior deviation, shape (n,).
        within_day: τ in days from the middle of the day; None: all at the middle, shape (n,).
    """
    weighted = features * np.sqrt(weights)[:, None]
    right = (weights * values) @ features
    if within_day is None:
        return DaySums((weighted.T @ weighted)[None], right[None])
    shifted = weighted * within_day[:, None]
    grams = [weighted.T @ weighted, shifted.T @ weighted, shifted.T @ shifted]
    return DaySums(np.stack(grams), np.stack([right, (weights * values * within_day) @ features]))


def linear_in_day(time: AxisModes, offset: float) -> Array:
    """Return c₀ and c₁ of the time modes φ(offset + τ) ≈ c₀ + c₁ τ, shape (2, modes).

    The line passes through the modes at the two Chebyshev points of the day.
    """
    reach = 0.5 / np.sqrt(2.0)
    before, after = time([offset - reach, offset + reach])
    return np.stack([(after + before) / 2, (after - before) / (2 * reach)])


@dataclass(frozen=True, eq=False)
class Posterior:
    """Posterior of the coefficients of one window.

    Attributes:
        modes: the basis.
        factor: lower Cholesky factor of P, shape (products, products).
        coefficients: posterior mean z, shape (products,).
    """

    modes: ProductModes
    factor: Array
    coefficients: Array

    def spatial_mean(self, time: Array) -> Array:
        """Return the spatial coefficients of the mean where the time modes are `time` (a,)."""
        modes = self.modes
        total = np.zeros(modes.spatial)
        for share, start, size in zip(time, modes.starts, modes.prefix, strict=False):
            total[:size] += share * self.coefficients[start : start + size]
        return total

    def variance(self, time: Array, features: Array) -> Array:
        """Return the posterior variance at points, in units of the prior variance.

        Args:
            time: time modes at the instant of the map, shape (a,).
            features: spatial products at the points, shape (points, spatial).

        Returns:
            Variances of shape (points,): exact in the basis, plus the prior variance of what
            the basis leaves out, which no observation reduces.
        """
        modes = self.modes
        selector = np.zeros((modes.size, modes.spatial))
        prior = np.zeros(modes.spatial)
        for share, start, size in zip(time, modes.starts, modes.prefix, strict=False):
            selector[start + np.arange(size), np.arange(size)] = share
            prior[:size] += share**2
        half = scipy.linalg.solve_triangular(
            self.factor, selector, lower=True, overwrite_b=True, check_finite=False
        )
        covariance = half.T @ half
        left_out = np.maximum(1.0 - features**2 @ prior, 0.0)
        return np.einsum("ps,ps->p", features @ covariance, features) + left_out


def condition(modes: ProductModes, days: Sequence[DaySums], time: Sequence[Array]) -> Posterior:
    """Return the posterior given the sums of a window's days.

    Args:
        modes: the basis.
        days: sums of the days that hold observations.
        time: for each day its time modes (1, time modes), or c₀ and c₁ (2, time modes) of
            `linear_in_day` when its sums hold the moments of τ.
    """
    lines = [line[:, : modes.prefix.size] for line in time]
    right = np.zeros(modes.size)
    for day, line in zip(days, lines, strict=True):
        for a, (start, size) in enumerate(zip(modes.starts, modes.prefix, strict=True)):
            right[start : start + size] += line[:, a] @ day.right[:, :size]
    grams = [gram for day in days for gram in day.gram]
    couplings = [coupling for line in lines for coupling in _couplings(line)]
    factor = _factorise(modes, grams, couplings)
    mean = scipy.linalg.cho_solve((factor, True), right, check_finite=False)
    return Posterior(modes, factor, mean)


def _couplings(line: Array) -> list[Array]:
    """Return the matrices (time modes, time modes) that go with the moments of a day's Gram."""
    if line.shape[0] == 1:
        return [np.outer(line[0], line[0])]
    level, slope = line
    mixed = np.outer(level, slope)
    return [np.outer(level, level), mixed + mixed.T, np.outer(slope, slope)]


def _factorise(modes: ProductModes, grams: Sequence[Array], couplings: Sequence[Array]) -> Array:
    """Return the lower Cholesky factor of P = I + Σ C ⊗ G, C couplings and G Gram matrices."""
    size = modes.size
    # Fortran order: the factor takes the place of the matrix
    precision = np.zeros((size, size), order="F")
    precision[np.arange(size), np.arange(size)] = 1.0
    pairs = [(a, b) for a in range(modes.prefix.size) for b in range(a + 1)]
    shares = np.array([[coupling[pair] for coupling in couplings] for pair in pairs])
    for top in range(0, modes.spatial if grams else 0, _CHUNK_ROWS):
        bottom = min(top + _CHUNK_ROWS, modes.spatial)
        active = [i for i, (a, _) in enumerate(pairs) if modes.prefix[a] > top]
        rows = np.stack([gram[top:bottom] for gram in grams])
        blocks = shares[active] @ rows.reshape(len(grams), -1)
        blocks = blocks.reshape(len(active), bottom - top, modes.spatial)
        for block, (a, b) in zip(blocks, (pairs[i] for i in active), strict=True):
            height, width = min(bottom, modes.prefix[a]) - top, modes.prefix[b]
            row, column = modes.starts[a] + top, modes.starts[b]
            precision[row : row + height, column : column + width] += block[:height, :width]
    factor: Array = scipy.linalg.cholesky(
        precision, lower=True, overwrite_a=True, check_finite=False
    )
    return factor
