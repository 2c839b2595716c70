"""Arms for log|det A_t| of one day and its gradient to the nine planes of the stencil."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from timing import Arm, Case, Headline, NotRun, Outputs, Settings
from torch import Tensor

from pipeline_spde.spde.dissection import dissection
from pipeline_spde.spde.factor import Factor, log_abs_det
from pipeline_spde.spde.operator import advection, diffusion
from pipeline_spde.spde.stencil import CENTRE
from spde_arms.problems import DT_DAYS, build_prior, parameters
from spde_arms.sparse import Factored, from_stencil

HEADLINE_SIDE, LARGEST_DENSE_SIDE = 120, 120
MATRICES = {30: 10, 60: 5, 120: 3, 240: 1}
"""Matrices of one batch, by side; times are per matrix."""
SOLVED_COLUMNS = 64
BOTH, ONLY = "log-determinant and gradient", "log-determinant only"
SUPERLU = "SuperLU, float64"
SUPERLU32, SUPERLU_COLAMD = "SuperLU, float32", "SuperLU, default ordering, float64"
DENSE, SOLVES = "dense Cholesky of A'WA, float32", "SuperLU, gradient by N solves"


def core_name(dtype: torch.dtype, gradient: bool) -> str:
    """Return the name of a core arm."""
    return f"core, {_precision(dtype)}" + (", with gradient" if gradient else "")


def _precision(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _headlines() -> list[Headline]:
    case = f"logdet-mild-{HEADLINE_SIDE}"
    single, double = core_name(torch.float32, True), core_name(torch.float64, True)
    return [
        Headline(
            "log-determinant and gradient (float32) against dense Cholesky, forward only",
            *(case, DENSE, single),
            at_least=100,
        ),
        Headline("the same in float64", case, DENSE, double, at_least=100),
        Headline(
            "time of log-determinant and gradient (float32) over one SuperLU log-determinant",
            *(case, single, SUPERLU),
            at_most=2.5,
        ),
        Headline("the same in float64", case, double, SUPERLU, at_most=2.5),
        Headline(
            "log-determinant only (float64), SuperLU against the core",
            *(case, SUPERLU, core_name(torch.float64, False)),
        ),
        Headline(
            "log-determinant only (float32), SuperLU in float32 against the core",
            *(case, SUPERLU32, core_name(torch.float32, False)),
        ),
        Headline("gradient by N solves (extrapolated) against the core", case, SOLVES, double),
        Headline(
            "stiff: log-determinant and gradient (float64) over one SuperLU log-determinant",
            *(f"logdet-stiff-{HEADLINE_SIDE}", double, SUPERLU),
            at_most=2.5,
        ),
    ]


HEADLINES = _headlines()


def cases(settings: Settings) -> list[Case]:
    """Return the sizes in the mild regime and the headline size in the stiff one."""
    sides = (8, 12) if settings.quick else tuple(MATRICES)
    out = [_case(n, "mild", settings) for n in sides]
    return [*out, _case(sides[-1] if settings.quick else HEADLINE_SIDE, "stiff", settings)]


def stencils(
    n: int, count: int, regime: str, settings: Settings, dtype: torch.dtype, device: str
) -> Tensor:
    """Return A_t = I + dt (K + S) of `count` days, (count, 9, n, n), ready to factor."""
    theta = parameters(1, count, n, regime, settings.seed, dtype, device)
    mesh = build_prior(theta).mesh
    assert theta.m_east is not None
    assert theta.m_north is not None
    planes = diffusion(mesh, theta.kappa, theta.h_ee, theta.h_en, theta.h_nn)
    planes = DT_DAYS * (planes + advection(mesh, theta.m_east, theta.m_north))
    planes[..., CENTRE, :, :] += 1
    return planes[0].contiguous()


def _value_and_gradient(planes: Tensor) -> Outputs:
    leaf = planes.detach().requires_grad_()
    values = log_abs_det(leaf)
    (gradient,) = torch.autograd.grad(values.sum(), leaf)
    return {"log|det|": values.detach(), "gradient": gradient}


def _value(planes: Tensor) -> Outputs:
    return {"log|det|": Factor(planes, keep=False).log_abs_det}


def _reference(planes: Tensor) -> Outputs:
    found = _value_and_gradient(planes)
    first = found["gradient"][0, CENTRE].reshape(-1)[:SOLVED_COLUMNS]
    return {**found, "diagonal of the inverse": first, "first log|det|": found["log|det|"][:1]}


def _superlu_step(state: list[Any], ordering: str = "MMD_AT_PLUS_A") -> Outputs:
    return {"log|det|": np.array([Factored(a, ordering).log_abs_det for a in state])}


def _case(n: int, regime: str, settings: Settings) -> Case:
    count = MATRICES.get(n, 4)
    arms: list[Arm | NotRun] = [*_core_arms(n, count, regime, settings)]

    def matrices(dtype: torch.dtype) -> list[Any]:
        planes = stencils(n, count, regime, settings, dtype, "cpu")
        return [from_stencil(p) for p in planes.numpy()]

    def superlu(name: str, dtype: torch.dtype, ordering: str) -> Arm:
        return Arm(
            *(name, "plain good", ONLY, _precision(dtype)),
            lambda state: _superlu_step(state, ordering),
            dict,
            lambda: matrices(dtype),
        )

    arms += [
        superlu(SUPERLU, torch.float64, "MMD_AT_PLUS_A"),
        superlu(SUPERLU32, torch.float32, "MMD_AT_PLUS_A"),
        superlu(SUPERLU_COLAMD, torch.float64, "COLAMD"),
        _solves_arm(n, count, lambda: matrices(torch.float64)[0]),
        _dense_arm(n, count, regime, settings),
    ]
    return Case(
        f"logdet-{regime}-{n}",
        "logdet",
        f"Log-determinant, {n}², {regime}",
        f"log-determinant, {regime}",
        n * n,
        arms,
        lambda: _reference(stencils(n, count, regime, settings, torch.float64, settings.device)),
        per="matrix",
        divisor=count,
        memory=(core_name(torch.float32, True), core_name(torch.float64, True), SUPERLU)
        if (n, regime) == (HEADLINE_SIDE, "mild")
        else (),
    )


def _core_arms(n: int, count: int, regime: str, settings: Settings) -> list[Arm | NotRun]:
    def arm(dtype: torch.dtype, gradient: bool, cold: bool = False) -> Arm:
        return Arm(
            core_name(dtype, gradient) + (", tables included" if cold else ""),
            "core",
            (BOTH if gradient else ONLY) + (", index tables built anew" if cold else ""),
            _precision(dtype),
            _value_and_gradient if gradient else _value,
            dict,
            lambda: stencils(n, count, regime, settings, dtype, settings.device),
            refresh=dissection.cache_clear if cold else lambda: None,
            device=settings.device,
            note=f"tables once, shared by {count} matrices" if cold else "",
        )

    single, double = torch.float32, torch.float64
    arms: list[Arm | NotRun] = [arm(d, g) for g in (True, False) for d in (single, double)]
    arms.append(arm(double, True, cold=True))
    name = core_name(single, True) + ", CUDA graph"
    if not settings.device.startswith("cuda"):
        return [*arms, NotRun(name, "core", BOTH, "float32", "needs --device cuda")]
    graph = Arm(
        *(name, "core", BOTH, "float32"),
        lambda call: call(),
        dict,
        lambda: _captured(stencils(n, count, regime, settings, single, settings.device)),
        device=settings.device,
        optional=True,
    )
    return [*arms, graph]


def _captured(planes: Tensor) -> Any:
    """Return a replay of one captured CUDA graph of value and derivative, without autograd."""

    def work() -> Outputs:
        factor = Factor(planes)
        return {"log|det|": factor.log_abs_det, "gradient": factor.inverse_entries()}

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = work()

    def call() -> Outputs:
        graph.replay()
        return outputs

    return call


def _solves_arm(n: int, count: int, matrix: Any) -> Arm:
    """Return the gradient by a solve per node: some columns are solved, the time is scaled."""
    columns = min(SOLVED_COLUMNS, n * n)

    def setup() -> tuple[Factored, np.ndarray]:
        return Factored(matrix(), "MMD_AT_PLUS_A"), np.eye(n * n, columns)

    def outputs(solution: np.ndarray) -> Outputs:
        return {"diagonal of the inverse": solution.diagonal()}

    return Arm(
        *(SOLVES, "plain good", "gradient only; factors at hand", "float64"),
        lambda state: state[0].solve(state[1]),
        outputs,
        setup,
        scale=n * n / columns * count,
        note=f"extrapolated: {columns} of {n * n} solves of one matrix timed",
    )


def _dense_arm(n: int, count: int, regime: str, settings: Settings) -> Arm | NotRun:
    """Return the published way: one dense float32 Cholesky per matrix, forward only."""
    if n > LARGEST_DENSE_SIDE:
        size = 4e-9 * n**4
        reason = f"{size:.0f} GB for one copy of one matrix, and {(n / 120) ** 6:.0f} times 120²"
        return NotRun(DENSE, "as published", ONLY, "float32", reason)
    if regime != "mild" and n == HEADLINE_SIDE:
        reason = "the work does not depend on the numbers; see the mild regime"
        return NotRun(DENSE, "as published", ONLY, "float32", reason)
    slow = n >= 100

    def setup() -> Tensor:
        planes = stencils(n, count, regime, settings, torch.float32, "cpu")[0]
        matrix = from_stencil(planes.numpy())  # W = I: the same work for any diagonal W
        return torch.from_numpy((matrix.T @ matrix).toarray()).to(settings.device)

    def run(square: Tensor) -> Outputs:
        diagonal = torch.linalg.cholesky(square).diagonal()
        return {"first log|det|": diagonal.double().log().sum().reshape(1)}

    return Arm(
        *(DENSE, "as published", ONLY + ", dense A'WA given", "float32"),
        run,
        dict,
        setup,
        repeats=1 if slow else None,
        scale=float(count),
        device=settings.device,
        note="one matrix timed" + ("; slow: fewer samples" if slow else ""),
    )
