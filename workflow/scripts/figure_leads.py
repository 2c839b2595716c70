"""Draw how the skill of forecasts falls with the lead."""

import pandas as pd
import typer

from pipeline_spde import runtime
from pipeline_spde.figures import leads
from pipeline_spde.files import write_figure
from pipeline_spde.stages import FiguresStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    task: runtime.TaskOption,
    scores: runtime.FileOption,
    output: runtime.FileOption,
    log: runtime.LogOption = None,
) -> None:
    """All methods of the task, each with its own leads."""
    stage = FiguresStage.model_validate_json(config)
    with runtime.stage_run(
        "figures",
        stage,
        outputs={"figure": output},
        inputs={"scores": scores},
        log=log,
        marker=None,
        title="Draw the skill of forecasts by lead",
        wildcards={"domain": domain, "task": task, "figure": "leads"},
    ) as run:
        write_figure(leads.lead_curves(pd.read_csv(scores)), output, stage.dpi)
        run.artifacts.append(str(output))


if __name__ == "__main__":
    typer.run(main)
