"""Score the seams of maps that were made in tiles."""

from pathlib import Path

import typer

from pipeline_spde import runtime, tiling
from pipeline_spde.files import write_json
from pipeline_spde.stages import SeamsStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    method: runtime.TextOption,
    maps: runtime.FileOption,
    grid: runtime.FileOption,
    output: runtime.FileOption,
    truth: Path | None = None,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write the ratio of the jumps across the edges of tiles to those beside them."""
    stage = SeamsStage.model_validate_json(config)
    with runtime.stage_run(
        "seams",
        stage,
        outputs={"seams": output},
        inputs=runtime.named([], maps=maps, grid=grid, truth=truth),
        log=log,
        marker=tracking,
        title=f"Seams of the maps by {method}, domain {domain}",
        wildcards={"domain": domain, "method": method},
    ) as run:
        found = tiling.seam_scores(maps, truth, grid, stage.request, stage.resampling())
        write_json(output, found)
        ratio = found.get("relative", found["both"])["value"]
        run.metrics |= {} if ratio is None else {"seam_ratio": ratio}


if __name__ == "__main__":
    typer.run(main)
