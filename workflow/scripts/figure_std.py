"""Draw the standard deviation that methods give for their maps."""

from pathlib import Path

import typer

from pipeline_spde import runtime
from pipeline_spde.figures import maps as panels
from pipeline_spde.files import load_netcdf, write_figure
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
    """Beside the absolute error where there is a truth."""
    stage = FiguresStage.model_validate_json(config)
    with runtime.stage_run(
        "figures",
        stage,
        outputs={"figure": output},
        inputs=runtime.named(maps, observations=observations, truth=truth),
        log=log,
        marker=None,
        title="Draw the standard deviation that methods give for their maps",
        wildcards={"domain": domain, "task": task, "figure": "std"},
    ) as run:
        true = load_netcdf(truth) if truth else None
        drawn = {path.stem: load_netcdf(path) for path in maps}
        figure = panels.std_panels(drawn, stage.days, true)
        write_figure(figure, output, stage.dpi)
        run.artifacts.append(str(output))


if __name__ == "__main__":
    typer.run(main)
