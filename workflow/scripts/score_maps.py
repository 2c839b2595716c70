"""Score the maps of one method: against the truth, or on the tracks of the withheld missions."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import typer
import xarray as xr

from pipeline_spde import io, runtime
from pipeline_spde.files import load_netcdf, open_netcdf, write_json, write_text
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
    ensemble: Path | None = None,
    reference_maps: Path | None = None,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write every protocol that applies, with intervals, and the daily series.

    Members are read from disk a day at a time. REFERENCE_MAPS: the tuned OI, to be beaten in CRPS.
    """
    stage = ScoresStage.model_validate_json(config)
    row = {"domain": domain, "task": stage.task.name, "method": stage.method}
    others = {"reference": reference, "ensemble": ensemble, "reference_maps": reference_maps}
    with runtime.stage_run(
        "scores",
        stage,
        outputs={"scores": output, "daily": daily},
        inputs=runtime.named([], maps=maps, **others),
        log=log,
        marker=tracking,
        title="Scores",
        wildcards=row,
    ) as run:
        with open_netcdf(ensemble) if ensemble else nullcontext() as members:
            result = score(stage, load_netcdf(maps), reference, members, reference_maps)
        write_text(daily, pd.DataFrame(result["daily"]).to_csv(index=False))
        write_json(output, row | {"observations": list(stage.missions)} | result)
        run.metrics |= runtime.score_values(result)


def score(
    stage: ScoresStage,
    estimate: xr.Dataset,
    reference: Path,
    ensemble: xr.Dataset | None,
    reference_maps: Path | None,
) -> dict[str, Any]:
    """Return the scores against the tracks of withheld missions if there are any, or the truth."""
    quantity = estimate.attrs["quantity"]
    common = {
        "estimate": estimate[quantity],
        "std": estimate.get(f"{quantity}_std"),
        "ensemble": ensemble,
        "reference": load_netcdf(reference_maps) if reference_maps else None,
        **stage.settings(),
    }
    start, end = stage.period.start, stage.period.end
    if not stage.withheld:
        truth = io.read_maps(reference).between(start, end).to_dataset()[quantity]
        return score_maps(truth=truth, **stage.against_truth(), **common)
    tracks = io.read_tracks(reference).of_missions(stage.withheld).between(start, end)
    return score_tracks(
        time=tracks.time,
        lat=tracks.lat,
        lon=tracks.lon,
        height=tracks.height,
        pass_id=tracks.pass_id,
        height_error=tracks.error,
        **common,
    )


if __name__ == "__main__":
    typer.run(main)
