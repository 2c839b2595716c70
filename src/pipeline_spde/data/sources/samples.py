"""Along-track and swath files as `fields.Tracks`: one mission per file, many files, box and period.

A format module turns each file into `Samples`; what all have in common is done here: incomplete
samples are dropped, unsorted ones sorted, duplicates dropped, passes numbered, missions joined.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.data.sources import (
    PLAUSIBLE_HEIGHT_M,
    number_passes,
    require_plausible,
    sorted_without_duplicates,
)
from pipeline_spde.data.sources.selection import Selection
from pipeline_spde.fields import Quantity, Tracks
from pipeline_spde.files import DataError
from pipeline_spde.grids import wrap_longitude

logger = logging.getLogger(__name__)

# Codes of the missions in the names of public files, and the names of the package.
MISSION_CODES = {
    "tpn": "topex_interleaved",
    "tp": "topex",
    "j1": "jason1",
    "j1n": "jason1_new",
    "j1g": "jason1_geodetic",
    "g2": "geosat_follow_on",
    "en": "envisat",
    "enn": "envisat_new",
    "e1": "ers1",
    "e2": "ers2",
    "al": "saral",
    "alg": "saral",
    "c2": "cryosat2",
    "c2n": "cryosat2",
    "j2": "jason2",
    "j2n": "jason2_new",
    "j2g": "jason2_geodetic",
    "j3": "jason3",
    "j3n": "jason3_new",
    "s3a": "sentinel3a",
    "s3b": "sentinel3b",
    "s6a": "sentinel6a",
    "h2a": "haiyang2a",
    "h2ag": "haiyang2a_geodetic",
    "h2g": "haiyang2a_geodetic",
    "h2b": "haiyang2b",
    "swon": "swot_nadir",
    "swonc": "swot_nadir",
}


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples of one file, as they stand in it.

    Attributes:
        path: the file.
        time: instants, NaT where missing, shape (obs,).
        lat: degrees north, NaN where missing, shape (obs,).
        lon: degrees east on any circle, NaN where missing, shape (obs,).
        height: m, NaN where missing, shape (obs,).
        pass_id: number of the pass where the file has it, shape (obs,).
        cross_track: signed distance from nadir in km, shape (obs,); None for a nadir altimeter.
    """

    path: Path
    time: NDArray[np.datetime64]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    height: NDArray[np.float64]
    pass_id: NDArray[np.int64] | None = None
    cross_track: NDArray[np.float64] | None = None

    def columns(self) -> dict[str, NDArray]:
        """Return the columns that are there, by name."""
        names = ("time", "lat", "lon", "height", "pass_id", "cross_track")
        return {n: getattr(self, n) for n in names if getattr(self, n) is not None}


def swath_samples(
    path: Path,
    time: NDArray[np.datetime64],
    lat: NDArray[np.float64],
    lon: NDArray[np.float64],
    height: NDArray[np.float64],
    cross_track: NDArray[np.float64],
) -> Samples:
    """Return the pixels of a swath as samples, passes numbered by the lines.

    Args:
        path: the file.
        time: instants of the lines, shape (line,).
        lat: degrees north, shape (line, pixel).
        lon: degrees east, shape (line, pixel).
        height: m, NaN where missing, shape (line, pixel).
        cross_track: km, shape (pixel,) or (line, pixel).

    Raises:
        DataError: shapes that do not fit together.
    """
    shape = (time.size, lat.shape[-1] if lat.ndim == 2 else 0)
    across = np.broadcast_to(cross_track, shape) if cross_track.shape[-1:] == shape[1:] else None
    if across is None or not lat.shape == lon.shape == height.shape == shape:
        raise DataError(
            f"{path}: a swath has lines and pixels; found time {time.shape}, lat {lat.shape}, "
            f"lon {lon.shape}, height {height.shape}, cross-track distance {cross_track.shape}"
        )
    order = np.argsort(time, kind="stable")
    sorted_time = time[order]
    number = np.zeros(time.size, np.int64)
    seen = ~np.isnat(sorted_time) & np.isfinite(lat[order]).any(axis=1)
    number[seen] = number_passes(sorted_time[seen], _line_latitudes(lat[order][seen]))
    y, x, h = (a[order].ravel() for a in (lat, lon, height))
    return Samples(
        path=path,
        time=np.repeat(sorted_time, shape[1]),
        lat=y,
        lon=x,
        height=h,
        pass_id=np.repeat(number, shape[1]),
        cross_track=across[order].ravel().astype(np.float64),
    )


def _line_latitudes(lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return latitudes of the lines of a swath (line, pixel) that rise and fall with the track.

    Near coasts lines lack other pixels than their neighbours, so that the mean of their latitudes
    may turn where the track does not: the steps of the pixels that both have are added up.
    """
    step = np.diff(lat, axis=0)
    known = np.isfinite(step)
    mean = np.where(known, step, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.concatenate([np.zeros(min(lat.shape[0], 1)), np.cumsum(mean)])


def read_tracks(
    files: Sequence[tuple[str, Path]],
    read_file: Callable[[Path], Samples],
    quantity: Quantity,
    selection: Selection,
    error_m: float | Mapping[str, float],
    plausible_m: tuple[float, float] = PLAUSIBLE_HEIGHT_M,
) -> Tracks:
    """Return the samples of some missions, each from one file or more.

    Args:
        files: (mission, file), in the order in which the missions are wanted.
        read_file: returns the samples of one file.
        quantity: what the heights are.
        selection: box and period.
        error_m: standard deviation of the noise of a sample in m, of all missions or of each.
        plausible_m: as in `require_plausible`.

    Raises:
        DataError: a file is unusable, or no mission has a sample in the selection.
        ValueError: an error that is not positive.
    """
    missions = tuple(dict.fromkeys(mission for mission, _ in files))
    errors = error_m if isinstance(error_m, Mapping) else dict.fromkeys(missions, error_m)
    for name in missions:
        if not errors.get(name, 0) > 0:
            raise ValueError(f"error_m of {name} must be positive, got {errors.get(name)}")
    held: list[str] = []
    parts: list[dict[str, NDArray]] = []
    for index, mission in enumerate(missions):
        paths = [path for name, path in files if name == mission]
        columns = _of_mission([read_file(path) for path in paths], plausible_m)
        keep = selection.samples(columns["time"], columns["lat"], columns["lon"])
        held.append(f"{mission}: {_extent(columns)}")
        if not keep.any():
            logger.warning("%s: no sample of %s in %s", paths[0], mission, selection)
        part = {name: values[keep] for name, values in columns.items()}
        part["mission"] = np.full(int(keep.sum()), index, np.int8)
        part["error"] = np.full(int(keep.sum()), errors[mission], np.float32)
        parts.append(part)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if joined["time"].size == 0:
        raise DataError(f"{files[0][1]}: no sample in {selection}; held are {'; '.join(held)}")
    order = np.argsort(joined["time"], kind="stable")
    return _tracks({name: v[order] for name, v in joined.items()}, missions, quantity)


def _tracks(columns: dict[str, NDArray], missions: tuple[str, ...], quantity: Quantity) -> Tracks:
    return Tracks(
        time=columns["time"],
        lat=columns["lat"],
        lon=columns["lon"],
        height=columns["height"].astype(np.float32),
        error=columns["error"],
        mission=columns["mission"],
        missions=missions,
        pass_id=columns["pass_id"].astype(np.int32),
        quantity=quantity,
        cross_track=columns["cross_track"].astype(np.float32),
    )


def _of_mission(parts: Sequence[Samples], plausible_m: tuple[float, float]) -> dict[str, NDArray]:
    """Return the complete samples of the files of one mission, sorted, passes numbered."""
    cleaned = [_complete(part, plausible_m) for part in parts]
    if any(part.pass_id is None for part in cleaned):
        cleaned = [replace(part, pass_id=None) for part in cleaned]
    elif all(part.cross_track is not None for part in cleaned):
        cleaned = _numbered_on(cleaned)
    columns = {
        name: np.concatenate([part.columns()[name] for part in cleaned])
        for name in cleaned[0].columns()
    }
    if "cross_track" in columns:
        return _sorted_pixels(columns, parts[0].path)
    columns = sorted_without_duplicates(columns, parts[0].path)
    columns["cross_track"] = np.zeros(columns["time"].size)
    _warn_of_shared_instants(columns["time"], parts[0].path)
    if "pass_id" not in columns:
        columns["pass_id"] = number_passes(columns["time"], columns["lat"])
    return columns


def _sorted_pixels(columns: dict[str, NDArray], path: Path) -> dict[str, NDArray]:
    """Return swath samples by time and place across the track; lines given twice are dropped."""
    order = np.lexsort((columns["cross_track"], columns["time"]))
    result = {name: values[order] for name, values in columns.items()}
    same = np.ones(max(order.size - 1, 0), bool)
    for name in ("time", "cross_track", "lat", "lon", "height"):
        same &= result[name][1:] == result[name][:-1]
    if same.any():
        logger.warning("%s: %d pixels given twice, dropped", path, int(same.sum()))
    keep = np.append(True, ~same)
    return {name: values[keep] for name, values in result.items()}


def _numbered_on(parts: Sequence[Samples]) -> list[Samples]:
    """Return swath files with pass numbers that go on from file to file."""
    numbered, first = [], 0
    for part in sorted(parts, key=lambda part: part.time[0]):
        assert part.pass_id is not None
        numbered.append(replace(part, pass_id=part.pass_id + first))
        first = int(part.pass_id.max()) + first + 1
    return numbered


def _complete(samples: Samples, plausible_m: tuple[float, float]) -> Samples:
    """Return the samples that have an instant, a position and a height.

    Raises:
        DataError: shapes that differ, none complete, positions off the Earth, heights that are
            not plausible.
    """
    path, columns = samples.path, samples.columns()
    shapes = {name: values.shape for name, values in columns.items()}
    if len(set(shapes.values())) != 1 or samples.time.ndim != 1:
        raise DataError(f"{path}: expected 1-D variables of one length, found shapes {shapes}")
    if samples.time.size == 0:
        raise DataError(f"{path}: the file holds no sample; get it again")
    complete = ~np.isnat(samples.time)
    for name in set(columns) - {"time"}:
        complete &= np.isfinite(columns[name])
    if not complete.any():
        raise DataError(f"{path}: every sample misses time, place or height; get the file again")
    if not complete.all() and samples.cross_track is None:
        logger.info(
            "%s: %d of %d samples without time, place or height dropped",
            path,
            int((~complete).sum()),
            complete.size,
        )
    kept = {name: values[complete] for name, values in columns.items()}
    _require_positions(kept["lat"], kept["lon"], path)
    require_plausible(kept["height"], "the height", "these units", path, plausible_m)
    kept["lon"] = wrap_longitude(kept["lon"])
    return Samples(path, **kept)


def _require_positions(lat: NDArray[np.float64], lon: NDArray[np.float64], path: Path) -> None:
    for name, values, low, high in (("latitudes", lat, -90, 90), ("longitudes", lon, -360, 720)):
        if values.min() < low or values.max() > high:
            raise DataError(
                f"{path}: {name} run from {values.min():g} to {values.max():g}, expected degrees "
                f"within [{low}, {high}]; are the coordinates swapped or scaled?"
            )


def _warn_of_shared_instants(time: NDArray[np.datetime64], path: Path) -> None:
    shared = int((np.diff(time) == np.timedelta64(0, "ns")).sum())
    if shared:
        logger.warning(
            "%s: %d samples share their instant with another one of the same altimeter",
            path,
            shared,
        )


def _extent(columns: Mapping[str, NDArray]) -> str:
    days = columns["time"].astype("datetime64[D]")
    lat, lon = columns["lat"], columns["lon"]
    return (
        f"{days[0]} to {days[-1]}, latitudes {lat.min():.2f} to {lat.max():.2f}, longitudes "
        f"{lon.min():.2f} to {lon.max():.2f}"
    )


def mission_of_file(path: Path, names: Mapping[str, str]) -> str | None:
    """Return the mission that the name of a file tells, or None.

    Args:
        path: the file.
        names: part of a file name -> mission; longer parts are tried first, and a part counts
            only between the separators _ - . or at an end.
    """
    for part in sorted(names, key=len, reverse=True):
        if re.search(rf"(^|[_.\-]){re.escape(part)}($|[_.\-])", path.stem, re.IGNORECASE):
            return names[part]
    return None


def assign_missions(
    files: Sequence[Path], names: Mapping[str, str], missions: Sequence[str] | None
) -> list[tuple[str, Path]]:
    """Return (mission, file) of the wanted missions, in the order wanted.

    A single file whose name tells no mission takes the single wanted mission, or its own name.

    Args:
        files: the files at hand.
        names: as in `mission_of_file`.
        missions: wanted; None for all that the files hold.

    Raises:
        DataError: no file of a wanted mission.
        ValueError: a mission named twice, or none.
    """
    if missions is not None and (not missions or len(set(missions)) != len(missions)):
        raise ValueError(f"missions {list(missions)}: name at least one, each once")
    spelled_out = {mission: mission for mission in names.values()} | dict(names)
    told = [(mission_of_file(path, spelled_out), path) for path in files]
    if len(files) == 1 and told[0][0] is None:
        only = missions[0] if missions is not None and len(missions) == 1 else None
        told = [(only or re.sub(r"\W+", "_", files[0].stem), files[0])]
    if missions is None:
        known = [(mission, path) for mission, path in told if mission is not None]
        if not known:
            raise DataError(f"{files[0].parent}: no file name tells a mission: {_names(files)}")
        return known
    absent = [mission for mission in missions if mission not in {name for name, _ in told}]
    if absent:
        raise DataError(
            f"{files[0].parent}: no file of {absent}; there are {_names(files)}, missions "
            f"{sorted({name for name, _ in told if name})}"
        )
    return [(wanted, path) for wanted in missions for name, path in told if name == wanted]


def _names(files: Sequence[Path]) -> list[str]:
    return [path.name for path in files[:8]] + (["…"] if len(files) > 8 else [])
