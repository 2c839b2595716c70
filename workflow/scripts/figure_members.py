"""Draw some members of an ensemble beside the truth."""

from pathlib import Path

import typer

from pipeline_spde import runtime
from pipeline_spde.figures import members
from pipeline_spde.files import load_netcdf, open_netcdf, write_figure
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
    """On the middle one of the days of the map panels."""
    stage = FiguresStage.model_validate_json(config)
    with runtime.stage_run(
        "figures",
        stage,
        outputs={"figure": output},
        inputs=runtime.named([], ensemble=ensemble, truth=truth),
        log=log,
        marker=None,
        title="Draw some members of an ensemble",
        wildcards={"domain": domain, "task": task, "figure": "members"},
    ) as run:
        with open_netcdf(ensemble) as data:
            drawn = data.isel(realization=slice(members.SHOWN), missing_dims="ignore").load()
        true = load_netcdf(truth) if truth else None
        day = stage.days[len(stage.days) // 2]
        write_figure(members.member_panels(drawn, day, true), output, stage.dpi)
        run.artifacts.append(str(output))


if __name__ == "__main__":
    typer.run(main)
