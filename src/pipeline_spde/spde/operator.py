"""The operators K = κ² − ∇·H∇ and S = m·∇ on a grid, as nine-point stencils.

Finite volumes: fluxes through cell faces over cell areas a, so D·K is symmetric and D·S
skew-symmetric with D = diag(a), for every parameter field. Diffusion comes from the energy

    u'DKu = Σ_v a_v κ²_v u_v² + Σ_v Σ_q ¼ a_v (h_ee g_x² + 2 h_en g_x g_y + h_nn g_y²)_v,q + walls

over the four quadrants q of each node v with one-sided differences g, hence D·K is positive
definite for every positive definite H. Coasts carry no flux; open walls radiate (Robin condition
H n·∇u + c κ √(n·H n) u = 0), which keeps the variance at a wall near that of the interior.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from pipeline_spde.grids import Grid
from pipeline_spde.spde.stencil import CENTRE, INDEX, shift

ROBIN = 1.0
"""c: measured wall and corner standard deviations 1.02 and 1.08 of the interior (α = 2)."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """Metric of a grid as tensors of one dtype and device.

    Attributes:
        ocean: True on water, (ny, nx).
        area: cell areas, km², (ny, nx).
        dx: zonal cell sizes, km, (ny, 1).
        dy: meridional cell size, km.
        east, north: 1 where the face towards that neighbour joins two ocean cells, else 0.
        wall_east, wall_north: length in km of open walls facing east or west, north or south.
        periodic: the columns form a circle.
    """

    ocean: Tensor
    area: Tensor
    dx: Tensor
    dy: float
    east: Tensor
    north: Tensor
    wall_east: Tensor
    wall_north: Tensor
    periodic: bool

    @property
    def count(self) -> int:
        """Number of ocean cells."""
        return int(self.ocean.sum())


@lru_cache(maxsize=32)
def mesh(grid: Grid, dtype: torch.dtype, device: torch.device) -> Mesh:
    """Return the cached metric of a grid.

    Raises:
        ValueError: the grid has no ocean, or rows too short for a periodic stencil.
    """
    if not grid.ocean.any():
        raise ValueError("the grid has no ocean cell; a prior needs at least one")
    if grid.periodic and grid.shape[1] < 3:
        raise ValueError(f"a periodic grid needs at least 3 columns, this one has {grid.shape[1]}")

    def tensor(values: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(values), dtype=dtype, device=device)

    ocean, dx = grid.ocean, grid.dx_km[:, None]
    neighbour = np.roll(ocean, -1, axis=1)
    north = np.zeros_like(ocean)
    north[:-1] = ocean[:-1] & ocean[1:]
    wall_east, wall_north = np.zeros(ocean.shape), np.zeros(ocean.shape)
    wall_north[0] += dx[0]
    wall_north[-1] += dx[-1]
    if not grid.periodic:
        neighbour[:, -1] = False
        wall_east[:, 0] += grid.dy_km
        wall_east[:, -1] += grid.dy_km
    return Mesh(
        ocean=torch.as_tensor(ocean, device=device),
        area=tensor(grid.area_km2),
        dx=tensor(dx),
        dy=grid.dy_km,
        east=tensor(ocean & neighbour),
        north=tensor(north),
        wall_east=tensor(wall_east * ocean),
        wall_north=tensor(wall_north * ocean),
        periodic=grid.periodic,
    )


def diffusion(
    mesh: Mesh, kappa: Tensor, h_ee: Tensor, h_en: Tensor, h_nn: Tensor, robin: float = ROBIN
) -> Tensor:
    """Return the stencil of K = κ² − ∇·H∇, in day⁻¹, shape (..., 9, ny, nx); zero rows on land.

    Args:
        mesh: metric of the grid.
        kappa: κ, day^-1/2, shape (..., ny, nx).
        h_ee: east-east component of H, km²/day, like kappa.
        h_en: east-north component.
        h_nn: north-north component.
        robin: coefficient c of the open walls; 0 is a wall without flux.
    """
    periodic = mesh.periodic
    east, north, north_east, north_west = _mixed_term(mesh, h_en)
    scaled = h_nn * mesh.dx
    east = east - (h_ee + shift(h_ee, 0, 1, periodic)) * (0.5 * mesh.east * mesh.dy / mesh.dx)
    north = north - (scaled + shift(scaled, 1, 0, periodic)) * (0.5 * mesh.north / mesh.dy)
    west, south = shift(east, 0, -1, periodic), shift(north, -1, 0, periodic)
    south_west = shift(north_east, -1, -1, periodic)
    south_east = shift(north_west, -1, 1, periodic)
    # rows of the flux part sum to zero
    coupling = east + west + north + south + north_east + north_west + south_east + south_west
    radiation = h_ee.sqrt() * mesh.wall_east + h_nn.sqrt() * mesh.wall_north
    local = kappa.square() * (mesh.area * mesh.ocean) + robin * kappa * radiation
    rows = [
        *(south_west, south, south_east),
        *(west, local - coupling, east),
        *(north_west, north, north_east),
    ]
    return torch.stack(rows, dim=-3) / mesh.area


def _mixed_term(mesh: Mesh, h_en: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the entries of D·K towards E, N, NE and NW that come from h_en.

    They add up Σ_q ½ s_x s_y h_en (u_x − u)(u_y − u) over the quadrants of each node, where u_x and
    u_y are its neighbours on the sides s_x and s_y. Opposite quadrants cancel along the axes except
    beside a wall or a coast.
    """
    periodic = mesh.periodic
    west_face = shift(mesh.east, 0, -1, periodic)
    south_face = shift(mesh.north, -1, 0, periodic)
    quarter = 0.25 * h_en
    uneven_north, uneven_east = mesh.north - south_face, mesh.east - west_face
    east = shift(quarter * (west_face * uneven_north), 0, 1, periodic)
    east = east - quarter * (mesh.east * uneven_north)
    north = shift(quarter * (south_face * uneven_east), 1, 0, periodic)
    north = north - quarter * (mesh.north * uneven_east)
    north_east = -shift(quarter * (west_face * mesh.north), 0, 1, periodic)
    north_east = north_east - shift(quarter * (mesh.east * south_face), 1, 0, periodic)
    north_west = shift(quarter * (mesh.east * mesh.north), 0, -1, periodic)
    north_west = north_west + shift(quarter * (west_face * south_face), 1, 0, periodic)
    return east, north, north_east, north_west


def advection(mesh: Mesh, m_east: Tensor, m_north: Tensor) -> Tensor:
    """Return the stencil of S, skew-symmetric m·∇ in day⁻¹, shape (..., 9, ny, nx).

    S u = ∇·(m u) − ½ (∇·m) u with centred differences: m·∇u for flow without divergence, and
    u'DSu = 0 for every m. No flow crosses a wall or a coast.

    Args:
        mesh: metric of the grid.
        m_east: eastward velocity, km/day, shape (..., ny, nx).
        m_north: northward velocity, km/day.
    """
    east = 0.25 * (m_east + shift(m_east, 0, 1, mesh.periodic)) * (mesh.east * mesh.dy)
    scaled = m_north * mesh.dx
    north = 0.25 * (scaled + shift(scaled, 1, 0, mesh.periodic)) * mesh.north
    planes = [torch.zeros_like(m_east) for _ in range(9)]
    planes[INDEX[0, 1]] = east
    planes[INDEX[0, -1]] = -shift(east, 0, -1, mesh.periodic)
    planes[INDEX[1, 0]] = north
    planes[INDEX[-1, 0]] = -shift(north, -1, 0, mesh.periodic)
    return torch.stack(planes, dim=-3) / mesh.area


def noise_filter(mesh: Mesh, length_km: float) -> Tensor:
    """Return the stencil of ℓ²·(−∇²) with radiating walls, shape (1, 9, ny, nx), no unit."""
    one = torch.ones_like(mesh.area)[None]
    square = one * length_km**2
    full = diffusion(mesh, one, square, torch.zeros_like(one), square)
    identity = torch.zeros_like(full)
    identity[:, CENTRE] = mesh.ocean.to(full.dtype)
    return full - identity
