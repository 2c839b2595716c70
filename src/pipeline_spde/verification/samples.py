"""Files of along-track measurements, whatever data set they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_spde import io
from pipeline_spde.data.sources import SOURCES
from pipeline_spde.data.sources.opening import read_header
from pipeline_spde.fields import Day, Quantity, Tracks
from pipeline_spde.files import DataError
from pipeline_spde.verification.gridded import MapFiles, expanded

# What the readers of the sources can be told, beside box and period.
_OPTIONS = {
    "cmems_l3": ("missions", "quantity"),
    "tracks": ("missions", "quantity", "variable"),
    "dc2020a_observations": ("missions",),
    "dc2021a_observations": ("missions",),
    "rads": ("missions",),
    "swot_l3": ("quantity",),
}


@dataclass(frozen=True)
class TrackRequest:
    """What to read of files of measurements.

    Attributes:
        files: a file, a folder, a pattern, or several.
        missions: names; empty: all.
        variable: the heights; None: the one that is found.
        period: first and last day; None: those of the maps.
        sigma_m: standard deviation of the measurements' error in m; None: that of the file, or
            what the reader of the data set assumes.
    """

    files: Sequence[str | Path]
    missions: Sequence[str] = ()
    variable: str | None = None
    sigma_m: float | None = None
    period: tuple[Day, Day] | None = None


def read_samples(request: TrackRequest, maps: MapFiles) -> tuple[Tracks, list[Path], str]:
    """Return the measurements in the box and period of maps, the files and their data set.

    Raises:
        FileNotFoundError: no such file.
        DataError: the files hold no measurements, or none of these missions, box and period.
    """
    paths = list(expanded(request.files))
    header = read_header(paths[0])
    if header.has("obs_error", "mission", "pass"):
        tracks, source = _of_pipeline(paths, request), "pipeline_spde"
    else:
        source = next((name for name, s in SOURCES.items() if s.owns(header)), "")
        if not source or SOURCES[source].gives != "tracks":
            what = SOURCES[source].title if source else "no file of heights that is known"
            raise DataError(
                f"{paths[0]}: this is {what}; expected measurements along tracks with time, "
                "latitude, longitude and height"
            )
        given = paths[0] if len(paths) == 1 else paths
        tracks = SOURCES[source].read(given, **_told(source, request, maps))
    if request.period is not None:
        tracks = tracks.between(*request.period)
    if not len(tracks):
        raise DataError(f"{paths[0]}: no measurement of these missions in the maps' period")
    if request.sigma_m is not None:
        tracks = replace(tracks, error=np.full(len(tracks), request.sigma_m, np.float32))
    return tracks, paths, source


def _of_pipeline(paths: Sequence[Path], request: TrackRequest) -> Tracks:
    if len(paths) != 1:
        raise DataError(f"{paths[0].parent}: give one file of tracks that pipeline_spde wrote")
    tracks = io.read_tracks(paths[0])
    return tracks.of_missions(request.missions) if request.missions else tracks


def _told(source: str, request: TrackRequest, maps: MapFiles) -> dict[str, Any]:
    """Return the options of a reader: the maps' box, period and quantity, the missions."""
    lat, lon, days = maps.survey.lat, maps.survey.lon, maps.survey.plan.days
    step = lon.values[1] - lon.values[0]
    box = (float(lon.values[0]), float(lon.values[-1]))
    told: dict[str, Any] = {
        "lat": (float(lat.values[0]), float(lat.values[-1])),
        "lon": (box[0], box[0] + 360.0) if lon.periodic else (box[0], max(box[1], box[0] + step)),
        "period": (days[0], days[-1]),
    }
    known: dict[str, Any] = {
        "missions": list(request.missions) or None,
        "quantity": maps.quantity,
        "variable": request.variable,
    }
    for name in _OPTIONS.get(source, ()):
        if known[name] is not None:
            told[name] = known[name]
    if told.get("quantity") == "ssh" and source != "tracks":
        told["quantity"] = "adt"  # real altimeters have no model height
    if source == "rads" and not request.missions:
        raise DataError(f"{request.files[0]}: name the missions of this file that are wanted")
    if source == "tracks" and request.variable is None:
        del told["quantity"]  # as the file says: compared with the maps' afterwards
    return told


def require_same_surface(quantity: Quantity, other: Quantity, what: str) -> None:
    """Refuse anomalies scored against absolute heights."""
    if (quantity == "sla") != (other == "sla"):
        raise DataError(
            f"the maps hold {quantity}, {what} {other}: an anomaly and an absolute height have "
            "different reference surfaces; add or subtract the mean, or state the quantity"
        )
