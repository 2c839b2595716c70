"""Two-layer dynamics against closed forms: waves, budgets, inversion, relaxation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_spde.data.quasigeostrophic import TwoLayerModel, refine

SIDE = 1440e3
RADIUS = 36e3
DELTA = 0.25
BETA = 1.8e-11
DAY = 86400.0


def model(nodes=32, **options):
    return TwoLayerModel(nodes, SIDE, RADIUS, DELTA, **{"beta": BETA, **options})


def smooth_state(ocean, rng, waves=4, speed=0.3):
    """Random waves of at most `waves` cycles per side in both layers."""
    psi = ocean.to_spectrum(rng.standard_normal((2, ocean.nodes, ocean.nodes)))
    psi = np.where(ocean.wavenumber_squared <= (2 * np.pi / SIDE * waves) ** 2, psi, 0)
    psi[:, 0, 0] = 0
    q = ocean.potential_vorticity(psi)
    return q * (speed / ocean.fastest(q))


@pytest.mark.parametrize("mode", ["barotropic", "baroclinic"])
@pytest.mark.parametrize(("wave_x", "wave_y"), [(3, 0), (2, 5), (1, -2)])
def test_a_rossby_wave_moves_with_its_analytic_phase_speed(mode, wave_x, wave_y):
    ocean = model()
    # one wave solves the full equations: ψ and q are proportional, so J(ψ, q) is zero
    ratio, stretching = {"barotropic": (1.0, 0.0), "baroclinic": (-DELTA, 1 / RADIUS**2)}[mode]
    k, l = 2 * np.pi / SIDE * np.array([wave_x, wave_y])  # noqa: E741
    frequency = -BETA * k / (k**2 + l**2 + stretching)
    y, x = np.mgrid[: ocean.nodes, : ocean.nodes] * ocean.spacing

    def wave(seconds):
        layer = 1e4 * np.cos(k * x + l * y - frequency * seconds)
        return np.stack([layer, ratio * layer])

    q = ocean.potential_vorticity(ocean.to_spectrum(wave(0.0)))
    steps = 80
    for _ in range(steps):
        q = ocean.step(q, 3600.0)
    found = ocean.to_mesh(ocean.streamfunction(q))
    # Runge-Kutta's phase error is (ω dt)⁵/120 a step, below 1e-9 here
    assert np.abs(found - wave(steps * 3600.0)).max() < 1e-6 * 1e4


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    ratio=st.floats(0.05, 2.0),
    radius=st.floats(10e3, 100e3),
    nodes=st.sampled_from([16, 30, 32]),
)
def test_inverting_potential_vorticity_returns_the_streamfunction(seed, ratio, radius, nodes):
    ocean = TwoLayerModel(nodes, SIDE, radius, ratio, BETA)
    psi = np.random.default_rng(seed).standard_normal((2, nodes, nodes))
    psi -= psi.mean(axis=(1, 2), keepdims=True)
    spectrum = ocean.to_spectrum(psi)
    back = ocean.to_mesh(ocean.streamfunction(ocean.potential_vorticity(spectrum)))
    assert np.abs(back - psi).max() < 1e-8


def test_potential_vorticity_is_its_definition_in_finite_differences(rng):
    ocean = model(nodes=128)
    q = smooth_state(ocean, rng, waves=3)
    upper, lower = ocean.to_mesh(ocean.streamfunction(q))
    neighbours = sum(np.roll(upper, shift, axis) for shift in (-1, 1) for axis in (0, 1))
    laplacian = (neighbours - 4 * upper) / ocean.spacing**2
    expected = laplacian + (lower - upper) / (RADIUS**2 * (1 + DELTA))
    # second-order differences of waves of 43 mesh sizes: (2π/43)²/12 = 0.2 %
    assert np.abs(ocean.to_mesh(q)[0] - expected).max() < 5e-3 * np.abs(expected).max()


def test_energy_and_enstrophy_are_conserved_without_forcing_and_friction(rng):
    ocean = model(nodes=64)
    q = smooth_state(ocean, rng)
    before = ocean.energy(q), ocean.enstrophy(q)
    start = ocean.to_mesh(q)
    for _ in range(120):
        q = ocean.step(q, 3600.0)
    moved = np.abs(ocean.to_mesh(q) - start).max() / np.abs(start).max()
    assert moved > 0.3  # it is not conserved for want of motion
    # what is left: truncation of the mesh and (dt · speed)⁵ of the time step
    assert ocean.energy(q) == pytest.approx(before[0], rel=1e-11)
    assert ocean.enstrophy(q) == pytest.approx(before[1], rel=1e-9)


def test_bottom_drag_takes_the_energy_that_it_should(rng):
    rate = 1 / (10 * DAY)
    ocean = model(nodes=64, drag_rate=rate)
    q = smooth_state(ocean, rng)
    psi = ocean.streamfunction(q)[1]
    velocity = ocean.to_mesh(np.stack([-1j * ocean.ky * psi, 1j * ocean.kx * psi]))
    expected = -rate * np.mean(np.sum(velocity**2, axis=0)) / (1 + DELTA)
    dt = 600.0
    found = (ocean.energy(ocean.step(q, dt)) - ocean.energy(q)) / dt
    assert found == pytest.approx(expected, rel=1e-3)


def test_an_ocean_at_rest_is_drawn_to_the_jet_in_the_relaxation_time():
    nodes = 64
    y = SIDE / nodes * np.arange(nodes)
    jet = 0.4 * np.cos(2 * np.pi * y / SIDE) + 0.2 * np.sin(6 * np.pi * y / SIDE)
    ocean = model(nodes=nodes, jet=jet, relaxation_rate=1 / (20 * DAY))
    q = np.zeros((2, nodes, nodes // 2 + 1), complex)
    for _ in range(80):
        q = ocean.step(q, DAY / 4)
    reached = ocean.to_mesh(q)[0, :, 0]
    k1, k3 = 2 * np.pi / SIDE, 6 * np.pi / SIDE
    f1 = 1 / (RADIUS**2 * (1 + DELTA))
    # u = −∂y ψ and q = ∂yy ψ − F₁ ψ for each wave of the jet over a lower layer at rest
    full = (k1**2 + f1) / k1 * 0.4 * np.sin(k1 * y) - (k3**2 + f1) / k3 * 0.2 * np.cos(k3 * y)
    assert reached == pytest.approx((1 - np.exp(-1)) * full, rel=1e-6, abs=1e-12)
    assert np.abs(ocean.to_mesh(q)[1]).max() < 1e-12 * np.abs(full).max()  # upper layer only


def test_the_filter_spares_long_waves_and_does_not_depend_on_the_step(rng):
    still = {"beta": 0.0, "filter_rate": 1 / 300.0}
    ocean = model(**still)
    spectrum = np.abs(ocean.step(1e-12 * np.ones((2, 32, 17), complex), 100.0)) / 1e-12
    long = ocean.wavenumber_squared < (0.65 * np.pi / ocean.spacing) ** 2
    assert np.all(spectrum[:, long] == pytest.approx(1.0, abs=1e-4))
    assert spectrum[0, 0, 16] == pytest.approx(np.exp(-1 / 3), rel=1e-3)
    twice = ocean.step(ocean.step(1e-12 * np.ones((2, 32, 17), complex), 50.0), 50.0)
    assert np.abs(twice) / 1e-12 == pytest.approx(spectrum, abs=1e-3)


def test_a_baroclinic_shear_below_the_critical_one_is_stable_and_above_it_grows():
    """Phillips: upper-layer shear U grows when it exceeds β/F₂ (westerly), Vallis eq. 9.65."""
    growth = {}  # in 27 days; the critical speed is 0.12 m/s
    for speed in (0.06, 0.6):
        nodes = 48
        y = SIDE / nodes * np.arange(nodes)
        ocean = model(nodes=nodes, jet=speed * np.cos(2 * np.pi * y / SIDE))
        psi = np.zeros((2, nodes, nodes))
        psi[0] = -speed * SIDE / (2 * np.pi) * np.sin(2 * np.pi * y / SIDE)[:, None]
        psi[0] += 1e-3 * psi[0].std() * np.random.default_rng(1).standard_normal((nodes, nodes))
        spectrum = ocean.to_spectrum(psi)
        spectrum = np.where(ocean.wavenumber_squared < (2 * np.pi / SIDE * 10) ** 2, spectrum, 0)
        q = ocean.potential_vorticity(spectrum)

        def eddies(q, ocean=ocean):
            upper = ocean.to_mesh(ocean.streamfunction(q))[0]
            return np.std(upper - upper.mean(axis=1, keepdims=True))

        before = eddies(q)
        for _ in range(160):
            q = ocean.step(q, 4 * 3600.0)
        growth[speed] = eddies(q) / before
    assert growth[0.06] < 1.5
    assert growth[0.6] > 10


@pytest.mark.parametrize("single", [False, True])
def test_refining_keeps_the_fields(rng, single):
    coarse, fine = model(nodes=32, single=single), model(nodes=80, single=single)
    q = smooth_state(coarse, rng)
    finer = refine(q, 80)
    assert finer.dtype == q.dtype
    assert refine(q, 32) is q
    # every fifth node of the fine mesh is every second node of the coarse one
    tolerance = 1e-5 if single else 1e-12
    scale = np.abs(coarse.to_mesh(q)).max()
    difference = fine.to_mesh(finer)[:, ::5, ::5] - coarse.to_mesh(q)[:, ::2, ::2]
    assert np.abs(difference).max() < tolerance * scale
    assert fine.energy(finer) == pytest.approx(coarse.energy(q), rel=10 * tolerance)
    with pytest.raises(ValueError, match="cannot refine from 80 to 32"):
        refine(finer, 32)


def test_single_precision_follows_double_precision(rng):
    double, single = model(nodes=64), model(nodes=64, single=True)
    q = smooth_state(double, rng)
    q32 = q.astype(np.complex64)
    for _ in range(24):
        q, q32 = double.step(q, 3600.0), single.step(q32, 3600.0)
    assert q32.dtype == np.complex64
    assert np.abs(q32 - q).max() < 1e-4 * np.abs(q).max()


def test_the_fastest_flow_is_found():
    ocean = model()
    y = np.arange(32) * ocean.spacing
    k = 2 * np.pi / SIDE * 2
    psi = 0.7 / k * np.sin(k * y)[:, None] * np.ones(32)
    q = ocean.potential_vorticity(ocean.to_spectrum(np.stack([psi, 0 * psi])))
    assert ocean.fastest(q) == pytest.approx(0.7)


def test_unusable_meshes_are_refused():
    with pytest.raises(ValueError, match="even and 8 or more, got 33"):
        model(nodes=33)
    with pytest.raises(ValueError, match="jet has shape"):
        model(nodes=32, jet=np.zeros(31))
