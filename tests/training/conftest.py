from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline_spde.config import PatchConfig, StateModelConfig, TrainingConfig
from pipeline_spde.fields import GriddedObservations, Maps, daily_stamps
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period, Task
from pipeline_spde.training.state import TrainingReport, train


@dataclass(frozen=True)
class Case:
    """A small ocean: smooth random anomalies on a sloping mean, one coast, noisy observations."""

    truth: Maps
    observations: GriddedObservations
    mean: NDArray[np.float64]
    std: float
    train_period: Period
    validation_period: Period
    model: StateModelConfig
    training: TrainingConfig
    patches: PatchConfig
    task: Task

    def run(self, folder: Path, **changes: Any) -> TrainingReport:
        arguments = {
            "task": self.task,
            "model": self.model,
            "training": self.training,
            "patches": self.patches,
            "train_period": self.train_period,
            "validation_period": self.validation_period,
            "seed": 7,
            "truth": self.truth,
            "observations": self.observations,
        } | changes
        return train(
            mean=self.mean, std=self.std, work_dir=folder / "work",
            checkpoint=folder / "state.ckpt", log_file=folder / "training.csv", progress=False,
            **arguments,
        )  # fmt: skip


@pytest.fixture(scope="session")
def case() -> Case:
    rng = np.random.default_rng(11)
    grid = Grid.from_bounds((34.0, 37.2), (-64.0, -60.0), 0.2)
    land = np.zeros(grid.shape, bool)
    land[:3, :5] = True
    grid = Grid.latlon(grid.lat, grid.lon, land)
    time = daily_stamps("2013-01-01", "2013-03-01")
    k = np.hypot(np.fft.fftfreq(grid.shape[0])[:, None], np.fft.fftfreq(grid.shape[1]))
    noise = rng.standard_normal((time.size + 8, *grid.shape))
    noise = np.fft.ifft2(np.fft.fft2(noise) * np.exp(-((8 * k) ** 2))).real
    smooth = np.stack([noise[i : i + 9].sum(0) for i in range(time.size)])
    mean = 0.5 + 0.02 * np.arange(grid.shape[1]) * np.ones(grid.shape)
    height = (mean + 0.2 * smooth / smooth.std()).astype(np.float32)
    observed = (rng.random(height.shape) < 0.2) & grid.ocean
    noisy = height + 0.02 * rng.standard_normal(height.shape)
    observations = GriddedObservations(
        time=time,
        grid=grid,
        height=np.where(observed, noisy, 0).astype(np.float32),
        observed=observed,
        count=observed.astype(np.int32),
        error=np.where(observed, 0.02, np.inf).astype(np.float32),
        quantity="ssh",
    )
    truth = Maps(time, grid, np.where(grid.ocean, height, np.nan).astype(np.float32), "ssh")
    return Case(
        truth,
        observations,
        mean,
        std=0.2,
        train_period=Period(start="2013-01-21", end="2013-03-01"),
        validation_period=Period(start="2013-01-04", end="2013-01-14"),
        model=StateModelConfig(
            window_days=5, hidden=6, prior_hidden=6, iterations=2, start_iterations=8
        ),
        training=TrainingConfig(steps=8, validate_every=3, warm_up_steps=2, validation_days=4),
        patches=PatchConfig(lat=12, lon=12, stride_lat=8, stride_lon=8),
        task=Task(name="mapping"),
    )
