"""The Gaussian prior N(0, Q⁻¹) of a window: energy, log-determinant, density and samples.

    A_t x_t = B_t x_{t−1} + e_t,   e_t = ρ e_{t−1} + ξ_t,   ξ_t ~ N(0, N_t⁻¹),   t = 1 … m−1

with (x₀, e₁) from the stationary law of the first day's coefficients. x → (x₀, e₁, ξ₂, …) is block
lower triangular with A_t on the diagonal, whence

    x'Qx     = start(x₀, e₁) + Σ_t ξ_t' N_t ξ_t
    log|Q|   = log|start| + Σ_t (2 log|det A_t| + log|N_t|)

Q is never formed. Land cells carry no probability: values there are ignored, samples are zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from pipeline_spde.grids import Grid
from pipeline_spde.spde.dynamics import Coloured, Dynamics, Scheme
from pipeline_spde.spde.noise import Noise, standard_normal
from pipeline_spde.spde.operator import ROBIN, advection, diffusion, mesh
from pipeline_spde.spde.parameters import SpdeParameters
from pipeline_spde.spde.polynomial import log_dets
from pipeline_spde.spde.propagator import Propagator
from pipeline_spde.spde.start import StationaryStart

if TYPE_CHECKING:
    from pipeline_spde.spde.posterior import Posterior


class SpdePrior:
    """Space-time Gaussian prior with precision Q(Θ) on the ocean cells of a grid.

    The dtype and the device are those of the parameters; everything is batched.

    Args:
        grid: frame of the fields; kilometres inside.
        theta: parameters (batch, time, lat, lon); day 0 gives the start, day t the step into t.
        dt: time step, days.
        alpha: order, 2 or 4.
        scheme: "backward_euler" or "crank_nicolson".
        noise: "white" or `Coloured(length_km, order)`.
        rho: correlation of the noise between successive steps.
        substeps: advection steps per dt.
        robin: coefficient of the open walls, 0 for walls without flux.

    Raises:
        ValueError: parameters do not fit the grid, are not valid or made for another α, or ρ > 0
            with a single day.
    """

    def __init__(
        self,
        grid: Grid,
        theta: SpdeParameters,
        dt: float = 1.0,
        alpha: int = 2,
        scheme: Scheme = "backward_euler",
        noise: Literal["white"] | Coloured = "white",
        rho: float = 0.0,
        substeps: int = 1,
        robin: float = ROBIN,
    ) -> None:
        if tuple(theta.shape[-2:]) != grid.shape:
            raise ValueError(
                f"parameters are on {tuple(theta.shape[-2:])} cells, the grid has {grid.shape}"
            )
        self.grid, self.dynamics = grid, Dynamics(dt, alpha, scheme, noise, rho, substeps)
        theta.check_made_for(self.dynamics)
        self.robin = robin
        self.batch, self.days = theta.shape[:2]
        if rho > 0 and self.days < 2:
            raise ValueError("rho > 0 needs a window of at least 2 days, this one has 1")
        self.mesh = mesh(grid, theta.kappa.dtype, theta.kappa.device)
        self.theta = theta = theta.on(self.mesh.ocean)
        h = (theta.h_ee, theta.h_en, theta.h_nn)
        self.diffusion = diffusion(self.mesh, theta.kappa, *h, robin=robin)
        self.advection: Tensor | None = None
        if theta.m_east is not None and theta.m_north is not None:
            self.advection = advection(self.mesh, theta.m_east, theta.m_north)
        later = None if self.advection is None else self.advection[:, 1:]
        self.noise = Noise(theta.tau, self.dynamics, self.mesh)
        self.start = StationaryStart(self.diffusion[:, 0], self.noise, self.dynamics, self.mesh)
        self.propagator = Propagator(self.diffusion[:, 1:], later, self.dynamics, self.mesh)

    def to(self, target: torch.dtype | torch.device | str) -> SpdePrior:
        """Return the same prior in another dtype or on another device, without history."""
        theta = self.theta.detach().to(target)
        return SpdePrior(self.grid, theta, **vars(self.dynamics), robin=self.robin)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(batch, time, lat, lon) of the states."""
        return (self.batch, self.days, *self.grid.shape)

    @property
    def ocean(self) -> Tensor:
        """True on water, (lat, lon)."""
        return self.mesh.ocean

    def energy(self, x: Tensor) -> Tensor:
        """Return x'Qx, shape (..., batch), for states (..., batch, time, lat, lon).

        Differentiable any number of times in x and in the parameters. Values of x on land (NaN
        too) do not matter.
        """
        self._check(x)
        x = torch.where(self.ocean, x, 0)
        first = x[..., 0, :, :]
        rho = self.dynamics.rho
        if self.days == 1:
            return self.start.energy(first, None)
        e = self.propagator.left_times(x[..., 1:, :, :])
        e = e - self.propagator.right_times(x[..., :-1, :, :])
        head, skip = None, 0
        if rho > 0:
            head, skip = e[..., 0, :, :], 1
            e = e[..., 1:, :, :] - rho * e[..., :-1, :, :]
        white = self.noise.whiten(e, self.noise.tau[:, 1 + skip :])
        steps = (self.mesh.area / self.dynamics.dt * white.square()).sum(dim=(-3, -2, -1))
        return self.start.energy(first, head) + steps

    def logdet(self) -> Tensor:
        """Return log|Q| over ocean cells, float64, shape (batch,).

        The first derivative with respect to the parameters is exact. In a second derivative the
        entries of A_t⁻¹ that it holds count as constants (see `factor.log_abs_det`).
        """
        terms = [(f, 2.0 * repeats) for f, repeats in self.propagator.left if self.days > 1]
        terms += self.start.determinants()
        skip = 2 if self.dynamics.rho > 0 else 1
        total = self.start.log_det_of_noise()
        total = total + self.noise.log_det(self.noise.tau[:, skip:]).sum(dim=1)
        values = log_dets([matrix for matrix, _ in terms])
        for (_, weight), value in zip(terms, values, strict=True):
            total = total + weight * value.reshape(self.batch, -1).sum(dim=1)
        return total

    def nll(self, x: Tensor, mean: Tensor | None = None) -> Tensor:
        """Return −log p(x) = ½ [(x−μ)'Q(x−μ) − log|Q| + n log 2π], n = days · ocean cells.

        Args:
            x: states (..., batch, time, lat, lon).
            mean: μ of the same shape; zero when omitted.
        """
        anomaly = x if mean is None else x - mean
        constant = self.days * self.mesh.count * math.log(2 * math.pi)
        return 0.5 * (self.energy(anomaly) - self.logdet() + constant)

    def precision_times(self, x: Tensor) -> Tensor:
        """Return Q x for states (..., batch, time, lat, lon), zero on land; no history kept."""
        with torch.enable_grad():
            state = x.detach().requires_grad_(True)
            half = 0.5 * self.energy(state).sum()
            (out,) = torch.autograd.grad(half, state)
        return out

    @torch.no_grad()
    def covariance_times(self, x: Tensor) -> Tensor:
        """Return Q⁻¹ x by one sweep back and one sweep forth in time; exact."""
        x = torch.where(self.ocean, x, 0)
        rho = self.dynamics.rho
        carried = [x[..., -1, :, :]]  # L⁻ᵀ x, last day first
        for step in range(self.days - 2, -1, -1):
            u = self.propagator.solve_at(step, carried[-1], transpose=True)
            carried[-1] = u
            back = self.propagator.right_times_at(step, u, transpose=True)
            carried.append(x[..., step, :, :] + back)
        adjoint = carried[::-1]
        for t in range(self.days - 2, 0, -1):
            adjoint[t] = adjoint[t] + rho * adjoint[t + 1]
        state, first = self.start.covariance_times(adjoint[0], adjoint[1] if rho > 0 else None)
        skip = 1 if first is None else 2
        shocks = [] if first is None else [first]
        if self.days > skip:
            later = torch.stack(adjoint[skip:], dim=-3)
            later = self.noise.covariance_times(later, self.noise.tau[:, skip:])
            shocks += list(later.unbind(dim=-3))
        return torch.stack(list(self._integrate(state, shocks)), dim=-3)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Return n independent draws over the whole window, (n, batch, time, lat, lon).

        Args:
            n: number of draws, ≥ 1.
            generator: source of randomness; on the CPU it gives the same draws on any device.
        """
        return torch.stack(list(self.draws(n, generator)), dim=-3)

    @torch.no_grad()
    def draws(
        self, n: int, generator: torch.Generator | None = None, days: int | None = None
    ) -> Iterator[Tensor]:
        """Yield the days of n draws in order, each (n, batch, lat, lon), as `sample` makes them.

        Only two days are held at a time: the window may be as long as one likes.

        Args:
            n: number of draws, ≥ 1.
            generator: source of randomness.
            days: number of days; beyond the prior's own the parameters of its last day hold on,
                so that a stationary ocean of any length needs the factors of one step only.
        """
        if n < 1:
            raise ValueError(f"the number of draws must be at least 1, got {n}")
        length = self.days if days is None else days
        if length < 1 or (length > 1 and self.days < 2):
            raise ValueError(
                f"cannot draw {length} days from a prior of {self.days}: ask for at least 1, and "
                "give the prior 2 days or more to go on from"
            )
        state, first = self.start.sample(n, generator)
        shocks = self._shocks(n, first, generator, length)
        yield from self._integrate(state, islice(shocks, length - 1))

    def _shocks(
        self, n: int, first: Tensor | None, generator: torch.Generator | None, days: int
    ) -> Iterator[Tensor]:
        """Yield e₁ (given, or without ρ drawn), ξ₂, ξ₃ and so on, up to those of day `days` − 1."""
        if first is not None:
            yield first
        for t in range(1 if first is None else 2, days):
            tau = self.noise.tau[:, min(t, self.days - 1)]
            white = standard_normal((n, *tau.shape), tau, generator)
            yield self.noise.draw(white, tau)

    def _integrate(self, state: Tensor, shocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield x_t = A_t⁻¹ (B_t x_{t−1} + e_t) from x₀ and (e₁, ξ₂, ξ₃, …), zero on land."""
        rho, e = self.dynamics.rho, None
        yield torch.where(self.ocean, state, 0)
        for number, shock in enumerate(shocks):
            step = min(number, self.days - 2)
            e = shock if e is None or rho == 0 else rho * e + shock
            state = self.propagator.solve_at(step, self.propagator.right_times_at(step, state) + e)
            yield torch.where(self.ocean, state, 0)

    def marginal_std(
        self, n_samples: int | None = 400, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the standard deviation of every cell, (batch, time, lat, lon), zero on land.

        Args:
            n_samples: number of draws of the estimate, whose relative error is about
                0.6 / √n_samples; None for the exact value, one solve per cell and day.
            generator: source of randomness of the draws.
        """
        from pipeline_spde.spde.diagnostics import exact_variance, sampled_variance

        if n_samples is None:
            return exact_variance(self).sqrt()
        draws = self.sample(n_samples, generator)
        variance = sampled_variance(draws, self.precision_times, self.precision_diagonal())
        return torch.where(self.ocean, variance, 0).sqrt()

    def covariance(self, point: tuple[int, int, int]) -> Tensor:
        """Return the exact covariance of every cell with (day, row, column), like the states."""
        impulse = torch.zeros(self.shape, dtype=self.mesh.area.dtype, device=self.mesh.area.device)
        if not bool(self.ocean[point[1:]]):
            raise ValueError(f"point {point} is on land; choose an ocean cell")
        impulse[(slice(None), *point)] = 1
        return self.covariance_times(impulse)

    def correlation(self, point: tuple[int, int, int], std: Tensor | None = None) -> Tensor:
        """Return the correlation of every cell with (day, row, column), zero on land.

        Args:
            point: (day, row, column).
            std: standard deviations, exact or estimated; by default `marginal_std()`, with a
                fixed seed. The one at the point itself is always exact.
        """
        covariance = self.covariance(point)
        if std is None:
            source = torch.Generator().manual_seed(0)
            std = self.marginal_std(generator=source)
        own = covariance[(slice(None), *point)].sqrt()
        std = std.clone()
        std[(slice(None), *point)] = own
        scale = torch.where(self.ocean, std, 1) * own[:, None, None, None]
        return (covariance / scale).clamp(-1, 1)  # estimated deviations may be a little small

    def precision_diagonal(self) -> Tensor:
        """Return the diagonal of Q, (batch, time, lat, lon), one on land; see `diagnostics`."""
        from pipeline_spde.spde.diagnostics import precision_diagonal

        return precision_diagonal(self)

    def precision(self) -> list[Any]:
        """Return Q of each batch entry as scipy.sparse, identity rows on land; small grids only."""
        from pipeline_spde.spde.diagnostics import assembled_precision

        return assembled_precision(self)

    def condition(
        self,
        y: Tensor,
        observed: Tensor,
        noise_std: float | Tensor,
        mean: Tensor | None = None,
        **solver: Any,
    ) -> Posterior:
        """Return the exact Gaussian posterior given y = x + noise where observed.

        Args:
            y: observations (batch, time, lat, lon); anything where not observed.
            observed: boolean mask of the same shape.
            noise_std: standard deviation of the noise, m, a number or a field.
            mean: prior mean, like y; zero when omitted.
            solver: preconditioner, tolerance, max_iterations; see `Posterior`.
        """
        from pipeline_spde.spde.posterior import Posterior

        return Posterior(self, y, observed, noise_std, mean, **solver)

    def _check(self, x: Tensor) -> None:
        if x.shape[-3:] != self.shape[-3:] or x.ndim < 4:
            raise ValueError(
                f"states must be (..., {self.batch}, {self.days}, {self.grid.shape[0]}, "
                f"{self.grid.shape[1]}), got {tuple(x.shape)}"
            )
