"""Calibrate the ensemble of a task on real tracks, at withheld passes of the validation days."""

import tempfile
from pathlib import Path

import typer

from pipeline_spde import ensembles, runtime
from pipeline_spde.files import write_json
from pipeline_spde.stages import TrackCalibrationStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    observations: runtime.FileOption,
    tracks: runtime.FileOption,
    grid: runtime.FileOption,
    tuning: runtime.FileOption,
    checkpoint: runtime.FileOption,
    withheld_guess: runtime.FileOption,
    output: runtime.FileOption,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write the factor; what the maps were not shown of the mapped missions decides it."""
    stage = TrackCalibrationStage.model_validate_json(config)
    files = {"observations": observations, "tracks": tracks, "grid": grid, "tuning": tuning}
    files |= {"checkpoint": checkpoint, "withheld_guess": withheld_guess}
    with (  # the members of the validation days are not kept
        runtime.stage_run(
            "calibrate_tracks",
            stage,
            outputs={"calibration": output},
            inputs=files,
            log=log,
            marker=tracking,
            title=f"Calibration of {stage.method} on tracks, domain {domain}, {stage.task.name}",
            wildcards={"domain": domain, "task": stage.task.name, "method": stage.method},
        ) as run,
        tempfile.TemporaryDirectory(dir=output.parent) as folder,
        runtime.progress_bar("members") as progress,
    ):
        record = ensembles.calibrate_on_tracks(stage, files, Path(folder), progress)
        write_json(output, record)
        run.metrics |= record


if __name__ == "__main__":
    typer.run(main)
