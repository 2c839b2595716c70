"""Daily maps, with the parameters of the prior that a method estimated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.fields.conventions import (
    LONG_NAMES,
    QUANTITIES,
    Day,
    Quantity,
    as_day,
    check_daily_times,
    check_shape,
    find_quantity,
    grid_coords,
    height_attrs,
)
from pipeline_spde.grids import Grid, closes_circle

PARAMETERS = {
    "kappa": ("1", "kappa in day^-1/2, of the damping rate kappa^2 of the largest scales"),
    "m_east": ("km day-1", "eastward advection of anomalies"),
    "m_north": ("km day-1", "northward advection of anomalies"),
    "h_ee": ("km2 day-1", "diffusion, east-east"),
    "h_en": ("km2 day-1", "diffusion, east-north"),
    "h_nn": ("km2 day-1", "diffusion, north-north"),
    "tau": ("m km", "tau in m km day^-1/2, amplitude of the noise gathered in one day"),
    "sigma": ("m", "marginal standard deviation implied by the parameters"),
    "range_major": ("km", "range along the major axis"),
    "range_minor": ("km", "range across the major axis"),
    "range_angle": ("degree", "direction of the major axis, counter-clockwise from east"),
    "decorrelation_time": ("day", "e-folding time of the largest scales"),
}
"""Fields of the SPDE prior in files: name -> (units, long name).

UDUNITS has no half powers: it takes day^-1/2 for half a day^-1, and no checker objects. What the
files hold is κ √day, a pure number, and τ √day, the noise gathered in one day, in m km: the same
numbers as κ in day^-1/2 and τ in m km day^-1/2, with units that mean what they say.
"""


@dataclass(frozen=True, eq=False)
class Maps:
    """Daily maps on a grid: a truth, an analysis or a forecast.

    Attributes:
        time: daily stamps at 12:00 UTC, shape (time,).
        grid: the grid; values on land are NaN.
        height: m, finite on every ocean cell, shape (time, lat, lon).
        quantity: "ssh", "sla" or "adt".
        std: standard deviation of the error of `height` in m, or None, shape (time, lat, lon).
        parameters: fields of the prior that the method estimated, by a name of `PARAMETERS`, each
            (time, lat, lon), or None.
        mean_topography: mean dynamic topography in m, NaN where unknown, shape (lat, lon), or
            None: maps of anomalies are written with their sum, `adt`.
    """

    time: NDArray[np.datetime64]
    grid: Grid
    height: NDArray[np.float32]
    quantity: Quantity
    std: NDArray[np.float32] | None = None
    parameters: Mapping[str, NDArray[np.float32]] | None = None
    mean_topography: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES:
            raise ValueError(f"quantity must be one of {QUANTITIES}, got {self.quantity!r}")
        check_daily_times(self.time, "maps")
        shape = (self.time.size, *self.grid.shape)
        named = {"height": self.height, "std": self.std, **(self.parameters or {})}
        for name, array in named.items():
            if array is None:
                continue
            check_shape(f"maps: {name}", array, shape)
            bad = ~np.isfinite(array) & self.grid.ocean
            if bad.any():
                day = int(np.flatnonzero(bad.any(axis=(1, 2)))[0])
                raise ValueError(
                    f"maps: {name} is not finite on {int(bad[day].sum())} ocean cells of "
                    f"{self.time[day].astype('datetime64[D]')}"
                )
        if self.std is not None and np.any(self.std[:, self.grid.ocean] < 0):
            raise ValueError("maps: std must not be negative")

    def between(self, start: Day, end: Day) -> Maps:
        """Return the days from `start` to `end`, both included."""
        days = self.time.astype("datetime64[D]")
        keep = (days >= as_day(start)) & (days <= as_day(end))
        if not keep.any():
            raise ValueError(
                f"no map between {start} and {end}; the maps hold {days[0]} to {days[-1]}"
            )
        std = None if self.std is None else self.std[keep]
        parts = self.parameters
        parameters = None if parts is None else {name: f[keep] for name, f in parts.items()}
        return replace(
            self, time=self.time[keep], height=self.height[keep], std=std, parameters=parameters
        )

    def with_parameters(self, parameters: Mapping[str, NDArray[np.float32]]) -> Maps:
        """Return the same maps with fields of the prior, names as in `PARAMETERS`."""
        return replace(self, parameters=parameters)

    def to_dataset(self) -> xr.Dataset:
        """Return the maps as a Dataset with variables `ssh|sla|adt` and `ssh_std|…`."""
        dims = ("time", "lat", "lon")
        data = xr.Dataset(
            {self.quantity: (dims, self.height, height_attrs(self.quantity))},
            coords=grid_coords(self.time, self.grid),
        )
        if self.std is not None:
            name = LONG_NAMES[self.quantity]
            attrs = {"units": "m", "long_name": f"standard deviation of the error of {name}"}
            data[f"{self.quantity}_std"] = (dims, self.std, attrs)
            data[self.quantity].attrs["ancillary_variables"] = f"{self.quantity}_std"
        if self.mean_topography is not None:
            data["adt"] = (dims, self.height + self.mean_topography, height_attrs("adt"))
        for name, field in (self.parameters or {}).items():
            units, long_name = PARAMETERS[name]
            data[name] = (dims, field, {"units": units, "long_name": long_name})
        return data.assign_attrs(quantity=self.quantity)

    @classmethod
    def from_dataset(cls, data: xr.Dataset, land: NDArray[np.bool_] | None = None) -> Maps:
        """Return the maps held by a Dataset; cells that are never finite count as land."""
        quantity = find_quantity(data)
        height = data[quantity].values.astype(np.float32)
        if land is None:
            land = np.asarray(~np.isfinite(height).any(axis=0))
        std = data.get(f"{quantity}_std")
        lat, lon = data["lat"].values, data["lon"].values
        return cls(
            time=data["time"].values.astype("datetime64[ns]"),
            grid=Grid.latlon(lat, lon, land, periodic=closes_circle(lon)),
            height=height,
            quantity=quantity,
            std=None if std is None else std.values.astype(np.float32),
            parameters={n: data[n].values.astype(np.float32) for n in PARAMETERS if n in data}
            or None,
        )
