"""Draw the gradient of the sea surface of truth and maps, with regions enlarged."""

from pathlib import Path

import numpy as np
import typer

from pipeline_spde import io, runtime
from pipeline_spde.figures.globe import globe_panels, spread_boxes
from pipeline_spde.figures.members import MEAN, heights_of_day
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
        true = io.read_maps(truth).between(day, day)
        fields = {"truth": true.height[0].astype(np.float64)}
        for path in maps:
            one = io.read_maps(path).between(day, day)
            fields[method_look(path.stem).label] = one.height[0].astype(np.float64)
        if ensemble is not None:
            with open_netcdf(ensemble) as data:
                found = heights_of_day(day, data)
            fields |= {name: field for name, field in found.items() if name != MEAN}
        boxes = spread_boxes(stage.regions, ("gulf_stream", "agulhas", "kuroshio"))
        write_figure(globe_panels(fields, true.grid, boxes, day), output, stage.dpi)
        run.artifacts.append(str(output))


if __name__ == "__main__":
    typer.run(main)
