"""Reconstruct one tile of the maps of a network."""

import typer

from pipeline_spde import io, reconstruct, runtime
from pipeline_spde.stages import TileStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    tile: runtime.TextOption,
    checkpoint: runtime.FileOption,
    observations: runtime.FileOption,
    grid: runtime.FileOption,
    output: runtime.FileOption,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write the maps of the tile's days and patches; the truth is no input of this stage."""
    stage = TileStage.model_validate_json(config)
    with runtime.stage_run(
        "tile",
        stage,
        outputs={"tile": output},
        inputs={"checkpoint": checkpoint, "observations": observations, "grid": grid},
        log=log,
        marker=tracking,
        title=f"Tile {tile} by {stage.method}, task {stage.task.name}, domain {domain}",
        wildcards={"domain": domain, "task": stage.task.name, "method": stage.method, "tile": tile},
    ) as run:
        request = stage.request.model_copy(update={"checkpoint": checkpoint})
        maps = reconstruct.tile_from_files(
            tile, observations, grid, stage.task, request, stage.method
        )
        io.write_maps(maps, output, run.provenance)


if __name__ == "__main__":
    typer.run(main)
