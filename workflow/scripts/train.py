"""Train the state model of a domain and task (or go on where a killed training stopped)."""

from pathlib import Path

import typer

from pipeline_spde import io, runtime
from pipeline_spde.files import read_json
from pipeline_spde.stages import TrainStage
from pipeline_spde.training import state


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    truth: runtime.FileOption,
    observations: runtime.FileOption,
    grid: runtime.FileOption,
    statistics: runtime.FileOption,
    work: runtime.FolderOption,
    curve: runtime.FileOption,
    output: runtime.FileOption,
    init_from: Path | None = None,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write the best weights with their normalisation, and the training curve."""
    stage = TrainStage.model_validate_json(config)
    inputs = {"truth": truth, "observations": observations, "grid": grid}
    with runtime.stage_run(
        "train",
        stage,
        outputs={"checkpoint": output, "curve": curve},
        inputs=inputs | ({"init_from": init_from} if init_from else {}),
        log=log,
        marker=tracking,
        title=f"4DVarNet state model, domain {domain}, task {stage.task.name}",
        wildcards={"domain": domain, "task": stage.task.name},
    ) as run:
        cells, mean, _ = io.read_grid(grid)
        report = state.train(
            observations=io.read_observations(observations, cells.land),
            truth=io.read_maps(truth),
            mean=mean,
            std=read_json(statistics)["std"],
            settings=stage,
            work_dir=work,
            checkpoint=output,
            curve=curve,
            init_from=init_from,
        )
        run.metrics |= report.metrics
        run.histories |= report.histories


if __name__ == "__main__":
    typer.run(main)
