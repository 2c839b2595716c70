"""Interpolate windows of real tracks without the passes of each fold, by the fitted SPDE prior."""

import typer

from pipeline_spde import io, runtime
from pipeline_spde.baselines import withheld
from pipeline_spde.stages import WithheldGuessStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    observations: runtime.FileOption,
    tracks: runtime.FileOption,
    grid: runtime.FileOption,
    tuning: runtime.FileOption,
    output: runtime.FileOption,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write the first guesses of training and validation windows; evaluated days have none here."""
    stage = WithheldGuessStage.model_validate_json(config)
    inputs = {"observations": observations, "tracks": tracks, "grid": grid, "tuning": tuning}
    with runtime.stage_run(
        "withheld_guess",
        stage,
        outputs={"first_guess": output},
        inputs=inputs,
        log=log,
        marker=tracking,
        title=f"First guesses without passes, task {stage.task.name}, domain {domain}",
        wildcards={"domain": domain, "task": stage.task.name},
    ) as run:
        seen, cells = io.read_domain(observations, tracks, grid)
        guesses = withheld.make_withheld_guesses(seen, cells, stage, tuning)
        io.write_dataset(withheld.to_dataset(guesses, cells), output, run.provenance)


if __name__ == "__main__":
    typer.run(main)
