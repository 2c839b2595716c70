"""`spde_oi` as users call it: dense Gaussian algebra end to end, causality, edges, files, fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline_spde.baselines import spde_fit, spde_oi
from pipeline_spde.baselines.cells import cell_anomalies
from pipeline_spde.baselines.moments import StationaryFit
from pipeline_spde.baselines.spde_days import segments
from pipeline_spde.baselines.spde_model import (
    SpdeOiParameters,
    share_held,
    with_amplitude,
)
from pipeline_spde.baselines.superobs import SuperObservations, corners, superobservations
from pipeline_spde.baselines.validation import against_passes
from pipeline_spde.config import MapRequest, SpdeOiConfig
from pipeline_spde.data.observe import bin_to_grid
from pipeline_spde.fields import Maps, Observations, Tracks, daily_stamps
from pipeline_spde.files import DataError
from pipeline_spde.grids import Grid, wrap_longitude
from pipeline_spde.periods import Period, Task
from pipeline_spde.spde import SpdeParameters, SpdePrior
from pipeline_spde.spde.modes import ModeBasis, ModePrior

from .common import empty_tracks
from .spde_case import FIRST, NOISE, box, model_of, parameters_of, points, random_points


def options(window=9, **changes) -> SpdeOiConfig:
    return SpdeOiConfig(
        **{"shortest_km": 70, "tuning_shortest_km": 90, "window_days": window, "tuning_days": 8}
        | changes
    )


# --- against dense algebra ------------------------------------------------------------------


DENSE_DAYS, TARGET = 43, 21


@pytest.fixture(scope="module")
def dense_case():
    """A short-lived prior in all its modes, whose dense law knows nothing of where it began."""
    land = np.zeros((4, 5), bool)
    land[0, 0] = land[2, 3] = True
    grid = box(shape=(4, 5), land=land)
    parameters = parameters_of(
        grid, decorrelation_time_days=1.5, rho=0.3, sigma=np.where(land, 1.0, 0.15)
    )
    theta = {k: v.expand(1, DENSE_DAYS, -1, -1) for k, v in parameters.theta().items()}
    theta = SpdeParameters(m_east=None, m_north=None, **theta)
    prior = SpdePrior(grid, theta, **vars(parameters.dynamics))
    wet = np.flatnonzero(np.tile(grid.ocean.ravel(), DENSE_DAYS))
    precision = prior.precision()[0].toarray()
    covariance = np.zeros_like(precision)
    covariance[np.ix_(wet, wet)] = np.linalg.inv(precision[np.ix_(wet, wet)])
    return grid, model_of(parameters, grid, shortest_km=12.0), covariance


def dense_map(grid, model, covariance, seen: SuperObservations):
    """Kriging of day TARGET with points between the noons; day 0 is FIRST."""
    place, weight = corners(grid, seen.row, seen.column)
    rows = np.zeros((seen.day.size, DENSE_DAYS, grid.land.size))
    variance = seen.variance + model.parameters.representativeness_m**2
    for number in range(seen.day.size):
        day = (seen.day[number] - FIRST).astype(int)
        before = day if seen.noon[number] >= 0 else day - 1
        share = seen.noon[number] % 1.0
        for corner in range(4):
            rows[number, before, place[number, corner]] += (1 - share) * weight[number, corner]
            rows[number, before + 1, place[number, corner]] += share * weight[number, corner]
        variance[number] += (model.neglected.ravel()[place[number]] * weight[number]).sum()
    rows = rows.reshape(seen.day.size, -1)
    day = slice(TARGET * grid.land.size, (TARGET + 1) * grid.land.size)
    cross = rows @ covariance
    gain = np.linalg.solve(cross @ rows.T + np.diag(variance), cross[:, day])
    spread = np.diag(covariance)[day] - np.einsum("ij,ij->j", gain, cross[:, day])
    mean = (gain.T @ seen.value).reshape(grid.shape)
    return mean, np.sqrt(spread.reshape(grid.shape) + model.neglected)


@pytest.mark.parametrize("task", ["mapping", "nrt", "for1", "for2"])
def test_maps_are_the_kriging_of_the_points_that_the_task_may_see(dense_case, task):
    grid, model, covariance = dense_case
    days = np.arange(FIRST + TARGET - 4, FIRST + TARGET + 5)
    days = days[days != FIRST + TARGET - 1]  # one day without points
    seen = random_points(grid, days, 40)
    window = 41 if task == "mapping" else 21
    target = np.array([FIRST + TARGET])
    mean, std = spde_oi.analyse(model, seen, Task(name=task), target, options(window))
    lead = Task(name=task).lead
    last = FIRST + DENSE_DAYS if lead is None else FIRST + TARGET - lead
    expected, spread = dense_map(grid, model, covariance, seen.select(seen.day <= last))
    np.testing.assert_allclose(mean[0], expected, atol=2e-5)
    np.testing.assert_allclose(std[0][grid.ocean], spread[grid.ocean], rtol=2e-4)


def test_a_lead_of_n_days_is_the_analysis_that_lacks_those_days():
    grid = box(shape=(8, 9))
    model = model_of(parameters_of(grid), grid)
    targets = np.arange(FIRST + 8, FIRST + 10)
    seen = random_points(grid, np.arange(FIRST, FIRST + 12), 80)
    for number, target in enumerate(targets):
        for lead in (1, 3):
            task = Task(name=f"for{lead}")
            mean, std = spde_oi.analyse(model, seen, task, targets, options(9))
            # the same first day, so that both start from the same law
            known = seen.select(seen.day <= target - lead)
            later, spread = spde_oi.analyse(model, known, Task(name="nrt"), targets, options(9))
            np.testing.assert_allclose(mean[number], later[number], atol=1e-12)
            np.testing.assert_allclose(std[number], spread[number], rtol=1e-10)


# --- windows and causality ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "window", "begin", "end"),
    [
        ("mapping", 7, -3, 3),
        ("mapping", 4, -2, 1),
        ("mapping", 1, 0, 0),
        ("nrt", 5, -4, 0),
        ("nrt", 1, 0, 0),
        ("for2", 5, -4, -2),
        ("for4", 5, -4, -4),
    ],
)
def test_a_target_sees_mornings_and_afternoons_of_its_window(task, window, begin, end):
    grid = box(shape=(4, 5))
    model = model_of(parameters_of(grid, advection=0.5), grid)
    target = np.array([FIRST + 20])
    for day in {begin - 1, begin, (begin + end) // 2, end, end + 1}:
        for noon in (-0.25, 0.25):
            one = points([FIRST + 20 + day], [noon], [2.2], [3.3], [0.3])
            mean, _ = spde_oi.analyse(model, one, Task(name=task), target, options(window))
            assert mean.any() == (begin <= day <= end), (day, noon)


@pytest.mark.parametrize("task", ["nrt", "for2"])
def test_no_later_point_changes_a_bit_of_mean_or_deviation(task):
    grid = box(shape=(8, 9))
    model = model_of(parameters_of(grid, advection=0.8), grid)
    targets = np.arange(FIRST + 6, FIRST + 10)
    seen = random_points(grid, np.arange(FIRST, FIRST + 11), 100, seed=2)
    before = spde_oi.analyse(model, seen, Task(name=task), targets, options(5))
    for number in (0, 2):
        last = targets[number] - Task(name=task).lead
        known = seen.select(seen.day <= last)  # the later ones are gone altogether
        after = spde_oi.analyse(model, known, Task(name=task), targets, options(5))
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one[: number + 1], other[: number + 1])
        assert not np.array_equal(before[0][number + 1 :], after[0][number + 1 :])


def test_segments_cover_the_targets_once_in_order():
    targets = np.arange(FIRST, FIRST + 25)
    for length in (1, 7, 12, 13, 24, 25, 40):
        parts = [targets[chosen] for chosen in segments(targets, length)]
        np.testing.assert_array_equal(np.concatenate(parts), targets)
        sizes = [part.size for part in parts]
        assert max(sizes) <= length and max(sizes) - min(sizes) <= 1


def test_two_segments_agree_with_one_sweep():
    grid = box(shape=(8, 9))
    model = model_of(parameters_of(grid), grid)
    targets = np.arange(FIRST + 12, FIRST + 24)
    seen = random_points(grid, np.arange(FIRST, FIRST + 36), 360, seed=3)
    whole = spde_oi.analyse(model, seen, Task(name="mapping"), targets, options(23))
    cut = options(23, segment_days=6)
    parts = spde_oi.analyse(model, seen, Task(name="mapping"), targets, cut)
    assert np.abs(parts[0] - whole[0]).max() < 0.05 * whole[1].mean()
    np.testing.assert_allclose(parts[1], whole[1], rtol=0.02)


def test_the_deviation_can_be_left_out_and_the_mean_stays():
    grid = box(shape=(6, 7))
    model = model_of(parameters_of(grid), grid)
    seen = random_points(grid, np.arange(FIRST, FIRST + 9), 30)
    target, task = np.array([FIRST + 4]), Task(name="mapping")
    mean, std = spde_oi.analyse(model, seen, task, target, options(9))
    bare, nothing = spde_oi.analyse(model, seen, task, target, options(9), deviation=False)
    np.testing.assert_array_equal(bare, mean)
    assert np.isnan(nothing).all() and (std > 0).all()


@pytest.mark.parametrize("task", ["mapping", "for3"])
def test_without_observations_the_maps_are_the_mean_and_the_deviation_the_prior_s(task, tmp_path):
    land = np.zeros((8, 9), bool)
    land[:3, :2] = True
    grid = box(shape=(8, 9), land=land)
    parameters = with_amplitude(
        parameters_of(grid, sigma=np.where(land, 1.0, 0.15), std_factor=1.5), grid, 70.0
    )
    parameters.to_dataset(grid, {}).to_netcdf(tmp_path / "fit.nc")
    mean = np.where(land, np.nan, 0.3 + 0.01 * np.arange(9))
    days = daily_stamps("2020-03-01", "2020-03-05")
    tracks = replace(empty_tracks(), quantity="adt")
    observations = Observations(bin_to_grid(tracks, grid, days, 0.01), tracks, mean)
    request = MapRequest(
        period=Period(start="2020-05-01", end="2020-05-03"),  # far from any observed day
        spde_oi=options(9),
        tuning=tmp_path / "fit.nc",
    )
    maps = spde_oi.reconstruct(observations, grid, Task(name=task), request)
    assert maps.quantity == "adt" and maps.height.shape == (3, 8, 9)
    for field in (maps.height, maps.std):
        np.testing.assert_array_equal(np.isnan(field), np.broadcast_to(land, (3, 8, 9)))
    np.testing.assert_allclose(maps.height[:, ~land], np.tile(mean[~land], (3, 1)), rtol=1e-6)
    np.testing.assert_allclose(maps.std[:, ~land], 1.5 * 0.15, rtol=0.15)


# --- places ---------------------------------------------------------------------------------


def passes_over(grid: Grid, days: int, seed: int) -> Tracks:
    """Three straight passes a day with random noise for heights."""
    rng = np.random.default_rng(seed)
    south, north, west, east = grid.bounds
    seconds, lat, lon, number = [], [], [], []
    for pass_id in range(3 * days):
        share = np.linspace(0.01, 0.99, 40)
        ends = rng.uniform(west, east, 2)
        seconds.append(28800 * pass_id + rng.integers(0, 28000) + np.arange(40))
        lat.append(south + share * (north - south))
        lon.append(ends[0] + share * (ends[1] - ends[0]))
        number.append(np.full(40, pass_id))
    time = FIRST.astype("datetime64[ns]") + np.concatenate(seconds).astype("timedelta64[s]")
    count = time.size
    return Tracks(
        time=time.astype("datetime64[ns]"),
        lat=np.concatenate(lat),
        lon=wrap_longitude(np.concatenate(lon)),
        height=(0.2 * rng.standard_normal(count)).astype(np.float32),
        error=np.full(count, NOISE, np.float32),
        mission=np.zeros(count, np.int8),
        missions=("saral",),
        pass_id=np.concatenate(number).astype(np.int32),
        quantity="ssh",
        cross_track=np.zeros(count, np.float32),
    )


def bound(tracks: Tracks, grid: Grid, days: int, mean=None) -> Observations:
    stamps = daily_stamps(FIRST, FIRST + days - 1)
    mean = np.zeros(grid.shape) if mean is None else mean
    return Observations(bin_to_grid(tracks, grid, stamps, 0.01), tracks, mean)


def test_a_box_across_the_date_line_is_mapped_like_any_other():
    maps = []
    for west in (-62.0, 178.0, -182.0):
        land = np.zeros((7, 14), bool)
        land[2, 5:7] = True
        grid = box(-20.0, west, (7, 14), land)
        observations = bound(passes_over(grid, 6, seed=1), grid, 6)
        model = model_of(parameters_of(grid, advection=0.5), grid)
        seen = superobservations(observations, grid)
        target = np.array([FIRST + 3])
        maps.append(spde_oi.analyse(model, seen, Task(name="mapping"), target, options(5)))
    for other in maps[1:]:
        np.testing.assert_allclose(other[0], maps[0][0], atol=1e-6)
        np.testing.assert_allclose(other[1], maps[0][1], atol=1e-7)
    assert maps[0][0].std() > 0.02


def test_turning_a_circle_turns_the_map():
    grid = Grid.latlon(-50 + 4.0 * np.arange(5), np.arange(-180, 180, 20.0), periodic=True)
    changes = {"range_km": 4000.0, "noise_length_km": 1500.0, "advection": 1.0}
    model = model_of(parameters_of(grid, **changes), grid, shortest_km=1500.0)
    seen = random_points(grid, np.arange(FIRST, FIRST + 7), 40)
    target = np.array([FIRST + 3])
    one, _ = spde_oi.analyse(model, seen, Task(name="mapping"), target, options(7))
    turned = replace(
        seen,
        column=(seen.column + 5 + 0.5) % 18 - 0.5,
        cell=np.stack([seen.cell[:, 0], (seen.cell[:, 1] + 5) % 18], axis=1),
    )
    other, _ = spde_oi.analyse(model, turned, Task(name="mapping"), target, options(7))
    np.testing.assert_allclose(other, np.roll(one, 5, axis=2), atol=1e-9)
    assert one.std() > 0.01


@pytest.mark.parametrize(("south", "direction"), [(33.0, 1), (-37.0, 1), (-37.0, -1)])
def test_a_current_to_the_east_carries_anomalies_east_in_both_hemispheres(south, direction):
    grid = box(south, shape=(13, 31))
    speed = 12.0  # km/day
    coriolis = 2 * 7.2921e-5 * np.sin(np.radians(south + 2.0))
    slope = -direction * speed / 86.4 * coriolis / 9.81 * 1000  # m per km to the north
    mean = np.repeat(slope * grid.dy_km * (np.arange(13) - 6.0)[:, None], 31, axis=1)
    parameters = parameters_of(grid, range_km=120.0, decorrelation_time_days=40.0, rho=0.3)
    rows, columns = (v.ravel() for v in np.meshgrid([5, 6, 7], [14, 15, 16], indexing="ij"))
    blob = points(np.repeat(FIRST, 9), np.zeros(9), rows, columns, np.full(9, 0.02), 0.001)
    centres = []
    for share in (0.0, 1.0):
        model = model_of(replace(parameters, advection=share), grid, mean=mean)
        target, task = np.array([FIRST + 4]), Task(name="for4")
        forecast, _ = spde_oi.analyse(model, blob, task, target, options(5))
        weight = np.maximum(forecast[0, 6], 0)
        centres.append((weight * np.arange(31)).sum() / weight.sum())
    assert centres[0] == pytest.approx(15, abs=1e-6)
    moved = (centres[1] - centres[0]) * grid.dx_km[6]
    assert 0.5 * 4 * speed < direction * moved < 1.2 * 4 * speed


# --- calibration ----------------------------------------------------------------------------


def draw_and_observe(days: int, mean: float | np.ndarray = 0.0):
    """A draw of the prior about a mean, observed along three passes a day, with noise."""
    grid = box()
    parameters = with_amplitude(parameters_of(grid), grid, 70.0)
    theta = {k: v.expand(1, days, -1, -1) for k, v in parameters.theta().items()}
    prior = SpdePrior(
        grid, SpdeParameters(m_east=None, m_north=None, **theta), **vars(parameters.dynamics)
    )
    height = prior.sample(1, torch.Generator().manual_seed(7))[0, 0].numpy() + mean
    truth = Maps(daily_stamps(FIRST, FIRST + days - 1), grid, height.astype(np.float32), "ssh")
    tracks = passes_over(grid, days, seed=8)
    place, weight = corners(
        grid, (tracks.lat - grid.lat[0]) / 0.3, (tracks.lon - grid.lon[0]) / 0.3
    )
    time = (tracks.time - truth.time[0]) / np.timedelta64(1, "s") / 86400
    low = np.clip(np.floor(time).astype(int), 0, days - 2)
    share = np.clip(time - low, 0, 1)
    flat = height.reshape(days, -1)
    ends = [(flat[low + k][np.arange(low.size)[:, None], place] * weight).sum(1) for k in (0, 1)]
    noise = np.random.default_rng(9).normal(0, NOISE, low.size)
    seen = ((1 - share) * ends[0] + share * ends[1] + noise).astype(np.float32)
    observations = bound(replace(tracks, height=seen), grid, days, np.zeros(grid.shape) + mean)
    return grid, parameters, truth, observations


@pytest.fixture(scope="module")
def drawn():
    """Grid, parameters, truth and observations of 25 days."""
    return draw_and_observe(25)


@pytest.mark.parametrize("task", ["mapping", "nrt", "for3"])
def test_errors_on_a_draw_of_the_prior_have_the_deviation_that_is_told(drawn, task, tmp_path):
    grid, parameters, truth, observations = drawn
    parameters.to_dataset(grid, {}).to_netcdf(tmp_path / "fit.nc")
    period = Period(start="2020-03-10", end="2020-03-20")
    request = MapRequest(period=period, spde_oi=options(9), tuning=tmp_path / "fit.nc")
    maps = spde_oi.reconstruct(observations, grid, Task(name=task), request)
    error = maps.height - truth.between(period.start, period.end).height
    rmse, told = (np.sqrt(np.mean(v.astype(float) ** 2)) for v in (error, maps.std))
    # some 60 independent errors: a standard error of the ratio of about 9 %
    assert 0.8 < rmse / told < 1.2
    assert rmse < {"mapping": 0.5, "nrt": 0.6, "for3": 0.95}[task] * 0.15


# --- files and domains ----------------------------------------------------------------------


@pytest.fixture
def fitted(tmp_path: Path):
    """Grid with land, parameters, and their file."""
    land = np.zeros((6, 7), bool)
    land[0, :3] = True
    grid = box(shape=(6, 7), land=land)
    rng = np.random.default_rng(0)
    sigma = np.where(land, 1.0, rng.uniform(0.05, 0.2, land.shape))
    amplitude = np.where(land, 1.0, rng.uniform(0.8, 1.3, land.shape))
    parameters = parameters_of(grid, sigma=sigma, amplitude=amplitude, noise_order=2)
    return grid, parameters, tmp_path / "spde_oi.nc"


def test_parameters_survive_a_file(fitted):
    grid, parameters, path = fitted
    data = parameters.to_dataset(grid, {"criterion": "truth"})
    assert np.isnan(data["sigma"].values[grid.land]).all()
    data.to_netcdf(path)
    back = SpdeOiParameters.read(path, grid)
    for name, value in vars(parameters).items():
        np.testing.assert_array_equal(getattr(back, name), value, err_msg=name)
    assert isinstance(back.noise_order, int)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("range_km", -1.0),
        ("range_km", np.nan),
        ("decorrelation_time_days", 0.0),
        ("std_factor", np.inf),
        ("representativeness_m", 0.0),
        ("noise_order", np.nan),
        ("noise_order", 3.0),
        ("noise_order", 1.7),
        ("rho", np.nan),
        ("rho", 1.0),
        ("rho", -0.1),
        ("advection", np.nan),
        ("advection", -0.5),
    ],
)
def test_a_damaged_number_is_refused_with_its_file(fitted, name, value):
    grid, parameters, path = fitted
    parameters.to_dataset(grid, {}).assign({name: ((), value)}).to_netcdf(path)
    with pytest.raises(DataError, match=r"spde_oi\.nc"):
        SpdeOiParameters.read(path, grid)


@pytest.mark.parametrize("field", ["sigma", "amplitude"])
def test_a_hole_in_a_field_is_refused(fitted, field):
    grid, parameters, path = fitted
    data = parameters.to_dataset(grid, {})
    data[field][3, 4] = np.nan
    data.to_netcdf(path)
    with pytest.raises(DataError, match=field):
        SpdeOiParameters.read(path, grid)


@pytest.mark.parametrize(
    ("south", "west", "shape"),
    [(33.0, -60.0, (6, 7)), (30.0, -20.0, (6, 7)), (30.0, -60.0, (6, 8)), (30.0, -60.0, (7, 6))],
)
def test_parameters_of_another_box_are_refused(fitted, south, west, shape):
    grid, parameters, path = fitted
    parameters.to_dataset(grid, {}).to_netcdf(path)
    land = grid.land if shape == grid.shape else None
    with pytest.raises(DataError, match="fit again"):
        SpdeOiParameters.read(path, box(south, west, shape, land))


def test_missing_variables_and_truncated_files_are_refused(fitted):
    grid, parameters, path = fitted
    parameters.to_dataset(grid, {}).drop_vars("rho").to_netcdf(path)
    with pytest.raises(DataError, match="rho"):
        SpdeOiParameters.read(path, grid)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(DataError, match=r"spde_oi\.nc"):
        SpdeOiParameters.read(path, grid)


def test_parameters_that_make_no_prior_are_refused():
    grid = box(shape=(6, 7))
    with pytest.raises(ValueError, match="range_km"):
        parameters_of(grid, range_km=-3.0)
    with pytest.raises(ValueError, match="sigma"):
        parameters_of(grid, sigma=np.zeros(grid.shape))


def test_a_domain_that_is_too_large_is_refused_and_says_what_to_do():
    grid = Grid.latlon(np.arange(-30, 30, 1.0), np.arange(-180, 180, 1.0), periodic=True)
    with pytest.raises(ValueError, match=r"about \d+ modes.*raise shortest_km or choose"):
        model_of(parameters_of(grid), grid, shortest_km=80.0)


def test_maps_without_a_fit_are_refused(fitted):
    grid, _, _ = fitted
    observations = bound(replace(empty_tracks()), grid, 3)
    request = MapRequest(period=Period(start="2020-03-01", end="2020-03-02"))
    with pytest.raises(ValueError, match="set `tuning`"):
        spde_oi.reconstruct(observations, grid, Task(name="mapping"), request)


# --- fit ------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["mapping", "nrt"])
def test_heights_of_withheld_cells_change_no_map(drawn, task):
    grid, parameters, _, observations = drawn
    cells, tracks = cell_anomalies(observations, grid), observations.tracks
    period = Period(start="2020-03-10", end="2020-03-20")
    rng = np.random.default_rng(0)
    sets = against_passes(cells, tracks, grid, period, 3, Task(name=task).lead, rng)
    assert len(sets) == 3
    model = model_of(parameters, grid)
    row, column, _ = grid.cell_index(tracks.lat, tracks.lon)
    place = cells.index(tracks.time.astype("datetime64[D]"))
    for one in sets[:2]:
        withheld = ~one.cells.observed[place, row, column]
        assert 0.2 < withheld.mean() < 0.6
        spoilt = replace(tracks, height=np.where(withheld, 9.0, tracks.height).astype(np.float32))
        maps = []
        for some in (tracks, spoilt):
            seen = superobservations(replace(observations, tracks=some), grid)
            visible = spde_fit._visible(seen, one)
            assert visible.value.max() < 2
            mean, _ = spde_oi.analyse(model, visible, Task(name=task), one.targets, options(5))
            maps.append(mean)
        np.testing.assert_array_equal(*maps)


def correlations(parameters: SpdeOiParameters) -> np.ndarray:
    """Correlation at distances of up to 300 km and lags of 0, 2 and 5 days."""
    names = ("range_km", "decorrelation_time_days", "noise_length_km", "noise_order", "rho")
    law = StationaryFit(**{name: getattr(parameters, name) for name in names}, misfit=0.0)
    return law.correlation(np.arange(0, 301, 50.0), np.array([0, 2, 5]))


@pytest.mark.slow
def test_fit_finds_no_current_where_there_is_none_and_the_correlation_of_the_draw():
    # a slope of the mean that would drive a current of some 26 km/day to the east
    mean = np.repeat(-0.1 * np.arange(14.0)[:, None], 16, axis=1)
    grid, parameters, truth, observations = draw_and_observe(160, mean)
    learning = Period(start="2020-03-01", end="2020-06-30")
    validation = Period(start="2020-07-05", end="2020-08-05")
    config = options(
        9, advection_shares=(0.0, 0.5, 1.0), noise_order=1, representativeness_m=(0.005,)
    )
    found, record = spde_fit.fit(
        observations, grid, Task(name="for3"), config, learning, validation, truth, seed=1
    )
    assert found.advection == 0.0
    assert record["criterion"] == "truth"
    assert record["candidates_rmse_m"].count("advection=") == 3
    # range, noise length and time trade against one another: what counts is what they make
    np.testing.assert_allclose(correlations(found), correlations(parameters), atol=0.08)
    assert 0.85 < found.sigma.mean() / 0.15 < 1.15
    assert 0.8 < found.std_factor < 1.25


@pytest.mark.slow
def test_the_prior_of_the_chosen_time_has_the_fitted_deviation(drawn):
    """σ is a promise about the prior that is used, whatever its decorrelation time has become."""
    grid, _, _, observations = drawn
    periods = [Period(start="2020-03-01", end=f"2020-03-{day}") for day in (25, 22)]
    config = options(
        7, advection_shares=(0.0,), noise_order=1, time_factors=(4.0,), tuning_days=4,
        representativeness_m=(0.005,),
    )  # fmt: skip
    found, record = spde_fit.fit(
        observations, grid, Task(name="nrt"), config, *periods, None, seed=1
    )
    basis = ModeBasis.of(grid, config.shortest_km)
    start = ModePrior(grid, found.theta(), found.dynamics, basis).start()
    held = basis.variance(start[: basis.count, : basis.count]).sqrt()
    promised = found.sigma * np.sqrt(share_held(found, config.shortest_km))
    np.testing.assert_allclose(held, promised, rtol=0.02)
    assert record["candidates_at_edge"] == "" and record["candidates_rmse_m"] == ""


@pytest.mark.slow
def test_a_candidate_at_the_end_of_its_list_is_told_and_the_list_goes_on(drawn):
    grid, _, _, observations = drawn
    learning = Period(start="2020-03-01", end="2020-03-25")
    period = Period(start="2020-03-06", end="2020-03-22")
    config = options(
        7, advection_shares=(0.0,), noise_order=1, time_factors=(1.0,), tuning_days=4,
        representativeness_m=(0.05, 0.1),
    )  # fmt: skip
    found, record = spde_fit.fit(
        observations, grid, Task(name="mapping"), config, learning, period, None, seed=1
    )
    tried = [row.split(":")[0] for row in record["candidates_rmse_m"].split("; ")]
    assert tried == [f"representativeness_m={v:g}" for v in (0.05, 0.1, 0.025, 0.0125)]
    assert found.representativeness_m == pytest.approx(0.025)
    assert record["candidates_at_edge"] == ""


@pytest.mark.slow
@pytest.mark.parametrize("task", ["mapping", "nrt", "for2"])
def test_fit_on_withheld_passes_runs_and_a_seed_fixes_it(drawn, task):
    grid, _, _, observations = drawn
    learning = Period(start="2020-03-01", end="2020-03-25")
    period = Period(start="2020-03-06", end="2020-03-22")
    config = options(7, advection_shares=(0.0,), noise_order=1, time_factors=(1.0,), tuning_days=4)
    results = [
        spde_fit.fit(observations, grid, Task(name=task), config, learning, period, None, seed)
        for seed in (1, 1, 2)
    ]
    (first, record), (again, _), (other, _) = results
    assert record["criterion"] == "withheld passes"
    assert 0.3 < first.std_factor < 2.5
    assert first.std_factor == again.std_factor
    assert first.representativeness_m in config.representativeness_m
    # a forecast withholds nothing: no choice to seed
    assert (first.std_factor == other.std_factor) == (task == "for2")
