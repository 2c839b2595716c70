"""Score the maps of one method: against the truth, or on the tracks of the withheld missions."""

import pandas as pd
import typer

from pipeline_spde import io, runtime
from pipeline_spde.files import load_netcdf, write_json, write_text
from pipeline_spde.scores.along_track import score_tracks
from pipeline_spde.scores.protocols import score_maps
from pipeline_spde.stages import ScoresStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    maps: runtime.FileOption,
    reference: runtime.FileOption,
    daily: runtime.FileOption,
    output: runtime.FileOption,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write every protocol that applies, with intervals, and the daily series."""
    stage = ScoresStage.model_validate_json(config)
    row = {"domain": domain, "task": stage.task.name, "method": stage.method}
    with runtime.stage_run(
        "scores",
        stage,
        outputs={"scores": output, "daily": daily},
        inputs={"maps": maps, "reference": reference},
        log=log,
        marker=tracking,
        title="Scores",
        wildcards=row,
    ) as run:
        estimate = load_netcdf(maps)
        quantity = estimate.attrs["quantity"]
        common = {
            "estimate": estimate[quantity],
            "std": estimate.get(f"{quantity}_std"),
            **stage.settings(),
        }
        if stage.withheld:
            tracks = io.read_tracks(reference).of_missions(stage.withheld)
            tracks = tracks.between(stage.period.start, stage.period.end)
            result = score_tracks(
                time=tracks.time,
                lat=tracks.lat,
                lon=tracks.lon,
                height=tracks.height,
                pass_id=tracks.pass_id,
                height_error=tracks.error,
                **common,
            )
        else:
            truth = io.read_maps(reference).between(stage.period.start, stage.period.end)
            names = stage.scores.protocols
            result = score_maps(truth=truth.to_dataset()[quantity], protocols=names, **common)
        write_text(daily, pd.DataFrame(result["daily"]).to_csv(index=False))
        write_json(output, row | {"observations": list(stage.missions)} | result)
        run.metrics |= runtime.score_values(result)


if __name__ == "__main__":
    typer.run(main)
