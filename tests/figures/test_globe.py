"""The globe: gradients without a seam, members with their calibrated spread, wide layouts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pipeline_spde.figures.globe import fields_of_day, globe_panels, gradient, spread_boxes
from pipeline_spde.figures.members import member_panels
from pipeline_spde.figures.uncertainty import TaskResult, uncertainty_panels
from pipeline_spde.grids import Grid

DAYS = pd.date_range("2020-01-01 12:00", periods=15)
SHAPE = (16, 48)
MEMBERS = 4


def globe() -> Grid:
    land = np.zeros(SHAPE, bool)
    land[5:9, 10:14] = True
    lat, lon = -60 + 8 * np.arange(16), -176.25 + 7.5 * np.arange(48)
    return Grid.latlon(lat, lon, land, periodic=True)


def maps_of(height: np.ndarray, grid: Grid) -> xr.Dataset:
    data = np.where(grid.ocean, height, np.nan)
    axes = {"time": DAYS, "lat": grid.lat, "lon": grid.lon}
    return xr.Dataset({"sla": (("time", "lat", "lon"), data)}, axes, {"quantity": "sla"})


@pytest.fixture(scope="module")
def case() -> tuple[Grid, xr.Dataset, xr.Dataset, xr.Dataset]:
    """Grid, truth, maps, and an ensemble whose calibrated spread is half the raw one."""
    grid, rng = globe(), np.random.default_rng(0)
    truth = maps_of(rng.standard_normal((15, *SHAPE)), grid)
    mean = maps_of(rng.standard_normal((15, *SHAPE)), grid)
    deviation = 0.2 * rng.standard_normal((MEMBERS, 15, *SHAPE))
    std = deviation.std(axis=0, ddof=1)
    dims = ("time", "lat", "lon")
    hole = np.where(grid.ocean, 1.0, np.nan)
    ensemble = xr.Dataset(
        {
            "sla": (("realization", *dims), mean["sla"].values + deviation),
            "sla_mean": (dims, mean["sla"].values),
            "sla_std": (dims, std * hole),
            "sla_std_calibrated": (dims, 0.5 * std * hole),
        },
        mean.coords,
        {"quantity": "sla"},
    )
    return grid, truth, mean, ensemble


def test_a_gradient_has_no_seam_and_its_known_size():
    grid = globe()
    slope = 1e-3  # m/km
    north = np.broadcast_to(slope * grid.dy_km * np.arange(16)[:, None], SHAPE)
    found = gradient(north, grid)
    inside = found[2:4]
    np.testing.assert_allclose(inside, 100 * slope)
    wave = np.broadcast_to(np.sin(np.radians(grid.lon)), SHAPE)
    seam = gradient(wave, grid)[2]
    assert seam[0] == pytest.approx(seam[24], rel=1e-6) == pytest.approx(seam[23], rel=1e-6)
    assert np.isnan(found[5:9, 10:14]).all()


def test_members_are_drawn_with_their_calibrated_spread(case):
    grid, truth, mean, ensemble = case
    day, ocean = "2020-01-08", grid.ocean
    fields = fields_of_day(day, {"truth": truth, "4DVarNet": mean}, ensemble)
    assert list(fields) == ["truth", "4DVarNet", "member 1", "member 2", "member 3"]
    raw = ensemble["sla"].sel(time=day).values[0, 0] - fields["4DVarNet"]
    shown = fields["member 1"] - fields["4DVarNet"]
    np.testing.assert_allclose(shown[ocean], 0.5 * raw[ocean], atol=1e-12)
    plain = fields_of_day(day, {"truth": truth}, ensemble.drop_vars("sla_std_calibrated"))
    np.testing.assert_allclose(
        plain["member 1"][ocean] - fields["4DVarNet"][ocean], raw[ocean], atol=1e-12
    )
    assert list(fields_of_day(day, {"truth": truth})) == ["truth"]


def test_rows_are_fields_and_columns_the_whole_and_its_boxes(case):
    grid, truth, mean, _ = case
    boxes = {"west": ((-20.0, 20.0), (-150.0, -90.0)), "over": ((-20.0, 20.0), (150.0, 200.0))}
    fields = fields_of_day("2020-01-08", {"truth": truth, "map": mean})
    figure = globe_panels(fields, grid, boxes, "a day")
    assert len(figure.axes) == 2 * 3 + 1
    assert [axes.get_title() for axes in figure.axes[:3]] == ["a day", "west", "over"]
    assert figure.axes[2].images[0].get_array().shape[1] >= 6  # both sides of the date line
    assert list(spread_boxes(boxes, ("over", "nowhere"))) == ["over"]
    with pytest.raises(ValueError, match="at least one field"):
        globe_panels({}, grid, boxes)


def test_wide_fields_stand_below_each_other(case):
    _, truth, _, ensemble = case
    figure = member_panels(ensemble, "2020-01-08", truth)
    panels = figure.axes[:15]
    assert [axes.get_title() for axes in panels[:3]] == ["height", "speed", "minus the mean"]
    assert [axes.get_ylabel() for axes in panels[::3]] == [
        "truth", "mean", "member 1", "member 2", "member 3",
    ]  # fmt: skip


def test_wide_maps_of_the_uncertainty_are_fewer_and_larger(case):
    _, truth, mean, ensemble = case
    scores = {"4dvarnet": pd.DataFrame({"time": DAYS, "score": np.linspace(0.5, 0.6, 15)})}
    figure = uncertainty_panels({"mapping": TaskResult(mean, ensemble, scores)}, truth)
    titles = [axes.get_title() for axes in figure.axes if "2020" in axes.get_title()]
    assert len(titles) == 2
    width = figure.axes[0].get_position().width * figure.get_size_inches()[0]
    assert width > 1.2  # inches
