"""The augmented solver: stage 1 at its start, exact gradients, masks, coasts, what learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline_spde.assimilation import spde_solver
from pipeline_spde.assimilation.spde_solver import SpdeSolver, expanded_weights
from pipeline_spde.assimilation.state_solver import Problem, StateSolver
from pipeline_spde.assimilation.theta import ThetaProblem
from pipeline_spde.config import StateModelConfig
from pipeline_spde.networks import start_from

from .augmented_case import SHAPE, SPACING, coast, config, make_guess, make_inputs, make_solver

MODES = ("joint", "frozen")


def stage_1(**changes: Any) -> StateSolver:
    """A trained state solver of stage 1."""
    torch.manual_seed(5)
    options = {"window_days": SHAPE[1], "hidden": 4, "prior_hidden": 4, "iterations": 4}
    solver = StateSolver(StateModelConfig(**(options | {"start": "spde_oi"} | changes)), SPACING)
    with torch.no_grad():
        solver.gradient_net.update.weight.normal_(std=0.05)
        solver.observation_log_weight.fill_(0.3)
    return solver


def run(solver: SpdeSolver, seed: int = 0):
    return solver.augmented(*make_inputs(seed), guess=make_guess(seed))


# --- stage 1 is where it begins -------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("gradient", ["split", "exact"])
@pytest.mark.parametrize("start", ["spde_oi", "oi"])
def test_untrained_it_is_stage_1(mode: str, gradient: str, start: str) -> None:
    before = stage_1(gradient=gradient, start=start).eval()
    solver = make_solver(trained=False, mode=mode, gradient=gradient, start=start).eval()
    solver.load_state_dict(expanded_weights(solver, before.state_dict()))
    found = run(solver)
    with torch.no_grad():
        expected = before(*make_inputs(), guess=make_guess())
    assert not found.delta.any()
    if mode == "frozen":
        assert torch.equal(found.state, expected)
    else:  # the sums of the convolution are longer by columns of zeros: rounding alone
        torch.testing.assert_close(found.state, expected, rtol=0, atol=2e-6)


def test_weights_of_another_architecture_are_refused() -> None:
    solver = make_solver(trained=False)
    other = stage_1(hidden=6).state_dict()
    with pytest.raises(RuntimeError, match="size mismatch"):
        solver.load_state_dict(expanded_weights(solver, other))


def test_expanding_leaves_the_net_of_theta_as_it_is() -> None:
    solver = make_solver(seed=3, trained=False)
    weights = expanded_weights(solver, stage_1().state_dict())
    assert weights.keys() == solver.state_dict().keys()
    for name, value in solver.theta_net.state_dict().items():
        assert torch.equal(weights[f"theta_net.{name}"], value)
    pull = slice(2 * SHAPE[1], 3 * SHAPE[1])  # after the two residual groups
    assert not weights["gradient_net.gates.weight"][:, pull].any()


def test_a_frozen_state_learns_nothing_and_drops_nothing() -> None:
    solver = make_solver(mode="frozen", dropout=0.5)
    learned = {name for name, value in solver.named_parameters() if value.requires_grad}
    assert learned == {f"theta_net.{name}" for name, _ in solver.theta_net.named_parameters()}
    first, second = run(solver.train()), run(solver.eval())
    assert torch.equal(first.state, second.state)
    assert not first.state.requires_grad and first.delta.requires_grad
    assert solver.train().theta_net.training and not solver.train().prior.training


# --- gradients ------------------------------------------------------------------------------


def double_problem(
    solver: SpdeSolver, seed: int = 0, size: int = 1
) -> tuple[Problem, ThetaProblem]:
    """A window in float64."""
    shape = (size, *SHAPE[1:])
    guess = make_guess(seed, shape, torch.float64)
    heights, observed, error, ocean = make_inputs(seed, shape)
    problem = solver.problem(heights.double(), observed, error.double(), ocean, SPACING, guess)
    theta = ThetaProblem.of(guess, ocean[0], SPACING, solver.settings, solver.settings.pooling)
    return problem, theta


def differences(function: Any, at: Tensor, places: list[tuple[int, ...]], step: float) -> Tensor:
    """Central differences of a function at some entries."""
    out = []
    for place in places:
        shift = torch.zeros_like(at)
        shift[place] = step
        out.append((function(at + shift) - function(at - shift)) / (2 * step))
    return torch.stack(out)


def test_slopes_and_pull_are_the_derivatives_of_the_cost() -> None:
    solver = make_solver().double()
    problem, theta = double_problem(solver)
    generator = torch.Generator().manual_seed(2)
    state = torch.randn(1, *SHAPE[1:], dtype=torch.float64, generator=generator)
    descent = spde_solver._ThetaDescent(solver, theta)
    delta = 0.4 * torch.randn(descent.delta.shape, dtype=torch.float64, generator=generator)
    descent.delta = delta
    pull, slope = descent._gradients(state, with_state=True)
    with torch.no_grad():
        places = [(0, channel, 1, 0) for channel in range(7)] + [(0, 0, 0, 1), (0, 5, 0, 0)]
        expected = differences(
            lambda d: solver.cost(problem, theta, state, d)[0], delta, places, 1e-5
        )
        found = torch.stack([slope[place] for place in places])
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-5)
        # the pull is that of the prior alone
        silent = problem._replace(weight=torch.zeros_like(problem.weight))
        places = [(0, 0, 5, 7), (0, 2, 3, 4), (0, 4, 7, 0), (0, 1, 0, 0)]  # the last one on land
        expected = differences(
            lambda x: solver.cost(silent, theta, x, delta)[0], state, places, 1e-4
        )
        found = torch.stack([pull[place] for place in places])
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-5)
        assert found[-1] == 0


def test_the_cost_counts_observations_in_nats() -> None:
    """½ Σ (x − y)²/σ² where errors are not below the least one that counts."""
    solver = make_solver().double()
    problem, theta = double_problem(solver)
    _, observed, error, ocean = make_inputs(0, (1, *SHAPE[1:]))
    state = torch.randn(1, *SHAPE[1:], dtype=torch.float64)
    delta = torch.zeros(1, 7, 2, 2, dtype=torch.float64)
    seen = observed & ocean[:, None]
    with torch.no_grad():
        whole = solver.cost(problem, theta, state, delta)
        silent = problem._replace(weight=torch.zeros_like(problem.weight))
        misfit = ((state - problem.heights) / error.double().clamp(min=0.05))[seen]
        expected = 0.5 * misfit.square().sum()
        torch.testing.assert_close((whole - solver.cost(silent, theta, state, delta))[0], expected)


@pytest.mark.parametrize("mode", MODES)
def test_training_differentiates_the_energy_and_takes_the_width_as_a_value(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradient of weights against differences with ∂ log|Q|/∂δ kept at its values."""
    solver = make_solver(mode=mode, seed=1).double()
    guess = make_guess(0, (1, *SHAPE[1:]), torch.float64)
    heights, observed, error, ocean = make_inputs(0, (1, *SHAPE[1:]))
    inputs = (heights.double(), observed, error.double(), ocean)
    generator = torch.Generator().manual_seed(3)
    of_state = torch.randn(1, *SHAPE[1:], dtype=torch.float64, generator=generator)
    of_delta = torch.randn(1, 7, 2, 2, dtype=torch.float64, generator=generator)

    def loss() -> Tensor:
        found = solver.augmented(*inputs, guess=guess)
        return (of_state * found.state).sum() / 100 + (of_delta * found.delta).sum()

    width, kept = spde_solver._width, []

    def recorded(*arguments: Any, **options: Any) -> Tensor:
        kept.append(width(*arguments, **options))
        return kept[-1]

    monkeypatch.setattr(spde_solver, "_width", recorded)
    loss().backward()
    assert len(kept) == 2  # iterations 0 and 2 of 4
    values: list[Tensor] = []
    monkeypatch.setattr(spde_solver, "_width", lambda *_, **__: values.pop(0))

    def shifted(parameter: Tensor, place: tuple[int, ...], step: float) -> float:
        values[:] = kept
        with torch.no_grad():
            parameter[place] += step
            value = float(loss())
            parameter[place] -= step
        return value

    chosen = {"theta_net.update.weight", "theta_net.gates.weight", "theta_net.gates.bias"}
    chosen |= {"gradient_net.gates.weight", "gradient_step"} if mode == "joint" else set()
    for name, parameter in solver.named_parameters():
        if name not in chosen:
            continue
        assert parameter.grad is not None
        place = tuple(
            int(i) for i in (parameter.grad.abs() == parameter.grad.abs().max()).nonzero()[0]
        )
        step = 1e-5
        expected = (shifted(parameter, place, step) - shifted(parameter, place, -step)) / (2 * step)
        assert float(parameter.grad[place]) == pytest.approx(expected, rel=1e-5), name


@pytest.mark.parametrize("mode", MODES)
def test_everything_that_is_to_learn_learns(mode: str) -> None:
    solver = make_solver(mode=mode)
    found = run(solver)
    (found.state.square().mean() + found.delta.square().sum()).backward()
    for name, parameter in solver.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert not parameter.requires_grad or parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("mode", MODES)
def test_equal_with_and_without_autograd(mode: str) -> None:
    solver = make_solver(mode=mode).eval()
    learned = run(solver)
    with torch.no_grad():
        applied = run(solver)
    torch.testing.assert_close(learned.state, applied.state, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(learned.delta, applied.delta, rtol=1e-5, atol=1e-5)
    assert learned.delta.requires_grad and not applied.delta.requires_grad


# --- what it sees ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=6, deadline=None)
@given(
    junk=st.sampled_from([0.0, 1e30, -3.0, float("nan"), float("inf")]),
    junk_error=st.sampled_from([0.0, -1.0, float("nan"), float("inf")]),
    seed=st.integers(0, 1000),
)
def test_values_under_the_mask_never_matter(
    mode: str, junk: float, junk_error: float, seed: int
) -> None:
    solver = make_solver(mode=mode).eval()
    heights, observed, error, ocean = make_inputs(seed)
    hidden = ~(observed & ocean[:, None])
    guess = make_guess(seed)
    with torch.no_grad():
        expected = solver.augmented(heights, observed, error, ocean, guess=guess)
        changed = solver.augmented(
            heights.masked_fill(hidden, junk), observed, error.masked_fill(hidden, junk_error),
            ocean, guess=guess,
        )  # fmt: skip
    assert torch.isfinite(expected.state).all() and torch.isfinite(expected.delta).all()
    assert torch.equal(expected.state, changed.state)
    assert torch.equal(expected.delta, changed.delta)


def test_what_the_first_guess_says_of_land_changes_no_parameter() -> None:
    """σ of 1 m and currents of 0 stand there in the files."""
    solver = make_solver(mode="frozen", background="first_guess").eval()
    guess, land = make_guess(), ~coast()
    other = guess._replace(
        currents=guess.currents.masked_fill(land, 33.0), sigma=guess.sigma.masked_fill(land, 0.01)
    )
    with torch.no_grad():
        first, second = (solver.augmented(*make_inputs(), guess=g) for g in (guess, other))
    assert torch.equal(first.delta, second.delta)
    for one, two in zip(first.problems, second.problems, strict=True):
        wet = torch.from_numpy(one.grid.ocean)
        for name, value in one.parameters(first.delta).items():
            there = getattr(two.parameters(second.delta), name)
            assert torch.equal(value[..., wet], there[..., wet]), name


@pytest.mark.parametrize("mode", MODES)
def test_windows_with_different_coasts_are_solved_as_one_by_one(mode: str) -> None:
    solver = make_solver(mode=mode).eval()
    heights, observed, error, ocean = make_inputs()
    ocean = ocean.clone()
    ocean[1] = coast().flip(1)
    guess = make_guess()
    truth = torch.randn(SHAPE, generator=torch.Generator().manual_seed(8))
    with torch.no_grad():
        both = solver.augmented(heights, observed, error, ocean, guess=guess)
        likelihood = both.nll(truth, (1, 2))
        assert len(both.problems) == 2 and likelihood.shape == (2,)
        for i in range(2):
            one = [part[i : i + 1] for part in (heights, observed, error, ocean)]
            alone = solver.augmented(*one, guess=guess.sample(i))
            torch.testing.assert_close(both.state[i : i + 1], alone.state, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(both.delta[i : i + 1], alone.delta, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(
                likelihood[i : i + 1], alone.nll(truth[i : i + 1], (1, 2)), rtol=1e-4, atol=1e-4
            )


@pytest.mark.parametrize("mode", MODES)
def test_windows_with_one_coast_do_not_influence_each_other(mode: str) -> None:
    solver = make_solver(mode=mode).eval()
    inputs, guess = make_inputs(), make_guess()
    with torch.no_grad():
        both = solver.augmented(*inputs, guess=guess)
        alone = solver.augmented(*(part[1:] for part in inputs), guess=guess.sample(1))
    assert len(both.problems) == 1
    torch.testing.assert_close(both.state[1:], alone.state, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(both.delta[1:], alone.delta, rtol=1e-4, atol=1e-4)


def test_only_the_fields_that_are_asked_for_change() -> None:
    found = run(make_solver(learned=("currents", "sigma")))
    moved = found.delta.abs().amax(dim=(0, 2, 3)) > 0
    assert moved.tolist() == [True, False, False, False, False, True, True]


def test_theta_steps_as_often_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for every, expected in ((1, 4), (2, 2), (3, 2), (9, 1)):
        taken = []
        advance = spde_solver._ThetaDescent.advance

        def counted(self: Any, *arguments: Any, taken: list = taken, do: Any = advance, **o: Any):
            taken.append(1)
            return do(self, *arguments, **o)

        monkeypatch.setattr(spde_solver._ThetaDescent, "advance", counted)
        run(make_solver(theta_every=every).eval())
        monkeypatch.undo()
        assert len(taken) == expected


def test_the_pull_of_the_prior_reaches_the_state() -> None:
    """Another σ, another state: only in joint mode, through the columns of the pull."""
    for mode, differs in (("joint", True), ("frozen", False)):
        solver = make_solver(mode=mode).eval()
        guess = make_guess()
        shorter = guess._replace(currents=-guess.currents)
        with torch.no_grad():
            states = [solver(*make_inputs(), guess=g) for g in (guess, shorter)]
        assert (not torch.equal(*states)) == differs


def test_a_first_guess_is_needed() -> None:
    for start in ("spde_oi", "oi"):
        with pytest.raises(ValueError, match="needs the first guess of its windows"):
            make_solver(start=start)(*make_inputs())


def test_half_precision_leaves_the_algebra_of_the_prior_alone() -> None:
    solver = make_solver().eval()
    with torch.no_grad():
        full = run(solver)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = run(solver)
    assert half.delta.dtype == torch.float32
    assert torch.isfinite(half.state).all() and torch.isfinite(half.delta).all()
    scale = float(full.delta.abs().max())
    torch.testing.assert_close(half.delta, full.delta, rtol=0.2, atol=0.2 * scale)


def test_a_network_can_start_from_its_own_kind_or_from_stage_1(tmp_path: Any) -> None:
    from pipeline_spde.assimilation.checkpoint import StateCheckpoint

    def checkpoint(solver: StateSolver) -> StateCheckpoint:
        path = tmp_path / "some.ckpt"
        StateCheckpoint(
            model=solver.config, weights=solver.state_dict(), task="mapping", mean=0.0, std=0.2,
            spacing_km=SPACING, seed=1, config_hash="0", version="test",
        ).save(path)  # fmt: skip
        return StateCheckpoint.load(path)

    own = make_solver(seed=4)
    back = checkpoint(own)
    assert back.model == own.config and back.model.method == "4dvarnet_spde"
    again = make_solver(seed=9)
    start_from(again, back)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in own.state_dict().items())
    first = stage_1()
    start_from(again, checkpoint(first))
    assert torch.equal(again.state_dict()["prior.encode.weight"], first.prior.encode.weight)
    assert again.config == config()
    with pytest.raises(ValueError, match="belong to another architecture"):
        start_from(again, checkpoint(stage_1(prior_hidden=6)))
    with pytest.raises(ValueError, match="belong to another architecture"):
        start_from(make_solver(mode="frozen"), back)
    with pytest.raises(ValueError, match="belong to another architecture"):
        start_from(first, back)
