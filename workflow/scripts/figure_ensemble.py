"""Make a film of the mean and one member of an ensemble."""

from pathlib import Path

import typer

from pipeline_spde import runtime
from pipeline_spde.figures import animation
from pipeline_spde.files import atomic_path, load_netcdf, open_netcdf
from pipeline_spde.stages import FiguresStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    task: runtime.TaskOption,
    ensemble: runtime.FileOption,
    output: runtime.FileOption,
    truth: Path | None = None,
    log: runtime.LogOption = None,
) -> None:
    """With the standard deviation, and the truth if there is one."""
    stage = FiguresStage.model_validate_json(config)
    with runtime.stage_run(
        "figures",
        stage,
        outputs={"figure": output},
        inputs=runtime.named([], ensemble=ensemble, truth=truth),
        log=log,
        marker=None,
        title="Make a film of the mean and one member",
        wildcards={"domain": domain, "task": task, "figure": "ensemble"},
    ) as run:
        with open_netcdf(ensemble) as data:
            shown = data.isel(realization=[0], missing_dims="ignore").load()
        true = load_netcdf(truth) if truth else None
        with atomic_path(output) as film:
            run.metrics["bytes"] = animation.animate_ensemble(film, shown, true)


if __name__ == "__main__":
    typer.run(main)
