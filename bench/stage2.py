"""Time and memory of one training step of stage 2 (4DVarNet-SPDE), and the share of the prior.

    python bench/stage2.py [--sizes 60 120] [--repeats 5] [--output stage2.json]

A step is forward, loss with the exact log-determinant of the truth, and backward, for a batch of 2
windows of 15 days, float32: processor time of one thread, or the clock on a GPU. The share of the
prior is one minus the time of the same step of the state solver alone. Published: 18–20 s per batch
of 2 at 120 x 120 on an A100.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from pathlib import Path

import torch

from pipeline_spde.assimilation.spde_solver import SpdeSolver
from pipeline_spde.assimilation.state_solver import StateSolver
from pipeline_spde.config import AugmentedModelConfig, SpdeSolverConfig, StateModelConfig
from pipeline_spde.first_guess import Guess, PriorLaw

BATCH, DAYS, CELL_KM = 2, 15, (11.1, 8.8)
LAW = PriorLaw(100.0, 12.0, 25.0, 2, 0.6)


def windows(size: int, device: torch.device) -> tuple:
    """Return smooth random windows and their first guess."""
    generator = torch.Generator().manual_seed(size)
    shape = (BATCH, DAYS, size, size)

    def smooth(*dims: int) -> torch.Tensor:
        coarse = torch.randn(*dims, size // 10, size // 10, generator=generator)
        flat = coarse.flatten(0, -3)[:, None]
        fine = torch.nn.functional.interpolate(flat, size=(size, size), mode="bicubic")
        return fine.view(*dims, size, size).to(device)

    truth = smooth(BATCH, DAYS)
    observed = (torch.rand(shape, generator=generator) < 0.1).to(device)
    error = torch.full(shape, 0.1, device=device)
    ocean = torch.ones(BATCH, size, size, dtype=torch.bool, device=device)
    sigma = torch.full((BATCH, size, size), 0.2, device=device)
    guess = Guess(truth + 0.1 * smooth(BATCH, DAYS), 8 * smooth(BATCH, 2, DAYS), sigma, 0.2, LAW)
    return truth, (truth, observed, error, ocean, CELL_KM, guess)


def step_of(solver: StateSolver, truth: torch.Tensor, inputs: tuple) -> None:
    """Run one training step, the optimiser left out."""
    solver.zero_grad(set_to_none=True)
    if isinstance(solver, SpdeSolver):
        found = solver.augmented(*inputs)
        loss = (found.state - truth).square().mean() + 0.05 * found.nll(truth, (1,)).mean()
    else:
        loss = (solver(*inputs) - truth).square().mean()
    loss.backward()


def seconds(solver: StateSolver, truth: torch.Tensor, inputs: tuple, repeats: int) -> list[float]:
    """Return the times of some steps after a first one that warms up."""
    # on one thread of a shared processor its own time tells more than the clock on the wall
    clock = time.perf_counter if truth.is_cuda else time.process_time
    times = []
    for repeat in range(repeats + 1):
        if truth.is_cuda:
            torch.cuda.synchronize()
        started = clock()
        step_of(solver, truth, inputs)
        if truth.is_cuda:
            torch.cuda.synchronize()
        times += [clock() - started] if repeat else []
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[60, 120])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = []
    columns = ("cells", "pooling", "step, s (least … most)", "state alone, s", "share", "peak, MiB")
    print("|", " | ".join(columns), "|")
    print("|", " | ".join("---" for _ in columns), "|")
    for size in options.sizes:
        truth, inputs = windows(size, device)
        plain = StateModelConfig(start="spde_oi")
        alone = seconds(StateSolver(plain, CELL_KM).to(device), truth, inputs, options.repeats)
        for pooling in (2, 1):
            torch.manual_seed(0)
            config = AugmentedModelConfig(start="spde_oi", spde=SpdeSolverConfig(pooling=pooling))
            times = seconds(SpdeSolver(config, CELL_KM).to(device), truth, inputs, options.repeats)
            whole, state = statistics.median(times), statistics.median(alone)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            if device.type == "cuda":
                peak = torch.cuda.max_memory_allocated() / 2**20
            share = 1 - state / whole
            print(
                f"| {size}² | {pooling} | {whole:.2f} ({min(times):.2f} … {max(times):.2f}) "
                f"| {state:.2f} | {share:.0%} | {peak:.0f} |"
            )
            rows.append({"cells": size, "pooling": pooling, "seconds": times, "state": alone,
                         "share": share, "peak_mib": peak, "device": str(device)})  # fmt: skip
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
