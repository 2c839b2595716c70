"""Fine-tune a network on the real tracks of a domain by withholding passes."""

from pathlib import Path

import pandas as pd
import typer

from pipeline_spde import io, runtime
from pipeline_spde.stages import TrackTrainStage
from pipeline_spde.training import logs, on_tracks


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    init_from: runtime.FileOption,
    observations: runtime.FileOption,
    tracks: runtime.FileOption,
    grid: runtime.FileOption,
    work: runtime.FolderOption,
    output: runtime.FileOption,
    curve: runtime.FileOption,
    withheld_guess: Path | None = None,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write the best weights; a training that was killed goes on from the folder `work`."""
    stage = TrackTrainStage.model_validate_json(config)
    wildcards = {"domain": domain, "task": stage.task.name, "method": stage.model.method}
    files = {"observations": observations, "tracks": tracks, "grid": grid, "init_from": init_from}
    with runtime.stage_run(
        "train_on_tracks",
        stage,
        outputs={"checkpoint": output},
        inputs=runtime.named([], **files, withheld_guess=withheld_guess),
        log=log,
        marker=tracking,
        title=f"Network of {stage.model.method} on tracks, domain {domain}, {stage.task.name}",
        wildcards=wildcards,
    ) as run:
        seen, cells = io.read_domain(observations, tracks, grid)
        live = logs.live_curves(tracking, run, "train_on_tracks", wildcards)
        places, loggers = (work, output, curve), [live] if live else []
        report = on_tracks.fine_tune(seen, cells, stage, init_from, withheld_guess, places, loggers)
        run.metrics |= {"best_rmse_m": report.best_rmse_m, "steps": report.steps}
        run.histories |= logs.histories(pd.read_csv(report.log), live)
        run.artifacts.append(str(report.log))


if __name__ == "__main__":
    typer.run(main)
