"""Arms for draws of the prior over a whole window, parameters new: factorisation included."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from timing import Arm, Case, Headline, NotRun, Outputs, Settings

from pipeline_spde.spde import SpdeParameters, SpdePrior
from spde_arms.problems import build_prior, parameters, random_states
from spde_arms.sparse import (
    NESTED_DISSECTION,
    Blocks,
    Factored,
    blocks_of,
    precision,
    supernodal_cholesky,
)

Array = NDArray[np.float64]
MEMBERS, HEADLINE_SIDE = 50, 40
LARGE_MEMBERS, LARGE_SIDE = 100, 200
CORE, CORE64 = "core, float32", "core, float64"
CORE_WARM = "core, float64, factors at hand"
PER_STEP, PER_STEP_WARM = "SuperLU per step", "SuperLU per step, factors at hand"
CHOLMOD = "CHOLMOD of Q, METIS"
COLD, WARM = "draws; factorisation included", "draws; factors at hand"
LARGEST = {"MMD_AT_PLUS_A": 40, NESTED_DISSECTION: 40, "COLAMD": 20, "MMD_ATA": 20, "NATURAL": 20}
"""Largest side at which Q is factored in each ordering of SuperLU."""
_SIGMAS = 5.0
_CHECKED_AT_ONCE = 10  # members whose energies are worked out together


def of_whole(ordering: str) -> str:
    """Return the name of the arm that factors the whole Q."""
    return f"SuperLU of Q, {ordering}"


HEADLINES = [
    Headline(
        "sampling, against SuperLU of Q in the best of its own orderings",
        *(f"sampling-mild-{HEADLINE_SIDE}", of_whole("MMD_AT_PLUS_A"), CORE64),
        at_least=20,
    ),
    Headline(
        "the same, core in float32",
        *(f"sampling-mild-{HEADLINE_SIDE}", of_whole("MMD_AT_PLUS_A"), CORE),
        at_least=20,
    ),
    Headline(
        "sampling, against SuperLU of Q in our nested-dissection ordering",
        *(f"sampling-mild-{HEADLINE_SIDE}", of_whole(NESTED_DISSECTION), CORE64),
        at_least=20,
    ),
    Headline(
        "the same, core in float32",
        *(f"sampling-mild-{HEADLINE_SIDE}", of_whole(NESTED_DISSECTION), CORE),
        at_least=20,
    ),
    Headline(
        "sampling, against SuperLU per step",
        *(f"sampling-mild-{HEADLINE_SIDE}", PER_STEP, CORE64),
    ),
    Headline(
        "sampling again with factors at hand, against SuperLU per step likewise",
        *(f"sampling-mild-{HEADLINE_SIDE}", PER_STEP_WARM, CORE_WARM),
    ),
]


def cases(settings: Settings) -> list[Case]:
    """Return sizes and windows in the mild regime, a stiff case and draws of a whole domain."""
    sides = (8, 6) if settings.quick else (HEADLINE_SIDE, 20)
    problems = [Problem(n, "mild", settings) for n in sides]
    problems.append(Problem(sides[0], "stiff", settings))
    problems += [Problem(sides[0], "mild", other) for other in settings.of_other_windows()]
    large = Problem(10 if settings.quick else LARGE_SIDE, "mild", settings, LARGE_MEMBERS)
    return [*(_case(problem) for problem in problems), _large_case(large)]


@dataclass(frozen=True)
class Problem:
    """A window of so many days to draw from."""

    n: int
    regime: str
    settings: Settings
    members: int = MEMBERS

    @property
    def days(self) -> int:
        """Length of the window."""
        return self.settings.window(15, 4)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(days, rows, columns)."""
        return (self.days, self.n, self.n)

    def theta(self, dtype: torch.dtype, device: str) -> SpdeParameters:
        """Return the parameters."""
        return parameters(1, self.days, self.n, self.regime, self.settings.seed, dtype, device)

    def blocks(self) -> Blocks:
        """Return the sparse matrices that the rivals factor."""
        return blocks_of(build_prior(self.theta(torch.float64, "cpu")))

    def gives(self, what: str) -> str:
        """Return what an arm's time includes."""
        return f"{self.members} {what}"

    def case(
        self, arms: list[Arm | NotRun], checks: _Checks, memory: tuple[str, ...], kind: str = ""
    ) -> Case:
        """Return the case of this problem; `kind` sets its series apart."""
        regime, suffix = self.regime, self.settings.suffix + kind
        return Case(
            f"sampling-{regime}-{self.n}{suffix}",
            "sampling",
            f"Sampling, {self.members} members × {self.days}×{self.n}², {regime}",
            f"sampling, {regime}{suffix}",
            self.n**2,
            arms,
            checks.reference,
            memory=memory,
        )


@dataclass
class Draws:
    """What an arm made: draws (members, days · cells), and how to check its factors."""

    values: Any
    solve: Callable[[Array], Any]
    log_det: float


def root_times_white(blocks: Blocks, columns: int, generator: np.random.Generator) -> Array:
    """Return b ~ N(0, Q), (days · cells, columns), without factoring Q.

    Q is a sum of squares: b = Σ_t L_t' N_t^½ z_t, and Q₀ = T⁻¹ (2 R + P' D P) T⁻¹ / dt with
    P = dt K and R = D P, whose square root needs one small factor.
    """
    days, cells = len(blocks.steps) + 1, blocks.area.size
    z = generator.standard_normal((days + 1, cells, columns))
    b = np.zeros((days, cells, columns))
    symmetric = (sp.diags_array(blocks.area) @ blocks.rate).tocsc()
    factor = Factored(symmetric, "MMD_AT_PLUS_A")
    start = math.sqrt(2.0) * factor.root_times(z[days])
    start += blocks.rate.T @ (np.sqrt(blocks.area)[:, None] * z[0])
    b[0] = blocks.start_scale[:, None] * start / math.sqrt(blocks.dt)
    for t, (step, weight) in enumerate(zip(blocks.steps, blocks.weights, strict=True), 1):
        scaled = np.sqrt(weight)[:, None] * z[t]
        b[t] += step.T @ scaled
        b[t - 1] -= scaled
    return b.reshape(days * cells, columns)


class PerStep:
    """SuperLU of every A_t and of both factors of the start; draws and solves by sweeps."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        twice = 2 * sp.identity(blocks.area.size, format="csc")
        symmetric = (sp.diags_array(blocks.area) @ blocks.rate).tocsc()
        self.steps = [Factored(a, "MMD_AT_PLUS_A") for a in blocks.steps]
        self.rate = Factored(symmetric, "MMD_AT_PLUS_A")  # D P
        self.sum = Factored((twice + blocks.rate).tocsc(), "MMD_AT_PLUS_A")

    @property
    def log_det(self) -> float:
        blocks = self.blocks
        start = self.rate.log_abs_det + self.sum.log_abs_det
        start += 2 * np.log(blocks.start_scale).sum() - blocks.area.size * math.log(blocks.dt)
        noise = sum(np.log(weight).sum() for weight in blocks.weights)
        return float(start + noise + 2 * sum(f.log_abs_det for f in self.steps))

    def draw(self, columns: int, generator: np.random.Generator) -> Array:
        """Return draws (days · cells, columns)."""
        blocks = self.blocks
        days, cells = len(blocks.steps) + 1, blocks.area.size
        z = generator.standard_normal((days + 1, cells, columns))
        # P₂⁻¹ (√2 y + D^−½ z) with y ~ N(0, (D P)⁻¹) has the precision D P P₂, P₂ = 2 + P
        y = self.rate.solve(self.rate.root_times(z[days]))
        mixed = math.sqrt(2.0) * y + z[0] / np.sqrt(blocks.area)[:, None]
        first = self.sum.solve(mixed) * math.sqrt(blocks.dt) / blocks.start_scale[:, None]
        states = [first]
        for factor, weight, white in zip(self.steps, blocks.weights, z[1:days], strict=True):
            states.append(factor.solve(states[-1] + white / np.sqrt(weight)[:, None]))
        return np.concatenate(states)

    def solve(self, rhs: Array) -> Array:
        """Return Q⁻¹ b for columns b by one sweep back and one forth."""
        blocks = self.blocks
        parts = list(rhs.reshape(len(blocks.steps) + 1, blocks.area.size, -1))
        for t in range(len(self.steps), 0, -1):
            parts[t] = self.steps[t - 1].solve(parts[t], transpose=True)
            parts[t - 1] = parts[t - 1] + parts[t]
        scale = blocks.start_scale[:, None]
        states = [self.sum.solve(self.rate.solve(parts[0] / scale)) * blocks.dt / scale]
        for factor, weight, part in zip(self.steps, blocks.weights, parts[1:], strict=True):
            states.append(factor.solve(states[-1] + part / weight[:, None]))
        return np.concatenate(states)


def _case(problem: Problem) -> Case:
    checks, regime, quick = _Checks(problem), problem.regime, problem.settings.quick
    arms = [*_core_arms(problem, checks)]
    for ordering, largest in LARGEST.items():
        bound = largest if regime == "mild" or quick else 0
        arms.append(_whole_arm(ordering, problem, bound, checks))
    arms.append(_cholmod_arm(problem, checks))
    arms += _per_step_arms(problem, checks)
    headline = (problem.n, regime, problem.settings.days) == (HEADLINE_SIDE, "mild", None)
    memory = (CORE, CORE64, of_whole(NESTED_DISSECTION), PER_STEP) if headline else ()
    return problem.case(arms, checks, memory)


def _large_case(problem: Problem) -> Case:
    """Return the draws of a whole domain; SuperLU of the whole Q would fit no memory."""
    checks = _Checks(problem)
    arms = [*_core_arms(problem, checks)]
    if problem.settings.full or problem.settings.quick:
        arms += _per_step_arms(problem, checks)[:1]
    else:
        reason = "asked for by --full only"
        arms.append(NotRun(PER_STEP, "plain good", problem.gives(COLD), "float64", reason))
    return problem.case(arms, checks, (CORE, CORE64), "-whole-domain")


class _Checks:
    """The quantities of the gate: log|Q|, one solve with Q, and the energy of the draws.

    The energy x'Qx of a draw is a sum of as many squared normal numbers as there are unknowns: its
    mean over the draws, per unknown, is one with a known standard error.
    """

    def __init__(self, problem: Problem) -> None:
        settings, self.members = problem.settings, problem.members
        self.shape = (1, *problem.shape)
        self.prior = lambda: build_prior(problem.theta(torch.float64, settings.device))
        self.rhs = random_states(self.shape, settings.seed + 2, torch.zeros(1, dtype=torch.float64))
        numbers = self.members * math.prod(self.shape)
        self.tolerances = {"energy of the draws": _SIGMAS * math.sqrt(2 / numbers)}
        self._exact: SpdePrior | None = None

    def reference(self) -> Outputs:
        self._exact = self.prior()
        return {
            "log|Q|": self._exact.logdet(),
            "solve with Q": self._exact.covariance_times(self.rhs.to(self._exact.mesh.area.device)),
            "energy of the draws": 1.0,
        }

    def __call__(self, draws: Draws) -> Outputs:
        exact = self._exact = self._exact or self.prior()
        members = torch.as_tensor(draws.values).reshape(self.members, *self.shape)
        parts = [exact.energy(some.to(exact.mesh.area)) for some in members.split(_CHECKED_AT_ONCE)]
        energy = torch.cat(parts).mean() / math.prod(self.shape)
        solved = draws.solve(self.rhs.numpy().reshape(-1, 1))
        return {"log|Q|": [draws.log_det], "solve with Q": solved, "energy of the draws": energy}


def _core_arms(problem: Problem, checks: _Checks) -> list[Arm | NotRun]:
    device, seed = problem.settings.device, problem.settings.seed

    def draw(prior: SpdePrior) -> tuple[SpdePrior, torch.Tensor]:
        generator = torch.Generator(device=device).manual_seed(seed)
        return prior, prior.sample(problem.members, generator)

    def outputs(result: tuple[SpdePrior, torch.Tensor]) -> Outputs:
        prior, values = result

        def solve(rhs: Array) -> torch.Tensor:
            fields = torch.as_tensor(rhs).to(prior.mesh.area).reshape(prior.shape)
            return prior.covariance_times(fields)

        return checks(Draws(values, solve, float(prior.logdet())))

    def arm(name: str, dtype: torch.dtype, warm: bool = False) -> Arm:
        def theta() -> SpdeParameters:
            return problem.theta(dtype, device)

        gives = problem.gives(WARM if warm else COLD)
        return Arm(
            *(name, "core", gives, str(dtype).removeprefix("torch.")),
            draw if warm else lambda fields: draw(build_prior(fields)),
            outputs,
            (lambda: draw(build_prior(theta()))[0]) if warm else theta,
            tolerances=checks.tolerances,
            device=device,
            note="the start is factored anew in every call" if warm else "",
        )

    single, double = torch.float32, torch.float64
    return [arm(CORE, single), arm(CORE64, double), arm(CORE_WARM, double, warm=True)]


def _whole_arm(ordering: str, problem: Problem, largest: int, checks: _Checks) -> Arm | NotRun:
    """Return SuperLU of the assembled Q; b ~ N(0, Q) and one solve give the draws."""
    name, gives = of_whole(ordering), problem.gives(COLD)
    if problem.n > largest:
        reason = f"slower than MMD_AT_PLUS_A at {largest}² and growing faster"
        if largest == 0:
            reason = "the work does not depend on the numbers; see the mild regime"
        return NotRun(name, "plain good", gives, "float64", reason)

    def run(given: Blocks) -> Draws:
        factor = Factored(precision(given), ordering, problem.shape)
        generator = np.random.default_rng(problem.settings.seed)
        values = factor.solve(root_times_white(given, problem.members, generator))
        return Draws(values.T, factor.solve, factor.log_abs_det)

    slow = problem.n >= HEADLINE_SIDE and ordering != NESTED_DISSECTION
    kind: Any = "as published" if ordering == "NATURAL" else "plain good"
    return Arm(
        *(name, kind, gives + " and assembly included", "float64"),
        run,
        checks,
        problem.blocks,
        repeats=1 if slow else 2,
        tolerances=checks.tolerances,
        note="slow: fewer samples",
    )


def _cholmod_arm(problem: Problem, checks: _Checks) -> Arm | NotRun:
    gives = problem.gives(COLD)
    if find_spec("sksparse") is None:
        reason = "scikit-sparse is not installed"
        return NotRun(CHOLMOD, "plain good", gives, "float64", reason)

    def run(given: Blocks) -> Draws:
        factor = supernodal_cholesky(precision(given))
        generator = np.random.default_rng(problem.settings.seed)
        values = factor(root_times_white(given, problem.members, generator))
        return Draws(values.T, factor, float(factor.logdet()))

    return Arm(
        *(CHOLMOD, "plain good", gives + " and assembly included", "float64"),
        run,
        checks,
        problem.blocks,
        repeats=3,
        tolerances=checks.tolerances,
        note="slow: fewer samples",
    )


def _per_step_arms(problem: Problem, checks: _Checks) -> list[Arm | NotRun]:
    def draw(factors: PerStep) -> Draws:
        generator = np.random.default_rng(problem.settings.seed)
        values = factors.draw(problem.members, generator)
        return Draws(values.T, factors.solve, factors.log_det)

    def arm(name: str, what: str, run: Callable[[Any], Draws], setup: Callable[[], Any]) -> Arm:
        gives, tolerances = problem.gives(what), checks.tolerances
        return Arm(name, "plain good", gives, "float64", run, checks, setup, tolerances=tolerances)

    return [
        arm(PER_STEP, COLD, lambda given: draw(PerStep(given)), problem.blocks),
        arm(PER_STEP_WARM, WARM, draw, lambda: PerStep(problem.blocks())),
    ]
