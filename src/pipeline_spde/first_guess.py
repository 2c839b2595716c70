"""First guesses of windows by exact SPDE interpolation, and the prior they were made with.

The neural solvers start from them. They are made of observations alone, and of those only that the
task lets a window see (`baselines.first_guess` makes them; here is what travels).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from pipeline_spde.files import DataError, load_netcdf
from pipeline_spde.periods import Task

_HEIGHT = {"units": "m", "long_name": "first guess of the height anomaly by SPDE interpolation"}
_CURRENTS = {
    "m_east": {"units": "km day-1", "long_name": "eastward current that carries anomalies"},
    "m_north": {"units": "km day-1", "long_name": "northward current that carries anomalies"},
}
_SIGMA = {"units": "m", "long_name": "local deviation that the prior is given"}
_LAW = {
    "range_km": ("range of the isotropic correlation", "km"),
    "decorrelation_time_days": ("e-folding time of the largest scales", "days"),
    "noise_length_km": ("length of the noise filter", "km"),
    "noise_order": ("order of the noise filter", "1"),
    "rho": ("correlation of the noise from day to day", "1"),
}
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class PriorLaw:
    """The numbers of a fitted prior that are the same everywhere.

    Attributes:
        range_km: √8 √(h/κ²).
        decorrelation_time_days: 1/κ².
        noise_length_km: ℓ of the noise filter.
        noise_order: 1 or 2.
        rho: correlation of the noise from day to day.
    """

    range_km: float
    decorrelation_time_days: float
    noise_length_km: float
    noise_order: int
    rho: float


class Guess(NamedTuple):
    """First guess and prior of a batch of windows, as the networks take them.

    Attributes:
        height: normalised anomaly, shape (batch, time, lat, lon).
        currents: eastward and northward, km/day, shape (batch, 2, time, lat, lon).
        sigma: local deviation, m, shape (batch, lat, lon).
        unit_m: metres per normalised unit.
        law: the numbers of the prior.
    """

    height: Tensor
    currents: Tensor
    sigma: Tensor
    unit_m: float
    law: PriorLaw

    def to(self, device: torch.device) -> Guess:
        """Return the guess with all tensors on a device."""
        height, currents, sigma = (part.to(device) for part in self[:3])
        return self._replace(height=height, currents=currents, sigma=sigma)

    def sample(self, i: int) -> Guess:
        """Return the guess of one sample, as a batch of one."""
        height, currents, sigma = (part[i : i + 1] for part in self[:3])
        return self._replace(height=height, currents=currents, sigma=sigma)


@dataclass(frozen=True, eq=False)
class FirstGuess:
    """First guesses of the windows of a task.

    Attributes:
        task: mapping, nrt or for{n}.
        window_days: length of the windows.
        targets: calendar days; mapping: of every map, forecasts: target day of every window.
        height: anomaly in m; mapping: (targets, lat, lon), one field a day that all windows
            share; forecasts: (targets, window, lat, lon), as each window sees its days.
        days: calendar days of the currents.
        m_east: km/day, shape (days, lat, lon).
        m_north: km/day, shape (days, lat, lon).
        sigma: local deviation that the prior is given, m, shape (lat, lon).
        law: the numbers of the prior.
    """

    task: Task
    window_days: int
    targets: NDArray[np.datetime64]
    height: NDArray[np.float32]
    days: NDArray[np.datetime64]
    m_east: NDArray[np.float32]
    m_north: NDArray[np.float32]
    sigma: NDArray[np.float32]
    law: PriorLaw
    VARIABLES: ClassVar[tuple[str, ...]] = (
        "time", "current_time", "ssh_anomaly", "sigma", *_CURRENTS, *_LAW
    )  # fmt: skip
    """What a file of first guesses must hold."""

    def __post_init__(self) -> None:
        extra = () if self.task.lead is None else (self.window_days,)
        cells = self.m_east.shape[1:]
        if self.height.shape != (self.targets.size, *extra, *cells):
            raise ValueError(
                f"first guess: heights have shape {self.height.shape}, expected "
                f"{(self.targets.size, *extra, *cells)} for the task {self.task.name}"
            )
        if self.sigma.shape != cells:
            raise ValueError(f"first guess: sigma is {self.sigma.shape}, the fields are {cells}")
        for name in ("height", "m_east", "m_north", "sigma"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"first guess: {name} holds NaN or infinite values; make it again")

    @property
    def shape(self) -> tuple[int, int]:
        """(lat, lon) of the fields."""
        return (int(self.height.shape[-2]), int(self.height.shape[-1]))

    def window(self, first: np.datetime64) -> NDArray[np.float32]:
        """Return the anomaly of each day of the window that starts on `first`, (window, lat, lon).

        Raises:
            ValueError: a day, or the target, is not held.
        """
        if self.task.lead is None:
            return self.height[self._places(self.targets, self._days_from(first))]
        target = self._days_from(first)[[self.task.target_index(self.window_days)]]
        return np.asarray(self.height[self._places(self.targets, target)[0]])

    def currents(self, first: np.datetime64) -> NDArray[np.float32]:
        """Return the currents of the window that starts on `first`, (2, window, lat, lon).

        Beyond the last observed day they stay those of that day.
        """
        wanted = self._days_from(first)
        if self.task.lead:
            wanted[-self.task.lead :] = wanted[-self.task.lead - 1]
        place = self._places(self.days, wanted)
        return np.stack([self.m_east[place], self.m_north[place]])

    def _days_from(self, first: np.datetime64) -> NDArray[np.datetime64]:
        days: NDArray[np.datetime64] = np.arange(self.window_days) * _DAY + first.astype("M8[D]")
        return days

    def _places(
        self, held: NDArray[np.datetime64], wanted: NDArray[np.datetime64]
    ) -> NDArray[np.int64]:
        place = np.minimum(np.searchsorted(held, wanted), held.size - 1)
        missing = wanted[held[place] != wanted]
        if missing.size:
            raise ValueError(
                f"the first guess for {self.task.name} does not hold {missing[0]}; it covers "
                f"{held[0]} to {held[-1]} with the gaps between the periods: make it for the days "
                "that are mapped"
            )
        return np.asarray(place)

    def to_dataset(self, lat: NDArray, lon: NDArray) -> xr.Dataset:
        """Return the first guess as a Dataset."""
        flow, dims, height = ("current_time", "lat", "lon"), ("time", "lat", "lon"), self.height
        if self.task.lead is not None:  # further dimensions stand left of the time
            dims, height = ("day", *dims), np.moveaxis(height, 1, 0)  # type: ignore[assignment]
        data: dict[str, Any] = {"ssh_anomaly": (dims, height, _HEIGHT)}
        data |= {name: (flow, getattr(self, name), about) for name, about in _CURRENTS.items()}
        data["sigma"] = (("lat", "lon"), self.sigma, _SIGMA)
        for name, value in asdict(self.law).items():
            number = np.int32(value) if isinstance(value, int) else value
            data[name] = ((), number, dict(zip(("long_name", "units"), _LAW[name], strict=True)))
        stamps = {"standard_name": "time", "long_name": "centre of the day"}
        coordinates = {
            "time": ("time", _noon(self.targets), stamps),
            "current_time": ("current_time", _noon(self.days), stamps),
            "lat": ("lat", lat, {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": ("lon", lon, {"standard_name": "longitude", "units": "degrees_east"}),
        }
        about = {"task": self.task.name, "window_days": np.int64(self.window_days)}
        return xr.Dataset(data, coordinates, about)

    @classmethod
    def read(cls, path: str | Path, task: Task, window_days: int) -> FirstGuess:
        """Return the first guess of a file.

        Raises:
            DataError: damaged, or for another task or length of window.
        """
        return cls.from_dataset(load_netcdf(path, cls.VARIABLES), path, task, window_days)

    @classmethod
    def from_dataset(
        cls, data: xr.Dataset, path: str | Path, task: Task, window_days: int
    ) -> FirstGuess:
        """Return the first guess of a Dataset in the layout of `to_dataset`; `path` is its file.

        Raises:
            DataError: it is for another task or length of window.
        """
        held = (data.attrs.get("task"), int(data.attrs.get("window_days", 0)))
        if held != (task.name, window_days):
            raise DataError(
                f"{path}: holds windows of {held[1]} days for {held[0]}, wanted are windows of "
                f"{window_days} days for {task.name}; make it again"
            )
        return cls(
            task=task,
            window_days=window_days,
            targets=data["time"].values.astype("datetime64[D]"),
            height=data["ssh_anomaly"].transpose("time", ...).values.astype(np.float32),
            days=data["current_time"].values.astype("datetime64[D]"),
            m_east=data["m_east"].values.astype(np.float32),
            m_north=data["m_north"].values.astype(np.float32),
            sigma=data["sigma"].values.astype(np.float32),
            law=PriorLaw(
                range_km=float(data["range_km"]),
                decorrelation_time_days=float(data["decorrelation_time_days"]),
                noise_length_km=float(data["noise_length_km"]),
                noise_order=int(data["noise_order"]),
                rho=float(data["rho"]),
            ),
        )


def _noon(days: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    return np.asarray(days.astype("datetime64[ns]") + np.timedelta64(12, "h"))


def batch_of(windows: Sequence[Sequence[NDArray]], unit_m: float, law: PriorLaw) -> Guess:
    """Return the guess of a batch from (normalised heights, currents, σ) of each window."""
    height, currents, sigma = (
        torch.from_numpy(np.stack(part).astype(np.float32)) for part in zip(*windows, strict=True)
    )
    return Guess(height, currents, sigma, unit_m, law)
