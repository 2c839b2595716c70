"""Time the SPDE core against what else one would use, fairly; see docs/speed.md.

    python bench/spde.py --output results/bench-spde.json --markdown docs/speed.md

With --full also windows of 30 days and the rival of the largest draws, which take minutes.

Every arm must agree with the core in float64 before it is timed (1e-10 in float64, 1e-5 in
float32), else it is refused. All arms run on one thread, interleaved in one process; peak memory
comes from one process per arm.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    from timing import Arm, Case, Headline, Settings

GROUPS = ("energy", "logdet", "sampling", "kriging")
THREADS = 1
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_MEMORY_TIMEOUT = 300.0  # seconds


def main(arguments: list[str] | None = None) -> None:
    options = _parse(arguments)
    _pin_threads()
    if options.peak_of:
        case_name, arm_name = options.peak_of
        print(json.dumps({"peak_mb": _peak_of(case_name, arm_name, options)}))
        return
    records = [_read(path) for path in options.tables_of] if options.tables_of else None
    record = measure(options) if records is None else merge(records)
    from spde_arms.report import insert, markdown, text

    print(text(record))
    if options.markdown:
        path: Path = options.markdown
        document = path.read_text(encoding="utf-8") if path.exists() else ""
        _write(path, insert(document, markdown(record)))
    refused = [f"{c['name']}: {a['name']}: {a['reason']}" for c, a in _all_arms(record, "refused")]
    if refused:
        raise SystemExit("refused, because they disagree with the core:\n" + "\n".join(refused))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time the SPDE core against its alternatives.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, two repeats, no memory")
    parser.add_argument("--full", action="store_true", help="the cases that take minutes, too")
    parser.add_argument("--only", choices=GROUPS, nargs="+", help="some groups of cases")
    parser.add_argument("--device", default="cpu", help="cpu or cuda, for the torch arms")
    parser.add_argument("--output", type=Path, help="JSON file with every sample")
    parser.add_argument("--markdown", type=Path, help="document whose tables are replaced")
    parser.add_argument("--repeats", type=int, help="samples per arm (5; 2 with --quick)")
    parser.add_argument("--seed", type=int, default=0, help="seed of parameters and data")
    parser.add_argument("--compile", action="store_true", help="also time torch.compile")
    parser.add_argument("--no-memory", action="store_true", help="skip the process per arm")
    parser.add_argument(
        "--tables-of", type=Path, nargs="+", help="run nothing: tables of earlier JSON files"
    )
    parser.add_argument("--peak-of", nargs=2, metavar=("CASE", "ARM"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.repeats is not None and options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    return options


def _pin_threads() -> None:
    """Give every library one thread; must come before numpy and torch are loaded."""
    if "numpy" in sys.modules or "torch" in sys.modules:
        wrong = {k: os.environ.get(k) for k in _THREAD_VARIABLES}
        if set(wrong.values()) != {str(THREADS)}:
            raise RuntimeError(
                f"numpy or torch is loaded already, with {wrong}; their threads can no longer be "
                f"set: run the script by itself, or export these variables as {THREADS} first"
            )
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(THREADS)))
    import torch

    torch.set_num_threads(THREADS)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    # notices of torch.sparse; nothing that changes a number
    warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)


def _settings(options: argparse.Namespace) -> Settings:
    import torch
    from timing import Settings

    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit(f"--device {options.device}: torch finds no CUDA device; use --device cpu")
    repeats = options.repeats or (2 if options.quick else 5)
    return Settings(
        options.quick, options.device, repeats, options.seed, options.compile, options.full
    )


def _modules(only: list[str] | None) -> list[ModuleType]:
    from spde_arms import energy, kriging, logdet, sampling

    known = dict(zip(GROUPS, (energy, logdet, sampling, kriging), strict=True))
    return [module for name, module in known.items() if only is None or name in only]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the record of a whole run; the file is written after every case."""
    from timing import exponents, ratio, run_case

    settings, begin = _settings(options), time.perf_counter()
    cases: list[dict[str, Any]] = []
    headlines: list[Headline] = []
    run: dict[str, Any] = {
        "command": " ".join(["python bench/spde.py", *_shown_arguments(options)]),
        "seed": options.seed,
        "device": options.device,
        "versions": _versions(),
        "machine": {**_machine(options.device), "load_before": _load()},
    }
    record: dict[str, Any] = {"runs": [run]}
    for module in _modules(options.only):
        headlines += [] if options.quick else module.HEADLINES
        for case in module.cases(settings):
            print(f"{case.title} …", file=sys.stderr, flush=True)
            found = run_case(case, settings)
            if not (options.quick or options.no_memory):
                _add_memory(case, found, options)
            cases.append(found)
            run["machine"]["load_after"] = _load()
            run["wall_s"] = time.perf_counter() - begin
            record |= {"cases": cases, "exponents": exponents(cases)}
            record |= {"headlines": [ratio(line, cases) for line in headlines]}
            _write(options.output, json.dumps(record, indent=1) + "\n")
    return record


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def merge(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one record of the cases of several runs; each must have cases of its own.

    Raises:
        ValueError: two runs hold the same case, and nothing says which one counts.
    """
    from timing import exponents, ratio

    cases = [case for record in records for case in record["cases"]]
    names = [case["name"] for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"cases in more than one run: {', '.join(twice)}; give each once")
    headlines = [line for module in _modules(None) for line in module.HEADLINES]
    return {
        "runs": [run for record in records for run in record["runs"]],
        "cases": cases,
        "exponents": exponents(cases),
        "headlines": [ratio(line, cases) for line in headlines],
    }


def _write(path: Path | None, text: str) -> None:
    """Write a file, whole or not at all, if one is asked for."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".tmp")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _shown_arguments(options: argparse.Namespace) -> list[str]:
    """Return the options that change the numbers."""
    shown = ["--quick"] * options.quick + ["--full"] * options.full
    shown += ["--compile"] * options.compile
    shown += ["--no-memory"] * options.no_memory
    shown += ["--only", *options.only] if options.only else []
    shown += [f"--repeats {options.repeats}"] if options.repeats else []
    shown += [f"--device {options.device}"] if options.device != "cpu" else []
    return shown


def _add_memory(case: Case, record: dict[str, Any], options: argparse.Namespace) -> None:
    """Run the arms that the case names once more, each in its own process, for its peak memory."""
    for arm in record["arms"]:
        if arm["status"] != "run" or arm["name"] not in case.memory:
            continue
        command = [sys.executable, __file__, "--peak-of", case.name, arm["name"]]
        command += ["--device", options.device, "--seed", str(options.seed)]
        command += ["--quick"] if options.quick else []
        command += ["--full"] if options.full else []
        command += ["--compile"] if options.compile else []
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MEMORY_TIMEOUT)
        if done.returncode:
            raise RuntimeError(
                f"the process that measures the memory of {arm['name']!r} in {case.name} "
                f"ended with {done.returncode}:\n{done.stderr[-2000:]}"
            )
        arm["peak_mb"] = json.loads(done.stdout)["peak_mb"]


def _peak_of(case_name: str, arm_name: str, options: argparse.Namespace) -> float:
    """Return the peak memory of one arm, MB."""
    from timing import peak_memory

    return peak_memory(_find(case_name, arm_name, _settings(options)))


def _find(case_name: str, arm_name: str, settings: Settings) -> Arm:
    from timing import Arm

    found: list[Case] = [c for m in _modules(None) for c in m.cases(settings)]
    for case in found:
        for arm in case.arms:
            if (case.name, arm.name) == (case_name, arm_name) and isinstance(arm, Arm):
                return arm
    names = ", ".join(case.name for case in found)
    raise SystemExit(f"no arm {arm_name!r} in a case {case_name!r}; the cases are {names}")


def _all_arms(record: dict[str, Any], status: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(c, a) for c in record["cases"] for a in c["arms"] if a["status"] == status]


def _versions() -> dict[str, str]:
    packages = ("torch", "numpy", "scipy", "pipeline-spde")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def _load() -> str:
    return f"{os.getloadavg()[0]:.2f}"


def _machine(device: str) -> dict[str, Any]:
    """Return what the numbers depend on: processor, cores, threads."""
    import torch

    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8").splitlines()
        models = [x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")]
        name = models[0] if models else name
    machine: dict[str, Any] = {"cpu": name, "architecture": platform.machine()}
    machine |= {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "blas": _blas()}
    if device.startswith("cuda"):
        machine["gpu"] = torch.cuda.get_device_name()
    return machine


def _blas() -> list[dict[str, Any]]:
    """Return the thread pools that are loaded and their threads, where that can be asked."""
    if find_spec("threadpoolctl") is None:
        return []
    keys = ("internal_api", "version", "num_threads")
    pools = import_module("threadpoolctl").threadpool_info()
    return [{key: pool.get(key) for key in keys} for pool in pools]


if __name__ == "__main__":
    main()
