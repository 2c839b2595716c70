"""Separable Gaussian covariances as products of few one-dimensional modes.

The covariance of two points a distance d = (dt, dy, dx) apart is, in units of the prior variance,

    B(d) = exp(−(dt/Lt)² − (dy/Ly)² − (dx/Lx)²) = Kt(dt) Ky(dy) Kx(dx).

Each factor has a Fourier series on a circle that is longer than the domain by so much that its
images do not matter; sampled at any coordinates, on the grid or off it, the series is a matrix F
with F Fᵀ = K to rounding. A rotation to the principal axes of the domain then leaves only as many
columns ("modes") as the correlation length asks for, and of their products only those that carry
the variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline_spde.grids import KM_PER_DEGREE, Grid

Array = NDArray[np.float64]

_IMAGE_LENGTHS = 5.0  # the nearest image of a point is this many lengths off: e^-25
_FREQUENCY_LIMIT = 5.7  # series cut where exp(-(omega L / 2)^2) falls below 1e-14


@dataclass(frozen=True, eq=False)
class AxisModes:
    """Modes of the covariance exp(−(d/L)²) along one axis, best for a given set of nodes.

    Attributes:
        origin: coordinate of phase zero.
        frequencies: angular frequencies of the Fourier series, shape (m,).
        amplitudes: square roots of its weights, shape (m,).
        rotation: from the 2m cosines and sines to the modes, shape (2m, modes).
        shares: mean variance of each mode over the nodes, descending, shape (modes,).
    """

    origin: float
    frequencies: Array
    amplitudes: Array
    rotation: Array
    shares: Array

    def __call__(self, points: ArrayLike) -> Array:
        """Return the modes at coordinates (n,): F of shape (n, modes), F Fᵀ ≈ K."""
        return self._series(points) @ self.rotation

    def _series(self, points: ArrayLike) -> Array:
        offset = np.asarray(points, dtype=np.float64) - self.origin
        phase = offset[:, None] * self.frequencies
        return np.hstack([self.amplitudes * np.cos(phase), self.amplitudes * np.sin(phase)])


def gaussian_modes(
    nodes: ArrayLike,
    length: float,
    tolerance: float = 1e-12,
    circle: float | None = None,
) -> AxisModes:
    """Return the modes of exp(−(d/length)²) on an axis.

    On a circle of circumference P the covariance Σₖ exp(−((d + kP)/L)²) has the Fourier
    coefficients (√π L/P) exp(−(ωₘ L/2)²), ωₘ = 2πm/P.

    Args:
        nodes: coordinates over which the modes are orthogonal and their variance is counted;
            they must reach as far as any point at which the modes are wanted, shape (n,).
        length: L, in the units of the nodes.
        tolerance: share of the variance that the dropped modes may hold.
        circle: circumference of a periodic axis; None: an open axis.

    Raises:
        ValueError: the length is not positive.
    """
    if not length > 0:
        raise ValueError(f"a correlation length must be positive, got {length}")
    at = np.asarray(nodes, dtype=np.float64)
    perimeter = circle or float(np.ptp(at)) + _IMAGE_LENGTHS * length
    count = int(np.ceil(_FREQUENCY_LIMIT * perimeter / (np.pi * length)))
    frequencies = 2 * np.pi / perimeter * np.arange(count + 1, dtype=np.float64)
    spectrum = np.sqrt(np.pi) * length / perimeter * np.exp(-((frequencies * length / 2) ** 2))
    spectrum[1:] *= 2
    identity = np.eye(2 * (count + 1))
    raw = AxisModes(float(at.mean()), frequencies, np.sqrt(spectrum), identity, np.ones(0))
    series = raw(at) / np.sqrt(at.size)
    _, singular, rotation = np.linalg.svd(series, full_matrices=False)
    shares = singular**2
    rest = shares.sum() - np.cumsum(shares)
    kept = min(int(np.sum(rest > tolerance)) + 1, shares.size)
    return AxisModes(
        raw.origin, frequencies, raw.amplitudes, np.ascontiguousarray(rotation[:kept].T),
        shares[:kept],
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class ProductModes:
    """Products of time, latitude and longitude modes, those with the most variance.

    The products are ordered by time mode; with time mode a go the first `prefix[a]` of the
    spatial products, which are sorted by variance.

    Attributes:
        time: modes along time.
        lat: modes along latitude.
        lon: modes along longitude.
        rows: latitude mode of each spatial product, shape (spatial,).
        columns: longitude mode of each spatial product, shape (spatial,).
        prefix: number of spatial products kept with each time mode, non-increasing, > 0.
        neglected: share of the prior variance left out.
    """

    time: AxisModes
    lat: AxisModes
    lon: AxisModes
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    prefix: NDArray[np.int64]
    neglected: float

    @property
    def size(self) -> int:
        """Number of products."""
        return int(self.prefix.sum())

    @property
    def spatial(self) -> int:
        """Number of spatial products."""
        return self.rows.size

    @property
    def starts(self) -> NDArray[np.int64]:
        """Position of the first product of each time mode."""
        return np.asarray(np.cumsum(self.prefix) - self.prefix)

    def left_out(self, time: ArrayLike) -> Array:
        """Return the share of the prior variance, averaged in space, left out at times (n,)."""
        plane = np.cumsum(self.lat.shares[self.rows] * self.lon.shares[self.columns])
        kept = self.time(time)[:, : self.prefix.size] ** 2 @ plane[self.prefix - 1]
        return np.asarray(np.maximum(1.0 - kept, 0.0))

    def points(self, y: ArrayLike, x: ArrayLike) -> Array:
        """Return the spatial products at points (n,), shape (n, spatial)."""
        return self.lat(y)[:, self.rows] * self.lon(x)[:, self.columns]

    def nodes(self, y: ArrayLike, x: ArrayLike) -> Array:
        """Return the spatial products on the nodes of a grid, shape (ny · nx, spatial)."""
        north, east = self.lat(y)[:, self.rows], self.lon(x)[:, self.columns]
        return (north[:, None] * east).reshape(-1, self.spatial)


def product_modes(
    time: AxisModes, lat: AxisModes, lon: AxisModes, tolerance: float
) -> ProductModes:
    """Return the fewest products whose neglected variance is at most `tolerance` (of 1)."""
    plane = np.outer(lat.shares, lon.shares).ravel()
    order = np.argsort(-plane, kind="stable")
    shares = np.outer(time.shares, plane[order])
    ranked = np.sort(shares, axis=None)[::-1]
    kept_share = np.cumsum(ranked)
    count = int(np.searchsorted(kept_share, 1.0 - tolerance)) + 1
    cutoff = ranked[min(count, ranked.size) - 1]
    prefix = np.sum(shares >= cutoff, axis=1)
    prefix = prefix[prefix > 0]
    order = order[: prefix[0]]
    kept = sum(float(shares[a, :size].sum()) for a, size in enumerate(prefix))
    return ProductModes(
        time=time,
        lat=lat,
        lon=lon,
        rows=order // lon.shares.size,
        columns=order % lon.shares.size,
        prefix=prefix,
        neglected=max(1.0 - kept, 0.0),
    )


def plane_axes_km(grid: Grid) -> tuple[Array, Array, float | None]:
    """Return the (y, x) axes of a grid in km and the circumference in x of a periodic one.

    Zonal distances are those at the middle latitude, so that the covariance stays separable;
    12 degrees of latitude at 38°N are 8 % off at either end.
    """
    if grid.kind == "cartesian":
        circle = grid.lon.size * grid.resolution[1] if grid.periodic else None
        return grid.lat, grid.lon, circle
    scale = KM_PER_DEGREE * float(np.cos(np.radians(grid.lat.mean())))
    return grid.lat * KM_PER_DEGREE, grid.lon * scale, 360.0 * scale if grid.periodic else None
