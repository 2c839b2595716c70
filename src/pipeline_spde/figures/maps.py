"""Maps of heights, errors, standard deviations and geostrophic currents, method beside method.

Datasets are in the layout of the files: `ssh`, `sla` or `adt` [m] on (time, lat, lon), optionally
`*_std` [m]; observations also hold `observed` (0/1) and `obs_error` [m]. Values on land are NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline_spde.figures import style
from pipeline_spde.figures.panels import (
    Kind,
    Panel,
    check_same_axes,
    land_of,
    observed_field,
    on_day,
    panel_figure,
    rms_text,
)

GRAVITY = 9.81  # m s-2
EARTH_RATE = 7.2921e-5  # s-1
EARTH_RADIUS_M = 6.371e6
EQUATORIAL_BAND = 3.0  # degrees; no geostrophic balance nearer to the equator


def reconstruction_panels(
    observations: xr.Dataset,
    maps: Mapping[str, xr.Dataset],
    days: Sequence[Any],
    truth: xr.Dataset | None = None,
    land: NDArray[np.bool_] | None = None,
) -> Figure:
    """Show, for each day, the observations and every method's map, with its error or deviation.

    With a truth: two rows a day, truth over observations, then each method's map over its absolute
    error, whose RMSE is noted. Without: observations over their error, then each method's map
    over its standard deviation; one row a day when no method has one.

    Args:
        observations: gridded observations.
        maps: method -> maps, all on the same axes; drawn in the order of `style.METHODS`.
        days: calendar days (date, text or datetime64).
        truth: true maps on the same axes.
        land: True on land, shape (lat, lon); cells without any value when omitted.

    Returns:
        The figure; heights share one scale, errors (or deviations) another.
    """
    reference = truth if truth is not None else _first(maps)
    check_same_axes(reference, {"observations": observations, **maps})
    rows, labels = [], []
    for number, day in enumerate(days):
        for row in day_panels(day, observations, maps, truth):
            rows.append(row if number == 0 else [_untitled(panel) for panel in row])
            labels.append("")
        labels[-len(rows) // len(days) if False else -_rows_a_day(maps, truth)] = (
            style.day_label(day)
        )
    figure, _ = panel_figure(
        rows,
        reference["lat"].values,
        reference["lon"].values,
        land_of([reference]) if land is None else land,
        labels,
        height_bars(reference),
    )
    return figure
