from __future__ import annotations

import numpy as np
import pytest

from pipeline_spde.figures import maps, style
from pipeline_spde.figures.panels import land_of


def _titles(figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_reconstructions_with_truth_show_maps_over_errors(
    experiment, house_rules, days, bar_labels, fields
) -> None:
    figure = maps.reconstruction_panels(
        experiment.observations, experiment.maps, days, experiment.truth
    )
    house_rules(figure)
    assert _titles(figure) == [
        "truth",
        "tuned OI",
        "4DVarNet",
        "observations",
        "|error|",
        "|error|",
    ]
    assert bar_labels(figure) == ["sea surface height [m]", "absolute error [m]"]
    drawn = fields(figure)
    assert len(drawn) == 2 * 2 * 3
    limits = {(image.get_cmap().name, image.get_clim()) for image in drawn}
    assert len(limits) == 2, "heights share one scale and errors another"
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == days


def test_the_noted_error_is_that_of_the_day(experiment, days) -> None:
    figure = maps.reconstruction_panels(
        experiment.observations, experiment.maps, days[:1], experiment.truth
    )
    index = 1
    error = experiment.maps["oi_tuned"].ssh[index] - experiment.truth.ssh[index]
    expected = f"RMSE {100 * float(np.sqrt((error**2).mean())):.1f} cm"
    notes = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert expected in notes


@pytest.mark.slow
def test_reconstructions_without_truth_show_deviations(
    experiment, house_rules, days, bar_labels
) -> None:
    figure = maps.reconstruction_panels(experiment.observations, experiment.maps, days)
    house_rules(figure)
    assert _titles(figure) == ["observations", "tuned OI", "4DVarNet", "std tuned OI"]
    assert bar_labels(figure) == ["sea surface height [m]", "std of the error [m]"]


def test_unobserved_cells_are_empty_whatever_they_hold(experiment, days) -> None:
    filled = experiment.observations.copy()
    filled["ssh"] = filled["ssh"].fillna(99.0)
    panels = [
        maps.day_panels(days[0], data, experiment.maps)[0][0].field
        for data in (experiment.observations, filled)
    ]
    np.testing.assert_array_equal(*panels)


def test_land_is_grey_and_drawn_below_the_maps(experiment, days) -> None:
    np.testing.assert_array_equal(land_of([experiment.truth]), experiment.land)
    figure = maps.reconstruction_panels(
        experiment.observations, experiment.maps, days[:1], experiment.truth
    )
    figure.canvas.draw()
    axes = figure.axes[0]
    pixels = np.asarray(figure.canvas.buffer_rgba())
    x, y = axes.transData.transform((-64.7, 42.7))
    grey = round(255 * float(style.LAND_COLOUR))
    colour = pixels[int(pixels.shape[0] - y), int(x), :3].astype(int)
    np.testing.assert_allclose(colour, grey, atol=2)


def test_std_panels_share_one_scale_with_the_errors(
    experiment, house_rules, days, bar_labels, fields
) -> None:
    figure = maps.std_panels(experiment.maps, days, experiment.truth)
    house_rules(figure)
    assert _titles(figure) == days
    assert bar_labels(figure) == ["standard deviation, absolute error [m]"]
    assert len({image.get_clim() for image in fields(figure)}) == 1
    assert len(fields(figure)) == 4


def test_std_panels_need_a_standard_deviation(experiment, days) -> None:
    with pytest.raises(ValueError, match="standard deviation"):
        maps.std_panels({"4dvarnet": experiment.maps["4dvarnet"]}, days)


def test_speed_panels_have_one_scale_in_metres_per_second(
    experiment, house_rules, days, bar_labels, fields
) -> None:
    figure = maps.speed_panels(experiment.maps, days, experiment.truth)
    house_rules(figure)
    assert _titles(figure) == ["truth", "tuned OI", "4DVarNet"]
    assert bar_labels(figure) == ["geostrophic speed [m s$^{-1}$]"]
    assert {image.get_clim()[0] for image in fields(figure)} == {0.0}
    assert len({image.get_clim() for image in fields(figure)}) == 1


def test_geostrophic_speed_of_a_uniform_slope() -> None:
    lat, lon = np.arange(35.0, 40, 0.25), np.arange(0.0, 4, 0.25)
    slope = 1e-6
    height = slope * 6.371e6 * np.radians(lat)[:, None] * np.ones(lon.size)
    speed = maps.geostrophic_speed(height, lat, lon)
    expected = 9.81 * slope / (2 * 7.2921e-5 * np.sin(np.radians(lat)))
    np.testing.assert_allclose(speed, expected[:, None] * np.ones(lon.size), rtol=1e-9)


def test_there_is_no_geostrophic_speed_at_the_equator() -> None:
    lat = np.arange(-5.0, 5.5, 1.0)
    speed = maps.geostrophic_speed(np.zeros((11, 4)), lat, np.arange(4.0))
    np.testing.assert_array_equal(np.isnan(speed).all(axis=1), np.abs(lat) < 3)


def test_a_day_that_is_not_there_is_named(experiment) -> None:
    with pytest.raises(ValueError, match="2013-01-01; there are 2012-10-22 to 2012-10-28"):
        maps.speed_panels(experiment.maps, ["2013-01-01"])


def test_maps_on_other_axes_are_refused(experiment, days) -> None:
    shifted = {"oi": experiment.truth.assign_coords(lon=experiment.truth.lon + 1)}
    with pytest.raises(ValueError, match=r"oi: lon .* interpolate"):
        maps.reconstruction_panels(experiment.observations, shifted, days, experiment.truth)


def test_no_day_or_no_method_is_refused(experiment, days) -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        maps.reconstruction_panels(experiment.observations, {}, days)
    with pytest.raises(ValueError, match="nothing to draw"):
        maps.speed_panels(experiment.maps, [])
