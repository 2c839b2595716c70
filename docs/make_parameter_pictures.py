"""Make the pictures of docs/parameters.md: `python docs/make_parameter_pictures.py [folder]`.

Every picture comes from one seed. Cases of a picture use the same random numbers, so that their
draws differ by the parameter alone.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter
from numpy.typing import NDArray
from torch import Tensor

from pipeline_spde.figures import parameters as pictures
from pipeline_spde.figures import style
from pipeline_spde.grids import Grid
from pipeline_spde.spde import Coloured, Dynamics, SpdeParameters, SpdePrior

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).resolve().parent / "images" / "parameters"
SEED = 20
DPI = 105
DAYS = 21
MIDDLE = DAYS // 2
LAG = 5
LAT = np.arange(33.1, 43.0, 0.2)
LON = np.arange(-65.9, -53.5, 0.2)
CELL = (LAT.size // 2, LON.size // 2)
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")  # Okabe and Ito (2008)
USUAL: dict[str, Any] = {"dt": 1.0, "alpha": 2, "noise": Coloured(45.0), "rho": 0.45}
START: dict[str, Any] = {
    "sigma": 0.2,
    "range_major": 150.0,
    "range_minor": 150.0,
    "angle": 0.0,
    "decorrelation_time": 14.0,
}
START_CELL = 20.0  # km; τ of the traps is that of START on such cells
KINDS: dict[str, dict[str, Any]] = {
    "α = 2, noise of 45 km": {"noise": Coloured(45.0)},
    "α = 4, white": {"alpha": 4},
    "α = 2, white": {},
    "α = 2, white, Crank–Nicolson": {"scheme": "crank_nicolson"},
}
Rows = tuple[tuple[str, int], ...]  # what ("draw" or "correlation") and how many days later
ONE_DAY: Rows = (("draw", 0), ("correlation", 0))


def main(folder: Path = FOLDER) -> None:
    """Write all pictures to a folder."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in MAKERS.items():
        make().savefig(folder / f"{name}.png", dpi=DPI)
        logger.info("%s: %d kB", name, (folder / f"{name}.png").stat().st_size / 1000)


def overview() -> Figure:
    """Return the page of a made-up prior around a meandering jet."""
    fields = jet()
    case = window(fields, point=(MIDDLE, CELL[0] - 4, CELL[1]))
    maps = {name: (("lat", "lon"), np.broadcast_to(v, GRID.shape)) for name, v in fields.items()}
    return pictures.overview(case.assign(maps), "a made-up prior")


def sigma() -> Figure:
    """Return the effect of σ."""
    values = {"0.1 m": 0.1, "0.2 m": 0.2, "0.06 m, in a jet 0.31 m": jet()["sigma"]}
    return compare({f"σ = {name}": window(sigma=v) for name, v in values.items()}, ONE_DAY)


def mean_range() -> Figure:
    """Return the effect of both ranges."""
    cases = {
        f"ranges of {r:g} km": window(range_major=r, range_minor=r) for r in (80.0, 150.0, 300.0)
    }
    return compare(cases, ONE_DAY)


def range_major() -> Figure:
    """Return the effect of the range along the major axis."""
    cases = {
        f"major axis {r:g} km": window(range_major=r, angle=30.0) for r in (150.0, 225.0, 300.0)
    }
    return compare(cases, ONE_DAY)


def angle() -> Figure:
    """Return the effect of the angle."""
    cases = {
        f"angle {a:g}°": window(range_major=300.0, range_minor=100.0, angle=a) for a in (0, 45, 90)
    }
    return compare(cases, ONE_DAY)


def decorrelation_time() -> Figure:
    """Return the effect of T."""
    cases = {f"T = {t:g} days": window(decorrelation_time=t) for t in (5.0, 14.0, 40.0)}
    return compare(cases, (("draw", 0), ("draw", LAG), ("correlation", LAG)), in_time=True)


def advection() -> Figure:
    """Return the effect of m: none, a uniform one, an eddy."""
    east, north = eddy()
    cases = {
        "m = 0": window(),
        "15 km/day eastward": window(m_east=15.0, m_north=0.0),
        "an eddy, up to 15 km/day": window(m_east=east, m_north=north),
    }
    return compare(cases, (("draw", 0), ("draw", LAG), ("correlation", -LAG), ("correlation", LAG)))


def noise_length() -> Figure:
    """Return the effect of the length of the noise."""
    cases = {f"ℓ = {n:g} km": window(dynamics={"noise": Coloured(n)}) for n in (20.0, 45.0, 90.0)}
    return compare(cases, ONE_DAY)


def rho() -> Figure:
    """Return the effect of ρ."""
    cases = {f"ρ = {r:g}": window(dynamics={"rho": r}) for r in (0.0, 0.45, 0.8)}
    return compare(cases, (("draw", 0), ("draw", 2)), in_time=True)


def alpha() -> Figure:
    """Return the effect of α and of the kind of noise."""
    cases = {
        "α = 2, white noise": window(dynamics={"noise": "white"}),
        "α = 2, noise of 45 km": window(),
        "α = 4, white noise": window(dynamics={"alpha": 4, "noise": "white"}),
    }
    return compare(cases, ONE_DAY)


def traps() -> Figure:
    """Return what σ a fixed τ means as damping, cell size and time step change."""
    with style.context():
        figure = style.new_figure(2.6)
        damping, cells, steps = figure.subplots(1, 3)
        draw_against_damping(damping)
        draw_against_cell_size(cells)
        draw_against_time_step(steps)
        for axes in (damping, cells, steps):
            axes.grid()
        handles, labels = cells.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4)
    return figure


def jet() -> dict[str, NDArray]:
    """Return made-up fields around a meandering jet, in the units of `figures.parameters`."""
    y, x = kilometres()
    near = np.exp(-(((y - 80 * np.sin(x / 150)) / 160) ** 2))
    slope = np.arctan(80 / 150 * np.cos(x / 150))
    major = 170 - 50 * near
    return {
        "sigma": 0.06 + 0.25 * near,
        "range_major": major,
        "range_minor": major / (1 + 0.9 * near),
        "angle": np.degrees(slope),
        "decorrelation_time": 25 - 12 * near,
        "m_east": 1 + 14 * near * np.cos(slope),
        "m_north": 14 * near * np.sin(slope),
    }


def eddy(fastest: float = 15.0, radius: float = 170.0) -> tuple[NDArray, NDArray]:
    """Return m of a Gaussian eddy whose rim passes through the cell of the footprints, km/day."""
    y, x = kilometres()
    x = x + radius / np.sqrt(2)
    swirl = fastest * np.sqrt(np.e) * np.exp(-(x**2 + y**2) / radius**2) * np.sqrt(2) / radius
    return -swirl * y, swirl * x


def kilometres() -> tuple[NDArray, NDArray]:
    """Return northward and eastward distances from the cell of the footprints."""
    y = (LAT - LAT[CELL[0]])[:, None] / GRID.resolution[0] * GRID.dy_km
    x = (LON - LON[CELL[1]])[None, :] / GRID.resolution[1] * GRID.dx_km[CELL[0]]
    y, x = np.broadcast_arrays(y, x)
    return y, x


def window(
    fields: Mapping[str, Any] | None = None,
    point: tuple[int, int, int] = (MIDDLE, *CELL),
    dynamics: Mapping[str, Any] | None = None,
    **changes: Any,
) -> xr.Dataset:
    """Return a draw and the correlations of a point under START with some changes."""
    settings = USUAL | dict(dynamics or {})
    values = START | dict(fields or {}) | changes
    tensors = {
        name: torch.as_tensor(np.array(np.broadcast_to(value, (1, DAYS, *GRID.shape))))
        for name, value in values.items()
    }
    cell = (GRID.dy_km, float(GRID.dx_km[CELL[0]])) if settings["noise"] == "white" else None
    theta = SpdeParameters.from_physical(**tensors, dynamics=Dynamics(**settings), cell_km=cell)
    prior = SpdePrior(GRID, theta, **settings).to(torch.float32)
    draw = prior.sample(1, torch.Generator().manual_seed(SEED))[0, 0]
    correlation = correlation_with(prior, point, tensors["sigma"][0])
    days = np.datetime64("2000-01-01", "ns") + np.arange(DAYS) * np.timedelta64(1, "D")
    dims = ("time", "lat", "lon")
    data = {"draw": (dims, draw.numpy()), "correlation": (dims, correlation)}
    case = xr.Dataset(data, coords={"time": days, "lat": LAT, "lon": LON})
    still = np.zeros(GRID.shape)
    m = {name: (dims[1:], still + values.get(name, 0.0)) for name in ("m_east", "m_north")}
    return case.assign(m)


def correlation_with(prior: SpdePrior, point: tuple[int, int, int], sigma: Tensor) -> NDArray:
    """Return the correlation of all cells and days with one, (time, lat, lon).

    The covariance is exact. It is divided by σ as asked for, scaled to the exact value at the
    point: across the jet that is within 7 % of the prior's own standard deviation, and smooth,
    which an estimate from a few hundred draws is not.
    """
    covariance = prior.covariance(point)[0]
    return (covariance / covariance[point] * sigma[point] / sigma).numpy()


def compare(cases: Mapping[str, xr.Dataset], rows: Rows, in_time: bool = False) -> Figure:
    """Return maps of all cases side by side and, if asked, the history of the cell below."""
    ratio = style.map_ratio(LAT, LON)
    heights = [len(rows) * (1.77 * ratio + 0.07) + 0.46, *([2.1] if in_time else [])]
    with style.context():
        figure = style.new_figure(sum(heights))
        parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        draw_maps(parts[0], cases, rows)
        if in_time:
            draw_history(parts[1], cases)
    return figure


def draw_maps(part: SubFigure, cases: Mapping[str, xr.Dataset], rows: Rows) -> None:
    """Draw one column per case; heights share one scale."""
    shown = [[case[what].values[MIDDLE + lag] for case in cases.values()] for what, lag in rows]
    heights = [
        np.abs(f) for (what, _), row in zip(rows, shown, strict=True) for f in row if what == "draw"
    ]
    bound = style.positive_scale(heights, style.HEIGHT_MAP).high
    scales = {
        "draw": style.Scale(style.HEIGHT_MAP, -bound, bound),
        "correlation": pictures.CORRELATION_SCALE,
    }
    grid = part.subplots(len(rows), len(cases), squeeze=False, sharex=True, sharey=True)
    bars: dict[str, tuple[AxesImage, list[Axes]]] = {}
    for line, row, (what, lag) in zip(grid, shown, rows, strict=True):
        for axes, field, case in zip(line, row, cases.values(), strict=True):
            image = style.draw_map(axes, field, LAT, LON, scales[what], GRID.land)
            axes.plot(LON[CELL[1]], LAT[CELL[0]], "+", color="black", markersize=5, zorder=4)
            if what == "correlation":
                draw_contours(axes, field)
                draw_arrows(axes, case)
        bars.setdefault(what, (image, []))[1].extend(line)
        when = "same day" if lag == 0 else f"{abs(lag)} days {'later' if lag > 0 else 'before'}"
        label = {"draw": f"draw\nday {lag}", "correlation": f"footprint\n{when}"}[what]
        line[0].set_ylabel(label)
    for axes, name in zip(grid[0], cases, strict=True):
        axes.set_title(name)
    labels = {"draw": "height [m]", "correlation": "correlation [1]"}
    for what, (image, beside) in bars.items():
        ends = "both" if what == "draw" else "neither"
        part.colorbar(image, ax=beside, label=labels[what], aspect=18, pad=0.015, extend=ends)


def draw_contours(axes: Axes, field: NDArray) -> None:
    """Draw contours of a footprint."""
    levels = [level for level in pictures.CONTOURS if field.min() < level < field.max()]
    if levels:
        axes.contour(LON, LAT, field, levels, colors="black", linewidths=0.7, zorder=3)


def draw_arrows(axes: Axes, case: xr.Dataset) -> None:
    """Draw the direction and relative speed of m, if there is any."""
    thin = case.isel(lat=slice(2, None, 5), lon=slice(2, None, 5))
    east, north = thin["m_east"].values, thin["m_north"].values
    speed = np.hypot(east, north)
    x, y = np.meshgrid(thin["lon"], thin["lat"])
    seen = speed > 0.15 * speed.max() if speed.max() > 0 else np.zeros(speed.shape, bool)
    drawn = (part[seen] for part in (x, y, east, north))
    axes.quiver(*drawn, scale=16 * max(speed.max(), 1.0), color="0.3", width=0.007, zorder=3)


def draw_history(part: SubFigure, cases: Mapping[str, xr.Dataset]) -> None:
    """Draw the height of one cell from day to day, and its correlation with itself."""
    left, right = part.subplots(1, 2)
    days = np.arange(DAYS) - MIDDLE
    for (name, case), colour in zip(cases.items(), COLOURS, strict=False):
        cell = case.isel(lat=CELL[0], lon=CELL[1])
        left.plot(days, cell["draw"], color=colour, label=name, marker="o", markersize=2)
        right.plot(
            days[MIDDLE:], cell["correlation"][MIDDLE:], color=colour, marker="o", markersize=2
        )
    left.set(xlabel="day", ylabel="height of the marked cell [m]")
    right.set(xlabel="lag [day]", ylabel="correlation with itself [1]", ylim=(0, 1.03))
    for axes in (left, right):
        axes.grid()
    left.legend(loc="best")


def start_at(settings: Mapping[str, Any]) -> SpdeParameters:
    """Return constant Θ of one cell under START, on cells of START_CELL km."""
    one = torch.ones((1, 1, 1, 1), dtype=torch.float64)
    values = {name: value * one for name, value in START.items()}
    cell = (START_CELL, START_CELL)
    return SpdeParameters.from_physical(**values, dynamics=Dynamics(**settings), cell_km=cell)


def sigma_of(theta: SpdeParameters, dynamics: Dynamics, cell: float) -> float:
    """Return σ of the parameters of one cell, m."""
    return float(theta.physical(dynamics=dynamics, cell_km=(cell, cell)).sigma)


def draw_against_damping(axes: Axes) -> None:
    """Draw σ against T at fixed H and τ."""
    times = np.geomspace(3, 3000, 40)
    for colour, settings in zip(COLOURS, KINDS.values(), strict=True):
        theta, dynamics = start_at(settings), Dynamics(**settings)
        implied = []
        for time in times:
            kappa = torch.full_like(theta.kappa, time ** (-1 / dynamics.alpha))
            implied.append(sigma_of(replace(theta, kappa=kappa), dynamics, START_CELL))
        axes.plot(times, implied, color=colour)
    axes.axvline(START["decorrelation_time"], color="0.3", linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set(xlabel="T [day]", ylabel="σ at fixed τ [m]", ylim=(0, 1))


def draw_against_cell_size(axes: Axes) -> None:
    """Draw the exact standard deviation in the middle of grids of several cell sizes."""
    sizes = np.array([5.0, 7.0, 10.0, 14.0, 20.0, 28.0])
    for (name, settings), colour in zip(KINDS.items(), COLOURS, strict=True):
        stds = [measured_std(size, settings) for size in sizes]
        dashes = "--" if settings.get("alpha") == 4 else "-"
        axes.plot(sizes, stds, dashes, marker="o", color=colour, label=name, markersize=3)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([5.0, 10.0, 20.0]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set(xlabel="cell size [km]", ylim=(0.1, 0.35))


def draw_against_time_step(axes: Axes) -> None:
    """Draw σ against the time step at fixed τ, on cells of START_CELL / 4 km."""
    steps = np.geomspace(0.02, 2, 30)
    for settings, colour in zip(KINDS.values(), COLOURS, strict=True):
        theta = start_at(settings)
        dynamics = [Dynamics(**settings | {"dt": dt}) for dt in steps]
        implied = [sigma_of(theta, each, START_CELL / 4) for each in dynamics]
        axes.plot(steps, implied, color=colour)
    axes.set_xscale("log")
    axes.set(xlabel="time step [day]", ylim=(0.1, 0.35))


def measured_std(size: float, settings: Mapping[str, Any]) -> float:
    """Return the exact standard deviation of the middle cell of a grid, m."""
    number = 2 * round(300 / size) + 1
    grid = Grid.cartesian(number, number, size, size)
    theta = start_at(settings)
    shape = (1, 2, number, number)
    theta = replace(theta, **{name: value.expand(shape) for name, value in theta.items()})
    middle = (1, number // 2, number // 2)
    return float(SpdePrior(grid, theta, **settings).covariance(middle)[(0, *middle)].sqrt())


GRID = Grid.latlon(LAT, LON)
MAKERS: dict[str, Callable[[], Figure]] = {
    "overview": overview,
    "sigma": sigma,
    "range": mean_range,
    "range_major": range_major,
    "angle": angle,
    "decorrelation_time": decorrelation_time,
    "advection": advection,
    "noise_length": noise_length,
    "rho": rho,
    "alpha": alpha,
    "traps": traps,
}

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(*map(Path, sys.argv[1:2]))
