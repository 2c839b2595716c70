"""Make a group of members of an ensemble of 4dvarnet."""

import tempfile
from pathlib import Path

import typer

from pipeline_spde import members, runtime
from pipeline_spde.stages import MembersStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    observations: runtime.FileOption,
    tracks: runtime.FileOption,
    grid: runtime.FileOption,
    checkpoint: runtime.FileOption,
    prior: runtime.FileOption,
    output: runtime.FileOption,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write the deviations of the members; the truth is no input of this stage."""
    stage = MembersStage.model_validate_json(config)
    files = {"observations": observations, "tracks": tracks, "grid": grid, "prior": prior}
    files |= {"checkpoint": checkpoint}
    with (
        runtime.stage_run(
            "members",
            stage,
            outputs={"members": output},
            inputs=files,
            log=log,
            marker=tracking,
            title=f"Members around the maps of 4DVarNet, task {stage.task.name}, domain {domain}",
            wildcards={"domain": domain, "task": stage.task.name, "group": str(stage.group)},
        ) as run,
        tempfile.TemporaryDirectory(dir=output.parent) as folder,
        runtime.progress_bar("members") as progress,
    ):
        members.make_group(stage, files, output, run.provenance, Path(folder), progress)


if __name__ == "__main__":
    typer.run(main)
