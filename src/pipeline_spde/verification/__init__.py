"""Scores of anybody's maps: files in, every protocol that applies out.

score_against_truth   NetCDF maps or an ensemble against maps of the truth (OSSE)
score_against_tracks  … against independent along-track measurements (OSE)
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr

from pipeline_spde import io
from pipeline_spde.data.sources.opening import read_header
from pipeline_spde.data.sources.selection import Selection
from pipeline_spde.files import sha256
from pipeline_spde.scores.along_track import score_tracks
from pipeline_spde.scores.legacy_tracks import TRACK_PROTOCOLS, score_legacy_tracks
from pipeline_spde.scores.protocols import score_maps
from pipeline_spde.verification.blocks import score_in_blocks
from pipeline_spde.verification.estimate import arguments
from pipeline_spde.verification.gridded import GridRequest, MapFiles, open_maps, restricted
from pipeline_spde.verification.request import (
    ON_TRACKS,
    ON_TRUTH,
    RequestError,
    Scoring,
    as_midnight,
    as_place,
    as_quantity,
    selection,
)
from pipeline_spde.verification.samples import TrackRequest, read_samples, require_same_surface

__all__ = [
    "ON_TRACKS",
    "ON_TRUTH",
    "GridRequest",
    "RequestError",
    "Scoring",
    "TrackRequest",
    "as_midnight",
    "as_place",
    "as_quantity",
    "loaded_pair",
    "score_against_tracks",
    "score_against_truth",
    "selection",
]

logger = logging.getLogger(__name__)

# Arrays of the size of the scored maps that exist at once while every protocol is scored.
_COPIES = 24


def score_against_truth(
    maps: GridRequest, truth: GridRequest, scoring: Scoring, name: str | None = None
) -> dict[str, Any]:
    """Return the scores of maps against a known truth as the content of a score file.

    Maps that fit into memory have every score of `scores.score_maps`; of larger ones the pooled
    scores are given and the reason why λ is left out.

    Args:
        maps: the maps, with members or a standard deviation or without.
        truth: maps of the truth; its box and period are scored.
        scoring: how to score.
        name: of the method; None: the name of the first file.

    Raises:
        RequestError: a protocol that does not apply.
        FileNotFoundError, DataError, ValueError: files that cannot be read, or that share no day
            or no cell.
    """
    protocols = scoring.chosen(ON_TRUTH, "a truth")
    true = open_maps(truth)
    found = restricted(open_maps(maps), _around(true), maps)
    require_same_surface(found.quantity, true.quantity, "the truth")
    days = true.days.size
    needed = _COPIES * days * true.day_bytes + 2 * found.days.size * found.day_bytes
    # what netCDF files are read with is not safe in threads, and one day at a time is the point
    with dask.config.set(scheduler="synchronous"):
        if needed <= scoring.allowed_bytes():
            content = score_maps(
                truth=true.dataset()[true.quantity].load(),
                protocols=protocols,
                margin_degrees=scoring.margin_degrees,
                **arguments(found, found.dataset().load()),
                **scoring.intervals,
            )
        else:
            reason = (
                f"left out: spectra of {days} days need about {needed / 2**30:.2g} GiB, "
                f"{scoring.allowed_bytes() / 2**30:.2g} GiB are allowed; choose a box or a period"
            )
            logger.warning("scored in blocks of days; λ %s", reason)
            content = score_in_blocks(found, true, protocols, scoring, reason)
    return _file_content(
        content, found, name, "truth", true.paths, {"variable": true.variable}, scoring
    )


def score_against_tracks(
    maps: GridRequest, tracks: TrackRequest, scoring: Scoring, name: str | None = None
) -> dict[str, Any]:
    """Return the scores of maps against along-track measurements that they have not seen.

    Args:
        maps: the maps, with members or a standard deviation or without.
        tracks: the measurements; those in the maps' box and period are used.
        scoring: how to score.
        name: of the method; None: the name of the first file.

    Raises:
        RequestError, FileNotFoundError, DataError, ValueError: as in `score_against_truth`.
    """
    protocols = scoring.chosen(ON_TRACKS, "tracks")
    if tracks.sigma_m is not None and not tracks.sigma_m > 0:
        raise RequestError(f"the measurements' error must be positive, got {tracks.sigma_m} m")
    found = open_maps(maps)
    measured, paths, source = read_samples(tracks, found)
    require_same_surface(found.quantity, measured.quantity, "the measurements")
    place: dict[str, Any] = {
        "time": measured.time,
        "lat": measured.lat,
        "lon": measured.lon,
        "height": measured.height,
    }
    with dask.config.set(scheduler="synchronous"):
        data = found.dataset()
        if 4 * found.days.size * found.day_bytes <= scoring.allowed_bytes():
            data = data.load()
        given = arguments(found, data)
        content = score_tracks(
            **place,
            **given,
            pass_id=_passes(measured.pass_id, measured.mission),
            height_error=measured.error,
            margin_degrees=scoring.margin_degrees,
            **scoring.intervals,
        )
        legacy = [protocol for protocol in protocols if protocol in TRACK_PROTOCOLS]
        missions = [measured.missions[i] for i in np.unique(measured.mission)]
        others = score_legacy_tracks(
            **place,
            estimate=given["estimate"],
            protocols=legacy,
            missions=missions,
            **scoring.intervals,
        )
    scored = others | content["protocols"]
    content["protocols"] = {key: scored[key] for key in protocols}
    about = {
        "source": source,
        "missions": missions,
        "sigma_obs_m": float(np.sqrt(np.mean(measured.error.astype(np.float64) ** 2))),
    }
    return _file_content(content, found, name, "tracks", paths, about, scoring)


def _around(truth: MapFiles) -> Selection:
    """Return the box and period of a truth with a margin of two of its cells and a day."""
    lat, lon = truth.survey.lat, truth.survey.lon
    day = np.timedelta64(1, "D")
    step = 2.0 * (lat.values[1] - lat.values[0]), 2.0 * (lon.values[1] - lon.values[0])
    return Selection(
        (float(lat.values[0] - step[0] - 1.0), float(lat.values[-1] + step[0] + 1.0)),
        None
        if lon.periodic or lon.values[-1] - lon.values[0] + 2 * (step[1] + 1.0) >= 360.0
        else (float(lon.values[0] - step[1] - 1.0), float(lon.values[-1] + step[1] + 1.0)),
        (truth.survey.plan.days[0] - day, truth.survey.plan.days[-1] + day),
    )


def _passes(pass_id: np.ndarray, mission: np.ndarray) -> np.ndarray:
    """Return numbers that tell passes of all missions apart."""
    return pass_id.astype(np.int64) + mission.astype(np.int64) * (int(pass_id.max()) + 1)


def _file_content(
    content: Mapping[str, Any],
    maps: MapFiles,
    name: str | None,
    against: str,
    paths: Sequence[Path],
    about: Mapping[str, Any],
    scoring: Scoring,
) -> dict[str, Any]:
    """Return scores with the row of the table they make and where they come from."""
    header = read_header(maps.paths[0])
    observed = header.about.get("observations", header.about.get("missions", "not stated"))
    return {
        "domain": paths[0].stem,
        "task": f"against {against}",
        "method": name or maps.paths[0].stem,
        "observations": str(observed),
        **content,
        "inputs": {
            "maps": {
                "source": maps.source,
                "quantity": maps.quantity,
                "variable": maps.variable,
                "members": maps.members if maps.member_dim else None,
                "further": maps.further,
                "files": _hashes(maps.paths),
            },
            against: {**about, "files": _hashes(paths)},
        },
        "settings": {
            "margin_degrees": scoring.margin_degrees,
            **scoring.intervals,
            "midnight": maps.survey.layout.midnight,
        },
        "code_version": io.code_version(),
    }


def _hashes(paths: Sequence[Path]) -> dict[str, str]:
    return {path.name: f"sha256 {sha256(path)}" for path in paths}


def loaded_pair(maps: GridRequest, truth: GridRequest) -> tuple[xr.DataArray, xr.DataArray]:
    """Return truth and maps in memory, for figures."""
    true = open_maps(truth)
    found = restricted(open_maps(maps), _around(true), maps)
    with dask.config.set(scheduler="synchronous"):
        estimate = arguments(found, found.dataset().load())["estimate"]
        return true.dataset()[true.quantity].load(), estimate
