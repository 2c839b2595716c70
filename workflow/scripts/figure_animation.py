"""Make a film of the daily maps."""

from pathlib import Path

import typer

from pipeline_spde import runtime
from pipeline_spde.fields import daily_stamps
from pipeline_spde.figures import animation
from pipeline_spde.files import atomic_path, load_netcdf
from pipeline_spde.stages import FiguresStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    task: runtime.TaskOption,
    maps: runtime.FilesArgument,
    observations: runtime.FileOption,
    output: runtime.FileOption,
    truth: Path | None = None,
    log: runtime.LogOption = None,
) -> None:
    """Observations, the tuned baseline and the last method, with the truth if there is one."""
    stage = FiguresStage.model_validate_json(config)
    with runtime.stage_run(
        "figures",
        stage,
        outputs={"figure": output},
        inputs=runtime.named(maps, observations=observations, truth=truth),
        log=log,
        marker=None,
        title="Make a film of the daily maps",
        wildcards={"domain": domain, "task": task, "figure": "animation"},
    ) as run:
        true = load_netcdf(truth) if truth else None
        drawn = {path.stem: load_netcdf(path) for path in maps}
        shown = {name: drawn[name] for name in runtime.baseline_and_best(stage.methods)}
        days = daily_stamps(stage.period.start, stage.period.end)
        with atomic_path(output) as film:
            size = animation.animate(film, load_netcdf(observations), shown, true, days)
        run.metrics["bytes"] = size
        run.artifacts.append(str(output))


if __name__ == "__main__":
    typer.run(main)
