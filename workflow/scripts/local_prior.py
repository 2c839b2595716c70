"""Match the prior of the members of 4dvarnet to the moments of the learning period by region."""

from pathlib import Path

import typer

from pipeline_spde import io, runtime
from pipeline_spde.baselines.local_prior import fit_local_prior
from pipeline_spde.stages import LocalPriorStage


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
    """Write σ, range and decorrelation time of every cell, and the noise; no day evaluated."""
    stage = LocalPriorStage.model_validate_json(config)
    files = {"observations": observations, "tracks": tracks, "grid": grid}
    with runtime.stage_run(
        "local_prior",
        stage,
        outputs={"prior": output},
        inputs=runtime.named([], **files, truth=truth),
        log=log,
        marker=tracking,
        title=f"Prior matched to moments by region, domain {domain}",
        wildcards={"domain": domain},
    ) as run:
        seen, cells = io.read_domain(**files)
        true = None if truth is None else io.read_maps(truth)
        found, record = fit_local_prior(seen, cells, stage.local_prior, stage.learning, true)
        io.write_dataset(found.to_dataset(cells, record), output, run.provenance)
        run.metrics |= record


if __name__ == "__main__":
    typer.run(main)
