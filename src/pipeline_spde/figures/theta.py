"""The parameters Θ of the SPDE prior that 4DVarNet-SPDE estimates with its maps, on one day.

The prior solves ∂x/∂t + m·∇x + (κ² − ∇·H∇)^(α/2) x = τ z (docs/spde.md). A file of maps holds, on
(time, lat, lon) and NaN on land,

    kappa               κ, day^-1/2: κ² is the damping rate
    tau                 τ, m km day^-1/2: strength of the noise z
    m_east, m_north     advection, km/day
    h_ee, h_en, h_nn    diffusion tensor H, km²/day

and what they mean for the ocean: `sigma` [m], `range_major`, `range_minor` [km], `range_angle`
[degree] and `decorrelation_time` [day], see `figures.parameters`.
"""

from __future__ import annotations

from typing import Any

import cmocean
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline_spde.figures import parameters, style

MEANING = ("sigma", "range_major", "range_minor", "range_angle", "decorrelation_time")
COEFFICIENTS = ("kappa", "tau", "m_east", "m_north", "h_ee", "h_en", "h_nn")
KAPPA_MAP = cmocean.cm.tempo
TAU_MAP = cmocean.cm.amp
DIFFUSION_MAP = cmocean.cm.deep


def theta_panels(maps: xr.Dataset, day: Any | None = None, title: str = "") -> Figure:
    """Draw Θ on one day: what it means in the first row, the equation's coefficients below.

    σ, ranges with ellipses and decorrelation time; κ, τ and the advection with arrows; H_ee, H_en
    and H_nn, the first and last of them on one scale.

    Args:
        maps: Dataset in the layout of the module, on (time, lat, lon).
        day: calendar day; the middle one when omitted.
        title: over the page; empty for none.

    Raises:
        ValueError: a parameter or the day is missing, or no cell has a value.
    """
    fields = theta_of_day(maps, day)
    meaning = parameters.one_day(fields.rename(range_angle="angle"))
    with style.context():
        figure = style.new_figure(_height(fields) + (0.25 if title else 0.0))
        grid = figure.subplots(3, 3, sharex=True, sharey=True)
        parameters.draw_sigma(grid[0, 0], meaning)
        parameters.draw_ranges(grid[0, 1], meaning)
        parameters.draw_time(grid[0, 2], meaning)
        _draw_kappa(grid[1, 0], fields)
        _draw_tau(grid[1, 1], fields)
        parameters.draw_advection(grid[1, 2], meaning)
        _draw_diffusion(grid[2], fields)
        for axes in grid.ravel():
            axes.label_outer()
        if title:
            figure.suptitle(title, fontsize=9)
    return figure


def theta_of_day(maps: xr.Dataset, day: Any | None = None) -> xr.Dataset:
    """Return Θ on (lat, lon) of a calendar day, the middle one when omitted; NaN where σ is.

    Raises:
        ValueError: a parameter or the day is missing.
    """
    names = [*MEANING, *COEFFICIENTS]
    missing = [name for name in names if name not in maps]
    if missing:
        held = list(maps)
        raise ValueError(f"no variable {missing} among the maps, which hold {held}")
    days = maps["time"].values.astype("datetime64[D]")
    wanted = days[days.size // 2] if day is None else np.datetime64(day, "D")
    found = np.flatnonzero(days == wanted)
    if found.size == 0:
        raise ValueError(f"no parameters on {wanted}; there are {days[0]} to {days[-1]}")
    fields = maps[names].isel(time=int(found[0])).transpose("lat", "lon")
    return fields.where(np.isfinite(fields["sigma"]))


def _height(fields: xr.Dataset) -> float:
    """Return the height of three rows of three maps with a colour bar each, inches."""
    ratio = style.map_ratio(fields["lat"].values, fields["lon"].values)
    return 3 * (1.62 * ratio + 0.22) + 0.25


def _draw_kappa(axes: Axes, fields: xr.Dataset) -> None:
    kappa = fields["kappa"].values
    scale = parameters.range_scale(kappa, KAPPA_MAP)
    parameters.draw_parameter(axes, fields, kappa, scale, "damping", "κ [day$^{-1/2}$]")


def _draw_tau(axes: Axes, fields: xr.Dataset) -> None:
    tau = fields["tau"].values
    scale = style.positive_scale([tau], TAU_MAP)
    parameters.draw_parameter(axes, fields, tau, scale, "noise strength", "τ [m km day$^{-1/2}$]")


def _draw_diffusion(line: NDArray, fields: xr.Dataset) -> None:
    """Draw H; its diagonal has one scale, so that anisotropy along the axes is seen."""
    names = ("h_ee", "h_en", "h_nn")
    ee, en, nn = (fields[name].values for name in names)
    diagonal = style.positive_scale([ee, nn], DIFFUSION_MAP)
    scales = (diagonal, style.difference_scale([en]), diagonal)
    titles = ("diffusion east–east", "east–north", "north–north")
    for axes, name, values, scale, title in zip(
        line, names, (ee, en, nn), scales, titles, strict=True
    ):
        label = f"H$_{{{name.removeprefix('h_')}}}$ [km$^2$ day$^{{-1}}$]"
        parameters.draw_parameter(axes, fields, values, scale, title, label)
