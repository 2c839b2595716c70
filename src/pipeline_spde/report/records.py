"""What the jobs left about themselves: records (`*.run.json`) and benchmarks, and the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_spde.files import DataError, read_json

RECORD_SUFFIX = ".run.json"
PACKAGES = (
    "pipeline-spde",
    "torch",
    "pytorch-lightning",
    "numpy",
    "scipy",
    "xarray",
    "netCDF4",
    "snakemake",
    "mlflow",
    "matplotlib",
)
"""Packages that results depend on."""


@dataclass(frozen=True)
class Job:
    """What a job said about itself.

    Attributes:
        name: stage and wildcards.
        product: its first output, below the results folder.
        config_hash: of the stage's part of the configuration.
        code_version: package version and commit.
        seed: of the stage.
        started: time in UTC, to the second.
        seconds: wall time.
        peak_memory_mib: largest resident memory.
        inputs: logical name -> SHA-256.
        outputs: logical name -> SHA-256.
    """

    name: str
    product: str
    config_hash: str
    code_version: str
    seed: str
    started: str
    seconds: float
    peak_memory_mib: float
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class Cost:
    """Run time and memory of a rule.

    Attributes:
        rule: its name.
        jobs: number of jobs measured.
        total_seconds: sum of their wall times.
        longest_seconds: the longest of them.
        peak_mib: largest resident memory of any, in MiB; None: too short to be measured.
        load: CPU time over wall time, of all jobs; None: too short to be measured.
    """

    rule: str
    jobs: int
    total_seconds: float
    longest_seconds: float
    peak_mib: float | None
    load: float | None


def jobs(folder: Path) -> list[Job]:
    """Return the records below a results folder, in the order in which the jobs began.

    Raises:
        DataError: a record is damaged or lacks a key.
    """
    found = []
    for path in folder.rglob(f"*{RECORD_SUFFIX}"):
        record = read_json(path)
        try:
            found.append((float(record["started"]), _job(record, path.relative_to(folder))))
        except (KeyError, TypeError) as error:
            raise DataError(f"{path}: not the record of a job ({error}); make it again") from error
    return [job for _, job in sorted(found, key=lambda item: (item[0], item[1].product))]


def _job(record: Mapping[str, Any], path: Path) -> Job:
    started = datetime.fromtimestamp(record["started"], UTC)
    return Job(
        name=record["name"],
        product=path.as_posix().removesuffix(RECORD_SUFFIX),
        config_hash=record["config_hash"],
        code_version=record["code_version"],
        seed=str(record["config"].get("seed", "")),
        started=started.strftime("%Y-%m-%d %H:%M:%S"),
        seconds=float(record["seconds"]),
        peak_memory_mib=float(record["peak_memory_mib"]),
        inputs=record["inputs"],
        outputs=record["outputs"],
    )


def costs(folder: Path) -> list[Cost]:
    """Return run time and memory of every rule from benchmarks/, the most costly first.

    Args:
        folder: `benchmarks/`: `{rule}.tsv` or `{rule}/{wildcards}.tsv`, as Snakemake writes them.
    """
    tables: dict[str, list[pd.DataFrame]] = {}
    for path in sorted(folder.rglob("*.tsv")):
        rule = path.relative_to(folder).parts[0].removesuffix(".tsv")
        table = pd.read_csv(path, sep="\t", na_values=["-", "NA"])
        if "s" not in table:
            raise DataError(f"{path}: not a benchmark of Snakemake, no column s; delete it")
        tables.setdefault(rule, []).append(table)
    rows = [_cost(rule, pd.concat(parts)) for rule, parts in tables.items()]
    return sorted(rows, key=lambda row: -row.total_seconds)


def _cost(rule: str, table: pd.DataFrame) -> Cost:
    seconds = table["s"]
    memory = table["max_rss"].max() if "max_rss" in table else float("nan")
    used = table["cpu_time"].sum(min_count=1) if "cpu_time" in table else float("nan")
    load = float(used) / float(seconds.sum()) if seconds.sum() > 0 else float("nan")
    return Cost(
        rule=rule,
        jobs=len(table),
        total_seconds=float(seconds.sum()),
        longest_seconds=float(seconds.max()),
        peak_mib=None if pd.isna(memory) else float(memory),
        load=None if pd.isna(load) else load,
    )


def one_or_many(values: Iterable[str]) -> str:
    """Return the values, each once; a reader sees at once when there was more than one."""
    return ", ".join(dict.fromkeys(value for value in values if value)) or "unknown"


def environment() -> dict[str, str]:
    """Return Python, machine and versions of the packages that results depend on."""
    found = {
        "Python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
    }
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
