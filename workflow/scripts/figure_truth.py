"""Draw what the simulated ocean looks like."""

import typer

from pipeline_spde import runtime
from pipeline_spde.figures.truth import truth_overview
from pipeline_spde.files import load_netcdf, write_figure
from pipeline_spde.stages import FiguresStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    truth: runtime.FileOption,
    output: runtime.FileOption,
    log: runtime.LogOption = None,
) -> None:
    """A snapshot, its variability, spectrum and memory."""
    stage = FiguresStage.model_validate_json(config)
    with runtime.stage_run(
        "figures",
        stage,
        outputs={"figure": output},
        inputs={"truth": truth},
        log=log,
        marker=None,
        title="The simulated ocean",
        wildcards={"domain": domain, "figure": "truth"},
    ) as run:
        write_figure(truth_overview(load_netcdf(truth)), output, stage.dpi)
        run.artifacts.append(str(output))


if __name__ == "__main__":
    typer.run(main)
