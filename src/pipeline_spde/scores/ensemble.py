"""Estimates with an uncertainty, read one day at a time: members, or a mean with its deviation.

The file of an ensemble holds, beside the members `ssh` (realization, time, lat, lon), the map that
stands for it, `ssh_mean`, the raw spread `ssh_std` and perhaps `ssh_std_calibrated`. A calibrated
member is

    ssh_mean + (ssh − ssh_mean) · ssh_std_calibrated / ssh_std

A file without members is judged as Gaussian. Quantity names other than `ssh` work the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.scores.point_scores import PointScores, of_gaussian, of_map, of_members
from pipeline_spde.scores.regrid import DIMS, as_cube
from pipeline_spde.scores.statistic import Array
from pipeline_spde.scores.targets import Target, TargetDay

RAW, CALIBRATED = "raw", "calibrated"
MEMBER_DIM = "realization"


@dataclass(frozen=True, eq=False)
class PlainMaps:
    """Maps without any uncertainty.

    Attributes:
        mean: the maps in m, dims (time, lat, lon).
    """

    mean: xr.DataArray
    kind: ClassVar[str] = "deterministic"
    estimator: ClassVar[str] = "absolute error"
    size: ClassVar[int | None] = None
    versions: ClassVar[tuple[str, ...]] = (RAW,)

    def covered(self, target: Target, row: int) -> NDArray[np.bool_]:
        """Return where there is an estimate on a day."""
        return np.isfinite(target.at(self.mean, row))

    def on_day(self, target: Target, row: int) -> Iterator[tuple[str, Array]]:
        """Yield (version, the estimate at the target)."""
        yield RAW, target.at(self.mean, row)

    def judge(
        self, values: Any, day: TargetDay, valid: NDArray[np.bool_], rng: np.random.Generator
    ) -> PointScores:
        """Return the scores of what `on_day` gave at the valid places."""
        return of_map(day.truth[valid], values[valid])


@dataclass(frozen=True, eq=False)
class GaussianMaps:
    """Maps with a standard deviation of their error.

    Attributes:
        mean: the maps in m, dims (time, lat, lon).
        std: version -> standard deviation in m, on the same grid and days.
    """

    mean: xr.DataArray
    std: Mapping[str, xr.DataArray]
    kind: ClassVar[str] = "gaussian"
    estimator: ClassVar[str] = "Gaussian"
    size: ClassVar[int | None] = None

    @classmethod
    def of(cls, maps: xr.Dataset) -> GaussianMaps:
        """Return the maps of a file with the variables `ssh` and `ssh_std` (or sla, adt).

        Raises:
            ValueError: the file has no standard deviation.
        """
        name = maps.attrs["quantity"]
        _require(maps, (name, f"{name}_std"), "maps with a spread")
        return cls.of_arrays(maps[name], maps[f"{name}_std"])

    @classmethod
    def of_arrays(cls, mean: xr.DataArray, std: xr.DataArray) -> GaussianMaps:
        """Return maps and standard deviation as one object."""
        return cls(as_cube(mean, "estimate"), {RAW: as_cube(std, "std")})

    @property
    def versions(self) -> tuple[str, ...]:
        """Names of the versions, the raw one first."""
        return tuple(self.std)

    def covered(self, target: Target, row: int) -> NDArray[np.bool_]:
        """Return where there is an estimate and a spread on a day."""
        arrays = (self.mean, *self.std.values())
        return np.logical_and.reduce([np.isfinite(target.at(a, row)) for a in arrays])

    def on_day(self, target: Target, row: int) -> Iterator[tuple[str, tuple[Array, Array]]]:
        """Yield (version, mean and standard deviation at the target)."""
        mean = target.at(self.mean, row)
        for version, std in self.std.items():
            yield version, (mean, target.at(std, row))

    def judge(
        self, values: Any, day: TargetDay, valid: NDArray[np.bool_], rng: np.random.Generator
    ) -> PointScores:
        """Return the scores of N(mean, std² + truth_error²) at the valid places."""
        mean, std = (array[valid] for array in values)
        return of_gaussian(day.truth[valid], mean, np.hypot(std, day.truth_error[valid]))


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Members of an ensemble, raw and calibrated; they are read when a day is scored.

    Attributes:
        members: m, dims (realization, time, lat, lon).
        mean: the map that stands for the ensemble in m, dims (time, lat, lon).
        std: raw spread in m, same dims.
        std_calibrated: calibrated spread in m, same dims, or None.
    """

    members: xr.DataArray
    mean: xr.DataArray
    std: xr.DataArray
    std_calibrated: xr.DataArray | None
    kind: ClassVar[str] = "ensemble"
    estimator: ClassVar[str] = "fair"

    @property
    def size(self) -> int:
        """Number of members."""
        return int(self.members.sizes[MEMBER_DIM])

    @property
    def versions(self) -> tuple[str, ...]:
        """Names of the versions, the raw one first."""
        return (RAW,) if self.std_calibrated is None else (RAW, CALIBRATED)

    def covered(self, target: Target, row: int) -> NDArray[np.bool_]:
        """Return where there is an estimate and a spread on a day."""
        arrays = [self.mean, self.std]
        arrays += [] if self.std_calibrated is None else [self.std_calibrated]
        return np.logical_and.reduce([np.isfinite(target.at(a, row)) for a in arrays])

    def on_day(self, target: Target, row: int) -> Iterator[tuple[str, Array]]:
        """Yield (version, members at the target); at most the maps around the day are read."""
        members = target.around(self.members, row).astype(np.float64).load()
        yield RAW, target.interpolate(members, row)
        if self.std_calibrated is not None:
            mean, std, wanted = (
                target.around(a, row) for a in (self.mean, self.std, self.std_calibrated)
            )
            # members without spread are all equal: nothing to scale
            factor = np.where(std.values > 0, wanted.values / np.where(std > 0, std, 1.0), 1.0)
            scaled = mean.values + (members.values - mean.values) * factor
            yield CALIBRATED, target.interpolate(members.copy(data=scaled), row)

    def judge(
        self, values: Any, day: TargetDay, valid: NDArray[np.bool_], rng: np.random.Generator
    ) -> PointScores:
        """Return the scores of the members at the valid places.

        Where the truth itself has errors each member gets a draw of them, so that members and
        truth are draws of the same thing.
        """
        members, error = values[:, valid], day.truth_error[valid]
        bad = int(np.count_nonzero(~np.isfinite(members)))
        if bad:
            raise ValueError(
                f"{bad} values of the members are missing where the ensemble's mean and std have "
                "one; write every member on every ocean cell"
            )
        if error.any():
            members = members + error * rng.standard_normal(members.shape)
        return of_members(day.truth[valid], members, rng)


Estimate = PlainMaps | GaussianMaps | Ensemble


def estimate_of(data: xr.Dataset) -> GaussianMaps | Ensemble:
    """Return the estimate held by the file of an ensemble; members are not read yet.

    Args:
        data: variables as the module describes them, `attrs["quantity"]` naming the height.

    Raises:
        ValueError: a variable or dimension is missing, or there are fewer than two members.
    """
    name = data.attrs.get("quantity", "ssh")
    _require(data, (f"{name}_mean", f"{name}_std"), "an ensemble")
    mean, std = (_cube(data, f"{name}_{part}") for part in ("mean", "std"))
    wanted = f"{name}_std_calibrated"
    calibrated = _cube(data, wanted) if wanted in data else None
    if name not in data:
        spreads = {RAW: std} if calibrated is None else {RAW: std, CALIBRATED: calibrated}
        return GaussianMaps(mean, spreads)
    members = data[name]
    if set(members.dims) != {MEMBER_DIM, *DIMS}:
        raise ValueError(f"{name} must have the dims {(MEMBER_DIM, *DIMS)}, got {members.dims}")
    if members.sizes[MEMBER_DIM] < 2:
        raise ValueError(f"{name}: scores of an ensemble need two or more members")
    if not all(np.array_equal(members[dim].values, mean[dim].values) for dim in DIMS):
        raise ValueError(f"{name}: the members' axes must increase and be those of {name}_mean")
    return Ensemble(members.transpose(MEMBER_DIM, *DIMS), mean, std, calibrated)


def _cube(data: xr.Dataset, name: str) -> xr.DataArray:
    """Return a variable (time, lat, lon) of a file in memory, or left in its dask chunks."""
    cube = as_cube(data[name], name)
    return cube.load() if cube.chunks is None else cube


def _require(data: xr.Dataset, names: tuple[str, ...], what: str) -> None:
    missing = [name for name in names if name not in data]
    if missing:
        raise ValueError(f"{missing} not found; {what} must hold it, there are {list(data)}")
