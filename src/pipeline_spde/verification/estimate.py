"""Maps of any kind as the arguments of the functions that score them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from pipeline_spde.scores.ensemble import MEMBER_DIM
from pipeline_spde.verification.gridded import MapFiles


def arguments(maps: MapFiles, data: xr.Dataset) -> dict[str, Any]:
    """Return `estimate`, `std` and `ensemble` for `score_maps` and `score_tracks`.

    Members without a mean and a spread in the file get those of the members themselves (ddof 1).

    Args:
        maps: where the data come from.
        data: `MapFiles.dataset()` or some days of it.
    """
    name = maps.quantity
    if maps.member_dim is not None:
        data = with_moments(data, name)
    if maps.is_ensemble:
        return {"estimate": data[f"{name}_mean"], "std": None, "ensemble": data}
    return {"estimate": data[name], "std": data.get(f"{name}_std"), "ensemble": None}


def with_moments(data: xr.Dataset, name: str) -> xr.Dataset:
    """Return an ensemble with mean and standard deviation; missing where a member is missing."""
    if f"{name}_mean" in data and f"{name}_std" in data:
        return data
    members = data[name].astype(np.float64)
    moments = {
        f"{name}_mean": members.mean(MEMBER_DIM, skipna=False),
        f"{name}_std": members.std(MEMBER_DIM, ddof=1, skipna=False),
    }
    return data.drop_vars(list(moments), errors="ignore").assign(moments)
