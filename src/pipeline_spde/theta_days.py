"""Θ of every day of a period, blended from the windows of the augmented solver.

Each day takes the parameters of one window: for mapping of the window around it, for forecasts of
the window whose last observed day it is; days before the first and after the last of these take
those of the nearest window. Patches are blended in unconstrained coordinates, where every value is
a valid one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline_spde.assimilation.spde_solver import SpdeSolver
from pipeline_spde.assimilation.theta import (
    COUNT,
    ThetaProblem,
    bounds_of,
    dynamics,
    parameters_of,
)
from pipeline_spde.data.patches import Blender, Triple
from pipeline_spde.data.windows import Inputs, WindowCutter
from pipeline_spde.first_guess import PriorLaw
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period, Task
from pipeline_spde.spde import Dynamics, SpdeParameters

_DAY = np.timedelta64(1, "D")
_FIELDS = ("kappa", "m_east", "m_north", "h_ee", "h_en", "h_nn", "tau")
_PHYSICAL = {
    "sigma": "sigma",
    "range_major": "range_major",
    "range_minor": "range_minor",
    "range_angle": "angle",
    "decorrelation_time": "decorrelation_time",
}


@dataclass(frozen=True, eq=False)
class ThetaDays:
    """Θ of successive days on a whole domain.

    Attributes:
        days: calendar days, shape (days,).
        grid: the grid; values on land are harmless constants.
        theta: parameters, float64, shape (1, days, lat, lon).
        law: the numbers that are the same everywhere.
        window_days: length of the windows they come from.
        lead: days from the last observed day of a window to its target.
    """

    days: NDArray[np.datetime64]
    grid: Grid
    theta: SpdeParameters
    law: PriorLaw
    window_days: int
    lead: int = 0

    @property
    def dynamics(self) -> Dynamics:
        """Settings of the prior."""
        return dynamics(self.law)

    def fields(self, period: Period) -> dict[str, NDArray[np.float32]]:
        """Return κ, m, H, τ and what they mean for the targets of a period, NaN on land.

        A forecast has the parameters of the last day that its window observes. Names and units are
        those of `fields.PARAMETERS`; each (days, lat, lon).
        """
        first = int((np.datetime64(period.start, "D") - self.days[0]) / _DAY) - self.lead
        theta = self.theta.at(slice(first, first + period.days))
        meaning = theta.physical(dynamics=dynamics(self.law))
        found = {name: getattr(theta, name) for name in _FIELDS}
        found |= {name: getattr(meaning, attribute) for name, attribute in _PHYSICAL.items()}
        return {
            name: np.where(self.grid.ocean, value[0].numpy(), np.nan).astype(np.float32)
            for name, value in found.items()
        }


class ThetaBlend:
    """Receives the parameters of windows and blends them.

    Args:
        solver: the network that estimates them.
        cutter: its windows.
        task: decides which window a day takes its parameters from.
        period: the target days.
    """

    def __init__(
        self, solver: SpdeSolver, cutter: WindowCutter, task: Task, period: Period
    ) -> None:
        assert cutter.guess is not None
        self.settings, self.cutter, self.law = solver.settings, cutter, cutter.guess.law
        self.lead = task.lead or 0
        window = cutter.plan.size[0]
        # day of a window whose parameters it gives: its target, or its last observed day
        own = task.target_index(window) - self.lead
        last = period.days - 1 + (window - 1 if task.lead is None else own)
        self.days = cutter.observations.time[: last + 1].astype("datetime64[D]")
        self._sources: dict[int, list[tuple[int, int]]] = {}
        for day in range(last + 1):
            target = min(max(day - own, 0), period.days - 1)
            self._sources.setdefault(target, []).append((day, day - target))
        plan = cutter.targets(last + 1)
        self._blenders = [Blender(plan) for _ in range(COUNT)]

    def add(self, delta: Tensor, inputs: Inputs, places: list[Triple]) -> None:
        """Take δ (batch, 7, rows, columns) of the windows at `places`."""
        assert inputs.guess is not None
        problem = ThetaProblem.of(
            inputs.guess, inputs.ocean[0], inputs.spacing_km, self.settings, pooling=1
        )
        still, flow = problem.raw(delta)
        for i, (target, row, column) in enumerate(places):
            for day, index in self._sources.get(target, []):
                channels = torch.cat([still[i, :, 0], flow[i, :, index]]).double().cpu().numpy()
                for blender, field in zip(self._blenders, channels, strict=True):
                    blender.add(field[None], (day, row, column))

    def result(self) -> ThetaDays:
        """Return the blended parameters."""
        grid, guess, settings = self.cutter.grid, self.cutter.guess, self.settings
        assert guess is not None
        raw = torch.from_numpy(np.stack([blender.result()[0] for blender in self._blenders]))[None]
        sigma = torch.from_numpy(guess.sigma.astype(np.float64))[None, None]
        limits = bounds_of(sigma, settings)
        theta = parameters_of(raw[:, :5], raw[:, 5:], limits, dynamics(self.law))
        window = self.cutter.plan.size[0]
        return ThetaDays(self.days, grid, theta, self.law, window, self.lead)
