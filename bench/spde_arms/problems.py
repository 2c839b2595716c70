"""The problems of the benchmark: priors with smooth random parameter fields, and observations."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from pipeline_spde.grids import Grid
from pipeline_spde.spde import SpdeParameters, SpdePrior

REGIMES = {"mild": 0.99, "stiff": 10.0}
"""dt·H/dx² of each regime, H the mean of both diagonal components over the window.

Twice these numbers are what the core compares with `preconditioners.MILD` to choose between Jacobi
and factors of each day; 0.99 in place of 1 keeps rounding from choosing should that be 2.
"""
DT_DAYS = 1.0
CELL_KM = 10.0
NOISE_STD = 0.05
_KAPPA = 0.33  # day^-1/2: an e-folding time of nine days
_SPEED_KM_PER_DAY = 0.3 * CELL_KM
_LOG_SPREAD = 0.3  # standard deviation of log κ, log H and log τ
_LENGTH_CELLS = 15.0
_OBSERVED_EVERY = 50  # two families of tracks, each through every 50th cell: 4 % of a day


def smooth_fields(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return Gaussian fields (..., ny, nx) of zero mean and unit standard deviation, float64.

    The mean is taken out because a field that is off by a constant on a small grid is another
    regime: it changes the number of iterations of a solver tenfold.
    """
    white = torch.randn(shape, generator=generator, dtype=torch.float64)
    ny, nx = shape[-2:]
    ky = torch.fft.fftfreq(ny, dtype=torch.float64)[:, None] * 2 * math.pi
    kx = torch.fft.rfftfreq(nx, dtype=torch.float64)[None, :] * 2 * math.pi
    window = torch.exp(-0.25 * _LENGTH_CELLS**2 * (ky.square() + kx.square()))
    window[0, 0] = 0
    field = torch.fft.irfft2(torch.fft.rfft2(white) * window, s=(ny, nx))
    return field / field.std(dim=(-2, -1), keepdim=True)


def parameters(
    batch: int, days: int, n: int, regime: str, seed: int, dtype: torch.dtype, device: str
) -> SpdeParameters:
    """Return κ, m, H = γI + vv' and τ that vary in space and time, (batch, days, n, n)."""
    generator = torch.Generator().manual_seed(seed)
    shape, size = (batch, days, n, n), REGIMES[regime] * CELL_KM**2 / DT_DAYS

    def positive() -> Tensor:
        return torch.exp(_LOG_SPREAD * smooth_fields(shape, generator))

    kappa, gamma, tau = _KAPPA * positive(), 0.5 * size * positive(), CELL_KM * positive()
    v_east, v_north = (math.sqrt(0.5 * size) * smooth_fields(shape, generator) for _ in range(2))
    m_east, m_north = (_SPEED_KM_PER_DAY * smooth_fields(shape, generator) for _ in range(2))
    h = (gamma + v_east.square(), v_east * v_north, gamma + v_north.square())
    scale = 2 * size / (h[0] + h[2]).mean()
    h = (scale * h[0], scale * h[1], scale * h[2])
    return SpdeParameters(kappa, m_east, m_north, *h, tau).to(dtype).to(device)


def build_prior(theta: SpdeParameters) -> SpdePrior:
    """Return the prior of the benchmark: α = 2, white noise, backward Euler."""
    n = theta.shape[-1]
    return SpdePrior(Grid.cartesian(n, n, CELL_KM, CELL_KM), theta, dt=DT_DAYS)


def with_gradients(theta: SpdeParameters) -> tuple[SpdeParameters, list[Tensor]]:
    """Return a copy whose fields are leaves that collect gradients, and those leaves."""
    leaves = {name: value.detach().clone().requires_grad_() for name, value in theta.items()}
    return replace(theta, **leaves), list(leaves.values())


def random_states(shape: tuple[int, ...], seed: int, like: Tensor) -> Tensor:
    """Return standard normal numbers, drawn in float64 on the CPU whatever `like` is."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(like)


def tracks(days: int, n: int, seed: int) -> Tensor:
    """Return a mask (1, days, n, n) of slanted tracks: about 4 % of the cells of every day."""
    generator = torch.Generator().manual_seed(seed)
    row, column = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    masks = []
    for day in range(days):
        phase = int(torch.randint(0, _OBSERVED_EVERY, (1,), generator=generator))
        up = (2 * column + row + phase + 17 * day) % _OBSERVED_EVERY == 0
        down = (2 * column - row + 3 * phase + 11 * day) % _OBSERVED_EVERY == 0
        masks.append(up | down)
    return torch.stack(masks)[None]
