"""Draw the deviation that 4DVarNet-SPDE claims over the error it makes, in all tasks."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from pipeline_spde import runtime
from pipeline_spde.figures import uncertainty
from pipeline_spde.files import load_netcdf, open_netcdf, read_json, write_figure
from pipeline_spde.stages import FiguresStage

TaskFiles = Annotated[list[Path], typer.Option(help="One per task, in a folder of its name.")]
Scores = Annotated[list[Path] | None, typer.Argument(help="Scores, in folders of the tasks.")]


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    maps: TaskFiles,
    ensembles: TaskFiles,
    output: runtime.FileOption,
    scores: Scores = None,
    truth: Path | None = None,
    coverage: Path | None = None,
    log: runtime.LogOption = None,
) -> None:
    """Deviations alone where there is no truth."""
    stage = FiguresStage.model_validate_json(config)
    files = {"maps": maps, "ensembles": ensembles, "scores": scores or []}
    named = {f"{k}.{p.parent.name}.{p.stem}": p for k, paths in files.items() for p in paths}
    with runtime.stage_run(
        "figures",
        stage,
        outputs={"figure": output},
        inputs=runtime.named([], truth=truth, coverage=coverage) | named,
        log=log,
        marker=None,
        title="Draw deviations over errors in all tasks",
        wildcards={"domain": domain, "figure": "uncertainty"},
    ) as run:
        tasks = {}
        for path, ensemble in zip(maps, ensembles, strict=True):
            task = path.parent.name
            judged = [p for p in files["scores"] if p.parent.name == task]
            daily = {p.stem: pd.DataFrame(read_json(p)["daily"]) for p in judged}
            with open_netcdf(ensemble) as data:
                spread = data.drop_dims("realization", errors="ignore").load()
            tasks[task] = uncertainty.TaskResult(load_netcdf(path), spread, daily)
        true = load_netcdf(truth) if truth else None
        days = pd.read_csv(coverage, parse_dates=["time"]) if coverage else None
        write_figure(uncertainty.uncertainty_panels(tasks, true, days), output, stage.dpi)
        run.artifacts.append(str(output))


if __name__ == "__main__":
    typer.run(main)
