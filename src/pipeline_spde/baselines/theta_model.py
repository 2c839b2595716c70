"""The SPDE prior with parameters that change from day to day, ready to be filtered.

It serves the exact posterior under the Θ that a network has estimated: basis, filter and smoother
are those of `spde_oi`, while κ, H, τ and m are given fields of each day. The step from a day to the
next has the parameters of the day it starts from: a forecast knows no later ones.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_spde.baselines.spde_model import Array, ModeModel, affordable_basis
from pipeline_spde.grids import Grid
from pipeline_spde.spde import Dynamics, SpdeParameters
from pipeline_spde.spde.kalman import Gaussian, ModeFilter
from pipeline_spde.spde.modes import ModePrior, Step
from pipeline_spde.spde.variance import variance_per_unit_tau

_DAY = np.timedelta64(1, "D")
_KEPT = 3  # days whose dynamics are kept: a forecast asks for one of them again


class ThetaModel(ModeModel):
    """Prior of a domain with given parameters of every day.

    Args:
        days: successive calendar days, shape (days,); beyond their ends the nearest one counts.
        theta: their parameters, shape (1, days, lat, lon).
        dynamics: settings of the prior.
        grid: latitude-longitude grid.
        shortest_km: shortest wavelength of the basis.
        representativeness_m: error of a mean per pass and cell beyond the noise of its samples.

    Raises:
        ValueError: the basis would be too large, or days and parameters do not fit.
    """

    def __init__(
        self,
        days: NDArray[np.datetime64],
        theta: SpdeParameters,
        dynamics: Dynamics,
        grid: Grid,
        shortest_km: float,
        representativeness_m: float,
    ) -> None:
        if theta.shape[1] != days.size or theta.m_east is None or theta.m_north is None:
            raise ValueError(
                f"parameters of {theta.shape[1]} days for {days.size} days; currents are needed"
            )
        self.days, self.theta, self.dynamics = days, theta.detach().to("cpu"), dynamics
        self._basis = affordable_basis(grid, shortest_km)
        self._step = lru_cache(maxsize=_KEPT)(self._dynamics_of)
        self._noise = lru_cache(maxsize=_KEPT)(lambda place: self._prior(grid, place).noise())
        self._start = lru_cache(maxsize=_KEPT)(lambda place: self._prior(grid, place).start())
        law = ModeFilter(self._prior(grid, 0))
        neglected = np.where(grid.ocean, _neglected(theta, dynamics, shortest_km), 0.0)
        super().__init__(grid, self._basis, law, neglected, representativeness_m)

    def step(self, state: Gaussian, day: np.datetime64) -> Step:
        """Return the dynamics from a day to the next under the parameters of that day."""
        # the noise that enters belongs to the step after this one
        return replace(self._step(self._place(day)), noise=self._noise(self._place(day + _DAY)))

    def start(self, day: np.datetime64, columns: int | None = None) -> Gaussian:
        """Return the stationary law under the parameters of a day."""
        place, first = self._place(day), self.filter.start(columns)
        return Gaussian(first.mean, self._start(place)) if place else first

    def flow(self, state: Gaussian, day: np.datetime64) -> tuple[Array, Array]:
        """Return the currents of a day, km/day."""
        place = self._place(day)
        assert self.theta.m_east is not None and self.theta.m_north is not None
        east, north = self.theta.m_east[0, place], self.theta.m_north[0, place]
        return np.asarray(east, dtype=np.float64), np.asarray(north, dtype=np.float64)

    def window(self, days: NDArray[np.datetime64]) -> SpdeParameters:
        """Return the parameters with which `SpdePrior` is this prior, (1, days, lat, lon).

        Args:
            days: successive days; `SpdePrior` takes the parameters of an entry for the step into
                that day, and those of the first entry for the start.
        """
        places = torch.tensor([self._place(day) for day in (days[0], *days[:-1])])
        fields = {name: value[:, places] for name, value in self.theta.items()}
        return SpdeParameters(**fields)

    def _place(self, day: np.datetime64) -> int:
        return int(np.clip((day - self.days[0]) / _DAY, 0, self.days.size - 1))

    def _prior(self, grid: Grid, place: int) -> ModePrior:
        one = self.theta.at(slice(place, place + 1))
        return ModePrior(grid, one, self.dynamics, self._basis)

    def _dynamics_of(self, place: int) -> Step:
        prior = self._prior(self.grid, place)
        assert self.theta.m_east is not None and self.theta.m_north is not None
        moving = prior.step(
            self.theta.m_east[0, place].double(), self.theta.m_north[0, place].double()
        )
        return Step(moving.solve, moving.explicit)


def _neglected(theta: SpdeParameters, dynamics: Dynamics, shortest_km: float) -> Array:
    """Return the variance at wavelengths below the shortest one, m², the mean over days."""
    fields = (theta.kappa, theta.h_ee, theta.h_en, theta.h_nn)
    side = shortest_km / float(np.sqrt(np.pi))  # cells whose circle of wavenumbers ends there
    whole = variance_per_unit_tau(*fields, dynamics)
    held = variance_per_unit_tau(*fields, dynamics, (side, side))
    missing = theta.tau.square() * (whole - held).clamp(min=0)
    return np.asarray(missing[0].mean(dim=0), dtype=np.float64)
