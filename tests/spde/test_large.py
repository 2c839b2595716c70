"""Tiles and strips against the direct factorisation, on small grids with the threshold lowered."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from pipeline_spde.grids import Grid
from pipeline_spde.spde import SpdeParameters, SpdePrior, large, strips
from pipeline_spde.spde.conjugate import ConvergenceError
from pipeline_spde.spde.factor import Factor, log_abs_det, solve
from pipeline_spde.spde.operator import advection, mesh
from pipeline_spde.spde.polynomial import Polynomial


def land(ny, nx):
    """A coast, an island and a strait one cell wide."""
    out = np.zeros((ny, nx), bool)
    out[: ny // 3, : nx // 4] = True
    out[ny // 2 : ny // 2 + 5, nx // 2 : nx // 2 + 4] = True
    out[-6, nx // 3 : -3] = True
    out[-4, nx // 3 :] = True
    return out


WIDE = {
    "walls": Grid.cartesian(34, 29, 10.0, 8.5),
    "coasts": Grid.latlon(40 + 0.25 * np.arange(31), -60 + 0.25 * np.arange(33), land=land(31, 33)),
    "globe": Grid.latlon(
        np.linspace(-75, 75, 31), np.arange(-180, 180, 10.0), land=land(31, 36), periodic=True
    ),
}


TALL = {
    "coasts": Grid.cartesian(84, 11, 10.0, 12.0, land=land(84, 11)),
    "globe": Grid.latlon(
        np.linspace(-60, 60, 84), np.arange(-180, 180, 36.0), land=land(84, 10), periodic=True
    ),
}
DIFFERENT = ("substeps", "memory_cn", "memory_fourth", "fourth_order_cn", "everything")


@pytest.fixture
def tiles(monkeypatch):
    """Small tiles, and draws by blocks of few rows, for every grid from 500 cells on."""
    monkeypatch.setattr(strips, "LARGE", 500)
    monkeypatch.setattr(strips, "DRAW_ROWS", 4)
    monkeypatch.setattr(large, "TILE", 9)
    monkeypatch.setattr(large, "HALO", (2, 4))


def direct(monkeypatch):
    monkeypatch.setattr(strips, "LARGE", 10**9)


def numbers(*shape, dtype=torch.float64, seed=1):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def relative(actual, expected):
    return float((actual - expected).detach().norm() / expected.detach().norm())


def test_every_cell_is_owned_by_one_tile_and_far_from_its_edges():
    for ny, nx, tile, halo, periodic in [
        (31, 33, 9, 3, False),
        (31, 36, 9, 3, True),
        (8, 40, 20, 2, True),
        (50, 10, 11, 4, True),
        (23, 29, 50, 4, False),
        (13, 37, 6, 5, False),
    ]:
        t = large.tiling(ny, nx, tile, halo, periodic, torch.device("cpu"))
        held = t.gather.flatten()[t.scatter]
        torch.testing.assert_close(held, torch.arange(ny * nx))
        place = t.scatter % (t.height * t.width)
        row, column = place // t.width, place % t.width
        j, i = torch.arange(ny * nx) // nx, torch.arange(ny * nx) % nx
        assert bool((row >= torch.minimum(j, torch.tensor(halo))).all())
        assert bool((t.height - 1 - row >= torch.minimum(ny - 1 - j, torch.tensor(halo))).all())
        if not t.periodic:
            west = torch.full_like(i, halo) if periodic else i.clamp(max=halo)
            east = torch.full_like(i, halo) if periodic else (nx - 1 - i).clamp(max=halo)
            assert bool((column >= west).all() and (t.width - 1 - column >= east).all())


FAST = {("coasts", "memory_fourth"), ("coasts", "substeps"), ("globe", "everything")}


@pytest.mark.parametrize(
    ("where", "name"),
    [
        pytest.param(w, n, marks=() if (w, n) in FAST else pytest.mark.slow)
        for w in ("coasts", "globe")
        for n in DIFFERENT
    ],
)
def test_solves_with_covariances_equal_the_direct_ones(where, name, oracle, tiles, monkeypatch):
    """A, Aᵀ, the noise filter and every polynomial of the start."""
    wide, settings = WIDE[where], oracle.settings[name]
    prior = oracle.prior(wide, days=3, scale=3.0, **settings)
    x = numbers(2, *prior.shape)
    by_tiles = prior.covariance_times(x)
    factored = [*prior.propagator._kept.values()]
    assert all(isinstance(p.factor(), large.TiledFactor) for chunk in factored for p in chunk)
    assert all(p.factor().tiles.count >= 9 for chunk in factored for p in chunk)
    direct(monkeypatch)
    exact = oracle.prior(wide, days=3, scale=3.0, **settings).covariance_times(x)
    assert not torch.equal(by_tiles, exact)
    assert relative(by_tiles, exact) < 1e-8


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize(("power", "p"), [(1, 1.0), (1, 0.0), (2, 1.0), (2, 0.0)])
def test_single_precision_keeps_the_tolerance(power, p, transpose, oracle, tiles):
    prior = oracle.prior(WIDE["coasts"], days=2, scale=20.0, currents=False, dtype=torch.float32)
    matrix = prior.diffusion[:, 0]
    single = Polynomial(p, 1.0, matrix, power, prior.mesh)
    b = numbers(3, 1, *prior.grid.shape, dtype=torch.float32)
    x = single.solve(b, transpose)
    assert x.dtype == torch.float32
    exact_mesh = prior.to(torch.float64).mesh
    exact = Polynomial(p, 1.0, matrix.double(), power, exact_mesh)
    stencil = exact.nine_point()
    factor = Factor(stencil)
    expected = solve(stencil, b.to(stencil.dtype), factor, transpose)
    if power == 2 and p == 0:
        expected = solve(stencil, expected, factor, transpose)
    residual_bound = large.TOLERANCE[torch.float32] * (1 if p else 1 / 0.2**2) * 3
    assert relative(x, expected.real) < residual_bound


def test_the_bare_tiles_have_seams_and_the_solution_has_none(oracle, tiles):
    """Jumps of the error between neighbours: across the edges of tiles against inside."""
    prior = oracle.prior(WIDE["walls"], days=2, scale=10.0)
    polynomial = prior.propagator.left[0][0].flattened(slice(0, 1))
    b = numbers(8, 1, *prior.grid.shape)
    factor = polynomial.factor()
    exact_factor = Factor(polynomial.nine_point())
    exact = solve(polynomial.nine_point(), b, exact_factor)[:, 0]
    owner = (factor.tiles.scatter // (factor.tiles.height * factor.tiles.width)).view(34, 29)
    across = owner[:, 1:] != owner[:, :-1]

    def jump_ratio(x):
        jump = (x - exact)[..., 1:] - (x - exact)[..., :-1]
        return float(jump[:, across].square().mean().sqrt() / exact.diff(dim=-1).std())

    assert jump_ratio(factor._by_tiles(0, b[:, 0], False)) > 1e-3
    assert jump_ratio(polynomial.solve(b)[:, 0]) < 1e-9


def linear_map(precision, height, halo):
    """All numbers a draw consumes as unit vectors: the draw's matrix, (numbers, cells)."""
    ny, nx = precision.shape[-2:]
    blocks = strips._blocks(ny, height, halo)
    spare = sum(end - following for _, following, end in blocks)
    unit = torch.eye((ny + spare) * nx, dtype=precision.dtype)
    used = [ny * nx]

    def more(shape):
        begin = used[0]
        used[0] += shape[-2] * shape[-1]
        return unit[:, begin : used[0]].reshape(shape)

    white = unit[:, : ny * nx].reshape(-1, 1, ny, nx)
    draws = strips.sample_by_strips(precision, white, more, height, halo, False)
    assert used[0] == unit.shape[0]
    return draws.flatten(1)


def dense(precision):
    ny, nx = precision.shape[-2:]
    eye = torch.eye(ny * nx, dtype=precision.dtype).view(-1, 1, ny, nx)
    return solve(precision, eye, Factor(precision)).flatten(1)


def test_draws_by_strips_have_the_covariance_up_to_the_bound(oracle):
    """The covariance implied by the draw's own matrix: no sampling error in the comparison."""
    grid = Grid.cartesian(40, 6, 10.0, 10.0)
    prior = oracle.prior(grid, days=2, scale=2.0, currents=False)
    rate = Polynomial(0.0, 1.0, prior.diffusion[:, 0], 1, prior.mesh)
    precision = rate.nine_point() * prior.mesh.area
    exact = dense(precision)
    errors = []
    for halo in (1, 6, 16):
        root = linear_map(precision, 8 + halo, halo)
        covariance = root.T @ root
        errors.append(float((covariance - exact).abs().max() / exact.diagonal().max()))
        assert errors[-1] < math.exp(-2 * halo / strips.decay_length(precision))
    assert errors[2] < 1e-3 * errors[0]


def count_draws_by_strips(monkeypatch):
    """Return a list that grows by the number of strips of every draw."""
    calls, by_strips = [], strips.sample_by_strips

    def spy(precision, white, more, height, halo, periodic):
        calls.append(len(strips._blocks(white.shape[-2], height, halo)))
        return by_strips(precision, white, more, height, halo, periodic)

    monkeypatch.setattr(strips, "sample_by_strips", spy)
    return calls


@pytest.mark.parametrize("where", TALL)
@pytest.mark.parametrize("name", ["memory", "everything"])
def test_samples_by_tiles_and_strips_follow_the_prior(where, name, oracle, tiles, monkeypatch):
    """x'Qx is chi-square with as many degrees of freedom as there are unknowns."""
    monkeypatch.setattr(strips, "DRAW_ACCURACY", 1e-2)
    cuts = count_draws_by_strips(monkeypatch)
    prior = oracle.prior(TALL[where], days=3, scale=0.3, **oracle.settings[name])
    x = prior.sample(60, torch.Generator().manual_seed(3))
    assert cuts, "no draw was cut into strips"
    assert min(cuts) >= 3
    assert not x[..., ~prior.ocean].any()
    unknowns = prior.mesh.count * prior.days
    energy = prior.energy(x) / unknowns
    spread = math.sqrt(2 / unknowns)
    assert float(energy.mean()) == pytest.approx(1, abs=4 * spread / math.sqrt(60))
    assert float(energy.std()) == pytest.approx(spread, rel=0.4)


def test_strips_leave_no_seams_in_a_draw(tiles, monkeypatch):
    monkeypatch.setattr(strips, "DRAW_ACCURACY", 1e-3)
    grid = Grid.cartesian(96, 24, 10.0, 10.0)
    one = torch.ones(1, 1, *grid.shape, dtype=torch.float64)
    h = (200 * one, 0 * one, 200 * one)
    prior = SpdePrior(grid, SpdeParameters(0.4 * one, None, None, *h, 10 * one))
    heights, by_strips = [], strips.sample_by_strips

    def spy(precision, white, more, height, halo, periodic):
        heights.append((height, halo))
        return by_strips(precision, white, more, height, halo, periodic)

    monkeypatch.setattr(strips, "sample_by_strips", spy)
    draws = prior.sample(600, torch.Generator().manual_seed(0))[:, 0, 0]
    jump = draws.diff(dim=-2).square().mean(dim=(0, 2)).sqrt()  # one number per pair of rows
    edges = [first - 1 for first, _, _ in strips._blocks(96, *heights[0])][1:]
    assert len(edges) >= 4
    inside = [r for r in range(4, 91) if r not in edges]
    # rows differ by chance: the mean over the edges lies within four of its standard deviations
    noise = float(jump[inside].std()) / math.sqrt(len(edges))
    assert noise < 0.01 * float(jump[inside].mean())
    assert float(jump[edges].mean() - jump[inside].mean()) == pytest.approx(0, abs=4 * noise)


def test_derivatives_through_a_solve_by_tiles_equal_the_direct_ones(oracle, tiles, monkeypatch):
    results = []
    for _ in range(2):
        theta = oracle.random_theta(WIDE["coasts"], days=2, seed=4)
        fields = [v.requires_grad_() for _, v in theta.items()]
        prior = SpdePrior(WIDE["coasts"], theta, rho=0.4)
        x = numbers(*prior.shape).requires_grad_()
        energy = prior.energy(x).sum()
        results.append([energy, *torch.autograd.grad(energy, [x, *fields])])
        direct(monkeypatch)
    for by_tiles, exact in zip(*results, strict=True):
        assert not torch.equal(by_tiles, exact)
        assert relative(by_tiles, exact) < 1e-8


def test_an_iteration_that_does_not_converge_is_an_error(oracle, tiles, monkeypatch):
    monkeypatch.setattr(large, "MAX_ITERATIONS", 1)
    prior = oracle.prior(WIDE["walls"], days=2, scale=10.0)
    with pytest.raises(ConvergenceError, match=r"relative residual of .* in 1 iterations"):
        prior.propagator.solve_at(0, numbers(1, *prior.grid.shape))


def test_zero_right_hand_sides_and_finished_ones_stay_exact(oracle, tiles):
    prior = oracle.prior(WIDE["walls"], days=2, scale=10.0)
    b = numbers(3, 1, *prior.grid.shape)
    b[1] = 0
    b[2] *= 1e-30
    x = prior.propagator.solve_at(0, b)
    assert not x[1].any()
    torch.testing.assert_close(
        x[2:] * 1e30, prior.propagator.solve_at(0, b[2:] * 1e30), rtol=1e-7, atol=1e-9
    )
    assert x.isfinite().all()


def test_factors_of_tiles_refuse_what_they_cannot_do(oracle, tiles):
    prior = oracle.prior(WIDE["walls"], days=2)
    factor = prior.propagator.left[0][0].flattened(slice(0, 1)).factor()
    with pytest.raises(TypeError, match="sample_by_strips"):
        factor.sample(numbers(1, 34 * 29, 1))
    with pytest.raises(TypeError, match="log_abs_det_by_strips"):
        factor.inverse_entries()
    with pytest.raises(ValueError, match="halo < height <= 8"):
        strips.sample_by_strips(
            torch.zeros(1, 9, 8, 4), torch.zeros(1, 1, 8, 4), torch.zeros, 4, 4, False
        )


def test_small_grids_are_factored_directly(oracle):
    prior = oracle.prior(WIDE["walls"], days=2)
    assert type(prior.propagator.left[0][0].flattened(slice(0, 1)).factor()) is Factor


def test_factors_of_the_start_are_released_when_they_are_big(oracle, tiles, monkeypatch):
    from pipeline_spde.spde import start

    prior = oracle.prior(WIDE["walls"], days=2, rho=0.4)
    x = numbers(*prior.shape)
    expected = prior.covariance_times(x)
    assert prior.start.memory._factor is not None
    monkeypatch.setattr(start, "KEEP_BYTES", 1.0)
    torch.testing.assert_close(prior.covariance_times(x), expected)
    assert prior.start.memory._factor is None


def test_decay_with_currents_is_that_of_the_inverse():
    """Upstream and downstream differ; a halo sees the round trip."""
    n, ahead, behind, total = 81, -2.0 + 1.5, -2.0 - 1.5, 1.3
    matrix = np.diag(np.full(n, total - ahead - behind))
    matrix += np.diag(np.full(n - 1, ahead), 1) + np.diag(np.full(n - 1, behind), -1)
    inverse = np.linalg.inv(matrix)[:, n // 2]
    up, down = (math.log(inverse[n // 2 + k] / inverse[n // 2 + 2 * k]) for k in (1, -1))
    stencil = torch.zeros(1, 9, 5, 5, dtype=torch.float64)
    stencil[:, 4], stencil[:, 7], stencil[:, 1] = total - ahead - behind, ahead, behind
    assert strips.decay_length(stencil) == pytest.approx(2 / (up + down), rel=1e-6)
    assert strips.reach(stencil) == pytest.approx(1 / min(up, down), rel=1e-6)


def test_strips_keep_their_promise_for_advection_alone(monkeypatch):
    """Advection factors (α = 4, sub-steps) have no symmetric coupling, yet reach far."""
    grid = Grid.cartesian(90, 8, 10.0, 10.0)
    metric = mesh(grid, torch.float64, torch.device("cpu"))
    along = 1 + 0.1 * torch.sin(torch.linspace(0, 9, 8, dtype=torch.float64))
    m = along.expand(1, *grid.shape)
    stencil = Polynomial(1.0, 1.0, advection(metric, 20 * m, 30 * m), 1, metric).nine_point()
    exact = log_abs_det(stencil)
    monkeypatch.setattr(strips, "LARGE", 10)
    monkeypatch.setattr(strips, "STRIP_CELLS", 8 * 12)
    monkeypatch.setattr(strips, "ACCURACY", 1e-4)
    value = strips.log_abs_det_any_size(stencil, False)
    assert not torch.equal(value, exact)
    torch.testing.assert_close(value, exact, rtol=1e-4, atol=0)
    short = strips.log_abs_det_by_strips(stencil, 12, 1, False)
    assert float((short / exact - 1).abs()) > 1e-4, "the halo does not matter here"


MEMORY = """
import resource, sys, torch
torch.set_num_threads(1)
from pipeline_spde.grids import Grid
from pipeline_spde.spde import Coloured, Dynamics, SpdeParameters, SpdePrior, strips
strips.LARGE = 200_000
grid = Grid.cartesian(512, 512, 5.0, 5.0)
settings = dict(dt=1.0, noise=Coloured(20.0), rho=0.45)
shape = (1, 2, 512, 512)
theta = SpdeParameters.from_physical(
    torch.full(shape, 0.2), range_major=80.0, range_minor=60.0, angle=30.0,
    decorrelation_time=14.0, m_east=torch.full(shape, 8.0), m_north=torch.full(shape, -5.0),
    dynamics=Dynamics(**settings),
)
prior = SpdePrior(grid, theta, **settings)
built = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
x = prior.sample(2, torch.Generator().manual_seed(0))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((peak - built) / 1e6, float(x.std()))
"""


@pytest.mark.slow
def test_a_quarter_of_a_million_cells_need_little_memory():
    """A factorisation of the whole grid takes 1.3 GB beyond the prior itself."""
    ran = subprocess.run(
        [sys.executable, "-c", MEMORY],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    gigabytes, std = (float(v) for v in ran.stdout.split())
    assert gigabytes < 1.0
    assert std == pytest.approx(0.2, rel=0.1)
