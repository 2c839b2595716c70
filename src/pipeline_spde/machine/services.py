"""The tracking store, Slurm, and the folder of the user's data."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import requests

from pipeline_spde.config import Config
from pipeline_spde.machine import Finding, State
from pipeline_spde.tracking import shown_uri, tracking_uri

_PATIENCE = 10.0  # seconds for a server to answer


def tracking(results: Path) -> list[Finding]:
    """Return whether the MLflow store answers: a server, or SQLite in the folder of results."""
    uri = tracking_uri(results)
    if uri.startswith(("http://", "https://")):
        return [_server(uri)]
    if not uri.startswith("sqlite:///"):
        found = f"{shown_uri(uri)}: not looked at"
        return [Finding("MLflow", "doubtful", found, "use a server's address or sqlite:///FILE")]
    return [_sqlite(Path(uri.removeprefix("sqlite:///")))]


def _server(uri: str) -> Finding:
    advice = "start the server or unset MLFLOW_TRACKING_URI; until then records are kept on disk"
    try:
        answer = requests.get(f"{uri.rstrip('/')}/health", timeout=_PATIENCE)
    except requests.RequestException as error:
        kind = type(error).__name__
        return Finding("MLflow", "doubtful", f"{shown_uri(uri)} does not answer ({kind})", advice)
    if answer.ok:
        return Finding("MLflow", "good", f"server {shown_uri(uri)} answers")
    found = f"{shown_uri(uri)} answers with status {answer.status_code}"
    return Finding("MLflow", "doubtful", found, advice)


def _sqlite(file: Path) -> Finding:
    """Return whether SQLite can lock and write files in the folder of its database."""
    parents = file.absolute().parents
    existing = next(folder for folder in parents if folder.exists())
    try:
        with (
            tempfile.TemporaryDirectory(dir=existing, prefix=".doctor-") as place,
            sqlite3.connect(Path(place, "try.db"), timeout=5) as store,
        ):
            store.execute("create table tried (number integer)")
    except (OSError, sqlite3.Error) as error:
        advice = "SQLite needs a file system with locks; set MLFLOW_TRACKING_URI to a server"
        return Finding("MLflow", "doubtful", f"{existing}: {error}", advice)
    return Finding("MLflow", "good", f"SQLite file {file}")


def slurm() -> list[Finding]:
    """Return whether Slurm answers, where its programs are installed."""
    if shutil.which("sinfo") is None:
        return [Finding("Slurm", "good", "not installed; jobs run on this machine")]
    advice = "a client without a controller delays every snakemake call; ask who runs the cluster"
    try:
        answer = subprocess.run(
            ["sinfo", "--noheader", "--format", "%P %a %D %l"],
            capture_output=True, text=True, timeout=_PATIENCE, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        found = f"sinfo has not answered in {_PATIENCE:.0f} s"
        return [Finding("Slurm", "doubtful", found, advice)]
    if answer.returncode != 0:
        return [Finding("Slurm", "doubtful", answer.stderr.strip().split("\n")[-1], advice)]
    lines = answer.stdout.strip().splitlines()
    partitions = ", ".join(line.split()[0] for line in lines)
    return [Finding("Slurm", "good", f"partitions {partitions or 'none'}")]


def data(config: Config | None) -> list[Finding]:
    """Return the folder of real data, where one is named or an experiment needs it."""
    folder = os.environ.get("PIPELINE_SPDE_DATA")
    real = [n for n, d in config.domains.items() if d.tracks_file] if config else []
    if folder is None:
        found = "PIPELINE_SPDE_DATA is not set; paths count from the working folder"
        return [Finding("data", "good", found)]
    if not Path(folder).is_dir():
        state: State = "bad" if real else "doubtful"
        advice = "set it to the folder of your data"
        return [Finding("data", state, f"PIPELINE_SPDE_DATA={folder} is no folder", advice)]
    return [Finding("data", "good", f"PIPELINE_SPDE_DATA={folder}")]
