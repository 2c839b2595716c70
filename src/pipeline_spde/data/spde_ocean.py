"""A random ocean: daily maps drawn from a space-time SPDE whose parameters vary in space.

    dx/dt + [(κ² − ∇·H∇)² + m·∇] x = τ ξ                          (α = 4, `pipeline_spde.spde`)

The parameters are functions of position with named numbers (`SpdeOceanConfig`). With latitude φ,
the weight wᵢ = exp(−(dᵢ/widthᵢ)²) of each current at the distance dᵢ from its path,
e = exp(−(φ/φe)²) and E = 1 − (1 − e) Π (1 − wᵢ):

    σ² = quiet² + Σ (σᵢ wᵢ)²                                        energetic boundary currents
    R  = polar + (tropical − polar) φ₀²/(φ² + φ₀²)                  ranges shrink with latitude
    zonal, meridional range = R √a, R/√a,   a = 1 + (ratio − 1) e   long zonal ranges in the tropics
    T  = quiet^(1−E) energetic^E                                    energetic places forget faster
    m  = −c(φ) east + Σ speedᵢ wᵢ (direction of the path)           westward drift, mean currents
    c  = c_R/√(1 + (c_R/c_max)²),   c_R = β R_d²,   R_d = c₁ cos φ / √(f² + 2 β c₁ cos φ)

Draws are coherent over the whole domain and period: no tiles, no seam at the date line.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_spde.config.ocean import CurrentConfig, SpdeOceanConfig
from pipeline_spde.fields import Maps
from pipeline_spde.grids import EARTH_RADIUS_KM, Grid
from pipeline_spde.spde import Dynamics, SpdeParameters, SpdePrior
from pipeline_spde.spde.variance import lattice_variance_per_unit_tau, variance_per_unit_tau

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

EARTH_ROTATION = 7.2921e-5  # s-1
KM_PER_DAY = 86.4  # of 1 m/s
_POINTS_PER_WIDTH = 4
_REACH_WIDTHS = 3.0  # the weight of a current is below 2e-4 beyond


@dataclass(frozen=True, eq=False)
class OceanParameters:
    """Parameters of the random ocean, each (lat, lon); land cells hold values too.

    Attributes:
        sigma: standard deviation, m.
        range_east: zonal range, km.
        range_north: meridional range, km.
        decorrelation_time: days.
        m_east: eastward drift of eddies, km/day.
        m_north: northward drift, km/day.
    """

    sigma: Array
    range_east: Array
    range_north: Array
    decorrelation_time: Array
    m_east: Array
    m_north: Array


def ocean_parameters(grid: Grid, config: SpdeOceanConfig) -> OceanParameters:
    """Return the parameters on the cells of a latitude-longitude grid.

    Raises:
        ValueError: the grid is Cartesian.
    """
    if grid.kind != "latlon":
        raise ValueError("the random ocean is defined on latitudes and longitudes; use such a grid")
    lat = np.broadcast_to(grid.lat[:, None], grid.shape)
    tropics = np.exp(-((lat / config.equatorial_latitude_degrees) ** 2))
    variance = np.full(grid.shape, config.quiet_sigma_m**2)
    calm = 1.0 - tropics
    east, north = -KM_PER_DAY * westward_drift(lat, config), np.zeros(grid.shape)
    for current in config.currents.values():
        weight, along_east, along_north = _strip(grid, current)
        variance += (current.sigma_m * weight) ** 2
        calm = calm * (1.0 - weight)
        east = east + KM_PER_DAY * current.speed * along_east
        north = north + KM_PER_DAY * current.speed * along_north
    share = (lat / config.range_latitude_degrees) ** 2
    polar, tropical = config.polar_range_km, config.tropical_range_km
    size = polar + (tropical - polar) / (1 + share)
    stretch = np.sqrt(1 + (config.equatorial_ratio - 1) * tropics)
    least = config.smallest_range_cells
    return OceanParameters(
        sigma=np.sqrt(variance),
        range_east=np.maximum(size * stretch, least * grid.dx_km[:, None]),
        range_north=np.maximum(size / stretch, least * grid.dy_km),
        decorrelation_time=config.quiet_days**calm * config.energetic_days ** (1 - calm),
        m_east=east,
        m_north=north,
    )


def westward_drift(lat: Array, config: SpdeOceanConfig) -> Array:
    """Return the speed at which long Rossby waves carry eddies to the west, m/s, ≥ 0."""
    phi = np.radians(lat)
    coriolis = 2 * EARTH_ROTATION * np.sin(phi)
    beta = 2 * EARTH_ROTATION * np.cos(phi) / (1000 * EARTH_RADIUS_KM)
    wave = config.wave_speed * np.cos(phi)
    rossby = beta * wave**2 / (coriolis**2 + 2 * beta * wave)
    return rossby / np.sqrt(1 + (rossby / config.largest_drift) ** 2)


def ocean_prior(grid: Grid, config: SpdeOceanConfig) -> SpdePrior:
    """Return the prior of the random ocean, three days long, in single precision."""
    fields = ocean_parameters(grid, config)
    dynamics = Dynamics(
        alpha=4,
        scheme="crank_nicolson",
        rho=config.noise_correlation,
        substeps=config.substeps,
    )

    def tensor(field: Array) -> torch.Tensor:
        return torch.as_tensor(field, dtype=torch.float32).expand(1, _PRIOR_DAYS, *grid.shape)

    theta = SpdeParameters.from_physical(
        tensor(fields.sigma),
        tensor(fields.range_east),
        tensor(fields.range_north),
        0.0,
        tensor(fields.decorrelation_time),
        tensor(fields.m_east),
        tensor(fields.m_north),
        dynamics=dynamics,
    )
    return SpdePrior(grid, _calibrated(theta, grid, dynamics), **vars(dynamics))


def _calibrated(theta: SpdeParameters, grid: Grid, dynamics: Dynamics) -> SpdeParameters:
    """Return the parameters with τ for the cells of the grid in place of a continuous plane."""
    kappa, h_ee, h_en, h_nn = (
        getattr(theta, name)[:, :1] for name in ("kappa", "h_ee", "h_en", "h_nn")
    )
    cells = grid.dy_km, torch.as_tensor(grid.dx_km[:, None], dtype=kappa.dtype)
    unit = variance_per_unit_tau(kappa, h_ee, h_en, h_nn, dynamics)
    on_grid = lattice_variance_per_unit_tau(kappa, h_ee, h_en, h_nn, dynamics, cells)
    return replace(theta, tau=theta.tau * (unit / on_grid).sqrt())


_PRIOR_DAYS = 2  # the shortest window that `SpdePrior.draws` can go on from


def simulate(
    grid: Grid,
    time: NDArray[np.datetime64],
    config: SpdeOceanConfig,
    seed: int,
    progress: Progress | None = None,
) -> Maps:
    """Return daily maps of the sea level anomaly of a random ocean.

    Args:
        grid: latitudes and longitudes; coasts carry no flux, a circle of longitudes closes.
        time: 12:00 UTC stamps of consecutive days, shape (time,).
        config: the ocean.
        seed: seed of the draw.
        progress: called after every day with (days done, all days).

    Returns:
        Maps of quantity "sla" in m: anomalies about a mean of zero, NaN on land.

    Raises:
        ValueError: days that are not consecutive, or a grid without latitudes.
    """
    if time.size > 1 and np.any(np.diff(time) != np.timedelta64(1, "D")):
        raise ValueError("a random ocean is drawn day by day; give consecutive days")
    height = np.empty((time.size, *grid.shape), np.float32)
    days = ocean_prior(grid, config).draws(1, torch.Generator().manual_seed(seed), time.size)
    for number, day in enumerate(days):
        height[number] = day[0, 0].numpy()
        if progress is not None:
            progress(number + 1, time.size)
    height[:, grid.land] = np.nan
    return Maps(time=time, grid=grid, height=height, quantity="sla")


def _strip(grid: Grid, current: CurrentConfig) -> tuple[Array, Array, Array]:
    """Return the weight of a current and its direction times that weight, east and north.

    The direction is the mean over the path's points, weighted by their nearness: it turns smoothly
    where two legs run side by side.
    """
    points, tangents = path_points(current)
    weight, east, north = (np.zeros(grid.shape) for _ in range(3))
    reach = np.degrees(_REACH_WIDTHS * current.width_km / EARTH_RADIUS_KM)
    at = np.degrees(np.arcsin(points[:, 2]))
    for row in np.flatnonzero((grid.lat > at.min() - reach) & (grid.lat < at.max() + reach)):
        here, to_east, to_north = _frame(grid.lat[row], grid.lon)
        distance = EARTH_RADIUS_KM * np.arccos(np.clip(here @ points.T, -1, 1))  # (lon, points)
        near = np.exp(-((distance / current.width_km) ** 2))
        weight[row] = near.max(axis=1)
        mean = near @ tangents / np.maximum(near.sum(axis=1), np.finfo(float).tiny)[:, None]
        east[row] = weight[row] * (mean * to_east).sum(axis=1)
        north[row] = weight[row] * (mean * to_north).sum(axis=1)
    return weight, east, north


def path_points(current: CurrentConfig) -> tuple[Array, Array]:
    """Return points along a path and the direction there, unit vectors, each (points, 3).

    Points are a quarter of the width apart or closer.
    """
    corners = np.array([_frame(lat, np.array([lon]))[0][0] for lat, lon in current.path])
    points, tangents = [], []
    for start, end in pairwise(corners):
        angle = float(np.arccos(np.clip(start @ end, -1, 1)))
        if angle == 0:
            continue
        count = int(np.ceil(_POINTS_PER_WIDTH * angle * EARTH_RADIUS_KM / current.width_km))
        across = (end - start * np.cos(angle)) / np.sin(angle)
        steps = angle * (np.arange(count) + 0.5)[:, None] / count
        points.append(np.cos(steps) * start + np.sin(steps) * across)
        tangents.append(np.cos(steps) * across - np.sin(steps) * start)
    return np.concatenate(points), np.concatenate(tangents)


def _frame(lat: float, lon: Array) -> tuple[Array, Array, Array]:
    """Return unit vectors upward, to the east and to the north at points of a row, (lon, 3)."""
    phi, lam = np.radians(lat), np.radians(lon)
    zero = np.zeros(lam.shape)
    up = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), zero + np.sin(phi)], 1)
    east = np.stack([-np.sin(lam), np.cos(lam), zero], 1)
    north = np.stack(
        [-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), zero + np.cos(phi)], 1
    )
    return up, east, north
