"""How well each part of the ocean is mapped: scores by region, side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline_spde.figures import style

COLUMNS = ("region", "method", "rmse", "rmse_low", "rmse_high", "mu", "mu_low", "mu_high")


def region_bars(table: pd.DataFrame) -> Figure:
    """Draw RMSE (cm) and µ with their intervals of every region and method.

    Args:
        table: one row per region and method of a domain and task, columns `COLUMNS`; NaN where a
            score is not defined.

    Raises:
        ValueError: a column is missing, or there is no row.
    """
    missing = [name for name in COLUMNS if name not in table]
    if missing or table.empty:
        raise ValueError(f"nothing to draw: {missing or 'no row'} in the scores by region")
    with style.context():
        figure = style.new_figure(2.9)
        panels = figure.subplots(1, 2)
        _draw(panels[0], table, "rmse", 100.0)
        _draw(panels[1], table, "mu", 1.0)
        panels[0].set_ylabel("RMSE, cm")
        panels[1].set_ylabel("µ")
        panels[1].set_ylim(min(0.0, np.nanmin(table["mu"])), 1.0)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure


def _draw(axes: Axes, table: pd.DataFrame, score: str, factor: float) -> None:
    """Draw the bars of a score, methods side by side."""
    regions = list(dict.fromkeys(table["region"]))
    methods = style.in_order(table["method"].unique())
    width = 0.8 / len(methods)
    for number, name in enumerate(methods):
        part = table[table["method"] == name].set_index("region").reindex(regions)
        value, low, high = (
            factor * part[key].to_numpy(float) for key in (score, f"{score}_low", f"{score}_high")
        )
        x = np.arange(len(regions)) + width * (number - (len(methods) - 1) / 2)
        look = style.method_look(name)
        ends = np.nan_to_num(np.stack([value - low, high - value]).clip(min=0))
        axes.bar(x, value, width, color=look.colour, label=look.label, yerr=ends, capsize=2,
                 error_kw={"elinewidth": 0.8})  # fmt: skip
    labels = [name.replace("_", " ") for name in regions]
    axes.set_xticks(range(len(regions)), labels, rotation=30, ha="right")
