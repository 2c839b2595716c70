from __future__ import annotations

import numpy as np
import pytest

from pipeline_spde.baselines import oi
from pipeline_spde.baselines.thinning import Points, block_averages, passes
from pipeline_spde.config import MapRequest, OiConfig
from pipeline_spde.fields import Observations, Tracks, as_day
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period, Task

from .common import dense_kriging, gridded


def tracks(
    time: np.ndarray,
    lat: np.ndarray,
    lon: np.ndarray,
    height: np.ndarray,
    pass_id: np.ndarray | int = 0,
    cross_track: np.ndarray | float = 0.0,
    mission: np.ndarray | int = 0,
) -> Tracks:
    size = len(time)
    return Tracks(
        time=np.asarray(time, dtype="datetime64[ns]"),
        lat=np.asarray(lat, dtype=np.float64),
        lon=np.asarray(lon, dtype=np.float64),
        height=np.asarray(height, dtype=np.float32),
        error=np.full(size, 0.02, np.float32),
        mission=np.broadcast_to(np.int8(mission), size).copy(),
        missions=("saral", "swot_karin"),
        pass_id=np.broadcast_to(np.int32(pass_id), size).copy(),
        quantity="ssh",
        cross_track=np.broadcast_to(np.float32(cross_track), size).copy(),
    )


def line(start: str, seconds: np.ndarray) -> np.ndarray:
    return np.datetime64(start, "ns") + (1e9 * seconds).astype("timedelta64[ns]")


def scattered(seed: int = 5, size: int = 400) -> tuple[Points, Grid]:
    """Points around 2013-01-15 in a 4° box and its padding."""
    rng = np.random.default_rng(seed)
    grid = Grid.from_bounds((36.0, 40.0), (-64.0, -60.0), 0.5)
    day = as_day("2013-01-15").astype(int)
    time = np.sort(rng.uniform(day - 20, day + 20, size))
    lat, lon = rng.uniform(35.0, 41.0, size), rng.uniform(-65.0, -59.0, size)
    height = 0.4 + 0.3 * np.sin(lat) * np.cos(1.5 * lon + 0.1 * (time - day))
    return Points(time, lat, lon, height), grid


@pytest.mark.parametrize(("name", "last"), [("mapping", 14.0), ("nrt", 0.5), ("for3", -2.5)])
def test_quickstart_equals_dense_kriging_in_degrees(name, last):
    points, grid = scattered()
    target = np.array(["2013-01-15"], dtype="datetime64[D]")
    found = oi.interpolate(points, grid, target, Task(name=name), OiConfig(), neglected=1e-7)
    offset = points.time - (target[0].astype(int) + 0.5)
    seen = points.select((offset > -14.0) & (offset < last))
    north, east = np.meshgrid(grid.lat, grid.lon, indexing="ij")
    expected, _ = dense_kriging(
        np.stack([offset[(offset > -14.0) & (offset < last)], seen.lat, seen.lon], axis=1),
        seen.height,
        np.full(seen.time.size, 0.05**2),
        np.stack([np.zeros(north.size), north.ravel(), east.ravel()], axis=1),
        (7.0, 1.0, 1.0),
        1.0,
    )
    # heights are 0.4 ± 0.2 m; times within a day are linear to about 0.4 % of the deviation
    np.testing.assert_allclose(found[0].ravel(), expected, atol=6e-3)


def test_default_truncation_is_within_two_percent_of_the_signal():
    points, grid = scattered()
    target = np.array(["2013-01-15"], dtype="datetime64[D]")
    fine, default = (
        oi.interpolate(points, grid, target, Task(name="mapping"), OiConfig(), neglected=share)
        for share in (1e-7, oi._NEGLECTED)
    )
    assert np.sqrt(np.mean((fine - default) ** 2)) < 0.02 * np.sqrt(np.mean(fine**2))


def test_kept_sums_of_days_do_not_change_the_maps():
    points, grid = scattered()
    days = np.array(["2013-01-12", "2013-01-13", "2013-01-16"], dtype="datetime64[D]")
    together = oi.interpolate(points, grid, days, Task(name="nrt"), OiConfig())
    alone = [oi.interpolate(points, grid, days[i : i + 1], Task(name="nrt"), OiConfig())[0]
             for i in range(3)]  # fmt: skip
    np.testing.assert_allclose(together, alone, atol=1e-9)


def test_gaps_relax_to_zero_not_to_the_mean():
    points, grid = scattered(size=1)
    day = np.array(["2014-06-01"], dtype="datetime64[D]")
    found = oi.interpolate(points, grid, day, Task(name="mapping"), OiConfig())
    np.testing.assert_array_equal(found, 0.0)


def test_a_lead_beyond_the_window_is_refused():
    points, grid = scattered()
    with pytest.raises(ValueError, match="for20 sees no observation"):
        oi.interpolate(points, grid, np.array([], "datetime64[D]"), Task(name="for20"), OiConfig())


def test_reconstruct_uses_samples_up_to_one_degree_outside_and_no_further():
    grid = Grid.from_bounds((36.0, 40.0), (-64.0, -60.0), 0.5)
    time = line("2013-01-15T11:00", np.arange(2.0) * 3600)
    request = MapRequest(period=Period(start="2013-01-15", end="2013-01-15"))
    nothing = np.zeros((1, *grid.shape))
    maps = []
    for lat in (40.9, 41.1):
        seen = Observations(
            gridded(grid, "2013-01-15", nothing, nothing.astype(bool)),
            tracks(time, np.full(2, lat), np.full(2, -62.0), np.ones(2)),
            np.zeros(grid.shape),
        )
        maps.append(oi.reconstruct(seen, grid, Task(name="mapping"), request))
    assert maps[0].height.max() > 0.1
    np.testing.assert_array_equal(maps[1].height, 0.0)
    assert maps[0].time[0] == np.datetime64("2013-01-15T12:00")


def test_land_is_nan_and_only_land():
    land = np.zeros((8, 8), bool)
    land[0, :3] = True
    grid = Grid.latlon(36.25 + 0.5 * np.arange(8), -63.75 + 0.5 * np.arange(8), land)
    nothing = np.zeros((1, 8, 8))
    seen = Observations(
        gridded(grid, "2013-01-15", nothing, nothing.astype(bool)),
        tracks(line("2013-01-15T11:00", np.zeros(1)), [38.0], [-62.0], [1.0]),
        np.zeros(grid.shape),
    )
    request = MapRequest(period=Period(start="2013-01-15", end="2013-01-16"))
    maps = oi.reconstruct(seen, grid, Task(name="nrt"), request)
    np.testing.assert_array_equal(np.isnan(maps.height), np.broadcast_to(land, (2, 8, 8)))


def test_cartesian_grid_is_refused():
    grid = Grid.cartesian(6, 6, 20.0, 20.0)
    nothing = np.zeros((1, 6, 6))
    seen = Observations(
        gridded(grid, "2013-01-15", nothing, nothing.astype(bool)),
        tracks(line("2013-01-15T11:00", np.zeros(1)), [0.0], [0.0], [1.0]),
        np.zeros(grid.shape),
    )
    request = MapRequest(period=Period(start="2013-01-15", end="2013-01-15"))
    with pytest.raises(ValueError, match="use a latlon grid"):
        oi.reconstruct(seen, grid, Task(name="mapping"), request)


def test_nadir_blocks_average_five_samples_and_stay_within_a_pass():
    seconds = np.concatenate([np.arange(7.0), 3000 + np.arange(5.0)])
    samples = tracks(
        line("2013-01-15T00:00", seconds), np.arange(12.0), np.zeros(12), np.arange(12.0)
    )
    points = block_averages(samples, 5, (15, 6))
    # 5 + 2 samples before the pause, 5 after it, although all have one pass number
    np.testing.assert_allclose(points.height, [2.0, 5.5, 9.0])
    np.testing.assert_allclose(points.lat, [2.0, 5.5, 9.0])
    day = as_day("2013-01-15").astype(int)
    np.testing.assert_allclose(points.time[0], day + 2 / 86400, rtol=0, atol=1e-9)


def test_swath_blocks_are_30_km_by_12_km_on_each_side():
    lines, across = np.arange(9), np.array([-16.0, -14.0, -4.0, 4.0, 14.0, 16.0])
    seconds = np.repeat(lines, 6).astype(float)
    samples = tracks(
        line("2013-01-15T00:00", seconds),
        36 + seconds / 16,
        np.tile(across, 9) / 90,
        np.tile(across, 9),
        cross_track=np.tile(across, 9),
        mission=1,
    )
    points = block_averages(samples, 5, (15, 6))
    # 9 s at 6.5 km/s are 2 blocks along, and across [-24,-12), [-12,0), [0,12), [12,24)
    assert points.time.size == 8
    np.testing.assert_allclose(np.unique(points.height.round(6)), [-15.0, -4.0, 4.0, 15.0])


def test_blocks_across_the_date_line_do_not_jump_to_greenwich():
    lon = np.array([179.98, 179.99, -180.0, -179.99, -179.98])
    samples = tracks(line("2013-01-15", np.arange(5.0)), np.zeros(5), lon, np.zeros(5))
    points = block_averages(samples, 5, (15, 6))
    np.testing.assert_allclose(points.lon, 179.996 + np.zeros(1), atol=0.01)


def test_passes_separate_missions_numbers_and_pauses():
    time = line("2013-01-15", np.array([0.0, 1.0, 2.0, 3.0, 5000.0]))
    samples = tracks(
        time,
        np.zeros(5),
        np.zeros(5),
        np.zeros(5),
        pass_id=[1, 1, 2, 1, 1],
        mission=[0, 0, 0, 1, 0],
    )
    label = passes(samples)
    assert label[0] == label[1]
    assert len(set(label[[0, 2, 3, 4]])) == 4


def test_no_samples_give_no_points():
    none = tracks(line("2013-01-15", np.zeros(0)), [], [], [])
    assert block_averages(none, 5, (15, 6)).time.size == 0
