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
    faces_east = 0.5 * (h_ee + shift(h_ee, 0, 1, mesh.periodic)) * (mesh.east * mesh.dy / mesh.dx)
    scaled = h_nn * mesh.dx
    faces_north = 0.5 * (scaled + shift(scaled, 1, 0, mesh.periodic)) * (mesh.north / mesh.dy)
    faces_west = shift(faces_east, 0, -1, mesh.periodic)
    faces_south = shift(faces_north, -1, 0, mesh.periodic)
    planes = _mixed_term(mesh, h_en)
    _add(planes, (0, 1), -faces_east)
    _add(planes, (0, -1), -faces_west)
    _add(planes, (1, 0), -faces_north)
    _add(planes, (-1, 0), -faces_south)
    radiation = h_ee.sqrt() * mesh.wall_east + h_nn.sqrt() * mesh.wall_north
    local = kappa.square() * (mesh.area * mesh.ocean) + robin * kappa * radiation
    _add(planes, (0, 0), local + faces_east + faces_west + faces_north + faces_south)
    return torch.stack(planes, dim=-3) / mesh.area


def _add(planes: list[Tensor], offset: tuple[int, int], values: Tensor) -> None:
    planes[INDEX[offset]] = planes[INDEX[offset]] + values


def _mixed_term(mesh: Mesh, h_en: Tensor) -> list[Tensor]:
    """Return the nine planes of D·K that come from h_en: Σ_q ½ s_x s_y h_en (u_x − u)(u_y − u)."""
    planes = [torch.zeros_like(h_en) for _ in range(9)]
    across = {1: mesh.east, -1: shift(mesh.east, 0, -1, mesh.periodic)}
    along = {1: mesh.north, -1: shift(mesh.north, -1, 0, mesh.periodic)}
    for sx in (-1, 1):
        for sy in (-1, 1):
            at_node = h_en * (0.25 * sx * sy * across[sx] * along[sy])
            at_x = shift(at_node, 0, -sx, mesh.periodic)
            at_y = shift(at_node, -sy, 0, mesh.periodic)
            _add(planes, (sy, -sx), at_x)
            _add(planes, (-sy, sx), at_y)
            _add(planes, (0, sx), -at_node)
            _add(planes, (0, -sx), -at_x)
            _add(planes, (sy, 0), -at_node)
            _add(planes, (-sy, 0), -at_y)
            _add(planes, (0, 0), 2 * at_node)
    return planes


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
