"""Join the tiles of a network's maps to one file of daily maps."""

from pathlib import Path

import typer

from pipeline_spde import runtime, tiling
from pipeline_spde.stages import TileStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    tiles: list[Path],
    grid: runtime.FileOption,
    output: runtime.FileOption,
    mdt: Path | None = None,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Blend the tiles, given in their order, a day at a time."""
    stage = TileStage.model_validate_json(config)
    with runtime.stage_run(
        "maps",
        stage,
        outputs={"maps": output},
        inputs=runtime.named(tiles, grid=grid, mdt=mdt),
        log=log,
        marker=tracking,
        title=f"Maps by {stage.method}, task {stage.task.name}, domain {domain}",
        wildcards={"domain": domain, "task": stage.task.name, "method": stage.method},
    ) as run:
        tiling.write_gathered(tiles, grid, stage.request, mdt, output, run.provenance)


if __name__ == "__main__":
    typer.run(main)
