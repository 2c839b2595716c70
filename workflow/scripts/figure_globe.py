"""Draw the gradient of the sea surface of truth and maps, with regions enlarged."""

from pathlib import Path

import typer

from pipeline_spde import io, runtime
from pipeline_spde.figures.globe import fields_of_day, globe_panels, spread_boxes
from pipeline_spde.figures.style import method_look
from pipeline_spde.files import open_netcdf, write_figure
from pipeline_spde.stages import GlobeStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    maps: list[Path],
    truth: runtime.FileOption,
    output: runtime.FileOption,
    ensemble: Path | None = None,
    log: runtime.LogOption = None,
) -> None:
    """One day in the middle of the evaluation: truth, maps of the methods, and some members."""
    stage = GlobeStage.model_validate_json(config)
    with runtime.stage_run(
        "figures",
        stage,
        outputs={"figure": output},
        inputs=runtime.named(maps, truth=truth, ensemble=ensemble),
        log=log,
        marker=None,
        title="The gradient of the sea surface",
        wildcards={"domain": domain, "figure": "globe"},
    ) as run:
        day = stage.day.isoformat()
        grid = io.read_maps(truth).grid
        shown = {"truth": open_netcdf(truth)}
        shown |= {method_look(path.stem).label: open_netcdf(path) for path in maps}
        fields = fields_of_day(day, shown, None if ensemble is None else open_netcdf(ensemble))
        boxes = spread_boxes(stage.regions, ("gulf_stream", "agulhas", "kuroshio"))
        write_figure(globe_panels(fields, grid, boxes, day), output, stage.dpi)
        run.artifacts.append(str(output))


if __name__ == "__main__":
    typer.run(main)
