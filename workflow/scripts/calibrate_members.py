"""Calibrate an ensemble of 4dvarnet: the factor of its spread, fitted on validation days."""

import tempfile
from pathlib import Path

import typer

from pipeline_spde import ensembles, io, members, runtime
from pipeline_spde.files import write_json
from pipeline_spde.stages import EnsembleStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    groups: runtime.FilesArgument,
    grid: runtime.FileOption,
    truth: runtime.FileOption,
    output: runtime.FileOption,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write the factor; the truth of the validation days decides it."""
    stage = EnsembleStage.model_validate_json(config)
    with (
        runtime.stage_run(
            "calibrate",
            stage,
            outputs={"calibration": output},
            inputs=runtime.named(groups, grid=grid, truth=truth),
            log=log,
            marker=tracking,
            title=f"Calibration of {stage.method}, task {stage.task.name}, domain {domain}",
            wildcards={"domain": domain, "task": stage.task.name, "method": stage.method},
        ) as run,
        tempfile.TemporaryDirectory(dir=output.parent) as folder,
    ):
        made, true = members.simulation(groups, None, grid, Path(folder)), io.read_maps(truth)
        days = stage.ensembles.calibration_days
        record = ensembles.calibrate(made, true, stage.margin, stage.seed, days)
        write_json(output, record)
        run.metrics |= record


if __name__ == "__main__":
    typer.run(main)
