from __future__ import annotations

import csv
import itertools
import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from pipeline_spde.assimilation.checkpoint import StateCheckpoint
from pipeline_spde.fields import GriddedObservations
from pipeline_spde.periods import Period, Task
from pipeline_spde.training import keeping
from pipeline_spde.training.keeping import LOG_COLUMNS, Keeper
from pipeline_spde.training.module import StateTraining, learning_rate_factor
from pipeline_spde.training.state import choose_precision


class Killed(RuntimeError):
    """Stands for a signal: nothing of the library catches it."""


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return dict(StateCheckpoint.load(path).weights)


def assert_same_weights(first: Path, second: Path, tolerance: float = 0.0) -> None:
    one, two = weights_of(first), weights_of(second)
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, two[name], rtol=0, atol=tolerance, msg=name)


@pytest.fixture(scope="module")
def finished(case: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("finished")
    return case.run(folder), folder


def test_training_lowers_the_validation_error(case: Any, tmp_path: Path) -> None:
    training = case.training.model_copy(update={"steps": 60, "validate_every": 30})
    untrained = case.run(tmp_path / "a", training=training.model_copy(
        update={"steps": 1, "learning_rate": 1e-12}
    ))  # fmt: skip
    trained = case.run(tmp_path / "b", training=training)
    assert trained.best_rmse_m < 0.9 * untrained.best_rmse_m


def test_report_log_and_checkpoint_agree(case: Any, finished: Any) -> None:
    report, folder = finished
    assert (report.steps, report.resumed_from, report.stopped_early) == (8, 0, False)
    rows = list(csv.DictReader((folder / "training.csv").open()))
    assert tuple(rows[0]) == LOG_COLUMNS
    assert [int(row["step"]) for row in rows] == [3, 6, 8]
    best = min(rows, key=lambda row: float(row["validation_rmse_m"]))
    assert int(best["step"]) == report.best_step
    assert float(best["validation_rmse_m"]) == pytest.approx(report.best_rmse_m, rel=1e-5)
    checkpoint = StateCheckpoint.load(report.checkpoint)
    assert checkpoint.model == case.model
    assert (checkpoint.task, checkpoint.std, checkpoint.seed) == ("mapping", 0.2, 7)
    assert checkpoint.mean == pytest.approx(case.mean[case.truth.grid.ocean].mean())
    assert checkpoint.training["best_step"] == report.best_step
    content = torch.load(report.checkpoint, weights_only=True)
    json.dumps(content["about"], allow_nan=False)
    assert all(type(tensor) is torch.Tensor for tensor in content["weights"].values())


def test_equal_seeds_give_equal_files(case: Any, finished: Any, tmp_path: Path) -> None:
    again = case.run(tmp_path)
    assert again.checkpoint.read_bytes() == finished[0].checkpoint.read_bytes()


def test_another_seed_gives_other_weights(case: Any, finished: Any, tmp_path: Path) -> None:
    other = case.run(tmp_path, seed=8)
    with pytest.raises(AssertionError):
        assert_same_weights(other.checkpoint, finished[0].checkpoint)


def test_training_leaves_the_callers_random_state_alone(case: Any, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    case.run(tmp_path, training=case.training.model_copy(update={"steps": 1}))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("step", [2, 4, 5, 7])
def test_a_killed_training_goes_on_to_the_same_file(
    case: Any, finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Bit-identical weights; killed before the first, between and after later validations."""
    original = StateTraining.training_step

    def dies(self: StateTraining, batch: Any, batch_idx: int) -> Any:
        if self.step == step:
            raise Killed
        return original(self, batch, batch_idx)

    monkeypatch.setattr(StateTraining, "training_step", dies)
    with pytest.raises(Killed):
        case.run(tmp_path)
    assert not (tmp_path / "state.ckpt").exists()
    monkeypatch.undo()
    report = case.run(tmp_path)
    assert report.resumed_from == 3 * (step // 3)
    assert_same_weights(report.checkpoint, finished[0].checkpoint)
    assert report.checkpoint.read_bytes() == finished[0].checkpoint.read_bytes()
    steps = [row["step"] for row in csv.DictReader(report.log.open())]
    assert steps == ["3", "6", "8"]


def test_a_training_stopped_in_good_order_is_not_taken_for_finished(
    case: Any, finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Keeper.on_train_epoch_end

    def stops(self: Keeper, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        original(self, trainer, module)
        trainer.should_stop = True

    monkeypatch.setattr(Keeper, "on_train_epoch_end", stops)
    with pytest.raises(RuntimeError, match="state at step 3: run the same training again"):
        case.run(tmp_path)
    assert not (tmp_path / "state.ckpt").exists()
    monkeypatch.undo()
    assert_same_weights(case.run(tmp_path).checkpoint, finished[0].checkpoint)


def test_dropout_survives_a_kill(
    case: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = case.model.model_copy(update={"dropout": 0.3})
    whole = case.run(tmp_path / "whole", model=model)
    original = StateTraining.training_step

    def dies(self: StateTraining, batch: Any, batch_idx: int) -> Any:
        if self.step == 4:
            raise Killed
        return original(self, batch, batch_idx)

    monkeypatch.setattr(StateTraining, "training_step", dies)
    with pytest.raises(Killed):
        case.run(tmp_path / "cut", model=model)
    monkeypatch.undo()
    assert_same_weights(case.run(tmp_path / "cut", model=model).checkpoint, whole.checkpoint)


def test_a_finished_training_is_not_repeated(
    case: Any, finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, folder = finished
    before = report.checkpoint.read_bytes()
    report.checkpoint.unlink()

    def never(*_: Any) -> None:
        raise AssertionError("a step was taken")

    monkeypatch.setattr(StateTraining, "training_step", never)
    again = case.run(folder)
    assert again.resumed_from == 8
    assert again.checkpoint.read_bytes() == before


@pytest.mark.parametrize("damage", ["other data", "truncated", "foreign"])
def test_work_that_does_not_belong_is_started_anew(
    case: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    training = case.training.model_copy(update={"steps": 2, "validate_every": 1})
    case.run(tmp_path, training=training)
    last = tmp_path / "work" / "last.ckpt"
    observations: GriddedObservations = case.observations
    if damage == "other data":
        observations = replace(observations, height=observations.height * np.float32(1.01))
    elif damage == "truncated":
        last.write_bytes(last.read_bytes()[:1000])
    else:
        torch.save({"a": 1}, last)
    report = case.run(tmp_path, training=training, observations=observations)
    assert report.resumed_from == 0 and report.steps == 2
    assert "starting anew" in caplog.text


def test_patience_ends_the_training(case: Any, tmp_path: Path) -> None:
    training = case.training.model_copy(
        update={"steps": 20, "validate_every": 1, "patience": 2, "learning_rate": 1e-12}
    )
    report = case.run(tmp_path, training=training)
    assert report.stopped_early and report.steps == report.best_step + 2 < 20
    assert case.run(tmp_path, training=training).resumed_from == report.steps


def test_the_best_weights_are_kept_not_the_last(
    case: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([0.3, 0.1, 0.2])
    compare = Keeper._compare
    seen = []

    def scripted(
        self: Keeper, _: float, rmse: float, step: int, module: pl.LightningModule
    ) -> None:
        seen.append({k: v.clone() for k, v in module.solver.state_dict().items()})  # type: ignore[operator,union-attr]
        value = next(values)
        compare(self, value, value, step, module)

    monkeypatch.setattr(keeping.Keeper, "_compare", scripted)
    report = case.run(tmp_path)
    assert (report.best_step, report.best_rmse_m) == (6, 0.1)
    for name, tensor in weights_of(report.checkpoint).items():
        assert torch.equal(tensor, seen[1][name])
    assert any(not torch.equal(seen[1][name], seen[2][name]) for name in seen[1])


def test_fine_tuning_starts_from_the_other_checkpoint(
    case: Any, finished: Any, tmp_path: Path
) -> None:
    still = case.training.model_copy(update={"steps": 1, "learning_rate": 1e-12})
    report = case.run(
        tmp_path, training=still, task=Task(name="for2"), init_from=finished[0].checkpoint
    )
    assert StateCheckpoint.load(report.checkpoint).task == "for2"
    assert_same_weights(report.checkpoint, finished[0].checkpoint, tolerance=1e-9)


def test_fine_tuning_from_another_architecture_is_refused(
    case: Any, finished: Any, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"another architecture: .*instead of"):
        case.run(
            tmp_path,
            model=case.model.model_copy(update={"hidden": 8}),
            init_from=finished[0].checkpoint,
        )


def test_a_loss_that_is_not_finite_stops_with_its_place(case: Any, tmp_path: Path) -> None:
    training = case.training.model_copy(update={"learning_rate": 1e30, "warm_up_steps": 0})
    with pytest.raises(RuntimeError) as caught:
        case.run(tmp_path, training=training)
    text = str(caught.value)
    assert "training loss is nan at step" in text or "training loss is inf at step" in text
    assert "2013-0" in text and "masks of" in text and "learning rate" in text
    assert not (tmp_path / "state.ckpt").exists()


def test_parameters_that_are_not_finite_are_named(
    case: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = StateTraining.training_step

    def breaks(self: StateTraining, batch: Any, batch_idx: int) -> Any:
        if self.global_step == 2:
            with torch.no_grad():
                self.solver.prior.decode.bias[0] = float("nan")
        return original(self, batch, batch_idx)

    monkeypatch.setattr(StateTraining, "training_step", breaks)
    with pytest.raises(RuntimeError, match=r"nan at step 2, .* not finite: prior.decode.bias\."):
        case.run(tmp_path)


def test_truth_outside_training_and_validation_never_matters(
    case: Any, finished: Any, tmp_path: Path
) -> None:
    days = case.truth.time.astype("datetime64[D]")
    used = np.zeros(days.shape, bool)
    for period in (case.train_period, case.validation_period):
        used |= (days >= np.datetime64(period.start)) & (days <= np.datetime64(period.end))
    assert 0 < used.sum() < days.size
    height = np.where(used[:, None, None], case.truth.height, case.truth.height + np.float32(3))
    report = case.run(tmp_path, truth=replace(case.truth, height=height))
    # the identity of the work differs (it covers all data), the weights do not
    assert_same_weights(report.checkpoint, finished[0].checkpoint)


def test_forecast_and_exact_gradient_train(case: Any, tmp_path: Path) -> None:
    model = case.model.model_copy(update={"gradient": "exact", "start": "smooth"})
    report = case.run(
        tmp_path, model=model, task=Task(name="for1"),
        validation_period=Period(start="2013-01-04", end="2013-01-14"),
    )  # fmt: skip
    assert np.isfinite(report.best_rmse_m) and report.steps == 8


def test_loggers_receive_the_curves(case: Any, tmp_path: Path) -> None:
    logger = pl.loggers.CSVLogger(tmp_path / "logger")
    case.run(tmp_path, loggers=[logger])
    text = Path(logger.log_dir, "metrics.csv").read_text()
    assert "validation_rmse_m" in text and "train_loss" in text


def test_uneven_shares_are_refused(case: Any, tmp_path: Path) -> None:
    training = case.training.model_copy(update={"batch_size": 3, "devices": 2})
    with pytest.raises(ValueError, match="3 windows cannot be shared evenly by 2 processes"):
        case.run(tmp_path, training=training)


def test_learning_rate_warms_up_and_decays(case: Any) -> None:
    config = case.training.model_copy(
        update={"steps": 100, "warm_up_steps": 9, "final_learning_rate": 0.02}
    )
    rates = [learning_rate_factor(step, config) for step in range(101)]
    assert rates[0] == pytest.approx(0.1, abs=1e-3)
    assert max(rates) == rates[int(np.argmax(rates))] and 5 <= int(np.argmax(rates)) <= 12
    assert rates[100] == pytest.approx(0.02)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))


def test_precision_follows_the_device() -> None:
    assert choose_precision("16-mixed", "cpu") == "16-mixed"
    flags = Path("/proc/cpuinfo")
    if not flags.is_file():
        pytest.skip("no /proc/cpuinfo to compare with")
    words = set(flags.read_text().split())
    expected = "bf16-mixed" if words & {"avx512_bf16", "amx_bf16"} else "32-true"
    assert choose_precision("auto", "cpu") == expected


@pytest.mark.slow
def test_two_processes_train_like_one(
    case: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same batches, shared: equal up to rounding and the share of land in each window.

    It does not matter that this is the one task of a job of Slurm, whose signals stay as they are.
    """
    slurm = {"NTASKS": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0", "JOB_ID": "7"}
    for name, value in (slurm | {"JOB_NAME": "train", "NNODES": "1"}).items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    handlers = [signal.getsignal(one) for one in (signal.SIGUSR1, signal.SIGTERM)]
    grid = case.truth.grid
    ocean_only = case.patches.model_copy(update={"lat": 12, "lon": 12})
    alone = case.run(tmp_path / "one", patches=ocean_only)
    training = case.training.model_copy(update={"devices": 2, "accelerator": "cpu"})
    shared = case.run(tmp_path / "two", patches=ocean_only, training=training)
    assert grid.land.any()
    assert shared.steps == 8
    assert [signal.getsignal(one) for one in (signal.SIGUSR1, signal.SIGTERM)] == handlers
    assert shared.best_rmse_m == pytest.approx(alone.best_rmse_m, rel=2e-2)
    assert_same_weights(shared.checkpoint, alone.checkpoint, tolerance=5e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_runs_on_a_gpu(case: Any, tmp_path: Path) -> None:
    training = case.training.model_copy(update={"accelerator": "gpu"})
    assert case.run(tmp_path, training=training).steps == 8
