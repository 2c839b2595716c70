"""Train a network (4DVarNet or UNet), or fine-tune it for another task or domain."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import LightningEnvironment

from pipeline_spde.assimilation.checkpoint import StateCheckpoint, read_torch
from pipeline_spde.assimilation.spde_solver import SpdeSolver
from pipeline_spde.config import (
    AnyNetworkConfig,
    AugmentedModelConfig,
    PartName,
    PatchConfig,
    TrainingConfig,
)
from pipeline_spde.data.datamodule import TrainingWindows, ValidationWindows, WindowData
from pipeline_spde.data.withheld import TrackValidation, TrackWindows, Withheld, track_windows
from pipeline_spde.fields import GriddedObservations, Maps
from pipeline_spde.files import DataError, sha256
from pipeline_spde.first_guess import FirstGuess
from pipeline_spde.io import code_version
from pipeline_spde.networks import Network, freeze, needs_first_guess, start_from, untrained
from pipeline_spde.periods import Period, Task
from pipeline_spde.training.inputs import data_digest, require_complete
from pipeline_spde.training.keeping import Keeper, write_log
from pipeline_spde.training.module import StateTraining
from pipeline_spde.training.precision import choose_accelerator, choose_precision
from pipeline_spde.training.spde import SpdeTraining
from pipeline_spde.training.tracks import TrackTraining
from pipeline_spde.trees import config_hash

logger = logging.getLogger(__name__)

_Training = TrainingWindows | TrackWindows
_Validation = ValidationWindows | TrackValidation


@dataclass(frozen=True)
class TrainingReport:
    """What a training did.

    Attributes:
        checkpoint: the file written.
        log: CSV with one line per validation.
        steps: optimiser steps taken in all.
        best_step: step of the weights kept.
        best_rmse_m: their validation RMSE in m.
        stopped_early: True when the patience ran out before the steps.
        resumed_from: step at which an interrupted training was taken up, or 0.
        precision: that of the arithmetic, as Lightning names it.
        parameters: number of trained values.
        seconds: wall time of training and validation, interruptions left out.
    """

    checkpoint: Path
    log: Path
    steps: int
    best_step: int
    best_rmse_m: float
    stopped_early: bool
    resumed_from: int
    precision: str
    parameters: int
    seconds: float


def train(
    observations: GriddedObservations,
    truth: Maps | None,
    mean: NDArray[np.float64],
    std: float,
    task: Task,
    model: AnyNetworkConfig,
    training: TrainingConfig,
    patches: PatchConfig,
    train_period: Period,
    validation_period: Period,
    seed: int,
    work_dir: Path,
    checkpoint: Path,
    log_file: Path,
    init_from: Path | None = None,
    guess: FirstGuess | None = None,
    frozen: Sequence[PartName] = (),
    withheld: Withheld | None = None,
    loggers: Sequence[Logger] = (),
    progress: bool = True,
) -> TrainingReport:
    """Train a network and write its best weights to `checkpoint`.

    The state of the training goes to `work_dir` at every validation; a training that was cut off
    goes on from there when everything it depends on is unchanged, and ends with the same weights
    as one that was not.

    Args:
        observations: gridded observations with the mean in.
        truth: maps of every day of both periods; used in losses and validation only. None: the
            network is fine-tuned on real tracks, and `withheld` says at which.
        mean: mean height of the training period, m, shape (lat, lon).
        std: standard deviation of the anomalies of the training period, m. A network that starts
            from another keeps that one's: it belongs to the weights.
        task: mapping, nrt or for{n}.
        model: the architecture; its type says which network.
        training: loss, optimisation and budget.
        patches: size and strides of patches.
        train_period: training windows lie wholly inside.
        validation_period: validation targets lie inside.
        seed: of weights, batches and dropout.
        work_dir: folder for the state of the training; may be deleted afterwards.
        checkpoint: file for the best weights.
        log_file: CSV with one line per validation.
        init_from: checkpoint whose weights are the start (same architecture, any task or domain;
            for 4dvarnet_spde also the state model of stage 1).
        guess: first guesses of the windows of both periods, for networks that need them.
        frozen: parts of the network (`networks.PARTS`) that stay as they are.
        withheld: where there is no truth: passes that windows are not shown and are judged by,
            with their first guesses in place of `guess`.
        loggers: Lightning loggers.
        progress: show a bar when on a terminal.

    Raises:
        ValueError: data, periods and model do not fit together.
        RuntimeError: the loss became infinite or NaN.
    """
    require_complete(model, truth, guess, withheld, init_from)
    if init_from is not None:
        std = StateCheckpoint.load(init_from).std
    job = _Job(
        task, model, training, patches, train_period, validation_period, seed, float(std),
        init_from, guess if needs_first_guess(model) else None, tuple(frozen), withheld,
    )  # fmt: skip
    digest = data_digest(observations, truth, mean, guess, withheld)
    identity = config_hash([job.settings(), digest])
    keeper = Keeper(work_dir, log_file, identity, training.steps, training.patience)
    precision = choose_precision(training.precision, training.accelerator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        training_windows, validation_windows = job.windows(observations, truth, mean)
        solver = job.solver(training_windows)
        earlier = _earlier_work(keeper.last, identity)
        if earlier is None or not earlier["finished"]:
            run = _Run(precision, tuple(loggers), progress)
            _fit(job, solver, training_windows, validation_windows, keeper, earlier, run)
    kept = _finished_work(keeper.last)
    sea_level = float(np.mean(mean[(truth or observations).grid.ocean]))
    _checkpoint(job, solver, kept, sea_level).save(checkpoint)
    write_log(log_file, kept["rows"])
    last_step, seconds = kept["rows"][-1][:2]
    return TrainingReport(
        checkpoint=checkpoint,
        log=log_file,
        steps=int(last_step),
        best_step=kept["best_step"],
        best_rmse_m=kept["best_rmse"],
        stopped_early=last_step < training.steps,
        resumed_from=0 if earlier is None else earlier["step"],
        precision=precision,
        parameters=sum(value.numel() for value in solver.parameters() if value.requires_grad),
        seconds=seconds,
    )


@dataclass(frozen=True)
class _Job:
    """The arguments of `train` that decide its result, the data aside."""

    task: Task
    model: AnyNetworkConfig
    training: TrainingConfig
    patches: PatchConfig
    train_period: Period
    validation_period: Period
    seed: int
    std: float
    init_from: Path | None
    guess: FirstGuess | None
    frozen: tuple[PartName, ...]
    withheld: Withheld | None

    def settings(self) -> dict[str, Any]:
        """Return them as a JSON-able tree; what does not change numbers is left out."""
        idle = {"workers", "devices", "accelerator"}
        return {
            "task": self.task.name,
            "model": self.model.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json", exclude=idle),
            "patches": self.patches.model_dump(mode="json"),
            "train_period": str(self.train_period),
            "validation_period": str(self.validation_period),
            "seed": self.seed,
            "std_m": self.std,
            "init_from": None if self.init_from is None else sha256(self.init_from),
            "frozen": list(self.frozen),
            "withheld_folds": None if self.withheld is None else self.withheld.folds,
        }

    def windows(
        self, observations: GriddedObservations, truth: Maps | None, mean: NDArray[np.float64]
    ) -> tuple[_Training, _Validation]:
        """Return the training and validation windows."""
        training = self.training
        if training.batch_size % training.devices:
            raise ValueError(
                f"training.batch_size: {training.batch_size} windows cannot be shared evenly by "
                f"{training.devices} processes (training.devices); choose a multiple"
            )
        common: dict[str, Any] = {
            "task": self.task,
            "window_days": self.model.window_days,
            "patches": self.patches,
        }
        if self.withheld is not None:
            return track_windows(
                observations, mean, self.std, **common, withheld=self.withheld, training=training,
                periods=(self.train_period, self.validation_period), seed=self.seed,
            )  # fmt: skip
        if truth is None:
            raise ValueError("no truth and no withheld passes to learn from")
        windows = TrainingWindows(
            observations, truth, mean, self.std, **common,
            period=self.train_period, batch_size=training.batch_size,
            augment=training.augment, seed=self.seed, guess=self.guess,
        )  # fmt: skip
        validation = ValidationWindows(
            observations, truth, mean, self.std, **common,
            period=self.validation_period, days=training.validation_days, guess=self.guess,
            whole=isinstance(self.model, AugmentedModelConfig),
        )  # fmt: skip
        return windows, validation

    def solver(self, windows: _Training) -> Network:
        """Return the network to train, with the weights of `init_from` if any."""
        rows = sorted(windows.columns)
        solver = untrained(self.model, windows.cutter.spacing((0, rows[len(rows) // 2], 0)))
        if self.init_from is not None:
            start_from(solver, StateCheckpoint.load(self.init_from))
        freeze(solver, self.frozen)
        return solver


@dataclass(frozen=True)
class _Run:
    """What accompanies a run without changing its result."""

    precision: Any
    loggers: tuple[Logger, ...]
    progress: bool


def _fit(
    job: _Job,
    solver: Network,
    windows: _Training,
    validation: _Validation,
    keeper: Keeper,
    earlier: Mapping[str, Any] | None,
    run: _Run,
) -> None:
    """Train from the start, or go on from the content of `last.ckpt`."""
    if earlier is not None:
        keeper.take_over(earlier)
    first_step = 0 if earlier is None else earlier["step"]
    kind = SpdeTraining if isinstance(solver, SpdeSolver) else StateTraining
    kind = kind if job.withheld is None else TrackTraining
    module = kind(solver, job.task, job.training, job.std, job.seed, earlier)
    if torch.cuda.is_available() and job.training.accelerator != "cpu":
        module.to(memory_format=torch.channels_last)
    training = job.training
    logger.info(
        "training for %s: %d steps of %d windows from step %d, %d parameters, %s, %d process(es)",
        job.task.name, training.steps, training.batch_size, first_step,
        sum(value.numel() for value in solver.parameters()), run.precision, training.devices,
    )  # fmt: skip
    data = WindowData(
        windows, validation, first_step=first_step, steps=training.steps,
        epoch_steps=training.validate_every, workers=training.workers,
    )  # fmt: skip
    trainer = pl.Trainer(
        accelerator=choose_accelerator(training.accelerator),
        devices=training.devices,
        # spawned, not forked: a forked process may not use the threads of its parent
        strategy="ddp_spawn" if training.devices > 1 else "auto",
        # Lightning starts the processes itself, in the one task of a Slurm job too, and leaves the
        # scheduler's signals alone: the workflow retries what was ended, from its checkpoint
        plugins=[LightningEnvironment()],
        precision=run.precision,
        max_steps=training.steps - first_step,
        max_epochs=-1,
        reload_dataloaders_every_n_epochs=1,
        gradient_clip_val=training.gradient_clip,
        callbacks=[keeper],
        logger=list(run.loggers) or False,
        log_every_n_steps=min(50, training.validate_every),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        inference_mode=False,  # the exact gradient needs autograd in validation too
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=run.progress and sys.stderr.isatty(),
    )
    if job.withheld is not None and earlier is None:
        # tracks may teach nothing that other days confirm: then the weights of the start are kept
        (found,) = trainer.validate(module, datamodule=data, verbose=False)
        keeper.begin(module, found[module.criterion])
    trainer.fit(module, datamodule=data)


def _earlier_work(last: Path, identity: str) -> dict[str, Any] | None:
    """Return the record of an interrupted (or finished) equal training, or None."""
    if not last.is_file():
        return None
    try:
        record: dict[str, Any] = read_torch(last)
        found = record["identity"]
    except (DataError, KeyError, TypeError) as error:
        logger.warning("an earlier training cannot be taken up (%s); starting anew", error)
        return None
    if found != identity:
        logger.warning("%s belongs to other data or settings; starting anew", last)
        return None
    logger.info("going on from step %d (%s)", record["step"], last)
    return record


def _finished_work(last: Path) -> dict[str, Any]:
    """Return the record of the training that has just ended.

    Raises:
        RuntimeError: it was stopped from outside before its end.
    """
    record: dict[str, Any] = read_torch(last) if last.is_file() else {"finished": False, "step": 0}
    if not record["finished"]:
        raise RuntimeError(
            f"the training was stopped; {last} holds its state at step {record['step']}: run the "
            "same training again to go on"
        )
    return record


def _checkpoint(
    job: _Job, solver: Network, kept: Mapping[str, Any], sea_level: float
) -> StateCheckpoint:
    """Return the best weights with their description; wall times are left out of it."""
    settings = job.settings()
    return StateCheckpoint(
        model=job.model,
        weights=kept["best_weights"],
        task=job.task.name,
        mean=sea_level,
        std=job.std,
        spacing_km=solver.spacing_km,
        seed=job.seed,
        config_hash=config_hash(settings),
        version=code_version(),
        training=settings
        | {
            "steps_taken": int(kept["rows"][-1][0]),
            "best_step": kept["best_step"],
            "best_validation_rmse_m": kept["best_rmse"],
            "validation_rmse_m": [[int(row[0]), row[3]] for row in kept["rows"]],
        },
    )
