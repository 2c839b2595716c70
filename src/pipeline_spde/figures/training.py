"""How networks learned: loss, validation error against a baseline, learning rate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from pipeline_spde.figures import style

COLUMNS = ("step", "train_loss", "validation_rmse_m", "learning_rate")
SMOOTHING = 0.05  # of the record: width of the running median of the loss


def curves(
    records: Mapping[str, pd.DataFrame],
    baseline_rmse: float | None = None,
    baseline: str = "oi_tuned",
) -> Figure:
    """Draw training loss, validation RMSE and learning rate against the optimiser step.

    Args:
        records: method -> columns `step`, `train_loss` [1], `validation_rmse_m` [m] and
            `learning_rate`; a quantity may be missing (NaN) on steps where it was not taken.
        baseline_rmse: RMSE of a baseline on the same validation days in m: what to beat.
        baseline: which method that is.

    Raises:
        ValueError: a column is missing.
    """
    for method, record in records.items():
        missing = [name for name in COLUMNS if name not in record]
        if missing:
            raise ValueError(
                f"no column {missing} in the training record of {method}; it holds {list(record)}"
            )
    with style.context():
        figure = style.new_figure(2.3)
        loss, error, rate = figure.subplots(1, 3, sharex=True)
        for method in style.in_order(records):
            look, record = style.method_look(method), records[method]
            _draw_loss(loss, record, look)
            _draw_error(error, record, look)
            known = record[["step", "learning_rate"]].dropna()
            rate.plot(known["step"], known["learning_rate"], look.dashes, color=look.colour)
        if all((record["train_loss"].dropna() > 0).all() for record in records.values()):
            _as_logarithm(loss)
        loss.set_ylabel("training loss [1]")
        if baseline_rmse is not None:
            other = style.method_look(baseline)
            label = f"{other.label} {100 * baseline_rmse:.2f}"
            error.axhline(100 * baseline_rmse, color=other.colour, linestyle="--", label=label)
        error.set_ylabel("validation RMSE [cm]")
        error.legend()
        rate.set_ylabel("learning rate")
        rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        rate.set_ylim(bottom=0)
        for axes in (loss, error, rate):
            axes.set_xlabel("optimiser step")
            axes.grid()
    return figure


def _draw_loss(axes: Axes, record: pd.DataFrame, look: style.Look) -> None:
    known = record[["step", "train_loss"]].dropna()
    many = len(known) >= 40
    axes.plot(known["step"], known["train_loss"], color=look.colour, alpha=0.3 if many else 1.0)
    if many:
        width = max(int(SMOOTHING * len(known)), 3)
        smooth = known["train_loss"].rolling(width, center=True, min_periods=1).median()
        axes.plot(known["step"], smooth, color=look.colour)


def _as_logarithm(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0), numticks=9))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _draw_error(axes: Axes, record: pd.DataFrame, look: style.Look) -> None:
    known = record[["step", "validation_rmse_m"]].dropna()
    steps, error = known["step"].to_numpy(float), 100 * known["validation_rmse_m"].to_numpy(float)
    best = int(np.argmin(error)) if error.size else None
    label = look.label if best is None else f"{look.label} {error[best]:.2f}"
    axes.plot(steps, error, color=look.colour, marker="o", markersize=2.5, label=label)
    if best is not None:
        axes.plot(steps[best], error[best], marker="*", markersize=8, color=look.colour)
