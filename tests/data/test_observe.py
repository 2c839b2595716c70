"""Simulated samples, daily cells and coverage against closed forms and plain loops."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline_spde.config import ObservationConfig
from pipeline_spde.data.observe import (
    bin_to_grid,
    coverage_summary,
    coverage_table,
    interpolate,
    karin_noise_m,
    simulate_tracks,
)
from pipeline_spde.data.orbits import positions
from pipeline_spde.fields import Maps, Tracks, daily_stamps
from pipeline_spde.grids import Grid, wrap_longitude

GRID = Grid.from_bounds((36.0, 41.0), (-64.0, -58.0), 0.5)
STAMPS = daily_stamps("2012-10-01", "2012-10-06")


def linear_maps(grid: Grid = GRID, stamps: np.ndarray = STAMPS) -> Maps:
    """Heights linear in latitude, longitude and time: interpolation must be exact."""
    day = (stamps - stamps[0]) / np.timedelta64(1, "D")
    plane = 0.1 * (grid.lat[:, None] - 38) + 0.05 * (grid.lon[None, :] + 61)
    height = plane + 0.02 * day[:, None, None]
    return Maps(stamps, grid, height.astype(np.float32), "ssh")


def eddies(grid: Grid, stamps: np.ndarray, seed: int = 3) -> Maps:
    """Sum of 60 plane waves of 150 to 500 km that turn in 40 to 120 days; 0.25 m rms."""
    generator = np.random.default_rng(seed)
    day = (stamps - stamps[0]) / np.timedelta64(1, "D")
    x = (grid.lon - grid.lon[0]) * 111.195 * np.cos(np.radians(grid.lat.mean()))
    y = (grid.lat - grid.lat[0]) * 111.195
    height = np.zeros((day.size, *grid.shape))
    for _ in range(60):
        heading, phase = generator.uniform(0, 2 * np.pi, 2)
        number = 2 * np.pi / generator.uniform(150, 500)
        rate = 2 * np.pi / generator.uniform(40, 120)
        along = np.cos(heading) * x[None, :] + np.sin(heading) * y[:, None]
        height += np.cos(number * along[None] - rate * day[:, None, None] + phase)
    return Maps(stamps, grid, (0.25 * height / height.std()).astype(np.float32), "ssh")


def make_tracks(lat, lon, time, height=None, error=None, mission=None, pass_id=None) -> Tracks:
    size = len(lat)
    order = np.argsort(np.asarray(time), kind="stable")
    fill = {
        "height": np.zeros(size) if height is None else height,
        "error": np.full(size, 0.02) if error is None else error,
        "mission": np.zeros(size) if mission is None else mission,
        "pass_id": np.zeros(size) if pass_id is None else pass_id,
    }
    return Tracks(
        time=np.asarray(time, dtype="datetime64[ns]")[order],
        lat=np.asarray(lat, float)[order],
        lon=wrap_longitude(lon)[order],
        height=np.asarray(fill["height"], np.float32)[order],
        error=np.asarray(fill["error"], np.float32)[order],
        mission=np.asarray(fill["mission"], np.int8)[order],
        missions=("first", "second"),
        pass_id=np.asarray(fill["pass_id"], np.int32)[order],
        quantity="ssh",
        cross_track=np.zeros(size, np.float32),
    )


# --- interpolation ---


def test_interpolation_is_exact_for_fields_linear_in_space_and_time(rng):
    maps = linear_maps()
    lat, lon = rng.uniform(36.25, 40.75, 200), rng.uniform(-63.75, -58.25, 200)
    hours = rng.uniform(0, 5 * 24, 200)
    time = STAMPS[0] + (hours * 3.6e12).astype("timedelta64[ns]")
    expected = 0.1 * (lat - 38) + 0.05 * (lon + 61) + 0.02 * hours / 24
    for turn in (0, 360):
        height, covered = interpolate(maps, time, lat, lon + turn)
        assert covered.all()
        assert height == pytest.approx(expected, abs=1e-6)


def test_half_a_day_beyond_the_stamps_the_nearest_map_is_used():
    maps = linear_maps()
    hour = np.timedelta64(1, "h")
    time = np.array([STAMPS[0] - 12 * hour, STAMPS[0] - 13 * hour, STAMPS[-1] + 11 * hour])
    height, covered = interpolate(maps, time, np.full(3, 38.0), np.full(3, -61.0))
    assert covered.tolist() == [True, False, True]
    assert height[[0, 2]] == pytest.approx([0.0, 0.1], abs=1e-6)


def test_nothing_is_interpolated_across_missing_days():
    maps = linear_maps(stamps=STAMPS[[0, 1, 4]])
    hour = np.timedelta64(1, "h")
    time = STAMPS[1] + np.array([6, 12, 30, 61]) * hour  # the next map is 72 h later
    height, covered = interpolate(maps, time, np.full(4, 38.0), np.full(4, -61.0))
    assert covered.tolist() == [True, True, False, True]
    assert height[[0, 1, 3]] == pytest.approx([0.02, 0.02, 0.08], abs=1e-6)


def test_a_single_map_serves_its_own_day():
    maps = linear_maps(stamps=STAMPS[:1])
    time = STAMPS[0] + np.array([-11, 11, 13]) * np.timedelta64(1, "h")
    height, covered = interpolate(maps, time, np.full(3, 39.0), np.full(3, -61.0))
    assert covered.tolist() == [True, True, False]
    assert height[:2] == pytest.approx(0.1, abs=1e-6)


def test_nothing_is_extrapolated_in_space():
    maps = linear_maps()
    lat = np.array([36.25, 36.2, 40.75, 40.8, 38.0, 38.0])
    lon = np.array([-60.0, -60.0, -60.0, -60.0, -63.75, -63.8])
    _, covered = interpolate(maps, np.repeat(STAMPS[2], 6), lat, lon)
    assert covered.tolist() == [True, False, True, False, True, False]


def test_samples_next_to_land_are_left_out():
    land = np.zeros(GRID.shape, bool)
    land[4, 4] = True
    grid = Grid.latlon(GRID.lat, GRID.lon, land)
    full = linear_maps()
    height = np.where(land, np.nan, full.height)
    maps = Maps(STAMPS, grid, height, "ssh")
    lat = np.array([GRID.lat[4] + 0.1, GRID.lat[4] + 0.6, GRID.lat[5]])
    lon = np.array([GRID.lon[4] + 0.1, GRID.lon[4] + 0.1, GRID.lon[4]])
    values, covered = interpolate(maps, np.repeat(STAMPS[1], 3), lat, lon)
    assert covered.tolist() == [False, True, True]
    reference, _ = interpolate(full, np.repeat(STAMPS[1], 3), lat, lon)
    assert values[1:] == pytest.approx(reference[1:])


def test_a_global_grid_is_closed_across_the_date_line():
    lat, lon = np.arange(-60, 61, 5.0), np.arange(0, 360, 5.0)
    grid = Grid.latlon(lat, lon, periodic=True)
    height = np.broadcast_to(np.cos(np.radians(lon)), (1, lat.size, lon.size)).astype(np.float32)
    maps = Maps(STAMPS[:1], grid, height, "ssh")
    points = np.array([-2.5, 357.5, 179.0, -179.0])
    values, covered = interpolate(maps, np.repeat(STAMPS[0], 4), np.full(4, 2.0), points)
    assert covered.all()
    assert values == pytest.approx(np.cos(np.radians(points)), abs=2e-3)


# --- simulation ---


@pytest.fixture(scope="module")
def sampled() -> tuple[Maps, Tracks]:
    """Four weeks of an eddy field on the 0.2-degree grid of the default domain, all sensors."""
    grid = Grid.from_bounds((34.0, 42.0), (-64.0, -56.0), 0.2)
    truth = eddies(grid, daily_stamps("2012-10-01", "2012-10-28"))
    missions = ("jason1", "envisat", "swot_nadir", "swot_karin")
    return truth, simulate_tracks(truth, missions, ObservationConfig(), seed=7)


def test_samples_are_the_truth_plus_noise_of_the_stated_size(sampled):
    truth, tracks = sampled
    height, covered = interpolate(truth, tracks.time, tracks.lat, tracks.lon)
    assert covered.all()
    normalised = (tracks.height - height) / tracks.error
    for index in range(len(tracks.missions)):
        of_mission = normalised[tracks.mission == index]
        tolerance = 4 / np.sqrt(of_mission.size)  # four standard errors
        assert of_mission.mean() == pytest.approx(0, abs=tolerance)
        assert of_mission.std() == pytest.approx(1, abs=tolerance)
    white = normalised[tracks.mission == 0]
    assert np.corrcoef(white[:-1], white[1:])[0, 1] == pytest.approx(0, abs=4 / white.size**0.5)


def test_swath_noise_follows_the_distance_from_nadir(sampled):
    _, tracks = sampled
    swath = tracks.of_missions(["swot_karin"])
    assert np.abs(swath.cross_track).min() == pytest.approx(12.5)
    assert np.abs(swath.cross_track).max() == pytest.approx(57.5)
    assert swath.error == pytest.approx(karin_noise_m(swath.cross_track, 35.0), rel=1e-5)
    nadir = tracks.of_missions(["jason1", "swot_nadir"])
    assert np.all(nadir.error == np.float32(0.02)) and np.all(nadir.cross_track == 0)


def test_a_seed_fixes_the_samples_and_another_mission_leaves_them_alone():
    truth = linear_maps()
    config = ObservationConfig()
    alone = simulate_tracks(truth, ["jason1"], config, seed=5)
    again = simulate_tracks(truth, ["swot_karin", "jason1"], config, seed=5)
    other = simulate_tracks(truth, ["jason1"], config, seed=6)
    assert len(alone) > 100
    assert np.array_equal(again.of_missions(["jason1"]).height, alone.height)
    assert not np.array_equal(other.height, alone.height)
    assert np.array_equal(other.lat, alone.lat)


def test_noise_scales_with_the_configuration():
    truth = linear_maps()
    quiet = ObservationConfig(nadir_noise_m=1e-6, karin_noise_factor=1e-4)
    tracks = simulate_tracks(truth, ["jason1", "swot_karin"], quiet, seed=5)
    height, _ = interpolate(truth, tracks.time, tracks.lat, tracks.lon)
    assert np.abs(tracks.height - height).max() < 1e-5
    wide = quiet.model_copy(update={"karin_noise_factor": 1.0, "karin_along_km": 28.0})
    swath = simulate_tracks(truth, ["swot_karin"], wide, seed=5)
    assert swath.error.max() == pytest.approx(karin_noise_m(np.array([57.5]), 140.0)[0])


def test_impossible_simulations_are_refused():
    truth = linear_maps()
    with pytest.raises(ValueError, match="no orbit of mission"):
        simulate_tracks(truth, ["sputnik"], ObservationConfig(), 0)
    with pytest.raises(ValueError, match="named twice"):
        simulate_tracks(truth, ["jason1", "jason1"], ObservationConfig(), 0)
    plane = Grid.cartesian(4, 4, 10, 10)
    maps = Maps(STAMPS[:1], plane, np.zeros((1, 4, 4), np.float32), "ssh")
    with pytest.raises(ValueError, match="Cartesian"):
        simulate_tracks(maps, ["jason1"], ObservationConfig(), 0)


@pytest.mark.realdata
def test_karin_noise_is_the_simulators_table_at_two_metre_waves(real_data):
    with xr.open_dataset(real_data / "swot_karin_noise.nc") as data:
        wave = int(np.abs(data["SWH"].values - 2.0).argmin())
        distance, table = data["cross_track"].values, data["height_sdt"].values[wave]
    swath = (distance >= 10) & (distance <= 60)
    fitted = karin_noise_m(distance[swath], 1.0)
    assert np.abs(fitted / table[swath] - 1).max() < 0.015  # measured 0.013


@pytest.mark.realdata
def test_the_tables_own_posting_is_one_kilometre(real_data):
    """Simulated swaths at 2 km posting carry half the table: it is per pixel of 1 km²."""
    with xr.open_dataset(real_data / "enatl60_swot_karin_gulfmexico_caribbean_cycle13.nc") as data:
        noise = (data["ssh_karin"] - data["ssh_true"]).values
    distance = 2.0 * (np.arange(noise.shape[1]) - noise.shape[1] // 2)
    seen = (np.abs(distance) >= 12) & (np.abs(distance) <= 56)
    measured = np.nanstd(noise[:, seen], axis=0)
    ratio = measured / karin_noise_m(distance[seen], 4.0)
    assert ratio.mean() == pytest.approx(1.0, abs=0.08)  # measured 0.95; 2 km would give 0.47
    assert ratio.std() < 0.03  # the shape across the track is the same


# --- binning ---

samples = st.integers(1, 60).flatmap(
    lambda size: st.tuples(
        hnp.arrays(float, size, elements=st.floats(34, 43)),
        hnp.arrays(float, size, elements=st.floats(-66, -56)),
        hnp.arrays(int, size, elements=st.integers(-30, 160)),
        hnp.arrays(float, size, elements=st.floats(-2, 2)),
        hnp.arrays(float, size, elements=st.floats(0.005, 0.2)),
        hnp.arrays(int, size, elements=st.integers(0, 1)),
        hnp.arrays(int, size, elements=st.integers(-3, 3)),
    )
)


def tracks_of(columns) -> Tracks:
    lat, lon, hours, height, error, mission, pass_id = columns
    time = STAMPS[0] + hours * np.timedelta64(1, "h")
    return make_tracks(lat, lon, time, height, error, mission, pass_id)


def bin_plainly(tracks: Tracks, representativeness: float):
    """The definition, sample by sample (nadir: one line a pass)."""
    groups: dict = {}
    row, column, inside = GRID.cell_index(tracks.lat, tracks.lon)
    days = STAMPS.astype("datetime64[D]")
    for i in range(len(tracks)):
        day = np.flatnonzero(days == tracks.time[i].astype("datetime64[D]"))
        if inside[i] and day.size:
            cell = groups.setdefault((day[0], row[i], column[i]), {})
            cell.setdefault((tracks.mission[i], tracks.pass_id[i]), []).append(i)
    result = {}
    for cell, passes in groups.items():
        total = weighted = 0.0
        for members in passes.values():
            precision = tracks.error[members].astype(float) ** -2
            mean = np.sum(precision * tracks.height[members]) / precision.sum()
            weight = 1 / (1 / precision.sum() + representativeness**2)
            total, weighted = total + weight, weighted + weight * mean
        result[cell] = weighted / total, total**-0.5, sum(map(len, passes.values()))
    return result


@given(samples, st.floats(0, 0.1))
@settings(max_examples=40, deadline=None)
def test_cells_agree_with_the_plain_definition(columns, representativeness):
    tracks = tracks_of(columns)
    cells = bin_to_grid(tracks, GRID, STAMPS, representativeness)
    expected = bin_plainly(tracks, representativeness)
    assert cells.observed.sum() == len(expected)
    for cell, (height, error, count) in expected.items():
        assert cells.height[cell] == pytest.approx(height, abs=1e-5)
        assert cells.error[cell] == pytest.approx(error, rel=1e-4)
        assert cells.count[cell] == count


@given(samples, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_binning_ignores_the_order_and_the_circle_of_longitudes(columns, random):
    order = list(range(len(columns[0])))
    random.shuffle(order)
    shuffled = [column[order] for column in columns]
    shuffled[1] = shuffled[1] + 360
    # equal instants keep the shuffled order: the sort by time is stable
    first, second = (
        bin_to_grid(tracks_of(each), GRID, STAMPS, 0.02) for each in (columns, shuffled)
    )
    assert np.array_equal(first.count, second.count)
    assert np.array_equal(first.observed, second.observed)
    assert first.height == pytest.approx(second.height, abs=1e-5)
    assert first.error[first.observed] == pytest.approx(second.error[second.observed], rel=1e-5)


@given(samples)
@settings(max_examples=30, deadline=None)
def test_counts_add_up_and_the_mask_is_where_they_are_positive(columns):
    tracks = tracks_of(columns)
    cells = bin_to_grid(tracks, GRID, STAMPS, 0.02)
    south, north, west, east = GRID.bounds
    days = tracks.time.astype("datetime64[D]")
    inside = (tracks.lat >= south) & (tracks.lat < north)
    inside &= (tracks.lon >= west) & (tracks.lon < east)
    inside &= (days >= STAMPS[0].astype("datetime64[D]")) & (days <= STAMPS[-1])
    assert cells.count.sum() == inside.sum()
    assert np.array_equal(cells.observed, cells.count > 0)
    assert np.all(cells.height[~cells.observed] == 0)
    assert np.all(np.isinf(cells.error[~cells.observed]))


@given(samples)
@settings(max_examples=20, deadline=None)
def test_samples_outside_grid_and_days_change_nothing(columns):
    tracks = tracks_of(columns)
    stray = [np.concatenate([c, c]) for c in columns]
    half = len(columns[0])
    stray[0][half:] += 20  # far north
    cells, same = (bin_to_grid(t, GRID, STAMPS, 0.02) for t in (tracks, tracks_of(stray)))
    assert np.array_equal(cells.height, same.height)
    assert np.array_equal(cells.error, same.error)


def test_representativeness_averages_between_passes_and_not_within_one():
    noon = np.repeat(STAMPS[2], 8)
    place = np.full(8, 38.1), np.full(8, -60.9)
    one = bin_to_grid(make_tracks(*place, noon), GRID, STAMPS, 0.03)
    two = bin_to_grid(make_tracks(*place, noon, pass_id=np.repeat([4, 5], 4)), GRID, STAMPS, 0.03)
    crossing = bin_to_grid(
        make_tracks(*place, noon, mission=np.repeat([0, 1], 4)), GRID, STAMPS, 0.03
    )
    assert one.error.min() == pytest.approx(np.sqrt(0.02**2 / 8 + 0.03**2), rel=1e-5)
    assert two.error.min() == pytest.approx(np.sqrt(0.02**2 / 8 + 0.03**2 / 2), rel=1e-5)
    assert crossing.error.min() == pytest.approx(two.error.min())


def test_lines_of_a_swath_share_only_the_difference_in_time():
    noon = np.repeat(STAMPS[2], 8)
    nadir = make_tracks(np.full(8, 38.1), np.full(8, -60.9), noon)
    lines = np.repeat([12.5, 17.5, 22.5, 27.5], 2).astype(np.float32)
    swath = dataclasses.replace(nadir, cross_track=lines)
    cells = bin_to_grid(swath, GRID, STAMPS, 0.03)
    expected = np.sqrt(0.02**2 / 8 + 0.03**2 * (0.25 + 0.75 / 4))
    assert cells.error.min() == pytest.approx(expected, rel=1e-5)


def test_land_cells_stay_unobserved():
    land = np.zeros(GRID.shape, bool)
    land[4, 6] = True
    grid = Grid.latlon(GRID.lat, GRID.lon, land)
    tracks = make_tracks([GRID.lat[4], GRID.lat[5]], GRID.lon[[6, 6]], STAMPS[[1, 1]])
    cells = bin_to_grid(tracks, grid, STAMPS, 0.02)
    assert not cells.observed[:, 4, 6].any() and cells.observed[1, 5, 6]


def test_no_samples_give_an_empty_mask():
    cells = bin_to_grid(make_tracks([], [], []), GRID, STAMPS, 0.02)
    assert not cells.observed.any()
    assert "100.0 % of the days without" in coverage_summary(cells)


def test_bad_errors_are_refused():
    tracks = make_tracks([38.0], [-60.0], STAMPS[:1])
    with pytest.raises(ValueError, match="must not be negative"):
        bin_to_grid(tracks, GRID, STAMPS, -0.1)
    with pytest.raises(ValueError, match="error must be positive"):
        bin_to_grid(dataclasses.replace(tracks, error=np.zeros(1, np.float32)), GRID, STAMPS, 0.1)


def test_stated_error_is_the_actual_error_of_cell_means(sampled):
    """With the field's own representativeness the error is right for thin and full cells alike.

    It must not be too small anywhere; the mean over a cell's width makes it somewhat cautious.
    """
    truth, tracks = sampled
    height, _ = interpolate(truth, tracks.time, tracks.lat, tracks.lon)
    row, column, _ = truth.grid.cell_index(tracks.lat, tracks.lon)
    day = (tracks.time.astype("datetime64[D]") - truth.time[0].astype("datetime64[D]")).astype(int)
    own = float(np.std(height - truth.height[day, row, column]))
    assert 0.015 < own < 0.05
    for mission in tracks.missions:
        cells = bin_to_grid(tracks.of_missions([mission]), truth.grid, truth.time, own)
        departure = ((cells.height - truth.height) / cells.error)[cells.observed]
        assert departure.size > 300
        assert 0.7 < np.sqrt(np.mean(departure**2)) < 1.05
        assert np.mean(departure) == pytest.approx(0, abs=0.15)


# --- coverage ---


def test_coverage_table_counts_cells_and_samples_per_day():
    noon = STAMPS[[1, 1, 1, 3]]
    tracks = make_tracks(
        [38.1, 38.1, 39.1, 38.1], [-60.9, -60.9, -60.9, -60.9], noon, mission=[0, 0, 1, 1]
    )
    cells = bin_to_grid(tracks, GRID, STAMPS, 0.02)
    table = coverage_table(cells, tracks)
    assert table["cells"].tolist() == [0, 2, 0, 1, 0, 0]
    assert table["samples"].tolist() == [0, 3, 0, 1, 0, 0]
    assert table["samples_first"].tolist() == [0, 2, 0, 0, 0, 0]
    assert table["samples_second"].tolist() == [0, 1, 0, 1, 0, 0]
    assert table["coverage"].to_numpy() == pytest.approx(cells.coverage())
    assert list(coverage_table(cells)) == ["time", "cells", "samples", "coverage"]
    summary = coverage_summary(cells)
    assert "6 days" in summary and "66.7 % of the days without" in summary


def _coverage(missions: list[str], days: int) -> np.ndarray:
    grid = Grid.from_bounds((33.0, 43.0), (-65.0, -55.0), 0.05)
    start = np.datetime64("2012-10-01")
    end = start + np.timedelta64(days, "D")
    seen = np.zeros((days, *grid.shape), bool)
    for mission in missions:
        pixel = (2.0, 2.0) if mission == "swot_karin" else (None, None)
        found = positions(mission, start, end, (33, 43), (-65, -55), *pixel)
        row, column, inside = grid.cell_index(found.lat, found.lon)
        day = (found.time.astype("datetime64[D]") - start).astype(int)
        seen[day[inside], row[inside], column[inside]] = True
    return seen.mean(axis=(1, 2))


def test_nadirs_see_about_a_hundredth_of_the_gulf_stream_a_day():
    """Real SARAL, Sentinel-3A and Jason-3 gave 0.66 to 0.94 % of 1/20-degree cells a day."""
    two = _coverage(["saral", "sentinel3a"], 54)
    three = _coverage(["saral", "sentinel3a", "jason3"], 54)
    assert 0.004 < two.mean() < three.mean() < 0.011
    assert two.max() < 0.02


@pytest.mark.slow
def test_swot_sees_a_tenth_of_the_gulf_stream_in_bursts():
    """The science ephemeris gave 9.2 % a day, 0 to 24 %, in two bursts per cycle of 20.9 days."""
    share = _coverage(["swot_karin"], 42)
    assert 0.08 < share.mean() < 0.105
    assert share.min() == 0 and 0.2 < share.max() < 0.3
    assert 0.15 < np.mean(share == 0) < 0.5
