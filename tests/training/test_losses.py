from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline_spde.config import LossConfig
from pipeline_spde.periods import Task
from pipeline_spde.training.losses import state_loss, time_weights


@pytest.mark.parametrize("task", ["mapping", "nrt", "for2", "for4"])
def test_the_day_that_is_kept_weighs_most(task: str) -> None:
    target = Task(name=task)
    weights = time_weights(target, 15)
    assert weights.argmax() == target.target_index(15)
    assert weights.mean() == pytest.approx(1)
    assert (weights > 0).all()


def test_mapping_weights_are_a_hann_window() -> None:
    expected = np.hanning(17)[1:-1]
    np.testing.assert_allclose(
        time_weights(Task(name="mapping"), 15), expected / expected.mean(), rtol=1e-6
    )


def direct_loss(state, truth, ocean, prior, weights, config) -> float:
    """The same loss written with loops over days and samples."""
    sums = {"mse": [0.0, 0.0], "east": [0.0, 0.0], "north": [0.0, 0.0]}
    for b in range(state.shape[0]):
        for t in range(state.shape[1]):
            error = (state - truth)[b, t].numpy()
            sea = ocean[b].numpy()
            pairs = {
                "mse": (error, sea),
                "east": (np.diff(error, axis=1), sea[:, 1:] & sea[:, :-1]),
                "north": (np.diff(error, axis=0), sea[1:] & sea[:-1]),
            }
            for name, (values, valid) in pairs.items():
                sums[name][0] += float(weights[t]) * (values[valid] ** 2).sum()
                sums[name][1] += float(weights[t]) * valid.sum()
    mse, east, north = (part / weight for part, weight in sums.values())
    sea = ocean[:, None].expand_as(state)
    filled = torch.where(sea, truth, state)
    priors = [((field - prior(field)) ** 2)[sea].mean() for field in (state, filled)]
    return config.mse * mse + config.gradient * (east + north) + config.prior * float(sum(priors))


def test_loss_equals_its_definition_over_ocean_cells() -> None:
    generator = torch.Generator().manual_seed(3)
    state, truth = (torch.randn(2, 4, 6, 5, generator=generator).double() for _ in range(2))
    ocean = torch.rand(2, 6, 5, generator=generator) < 0.7
    weights = time_weights(Task(name="nrt"), 4)
    prior = torch.nn.Conv2d(4, 4, 3, padding=1).double().requires_grad_(False)
    config = LossConfig(mse=2.0, gradient=3.0, prior=0.5)
    found = state_loss(state, truth, ocean, prior, weights, config)
    assert float(found) == pytest.approx(direct_loss(state, truth, ocean, prior, weights, config))


def test_land_never_matters() -> None:
    state = torch.zeros(1, 3, 4, 4, requires_grad=True)
    ocean = torch.ones(1, 4, 4, dtype=torch.bool)
    ocean[0, 1, 2] = False
    truth = torch.zeros(1, 3, 4, 4)
    other = truth.clone()
    other[..., 1, 2] = 50.0
    weights = time_weights(Task(name="mapping"), 3)
    prior = torch.nn.Conv2d(3, 3, 3, padding=1)
    losses = [state_loss(state, t, ocean, prior, weights, LossConfig()) for t in (truth, other)]
    assert losses[0] == losses[1]
    config = LossConfig(prior=0.0)
    state_loss(state + 1, truth, ocean, prior, weights, config).backward()
    assert state.grad is not None and not state.grad[..., 1, 2].any() and state.grad.any()


def test_a_perfect_state_of_a_perfect_prior_costs_nothing() -> None:
    truth = torch.randn(1, 3, 4, 4)
    ocean = torch.ones(1, 4, 4, dtype=torch.bool)
    weights = time_weights(Task(name="mapping"), 3)
    assert state_loss(truth, truth, ocean, torch.nn.Identity(), weights, LossConfig()) == 0
