"""Looking at files of maps: axes, stamps, heights, ensembles, gridded observations."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.data.sources.axes import (
    Axis,
    find_coordinate,
    height_variables,
    latitude_axis,
    longitude_axis,
)
from pipeline_spde.data.sources.opening import Header, decoded, numbers
from pipeline_spde.data.sources.times import plan_days
from pipeline_spde.fields import LONG_NAMES, Quantity
from pipeline_spde.files import DataError
from pipeline_spde.grids import KM_PER_DEGREE
from pipeline_spde.inspection.report import Findings
from pipeline_spde.inspection.stamps import look_at_map_stamps, look_at_times
from pipeline_spde.inspection.values import Statistics, look_at_heights

ENSEMBLE_DIMS = ("realization", "member", "members", "ensemble", "number", "sample")
_OBSERVED = ("nadir_obs", "ssh_obs", "input")
_PLAUSIBLE_STD_M = (0.0, 2.0)
_SHOWN = 5
_MOST_LOST = 0.1


def look_at_maps(
    data: xr.Dataset, header: Header, findings: Findings, observations: bool, lenient: bool
) -> None:
    """Add what a file of maps, or of gridded observations, holds and what is wrong with it.

    Args:
        data: the file, opened undecoded.
        header: of it.
        findings: to fill.
        observations: holes mean "not observed".
        lenient: the format is known to leave out units: metres.
    """
    heights = height_variables(header, (2, 3, 4, 5))
    heights |= {name: "ssh" for name in _OBSERVED if header.ndim(name) == 3}
    means: dict[str, Quantity] = {"ssh_mean": "ssh", "sla_mean": "sla", "adt_mean": "adt"}
    heights |= {name: means[name] for name in means if header.ndim(name) == 3}
    if not heights:
        findings.problem(
            f"no height of the sea surface (ssh, sla, adt) found; there are {sorted(header.dims)}"
        )
        return
    findings.facts["quantity"] = ", ".join(
        f"{name} ({LONG_NAMES[quantity]})" for name, quantity in heights.items()
    )
    _look_at_axes(data, header, findings)
    instants, time_dim = _look_at_time(data, header, findings)
    for name in heights:
        _look_at_further_dims(data, header, name, findings)
        found = look_at_heights(data, header, name, time_dim, findings, "m" if lenient else None)
        if found is not None and found.low == found.high and found.count > 1:
            findings.problem(f"{name} is {found.low:g} m everywhere")
        if found is not None and time_dim in header.dims[name]:
            holes = observations or name in _OBSERVED or "observed" in header.dims
            _look_at_days(name, found, instants, holes, findings)
    _look_at_errors(data, header, tuple(heights), time_dim, findings)


def _look_at_axes(data: xr.Dataset, header: Header, findings: Findings) -> None:
    axes: list[Axis] = []
    for kind, build in (("lat", latitude_axis), ("lon", longitude_axis)):
        try:
            name = find_coordinate(header, kind)
            values = numbers(decoded(data, name, header.path), header.path)
            axes.append(build(values, name, header.path))
        except DataError as error:
            findings.problem(error, header.path)
            continue
        if kind == "lat" and values[0] > values[-1]:
            findings.remarks.append("latitudes descend; readers turn them around")
        if kind == "lon" and values.max() > 180.0:
            findings.remarks.append(
                f"longitudes run {values.min():g} to {values.max():g}; readers bring them to -180 "
                "to 180"
            )
        if kind == "lon" and np.any(np.diff(values) <= 0):
            findings.problem(f"{name} does not increase: {values[0]:g} … {values[-1]:g}")
    if len(axes) != 2:
        return
    lat, lon = (axis.values for axis in axes)
    dlat, dlon = lat[1] - lat[0], lon[1] - lon[0]
    findings.facts["region"] = (
        f"latitudes {lat[0]:.6g} to {lat[-1]:.6g}, longitudes {lon[0]:.6g} to {lon[-1]:.6g}"
        + (" (around the globe)" if axes[1].periodic else "")
    )
    width = dlon * KM_PER_DEGREE * np.cos(np.radians(lat.mean()))
    findings.facts["resolution"] = (
        f"{dlat:.4g}° x {dlon:.4g}° ({dlat * KM_PER_DEGREE:.3g} x {width:.3g} km), {lat.size} x "
        f"{lon.size} nodes"
    )


def _look_at_time(
    data: xr.Dataset, header: Header, findings: Findings
) -> tuple[NDArray[np.datetime64] | None, str | None]:
    """Return the stamps and the dimension of the time, as far as there are any."""
    try:
        name = find_coordinate(header, "time")
    except DataError as error:
        findings.problem(error, header.path)
        return None, None
    dim = header.dims[name][0] if header.ndim(name) == 1 else None
    if dim is not None and header.sizes[dim] == 0:
        findings.problem(f"{name} is empty: the file holds no map")
        return None, dim
    instants = look_at_times(data, header, name, findings)
    if instants is not None:
        look_at_map_stamps(instants, findings)
        try:
            plan_days(np.unique(instants[~np.isnat(instants)]), "label", header.path)
        except DataError as error:
            sentence = str(error).removeprefix(f"{header.path}: ")
            findings.remarks.append(f"no daily means: {sentence}")
    return instants, dim


def _look_at_further_dims(data: xr.Dataset, header: Header, name: str, findings: Findings) -> None:
    for dim in header.dims[name]:
        size = header.sizes[dim]
        if dim.lower() in ENSEMBLE_DIMS:
            findings.facts["ensemble"] = f"{size} members on {dim}"
            if size < 2:
                findings.problem(f"an ensemble of {size} member has no spread")
            elif _members_alike(data, header, name, dim):
                findings.problem(f"the first two members of {name} are identical")
        elif dim not in {d for kind in ("lat", "lon", "time") for d in _dims_of(header, kind)}:
            findings.facts[f"further dimension of {name}"] = f"{dim} of {size}"


def _dims_of(header: Header, kind: str) -> tuple[str, ...]:
    try:
        return header.dims[find_coordinate(header, kind)]
    except DataError:
        return ()


def _members_alike(data: xr.Dataset, header: Header, name: str, dim: str) -> bool:
    try:
        array = decoded(data, name, header.path)
        start = {other: 0 for other in array.dims if other not in (dim, *array.dims[-2:])}
        first, second = (
            numbers(array.isel(start | {dim: member}), header.path) for member in (0, 1)
        )
    except DataError:
        return False  # said elsewhere
    return bool(np.array_equal(first, second, equal_nan=True) and np.isfinite(first).any())


def _look_at_days(
    name: str,
    found: Statistics,
    instants: NDArray[np.datetime64] | None,
    holes: bool,
    findings: Findings,
) -> None:
    """Add empty, repeated and partly missing maps."""
    finite = np.array(found.finite)
    labels = np.arange(finite.size) if instants is None else instants.astype("datetime64[D]")
    if labels.size != finite.size:
        findings.problem(f"{name} has {finite.size} maps, the time {labels.size} values")
        return
    empty = finite == 0
    if empty.any() and holes:
        findings.remarks.append(f"{name}: {int(empty.sum())} days without observation")
    elif empty.any():
        findings.problem(f"{name} is missing everywhere on {_listed(labels[empty])}")
    again = np.array(found.same)
    within_day = again & (np.append(labels[:1], labels[:-1]) == labels)
    if within_day.any() and not holes:
        findings.remarks.append(f"{name} is the same at several hours of a day")
    again &= ~within_day
    if again.any() and not holes:
        findings.problem(f"{name} repeats the map of the step before on {_listed(labels[again])}")
    if holes:
        share = 100 * finite / max(found.size // max(finite.size, 1), 1)
        findings.facts[f"observed share of {name}"] = (
            f"{share.mean():.3g} % of the cells a day ({share.min():.3g} to {share.max():.3g} %)"
        )
        return
    assert found.ever is not None and found.always is not None
    lost = int((found.ever & ~found.always).sum())
    if lost and not empty.any():
        worst = labels[int(np.argmin(finite))]
        sentence = f"{name}: {lost} cells are missing on some maps but not on all, most on {worst}"
        if lost > _MOST_LOST * found.ever.sum():
            findings.problem(sentence)
        else:
            findings.remarks.append(f"{sentence}; readers take them as land")


def _look_at_errors(
    data: xr.Dataset,
    header: Header,
    heights: tuple[str, ...],
    time_dim: str | None,
    findings: Findings,
) -> None:
    """Add the standard deviations that go with the heights."""
    stems = [name.removesuffix("_mean") for name in heights]
    names = [f"{stem}_{kind}" for stem in stems for kind in ("std", "std_calibrated")]
    for name in (*dict.fromkeys(names), "err_sla", "err", "std"):
        if header.ndim(name) < 2:
            continue
        found = look_at_heights(
            data, header, name, time_dim, findings, plausible_m=_PLAUSIBLE_STD_M
        )
        if found is not None and found.low < 0:
            findings.problem(f"{name} is negative ({found.low:.3g} m): no standard deviation")


def _listed(labels: NDArray) -> str:
    shown = ", ".join(map(str, labels[:_SHOWN]))
    return f"{labels.size} maps: {shown}" + (" …" if labels.size > _SHOWN else "")
