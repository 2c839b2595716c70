"""Simulate the true ocean of a twin domain."""

import typer

from pipeline_spde import io, runtime
from pipeline_spde.data import realism, twin
from pipeline_spde.fields import daily_stamps
from pipeline_spde.grids import Grid
from pipeline_spde.stages import TruthStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    output: runtime.FileOption,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write daily SSH maps and record how real they look."""
    stage = TruthStage.model_validate_json(config)
    with runtime.stage_run(
        "truth",
        stage,
        outputs={"truth": output},
        inputs={},
        log=log,
        marker=tracking,
        title=f"Simulated sea surface height, domain {domain}",
        wildcards={"domain": domain},
    ) as run:
        grid = Grid.from_bounds(stage.lat, stage.lon, stage.resolution)
        time = daily_stamps(stage.available.start, stage.available.end)
        with runtime.progress_bar("simulating days") as progress:
            truth = twin.simulate(grid, time, stage.twin, stage.seed, progress)
        spacing = (float(grid.dx_km.mean()), grid.dy_km)
        run.metrics |= realism.realism(truth.height, *spacing, latitude=float(grid.lat.mean()))
        runtime.logger.info("%s", realism.describe(run.metrics))
        io.write_maps(truth, output, run.provenance)


if __name__ == "__main__":
    typer.run(main)
