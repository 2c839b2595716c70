from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pipeline_spde.baselines.analysis import OiParameters, mean_maps
from pipeline_spde.baselines.cells import cell_anomalies, visible_offsets
from pipeline_spde.baselines.covariance import gaussian_modes, plane_axes_km
from pipeline_spde.baselines.deviation import deviation_maps
from pipeline_spde.baselines.search import ScanAndSimplex
from pipeline_spde.baselines.tuning import tune
from pipeline_spde.baselines.validation import against_passes
from pipeline_spde.config import OiTunedConfig
from pipeline_spde.fields import Maps, Observations, Tracks, daily_stamps
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period, Task

from .common import gridded

TRUE_KM, TRUE_DAYS, TRUE_STD, NOISE = 140.0, 6.0, 0.2, 0.05
PERIOD = Period(start="2013-01-12", end="2013-01-29")


def gaussian_world(seed: int = 4) -> tuple[Observations, Maps, Grid]:
    """A draw of the prior on 12 x 14 cells and 40 days, observed along meridional passes."""
    rng = np.random.default_rng(seed)
    grid = Grid.from_bounds((36.0, 41.0), (-64.0, -58.0), 0.5)
    y, x, _ = plane_axes_km(grid)
    days = np.arange(40.0)
    axes = [
        gaussian_modes(nodes, length)(nodes)
        for nodes, length in ((days, TRUE_DAYS), (y, TRUE_KM), (x, TRUE_KM))
    ]
    normal = rng.standard_normal([axis.shape[1] for axis in axes])
    field = TRUE_STD * np.einsum("ta,yb,xc,abc->tyx", *axes, normal, optimize=True)
    observed = np.zeros(field.shape, bool)
    columns = [rng.choice(grid.lon.size, 3, replace=False) for _ in days]
    for day, chosen in enumerate(columns):
        observed[day][:, chosen] = True
    noisy = field + NOISE * rng.standard_normal(field.shape)
    cells = gridded(grid, "2013-01-01", noisy, observed, NOISE)
    times = daily_stamps("2013-01-01", "2013-02-09")
    truth = Maps(times, grid, field.astype(np.float32), "ssh")
    return Observations(cells, _passes(grid, columns, noisy), np.zeros(grid.shape)), truth, grid


def _passes(grid: Grid, columns: list[np.ndarray], values: np.ndarray) -> Tracks:
    """The cells as samples: one pass per day and column, an hour apart."""
    ny = grid.lat.size
    time, lat, lon, height = [], [], [], []
    for day, chosen in enumerate(columns):
        for hour, column in enumerate(sorted(chosen)):
            start = np.datetime64("2013-01-01T01:00", "ns") + np.timedelta64(24 * day + hour, "h")
            time.append(start + np.arange(ny) * np.timedelta64(7, "s"))
            lat.append(grid.lat)
            lon.append(np.full(ny, grid.lon[column]))
            height.append(values[day][:, column])
    size = ny * len(time)
    return Tracks(
        time=np.concatenate(time),
        lat=np.concatenate(lat),
        lon=np.concatenate(lon),
        height=np.concatenate(height).astype(np.float32),
        error=np.full(size, NOISE, np.float32),
        mission=np.zeros(size, np.int8),
        missions=("saral",),
        pass_id=np.repeat(np.arange(len(time)), ny).astype(np.int32),
        quantity="ssh",
        cross_track=np.zeros(size, np.float32),
    )


CONFIG = OiTunedConfig(
    lengths_km=(70.0, 100.0, 140.0, 200.0),
    lengths_days=(3.0, 6.0, 12.0),
    noise_factors=(0.5, 1.0, 2.0),
    window_days=11,
    iterations=60,
    tuning_days=10,
)


@pytest.fixture(scope="module")
def fitted() -> dict:
    observations, truth, grid = gaussian_world()
    return tune(observations, grid, Task(name="mapping"), CONFIG, PERIOD, truth, seed=1)


def test_tuning_finds_the_covariance_the_truth_was_drawn_from(fitted):
    # the minimum is flat and ten days are few: a fifth either way
    assert fitted["length_km"] == pytest.approx(TRUE_KM, rel=0.2)
    assert fitted["length_days"] == pytest.approx(TRUE_DAYS, rel=0.25)
    ratio = fitted["noise_factor"] * NOISE / fitted["prior_std_m"]
    assert ratio == pytest.approx(NOISE / TRUE_STD, rel=0.5)
    assert fitted["criterion"] == "truth"
    assert not any(fitted["at_edge"].values())


def test_formal_variance_is_calibrated_on_the_validation_days(fitted):
    observations, truth, grid = gaussian_world()
    cells = cell_anomalies(observations, grid)
    days = np.array(fitted["days"], dtype="datetime64[D]")
    offsets = visible_offsets(Task(name="mapping"), CONFIG.window_days)
    parameters = OiParameters.from_mapping(fitted)
    mean = mean_maps(cells, grid, days, offsets, parameters, CONFIG.iterations)
    std = deviation_maps(cells, grid, days, offsets, parameters, CONFIG.variance_tolerance)
    true = truth.height[np.isin(truth.time.astype("datetime64[D]"), days)]
    assert np.mean((mean - true) ** 2) / np.mean(std**2) == pytest.approx(1.0, rel=1e-3)


def test_result_is_json_and_lists_every_candidate(fitted):
    again = json.loads(json.dumps(fitted, allow_nan=False))
    assert again == fitted
    best = min(row["rmse_m"] for row in fitted["candidates"])
    assert fitted["rmse_m"] == best
    assert len(fitted["days"]) == CONFIG.tuning_days


def test_all_targets_lie_in_the_period_and_nothing_beyond_the_windows_is_read():
    observations, truth, grid = gaussian_world()
    small = CONFIG.model_copy(update={"tuning_days": 3, "lengths_km": (140.0,),
                                      "lengths_days": (6.0,)})  # fmt: skip
    first = tune(observations, grid, Task(name="nrt"), small, PERIOD, truth, seed=1)
    # outside the period the truth, and beyond the windows the observations, may be anything
    reach = PERIOD.padded(10)
    days = truth.time.astype("datetime64[D]")
    outside = (days < np.datetime64(PERIOD.start)) | (days > np.datetime64(PERIOD.end))
    beyond = (days < np.datetime64(reach.start)) | (days > np.datetime64(PERIOD.end))
    other = replace(truth, height=np.where(outside[:, None, None], 99, truth.height))
    cells = observations.gridded
    garbled = replace(cells, height=np.where(beyond[:, None, None], 99, cells.height))
    second = tune(
        replace(observations, gridded=garbled), grid, Task(name="nrt"), small, PERIOD, other, seed=1
    )
    assert first == second
    assert all(str(PERIOD.start) <= day <= str(PERIOD.end) for day in first["days"])


def test_withheld_passes_give_similar_lengths_without_any_truth():
    observations, _, grid = gaussian_world()
    found = tune(observations, grid, Task(name="mapping"), CONFIG, PERIOD, None, seed=3)
    assert found["criterion"] == "withheld passes"
    assert found["length_km"] == pytest.approx(TRUE_KM, rel=0.3)
    assert found["length_days"] == pytest.approx(TRUE_DAYS, rel=0.4)
    # the misfit at withheld cells holds the noise of the withheld observations
    assert found["rmse_m"] > NOISE
    assert found["prior_std_m"] == pytest.approx(TRUE_STD, rel=0.4)


def test_same_seed_gives_the_same_fit_and_withheld_cells_are_not_used():
    observations, _, grid = gaussian_world()
    cells = cell_anomalies(observations, grid)
    sets = against_passes(
        cells, observations.tracks, grid, PERIOD, 5, None, np.random.default_rng(1)
    )
    scored = np.zeros(cells.observed.shape, int)
    for one in sets:
        places = cells.index(one.targets)
        assert not np.any(one.cells.observed[places] & one.scored)
        scored[places] += one.scored
        share = one.cells.observed.sum() / cells.observed.sum()
        assert 0.6 < share < 0.73
    # every observed cell of the targets is scored exactly once
    np.testing.assert_array_equal(scored[places], cells.observed[places])


def test_forecasts_are_scored_at_all_cells_of_the_unseen_day():
    observations, _, grid = gaussian_world()
    cells = cell_anomalies(observations, grid)
    rng = np.random.default_rng(1)
    (only,) = against_passes(cells, observations.tracks, grid, PERIOD, 5, 2, rng)
    np.testing.assert_array_equal(only.scored, cells.observed[cells.index(only.targets)])


def test_period_without_observations_is_an_error():
    observations, truth, grid = gaussian_world()
    empty = Period(start="2014-01-01", end="2014-01-09")
    with pytest.raises(ValueError, match="no observation in 2014"):
        tune(observations, grid, Task(name="mapping"), CONFIG, empty, None, seed=3)
    with pytest.raises(ValueError, match="no map between"):
        tune(observations, grid, Task(name="mapping"), CONFIG, empty, truth, seed=3)


def test_truth_of_another_grid_is_refused():
    observations, truth, grid = gaussian_world()
    part = (slice(0, 6), slice(None))
    other = Maps(truth.time, grid.crop(*part), truth.height[(slice(None), *part)], "ssh")
    with pytest.raises(ValueError, match="use the truth of the same domain"):
        tune(observations, grid, Task(name="mapping"), CONFIG, PERIOD, other, seed=3)


def test_search_finds_the_minimum_of_a_separable_bowl_beyond_its_candidates():
    def bowl(point: dict[str, float]) -> float:
        return np.log(point["a"] / 30.0) ** 2 + np.log(point["b"] / 0.9) ** 2

    search = ScanAndSimplex(bowl, {"a": (1.0, 2.0, 4.0), "b": (0.5, 1.0, 2.0)})
    best = search.run()
    assert best["a"] == pytest.approx(30.0, rel=0.15)
    assert best["b"] == pytest.approx(0.9, rel=0.15)
    assert search.at_edge == {"a": False, "b": False}
    assert search.value == min(row["criterion"] for row in search.table)


def test_search_follows_a_narrow_valley_between_two_parameters():
    def valley(point: dict[str, float]) -> float:
        along = np.log(point["a"] * point["b"] / 16.0)
        across = np.log(point["a"] / point["b"])
        return 0.05 * along**2 + across**2

    search = ScanAndSimplex(valley, {"a": (0.5, 1.0, 2.0), "b": (0.5, 1.0, 2.0)})
    best = search.run()
    assert best["a"] == pytest.approx(4.0, rel=0.15)
    assert best["b"] == pytest.approx(4.0, rel=0.15)


def test_search_says_how_far_it_is():
    seen: list[tuple[int, int]] = []
    search = ScanAndSimplex(
        lambda point: (point["a"] - 1) ** 2 + (point["b"] - 2) ** 2,
        {"a": (0.5, 1.0, 2.0), "b": (1.0, 2.0, 4.0)},
        lambda done, total: seen.append((done, total)),
    )
    search.run()
    assert [done for done, _ in seen] == list(range(1, len(search.table) + 1))
    assert all(done <= total for done, total in seen)
    assert seen[0][1] == 1 + 2 + 2 + 30  # start, scan, the most that the simplex may try


def test_search_says_when_it_ends_at_an_edge():
    search = ScanAndSimplex(lambda point: point["a"], {"a": (1.0, 2.0)})
    search.run()
    assert search.at_edge == {"a": True}


def test_search_keeps_a_single_candidate():
    search = ScanAndSimplex(lambda point: point["a"] + point["b"], {"a": (3.0,), "b": (1.0, 2.0)})
    assert search.run()["a"] == 3.0
    with pytest.raises(ValueError, match="no candidates for"):
        ScanAndSimplex(lambda point: 0.0, {"a": ()})


def test_a_forecast_is_fitted_on_days_that_do_not_look_back_beyond_the_half_window():
    from datetime import date, timedelta

    from pipeline_spde.baselines.tuning import reachable_targets
    from pipeline_spde.periods import Period

    validation = Period(start=date(2013, 1, 9), end=date(2013, 2, 17))
    window = 15
    for offsets in (np.arange(-7, 8), np.arange(-14, 1), np.arange(-14, -3)):
        first = reachable_targets(validation, offsets, window).start
        earliest_seen = first + timedelta(days=int(offsets[0]))
        assert earliest_seen >= validation.start - timedelta(days=window // 2)
    short = Period(start=date(2013, 1, 9), end=date(2013, 1, 12))
    with pytest.raises(ValueError, match="make it longer"):
        reachable_targets(short, np.arange(-14, 1), window)
