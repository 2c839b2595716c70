"""Train a network for a domain and task, or fine-tune another task's or domain's."""

from pathlib import Path

import pandas as pd
import typer

from pipeline_spde import io, runtime
from pipeline_spde.files import read_json
from pipeline_spde.first_guess import FirstGuess
from pipeline_spde.stages import TrainStage
from pipeline_spde.training import logs, state


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    truth: runtime.FileOption,
    observations: runtime.FileOption,
    grid: runtime.FileOption,
    statistics: runtime.FileOption,
    work: runtime.FolderOption,
    output: runtime.FileOption,
    curve: runtime.FileOption,
    init_from: Path | None = None,
    first_guess: Path | None = None,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write the best weights; a training that was killed goes on from the folder `work`."""
    stage = TrainStage.model_validate_json(config)
    wildcards = {"domain": domain, "task": stage.task.name, "method": stage.model.method}
    inputs = {"truth": truth, "observations": observations, "grid": grid, "statistics": statistics}
    inputs |= {n: p for n, p in (("init_from", init_from), ("first_guess", first_guess)) if p}
    with runtime.stage_run(
        "train",
        stage,
        outputs={"checkpoint": output},
        inputs=inputs,
        log=log,
        marker=tracking,
        title=f"Network of {stage.model.method}, domain {domain}, task {stage.task.name}",
        wildcards=wildcards,
    ) as run:
        cells, mean, _ = io.read_grid(grid)
        live = logs.live_curves(tracking, run, "train", wildcards)
        report = state.train(
            io.read_observations(observations, cells.land),
            io.read_maps(truth),
            mean,
            read_json(statistics)["std"],
            stage.task,
            stage.model,
            stage.training,
            stage.patches,
            stage.train,
            stage.validation,
            stage.seed,
            work,
            output,
            curve,
            init_from,
            first_guess and FirstGuess.read(first_guess, stage.task, stage.model.window_days),
            stage.frozen,
            loggers=[live] if live else [],
        )
        run.metrics |= {"best_rmse_m": report.best_rmse_m, "steps": report.steps}
        run.histories |= logs.histories(pd.read_csv(report.log), live)
        run.artifacts.append(str(report.log))


if __name__ == "__main__":
    typer.run(main)
