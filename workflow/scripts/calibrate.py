"""Calibrate the ensemble of a task: the factor of its spread, fitted on validation days."""

import tempfile
from pathlib import Path

import typer

from pipeline_spde import ensembles, io, runtime
from pipeline_spde.files import write_json
from pipeline_spde.stages import EnsembleStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    observations: runtime.FileOption,
    tracks: runtime.FileOption,
    grid: runtime.FileOption,
    tuning: runtime.FileOption,
    checkpoint: runtime.FileOption,
    first_guess: runtime.FileOption,
    truth: runtime.FileOption,
    output: runtime.FileOption,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write the factor; the truth of the validation days decides it."""
    stage = EnsembleStage.model_validate_json(config)
    files = {"observations": observations, "tracks": tracks, "grid": grid, "tuning": tuning}
    files |= {"checkpoint": checkpoint, "first_guess": first_guess}
    with (
        runtime.stage_run(
            "calibrate",
            stage,
            outputs={"calibration": output},
            inputs=files | {"truth": truth},
            log=log,
            marker=tracking,
            title=f"Calibration of {stage.method}, task {stage.task.name}, domain {domain}",
            wildcards={"domain": domain, "task": stage.task.name, "method": stage.method},
        ) as run,
        tempfile.TemporaryDirectory(dir=output.parent) as folder,
        runtime.progress_bar("members") as progress,
    ):
        simulation = ensembles.simulate_stage(stage, files, Path(folder), progress)
        true, days = io.read_maps(truth), stage.ensembles.calibration_days
        record = ensembles.calibrate(simulation, true, stage.margin, stage.seed, days)
        write_json(output, record)
        run.metrics |= record


if __name__ == "__main__":
    typer.run(main)
