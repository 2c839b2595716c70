"""Draw whether the uncertainty of the maps is honest: ranks, spread and error, intervals, days."""

import typer

from pipeline_spde import runtime
from pipeline_spde.figures import calibration
from pipeline_spde.files import read_json, write_figure
from pipeline_spde.stages import FiguresStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    task: runtime.TaskOption,
    scores: runtime.FilesArgument,
    output: runtime.FileOption,
    log: runtime.LogOption = None,
) -> None:
    """All methods with a spread on one page, raw and calibrated."""
    stage = FiguresStage.model_validate_json(config)
    with runtime.stage_run(
        "figures",
        stage,
        outputs={"figure": output},
        inputs=runtime.named(scores),
        log=log,
        marker=None,
        title="Calibration of the uncertainty",
        wildcards={"domain": domain, "task": task, "figure": "calibration"},
    ) as run:
        page = calibration.calibration({path.stem: read_json(path) for path in scores})
        write_figure(page, output, stage.dpi)
        run.artifacts.append(str(output))


if __name__ == "__main__":
    typer.run(main)
