"""What a training keeps: the best weights, a log, and a state from which it can go on."""

from __future__ import annotations

import csv
import io
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from pipeline_spde.files import atomic_path, write_text
from pipeline_spde.training.module import StateTraining

logger = logging.getLogger(__name__)

RECORD = (
    "identity", "best", "best_rmse", "best_step", "best_weights", "rows", "stale", "finished"
)  # fmt: skip
"""What `last.ckpt` holds of the `Keeper`, beside solver, optimiser, schedule and step."""
LOG_COLUMNS = ("step", "seconds", "train_loss", "validation_rmse_m", "learning_rate")
MORE_COLUMNS = ("validation_nll", "validation_loss")
"""Further columns of trainings that log them."""


class Keeper(pl.Callback):
    """After each validation: compare, log, and write `last.ckpt` in one atomic step.

    Everything needed to go on or to finish is in that one file: weights, optimiser, schedule, best
    weights so far, log, and the identity of the training it belongs to.

    Args:
        work_dir: folder of `last.ckpt`.
        log_file: CSV with one line per validation.
        identity: hash of all that the result depends on.
        steps: steps of the whole training.
        patience: validations without improvement before stopping.
    """

    def __init__(
        self, work_dir: Path, log_file: Path, identity: str, steps: int, patience: int
    ) -> None:
        self.last = work_dir / "last.ckpt"
        self.log_file = log_file
        self.identity = identity
        self.steps = steps
        self.patience = patience
        self.best = math.inf
        self.best_rmse = math.inf
        self.best_step = 0
        self.best_weights: dict[str, Tensor] = {}
        self.rows: list[list[float]] = []
        self.stale = 0
        self.finished = False
        self._loss_sum: Tensor | None = None
        self._losses = 0
        self._seconds_before = 0.0
        self._started = time.monotonic()

    def take_over(self, record: Mapping[str, Any]) -> None:
        """Continue the record of an interrupted training (the content of `last.ckpt`)."""
        for name in RECORD:
            setattr(self, name, record[name])
        self._seconds_before = self.rows[-1][1]

    def begin(self, module: StateTraining, rmse: float) -> None:
        """Take the weights of the start, validated before the first step, as the best so far."""
        self._compare(rmse, rmse, 0, module)
        seconds = time.monotonic() - self._started
        self.rows.append([0, seconds, math.nan, rmse, 0.0])
        logger.info("before the first step: validation RMSE %.2f cm", 100 * rmse)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Add up the training loss without waiting for the device."""
        loss = outputs["loss"].detach()
        self._loss_sum = loss if self._loss_sum is None else self._loss_sum + loss
        self._losses += 1

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Judge the validation that has just run, and write `last.ckpt`."""
        assert isinstance(pl_module, StateTraining) and self._loss_sum is not None
        step, logged = pl_module.step, trainer.callback_metrics
        rmse = float(logged["validation_rmse_m"])
        value = float(logged[pl_module.criterion])
        if not math.isfinite(rmse + value):
            raise RuntimeError(
                f"validation_rmse_m is {rmse}, {pl_module.criterion} {value} at step {step}"
            )
        self._compare(value, rmse, step, pl_module)
        loss = float(self._loss_sum) / self._losses
        self._loss_sum, self._losses = None, 0
        seconds = self._seconds_before + time.monotonic() - self._started
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        more = [float(logged[name]) for name in MORE_COLUMNS if name in logged]
        self.rows.append([step, seconds, loss, rmse, rate, *more])
        self.finished = step >= self.steps or self.stale >= self.patience
        trainer.should_stop = self.finished
        if trainer.is_global_zero:
            self._save(trainer, pl_module)

    def _compare(self, value: float, rmse: float, step: int, module: StateTraining) -> None:
        """Keep the weights when they are the best so far."""
        if value < self.best:
            self.best, self.best_rmse, self.best_step, self.stale = value, rmse, step, 0
            self.best_weights = {
                name: tensor.detach().cpu().contiguous().clone()
                for name, tensor in module.solver.state_dict().items()
            }
        else:
            self.stale += 1

    def _save(self, trainer: pl.Trainer, module: StateTraining) -> None:
        """Write `last.ckpt` and the log (one process)."""
        record = {name: getattr(self, name) for name in RECORD}
        record |= {
            "step": module.step,
            "solver": module.solver.state_dict(),
            "optimizer": trainer.optimizers[0].state_dict(),
            "schedule": trainer.lr_scheduler_configs[0].scheduler.state_dict(),
        }
        with atomic_path(self.last) as temporary:
            torch.save(record, temporary)
        write_log(self.log_file, self.rows)
        step, seconds, loss, rmse = self.rows[-1][:4]
        logger.info(
            "step %d of %d: loss %.4g, validation RMSE %.2f cm (best %.2f at %d)%s, %.0f s",
            step, self.steps, loss, 100 * rmse, 100 * self.best_rmse, self.best_step,
            "".join(f", {value:.4g}" for value in self.rows[-1][5:]), seconds,
        )  # fmt: skip


def write_log(path: Path, rows: list[list[float]]) -> None:
    """Write the log as CSV, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*LOG_COLUMNS, *MORE_COLUMNS)[: len(rows[0]) if rows else len(LOG_COLUMNS)])
    for step, seconds, *numbers in rows:
        writer.writerow([int(step), f"{seconds:.1f}", *(f"{value:.6g}" for value in numbers)])
    write_text(path, text.getvalue())
