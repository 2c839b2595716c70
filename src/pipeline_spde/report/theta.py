"""Maps of the parameters Θ of the SPDE priors, for the viewer of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import cmocean
import numpy as np
import xarray as xr
from matplotlib.colors import Colormap
from numpy.typing import NDArray

from pipeline_spde.config import Config
from pipeline_spde.figures import style
from pipeline_spde.files import open_netcdf
from pipeline_spde.report.fields import Pack, map_files
from pipeline_spde.stages import evaluation_days


class Parameter(NamedTuple):
    """How a parameter is shown.

    Attributes:
        label: symbol and words.
        unit: as it is written.
        colours: colour map.
        centred: True where 0 is the middle of the colours.
    """

    label: str
    unit: str
    colours: Colormap
    centred: bool = False


PARAMETERS = {
    "sigma": Parameter("σ, standard deviation", "m", style.STD_MAP),
    "range_major": Parameter("range along the major axis", "km", cmocean.cm.deep),
    "range_minor": Parameter("range across it", "km", cmocean.cm.deep),
    "range_angle": Parameter("direction of the major axis", "° from east", cmocean.cm.phase),
    "decorrelation_time": Parameter("decorrelation time", "days", cmocean.cm.tempo),
    "kappa": Parameter("κ, damping", "day^-½", cmocean.cm.tempo),
    "tau": Parameter("τ, noise", "m km day^-½", style.ERROR_MAP),
    "m_east": Parameter("m, eastward advection", "km/day", style.HEIGHT_MAP, True),
    "m_north": Parameter("m, northward advection", "km/day", style.HEIGHT_MAP, True),
    "h_ee": Parameter("H, diffusion east–east", "km²/day", cmocean.cm.deep),
    "h_nn": Parameter("H, diffusion north–north", "km²/day", cmocean.cm.deep),
    "h_en": Parameter("H, diffusion east–north", "km²/day", style.HEIGHT_MAP, True),
}
"""Parameters in the order of the page; files may hold some of them."""
_ALIASES = {"angle": "range_angle"}
_VALUES = 1000  # of each colour scale: a finer reading means nothing


def pack_theta(folder: Path, config: Config, domain: str, stride: int, into: Pack) -> list[Any]:
    """Pack the parameters of every prior of a domain; return what `viewer.js` reads.

    Args:
        folder: results folder of the experiment.
        config: its configuration.
        domain: name of a domain.
        stride: every so many cells are kept.
        into: receives the arrays.
    """
    days = evaluation_days(config.domains[domain], config.figures)
    sources = sorted(
        _sources(folder, config, domain, days), key=lambda source: "kappa" not in source[1]
    )
    return [_prior(title, data, stride, into) for title, data in sources]


def _sources(
    folder: Path, config: Config, domain: str, days: Sequence[date]
) -> Iterator[tuple[str, xr.Dataset]]:
    """Yield (title, parameters on (time, lat, lon) or (lat, lon)) of every prior on disk."""
    for (task, method), path in map_files(folder, config, domain).items():
        with open_netcdf(path) as data:
            if "kappa" in data:
                dates = data["time"].values.astype("datetime64[D]")
                rows = np.isin(dates, np.asarray(days, dtype="datetime64[D]"))
                chosen = data[[name for name in PARAMETERS if name in data]].isel(time=rows)
                yield f"{style.method_look(method).label}, {task}: estimated", chosen.load()
        fitted = folder / "models" / domain / task / "spde_oi.nc"
        if method == "spde_oi" and fitted.is_file():
            with open_netcdf(fitted) as data:
                renamed = data.rename({k: v for k, v in _ALIASES.items() if k in data})
                names = [n for n in PARAMETERS if n in renamed and renamed[n].ndim == 2]
                if names:
                    label = style.method_look(method).label
                    yield f"{label}, {task}: fitted", renamed[names].load()


def _prior(title: str, data: xr.Dataset, stride: int, into: Pack) -> dict[str, Any]:
    days = [str(day)[:10] for day in data["time"].values] if "time" in data.dims else ["all days"]
    if "time" not in data.dims:
        data = data.expand_dims(time=1)
    data = data.isel(lat=slice(None, None, stride), lon=slice(None, None, stride))
    fields, constants = [], []
    for name, look in PARAMETERS.items():
        if name not in data:
            continue
        values = np.asarray(data[name].transpose("time", "lat", "lon").values, dtype=np.float64)
        known = values[np.isfinite(values)]
        if known.size and np.ptp(known) <= 1e-6 * max(float(np.abs(known).max()), 1e-6):
            constants.append(f"{look.label} {known[0]:.3g} {look.unit}")
            continue
        low, high = _limits(values, look.centred, cyclic=name == "range_angle")
        header = into.add(values, (high - low) / _VALUES)
        scale = {"colours": look.colours.name, "low": low, "high": high}
        fields.append(header | {"label": look.label, "unit": look.unit, "scale": scale})
    return {"title": title, "days": days, "fields": fields, "constants": constants}


def _limits(values: NDArray[np.float64], centred: bool, cyclic: bool) -> tuple[float, float]:
    """Return the colour limits: 99 % of the values, symmetric where 0 is the middle."""
    if cyclic:
        return (-90.0, 90.0) if np.nanmin(values) < 0 else (0.0, 180.0)
    if not np.isfinite(values).any():
        return 0.0, 1.0
    low, high = (float(v) for v in np.nanpercentile(values, [0.5, 99.5]))
    if centred:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    return (low, high) if high - low > 1e-9 * max(abs(high), 1e-9) else (low - 0.5, high + 0.5)


def colour_tables(used: set[str]) -> dict[str, list[int]]:
    """Return the red, green and blue (0 to 255) of 256 colours of each colour map used."""
    known: list[Colormap] = [look.colours for look in PARAMETERS.values()]
    known += [style.HEIGHT_MAP, style.LEVEL_MAP, style.STD_MAP, style.ERROR_MAP]
    tables = {}
    for colours in known:
        if colours.name in used:
            rgb = np.asarray(colours(np.linspace(0, 1, 256)))[:, :3]
            tables[colours.name] = np.rint(255 * rgb).astype(int).ravel().tolist()
    return tables
