"""Members of 4dvarnet for domains of any size: groups of x_s − x_s*, each made by a job of its own.

x_s is a draw of the `LocalPrior` over the whole domain and period, coherent everywhere; x_s* is its
reconstruction by the network from pseudo-observations: what the satellites would have seen of x_s,
with noise drawn afresh. The difference stands for the error that the network makes. A group is on
disk, day by day. A job holds one factorisation of the domain, the draws of a day, the cells and the
maps of the windows of `inference.tile_days` days, and the observations of its period.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_spde import io
from pipeline_spde.assimilation.checkpoint import StateCheckpoint
from pipeline_spde.baselines.local_prior import LocalPrior
from pipeline_spde.baselines.superobs import SuperObservations, superobservations
from pipeline_spde.config import MapRequest
from pipeline_spde.ensembles import Simulation
from pipeline_spde.fields import Observations, daily_stamps
from pipeline_spde.grids import Grid
from pipeline_spde.io import Provenance
from pipeline_spde.member_file import days_of_group, maps_of_group, members_of, write_group
from pipeline_spde.periods import Period, Task
from pipeline_spde.pseudo_observations import as_cells, observe_draws
from pipeline_spde.reconstruct import reconstruct
from pipeline_spde.stage_models import MembersStage
from pipeline_spde.tiling import segments

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
Single = NDArray[np.float32]
METHOD = "4dvarnet"
_ONE = timedelta(days=1)


@dataclass(frozen=True, eq=False)
class _Places:
    """What all members share: the real observations, and when and where they lie.

    Attributes:
        observations: of the days that the windows see.
        seen: means per pass and cell of these days.
        days: calendar days that are drawn: those seen and the targets, one more at each end.
        window_days: of the network.
    """

    observations: Observations
    seen: SuperObservations
    days: NDArray[np.datetime64]
    window_days: int

    def of_windows(self, period: Period, task: Task) -> tuple[Observations, NDArray[np.bool_]]:
        """Return the observations that the windows of some targets see, and which of `seen`."""
        wanted = seen_days(period, task, self.window_days)
        first, last = np.datetime64(wanted.start), np.datetime64(wanted.end)
        cells = self.observations.gridded.between(first, last)
        index = (self.seen.day >= first) & (self.seen.day <= last)
        return replace(self.observations, gridded=cells), index


def seen_days(period: Period, task: Task, window_days: int) -> Period:
    """Return the days whose observations the windows of a period see."""
    offsets = task.observed_offsets(window_days)
    start = period.start + timedelta(days=offsets[0])
    return Period(start=start, end=period.end + timedelta(days=offsets[-1]))


def deviations(
    observations: Observations,
    grid: Grid,
    prior: LocalPrior,
    task: Task,
    request: MapRequest,
    count: int,
    representativeness_m: float,
    seed: Sequence[int],
    folder: Path,
    progress: Progress = lambda done, total: None,
) -> Single:
    """Return x_s − x_s* of some members, on disk, shape (targets, members, lat, lon).

    Args:
        observations: what the maps are made of; days outside the windows are left alone.
        grid: latitude-longitude grid.
        prior: of the draws.
        task: mapping, nrt or for{n}.
        request: period, checkpoint and patches, as for `reconstruct`.
        count: number of members.
        representativeness_m: error of a mean per pass and cell beyond the noise of its samples.
        seed: of draws and noise; equal seeds and counts give equal members.
        folder: for a temporary file of the size of the result.
        progress: called with the number of finished maps of members and their total.

    Raises:
        ValueError: no checkpoint named, or one that does not fit the task.
    """
    started = perf_counter()
    places = _places(observations, grid, task, request)
    targets = np.arange(
        np.datetime64(request.period.start), np.datetime64(request.period.end + _ONE)
    )
    shape = (targets.size, count, *grid.shape)
    out = np.memmap(folder / "deviations.tmp", np.float32, "w+", shape=shape)
    values = _draw(out, targets, places, grid, prior, representativeness_m, list(seed))
    drawn = perf_counter()
    mean = np.nan_to_num(observations.mean).astype(np.float32)
    parts = segments(request.period, request.inference.tile_days)
    for part in parts:
        own, index = places.of_windows(part, task)
        seen, first = places.seen.select(index), (part.start - request.period.start).days
        some = request.model_copy(update={"period": part})
        for member in range(count):
            cells = as_cells(own, seen, values[index, member], representativeness_m)
            height = np.nan_to_num(reconstruct(cells, grid, task, some, METHOD).height)
            out[first : first + part.days, member] -= height - mean
        progress(count * (first + part.days), count * targets.size)
    out[..., grid.land] = 0
    logger.info(
        "%d members for %s on %d days: draws %.1f s, maps %.1f s",
        count, task.name, targets.size, drawn - started, perf_counter() - drawn,
    )  # fmt: skip
    return out


def _places(observations: Observations, grid: Grid, task: Task, request: MapRequest) -> _Places:
    """Return what the windows of a request see."""
    if request.checkpoint is None:
        raise ValueError("members need a trained network: set `checkpoint` to its file")
    window = StateCheckpoint.load(request.checkpoint).model.window_days
    wanted = seen_days(request.period, task, window)
    first, last = wanted.start, wanted.end
    # an observation lies between two noons, the first of them perhaps of the day before
    end = max(last, request.period.end) + _ONE
    days = np.arange(np.datetime64(first - _ONE), np.datetime64(end + _ONE))
    cells = observations.gridded.between(first, last)
    own = replace(observations, gridded=cells, tracks=observations.tracks.between(first, last))
    return _Places(own, superobservations(own, grid), days, window)


def _draw(
    out: Single,
    targets: NDArray[np.datetime64],
    places: _Places,
    grid: Grid,
    prior: LocalPrior,
    representativeness_m: float,
    seed: list[int],
) -> Single:
    """Write x_s on the target days to `out`; return what is observed of it, (obs, members)."""
    members = out.shape[1]
    generator = torch.Generator().manual_seed(int(np.random.default_rng(seed).integers(2**62)))
    values = np.zeros((places.seen.day.size, members), np.float32)
    number = {day: i for i, day in enumerate(targets)}
    draws = prior.prior(grid).draws(members, generator, places.days.size)
    fields = (day[:, 0].numpy() for day in draws)
    rng = np.random.default_rng([*seed, 1])
    for day, field, found, some in observe_draws(
        fields, places.days, places.seen, grid, representativeness_m, rng
    ):
        values[found] = some
        if day in number:
            out[number[day]] = field
    return values


def _maps_of(
    observations: Observations, grid: Grid, task: Task, request: MapRequest
) -> Iterator[tuple[int, Single]]:
    """Yield the number and the map, m, zero on land, of each target; some days at a time."""
    start: date = request.period.start
    for part in segments(request.period, request.inference.tile_days):
        some = request.model_copy(update={"period": part})
        maps = reconstruct(observations, grid, task, some, METHOD)
        for number, field in enumerate(maps.height, (part.start - start).days):
            yield number, np.nan_to_num(field)


def make_group(
    stage: MembersStage,
    files: Mapping[str, Path],
    path: Path,
    provenance: Provenance,
    folder: Path,
    progress: Progress,
) -> None:
    """Make a group of members from files and write it; the first group of a calibration holds x*.

    Args:
        stage: task, request, number of the group and of its members, and what they are for.
        files: observations, tracks, grid, checkpoint and prior.
        path: file to write.
        provenance: its global attributes.
        folder: for temporary files.
        progress: as for `deviations`.
    """
    window = StateCheckpoint.load(files["checkpoint"]).model.window_days
    days = seen_days(stage.request.period, stage.task, window)
    seen, grid = io.read_domain(files["observations"], files["tracks"], files["grid"], days)
    request = stage.request.model_copy(update={"checkpoint": files["checkpoint"]})
    prior = LocalPrior.read(files["prior"], grid)
    made = deviations(
        seen, grid, prior, stage.task, request, stage.count, stage.representativeness_m,
        [stage.seed, stage.group], folder, progress,
    )  # fmt: skip
    stamps = daily_stamps(request.period.start, request.period.end)
    own = None
    if stage.purpose == "calibrate" and stage.group == 0:
        own = (field for _, field in _maps_of(seen, grid, stage.task, request))
    write_group(path, stamps, grid, seen.gridded.quantity, made, own, provenance)


def simulation(
    groups: Sequence[Path], maps_file: Path | None, grid_file: Path | None, folder: Path
) -> Simulation:
    """Return the maps and the deviations of all groups, on disk, in the order of the files.

    Args:
        groups: files of `make_group`.
        maps_file: the maps x*; None: the first group holds them.
        grid_file: the grid of those.
        folder: for a temporary file of the size of all members.

    Raises:
        ValueError: neither maps nor grid.
        DataError: a group is for other days or cells.
    """
    if maps_file is not None:
        maps = io.read_maps(maps_file)
    elif grid_file is not None:
        maps = maps_of_group(groups[0], io.read_grid(grid_file)[0])
    else:
        raise ValueError("members need their maps: give a file of maps, or the grid of the groups")
    sizes = [members_of(path, maps) for path in groups]
    shape = (maps.time.size, sum(sizes), *maps.grid.shape)
    out = np.memmap(folder / "members.tmp", np.float32, "w+", shape=shape)
    first = 0
    for path, size in zip(groups, sizes, strict=True):
        for day, fields in enumerate(days_of_group(path)):
            out[day, first : first + size] = fields
        first += size
    return Simulation(maps, out)
