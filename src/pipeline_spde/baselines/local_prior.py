"""The SPDE prior of a large domain: parameters that vary in space, matched to moments by region.

A basis of waves holds a basin, not a globe. Here the domain is cut into boxes; in each one range
and decorrelation time are those that reproduce the space-time correlations of the learning period
(`moments`), with one noise filter and one ρ for all boxes: their medians. Between the boxes the
logarithms are smooth. σ is the local deviation. There are no currents: the decorrelation time is
the one at a fixed place. Whole-domain draws then cost a sparse solve a day (`SpdePrior.draws`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.baselines.cells import cell_anomalies
from pipeline_spde.baselines.moments import (
    FIT_DISTANCE_KM,
    EmpiricalCorrelation,
    FitBounds,
    StationaryFit,
    empirical_correlation,
    fit_stationary,
    local_std,
)
from pipeline_spde.config import LocalPriorConfig
from pipeline_spde.fields import Maps, Observations
from pipeline_spde.files import DataError
from pipeline_spde.grids import Grid
from pipeline_spde.io import load_netcdf
from pipeline_spde.periods import Period
from pipeline_spde.spde import Coloured, Dynamics, SpdeParameters, SpdePrior

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

_DAYS = 2  # the shortest window that `SpdePrior.draws` can go on from
_LONGEST_LAG = 7  # days
_FEWEST_CELLS = 60  # of the ocean in a box that is fitted
_FEWEST_PAIRS = 200  # of observations at the first distance or lag
_CELLS_FITTED = 4.0  # correlations are matched to this many cells at least
_FREE_FITS = 40  # boxes, spread over the domain, that the noise is fitted in
_NOISE_ORDER = 2
_FIELDS = {
    "sigma": ("local standard deviation of the anomalies", "m"),
    "range_km": ("range of the correlation", "km"),
    "decorrelation_time_days": ("e-folding time of the largest scales", "day"),
}
_SCALARS = {
    "noise_length_km": ("length of the noise filter", "km"),
    "rho": ("correlation of the noise from day to day", "1"),
}


@dataclass(frozen=True, eq=False)
class LocalPrior:
    """Parameters of the prior, land cells included.

    Attributes:
        sigma: standard deviation of the anomalies, m, shape (lat, lon).
        range_km: √8 √(h/κ²), shape (lat, lon).
        decorrelation_time_days: 1/κ², shape (lat, lon).
        noise_length_km: ℓ of the noise filter of second order.
        rho: correlation of the noise from day to day.
    """

    sigma: Array
    range_km: Array
    decorrelation_time_days: Array
    noise_length_km: float
    rho: float

    def __post_init__(self) -> None:
        shape = self.sigma.shape
        for name in _FIELDS:
            field = getattr(self, name)
            if field.shape != shape or not np.all(np.isfinite(field) & (field > 0)):
                raise ValueError(f"{name} must be {shape}, positive and finite in every cell")
        if not (np.isfinite(self.noise_length_km) and self.noise_length_km > 0):
            raise ValueError(f"noise_length_km must be positive, got {self.noise_length_km}")
        if not 0 <= self.rho < 1:
            raise ValueError(f"rho must lie in [0, 1), got {self.rho}")

    @property
    def dynamics(self) -> Dynamics:
        """Settings of the prior."""
        noise = Coloured(self.noise_length_km, _NOISE_ORDER)
        return Dynamics(1.0, 2, "backward_euler", noise, self.rho)

    def prior(self, grid: Grid) -> SpdePrior:
        """Return the prior in single precision; draws may be of any length."""

        def tensor(field: Array) -> torch.Tensor:
            return torch.tensor(field, dtype=torch.float32).expand(1, _DAYS, *grid.shape)

        size, time = tensor(self.range_km), tensor(self.decorrelation_time_days)
        theta = SpdeParameters.from_physical(
            tensor(self.sigma), size, size, 0.0, time, dynamics=self.dynamics
        )
        return SpdePrior(grid, theta, **vars(self.dynamics))

    def to_dataset(self, grid: Grid, record: Mapping[str, Any]) -> xr.Dataset:
        """Return the parameters as fields and scalars, and a record of the fit as attributes."""
        data: dict[str, Any] = {
            name: (("lat", "lon"), np.where(grid.land, np.nan, getattr(self, name)), about)
            for name, about in _attributes(_FIELDS).items()
        }
        data |= {name: ((), getattr(self, name), a) for name, a in _attributes(_SCALARS).items()}
        coordinates = {
            "lat": ("lat", grid.lat, {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": ("lon", grid.lon, {"standard_name": "longitude", "units": "degrees_east"}),
        }
        return xr.Dataset(data, coordinates, dict(record))

    @classmethod
    def read(cls, path: str | Path, grid: Grid) -> LocalPrior:
        """Return the parameters of a file in the layout of `to_dataset`.

        Raises:
            DataError: the file is damaged, incomplete or for another grid.
        """
        data = load_netcdf(path, ("lat", "lon", *_FIELDS, *_SCALARS))
        try:
            held = Grid.latlon(data["lat"].values, data["lon"].values, periodic=grid.periodic)
            if not held.same_axes(grid):
                raise ValueError(
                    f"parameters for {held.shape} cells in {held.bounds}, the domain has "
                    f"{grid.shape} in {grid.bounds}; fit again on this domain"
                )
            parts: dict[str, Any] = {
                name: np.where(grid.land, 1.0, data[name].values.astype(np.float64))
                for name in _FIELDS
            }
            parts |= {name: float(data[name].item()) for name in _SCALARS}
            return cls(**parts)
        except ValueError as error:
            raise DataError(f"{path}: {error}") from error


def _attributes(about: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, str]]:
    return {n: dict(zip(("long_name", "units"), a, strict=True)) for n, a in about.items()}


def fit_local_prior(
    observations: Observations,
    grid: Grid,
    config: LocalPriorConfig,
    learning: Period,
    truth: Maps | None,
) -> tuple[LocalPrior, dict[str, Any]]:
    """Return the prior that reproduces the moments of a period region by region, and a record.

    Args:
        observations: gridded observations and mean; used where there is no truth.
        grid: latitude-longitude grid.
        config: boxes and smoothing.
        learning: the period.
        truth: true maps that hold the period, or None.

    Raises:
        ValueError: no box holds enough ocean and observations to be fitted.
    """
    value, observed, variance = _anomalies(observations, grid, learning, truth)
    cells = config.smoothing_km / grid.dy_km
    sigma = local_std(value, observed, variance, cells, grid)
    lags = np.arange(min(_LONGEST_LAG + 1, value.shape[0]))
    found = []
    for rows, columns in boxes(grid, config.box):
        box = _part(grid, rows, columns)
        if np.count_nonzero(box.ocean) < _FEWEST_CELLS:
            continue
        own = (slice(None), rows, columns)
        noise = variance if np.ndim(variance) == 0 else np.asarray(variance)[own]
        empirical = _correlation(value[own], observed[own], sigma[own[1:]], lags, box, noise)
        if empirical is not None:
            found.append((_centre(box), box, empirical))
    if not found:
        raise ValueError(
            f"no box of {config.box[0]:g} x {config.box[1]:g} degrees (ensembles.local_prior.box) "
            f"holds enough ocean and observations on {learning} to be fitted; make them larger"
        )
    return _fitted(found, sigma, grid, config)


def _anomalies(
    observations: Observations, grid: Grid, learning: Period, truth: Maps | None
) -> tuple[Array, NDArray[np.bool_], float | Array]:
    """Return anomalies (days, lat, lon), where there are any, and the variance of their noise."""
    if truth is None:
        cells = cell_anomalies(observations, grid)
        inside = (cells.days >= np.datetime64(learning.start)) & (
            cells.days <= np.datetime64(learning.end)
        )
        observed = cells.observed[inside]
        value = np.where(observed, cells.value[inside], 0.0)
        return value, observed, cells.variance[inside]
    height = truth.between(learning.start, learning.end).height.astype(np.float64)
    value = np.where(grid.ocean, height - np.nan_to_num(observations.mean), 0.0)
    return value, np.broadcast_to(grid.ocean, value.shape), 0.0


def boxes(grid: Grid, size: tuple[float, float]) -> list[tuple[slice, slice]]:
    """Return the rows and columns of boxes of about a size in degrees (lat, lon) that tile a grid.

    The size is rounded so that all boxes are equal to a cell; a domain smaller than one is one.
    """
    cuts = []
    for axis, wanted in zip((grid.lat, grid.lon), size, strict=True):
        extent = axis.size * float(axis[1] - axis[0])
        count = min(max(round(extent / wanted), 1), axis.size)
        edges = np.linspace(0, axis.size, count + 1).round().astype(int)
        cuts.append([slice(int(a), int(b)) for a, b in pairwise(edges)])
    return [(rows, columns) for rows in cuts[0] for columns in cuts[1]]


def _part(grid: Grid, rows: slice, columns: slice) -> Grid:
    return Grid.latlon(grid.lat[rows], grid.lon[columns], grid.land[rows, columns])


def _centre(box: Grid) -> tuple[float, float]:
    """Return the mean latitude and longitude of the ocean of a box."""
    rows, columns = np.nonzero(box.ocean)
    return float(box.lat[rows].mean()), float(box.lon[columns].mean())


def _correlation(
    value: Array,
    observed: NDArray[np.bool_],
    sigma: Array,
    lags: NDArray[np.int64],
    box: Grid,
    variance: float | Array,
) -> EmpiricalCorrelation | None:
    """Return the correlation of a box, or None where too little was observed."""
    reach = max(2 * FIT_DISTANCE_KM, (_CELLS_FITTED + 1) * max(box.dy_km, float(box.dx_km.mean())))
    try:
        found = empirical_correlation(
            value, observed, sigma, lags, box, noise_variance=variance, max_distance_km=reach
        )
    except ValueError as error:  # nothing observed, or nothing but noise
        logger.info("local prior: no box at %.0f N, %.0f E: %s", *_centre(box), error)
        return None
    enough = found.pairs.shape[0] > 2 and found.pairs[1, 0] >= _FEWEST_PAIRS
    return found if enough else None


def _fitted(
    found: list[tuple[tuple[float, float], Grid, EmpiricalCorrelation]],
    sigma: Array,
    grid: Grid,
    config: LocalPriorConfig,
) -> tuple[LocalPrior, dict[str, Any]]:
    """Return the prior of the correlations of boxes: first the common noise, then the rest."""
    bounds = FitBounds(
        range_km=config.range_km,
        decorrelation_time_days=config.decorrelation_days,
        noise_length_km=config.noise_length_km,
        rho=(1e-3, config.largest_rho),
    )

    def fit(empirical: EmpiricalCorrelation, box: Grid, **held: Any) -> StationaryFit:
        cell = (box.dy_km, float(box.dx_km.mean()))
        reach = max(FIT_DISTANCE_KM, _CELLS_FITTED * max(cell))
        return fit_stationary(
            empirical, noise_order=_NOISE_ORDER, bounds=bounds, cell_km=cell,
            max_distance_km=reach, warn=False, **held,
        )  # fmt: skip

    some = found[:: max(1, len(found) // _FREE_FITS)]
    free = [fit(empirical, box) for _, box, empirical in some]
    length = float(np.median([one.noise_length_km for one in free]))
    rho = float(np.median([one.rho for one in free]))
    fits = [fit(e, box, noise_length_km=length, rho=rho) for _, box, e in found]
    centres = np.array([centre for centre, _, _ in found])
    values = np.log([[one.range_km, one.decorrelation_time_days] for one in fits])
    size, time = np.exp(spread_out(centres, values, grid, config.box))
    misfit = float(np.sqrt(np.mean([one.misfit**2 for one in fits])))
    record = {
        "boxes_fitted": len(fits),
        "moment_misfit": misfit,
        "boxes_at_bounds": sum(bool(one.at_bounds) for one in fits),
    }
    logger.info(
        "local prior: %d boxes (%d with a parameter at its limit), noise %.0f km, rho %.2f, "
        "ranges %.0f to %.0f km, misfit %.3f",
        len(fits), record["boxes_at_bounds"], length, rho, size.min(), size.max(), misfit,
    )  # fmt: skip
    return LocalPrior(sigma, size, time, length, rho), record


def spread_out(
    centres: Array, values: Array, grid: Grid, size: tuple[float, float]
) -> tuple[Array, ...]:
    """Return fields (lat, lon) of values known at some places: weighted means.

    The weight (1 + d²/2)⁻³ falls like a Gaussian near a place and slowly far away, where a Gaussian
    would give each point the value of the nearest place, with steps between them.

    Args:
        centres: latitude and longitude of the places, degrees, shape (places, 2).
        values: shape (places, fields).
        grid: where the fields are wanted.
        size: (lat, lon) degrees of the boxes behind the values; half of it is the unit of d.
    """
    north = (grid.lat[:, None] - centres[:, 0]) / (0.5 * size[0])
    turn = grid.lon[:, None] - centres[:, 1]
    turn = np.mod(turn + 180.0, 360.0) - 180.0 if grid.periodic else turn
    along, across = 0.5 * north**2, 0.5 * (turn / (0.5 * size[1])) ** 2
    fields = tuple(np.empty(grid.shape) for _ in range(values.shape[1]))
    for row in range(grid.shape[0]):
        weight = (1 + along[row] + across) ** -3  # (lon, places)
        mean = weight @ values / weight.sum(axis=1, keepdims=True)
        for field, column in zip(fields, mean.T, strict=True):
            field[row] = column
    return fields
