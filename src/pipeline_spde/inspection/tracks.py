"""Looking at files of samples: along tracks, on swaths, on the curved grid of a model."""

from __future__ import annotations

import numpy as np
import xarray as xr

from pipeline_spde.data.sources.axes import find_coordinate, height_variables
from pipeline_spde.data.sources.opening import Header, decoded, numbers
from pipeline_spde.fields import LONG_NAMES
from pipeline_spde.files import DataError
from pipeline_spde.inspection.report import Findings
from pipeline_spde.inspection.stamps import (
    look_at_map_stamps,
    look_at_sample_times,
    look_at_times,
)
from pipeline_spde.inspection.values import look_at_heights

_SIMULATED = {"ssh_true": "ssh", "ssh_karin": "ssh"}


def look_at_samples(
    data: xr.Dataset, header: Header, findings: Findings, lenient: bool, swath: bool
) -> None:
    """Add what a file of samples holds and what is wrong with it.

    Args:
        data: the file, opened undecoded.
        header: of it.
        findings: to fill.
        lenient: the format is known to leave out units: metres.
        swath: samples lie on lines and pixels.
    """
    heights = height_variables(header, (2,) if swath else (1,))
    heights |= {n: "ssh" for n in _SIMULATED if header.ndim(n) == 2 and swath}
    if not heights:
        findings.problem(f"no height of the sea surface found; there are {sorted(header.dims)}")
        return
    findings.facts["quantity"] = ", ".join(
        f"{name} ({LONG_NAMES[quantity]})" for name, quantity in heights.items()
    )
    size = {header.sizes[dim] for name in heights for dim in header.dims[name]}
    if 0 in size:
        findings.problem("the file holds no sample")
        return
    _look_at_positions(data, header, findings)
    _look_at_instants(data, header, findings)
    _look_at_missions(data, header, findings)
    for name in heights:
        look_at_heights(data, header, name, None, findings, "m" if lenient else None)
    if not swath:
        _look_at_repeats(data, header, tuple(heights), findings)


def look_at_curvilinear(data: xr.Dataset, header: Header, findings: Findings) -> None:
    """Add what a file of model fields on 2-D coordinates holds and what is wrong with it."""
    names = [name for name in ("sossheig", "ssh") if header.ndim(name) in (2, 3)]
    findings.facts["quantity"] = f"{names[0]} ({LONG_NAMES['ssh']} of a model)"
    _look_at_positions(data, header, findings)
    time_dim = None
    try:
        name = find_coordinate(header, "time")
        time_dim = header.dims[name][0] if header.ndim(name) else None
        instants = look_at_times(data, header, name, findings)
        if instants is not None:
            look_at_map_stamps(instants, findings, daily=False)
    except DataError:
        findings.remarks.append("no time; the reader takes a date in the name, or instant=…")
    look_at_heights(data, header, names[0], time_dim, findings, "m")


def _look_at_positions(data: xr.Dataset, header: Header, findings: Findings) -> None:
    ranges = []
    for kind, low, high in (("lat", -90.0, 90.0), ("lon", -360.0, 720.0)):
        try:
            name = find_coordinate(header, kind)
            values = numbers(decoded(data, name, header.path), header.path)
        except DataError as error:
            findings.problem(error, header.path)
            continue
        known = values[np.isfinite(values)]
        if known.size == 0:
            findings.problem(f"{name} holds no value")
            continue
        if known.size < values.size:
            findings.remarks.append(f"{name}: {values.size - known.size} values are missing")
        if known.min() < low or known.max() > high:
            findings.problem(
                f"{name} runs from {known.min():g} to {known.max():g}, expected degrees within "
                f"[{low:g}, {high:g}]; are the coordinates swapped or scaled?"
            )
        if kind == "lon" and known.max() > 180.0:
            findings.remarks.append("longitudes run to 360; readers bring them to -180 to 180")
        words = "latitudes" if kind == "lat" else "longitudes"
        ranges.append(f"{words} {known.min():.5g} to {known.max():.5g}")
    findings.facts["region"] = ", ".join(ranges)


def _look_at_instants(data: xr.Dataset, header: Header, findings: Findings) -> None:
    try:
        name = find_coordinate(header, "time")
    except DataError as error:
        findings.problem(error, header.path)
        return
    instants = look_at_times(data, header, name, findings)
    if instants is not None:
        look_at_sample_times(instants, findings)


def _look_at_missions(data: xr.Dataset, header: Header, findings: Findings) -> None:
    if not header.has("mission") or header.ndim("mission") != 1:
        return
    meanings = str(header.attrs["mission"].get("flag_meanings", "")).split()
    try:
        code = numbers(decoded(data, "mission", header.path), header.path)
    except DataError as error:
        findings.problem(error, header.path)
        return
    parts = []
    for value in np.unique(code[np.isfinite(code)]).astype(int):
        known = 0 <= value < len(meanings)
        parts.append(f"{meanings[value] if known else value} {int((code == value).sum())}")
        if meanings and not known:
            findings.problem(f"mission {value} is not among its flag_meanings {meanings}")
    findings.facts["samples"] = f"{code.size}: {', '.join(parts)}"


def _look_at_repeats(
    data: xr.Dataset, header: Header, heights: tuple[str, ...], findings: Findings
) -> None:
    """Add samples given twice: equal in time, place and all heights."""
    findings.facts.setdefault("samples", str(max(header.sizes[d] for d in header.dims[heights[0]])))
    try:
        names = [find_coordinate(header, kind) for kind in ("time", "lat", "lon")]
        columns = [
            numbers(decoded(data, name, header.path), header.path)
            for name in (*names, *heights)
            if header.ndim(name) == 1
        ]
    except DataError:
        return  # said elsewhere
    if len({column.size for column in columns}) != 1:
        sizes = dict(zip((*names, *heights), (c.size for c in columns), strict=False))
        findings.problem(f"variables of different lengths: {sizes}")
        return
    order = np.lexsort(columns[::-1])
    same = np.ones(max(order.size - 1, 0), bool)
    for column in columns:
        held = column[order]
        same &= held[1:] == held[:-1]
    if same.any():
        findings.problem(f"{int(same.sum())} samples are given twice")
    incomplete = int((~np.all(np.isfinite(columns), axis=0)).sum())
    if incomplete:
        findings.remarks.append(f"{incomplete} samples miss time, place or a height")
