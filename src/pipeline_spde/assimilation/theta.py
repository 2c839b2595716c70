"""Θ of a window: fields of the prior that a network may change, around those of the first guess.

    σ, T, R, (a₀, a₄₅) and m = start + δ   in unconstrained coordinates (spde.parameters)

δ lives on a coarse grid (bilinear in between) and is the same on all days of the window; the start
of m changes from day to day. σ is the variable, not τ, and T = 1/κ² is bounded: the likelihood
cannot buy fit with κ² → 0. Nodes of the prior are means over the water of `pooling` × `pooling`
cells; what fields hold on land does not matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline_spde.config import SpdeSolverConfig, ThetaName
from pipeline_spde.first_guess import Guess, PriorLaw
from pipeline_spde.grids import Grid
from pipeline_spde.spde import Bounds, Coloured, Dynamics, SpdeParameters, SpdePrior

CHANNELS: dict[str, tuple[int, ...]] = {
    "sigma": (0,),
    "decorrelation_time": (1,),
    "mean_range": (2,),
    "anisotropy": (3, 4),
    "currents": (5, 6),
}
"""Name in the configuration -> channels of δ, in the order of `spde.RAW_CHANNELS`."""
COUNT = 7
_STILL = 5  # channels that are the same on all days
_MOST_SPEED = 0.98  # of the limit: currents at the limit have no unconstrained coordinate
assert set(CHANNELS) == set(get_args(ThetaName))


def channels_of(config: SpdeSolverConfig) -> list[int]:
    """Return the channels of δ that are learned, increasing."""
    return sorted(channel for name in config.learned for channel in CHANNELS[name])


@dataclass(frozen=True, eq=False)
class ThetaProblem:
    """Prior of a batch of windows, as a function of δ.

    Attributes:
        grid: nodes of the prior, with land.
        law: the numbers that are the same everywhere.
        bounds: limits of the physical parameters.
        still: start of the channels of no day, shape (batch, 5, 1, rows, columns).
        currents: start of m, unconstrained, shape (batch, 2, time, rows, columns).
        pooling: cells per side of a node.
        unit_m: metres per normalised unit.
        ocean: True where a cell is water, shape (lat, lon).
        background: μ at the nodes, m, shape (batch, time, rows, columns), or None for zero.
    """

    grid: Grid
    law: PriorLaw
    bounds: Bounds
    still: Tensor
    currents: Tensor
    pooling: int
    unit_m: float
    ocean: Tensor
    background: Tensor | None = None

    @classmethod
    def of(
        cls,
        guess: Guess,
        ocean: Tensor,
        spacing_km: tuple[float, float],
        config: SpdeSolverConfig,
        pooling: int,
    ) -> ThetaProblem:
        """Return the problem of windows.

        Args:
            guess: their first guess.
            ocean: True where there is water, shape (lat, lon), common to the batch.
            spacing_km: (dy, dx) of the cells.
            config: limits and background.
            pooling: cells per side of a node.

        Raises:
            ValueError: the fitted prior lies outside the limits.
        """
        law = guess.law
        _check_inside(law, config)
        sigma = pooled(guess.sigma[:, None], pooling, ocean)
        limits = bounds_of(sigma, config)
        start = SpdeParameters.from_physical(
            sigma, law.range_km, law.range_km, 0.0, law.decorrelation_time_days,
            dynamics=dynamics(law),
        )  # fmt: skip
        grid = _node_grid(ocean, spacing_km, pooling)
        background = None
        if config.background == "first_guess":
            height = pooled(guess.height * guess.unit_m, pooling, ocean)
            background = low_passed(height, grid, config.background_km)
        return cls(
            grid=grid,
            law=law,
            bounds=limits,
            still=start.to_unconstrained(limits, dynamics=dynamics(law))[:, :_STILL],
            currents=_unbounded(pooled(guess.currents, pooling, ocean), config.largest_speed),
            pooling=pooling,
            unit_m=guess.unit_m,
            ocean=ocean,
            background=background,
        )

    @property
    def days(self) -> int:
        """Length of the windows."""
        return int(self.currents.shape[2])

    def raw(self, delta: Tensor) -> tuple[Tensor, Tensor]:
        """Return the unconstrained channels: still (batch, 5, 1, …) and currents (batch, 2, …).

        Args:
            delta: δ on its coarse grid, shape (batch, 7, rows, columns).
        """
        size = self.still.shape[-2:]
        fine = F.interpolate(delta, size=size, mode="bilinear", align_corners=False)[:, :, None]
        return self.still + fine[:, :_STILL], self.currents + fine[:, _STILL:]

    def parameters(self, delta: Tensor, lag: int = 1) -> SpdeParameters:
        """Return Θ (batch, time, rows, columns) of every `lag`-th day for steps of `lag` days."""
        still, flow = self.raw(delta)
        return parameters_of(still, flow[:, :, ::lag], self.bounds, dynamics(self.law, lag))

    def prior(self, theta: SpdeParameters, lag: int = 1) -> SpdePrior:
        """Return the prior of Θ for steps of `lag` days."""
        return SpdePrior(self.grid, theta, **vars(dynamics(self.law, lag)))

    def anomaly(self, state: Tensor) -> Tensor:
        """Return x − μ at the nodes, m, for a normalised state (batch, time, lat, lon)."""
        nodes = pooled(full(state) * self.unit_m, self.pooling, self.ocean)
        return nodes if self.background is None else nodes - self.background

    def nll(self, delta: Tensor, truth: Tensor, lags: tuple[int, ...]) -> Tensor:
        """Return −log p(truth | Θ) per node and day, the mean over lags, shape (batch,).

        Args:
            delta: δ, shape (batch, 7, rows, columns).
            truth: normalised anomalies (batch, time, lat, lon), anything on land.
            lags: steps in days; the window is seen at every so many days.
        """
        anomaly, terms = self.anomaly(truth), []
        nodes = max(int(np.count_nonzero(self.grid.ocean)), 1)
        for lag in lags:
            days = anomaly[:, ::lag]
            value = self.prior(self.parameters(delta, lag), lag).nll(days)
            terms.append(value / (nodes * days.shape[1]))
        return torch.stack(terms).mean(dim=0)


def parameters_of(still: Tensor, flow: Tensor, bounds: Bounds, dynamic: Dynamics) -> SpdeParameters:
    """Return Θ from unconstrained channels: still (batch, 5, 1, …), currents (batch, 2, time, …).

    The relation of σ and τ, the costly part, is worked out once for all days.
    """
    nothing = still.new_zeros(still.shape[0], COUNT - _STILL, *still.shape[2:])
    raw = torch.cat([still, nothing], dim=1)
    one = SpdeParameters.from_unconstrained(raw, bounds, dynamics=dynamic)
    east, north = _bounded(flow, bounds.largest_speed).unbind(dim=1)
    names = ("kappa", "h_ee", "h_en", "h_nn", "tau")
    fields = {name: getattr(one, name).expand_as(east) for name in names}
    return replace(one, **fields, m_east=east, m_north=north)


def dynamics(law: PriorLaw, lag: int = 1) -> Dynamics:
    """Return the dynamics of a law for steps of `lag` days; ρ is that of sums of `lag` noises."""
    noise = Coloured(law.noise_length_km, law.noise_order)
    days = np.arange(lag)
    apart = np.abs(days[:, None] - days[None, :])
    across = np.abs(lag + days[:, None] - days[None, :])
    rho = float((law.rho**across).sum() / (law.rho**apart).sum()) if law.rho > 0 else 0.0
    return Dynamics(float(lag), 2, "backward_euler", noise, rho)


def bounds_of(sigma: Tensor, config: SpdeSolverConfig) -> Bounds:
    """Return the limits of Θ around the local deviation σ of the learning period, m."""
    low, high = config.sigma_factors
    return Bounds(
        sigma=(low * sigma, high * sigma),
        mean_range=config.mean_range_km,
        decorrelation_time=config.decorrelation_days,
        largest_ratio=config.largest_ratio,
        largest_speed=config.largest_speed,
    )


def _check_inside(law: PriorLaw, config: SpdeSolverConfig) -> None:
    """Raise ValueError where the fitted prior lies outside the limits: Θ could not start there."""
    fitted = {
        "mean_range_km": (law.range_km, "range"),
        "decorrelation_days": (law.decorrelation_time_days, "decorrelation time"),
    }
    for key, (value, name) in fitted.items():
        low, high = getattr(config, key)
        if not low < value < high:
            raise ValueError(
                f"the fit of spde_oi found a {name} of {value:.4g}, outside spde.{key} of "
                f"{low:g} to {high:g}; widen these limits"
            )


def full(field: Tensor) -> Tensor:
    """Return a field in float32 at least: the algebra of the prior is not for half precision."""
    return field.to(torch.promote_types(field.dtype, torch.float32))


def pooled(field: Tensor, pooling: int, ocean: Tensor) -> Tensor:
    """Return means over the water of `pooling` × `pooling` cells of fields (…, lat, lon).

    Nodes without water get the mean over land.

    Raises:
        ValueError: the cells are not divisible by the pooling.
    """
    rows, columns = field.shape[-2:]
    if rows % pooling or columns % pooling:
        raise ValueError(
            f"{rows} x {columns} cells are not divisible by spde.pooling of {pooling}; choose a "
            "patch size (patches.lat, patches.lon) that is"
        )
    field = full(field)
    if pooling == 1:
        return field
    flat = field.reshape(-1, 1, rows, columns)
    means = F.avg_pool2d(flat, pooling)
    if not bool(ocean.all()):
        share = F.avg_pool2d(ocean.to(flat)[None, None], pooling)
        wet = F.avg_pool2d(torch.where(ocean, flat, 0), pooling) / share.clamp(min=1e-6)
        means = torch.where(share > 0, wet, means)
    return means.view(*field.shape[:-2], rows // pooling, columns // pooling)


def low_passed(field: Tensor, grid: Grid, width_km: float) -> Tensor:
    """Return fields (…, rows, columns) smoothed over the ocean by a Gaussian; zero far inland.

    Args:
        field: anything on land.
        grid: Cartesian grid of the fields.
        width_km: full width at half maximum.
    """
    ocean = torch.from_numpy(grid.ocean).to(field.device)
    steps = (float(grid.dy_km), float(grid.dx_km[0]))
    total = _blurred(torch.where(ocean, field, 0), steps, width_km)
    return total / _blurred(ocean.to(field), steps, width_km).clamp(min=1e-6)


def _blurred(field: Tensor, steps: tuple[float, float], width_km: float) -> Tensor:
    """Return the mean of fields (…, rows, columns) under a Gaussian, axis by axis."""
    deviation = width_km / math.sqrt(8 * math.log(2))
    for axis, step in zip((-2, -1), steps, strict=True):
        place = torch.arange(field.shape[axis], dtype=field.dtype, device=field.device) * step
        weight = torch.exp(-0.5 * ((place[:, None] - place[None, :]) / deviation).square())
        weight = weight / weight.sum(dim=1, keepdim=True)
        field = torch.movedim(torch.movedim(field, axis, -1) @ weight.T, -1, axis)
    return field


def _node_grid(ocean: Tensor, spacing_km: tuple[float, float], pooling: int) -> Grid:
    """Return the nodes of a patch; a node with any water is water."""
    wet = pooled(ocean.float(), pooling, torch.ones_like(ocean)) > 0
    shape = (int(wet.shape[0]), int(wet.shape[1]))
    steps = (spacing_km[0] * pooling, spacing_km[1] * pooling)
    land = (~wet).cpu().numpy().tobytes() if not bool(wet.all()) else b""
    return _grid(shape, steps, land)


@lru_cache(maxsize=256)
def _grid(shape: tuple[int, int], steps: tuple[float, float], land: bytes) -> Grid:
    mask = np.frombuffer(land, dtype=bool).reshape(shape) if land else None
    return Grid.cartesian(ny=shape[0], nx=shape[1], dy=steps[0], dx=steps[1], land=mask)


def _bounded(vector: Tensor, radius: float) -> Tensor:
    """Return v / √(1 + |v|²/r²) for v (batch, 2, …): the plane mapped onto an open disc."""
    return vector / (1 + vector.square().sum(dim=1, keepdim=True) / radius**2).sqrt()


def _unbounded(vector: Tensor, radius: float) -> Tensor:
    """Return the inverse of `_bounded`; vectors at the limit are drawn in a little."""
    speed = vector.square().sum(dim=1, keepdim=True).sqrt()
    vector = vector * (_MOST_SPEED * radius / speed.clamp(min=_MOST_SPEED * radius))
    return vector / (1 - vector.square().sum(dim=1, keepdim=True) / radius**2).sqrt()
