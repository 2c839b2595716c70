"""Bin the samples of the mapped missions to daily cells with count, mask and error."""

from pathlib import Path

import typer

from pipeline_spde import files, io, runtime
from pipeline_spde.data import observe
from pipeline_spde.data.domain import stage_grid
from pipeline_spde.fields import daily_stamps
from pipeline_spde.stages import ObservationsStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    tracks: runtime.FileOption,
    output: runtime.FileOption,
    coverage: runtime.FileOption,
    truth: Path | None = None,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write the cells and the coverage per day; withheld missions are left out."""
    stage = ObservationsStage.model_validate_json(config)
    with runtime.stage_run(
        "observations",
        stage,
        outputs={"observations": output, "coverage": coverage},
        inputs=runtime.named([], tracks=tracks, truth=truth),
        log=log,
        marker=tracking,
        title=f"Daily gridded observations of {', '.join(stage.missions)}, domain {domain}",
        wildcards={"domain": domain},
    ) as run:
        grid = stage_grid(stage, truth)
        time = daily_stamps(stage.available.start, stage.available.end)
        samples = io.read_tracks(tracks).of_missions(stage.missions)
        cells = observe.bin_to_grid(samples, grid, time, stage.representativeness_m)
        runtime.logger.info("%s", observe.coverage_summary(cells))
        run.metrics["coverage_mean"] = float(cells.coverage().mean())
        files.write_text(coverage, observe.coverage_table(cells, samples).to_csv(index=False))
        io.write_observations(cells, stage.missions, output, run.provenance)


if __name__ == "__main__":
    typer.run(main)
