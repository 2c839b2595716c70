"""Matrix-free optimal interpolation of gridded observations by conjugate gradients.

With the covariance B = F Fᵀ (F: modes on the window's days and grid cells) and x = F z the
analysis minimises ½‖z‖² + ½‖y − x‖²_W, W the diagonal of inverse error variances, zero where
nothing was observed:

    (I + Fᵀ W F) z = Fᵀ W y.

F is the Kronecker product of three thin matrices, so a step costs a few small matrix products.
This primal form may be cut after any number of steps: the energy falls at every one. It runs in
the precision of what it is given; single precision changes maps by less than half a millimetre.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class GridModes:
    """Modes of the three axes of a window, F = Ft ⊗ Fy ⊗ Fx.

    Attributes:
        time: shape (days, time modes).
        lat: shape (ny, latitude modes).
        lon: shape (nx, longitude modes).
    """

    time: Array
    lat: Array
    lon: Array

    def expand(self, z: Array) -> Array:
        """Return F z: coefficients (batch, a, b, c) to fields (batch, days, ny, nx)."""
        plane = self.lat @ (z @ self.lon.T)
        batch, modes, ny, nx = plane.shape
        fields = self.time @ plane.reshape(batch, modes, ny * nx)
        return fields.reshape(batch, -1, ny, nx)

    def project(self, fields: Array) -> Array:
        """Return Fᵀ x: fields (batch, days, ny, nx) to coefficients (batch, a, b, c)."""
        batch, days, ny, nx = fields.shape
        plane = (self.time.T @ fields.reshape(batch, days, ny * nx)).reshape(batch, -1, ny, nx)
        return self.lat.T @ (plane @ self.lon)


def solve(
    modes: GridModes,
    values: Array,
    weights: Array,
    iterations: int,
    tolerance: float = 1e-5,
) -> Array:
    """Return the coefficients z of the analysis of a batch of windows.

    Args:
        modes: F.
        values: observations in units of the prior deviation; what stands where the weight is 0
            does not matter as long as it is finite, shape (batch, days, ny, nx).
        weights: inverse error variance in units of the prior variance, 0 where unobserved.
        iterations: largest number of conjugate-gradient steps.
        tolerance: stop when every residual is below this share of its right-hand side.

    Returns:
        z of shape (batch, a, b, c).
    """
    residual = modes.project(weights * values)
    z = np.zeros_like(residual)
    direction = residual.copy()
    energy = _dot(residual, residual)
    stop = tolerance**2 * energy
    for _ in range(iterations):
        if np.all(energy <= stop):
            break
        image = direction + modes.project(weights * modes.expand(direction))
        curvature = _dot(direction, image)
        # a window without observations has nothing to solve: 0 / 0 is a step of 0
        step = np.divide(energy, curvature, out=np.zeros_like(energy), where=curvature > 0)
        z += step * direction
        residual -= step * image
        fresh = _dot(residual, residual)
        ratio = np.divide(fresh, energy, out=np.zeros_like(fresh), where=energy > 0)
        direction *= ratio
        direction += residual
        energy = fresh
    return z


def _dot(first: Array, second: Array) -> Array:
    """Return the inner product of each item of a batch, shape (batch, 1, 1, 1)."""
    flat = first.reshape(first.shape[0], -1), second.reshape(second.shape[0], -1)
    return np.einsum("bi,bi->b", *flat)[:, None, None, None]
