"""Fair timing: a gate of correctness first, then interleaved repeats of all arms of a case.

An *arm* is one way to compute something, a *case* a set of arms that compute the same thing. The
first run of an arm is compared with the reference of its case. An arm that disagrees is refused
and never timed. For the others that run is the warm-up; a slow arm that is run once only keeps it
as its sample. The remaining repeats go A-B-A-B through the arms in one process.

Two clocks run: wall time, and the CPU time of the process. With one thread both agree on an idle
machine; beside other jobs only the second tells what the work costs. Medians are of CPU time for
arms on the CPU and of wall time for arms on a GPU; the record keeps every sample of both.
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

Kind = Literal["core", "plain good", "as published"]
Outputs = Mapping[str, Any]
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
"""Largest relative difference from the reference, by the precision of the arm."""
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Settings:
    """What a run of the benchmark is asked to do.

    Attributes:
        quick: tiny sizes.
        device: where the torch arms run.
        repeats: samples per arm.
        seed: of parameters and data.
        compiled: torch.compile too.
        full: the long cases too.
        days: length of the windows of a case, in place of the usual one of its group.
    """

    quick: bool = False
    device: str = "cpu"
    repeats: int = 5
    seed: int = 0
    compiled: bool = False
    full: bool = False
    days: int | None = None

    def window(self, usual: int, tiny: int) -> int:
        """Return the days of a window: those asked for, or the usual ones of a group."""
        return self.days or (tiny if self.quick else usual)

    def of_other_windows(self) -> list[Settings]:
        """Return the settings of the cases with shorter and longer windows than usual."""
        days = (2,) if self.quick else (5, 30) if self.full else (5,)
        return [replace(self, days=d) for d in days]

    @property
    def suffix(self) -> str:
        """What names of cases and series end in; empty for the usual window."""
        return "" if self.days is None else f"-{self.days}-days"


@dataclass(frozen=True)
class Arm:
    """One way to compute the quantity of a case.

    Attributes:
        name: unique within the case; the same in all cases of a series.
        kind: the core, a baseline as good as it gets, or the method as published.
        gives: what comes out and what the time includes.
        dtype: precision; it decides the tolerance of the gate.
        run: the timed work, given what `setup` returned.
        outputs: from the result of `run`, the quantities that the gate compares. Not timed.
        setup: work before the clock starts, once.
        refresh: work before the clock starts, before every run.
        repeats: fewer than usual for slow arms; 1 keeps the checked run as the sample.
        scale: a part of the work is timed and multiplied by this number.
        tolerances: tolerances of single outputs that differ from the usual one.
        device: where it runs.
        optional: a RuntimeError while it is set up or first run is reported, not raised; for
            compilers and graph capture, which depend on the machine.
        note: for the reader of the table.
    """

    name: str
    kind: Kind
    gives: str
    dtype: str
    run: Callable[[Any], Any]
    outputs: Callable[[Any], Outputs]
    setup: Callable[[], Any] = lambda: None
    refresh: Callable[[], None] = lambda: None
    repeats: int | None = None
    scale: float = 1.0
    tolerances: Mapping[str, float] = field(default_factory=dict)
    device: str = "cpu"
    optional: bool = False
    note: str = ""


@dataclass(frozen=True)
class NotRun:
    """An arm that a reader expects to see, and why it is not there."""

    name: str
    kind: Kind
    gives: str
    dtype: str
    reason: str


@dataclass(frozen=True)
class Case:
    """Arms that compute the same thing on one problem.

    Attributes:
        name: unique, also for the command line.
        group: energy, logdet, sampling or kriging.
        title: a sentence for the table.
        series: cases of one series differ in their size only; exponents are fitted over them.
        cells: cells of one map, the size of the fit.
        arms: lazily built arms, so that one arm can be run without the cost of the others.
        reference: the quantities that all arms must meet.
        per: unit of the times.
        divisor: number of units that a run computes.
        memory: arms whose peak memory is measured.
    """

    name: str
    group: str
    title: str
    series: str
    cells: int
    arms: list[Arm | NotRun]
    reference: Callable[[], Outputs]
    per: str = "run"
    divisor: int = 1
    memory: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """Seconds of one run by both clocks."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Headline:
    """A ratio of medians that the documentation quotes, and what it should be."""

    label: str
    case: str
    numerator: str
    denominator: str
    at_least: float | None = None
    at_most: float | None = None


def synchronise(device: str) -> None:
    """Wait until the device has done everything that was asked of it."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def difference(value: Any, reference: Any) -> float:
    """Return ‖value − reference‖ / ‖reference‖, float64; infinite when a number is not finite."""
    a, b = _array(value), _array(reference)
    if a.shape != b.shape:
        raise ValueError(f"an output has shape {a.shape}, its reference {b.shape}; make them equal")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    size = float(np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / (size if size > 0 else 1.0)


def _array(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().double().numpy()
    return np.asarray(value, dtype=np.float64).reshape(-1)


def gate(arm: Arm, outputs: Outputs, reference: Outputs) -> dict[str, dict[str, float]]:
    """Return the error and the tolerance of every output of an arm.

    Raises:
        ValueError: the arm puts out nothing that the reference knows.
    """
    known = [key for key in outputs if key in reference]
    if not known:
        raise ValueError(
            f"arm {arm.name!r} puts out {sorted(outputs)}, the reference {sorted(reference)}: "
            "nothing to compare, so nothing may be timed"
        )
    usual = TOLERANCE[arm.dtype]
    return {
        key: {
            "error": difference(outputs[key], reference[key]),
            "tolerance": arm.tolerances.get(key, usual),
        }
        for key in known
    }


def passes(checks: Mapping[str, Mapping[str, float]]) -> bool:
    """Return True when every output is within its tolerance."""
    return all(check["error"] <= check["tolerance"] for check in checks.values())


def run_once(arm: Arm, state: Any) -> tuple[Any, Sample]:
    """Return the result of one run and its times, scaled to the whole work."""
    arm.refresh()
    synchronise(arm.device)
    wall, cpu = time.perf_counter(), time.process_time()
    result = arm.run(state)
    synchronise(arm.device)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return result, Sample(wall * arm.scale, cpu * arm.scale)


def run_case(case: Case, settings: Settings) -> dict[str, Any]:
    """Return the record of a case: every arm with its checks and every sample."""
    reference = case.reference()
    records, ready = [], []
    for arm in case.arms:
        record = _describe(arm)
        records.append(record)
        if isinstance(arm, Arm):
            state, samples = _admit(arm, record, reference)
            if record["status"] == "run":
                wanted = settings.repeats if arm.repeats is None else arm.repeats
                ready.append((arm, state, record, samples, wanted - len(samples)))
    gc.collect()
    for repeat in range(max((missing for *_, missing in ready), default=0)):
        for arm, state, _, samples, missing in ready:
            if repeat < missing:
                samples.append(run_once(arm, state)[1])
    for arm, _, record, samples, _ in ready:
        record.update(summary(arm, samples, case.divisor))
    described = {k: getattr(case, k) for k in ("name", "group", "title", "series", "cells", "per")}
    return {**described, "arms": records}


def _describe(arm: Arm | NotRun) -> dict[str, Any]:
    keys = ("name", "kind", "gives", "dtype")
    record: dict[str, Any] = {key: getattr(arm, key) for key in keys}
    if isinstance(arm, NotRun):
        return {**record, "status": "not run", "reason": arm.reason}
    extra = {"device": arm.device, "note": arm.note, "scale": arm.scale}
    return {**record, "status": "run", **extra}


def _admit(arm: Arm, record: dict[str, Any], reference: Outputs) -> tuple[Any, list[Sample]]:
    """Run the arm once and compare; return its state and first samples, and mark the record."""
    try:
        state = arm.setup()
        result, sample = run_once(arm, state)
    except (MemoryError, torch.OutOfMemoryError) as failure:
        record.update(status="not run", reason=f"out of memory ({_first_line(failure)})")
        return None, []
    except RuntimeError as failure:
        if not arm.optional:
            raise
        record.update(status="not run", reason=f"{type(failure).__name__}: {_first_line(failure)}")
        return None, []
    checks = gate(arm, arm.outputs(result), reference)
    record["gate"] = checks
    if not passes(checks):
        worst = max(checks, key=lambda key: checks[key]["error"] / checks[key]["tolerance"])
        found, allowed = checks[worst]["error"], checks[worst]["tolerance"]
        reason = f"{worst} differs from the reference by {found:.1e}, allowed {allowed:.0e}"
        record.update(status="refused", reason=reason)
    return state, [sample] if arm.repeats == 1 else []


def _first_line(failure: BaseException) -> str:
    return (str(failure).splitlines() or ["no message"])[0]


def summary(arm: Arm, samples: list[Sample], divisor: int) -> dict[str, Any]:
    """Return all samples per unit of work, and the median and the extremes of the clock used."""
    times = {
        "wall_s": [sample.wall / divisor for sample in samples],
        "cpu_s": [sample.cpu / divisor for sample in samples],
    }
    clock = "wall_s" if arm.device.startswith("cuda") else "cpu_s"
    used = times[clock]
    found = {"median": statistics.median(used), "low": min(used), "high": max(used)}
    return {**times, "clock": clock, **found}


def exponents(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return p of time ~ cells^p for every arm that ran at two or more sizes of a series."""
    points: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for case in cases:
        for arm in case["arms"]:
            if arm["status"] == "run":
                key = (case["series"], arm["name"])
                points.setdefault(key, []).append((case["cells"], arm["median"]))
    fits = []
    for (series, name), pairs in points.items():
        cells, seconds = zip(*sorted(pairs), strict=True)
        if len(set(cells)) > 1:
            slope = float(np.polyfit(np.log(cells), np.log(seconds), 1)[0])
            fits.append({"series": series, "arm": name, "cells": cells, "exponent": slope})
    return fits


def ratio(headline: Headline, cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a headline with its ratio of medians, or None where an arm did not run."""
    arms = {(c["name"], a["name"]): a for c in cases for a in c["arms"]}
    pair = [arms.get((headline.case, n)) for n in (headline.numerator, headline.denominator)]
    value, met = None, None
    if all(arm is not None and arm["status"] == "run" for arm in pair):
        value = pair[0]["median"] / pair[1]["median"]  # type: ignore[index]
        bounds = (headline.at_least, headline.at_most)
        if bounds != (None, None):
            met = value >= (bounds[0] or 0) and value <= (bounds[1] or float("inf"))
    return {**vars(headline), "ratio": value, "met": met}


def peak_memory(arm: Arm) -> float:
    """Return the MB that preparing and running an arm once add at most to those in use.

    On Linux the high-water mark of the resident set is reset first; elsewhere the growth of the
    mark is taken, which is too low when the problem itself needed more before. On CUDA it is the
    memory of the device.
    """
    if arm.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = float(torch.cuda.memory_allocated())
        run_once(arm, arm.setup())
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    if _CLEAR.exists():
        _CLEAR.write_text("5")
    before = _high_water()
    run_once(arm, arm.setup())
    return (_high_water() - before) / 1e6


def _high_water() -> float:
    """Return the largest resident set so far, bytes."""
    if _STATUS.exists():
        line = next(x for x in _STATUS.read_text().splitlines() if x.startswith("VmHWM"))
        return float(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit
