"""Fit the covariance and noise of oi_tuned on the validation period."""

from pathlib import Path

import typer

from pipeline_spde import files, io, runtime
from pipeline_spde.baselines import tuning
from pipeline_spde.stages import TuneStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    observations: runtime.FileOption,
    tracks: runtime.FileOption,
    grid: runtime.FileOption,
    output: runtime.FileOption,
    truth: Path | None = None,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Compare with the truth of the validation days, or, on real data, with withheld passes."""
    stage = TuneStage.model_validate_json(config)
    inputs = {"observations": observations, "grid": grid}
    with runtime.stage_run(
        "tune",
        stage,
        outputs={"parameters": output},
        inputs=inputs | ({"truth": truth} if truth else {}),
        log=log,
        marker=tracking,
        title="Parameters of oi_tuned",
        wildcards={"domain": domain, "task": stage.task.name},
    ) as run:
        seen, cells = io.read_domain(observations, tracks, grid)
        reference = io.read_maps(truth) if truth else None
        options = (stage.task, stage.oi_tuned, stage.period, reference, stage.seed)
        with runtime.progress_bar("trying candidates") as progress:
            found = tuning.tune(seen, cells, *options, progress)
        run.metrics |= {k: v for k, v in found.items() if isinstance(v, int | float)}
        files.write_json(output, found)


if __name__ == "__main__":
    typer.run(main)
