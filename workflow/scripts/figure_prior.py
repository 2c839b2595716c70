"""Draw the prior of the members of 4dvarnet, as it was matched to moments by region."""

import typer

from pipeline_spde import runtime
from pipeline_spde.figures import parameters
from pipeline_spde.files import load_netcdf, write_figure
from pipeline_spde.stages import FiguresStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    prior: runtime.FileOption,
    output: runtime.FileOption,
    log: runtime.LogOption = None,
) -> None:
    """Standard deviation, range and decorrelation time."""
    stage = FiguresStage.model_validate_json(config)
    with runtime.stage_run(
        "figures",
        stage,
        outputs={"figure": output},
        inputs={"prior": prior},
        log=log,
        marker=None,
        title="Draw the prior of the members",
        wildcards={"domain": domain, "figure": "prior"},
    ) as run:
        figure = parameters.local_panels(load_netcdf(prior), f"prior of the members, {domain}")
        write_figure(figure, output, stage.dpi)
        run.artifacts.append(str(output))


if __name__ == "__main__":
    typer.run(main)
