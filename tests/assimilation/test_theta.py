"""Θ as a function of δ: its start, its limits, coasts, likelihood, and the law of longer steps."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_spde.assimilation.theta import (
    COUNT,
    ThetaProblem,
    channels_of,
    dynamics,
    low_passed,
    pooled,
)
from pipeline_spde.config import SpdeSolverConfig
from pipeline_spde.first_guess import Guess, PriorLaw
from pipeline_spde.grids import Grid
from pipeline_spde.spde import SpdePrior

from .augmented_case import LAW, SHAPE, SPACING, UNIT, coast, make_guess

POOLING = 2


def problem(
    guess: Guess | None = None, pooling: int = POOLING, ocean: torch.Tensor | None = None, **changes
) -> ThetaProblem:
    guess = make_guess(dtype=torch.float64) if guess is None else guess
    ocean = coast() if ocean is None else ocean
    return ThetaProblem.of(guess, ocean, SPACING, SpdeSolverConfig(**changes), pooling)


def zeros(rows: int = 2, columns: int = 2, batch: int = 2) -> torch.Tensor:
    return torch.zeros(batch, COUNT, rows, columns, dtype=torch.float64)


def wet_means(field: np.ndarray, ocean: np.ndarray, pooling: int = POOLING) -> np.ndarray:
    """Means over the water of each node (0 without any), cell by cell."""
    rows, columns = (size // pooling for size in ocean.shape)
    out = np.zeros((*field.shape[:-2], rows, columns))
    for row in range(rows):
        for column in range(columns):
            cells = np.s_[
                pooling * row : pooling * (row + 1), pooling * column : pooling * (column + 1)
            ]
            if ocean[cells].any():
                out[..., row, column] = field[(..., *cells)][..., ocean[cells]].mean(axis=-1)
    return out


# --- start and limits -----------------------------------------------------------------------


@pytest.mark.parametrize("pooling", [1, 2, 4])
def test_without_a_change_theta_is_that_of_the_first_guess(pooling: int) -> None:
    """σ and m are means over the water of a node; range and time those of the fit."""
    guess, ocean = make_guess(dtype=torch.float64), coast()
    theta = problem(guess, pooling).parameters(zeros())
    meaning = theta.physical(dynamics=dynamics(LAW))
    grid = problem(guess, pooling).grid
    wet = torch.from_numpy(grid.ocean)
    sigma = wet_means(guess.sigma.numpy(), ocean.numpy(), pooling)
    for day in range(SHAPE[1]):
        np.testing.assert_allclose(meaning.sigma[:, day][:, wet], sigma[:, grid.ocean], rtol=1e-6)
    for name in ("range_major", "range_minor"):
        expected = torch.full_like(theta.kappa, LAW.range_km)
        torch.testing.assert_close(getattr(meaning, name), expected, rtol=1e-5, atol=0)
    expected = torch.full_like(theta.kappa, LAW.decorrelation_time_days)
    torch.testing.assert_close(meaning.decorrelation_time, expected, rtol=1e-6, atol=0)
    flow = torch.stack([theta.m_east, theta.m_north], dim=1)
    currents = wet_means(guess.currents.numpy(), ocean.numpy(), pooling)
    assert np.hypot(*currents.swapaxes(0, 1)).max() < 49  # faster ones are drawn in
    np.testing.assert_allclose(flow[..., wet], currents[..., grid.ocean], atol=1e-9)


def test_currents_beyond_the_limit_are_drawn_in() -> None:
    guess = make_guess(dtype=torch.float64)
    fast = guess._replace(currents=10 * guess.currents)
    theta = problem(fast, largest_speed=30.0).parameters(zeros())
    speed = torch.hypot(theta.m_east, theta.m_north)
    assert float(speed.max()) == pytest.approx(0.98 * 30.0, rel=1e-9)
    before = pooled(fast.currents, POOLING, coast())
    angle = torch.atan2(before[:, 1], before[:, 0]) - torch.atan2(theta.m_north, theta.m_east)
    torch.testing.assert_close(angle.cos()[..., 2:, :], torch.ones_like(angle[..., 2:, :]))


@settings(max_examples=25, deadline=None)
@given(
    size=st.sampled_from([1e-3, 1.0, 30.0, 1e4]),
    seed=st.integers(0, 1000),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_theta_lies_within_its_limits_whatever_delta_is(
    size: float, seed: int, dtype: torch.dtype
) -> None:
    config = SpdeSolverConfig()
    delta = size * torch.randn(2, COUNT, 2, 2, generator=torch.Generator().manual_seed(seed))
    guess = make_guess(seed, dtype=dtype)
    one = problem(guess)
    theta = one.parameters(delta.to(dtype))
    wet = torch.from_numpy(one.grid.ocean)
    meaning = theta.physical(dynamics=dynamics(LAW))
    sigma = pooled(guess.sigma, POOLING, coast())[:, None]
    slack = 1e-4  # of float32
    low, high = config.sigma_factors
    ratio = (meaning.sigma / sigma)[..., wet]
    assert low * (1 - slack) <= ratio.min() and ratio.max() <= high * (1 + slack)
    for name, (low, high) in {
        "decorrelation_time": config.decorrelation_days,
        "range_major": (config.mean_range_km[0], config.mean_range_km[1] * 3**0.5),
    }.items():
        values = getattr(meaning, name)[..., wet]
        assert low * (1 - slack) <= values.min() and values.max() <= high * (1 + slack)
    speed = torch.hypot(theta.m_east, theta.m_north)[..., wet]
    assert speed.max() <= config.largest_speed * (1 + slack)
    assert (meaning.range_major / meaning.range_minor)[..., wet].max() <= 3 * (1 + 10 * slack)
    SpdePrior(one.grid, theta, **vars(dynamics(LAW)))  # it makes a prior: no error


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("sigma", {"sigma"}),
        ("decorrelation_time", {"decorrelation_time"}),
        ("mean_range", {"range_major", "range_minor"}),
        ("currents", {"m_east", "m_north"}),
    ],
)
def test_each_channel_moves_what_it_is_named_for_and_nothing_else(name, moved) -> None:
    delta = zeros()
    delta[:, channels_of(SpdeSolverConfig(learned=(name,)))] = 0.5
    one = problem()
    before, after = (
        one.parameters(value).physical(dynamics=dynamics(LAW)) for value in (zeros(), delta)
    )
    for field in (
        "sigma", "decorrelation_time", "range_major", "range_minor", "m_east", "m_north"
    ):  # fmt: skip
        first, second = getattr(before, field), getattr(after, field)
        if field in moved:
            assert ((second - first) > 1e-3 * first.abs()).float().mean() > 0.9
        else:
            torch.testing.assert_close(second, first, rtol=1e-6, atol=1e-9)


def test_delta_is_interpolated_between_its_cells_and_the_same_on_all_days() -> None:
    delta = zeros()
    delta[:, 0, :, 1] = 1.0
    sigma = problem().parameters(delta).physical(dynamics=dynamics(LAW)).sigma
    start = problem().parameters(zeros()).physical(dynamics=dynamics(LAW)).sigma
    growth = (sigma / start)[0, :, 3]
    assert torch.equal(growth[0], growth[4])
    assert (growth[0].diff() > -1e-9).all() and growth[0, -1] > 1.2 > 1.001 > growth[0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decorrelation_time_days": 75.0}, "decorrelation time of 75, outside .* 3 to 60; widen"),
        ({"decorrelation_time_days": 3.0}, "spde.decorrelation_days"),
        ({"range_km": 30.0}, "range of 30, outside spde.mean_range_km of 40 to 400"),
    ],
)
def test_a_fitted_prior_beyond_the_limits_is_refused(change, message) -> None:
    guess = make_guess()._replace(law=replace(LAW, **change))
    with pytest.raises(ValueError, match=message):
        problem(guess)


def test_sizes_that_the_pooling_does_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match=r"8 x 12 cells are not divisible by spde.pooling of 5"):
        problem(pooling=5)


# --- coasts ---------------------------------------------------------------------------------


def test_nodes_are_means_over_their_water_and_land_never_matters() -> None:
    ocean = coast()
    field = torch.randn(3, 8, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    nodes = pooled(torch.where(ocean, field, math.nan), 2, ocean)
    grid = problem().grid
    np.testing.assert_array_equal(grid.ocean, wet_means(np.ones((8, 12)), ocean.numpy()) > 0)
    assert grid.land.sum() == 2  # the corner of 3 x 5 cells holds two nodes without water
    wet = torch.from_numpy(grid.ocean)
    expected = wet_means(field.numpy(), ocean.numpy())
    np.testing.assert_allclose(nodes[:, wet], expected[:, grid.ocean], rtol=1e-12)
    whole = torch.ones_like(ocean)
    np.testing.assert_allclose(
        pooled(field, 2, whole), wet_means(field.numpy(), whole.numpy()), rtol=1e-12
    )


def test_what_a_truth_holds_on_land_changes_no_likelihood() -> None:
    one, ocean = problem(), coast()
    truth = torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    reference = one.nll(zeros(), truth, (1, 2))
    for junk in (0.0, 1e6, math.nan):
        changed = torch.where(ocean, truth, torch.tensor(junk, dtype=torch.float64))
        assert torch.equal(one.nll(zeros(), changed, (1, 2)), reference)


def test_a_state_on_land_feels_no_pull() -> None:
    one = problem()
    state = torch.randn(SHAPE, dtype=torch.float64, requires_grad=True)
    energy = one.prior(one.parameters(zeros())).energy(one.anomaly(state)).sum()
    (pull,) = torch.autograd.grad(energy, state)
    assert not pull[..., ~coast()].any()
    assert (pull[..., coast()] != 0).all()


# --- likelihood -----------------------------------------------------------------------------


def dense_nll(prior: SpdePrior, x: np.ndarray) -> float:
    """−log N(x; 0, Q⁻¹) from the assembled precision."""
    wet = np.flatnonzero(np.tile(prior.grid.ocean.ravel(), x.shape[0]))
    q = prior.precision()[0].toarray()[np.ix_(wet, wet)]
    v = x.reshape(-1)[wet]
    return 0.5 * (v @ q @ v - np.linalg.slogdet(q)[1] + wet.size * math.log(2 * math.pi))


@pytest.mark.parametrize("lags", [(1,), (2,), (1, 2)])
def test_the_likelihood_is_that_of_the_dense_law_per_node_and_day(lags) -> None:
    one = problem()
    generator = torch.Generator().manual_seed(3)
    delta = 0.3 * torch.randn(2, COUNT, 2, 2, dtype=torch.float64, generator=generator)
    truth = torch.randn(SHAPE, dtype=torch.float64, generator=generator)
    found = one.nll(delta, truth, lags)
    nodes = wet_means(UNIT * truth.numpy(), coast().numpy())
    for sample in range(2):
        alone = problem(make_guess(dtype=torch.float64).sample(sample))
        terms = []
        for lag in lags:
            theta = alone.parameters(delta[sample : sample + 1], lag)
            prior = SpdePrior(alone.grid, theta, **vars(dynamics(LAW, lag)))
            some = nodes[sample, ::lag]
            terms.append(dense_nll(prior, some) / (alone.grid.ocean.sum() * some.shape[0]))
        assert float(found[sample]) == pytest.approx(np.mean(terms), rel=1e-9)


def test_single_precision_is_enough_for_the_likelihood() -> None:
    generator = torch.Generator().manual_seed(4)
    delta = 0.3 * torch.randn(2, COUNT, 2, 2, generator=generator)
    truth = torch.randn(SHAPE, generator=generator)
    single = problem(make_guess()).nll(delta, truth, (1, 2))
    double = problem().nll(delta.double(), truth.double(), (1, 2))
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4)


def test_the_mean_of_the_prior_is_taken_off() -> None:
    guess = make_guess(dtype=torch.float64)
    one = problem(guess, background="first_guess", background_km=200.0)
    none = problem(guess)
    state = torch.randn(SHAPE, dtype=torch.float64)
    nodes = pooled(guess.height * UNIT, POOLING, coast())
    expected = none.anomaly(state) - low_passed(nodes, one.grid, 200.0)
    wet = torch.from_numpy(one.grid.ocean)
    torch.testing.assert_close(one.anomaly(state)[..., wet], expected[..., wet])
    assert none.background is None


def test_the_low_pass_keeps_constants_and_damps_waves_as_a_gaussian_does() -> None:
    grid = Grid.cartesian(60, 80, 20.0, 15.0)
    width, length = 200.0, 400.0
    wave = torch.cos(2 * math.pi * 15.0 * torch.arange(80, dtype=torch.float64) / length)
    field = low_passed(wave.expand(60, 80), grid, width)[:, 20:60]
    deviation = width / math.sqrt(8 * math.log(2))
    damping = math.exp(-0.5 * (2 * math.pi * deviation / length) ** 2)
    torch.testing.assert_close(field, damping * wave.expand(60, 80)[:, 20:60], rtol=0, atol=1e-3)
    land = np.zeros((60, 80), bool)
    land[20:, :30] = True
    coastal = Grid.cartesian(60, 80, 20.0, 15.0, land=land)
    heights = torch.full((60, 80), 0.7, dtype=torch.float64)
    heights[coastal.land] = math.nan
    smooth = low_passed(heights, coastal, width)
    torch.testing.assert_close(
        smooth[coastal.ocean], torch.full_like(smooth[coastal.ocean], 0.7), rtol=1e-9, atol=0
    )


# --- longer steps ---------------------------------------------------------------------------


def test_steps_of_one_day_have_the_fitted_law() -> None:
    one = dynamics(LAW)
    assert (one.dt, one.rho, one.alpha, one.scheme) == (1.0, LAW.rho, 2, "backward_euler")
    assert (one.noise.length_km, one.noise.order) == (LAW.noise_length_km, LAW.noise_order)
    assert dynamics(replace(LAW, rho=0.0), 3).rho == 0.0


@pytest.mark.parametrize("lag", [2, 3, 5])
@pytest.mark.parametrize("rho", [0.2, 0.45, 0.8])
def test_memory_of_longer_steps_is_that_of_sums_of_the_noise(lag: int, rho: float) -> None:
    """Against a simulation, and for two days against ρ (1 + ρ) / 2."""
    found = dynamics(PriorLaw(120.0, 9.0, 40.0, 1, rho), lag)
    assert found.dt == lag
    rng = np.random.default_rng(lag)
    shocks = rng.standard_normal((4000, 40 * lag))
    noise = np.zeros_like(shocks)
    noise[:, 0] = shocks[:, 0] / np.sqrt(1 - rho**2)
    for step in range(1, noise.shape[1]):
        noise[:, step] = rho * noise[:, step - 1] + shocks[:, step]
    sums = noise.reshape(4000, -1, lag).sum(axis=2)
    simulated = np.mean(sums[:, 1:] * sums[:, :-1]) / np.mean(sums**2)
    assert found.rho == pytest.approx(simulated, abs=0.01)
    if lag == 2:
        assert found.rho == pytest.approx(rho * (1 + rho) / 2, rel=1e-12)


# --- what the likelihood finds --------------------------------------------------------------


def drawn_problem(law: PriorLaw, sigma: float, batch: int) -> tuple[ThetaProblem, torch.Tensor]:
    """Windows of nodes drawn from a law, as normalised truth, and their problem."""
    shape = (batch, 15, 16, 16)
    still = torch.zeros(batch, 2, *shape[1:], dtype=torch.float64)
    guess = Guess(
        torch.zeros(shape, dtype=torch.float64), still,
        torch.full((batch, 16, 16), sigma, dtype=torch.float64), 1.0, law,
    )  # fmt: skip
    ocean = torch.ones(16, 16, dtype=torch.bool)
    made = ThetaProblem.of(guess, ocean, (22.0, 22.0), SpdeSolverConfig(), 1)
    prior = made.prior(made.parameters(torch.zeros(batch, COUNT, 1, 1, dtype=torch.float64)))
    return made, prior.sample(1, torch.Generator().manual_seed(5))[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lags", "time_error", "sigma_error"), [((1,), 0.05, 0.02), ((1, 3), 0.15, 0.12)]
)
@pytest.mark.parametrize(("time", "sigma"), [(20.0, 0.3), (6.0, 0.12), (50.0, 0.2)])
def test_descent_of_the_likelihood_recovers_time_and_deviation(
    lags, time_error, sigma_error, time, sigma
) -> None:
    """Truth of T = 9 days and σ = 0.2 m; κ² does not run to zero, wherever the descent starts.

    Steps of three days are another discretisation of the same law: they cost some accuracy here
    (T 11 % and σ 10 % too large), where the truth is that of the one-day steps itself.
    """
    law = PriorLaw(140.0, 9.0, 40.0, 1, 0.45)
    _, truth = drawn_problem(law, 0.2, batch=12)
    made, _ = drawn_problem(replace(law, decorrelation_time_days=time), sigma, batch=12)
    shared = torch.zeros(1, COUNT, 1, 1, dtype=torch.float64, requires_grad=True)
    keep = torch.zeros_like(shared)
    keep[:, :2] = 1  # σ and T
    optimizer = torch.optim.LBFGS([shared], max_iter=25, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = made.nll((keep * shared).expand(12, -1, -1, -1), truth, lags).mean()
        value.backward()
        return value

    optimizer.step(loss)
    theta = made.parameters((keep * shared.detach()).expand(12, -1, -1, -1))
    meaning = theta.physical(dynamics=dynamics(law))
    found_time, found_sigma = (float(v.mean()) for v in (meaning.decorrelation_time, meaning.sigma))
    assert found_time == pytest.approx(9.0, rel=time_error)
    assert found_sigma == pytest.approx(0.2, rel=sigma_error)
