"""Samples along the tracks of satellites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.fields.conventions import (
    LAT_ATTRS,
    LON_ATTRS,
    QUANTITIES,
    Day,
    Quantity,
    as_day,
    check_shape,
    find_quantity,
    height_attrs,
)


@dataclass(frozen=True, eq=False)
class Tracks:
    """Along-track or swath samples, flattened to one axis and sorted by time.

    Attributes:
        time: instants, UTC, datetime64[ns], non-decreasing, shape (obs,).
        lat: degrees north, shape (obs,).
        lon: degrees east in [-180, 180), shape (obs,).
        height: observed height in m, finite, shape (obs,).
        error: standard deviation of the observation noise in m, > 0, shape (obs,).
        mission: index into `missions`, shape (obs,).
        missions: names, e.g. ("saral", "swot_karin").
        pass_id: number of the pass (unique within a mission), shape (obs,).
        quantity: what `height` is: "ssh", "sla" or "adt".
        cross_track: signed distance from nadir in km (0 for nadir altimeters), shape (obs,).
    """

    time: NDArray[np.datetime64]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    height: NDArray[np.float32]
    error: NDArray[np.float32]
    mission: NDArray[np.int8]
    missions: tuple[str, ...]
    pass_id: NDArray[np.int32]
    quantity: Quantity
    cross_track: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES:
            raise ValueError(f"quantity must be one of {QUANTITIES}, got {self.quantity!r}")
        shape = self.time.shape
        if len(shape) != 1:
            raise ValueError(f"tracks are 1-D, got time of shape {shape}")
        for name in ("lat", "lon", "height", "error", "mission", "pass_id", "cross_track"):
            check_shape(f"tracks: {name}", getattr(self, name), shape)
        if np.any(np.diff(self.time) < np.timedelta64(0, "ns")):
            raise ValueError("tracks: times must be sorted; sort the samples when reading")
        for name in ("lat", "lon", "height", "error"):
            if not np.all(np.isfinite(getattr(self, name))):
                raise ValueError(f"tracks: {name} holds NaN or infinite values; drop them first")
        if shape[0] and (self.mission.min() < 0 or self.mission.max() >= len(self.missions)):
            raise ValueError(f"tracks: mission index outside 0..{len(self.missions) - 1}")

    def __len__(self) -> int:
        return int(self.time.size)

    def select(self, keep: NDArray[np.bool_]) -> Tracks:
        """Return the samples where `keep` (obs,) is True."""
        names = ("time", "lat", "lon", "height", "error", "mission", "pass_id", "cross_track")
        return replace(self, **{name: getattr(self, name)[keep] for name in names})

    def of_missions(self, names: Sequence[str]) -> Tracks:
        """Return the samples of the named missions; an unknown name is an error."""
        unknown = sorted(set(names) - set(self.missions))
        if unknown:
            raise ValueError(f"no mission {unknown} in these tracks; they hold {self.missions}")
        wanted = [i for i, name in enumerate(self.missions) if name in set(names)]
        return self.select(np.isin(self.mission, wanted))

    def between(self, start: Day, end: Day) -> Tracks:
        """Return the samples of the days from `start` to `end`, both included."""
        first = as_day(start).astype("datetime64[ns]")
        last = (as_day(end) + np.timedelta64(1, "D")).astype("datetime64[ns]")
        return self.select((self.time >= first) & (self.time < last))

    def to_dataset(self) -> xr.Dataset:
        """Return the samples as an xarray Dataset on dim `obs`."""
        data = xr.Dataset(
            {
                self.quantity: ("obs", self.height, height_attrs(self.quantity)),
                "obs_error": (
                    "obs",
                    self.error,
                    {"units": "m", "long_name": "standard deviation of the observation noise"},
                ),
                "mission": (
                    "obs",
                    self.mission,
                    {
                        "long_name": "mission",
                        "flag_values": np.arange(len(self.missions), dtype=np.int8),
                        "flag_meanings": " ".join(self.missions),
                    },
                ),
                "pass": ("obs", self.pass_id, {"long_name": "pass number", "units": "1"}),
                "cross_track_distance": (
                    "obs",
                    self.cross_track,
                    {"units": "km", "long_name": "signed distance from nadir"},
                ),
            },
            coords={
                "time": ("obs", self.time, {"standard_name": "time", "long_name": "time"}),
                "lat": ("obs", self.lat, LAT_ATTRS),
                "lon": ("obs", self.lon, LON_ATTRS),
            },
        )
        return data.assign_attrs(quantity=self.quantity, featureType="point")

    @classmethod
    def from_dataset(cls, data: xr.Dataset) -> Tracks:
        """Return the tracks held by a Dataset in the layout of `to_dataset`."""
        quantity = find_quantity(data)
        names = tuple(str(data["mission"].attrs["flag_meanings"]).split())
        return cls(
            time=data["time"].values.astype("datetime64[ns]"),
            lat=data["lat"].values.astype(np.float64),
            lon=data["lon"].values.astype(np.float64),
            height=data[quantity].values.astype(np.float32),
            error=data["obs_error"].values.astype(np.float32),
            mission=data["mission"].values.astype(np.int8),
            missions=names,
            pass_id=data["pass"].values.astype(np.int32),
            quantity=quantity,
            cross_track=data["cross_track_distance"].values.astype(np.float32),
        )
