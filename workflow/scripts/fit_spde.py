"""Fit the SPDE prior of spde_oi: moments on the learning period, the rest on validation days."""

from pathlib import Path

import typer

from pipeline_spde import io, runtime
from pipeline_spde.baselines import spde_fit
from pipeline_spde.baselines.spde_picture import picture
from pipeline_spde.stages import FitStage


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
    """Learn from the truth of the learning period, or, on real data, from the observations."""
    stage = FitStage.model_validate_json(config)
    inputs = {"observations": observations, "tracks": tracks, "grid": grid}
    with runtime.stage_run(
        "fit",
        stage,
        outputs={"parameters": output},
        inputs=inputs | ({"truth": truth} if truth else {}),
        log=log,
        marker=tracking,
        title=f"Parameters of spde_oi, task {stage.task.name}, domain {domain}",
        wildcards={"domain": domain, "task": stage.task.name},
    ) as run:
        seen, cells = io.read_domain(observations, tracks, grid)
        reference = io.read_maps(truth) if truth else None
        periods = (stage.learning, stage.validation)
        found, record = spde_fit.fit(
            seen, cells, stage.task, stage.spde_oi, *periods, reference, stage.seed, stage.margin
        )
        data = found.to_dataset(cells, record)
        width, first = stage.spde_oi.low_pass_km, stage.validation.start
        shown = picture(found, cells, seen.mean, width, first, stage.seed)
        run.metrics |= {k: v for k, v in record.items() if isinstance(v, int | float)}
        run.metrics |= {k: float(v) for k, v in data.items() if not v.ndim}
        io.write_dataset(data.merge(shown, combine_attrs="override"), output, run.provenance)


if __name__ == "__main__":
    typer.run(main)
