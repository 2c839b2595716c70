"""A small domain with tracks, a fitted prior, first guesses and a checkpoint of 4dvarnet_spde."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline_spde.assimilation.checkpoint import StateCheckpoint
from pipeline_spde.assimilation.spde_solver import SpdeSolver
from pipeline_spde.baselines.first_guess import first_guess, stretch
from pipeline_spde.baselines.spde_model import SpdeOiParameters
from pipeline_spde.baselines.superobs import SuperObservations, corners
from pipeline_spde.config import AugmentedModelConfig, MapRequest, PatchConfig, SpdeSolverConfig
from pipeline_spde.data.observe import bin_to_grid
from pipeline_spde.fields import Maps, Observations, daily_stamps
from pipeline_spde.first_guess import FirstGuess
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period, Task
from pipeline_spde.spde import SpdeParameters, SpdePrior

from .baselines.spde_case import DAY, FIRST, box, model_of, parameters_of, random_points, tracks_at

WINDOW = 5
SHAPE = (8, 10)
SHORTEST_KM = 70.0
STD = 0.2


def day(number: int) -> np.datetime64:
    return FIRST + number * DAY


def period(first: int, last: int) -> Period:
    return Period(start=str(day(first)), end=str(day(last)))


@dataclass(frozen=True, eq=False)
class Domain:
    """Everything that maps of 4dvarnet_spde are made of, on disk and in memory.

    Attributes:
        grid: 8 x 10 cells of 0.3 degrees with a coast.
        observations: cells and tracks of 40 days.
        seen: the points behind them.
        parameters: of the prior of the first guess.
        folder: of the files.
    """

    grid: Grid
    observations: Observations
    seen: SuperObservations
    parameters: SpdeOiParameters
    folder: Path

    def guess(self, task: Task, targets: Period) -> FirstGuess:
        """The first guesses of evaluation windows, and their file `first_guess.<task>.nc`."""
        model = model_of(self.parameters, self.grid, SHORTEST_KM, self.observations.mean)
        ahead = task.lead or 0
        parts = [stretch(targets, task, WINDOW, "evaluation", ahead)]
        found = first_guess(model, self.seen, task, WINDOW, parts, 42)
        found.to_dataset(self.grid.lat, self.grid.lon).to_netcdf(self.guess_file(task))
        return found

    def guess_file(self, task: Task) -> Path:
        return self.folder / f"first_guess.{task.name}.nc"

    def request(self, task: Task, targets: Period, checkpoint: Path, **changes: Any) -> MapRequest:
        """What `reconstruct` is asked for; makes the first guess where there is none yet."""
        if not self.guess_file(task).exists():
            self.guess(task, targets)
        options: dict[str, Any] = {
            "period": targets,
            "patches": PatchConfig(lat=8, lon=8, stride_lat=8, stride_lon=2),
            "checkpoint": checkpoint,
            "first_guess": self.guess_file(task),
        }
        return MapRequest(**(options | changes))

    def checkpoint(
        self,
        task: Task,
        name: str = "spde.ckpt",
        still: bool = True,
        keep_start: bool = False,
        **changes: Any,
    ) -> Path:
        """A checkpoint.

        `still`: its net of Θ never leaves the start, the parameters are known; `keep_start`: the
        same of the state, whose maps are the exact analyses of the first guess.
        """
        spde = {k: v for k, v in changes.items() if k in SpdeSolverConfig.model_fields}
        model = {k: v for k, v in changes.items() if k not in spde}
        options = {"window_days": WINDOW, "hidden": 4, "prior_hidden": 4, "iterations": 2}
        options |= {"start": "spde_oi", "gradient_step": 0.0 if keep_start else 0.2}
        config = AugmentedModelConfig(
            **(options | model),
            spde=SpdeSolverConfig(**({"theta_hidden": 4} | spde)),
        )
        torch.manual_seed(3)
        spacing = (round(float(self.grid.dy_km), 3), round(float(self.grid.dx_km.mean()), 3))
        solver = SpdeSolver(config, spacing)
        with torch.no_grad():
            if not keep_start:
                solver.gradient_net.update.weight.normal_(std=0.02)
            if not still:
                solver.theta_net.update.weight.normal_(std=0.5)
        path = self.folder / name
        StateCheckpoint(
            model=config, weights=solver.state_dict(), task=task.name, mean=0.0, std=STD,
            spacing_km=spacing, seed=1, config_hash="0", version="test",
        ).save(path)  # fmt: skip
        return path


def make_domain(
    folder: Path, count: int = 400, days: int = 40, land: bool = True, **parameters: Any
) -> Domain:
    """Points at random places and times; heights at random about a sloping mean."""
    shore = np.zeros(SHAPE, bool)
    if land:
        shore[:2, :3] = True
    grid = box(shape=SHAPE, land=shore)
    mean = 0.02 * np.arange(SHAPE[0])[:, None] * np.ones(SHAPE)
    seen = random_points(grid, day(0) + np.arange(days) * DAY, count, seed=3)
    tracks = tracks_at(seen, grid, mean)
    cells = bin_to_grid(tracks, grid, daily_stamps(day(0), day(days - 1)), 0.02)
    own = replace(parameters_of(grid), **parameters)
    own.to_dataset(grid, {}).to_netcdf(folder / "spde_oi.nc")
    return Domain(grid, Observations(cells, tracks, mean), seen, own, folder)


def make_twin(
    folder: Path, count: int = 800, days: int = 60, seed: int = 11
) -> tuple[Domain, Maps]:
    """A domain whose truth is a draw of the prior itself, carried by no current; and the truth."""
    domain = make_domain(folder, count, days, land=True)
    grid, p = domain.grid, domain.parameters
    noons = np.arange(day(-1), day(days) + DAY)
    theta = {name: value.expand(1, noons.size, -1, -1) for name, value in p.theta().items()}
    prior = SpdePrior(grid, SpdeParameters(m_east=None, m_north=None, **theta), **vars(p.dynamics))
    anomaly = prior.sample(1, torch.Generator().manual_seed(seed))[0, 0].numpy()
    seen = domain.seen
    place, weight = corners(grid, seen.row, seen.column)
    since = (seen.day - noons[0]) / DAY + seen.noon
    before = np.floor(since).astype(int)
    late = since - before
    flat = anomaly.reshape(noons.size, -1)
    ends = [(flat[before[:, None] + k, place] * weight).sum(axis=1) for k in (0, 1)]
    rng = np.random.default_rng(seed)
    error = np.sqrt(seen.variance + p.representativeness_m**2)
    values = (1 - late) * ends[0] + late * ends[1] + error * rng.standard_normal(late.size)
    seen = replace(seen, value=values)
    tracks = tracks_at(seen, grid, domain.observations.mean)
    cells = bin_to_grid(tracks, grid, daily_stamps(day(0), day(days - 1)), 0.02)
    observations = Observations(cells, tracks, domain.observations.mean)
    height = anomaly[1:-1] + observations.mean
    height = np.where(grid.ocean, height, np.nan).astype(np.float32)
    truth = Maps(daily_stamps(day(0), day(days - 1)), grid, height, "ssh")
    return replace(domain, seen=seen, observations=observations), truth
