"""The UNet is trained by the same code as the 4DVarNet."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline_spde.assimilation.checkpoint import StateCheckpoint
from pipeline_spde.config import LossConfig, UNetConfig
from pipeline_spde.periods import Task
from pipeline_spde.training.losses import state_loss, time_weights
from pipeline_spde.training.module import StateTraining

MODEL = UNetConfig(window_days=5, channels=8, start_iterations=8)


class Killed(RuntimeError):
    """Stands for a signal: nothing of the library catches it."""


@pytest.fixture(scope="module")
def finished(case: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return case.run(tmp_path_factory.mktemp("unet"), model=MODEL)


def test_training_lowers_loss_and_validation_error(case: Any, tmp_path: Path) -> None:
    training = case.training.model_copy(update={"steps": 60, "validate_every": 20})
    model = MODEL.model_copy(update={"start": "smooth"})  # the OI leaves little to learn here
    report = case.run(tmp_path, model=model, training=training)
    still = training.model_copy(update={"steps": 1, "learning_rate": 1e-12})
    untrained = case.run(tmp_path / "untrained", model=model, training=still)
    assert report.best_rmse_m < 0.9 * untrained.best_rmse_m
    losses = [float(row["train_loss"]) for row in csv.DictReader(report.log.open())]
    assert losses[0] > losses[1] > losses[2]


def test_the_checkpoint_is_one_of_a_unet(case: Any, finished: Any) -> None:
    checkpoint = StateCheckpoint.load(finished.checkpoint)
    assert checkpoint.model == MODEL
    assert checkpoint.training["best_step"] == finished.best_step
    assert finished.parameters == sum(tensor.numel() for tensor in checkpoint.weights.values())


@pytest.mark.parametrize("step", [2, 4, 7])
def test_a_killed_training_goes_on_to_the_same_file(
    case: Any, finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    original = StateTraining.training_step

    def dies(self: StateTraining, batch: Any, batch_idx: int) -> Any:
        if self.step == step:
            raise Killed
        return original(self, batch, batch_idx)

    monkeypatch.setattr(StateTraining, "training_step", dies)
    with pytest.raises(Killed):
        case.run(tmp_path, model=MODEL)
    monkeypatch.undo()
    report = case.run(tmp_path, model=MODEL)
    assert report.resumed_from == 3 * (step // 3)
    assert report.checkpoint.read_bytes() == finished.checkpoint.read_bytes()


def test_work_of_the_other_network_is_not_taken_up(
    case: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training = case.training.model_copy(update={"steps": 1})
    case.run(tmp_path, training=training)
    assert case.run(tmp_path, model=MODEL, training=training).resumed_from == 0
    assert "belongs to other data or settings" in caplog.text


def test_fine_tuning_starts_from_a_unet_only(case: Any, finished: Any, tmp_path: Path) -> None:
    still = case.training.model_copy(update={"steps": 1, "learning_rate": 1e-12})
    report = case.run(
        tmp_path, model=MODEL, training=still, task=Task(name="for2"),
        init_from=finished.checkpoint,
    )  # fmt: skip
    weights = StateCheckpoint.load(report.checkpoint).weights
    for name, tensor in StateCheckpoint.load(finished.checkpoint).weights.items():
        torch.testing.assert_close(weights[name], tensor, rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match="another architecture"):
        case.run(tmp_path / "other", training=still, init_from=finished.checkpoint)


def test_without_a_prior_the_loss_has_no_prior_cost() -> None:
    generator = torch.Generator().manual_seed(1)
    state, truth = (torch.randn(1, 3, 4, 5, generator=generator) for _ in range(2))
    ocean = torch.ones(1, 4, 5, dtype=torch.bool)
    weights = time_weights(Task(name="mapping"), 3)
    prior = torch.nn.Conv2d(3, 3, 3, padding=1)
    free = state_loss(state, truth, ocean, prior, weights, LossConfig(prior=0.0))
    assert state_loss(state, truth, ocean, None, weights, LossConfig()) == free
    assert state_loss(state, truth, ocean, prior, weights, LossConfig()) > free


@pytest.mark.slow
def test_two_processes_train_it_like_one(case: Any, tmp_path: Path) -> None:
    """The same batches, shared: equal up to rounding and the share of land in each window."""
    alone = case.run(tmp_path / "one", model=MODEL)
    training = case.training.model_copy(update={"devices": 2, "accelerator": "cpu"})
    shared = case.run(tmp_path / "two", model=MODEL, training=training)
    assert shared.steps == 8
    one, two = (StateCheckpoint.load(report.checkpoint).weights for report in (alone, shared))
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, two[name], rtol=0, atol=5e-3, msg=name)
