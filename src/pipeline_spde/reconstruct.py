"""Maps from observations with a trained network: every target day of a period, a whole domain."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline_spde.assimilation.checkpoint import StateCheckpoint
from pipeline_spde.assimilation.spde_solver import SpdeSolver
from pipeline_spde.config import MapRequest, StateModelConfig
from pipeline_spde.data.patches import Blender, Triple
from pipeline_spde.data.windows import Inputs, WindowCutter, ocean_columns, on_days, patch_plan
from pipeline_spde.fields import GriddedObservations, Maps, Observations, daily_stamps
from pipeline_spde.first_guess import FirstGuess
from pipeline_spde.grids import Grid
from pipeline_spde.networks import needs_first_guess, trained
from pipeline_spde.periods import Period, Task
from pipeline_spde.theta_days import ThetaBlend, ThetaDays
from pipeline_spde.tiling import Tile, read_tile, tile_named

logger = logging.getLogger(__name__)

_SPACING_WARNING = 0.25
"""Relative difference of cell size from the training's beyond which a warning is given."""


def reconstruct(
    observations: Observations,
    grid: Grid,
    task: Task,
    config: MapRequest,
    method: str = StateModelConfig.method,
) -> Maps:
    """Return the daily maps of a trained network (`config.checkpoint`).

    The domain's own mean is removed and added back; anomalies are normalised with the statistics
    of the checkpoint. Every target day has its own window; patches are blended in space. Days
    without observations count as unobserved. 4dvarnet_spde gives the parameters of its prior too.

    Args:
        observations: gridded observations and the mean of the learning period.
        grid: their grid, with land.
        task: the one the network was trained for.
        config: period, checkpoint, first guess, patches and batch size.
        method: "4dvarnet", "unet" or "4dvarnet_spde", the network that is expected.

    Raises:
        ValueError: no checkpoint named, another task or network, grids that differ.
        FileNotFoundError, DataError: the checkpoint or the first guess is missing or unusable.
    """
    maps, days = reconstruct_with_theta(observations, grid, task, config, method)
    if days is None:
        return maps
    return maps.with_parameters(days.fields(config.period))


def reconstruct_with_theta(
    observations: Observations,
    grid: Grid,
    task: Task,
    config: MapRequest,
    method: str,
    guess: FirstGuess | None = None,
) -> tuple[Maps, ThetaDays | None]:
    """Return the maps, and Θ of every day that their windows see (None without parameters).

    Arguments and errors as for `reconstruct`; `guess` replaces the file of `config.first_guess`.
    """
    session = _Session(observations.gridded, observations.mean, grid, task, config, method, guess)
    theta = session.theta_blend()
    (state,) = session.sweep([session.target_index], theta)
    return session.maps(state), None if theta is None else theta.result()


def tile_from_files(
    name: str, observations: Path, grid: Path, task: Task, config: MapRequest, method: str
) -> Maps:
    """Return the maps of the tile of a name, reading no more of a domain's files than it needs.

    Arguments and errors as for `reconstruct_tile` and `tiling.read_tile`.
    """
    if config.checkpoint is None:
        raise ValueError(f"{method} needs a trained network: set `checkpoint` to its file")
    window = StateCheckpoint.load(config.checkpoint).model.window_days
    tile = tile_named(name, grid, config)
    reach = max(abs(offset) for offset in task.offsets(window))
    gridded, mean = read_tile(observations, grid, tile, reach)
    return reconstruct_tile(gridded, mean, tile, task, config, method)


def reconstruct_tile(
    gridded: GriddedObservations,
    mean: NDArray[np.float64],
    tile: Tile,
    task: Task,
    config: MapRequest,
    method: str,
) -> Maps:
    """Return the maps of one tile: of its days, as its own patches give them.

    `tiling.gather` blends the tiles of a domain to what `reconstruct` gives in one piece.

    Args:
        gridded: observations on the cells of the tile, with its land.
        mean: of the learning period there, shape (lat, lon) of the tile.
        tile: which patches and days.
        task: as for `reconstruct`.
        config: as for `reconstruct`; the period is the tile's.
        method: "4dvarnet" or "unet".

    Raises:
        ValueError: the method's network needs a first guess of the whole domain; else as for
            `reconstruct`.
    """
    grid = gridded.grid
    config = config.model_copy(update={"period": tile.period})
    if not grid.ocean.any():
        nothing = np.full((tile.period.days, *grid.shape), np.nan, np.float32)
        stamps = daily_stamps(tile.period.start, tile.period.end)
        return Maps(stamps, grid, nothing, gridded.quantity)
    session = _Session(gridded, mean, grid, task, config, method, tile=tile)
    (state,) = session.sweep([session.target_index], None)
    return session.maps(state)


def reconstruct_leads(
    observations: Observations,
    grid: Grid,
    task: Task,
    config: MapRequest,
    leads: Sequence[int],
    method: str = StateModelConfig.method,
) -> dict[int, Maps]:
    """Return the maps of several lead times from the network of one forecast task.

    A window of for{n} holds the analysis of its last observed day (lead 0) and the days up to n
    ahead. For every day of the period and every lead the window is taken whose last observed day
    is that many days before it.

    Args:
        observations: as for `reconstruct`.
        grid: as for `reconstruct`.
        task: for{n}, the task the network was trained for.
        config: as for `reconstruct`.
        leads: lead times in days, from 0 to n.
        method: name of the network's method.

    Raises:
        ValueError: the task is no forecast, or a lead beyond its own; else as for `reconstruct`.
    """
    longest = task.lead
    if longest is None or min(leads) < 0 or max(leads) > longest:
        raise ValueError(f"leads {list(leads)} do not fit the task {task.name}; use 0 … {longest}")
    period = config.period
    later = Period(start=period.start, end=period.end + timedelta(days=longest - min(leads)))
    longer = config.model_copy(update={"period": later})
    session = _Session(observations.gridded, observations.mean, grid, task, longer, method)
    states = session.sweep([session.target_index - (longest - lead) for lead in leads], None)
    found = {}
    for lead, state in zip(leads, states, strict=True):
        # the window of target d holds lead ℓ on day d − (n − ℓ)
        ahead = longest - lead
        found[lead] = session.maps(state[ahead : ahead + period.days], period)
    return found


class _Session:
    """A trained network, and the windows of one reconstruction."""

    def __init__(
        self,
        gridded: GriddedObservations,
        mean: NDArray[np.float64],
        grid: Grid,
        task: Task,
        config: MapRequest,
        method: str,
        guess: FirstGuess | None = None,
        tile: Tile | None = None,
    ) -> None:
        if config.checkpoint is None:
            raise ValueError(f"{method} needs a trained network: set `checkpoint` to its file")
        self.checkpoint = checkpoint = StateCheckpoint.load(config.checkpoint)
        _check(checkpoint, gridded, grid, task, config, method)
        self.quantity, self.mean = gridded.quantity, mean
        self.grid, self.task, self.config = grid, task, config
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = trained(checkpoint).to(self.device)
        window = checkpoint.model.window_days
        self.target_index = task.target_index(window)
        if not needs_first_guess(checkpoint.model):
            guess = None
        elif tile is not None:
            raise ValueError(
                f"{method} needs a first guess of the whole domain and is not made in tiles; "
                "leave out inference.tile_patches"
            )
        elif guess is None:
            if config.first_guess is None:
                raise ValueError(f"{method} needs the first guess of its windows: set first_guess")
            guess = FirstGuess.read(config.first_guess, task, window)
        offsets, period = task.offsets(window), config.period
        first = period.start + timedelta(days=offsets[0])
        last = period.end + timedelta(days=offsets[-1])
        daily = on_days(gridded, first, last)
        days = daily.time.size
        plan = tile.plan(days, window) if tile else patch_plan(grid, days, window, config.patches)
        self.cutter = WindowCutter(daily, grid, mean, checkpoint.std, task, plan, guess)

    def theta_blend(self) -> ThetaBlend | None:
        """Return the receiver of the parameters of Θ, for a network that estimates them."""
        if not isinstance(self.network, SpdeSolver):
            return None
        return ThetaBlend(self.network, self.cutter, self.task, self.config.period)

    def sweep(self, indices: Sequence[int], theta: ThetaBlend | None) -> list[NDArray[np.float64]]:
        """Return, for days of the windows, the normalised anomaly of every target's window.

        Args:
            indices: days of a window, counted from its first.
            theta: receives the parameters.

        Returns:
            For each index the blended states (targets, lat, lon).
        """
        blenders = [Blender(self.cutter.targets(self.config.period.days)) for _ in indices]
        with torch.no_grad():
            for places in _batches(self.cutter, self.config.inference.batch_size):
                inputs = self.cutter.inputs(places).to(self.device)
                for i, state in enumerate(self._states(inputs, places, theta)):
                    for blender, index in zip(blenders, indices, strict=True):
                        blender.add(state[index][None], places[i])
        return [self._whole(blender) for blender in blenders]

    def _states(
        self, inputs: Inputs, places: list[Triple], theta: ThetaBlend | None
    ) -> NDArray[np.float64]:
        """Return the states of a batch (batch, time, lat, lon); hand Θ on."""
        state: Tensor
        if theta is None or not isinstance(self.network, SpdeSolver):
            short = self.config.inference.precision == "bf16-mixed"
            with torch.autocast(self.device.type, torch.bfloat16, enabled=short):
                state = self.network(*inputs)
        else:
            found = self.network.augmented(*inputs)
            state = found.state
            theta.add(found.delta, inputs, places)
        return state.float().cpu().numpy().astype(np.float64)

    def _whole(self, blender: Blender) -> NDArray[np.float64]:
        field, covered = blender.result()
        if not covered[:, self.grid.ocean].all():
            raise RuntimeError("some ocean cells lie in no patch; please report this as a defect")
        return field

    def maps(self, state: NDArray[np.float64], period: Period | None = None) -> Maps:
        """Return normalised anomalies (days, lat, lon) as maps of a period (the request's)."""
        period = period or self.config.period
        total = state * self.checkpoint.std + self.mean
        return Maps(
            time=daily_stamps(period.start, period.end),
            grid=self.grid,
            height=np.where(self.grid.ocean, total, np.nan).astype(np.float32),
            quantity=self.quantity,
        )


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
    method: str,
) -> None:
    """Raise ValueError where checkpoint, observations and request do not fit together."""
    if checkpoint.model.method != method:
        raise ValueError(
            f"{config.checkpoint} holds the network of {checkpoint.model.method}, the maps are "
            f"those of {method}; name the checkpoint of a {method} training"
        )
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
