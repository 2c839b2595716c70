"""The twin ocean: days, seeds, mapping to the grid, time step, and its likeness to real fields."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_spde.config import DomainConfig, TwinConfig
from pipeline_spde.data import realism, twin
from pipeline_spde.data.quasigeostrophic import TwoLayerModel
from pipeline_spde.fields import daily_stamps
from pipeline_spde.grids import KM_PER_DEGREE, Grid

DAY = 86400.0
SMALL = TwinConfig(nodes=32, spin_up_days=4)
GULF_STREAM = Grid.from_bounds((32.0, 44.0), (-66.0, -54.0), 0.5)
FOUR_DAYS = daily_stamps("2012-10-01", "2012-10-04")


@pytest.fixture(scope="module")
def small_truth():
    return twin.simulate(GULF_STREAM, FOUR_DAYS, SMALL, seed=7)


def test_maps_are_daily_ssh_on_the_grid(small_truth):
    assert small_truth.quantity == "ssh"
    assert np.array_equal(small_truth.time, FOUR_DAYS)
    assert small_truth.grid is GULF_STREAM
    assert small_truth.height.dtype == np.float32
    assert small_truth.height.shape == (4, 24, 24)


def test_the_jet_lowers_the_sea_towards_the_north(small_truth):
    south, north = small_truth.height[:, :12].mean(), small_truth.height[:, 12:].mean()
    assert 0.2 < south - north < 1.5


def test_equal_seeds_give_equal_oceans_and_others_do_not(small_truth):
    again = twin.simulate(GULF_STREAM, FOUR_DAYS, SMALL, seed=7)
    other = twin.simulate(GULF_STREAM, FOUR_DAYS, SMALL, seed=8)
    assert np.array_equal(again.height, small_truth.height)
    assert np.abs(other.height - small_truth.height).max() > 0.01


def test_a_longer_run_begins_with_the_same_days(small_truth):
    two = twin.simulate(GULF_STREAM, FOUR_DAYS[:2], SMALL, seed=7)
    assert np.array_equal(two.height, small_truth.height[:2])


def test_without_spin_up_the_first_day_is_the_jet_itself():
    config = TwinConfig(nodes=32, spin_up_days=0)
    height = twin.simulate(GULF_STREAM, FOUR_DAYS[:1], config, seed=7).height[0]
    # all that depends on longitude is the 3 cm of random waves
    assert 0.01 < np.std(height - height.mean(axis=1, keepdims=True)) < 0.06
    assert 0.6 < height.max() - height.min() < 1.2  # 2 U w f/g = 1.0 m less the return flow


def test_land_is_nan_and_changes_nothing_else(small_truth):
    land = np.zeros(GULF_STREAM.shape, bool)
    land[:5, :7] = True
    grid = Grid.latlon(GULF_STREAM.lat, GULF_STREAM.lon, land)
    masked = twin.simulate(grid, FOUR_DAYS[:2], SMALL, seed=7).height
    assert np.all(np.isnan(masked[:, land]))
    assert np.array_equal(masked[:, ~land], small_truth.height[:2, ~land])


def test_progress_counts_every_day():
    calls = []
    twin.simulate(GULF_STREAM, FOUR_DAYS, SMALL, 7, lambda done, total: calls.append((done, total)))
    assert calls == [(day, 8) for day in range(1, 9)]


def test_a_day_is_the_mean_over_its_steps(rng):
    ocean = twin.ocean(GULF_STREAM, SMALL, 32)
    start = twin.first_state(ocean, rng, 9e-5)
    ((_, mean),) = twin.run_days(ocean, start, 1)
    q, snapshots = start, []
    for _ in range(144):  # independent: midpoint rule with a quarter of an hour and less
        q = ocean.step(q, 300.0)
        snapshots.append(ocean.streamfunction(q)[0])
        q = ocean.step(q, 300.0)
    assert np.abs(mean - np.mean(snapshots, axis=0)).max() < 2e-4 * np.abs(mean).max()


def test_heights_at_cell_centres_are_the_series_summed_there():
    grid = Grid.from_bounds((33.0, 43.0), (-65.0, -55.0), 0.25)
    side = 1440.0
    ocean = TwoLayerModel(48, side * 1e3, 36e3, 0.25, 1.8e-11)
    k, l = 2 * np.pi / side * np.array([3, -5])  # noqa: E741

    def wave(y, x):
        return 1e4 * (np.sin(k * x + l * y) + 0.3 * np.cos(2 * l * y) + 0.2 * np.cos(4 * k * x))

    nodes = np.arange(48) * side / 48
    psi = ocean.to_spectrum(wave(nodes[:, None], nodes))
    y = (grid.lat - 38.0) * KM_PER_DEGREE + side / 2
    x = (grid.lon + 60.0) * KM_PER_DEGREE * np.cos(np.radians(38.0)) + side / 2
    coriolis = 2 * 7.2921e-5 * np.sin(np.radians(38.0))
    expected = coriolis / 9.81 * wave(y[:, None], x)
    assert twin.height_sampler(grid, side)(psi) == pytest.approx(expected, abs=1e-9)


def test_the_jet_has_the_speed_asked_for_and_no_net_transport():
    jet = twin.jet_profile(128, 1440e3, 0.7, 80e3)
    assert jet.max() == pytest.approx(0.7)
    assert np.argmax(jet) == 64
    assert jet.mean() == pytest.approx(0.0, abs=1e-12)
    assert jet[64] - jet[64 + 7] > 0.35  # 79 km off the axis: sech²(1) = 0.42


@pytest.mark.parametrize(("resolution", "nodes"), [(0.5, 60), (0.2, 128), (0.1, 256), (0.05, 512)])
def test_the_mesh_follows_the_resolution(resolution, nodes):
    grid = Grid.from_bounds((32.0, 44.0), (-66.0, -54.0), resolution)
    assert twin.mesh_nodes(grid, TwinConfig()) == nodes


@settings(max_examples=100, deadline=None)
@given(speed=st.floats(0.0, 8.0), nodes=st.sampled_from([60, 128, 256, 512]))
def test_the_chosen_step_keeps_to_the_courant_number(speed, nodes):
    model = TwoLayerModel(nodes, 1440e3, 36e3, 0.25, 1.8e-11)
    steps = twin.steps_of_day(model, speed)
    assert steps >= DAY / twin.LONGEST_STEP
    assert speed * DAY / steps <= twin.COURANT_TARGET * model.spacing * (1 + 1e-12)


def test_a_huge_time_step_is_refused_by_name():
    config = TwinConfig(nodes=32, spin_up_days=4, time_step_s=DAY)
    expected = (
        r"day 0 .*32 nodes of 45.0 km.* time step of 86400 s is too long for a flow of 0\.\d+ m/s "
        r".*Courant number 1\.\d+.*set twin\.time_step_s to \d+ or less"
    )
    with pytest.raises(twin.InstabilityError, match=expected):
        twin.simulate(GULF_STREAM, FOUR_DAYS, config, 7)


def test_the_remedy_that_the_refusal_names_works(small_truth):
    config = TwinConfig(nodes=32, spin_up_days=4, time_step_s=7200.0)
    fixed = twin.simulate(GULF_STREAM, FOUR_DAYS, config, 7)
    assert np.array_equal(fixed.height, small_truth.height)  # 7200 s is also the longest chosen


def test_a_blow_up_is_named_with_day_step_and_remedy(rng, monkeypatch):
    ocean = twin.ocean(GULF_STREAM, SMALL, 32)
    start = twin.first_state(ocean, rng, 9e-5)
    # without the Courant check a step of a day blows up; the state check must see it
    monkeypatch.setattr(twin, "COURANT_LIMIT", np.inf)
    expected = r"day (\d+) .*reached (nan|inf|[\d.e+]+) m/s .*time step of 86400 s; leave twin.time"
    with pytest.raises(twin.InstabilityError, match=expected):
        for _ in twin.run_days(ocean, start * 3, 60, time_step=DAY):
            pass


def test_a_day_in_which_the_flow_outruns_the_step_is_run_again(rng):
    ocean = twin.ocean(GULF_STREAM, SMALL, 32)
    start = twin.first_state(ocean, rng, 9e-5)

    class Accelerating(TwoLayerModel):
        """Reports a sudden gust after the first attempt at the first day."""

    speeds = iter([1.0, 6.0, 6.0])
    gusty = Accelerating(**{name: getattr(ocean, name) for name in ocean.__dataclass_fields__})
    object.__setattr__(gusty, "fastest", lambda q: next(speeds))
    ((state, _),) = twin.run_days(gusty, start, 1)
    steps = twin.steps_of_day(ocean, 6.0)
    assert steps > twin.steps_of_day(ocean, 1.0)
    q = start
    for _ in range(steps):
        q = ocean.step(q, DAY / steps)
    assert np.array_equal(state, q)


def test_grids_the_twin_cannot_fill_are_refused():
    def attempt(grid, time=FOUR_DAYS):
        twin.simulate(grid, time, SMALL, 7)

    with pytest.raises(ValueError, match=r"2224 km wide.*set twin.side_km to 2335 or more"):
        attempt(Grid.from_bounds((30.0, 50.0), (-66.0, -54.0), 0.5))
    with pytest.raises(ValueError, match="quasi-geostrophy needs"):
        attempt(Grid.from_bounds((-5.0, 5.0), (-66.0, -56.0), 0.5))
    with pytest.raises(ValueError, match="got a Cartesian one"):
        attempt(Grid.cartesian(20, 20, 20.0, 20.0))
    with pytest.raises(ValueError, match=r"found steps of \[1, 2\] days"):
        attempt(GULF_STREAM, FOUR_DAYS[[0, 1, 3]])


# ---- likeness to real fields ----

RECORD_DAYS = 44  # days 2 to 45 of the reference runs; a short record lowers lag correlations


def coarsen(maps, cells):
    """Mean over blocks of cells x cells, the remainder cut off."""
    time, ny, nx = maps.shape
    ny, nx = ny // cells, nx // cells
    cut = maps[:, : ny * cells, : nx * cells].reshape(time, ny, cells, nx, cells)
    return cut.mean(axis=(2, 4))


@pytest.fixture(scope="module", params=[2020, 1, 2])
def default_truth(request):
    """A year of the default twin, one seed at a time."""
    domain = DomainConfig()
    grid = Grid.from_bounds(domain.lat, domain.lon, domain.resolution)
    period = domain.periods.available
    return twin.simulate(grid, daily_stamps(period.start, period.end), TwinConfig(), request.param)


def fine_spacing(latitude=38.0):
    return KM_PER_DEGREE * 0.05 * np.cos(np.radians(latitude)), KM_PER_DEGREE * 0.05


def reference_runs(folder):
    """Statistics of both 44-day reference runs at 0.2 degrees."""
    path = folder / "qg15_from_enatl60_gulfstream_1-20deg.nc"
    with xr.open_dataset(path) as data:
        runs = data["ssh"].values[:, 2:46]
    dx, dy = fine_spacing()
    return [realism.realism(coarsen(run, 4), 4 * dx, 4 * dy) for run in runs]


@pytest.mark.slow
@pytest.mark.realdata
def test_the_default_twin_resembles_real_fields(default_truth, real_data):
    maps, grid = default_truth.height, default_truth.grid
    dx = float(grid.dx_km.mean())
    found = realism.realism(maps, dx, grid.dy_km)
    pieces = [
        realism.realism(maps[day : day + RECORD_DAYS], dx, grid.dy_km)
        for day in range(0, len(maps) - RECORD_DAYS + 1, RECORD_DAYS)
    ]

    def over_pieces(name):
        return np.mean([piece[name] for piece in pieces])

    with xr.open_dataset(real_data / "enatl60_gulfstream_snapshots_1-20deg.nc") as data:
        snapshots = data["ssh"].values[:, 10:-10, 10:-10]  # the corners are missing
    dx_fine, dy_fine = fine_spacing()
    slope = realism.spectral_slope(coarsen(snapshots, 4), 4 * dx_fine, 4 * dy_fine, (300.0, 100.0))
    assert found["slope_300_100_km"] == pytest.approx(slope, abs=0.8)

    reference = reference_runs(real_data)
    change = np.mean([run["one_day_change_m"] for run in reference])
    assert change / 1.6 < over_pieces("one_day_change_m") < change * 1.6
    for name in ("correlation_5_days", "correlation_10_days"):
        expected = np.mean([run[name] for run in reference])
        assert over_pieces(name) == pytest.approx(expected, abs=0.2)
    assert 0.25 < found["ssh_std_m"] < 0.45
    assert found["local_std_min_m"] < 0.1
    assert found["local_std_max_m"] > 0.25
