"""Arms for the energy x'Qx and its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from timing import Arm, Case, Headline, NotRun, Outputs, Settings
from torch import Tensor

from pipeline_spde.spde import SpdeParameters, SpdePrior
from spde_arms.problems import build_prior, parameters, random_states, with_gradients
from spde_arms.sparse import blocks_of, pattern, precision

BATCH, HEADLINE_SIDE, WINDOWS_SIDE = 2, 120, 60
LARGEST_ASSEMBLED_SIDE = 120
CORE, CORE64 = "core, float32", "core, float64"
CORE_COMPILED, CORE_GRAPH = "core, float32, torch.compile", "core, float32, CUDA graph"
TORCH_SPARSE, SCIPY_EACH = "torch.sparse Q, float32", "scipy CSR Q, assembled each time"
CSR32, CSR64 = "scipy CSR Q, float32", "scipy CSR Q, float64"
HEADLINES = [
    Headline(
        "energy with gradients to x and all parameters, against torch.sparse",
        f"energy-changing-{HEADLINE_SIDE}",
        TORCH_SPARSE,
        CORE,
        at_least=100,
    ),
    Headline(
        "the same, against scipy assembly without parameter gradients",
        f"energy-changing-{HEADLINE_SIDE}",
        SCIPY_EACH,
        CORE,
    ),
    Headline(
        "frozen parameters, gradient to x, against a ready CSR, float32",
        f"energy-frozen-{HEADLINE_SIDE}",
        CSR32,
        CORE,
    ),
    Headline(
        "frozen parameters, gradient to x, against a ready CSR, float64",
        f"energy-frozen-{HEADLINE_SIDE}",
        CSR64,
        CORE64,
    ),
]


def cases(settings: Settings) -> list[Case]:
    """Return changing and frozen parameters over the sizes, and windows of other lengths."""
    sides = (8, 12) if settings.quick else (30, WINDOWS_SIDE, HEADLINE_SIDE, 240)
    out = [_changing(n, settings) for n in sides]
    out += [_frozen(n, settings) for n in sides if n <= LARGEST_ASSEMBLED_SIDE]
    side = sides[0] if settings.quick else WINDOWS_SIDE
    return out + [_changing(side, other) for other in settings.of_other_windows()]


def _days(settings: Settings) -> int:
    return settings.window(15, 3)


def _problem(n: int, settings: Settings, dtype: torch.dtype) -> tuple[SpdeParameters, Tensor]:
    theta = parameters(BATCH, _days(settings), n, "mild", settings.seed, dtype, settings.device)
    return theta, random_states((BATCH, _days(settings), n, n), settings.seed + 1, theta.kappa)


def _named(value: Tensor, gradients: list[Tensor]) -> Outputs:
    names = ("x", "kappa", "m_east", "m_north", "h_ee", "h_en", "h_nn", "tau")
    return {"energy": value} | {f"d/d{k}": g for k, g in zip(names, gradients, strict=False)}


def _differentiate(energy: Tensor, leaves: list[Tensor]) -> Outputs:
    return _named(energy.detach(), list(torch.autograd.grad(energy.sum(), leaves)))


def _core_step(state: tuple[SpdeParameters, list[Tensor]]) -> Outputs:
    theta, leaves = state
    return _differentiate(build_prior(theta).energy(leaves[0]), leaves)


def _leaves(n: int, settings: Settings, dtype: torch.dtype) -> tuple[SpdeParameters, list[Tensor]]:
    theta, x = _problem(n, settings, dtype)
    tracked, fields = with_gradients(theta)
    return tracked, [x.requires_grad_(), *fields]


def _changing(n: int, settings: Settings) -> Case:
    everything = "value, gradients to x and all parameters"

    def core(name: str, dtype: torch.dtype, **extra: Any) -> Arm:
        kind = str(dtype).removeprefix("torch.")
        setup = lambda: _leaves(n, settings, dtype)  # noqa: E731
        return Arm(
            name, "core", everything, kind, _core_step, dict, setup, device=settings.device, **extra
        )

    arms: list[Arm | NotRun] = [core(CORE, torch.float32), core(CORE64, torch.float64)]
    arms += _assembling_arms(n, settings, everything)
    return Case(
        f"energy-changing-{n}{settings.suffix}",
        "energy",
        f"Energy, changing parameters, {BATCH}×{_days(settings)}×{n}²",
        f"energy, changing parameters{settings.suffix}",
        n * n,
        arms,
        lambda: _core_step(_leaves(n, settings, torch.float64)),
        memory=(CORE, CORE64, TORCH_SPARSE, SCIPY_EACH) if n == HEADLINE_SIDE else (),
    )


def _assembling_arms(n: int, settings: Settings, everything: str) -> list[Arm | NotRun]:
    """Return the arms that assemble Q in every run."""
    value_and_x = "value and gradient to x only, assembly included"
    if n > LARGEST_ASSEMBLED_SIDE:
        reason = f"above {LARGEST_ASSEMBLED_SIDE}² it takes half a minute a run and over 5 GB"
        return [
            NotRun(TORCH_SPARSE, "as published", everything, "float32", reason),
            NotRun(SCIPY_EACH, "plain good", value_and_x, "float64", reason),
        ]
    slow = n >= 100
    fewer = {60: 2, 120: 1}.get(n)
    return [
        Arm(
            TORCH_SPARSE,
            "as published",
            everything + ", assembly included",
            "float32",
            _torch_sparse_step,
            dict,
            lambda: _leaves(n, settings, torch.float32),
            repeats=fewer,
            device=settings.device,
            note="slow: fewer samples" if fewer else "",
        ),
        Arm(
            SCIPY_EACH,
            "plain good",
            value_and_x,
            "float64",
            lambda state: _csr_step((_assemble(state[0]), state[1])),
            dict,
            lambda: _frozen_state(n, settings, torch.float64, "cpu"),
            repeats=2 if slow else None,
            note="slow: fewer samples" if slow else "",
        ),
    ]


def _torch_sparse_step(state: tuple[SpdeParameters, list[Tensor]]) -> Outputs:
    """Assemble Q by products of torch.sparse matrices, then x'Qx by gather and scatter.

    `torch.sparse.mm(Q, x)` has a dense derivative in Q, which fits no memory; gather and scatter
    are what the published code does for that last product.
    """
    theta, leaves = state
    prior, x = build_prior(theta), leaves[0]
    energies = []
    for entry in range(prior.batch):
        indices, values = _assembled_entries(prior, entry)
        flat = x[entry].reshape(-1)
        energies.append((flat[indices[0]] * values * flat[indices[1]]).sum())
    return _differentiate(torch.stack(energies), leaves)


def _assembled_entries(prior: SpdePrior, entry: int) -> tuple[Tensor, Tensor]:
    """Return the indices and values of Q of one batch entry, with their history."""
    ny, nx = prior.grid.shape
    cells, dt, device = ny * nx, prior.dynamics.dt, prior.mesh.area.device
    rows, columns, positions = (torch.as_tensor(a, device=device) for a in pattern(ny, nx))
    area, tau = prior.mesh.area.reshape(-1), prior.noise.tau[entry].reshape(prior.days, -1)
    index, diagonal = torch.stack([rows, columns]), torch.arange(cells, device=device).repeat(2, 1)

    def sparse(indices: Tensor, values: Tensor) -> Tensor:
        return torch.sparse_coo_tensor(indices, values, (cells, cells)).coalesce()

    def stencil(planes: Tensor) -> Tensor:
        return sparse(index, planes.reshape(-1)[positions])

    one = sparse(diagonal, torch.ones_like(area))
    rate = stencil(dt * prior.diffusion[entry, 0])
    left, right = sparse(diagonal, area / dt / tau[0]), sparse(diagonal, 1 / tau[0])
    inner = torch.sparse.mm(rate, (2 * one + rate).coalesce())
    pieces = [(torch.sparse.mm(left, torch.sparse.mm(inner, right)), 0, 0)]
    for t in range(1, prior.days):
        generator = prior.diffusion[entry, t]
        if prior.advection is not None:
            generator = generator + prior.advection[entry, t]
        step = (one + stencil(dt * generator)).coalesce()
        weight = sparse(diagonal, area / (dt * tau[t].square()))
        weighted = torch.sparse.mm(weight, step)
        pieces.append((torch.sparse.mm(step.t().coalesce(), weighted), t, t))
        pieces += [(-weighted, t - 1, t), ((-weighted).t(), t, t - 1), (weight, t - 1, t - 1)]
    indices, values = [], []
    for matrix, row, column in pieces:
        # −N A couples day t (its rows) to day t − 1 only through x_{t−1}' (−N A) x_t
        ready = matrix.coalesce()
        offset = torch.tensor([[row * cells], [column * cells]], device=device)
        indices.append(ready.indices() + offset)
        values.append(ready.values())
    size = (prior.days * cells,) * 2
    whole = torch.sparse_coo_tensor(torch.cat(indices, dim=1), torch.cat(values), size).coalesce()
    return whole.indices(), whole.values()


def _frozen_state(
    n: int, settings: Settings, dtype: torch.dtype, device: str
) -> tuple[SpdePrior, Tensor]:
    theta, x = _problem(n, settings, dtype)
    return build_prior(theta.to(device)), x.to(device)


def _core_gradient(state: tuple[SpdePrior, Tensor]) -> Outputs:
    prior, x = state
    x = x.detach().requires_grad_()
    return _differentiate(prior.energy(x), [x])


def _assemble(prior: SpdePrior) -> list[Any]:
    return [precision(blocks_of(prior, entry)).tocsr() for entry in range(prior.batch)]


def _csr_step(state: tuple[list[Any], Tensor]) -> Outputs:
    matrices, x = state
    flat = x.numpy().reshape(x.shape[0], -1)
    products = [q @ v for q, v in zip(matrices, flat, strict=True)]
    energy = np.array([v @ product for v, product in zip(flat, products, strict=True)])
    return {"energy": energy, "d/dx": 2 * np.stack(products)}


def _csr_state(n: int, settings: Settings, dtype: torch.dtype) -> tuple[list[Any], Tensor]:
    prior, x = _frozen_state(n, settings, dtype, "cpu")
    return _assemble(prior), x


def _frozen(n: int, settings: Settings) -> Case:
    gives, device = "value and gradient to x; parameters given", settings.device

    def core(name: str, dtype: torch.dtype, wrap: Callable[[Any], Any] | None = None) -> Arm:
        kind = str(dtype).removeprefix("torch.")
        setup = lambda: _frozen_state(n, settings, dtype, device)  # noqa: E731
        if wrap is None:
            return Arm(name, "core", gives, kind, _core_gradient, dict, setup, device=device)
        ready = lambda: wrap(setup())  # noqa: E731
        replay = lambda call: call()  # noqa: E731
        return Arm(name, "core", gives, kind, replay, dict, ready, device=device, optional=True)

    def csr(name: str, dtype: torch.dtype) -> Arm:
        kind = str(dtype).removeprefix("torch.")
        setup = lambda: _csr_state(n, settings, dtype)  # noqa: E731
        return Arm(name, "plain good", gives + " as Q", kind, _csr_step, dict, setup)

    arms: list[Arm | NotRun] = [
        core(CORE, torch.float32),
        core(CORE64, torch.float64),
        csr(CSR32, torch.float32),
        csr(CSR64, torch.float64),
    ]
    if settings.compiled:
        arms.append(core(CORE_COMPILED, torch.float32, _compiled))
    else:
        reason = "asked for by --compile only: tens of seconds of compilation"
        arms.append(NotRun(CORE_COMPILED, "core", gives, "float32", reason))
    if device.startswith("cuda"):
        arms.append(core(CORE_GRAPH, torch.float32, _captured))
    else:
        arms.append(NotRun(CORE_GRAPH, "core", gives, "float32", "needs --device cuda"))
    return Case(
        f"energy-frozen-{n}",
        "energy",
        f"Energy, frozen parameters, {BATCH}×{_days(settings)}×{n}²",
        "energy, frozen parameters",
        n * n,
        arms,
        lambda: _core_gradient(_frozen_state(n, settings, torch.float64, device)),
        memory=(CORE, CORE64, CSR32, CSR64) if n == HEADLINE_SIDE else (),
    )


def _compiled(state: tuple[SpdePrior, Tensor]) -> Callable[[], Outputs]:
    """Return the gradient with the energy compiled; the first call compiles."""
    prior, x = state
    energy = torch.compile(prior.energy)

    def call() -> Outputs:
        leaf = x.detach().requires_grad_()
        return _differentiate(energy(leaf), [leaf])

    return call


def _captured(state: tuple[SpdePrior, Tensor]) -> Callable[[], Outputs]:
    """Return a replay of one captured CUDA graph of the gradient; x lies in a fixed buffer."""
    prior, x = state
    leaf = x.detach().clone().requires_grad_()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            _differentiate(prior.energy(leaf), [leaf])
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = _differentiate(prior.energy(leaf), [leaf])

    def call() -> Outputs:
        graph.replay()
        return outputs

    return call
