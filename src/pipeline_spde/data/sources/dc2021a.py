"""The 2021a challenge (OSE of 2017 in the Gulf Stream): along-track data and maps.

| what | files | variables | stamps |
| --- | --- | --- | --- |
| tracks | `dc_obs/dt_{global,gulfstream}_<code>_phy_l3_20161201-20180131_*.nc` | `cmems_l3` | |
| maps | `dc_maps/OSE_ssh_mapping_<method>.nc` | `ssh`, longitudes 0 to 360 | 00:00 or 12:00 |

Everything is absolute dynamic topography in m. The challenge's observation is `sla_unfiltered` +
`mdt` - `lwe`: the correction of the long-wavelength error is taken off again. CryoSat-2 is for
verification only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline_spde.data.sources import cmems_l3
from pipeline_spde.data.sources.gridded import read_maps
from pipeline_spde.data.sources.opening import FilePaths, Header, list_files
from pipeline_spde.data.sources.selection import Selection
from pipeline_spde.data.sources.survey import GridLayout
from pipeline_spde.data.sources.times import Midnight
from pipeline_spde.fields import Day, Maps, Tracks

VERIFICATION = "cryosat2"
_TRACK_FILES = r"^(dt_(global|gulfstream)_\w+_phy_l3_20161201-20180131|gf_2017_l3_)"


def is_tracks(header: Header) -> bool:
    """Return True for along-track data of the challenge (also as in the OceanBench registry)."""
    return cmems_l3.is_tracks(header) and header.named(_TRACK_FILES)


def is_maps(header: Header) -> bool:
    """Return True for a submitted map of the challenge."""
    return header.named(r"^OSE_ssh_mapping") and header.ndim("ssh") == 3


def read_observations(
    path: FilePaths,
    missions: Sequence[str] | None = None,
    lat: tuple[float, float] | None = None,
    lon: tuple[float, float] | None = None,
    period: tuple[Day, Day] | None = None,
    error_m: float | Mapping[str, float] = 0.03,
) -> Tracks:
    """Return the challenge's observations: absolute dynamic topography without `lwe` correction.

    Args:
        path: the folder `dc_obs`, a file or several; one mission each.
        missions: in the order wanted, e.g. saral, haiyang2a_geodetic, jason2_geodetic, jason2_new,
            jason3, sentinel3a, and cryosat2 for verification; None: all that are there.
        lat: (south, north) in degrees; None: all.
        lon: (west, east) in degrees, on any circle; None: all.
        period: first and last day; None: all.
        error_m: standard deviation of the noise of a 1-Hz sample in m, of all or of each mission.

    Raises:
        FileNotFoundError, DataError, ValueError: as in `samples.read_tracks`.
    """
    return cmems_l3.read(
        path, missions, lat, lon, period, error_m, quantity="adt", without_lwe=True
    )


def read_maps_of_method(
    path: FilePaths,
    lat: tuple[float, float] | None = None,
    lon: tuple[float, float] | None = None,
    period: tuple[Day, Day] | None = None,
    midnight: Midnight = "label",
) -> Maps:
    """Return the submitted maps of a method.

    Args:
        path: a file or several.
        lat: (south, north) in degrees; None: all.
        lon: (west, east) in degrees, on any circle; None: all.
        period: first and last day; None: all.
        midnight: what 00:00 stands for (`times`).

    Raises:
        FileNotFoundError, DataError, ValueError: as in `gridded.read_maps`.
    """
    layout = GridLayout(("ssh", "rec_ssh", "adt"), "adt", midnight, assumed_units="m")
    return read_maps(list_files(path), layout, Selection(lat, lon, period))
