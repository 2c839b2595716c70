"""Windows of observations (and truth) as batches of tensors, normalised, with explicit masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline_spde.config import PatchConfig
from pipeline_spde.data.patches import Patches, Triple
from pipeline_spde.fields import GriddedObservations, Maps, daily_stamps
from pipeline_spde.first_guess import FirstGuess, Guess, batch_of
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period, Task


class Inputs(NamedTuple):
    """What the state solver is given, in the order of its arguments.

    Attributes:
        height_anomaly: normalised, 0 where unobserved, shape (batch, time, lat, lon).
        observed: boolean mask, same shape.
        error: normalised standard deviation, +inf where unobserved, same shape.
        ocean: True where there is water, shape (batch, lat, lon).
        spacing_km: (dy, dx) of the cells, common to the batch.
        guess: first guess and prior of the windows, where the network needs them.
    """

    height_anomaly: Tensor
    observed: Tensor
    error: Tensor
    ocean: Tensor
    spacing_km: tuple[float, float]
    guess: Guess | None = None

    def to(self, device: torch.device) -> Inputs:
        """Return the inputs with all tensors on a device."""
        guess = None if self.guess is None else self.guess.to(device)
        heights, observed, error, ocean = (part.to(device) for part in self[:4])
        return Inputs(heights, observed, error, ocean, self.spacing_km, guess)


class Batch(NamedTuple):
    """Inputs with the truth they are trained towards.

    Attributes:
        inputs: what the solver sees.
        truth: normalised anomalies, 0 on land, shape (batch, time, lat, lon); in validation only
            the target day is filled.
        names: where and when each window lies, for messages.
        truth_error: normalised standard deviation of `truth`, +inf where there is none, same
            shape; None: the truth is exact.
    """

    inputs: Inputs
    truth: Tensor
    names: tuple[str, ...]
    truth_error: Tensor | None = None


def on_days(observations: GriddedObservations, start: date, end: date) -> GriddedObservations:
    """Return observations for every day from `start` to `end`; days without data are unobserved."""
    stamps = daily_stamps(start, end)
    position = np.searchsorted(observations.time, stamps)
    position = np.minimum(position, observations.time.size - 1)
    present = observations.time[position] == stamps
    keep = present[:, None, None] & observations.observed[position]
    return replace(
        observations,
        time=stamps,
        observed=keep,
        height=np.where(keep, observations.height[position], np.float32(0)),
        count=np.where(keep, observations.count[position], np.int32(0)),
        error=np.where(keep, observations.error[position], np.float32(np.inf)),
    )


def seen_days(task: Task, window_days: int) -> NDArray[np.bool_]:
    """Return which days of a window may be observed, shape (window_days,).

    Raises:
        ValueError: the task leaves none.
    """
    offsets = task.observed_offsets(window_days)
    seen = np.array([offset in offsets for offset in task.offsets(window_days)])
    if not seen.any():
        raise ValueError(
            f"task {task.name} leaves no observed day in a window of {window_days} days; use a "
            "longer window_days"
        )
    return seen


def patch_spacing(grid: Grid, row: int, rows: int) -> tuple[float, float]:
    """Return (dy, dx) in km of a patch of `rows` rows from `row` on, dx at its central latitude."""
    return round(float(grid.dy_km), 3), round(float(grid.dx_km[row : row + rows].mean()), 3)


def patch_plan(
    grid: Grid, days: int, window_days: int, patches: PatchConfig, stride_days: int = 1
) -> Patches:
    """Return the cutting of `days` days of a grid into windows of `window_days` days.

    Raises:
        ValueError: the period is shorter than a window.
    """
    if days < window_days:
        raise ValueError(f"{days} days are less than one window of {window_days}")
    size = (window_days, patches.lat, patches.lon)
    stride = (
        stride_days,
        min(patches.stride_lat, patches.lat, grid.shape[0]),
        min(patches.stride_lon, patches.lon, grid.shape[1]),
    )
    return Patches.plan((days, *grid.shape), size, stride, grid.periodic)


def ocean_columns(plan: Patches, grid: Grid) -> dict[int, list[int]]:
    """Return first row -> first columns of the patches that hold any ocean."""
    found: dict[int, list[int]] = {}
    for row in plan.starts[1]:
        columns = [c for c in plan.starts[2] if plan.cut(grid.ocean, (0, row, c)).any()]
        if columns:
            found[row] = columns
    if not found:
        raise ValueError("the grid has no ocean cell; check its land mask")
    return found


class WindowCutter:
    """Cut normalised solver inputs out of gridded observations.

    Args:
        observations: one entry per day (`on_days`), with the mean still in.
        grid: their grid, with land.
        mean: what is subtracted, m, shape (lat, lon).
        std: what anomalies and errors are divided by, m.
        task: decides which days of a window are observed.
        plan: the cutting of these days.
        guess: first guesses of all its windows, or None.

    Raises:
        ValueError: the first guess is for another grid, or the normalisation is not usable.
    """

    def __init__(
        self,
        observations: GriddedObservations,
        grid: Grid,
        mean: NDArray[np.float64],
        std: float,
        task: Task,
        plan: Patches,
        guess: FirstGuess | None = None,
    ) -> None:
        if guess is not None and guess.shape != grid.shape:
            raise ValueError(
                f"the first guess has {guess.shape} cells, the grid {grid.shape}; make it again "
                "on this grid"
            )
        self.guess = guess
        self.observations = observations
        self.grid = grid
        self.mean = np.where(grid.ocean, mean, 0.0).astype(np.float32)
        self.std = np.float32(std)
        self.seen = seen_days(task, plan.size[0])[:, None, None]
        self.plan = plan
        if not np.isfinite(self.mean).all():
            raise ValueError("the mean height is not finite on every ocean cell; make it again")
        if not (np.isfinite(std) and std > 0):
            raise ValueError(f"the standard deviation must be positive and finite, got {std}")

    def normalised(self, heights: NDArray, place: Triple) -> NDArray[np.float32]:
        """Return (heights − mean)/std for a window of heights in m cut at `place`."""
        return (heights - self.plan.cut(self.mean, place)) / self.std

    def ocean(self, place: Triple) -> NDArray[np.bool_]:
        """Return the ocean mask of the patch at `place`, shape (lat, lon)."""
        return self.plan.cut(self.grid.ocean, place)

    def mask(self, place: Triple) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Return (observed, normalised error) of the window at `place`, hidden days unobserved."""
        observed = self.plan.cut(self.observations.observed, place) & self.seen
        error = self.plan.cut(self.observations.error, place) / self.std
        return observed, np.where(observed, error, np.float32(np.inf))

    def heights(self, place: Triple) -> NDArray[np.float32]:
        """Return the normalised observed anomalies of the window at `place`."""
        return self.normalised(self.plan.cut(self.observations.height, place), place)

    def inputs(self, places: Sequence[Triple]) -> Inputs:
        """Return the solver's inputs for windows that start on the same row."""
        masks = [self.mask(place) for place in places]
        ocean = np.stack([self.ocean(place) for place in places])
        heights = [self.heights(place) for place in places]
        observed, error = (np.stack(part) for part in zip(*masks, strict=True))
        inputs = make_inputs(np.stack(heights), observed, error, ocean, self.spacing(places[0]))
        if self.guess is None:
            return inputs
        guesses = [self.first_guess(place) for place in places]
        return inputs._replace(guess=batch_of(guesses, float(self.std), self.guess.law))

    def first_guess(self, place: Triple) -> tuple[NDArray, NDArray, NDArray]:
        """Return normalised heights (time, lat, lon), currents (2, time, lat, lon), σ (lat, lon).

        Raises:
            ValueError: there is no first guess, or it does not hold this window.
        """
        if self.guess is None:
            raise ValueError("these windows have no first guess")
        first = self.observations.time[place[0]]

        def part(fields: NDArray) -> NDArray:
            return self.plan.columns(fields, place)

        heights = part(self.guess.window(first)) / self.std
        return heights, part(self.guess.currents(first)), part(self.guess.sigma)

    def targets(self, days: int) -> Patches:
        """Return the cutting of `days` target days; number d is that of the window from day d."""
        plan = self.plan
        return Patches(
            (days, *plan.shape[1:]),
            (1, *plan.size[1:]),
            (tuple(range(days)), *plan.starts[1:]),
            plan.periodic,
        )

    def spacing(self, place: Triple) -> tuple[float, float]:
        """Return (dy, dx) in km of the patch at `place`."""
        return patch_spacing(self.grid, place[1], self.plan.size[1])


def make_inputs(
    heights: NDArray,
    observed: NDArray[np.bool_],
    error: NDArray,
    ocean: NDArray[np.bool_],
    spacing_km: tuple[float, float],
) -> Inputs:
    """Return tensors, with everything outside the mask (and on land) removed."""
    observed = observed & ocean[:, None]
    return Inputs(
        torch.from_numpy(np.where(observed, heights, 0).astype(np.float32)),
        torch.from_numpy(observed),
        torch.from_numpy(np.where(observed, error, np.inf).astype(np.float32)),
        torch.from_numpy(np.ascontiguousarray(ocean)),
        spacing_km,
    )


def days_of(maps: Maps, period: Period, what: str) -> Maps:
    """Return the maps of every day of a period.

    Raises:
        ValueError: a day is missing.
    """
    found = maps.between(period.start, period.end)
    if found.time.size != period.days:
        missing = np.setdiff1d(daily_stamps(period.start, period.end), found.time)
        raise ValueError(
            f"{what}: {missing.size} of the {period.days} days of {period} are missing, the first "
            f"one {missing[0].astype('datetime64[D]')}; make the maps for the whole period"
        )
    return found
