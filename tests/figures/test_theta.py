from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.quiver import Quiver

from pipeline_spde.figures import theta


@pytest.fixture(scope="module")
def maps(experiment) -> xr.Dataset:
    """Θ of an anisotropic prior that moves east, another on every day; finite numbers on land."""
    values = {
        "kappa": 0.3,
        "tau": 0.8,
        "m_east": 12.0,
        "m_north": -3.0,
        "h_ee": 250.0,
        "h_en": -40.0,
        "h_nn": 120.0,
        "sigma": 0.2,
        "range_major": 140.0,
        "range_minor": 90.0,
        "range_angle": -20.0,
        "decorrelation_time": 11.0,
    }
    height = experiment.truth["ssh"]
    growth = 1 + 0.1 * xr.DataArray(np.arange(height.sizes["time"]), dims="time")
    slope = 1 + 0.02 * (height["lat"] - height["lat"].mean())
    fields = {
        name: (value * slope * growth).broadcast_like(height) for name, value in values.items()
    }
    fields["sigma"] = fields["sigma"].where(height.notnull())
    return xr.Dataset(fields)


def _bars(figure) -> list[str]:
    return [axes.get_ylabel() for axes in figure.axes if axes.get_label() == "<colorbar>"]


def test_every_parameter_is_shown_with_its_unit(maps, house_rules, fields) -> None:
    figure = theta.theta_panels(maps, title="4dvarnet_spde")
    house_rules(figure)
    assert len(fields(figure)) == 9
    per_day = "km$^2$ day$^{-1}$"
    assert sorted(_bars(figure)) == sorted(
        [
            "σ [m]",
            "mean range [km]",
            "T [day]",
            "κ [day$^{-1/2}$]",
            "τ [m km day$^{-1/2}$]",
            "speed |m| [km day$^{-1}$]",
            f"H$_{{ee}}$ [{per_day}]",
            f"H$_{{en}}$ [{per_day}]",
            f"H$_{{nn}}$ [{per_day}]",
        ]
    )
    assert sum(isinstance(c, Quiver) for axes in figure.axes for c in axes.collections) == 1


def test_the_day_is_the_one_asked_for_or_the_middle_one(maps, experiment) -> None:
    for day, index in ((None, 3), ("2012-10-23", 1)):
        chosen = theta.theta_of_day(maps, day)
        assert set(chosen.dims) == {"lat", "lon"}
        ocean = ~experiment.land
        expected = maps["tau"].values[index][ocean]
        np.testing.assert_array_equal(chosen["tau"].values[ocean], expected)
        assert np.isnan(chosen["tau"].values[experiment.land]).all()


def test_the_diagonal_of_the_diffusion_has_one_scale_and_the_rest_is_centred(maps, fields) -> None:
    ee, en, nn = fields(theta.theta_panels(maps))[-3:]
    assert ee.get_clim() == nn.get_clim()
    assert ee.get_clim()[0] == 0
    assert en.get_clim()[0] == -en.get_clim()[1]


def test_land_is_left_out_of_every_panel(maps, experiment, fields) -> None:
    for image in fields(theta.theta_panels(maps)):
        np.testing.assert_array_equal(np.ma.getmaskarray(image.get_array()), experiment.land)


@pytest.mark.slow
def test_a_stationary_isotropic_prior_can_be_drawn(maps, house_rules) -> None:
    still = xr.zeros_like(maps["sigma"])
    constant = maps.assign(m_east=still, m_north=still, h_en=still, kappa=still + 0.3)
    house_rules(theta.theta_panels(constant))


def test_missing_parameters_and_days_are_named(maps) -> None:
    with pytest.raises(ValueError, match=r"no variable \['range_angle', 'tau'\]"):
        theta.theta_panels(maps.drop_vars(["tau", "range_angle"]))
    with pytest.raises(ValueError, match="2013-01-01; there are 2012-10-22 to 2012-10-28"):
        theta.theta_panels(maps, "2013-01-01")
