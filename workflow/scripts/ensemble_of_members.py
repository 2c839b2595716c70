"""Join the groups of members of an ensemble of 4dvarnet, with their calibrated spread."""

import tempfile
from pathlib import Path

import typer

from pipeline_spde import ensemble_file, members, runtime
from pipeline_spde.inflation import Inflation
from pipeline_spde.stages import EnsembleStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    groups: runtime.FilesArgument,
    maps: runtime.FileOption,
    calibration: runtime.FileOption,
    output: runtime.FileOption,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write mean, spread and members; the truth is no input of this stage."""
    stage = EnsembleStage.model_validate_json(config)
    with (
        runtime.stage_run(
            "ensemble",
            stage,
            outputs={"ensemble": output},
            inputs=runtime.named(groups, maps=maps, calibration=calibration),
            log=log,
            marker=tracking,
            title=f"Ensemble of {stage.method}, task {stage.task.name}, domain {domain}",
            wildcards={"domain": domain, "task": stage.task.name, "method": stage.method},
        ) as run,
        tempfile.TemporaryDirectory(dir=output.parent) as folder,
    ):
        factor = Inflation.read(calibration)
        made = members.simulation(groups, maps, None, Path(folder))
        run.metrics |= ensemble_file.write_ensemble(
            output, made.maps, made.deviations, factor.of, run.provenance,
            stage.ensembles.keep_members,
        )  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
