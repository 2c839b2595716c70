"""Filter, forecasts and smoother of the prior in a basis of modes: exact mean and covariance.

The state after day t is z = (c_t, ê_{t+1}): the day itself and the increment into the next one, so
that an observation between the noons of two days, linear in c_t and c_{t+1}, is linear in z. Days
are assimilated in turn (square-root form: S = LLᵀ, W = L⁻¹HP, P ← P − WᵀW); the smoother is the
adjoint recursion, which needs no inverse of a covariance:

    λ⁻ = (I − KH)ᵀ λ + HᵀS⁻¹v,   Λ⁻ = (I − KH)ᵀ Λ (I − KH) + HᵀS⁻¹H,   λ, Λ ← Fᵀλ⁻, FᵀΛ⁻F
    ẑ = z⁻ + P⁻λ⁻,               cov = P⁻ − P⁻Λ⁻P⁻

Covariances do not depend on the observed values: means may have columns, one for each of several
sets of values at the same points (an ensemble), at the cost of a few products more.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline_spde.spde.modes import ModePrior, Step


@dataclass(frozen=True, eq=False)
class DayPoints:
    """Observations of one day, as rows over the modes.

    Attributes:
        rows: Φ, the modes at the points, shape (obs, modes).
        share: time after noon as a share of the step to the next noon, in [0, 1], shape (obs,).
        value: m, shape (obs,), or (obs, columns) for several sets of values.
        variance: error variance, m², > 0, shape (obs,).
    """

    rows: Tensor
    share: Tensor
    value: Tensor
    variance: Tensor

    def at(self, chosen: Tensor) -> DayPoints:
        """Return some of the points."""
        return DayPoints(
            self.rows[chosen], self.share[chosen], self.value[chosen], self.variance[chosen]
        )


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Mean (2 modes) or (2 modes, columns) and covariance (2 modes, 2 modes) of (c_t, ê_{t+1})."""

    mean: Tensor
    covariance: Tensor

    @property
    def modes(self) -> int:
        """Number of modes."""
        return int(self.mean.shape[0]) // 2


@dataclass(frozen=True, eq=False)
class Update:
    """What an assimilation leaves for the smoother: G = L⁻¹H, W = L⁻¹HP, L⁻¹v."""

    observation: Tensor
    gain: Tensor
    misfit: Tensor


class ModeFilter:
    """Steps of the Kalman filter for a prior in modes.

    Args:
        prior: the prior; the noise and the start are taken from it once.
    """

    def __init__(self, prior: ModePrior) -> None:
        self.rho = prior.dynamics.rho
        self.noise = prior.noise()
        covariance = prior.start()
        self.first = Gaussian(covariance.new_zeros(covariance.shape[0]), covariance)

    def start(self, columns: int | None = None) -> Gaussian:
        """Return the stationary law of the first state, its mean with columns where asked for."""
        if columns is None:
            return self.first
        zero = self.first.mean[:, None].expand(-1, columns).clone()
        return Gaussian(zero, self.first.covariance)

    def assimilate(
        self, state: Gaussian, step: Step, points: DayPoints
    ) -> tuple[Gaussian, Update | None]:
        """Return the state given the points of the day, and what the smoother needs.

        Args:
            state: law of (c_t, ê_{t+1}).
            step: the dynamics from t to t + 1.
            points: observations between the noons of t and t + 1.
        """
        if points.value.numel() == 0:
            return state, None
        h = _observation(step, points)
        hp = h @ state.covariance
        s = hp @ h.T
        s.diagonal().add_(points.variance)
        root = torch.linalg.cholesky(s)
        gain = torch.linalg.solve_triangular(root, hp, upper=False)
        misfit = points.value - h @ state.mean
        columns = misfit.reshape(misfit.shape[0], -1)
        white = torch.linalg.solve_triangular(root, columns, upper=False).view(misfit.shape)
        covariance = torch.addmm(state.covariance, gain.T, gain, alpha=-1)
        mean = state.mean + gain.T @ white
        observation = torch.linalg.solve_triangular(root, h, upper=False)
        return Gaussian(mean, covariance), Update(observation, gain, white)

    def predict(self, state: Gaussian, step: Step) -> Gaussian:
        """Return the law of (c_{t+1}, ê_{t+2})."""
        n, u, rho = state.modes, step.solve, self.rho
        pxx, pxe = state.covariance[:n, :n], state.covariance[:n, n:]
        pee = state.covariance[n:, n:]
        if step.explicit is not None:
            pxx = step.explicit @ pxx @ step.explicit.T
            pxe = step.explicit @ pxe
        out = torch.empty_like(state.covariance)
        out[:n, :n] = u @ (pxx + pxe + pxe.T + pee) @ u.T
        out[:n, n:] = rho * (u @ (pxe + pee)) if rho > 0 else 0
        out[n:, :n] = out[:n, n:].T
        out[n:, n:] = rho**2 * pee + (self.noise if step.noise is None else step.noise)
        x, e = state.mean[:n], state.mean[n:]
        before = x if step.explicit is None else step.explicit @ x
        return Gaussian(torch.cat([u @ (before + e), rho * e]), out)


def _observation(step: Step, points: DayPoints) -> Tensor:
    """Return H over (c, ê): (1 − s) c_t + s c_{t+1} with c_{t+1} = Â⁻¹ (B̂ c_t + ê_{t+1})."""
    share = points.share[:, None]
    later = (share * points.rows) @ step.solve
    now = later if step.explicit is None else later @ step.explicit
    return torch.cat([(1 - share) * points.rows + now, later], dim=1)


class ModeSmoother:
    """The backward sweep. Feed it the days from the last to the first.

    Args:
        like: mean of a state, (2 modes,) or (2 modes, columns).
        rho: correlation of the noise from day to day.
        covariance: False leaves the covariance, most of the work, out.
    """

    def __init__(self, like: Tensor, rho: float, covariance: bool = True) -> None:
        self.modes, self.rho = like.shape[0] // 2, rho
        self.vector = torch.zeros_like(like)
        size = like.shape[0] if covariance else 0
        self.matrix = like.new_zeros(size, size)

    @property
    def _has_covariance(self) -> bool:
        return self.matrix.shape[0] > 0

    def observe(self, update: Update | None) -> None:
        """Go back through an assimilation."""
        if update is None:
            return
        g, w = update.observation, update.gain
        self.vector = self.vector + g.T @ (update.misfit - w @ self.vector)
        if not self._has_covariance:
            return
        half = w @ self.matrix
        inner = half @ w.T
        inner.diagonal().add_(1)
        # G'(WΛ) + (WΛ)'G − G'(…)G as one symmetric product: G'X + X'G with X = WΛ − ½(…)G
        cross = g.T @ torch.addmm(half, inner, g, alpha=-0.5)
        self.matrix = self.matrix - cross - cross.T

    def mean(self, predicted: Tensor, rows: Tensor) -> Tensor:
        """Return the mean of c_t given everything, (modes,) or (modes, columns).

        Args:
            predicted: mean of z_t before its points.
            rows: first half of its covariance, (modes, 2 modes).
        """
        return predicted[: self.modes] + rows @ self.vector

    def covariance(self, rows: Tensor) -> Tensor:
        """Return the covariance of c_t given everything, (modes, modes); `rows` as in `mean`."""
        return rows[:, : self.modes] - rows @ self.matrix @ rows.T

    def step_back(self, step: Step) -> None:
        """Go back through the dynamics of a day."""
        n, u, rho = self.modes, step.solve, self.rho
        x = u.T @ self.vector[:n]
        before = x if step.explicit is None else step.explicit.T @ x
        self.vector = torch.cat([before, x + rho * self.vector[n:]])
        if not self._has_covariance:
            return
        xx = u.T @ (self.matrix[:n, :n] @ u)
        xe = rho * (u.T @ self.matrix[:n, n:]) if rho > 0 else torch.zeros_like(xx)
        out = torch.empty_like(self.matrix)
        out[n:, n:] = xx + xe + xe.T + rho**2 * self.matrix[n:, n:]
        across = xx + xe
        if step.explicit is not None:
            xx, across = step.explicit.T @ xx @ step.explicit, step.explicit.T @ across
        out[:n, :n], out[:n, n:], out[n:, :n] = xx, across, across.T
        self.matrix = 0.5 * (out + out.T)
