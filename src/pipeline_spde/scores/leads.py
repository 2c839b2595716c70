"""Scores by lead time: how fast forecasts of one model lose what they know."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from pipeline_spde.scores.bootstrap import Resampling, score_with_interval
from pipeline_spde.scores.collocation import Collocation, collocate
from pipeline_spde.scores.point_scores import gaussian_crps
from pipeline_spde.scores.rmse import MU, RMSE
from pipeline_spde.scores.statistic import Array, DailySums, unique_statistics


def score_leads(
    maps: Mapping[int, xr.Dataset],
    truth: xr.Dataset,
    method: str,
    margin_degrees: float,
    resampling: Resampling,
) -> pd.DataFrame:
    """Return one row for each lead time.

    Args:
        maps: lead in days -> maps of the same days (`ssh`, perhaps `ssh_std`), m.
        truth: true maps of these days at least.
        method: name in the table.
        margin_degrees: what is cut off each side before scoring.
        resampling: of the interval of µ.

    Returns:
        Columns method, lead (days), rmse_m, mu, mu_low, mu_high, crps_m and spread_m; the last two
        are empty where there is no standard deviation.
    """
    rows = []
    for lead, estimate in sorted(maps.items()):
        name = str(estimate.attrs["quantity"])
        field, std = estimate[name], estimate.get(f"{name}_std")

        def on_cells(data: xr.DataArray, name: str = name) -> Collocation:
            return collocate(
                truth=truth[name], estimate=data, margin_degrees=margin_degrees, times="interpolate"
            )

        case = on_cells(field)
        sums = DailySums.of_maps(case.sample(), case.days, unique_statistics((MU, RMSE)))
        mu = score_with_interval(MU, sums, resampling)
        row = {"method": method, "lead": lead, "rmse_m": float(RMSE.value(sums)), "mu": mu.value}
        low, high = (np.nan if bound is None else bound for bound in mu.interval)
        row |= {"mu_low": low, "mu_high": high}
        row |= {"crps_m": np.nan, "spread_m": np.nan}
        if std is not None:
            row |= _uncertainty(case, on_cells(std).estimate)
        rows.append(row)
    return pd.DataFrame(rows)


def _uncertainty(case: Collocation, std: Array) -> dict[str, float]:
    """Return CRPS and spread, m, of Gaussian estimates."""
    at = case.valid & np.isfinite(std)
    crps = gaussian_crps(truth=case.truth[at], mean=case.estimate[at], std=std[at])
    return {"crps_m": float(crps.mean()), "spread_m": float(np.sqrt(np.mean(std[at] ** 2)))}
