"""What a network from elsewhere is worth: errors of the same maps under several networks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline_spde.figures import style

COLUMNS = ("data", "task", "method", "start", "rmse", "rmse_low", "rmse_high", "steps")
_ROW_INCHES = 0.26


def transfer_bars(table: pd.DataFrame) -> Figure:
    """Draw the RMSE with its interval of every network, a panel for each data set and task.

    Methods without a network are lines; the optimiser steps taken on the data themselves stand
    beside the bars.

    Args:
        table: one row per network or method, columns `COLUMNS`; `steps` NaN without a network.

    Raises:
        ValueError: a column is missing, or there is no network.
    """
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise ValueError(f"no column {missing} in the table of transfer, which holds {list(table)}")
    if not table["steps"].notna().any():
        raise ValueError("nothing to draw: the table of transfer has no network")
    groups = list(table.groupby(["data", "task"], sort=False))
    sizes = [max(int(group["steps"].notna().sum()), 1) + 1.2 for _, group in groups]
    with style.context():
        figure = style.new_figure(0.5 + _ROW_INCHES * sum(sizes) + 0.25 * len(groups))
        panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=sizes)[:, 0]
        for axes, ((data, task), group) in zip(panels, groups, strict=True):
            _draw(axes, group)
            axes.set_title(f"{data}, {task}", loc="left")
        panels[-1].set_xlabel("RMSE, cm")
    return figure


def _draw(axes: Axes, group: pd.DataFrame) -> None:
    """Draw the networks as bars, the others as lines."""
    networks = group[group["steps"].notna()]
    places = np.arange(len(networks))[::-1]
    rmse, low, high = (100 * networks[k].to_numpy(float) for k in ("rmse", "rmse_low", "rmse_high"))
    looks = [style.method_look(name) for name in networks["method"]]
    axes.barh(places, rmse, color=[look.colour for look in looks], height=0.7, alpha=0.85)
    ends = np.nan_to_num(np.stack([rmse - low, high - rmse]).clip(min=0))
    axes.errorbar(rmse, places, xerr=ends, fmt="none", ecolor="black", elinewidth=0.8, capsize=2)
    axes.set_yticks(
        places, [f"{k.label}, {s}" for k, s in zip(looks, networks["start"], strict=True)]
    )
    for place, steps in zip(places, networks["steps"], strict=True):
        axes.text(0.01, place, f"{steps:.0f} steps", va="center", fontsize=7, color="white",
                  transform=axes.get_yaxis_transform())  # fmt: skip
    for _, row in group[group["steps"].isna()].iterrows():
        look = style.method_look(str(row["method"]))
        axes.axvline(100 * row["rmse"], color=look.colour, linestyle="--", label=look.label)
    right = 100 * np.nanmax(group[["rmse", "rmse_high"]].to_numpy(float))
    axes.set_xlim(0, 1.05 * right)
    axes.set_ylim(-0.6, len(networks) - 0.4)
    if group["steps"].isna().any():
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
