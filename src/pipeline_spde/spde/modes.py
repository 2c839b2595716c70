"""The prior in a truncated basis of cosines, where a window can be filtered day by day exactly.

A field is C c with CᵀDC = I, D the cell areas and C the cosines (and, around a circle, the sines)
down to a shortest wavelength, made orthonormal over the ocean. The dynamics are projected,

    c_{t+1} = Â⁻¹ (B̂ c_t + ê_{t+1}),   ê_{t+2} = ρ ê_{t+1} + ξ̂,   Â = CᵀDAC,   ξ̂ ~ N(0, CᵀD N⁻¹ DC)

so with all wavelengths of the grid this is the prior itself (tested). What the basis leaves out is
known as a variance per cell, to be counted in the error of observations and of maps.

No flow of the prior crosses a wall: a current that runs against one ends in a layer of thickness
H/|m|. A basis without waves that short would send all that arrives there back upstream, as waves of
its cut-off. A shortened basis therefore lets currents out: to the skew-symmetric S comes

    ½ max(m·n, 0) · length of the wall / area        in the cells at an open wall,

which makes S the projection of m·∇ on fields that go on evenly beyond the wall, as cosines do.
It is not negative, so the step stays stable however strong the current.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce

import torch
from torch import Tensor

from pipeline_spde.grids import Grid
from pipeline_spde.spde.dynamics import Dynamics
from pipeline_spde.spde.operator import Mesh, advection, mesh
from pipeline_spde.spde.parameters import SpdeParameters
from pipeline_spde.spde.polynomial import Polynomial
from pipeline_spde.spde.prior import SpdePrior
from pipeline_spde.spde.propagator import Propagator
from pipeline_spde.spde.stencil import CENTRE

_DEPENDENT = 1e-9  # relative size of a direction that the ocean does not tell from the others
_COLUMNS = 256  # fields solved for together


@dataclass(frozen=True, eq=False)
class ModeBasis:
    """Orthonormal fields on the ocean of a grid.

    Attributes:
        fields: C, zero on land, km⁻¹, shape (modes, lat, lon).
        mesh: metric of the grid, float64.
    """

    fields: Tensor
    mesh: Mesh

    @classmethod
    def of(cls, grid: Grid, wavelength_km: float, device: torch.device | str = "cpu") -> ModeBasis:
        """Return the cosines of at least a wavelength, made orthonormal.

        Args:
            grid: the grid; its mean zonal cell size is used to count wavelengths.
            wavelength_km: shortest wavelength kept; 0 keeps all that the grid holds.
            device: where the fields live.
        """
        metric = mesh(grid, torch.float64, torch.device(device))
        ny, nx = grid.shape
        lat, lat_number = _cosines(ny, device)
        lon, lon_number = _circle(nx, device) if grid.periodic else _cosines(nx, device)
        dx = float(metric.dx.mean())
        wavenumber = torch.hypot(
            lat_number[:, None] / (ny * metric.dy), lon_number[None] / (nx * dx)
        )
        limit = 2 * math.pi / wavelength_km if wavelength_km > 0 else math.inf
        row, column = torch.nonzero(wavenumber <= limit, as_tuple=True)
        fields = lat[row][:, :, None] * lon[column][:, None, :]
        return cls(_orthonormal(fields * metric.ocean, metric), metric)

    @property
    def count(self) -> int:
        """Number of modes."""
        return int(self.fields.shape[0])

    @property
    def complete(self) -> bool:
        """True when every field on the ocean is in the span."""
        return self.count == self.mesh.count

    def project(self, fields: Tensor) -> Tensor:
        """Return CᵀD f, shape (..., modes), for fields (..., lat, lon)."""
        weighted = torch.where(self.mesh.ocean, fields, 0) * self.mesh.area
        return weighted.flatten(-2) @ self.fields.flatten(1).T

    def expand(self, modes: Tensor) -> Tensor:
        """Return C c, shape (..., lat, lon), for c of shape (..., modes)."""
        flat = modes @ self.fields.flatten(1)
        return flat.view(*modes.shape[:-1], *self.fields.shape[1:])

    def variance(self, covariance: Tensor) -> Tensor:
        """Return diag(C P Cᵀ), shape (lat, lon), for P (modes, modes)."""
        columns = self.fields.flatten(1)
        return (columns * (covariance @ columns)).sum(dim=0).view(self.fields.shape[1:])


def _cosines(size: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Return cos(πk(j+½)/n) with rows k and their wavenumbers πk, per length of the axis."""
    number = torch.arange(size, dtype=torch.float64, device=device) * math.pi
    return torch.cos(number[:, None] / size * (torch.arange(size, device=device) + 0.5)), number


def _circle(size: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Return cosines and sines around a circle of `size` cells, and their wavenumbers 2πk."""
    angle = 2 * math.pi * torch.arange(size, dtype=torch.float64, device=device) / size
    order = torch.arange(size // 2 + 1, dtype=torch.float64, device=device)[:, None]
    sines = order[1 : (size + 1) // 2]
    waves = torch.cat([torch.cos(order * angle), torch.sin(sines * angle)])
    return waves, 2 * math.pi * torch.cat([order, sines])[:, 0]


def _orthonormal(fields: Tensor, metric: Mesh) -> Tensor:
    """Return fields with CᵀDC = I that span the given ones on the ocean."""
    flat = fields.flatten(1)
    flat = flat / (flat * metric.area.flatten() * flat).sum(dim=1, keepdim=True).sqrt()
    gram = (flat * metric.area.flatten()) @ flat.T
    size, direction = torch.linalg.eigh(gram)
    kept = size > _DEPENDENT * size[-1]
    basis = (direction[:, kept] / size[kept].sqrt()).T @ flat
    return basis.view(-1, *fields.shape[1:])


@dataclass(frozen=True, eq=False)
class Step:
    """One day of the projected dynamics: c⁺ = solve · (B̂ c + ê).

    Attributes:
        solve: Â⁻¹, shape (modes, modes).
        explicit: B̂ of the same shape, or None for the identity.
        noise: covariance of the ξ̂ that enters with this day, of the same shape; None for the one
            of all days.
    """

    solve: Tensor
    explicit: Tensor | None
    noise: Tensor | None = None


class ModePrior:
    """The prior with parameters constant in time, except for the currents, in a basis.

    Args:
        grid: the grid.
        theta: parameters, (1, 1, lat, lon), without currents; float64 is used throughout.
        dynamics: order, scheme, noise, ρ.
        basis: the modes.
    """

    def __init__(
        self, grid: Grid, theta: SpdeParameters, dynamics: Dynamics, basis: ModeBasis
    ) -> None:
        theta = theta.to(torch.float64).to(basis.fields.device)
        two_days = {k: v.expand(-1, 2, -1, -1) for k, v in theta.items() if k[:2] != "m_"}
        self.grid, self.dynamics, self.basis = grid, dynamics, basis
        self._theta = SpdeParameters(m_east=None, m_north=None, **two_days)
        self._still = SpdePrior(grid, self._theta, **vars(dynamics))

    def step(self, m_east: Tensor | None = None, m_north: Tensor | None = None) -> Step:
        """Return the dynamics of one day.

        Args:
            m_east: eastward velocity, km/day, (lat, lon), or None for none at all.
            m_north: northward velocity.
        """
        propagator = self._still.propagator
        if m_east is not None and m_north is not None:
            propagator = self._moved(m_east, m_north)
        explicit = self._projected(propagator.right) if propagator.right else None
        return Step(torch.linalg.inv(self._projected(propagator.left)), explicit)

    def _moved(self, m_east: Tensor, m_north: Tensor) -> Propagator:
        """Return the dynamics of the whole grid with currents, which leave a shortened basis."""
        metric, shape = self.basis.mesh, self._theta.shape
        currents = {"m_east": m_east.expand(shape), "m_north": m_north.expand(shape)}
        theta = replace(self._theta, **currents).on(metric.ocean).at(slice(1, None))
        assert theta.m_east is not None and theta.m_north is not None
        stencil = advection(metric, theta.m_east, theta.m_north)
        if not self.basis.complete:
            stencil[..., CENTRE, :, :] += _outflow(metric, theta.m_east, theta.m_north)
        return Propagator(self._still.diffusion[:, 1:], stencil, self.dynamics, metric)

    def _projected(self, chain: list[tuple[Polynomial, int]]) -> Tensor:
        """Return the product of the projected factors: each keeps its sign, and no mode grows."""
        fields = self.basis.fields[:, None, None]
        parts = [(self.basis.project(f.times(fields)[:, 0, 0]).T, times) for f, times in chain]
        return reduce(lambda whole, part: part @ whole, (m for m, n in parts for _ in range(n)))

    def noise(self) -> Tensor:
        """Return the covariance of ξ̂, (modes, modes)."""
        noise = self._still.noise
        return self._covariance(lambda u: noise.covariance_times(u, noise.tau[:, 1]))

    def start(self) -> Tensor:
        """Return the covariance of (c₀, ê₁), (2 modes, 2 modes), of the stationary start."""
        law, n = self._still.start, self.basis.count
        out = self.basis.fields.new_zeros(2 * n, 2 * n)
        if self.dynamics.rho == 0:
            out[:n, :n] = self._covariance(lambda u: law.covariance_times(u, None)[0])
            out[n:, n:] = self.noise()
            return out
        for first in range(0, 2 * n, _COLUMNS):
            chosen = range(first, min(first + _COLUMNS, 2 * n))
            u = self.basis.fields.new_zeros(2, len(chosen), 1, *self.grid.shape)
            for place, number in enumerate(chosen):
                u[number // n, place, 0] = self.basis.fields[number % n] * self.basis.mesh.area
            x0, e1 = law.covariance_times(u[0], u[1])
            assert e1 is not None
            both = torch.cat([self.basis.project(x0[:, 0]), self.basis.project(e1[:, 0])], dim=1)
            out[:, first : first + len(chosen)] = both.T
        return 0.5 * (out + out.T)

    def _covariance(self, times: Callable[[Tensor], Tensor]) -> Tensor:
        """Return CᵀD P DC for a function u → P u of fields (n, 1, lat, lon)."""
        columns = (self.basis.fields * self.basis.mesh.area)[:, None]
        parts = [self.basis.project(times(part)[:, 0]) for part in columns.split(_COLUMNS)]
        whole = torch.cat(parts)
        return 0.5 * (whole + whole.T)


def _outflow(metric: Mesh, m_east: Tensor, m_north: Tensor) -> Tensor:
    """Return half the flow out through open walls over the cell areas, day⁻¹, (..., lat, lon)."""
    flow = torch.zeros_like(m_east)
    north = m_north * metric.dx
    flow[..., -1, :] += north[..., -1, :].clamp(min=0)
    flow[..., 0, :] += (-north[..., 0, :]).clamp(min=0)
    if not metric.periodic:
        east = m_east * metric.dy
        flow[..., :, -1] += east[..., :, -1].clamp(min=0)
        flow[..., :, 0] += (-east[..., :, 0]).clamp(min=0)
    return 0.5 * flow / metric.area
