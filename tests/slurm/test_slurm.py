"""The pipeline on a real Slurm: `make test-slurm` (needs root, slurm-wlm and munge).

A one-node cluster is started, the tiny experiment is run through `--profile slurm`, jobs are killed
for memory, for time and by hand, and what was started is stopped.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cluster
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from running import copy_workflow, environment, snakemake

WANTED = os.environ.get("PIPELINE_SPDE_SLURM") == "1"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not WANTED, reason="minutes on a real Slurm: run make test-slurm"),
]
TINY = ("--configfile", "config/tiny.yaml")
# no accounting data base on a one-node cluster, and jobs of seconds
SLURM = (
    "--profile", "slurm", "--cores", "all", "--slurm-status-command", "squeue",
    "--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "5",
)  # fmt: skip
DATA = "results/tiny/data/gulfstream"
SHORT = 'twin={"spin_up_days": 20, "nodes": 48}'


@pytest.fixture(scope="module", autouse=True)
def node(tmp_path_factory) -> Iterator[None]:
    reason = cluster.obstacle()
    if reason:
        pytest.fail(f"no Slurm can be started here: {reason}")
    with cluster.running(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copy_workflow(tmp_path)


def text_of(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def test_the_experiment_runs_through_slurm_and_finds_what_a_local_run_finds(tmp_path):
    local, remote = (copy_workflow(tmp_path / name) for name in ("local", "remote"))
    done = snakemake(remote, *SLURM, *TINY)
    assert done.returncode == 0, text_of(done)[-6000:]
    assert "submitted with SLURM jobid" in text_of(done) or "SLURM jobid" in text_of(done)
    done = snakemake(local, "--cores", "2", *TINY)
    assert done.returncode == 0, text_of(done)[-6000:]
    names = sorted(p.relative_to(local) for p in (local / "results").rglob("*.nc"))
    assert len(names) >= 20
    for name in names:
        with xr.open_dataset(local / name) as one, xr.open_dataset(remote / name) as other:
            for variable in one.variables:
                assert np.array_equal(one[variable].values, other[variable].values, equal_nan=(
                    one[variable].dtype.kind == "f"
                )), (name, variable)  # fmt: skip
    assert (remote / "results/tiny/report.html").stat().st_size > 1e6
    assert snakemake(remote, "-n", *TINY).stdout.count("Nothing to be done") == 1


def test_resources_partition_and_gpu_come_from_the_profile(checkout):
    target = f"{DATA}/truth.nc"
    done = snakemake(
        checkout, target, *SLURM, *TINY, "--config", SHORT,
        "--default-resources", "slurm_partition=gpu", "mem_mb=500", "runtime=5",
        "--set-resources", "truth:gpu=1", "truth:mem_mb=700", "truth:runtime=7",
    )  # fmt: skip
    assert done.returncode == 0, text_of(done)[-4000:]
    shown = subprocess.run(
        ["scontrol", "show", "jobs", "--oneliner"], capture_output=True, text=True, check=True
    ).stdout.splitlines()  # fmt: skip
    asked = ("Partition=gpu ", "TimeLimit=00:07:00", "MinMemoryNode=700M", "gpu:1")
    assert any(all(part in line for part in asked) for line in shown), shown


def test_a_job_killed_for_memory_is_retried_with_more(checkout):
    done = snakemake(
        checkout, f"{DATA}/truth.nc", *SLURM, *TINY,
        "--set-resources", "truth:mem_mb=350*attempt",
    )  # fmt: skip
    text = text_of(done)
    assert done.returncode == 0, text[-4000:]
    assert "Trying to restart job" in text
    assert xr.open_dataset(checkout / DATA / "truth.nc")["ssh"].size > 0


def test_a_job_that_never_has_enough_memory_is_reported_with_the_remedy(checkout):
    done = snakemake(
        checkout, f"{DATA}/truth.nc", *SLURM, *TINY, "--retries", "0",
        "--set-resources", "truth:mem_mb=100",
    )  # fmt: skip
    text = text_of(done)
    assert done.returncode != 0 and not (checkout / DATA / "truth.nc").exists()
    assert "rule truth was killed for using more memory" in text, text[-4000:]
    assert "--set-resources truth:mem_mb=" in text
    assert list((checkout / "logs" / "slurm").rglob("*.log")), "Slurm's own log is kept"
    done = snakemake(checkout, f"{DATA}/truth.nc", *SLURM, *TINY)
    assert done.returncode == 0, text_of(done)[-4000:]


def test_a_job_out_of_time_is_retried_and_goes_on_from_its_checkpoint(checkout):
    steps = 'training={"steps": 8000, "validate_every": 200, "patience": 1000}'
    target = "results/tiny/models/gulfstream/mapping/state.ckpt"
    model = 'model={"start": "oi", "hidden": 32, "prior_hidden": 32}'
    done = snakemake(
        checkout, target, *SLURM, *TINY, "--config", SHORT, steps, model, "--retries", "4",
        "--set-resources", "train:runtime=attempt", "train:mem_mb=3000",
    )  # fmt: skip
    text = text_of(done)
    assert done.returncode == 0, text[-4000:]
    assert "Trying to restart job" in text
    curve = pd.read_csv((checkout / target).with_name("training.csv"))
    assert curve["step"].is_monotonic_increasing and curve["step"].iloc[-1] == 8000
    assert curve["step"].is_unique


def test_a_job_cancelled_by_hand_is_made_again(checkout):
    running = subprocess.Popen(
        [sys.executable, "-m", "snakemake", f"{DATA}/tracks.nc", *SLURM, *TINY],
        cwd=checkout, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    for _ in range(200):
        states = subprocess.run(
            ["squeue", "--states=running", "--noheader", "--format=%i"],
            capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        if states:
            break
        time.sleep(0.2)
    subprocess.run(["scancel", *states], check=True)
    text, _ = running.communicate(timeout=600)
    assert states and running.returncode == 0, text[-4000:]
    assert "Trying to restart job" in text


def test_many_small_jobs_go_as_one_array(checkout):
    done = snakemake(
        checkout, "results/tiny/scores/gulfstream/mapping/oi.json",
        "results/tiny/scores/gulfstream/mapping/oi_tuned.json", *SLURM, *TINY,
        "--slurm-array-jobs", "maps,scores", "--config", SHORT,
    )  # fmt: skip
    assert done.returncode == 0, text_of(done)[-4000:]
    shown = subprocess.run(
        ["squeue", "--states=all", "--noheader", "--format=%F_%K"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert any(not entry.endswith("N/A") for entry in shown), shown
