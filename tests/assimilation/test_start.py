from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline_spde.assimilation.costs import REFERENCE_ERROR, observation_weight
from pipeline_spde.assimilation.start import (
    NEGLECTED_VARIANCE,
    covariance_root,
    first_guess,
    gaussian_matrix,
    to_coefficients,
    to_state,
)
from pipeline_spde.config import StateModelConfig

SHAPE = (5, 9, 8)
SPACING = (22.0, 18.0)


def case(rng: np.random.Generator) -> tuple[NDArray, NDArray, NDArray]:
    heights = rng.standard_normal((2, *SHAPE))
    observed = rng.random((2, *SHAPE)) < 0.2
    error = rng.uniform(0.08, 0.3, (2, *SHAPE))
    return heights, observed, error


def guess(heights: NDArray, observed: NDArray, error: NDArray, **settings: object) -> torch.Tensor:
    config = StateModelConfig(window_days=5, start_length_km=60, start_length_days=4, **settings)
    mask = torch.from_numpy(observed)
    weight = observation_weight(torch.from_numpy(error).float(), mask)
    values = torch.where(mask, torch.from_numpy(heights).float(), 0.0)
    return first_guess(values, weight, config, SPACING)


def dense_kriging(heights: NDArray, observed: NDArray, error: NDArray) -> NDArray:
    """Simple kriging of one window, from the covariance of its points."""
    t, y, x = (axis.ravel() for axis in np.meshgrid(*map(np.arange, SHAPE), indexing="ij"))
    exponent = sum(
        (np.subtract.outer(axis, axis) * step / length) ** 2
        for axis, step, length in ((t, 1.0, 4.0), (y, SPACING[0], 60.0), (x, SPACING[1], 60.0))
    )
    covariance = np.exp(-exponent)
    seen = observed.ravel()
    system = covariance[np.ix_(seen, seen)] + np.diag(error.ravel()[seen] ** 2)
    return (covariance[:, seen] @ np.linalg.solve(system, heights.ravel()[seen])).reshape(SHAPE)


def test_oi_start_converges_to_dense_kriging(rng: np.random.Generator) -> None:
    heights, observed, error = case(rng)
    expected = np.stack(
        [dense_kriging(*parts) for parts in zip(heights, observed, error, strict=True)]
    )
    distances = [
        np.abs(guess(heights, observed, error, start_iterations=n).numpy() - expected).max()
        for n in (5, 20, 300)
    ]
    # what remains is the truncation of the basis: √(3 × neglected variance) of a unit field
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 3 * np.sqrt(3 * NEGLECTED_VARIANCE)


def test_samples_of_a_batch_do_not_influence_each_other(rng: np.random.Generator) -> None:
    heights, observed, error = case(rng)
    both = guess(heights, observed, error)
    alone = guess(heights[1:], observed[1:], error[1:])
    torch.testing.assert_close(both[1:], alone, rtol=1e-6, atol=1e-7)


def test_steps_after_convergence_change_nothing(rng: np.random.Generator) -> None:
    heights, observed, error = case(rng)
    observed[:, 1:] = False
    states = [guess(heights, observed, error, start_iterations=n) for n in (200, 400)]
    torch.testing.assert_close(*states, rtol=1e-6, atol=1e-7)


def test_root_reproduces_the_covariance() -> None:
    root = covariance_root(40, 20.0, 110.0).double().numpy()
    expected = gaussian_matrix(40, 20.0, 110.0)
    assert root.shape[1] < 20
    lost = np.trace(expected - root @ root.T) / 40
    assert 0 <= lost < 1.1 * NEGLECTED_VARIANCE
    np.testing.assert_allclose(root @ root.T, expected, atol=40 * NEGLECTED_VARIANCE)


def test_separable_product_and_its_adjoint(rng: np.random.Generator) -> None:
    factors = tuple(torch.from_numpy(rng.standard_normal(s)) for s in ((3, 2), (4, 3), (5, 2)))
    z, x = (
        torch.from_numpy(rng.standard_normal((2, 2, 3, 2))),
        torch.from_numpy(rng.standard_normal((2, 3, 4, 5))),
    )
    expected = torch.einsum("ta,yb,xc,nabc->ntyx", *factors, z)
    torch.testing.assert_close(to_state(factors, z), expected)
    left = (to_state(factors, z) * x).sum()
    torch.testing.assert_close((z * to_coefficients(factors, x)).sum(), left)


@pytest.mark.parametrize("start", ["oi", "smooth", "zeros"])
def test_nothing_observed_gives_the_mean(start: str, rng: np.random.Generator) -> None:
    heights, observed, error = case(rng)
    state = guess(heights, np.zeros_like(observed), error, start=start)
    assert not state.any()


def test_smoothed_start_is_a_normalised_mean(rng: np.random.Generator) -> None:
    observed = np.ones((1, *SHAPE), bool)
    error = np.full((1, *SHAPE), REFERENCE_ERROR)
    state = guess(np.full((1, *SHAPE), 2.0), observed, error, start="smooth").numpy()
    assert state.max() < 2.0 and state[0, 2, 4, 4] > 1.6
    np.testing.assert_allclose(state, state[:, ::-1, ::-1, ::-1], rtol=1e-5)


def test_start_is_float32_and_not_differentiated_under_autocast(rng: np.random.Generator) -> None:
    heights, observed, error = case(rng)
    plain = guess(heights, observed, error)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = guess(heights, observed, error)
    assert mixed.dtype == torch.float32 and not mixed.requires_grad
    assert torch.equal(plain, mixed)
