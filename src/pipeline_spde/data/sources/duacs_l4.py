"""Gridded level 4 of Copernicus Marine and AVISO (DUACS): daily or weekly maps of sla and adt.

Layout: (time, latitude, longitude), one map or more per file; `sla` and `adt` [m] as scaled
integers, `err_sla` or `err` [m] the formal mapping error; longitudes 0 to 360 or around the region.
Land and ice are missing.

Reference surface: `sla` is above the mean sea surface of the product's reference period, `adt`
above the geoid. Stamps are 00:00. Older versions state that the map is centred on that instant
(`time_coverage_start` 12:00 of the day before): see `midnight`.
"""

from __future__ import annotations

from typing import Literal

from pipeline_spde.data.sources.gridded import read_maps
from pipeline_spde.data.sources.opening import FilePaths, Header, list_files, read_header
from pipeline_spde.data.sources.selection import Selection
from pipeline_spde.data.sources.survey import GridLayout
from pipeline_spde.data.sources.times import Midnight
from pipeline_spde.fields import Day, Maps
from pipeline_spde.files import DataError

_PRODUCERS = r"duacs|aviso|copernicus|cmems|cls"
_FILE_NAMES = r"^(dt|nrt)_.*_(allsat|twosat)|phy_l4|duacs|aviso|cmems"
_ERRORS = ("err_sla", "err")


def is_maps(header: Header) -> bool:
    """Return True for a level-4 file: anomalies or topography that DUACS or AVISO made."""
    gridded = header.ndim("sla") == 3 or header.ndim("adt") == 3
    return gridded and (header.says(_PRODUCERS) or header.named(_FILE_NAMES))


def read(
    path: FilePaths,
    lat: tuple[float, float] | None = None,
    lon: tuple[float, float] | None = None,
    period: tuple[Day, Day] | None = None,
    quantity: Literal["sla", "adt"] | None = None,
    midnight: Midnight = "label",
    with_error: bool = False,
) -> Maps:
    """Return daily (or weekly) maps.

    Args:
        path: a folder, a file or several.
        lat: (south, north) in degrees; None: all.
        lon: (west, east) in degrees, on any circle; None: all.
        period: first and last day; None: all.
        quantity: which of the two; None: adt where the files hold it, else sla.
        midnight: what 00:00 stands for (`times`).
        with_error: read the formal mapping error as `std` of the maps.

    Raises:
        FileNotFoundError, DataError, ValueError: as in `gridded.read_maps`.
    """
    if quantity not in ("sla", "adt", None):
        raise ValueError(f"quantity: choose sla or adt, got {quantity!r}")
    files = list_files(path)
    std = None
    if with_error:
        header = read_header(files[0])
        std = next((name for name in _ERRORS if header.has(name)), None)
        if std is None:
            raise DataError(
                f"{files[0]}: no mapping error {list(_ERRORS)}; the file holds "
                f"{sorted(header.dims)}"
            )
    layout = GridLayout((quantity,) if quantity else ("adt", "sla"), quantity, midnight)
    return read_maps(files, layout, Selection(lat, lon, period), std=std)
