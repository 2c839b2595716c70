"""Fine-tune a network on the real tracks of a domain, as the workflow asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytorch_lightning.loggers import Logger

from pipeline_spde.baselines.withheld import read_guesses, withheld_cells
from pipeline_spde.data.withheld import Withheld
from pipeline_spde.fields import Observations
from pipeline_spde.grids import Grid
from pipeline_spde.networks import needs_first_guess
from pipeline_spde.stages import TrackTrainStage
from pipeline_spde.training.state import TrainingReport, train


def fine_tune(
    observations: Observations,
    grid: Grid,
    stage: TrackTrainStage,
    init_from: Path,
    guesses: Path | None,
    files: tuple[Path, Path, Path],
    loggers: Sequence[Logger] = (),
    progress: bool = True,
) -> TrainingReport:
    """Fine-tune at withheld passes and write the best weights.

    Args:
        observations: of the mapped missions alone.
        grid: their grid.
        stage: task, model, periods, budget and folds.
        init_from: the network to start from; its standard deviation is kept.
        guesses: first guesses of the folds, for networks that need them.
        files: folder for the state of the training, checkpoint, log.
        loggers: Lightning loggers.
        progress: show a bar when on a terminal.

    Raises:
        ValueError: first guesses are missing, or data, periods and model do not fit together.
    """
    first = None
    if needs_first_guess(stage.model):
        if guesses is None:
            raise ValueError(f"{stage.model.method} needs the first guesses of the folds")
        first = read_guesses(guesses, stage.task, stage.model.window_days)
    cells = withheld_cells(observations, grid, stage.folds, stage.passes_seed)
    return train(
        observations.gridded, None, observations.mean, 1.0, stage.task, stage.model,
        stage.training, stage.patches, stage.train, stage.validation, stage.seed, *files,
        init_from=init_from, frozen=stage.frozen, withheld=Withheld(cells, first),
        loggers=loggers, progress=progress,
    )  # fmt: skip
