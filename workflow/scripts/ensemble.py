"""Simulate and calibrate the ensemble of the days that are mapped."""

import tempfile
from pathlib import Path

import typer

from pipeline_spde import ensemble_file, ensembles, runtime
from pipeline_spde.inflation import Inflation
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
    calibration: runtime.FileOption,
    output: runtime.FileOption,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write mean, spread and members; the truth is no input of this stage."""
    stage = EnsembleStage.model_validate_json(config)
    files = {"observations": observations, "tracks": tracks, "grid": grid, "tuning": tuning}
    files |= {"checkpoint": checkpoint, "first_guess": first_guess}
    with (
        runtime.stage_run(
            "ensemble",
            stage,
            outputs={"ensemble": output},
            inputs=files | {"calibration": calibration},
            log=log,
            marker=tracking,
            title=f"Ensemble of {stage.method}, task {stage.task.name}, domain {domain}",
            wildcards={"domain": domain, "task": stage.task.name, "method": stage.method},
        ) as run,
        tempfile.TemporaryDirectory(dir=output.parent) as folder,
        runtime.progress_bar("members") as progress,
    ):
        factor = Inflation.read(calibration)
        simulation = ensembles.simulate_stage(stage, files, Path(folder), progress)
        run.metrics |= ensemble_file.write_ensemble(
            output, simulation.maps, simulation.deviations, factor.of, run.provenance,
            stage.ensembles.keep_members,
        )  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
