"""Maps of the ocean: the exact posterior under any Θ, its members, and the fitted methods."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from gaussian_process.ocean import DAY, DYNAMICS, EVALUATION, REACH, Ocean
from pipeline_spde.baselines import spde_fit, tuning
from pipeline_spde.baselines.spde_days import forecast_maps, smoothed, smoothed_maps
from pipeline_spde.baselines.theta_model import ThetaModel
from pipeline_spde.config import MapRequest, OiTunedConfig, SpdeOiConfig
from pipeline_spde.fields import Maps, daily_stamps
from pipeline_spde.files import write_json
from pipeline_spde.io import Provenance, write_dataset
from pipeline_spde.methods import reconstruct
from pipeline_spde.periods import Period, Task
from pipeline_spde.pseudo_observations import observe_draws
from pipeline_spde.spde import SpdeParameters, SpdePrior

Array = NDArray[np.float64]

MAPPING, FORECAST = Task(name="mapping"), Task(name="for2")
WINDOW = 2 * REACH + 1


def exact_model(ocean: Ocean, theta: SpdeParameters, shortest_km: float) -> ThetaModel:
    """Return the filter of the prior under some Θ."""
    return ThetaModel(ocean.days[:1], theta, DYNAMICS, ocean.grid, shortest_km, 0.0)


def posterior(ocean: Ocean, model: ThetaModel, task: Task = MAPPING) -> Maps:
    """Return the exact posterior mean and standard deviation of the evaluated days."""
    seen, targets = ocean.seen, ocean.targets
    first, last = targets[0] - REACH * DAY, targets[-1] + REACH * DAY
    if task.lead is None:
        mean, std = smoothed_maps(model, seen, first, last, targets)
    else:
        mean, std = forecast_maps(model, seen, first, targets, task.lead)
    return as_maps(ocean, mean, std)


def as_maps(ocean: Ocean, mean: Array, std: Array) -> Maps:
    """Return fields of the evaluated days as maps."""
    time = daily_stamps(ocean.targets[0], ocean.targets[-1])
    fields = (mean.astype(np.float32), std.astype(np.float32))
    return Maps(time, ocean.grid, fields[0], "ssh", std=fields[1])


def climatology(ocean: Ocean, model: ThetaModel) -> Maps:
    """Return the prior itself: zero, and its own standard deviation."""
    count = model.basis.count
    std = np.sqrt(model.variance(model.filter.first.covariance[:count, :count]))
    shape = (EVALUATION, *ocean.grid.shape)
    return as_maps(ocean, np.zeros(shape), np.broadcast_to(std, shape))


def deviations(ocean: Ocean, model: ThetaModel, members: int, seed: int) -> NDArray[np.float32]:
    """Return x_s − x_s* of members of the exact posterior, (days, members, lat, lon)."""
    seen, targets = ocean.seen, ocean.targets
    first, last = targets[0] - REACH * DAY, targets[-1] + REACH * DAY
    days = np.arange(first - DAY, last + 2 * DAY)
    theta = model.window(days).to(torch.float32)
    prior = SpdePrior(ocean.grid, theta, **vars(model.dynamics))
    draws = (day[:, 0].numpy() for day in prior.draws(members, torch.Generator().manual_seed(seed)))
    out = np.empty((targets.size, members, *ocean.grid.shape), np.float32)
    values, rng = np.zeros((seen.day.size, members)), np.random.default_rng(seed)
    for day, field, found, some in observe_draws(draws, days, seen, ocean.grid, 0.0, rng):
        values[found] = some
        if targets[0] <= day <= targets[-1]:
            out[int((day - targets[0]) / DAY)] = field
    pseudo = replace(seen, value=values)
    for number, field, _ in smoothed(model, pseudo, first, last, targets, False):
        out[number] -= field.astype(np.float32)
    return out


def fitted_maps(ocean: Ocean, task: Task, shortest_km: float) -> tuple[dict[str, Maps], dict]:
    """Return maps by the methods that are fitted on the learning days, and what was fitted."""
    known = {"window_days": WINDOW, "tuning_days": 8}
    spde = SpdeOiConfig(
        **known, shortest_km=shortest_km, tuning_shortest_km=shortest_km,
        advection_shares=(0.0,), representativeness_m=(0.001,), segment_days=EVALUATION,
    )  # fmt: skip
    oi = OiTunedConfig(**known, lengths_days=(2.5, 4.0, 6.0, 9.0))
    period = Period(start=ocean.targets[0].item(), end=ocean.targets[-1].item())
    request = MapRequest(period=period, spde_oi=spde, oi_tuned=oi)
    truth, validation = ocean.true_maps(ocean.learning), ocean.validation
    observations, grid = ocean.observations, ocean.grid
    with TemporaryDirectory() as name:
        folder = Path(name)
        parameters, record = spde_fit.fit(
            observations, grid, task, spde, ocean.learning, validation, truth, seed=0
        )
        about = Provenance("gaussian process check", "0", 0)
        write_dataset(parameters.to_dataset(grid, record), folder / "spde_oi.nc", about)
        tuned = tuning.tune(observations, grid, task, oi, validation, truth, seed=0)
        write_json(folder / "oi_tuned.json", tuned)
        files = {"spde_oi": folder / "spde_oi.nc", "oi_tuned": folder / "oi_tuned.json"}
        if task.lead is not None:
            now = tuning.tune(observations, grid, Task(name="nrt"), oi, validation, truth, seed=0)
            write_json(folder / "now.json", now)
            files["persistence"] = folder / "now.json"
        maps = {
            method: reconstruct(
                method, observations, grid, task, request.model_copy(update={"tuning": path})
            )
            for method, path in files.items()
        }
    return maps, {"spde_oi": parameters, "oi_tuned": tuned}
