"""The amplitude that makes the prior of `spde_oi` obey σ, and the fields that show the prior."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np

from pipeline_spde.baselines.spde_model import SpdeModel, SpdeOiParameters, with_amplitude
from pipeline_spde.baselines.spde_picture import picture
from pipeline_spde.grids import Grid

LAND = np.zeros((14, 12), bool)
LAND[:3, :4] = True
GRID = Grid.latlon(30.15 + 0.3 * np.arange(14), -59.85 + 0.3 * np.arange(12), LAND)
PARAMETERS = SpdeOiParameters(
    sigma=np.full(GRID.shape, 0.15),
    amplitude=np.ones(GRID.shape),
    range_km=160.0,
    decorrelation_time_days=9.0,
    noise_length_km=40.0,
    noise_order=2,
    rho=0.6,
    advection=0.0,
    representativeness_m=0.001,
    std_factor=1.0,
)


def deviation(parameters: SpdeOiParameters) -> np.ndarray:
    model = SpdeModel(parameters, GRID, np.zeros(GRID.shape), 70.0, 190.0)
    return np.sqrt(model.variance(model.filter.first.covariance))[GRID.ocean]


def test_amplitude_makes_the_prior_obey_sigma_at_walls_and_coasts():
    mended = with_amplitude(PARAMETERS, GRID, 70.0)
    np.testing.assert_allclose(deviation(mended), 0.15, rtol=0.1)
    assert deviation(PARAMETERS).min() < 0.7 * 0.15


def test_picture_shows_the_prior(tmp_path):
    rng = np.random.default_rng(0)
    mean = 0.5 * np.tanh((GRID.lat - 32) / 0.5)[:, None] + 0.01 * rng.normal(size=GRID.shape)
    moving = replace(with_amplitude(PARAMETERS, GRID, 70.0), advection=0.5)
    shown = picture(moving, GRID, mean, 190.0, date(2020, 1, 1), 1)
    assert np.isnan(shown["draw"].values[:, LAND]).all()
    assert np.nanstd(shown["draw"].values) < 0.3
    own = np.unravel_index(np.nanargmax(shown["correlation"].values), shown["correlation"].shape)
    assert own[0] == shown.sizes["time"] // 2
    assert abs(float(shown["correlation"].max()) - 1) < 1e-5
    # height rises to the north: the current flows west, and half of it carries anomalies
    assert shown["m_east"].sel(lat=32, method="nearest").mean() < -1
    again = picture(moving, GRID, mean, 190.0, date(2020, 1, 1), 1)
    assert again["draw"].equals(shown["draw"])
    assert not picture(moving, GRID, mean, 190.0, date(2020, 1, 1), 2)["draw"].equals(shown["draw"])
