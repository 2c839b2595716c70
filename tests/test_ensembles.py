"""Conditional simulation: the spread is that of the exact posterior, coherent, seeded, on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline_spde import ensembles, io
from pipeline_spde.assimilation.theta import dynamics
from pipeline_spde.baselines.spde_days import forecast_maps, smoothed_maps
from pipeline_spde.baselines.superobs import superobservations
from pipeline_spde.baselines.theta_model import ThetaModel
from pipeline_spde.config import EnsembleConfig
from pipeline_spde.ensembles import Simulation, calibrate, simulate, simulate_stage
from pipeline_spde.fields import Maps
from pipeline_spde.files import write_json
from pipeline_spde.inflation import Inflation
from pipeline_spde.periods import Period, Task
from pipeline_spde.pseudo_observations import observe_draws
from pipeline_spde.reconstruct import reconstruct_with_theta
from pipeline_spde.spde import SpdePrior
from pipeline_spde.stage_models import EnsembleStage

from .stage2_case import SHAPE, WINDOW, Domain, day, make_domain, make_twin, period

TARGETS = period(12, 16)
METHOD = "4dvarnet_spde"
COMPLETE_KM = 16.0  # all the waves that the grid holds


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Domain:
    """The prior is carried by currents of its own analysis."""
    return make_domain(tmp_path_factory.mktemp("domain"), advection=0.6)


def run(
    domain: Domain, name: str, folder: Path, targets: Period = TARGETS, seed: int = 5,
    segment_days: int = 42, still: bool = True, keep_start: bool = False, **changes: Any,
) -> Simulation:  # fmt: skip
    task = Task(name=name)
    checkpoint = domain.checkpoint(task, f"{name}.{still}.{keep_start}.ckpt", still, keep_start)
    domain.guess_file(task).unlink(missing_ok=True)
    request = domain.request(task, targets, checkpoint)
    spde_oi = request.spde_oi.model_copy(update={"segment_days": segment_days})
    request = request.model_copy(update={"spde_oi": spde_oi})
    options = {"members": 6, "members_at_once": 6, "shortest_km": COMPLETE_KM} | changes
    error = domain.parameters.representativeness_m
    return simulate(
        domain.observations, domain.grid, task, request, EnsembleConfig(**options), error, seed,
        folder,
    )  # fmt: skip


def theta_model(domain: Domain, name: str) -> ThetaModel:
    """The prior under the Θ of the checkpoint that `run` made last."""
    task = Task(name=name)
    request = domain.request(task, TARGETS, domain.folder / f"{name}.True.False.ckpt")
    _, theta = reconstruct_with_theta(domain.observations, domain.grid, task, request, METHOD)
    return ThetaModel(
        theta.days, theta.theta, dynamics(theta.law), domain.grid, COMPLETE_KM,
        domain.parameters.representativeness_m,
    )  # fmt: skip


def exact_std(domain: Domain, name: str) -> np.ndarray:
    """Posterior standard deviation of the targets with the observations that a task sees."""
    model, seen = theta_model(domain, name), superobservations(domain.observations, domain.grid)
    days = np.array([day(number) for number in range(12, 17)])
    if name == "mapping":
        return smoothed_maps(model, seen, day(10), day(18), days)[1]
    lead = Task(name=name).lead or 0
    return forecast_maps(model, seen, day(12 - WINDOW + 1), days, lead)[1]


# --- the spread -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mapping", "nrt", "for2"])
def test_the_spread_is_the_exact_deviation_of_the_posterior(domain, tmp_path, name) -> None:
    members = 300
    simulation = run(domain, name, tmp_path, members=members, members_at_once=100)
    deviations = np.asarray(simulation.deviations, dtype=np.float64)
    ocean = domain.grid.ocean
    variance = deviations.var(axis=1, ddof=1)[:, ocean]
    expected = exact_std(domain, name)[:, ocean] ** 2
    ratio = variance / expected
    assert np.mean(variance) / np.mean(expected) == pytest.approx(1.0, abs=0.03)
    assert np.median(ratio) == pytest.approx(1.0, abs=0.03)
    assert np.sqrt(np.mean((ratio - 1) ** 2)) == pytest.approx(np.sqrt(2 / members), rel=0.3)
    bias = deviations.mean(axis=1)[:, ocean] / np.sqrt(expected / members)
    assert np.abs(bias).max() < 5 and np.sqrt(np.mean(bias**2)) < 1.4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mapping", "nrt"])
def test_without_noise_on_the_pseudo_observations_it_would_be_too_small(
    domain, tmp_path, name, monkeypatch
) -> None:
    """As published: what is lost is K R Kᵀ, most where the field is well observed."""

    def silent(draws, days, seen, grid, error, rng):
        quiet = replace(seen, variance=np.zeros_like(seen.variance))
        return observe_draws(draws, days, quiet, grid, 0.0, rng)

    monkeypatch.setattr(ensembles, "observe_draws", silent)
    simulation = run(domain, name, tmp_path, members=200, members_at_once=200)
    ocean = domain.grid.ocean
    variance = np.asarray(simulation.deviations, dtype=np.float64).var(axis=1, ddof=1)[:, ocean]
    ratio = variance / exact_std(domain, name)[:, ocean] ** 2
    assert np.median(ratio) < 0.93
    assert np.percentile(ratio, 5) < 0.8


@pytest.mark.slow
def test_what_the_basis_leaves_out_stays_in_the_spread(domain, tmp_path) -> None:
    """A coarse basis maps less: the members keep their small scales and are a little wider."""
    fine = run(domain, "mapping", tmp_path, members=60, members_at_once=60)
    spread = [np.asarray(fine.deviations).std()]
    coarse = run(domain, "mapping", tmp_path, members=60, members_at_once=60, shortest_km=120.0)
    spread.append(np.asarray(coarse.deviations).std())
    assert 1.0 < spread[1] / spread[0] < 2.0


def test_members_are_zero_on_land_and_on_disk(domain, tmp_path) -> None:
    simulation = run(domain, "mapping", tmp_path)
    assert simulation.deviations.shape == (5, 6, *domain.grid.shape)
    assert isinstance(simulation.deviations, np.memmap)
    assert simulation.deviations.dtype == np.float32
    assert not simulation.deviations[..., domain.grid.land].any()
    assert (np.abs(simulation.deviations[..., domain.grid.ocean]) > 0).all()
    assert simulation.maps.height.shape == (5, *domain.grid.shape)
    spread = np.sqrt(np.mean(simulation.deviations[..., domain.grid.ocean] ** 2))
    assert 0.02 < spread < 0.8 * 0.15  # observations leave less than the prior's deviation


# --- coherence ------------------------------------------------------------------------------


@pytest.mark.slow
def test_members_are_coherent_in_time_across_segments(domain, tmp_path) -> None:
    """From day to day they change as much over the seam of two sweeps as elsewhere."""
    long = period(12, 23)
    simulation = run(
        domain, "mapping", tmp_path, targets=long, segment_days=6, members=60, members_at_once=60
    )
    deviations = np.asarray(simulation.deviations)[..., domain.grid.ocean]
    change = np.sqrt(np.mean(np.diff(deviations, axis=0) ** 2, axis=(1, 2)))
    seam, elsewhere = change[5], np.delete(change, 5)
    assert seam < 1.25 * elsewhere.max()
    correlation = [
        np.corrcoef(deviations[i].ravel(), deviations[i + 1].ravel())[0, 1] for i in range(11)
    ]
    assert min(correlation) > 0.3 and correlation[5] > np.min(np.delete(correlation, 5)) - 0.15


def test_a_seed_fixes_the_members(domain, tmp_path) -> None:
    found = {}
    for label, seed in (("first", 5), ("again", 5), ("other", 6)):
        found[label] = np.array(run(domain, "nrt", tmp_path, seed=seed).deviations)
    np.testing.assert_array_equal(found["first"], found["again"])
    assert np.all(found["first"][..., domain.grid.ocean] != found["other"][..., domain.grid.ocean])


@pytest.mark.slow
def test_groups_decide_which_numbers_a_member_gets_and_nothing_else(domain, tmp_path) -> None:
    """All members of a group share a stream: other groups, other members of the same law."""
    groups = {
        size: np.array(run(domain, "nrt", tmp_path, members=60, members_at_once=size).deviations)
        for size in (60, 20)
    }
    ocean = domain.grid.ocean
    spread = {size: np.sqrt(np.mean(field[..., ocean] ** 2)) for size, field in groups.items()}
    assert spread[20] == pytest.approx(spread[60], rel=0.1)
    for field in groups.values():  # no two members alike, within and between groups
        members = np.moveaxis(field[..., ocean], 1, 0).reshape(60, -1)
        correlation = np.corrcoef(members) - np.eye(60)
        assert np.abs(correlation).max() < 0.7
    alone = np.array(run(domain, "nrt", tmp_path, members=20, members_at_once=20).deviations)
    np.testing.assert_allclose(groups[20][:, :20], alone, atol=1e-6)


# --- the neural posterior -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mapping", "nrt", "for2"])
def test_a_network_that_keeps_its_start_gives_the_exact_members(domain, tmp_path, name) -> None:
    """x_s* by the network is then the first guess of the pseudo-observations, the exact mean."""
    found = {
        posterior: np.array(
            run(domain, name, tmp_path, keep_start=True, members=3, posterior=posterior).deviations
        )
        for posterior in ("exact", "neural")
    }
    np.testing.assert_allclose(found["neural"], found["exact"], atol=1e-5)


@pytest.mark.parametrize("name", ["mapping", "for2"])
def test_the_neural_posterior_differs_from_the_exact_one(domain, tmp_path, name) -> None:
    exact = np.array(run(domain, name, tmp_path, still=False, members=3).deviations)
    neural, again = (
        np.array(run(domain, name, tmp_path, still=False, members=3, posterior="neural").deviations)
        for _ in range(2)
    )
    np.testing.assert_array_equal(neural, again)
    ocean = domain.grid.ocean
    assert np.isfinite(neural).all() and not neural[..., domain.grid.land].any()
    difference = np.sqrt(np.mean((neural - exact)[..., ocean] ** 2))
    assert 1e-3 < difference < 2 * np.sqrt(np.mean(exact[..., ocean] ** 2))


# --- a twin drawn from the prior ------------------------------------------------------------


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> tuple[Domain, Maps]:
    return make_twin(tmp_path_factory.mktemp("twin"))


def errors_of(simulation: Simulation, truth: Maps) -> np.ndarray:
    days = simulation.maps.time.astype("datetime64[D]")
    wanted = truth.between(str(days[0]), str(days[-1]))
    return (simulation.maps.height - wanted.height)[:, simulation.maps.grid.ocean]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mapping", "for2"])
def test_on_draws_of_the_prior_the_exact_ensemble_is_calibrated(twin, tmp_path, name) -> None:
    """Errors of eight truths have the spread of the members, on the whole and by day and cell."""
    domain, truth = twin
    long = period(10, 52)
    simulation = run(
        domain, name, tmp_path, targets=long, keep_start=True, members=60, members_at_once=60
    )
    spread = np.asarray(simulation.deviations)[..., domain.grid.ocean].std(axis=1, ddof=1)
    errors = [errors_of(simulation, truth)]
    for seed in range(20, 27):
        folder = tmp_path / str(seed)
        folder.mkdir()
        other, other_truth = make_twin(folder, seed=seed)
        few = run(other, name, folder, targets=long, keep_start=True, members=2)
        errors.append(errors_of(few, other_truth))
    ratio = np.sqrt(np.mean(spread**2) / np.mean(np.square(errors)))
    assert ratio == pytest.approx(1.0, abs=0.06)
    inside = np.abs(errors) <= 1.645 * spread
    assert inside.mean() == pytest.approx(0.9, abs=0.02)
    wide = spread > np.median(spread)
    for half in (wide, ~wide):
        own = np.sqrt(np.mean(spread[half] ** 2) / np.mean(np.square(errors)[:, half]))
        assert own == pytest.approx(1.0, abs=0.1)


@pytest.mark.slow
def test_a_calibration_of_a_calibrated_ensemble_changes_little(twin, tmp_path) -> None:
    domain, truth = twin
    simulation = run(
        domain, "mapping", tmp_path, targets=period(10, 52), keep_start=True, members=60,
        members_at_once=60,
    )  # fmt: skip
    record = calibrate(simulation, truth, 0.0, 1, 30)
    assert record["days"] == 43 and record["power"] == 0
    assert record["factor"] == pytest.approx(1.0, abs=0.12)
    assert record["coverage_90_raw"] == pytest.approx(0.9, abs=0.03)
    assert record["crps_m"] == pytest.approx(record["crps_raw_m"], rel=0.02)
    write_json(tmp_path / "calibration.json", record)
    assert Inflation.read(tmp_path / "calibration.json").factor == record["factor"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [
        {"decorrelation_time_days": 27.0},
        {"range_km": 330.0},
        {"sigma": np.full(SHAPE, 0.5)},
    ],
    ids=["time", "range", "sigma"],
)
def test_the_true_parameters_are_the_floor(twin, tmp_path, wrong) -> None:
    """Another Θ maps worse, by RMSE and by CRPS."""
    domain, truth = twin
    long = period(10, 52)
    scores = []
    for parameters in (domain.parameters, replace(domain.parameters, **wrong)):
        other = replace(domain, parameters=parameters)
        simulation = run(
            other, "mapping", tmp_path, targets=long, keep_start=True, members=40,
            members_at_once=40,
        )  # fmt: skip
        record = calibrate(simulation, truth, 0.0, 1, 30)
        scores.append((np.sqrt(np.mean(errors_of(simulation, truth) ** 2)), record["crps_raw_m"]))
    assert scores[0][0] < scores[1][0]
    assert scores[0][1] < scores[1][1]


def test_members_of_the_window_prior_and_of_the_filter_have_one_law(domain) -> None:
    """Draws are made with the Θ that the filter takes for each of its steps."""
    model = theta_model_of(domain)
    days = np.arange(day(9), day(20))
    prior = SpdePrior(domain.grid, model.window(days), **vars(model.dynamics))
    theta = prior.theta
    for number in range(1, days.size):
        east, _ = model.flow(model.start(days[0]), days[number - 1])
        np.testing.assert_array_equal(
            theta.m_east[0, number].numpy()[domain.grid.ocean], east[domain.grid.ocean]
        )
    assert torch.equal(theta.tau[0, 0], theta.tau[0, 1])


def theta_model_of(domain: Domain) -> ThetaModel:
    task = Task(name="mapping")
    domain.checkpoint(task, "mapping.True.False.ckpt")
    domain.guess_file(task).unlink(missing_ok=True)
    return theta_model(domain, "mapping")


# --- stages and mistakes --------------------------------------------------------------------


def test_a_stage_simulates_from_files(domain, tmp_path) -> None:
    task = Task(name="nrt")
    provenance = io.Provenance("title", "0", 1)
    files = {name: tmp_path / f"{name}.nc" for name in ("observations", "tracks", "grid")} | {
        "tuning": domain.folder / "spde_oi.nc"
    }
    io.write_observations(domain.observations.gridded, ["saral"], files["observations"], provenance)
    io.write_tracks(domain.observations.tracks, files["tracks"], provenance)
    io.write_grid(
        domain.grid, domain.observations.mean, np.ones(domain.grid.shape), files["grid"], provenance
    )
    expected = run(domain, "nrt", tmp_path, seed=9)
    files |= {
        "checkpoint": domain.folder / "nrt.True.False.ckpt", "first_guess": domain.guess_file(task)
    }  # fmt: skip
    request = domain.request(task, TARGETS, files["checkpoint"])
    bare = request.model_copy(update={"checkpoint": None, "first_guess": None})
    stage = EnsembleStage(
        version=1, seed=9, task=task, method=METHOD, margin=0.5, request=bare,
        ensembles=EnsembleConfig(members=6, members_at_once=6, shortest_km=COMPLETE_KM),
    )  # fmt: skip
    told: list[tuple[int, int]] = []
    folder = tmp_path / "work"
    folder.mkdir()
    found = simulate_stage(stage, files, folder, lambda *done: told.append(done))
    assert told == [(6, 6)]
    np.testing.assert_allclose(found.deviations, expected.deviations, atol=1e-5)
    np.testing.assert_allclose(found.maps.height, expected.maps.height, atol=1e-5)


def test_a_truth_without_all_days_calibrates_nothing(domain, tmp_path) -> None:
    simulation = run(domain, "nrt", tmp_path)
    truth = simulation.maps
    gap = replace(truth, time=truth.time[[0, 1, 3, 4]], height=truth.height[[0, 1, 3, 4]])
    with pytest.raises(ValueError, match="the truth does not hold every day from 2020-03-13 to"):
        calibrate(simulation, gap, 0.0, 1)
    with pytest.raises(ValueError, match="5 days are too few"):
        calibrate(simulation, truth, 0.0, 1)


def test_an_ensemble_needs_a_first_guess_and_the_right_network(domain, tmp_path) -> None:
    task = Task(name="mapping")
    checkpoint = domain.checkpoint(task)
    request = domain.request(task, TARGETS, checkpoint).model_copy(update={"first_guess": None})
    with pytest.raises(ValueError, match="first guess"):
        simulate(
            domain.observations, domain.grid, task, request, EnsembleConfig(), 0.005, 1, tmp_path
        )
