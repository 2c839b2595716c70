"""Training and validation windows: what is learned from, as a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from pipeline_spde.config import PatchConfig
from pipeline_spde.data.patches import Triple
from pipeline_spde.data.windows import (
    Batch,
    WindowCutter,
    days_of,
    make_inputs,
    ocean_columns,
    on_days,
    patch_plan,
)
from pipeline_spde.fields import GriddedObservations, Maps
from pipeline_spde.first_guess import FirstGuess, batch_of
from pipeline_spde.periods import Period, Task

VALIDATION_BATCH = 4
"""Windows of a batch in validation."""


class Sample(NamedTuple):
    """One window: arrays (time, lat, lon), ocean (lat, lon); `guess` as `WindowCutter` cuts it.

    `truth_error` is the standard deviation of the truth, +inf where there is none; None: exact.
    """

    heights: NDArray
    observed: NDArray
    error: NDArray
    ocean: NDArray
    truth: NDArray
    name: str
    guess: tuple[NDArray, NDArray, NDArray] | None = None
    truth_error: NDArray | None = None


class TrainingWindows:
    """Batches of windows that lie wholly inside the training period.

    Batch number `step` depends on the seed and the step alone, and its samples on nothing else
    than their number: any process can make its share, in any order, after any interruption.

    Args:
        observations: gridded observations with the mean in.
        truth: maps of every day of `period`.
        mean: mean height of the training period, m, shape (lat, lon).
        std: standard deviation of the anomalies, m.
        task: which days of a window are observed.
        window_days: length of the window.
        patches: size and strides of the patches.
        period: the training period.
        batch_size: windows per optimiser step, over all processes.
        augment: symmetries of the dynamics, and masks of other windows with fresh noise; with a
            first guess, which belongs to the window's own observations, symmetries alone.
        seed: of the draws.
        guess: first guesses of all windows of the period, or None.

    Raises:
        ValueError: days of truth are missing, grids differ, or a window does not fit the period.
    """

    def __init__(
        self,
        observations: GriddedObservations,
        truth: Maps,
        mean: NDArray[np.float64],
        std: float,
        *,
        task: Task,
        window_days: int,
        patches: PatchConfig,
        period: Period,
        batch_size: int,
        augment: bool,
        seed: int,
        guess: FirstGuess | None = None,
    ) -> None:
        _check_grids(observations, truth)
        self.truth = days_of(truth, period, "truth of the training period")
        daily = on_days(observations, period.start, period.end)
        grid = truth.grid
        plan = patch_plan(grid, period.days, window_days, patches, patches.stride_days)
        self.cutter = WindowCutter(daily, grid, mean, std, task, plan, guess)
        self.reversible = task.lead is None
        self.columns = ocean_columns(plan, grid)
        self.batch_size = batch_size
        self.augment = augment
        self.seed = seed

    def batch(self, step: int, rank: int = 0, processes: int = 1) -> Batch:
        """Return the share of process `rank` of batch number `step`."""
        rows = list(self.columns)
        # one row of patches per batch: its cells have one zonal spacing
        row = rows[int(np.random.default_rng([self.seed, step]).integers(len(rows)))]
        shares = range(rank, self.batch_size, processes)
        generators = [np.random.default_rng([self.seed, step, number]) for number in shares]
        samples = [self._sample(row, generator) for generator in generators]
        return collate(samples, self.cutter, (0, row, 0))

    def _sample(self, row: int, rng: np.random.Generator) -> Sample:
        cutter, days = self.cutter, self.cutter.plan.starts[0]
        column = int(rng.choice(self.columns[row]))
        place = (int(rng.choice(days)), row, column)
        ocean = cutter.ocean(place)
        heights = cutter.plan.cut(self.truth.height, place)
        truth = np.where(ocean, cutter.normalised(heights, place), np.float32(0))
        name = f"{self.truth.time[place[0]].astype('datetime64[D]')} at {place[1:]}"
        guess = None if cutter.guess is None else cutter.first_guess(place)
        if guess is not None or not self.augment:
            heights = cutter.heights(place)
            sample = Sample(heights, *cutter.mask(place), ocean, truth, name, guess)
            return flip_window(sample, self.reversible, rng) if self.augment else sample
        masked = (int(rng.choice(days)), row, column)
        observed, error = cutter.mask(masked)
        truth, ocean = flip_ocean(truth, ocean, rng)
        observed, error = flip_sampling(observed, error, rng)
        noise = rng.standard_normal(truth.shape, dtype=np.float32)
        noisy = truth + np.where(observed, error, np.float32(0)) * noise
        name += f", masks of {self.truth.time[masked[0]].astype('datetime64[D]')}"
        return Sample(noisy, observed, error, ocean, truth, name)


def flip_ocean(
    truth: NDArray, ocean: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray, NDArray[np.bool_]]:
    """Return a truth (time, lat, lon) and its ocean (lat, lon) under a random symmetry.

    With q the potential vorticity and ψ the stream function, q_t + J(ψ, q) + β ψ_x = 0 is kept by
    (y, ψ) → (−y, −ψ) and by (t, x) → (−t, −x): a flip of latitude changes the sign of the
    anomaly, a flip of longitude comes with a reversal of time (forcing and friction are neglected).
    Both leave an eastward jet eastward.
    """
    if rng.random() < 0.5:
        truth, ocean = -truth[:, ::-1], ocean[::-1]
    if rng.random() < 0.5:
        truth, ocean = truth[::-1, :, ::-1], ocean[:, ::-1]
    return truth, ocean


def flip_window(sample: Sample, reversible: bool, rng: np.random.Generator) -> Sample:
    """Return a window with all that belongs to it under a random symmetry of `flip_ocean`.

    Under both the eastward current keeps its sign and the northward one changes it. Reversing time
    would show a forecast the days it must not see, so `reversible` is for mapping alone.
    """
    if rng.random() < 0.5:
        sample = _mirrored(sample, (slice(None), slice(None, None, -1)), -1)
    if reversible and rng.random() < 0.5:
        back = slice(None, None, -1)
        sample = _mirrored(sample, (back, slice(None), back), 1)
    return sample


def _mirrored(sample: Sample, flip: tuple[slice, ...], sign: int) -> Sample:
    """Return a window with the axes (time, lat, lon) flipped and the heights times a sign."""
    cells = (flip + (slice(None),) * (3 - len(flip)))[1:]
    guess = sample.guess
    if guess is not None:
        heights, (east, north), sigma = guess
        guess = (sign * heights[flip], np.stack([east[flip], -north[flip]]), sigma[cells])
    return sample._replace(
        heights=sign * sample.heights[flip],
        observed=sample.observed[flip],
        error=sample.error[flip],
        truth=sign * sample.truth[flip],
        ocean=sample.ocean[cells],
        guess=guess,
        truth_error=None if sample.truth_error is None else sample.truth_error[flip],
    )


def flip_sampling(
    observed: NDArray[np.bool_], error: NDArray, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray]:
    """Return masks and errors (time, lat, lon) mirrored at random: tracks slant either way."""
    for axis in (1, 2):
        if rng.random() < 0.5:
            observed, error = np.flip(observed, axis), np.flip(error, axis)
    return observed, error


class ValidationWindows:
    """Windows of the real observations around days spread over the validation period.

    Targets lie inside the period and windows reach at most half their length out of it. Only the
    target day of the truth is used, or, where the whole window is to be judged, every day of
    windows that lie wholly inside the period.

    Args:
        observations: gridded observations with the mean in.
        truth: maps of the days of `period` at least.
        mean: mean height of the training period, m, shape (lat, lon).
        std: standard deviation of the anomalies of the training period, m.
        task: which days of a window are observed.
        window_days: length of the window.
        patches: size and strides of the patches.
        period: the validation period.
        days: number of target days.
        guess: first guesses of the windows of the period, or None.
        whole: judge all days of windows inside the period instead of the target days alone.
    """

    def __init__(
        self,
        observations: GriddedObservations,
        truth: Maps,
        mean: NDArray[np.float64],
        std: float,
        *,
        task: Task,
        window_days: int,
        patches: PatchConfig,
        period: Period,
        days: int,
        guess: FirstGuess | None = None,
        whole: bool = False,
    ) -> None:
        _check_grids(observations, truth)
        self.truth = days_of(truth, period, "truth of the validation period")
        offsets = task.offsets(window_days)
        first = period.start + timedelta(days=offsets[0])
        daily = on_days(observations, first, period.end + timedelta(days=offsets[-1]))
        plan = patch_plan(truth.grid, daily.time.size, window_days, patches, 1)
        self.cutter = WindowCutter(daily, truth.grid, mean, std, task, plan, guess)
        self.target_index = task.target_index(window_days)
        self.whole = window_days if whole else 0
        # windows reach at most half their length out of the period, as config.py supposes
        earliest = max(-offsets[0] - (0 if whole else window_days // 2), 0)
        latest = period.days - 1 - (offsets[-1] if whole else 0)
        if earliest > latest:
            raise ValueError(
                f"the validation period {period} is too short: a window of {window_days} days for "
                f"task {task.name} would reach {'' if whole else 'more than half its length '}"
                "out of it"
            )
        spread = np.linspace(earliest, latest, min(days, latest - earliest + 1))
        targets = np.unique(spread.round().astype(int))
        self.batches = [
            tuple((int(day), row, column) for day in targets[i : i + VALIDATION_BATCH])
            for row, columns in ocean_columns(plan, truth.grid).items()
            for column in columns
            for i in range(0, targets.size, VALIDATION_BATCH)
        ]

    def batch(self, number: int) -> Batch:
        """Return batch `number`; truth is zero but on the target day, or on the whole window."""
        places: tuple[Triple, ...] = self.batches[number]
        inputs = self.cutter.inputs(places)
        truth = torch.zeros_like(inputs.height_anomaly)
        # the window that starts at `place[0]` has day number place[0] of the period as target
        shown = range(self.whole) if self.whole else [self.target_index]
        for i, place in enumerate(places):
            days = [place[0] + index - self.target_index for index in shown]
            heights = self.cutter.plan.columns(self.truth.height[days], place)
            target = np.where(self.cutter.ocean(place), self.cutter.normalised(heights, place), 0)
            truth[i, list(shown)] = torch.from_numpy(target.astype(np.float32))
        names = tuple(str(self.truth.time[place[0]].astype("datetime64[D]")) for place in places)
        return Batch(inputs, truth, names)


class Batches(Protocol):
    """Training windows: any process can make its share of any batch."""

    def batch(self, step: int, rank: int = 0, processes: int = 1) -> Batch:
        """Return the share of process `rank` of batch number `step`."""


class Checks(Protocol):
    """Validation windows."""

    @property
    def batches(self) -> Sequence[Any]:
        """What each batch consists of."""

    def batch(self, number: int) -> Batch:
        """Return batch `number`."""


class WindowData(pl.LightningDataModule):
    """Loaders for the Trainer; an epoch is the steps between two validations.

    Args:
        training: the training windows.
        validation: the validation windows.
        first_step: number of the first step of this run (not 0 after an interruption).
        steps: optimiser steps in all.
        epoch_steps: steps between validations.
        workers: processes that prepare batches (0: the main one does).
    """

    def __init__(
        self,
        training: Batches,
        validation: Checks,
        *,
        first_step: int,
        steps: int,
        epoch_steps: int,
        workers: int,
    ) -> None:
        super().__init__()
        self.training = training
        self.validation = validation
        self.first_step = first_step
        self.steps = steps
        self.epoch_steps = epoch_steps
        self.workers = workers

    def train_dataloader(self) -> DataLoader:
        """Return a loader of the steps from the present one to the next validation."""
        first = self.first_step + self._trainer.global_step
        steps = range(first, min(first + self.epoch_steps, self.steps))
        share = (self._trainer.global_rank, self._trainer.world_size)
        return self._loader(_TrainingSteps(self.training, steps, *share))

    def val_dataloader(self) -> DataLoader:
        """Return a loader of this process's share of the validation batches."""
        rank, processes = self._trainer.global_rank, self._trainer.world_size
        numbers = range(rank, len(self.validation.batches), processes)
        return self._loader(_ValidationBatches(self.validation, numbers))

    @property
    def _trainer(self) -> pl.Trainer:
        if self.trainer is None:
            raise RuntimeError("the data module is not attached to a Trainer; pass it to fit()")
        return self.trainer

    def _loader(self, dataset: Dataset) -> DataLoader:
        return DataLoader(
            dataset, batch_size=None, shuffle=False, num_workers=self.workers, collate_fn=_as_is
        )


class _TrainingSteps(Dataset):
    """The batches of some steps."""

    def __init__(self, windows: Batches, steps: range, rank: int, processes: int) -> None:
        self.windows, self.steps, self.share = windows, steps, (rank, processes)

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> Batch:
        return self.windows.batch(self.steps[index], *self.share)


class _ValidationBatches(Dataset):
    """Some of the validation batches."""

    def __init__(self, windows: Checks, numbers: range) -> None:
        self.windows, self.numbers = windows, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Batch:
        return self.windows.batch(self.numbers[index])


def _as_is(batch: Any) -> Any:
    return batch


def _check_grids(observations: GriddedObservations, truth: Maps) -> None:
    if not observations.grid.same_axes(truth.grid):
        raise ValueError(
            f"observations lie on a grid of {observations.grid.shape} cells within "
            f"{observations.grid.bounds}, the truth on {truth.grid.shape} within "
            f"{truth.grid.bounds}; bin the observations to the grid of the truth"
        )
    if observations.quantity != truth.quantity:
        raise ValueError(
            f"observations hold {observations.quantity}, the truth {truth.quantity}; convert one"
        )


def collate(samples: list[Sample], cutter: WindowCutter, place: Triple) -> Batch:
    """Return windows as a batch; `place` is that of one of them, on whose row they all lie."""
    *arrays, names, guesses, errors = zip(*samples, strict=True)
    heights, observed, error, ocean, truth = (np.stack(part) for part in arrays)
    inputs = make_inputs(heights, observed, error, ocean, cutter.spacing(place))
    if cutter.guess is not None:
        guess = batch_of(guesses, float(cutter.std), cutter.guess.law)
        inputs = inputs._replace(guess=guess)
    spread = None
    if errors[0] is not None:
        spread = torch.from_numpy(np.stack(errors).astype(np.float32))
    return Batch(inputs, torch.from_numpy(truth.astype(np.float32)), tuple(names), spread)
