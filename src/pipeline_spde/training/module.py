"""The Lightning module of the networks: steps, schedule, checks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from pipeline_spde.config import TrainingConfig
from pipeline_spde.data.windows import Batch
from pipeline_spde.networks import Network
from pipeline_spde.periods import Task
from pipeline_spde.training.losses import state_loss, time_weights
from pipeline_spde.trees import derived_seed


def learning_rate_factor(step: int, config: TrainingConfig) -> float:
    """Return the learning rate of a step over its base: linear warm-up times a cosine decay.

    The cosine runs from 1 at the first step to `final_learning_rate` at the last one.
    """
    warm_up = min(1.0, (step + 1) / (config.warm_up_steps + 1))
    final = config.final_learning_rate
    cosine = 0.5 * (1 + math.cos(math.pi * min(step / config.steps, 1.0)))
    return warm_up * (final + (1 - final) * cosine)


class StateTraining(pl.LightningModule):
    """Train a network; validate by the RMSE of the target day in metres.

    Attributes:
        criterion: name of the logged number by which the best weights are chosen; lower is better.

    Args:
        solver: the model.
        task: which day is kept, and the weights of the others in the loss.
        config: loss weights, optimiser, schedule.
        std: metres per normalised unit.
        seed: of the random numbers inside a step (dropout).
        resume: content of `last.ckpt` of an interrupted training.
    """

    criterion = "validation_rmse_m"

    def __init__(
        self,
        solver: Network,
        task: Task,
        config: TrainingConfig,
        std: float,
        seed: int,
        resume: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.resume = resume
        if resume is not None:
            solver.load_state_dict(resume["solver"])
        self.solver = solver
        self.config = config
        self.std = std
        self.seed = seed
        window = solver.config.window_days
        self.target_index = task.target_index(window)
        self.weights = time_weights(task, window)
        self._squares: list[Tensor] = []

    @property
    def step(self) -> int:
        """Optimiser steps taken, those before an interruption included."""
        return (0 if self.resume is None else self.resume["step"]) + self.global_step

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch.

        Raises:
            RuntimeError: the loss is not finite.
        """
        # random numbers are a function of seed, step and process: a resumed run draws the same
        torch.manual_seed(derived_seed(self.seed, str(self.step), str(self.global_rank)))
        loss = self.loss(batch)
        if not torch.isfinite(loss):
            raise RuntimeError(self._diagnosis(loss, batch))
        self.log("train_loss", loss)
        self.log("step", float(self.step))  # loggers take it for their axis
        return loss

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of a batch, a scalar."""
        return self.state_loss(self.solver(*batch.inputs), batch)

    def state_loss(self, state: Tensor, batch: Batch) -> Tensor:
        """Return the loss of the states of a batch."""
        prior, ocean = self.solver.prior, batch.inputs.ocean
        return state_loss(state, batch.truth, ocean, prior, self.weights, self.config.loss)

    def on_validation_epoch_start(self) -> None:
        """Forget the sums of the last validation."""
        self._squares = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add up the squared errors of the target days."""
        self.add_errors(self.solver(*batch.inputs), batch)

    def add_errors(self, state: Tensor, batch: Batch) -> None:
        """Add the squared errors of the target days of states to those of the validation."""
        error = state[:, self.target_index].double() - batch.truth[:, self.target_index]
        square = torch.where(batch.inputs.ocean, error.square(), torch.zeros_like(error)).sum()
        self._squares.append(torch.stack([square, batch.inputs.ocean.sum().double()]))

    def on_validation_epoch_end(self) -> None:
        """Log the RMSE over days, cells and processes, in metres."""
        own = torch.stack(self._squares).sum(0) if self._squares else torch.zeros(2).double()
        sums = self.trainer.strategy.reduce(own.to(self.device), reduce_op="sum")
        rmse = self.std * math.sqrt(float(sums[0]) / max(float(sums[1]), 1.0))
        self.log("validation_rmse_m", rmse)
        self.log("step", float(self.step))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return Adam with warm-up and cosine decay over steps."""
        learned = [value for value in self.solver.parameters() if value.requires_grad]
        optimizer = torch.optim.Adam(learned, lr=self.config.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, self.config)
        )
        if self.resume is not None:
            optimizer.load_state_dict(self.resume["optimizer"])
            schedule.load_state_dict(self.resume["schedule"])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _diagnosis(self, loss: Tensor, batch: Batch) -> str:
        broken = [
            name for name, value in self.solver.named_parameters() if not value.isfinite().all()
        ]
        return (
            f"the training loss is {loss.item()} at step {self.step}, on the windows that "
            f"start on {'; '.join(batch.names)}; parameters with values that are not finite: "
            f"{', '.join(broken) or 'none'}. Lower the learning rate or training.gradient_clip, or "
            "look at the data of these days; no checkpoint of this step was kept"
        )
