"""The times of a file: period, cadence, stamps, order, repeats and gaps."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.data.sources.oceanbench import time_units
from pipeline_spde.data.sources.opening import Header
from pipeline_spde.data.sources.times import read_instants
from pipeline_spde.files import DataError
from pipeline_spde.inspection.report import Findings

_DAY = np.timedelta64(1, "D")
_SHOWN = 5


def look_at_times(
    data: xr.Dataset, header: Header, name: str, findings: Findings
) -> NDArray[np.datetime64] | None:
    """Return the instants of a time variable as they stand, or None when they are unusable."""
    calendar = str(header.attrs[name].get("calendar", "standard")).lower()
    units = None
    try:
        if "units" not in header.attrs[name]:
            units = time_units(header.path)
            findings.remarks.append(
                f"{name} has no units; by its step it is read as {units!r} (OceanBench registry)"
            )
        instants = read_instants(data, name, header.path, units)
    except DataError as error:
        findings.problem(error, header.path)
        return None
    if calendar in ("noleap", "365_day"):
        findings.remarks.append(f"calendar {calendar!r}: there is no 29 February")
    missing = int(np.isnat(instants).sum())
    if missing:
        findings.problem(f"{missing} of {instants.size} times are missing")
    if missing == instants.size:
        return None
    return instants


def look_at_map_stamps(
    instants: NDArray[np.datetime64], findings: Findings, daily: bool = True
) -> None:
    """Add period, cadence and stamps of maps, and what is wrong with them.

    Args:
        instants: stamps as they stand, NaT where missing.
        findings: to fill.
        daily: they should be daily means.
    """
    known = np.sort(instants[~np.isnat(instants)])
    days = known.astype("datetime64[D]")
    findings.facts["period"] = f"{days[0]} to {days[-1]}, {known.size} maps"
    if np.any(np.diff(instants) < np.timedelta64(0, "ns")):
        findings.problem("the times are not in order")
    step = np.diff(known)
    repeated = np.unique(known[1:][step == np.timedelta64(0, "ns")])
    if repeated.size:
        findings.problem(f"{repeated.size} times are given twice: {_first(repeated)}")
    _look_at_hours(known, findings, daily)
    usual = step[step > np.timedelta64(0, "ns")]
    if usual.size == 0:
        return
    cadence = np.median(usual.astype(np.int64)).astype("timedelta64[ns]")
    findings.facts["cadence"] = _words(cadence)
    gaps = np.flatnonzero(step > 1.5 * cadence.astype(np.float64).astype("timedelta64[ns]"))
    if gaps.size:
        named = [f"{days[i]} to {days[i + 1]}" for i in gaps[:_SHOWN]]
        more = " …" if gaps.size > _SHOWN else ""
        findings.problem(f"{gaps.size} gaps in the maps: {', '.join(named)}{more}")


def _look_at_hours(known: NDArray[np.datetime64], findings: Findings, daily: bool) -> None:
    minutes = np.unique((known - known.astype("datetime64[D]")).astype("timedelta64[m]"))
    hours = [f"{int(m.astype(int)) // 60:02d}:{int(m.astype(int)) % 60:02d}" for m in minutes]
    shown = ", ".join(hours) if len(hours) <= 3 else f"{hours[0]}, {hours[1]} … {hours[-1]}"
    findings.facts["stamps"] = f"{shown} UTC"
    if not daily:
        return
    if hours == ["00:00"]:
        findings.remarks.append(
            "maps are stamped 00:00: readers take that as the label of the day and make it 12:00 "
            "(midnight='instant' averages consecutive maps instead)"
        )
    elif len(hours) == 1 and hours != ["12:00"]:
        findings.remarks.append(
            f"maps are stamped {hours[0]}: snapshots, not daily means (00:00 or 12:00)"
        )
    elif len(hours) > 1 and known.size <= np.unique(known.astype("datetime64[D]")).size:
        findings.problem(f"one map a day, but stamped at different hours: {shown}")


def look_at_sample_times(instants: NDArray[np.datetime64], findings: Findings) -> None:
    """Add period and sampling of tracks, and what is wrong with their times."""
    known = instants[~np.isnat(instants)]
    step = np.diff(known)
    findings.facts["period"] = (
        f"{known.min().astype('datetime64[s]')} to {known.max().astype('datetime64[s]')}"
    )
    if np.any(step < np.timedelta64(0, "ns")):
        findings.problem("the samples are not in the order of time")
    ordered = np.sort(known)
    forward = np.diff(ordered)
    forward = forward[forward > np.timedelta64(0, "ns")]
    if forward.size:
        usual = float(np.median(forward.astype(np.int64))) * 1e-9
        findings.facts["sampling"] = f"every {usual:.3g} s along the track"
    idle = np.flatnonzero(np.diff(ordered) > 3 * _DAY)
    if idle.size:
        named = [
            f"{ordered[i].astype('datetime64[D]')} to {ordered[i + 1].astype('datetime64[D]')}"
            for i in idle[:_SHOWN]
        ]
        more = " …" if idle.size > _SHOWN else ""
        findings.remarks.append(
            f"no sample for more than three days, {idle.size} times: {', '.join(named)}{more}"
        )


def _words(step: np.timedelta64) -> str:
    hours = float(step / np.timedelta64(1, "h"))
    names = {1.0: "hourly", 24.0: "daily", 168.0: "weekly"}
    if hours in names:
        return names[hours]
    return f"every {hours:g} hours" if hours < 48 else f"every {hours / 24:g} days"


def _first(instants: NDArray[np.datetime64]) -> str:
    shown = ", ".join(map(str, instants[:_SHOWN].astype("datetime64[m]")))
    return shown + (" …" if instants.size > _SHOWN else "")
