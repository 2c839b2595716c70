"""Interpolate, with the fitted SPDE prior, the windows that the neural solvers start from."""

import typer

from pipeline_spde import io, runtime
from pipeline_spde.baselines.first_guess import make_first_guess
from pipeline_spde.stages import FirstGuessStage


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
    """Write the first guesses of all periods; the truth is no input of this stage."""
    stage = FirstGuessStage.model_validate_json(config)
    inputs = {"observations": observations, "tracks": tracks, "grid": grid, "tuning": tuning}
    with runtime.stage_run(
        "first_guess",
        stage,
        outputs={"first_guess": output},
        inputs=inputs,
        log=log,
        marker=tracking,
        title=f"First guess by SPDE interpolation, task {stage.task.name}, domain {domain}",
        wildcards={"domain": domain, "task": stage.task.name},
    ) as run:
        seen, cells = io.read_domain(observations, tracks, grid)
        guess = make_first_guess(seen, cells, stage, tuning)
        io.write_dataset(guess.to_dataset(cells.lat, cells.lon), output, run.provenance)


if __name__ == "__main__":
    typer.run(main)
