"""The maps of a domain for the viewer of the page: read, thinned to the room there is, packed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.config import Config
from pipeline_spde.figures import style
from pipeline_spde.files import open_netcdf
from pipeline_spde.report.packing import pack

HEIGHT_STEP = 0.001
"""m: resolution of heights and of their observations."""
STD_STEP = 0.0005
"""m: resolution of standard deviations."""
FEW_MEMBERS = 2
FINE_ENOUGH = 40_000
"""Cells of a map beyond which it is thinned in space before days are left out."""
FEW_DAYS = 15
_BYTES_PER_CELL = 1.3  # packed; measured on maps of the twin ocean, only where a search begins
_SAMPLE = 200_000  # values of a layer that colour limits are made from


@dataclass(frozen=True)
class Thinning:
    """What is kept of a domain: every `stride`th cell, every `step`th day, so many members."""

    stride: int = 1
    step: int = 1
    members: int = 0

    def coarser(self, cells: int, days: int) -> Thinning:
        """Return the next coarser thinning of maps of so many cells on so many days."""
        if self.members > FEW_MEMBERS:
            return replace(self, members=FEW_MEMBERS)
        if cells / self.stride**2 > FINE_ENOUGH or days / self.step <= FEW_DAYS:
            return replace(self, stride=self.stride + 1)
        return replace(self, step=self.step + 1)

    def words(self) -> str:
        """Return what a reader must know of it; "" when nothing is left out."""
        parts = [f"every {self.stride}th cell in both directions"] if self.stride > 1 else []
        parts += [f"every {self.step}th day"] if self.step > 1 else []
        return " and ".join(parts)


class Layer(NamedTuple):
    """A field of a domain that the viewer can show.

    Attributes:
        kind: "height", "std" or "observations".
        place: ("truth",), ("observations",) or (task, method, "map" | "std" | "member n").
        path: NetCDF file.
        variable: name in it.
        member: row of the dim realization, None where there is none.
    """

    kind: str
    place: tuple[str, ...]
    path: Path
    variable: str
    member: int | None = None


@dataclass
class Pack:
    """The packed maps of the page.

    Attributes:
        contents: what `viewer.js` reads, by domain.
        texts: packed arrays by their number.
        size: characters of `texts`.
    """

    contents: dict[str, Any] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, values: NDArray, step: float | None) -> dict[str, Any]:
        """Pack an array; return its header with its number."""
        packed = pack(values, step)
        self.texts.append(packed.text)
        self.size += len(packed.text)
        return packed.header() | {"id": len(self.texts) - 1}


def map_files(folder: Path, config: Config, domain: str) -> dict[tuple[str, str], Path]:
    """Return the files of maps of a domain that exist, by (task, method)."""
    paths = {
        (task, method): folder / "maps" / domain / task / f"{method}.nc"
        for task, methods in config.tasks.items()
        for method in methods
    }
    return {place: path for place, path in paths.items() if path.is_file()}


def pack_domain(
    folder: Path, config: Config, domain: str, members: int, room: float
) -> tuple[Pack, Thinning] | None:
    """Return the maps of a domain, thinned until their text fits; None when there are none.

    Args:
        folder: results folder of the experiment.
        config: its configuration.
        domain: name of a domain.
        members: of each ensemble at most.
        room: characters that the texts may take.
    """
    maps = map_files(folder, config, domain)
    if not maps:
        return None
    layers = list(_layers(folder, domain, maps, members))
    with open_netcdf(next(iter(maps.values()))) as data:
        days, cells = data["time"].values, data["lat"].size * data["lon"].size
    thinning = Thinning(members=members)
    while True:
        size = _count(layers, thinning.members) * days.size * cells * _BYTES_PER_CELL
        if size / thinning.stride**2 / thinning.step <= room:
            found = _pack_layers(folder, config, domain, layers, days, thinning)
            if found.size <= room or cells / thinning.stride**2 < 2:
                return found, thinning
        thinning = thinning.coarser(cells, days.size)


def _layers(
    folder: Path, domain: str, maps: dict[tuple[str, str], Path], members: int
) -> Iterator[Layer]:
    """Yield the fields of a domain that exist on disk."""
    data = folder / "data" / domain
    with open_netcdf(next(iter(maps.values()))) as first:
        height = style.quantity_of(first)
    if (data / "truth.nc").is_file():
        yield Layer("height", ("truth",), data / "truth.nc", height)
    if (data / "observations.nc").is_file():
        yield Layer("observations", ("observations",), data / "observations.nc", height)
    for (task, method), path in maps.items():
        yield Layer("height", (task, method, "map"), path, height)
        ensemble = folder / "ensembles" / domain / task / f"{method}.nc"
        if ensemble.is_file():
            yield Layer("std", (task, method, "std"), ensemble, f"{height}_std_calibrated")
            with open_netcdf(ensemble) as found:
                count = found.sizes.get("realization", 0)
            for number in range(min(count, members)):
                place = (task, method, f"member {number + 1}")
                yield Layer("height", place, ensemble, height, number)
        else:
            with open_netcdf(path) as found:
                spread = f"{height}_std" in found
            if spread:
                yield Layer("std", (task, method, "std"), path, f"{height}_std")


def _count(layers: Sequence[Layer], members: int) -> int:
    return sum(layer.member is None or layer.member < members for layer in layers)


def _pack_layers(
    folder: Path,
    config: Config,
    domain: str,
    layers: Sequence[Layer],
    days: NDArray[np.datetime64],
    thinning: Thinning,
) -> Pack:
    """Return the packed layers with their places, axes and colour scales."""
    pack_, kept = Pack(), [la for la in layers if la.member is None or la.member < thinning.members]
    shown = days[:: thinning.step]
    contents: dict[str, Any] = {"tasks": {}}
    samples: dict[str, list[NDArray]] = {"height": [], "std": [], "error": []}
    truth = None
    for layer in kept:
        values = _read(layer, shown, thinning.stride)
        header = pack_.add(values, STD_STEP if layer.kind == "std" else HEIGHT_STEP)
        if layer.place == ("truth",):
            truth = values
        if layer.kind != "observations":
            samples[layer.kind].append(_sample(values))
        if truth is not None and layer.place[-1] == "map":
            samples["error"].append(_sample(values - truth))
        _put(contents, layer.place, header)
    with open_netcdf(kept[-1].path) as data:
        axes = {name: data[name].values[:: thinning.stride] for name in ("lat", "lon")}
    margin = config.domains[domain].evaluation_margin
    pack_.contents = contents | {
        "lat": np.round(axes["lat"], 5).tolist(),
        "lon": np.round(axes["lon"], 5).tolist(),
        "days": [str(day)[:10] for day in shown],
        "margin": margin,
        "bounds": [*config.domains[domain].lon, *config.domains[domain].lat],
        "quantity": style.QUANTITIES[style.quantity_of(xr.Dataset({kept[0].variable: 0}))],
        "land": _land(folder, domain, pack_, thinning.stride),
        "scales": _scales(samples),
    }
    return pack_


def _read(layer: Layer, days: NDArray[np.datetime64], stride: int) -> NDArray[np.float32]:
    """Return a layer on the days wanted, NaN on days that it lacks; members as calibrated."""
    some = {"lat": slice(None, None, stride), "lon": slice(None, None, stride)}
    with open_netcdf(layer.path, (layer.variable,)) as data:
        data = data.isel(some).sel(time=np.isin(data["time"].values, days))
        values = data[layer.variable]
        if layer.member is not None:
            values = values.isel(realization=layer.member)
            height = style.quantity_of(data)
            mean, raw = data[f"{height}_mean"], data[f"{height}_std"]
            ratio = data[f"{height}_std_calibrated"] / raw.where(raw > 0)
            values = mean + (values - mean) * ratio.fillna(1.0)
        ordered = values.reindex(time=days).transpose("time", "lat", "lon")
        return np.asarray(ordered.values, dtype=np.float32)


def _land(folder: Path, domain: str, into: Pack, stride: int) -> dict[str, Any] | None:
    path = folder / "data" / domain / "grid.nc"
    if not path.is_file():
        return None
    with open_netcdf(path, ("land",)) as data:
        land = data["land"].values[::stride, ::stride]
    return into.add(land[None].astype(np.float64), 1.0) if land.any() else None


def _scales(samples: dict[str, list[NDArray]]) -> dict[str, Any]:
    """Return the colour map and limits of each kind of field: the same on all days."""
    found = {"height": style.height_scale(samples["height"])}
    if samples["std"]:
        found["std"] = style.positive_scale(samples["std"], style.STD_MAP)
    if samples["error"]:
        found["error"] = style.difference_scale(samples["error"])
    return {
        name: {"colours": scale.colours.name, "low": scale.low, "high": scale.high}
        for name, scale in found.items()
    }


def _sample(values: NDArray) -> NDArray:
    known = values[np.isfinite(values)]
    return known[:: max(known.size // _SAMPLE, 1)]


def _put(tree: dict[str, Any], place: tuple[str, ...], header: dict[str, Any]) -> None:
    """Put a header at its place of the tree."""
    if len(place) == 1:
        tree[place[0]] = header
        return
    task, method, what = place
    methods = tree["tasks"].setdefault(task, {})
    entry = methods.setdefault(method, {"label": style.method_look(method).label, "members": []})
    entry["colour"] = style.method_look(method).colour
    if what.startswith("member"):
        entry["members"].append(header)
    else:
        entry[what] = header
