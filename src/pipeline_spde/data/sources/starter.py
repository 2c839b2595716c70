"""The gridded file of 4dvarnet-starter, `natl_gf_w_5nadirs.nc`: truth and observations in one.

Layout: (time, lat, lon), daily, 1/20°; `ssh` is the NATL60 truth [m, model SSH], `nadir_obs` the
observations of five nadir altimeters (missing where unobserved). Stamps of 00:00 are labels of the
day.
"""

from __future__ import annotations

from pipeline_spde.data.sources.gridded import read_maps
from pipeline_spde.data.sources.observed_cells import read_observed_cells
from pipeline_spde.data.sources.oceanbench import time_units
from pipeline_spde.data.sources.opening import FilePaths, Header, list_files
from pipeline_spde.data.sources.selection import Selection
from pipeline_spde.data.sources.survey import GridLayout
from pipeline_spde.fields import Day, GriddedObservations, Maps

OBSERVATIONS = ("nadir_obs", "input")


def is_truth(header: Header) -> bool:
    """Return True for a file of this layout."""
    return header.ndim("nadir_obs") == 3 and header.ndim("ssh") == 3


def read_truth(
    path: FilePaths,
    lat: tuple[float, float] | None = None,
    lon: tuple[float, float] | None = None,
    period: tuple[Day, Day] | None = None,
) -> Maps:
    """Return the daily truth.

    Args:
        path: the file.
        lat: (south, north) in degrees; None: all.
        lon: (west, east) in degrees, on any circle; None: all.
        period: first and last day; None: all.

    Raises:
        FileNotFoundError, DataError, ValueError: as in `gridded.read_maps`.
    """
    files = list_files(path)
    layout = GridLayout(("ssh", "tgt"), "ssh", "label", "m", time_units(files[0]))
    return read_maps(files, layout, Selection(lat, lon, period))


def read_observations(
    path: FilePaths,
    lat: tuple[float, float] | None = None,
    lon: tuple[float, float] | None = None,
    period: tuple[Day, Day] | None = None,
    error_m: float = 0.02,
) -> GriddedObservations:
    """Return the daily gridded observations (noise-free model heights).

    Args:
        path: the file.
        lat: (south, north) in degrees; None: all.
        lon: (west, east) in degrees, on any circle; None: all.
        period: first and last day; None: all.
        error_m: standard deviation given to every observed cell in m.

    Raises:
        FileNotFoundError, DataError, ValueError: as in `observed_cells.read_observed_cells`.
    """
    files = list_files(path)
    layout = GridLayout(OBSERVATIONS, "ssh", "label", "m", time_units(files[0]))
    return read_observed_cells(files, layout, Selection(lat, lon, period), error_m)
