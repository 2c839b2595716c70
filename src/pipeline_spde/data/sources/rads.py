"""Reader of along-track sea level anomalies extracted from RADS, several missions in one file.

Layout: one dimension; variables `time`, `lat`, `lon`, `sla` (units m, cm or mm) and `mission` with
the codes 0 CryoSat-2, 1 Jason-3, 2 SARAL, 3 Sentinel-3A.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.config import DomainConfig
from pipeline_spde.data.sources import (
    number_passes,
    require_overlap,
    sorted_without_duplicates,
    to_degrees,
    to_instants,
    to_metres,
)
from pipeline_spde.data.sources.opening import Header, load_decoded
from pipeline_spde.data.sources.presence import require_samples
from pipeline_spde.fields import Day, Tracks
from pipeline_spde.files import DataError

logger = logging.getLogger(__name__)

MISSION_CODES = {"cryosat2": 0, "jason3": 1, "saral": 2, "sentinel3a": 3}
# One anomaly in a hundred exceeds 0.5 m in the North Atlantic; noise alone makes that 5 cm.
PLAUSIBLE_SLA_M = (0.01, 3.0)
_VARIABLES = ("time", "lat", "lon", "sla", "mission")


def is_tracks(header: Header) -> bool:
    """Return True for a file of this layout."""
    return header.has(*_VARIABLES) and header.ndim("sla") == 1 and not header.has("obs_error")


def read(
    path: str | Path,
    missions: Sequence[str],
    lat: tuple[float, float],
    lon: tuple[float, float],
    period: tuple[Day, Day],
    error_m: float = 0.03,
) -> Tracks:
    """Return the anomalies of some missions in a box and period.

    Samples without height or position are dropped, unsorted ones sorted, exact duplicates dropped
    (with a log line), longitudes wrapped to [-180, 180). Pass numbers count the passes of each
    mission over the region of the file from its start; they do not depend on box and period.

    Args:
        path: the file.
        missions: keys of `MISSION_CODES`, in the order wanted.
        lat: (south, north) in degrees.
        lon: (west, east) in degrees, on any circle.
        period: first and last day, both included.
        error_m: standard deviation of the noise of a 1-Hz sample in m.

    Raises:
        FileNotFoundError: no such file.
        DataError: truncated file, missing variable, unusable units or values, or nothing of the
            missions in the box and period.
        ValueError: unknown or repeated mission, error that is not positive.
    """
    path = Path(path)
    _check_request(missions, error_m)
    columns = sorted_without_duplicates(_complete_samples(path, missions), path)
    passes = _pass_numbers(columns)
    keep = require_overlap(
        columns["time"], columns["lat"], columns["lon"], (lat, lon), period, path
    )
    held = {name: values[keep] for name, values in columns.items()}
    codes = np.array([MISSION_CODES[name] for name in missions])
    for name, code in zip(missions, codes, strict=True):
        if not np.any(held["mission"] == code):
            logger.warning("%s: no sample of %s in the box and period", path, name)
    size = held["time"].size
    return Tracks(
        time=held["time"],
        lat=held["lat"],
        lon=held["lon"],
        height=held["sla"].astype(np.float32),
        error=np.full(size, error_m, np.float32),
        mission=np.argmax(held["mission"][:, None] == codes, axis=1).astype(np.int8),
        missions=tuple(missions),
        pass_id=passes[keep],
        quantity="sla",
        cross_track=np.zeros(size, np.float32),
    )


def check(path: str | Path, domain: DomainConfig) -> None:
    """Refuse a file that cannot serve a domain before any work is done with it.

    The samples are read, so that a damaged body, wrong units and heights that are none are found.
    Then every mission must have samples in the box, the mapped ones together from end to end of
    the periods of evaluation, validation and training, and each withheld one in the evaluation.

    Args:
        path: the file.
        domain: its box, missions and periods.

    Raises:
        FileNotFoundError, DataError, ValueError: as in `read`.
        DataError: samples are missing where the domain needs them.
    """
    path, available = Path(path), domain.periods.available
    missions = (*domain.missions, *domain.withheld)
    _check_request(missions, error_m=1.0)
    columns = _complete_samples(path, missions)
    place = columns["time"], columns["lat"], columns["lon"]
    box, whole = (domain.lat, domain.lon), (available.start, available.end)
    held = require_overlap(*place, box, whole, path)
    days = columns["time"][held].astype("datetime64[D]")
    seen = {
        name: np.unique(days[columns["mission"][held] == MISSION_CODES[name]]) for name in missions
    }
    require_samples(seen, domain, path)


def _check_request(missions: Sequence[str], error_m: float) -> None:
    unknown = sorted(set(missions) - set(MISSION_CODES))
    if unknown or not missions or len(set(missions)) != len(missions):
        raise ValueError(
            f"missions {list(missions)}: name each of {', '.join(MISSION_CODES)} at most once"
            + (f"; {unknown} are not in files of this layout" if unknown else "")
        )
    if not error_m > 0:
        raise ValueError(f"error_m must be positive, got {error_m}")


def _check_layout(data: xr.Dataset, path: Path) -> None:
    """Refuse variables of unlike shape, an empty file and mission codes that mean others."""
    shapes = {name: data[name].shape for name in _VARIABLES}
    if len(set(shapes.values())) != 1 or len(data["time"].shape) != 1:
        raise DataError(f"{path}: expected 1-D variables of one length, found shapes {shapes}")
    if data["time"].size == 0:
        raise DataError(f"{path}: the file holds no sample; get it again")
    meanings = str(data["mission"].attrs.get("flag_meanings", "")).lower().split()
    named = ["".join(filter(str.isalnum, word)) for word in meanings]
    for name, code in MISSION_CODES.items():
        if named and (code >= len(named) or not named[code].startswith(name)):
            raise DataError(
                f"{path}: attribute flag_meanings of mission reads {meanings}; this layout has "
                f"code {code} for {name}: recode the file"
            )


def _complete_samples(path: Path, missions: Sequence[str]) -> dict[str, NDArray]:
    """Return the samples of the missions that have an instant, a position and a height."""
    data = load_decoded(path, _VARIABLES)
    _check_layout(data, path)
    lat, lon = to_degrees(data["lat"], data["lon"], path)
    columns = {
        "time": to_instants(data["time"], path),
        "lat": lat,
        "lon": lon,
        "sla": to_metres(data["sla"], path, PLAUSIBLE_SLA_M),
        "mission": data["mission"].values,
    }
    wanted = np.isin(columns["mission"], [MISSION_CODES[name] for name in missions])
    if not wanted.any():
        codes = np.unique(columns["mission"])
        raise DataError(f"{path}: no sample of {list(missions)}; the file holds codes {codes}")
    complete = ~np.isnat(columns["time"])
    for name in ("lat", "lon", "sla"):
        complete &= np.isfinite(columns[name])
    if not (wanted & complete).any():
        raise DataError(f"{path}: every sample of {list(missions)} misses time, place or height")
    dropped = int((wanted & ~complete).sum())
    if dropped:
        logger.info("%s: %d samples without time, place or height dropped", path, dropped)
    return {name: values[wanted & complete] for name, values in columns.items()}


def _pass_numbers(columns: dict[str, NDArray]) -> NDArray[np.int32]:
    """Return the pass of each time-sorted sample, counted for each mission."""
    passes = np.zeros(columns["time"].size, np.int32)
    for code in np.unique(columns["mission"]):
        of_mission = columns["mission"] == code
        passes[of_mission] = number_passes(columns["time"][of_mission], columns["lat"][of_mission])
    return passes
