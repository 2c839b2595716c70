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

from pipeline_spde.spde import SpdePrior
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
CORE, CORE64 = "core, float32", "core, float64"
CORE_WARM = "core, float64, factors at hand"
PER_STEP, PER_STEP_WARM = "SuperLU per step", "SuperLU per step, factors at hand"
CHOLMOD = "CHOLMOD of Q, METIS"
COLD = f"{MEMBERS} draws; factorisation included"
WARM = f"{MEMBERS} draws; factors at hand"
LARGEST = {"MMD_AT_PLUS_A": 40, NESTED_DISSECTION: 40, "COLAMD": 20, "MMD_ATA": 20, "NATURAL": 20}
"""Largest side at which Q is factored in each ordering of SuperLU."""
_SIGMAS = 5.0


def _days(settings: Settings) -> int:
    return 4 if settings.quick else 15


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
    """Return the sizes in the mild regime and the headline size in the stiff one."""
    sides = (8, 6) if settings.quick else (HEADLINE_SIDE, 20)
    return [*(_case(n, "mild", settings) for n in sides), _case(sides[0], "stiff", settings)]


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


def _case(n: int, regime: str, settings: Settings) -> Case:
    shape = (_days(settings), n, n)
    checks = _Checks(n, regime, settings)
    arms: list[Arm | NotRun] = [*_core_arms(n, regime, settings, checks)]

    def blocks() -> Blocks:
        return blocks_of(_prior(n, regime, settings, torch.float64, "cpu"))

    for ordering, largest in LARGEST.items():
        bound = largest if regime == "mild" or settings.quick else 0
        arms.append(_whole_arm(ordering, shape, bound, blocks, checks, settings))
    arms.append(_cholmod_arm(blocks, checks, settings))
    arms += _per_step_arms(blocks, checks, settings)
    return Case(
        f"sampling-{regime}-{n}",
        "sampling",
        f"Sampling, {MEMBERS} members × {_days(settings)}×{n}², {regime}",
        f"sampling, {regime}",
        n * n,
        arms,
        checks.reference,
        memory=(CORE, CORE64, of_whole(NESTED_DISSECTION), PER_STEP)
        if (n, regime) == (HEADLINE_SIDE, "mild")
        else (),
    )


def _prior(n: int, regime: str, settings: Settings, dtype: torch.dtype, device: str) -> SpdePrior:
    return build_prior(parameters(1, _days(settings), n, regime, settings.seed, dtype, device))


class _Checks:
    """The quantities of the gate: log|Q|, one solve with Q, and the energy of the draws.

    The energy x'Qx of a draw is a sum of as many squared normal numbers as there are unknowns: its
    mean over the draws, per unknown, is one with a known standard error.
    """

    def __init__(self, n: int, regime: str, settings: Settings) -> None:
        self.shape = (1, _days(settings), n, n)
        self.prior = lambda: _prior(n, regime, settings, torch.float64, settings.device)
        self.rhs = random_states(self.shape, settings.seed + 2, torch.zeros(1, dtype=torch.float64))
        numbers = MEMBERS * math.prod(self.shape)
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
        values = torch.as_tensor(draws.values, dtype=torch.float64, device=exact.mesh.area.device)
        energy = exact.energy(values.reshape(MEMBERS, *self.shape)).mean() / math.prod(self.shape)
        solved = draws.solve(self.rhs.numpy().reshape(-1, 1))
        return {"log|Q|": [draws.log_det], "solve with Q": solved, "energy of the draws": energy}


def _core_arms(n: int, regime: str, settings: Settings, checks: _Checks) -> list[Arm | NotRun]:
    device = settings.device

    def draw(prior: SpdePrior) -> tuple[SpdePrior, torch.Tensor]:
        generator = torch.Generator(device=device).manual_seed(settings.seed)
        return prior, prior.sample(MEMBERS, generator)

    def outputs(result: tuple[SpdePrior, torch.Tensor]) -> Outputs:
        prior, values = result

        def solve(rhs: Array) -> torch.Tensor:
            fields = torch.as_tensor(rhs).to(prior.mesh.area).reshape(prior.shape)
            return prior.covariance_times(fields)

        return checks(Draws(values, solve, float(prior.logdet())))

    def arm(name: str, dtype: torch.dtype, warm: bool = False) -> Arm:
        def theta() -> Any:
            return parameters(1, _days(settings), n, regime, settings.seed, dtype, device)

        return Arm(
            *(name, "core", WARM if warm else COLD, str(dtype).removeprefix("torch.")),
            draw if warm else lambda fields: draw(build_prior(fields)),
            outputs,
            (lambda: draw(build_prior(theta()))[0]) if warm else theta,
            tolerances=checks.tolerances,
            device=device,
            note="the start is factored anew in every call" if warm else "",
        )

    single, double = torch.float32, torch.float64
    return [arm(CORE, single), arm(CORE64, double), arm(CORE_WARM, double, warm=True)]


def _whole_arm(
    ordering: str,
    shape: tuple[int, int, int],
    largest: int,
    blocks: Callable[[], Blocks],
    checks: _Checks,
    settings: Settings,
) -> Arm | NotRun:
    """Return SuperLU of the assembled Q; b ~ N(0, Q) and one solve give the draws."""
    name = of_whole(ordering)
    if shape[-1] > largest:
        reason = f"slower than MMD_AT_PLUS_A at {largest}² and growing faster"
        if largest == 0:
            reason = "the work does not depend on the numbers; see the mild regime"
        return NotRun(name, "plain good", COLD, "float64", reason)

    def run(given: Blocks) -> Draws:
        factor = Factored(precision(given), ordering, shape)
        generator = np.random.default_rng(settings.seed)
        values = factor.solve(root_times_white(given, MEMBERS, generator))
        return Draws(values.T, factor.solve, factor.log_abs_det)

    slow = shape[-1] >= HEADLINE_SIDE and ordering != NESTED_DISSECTION
    kind: Any = "as published" if ordering == "NATURAL" else "plain good"
    return Arm(
        *(name, kind, COLD + " and assembly included", "float64"),
        run,
        checks,
        blocks,
        repeats=1 if slow else 2,
        tolerances=checks.tolerances,
        note="slow: fewer samples",
    )


def _cholmod_arm(blocks: Callable[[], Blocks], checks: _Checks, settings: Settings) -> Arm | NotRun:
    if find_spec("sksparse") is None:
        reason = "scikit-sparse is not installed"
        return NotRun(CHOLMOD, "plain good", COLD, "float64", reason)

    def run(given: Blocks) -> Draws:
        factor = supernodal_cholesky(precision(given))
        generator = np.random.default_rng(settings.seed)
        values = factor(root_times_white(given, MEMBERS, generator))
        return Draws(values.T, factor, float(factor.logdet()))

    gives = COLD + " and assembly included"
    return Arm(
        *(CHOLMOD, "plain good", gives, "float64"),
        run,
        checks,
        blocks,
        repeats=3,
        tolerances=checks.tolerances,
        note="slow: fewer samples",
    )


def _per_step_arms(
    blocks: Callable[[], Blocks], checks: _Checks, settings: Settings
) -> list[Arm | NotRun]:
    def draw(factors: PerStep) -> Draws:
        values = factors.draw(MEMBERS, np.random.default_rng(settings.seed))
        return Draws(values.T, factors.solve, factors.log_det)

    def arm(name: str, gives: str, run: Callable[[Any], Draws], setup: Callable[[], Any]) -> Arm:
        tolerances = checks.tolerances
        return Arm(name, "plain good", gives, "float64", run, checks, setup, tolerances=tolerances)

    return [
        arm(PER_STEP, COLD, lambda given: draw(PerStep(given)), blocks),
        arm(PER_STEP_WARM, WARM, draw, lambda: PerStep(blocks())),
    ]
