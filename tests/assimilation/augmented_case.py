"""Small windows with a coast, first guesses and an augmented solver, for the tests of stage 2."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pipeline_spde.assimilation.spde_solver import SpdeSolver
from pipeline_spde.config import AugmentedModelConfig, SpdeSolverConfig
from pipeline_spde.first_guess import Guess, PriorLaw

LAW = PriorLaw(
    range_km=120.0, decorrelation_time_days=9.0, noise_length_km=40.0, noise_order=1, rho=0.45
)
SPACING = (20.0, 18.0)
SHAPE = (2, 5, 8, 12)
UNIT = 0.25


def config(**changes: Any) -> AugmentedModelConfig:
    """A small solver; keys of the settings of Θ are told apart by their names."""
    spde = {k: v for k, v in changes.items() if k in SpdeSolverConfig.model_fields and k != "start"}
    model = {k: v for k, v in changes.items() if k not in spde}
    spde = {"theta_hidden": 4, "nll_lags": (1, 2)} | spde
    options = {"window_days": SHAPE[1], "hidden": 4, "prior_hidden": 4, "iterations": 4}
    options |= {"start": "spde_oi"}
    return AugmentedModelConfig(**(options | model), spde=SpdeSolverConfig(**spde))


def make_solver(seed: int = 0, trained: bool = True, **changes: Any) -> SpdeSolver:
    """A solver whose updates are not zero, as after training, unless asked for an untrained one."""
    torch.manual_seed(seed)
    solver = SpdeSolver(config(**changes), SPACING)
    if trained:
        with torch.no_grad():
            solver.gradient_net.update.weight.normal_(std=0.05)
            solver.theta_net.update.weight.normal_(std=0.3)
    return solver


def coast(shape: tuple[int, int] = SHAPE[2:]) -> Tensor:
    """Water but for a corner whose sides are no whole nodes of two cells."""
    ocean = torch.ones(shape, dtype=torch.bool)
    ocean[:3, :5] = False
    return ocean


def make_guess(
    seed: int = 0, shape: tuple[int, ...] = SHAPE, dtype: torch.dtype = torch.float32
) -> Guess:
    """Heights, currents and σ that differ everywhere; as in files, σ is 1 and m 0 on land."""
    generator = torch.Generator().manual_seed(seed)
    batch, days, *cells = shape
    height = torch.randn(shape, generator=generator, dtype=torch.float64)
    currents = 12 * torch.randn(batch, 2, days, *cells, generator=generator, dtype=torch.float64)
    sigma = 0.1 + 0.2 * torch.rand(batch, *cells, generator=generator, dtype=torch.float64)
    ocean = coast(tuple(cells))
    fields = (height * ocean, currents * ocean, torch.where(ocean, sigma, 1.0))
    return Guess(*(field.to(dtype) for field in fields), UNIT, LAW)


def make_inputs(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> tuple[Tensor, ...]:
    """Heights, mask, errors and the coast of every window."""
    generator = torch.Generator().manual_seed(seed + 100)
    heights = torch.randn(shape, generator=generator)
    observed = torch.rand(shape, generator=generator) < 0.3
    error = 0.05 + 0.1 * torch.rand(shape, generator=generator)
    return heights, observed, error, coast(shape[2:]).expand(shape[0], -1, -1)
