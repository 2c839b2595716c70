"""What a training keeps: the best weights, a log, and a state from which it can go on."""

from __future__ import annotations

import csv
import io
import logging
import math
import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from pipeline_spde.files import write_text

logger = logging.getLogger(__name__)

LOG_COLUMNS = ("step", "seconds", "train_loss", "validation_rmse_m", "learning_rate")


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

    @property
    def state_key(self) -> str:
        """Name of this callback's part of `last.ckpt`."""
        return "keeper"

    def state_dict(self) -> dict[str, Any]:
        """Return what `last.ckpt` holds of this callback."""
        names = ("identity", "best_rmse", "best_step", "best_weights", "rows", "stale", "finished")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `last.ckpt` holds of this callback."""
        for name, value in state_dict.items():
            setattr(self, name, value)
        self._seconds_before = self.rows[-1][1] if self.rows else 0.0

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
        rmse = float(trainer.callback_metrics["validation_rmse_m"])
        if not math.isfinite(rmse):
            raise RuntimeError(f"the validation RMSE is {rmse} at step {trainer.global_step}")
        self._compare(rmse, trainer.global_step, pl_module)
        loss = float(self._loss_sum) / self._losses if self._loss_sum is not None else math.nan
        self._loss_sum, self._losses = None, 0
        seconds = self._seconds_before + time.monotonic() - self._started
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append([trainer.global_step, seconds, loss, rmse, rate])
        self.finished = trainer.global_step >= self.steps or self.stale >= self.patience
        trainer.should_stop = self.finished
        self._save(trainer)

    def _compare(self, rmse: float, step: int, module: pl.LightningModule) -> None:
        """Keep the weights when they are the best so far."""
        if rmse < self.best_rmse:
            solver = module.solver
            assert isinstance(solver, torch.nn.Module)
            self.best_rmse, self.best_step, self.stale = rmse, step, 0
            self.best_weights = {
                name: tensor.detach().cpu().contiguous().clone()
                for name, tensor in solver.state_dict().items()
            }
        else:
            self.stale += 1

    def _save(self, trainer: pl.Trainer) -> None:
        """Write `last.ckpt` and the log; only the first process writes, all take part."""
        temporary = self.last.with_name("last.ckpt.tmp")
        trainer.save_checkpoint(temporary, weights_only=False)
        if not trainer.is_global_zero:
            return
        os.replace(temporary, self.last)
        write_log(self.log_file, self.rows)
        step, seconds, loss, rmse, _ = self.rows[-1]
        logger.info(
            "step %d of %d: training loss %.4g, validation RMSE %.2f cm (best %.2f at %d), %.0f s",
            step, self.steps, loss, 100 * rmse, 100 * self.best_rmse, self.best_step, seconds,
        )  # fmt: skip


def write_log(path: Path, rows: list[list[float]]) -> None:
    """Write the log as CSV, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(LOG_COLUMNS)
    for step, seconds, loss, rmse, rate in rows:
        writer.writerow([int(step), f"{seconds:.1f}", f"{loss:.6g}", f"{rmse:.6g}", f"{rate:.6g}"])
    write_text(path, text.getvalue())
