"""What is this file, where does it come from, and what is wrong with it?

`inspect_file` looks at any file and returns a `Report`. It never raises for a bad file: what is
wrong is in the report.
"""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from pipeline_spde.data.sources import SOURCES, Source
from pipeline_spde.data.sources.axes import height_variables
from pipeline_spde.data.sources.opening import Header, header_of, open_raw
from pipeline_spde.fields import QUANTITIES
from pipeline_spde.files import DataError
from pipeline_spde.inspection.formats import netcdf_format, what_else
from pipeline_spde.inspection.maps import ENSEMBLE_DIMS, look_at_maps
from pipeline_spde.inspection.provenance import is_ours, look_at_provenance
from pipeline_spde.inspection.report import Findings, Report
from pipeline_spde.inspection.tracks import look_at_curvilinear, look_at_samples

__all__ = ["Report", "inspect_file"]

_NETCDF_SUFFIXES = (".nc", ".nc4", ".nc3", ".cdf", ".h5")
_MODULES_THAT_ASSUME_METRES = ("dc2020a", "dc2021a", "oceanbench", "starter", "enatl60")


def inspect_file(path: str | Path) -> Report:
    """Return what a file is, its provenance, and what is wrong with it.

    Args:
        path: any file; NetCDF is looked into, of others only the kind is told.

    Raises:
        FileNotFoundError: no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file" + (" (a folder)" if path.is_dir() else ""))
    findings = Findings(what="unreadable")
    size = path.stat().st_size
    findings.facts["size"] = f"{size} bytes" if size < 10_000 else f"{size / 1e6:.3g} MB"
    other = what_else(path)
    if other is not None:
        findings.what = f"no NetCDF file: {other.partition(':')[0]}"
        if path.suffix in _NETCDF_SUFFIXES:
            findings.problem(f"this is {other}, not the NetCDF that its name promises")
    else:
        try:
            with open_raw(path) as data:
                _look_into(data, header_of(data, path), findings)
        except (DataError, OSError) as error:
            findings.problem(error, path)
    return Report(
        path=path,
        what=findings.what,
        facts=findings.facts,
        provenance=findings.provenance,
        problems=tuple(findings.problems),
        remarks=tuple(findings.remarks),
    )


def _look_into(data: xr.Dataset, header: Header, findings: Findings) -> None:
    findings.facts["format"] = netcdf_format(header.path)
    findings.facts["variables"] = _variables(header)
    if not header.dims:
        findings.what = "NetCDF file without variables"
        findings.problem("the file holds no variable at its root; are they in groups?")
        return
    if is_ours(header):
        _look_at_ours(data, header, findings)
        return
    name = next((name for name, source in SOURCES.items() if source.owns(header)), None)
    if name is None:
        findings.what = "NetCDF file without heights of the sea surface that this package knows"
        heights = height_variables(header, (1, 2, 3, 4))
        if heights:
            findings.problem(
                f"{sorted(heights)} without the latitudes, longitudes and times of maps or tracks; "
                f"the file holds {sorted(header.dims)}"
            )
        return
    source = SOURCES[name]
    findings.what = source.title
    findings.facts |= {"source": name, "surface": source.surface, "read with": _reader(source)}
    lenient = source.module in _MODULES_THAT_ASSUME_METRES
    if source.gives == "snapshots":
        look_at_curvilinear(data, header, findings)
    elif source.gives == "tracks":
        swath = source.module == "swot_l3" or header.ndim("ssh_model") == 2
        look_at_samples(data, header, findings, lenient, swath)
    else:
        look_at_maps(data, header, findings, source.gives == "observations", lenient)


def _look_at_ours(data: xr.Dataset, header: Header, findings: Findings) -> None:
    findings.facts["source"] = "pipeline_spde"
    if header.has("obs_error", "mission"):
        findings.what = "samples along tracks, written by pipeline_spde"
        look_at_samples(data, header, findings, lenient=False, swath=False)
    elif header.has("observed", "obs_count"):
        findings.what = "gridded observations, written by pipeline_spde"
        look_at_maps(data, header, findings, observations=True, lenient=False)
    elif any(header.ndim(f"{q}{end}") >= 3 for q in QUANTITIES for end in ("", "_mean")):
        ensemble = any(dim.lower() in ENSEMBLE_DIMS for dim in header.sizes)
        findings.what = f"{'ensemble of ' if ensemble else ''}maps, written by pipeline_spde"
        look_at_maps(data, header, findings, observations=False, lenient=False)
    elif header.has("land", "cell_area"):
        findings.what = "grid and static fields of a domain, written by pipeline_spde"
    else:
        findings.what = "product of pipeline_spde"
    look_at_provenance(header, findings)


def _variables(header: Header) -> str:
    parts = []
    for name, dims in header.dims.items():
        shape = ", ".join(f"{dim} {header.sizes[dim]}" for dim in dims)
        units = header.attrs[name].get("units")
        parts.append(f"{name} ({shape})" + (f" [{units}]" if units else ""))
    return "; ".join(parts)


def _reader(source: Source) -> str:
    return f"pipeline_spde.data.sources.{source.module}.{source.reader}"
