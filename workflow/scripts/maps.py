"""Reconstruct the daily maps of one method."""

from pathlib import Path

import typer

from pipeline_spde import io, methods, runtime
from pipeline_spde.data.topography import add_topography
from pipeline_spde.stages import MapsStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    observations: runtime.FileOption,
    tracks: runtime.FileOption,
    grid: runtime.FileOption,
    output: runtime.FileOption,
    tuning: Path | None = None,
    checkpoint: Path | None = None,
    first_guess: Path | None = None,
    mdt: Path | None = None,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write the maps of the evaluation period; the truth is no input of this stage."""
    stage = MapsStage.model_validate_json(config)
    fitted = {"tuning": tuning, "checkpoint": checkpoint, "first_guess": first_guess}
    inputs = {"observations": observations, "tracks": tracks, "grid": grid}
    with runtime.stage_run(
        "maps",
        stage,
        outputs={"maps": output},
        inputs=runtime.named([], **inputs, **fitted, mdt=mdt),
        log=log,
        marker=tracking,
        title=f"Maps by {stage.method}, task {stage.task.name}, domain {domain}",
        wildcards={"domain": domain, "task": stage.task.name, "method": stage.method},
    ) as run:
        seen, cells = io.read_domain(observations, tracks, grid)
        request = stage.request.model_copy(update=fitted)
        maps = methods.reconstruct(stage.method, seen, cells, stage.task, request)
        io.write_maps(add_topography(maps, mdt), output, run.provenance)


if __name__ == "__main__":
    typer.run(main)
