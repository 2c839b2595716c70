"""Members of 4dvarnet: their spread is that of the exact error; groups, files, land, seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline_spde import io, members
from pipeline_spde.assimilation.checkpoint import StateCheckpoint
from pipeline_spde.assimilation.state_solver import StateSolver
from pipeline_spde.baselines.local_prior import LocalPrior
from pipeline_spde.baselines.superobs import corners
from pipeline_spde.config import (
    InferenceConfig,
    MapRequest,
    PatchConfig,
    StateModelConfig,
)
from pipeline_spde.ensembles import calibrate
from pipeline_spde.files import DataError
from pipeline_spde.member_file import maps_of_group, members_of
from pipeline_spde.periods import Period, Task
from pipeline_spde.pseudo_observations import as_cells
from pipeline_spde.reconstruct import reconstruct
from pipeline_spde.spde import SpdeParameters, SpdePrior
from pipeline_spde.stage_models import MembersStage

from .stage2_case import SHAPE, STD, WINDOW, Domain, day, make_domain, period

ERROR = 0.03
NOISY = 0.12  # where it is to be seen that pseudo-observations have noise
MAPPING = Task(name="mapping")
SOURCE = io.Provenance("test", "0", 0)


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Domain:
    return make_domain(tmp_path_factory.mktemp("domain"))


@pytest.fixture(scope="module")
def prior() -> LocalPrior:
    """A deviation that grows to the east."""
    sigma = np.broadcast_to(np.linspace(0.1, 0.3, SHAPE[1]), SHAPE)
    return LocalPrior(sigma, np.full(SHAPE, 160.0), np.full(SHAPE, 9.0), 40.0, 0.6)


def checkpoint(folder: Path, task: Task = MAPPING, linear: bool = False) -> Path:
    """A network that is not trained; `linear`: it keeps its start, smoothed observations."""
    torch.manual_seed(3)
    options: dict[str, Any] = {"window_days": WINDOW, "hidden": 4, "prior_hidden": 4}
    options |= {"iterations": 2, "start": "smooth" if linear else "oi"}
    options |= {"gradient_step": 0.0 if linear else 0.2}
    solver = StateSolver(StateModelConfig(**options), (33.0, 28.0))
    if not linear:
        with torch.no_grad():
            solver.gradient_net.update.weight.normal_(std=0.05)
    path = folder / f"{task.name}.{linear}.ckpt"
    StateCheckpoint(
        model=solver.config, weights=solver.state_dict(), task=task.name, mean=0.0, std=STD,
        spacing_km=solver.spacing_km, seed=1, config_hash="0", version="test",
    ).save(path)  # fmt: skip
    return path


def request(path: Path, targets: Period, tile_days: int = 10) -> MapRequest:
    return MapRequest(
        period=targets,
        patches=PatchConfig(lat=8, lon=8, stride_lat=8, stride_lon=2),
        checkpoint=path,
        inference=InferenceConfig(tile_days=tile_days),
    )


def run(
    domain: Domain, prior: LocalPrior, folder: Path, wanted: MapRequest, count: int,
    task: Task = MAPPING, seed: int = 5, error: float = ERROR,
) -> np.ndarray:  # fmt: skip
    found = members.deviations(
        domain.observations, domain.grid, prior, task, wanted, count, error, [seed, 0], folder
    )
    return np.array(found)


def dense_covariance(domain: Domain, prior: LocalPrior, wanted: MapRequest) -> tuple:
    """The exact covariance of x_s − x_s* on one day for a linear map, and its part K R Kᵀ."""
    grid = domain.grid
    places = members._places(domain.observations, grid, MAPPING, wanted)
    seen, days = places.seen, places.days
    count, cells = seen.day.size, grid.land.size
    gain = np.zeros((cells, count))
    mean = np.nan_to_num(domain.observations.mean)
    for number in range(count):
        unit = np.zeros(count, np.float32)
        unit[number] = 1
        shown = as_cells(places.observations, seen, unit, NOISY)
        height = reconstruct(shown, grid, MAPPING, wanted).height[0]
        gain[:, number] = (np.nan_to_num(height) - np.where(grid.ocean, mean, 0)).ravel()
    place, weight = corners(grid, seen.row, seen.column)
    since = (seen.day - days[0]) / np.timedelta64(1, "D") + seen.noon
    before = np.floor(since).astype(int)
    look = np.zeros((count, days.size * cells))
    for number in range(count):
        late = since[number] - before[number]
        for k, share in ((0, 1 - late), (1, late)):
            for corner in range(4):
                where = (before[number] + k) * cells + place[number, corner]
                look[number, where] += share * weight[number, corner]
    theta = prior.prior(grid).theta
    fields = {
        name: value[:, :1].double().expand(1, days.size, -1, -1) for name, value in theta.items()
    }
    still = {"m_east": None, "m_north": None}
    exact = SpdePrior(grid, SpdeParameters(**(still | fields)), **vars(prior.dynamics))
    size = days.size * cells
    unit = torch.eye(size, dtype=torch.float64).reshape(size, 1, days.size, *grid.shape)
    covariance = exact.covariance_times(unit).reshape(size, size).numpy()
    target = int((np.datetime64(wanted.period.start) - days[0]) / np.timedelta64(1, "D"))
    pick = np.zeros((cells, size))
    pick[:, target * cells : (target + 1) * cells] = np.eye(cells)
    off = pick - gain @ look
    noise = (gain * (seen.variance + NOISY**2)) @ gain.T
    return off @ covariance @ off.T + noise, noise


def test_members_have_the_covariance_of_the_exact_error(domain, prior, tmp_path) -> None:
    """For a linear map against dense algebra: (S − KH) Q (S − KH)ᵀ + K R Kᵀ."""
    wanted = request(checkpoint(tmp_path, linear=True), period(12, 12))
    dense, noise = dense_covariance(domain, prior, wanted)
    count = 600
    found = (
        run(domain, prior, tmp_path, wanted, count, error=NOISY)[0]
        .reshape(count, -1)
        .astype(np.float64)
    )
    ocean = domain.grid.ocean.ravel()
    empirical = found.T @ found / count
    variance, exact = np.diag(empirical)[ocean], np.diag(dense)[ocean]
    assert np.mean(variance / exact) == pytest.approx(1, abs=0.04)
    assert np.std(variance / exact) < 0.12  # √(2/600) is 0.06
    assert np.mean(np.diag(noise)[ocean] / exact) > 0.06  # without noise it would be seen
    scale = np.sqrt(np.outer(exact, exact))
    misfit = (empirical - dense)[np.ix_(ocean, ocean)] / scale
    assert np.sqrt(np.mean(misfit**2)) < 0.06
    assert np.abs(found.mean(axis=0)[ocean] / np.sqrt(exact)).mean() < 0.06


@pytest.mark.parametrize("name", ["mapping", "for2"])
def test_days_are_made_some_at_a_time_and_seeds_decide(domain, prior, tmp_path, name) -> None:
    task = Task(name=name)
    path, targets = checkpoint(tmp_path, task), period(12, 16)
    whole = run(domain, prior, tmp_path, request(path, targets), 3, task)
    assert whole.shape == (5, 3, *SHAPE) and whole.dtype == np.float32
    assert not whole[..., domain.grid.land].any()
    assert (whole[..., domain.grid.ocean].std(axis=1) > 0).all()
    parts = run(domain, prior, tmp_path, request(path, targets, tile_days=2), 3, task)
    np.testing.assert_allclose(parts, whole, atol=2e-6)
    again = run(domain, prior, tmp_path, request(path, targets), 3, task)
    np.testing.assert_array_equal(again, whole)
    other = run(domain, prior, tmp_path, request(path, targets), 3, task, seed=6)
    assert np.abs(other - whole).max() > 0.01


def test_heights_of_the_observations_play_no_part(domain, prior, tmp_path) -> None:
    """Members know where was observed, not what: neither the maps nor the truth leak in."""
    wanted = request(checkpoint(tmp_path), period(12, 13))
    own = run(domain, prior, tmp_path, wanted, 2)
    seen = domain.observations
    height = np.where(seen.gridded.observed, np.float32(7), np.float32(0))
    tracks = replace(seen.tracks, height=np.full_like(seen.tracks.height, 7))
    blind = replace(seen, gridded=replace(seen.gridded, height=height), tracks=tracks)
    other = run(replace(domain, observations=blind), prior, tmp_path, wanted, 2)
    np.testing.assert_array_equal(other, own)


def files_of(domain: Domain, prior: LocalPrior, folder: Path) -> dict[str, Path]:
    names = ("observations", "tracks", "grid", "prior")
    files = {name: folder / f"{name}.nc" for name in names}
    seen, grid = domain.observations, domain.grid
    io.write_observations(seen.gridded, ("saral",), files["observations"], SOURCE)
    io.write_tracks(seen.tracks, files["tracks"], SOURCE)
    io.write_grid(grid, seen.mean, np.ones(grid.shape), files["grid"], SOURCE)
    prior.to_dataset(grid, {}).to_netcdf(files["prior"])
    return files | {"checkpoint": checkpoint(folder)}


def stage(files: dict[str, Path], purpose: str, group: int) -> MembersStage:
    """One of three groups of five members."""
    return MembersStage(
        version=1, seed=4, purpose=purpose, task=MAPPING, group=group, count=(2, 2, 1)[group],
        request=request(files["checkpoint"], period(12, 17), 3), representativeness_m=ERROR,
    )  # fmt: skip


def make(files: dict[str, Path], purpose: str, group: int, folder: Path) -> Path:
    path = folder / f"{purpose}.{group}.nc"
    wanted = stage(files, purpose, group)
    members.make_group(wanted, files, path, SOURCE, folder, lambda done, total: None)
    return path


def test_groups_on_disk_make_an_ensemble_that_is_calibrated(domain, prior, tmp_path) -> None:
    files = files_of(domain, prior, tmp_path)
    wanted = stage(files, "calibrate", 0)
    paths = [make(files, "calibrate", group, tmp_path) for group in range(3)]
    maps = maps_of_group(paths[0], domain.grid)
    straight = reconstruct(domain.observations, domain.grid, MAPPING, wanted.request)
    np.testing.assert_allclose(maps.height, straight.height, atol=2e-6)
    found = members.simulation(paths, None, files["grid"], tmp_path)
    assert found.deviations.shape == (6, 5, *SHAPE)
    first = run(domain, prior, tmp_path, wanted.request, 2, seed=4)
    np.testing.assert_allclose(found.deviations[:, :2], first, atol=1e-6)
    spread = found.deviations[..., domain.grid.ocean]
    for one in range(5):
        for other in range(one):
            assert np.abs(spread[:, one] - spread[:, other]).max() > 0.01
    record = calibrate(found, straight, 0.0, 1, 5)
    assert record["factor"] > 0 and record["days"] == 6


def test_groups_that_do_not_fit_are_refused(domain, prior, tmp_path) -> None:
    files = files_of(domain, prior, tmp_path)
    wanted, path = stage(files, "ensemble", 2), make(files, "ensemble", 2, tmp_path)
    maps = reconstruct(domain.observations, domain.grid, MAPPING, wanted.request)
    assert members_of(path, maps) == 1
    with pytest.raises(DataError, match="make the members again"):
        members_of(path, maps.between(str(day(12)), str(day(14))))
    with pytest.raises(DataError, match="map"):
        maps_of_group(path, domain.grid)  # they are on disk already
    with pytest.raises(ValueError, match="maps"):
        members.simulation([path], None, None, tmp_path)
    without = wanted.request.model_copy(update={"checkpoint": None})
    with pytest.raises(ValueError, match="checkpoint"):
        run(domain, prior, tmp_path, without, 1)
