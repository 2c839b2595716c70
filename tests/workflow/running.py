"""Running Snakemake on a copy of the workflow, as a user does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


def environment(**extra: str) -> dict[str, str]:
    """Environment of a child: this Python's programs first, few threads, no outside tracking."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "SNAKEMAKE_"))}
    return {**kept, "PATH": path, "OMP_NUM_THREADS": "1", **extra}


def snakemake(folder: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a checkout and return what it printed."""
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=folder,
        env=environment(**extra),
        capture_output=True,
        text=True,
        check=False,
        timeout=2400,
    )


def copy_workflow(folder: Path) -> Path:
    """Copy what Snakemake reads (not the library, which is installed) to a folder."""
    for name in ("workflow", "config", "profiles", "envs"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "slurm").symlink_to("profiles/slurm")
    return folder


def kill_when_it_runs(folder: Path, program: str, what: str, seconds: float = 240) -> bool:
    """Kill a program in a folder whose command line holds a text, as soon as there is one."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for process in psutil.process_iter(["cmdline", "cwd"]):
            command = process.info["cmdline"] or []
            script = any(part.endswith(f"/{program}") for part in command)
            here = process.info["cwd"] == str(folder)
            if here and script and any(part.endswith(what) for part in command):
                process.kill()
                return True
        time.sleep(0.05)
    return False
