"""Write a domain's grid and the mean and deviation of its training period."""

from pathlib import Path

import typer

from pipeline_spde import files, io, runtime
from pipeline_spde.data.domain import stage_grid
from pipeline_spde.data.statistics import domain_statistics
from pipeline_spde.stages import StatisticsStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    tracks: runtime.FileOption,
    grid: runtime.FileOption,
    output: runtime.FileOption,
    truth: Path | None = None,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """A simulated domain has a mean map; real anomalies have none, their samples a deviation."""
    stage = StatisticsStage.model_validate_json(config)
    with runtime.stage_run(
        "statistics",
        stage,
        outputs={"statistics": output, "grid": grid},
        inputs={"tracks": tracks, **({"truth": truth} if truth else {})},
        log=log,
        marker=tracking,
        title=f"Grid and training-period statistics, domain {domain}",
        wildcards={"domain": domain},
    ) as run:
        cells = stage_grid(stage, truth)
        period = (stage.period.start, stage.period.end)
        true = io.read_maps(truth) if truth else None
        samples = None if truth else io.read_tracks(tracks).of_missions(stage.missions)
        mean, std, scalars = domain_statistics(true, samples, cells, period)
        run.metrics |= {key: scalars[key] for key in ("mean", "std")}
        io.write_grid(cells, mean, std, grid, run.provenance)
        files.write_json(output, scalars)


if __name__ == "__main__":
    typer.run(main)
