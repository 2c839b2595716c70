"""Truth and estimate brought to the same cells and days, ready for a protocol."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.grids import closes_circle
from pipeline_spde.scores.regrid import (
    as_cube,
    fill_laplace,
    inside_margin,
    linear_weights,
    to_grid,
)
from pipeline_spde.scores.statistic import Array, Sample

TimeRule = Literal["interpolate", "calendar day"]

logger = logging.getLogger(__name__)


class NothingInCommonError(ValueError):
    """Truth and estimate share no day, or no cell with a value of both."""


@dataclass(frozen=True, eq=False)
class Collocation:
    """Maps on the scored cells of the truth's grid.

    Attributes:
        time: time stamps of the scored days, shape (time,).
        lat: latitudes of the scored cells.
        lon: longitudes of the scored cells.
        truth: m, NaN on land, shape (time, lat, lon).
        estimate: m, NaN where the map has no value, same shape.
        whole_grid: number of latitudes and longitudes of the truth before the margin was cut.
        missing_days: days of the truth that the estimate does not reach.
        filled: cells of `estimate` that were filled.
    """

    time: NDArray[np.datetime64]
    lat: Array
    lon: Array
    truth: Array
    estimate: Array
    whole_grid: tuple[int, int]
    missing_days: int
    filled: int = 0

    @property
    def days(self) -> NDArray[np.datetime64]:
        """Scored calendar days, shape (time,)."""
        return self.time.astype("datetime64[D]")

    @property
    def step(self) -> tuple[float, float]:
        """Cell size in degrees of latitude and longitude."""
        return _step(self.lat), _step(self.lon)

    @property
    def grid(self) -> str:
        """The grid in words, e.g. "60x60 at 0.2°, scored 50x50"."""
        step_lat, step_lon = self.step
        step = f"{step_lat:.4g}°"
        if abs(step_lat - step_lon) > 1e-4 * step_lat:
            step = f"{step_lat:.4g}°x{step_lon:.4g}°"
        return (
            f"{self.whole_grid[0]}x{self.whole_grid[1]} at {step}, "
            f"scored {self.lat.size}x{self.lon.size}"
        )

    @property
    def valid(self) -> NDArray[np.bool_]:
        """True where truth and estimate both have a value, shape (time, lat, lon)."""
        return np.isfinite(self.truth) & np.isfinite(self.estimate)

    @property
    def holes(self) -> int:
        """Number of cells and days with a truth and no estimate."""
        return int(np.count_nonzero(np.isfinite(self.truth) & ~np.isfinite(self.estimate)))

    def sample(self) -> Sample:
        """Return the cells that have a truth and an estimate."""
        return Sample(self.truth, self.estimate, self.valid)

    def with_holes_filled(self) -> Collocation:
        """Return the same with the estimate's holes filled by Laplace's equation."""
        missing = ~np.isfinite(self.estimate)
        if not missing.any():
            return self
        return replace(self, estimate=fill_laplace(self.estimate, missing), filled=self.holes)


def collocate(
    *,
    truth: xr.DataArray,
    estimate: xr.DataArray,
    margin_degrees: float,
    times: TimeRule = "interpolate",
) -> Collocation:
    """Return the estimate on the truth's cells at least `margin_degrees` inside, on its days.

    Args:
        truth: one map a day, NaN on land, dims (time, lat, lon).
        estimate: maps in the truth's unit and quantity, on any regular grid.
        margin_degrees: what is cut off each side of the truth's grid; a grid around the globe has
            sides in the north and south only.
        times: "interpolate": linear in time; "calendar day": the map of the same date, whatever
            its hour.

    Raises:
        NothingInCommonError: the two have no day or no cell in common.
        ValueError: dimensions are wrong, or the truth has two maps of one day.
    """
    truth, estimate = as_cube(truth, "truth"), as_cube(estimate, "estimate")
    if times == "calendar day":
        estimate = _at_hours_of(estimate, truth)
    kept = _common_days(truth, estimate)
    rows = inside_margin(truth["lat"].values, margin_degrees)
    lon = truth["lon"].values
    around = closes_circle(lon)  # a circle of longitudes has no edge to keep away from
    columns = slice(0, lon.size) if around else inside_margin(lon, margin_degrees)
    scored = truth.isel(time=kept, lat=rows, lon=columns)
    target = scored["time"].values, scored["lat"].values, scored["lon"].values
    result = Collocation(
        time=scored["time"].values,
        lat=scored["lat"].values.astype(np.float64),
        lon=scored["lon"].values.astype(np.float64),
        truth=scored.values.astype(np.float64),
        estimate=to_grid(estimate, *target),
        whole_grid=(truth.sizes["lat"], truth.sizes["lon"]),
        missing_days=int(truth.sizes["time"] - kept.sum()),
    )
    _check(result)
    return _with_values(result)


def _check(found: Collocation) -> None:
    if not found.valid.any():
        raise NothingInCommonError(
            f"truth and estimate have no cell in common on the scored cells {found.grid}; "
            "check that the estimate covers the truth's box and is not all NaN"
        )
    if found.missing_days:
        logger.warning("%d days of the truth have no map and are left out", found.missing_days)


def _with_values(found: Collocation) -> Collocation:
    """Return the days on which the map has a value at all."""
    kept = found.valid.any(axis=(1, 2))
    if kept.all():
        return found
    logger.warning("%d maps have no value on the scored cells and are left out", (~kept).sum())
    return replace(
        found,
        time=found.time[kept],
        truth=found.truth[kept],
        estimate=found.estimate[kept],
        missing_days=found.missing_days + int((~kept).sum()),
    )


def _common_days(truth: xr.DataArray, estimate: xr.DataArray) -> NDArray[np.bool_]:
    stamps = truth["time"].values
    if np.unique(stamps.astype("datetime64[D]")).size != stamps.size:
        raise ValueError("truth must hold one map a day; average it to daily means first")
    if estimate.sizes["time"] == 0:
        raise NothingInCommonError("the estimate holds no map")
    seconds = [
        s.astype("datetime64[s]").astype(np.int64) for s in (estimate["time"].values, stamps)
    ]
    inside = linear_weights(seconds[0].astype(np.float64), seconds[1].astype(np.float64))[3]
    if not inside.any():
        raise NothingInCommonError(
            f"no day in common: the truth holds {stamps[0]} … {stamps[-1]}, the estimate "
            f"{estimate['time'].values[0]} … {estimate['time'].values[-1]}"
        )
    return inside


def _at_hours_of(data: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Return maps stamped with the truth's time of the same date; other dates are left out."""
    days = data["time"].values.astype("datetime64[D]")
    if np.unique(days).size != days.size:
        raise ValueError("the estimate must hold one map a day under this protocol")
    _, of_data, of_truth = np.intersect1d(
        days, truth["time"].values.astype("datetime64[D]"), return_indices=True
    )
    stamps = truth["time"].values[of_truth]
    return data.isel(time=of_data).assign_coords(time=stamps)


def _step(axis: Array) -> float:
    return float((axis[-1] - axis[0]) / max(axis.size - 1, 1))
