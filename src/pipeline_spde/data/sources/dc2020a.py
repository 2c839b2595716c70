"""The 2020a challenge (OSSE, NATL60-CJM165 in the Gulf Stream): reference, observations, maps.

| what | files | variable | stamps |
| --- | --- | --- | --- |
| reference | `dc_ref/NATL60-CJM165_GULFSTREAM_yYYYYmMMdDD.1h_SSH.nc` | `sossheig` | hourly, hh:30 |
| observations | `dc_obs/2020a_SSH_mapping_NATL60_*.nc` | `ssh_model` | instants |
| maps | `2020a_SSH_mapping_NATL60_<method>_*.nc` | `gssh`, `ssh_mod` or `ssh` | 00:00 or 12:00 |

Heights are model SSH in m (not anomalies; their mean is about 0.3 m). Observations are the model on
the track, without noise. The reference becomes daily means (24 hourly fields) at 12:00.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline_spde.data.sources import metres_per_unit
from pipeline_spde.data.sources.gridded import read_maps
from pipeline_spde.data.sources.opening import (
    FilePaths,
    Header,
    decoded,
    header_of,
    list_files,
    numbers,
    open_raw,
)
from pipeline_spde.data.sources.samples import (
    Samples,
    assign_missions,
    read_tracks,
    swath_samples,
)
from pipeline_spde.data.sources.selection import Selection
from pipeline_spde.data.sources.survey import GridLayout
from pipeline_spde.data.sources.times import Midnight, read_instants
from pipeline_spde.fields import Day, Maps, Tracks
from pipeline_spde.files import DataError

# Part of the file name -> mission; the short ones are those of the OceanBench registry.
MISSION_FILES = {
    "topex-poseidon_interleaved": "topex_interleaved",
    "jason1": "jason1",
    "geosat2": "geosat_follow_on",
    "envisat": "envisat",
    "nadir_swot": "swot_nadir",
    "karin_swot": "swot_karin",
    "tpn": "topex_interleaved",
    "j1": "jason1",
    "g2": "geosat_follow_on",
    "en": "envisat",
    "swot": "swot_nadir",
}
_REFERENCE = GridLayout(heights=("sossheig",), quantity="ssh", assumed_units="m")
_HEIGHT = "ssh_model"


def is_reference(header: Header) -> bool:
    """Return True for a file of the hourly reference."""
    return header.ndim("sossheig") == 3 and header.ndim("lat") == 1 and header.ndim("lon") == 1


def is_observations(header: Header) -> bool:
    """Return True for a file of nadir or KaRIn observations."""
    return header.ndim(_HEIGHT) in (1, 2) and header.has("time", "lat", "lon")


def is_maps(header: Header) -> bool:
    """Return True for a submitted map of the challenge."""
    return header.ndim("gssh") == 3 or (header.named("2020a_SSH_mapping") and header.has("lat"))


def read_reference(
    path: FilePaths,
    lat: tuple[float, float] | None = None,
    lon: tuple[float, float] | None = None,
    period: tuple[Day, Day] | None = None,
    every: int = 1,
) -> Maps:
    """Return the daily means of the hourly reference.

    Args:
        path: the folder `dc_ref`, a file or several; one day each.
        lat: (south, north) in degrees; None: all.
        lon: (west, east) in degrees, on any circle; None: all.
        period: first and last day; None: all.
        every: keep every n-th row and column (3 gives the 1/20° grid of the published scores).

    Raises:
        FileNotFoundError, DataError, ValueError: as in `gridded.read_maps`.
    """
    folder = isinstance(path, str | Path) and Path(path).is_dir()
    files = list_files(path, "*_SSH.nc") if folder else list_files(path)
    return read_maps(files, _REFERENCE, Selection(lat, lon, period), every)


def read_maps_of_method(
    path: FilePaths,
    lat: tuple[float, float] | None = None,
    lon: tuple[float, float] | None = None,
    period: tuple[Day, Day] | None = None,
    midnight: Midnight = "label",
) -> Maps:
    """Return the submitted maps of a method (DUACS, MIOST, BFN, DYMOST, 4DVarNet, the baseline).

    Maps several times a day are averaged. Maps stamped 00:00 are read as those of the day; the
    baseline's are instants, for which `midnight="instant"` averages two consecutive ones. The
    published scores take the stamp as it stands: half a day off the reference.

    Args:
        path: a file or several.
        lat: (south, north) in degrees; None: all.
        lon: (west, east) in degrees, on any circle; None: all.
        period: first and last day; None: all.
        midnight: what 00:00 stands for (`times`).

    Raises:
        FileNotFoundError, DataError, ValueError: as in `gridded.read_maps`.
    """
    layout = GridLayout(("gssh", "ssh", "ssh_mod", "sossheig"), "ssh", midnight, "m")
    return read_maps(list_files(path), layout, Selection(lat, lon, period))


def read_observations(
    path: FilePaths,
    missions: Sequence[str] | None = None,
    lat: tuple[float, float] | None = None,
    lon: tuple[float, float] | None = None,
    period: tuple[Day, Day] | None = None,
    error_m: float = 0.01,
) -> Tracks:
    """Return the nadir and KaRIn observations of the challenge.

    Args:
        path: the folder `dc_obs`, a file or several; one mission each.
        missions: in the order wanted: topex_interleaved, jason1, geosat_follow_on, envisat,
            swot_nadir, swot_karin; None: all that are there.
        lat: (south, north) in degrees; None: all.
        lon: (west, east) in degrees, on any circle; None: all.
        period: first and last day; None: all.
        error_m: standard deviation given to the samples. They carry no noise: what remains is
            the interpolation from the model grid.

    Raises:
        FileNotFoundError, DataError, ValueError: as in `samples.read_tracks`.
    """
    files = assign_missions(list_files(path), MISSION_FILES, missions)
    for mission, file in files:
        if mission == "swot_karin":
            _require_swath(file)
    return read_tracks(files, _read_file, "ssh", Selection(lat, lon, period), error_m)


def _require_swath(path: Path) -> None:
    with open_raw(path, (_HEIGHT,)) as data:
        if data[_HEIGHT].ndim != 2:
            raise DataError(
                f"{path}: the name says KaRIn, but {_HEIGHT} is on {dict(data[_HEIGHT].sizes)}, "
                "not on lines and pixels: the file of another mission? Get it again"
            )


def _read_file(path: Path) -> Samples:
    with open_raw(path, ("time", "lat", "lon", _HEIGHT)) as data:
        array = decoded(data, _HEIGHT, path)
        height = numbers(array, path) * metres_per_unit(array, path, "m")
        lat, lon = (numbers(decoded(data, name, path), path) for name in ("lat", "lon"))
        time = read_instants(data, "time", path)
        if height.ndim != 2:
            return Samples(path, time, lat, lon, height)
        if "x_ac" not in header_of(data, path).dims:
            raise DataError(f"{path}: no x_ac (distance across the track) for the pixels")
        across = numbers(decoded(data, "x_ac", path), path)
    return swath_samples(path, time, lat, lon, height, across)
