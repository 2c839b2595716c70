"""Stage 2: its loss by hand, training, resuming, the frozen mode, what stops it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline_spde.assimilation.checkpoint import StateCheckpoint
from pipeline_spde.assimilation.spde_solver import SpdeSolver
from pipeline_spde.config import AugmentedModelConfig, SpdeSolverConfig
from pipeline_spde.data.datamodule import ValidationWindows
from pipeline_spde.first_guess import FirstGuess, PriorLaw
from pipeline_spde.networks import trained
from pipeline_spde.periods import Task
from pipeline_spde.training.keeping import LOG_COLUMNS, MORE_COLUMNS
from pipeline_spde.training.losses import state_loss, time_weights
from pipeline_spde.training.module import StateTraining
from pipeline_spde.training.spde import SpdeTraining, roughness

LAW = PriorLaw(120.0, 9.0, 40.0, 1, 0.3)


class Killed(RuntimeError):
    """Stands for a signal: nothing of the library catches it."""


@pytest.fixture(scope="module")
def model(case: Any) -> AugmentedModelConfig:
    spde = SpdeSolverConfig(theta_hidden=4, nll_lags=(1, 2), theta_every=1)
    return AugmentedModelConfig(
        **case.model.model_dump(exclude={"start"}), start="spde_oi", spde=spde
    )


def with_settings(model: AugmentedModelConfig, **changes: Any) -> AugmentedModelConfig:
    return model.model_copy(update={"spde": model.spde.model_copy(update=changes)})


@pytest.fixture(scope="module")
def guess(case: Any) -> FirstGuess:
    """What the observations tell, roughly: the true anomaly at half its size, with noise."""
    truth, rng = case.truth, np.random.default_rng(4)
    anomaly = np.nan_to_num(truth.height - case.mean)
    height = (0.5 * anomaly + 0.05 * rng.standard_normal(anomaly.shape)).astype(np.float32)
    days = truth.time.astype("datetime64[D]")
    still = np.zeros_like(height)
    return FirstGuess(
        Task(name="mapping"), 5, days, height, days, still, still,
        np.where(truth.grid.land, 1.0, 0.3).astype(np.float32), LAW,
    )  # fmt: skip


@pytest.fixture(scope="module")
def stage_1(case: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state model trained for a few steps."""
    model = case.model.model_copy(update={"start": "smooth"})
    return case.run(tmp_path_factory.mktemp("stage_1"), model=model).checkpoint


@pytest.fixture(scope="module")
def finished(
    case: Any, model: Any, guess: Any, stage_1: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("finished")
    return case.run(folder, model=model, guess=guess, init_from=stage_1), folder


def rows_of(report: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(report.log.open()))


# --- the loss -------------------------------------------------------------------------------


def windows_of(case: Any, guess: FirstGuess) -> ValidationWindows:
    return ValidationWindows(
        case.observations, case.truth, case.mean, case.std, task=case.task, window_days=5,
        patches=case.patches, period=case.validation_period, days=4, guess=guess, whole=True,
    )  # fmt: skip


def test_the_loss_is_the_weighted_sum_of_its_terms(case: Any, model: Any, guess: Any) -> None:
    torch.manual_seed(2)
    solver = SpdeSolver(with_settings(model, mse=0.7, nll=0.3, smoothness=0.2), (22.2, 18.0))
    with torch.no_grad():
        solver.theta_net.update.weight.normal_(std=0.3)
    module = SpdeTraining(solver, case.task, case.training, case.std, 1)
    module.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    batch = windows_of(case, guess).batch(0)
    with torch.no_grad():
        loss = module.loss(batch)
        found = solver.augmented(*batch.inputs)
        state = state_loss(
            found.state, batch.truth, batch.inputs.ocean, solver.prior,
            time_weights(case.task, 5), case.training.loss,
        )  # fmt: skip
        likelihood = found.nll(batch.truth, (1, 2)).mean()
    expected = 0.7 * state + 0.3 * likelihood + 0.2 * roughness(found.delta)
    torch.testing.assert_close(loss, expected.float(), rtol=1e-5, atol=1e-6)
    assert roughness(found.delta) > 0


def test_roughness_is_the_mean_square_of_differences_between_neighbours() -> None:
    delta = torch.zeros(1, 7, 2, 3)
    delta[0, 0] = torch.tensor([[0.0, 1.0, 3.0], [2.0, 1.0, 0.0]])
    north = (2.0**2 + 0 + 3.0**2) / (7 * 3)
    east = (1 + 4 + 1 + 1) / (7 * 4)
    assert float(roughness(delta)) == pytest.approx(north + east)
    assert not roughness(torch.ones(2, 7, 1, 1))


def test_land_and_masked_values_never_matter(case: Any, model: Any, guess: Any) -> None:
    torch.manual_seed(2)
    solver = SpdeSolver(model, (22.2, 18.0)).eval()
    batch = windows_of(case, guess).batch(0)
    land = ~batch.inputs.ocean[:, None]
    assert land.any()
    with torch.no_grad():
        likelihood = solver.augmented(*batch.inputs).nll(batch.truth, (1, 2))
        other = solver.augmented(*batch.inputs).nll(batch.truth.masked_fill(land, 7.0), (1, 2))
    assert torch.equal(likelihood, other)


# --- training -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["joint", "frozen"])
def test_training_lowers_its_loss(
    case: Any, model: Any, guess: Any, stage_1: Path, tmp_path: Path, mode: str
) -> None:
    training = case.training.model_copy(update={"steps": 60, "validate_every": 20})
    common: dict[str, Any] = {"guess": guess, "init_from": stage_1}
    common["model"] = with_settings(model, mode=mode, nll=1.0)
    still = training.model_copy(update={"steps": 1, "learning_rate": 1e-12})
    before = rows_of(case.run(tmp_path / "before", training=still, **common))[-1]
    after = rows_of(case.run(tmp_path / "after", training=training, **common))
    best = min(after, key=lambda row: float(row["validation_loss"]))
    assert float(best["validation_loss"]) < float(before["validation_loss"]) - 0.05
    assert float(best["validation_nll"]) < float(before["validation_nll"]) - 0.05
    same = float(best["validation_rmse_m"]) == pytest.approx(
        float(before["validation_rmse_m"]), rel=1e-6
    )
    assert same == (mode == "frozen")


def test_log_and_checkpoint_tell_of_the_likelihood(finished: Any, case: Any, model: Any) -> None:
    report, _ = finished
    rows = rows_of(report)
    assert tuple(rows[0]) == (*LOG_COLUMNS, *MORE_COLUMNS)
    assert [int(row["step"]) for row in rows] == [3, 6, 8]
    best = min(rows, key=lambda row: float(row["validation_loss"]))
    assert report.best_step == int(best["step"])
    assert report.best_rmse_m == pytest.approx(float(best["validation_rmse_m"]), rel=1e-5)
    checkpoint = StateCheckpoint.load(report.checkpoint)
    assert checkpoint.model == model and checkpoint.model.method == "4dvarnet_spde"
    assert isinstance(trained(checkpoint), SpdeSolver)


def test_the_logged_validation_is_that_of_the_kept_weights(
    finished: Any, case: Any, guess: Any, model: Any
) -> None:
    report, _ = finished
    solver = trained(StateCheckpoint.load(report.checkpoint))
    assert isinstance(solver, SpdeSolver)
    windows = windows_of(case, guess)
    total, count = 0.0, 0
    for number in range(len(windows.batches)):
        batch = windows.batch(number)
        with torch.no_grad():
            likelihood = solver.augmented(*batch.inputs).nll(batch.truth, model.spde.nll_lags)
        total, count = total + float(likelihood.sum()), count + likelihood.numel()
    best = next(row for row in rows_of(report) if int(row["step"]) == report.best_step)
    tolerance = 2e-2 if report.precision == "bf16-mixed" else 1e-4
    assert float(best["validation_nll"]) == pytest.approx(total / count, abs=tolerance)


@pytest.mark.parametrize("step", [2, 5])
def test_a_killed_training_goes_on_to_the_same_file(
    case: Any, model: Any, guess: Any, stage_1: Path, finished: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, step: int,
) -> None:  # fmt: skip
    original = StateTraining.training_step

    def dies(self: StateTraining, batch: Any, batch_idx: int) -> Any:
        if self.step == step:
            raise Killed
        return original(self, batch, batch_idx)

    options = {"model": model, "guess": guess, "init_from": stage_1}
    monkeypatch.setattr(StateTraining, "training_step", dies)
    with pytest.raises(Killed):
        case.run(tmp_path, **options)
    monkeypatch.undo()
    report = case.run(tmp_path, **options)
    assert report.resumed_from == 3 * (step // 3)
    assert report.checkpoint.read_bytes() == finished[0].checkpoint.read_bytes()
    assert (report.best_step, report.best_rmse_m) == (
        finished[0].best_step, finished[0].best_rmse_m
    )  # fmt: skip


def test_frozen_training_leaves_the_state_solver_untouched(
    case: Any, model: Any, guess: Any, stage_1: Path, tmp_path: Path
) -> None:
    report = case.run(
        tmp_path, model=with_settings(model, mode="frozen"), guess=guess, init_from=stage_1
    )
    before, after = (dict(StateCheckpoint.load(p).weights) for p in (stage_1, report.checkpoint))
    for name, value in before.items():
        assert torch.equal(after[name], value), name
    assert any(after[name].any() for name in after if name == "theta_net.update.weight")
    learned = sum(v.numel() for name, v in after.items() if name.startswith("theta_net"))
    assert report.parameters == learned


def test_another_first_guess_is_another_training(
    case: Any, model: Any, guess: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training = case.training.model_copy(update={"steps": 1, "validate_every": 1})
    case.run(tmp_path, model=model, guess=guess, training=training)
    other = replace(guess, sigma=guess.sigma * np.float32(1.1))
    report = case.run(tmp_path, model=model, guess=other, training=training)
    assert report.resumed_from == 0 and "starting anew" in caplog.text


def test_a_forecast_is_fine_tuned_from_mapping(
    case: Any, model: Any, guess: Any, finished: Any, tmp_path: Path
) -> None:
    windows = np.stack([guess.height[i : i + 5] for i in range(len(guess.height) - 4)])
    own = replace(guess, task=Task(name="for1"), targets=guess.targets[4:], height=windows)
    still = case.training.model_copy(update={"steps": 1, "learning_rate": 1e-12})
    report = case.run(
        tmp_path, model=model, guess=own, task=Task(name="for1"), training=still,
        init_from=finished[0].checkpoint,
    )  # fmt: skip
    before, after = (
        StateCheckpoint.load(p).weights for p in (finished[0].checkpoint, report.checkpoint)
    )
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=1e-9)


# --- what stops it --------------------------------------------------------------------------


def test_without_a_first_guess_it_does_not_begin(case: Any, model: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="4dvarnet_spde starts from the first guess"):
        case.run(tmp_path, model=model)


def test_a_loss_that_is_not_finite_stops_with_names(
    case: Any, model: Any, guess: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = StateTraining.training_step

    def breaks(self: StateTraining, batch: Any, batch_idx: int) -> Any:
        if self.global_step == 1:
            with torch.no_grad():
                self.solver.theta_net.update.bias[0] = float("nan")  # type: ignore[union-attr]
        return original(self, batch, batch_idx)

    monkeypatch.setattr(StateTraining, "training_step", breaks)
    with pytest.raises(RuntimeError) as caught:
        case.run(tmp_path, model=model, guess=guess)
    text = str(caught.value)
    assert "at step 1" in text and "theta_net.update.bias" in text and "2013-0" in text
    assert not (tmp_path / "state.ckpt").exists()


def test_a_truth_that_is_not_finite_stops_with_its_windows(
    case: Any, model: Any, guess: Any, tmp_path: Path
) -> None:
    bad = np.where(case.truth.grid.ocean, case.truth.height * np.float32(1e30), case.truth.height)
    with pytest.raises(RuntimeError, match=r"training loss is (inf|nan) at step 0.*2013-0"):
        case.run(tmp_path, model=model, guess=guess, truth=replace(case.truth, height=bad))
