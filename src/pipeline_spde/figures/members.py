"""Members of an ensemble beside the truth: could each of them have been the ocean?

An ensemble holds heights in m: `ssh` (realization, time, lat, lon), the members as they were drawn,
and on (time, lat, lon) their mean `ssh_mean` and standard deviation `ssh_std`; NaN on land.
`ssh_std_calibrated` is the deviation inflated to fit the errors of the validation period. The
attribute `quantity` names the height; `sla` and `adt` work the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline_spde.figures import style
from pipeline_spde.figures.maps import speed_panel
from pipeline_spde.figures.panels import (
    Kind,
    Panel,
    check_same_axes,
    on_day,
    panel_figure,
    rms_text,
)

SHOWN = 3  # members
_WIDE = 0.5  # height of a map over its width below which fields stand below each other
MEAN = "mean"


def member_panels(
    ensemble: xr.Dataset, day: Any, truth: xr.Dataset | None = None, count: int = SHOWN
) -> Figure:
    """Show truth, ensemble mean and some members on one day: heights, speeds, differences.

    First row: heights. Second: geostrophic speeds, with their root mean square; the mean is smooth
    and slow, a member should be as fast as the truth. Third: what is left without the mean, where
    truth and members should look alike too; below the mean, the standard deviation of all members.
    Each row has one scale.

    Args:
        ensemble: Dataset in the layout of the module; its first members are drawn.
        day: calendar day.
        truth: true heights on the same axes; left out where there is none.
        count: number of members.

    Raises:
        ValueError: too few members, other axes than the truth's, or a day that is not there.
    """
    heights = heights_of_day(day, ensemble, truth, count)
    lat, lon = ensemble["lat"].values, ensemble["lon"].values
    std = part_on_day(ensemble, "std", day)
    rest = {name: field - heights[MEAN] for name, field in heights.items() if name != MEAN}
    if style.map_ratio(lat, lon) < _WIDE:
        return _wide_panels(ensemble, heights, rest, std)
    rows = [
        [Panel(name, field, "height") for name, field in heights.items()],
        [speed_panel("", field, lat, lon) for field in heights.values()],
        [
            _rest_panel("std", std) if name == MEAN else _rest_panel("rms", rest[name])
            for name in heights
        ],
    ]
    figure, _ = panel_figure(
        rows,
        lat,
        lon,
        land_of_ensemble(ensemble),
        row_labels=["height", "speed", "minus the mean"],
        bars=_bars(ensemble),
    )
    return figure


def _bars(ensemble: xr.Dataset) -> dict[Kind, str]:
    return {
        "height": style.height_label(quantity(ensemble)),
        "speed": "geostrophic speed [m s$^{-1}$]",
        "difference": "difference, std [cm]",
    }


def _wide_panels(
    ensemble: xr.Dataset,
    heights: Mapping[str, NDArray[np.float64]],
    rest: Mapping[str, NDArray[np.float64]],
    std: NDArray[np.float64],
) -> Figure:
    """Draw the same, field below field: side by side wide maps would be too low to read."""
    lat, lon = ensemble["lat"].values, ensemble["lon"].values
    rows = []
    for number, (name, height) in enumerate(heights.items()):
        titles = ("height", "speed", "minus the mean") if number == 0 else ("", "", "")
        last = _rest_panel("std", std) if name == MEAN else _rest_panel("rms", rest[name])
        rows.append(
            [
                Panel(titles[0], height, "height"),
                speed_panel(titles[1], height, lat, lon),
                replace(last, title=titles[2]),
            ]
        )
    land, bars = land_of_ensemble(ensemble), _bars(ensemble)
    figure, _ = panel_figure(rows, lat, lon, land, row_labels=list(heights), bars=bars)
    return figure


def heights_of_day(
    day: Any, ensemble: xr.Dataset, truth: xr.Dataset | None = None, count: int = SHOWN
) -> dict[str, NDArray[np.float64]]:
    """Return the heights (lat, lon) of the truth, the mean and the first members by their title.

    Raises:
        ValueError: as in `member_panels`.
    """
    name = quantity(ensemble)
    available = ensemble[name].sizes.get("realization", 0) if name in ensemble else 0
    if available < count:
        raise ValueError(f"{name} holds {available} members (dim realization), {count} are needed")
    heights = {}
    if truth is not None:
        check_same_axes(ensemble, {"truth": truth})
        heights["truth"] = on_day(truth, style.quantity_of(truth), day)
    heights[MEAN] = part_on_day(ensemble, "mean", day)
    for number in range(count):
        member = ensemble[[name]].isel(realization=number)
        heights[f"member {number + 1}"] = on_day(member, name, day)
    return heights


def quantity(ensemble: xr.Dataset) -> str:
    """Return which height an ensemble holds: "ssh", "sla" or "adt"."""
    return str(ensemble.attrs.get("quantity", "ssh"))


def part_on_day(ensemble: xr.Dataset, part: str, day: Any) -> NDArray[np.float64]:
    """Return the "mean", "std" or "std_calibrated" of an ensemble on one calendar day.

    Raises:
        ValueError: the ensemble does not hold it, or not that day.
    """
    name = f"{quantity(ensemble)}_{part}"
    if name not in ensemble:
        raise ValueError(f"no variable {name} in the ensemble, which holds {list(ensemble)}")
    return on_day(ensemble, name, day)


def land_of_ensemble(ensemble: xr.Dataset) -> NDArray[np.bool_]:
    """Return the cells (lat, lon) whose ensemble mean is finite on no day."""
    mean = ensemble[f"{quantity(ensemble)}_mean"]
    return np.asarray(~np.isfinite(mean.values).any(axis=0))


def _rest_panel(label: str, rest: NDArray[np.float64]) -> Panel:
    """Return the panel, in cm, of what is left in m without the mean."""
    return Panel("", 100 * rest, "difference", rms_text(label, rest))
