"""Running one stage: logging to file and console, timing, peak memory, record, errors for people.

Scripts under `workflow/scripts/` are a `with stage_run(…)` around one library call.
"""

from __future__ import annotations

import contextlib
import logging
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from pipeline_spde import tracking
from pipeline_spde.files import require_disk_space, sha256
from pipeline_spde.io import Provenance, code_version
from pipeline_spde.stages import Stage
from pipeline_spde.trees import config_hash

logger = logging.getLogger("pipeline_spde")

# Options that every stage script takes in the same words.
ConfigOption = Annotated[str, typer.Option("--config", help="The stage's configuration as JSON.")]
TextOption = Annotated[str, typer.Option()]
FileOption = Annotated[Path, typer.Option(dir_okay=False)]
FolderOption = Annotated[Path, typer.Option(file_okay=False)]
DomainOption = Annotated[str, typer.Option(help="Name of the domain.")]
TaskOption = Annotated[str, typer.Option(help="Name of the task.")]
FilesArgument = Annotated[list[Path], typer.Argument(help="Files, one per method.")]
TrackingOption = Annotated[Path | None, typer.Option(help="Tracking marker; omit to not track.")]
LogOption = Annotated[Path | None, typer.Option(help="Log file.")]

_EXPECTED_ERRORS = (ValueError, OSError, RuntimeError)
# The whole need is compared with the disk before the first job (`disk`); this is for a disk that
# others fill meanwhile.
_LEAST_FREE_BYTES = 200 * 2**20


@dataclass
class StageRun:
    """What a running stage may add to its record.

    Attributes:
        stage: its validated configuration.
        provenance: attributes for the files it writes.
        metrics: final numbers, name -> value.
        histories: series, name -> [(step, value), …].
        artifacts: small files worth keeping with the run.
        mlflow_run_id: set when the stage logs to MLflow while it runs.
    """

    stage: Stage
    provenance: Provenance
    metrics: dict[str, float] = field(default_factory=dict)
    histories: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)
    mlflow_run_id: str | None = None


@contextlib.contextmanager
def stage_run(
    name: str,
    stage: Stage,
    *,
    outputs: Mapping[str, Path],
    inputs: Mapping[str, Path],
    log: Path | None,
    marker: Path | None,
    title: str,
    wildcards: Mapping[str, str] | None = None,
) -> Iterator[StageRun]:
    """Run the body as one tracked stage; exit with status 1 and one sentence on a known error.

    Args:
        name: of the stage.
        stage: its validated configuration.
        outputs: logical name -> file it writes (the first one gets the record beside it).
        inputs: logical name -> file it reads; each must exist and be non-empty.
        log: file that receives every log line, or None.
        marker: the tracking marker, or None to run untracked.
        title: one line for the files' global attributes.
        wildcards: domain, task, method as they apply.
    """
    set_up_logging(log)
    label = " ".join([name, *(wildcards or {}).values()])
    started = time.time()
    logger.info("%s: start", label)
    try:
        for path in inputs.values():
            if not Path(path).is_file() or Path(path).stat().st_size == 0:
                raise FileNotFoundError(
                    f"{path}: missing or empty input; run `snakemake {path}` to make it"
                )
        first = next(iter(outputs.values()))
        require_disk_space(Path(first).parent, _LEAST_FREE_BYTES)
        tree = stage.model_dump(mode="json")
        provenance = Provenance(title, config_hash(tree), stage.seed, dict(inputs))
        run = StageRun(stage, provenance)
        yield run
        seconds = time.time() - started
        record = _record(name, label, run, tree, started, seconds, inputs, outputs, wildcards)
        path = tracking.write_record(first, record)
    except _EXPECTED_ERRORS as error:
        logger.debug("details", exc_info=True)
        logger.error("%s failed: %s", label, error)
        sys.exit(1)
    logger.info("%s: done in %.1f s, peak %.0f MiB", label, seconds, record["peak_memory_mib"])
    if marker is not None:
        tracking.send(path, marker)


def named(paths: Sequence[Path], **others: Path | None) -> dict[str, Path]:
    """Return files by name: each of `paths` by its stem, `others` by keyword when given."""
    return {path.stem: path for path in paths} | {k: v for k, v in others.items() if v is not None}


def score_values(result: Mapping[str, Any]) -> dict[str, float]:
    """Return "protocol.score" -> value of every resolved score of a score file's content."""
    groups = dict(result["protocols"])
    groups["uncertainty"] = {k: v for k, v in result.items() if k not in ("protocols", "daily")}
    return {
        f"{group}.{name}": score["value"]
        for group, scores in groups.items()
        for name, score in scores.items()
        if isinstance(score, Mapping) and score.get("value") is not None
    }


def baseline_and_best(methods: Sequence[str]) -> list[str]:
    """Return the tuned baseline (or the first method) and the last method, which a film shows."""
    first = "oi_tuned" if "oi_tuned" in methods else methods[0]
    return list(dict.fromkeys([first, methods[-1]]))


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback (done, total) that draws a progress bar when stderr is a terminal."""
    bar = tqdm(desc=label, file=sys.stderr, disable=not sys.stderr.isatty(), leave=False)

    def update(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    try:
        yield update
    finally:
        bar.close()


def _record(
    name: str,
    label: str,
    run: StageRun,
    tree: Mapping[str, Any],
    started: float,
    seconds: float,
    inputs: Mapping[str, Path],
    outputs: Mapping[str, Path],
    wildcards: Mapping[str, str] | None,
) -> dict[str, Any]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "stage": name,
        "name": label,
        "wildcards": dict(wildcards or {}),
        "config": dict(tree),
        "config_hash": run.provenance.config_hash,
        "code_version": code_version(),
        "python": platform.python_version(),
        "started": started,
        "seconds": round(seconds, 3),
        "peak_memory_mib": round(peak, 1),
        "metrics": {"wall_seconds": seconds, "peak_memory_mib": peak, **run.metrics},
        "histories": run.histories,
        "inputs": {key: sha256(path) for key, path in inputs.items()},
        "outputs": {key: sha256(path) for key, path in outputs.items() if Path(path).is_file()},
        "artifacts": [str(path) for path in run.artifacts],
        **({"mlflow_run_id": run.mlflow_run_id} if run.mlflow_run_id else {}),
    }


def set_up_logging(log: Path | None) -> None:
    """Send INFO lines to the console and everything to the log file."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    logger.setLevel(logging.DEBUG)
    console = logging.StreamHandler(sys.stderr)
    console.setLevel(logging.INFO)
    console.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handlers: list[logging.Handler] = [console]
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(log, mode="w", encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        handlers.append(file)
    root.handlers = handlers
    logging.captureWarnings(True)
