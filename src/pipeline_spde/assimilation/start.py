"""Starts of the solver: some conjugate-gradient steps of an OI, smoothed observations, or zero.

A fourth one, the exact analysis with the SPDE prior, is made beforehand and handed in.

The OI start solves for the coefficients z of the state x = U z in the eigenbasis of a separable
Gaussian covariance B = U Uᵀ (U = Uₜ ⊗ U_y ⊗ U_x, unit variance):

    (I + Uᵀ R⁻¹ U) z = Uᵀ R⁻¹ y,     B = exp(−(Δt/L_t)² − (Δy/L)² − (Δx/L)²),

R⁻¹ being zero where nothing is observed. In this primal form an early stop gives a smooth map;
in observation space it would give a useless one. Nothing here is differentiated.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline_spde.assimilation.costs import REFERENCE_ERROR
from pipeline_spde.config import NetworkConfig
from pipeline_spde.first_guess import Guess

NEGLECTED_VARIANCE = 1e-4
"""Share of the prior variance along one axis that the truncated eigenbasis may leave out."""
SMOOTHING_PRIOR = 2.0
"""Weight of the zero prior mean in the smoothed start, in units of one central observation."""
_CONVERGED = 1e-13
"""Residual, relative to the first one, at which the conjugate gradients have nothing to add."""


def gaussian_matrix(count: int, step: float, length: float) -> NDArray[np.float64]:
    """Return exp(−(d/length)²) between `count` points `step` apart, shape (count, count)."""
    positions = np.arange(count) * step
    return np.exp(-(((positions[:, None] - positions[None, :]) / length) ** 2))


@lru_cache(maxsize=256)
def covariance_root(count: int, step: float, length: float) -> Tensor:
    """Return U (count, modes), float64 on the CPU, with U Uᵀ ≈ the Gaussian covariance matrix.

    Eigenvalues are cut at zero, and the smallest ones, which hold `NEGLECTED_VARIANCE` of the
    trace together, are left out.
    """
    values, vectors = np.linalg.eigh(gaussian_matrix(count, step, length))
    values = values.clip(min=0.0)
    kept = np.cumsum(values) > NEGLECTED_VARIANCE * values.sum()
    return torch.from_numpy(np.ascontiguousarray(vectors[:, kept] * np.sqrt(values[kept])))


Factors = tuple[Tensor, Tensor, Tensor]


def to_state(factors: Factors, coefficients: Tensor) -> Tensor:
    """Return (Fₜ ⊗ F_y ⊗ F_x) z: (batch, t', y', x') -> (batch, time, lat, lon)."""
    time, lat, lon = factors
    batch, modes, rows, columns = coefficients.shape
    lines = (coefficients.reshape(-1, columns) @ lon.T).reshape(batch * modes, rows, -1)
    planes = (lat @ lines).reshape(batch, modes, -1)
    return (time @ planes).reshape(batch, time.shape[0], lat.shape[0], lon.shape[0])


def to_coefficients(factors: Factors, state: Tensor) -> Tensor:
    """Return (Fₜ ⊗ F_y ⊗ F_x)ᵀ x: the adjoint of `to_state`, in the opposite order."""
    time, lat, lon = factors
    batch, days, rows, columns = state.shape
    planes = time.T @ state.reshape(batch, days, -1)
    lines = (planes.reshape(-1, columns) @ lon).reshape(batch * time.shape[1], rows, -1)
    return (lat.T @ lines).reshape(batch, time.shape[1], lat.shape[1], lon.shape[1])


def interpolate(heights: Tensor, precision: Tensor, factors: Factors, iterations: int) -> Tensor:
    """Return the OI analysis after some conjugate-gradient steps from z = 0.

    Residuals are kept orthogonal to all earlier ones: there are few, and without it rounding errors
    grow so fast that the map after 20 steps would depend on how windows are batched.

    Args:
        heights: y, finite everywhere, shape (batch, time, lat, lon).
        precision: R⁻¹, zero where unobserved, same shape.
        factors: (Uₜ, U_y, U_x) on the device of the data.
        iterations: steps; enough of them give the exact analysis.
    """

    def apply(flat: Tensor) -> Tensor:
        state = to_state(factors, flat.reshape(shape))
        return flat + to_coefficients(factors, precision * state).flatten(1)

    right_side = to_coefficients(factors, precision * heights)
    shape = right_side.shape
    residual = right_side.flatten(1)
    solution = torch.zeros_like(residual)
    direction = residual.clone()
    squared = residual.square().sum(1, keepdim=True)
    tiny, converged = torch.finfo(residual.dtype).tiny, _CONVERGED**2 * squared
    earlier = residual.new_zeros(residual.shape[0], iterations, residual.shape[1])
    for step in range(iterations):
        earlier[:, step] = residual / squared.sqrt().clamp(min=tiny)
        image = apply(direction)
        length = squared / (direction * image).sum(1, keepdim=True).clamp(min=tiny)
        solution = solution + length * direction
        residual = _orthogonalised(residual - length * image, earlier[:, : step + 1])
        going_on = residual.square().sum(1, keepdim=True) > converged
        residual = torch.where(going_on, residual, torch.zeros_like(residual))
        previous, squared = squared, residual.square().sum(1, keepdim=True)
        direction = residual + squared / previous.clamp(min=tiny) * direction
    return to_state(factors, solution.reshape(shape))


def _orthogonalised(vectors: Tensor, basis: Tensor) -> Tensor:
    """Return vectors (batch, n) without their parts along an orthonormal basis (batch, k, n)."""
    along = basis @ vectors[..., None]
    return vectors - (basis.mT @ along)[..., 0]


def smooth(heights: Tensor, weight: Tensor, factors: Factors) -> Tensor:
    """Return G(w y) / (G w + SMOOTHING_PRIOR), G the (square) Gaussian matrices in `factors`."""
    return to_state(factors, weight * heights) / (to_state(factors, weight) + SMOOTHING_PRIOR)


def first_guess(
    heights: Tensor,
    weight: Tensor,
    config: NetworkConfig,
    spacing_km: tuple[float, float],
    guess: Guess | None = None,
) -> Tensor:
    """Return the start of the solver, float32, outside autograd and autocast.

    The OI is computed in float64: conjugate gradients amplify rounding errors, and the maps are
    not to depend on how windows are batched.

    Args:
        heights: normalised, finite (zero where unobserved), shape (batch, time, lat, lon).
        weight: `costs.observation_weight`, zero where unobserved, same shape.
        config: `start`, `start_iterations`, `start_length_km`, `start_length_days`.
        spacing_km: (dy, dx) of the cells.
        guess: the exact analysis with the SPDE prior, for `start: spde_oi`.

    Raises:
        ValueError: `start: spde_oi` without a guess.
    """
    if config.start == "zeros":
        return torch.zeros_like(heights)
    if config.start == "spde_oi":
        if guess is None:
            raise ValueError(
                "start: spde_oi needs the first guess of the windows; make it (stage first_guess)"
            )
        return guess.height
    days, rows, columns = heights.shape[1:]
    axes = (
        (days, 1.0, config.start_length_days),
        (rows, spacing_km[0], config.start_length_km),
        (columns, spacing_km[1], config.start_length_km),
    )
    with torch.no_grad(), torch.autocast(heights.device.type, enabled=False):
        heights, weight = heights.double().contiguous(), weight.double().contiguous()
        if config.start == "oi":
            roots = [covariance_root(*axis).to(heights.device) for axis in axes]
            precision = weight / REFERENCE_ERROR**2
            factors = (roots[0], roots[1], roots[2])
            return interpolate(heights, precision, factors, config.start_iterations).float()
        # a smoothing kernel of half the covariance's variance per axis: exp(−2 (d/L)²)
        kernels = [
            torch.from_numpy(gaussian_matrix(count, step, length / 2**0.5)).to(heights)
            for count, step, length in axes
        ]
        return smooth(heights, weight, (kernels[0], kernels[1], kernels[2])).float()
