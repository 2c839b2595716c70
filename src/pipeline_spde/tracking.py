"""MLflow tracking that never costs a result: one parent run per experiment, one child per job.

Every job writes its record (`*.run.json`: configuration, versions, timings, scores) beside its
output first and sends it to MLflow afterwards. A failure to send is a warning; the record stays
marked unsent and `send_pending` delivers it later. The SQLite database is created by one process
(`create`) before any parallel job writes to it: a fresh database must not be made by two at once.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tenacity import Retrying, stop_after_attempt, wait_random_exponential

from pipeline_spde.files import read_json, write_json

logger = logging.getLogger(__name__)

RECORD_SUFFIX = ".run.json"
_MAX_PARAMETER_LENGTH = 500
_PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
"""Unless the user has set them: MLflow's own values make a job wait minutes for a dead server."""


class TrackingError(RuntimeError):
    """MLflow could not be reached or refused the record."""


def tracking_uri(results: str | Path) -> str:
    """Return $MLFLOW_TRACKING_URI, or the SQLite file of the results folder."""
    default = f"sqlite:///{Path(results).resolve() / 'mlflow.db'}"
    return os.environ.get("MLFLOW_TRACKING_URI", default)


def shown_uri(uri: str) -> str:
    """Return an address as it may be shown and kept: without user name, password and query."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme in ("", "sqlite", "file") and host == parts.netloc:
        return uri
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def address(target: Mapping[str, str]) -> str:
    """Return the address of the store that a marker names.

    The marker holds it without user name and password; those stay in $MLFLOW_TRACKING_URI (or in
    MLflow's own variables MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD).
    """
    own = os.environ.get("MLFLOW_TRACKING_URI", "")
    return own if own and shown_uri(own) == target["uri"] else target["uri"]


def log_live(
    marker: str | Path, run_id: str, metrics: Mapping[str, float], step: int
) -> str | None:
    """Log metrics of a run that goes on; return why that failed, or None."""
    from mlflow.entities import Metric

    target = read_json(marker)
    now = int(time.time() * 1000)
    entries = [Metric(key, float(value), now, step) for key, value in metrics.items()]
    try:
        _client(address(target)).log_batch(run_id, metrics=entries)
    except Exception as error:  # whatever MLflow raises, the training goes on
        return _failure(error, address(target))
    return None


def _failure(error: Exception, uri: str) -> str:
    """Return what MLflow said in one line, without what is secret in the address."""
    return f"{type(error).__name__}: {error}".replace(uri, shown_uri(uri)).split("\n")[0]


def create(results: str | Path, experiment: str) -> dict[str, str]:
    """Create database, experiment and parent run; return what children need to find them.

    Args:
        results: folder of the experiment.
        experiment: its name.

    Raises:
        TrackingError: the store cannot be used.
    """
    results = Path(results)
    results.mkdir(parents=True, exist_ok=True)
    try:
        client = _client(tracking_uri(results))
        known = client.get_experiment_by_name(experiment)
        if known is None:
            location = None
            if tracking_uri(results).startswith("sqlite"):
                location = (results.resolve() / "mlartifacts").as_uri()
            identity = client.create_experiment(experiment, artifact_location=location)
        else:
            identity = known.experiment_id
        parent = client.create_run(identity, run_name=experiment, tags={"level": "experiment"})
    except Exception as error:  # MLflow raises many kinds; all mean "no tracking"
        uri = tracking_uri(results)
        # not "from error": its text may hold what is secret in the address
        raise TrackingError(f"MLflow at {shown_uri(uri)}: {_failure(error, uri)}") from None
    return {
        "uri": shown_uri(tracking_uri(results)),
        "experiment_id": str(identity),
        "parent_run_id": parent.info.run_id,
    }


def finish_parent(marker: str | Path, configuration: Mapping[str, Any]) -> bool:
    """Keep the whole configuration with the parent run and end it; a failure only warns."""
    target = read_json(marker)
    if "uri" not in target:
        return False
    try:
        client = _client(address(target))
        client.log_dict(target["parent_run_id"], dict(configuration), "config.json")
        client.set_terminated(target["parent_run_id"])
    except Exception as error:  # whatever MLflow raises, the results stand
        logger.warning("MLflow parent run not finished: %s", _failure(error, address(target)))
        return False
    return True


def start_child(marker: str | Path, record: Mapping[str, Any]) -> str | None:
    """Open the child run of a job that logs while it runs; None when that is not possible.

    Args:
        marker: file written when the run began (workflow/scripts/tracking.py).
        record: `stage`, `name` and `wildcards` of the job; its full record completes the run
            later if it carries the returned id as `mlflow_run_id`.
    """
    target = read_json(marker)
    if "uri" not in target:
        return None
    try:
        return _create_run(_client(address(target)), target, record)
    except Exception as error:  # whatever MLflow raises, the job goes on
        found = _failure(error, address(target))
        logger.warning("MLflow cannot be reached, no live curves: %s", found)
        return None


def is_open(marker: str | Path) -> bool:
    """Return whether a marker names a store, the one that is configured now, that still exists."""
    path = Path(marker)
    if not path.is_file():
        return False
    uri = read_json(path).get("uri", "")
    if uri != shown_uri(tracking_uri(path.parent)):
        return False
    return not uri.startswith("sqlite") or Path(uri.removeprefix("sqlite:///")).is_file()


def write_record(output: str | Path, record: Mapping[str, Any]) -> Path:
    """Write a job's record beside its output, marked as not yet sent; return its path."""
    path = Path(f"{output}{RECORD_SUFFIX}")
    write_json(path, {**record, "tracked": False})
    return path


def send(path: str | Path, marker: str | Path) -> bool:
    """Send one record as a child run; return whether it was delivered (a failure only warns).

    Args:
        path: the record.
        marker: file written when the run began; `{}` inside means that tracking is off.
    """
    target = read_json(marker)
    if "uri" not in target:
        return False
    record = read_json(path)
    if record.get("tracked"):
        return True
    try:
        client = _client(address(target))
        if "mlflow_run_id" not in record:
            # kept at once: a second attempt completes this run instead of opening another
            record["mlflow_run_id"] = _create_run(client, target, record)
            write_json(path, record)
        _complete(client, record)
    except Exception as error:  # whatever MLflow raises, the result stands
        found = _failure(error, address(target))
        logger.warning("MLflow record %s kept for later: %s", path, found)
        return False
    write_json(path, {**record, "tracked": True})
    return True


def send_pending(results: str | Path, marker: str | Path) -> tuple[int, int]:
    """Send every unsent record below `results`; return (sent, still unsent).

    A store that could not be reached when the experiment began is tried again first.
    """
    target = read_json(marker)
    if "failed" in target:
        try:
            write_json(marker, create(results, target["experiment"]))
        except TrackingError as error:
            logger.warning("MLflow still cannot be reached: %s", error)
    sent = left = 0
    for path in sorted(Path(results).rglob(f"*{RECORD_SUFFIX}")):
        if read_json(path).get("tracked"):
            continue
        if send(path, marker):
            sent += 1
        else:
            left += 1
    return sent, left


def _complete(client: Any, record: Mapping[str, Any]) -> None:
    """Log everything a record holds to its run and end the run; may be repeated."""
    from mlflow.entities import Metric, Param, RunTag

    start = int(record.get("started", time.time()) * 1000)
    run_id: str = record["mlflow_run_id"]
    parameters = [
        Param(key[:250], value[:_MAX_PARAMETER_LENGTH])
        for key, value in _flatten(record.get("config", {}))
    ]
    metrics = [
        Metric(key, float(value), start, 0) for key, value in record.get("metrics", {}).items()
    ]
    for key, series in record.get("histories", {}).items():
        metrics += [Metric(key, float(value), start, int(step)) for step, value in series]
    for first in range(0, max(len(metrics), len(parameters), 1), 90):
        part = slice(first, first + 90)
        client.log_batch(run_id, metrics=metrics[part], params=parameters[part])
    _log_inputs(client, run_id, record.get("inputs", {}))
    hashes = [RunTag(f"output.{k}", v) for k, v in record.get("outputs", {}).items()]
    client.log_batch(run_id, tags=hashes[:90])
    for artifact in record.get("artifacts", []):
        if Path(artifact).is_file():
            client.log_artifact(run_id, artifact)
    client.set_terminated(run_id, "FINISHED")


def _create_run(client: Any, target: Mapping[str, str], record: Mapping[str, Any]) -> str:
    """Create the child run of a record below the experiment's parent; return its id."""
    tags = {"mlflow.parentRunId": target["parent_run_id"], "rule": record["stage"]}
    tags |= {key: str(value) for key, value in record.get("wildcards", {}).items()}
    tags["code_version"] = str(record.get("code_version", ""))
    start = int(record.get("started", time.time()) * 1000)
    run = client.create_run(
        target["experiment_id"], start_time=start, tags=tags, run_name=record["name"]
    )
    return str(run.info.run_id)


def _log_inputs(client: Any, run_id: str, inputs: Mapping[str, str]) -> None:
    """Log input files as datasets: name and SHA-256."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    datasets = [
        DatasetInput(
            dataset=Dataset(
                name=name,
                digest=digest[:36],
                source_type="local",
                source=json.dumps({"sha256": digest}),
            ),
            tags=[InputTag("mlflow.data.context", "input")],
        )
        for name, digest in inputs.items()
    ]
    if not datasets:
        return
    # two jobs that register one dataset at the same moment: the store refuses the second (a unique
    # key of its table), and takes it once the first is there
    for attempt in Retrying(
        stop=stop_after_attempt(6), wait=wait_random_exponential(0.1, max=3), reraise=True
    ):
        with attempt:
            client.log_inputs(run_id, datasets)


def _client(uri: str) -> Any:
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


def _flatten(tree: Any, prefix: str = "") -> Iterable[tuple[str, str]]:
    """Yield (dotted key, text) of every leaf of a configuration tree."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _flatten(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, str(tree)
