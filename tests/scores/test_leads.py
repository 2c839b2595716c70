"""Scores by lead time: each row is what scoring the maps of that lead directly gives."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

from pipeline_spde.scores.bootstrap import Resampling
from pipeline_spde.scores.leads import score_leads

RESAMPLING = Resampling(draws=200, block_days=3, confidence=0.9, seed=1)
LEADS = (0, 2, 4)


@pytest.fixture(scope="module")
def case(maps) -> tuple[dict[int, xr.Dataset], xr.Dataset]:
    """Twenty days whose error grows with the lead; a coast; std for all leads but the last."""
    rng = np.random.default_rng(3)
    truth = 0.3 + 0.2 * rng.standard_normal((20, 16, 18))
    truth[:, :2, :4] = np.nan
    found = {}
    for lead in LEADS:
        size = 0.02 * (1 + lead)
        error = size * rng.standard_normal(truth.shape)
        data = xr.Dataset({"ssh": maps(truth + error, step=0.25)}, attrs={"quantity": "ssh"})
        if lead < 4:
            data["ssh_std"] = maps(np.where(np.isnan(truth), np.nan, size), step=0.25)
        found[lead] = data
    return found, maps(truth, step=0.25).to_dataset(name="ssh")


def interior(field: xr.DataArray, margin: float) -> np.ndarray:
    cut = int(margin / 0.25)
    return field.values[:, cut : -cut or None, cut : -cut or None].astype(float)


@pytest.mark.parametrize("margin", [0.0, 1.0])
def test_each_row_is_the_score_of_the_maps_of_its_lead(case, margin: float) -> None:
    found, truth = case
    table = score_leads(found, truth, "some", margin, RESAMPLING).set_index("lead")
    assert table.index.tolist() == [0, 2, 4] and (table["method"] == "some").all()
    true = interior(truth["ssh"], margin)
    for lead in LEADS:
        row, error = table.loc[lead], interior(found[lead]["ssh"], margin) - true
        assert row["rmse_m"] == pytest.approx(np.sqrt(np.nanmean(error**2)), rel=1e-6)
        expected = 1 - np.sqrt(np.nanmean(error**2) / np.nanmean(true**2))
        assert row["mu"] == pytest.approx(expected, rel=1e-6)
        assert row["mu_low"] < row["mu"] < row["mu_high"]
        if lead == 4:
            assert np.isnan(row["crps_m"]) and np.isnan(row["spread_m"])
            continue
        std = 0.02 * (1 + lead)
        z = error[np.isfinite(error)] / std
        crps = std * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
        assert row["crps_m"] == pytest.approx(crps.mean(), rel=1e-5)
        assert row["spread_m"] == pytest.approx(std, rel=1e-5)


def test_errors_grow_with_the_lead(case) -> None:
    table = score_leads(*case, "some", 0.5, RESAMPLING)
    assert table["rmse_m"].is_monotonic_increasing and table["mu"].is_monotonic_decreasing
    assert table["lead"].is_monotonic_increasing


def test_days_of_truth_beyond_the_maps_do_not_matter(case) -> None:
    found, truth = case
    some = {lead: data.isel(time=slice(4, 14)) for lead, data in found.items()}
    whole = score_leads(some, truth, "some", 0.5, RESAMPLING)
    cut = score_leads(some, truth.isel(time=slice(4, 14)), "some", 0.5, RESAMPLING)
    assert whole.equals(cut)


def test_a_perfect_forecast_scores_one(case) -> None:
    _, truth = case
    perfect = {1: truth.assign_attrs(quantity="ssh")}
    row = score_leads(perfect, truth, "some", 0.5, RESAMPLING).iloc[0]
    assert row["rmse_m"] == 0 and row["mu"] == 1


def test_few_days_have_scores_without_an_interval(case) -> None:
    found, truth = case
    some = {0: found[0].isel(time=slice(0, 5))}
    row = score_leads(some, truth, "some", 0.5, RESAMPLING).iloc[0]
    assert np.isfinite(row["mu"]) and np.isnan(row["mu_low"]) and np.isnan(row["mu_high"])
