"""Make the true ocean of a domain: simulated, or read from files."""

from pathlib import Path

import typer

from pipeline_spde import io, runtime
from pipeline_spde.data import realism, truth
from pipeline_spde.stages import TruthStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    output: runtime.FileOption,
    file: list[Path] | None = None,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write daily SSH maps and record how real they look."""
    stage = TruthStage.model_validate_json(config)
    with runtime.stage_run(
        "truth",
        stage,
        outputs={"truth": output},
        inputs=runtime.named(file or []),
        log=log,
        marker=tracking,
        title=f"True sea surface height, domain {domain}",
        wildcards={"domain": domain},
    ) as run:
        with runtime.progress_bar("days") as progress:
            true = truth.make_truth(stage, file or [], progress)
        run.metrics |= truth.describe(true)
        runtime.logger.info("%s", realism.describe(run.metrics))
        io.write_maps(true, output, run.provenance)


if __name__ == "__main__":
    typer.run(main)
