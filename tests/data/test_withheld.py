"""Windows of real tracks: what is withheld never reaches the inputs, and is all that is judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_spde.baselines.withheld import (
    make_withheld_guesses,
    read_guesses,
    to_dataset,
    withheld_cells,
    without,
)
from pipeline_spde.config import FirstGuessConfig, PatchConfig
from pipeline_spde.data.windows import Batch
from pipeline_spde.data.withheld import TrackValidation, TrackWindows, Withheld
from pipeline_spde.fields import GriddedObservations
from pipeline_spde.first_guess import FirstGuess
from pipeline_spde.periods import Period, Task
from pipeline_spde.stages import WithheldGuessStage

from ..stage2_case import SHORTEST_KM, WINDOW, Domain, day, make_domain, period

FOLDS = 3
TRAIN, VALIDATION = period(20, 38), period(5, 12)
PATCHES = PatchConfig(lat=8, lon=8, stride_lat=8, stride_lon=2)
MAPPING = Task(name="mapping")


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Domain:
    return make_domain(tmp_path_factory.mktemp("domain"), advection=0.5)


@pytest.fixture(scope="module")
def cells(domain: Domain) -> np.ndarray:
    return withheld_cells(domain.observations, domain.grid, FOLDS, seed=4)


def stage(task: Task = MAPPING) -> WithheldGuessStage:
    return WithheldGuessStage(
        version=1, seed=0, task=task, window_days=WINDOW, train=TRAIN, validation=VALIDATION,
        evaluation=None, ahead_days=0, low_pass_km=190.0, segment_days=42,
        first_guess=FirstGuessConfig(shortest_km=SHORTEST_KM), folds=FOLDS, passes_seed=4,
    )  # fmt: skip


def guesses_of(domain: Domain, task: Task = MAPPING) -> list[FirstGuess]:
    tuning = domain.folder / "spde_oi.nc"
    return make_withheld_guesses(domain.observations, domain.grid, stage(task), tuning)


def changed(domain: Domain, mask: np.ndarray) -> Domain:
    """The same domain, every sample and cell inside a mask half a metre higher."""
    seen, grid = domain.observations, domain.grid
    kept = without(seen, grid, mask).tracks
    inside = ~np.isin(seen.tracks.pass_id, kept.pass_id)  # a pass of its own for each sample
    height = seen.tracks.height + np.where(inside, np.float32(0.5), np.float32(0))
    gridded = seen.gridded
    higher = gridded.height + np.where(mask & gridded.observed, np.float32(0.5), np.float32(0))
    observations = replace(
        seen, gridded=replace(gridded, height=higher), tracks=replace(seen.tracks, height=height)
    )
    return replace(domain, observations=observations)


def windows(
    gridded: GriddedObservations, domain: Domain, withheld: Withheld, **changes: Any
) -> TrackWindows:
    options: dict[str, Any] = {"augment": True, "seed": 9, "batch_size": 2, "task": MAPPING}
    return TrackWindows(
        gridded, domain.observations.mean, 0.2, window_days=WINDOW, patches=PATCHES, period=TRAIN,
        withheld=withheld, **(options | changes),
    )  # fmt: skip


def validation(domain: Domain, withheld: Withheld, days: int = 2) -> TrackValidation:
    return TrackValidation(
        domain.observations.gridded, domain.observations.mean, 0.2, task=MAPPING,
        window_days=WINDOW, patches=PATCHES, period=VALIDATION, days=days, withheld=withheld,
    )  # fmt: skip


def assert_same_inputs(one: Batch, other: Batch) -> None:
    for a, b in zip(one.inputs[:4], other.inputs[:4], strict=True):
        assert torch.equal(a, b)
    assert (one.inputs.guess is None) == (other.inputs.guess is None)
    if one.inputs.guess is not None and other.inputs.guess is not None:
        for a, b in zip(one.inputs.guess[:3], other.inputs.guess[:3], strict=True):
            assert torch.equal(a, b)


def test_every_observed_cell_is_in_a_fold_and_few_are_in_two(domain: Domain, cells: Any) -> None:
    seen = domain.observations.gridded.observed
    count = cells.sum(axis=0)
    assert np.array_equal(count > 0, seen)
    assert np.mean(count[seen] == 1) > 0.9
    shares = [cells[fold][seen].mean() for fold in range(FOLDS)]
    assert np.allclose(shares, 1 / FOLDS, atol=0.05)
    again = withheld_cells(domain.observations, domain.grid, FOLDS, seed=4)
    assert np.array_equal(again, cells)
    assert not np.array_equal(withheld_cells(domain.observations, domain.grid, FOLDS, 5), cells)


def test_taking_cells_out_takes_their_samples_out(domain: Domain, cells: Any) -> None:
    kept = without(domain.observations, domain.grid, cells[0])
    assert not (kept.gridded.observed & cells[0]).any()
    assert np.array_equal(kept.gridded.observed | cells[0], domain.observations.gridded.observed)
    row, column, inside = domain.grid.cell_index(kept.tracks.lat, kept.tracks.lon)
    place = (kept.tracks.time.astype("datetime64[D]") - day(0)).astype(int)
    assert not cells[0][place[inside], row[inside], column[inside]].any()
    assert 0.5 < len(kept.tracks) / len(domain.observations.tracks) < 0.8


@settings(max_examples=25, deadline=None)
@given(step=st.integers(0, 10**6), fold_seed=st.integers(0, 50), augment=st.booleans())
def test_withheld_cells_never_reach_the_inputs(
    domain: Domain, step: int, fold_seed: int, augment: bool
) -> None:
    cells = withheld_cells(domain.observations, domain.grid, FOLDS, fold_seed)
    gridded = domain.observations.gridded
    batch = windows(gridded, domain, Withheld(cells), augment=augment, batch_size=1).batch(step)
    assert batch.truth_error is not None
    wanted = torch.isfinite(batch.truth_error)
    assert not bool((wanted & batch.inputs.observed).any())
    assert torch.equal(batch.truth != 0, wanted & (batch.truth != 0))
    fold = int(batch.names[0].split()[-1])
    higher = changed(domain, cells[fold]).observations.gridded
    other = windows(higher, domain, Withheld(cells), augment=augment, batch_size=1).batch(step)
    assert_same_inputs(batch, other)
    assert torch.allclose((other.truth - batch.truth).abs()[wanted], torch.tensor(2.5), atol=1e-4)


@pytest.mark.parametrize("name", ["mapping", "for1"])
def test_a_first_guess_knows_nothing_of_the_passes_of_its_fold(
    domain: Domain, cells: Any, name: str
) -> None:
    task = Task(name=name)
    plain, other = guesses_of(domain, task), guesses_of(changed(domain, cells[1]), task)
    assert np.array_equal(plain[1].height, other[1].height)
    assert np.array_equal(plain[1].m_east, other[1].m_east)
    for fold in (0, 2):
        assert np.abs(plain[fold].height - other[fold].height).max() > 0.05


def test_first_guesses_of_folds_survive_their_file(domain: Domain, tmp_path: Any) -> None:
    made = guesses_of(domain)
    to_dataset(made, domain.grid).to_netcdf(tmp_path / "withheld.nc")
    read = read_guesses(tmp_path / "withheld.nc", MAPPING, WINDOW)
    assert len(read) == FOLDS
    for one, other in zip(made, read, strict=True):
        assert np.array_equal(one.height, other.height) and one.law == other.law
        assert np.array_equal(one.m_north, other.m_north)
    assert not np.array_equal(read[0].height, read[1].height)


def test_windows_take_the_first_guess_of_their_fold(domain: Domain, cells: Any) -> None:
    made = guesses_of(domain)
    gridded = domain.observations.gridded
    withheld = Withheld(cells, tuple(made))
    batch = windows(gridded, domain, withheld, augment=False).batch(3)
    for i, name in enumerate(batch.names):
        fold, first = int(name.split()[-1]), np.datetime64(name.split()[0])
        column = int(name.split(",")[1].strip(" )"))
        expected = made[fold].window(first)[:, :, column : column + 8] / 0.2
        assert batch.inputs.guess is not None
        assert np.allclose(batch.inputs.guess.height[i].numpy(), expected, atol=1e-6)


def test_training_looks_at_no_day_outside_its_period(domain: Domain, cells: Any) -> None:
    outside = np.ones(domain.observations.gridded.observed.shape, bool)
    outside[20:39] = False
    higher = changed(domain, outside).observations.gridded
    one = windows(domain.observations.gridded, domain, Withheld(cells))
    other = windows(higher, domain, Withheld(cells))
    for step in range(20):
        a, b = one.batch(step), other.batch(step)
        assert_same_inputs(a, b)
        assert torch.equal(a.truth, b.truth)


def test_validation_judges_days_of_its_period_and_all_folds(domain: Domain, cells: Any) -> None:
    checks = validation(domain, Withheld(cells))
    folds, judged = set(), 0
    for number in range(len(checks.batches)):
        batch = checks.batch(number)
        assert batch.truth_error is not None
        for i, name in enumerate(batch.names):
            folds.add(int(name.split()[-1]))
            first = np.datetime64(name.split()[0])
            seen = torch.isfinite(batch.truth_error[i]).any(dim=2).any(dim=1).numpy()
            days = (first + np.arange(WINDOW))[seen]
            judged += days.size
            assert np.all(days >= day(5)) and np.all(days <= day(12))
    assert folds == {0, 1, 2} and judged


def test_a_forecast_is_judged_at_the_days_it_does_not_see(domain: Domain, cells: Any) -> None:
    gridded = domain.observations.gridded
    batch = windows(gridded, domain, Withheld(cells), task=Task(name="for2"), augment=False).batch(
        1
    )
    assert batch.truth_error is not None
    wanted = torch.isfinite(batch.truth_error)
    assert not bool(batch.inputs.observed[:, -2:].any())
    first = np.datetime64(batch.names[0].split()[0])
    column = int(batch.names[0].split(",")[1].strip(" )"))
    place = int((first - day(0)).astype(int)) + WINDOW - 1
    expected = (
        gridded.observed[place, :, column : column + 8] & domain.grid.ocean[:, column : column + 8]
    )
    assert np.array_equal(wanted[0, -1].numpy(), expected)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d, c: windows(d.observations.gridded, d, Withheld(c[:, 1:])), "withheld cells"),
        (lambda d, c: Withheld(c, tuple(guesses_of(d)[:1])), "1 first guesses for 3 folds"),
        (
            lambda d, c: TrackWindows(
                d.observations.gridded, d.observations.mean, 0.2, window_days=WINDOW,
                patches=PATCHES, period=Period(start="2020-01-01", end="2020-01-09"),
                withheld=Withheld(c), task=MAPPING, batch_size=1, augment=False, seed=0,
            ),
            "no observation in",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(domain: Domain, cells: Any, spoil: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spoil(domain, cells)
