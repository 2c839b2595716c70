"""Regular grids: axes, metric cell sizes, land mask and periodic longitude.

A `Grid` is the frame of every map, mask and covariance of the package. Angles come in as degrees
and leave as kilometres: one degree of latitude is `KM_PER_DEGREE` and one degree of longitude is
that times the cosine of the latitude (a sphere of radius 6371 km).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

EARTH_RADIUS_KM = 6371.0
KM_PER_DEGREE = np.pi / 180.0 * EARTH_RADIUS_KM  # 111.195 km

_SPACING_TOLERANCE = 1e-3  # relative; coordinates stored as float32 pass, gaps do not


def wrap_longitude(lon: ArrayLike, west: float = -180.0) -> NDArray[np.float64]:
    """Return longitudes in the half-open interval [west, west + 360), in degrees east.

    Used by every reader, so that files on 0..360 and on -180..180 meet the same grid.
    """
    values = np.asarray(lon, dtype=np.float64)
    wrapped = np.mod(values - west, 360.0) + west
    # np.mod of a tiny negative number rounds up to 360 exactly
    return np.where(wrapped >= west + 360.0, west, wrapped)


def closes_circle(lon: ArrayLike) -> bool:
    """Return True when a regular axis of cell centres in degrees goes once around the globe."""
    axis = np.asarray(lon, dtype=np.float64)
    if axis.size < 2:
        return False
    step = (axis[-1] - axis[0]) / (axis.size - 1)
    return bool(np.isclose(step * axis.size, 360.0, rtol=1e-6))


def great_circle_km(
    lat1: ArrayLike, lon1: ArrayLike, lat2: ArrayLike, lon2: ArrayLike
) -> NDArray[np.float64]:
    """Return the great-circle distance in km between points given in degrees (haversine)."""
    phi1, phi2 = np.radians(lat1), np.radians(lat2)
    half_dphi = (phi2 - phi1) / 2
    half_dlon = np.radians(np.asarray(lon2, dtype=np.float64) - np.asarray(lon1)) / 2
    a = np.sin(half_dphi) ** 2 + np.cos(phi1) * np.cos(phi2) * np.sin(half_dlon) ** 2
    return np.asarray(2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(a, 0.0, 1.0))))


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular latitude-longitude or Cartesian grid; build it with one of the class methods.

    Attributes:
        lat: cell centres, increasing, degrees north (or y in km when Cartesian), shape (ny,).
        lon: cell centres, increasing, degrees east (or x in km when Cartesian), shape (nx,).
        land: True on land, shape (ny, nx).
        periodic: True when the last column is the western neighbour of the first one.
        kind: "latlon" or "cartesian".
    """

    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    land: NDArray[np.bool_]
    periodic: bool = False
    kind: Literal["latlon", "cartesian"] = "latlon"
    _spacing: tuple[float, float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        spacing = (_regular_spacing(self.lat, "lat"), _regular_spacing(self.lon, "lon"))
        object.__setattr__(self, "_spacing", spacing)
        if self.land.shape != self.shape:
            raise ValueError(f"land has shape {self.land.shape}, the grid has {self.shape}")
        if self.kind == "latlon" and np.abs(self.lat).max() > 90:
            raise ValueError(f"latitudes must lie in [-90, 90], got up to {np.abs(self.lat).max()}")
        if self.periodic and self.kind == "latlon":
            circle = spacing[1] * self.lon.size
            if not np.isclose(circle, 360.0, rtol=1e-6):
                raise ValueError(f"a periodic grid must span 360 degrees, this one spans {circle}")

    @classmethod
    def latlon(
        cls,
        lat: ArrayLike,
        lon: ArrayLike,
        land: ArrayLike | None = None,
        periodic: bool = False,
    ) -> Grid:
        """Return a grid from axes in degrees; `land` (lat, lon) is all ocean when omitted."""
        return cls._build(lat, lon, land, periodic, "latlon")

    @classmethod
    def cartesian(
        cls,
        ny: int,
        nx: int,
        dy: float,
        dx: float,
        land: ArrayLike | None = None,
        periodic: bool = False,
    ) -> Grid:
        """Return a plane grid of ny x nx cells of dy x dx km, first cell centred at (0, 0)."""
        if min(ny, nx) < 1 or min(dy, dx) <= 0:
            raise ValueError(f"need positive sizes, got ny={ny}, nx={nx}, dy={dy} km, dx={dx} km")
        return cls._build(np.arange(ny) * dy, np.arange(nx) * dx, land, periodic, "cartesian")

    @classmethod
    def from_bounds(
        cls, lat: tuple[float, float], lon: tuple[float, float], resolution: float
    ) -> Grid:
        """Return the grid of `resolution`-degree cells that fill the box; centres are half in.

        Raises:
            ValueError: the box is not a whole number of cells in one direction.
        """
        axes = []
        for name, (low, high) in (("lat", lat), ("lon", lon)):
            count = (high - low) / resolution
            if count < 2 or abs(count - round(count)) > 1e-6:
                raise ValueError(
                    f"{name} from {low} to {high} is {count:.3f} cells of {resolution} degrees; "
                    "choose bounds that hold a whole number (2 or more) of cells"
                )
            axes.append(low + resolution * (np.arange(round(count)) + 0.5))
        return cls.latlon(axes[0], axes[1], periodic=abs(lon[1] - lon[0] - 360.0) < 1e-9)

    @classmethod
    def _build(
        cls,
        lat: ArrayLike,
        lon: ArrayLike,
        land: ArrayLike | None,
        periodic: bool,
        kind: Literal["latlon", "cartesian"],
    ) -> Grid:
        y, x = np.asarray(lat, dtype=np.float64), np.asarray(lon, dtype=np.float64)
        mask = np.zeros((y.size, x.size), bool) if land is None else np.asarray(land, dtype=bool)
        return cls(y, x, mask, periodic, kind)

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx): number of latitudes and of longitudes."""
        return self.lat.size, self.lon.size

    @property
    def ocean(self) -> NDArray[np.bool_]:
        """True where there is water, shape (ny, nx)."""
        return ~self.land

    @property
    def dy_km(self) -> float:
        """Meridional cell size in km."""
        return self._spacing[0] * (KM_PER_DEGREE if self.kind == "latlon" else 1.0)

    @property
    def dx_km(self) -> NDArray[np.float64]:
        """Zonal cell size in km at each latitude, shape (ny,)."""
        if self.kind == "cartesian":
            return np.full(self.lat.size, self._spacing[1])
        return self._spacing[1] * KM_PER_DEGREE * np.cos(np.radians(self.lat))

    @property
    def area_km2(self) -> NDArray[np.float64]:
        """Cell areas in km², shape (ny, nx)."""
        return np.repeat((self.dx_km * self.dy_km)[:, None], self.lon.size, axis=1)

    @property
    def resolution(self) -> tuple[float, float]:
        """(dlat, dlon) in degrees, or (dy, dx) in km when Cartesian."""
        return self._spacing

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Outer cell edges (south, north, west, east) in the units of the axes."""
        dlat, dlon = self._spacing
        return (
            float(self.lat[0] - dlat / 2),
            float(self.lat[-1] + dlat / 2),
            float(self.lon[0] - dlon / 2),
            float(self.lon[-1] + dlon / 2),
        )

    def same_axes(self, other: Grid) -> bool:
        """Return True when both grids have the same nodes (to a thousandth of a cell)."""
        return self.shape == other.shape and all(
            bool(np.allclose(a, b, rtol=0, atol=1e-3 * step))
            for a, b, step in zip(
                (self.lat, self.lon), (other.lat, other.lon), self._spacing, strict=True
            )
        )

    def inside(self, margin: float) -> tuple[slice, slice]:
        """Return the (lat, lon) slices of the cells at least `margin` degrees off the box edge.

        A periodic grid has no edge in the west and east: all of its columns are kept.

        Raises:
            ValueError: nothing is left.
        """
        south, north, west, east = self.bounds
        slices = []
        for axis, low, high in ((self.lat, south, north), (self.lon, west, east)):
            if axis is self.lon and self.periodic:
                slices.append(slice(0, axis.size))
                continue
            kept = np.flatnonzero((axis > low + margin - 1e-9) & (axis < high - margin + 1e-9))
            if kept.size == 0:
                raise ValueError(f"a margin of {margin} degrees leaves nothing of {self.bounds}")
            slices.append(slice(int(kept[0]), int(kept[-1]) + 1))
        return slices[0], slices[1]

    def crop(self, lat: slice, lon: slice) -> Grid:
        """Return the sub-grid of two index slices (never periodic unless all columns are kept)."""
        keeps_circle = self.periodic and self.lon[lon].size == self.lon.size
        return Grid(self.lat[lat], self.lon[lon], self.land[lat, lon], keeps_circle, self.kind)

    def cell_index(
        self, lat: ArrayLike, lon: ArrayLike
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Return (row, column, inside) of the cell that holds each point (degrees or km).

        Longitudes are wrapped to the grid's own circle first. Rows and columns of points outside
        are clipped to the grid and must not be used where `inside` is False.
        """
        south, _, west, _ = self.bounds
        dlat, dlon = self._spacing
        x = np.asarray(lon, dtype=np.float64)
        if self.kind == "latlon":
            x = wrap_longitude(x, west)
        row = np.floor((np.asarray(lat, dtype=np.float64) - south) / dlat).astype(np.int64)
        column = np.floor((x - west) / dlon).astype(np.int64)
        ny, nx = self.shape
        inside = (row >= 0) & (row < ny) & (column >= 0) & (column < nx)
        return np.clip(row, 0, ny - 1), np.clip(column, 0, nx - 1), inside


def _regular_spacing(axis: NDArray[np.float64], name: str) -> float:
    """Return the spacing of a regular increasing axis; refuse any other."""
    if axis.ndim != 1 or axis.size < 2:
        raise ValueError(f"{name} must be a 1-D axis of at least 2 values, got shape {axis.shape}")
    if not np.all(np.isfinite(axis)):
        raise ValueError(f"{name} holds NaN or infinite values")
    steps = np.diff(axis)
    mean = float((axis[-1] - axis[0]) / (axis.size - 1))
    if mean <= 0 or np.any(steps <= 0):
        raise ValueError(f"{name} must increase, got {axis[0]} … {axis[-1]}")
    if np.abs(steps - mean).max() > _SPACING_TOLERANCE * mean:
        raise ValueError(
            f"{name} must be evenly spaced; steps run from {steps.min()} to {steps.max()}"
        )
    return mean
