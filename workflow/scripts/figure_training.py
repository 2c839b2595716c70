"""Draw how the networks learned."""

from pathlib import Path

import pandas as pd
import typer

from pipeline_spde import runtime
from pipeline_spde.figures import training
from pipeline_spde.files import read_json, write_figure
from pipeline_spde.methods import METHODS
from pipeline_spde.stages import FiguresStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    task: runtime.TaskOption,
    curves: runtime.FilesArgument,
    output: runtime.FileOption,
    tuning: Path | None = None,
    log: runtime.LogOption = None,
) -> None:
    """Loss, validation error against the tuned OI, learning rate."""
    stage = FiguresStage.model_validate_json(config)
    with runtime.stage_run(
        "figures",
        stage,
        outputs={"figure": output},
        inputs=runtime.named(curves, tuning=tuning),
        log=log,
        marker=None,
        title="Training curves",
        wildcards={"domain": domain, "task": task, "figure": "training"},
    ) as run:
        baseline = read_json(tuning)["rmse_m"] if tuning else None
        method_of = {METHODS[method].curve: method for method in stage.methods}
        records = {method_of[curve.name]: pd.read_csv(curve) for curve in curves}
        write_figure(training.curves(records, baseline), output, stage.dpi)
        run.artifacts.append(str(output))


if __name__ == "__main__":
    typer.run(main)
