"""Windows of real tracks: some passes are taken out of the inputs and are what is to be found.

The passes of the mapped missions are dealt into folds. A window is shown without the cells that a
pass of one fold touches, its first guess was made without them too, and the network is judged at
them. Nothing here knows a mission that only scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.config import PatchConfig, TrainingConfig
from pipeline_spde.data.datamodule import VALIDATION_BATCH, Sample, collate, flip_window
from pipeline_spde.data.patches import Patches, Triple
from pipeline_spde.data.windows import Batch, WindowCutter, ocean_columns, on_days, patch_plan
from pipeline_spde.fields import GriddedObservations
from pipeline_spde.first_guess import FirstGuess
from pipeline_spde.periods import Period, Task


@dataclass(frozen=True, eq=False)
class Withheld:
    """What each fold takes out of the observations.

    Attributes:
        cells: cells and days that a pass of the fold touches, shape (folds, time, lat, lon), on
            the days of the observations.
        guesses: first guesses made without the cells of each fold; None for networks that need
            none.
    """

    cells: NDArray[np.bool_]
    guesses: tuple[FirstGuess, ...] | None = None

    def __post_init__(self) -> None:
        if self.guesses is not None and len(self.guesses) != len(self.cells):
            raise ValueError(
                f"{len(self.guesses)} first guesses for {len(self.cells)} folds of withheld "
                "passes; make them with the same number of folds (withholding.folds)"
            )

    @property
    def folds(self) -> int:
        """Number of folds."""
        return len(self.cells)


class FoldCutter:
    """Cut windows without the cells of a fold, together with what was observed there.

    Args:
        observations: gridded observations of the mapped missions, with the mean in.
        mean: mean height, m, shape (lat, lon).
        std: what anomalies and errors are divided by, m.
        task: which days of a window are seen; the cells of unseen days are to be found as well.
        plan: the cutting of the days of `reach`.
        reach: days that windows reach.
        scored: days whose cells are to be found.
        withheld: the folds.

    Raises:
        ValueError: the folds are not those of these observations.
    """

    def __init__(
        self,
        observations: GriddedObservations,
        mean: NDArray[np.float64],
        std: float,
        task: Task,
        plan: Patches,
        reach: Period,
        scored: Period,
        withheld: Withheld,
    ) -> None:
        if withheld.cells.shape[1:] != observations.observed.shape:
            raise ValueError(
                f"the withheld cells have shape {withheld.cells.shape[1:]}, the observations "
                f"{observations.observed.shape}; take both from the same files"
            )
        grid, days = observations.grid, (reach.start, reach.end)
        whole = on_days(observations, *days)
        stamps = whole.time.astype("datetime64[D]")
        judged = (stamps >= np.datetime64(scored.start)) & (stamps <= np.datetime64(scored.end))
        self._whole = whole.masked(np.broadcast_to(judged[:, None, None], whole.observed.shape))
        self.cutters = [
            WindowCutter(
                on_days(observations.masked(~cells), *days), grid, mean, std, task, plan,
                None if withheld.guesses is None else withheld.guesses[fold],
            )
            for fold, cells in enumerate(withheld.cells)
        ]  # fmt: skip
        self.plan = plan

    @property
    def first(self) -> WindowCutter:
        """The cutter of the first fold: what they share is that of any."""
        return self.cutters[0]

    def sample(self, fold: int, place: Triple) -> Sample:
        """Return the window at `place` without a fold, with what is to be found as its truth."""
        cutter, whole = self.cutters[fold], self._whole
        observed, error = cutter.mask(place)
        ocean = cutter.ocean(place)
        wanted = self.plan.cut(whole.observed, place) & ~observed & ocean
        heights = cutter.normalised(self.plan.cut(whole.height, place), place)
        spread = self.plan.cut(whole.error, place) / cutter.std
        return Sample(
            heights=cutter.heights(place),
            observed=observed,
            error=error,
            ocean=ocean,
            truth=np.where(wanted, heights, np.float32(0)),
            name=f"{whole.time[place[0]].astype('datetime64[D]')} at {place[1:]}, fold {fold}",
            guess=None if cutter.guess is None else cutter.first_guess(place),
            truth_error=np.where(wanted, spread, np.float32(np.inf)),
        )


class TrackWindows:
    """Batches of windows inside the training period, each without the passes of one fold.

    Batch number `step` depends on the seed and the step alone, as in `TrainingWindows`.

    Args:
        observations: gridded observations of the mapped missions, with the mean in.
        mean: mean height, m, shape (lat, lon).
        std: what anomalies and errors are divided by, m.
        task: which days of a window are seen.
        window_days: length of the window.
        patches: size and strides of the patches.
        period: the training period; windows and what they are judged by lie inside.
        batch_size: windows per optimiser step, over all processes.
        augment: symmetries of the dynamics.
        seed: of the draws.
        withheld: the folds.

    Raises:
        ValueError: a window does not fit the period, or no pass crosses it.
    """

    def __init__(
        self,
        observations: GriddedObservations,
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
        withheld: Withheld,
    ) -> None:
        grid = observations.grid
        plan = patch_plan(grid, period.days, window_days, patches, patches.stride_days)
        self._folds = FoldCutter(observations, mean, std, task, plan, period, period, withheld)
        self.cutter = self._folds.first
        if not any(cutter.observations.observed.any() for cutter in self._folds.cutters):
            raise ValueError(f"no observation in {period}: nothing to learn from; choose others")
        self.reversible = task.lead is None
        self.columns = ocean_columns(plan, grid)
        self.batch_size = batch_size
        self.augment = augment
        self.seed = seed

    def batch(self, step: int, rank: int = 0, processes: int = 1) -> Batch:
        """Return the share of process `rank` of batch number `step`."""
        rows = list(self.columns)
        row = rows[int(np.random.default_rng([self.seed, step]).integers(len(rows)))]
        shares = range(rank, self.batch_size, processes)
        generators = [np.random.default_rng([self.seed, step, number]) for number in shares]
        samples = [self._sample(row, generator) for generator in generators]
        return collate(samples, self.cutter, (0, row, 0))

    def _sample(self, row: int, rng: np.random.Generator) -> Sample:
        column = int(rng.choice(self.columns[row]))
        day = int(rng.choice(self.cutter.plan.starts[0]))
        fold = int(rng.integers(len(self._folds.cutters)))
        sample = self._folds.sample(fold, (day, row, column))
        return flip_window(sample, self.reversible, rng) if self.augment else sample


class TrackValidation:
    """Windows around days spread over the validation period, the folds in turn.

    Targets lie inside the period, windows reach at most half their length out of it, and only
    cells of its days are to be found.

    Args:
        observations: gridded observations of the mapped missions, with the mean in.
        mean: mean height, m, shape (lat, lon).
        std: what anomalies and errors are divided by, m.
        task: which days of a window are seen.
        window_days: length of the window.
        patches: size and strides of the patches.
        period: the validation period.
        days: number of target days of each fold.
        withheld: the folds.

    Raises:
        ValueError: the period is too short for a window.
    """

    def __init__(
        self,
        observations: GriddedObservations,
        mean: NDArray[np.float64],
        std: float,
        *,
        task: Task,
        window_days: int,
        patches: PatchConfig,
        period: Period,
        days: int,
        withheld: Withheld,
    ) -> None:
        offsets = task.offsets(window_days)
        reach = Period(
            start=period.start + timedelta(days=offsets[0]),
            end=period.end + timedelta(days=offsets[-1]),
        )
        plan = patch_plan(observations.grid, reach.days, window_days, patches, 1)
        self._folds = FoldCutter(observations, mean, std, task, plan, reach, period, withheld)
        earliest = max(-offsets[0] - window_days // 2, 0)
        if earliest > period.days - 1:
            raise ValueError(
                f"the validation period {period} is too short: a window of {window_days} days for "
                f"task {task.name} would reach more than half its length out of it"
            )
        count = min(days * withheld.folds, period.days - earliest)
        spread = np.linspace(earliest, period.days - 1, count).round().astype(int)
        targets = [(i % withheld.folds, int(day)) for i, day in enumerate(spread)]
        self.batches = [
            tuple((fold, (day, row, column)) for fold, day in targets[i : i + VALIDATION_BATCH])
            for row, columns in ocean_columns(plan, observations.grid).items()
            for column in columns
            for i in range(0, len(targets), VALIDATION_BATCH)
        ]

    def batch(self, number: int) -> Batch:
        """Return batch `number`."""
        places = self.batches[number]
        samples = [self._folds.sample(fold, place) for fold, place in places]
        return collate(samples, self._folds.first, places[0][1])


def track_windows(
    observations: GriddedObservations,
    mean: NDArray[np.float64],
    std: float,
    *,
    task: Task,
    window_days: int,
    patches: PatchConfig,
    training: TrainingConfig,
    periods: tuple[Period, Period],
    seed: int,
    withheld: Withheld,
) -> tuple[TrackWindows, TrackValidation]:
    """Return the windows of the training and of the validation period.

    Arguments as for `TrackWindows` and `TrackValidation`; `periods` are (training, validation).
    """
    windows = TrackWindows(
        observations, mean, std, task=task, window_days=window_days, patches=patches,
        period=periods[0], batch_size=training.batch_size, augment=training.augment, seed=seed,
        withheld=withheld,
    )  # fmt: skip
    validation = TrackValidation(
        observations, mean, std, task=task, window_days=window_days, patches=patches,
        period=periods[1], days=training.validation_days, withheld=withheld,
    )  # fmt: skip
    return windows, validation
