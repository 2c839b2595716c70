"""Take over the network of another domain as it is (zero-shot transfer)."""

import typer

from pipeline_spde import files, runtime
from pipeline_spde.stages import ZeroShotStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    checkpoint: runtime.FileOption,
    output: runtime.FileOption,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Copy the checkpoint; its record says where it comes from and what it is."""
    stage = ZeroShotStage.model_validate_json(config)
    with runtime.stage_run(
        "zero_shot",
        stage,
        outputs={"checkpoint": output},
        inputs={"checkpoint": checkpoint},
        log=log,
        marker=tracking,
        title=f"Network of {stage.model_from} used for {domain}, task {stage.task.name}",
        wildcards={"domain": domain, "task": stage.task.name, "network": output.stem},
    ):
        files.copy(checkpoint, output)


if __name__ == "__main__":
    typer.run(main)
