from __future__ import annotations

import torch

from pipeline_spde.assimilation.costs import (
    LARGEST_WEIGHT,
    REFERENCE_ERROR,
    BilinearPrior,
    masked_heights,
    observation_cost,
    observation_weight,
    prior_cost,
    upsample,
)


def test_weight_is_the_relative_precision_and_zero_outside_the_mask() -> None:
    error = torch.tensor([0.1, 0.2, float("nan"), float("inf"), 1e-9, 0.0]).reshape(1, 1, 1, 6)
    observed = torch.tensor([True, True, False, False, True, False]).reshape(1, 1, 1, 6)
    weight = observation_weight(error, observed).flatten()
    expected = [(REFERENCE_ERROR / 0.1) ** 2, (REFERENCE_ERROR / 0.2) ** 2, 0, 0]
    torch.testing.assert_close(weight, torch.tensor([*expected, LARGEST_WEIGHT, 0.0]))


def test_observation_cost_is_the_masked_sum_of_squares() -> None:
    generator = torch.Generator().manual_seed(0)
    state, heights = (torch.randn(2, 3, 4, 4, generator=generator) for _ in range(2))
    observed = torch.rand(2, 3, 4, 4, generator=generator) < 0.3
    weight = observation_weight(torch.full_like(state, 0.07), observed)
    expected = [
        0.5 * sum((0.1 / 0.07) ** 2 * (state[b] - heights[b])[observed[b]] ** 2) for b in range(2)
    ]
    torch.testing.assert_close(observation_cost(state, heights, weight), torch.stack(expected))


def test_heights_outside_the_mask_become_zero_even_when_nan() -> None:
    heights = torch.tensor([1.0, float("nan"), float("inf")])
    observed = torch.tensor([True, False, False])
    torch.testing.assert_close(masked_heights(heights, observed), torch.tensor([1.0, 0.0, 0.0]))


def test_prior_follows_its_equation() -> None:
    torch.manual_seed(1)
    prior = BilinearPrior(days=3, hidden=4, pooling=2)
    state = torch.randn(2, 3, 8, 6)
    pooled = state.reshape(2, 3, 4, 2, 3, 2).mean(dim=(3, 5))
    code = prior.encode(pooled).clamp(min=0)
    linear, left, right = prior.branches(code).split(4, dim=1)
    decoded = prior.decode(torch.cat([linear, left * right], 1))
    torch.testing.assert_close(prior(state), upsample(decoded, 2))
    assert prior(state).shape == state.shape


def test_bilinear_branch_makes_the_prior_quadratic() -> None:
    torch.manual_seed(2)
    prior = BilinearPrior(3, 8, 1).double()
    state = torch.rand(1, 3, 6, 6, dtype=torch.float64) + 1
    with torch.no_grad():
        for layer in (prior.encode, prior.branches, prior.decode):
            layer.bias.zero_()
        prior.encode.weight.abs_()  # all of z positive: the ReLU is the identity
        once, twice, thrice = (prior(factor * state) for factor in (1, 2, 3))
    # Φ(s x) = s a + s² b: the third value follows from the first two
    quadratic = (twice - 2 * once) / 2
    torch.testing.assert_close(thrice, 3 * (once - quadratic) + 9 * quadratic)
    assert quadratic.abs().max() > 1e-3


def test_prior_cost_is_zero_for_the_identity() -> None:
    state = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(prior_cost(state, torch.nn.Identity()), torch.zeros(2))


def test_upsampling_keeps_a_constant() -> None:
    torch.testing.assert_close(
        upsample(torch.full((1, 2, 3, 3), 7.0), 2), torch.full((1, 2, 6, 6), 7.0)
    )
