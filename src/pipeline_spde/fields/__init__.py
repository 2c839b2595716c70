"""The objects that travel between the rooms: Tracks, GriddedObservations, Maps, Observations.

Each carries its grid, mask, units and quantity and checks itself when made, so that a function
that receives one need not check again. Conversion to and from xarray uses the names, dims and
units of the file formats (docs/formats.md); writing to disk is `pipeline_spde.io`.
"""

from pipeline_spde.fields.conventions import (
    LONG_NAMES,
    QUANTITIES,
    STANDARD_NAMES,
    Day,
    Quantity,
    as_day,
    daily_stamps,
)
from pipeline_spde.fields.maps import PARAMETERS, Maps
from pipeline_spde.fields.observations import GriddedObservations, Observations
from pipeline_spde.fields.tracks import Tracks

__all__ = [
    "LONG_NAMES",
    "PARAMETERS",
    "QUANTITIES",
    "STANDARD_NAMES",
    "Day",
    "GriddedObservations",
    "Maps",
    "Observations",
    "Quantity",
    "Tracks",
    "as_day",
    "daily_stamps",
]
