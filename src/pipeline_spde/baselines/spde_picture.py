"""What the fitted prior of `spde_oi` believes, as fields to look at."""

from __future__ import annotations

from datetime import date

import numpy as np
import torch
import xarray as xr

from pipeline_spde.baselines.flow import currents
from pipeline_spde.baselines.spde_model import Array, SpdeOiParameters
from pipeline_spde.fields import daily_stamps
from pipeline_spde.grids import Grid
from pipeline_spde.spde import SpdeParameters, SpdePrior

_DAYS = 11
_FIELDS = {
    "range_major": ("range along the major axis", "km"),
    "range_minor": ("range across the major axis", "km"),
    "angle": ("major axis, counter-clockwise from east", "degree"),
    "decorrelation_time": ("e-folding time of the largest scales", "days"),
    "m_east": ("eastward advection by the mean current of the learning period", "km day-1"),
    "m_north": ("northward advection by the mean current of the learning period", "km day-1"),
}


def picture(
    parameters: SpdeOiParameters,
    grid: Grid,
    mean: Array,
    low_pass_km: float,
    first: date,
    seed: int,
) -> xr.Dataset:
    """Return parameter fields, a draw and a correlation footprint, on (lat, lon) and days.

    The currents are those of the mean height: the ones of an analysis change from day to day.

    Args:
        parameters: the fit.
        grid: latitude-longitude grid.
        mean: mean height of the learning period, m, (lat, lon).
        low_pass_km: width of the low-pass of the currents.
        first: day put on the first map of draw and footprint.
        seed: of the draw.
    """
    east, north = currents(np.nan_to_num(mean), grid, low_pass_km)
    share, size = parameters.advection, parameters.range_km
    whole = np.ones(grid.shape)
    values = {
        "range_major": size * whole,
        "range_minor": size * whole,
        "angle": 0 * whole,
        "decorrelation_time": parameters.decorrelation_time_days * whole,
        "m_east": share * east,
        "m_north": share * north,
    }
    dims = ("lat", "lon")
    data = {
        name: (dims, np.where(grid.land, np.nan, field), dict(zip(("long_name", "units"),
               _FIELDS[name], strict=True)))
        for name, field in values.items()
    }  # fmt: skip
    prior = _prior(parameters, grid, values["m_east"], values["m_north"])
    draw = prior.sample(1, torch.Generator().manual_seed(seed))[0, 0].numpy()
    place = (_DAYS // 2, *_middle(grid))
    covariance = prior.covariance(place)[0].numpy()
    # σ is obeyed to a few percent; scaled to be exact in the cell itself
    own = float(covariance[place])
    footprint = covariance / (own * parameters.sigma / parameters.sigma[place[1:]])
    days = ("time", *dims)
    masked = {"draw": (draw, "a draw of the prior", "m"),
              "correlation": (footprint, "correlation with one cell on one day", "1")}  # fmt: skip
    for name, (field, long_name, units) in masked.items():
        attributes = {"long_name": long_name, "units": units}
        data[name] = (days, np.where(grid.land, np.nan, field), attributes)  # type: ignore[assignment]
    last = date.fromordinal(first.toordinal() + _DAYS - 1)
    return xr.Dataset(data, {"time": daily_stamps(first, last), "lat": grid.lat, "lon": grid.lon})


def _prior(parameters: SpdeOiParameters, grid: Grid, east: Array, north: Array) -> SpdePrior:
    shape = (1, _DAYS, *grid.shape)
    still = parameters.theta(torch.float32)
    fields = {name: value.expand(shape) for name, value in still.items()}
    fields["m_east"], fields["m_north"] = (
        torch.as_tensor(value, dtype=torch.float32).expand(shape) for value in (east, north)
    )
    return SpdePrior(grid, SpdeParameters(**fields), **vars(parameters.dynamics))


def _middle(grid: Grid) -> tuple[int, int]:
    """Return the ocean cell nearest the middle of the box."""
    cells = np.argwhere(grid.ocean)
    middle = (np.array(grid.shape) - 1) / 2
    row, column = cells[np.argmin(((cells - middle) ** 2).sum(axis=1))]
    return int(row), int(column)
