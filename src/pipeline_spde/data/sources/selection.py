"""The part of a data set that is wanted: a box, a period, both or all of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.fields import Day, as_day
from pipeline_spde.grids import wrap_longitude

_EDGE = 1e-6  # degrees: a node on the edge of the box is inside although stored as float32


@dataclass(frozen=True)
class Selection:
    """A box and a period; None stands for "all".

    Attributes:
        lat: (south, north) in degrees.
        lon: (west, east) in degrees, on any circle.
        period: first and last day, both included.
    """

    lat: tuple[float, float] | None = None
    lon: tuple[float, float] | None = None
    period: tuple[Day, Day] | None = None

    def __post_init__(self) -> None:
        for name in ("lat", "lon"):
            bounds = getattr(self, name)
            if bounds is None:
                continue
            if len(bounds) != 2 or not np.all(np.isfinite(bounds)) or not bounds[0] < bounds[1]:
                raise ValueError(f"{name}: give (low, high) in degrees, low below high: {bounds}")
        if self.lon is not None and self.lon[1] - self.lon[0] > 360:
            raise ValueError(f"lon: {self.lon} spans more than 360 degrees")
        if self.period is not None and as_day(self.period[1]) < as_day(self.period[0]):
            raise ValueError(f"period: it ends ({self.period[1]}) before it starts: {self.period}")

    def days(self, days: NDArray[np.datetime64]) -> NDArray[np.bool_]:
        """Return which days (or instants) lie in the period."""
        when = np.asarray(days).astype("datetime64[D]")
        if self.period is None:
            return np.ones(when.shape, bool)
        return (when >= as_day(self.period[0])) & (when <= as_day(self.period[1]))

    def latitudes(self, lat: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which latitudes lie in the box, its edges included."""
        if self.lat is None:
            return np.ones(lat.shape, bool)
        return (lat >= self.lat[0] - _EDGE) & (lat <= self.lat[1] + _EDGE)

    def longitudes(self, lon: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which longitudes, on any circle, lie in the box, its edges included."""
        if self.lon is None:
            return np.ones(lon.shape, bool)
        west, east = self.lon
        return wrap_longitude(lon, west - _EDGE) <= east + _EDGE

    def samples(
        self,
        time: NDArray[np.datetime64],
        lat: NDArray[np.float64],
        lon: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        """Return which samples (obs,) lie in the box and period."""
        return self.days(time) & self.latitudes(lat) & self.longitudes(lon)

    def __str__(self) -> str:
        parts = []
        if self.period is not None:
            parts.append(f"{as_day(self.period[0])} to {as_day(self.period[1])}")
        if self.lat is not None:
            parts.append(f"latitudes {self.lat[0]:g} to {self.lat[1]:g}")
        if self.lon is not None:
            parts.append(f"longitudes {self.lon[0]:g} to {self.lon[1]:g}")
        return ", ".join(parts) or "all days and places"
