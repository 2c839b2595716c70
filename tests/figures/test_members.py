from __future__ import annotations

import numpy as np
import pytest

from pipeline_spde.figures import maps, members

DAY = "2012-10-24"


def _titles(figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_members_stand_beside_the_truth_with_one_scale_per_row(
    experiment, ensemble, house_rules, bar_labels, fields
) -> None:
    figure = members.member_panels(ensemble, DAY, experiment.truth)
    house_rules(figure)
    assert _titles(figure) == ["truth", "mean", "member 1", "member 2", "member 3"]
    assert bar_labels(figure) == [
        "sea surface height [m]",
        "geostrophic speed [m s$^{-1}$]",
        "difference, std [cm]",
    ]
    rows = np.array(fields(figure)).reshape(3, 5)
    for row in rows:
        assert len({image.get_clim() for image in row}) == 1
    low, high = rows[2, 0].get_clim()
    assert low == -high


def test_the_rows_hold_heights_speeds_and_what_is_left_without_the_mean(
    experiment, ensemble, fields
) -> None:
    figure = members.member_panels(ensemble, DAY, experiment.truth)
    height, speed, rest = np.array(fields(figure)).reshape(3, 5)
    day = ensemble.isel(time=2)
    second = day["ssh"].values[1]
    lat, lon = ensemble["lat"].values, ensemble["lon"].values

    def same(image, expected) -> None:
        np.testing.assert_allclose(image.get_array().filled(np.nan), expected, atol=1e-6)

    same(height[3], second)
    same(speed[3], maps.geostrophic_speed(second, lat, lon))
    same(rest[3], 100 * (second - day["ssh_mean"].values))
    same(rest[0], 100 * (experiment.truth["ssh"].values[2] - day["ssh_mean"].values))
    same(rest[1], 100 * day["ssh_std"].values)


def test_without_a_truth_its_column_is_left_out(ensemble, house_rules, fields) -> None:
    names = {name: str(name).replace("ssh", "sla") for name in ensemble}
    anomalies = ensemble.rename(names).assign_attrs(quantity="sla")
    figure = members.member_panels(anomalies, DAY, count=2)
    house_rules(figure)
    assert _titles(figure) == ["mean", "member 1", "member 2"]
    assert len(fields(figure)) == 9
    assert "sea level anomaly [m]" in [axes.get_xlabel() for axes in figure.axes]


def test_land_has_no_value_in_any_panel(experiment, ensemble, fields) -> None:
    np.testing.assert_array_equal(members.land_of_ensemble(ensemble), experiment.land)
    for image in fields(members.member_panels(ensemble, DAY, count=1)):
        assert np.ma.getmaskarray(image.get_array())[experiment.land].all()


def test_too_few_members_a_strange_day_and_other_axes_are_named(experiment, ensemble) -> None:
    with pytest.raises(ValueError, match=r"ssh holds 2 members .* 3 are needed"):
        members.member_panels(ensemble.isel(realization=slice(2)), DAY)
    with pytest.raises(ValueError, match="holds 0 members"):
        members.member_panels(ensemble.isel(realization=0), DAY)
    with pytest.raises(ValueError, match=r"no variable ssh_std in .*'ssh_mean'"):
        members.member_panels(ensemble.drop_vars("ssh_std"), DAY)
    with pytest.raises(ValueError, match="2013-01-01; there are 2012-10-22 to 2012-10-28"):
        members.member_panels(ensemble, "2013-01-01")
    shifted = experiment.truth.assign_coords(lat=experiment.truth["lat"] + 1)
    with pytest.raises(ValueError, match="truth: lat"):
        members.member_panels(ensemble, DAY, shifted)
