"""Ensembles by conditional simulation: x* + (x_s − x_s*), coherent over a domain and a period.

x_s is one draw of the SPDE prior over the whole domain and period, under the Θ that the network has
estimated; x_s* is its reconstruction from pseudo-observations: what the satellites would have seen
of x_s, with observation noise drawn afresh. `posterior: exact` takes for x_s* the exact posterior
mean of that prior (filter and smoother in modes), `posterior: neural` the network itself. The
difference has the covariance of the error that the reconstruction makes under the prior. Maps of
forecasts know nothing beyond their last observed day; their spread does, a little: the one draw
that all targets share has the Θ of later windows on later days.

Draws and deviations wait in temporary files: memory does not grow with the number of days, nor with
that of members beyond `members_at_once`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_spde import io
from pipeline_spde.assimilation.checkpoint import StateCheckpoint
from pipeline_spde.baselines.first_guess import Stretch, stretch
from pipeline_spde.baselines.spde_days import (
    forecast_windows,
    forecasts,
    segments,
    smoothed,
)
from pipeline_spde.baselines.spde_model import SpdeOiParameters
from pipeline_spde.baselines.superobs import SuperObservations, superobservations
from pipeline_spde.baselines.theta_model import ThetaModel
from pipeline_spde.baselines.withheld import read_guesses, withheld_cells, without
from pipeline_spde.config import EnsembleConfig, MapRequest
from pipeline_spde.fields import Maps, Observations
from pipeline_spde.first_guess import FirstGuess
from pipeline_spde.grids import Grid
from pipeline_spde.inflation import cross_validated, fit_inflation, fit_points, to_json
from pipeline_spde.periods import Task
from pipeline_spde.pseudo_observations import as_cells, observe_draws
from pipeline_spde.reconstruct import reconstruct_with_theta
from pipeline_spde.spde import SpdePrior
from pipeline_spde.stages import EnsembleStage, TrackCalibrationStage

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
Single = NDArray[np.float32]
METHOD = "4dvarnet_spde"
_FEWEST_DAYS = EnsembleConfig().calibration_days
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True, eq=False)
class Simulation:
    """Maps and the deviations of members from them.

    Attributes:
        maps: x*.
        deviations: x_s − x_s*, m, zero on land, shape (targets, members, lat, lon), on disk.
    """

    maps: Maps
    deviations: Single


def simulate(
    observations: Observations,
    grid: Grid,
    task: Task,
    request: MapRequest,
    config: EnsembleConfig,
    representativeness_m: float,
    seed: int,
    folder: Path,
    progress: Progress = lambda done, total: None,
) -> Simulation:
    """Return the maps of 4dvarnet_spde and an ensemble of deviations from them.

    Args:
        observations: what the maps are made of.
        grid: latitude-longitude grid.
        task: mapping, nrt or for{n}.
        request: period, checkpoint and first guess, as for `reconstruct`.
        config: members, posterior and basis.
        representativeness_m: error of a mean per pass and cell beyond the noise of its samples.
        seed: of draws and noise; equal seeds and groups of members give equal members.
        folder: for temporary files, of the size of members × (twice the targets) fields.
        progress: called with the number of finished members and their total.
    """
    started = perf_counter()
    simulator = _Simulator(observations, grid, task, request, config, representativeness_m, folder)
    shape = (simulator.targets.size, config.members, *grid.shape)
    deviations = np.memmap(folder / "deviations.tmp", np.float32, "w+", shape=shape)
    for first in range(0, config.members, config.members_at_once):
        chosen = slice(first, min(first + config.members_at_once, config.members))
        simulator.fill(deviations[:, chosen], [seed, first])
        progress(chosen.stop, config.members)
    logger.info(
        "ensemble for %s: %d members on %d days, %s posterior, %.1f s",
        task.name, config.members, shape[0], config.posterior, perf_counter() - started,
    )  # fmt: skip
    return Simulation(simulator.maps, deviations)


class _Simulator:
    """What all members share, and how some of them are made."""

    def __init__(
        self,
        observations: Observations,
        grid: Grid,
        task: Task,
        request: MapRequest,
        config: EnsembleConfig,
        representativeness_m: float,
        folder: Path,
    ) -> None:
        self.observations, self.grid, self.task = observations, grid, task
        self.request, self.config, self.folder = request, config, folder
        self.representativeness_m = representativeness_m
        self.maps, days = reconstruct_with_theta(observations, grid, task, request, METHOD)
        if days is None or request.first_guess is None:
            raise ValueError(f"ensembles need the parameters and the first guess of {METHOD}")
        self.window = days.window_days
        self.guess = FirstGuess.read(request.first_guess, task, self.window)
        self.stretch: Stretch = stretch(request.period, task, self.window, "evaluation")
        self.model = ThetaModel(
            days.days, days.theta, days.dynamics, grid, config.shortest_km, representativeness_m
        )
        self.targets = self.maps.time.astype("datetime64[D]")
        last = self.stretch.last if task.lead is None else self.targets[-1] - task.lead * _DAY
        seen = superobservations(observations, grid)
        self.seen = seen.select((seen.day >= self.stretch.first) & (seen.day <= last))
        # an observation lies between two noons, the first of them perhaps of the day before
        end = max(last + _DAY, self.targets[-1])
        self.days = np.arange(self.stretch.first - _DAY, end + _DAY)

    def fill(self, out: Single, seed: list[int]) -> None:
        """Write x_s − x_s* of some members to `out` (targets, members, lat, lon)."""
        pseudo = self._draw(out, seed)
        reconstruct = self._exact if self.config.posterior == "exact" else self._neural
        for number, member, field in reconstruct(pseudo):
            out[number, member] -= field
        out[..., self.grid.land] = 0

    def _draw(self, out: Single, seed: list[int]) -> SuperObservations:
        """Write x_s on the target days to `out`; return what is observed of it."""
        members = out.shape[1]
        theta = self.model.window(self.days).to(torch.float32)
        prior = SpdePrior(self.grid, theta, **vars(self.model.dynamics))
        generator = torch.Generator().manual_seed(int(np.random.default_rng(seed).integers(2**62)))
        draws = (day[:, 0].numpy() for day in prior.draws(members, generator))
        values = np.zeros((self.seen.day.size, members), np.float32)
        number = {day: i for i, day in enumerate(self.targets)}
        rng = np.random.default_rng([*seed, 1])
        error = self.representativeness_m
        for day, field, found, some in observe_draws(
            draws, self.days, self.seen, self.grid, error, rng
        ):
            values[found] = some
            if day in number:
                out[number[day]] = field
        return replace(self.seen, value=values.astype(np.float64))

    def _exact(self, pseudo: SuperObservations) -> Iterator[tuple[int, slice, Single]]:
        """Yield number of the target, members and x_s* by the exact posterior."""
        everyone = slice(None)
        if self.task.lead is not None:
            first, leads = self.stretch.first, (self.task.lead,)
            for _, number, mean, _ in forecasts(
                self.model, pseudo, first, self.targets, leads, deviation=False
            ):
                yield number, everyone, mean.astype(np.float32)
            return
        for begin, number, field in self._smoothed(pseudo, self.targets):
            yield begin + number, everyone, field

    def _smoothed(
        self, pseudo: SuperObservations, days: NDArray[np.datetime64]
    ) -> Iterator[tuple[int, int, Single]]:
        """Yield first day of the segment, day in it, and smoothed means (members, lat, lon)."""
        half = self.window // 2 * _DAY
        for chosen in segments(days, self.request.spde_oi.segment_days):
            some = days[chosen]
            first = max(some[0] - half, self.stretch.first)
            last = min(some[-1] + half, self.stretch.last)
            for number, field, _ in smoothed(self.model, pseudo, first, last, some, False):
                yield chosen.start, number, field.astype(np.float32)

    def _neural(self, pseudo: SuperObservations) -> Iterator[tuple[int, int, Single]]:
        """Yield number of the target, member and x_s* by the network, Θ estimated again."""
        heights = self._first_guesses(pseudo)
        mean = np.nan_to_num(self.observations.mean)
        for member in range(pseudo.value.shape[1]):
            guess = replace(self.guess, targets=self.stretch.days, height=heights[:, member])
            values = pseudo.value[:, member].astype(np.float32)
            seen = as_cells(self.observations, self.seen, values, self.representativeness_m)
            maps, _ = reconstruct_with_theta(
                seen, self.grid, self.task, self.request, METHOD, guess
            )
            for number, field in enumerate(maps.height):
                yield number, member, (np.nan_to_num(field) - mean).astype(np.float32)

    def _first_guesses(self, pseudo: SuperObservations) -> Single:
        """Return the first guesses of all windows: (days, members, …) on disk."""
        days, members = self.stretch.days, pseudo.value.shape[1]
        window = () if self.task.lead is None else (self.window,)
        shape = (days.size, members, *window, *self.grid.shape)
        heights = np.memmap(self.folder / "guesses.tmp", np.float32, "w+", shape=shape)
        if self.task.lead is None:
            for begin, number, field in self._smoothed(pseudo, days):
                heights[begin + number] = field
            return heights
        first, lead = self.stretch.first, self.task.lead
        out = np.moveaxis(heights, 1, 2)
        forecast_windows(self.model, pseudo, first, days, lead, self.window, out)
        return heights


def simulate_stage(
    stage: EnsembleStage, files: Mapping[str, Path], folder: Path, progress: Progress
) -> Simulation:
    """Return the simulation of a stage from its files.

    Args:
        stage: task, request and settings.
        files: observations, tracks, grid, tuning (fit of spde_oi), checkpoint, first_guess.
        folder: for temporary files.
        progress: as for `simulate`.
    """
    seen, grid = io.read_domain(files["observations"], files["tracks"], files["grid"])
    fitted = {name: files[name] for name in ("checkpoint", "first_guess")}
    request = stage.request.model_copy(update=fitted)
    error = SpdeOiParameters.read(files["tuning"], grid).representativeness_m
    return simulate(
        seen, grid, stage.task, request, stage.ensembles, error, stage.seed, folder, progress
    )


def calibrate(
    simulation: Simulation,
    truth: Maps,
    margin: float,
    seed: int,
    fewest_days: int = _FEWEST_DAYS,
) -> dict[str, float]:
    """Return the calibration of a simulation of validation days, as its file holds it.

    Args:
        simulation: maps and deviations of the validation days.
        truth: true maps of these days at least.
        margin: degrees at the sides of the domain that do not count.
        seed: of the choice of points.
        fewest_days: number of days that are needed.
    """
    maps, grid = simulation.maps, simulation.maps.grid
    days = maps.time.astype("datetime64[D]")
    wanted = truth.between(str(days[0]), str(days[-1]))
    if not np.array_equal(wanted.time, maps.time):
        raise ValueError(f"the truth does not hold every day from {days[0]} to {days[-1]}")
    scored = np.zeros(grid.shape, bool)
    scored[grid.inside(margin)] = grid.ocean[grid.inside(margin)]
    true, mean = (part.height.astype(np.float64) for part in (wanted, maps))
    return to_json(*fit_inflation(true, mean, simulation.deviations, scored, seed, fewest_days))


def calibrate_on_tracks(
    stage: TrackCalibrationStage, files: Mapping[str, Path], folder: Path, progress: Progress
) -> dict[str, float]:
    """Return the calibration of an ensemble on real tracks, as its file holds it.

    For each fold an ensemble of the validation days is simulated without its passes, and judged at
    the cells that they touch, whose observation error is counted.

    Args:
        stage: task, request, settings and folds.
        files: observations, tracks, grid, tuning (fit of spde_oi), checkpoint, and the first
            guesses of the folds (withheld_guess).
        folder: for temporary files.
        progress: as for `simulate`, counted over all folds.

    Raises:
        ValueError: no observation to judge at.
    """
    seen, grid = io.read_domain(files["observations"], files["tracks"], files["grid"])
    error = SpdeOiParameters.read(files["tuning"], grid).representativeness_m
    window = StateCheckpoint.load(files["checkpoint"]).model.window_days
    guesses = read_guesses(files["withheld_guess"], stage.task, window)
    masks = withheld_cells(seen, grid, stage.folds, stage.passes_seed)
    parts = []
    for fold, (mask, guess) in enumerate(zip(masks, guesses, strict=True)):
        path = folder / f"first_guess.{fold}.nc"
        guess.to_dataset(grid.lat, grid.lon).to_netcdf(path)
        own = {"checkpoint": files["checkpoint"], "first_guess": path}
        simulation = simulate(
            without(seen, grid, mask), grid, stage.task, stage.request.model_copy(update=own),
            stage.ensembles, error, stage.seed, folder, _fraction(progress, fold, stage.folds),
        )  # fmt: skip
        parts.append(_misfits(simulation, seen, mask, stage.margin))
    number = np.repeat(np.arange(len(parts)), [one.size for one, _, _ in parts])
    misfit, members, spread = (np.concatenate(part) for part in zip(*parts, strict=True))
    if misfit.size == 0:
        raise ValueError(f"no withheld observation in {stage.request.period} to calibrate on")
    inflation, record = fit_points(misfit, members, spread, stage.seed)
    checked = cross_validated(misfit, members, spread, number, stage.seed)
    extent = {"days": float(stage.request.period.days), "points": float(misfit.size)}
    return to_json(inflation, extent | dict(record) | dict(checked))


def _misfits(
    simulation: Simulation, seen: Observations, mask: NDArray[np.bool_], margin: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return observation − map, deviations and observation error at withheld cells.

    Shapes (points,), (points, members), (points,); cells within `margin` of the sides are left out.
    """
    maps, gridded = simulation.maps, seen.gridded
    held = np.searchsorted(gridded.time, maps.time)
    inside = np.zeros(maps.grid.shape, bool)
    inside[maps.grid.inside(margin)] = maps.grid.ocean[maps.grid.inside(margin)]
    wanted = (mask & gridded.observed)[held] & inside
    day, row, column = np.nonzero(wanted)
    misfit = (gridded.height[held] - maps.height)[wanted].astype(np.float64)
    members = np.asarray(simulation.deviations[day, :, row, column], dtype=np.float64)
    return misfit, members, gridded.error[held][wanted].astype(np.float64)


def _fraction(progress: Progress, fold: int, folds: int) -> Progress:
    return lambda done, total: progress(fold * total + done, folds * total)
