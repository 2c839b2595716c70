"""The SPDE prior of a domain, fitted and ready to be filtered: parameters, basis, observations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.baselines.flow import currents
from pipeline_spde.baselines.superobs import SuperObservations, corners
from pipeline_spde.files import DataError
from pipeline_spde.grids import Grid
from pipeline_spde.io import load_netcdf
from pipeline_spde.spde import Coloured, Dynamics, SpdeParameters
from pipeline_spde.spde.kalman import DayPoints, Gaussian, ModeFilter
from pipeline_spde.spde.modes import ModeBasis, ModePrior, Step
from pipeline_spde.spde.variance import variance_per_unit_tau
from pipeline_spde.splits import MOST_MODES

Array = NDArray[np.float64]

_AMPLITUDE_STEPS = 3
_TOO_MANY = (
    "about {} modes of {} km and more in this domain, "
    f"{MOST_MODES} are affordable; raise shortest_km or choose a smaller domain"
)
_FIELDS = {
    "sigma": {"long_name": "standard deviation of the anomalies", "units": "m"},
    "amplitude": {"long_name": "factor of sigma in the local formula of the noise", "units": "1"},
}
_SCALARS = {
    "range_km": ("range of the isotropic correlation", "km"),
    "decorrelation_time_days": ("e-folding time of the largest scales", "days"),
    "noise_length_km": ("length of the noise filter", "km"),
    "noise_order": ("order of the noise filter", "1"),
    "rho": ("correlation of the noise from day to day", "1"),
    "advection": ("share of the low-passed geostrophic current that carries anomalies", "1"),
    "representativeness_m": ("error of a mean per pass and cell beyond the noise", "m"),
    "std_factor": ("factor of the formal standard deviation, fitted on validation", "1"),
}


@dataclass(frozen=True, eq=False)
class SpdeOiParameters:
    """Fitted parameters of `spde_oi`.

    Attributes:
        sigma: standard deviation of the anomalies, m, shape (lat, lon).
        amplitude: factor of sigma in the local formula for τ that gives the prior this standard
            deviation, near 1 away from walls and strong gradients, shape (lat, lon).
        range_km: √8 √(h/κ²).
        decorrelation_time_days: 1/κ².
        noise_length_km: ℓ of the noise filter.
        noise_order: 1 or 2.
        rho: correlation of the noise from day to day.
        advection: factor of the currents, 0 for none.
        representativeness_m: error of a mean per pass and cell beyond the noise of its samples.
        std_factor: factor of the formal standard deviation.
    """

    sigma: Array
    amplitude: Array
    range_km: float
    decorrelation_time_days: float
    noise_length_km: float
    noise_order: int
    rho: float
    advection: float
    representativeness_m: float
    std_factor: float

    def __post_init__(self) -> None:
        for name in sorted(_SCALARS.keys() - {"advection", "rho"}):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive and finite, got {value}")
        if not 0 <= self.advection < np.inf:
            raise ValueError(f"advection must be finite and not negative, got {self.advection}")
        if self.noise_order not in (1, 2):
            raise ValueError(f"noise_order must be 1 or 2, got {self.noise_order}")
        if not 0 <= self.rho < 1:
            raise ValueError(f"rho must lie in [0, 1), got {self.rho}")
        if self.sigma.shape != self.amplitude.shape or self.sigma.ndim != 2:
            raise ValueError(
                f"sigma and amplitude must be (lat, lon) alike, got {self.sigma.shape} and "
                f"{self.amplitude.shape}"
            )
        for name in ("sigma", "amplitude"):
            field = getattr(self, name)
            if not np.all(np.isfinite(field) & (field > 0)):
                raise ValueError(f"{name} must be positive and finite in every cell")

    @property
    def dynamics(self) -> Dynamics:
        """Settings of the prior."""
        noise = Coloured(self.noise_length_km, self.noise_order)
        return Dynamics(1.0, 2, "backward_euler", noise, self.rho)

    def theta(self, dtype: torch.dtype = torch.float64) -> SpdeParameters:
        """Return Θ without currents, (1, 1, lat, lon)."""
        sigma = torch.as_tensor(self.sigma * self.amplitude, dtype=dtype)[None, None]
        size, time = self.range_km, self.decorrelation_time_days
        return SpdeParameters.from_physical(sigma, size, size, 0.0, time, dynamics=self.dynamics)

    def to_dataset(self, grid: Grid, record: Mapping[str, Any]) -> xr.Dataset:
        """Return the parameters as fields and scalars, and a record of the fit as attributes."""
        dims = ("lat", "lon")
        scalars = {k: v for k, v in asdict(self).items() if k in _SCALARS}
        scalars["noise_order"] = np.int32(self.noise_order)
        data = {k: ((), v, dict(zip(("long_name", "units"), _SCALARS[k], strict=True)))
                for k, v in scalars.items()}  # fmt: skip
        coordinates = {
            "lat": ("lat", grid.lat, {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": ("lon", grid.lon, {"standard_name": "longitude", "units": "degrees_east"}),
        }
        fields = {
            name: (dims, np.where(grid.land, np.nan, getattr(self, name)), attributes)
            for name, attributes in _FIELDS.items()
        }
        return xr.Dataset({**fields, **data}, coordinates, dict(record))

    @classmethod
    def read(cls, path: Path, grid: Grid) -> SpdeOiParameters:
        """Return the parameters of a file written by the fit.

        Raises:
            DataError: the file is damaged, incomplete or for another grid.
        """
        data = load_netcdf(path, ("lat", "lon", *_FIELDS, *_SCALARS))
        try:
            held = Grid.latlon(data["lat"].values, data["lon"].values, periodic=grid.periodic)
            if not held.same_axes(grid):
                raise ValueError(
                    f"parameters for {held.shape} cells in {held.bounds}, the maps have "
                    f"{grid.shape} in {grid.bounds}; fit again on this domain"
                )
            fields: dict[str, Any] = {
                name: data[name].transpose("lat", "lon").values.astype(np.float64)
                for name in _FIELDS
            }
            fields = {name: np.where(grid.land, 1.0, field) for name, field in fields.items()}
            scalars: dict[str, Any] = {name: float(data[name].item()) for name in _SCALARS}
            if scalars["noise_order"].is_integer():
                scalars["noise_order"] = int(scalars["noise_order"])
            return cls(**fields, **scalars)
        except ValueError as error:
            raise DataError(f"{path}: {error}") from error


def share_held(parameters: SpdeOiParameters, shortest_km: float) -> float:
    """Return the share of the variance of the prior at wavelengths of at least `shortest_km`."""
    theta = parameters.theta()
    kappa, h_ee, h_en, h_nn = (
        v[..., :1, :1] for v in (theta.kappa, theta.h_ee, theta.h_en, theta.h_nn)
    )
    # the cells whose circle of wavenumbers ends there
    side = shortest_km / np.sqrt(np.pi)
    held = variance_per_unit_tau(kappa, h_ee, h_en, h_nn, parameters.dynamics, (side, side))
    whole = variance_per_unit_tau(kappa, h_ee, h_en, h_nn, parameters.dynamics)
    return min(1.0, float(held / whole))


def with_amplitude(
    parameters: SpdeOiParameters, grid: Grid, shortest_km: float
) -> SpdeOiParameters:
    """Return the parameters with the amplitude that gives the prior the deviation σ everywhere.

    The local formula for τ knows neither walls nor gradients of σ; the variance of the start in
    a basis does.

    Args:
        parameters: the amplitude is where the iteration starts.
        grid: the grid.
        shortest_km: shortest wavelength of the basis.
    """
    basis = ModeBasis.of(grid, shortest_km)
    share, n = share_held(parameters, shortest_km), basis.count
    for _ in range(_AMPLITUDE_STEPS):
        prior = ModePrior(grid, parameters.theta(), parameters.dynamics, basis)
        held = basis.variance(prior.start()[:n, :n]).numpy()
        wanted = share * parameters.sigma**2
        factor = np.sqrt(np.where(grid.ocean, wanted / np.where(grid.ocean, held, 1.0), 1.0))
        parameters = replace(parameters, amplitude=parameters.amplitude * factor)
    return parameters


class ModeModel(ABC):
    """A prior in a basis of modes, ready to be filtered.

    Args:
        grid: latitude-longitude grid.
        basis: the modes.
        law: filter of the prior; its start and the noise of all days.
        neglected: variance that the basis leaves out, m², (lat, lon).
        representativeness_m: error of a mean per pass and cell beyond the noise of its samples.
    """

    def __init__(
        self,
        grid: Grid,
        basis: ModeBasis,
        law: ModeFilter,
        neglected: Array,
        representativeness_m: float,
    ) -> None:
        self.grid, self.basis, self.filter = grid, basis, law
        self.neglected, self.representativeness_m = neglected, representativeness_m
        self._columns = basis.fields.flatten(1).T.contiguous()

    @abstractmethod
    def step(self, state: Gaussian, day: np.datetime64) -> Step:
        """Return the dynamics from a day to the next, given the state of that day."""

    @abstractmethod
    def flow(self, state: Gaussian, day: np.datetime64) -> tuple[Array, Array]:
        """Return the currents that carry anomalies on a day, km/day, each (lat, lon)."""

    def start(self, day: np.datetime64, columns: int | None = None) -> Gaussian:
        """Return the stationary law of a day, its mean with columns where asked for."""
        return self.filter.start(columns)

    def field(self, modes: torch.Tensor) -> Array:
        """Return the anomaly in m, (lat, lon) or (columns, lat, lon), of a state's mean."""
        return np.asarray(self.basis.expand(modes[: self.basis.count].movedim(0, -1)))

    def variance(self, covariance: torch.Tensor) -> Array:
        """Return the variance of the anomaly, m², (lat, lon), the neglected part included."""
        n = self.basis.count
        return np.maximum(self.basis.variance(covariance[:n, :n]).numpy(), 0) + self.neglected

    def points(self, seen: SuperObservations, share: Array) -> DayPoints:
        """Return observations as the filter takes them.

        Args:
            seen: observations between two noons.
            share: time after the first noon, days, shape (obs,).
        """
        place, weight = corners(self.grid, seen.row, seen.column)
        weights = torch.as_tensor(weight)[:, :, None]
        rows = (self._columns[torch.as_tensor(place)] * weights).sum(dim=1)
        # what the basis cannot follow is error of the observation too
        neglected = (self.neglected.ravel()[place] * weight).sum(axis=1)
        variance = seen.variance + self.representativeness_m**2 + neglected
        return DayPoints(
            rows,
            torch.as_tensor(share),
            torch.as_tensor(seen.value),
            torch.as_tensor(variance),
        )


class SpdeModel(ModeModel):
    """Prior and filter of a domain in a basis of modes, carried by the currents of its own mean.

    Args:
        parameters: fitted parameters.
        grid: latitude-longitude grid.
        mean: mean height of the learning period in m, (lat, lon); the currents need it.
        shortest_km: shortest wavelength of the basis.
        low_pass_km: width of the low-pass of the currents.

    Raises:
        ValueError: the basis would be too large.
    """

    def __init__(
        self,
        parameters: SpdeOiParameters,
        grid: Grid,
        mean: Array,
        shortest_km: float,
        low_pass_km: float,
    ) -> None:
        self.parameters, self.low_pass_km = parameters, low_pass_km
        self.mean = np.nan_to_num(mean)
        basis = affordable_basis(grid, shortest_km)
        self.prior = ModePrior(grid, parameters.theta(), parameters.dynamics, basis)
        missing = 1 - share_held(parameters, shortest_km)
        neglected = np.where(grid.ocean, missing * parameters.sigma**2, 0.0)
        law = ModeFilter(self.prior)
        super().__init__(grid, basis, law, neglected, parameters.representativeness_m)

    def step(self, state: Gaussian, day: np.datetime64) -> Step:
        """Return the dynamics of the next day, carried by the currents of a state's own mean."""
        if self.parameters.advection == 0:
            return self._still
        east, north = self.flow(state, day)
        return self.prior.step(torch.as_tensor(east), torch.as_tensor(north))

    def flow(self, state: Gaussian, day: np.datetime64) -> tuple[Array, Array]:
        """Return the currents that carry anomalies, km/day, of the mean of a state."""
        if self.parameters.advection == 0:
            return np.zeros(self.grid.shape), np.zeros(self.grid.shape)
        height = self.field(state.mean) + self.mean
        east, north = currents(height, self.grid, self.low_pass_km)
        share = self.parameters.advection
        return share * east, share * north

    @cached_property
    def _still(self) -> Step:
        return self.prior.step()


def affordable_basis(grid: Grid, shortest_km: float) -> ModeBasis:
    """Return the modes of a grid down to a wavelength.

    Raises:
        ValueError: there are too many.
    """
    expected = grid.area_km2[grid.ocean].sum() * np.pi / shortest_km**2
    if expected > MOST_MODES:
        raise ValueError(_TOO_MANY.format(round(expected), shortest_km))
    basis = ModeBasis.of(grid, shortest_km)
    if basis.count > MOST_MODES:  # coasts take more modes than their area tells
        raise ValueError(_TOO_MANY.format(basis.count, shortest_km))
    return basis
