"""One look for all figures: method colours and order, colour maps, limits, axes of a map.

Colours are those of Okabe and Ito (2008), which people with any colour vision can tell apart.
Methods and missions keep colour, name and order in every figure; a name not listed here gets a
spare colour that depends on the name only.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import cmocean
import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

PAGE_WIDTH = 7.0  # inches
LAND_COLOUR = "0.72"
EMPTY_COLOUR = "1.0"
COVERAGE_COLOUR = "#8FCFB4"
QUANTITIES = {
    "ssh": "sea surface height",
    "sla": "sea level anomaly",
    "adt": "absolute dynamic topography",
}

RC_PARAMS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": "0.88",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "pdf.fonttype": 42,
    "image.interpolation": "nearest",
    "image.origin": "lower",
}


@dataclass(frozen=True)
class Look:
    """How a method or mission is named and drawn."""

    label: str
    colour: str
    dashes: Literal["-", "--", ":", "-."] = "-"


TRUTH = Look("truth", "#000000")
METHODS: dict[str, Look] = {
    "oi": Look("OI", "#8C8C8C", "--"),
    "oi_tuned": Look("tuned OI", "#E69F00"),
    "persistence": Look("persistence", "#CC79A7", ":"),
    "spde_oi": Look("SPDE OI", "#009E73"),
    "unet": Look("UNet", "#56B4E9", "-."),
    "4dvarnet": Look("4DVarNet", "#0072B2"),
    "4dvarnet_spde": Look("4DVarNet-SPDE", "#D55E00"),
}
MISSIONS: dict[str, Look] = {
    "swot_karin": Look("SWOT KaRIn", "#56B4E9"),
    "swot_nadir": Look("SWOT nadir", "#0072B2"),
    "topex_interleaved": Look("TOPEX interleaved", "#D55E00"),
    "jason1": Look("Jason-1", "#E69F00"),
    "geosat_follow_on": Look("Geosat Follow-On", "#009E73"),
    "envisat": Look("Envisat", "#CC79A7"),
    "saral": Look("SARAL/AltiKa", "#D55E00"),
    "sentinel3a": Look("Sentinel-3A", "#009E73"),
    "sentinel3b": Look("Sentinel-3B", "#CC79A7"),
    "cryosat2": Look("CryoSat-2", "#000000"),
    "jason3": Look("Jason-3", "#E69F00"),
}
_SPARE = ("#882255", "#44AA99", "#999933", "#332288", "#AA4499")

HEIGHT_MAP = cmocean.cm.balance
LEVEL_MAP = cmocean.cm.haline
ERROR_MAP = cmocean.cm.amp
STD_MAP = cmocean.cm.matter
SPEED_MAP = cmocean.cm.speed
SCORE_MAP = cmocean.cm.deep_r


# columns of equal length: a dict of lists (JSON), a DataFrame or an xarray Dataset
Series = Mapping[str, Any] | pd.DataFrame


@dataclass(frozen=True)
class Scale:
    """A colour map with limits, shared by compared panels."""

    colours: Colormap
    low: float
    high: float


@contextmanager
def context() -> Iterator[None]:
    """Draw in our style; the settings in force before are restored at the end."""
    with mpl.rc_context(RC_PARAMS):
        yield


def new_figure(height: float, width: float = PAGE_WIDTH) -> Figure:
    """Return an empty figure in inches, on an Agg canvas that no global registry knows."""
    layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def method_look(name: str) -> Look:
    """Return how a method is drawn."""
    return METHODS.get(name) or _spare_look(name)


def mission_look(name: str) -> Look:
    """Return how a mission is drawn."""
    return MISSIONS.get(name) or _spare_look(name)


def in_order(methods: Iterable[str]) -> list[str]:
    """Return the methods in the order of all figures: those of `METHODS`, then others by name."""
    known = list(METHODS)
    return sorted(methods, key=lambda m: (known.index(m) if m in known else len(known), m))


def _spare_look(name: str) -> Look:
    colour = _SPARE[zlib.crc32(name.encode()) % len(_SPARE)]
    return Look(name.replace("_", " "), colour)


def quantity_of(data: xr.Dataset) -> str:
    """Return which height a Dataset holds: "ssh", "sla" or "adt".

    Raises:
        ValueError: none of them.
    """
    for name in QUANTITIES:
        if name in data:
            return name
    raise ValueError(f"no variable {', '.join(QUANTITIES)} to draw; the data hold {list(data)}")


def height_label(quantity: str) -> str:
    """Return the label of a colour bar or axis for a height."""
    return f"{QUANTITIES[quantity]} [m]"


def height_scale(arrays: Sequence[NDArray]) -> Scale:
    """Return the scale of heights: centred at 0 when they have both signs, else their own range."""
    low, high = _range(arrays, 0.2)
    if low < 0 < high and min(-low, high) > 0.2 * max(-low, high):
        bound = max(-low, high)
        return Scale(HEIGHT_MAP, -bound, bound)
    return Scale(LEVEL_MAP, low, high)


def positive_scale(arrays: Sequence[NDArray], colours: Colormap) -> Scale:
    """Return the scale of a field that is 0 or more: errors, deviations, speeds."""
    return Scale(colours, 0.0, _range(arrays, 0.5)[1])


def difference_scale(arrays: Sequence[NDArray]) -> Scale:
    """Return the scale of a field that is centred at 0: differences, off-diagonal elements."""
    bound = positive_scale([np.abs(a) for a in arrays], HEIGHT_MAP).high
    return Scale(HEIGHT_MAP, -bound, bound)


def _range(arrays: Sequence[NDArray], tail: float) -> tuple[float, float]:
    """Return the range of all finite values but `tail` percent at each end, never empty."""
    values = np.concatenate([np.asarray(a)[np.isfinite(a)].ravel() for a in arrays])
    if values.size == 0:
        raise ValueError("nothing to draw: no finite value in any panel")
    low, high = (float(v) for v in np.percentile(values, [tail, 100 - tail]))
    return (low, high) if high > low else (low - 1e-6, low + 1e-6)


def draw_map(
    axes: Axes, field: NDArray, lat: NDArray, lon: NDArray, scale: Scale, land: NDArray[np.bool_]
) -> AxesImage:
    """Draw a field (lat, lon) on regular axes in degrees; NaN leaves white, land turns grey."""
    bounds = extent(lat, lon)
    grey = np.ma.masked_array(np.ones(land.shape), ~land)
    axes.set_facecolor(EMPTY_COLOUR)
    axes.imshow(
        grey, extent=bounds, cmap=mpl.colors.ListedColormap([LAND_COLOUR]), zorder=1, aspect="auto"
    )
    image = axes.imshow(
        np.ma.masked_invalid(np.asarray(field, dtype=float)),
        extent=bounds,
        cmap=scale.colours,
        vmin=scale.low,
        vmax=scale.high,
        zorder=2,
    )
    shape_as_map(axes, bounds)
    return image


def extent(lat: NDArray, lon: NDArray) -> tuple[float, float, float, float]:
    """Return the outer edges (west, east, south, north) of a regular grid of cell centres."""
    half_lat, half_lon = (lat[1] - lat[0]) / 2, (lon[1] - lon[0]) / 2
    return (
        float(lon[0] - half_lon),
        float(lon[-1] + half_lon),
        float(lat[0] - half_lat),
        float(lat[-1] + half_lat),
    )


def shape_as_map(axes: Axes, bounds: tuple[float, float, float, float]) -> None:
    """Set the limits, degree labels and the true aspect at the middle latitude."""
    west, east, south, north = bounds
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)
    axes.set_aspect(map_aspect(bounds))
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 3, 5, 10], prune="both"))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 3, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: degrees(x, "EW")))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: degrees(y, "NS")))
    axes.tick_params(length=2, pad=1.5)


def map_aspect(bounds: tuple[float, float, float, float]) -> float:
    """Return the height of a degree of latitude in units of a degree of longitude."""
    return float(1 / np.cos(np.radians(np.clip((bounds[2] + bounds[3]) / 2, -80, 80))))


def map_ratio(lat: NDArray, lon: NDArray) -> float:
    """Return height over width of the drawn box."""
    west, east, south, north = bounds = extent(lat, lon)
    return (north - south) / (east - west) * map_aspect(bounds)


def degrees(value: float, letters: str) -> str:
    """Return 60°W, 40°N …; longitudes may come in any convention."""
    if letters == "EW":
        value = (value + 180.0) % 360.0 - 180.0
    letter = "" if abs(value) < 1e-9 else letters[0] if value > 0 else letters[1]
    return f"{abs(value):g}°{letter}"


def day_label(day: Any) -> str:
    """Return the calendar day as text."""
    return str(np.datetime64(day, "D"))


def corner_text(axes: Axes, text: str) -> Text:
    """Write a short note into the lower left corner of a map, readable on any colour."""
    return axes.text(
        0.03,
        0.03,
        text,
        transform=axes.transAxes,
        fontsize=6.5,
        zorder=5,
        bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.2},
    )


def as_times(data: Series) -> NDArray[np.datetime64]:
    """Return `data["time"]` (a dict, DataFrame or Dataset; text or dates) as datetime64[ns]."""
    return np.asarray(data["time"], dtype="datetime64[ns]")


def as_numbers(values: Any) -> NDArray[np.float64]:
    """Return a list, Series or DataArray as float64; None (JSON's null) becomes NaN: a gap."""
    return np.array([np.nan if v is None else float(v) for v in np.asarray(values, dtype=object)])
