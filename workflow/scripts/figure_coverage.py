"""Draw how much of the ocean the altimeters see, and where."""

import pandas as pd
import typer

from pipeline_spde import runtime
from pipeline_spde.figures import coverage as drawing
from pipeline_spde.files import load_netcdf, write_figure
from pipeline_spde.stages import FiguresStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    coverage: runtime.FileOption,
    tracks: runtime.FileOption,
    grid: runtime.FileOption,
    output: runtime.FileOption,
    tracks_output: runtime.FileOption,
    log: runtime.LogOption = None,
) -> None:
    """Coverage per day, and the ground tracks of the days of the map panels."""
    stage = FiguresStage.model_validate_json(config)
    with runtime.stage_run(
        "figures",
        stage,
        outputs={"series": output, "tracks": tracks_output},
        inputs={"coverage": coverage, "tracks": tracks, "grid": grid},
        log=log,
        marker=None,
        title="Coverage by the altimeters",
        wildcards={"domain": domain, "figure": "coverage"},
    ) as run:
        table = pd.read_csv(coverage, parse_dates=["time"])
        samples = table.filter(like="samples_").rename(columns=lambda c: c.removeprefix("samples_"))
        samples.insert(0, "time", table["time"])
        write_figure(drawing.coverage_series(table, samples), output, stage.dpi)
        land = load_netcdf(grid)["land"]
        figure = drawing.track_map(load_netcdf(tracks), stage.lat, stage.lon, stage.days, land)
        write_figure(figure, tracks_output, stage.dpi)
        run.artifacts += [str(output), str(tracks_output)]


if __name__ == "__main__":
    typer.run(main)
