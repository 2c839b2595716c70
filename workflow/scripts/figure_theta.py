"""Draw the parameters of the SPDE prior that were estimated with the maps."""

import typer

from pipeline_spde import runtime
from pipeline_spde.figures import theta
from pipeline_spde.files import load_netcdf, write_figure
from pipeline_spde.stages import FiguresStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    task: runtime.TaskOption,
    maps: runtime.FileOption,
    output: runtime.FileOption,
    log: runtime.LogOption = None,
) -> None:
    """On the middle one of the days of the map panels."""
    stage = FiguresStage.model_validate_json(config)
    with runtime.stage_run(
        "figures",
        stage,
        outputs={"figure": output},
        inputs={"maps": maps},
        log=log,
        marker=None,
        title="Draw the estimated parameters of the SPDE prior",
        wildcards={"domain": domain, "task": task, "figure": "theta"},
    ) as run:
        day = stage.days[len(stage.days) // 2]
        title = f"{maps.stem}, {domain}, {task}, {day}"
        write_figure(theta.theta_panels(load_netcdf(maps), day, title), output, stage.dpi)
        run.artifacts.append(str(output))


if __name__ == "__main__":
    typer.run(main)
