"""How forecasts lose skill with the lead: score, error with spread, and CRPS of each method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pipeline_spde.figures import style

COLUMNS = ("method", "lead", "rmse_m", "mu", "mu_low", "mu_high", "crps_m", "spread_m")
DODGE = 0.07  # days between the intervals of neighbouring methods
SPREAD: dict[str, Any] = {
    "linestyle": ":",
    "linewidth": 0.9,
    "marker": "o",
    "markersize": 4,
    "markerfacecolor": "white",
}


def lead_curves(table: pd.DataFrame) -> Figure:
    """Draw µ with its interval, RMSE with the spread, and CRPS against the lead, by method.

    The spread (open circles, dotted) is drawn where a method has one; the panel of the CRPS is left
    out when no method has one. An honest spread follows the RMSE of its method.

    Args:
        table: one row per method and lead, with the columns `COLUMNS`: `lead` in days, `mu`,
            `mu_low` and `mu_high` in 1, the others in m; empty where unknown.

    Raises:
        ValueError: a column is missing, there is no row, or a method has a lead twice.
    """
    _check(table)
    methods = style.in_order(table["method"].unique())
    curves = {name: table[table["method"] == name].sort_values("lead") for name in methods}
    probabilistic = bool(table["crps_m"].notna().any())
    with style.context():
        figure = style.new_figure(2.6)
        figure.set_layout_engine("constrained", wspace=0.05)
        panels = figure.subplots(1, 3 if probabilistic else 2, sharex=True)
        _draw_score(panels[0], curves)
        _draw_error(panels[1], curves)
        if probabilistic:
            _draw_crps(panels[2], curves)
        for axes in panels:
            _finish(axes, table["lead"].to_numpy(float))
        _legend(figure, curves)
    return figure


def _check(table: pd.DataFrame) -> None:
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise ValueError(f"no column {missing} in the scores by lead, which hold {list(table)}")
    if table.empty:
        raise ValueError("nothing to draw: the scores by lead have no row")
    twice = table[table.duplicated(["method", "lead"])]
    if len(twice):
        method, lead = twice.iloc[0][["method", "lead"]]
        raise ValueError(f"the scores by lead hold {method} at {lead:g} days twice")


def _draw_score(axes: Axes, curves: dict[str, pd.DataFrame]) -> None:
    """Draw µ; methods stand side by side so that no interval hides another."""
    for number, (name, curve) in enumerate(curves.items()):
        look = style.method_look(name)
        mu, low, high = (curve[key].to_numpy(float) for key in ("mu", "mu_low", "mu_high"))
        axes.errorbar(
            curve["lead"] + DODGE * (number - (len(curves) - 1) / 2),
            mu,
            yerr=np.maximum([mu - low, high - mu], 0.0),
            color=look.colour,
            linestyle=look.dashes,
            marker="o",
            markersize=3,
            elinewidth=0.9,
            capsize=1.8,
        )
    axes.set_ylabel("µ = 1 − RMSE/RMS [1]")


def _draw_error(axes: Axes, curves: dict[str, pd.DataFrame]) -> None:
    for name, curve in curves.items():
        look = style.method_look(name)
        _draw_line(axes, curve, "rmse_m", name)
        axes.plot(curve["lead"], _centimetres(curve, "spread_m"), **SPREAD, color=look.colour)
    axes.set_ylabel("RMSE, spread [cm]" if _has_spread(curves) else "RMSE [cm]")
    axes.set_ylim(bottom=0)


def _has_spread(curves: dict[str, pd.DataFrame]) -> bool:
    return any(curve["spread_m"].notna().any() for curve in curves.values())


def _draw_crps(axes: Axes, curves: dict[str, pd.DataFrame]) -> None:
    for name, curve in curves.items():
        _draw_line(axes, curve, "crps_m", name)
    axes.set_ylabel("CRPS [cm]")
    axes.set_ylim(bottom=0)


def _draw_line(axes: Axes, curve: pd.DataFrame, column: str, method: str) -> None:
    look = style.method_look(method)
    values = _centimetres(curve, column)
    axes.plot(
        curve["lead"], values, color=look.colour, linestyle=look.dashes, marker="o", markersize=3
    )


def _centimetres(curve: pd.DataFrame, column: str) -> NDArray[np.float64]:
    return np.asarray(100 * curve[column].to_numpy(float))


def _finish(axes: Axes, leads: NDArray[np.float64]) -> None:
    axes.set_xlabel("lead [day]")
    axes.set_xlim(leads.min() - 0.4, leads.max() + 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.grid()


def _legend(figure: Figure, curves: dict[str, pd.DataFrame]) -> None:
    """Name the methods and, where one is drawn, the spread, over the panels."""
    looks = [style.method_look(name) for name in curves]
    handles = [
        Line2D([], [], color=look.colour, linestyle=look.dashes, marker="o", markersize=3)
        for look in looks
    ]
    labels = [look.label for look in looks]
    if _has_spread(curves):
        handles.append(Line2D([], [], color="0.3", **SPREAD))
        labels.append("spread")
    columns = min(len(labels), 6)
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, handlelength=2.4)
