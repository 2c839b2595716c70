"""Draw what the fitted SPDE prior believes: parameters, a draw, a correlation footprint."""

import typer

from pipeline_spde import runtime
from pipeline_spde.figures import parameters as pictures
from pipeline_spde.files import load_netcdf, write_figure
from pipeline_spde.stages import FiguresStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    task: runtime.TaskOption,
    parameters: runtime.FileOption,
    output: runtime.FileOption,
    log: runtime.LogOption = None,
) -> None:
    """One page."""
    stage = FiguresStage.model_validate_json(config)
    with runtime.stage_run(
        "figures",
        stage,
        outputs={"figure": output},
        inputs={"parameters": parameters},
        log=log,
        marker=None,
        title="Draw what the fitted SPDE prior believes",
        wildcards={"domain": domain, "task": task, "figure": "parameters"},
    ) as run:
        figure = pictures.overview(load_netcdf(parameters), f"spde_oi, {domain}, {task}")
        write_figure(figure, output, stage.dpi)
        run.artifacts.append(str(output))


if __name__ == "__main__":
    typer.run(main)
