from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline_spde.assimilation.costs import observation_cost, observation_weight, prior_cost
from pipeline_spde.assimilation.state_solver import StateSolver
from pipeline_spde.config import StateModelConfig

VARIANTS = [
    (gradient, start) for gradient in ("split", "exact") for start in ("oi", "smooth", "zeros")
]


def solver(seed: int = 0, **changes: object) -> StateSolver:
    """A small solver whose update is not zero, as after training."""
    torch.manual_seed(seed)
    options = {"window_days": 3, "hidden": 4, "prior_hidden": 4, "iterations": 3} | changes
    model = StateSolver(StateModelConfig(**options), (20.0, 18.0))
    with torch.no_grad():
        model.gradient_net.update.weight.normal_(std=0.05)
    return model


def inputs(seed: int = 0, shape: tuple[int, ...] = (2, 3, 8, 12)) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    heights = torch.randn(shape, generator=generator)
    observed = torch.rand(shape, generator=generator) < 0.3
    error = 0.05 + 0.1 * torch.rand(shape, generator=generator)
    ocean = torch.ones(shape[0], *shape[2:], dtype=torch.bool)
    ocean[:, :2, :3] = False
    return heights, observed, error, ocean


@pytest.mark.parametrize(("gradient", "start"), VARIANTS)
@settings(max_examples=8, deadline=None)
@given(
    junk=st.sampled_from([0.0, 1e30, -3.0, float("nan"), float("inf"), float("-inf")]),
    junk_error=st.sampled_from([0.0, -1.0, 0.1, float("nan"), float("inf")]),
    seed=st.integers(0, 1000),
)
def test_values_under_the_mask_never_matter(
    gradient: str, start: str, junk: float, junk_error: float, seed: int
) -> None:
    model = solver(gradient=gradient, start=start).eval()
    heights, observed, error, ocean = inputs(seed)
    hidden = ~(observed & ocean[:, None])
    expected = model(heights, observed, error, ocean)
    changed = model(
        heights.masked_fill(hidden, junk), observed, error.masked_fill(hidden, junk_error), ocean
    )
    assert torch.isfinite(expected).all()
    assert torch.equal(expected, changed)


@pytest.mark.parametrize(("gradient", "start"), VARIANTS)
def test_an_observed_value_matters(gradient: str, start: str) -> None:
    model = solver(gradient=gradient, start=start).eval()
    heights, observed, error, ocean = inputs()
    seen = (observed & ocean[:, None]).nonzero()[0]
    other = heights.clone()
    other[tuple(seen)] += 1
    assert not torch.equal(
        model(heights, observed, error, ocean), model(other, observed, error, ocean)
    )


def test_a_smaller_error_brings_the_state_closer_to_the_observation() -> None:
    model = solver().eval()
    heights, observed, error, ocean = inputs()
    seen = observed & ocean[:, None]
    misfits = [
        (model(heights, observed, torch.full_like(error, sigma), ocean) - heights)[seen]
        .square()
        .mean()
        for sigma in (0.05, 0.5)
    ]
    assert misfits[0] < misfits[1]


def test_exact_gradient_is_that_of_the_cost() -> None:
    """One iteration without LSTM moves the start by −s ∇J/rms(∇J), ∇J from finite differences."""
    model = solver(gradient="exact", iterations=1, start="zeros").eval()
    heights, observed, error, ocean = inputs(shape=(1, 3, 4, 6))
    with torch.no_grad():
        model.gradient_net.update.weight.zero_()
        step = model(heights, observed, error, ocean).double().contiguous()
        model.double()
        weight = observation_weight(error, observed & ocean[:, None]).double()

        def cost(state: Tensor) -> Tensor:
            data = observation_cost(state, heights.double(), weight)
            return (data + prior_cost(state, model.prior)).sum()

        gradient = torch.zeros_like(step)
        for i in range(gradient.numel()):
            shift = torch.zeros_like(gradient)
            shift.view(-1)[i] = 1e-5
            gradient.view(-1)[i] = (cost(shift) - cost(-shift)) / 2e-5
    expected = -model.gradient_step * gradient / gradient.square().mean().sqrt()
    torch.testing.assert_close(step, expected.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gradient", ["split", "exact"])
def test_every_parameter_learns(gradient: str) -> None:
    model = solver(gradient=gradient)
    model(*inputs()).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("gradient", ["split", "exact"])
def test_equal_with_and_without_autograd(gradient: str) -> None:
    model = solver(gradient=gradient).eval()
    learned = model(*inputs())
    with torch.no_grad():
        applied = model(*inputs())
    torch.testing.assert_close(learned, applied, rtol=1e-5, atol=1e-6)
    assert learned.requires_grad and not applied.requires_grad


@pytest.mark.parametrize("gradient", ["split", "exact"])
def test_samples_do_not_influence_each_other_and_calls_leave_no_trace(gradient: str) -> None:
    model = solver(gradient=gradient).eval()
    batch = inputs()
    with torch.no_grad():
        both = model(*batch)
        alone = model(*(part[1:] for part in batch))
        again = model(*batch)
    torch.testing.assert_close(both[1:], alone, rtol=1e-4, atol=1e-5)
    assert torch.equal(both, again)


def test_an_untrained_solver_with_no_gradient_step_keeps_its_start() -> None:
    model = StateSolver(StateModelConfig(window_days=3, gradient_step=0.0), (20.0, 18.0))
    heights, observed, error, ocean = inputs()
    zeros = StateSolver(StateModelConfig(window_days=3, gradient_step=0.0, start="zeros"), (20, 18))
    assert model(heights, observed, error, ocean).any()
    assert not zeros(heights, observed, error, ocean).any()


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5))
def test_any_size_divisible_by_the_pooling(rows: int, columns: int) -> None:
    model = solver(pooling=2, prior_pooling=4).eval()
    shape = (1, 3, 4 * rows, 4 * columns)
    heights, observed, error, _ = inputs(shape=(1, 3, 16, 20))
    cut = (..., slice(0, shape[2]), slice(0, shape[3]))
    state = model(heights[cut], observed[cut], error[cut], torch.ones(shape[2:], dtype=torch.bool))
    assert state.shape == shape and torch.isfinite(state).all()


def test_spacing_of_another_latitude_changes_the_start() -> None:
    model = solver().eval()
    assert not torch.equal(model(*inputs()), model(*inputs(), spacing_km=(20.0, 9.0)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: torch.zeros(2, 5, 8, 12)}, "expected .batch, 3, lat, lon., 3 being the window_days"),
        ({1: torch.zeros(2, 3, 8, 12)}, "observed must be a boolean mask, got torch.float32"),
        ({2: torch.zeros(2, 3, 8, 8)}, "error has shape .2, 3, 8, 8., height_anomaly has"),
        ({3: torch.ones(9, 9, dtype=torch.bool)}, "ocean has shape .9, 9."),
    ],
)
def test_inputs_that_do_not_fit_are_refused(change: dict[int, Tensor], message: str) -> None:
    arguments = [change.get(i, part) for i, part in enumerate(inputs())]
    with pytest.raises(ValueError, match=message):
        solver()(*arguments)


def test_a_size_not_divisible_by_the_pooling_is_refused() -> None:
    with pytest.raises(ValueError, match=r"7 cells along lat are not divisible .* pooling of 2"):
        solver()(*inputs(shape=(1, 3, 7, 8)))


def test_results_do_not_depend_on_the_global_seed() -> None:
    model = solver().eval()
    torch.manual_seed(1)
    first = model(*inputs())
    torch.manual_seed(2)
    assert torch.equal(first, model(*inputs()))
