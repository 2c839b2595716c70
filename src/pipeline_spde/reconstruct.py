"""Maps from observations with a trained 4DVarNet: every target day of a period, a whole domain."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import torch

from pipeline_spde.assimilation.checkpoint import StateCheckpoint
from pipeline_spde.assimilation.state_solver import StateSolver
from pipeline_spde.config import MapRequest
from pipeline_spde.data.patches import Blender, Patches, Triple
from pipeline_spde.data.windows import WindowCutter, ocean_columns, on_days, patch_plan
from pipeline_spde.fields import GriddedObservations, Maps, Observations, daily_stamps
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Task

logger = logging.getLogger(__name__)

_SPACING_WARNING = 0.25
"""Relative difference of cell size from the training's beyond which a warning is given."""


def reconstruct(observations: Observations, grid: Grid, task: Task, config: MapRequest) -> Maps:
    """Return the daily maps of a trained 4DVarNet (`config.checkpoint`).

    The domain's own mean is removed and added back; anomalies are normalised with the statistics
    of the checkpoint. Every target day has its own window; patches are blended in space. Days
    without observations count as unobserved.

    Args:
        observations: gridded observations and the mean of the learning period.
        grid: their grid, with land.
        task: the one the network was trained for.
        config: period, checkpoint, patches and batch size.

    Raises:
        ValueError: no checkpoint named, another task, grids that differ.
        FileNotFoundError, DataError: the checkpoint is missing or unusable.
    """
    if config.checkpoint is None:
        raise ValueError("4dvarnet needs a trained network: set `checkpoint` to its file")
    checkpoint = StateCheckpoint.load(config.checkpoint)
    gridded = observations.gridded
    _check(checkpoint, gridded, grid, task, config)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    solver = checkpoint.solver().to(device)
    cutter = _cutter(observations, grid, task, checkpoint, config)
    blender = _blend(solver, cutter, task, config, device)
    anomaly, covered = blender.result()
    if not covered[:, grid.ocean].all():
        raise RuntimeError("some ocean cells lie in no patch; please report this as a defect")
    total = anomaly * checkpoint.std + observations.mean
    height = np.where(grid.ocean, total, np.nan).astype(np.float32)
    stamps = daily_stamps(config.period.start, config.period.end)
    return Maps(time=stamps, grid=grid, height=height, quantity=gridded.quantity)


def _cutter(
    observations: Observations,
    grid: Grid,
    task: Task,
    checkpoint: StateCheckpoint,
    config: MapRequest,
) -> WindowCutter:
    """Return the cutter of one window per target day."""
    window = checkpoint.model.window_days
    offsets = task.offsets(window)
    first = config.period.start + timedelta(days=offsets[0])
    daily = on_days(observations.gridded, first, config.period.end + timedelta(days=offsets[-1]))
    plan = patch_plan(grid, daily.time.size, window, config.patches, 1)
    return WindowCutter(daily, grid, observations.mean, checkpoint.std, task, plan)


def _blend(
    solver: StateSolver,
    cutter: WindowCutter,
    task: Task,
    config: MapRequest,
    device: torch.device,
) -> Blender:
    """Return the blend of the target days of all windows, normalised anomalies."""
    plan = cutter.plan
    # target day number d belongs to the window that starts at day d of the padded axis
    targets = Patches(
        (config.period.days, *plan.shape[1:]),
        (1, *plan.size[1:]),
        (tuple(range(config.period.days)), *plan.starts[1:]),
        plan.periodic,
    )
    blender = Blender(targets)
    index = task.target_index(plan.size[0])
    with torch.no_grad():
        for places in _batches(cutter, config.batch_size):
            inputs = cutter.inputs(places)
            tensors = [tensor.to(device) for tensor in inputs[:4]]
            state = solver(*tensors, spacing_km=inputs.spacing_km)[:, index]
            for place, values in zip(places, state.cpu().numpy().astype(np.float64), strict=True):
                blender.add(values[None], place)
    return blender


def _batches(cutter: WindowCutter, size: int) -> Iterator[list[Triple]]:
    """Yield the first indices of windows, batched along rows of patches (one spacing each)."""
    for row, columns in ocean_columns(cutter.plan, cutter.grid).items():
        places = [(day, row, column) for day in cutter.plan.starts[0] for column in columns]
        for i in range(0, len(places), size):
            yield places[i : i + size]


def _check(
    checkpoint: StateCheckpoint,
    gridded: GriddedObservations,
    grid: Grid,
    task: Task,
    config: MapRequest,
) -> None:
    """Raise ValueError where checkpoint, observations and request do not fit together."""
    if checkpoint.task != task.name:
        raise ValueError(
            f"{config.checkpoint} was trained for {checkpoint.task}, the maps are for {task.name}; "
            f"train or fine-tune a network for {task.name}"
        )
    if not gridded.grid.same_axes(grid):
        raise ValueError(
            f"observations lie on {gridded.grid.shape} cells within {gridded.grid.bounds}, the "
            f"maps are wanted on {grid.shape} within {grid.bounds}; bin them to the same grid"
        )
    own = np.array([grid.dy_km, grid.dx_km.mean()])
    if np.any(np.abs(own / np.array(checkpoint.spacing_km) - 1) > _SPACING_WARNING):
        logger.warning(
            "the network was trained on cells of %.1f x %.1f km and is applied to cells of "
            "%.1f x %.1f km; expect worse maps, or train it at this resolution",
            *checkpoint.spacing_km,
            *own,
        )
