"""Take over a file of the domain that makes it: the same data under another network."""

import typer

from pipeline_spde import files, runtime
from pipeline_spde.stages import ShareStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    source: runtime.FileOption,
    output: runtime.FileOption,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Give the file a second name; its record says whose it is."""
    stage = ShareStage.model_validate_json(config)
    with runtime.stage_run(
        "share",
        stage,
        outputs={"file": output},
        inputs={"file": source},
        log=log,
        marker=tracking,
        title=f"{source.name} of {stage.data_from} used for {domain}",
        wildcards={"domain": domain, "file": "/".join(output.parts[-3:])},
    ):
        files.link(source, output)


if __name__ == "__main__":
    typer.run(main)
