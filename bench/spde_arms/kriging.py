"""Arms for the conditional mean: (Q + H'R⁻¹H) x = H'R⁻¹y on a whole window."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from timing import Arm, Case, Headline, NotRun, Outputs, Settings

from pipeline_spde.spde import Posterior, SpdeParameters
from spde_arms.problems import NOISE_STD, build_prior, parameters, random_states, tracks
from spde_arms.sparse import (
    NESTED_DISSECTION,
    Blocks,
    Factored,
    blocks_of,
    precision,
    supernodal_cholesky,
)

Array = NDArray[np.float64]
HEADLINE_SIDE, STIFF_SIDE, WINDOWS_SIDE = 50, 30, 20
TOLERANCE, TIGHT = 1e-6, 1e-13
CORE, CORE64 = "core, float32", "core, float64"
OTHERS = {name: f"core, float64, {name}" for name in ("jacobi", "time_block")}
CHOLMOD = "CHOLMOD of Q + H'R⁻¹H, METIS"
OWN_BEST = "MMD_AT_PLUS_A"
"""The ordering of SuperLU's own that does best on these matrices."""
LARGEST = {NESTED_DISSECTION: 50, OWN_BEST: 50, "COLAMD": 20}
"""Largest side at which the matrix is factored in each ordering of SuperLU."""
GIVES = f"posterior mean to a relative residual of {TOLERANCE:.0e}; parameters new"
DIRECT = "posterior mean, exact; assembly and factorisation included"


def of_whole(ordering: str) -> str:
    """Return the name of the arm that factors the whole matrix."""
    return f"SuperLU of Q + H'R⁻¹H, {ordering}"


HEADLINES = [
    Headline(
        f"kriging mean, {n}², {regime}, {core}, against SuperLU in {described}",
        *(f"kriging-{regime}-{n}", of_whole(ordering), core),
        at_least=25 if n == HEADLINE_SIDE else None,
    )
    for regime, n, ordering, described in (
        ("mild", HEADLINE_SIDE, OWN_BEST, f"the best of its own orderings ({OWN_BEST})"),
        ("mild", HEADLINE_SIDE, NESTED_DISSECTION, f"our {NESTED_DISSECTION}"),
        ("stiff", STIFF_SIDE, NESTED_DISSECTION, f"our {NESTED_DISSECTION}"),
    )
    for core in (CORE64, CORE)
]


def cases(settings: Settings) -> list[Case]:
    """Return sizes in the mild regime, one in the stiff one, and windows of other lengths."""
    sides = (6,) if settings.quick else (HEADLINE_SIDE, WINDOWS_SIDE)
    stiff = 6 if settings.quick else STIFF_SIDE
    out = [*(_case(n, "mild", settings) for n in sides), _case(stiff, "stiff", settings)]
    return out + [_case(sides[-1], "mild", other) for other in settings.of_other_windows()]


class _Problem:
    """Observations along tracks of a random field, and the exact solution."""

    def __init__(self, n: int, regime: str, settings: Settings) -> None:
        self.n, self.regime, self.settings = n, regime, settings
        self.days = settings.window(21, 3)
        self.observed = tracks(self.days, n, settings.seed + 3)
        like = torch.zeros(1, dtype=torch.float64)
        self.y = random_states((1, self.days, n, n), settings.seed + 4, like)
        self.weight = self.observed.double() / NOISE_STD**2

    def theta(self, dtype: torch.dtype, device: str) -> SpdeParameters:
        return parameters(1, self.days, self.n, self.regime, self.settings.seed, dtype, device)

    def condition(self, theta: SpdeParameters, **solver: Any) -> Posterior:
        """Return the posterior of the core; nothing is solved yet."""
        y, observed = self.y.to(theta.kappa), self.observed.to(theta.kappa.device)
        return build_prior(theta).condition(y, observed, NOISE_STD, **solver)

    def blocks(self) -> Blocks:
        return blocks_of(build_prior(self.theta(torch.float64, "cpu")))

    def matrix(self, blocks: Blocks) -> sp.csc_matrix:
        return (precision(blocks) + sp.diags_array(self.weight.numpy().reshape(-1))).tocsc()

    @property
    def rhs(self) -> Array:
        return (self.weight * self.y).numpy().reshape(-1, 1)

    @cached_property
    def automatic(self) -> str:
        """Name of the preconditioner that the core takes by itself in float64."""
        return self.condition(self.theta(torch.float64, self.settings.device)).name

    @cached_property
    def exact(self) -> torch.Tensor:
        """The mean by the core in float64, solved to near rounding."""
        theta = self.theta(torch.float64, self.settings.device)
        return self.condition(theta, tolerance=TIGHT, max_iterations=20_000).mean().detach()

    def reference(self) -> Outputs:
        return {"mean": self.exact, "residual": 0.0}


def _case(n: int, regime: str, settings: Settings) -> Case:
    problem = _Problem(n, regime, settings)
    arms: list[Arm | NotRun] = [
        _core_arm(problem, CORE, torch.float32),
        _core_arm(problem, CORE64, torch.float64),
    ]
    for name, label in OTHERS.items():
        if name == problem.automatic:
            continue
        if n < HEADLINE_SIDE:
            arms.append(_core_arm(problem, label, torch.float64, preconditioner=name))
        else:
            reason = "to keep the run short; see the smaller sizes"
            arms.append(NotRun(label, "core", GIVES, "float64", reason))
    arms += [_superlu_arm(problem, ordering, largest) for ordering, largest in LARGEST.items()]
    arms.append(_cholmod_arm(problem))
    return Case(
        f"kriging-{regime}-{n}{settings.suffix}",
        "kriging",
        f"Kriging mean, {problem.days}×{n}², {regime}",
        f"kriging, {regime}{settings.suffix}",
        n * n,
        arms,
        problem.reference,
        memory=(CORE, CORE64, of_whole(NESTED_DISSECTION))
        if (n, regime) == (HEADLINE_SIDE, "mild")
        else (),
    )


def _core_arm(problem: _Problem, name: str, dtype: torch.dtype, **solver: Any) -> Arm:
    device, precise = problem.settings.device, dtype == torch.float64

    def run(theta: SpdeParameters) -> tuple[SpdeParameters, Posterior]:
        posterior = problem.condition(theta, tolerance=TOLERANCE, max_iterations=20_000, **solver)
        posterior.mean()
        return theta, posterior

    def outputs(result: tuple[SpdeParameters, Posterior]) -> Outputs:
        theta, posterior = result
        own = blocks_of(build_prior(theta.to("cpu").to(torch.float64)))
        x = posterior.mean().detach().cpu().double().numpy().reshape(-1, 1)
        residual = problem.matrix(own) @ x - problem.rhs
        size = np.linalg.norm(residual) / np.linalg.norm(problem.rhs)
        if precise and not solver:
            return {"mean": problem.exact, "residual": size}  # would be the same numbers again
        tight = problem.condition(theta, tolerance=TIGHT, max_iterations=20_000, **solver)
        return {"mean": tight.mean().detach(), "residual": size}

    return Arm(
        *(name, "core", GIVES, str(dtype).removeprefix("torch.")),
        run,
        outputs,
        lambda: problem.theta(dtype, device),
        # float32 rounds the solution itself, whatever the solver reached
        tolerances={"residual": 1.01 * TOLERANCE if precise else 10 * TOLERANCE},
        device=device,
        note="" if solver else f"auto takes {problem.condition(problem.theta(dtype, device)).name}",
    )


def _superlu_arm(problem: _Problem, ordering: str, largest: int) -> Arm | NotRun:
    name, n = of_whole(ordering), problem.n
    same_work = problem.regime != "mild" and ordering != NESTED_DISSECTION
    if n > largest or (same_work and not problem.settings.quick):
        reason = f"slower than {OWN_BEST} at {largest}² and growing faster"
        if same_work:
            reason = "the work does not depend on the numbers; see the mild regime"
        return NotRun(name, "plain good", DIRECT, "float64", reason)

    def run(blocks: Blocks) -> Array:
        return Factored(problem.matrix(blocks), ordering, (problem.days, n, n)).solve(problem.rhs)

    return _direct_arm(problem, name, run, 1 if n >= STIFF_SIDE else 2)


def _cholmod_arm(problem: _Problem) -> Arm | NotRun:
    if find_spec("sksparse") is None:
        reason = "scikit-sparse is not installed"
        return NotRun(CHOLMOD, "plain good", DIRECT, "float64", reason)

    def run(blocks: Blocks) -> Array:
        return supernodal_cholesky(problem.matrix(blocks))(problem.rhs)

    return _direct_arm(problem, CHOLMOD, run, 1 if problem.n >= STIFF_SIDE else 2)


def _direct_arm(problem: _Problem, name: str, run: Callable[[Blocks], Array], repeats: int) -> Arm:
    return Arm(
        *(name, "plain good", DIRECT, "float64"),
        run,
        lambda mean: {"mean": mean},
        problem.blocks,
        repeats=repeats,
        note="slow: fewer samples",
    )
