"""Energy, determinant, covariance and samples of the prior against dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from pipeline_spde.grids import Grid
from pipeline_spde.spde import Coloured, SpdeParameters, SpdePrior


def flat(x, prior):
    """Ocean values of states (..., batch, time, lat, lon) as (..., batch, time · cells)."""
    return x[..., prior.ocean].flatten(-2).numpy()


def test_everything_equals_dense_algebra(grid, settings, oracle):
    prior = oracle.prior(grid, seed=1, batch=2, **settings)
    x = torch.randn(
        3, *prior.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    energy, logdet = prior.energy(x), prior.logdet()
    product, covariance = prior.precision_times(x), prior.covariance_times(x)
    for entry in range(2):
        dense = oracle.dense_prior(grid, prior.theta, entry, **settings)
        assert np.linalg.eigvalsh(dense.q).min() > 0
        v = flat(x[:, entry], prior)
        np.testing.assert_allclose(
            energy[:, entry], np.einsum("ni,ij,nj->n", v, dense.q, v), rtol=1e-10
        )
        np.testing.assert_allclose(
            logdet[entry], np.linalg.slogdet(dense.q)[1], rtol=1e-11, atol=1e-9
        )
        qv = v @ dense.q
        np.testing.assert_allclose(flat(product[:, entry], prior), qv, atol=1e-10 * abs(qv).max())
        cv = v @ dense.covariance
        np.testing.assert_allclose(flat(covariance[:, entry], prior), cv, atol=1e-9 * abs(cv).max())


@given(
    shape=st.tuples(st.integers(2, 6), st.integers(3, 6)),
    periodic=st.booleans(),
    land=st.floats(0, 0.7),
    name=st.sampled_from(["plain", "memory", "coloured", "fourth_order", "crank_nicolson"]),
    seed=st.integers(0, 10_000),
)
@examples(max_examples=25, deadline=None)
def test_energy_and_determinant_on_any_shape_and_coast(shape, periodic, land, name, seed, oracle):
    rng = np.random.default_rng(seed)
    mask = rng.uniform(size=shape) < land
    mask[rng.integers(shape[0]), rng.integers(shape[1])] = False  # one cell of water at least
    grid = Grid.cartesian(*shape, 10.0, 8.5, land=mask, periodic=periodic)
    options = oracle.settings[name]
    prior = oracle.prior(grid, seed=seed, days=2, **options)
    dense = oracle.dense_prior(grid, prior.theta, **options)
    x = torch.as_tensor(rng.standard_normal(prior.shape))
    v = flat(x, prior)[0]
    assert float(prior.energy(x)) == pytest.approx(v @ dense.q @ v, rel=1e-9)
    determinant = np.linalg.slogdet(dense.q)[1]
    assert float(prior.logdet()) == pytest.approx(determinant, rel=1e-10, abs=1e-8)


def test_inspection_of_the_precision_equals_dense(oracle):
    grid = oracle.grids["masked"]
    for name in ("plain", "everything"):
        prior = oracle.prior(grid, seed=2, batch=2, **oracle.settings[name])
        for entry, q in enumerate(prior.precision()):
            dense = oracle.dense_prior(grid, prior.theta, entry, **oracle.settings[name])
            wet = np.flatnonzero(np.tile(grid.ocean.ravel(), 3))
            full = q.toarray()
            np.testing.assert_allclose(
                full[np.ix_(wet, wet)], dense.q, atol=1e-9 * abs(dense.q).max()
            )
            dry = np.setdiff1d(np.arange(full.shape[0]), wet)
            np.testing.assert_array_equal(full[dry][:, dry], np.eye(dry.size))
            assert not full[np.ix_(dry, wet)].any()


@pytest.mark.parametrize(
    "name", ["plain", "fourth_order", "fourth_order_cn", "substeps", "coloured"]
)
def test_the_diagonal_of_the_precision_is_exact_without_memory(name, grid, oracle):
    prior = oracle.prior(grid, seed=2, batch=2, **oracle.settings[name])
    ours = prior.precision_diagonal()
    for entry in range(2):
        dense = oracle.dense_prior(grid, prior.theta, entry, **oracle.settings[name])
        np.testing.assert_allclose(flat(ours[entry], prior), np.diag(dense.q), rtol=1e-9)


def test_marginal_std_and_correlation_equal_dense(oracle):
    grid, options = oracle.grids["masked"], oracle.settings["everything"]
    prior = oracle.prior(grid, seed=3, **options)
    dense = oracle.dense_prior(grid, prior.theta, **options)
    truth = np.sqrt(np.diag(dense.covariance))
    np.testing.assert_allclose(flat(prior.marginal_std(None)[0], prior), truth, rtol=1e-8)
    estimate = flat(prior.marginal_std(1000, torch.Generator().manual_seed(0))[0], prior)
    np.testing.assert_allclose(estimate, truth, rtol=0.1)  # 5 standard errors
    point = (1, 2, 5)
    row = np.flatnonzero(np.arange(42)[grid.ocean.ravel()] == 2 * 7 + 5)[0] + dense.n
    expected = dense.covariance[row] / truth / truth[row]
    ours = prior.correlation(point, std=prior.marginal_std(None))[0]
    np.testing.assert_allclose(flat(ours, prior), expected, atol=1e-8)
    with pytest.raises(ValueError, match="on land"):
        prior.covariance((0, 0, 0))


@pytest.mark.parametrize(
    "name", ["plain", "memory", "memory_fourth", "everything", "fourth_order_cn"]
)
def test_samples_have_the_dense_covariance(name, oracle):
    """4000 draws: variance of 40 random projections within 5 standard errors (11 %)."""
    grid, options = oracle.grids["masked"], oracle.settings[name]
    prior = oracle.prior(grid, seed=6, **options)
    dense = oracle.dense_prior(grid, prior.theta, **options)
    draws = flat(prior.sample(4000, torch.Generator().manual_seed(1))[:, 0], prior)
    std = np.sqrt(np.diag(dense.covariance))
    directions = np.random.default_rng(0).standard_normal((40, std.size)) / std
    expected = np.einsum("ki,ij,kj->k", directions, dense.covariance, directions)
    assert abs(directions @ draws.mean(0) / np.sqrt(expected / 4000)).max() < 5
    np.testing.assert_allclose((draws @ directions.T).var(0), expected, rtol=0.115)
    # energies of draws follow χ² with as many degrees as unknowns
    energy = prior.energy(prior.sample(4000, torch.Generator().manual_seed(2)))[:, 0].numpy()
    k = std.size
    assert abs(energy.mean() - k) < 5 * np.sqrt(2 * k / 4000)
    assert abs(energy.var() / (2 * k) - 1) < 0.2


def test_a_longer_window_does_not_start_under_dispersed(oracle):
    """Constant parameters: the variance is the same on every day, also with memory (pitfall 8)."""
    grid = oracle.grids["odd"]
    one = torch.ones(1, 6, *grid.shape, dtype=torch.float64)
    theta = SpdeParameters(0.3 * one, None, None, 150 * one, 30 * one, 90 * one, 7 * one)
    for options in (
        {},
        {"scheme": "crank_nicolson"},
        {"alpha": 4},
        {"rho": 0.5},
        {"rho": 0.5, "scheme": "crank_nicolson", "alpha": 4},
        {"rho": 0.7, "dt": 0.3},
    ):
        std = SpdePrior(grid, theta, **options).marginal_std(None)[0]
        torch.testing.assert_close(std, std[-1:].expand_as(std), rtol=1e-8, atol=0)


def test_the_start_with_coloured_noise_is_stationary_away_from_walls():
    """Filter and walls do not commute: exact in the interior only."""
    grid = Grid.cartesian(25, 25, 15.0, 15.0)
    one = torch.ones(1, 6, 25, 25, dtype=torch.float64)
    theta = SpdeParameters(0.3 * one, None, None, 150 * one, 30 * one, 90 * one, 7 * one)
    for rho in (0.0, 0.5):
        prior = SpdePrior(grid, theta, rho=rho, noise=Coloured(20.0))
        std = [float(prior.covariance((t, 12, 12))[0, t, 12, 12]) ** 0.5 for t in (0, 1, 5)]
        assert std == pytest.approx([std[2]] * 3, rel=0.003)


def test_variable_advective_fields_start_within_a_tenth_of_their_variance():
    """Smooth fields, frozen for 15 days, currents of 8 km/day: day 0 against the last (pitfall 8).

    Advection and the variation of τ are what the start leaves out.
    """
    grid = Grid.cartesian(14, 14, 15.0, 15.0)
    y, x = (torch.as_tensor(a) / 60 for a in np.meshgrid(grid.lat, grid.lon, indexing="ij"))
    one = torch.ones(1, 15, 14, 14, dtype=torch.float64)
    theta = SpdeParameters(
        (0.3 + 0.08 * x.sin()) * one, 8 * y.cos() * one, 8 * x.sin() * one,
        (150 + 50 * y.sin()) * one, 30 * x.cos() * one, 90 * one, (7 + 2 * (x + y).sin()) * one,
    )  # fmt: skip
    for rho in (0.0, 0.45):
        prior = SpdePrior(grid, theta, rho=rho)
        for j, i in ((7, 7), (3, 10), (10, 4)):
            first, last = (float(prior.covariance((t, j, i))[0, t, j, i]) for t in (0, 14))
            assert (first / last) ** 0.5 == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "memory_fourth",
        "everything",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("memory", "fourth_order_cn")),
    ],
)
def test_first_and_second_derivatives(name, oracle):
    """In x and in every parameter, by finite differences (pitfall 6)."""
    grid = oracle.grids["odd"]
    theta = oracle.random_theta(grid, seed=7)
    names = [n for n, _ in theta.items()]
    x = torch.randn(
        1, 3, *grid.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    inputs = [v.clone().requires_grad_() for v in (x, *(v for _, v in theta.items()))]

    def prior(fields):
        return SpdePrior(
            grid, type(theta)(**dict(zip(names, fields, strict=True))), **oracle.settings[name]
        )

    assert torch.autograd.gradcheck(
        lambda x, *f: prior(f).energy(x), inputs, fast_mode=True, rtol=1e-3
    )
    assert torch.autograd.gradgradcheck(
        lambda x, *f: prior(f).energy(x), inputs, fast_mode=True, rtol=1e-2, atol=1e-4
    )
    assert torch.autograd.gradcheck(
        lambda *f: prior(f).logdet(), inputs[1:], fast_mode=True, rtol=1e-3
    )
    assert torch.autograd.gradcheck(
        lambda x, *f: prior(f).nll(x), inputs, fast_mode=True, rtol=1e-3
    )


def test_batches_and_members_do_not_see_each_other(oracle):
    grid = oracle.grids["masked"]
    prior = oracle.prior(grid, seed=1, batch=3, rho=0.4)
    x = torch.randn(
        2, *prior.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    for entry in range(3):
        alone = type(prior.theta)(**{n: v[entry : entry + 1] for n, v in prior.theta.items()})
        single = SpdePrior(grid, alone, rho=0.4)
        torch.testing.assert_close(
            single.energy(x[:, entry : entry + 1])[:, 0], prior.energy(x)[:, entry]
        )
        torch.testing.assert_close(single.logdet()[0], prior.logdet()[entry])


def test_steps_factored_together_or_one_by_one_are_the_same(oracle, monkeypatch):
    """The splitting of time into batches changes nothing in determinant, energy or samples."""
    from pipeline_spde.spde import factor, propagator

    grid = oracle.grids["masked"]
    whole = oracle.prior(grid, seed=1, batch=2, days=5)
    x = torch.randn(whole.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = (
        whole.logdet(),
        whole.sample(2, torch.Generator().manual_seed(4)),
        whole.covariance_times(x),
    )
    for module, name in (
        (factor, "CHUNK_BYTES"),
        (propagator, "KEEP_BYTES"),
        (propagator, "_CHUNK_BYTES"),
    ):
        monkeypatch.setattr(module, name, 1.0)
    split = oracle.prior(grid, seed=1, batch=2, days=5)
    actual = (
        split.logdet(),
        split.sample(2, torch.Generator().manual_seed(4)),
        split.covariance_times(x),
    )
    torch.testing.assert_close(actual, expected)
    # a window is the sum of its steps: two halves that share a day
    energy = whole.energy(x)
    first = SpdePrior(grid, whole.theta.at(slice(0, 3)))
    second = SpdePrior(grid, whole.theta.at(slice(2, 5)))
    shared = second.start.energy(torch.where(whole.ocean, x[:, 2], 0), None)
    torch.testing.assert_close(first.energy(x[:, :3]) + second.energy(x[:, 2:]) - shared, energy)


def test_values_on_land_never_matter(oracle):
    grid = oracle.grids["masked"]
    theta = oracle.random_theta(grid, seed=1)
    land = torch.as_tensor(grid.land)
    spoiled = type(theta)(**{n: torch.where(land, float("nan"), v) for n, v in theta.items()})
    clean, odd = SpdePrior(grid, theta, rho=0.3), SpdePrior(grid, spoiled, rho=0.3)
    x = torch.randn(clean.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(clean.energy(x), odd.energy(torch.where(land, float("nan"), x)))
    assert torch.equal(clean.logdet(), odd.logdet())
    assert not odd.sample(2)[..., land].any()


def test_single_precision_agrees(oracle, settings):
    grid = oracle.grids["masked"]
    double, single = (
        oracle.prior(grid, seed=1, **settings),
        oracle.prior(grid, seed=1, dtype=torch.float32, **settings),
    )
    x = torch.randn(double.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert single.energy(x.float()).dtype == torch.float32
    torch.testing.assert_close(
        single.energy(x.float()).double(), double.energy(x), rtol=2e-5, atol=0
    )
    torch.testing.assert_close(single.logdet(), double.logdet(), rtol=2e-5, atol=1e-3)


def test_density_integrates_like_a_gaussian(oracle):
    """−log p at a draw minus the dense value is rounding only."""
    grid = oracle.grids["odd"]
    prior = oracle.prior(grid, seed=2, rho=0.4)
    dense = oracle.dense_prior(grid, prior.theta, rho=0.4)
    x = prior.sample(1, torch.Generator().manual_seed(0))[0]
    mean = torch.full_like(x, 0.3)
    v = flat(x[0], prior) - 0.3
    logp = 0.5 * (np.linalg.slogdet(dense.q)[1] - v @ dense.q @ v - v.size * np.log(2 * np.pi))
    assert float(prior.nll(x, mean)) == pytest.approx(-logp, rel=1e-12)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cuda_agrees_with_cpu(dtype, oracle):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for name in ("plain", "everything", "memory_fourth"):
        grid, options = oracle.grids["masked"], oracle.settings[name]
        theta = oracle.random_theta(grid, batch=2, seed=1, dtype=dtype)
        host, device = (
            SpdePrior(grid, theta, **options),
            SpdePrior(grid, theta.to("cuda"), **options),
        )
        x = host.sample(2, torch.Generator().manual_seed(0))
        there = device.sample(2, torch.Generator().manual_seed(0))
        tolerance = {"rtol": 1e-3, "atol": 1e-3} if dtype == torch.float32 else {}
        torch.testing.assert_close(there.cpu(), x, **tolerance)
        torch.testing.assert_close(device.energy(there).cpu(), host.energy(x), **tolerance)
        torch.testing.assert_close(device.logdet().cpu(), host.logdet(), **tolerance)
        observed = torch.rand(host.shape, generator=torch.Generator().manual_seed(1)) < 0.3
        a = host.condition(x[0], observed, 0.1).mean()
        b = device.condition(x[0].cuda(), observed.cuda(), 0.1).mean()
        torch.testing.assert_close(
            b.cpu(), a, rtol=1e-2, atol=1e-2 if dtype == torch.float32 else 1e-6
        )
