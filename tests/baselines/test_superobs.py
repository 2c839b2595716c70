"""Means per pass and cell, and interpolation that stays in the water."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_spde.baselines.superobs import corners, superobservations
from pipeline_spde.fields import Observations, Tracks
from pipeline_spde.grids import Grid, wrap_longitude

from .common import empty_tracks, gridded

START = np.datetime64("2013-03-01T00:00:00", "ns")
HOUR = np.timedelta64(3600, "s")


def tracks_of(
    seconds, lat, lon, height=None, error=None, mission=None, pass_id=None, missions=("a", "b")
) -> Tracks:
    """Samples in order of time; seconds from the first midnight."""
    order = np.argsort(seconds, kind="stable")
    count = len(order)

    def column(values, default, dtype):
        filled = np.full(count, default) if values is None else np.asarray(values)
        return filled[order].astype(dtype)

    times = START + np.asarray(seconds)[order].astype("timedelta64[s]")
    return Tracks(
        time=times.astype("datetime64[ns]"),
        lat=column(lat, 0, np.float64),
        lon=wrap_longitude(column(lon, 0, np.float64)),
        height=column(height, 0.0, np.float32),
        error=column(error, 0.03, np.float32),
        mission=column(mission, 0, np.int8),
        missions=missions,
        pass_id=column(pass_id, 1, np.int32),
        quantity="ssh",
        cross_track=np.zeros(count, np.float32),
    )


def observations_of(tracks: Tracks, grid: Grid, mean=None) -> Observations:
    nothing = np.zeros((1, *grid.shape))
    cells = gridded(grid, "2013-03-01", nothing, nothing > 0)
    return Observations(cells, tracks, np.zeros(grid.shape) if mean is None else mean)


def regional(land=None) -> Grid:
    return Grid.latlon(36.25 + 0.5 * np.arange(6), -63.75 + 0.5 * np.arange(7), land)


def across_the_date_line() -> Grid:
    return Grid.latlon(-3.5 + np.arange(5), 176.5 + np.arange(8))


def globe() -> Grid:
    return Grid.latlon(-25 + 10.0 * np.arange(6), -175 + 10.0 * np.arange(36), periodic=True)


GRIDS = {"regional": regional, "date line": across_the_date_line, "globe": globe}


@st.composite
def samples(draw):
    """Random samples around a grid, several per cell, of two missions and few passes."""
    grid = GRIDS[draw(st.sampled_from(sorted(GRIDS)))]()
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    land = rng.random(grid.shape) < draw(st.sampled_from([0.0, 0.3]))
    land.flat[rng.integers(land.size)] = False
    grid = Grid.latlon(grid.lat, grid.lon, land, grid.periodic)
    south, north, west, east = grid.bounds
    count = draw(st.integers(1, 60))
    # a few cells' worth of box so that cells are shared, and some samples outside
    height, width = 0.5 * (north - south), 0.5 * (east - west)
    lat = rng.uniform(south - 0.1 * height, south + height, count)
    lon = rng.uniform(west - 0.1 * width, west + width, count)
    # 2 days, in passes of some minutes
    seconds = rng.choice([600, 40000, 43000, 86200, 100000, 140000], count) + rng.integers(0, 500)
    return grid, tracks_of(
        seconds + rng.integers(0, 300, count),
        lat,
        lon,
        rng.normal(0, 0.3, count),
        rng.uniform(0.01, 0.05, count),
        rng.integers(0, 2, count),
        rng.integers(1, 3, count),
    )


def by_hand(tracks: Tracks, grid: Grid) -> dict:
    """Samples per (mission, pass, turn, day, row, column), with loops; a turn is a run in time."""
    south, _, west, _ = grid.bounds
    dlat, dlon = grid.resolution
    found: dict = {}
    turn: dict = {}
    for number in range(len(tracks)):
        key = (int(tracks.mission[number]), int(tracks.pass_id[number]))
        before, count = turn.get(key, (tracks.time[number], 0))
        if tracks.time[number] - before > np.timedelta64(600, "s"):
            count += 1
        turn[key] = (tracks.time[number], count)
        row = int(np.floor((tracks.lat[number] - south) / dlat))
        column = int(np.floor(((tracks.lon[number] - west) % 360) / dlon))
        if not (0 <= row < grid.shape[0] and 0 <= column < grid.shape[1]) or grid.land[row, column]:
            continue
        day = tracks.time[number].astype("datetime64[D]")
        found.setdefault((*key, count, day, row, column), []).append(number)
    return found


@settings(max_examples=40, deadline=None)
@given(samples())
def test_there_is_one_mean_per_pass_day_and_ocean_cell(case):
    grid, tracks = case
    found = superobservations(observations_of(tracks, grid), grid)
    expected = []
    for (_, _, _, day, row, column), members in by_hand(tracks, grid).items():
        height = tracks.height[members].astype(float).mean()
        noise = (tracks.error[members].astype(float) ** 2).sum() / len(members) ** 2
        stamps = (tracks.time[members] - day.astype("datetime64[ns]")) / HOUR
        north = ((tracks.lat[members] - grid.lat[row]) / grid.resolution[0]).mean()
        offset = (tracks.lon[members] - grid.lon[column] + 180) % 360 - 180
        east = (offset / grid.resolution[1]).mean()
        noon = stamps.mean() / 24 - 0.5
        expected.append((day.astype(int), row, column, row + north, column + east, noon, height,
                         noise))  # fmt: skip
    got = np.column_stack([found.day.astype(int), found.cell, found.row, found.column, found.noon,
                           found.value, found.variance])  # fmt: skip
    expected_array = np.array(expected, dtype=float).reshape(-1, 8)
    assert got.shape == expected_array.shape

    def sort(rows):
        return rows[np.lexsort(np.round(rows, 7).T[::-1])]

    np.testing.assert_allclose(sort(got), sort(expected_array), rtol=1e-9, atol=1e-9)
    assert np.all(np.diff(found.day.astype(int)) >= 0)
    assert np.all((found.noon >= -0.5) & (found.noon < 0.5))
    assert np.all(np.abs(found.row - found.cell[:, 0]) <= 0.5 + 1e-9)
    assert np.all(np.abs(found.column - found.cell[:, 1]) <= 0.5 + 1e-9)


@settings(max_examples=40, deadline=None)
@given(samples())
def test_corner_weights_sum_to_one_and_leave_land_out(case):
    grid, tracks = case
    seen = superobservations(observations_of(tracks, grid), grid)
    place, weight = corners(grid, seen.row, seen.column)
    assert place.shape == weight.shape == (seen.day.size, 4)
    np.testing.assert_allclose(weight.sum(axis=1), 1, rtol=1e-12)
    assert weight.min(initial=0) >= 0 and weight.max(initial=0) <= 1 + 1e-12
    assert not weight[grid.land.ravel()[place]].any()
    # corners are neighbours of the point
    rows, columns = np.unravel_index(place, grid.shape)
    apart = np.abs(columns - seen.column[:, None])
    if grid.periodic:
        apart = np.minimum(apart, grid.shape[1] - apart)
    used = weight > 0
    assert np.all(np.abs(rows - seen.row[:, None])[used] <= 1 + 1e-9)
    assert np.all(apart[used] <= 1 + 1e-9)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.floats(-2, 2), st.floats(-2, 2))
def test_a_linear_field_is_reproduced_exactly_between_the_outermost_centres(seed, a, b):
    grid = regional()
    rng = np.random.default_rng(seed)
    row, column = rng.uniform(0, 5, 20), rng.uniform(0, 6, 20)
    row[0], column[0] = 5.0, 6.0  # the last centre itself
    field = 0.3 + a * np.arange(6)[:, None] + b * np.arange(7)
    place, weight = corners(grid, row, column)
    got = (field.ravel()[place] * weight).sum(axis=1)
    np.testing.assert_allclose(got, 0.3 + a * row + b * column, rtol=1e-12, atol=1e-12)


def test_beyond_the_outermost_centres_the_nearest_values_are_taken():
    grid = regional()
    field = np.arange(42.0)
    place, weight = corners(grid, np.array([-0.5, 5.5, 2.0]), np.array([-0.4, 6.5, -0.5]))
    np.testing.assert_allclose((field[place] * weight).sum(axis=1), [0.0, 41.0, 14.0])


def test_on_a_circle_the_first_column_follows_the_last():
    grid = globe()
    field = np.zeros(grid.shape)
    field[:, 0], field[:, -1] = 1.0, 3.0
    columns = np.array([35.0, 35.25, 35.5, -0.25, -0.5, -1e-18, 0.0])
    place, weight = corners(grid, np.full(7, 2.5), columns)
    got = (field.ravel()[place] * weight).sum(axis=1)
    np.testing.assert_allclose(got, [3.0, 2.5, 2.0, 1.5, 2.0, 1.0, 1.0])


def test_a_point_in_a_corner_of_its_cell_with_land_all_around_takes_its_own_cell():
    land = np.ones((6, 7), bool)
    land[2, 3] = False
    place, weight = corners(regional(land), np.array([2.49, 1.51]), np.array([3.49, 2.51]))
    for points, weights in zip(place, weight, strict=True):
        assert weights[points == 2 * 7 + 3].sum() == pytest.approx(1.0)


def test_land_corners_do_not_pull_the_value_down():
    land = np.zeros((6, 7), bool)
    land[2, 4] = True
    field = np.where(land, -1e9, 5.0).ravel()
    place, weight = corners(regional(land), np.array([2.3]), np.array([3.4]))
    assert (field[place] * weight).sum() == pytest.approx(5.0)


@pytest.mark.parametrize("west", [176.5, -183.5])
def test_a_pass_across_the_date_line_keeps_its_place(west):
    grid = Grid.latlon(-3.5 + np.arange(5), west + np.arange(8))  # a cell centred at 179.5 + 1 …
    shifted = Grid.latlon(grid.lat, west + 0.5 + np.arange(8))  # … and one at the date line
    seconds = np.arange(4) * 2
    tracks = tracks_of(seconds, np.full(4, -1.5), [179.8, 179.9, -179.9, -179.6])
    two = superobservations(observations_of(tracks, grid), grid)
    np.testing.assert_array_equal(two.cell[:, 1], [3, 4])
    np.testing.assert_allclose(two.column, [3 + 0.35, 4 - 0.25])
    one = superobservations(observations_of(tracks, shifted), shifted)
    np.testing.assert_array_equal(one.cell, [[2, 3]])
    np.testing.assert_allclose(one.column, [3 + 0.05])


def test_the_mean_of_the_learning_period_is_taken_off_where_the_samples_are():
    grid = regional()
    mean = 0.4 + 0.1 * np.arange(6)[:, None] + 0.02 * np.arange(7)
    lat, lon = np.array([37.3, 37.4]), np.array([-62.7, -62.6])
    row, column = ((v.mean() - axis[0]) / 0.5 for v, axis in ((lat, grid.lat), (lon, grid.lon)))
    height = np.full(2, 0.4 + 0.1 * row + 0.02 * column + 0.07)
    tracks = tracks_of([3600, 3601], lat, lon, height)
    found = superobservations(observations_of(tracks, grid, mean), grid)
    np.testing.assert_allclose(found.value, [0.07], atol=1e-6)


def test_an_unknown_mean_on_land_does_not_reach_the_water():
    land = np.zeros((6, 7), bool)
    land[2, 4] = True
    grid = regional(land)
    mean = np.where(land, np.nan, 0.5)
    tracks = tracks_of([0], [grid.lat[2] + 0.05], [grid.lon[3] + 0.2], [0.6])
    found = superobservations(observations_of(tracks, grid, mean), grid)
    np.testing.assert_allclose(found.value, [0.1], atol=1e-6)


def test_a_pass_through_midnight_belongs_to_both_days_and_noon_to_the_afternoon():
    grid = regional()
    seconds = [43199, 43200, 86399, 86400, 86401]
    spots = [-63.75, -63.25, -62.75, -62.75, -62.75]
    tracks = tracks_of(seconds, np.full(5, 36.25), spots)
    found = superobservations(observations_of(tracks, grid), grid)
    day = (found.day - np.datetime64("2013-03-01")).astype(int)
    order = np.lexsort((found.noon, day))
    np.testing.assert_array_equal(day[order], [0, 0, 0, 1])
    expected = [-1 / 86400, 0.0, 0.5 - 1 / 86400, -0.5 + 0.5 / 86400]
    np.testing.assert_allclose(found.noon[order], expected, atol=1e-12)


def test_the_same_pass_number_in_the_next_cycle_is_another_pass():
    grid = regional()
    tracks = tracks_of([0, 1, 40000, 40001], np.full(4, 36.25), np.full(4, -63.75), [1, 1, 3, 3])
    found = superobservations(observations_of(tracks, grid), grid)
    np.testing.assert_allclose(np.sort(found.value), [1.0, 3.0])
    np.testing.assert_allclose(found.variance, 0.03**2 / 2, rtol=1e-6)


def test_without_samples_there_are_no_observations():
    grid = regional()
    found = superobservations(observations_of(empty_tracks(), grid), grid)
    assert found.day.size == 0 and found.cell.shape == (0, 2)
    outside = tracks_of([0, 1], [0.0, 1.0], [10.0, 11.0])
    assert superobservations(observations_of(outside, grid), grid).day.size == 0


def test_samples_on_land_are_left_out():
    land = np.zeros((6, 7), bool)
    land[:, :3] = True
    grid = regional(land)
    lon = np.repeat(grid.lon, 2)
    tracks = tracks_of(np.arange(14), np.full(14, 37.25), lon)
    found = superobservations(observations_of(tracks, grid), grid)
    np.testing.assert_array_equal(np.sort(found.cell[:, 1]), [3, 4, 5, 6])
