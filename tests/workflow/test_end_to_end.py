"""The tiny experiment, run as a user runs it: complete, repeatable, restartable, truthful."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from running import copy_workflow, environment, snakemake

from pipeline_spde.config import Config, load_files
from pipeline_spde.files import read_json
from pipeline_spde.methods import METHODS
from pipeline_spde.stages import figure_names, stage_json

pytestmark = pytest.mark.slow

TINY = ("--configfile", "config/tiny.yaml")
RESULTS = Path("results/tiny")


def tiny_config(folder: Path) -> Config:
    return load_files(folder / "config.yaml", folder / "config" / "tiny.yaml")


def digest(path: Path) -> str:
    """Hash of the numbers of a NetCDF file (its history and command line may differ)."""
    with xr.open_dataset(path) as data:
        arrays = [data[name].values.tobytes() for name in sorted(data.variables)]
    return hashlib.sha256(b"".join(arrays)).hexdigest()


def run_script(folder: Path, name: str, **options: object) -> None:
    words = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    subprocess.run(
        [sys.executable, f"workflow/scripts/{name}.py", *words],
        cwd=folder,
        env=environment(),
        check=True,
        capture_output=True,
        timeout=600,
    )


def test_everything_promised_is_there(finished):
    config = tiny_config(finished)
    folder = finished / RESULTS
    for name in figure_names(config):
        assert (folder / "figures" / name).stat().st_size > 2000, name
    for task, methods in config.tasks.items():
        for method in methods:
            content = read_json(folder / f"scores/gulfstream/{task}/{method}.json")
            for protocol in config.scores.protocols:
                assert content["protocols"][protocol]["mu"]["value"] is not None
            daily = pd.read_csv(folder / f"scores/gulfstream/{task}/{method}.daily.csv")
            assert len(daily) == config.domains["gulfstream"].periods.evaluation.days
    for suffix in ("md", "csv", "tex", "html"):
        text = (folder / f"tables/scores.{suffix}").read_text()
        assert "4dvarnet" in text.lower()


def test_maps_say_where_they_come_from(finished):
    with xr.open_dataset(finished / RESULTS / "maps/gulfstream/mapping/oi_tuned.nc") as maps:
        assert {"ssh", "ssh_std"} <= set(maps)
        assert "observations=" in maps.attrs["input_sha256"]
        assert maps.attrs["config_hash"] and maps.attrs["code_version"]
        assert (maps["ssh_std"] > 0).all()


def test_a_second_run_has_nothing_to_do(finished):
    done = snakemake(finished, "-n", *TINY)
    assert "Nothing to be done" in done.stdout + done.stderr


def planned(folder: Path, *settings: str) -> set[str]:
    """Rules that would run when configuration keys are changed."""
    done = snakemake(folder, "-n", "--quiet", "all", *TINY, "--config", *settings)
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr
    rules = (
        "truth",
        "tracks",
        "observations",
        "statistics",
        "tune",
        "fit_spde",
        "train",
        "maps",
        "scores",
    )
    detail = snakemake(folder, "-n", *TINY, "--config", *settings)
    text = detail.stdout + detail.stderr
    return {rule for rule in rules if f"rule {rule}:" in text}


def test_a_changed_key_reruns_only_what_depends_on_it(finished):
    assert planned(finished, 'scores={"confidence": 0.9}') == {"scores"}
    assert planned(finished, 'training={"steps": 21}') == {"train", "maps", "scores"}
    assert planned(finished, 'training={"fine_tune_steps": 9}') == set()
    assert planned(finished, 'oi={"noise": 0.06}') == {"maps", "scores"}
    assert "truth" not in planned(finished, 'observations={"nadir_noise_m": 0.03}')
    assert planned(finished, 'observations={"nadir_noise_m": 0.03}') >= {"tracks", "observations"}


def test_every_job_has_a_record_and_a_child_run(finished):
    records = [read_json(path) for path in (finished / RESULTS).rglob("*.run.json")]
    stages = {record["stage"] for record in records}
    assert stages >= {
        "truth",
        "tracks",
        "observations",
        "tune",
        "train",
        "maps",
        "scores",
        "tables",
    }
    assert all(record["tracked"] for record in records)
    assert all(record["peak_memory_mib"] > 0 for record in records)

    from mlflow.tracking import MlflowClient

    marker = read_json(finished / RESULTS / "tracking.json")
    client = MlflowClient(marker["uri"])
    query = f"tags.`mlflow.parentRunId` = '{marker['parent_run_id']}'"
    children = client.search_runs([marker["experiment_id"]], query, max_results=500)
    assert {child.info.run_id for child in children} == {r["mlflow_run_id"] for r in records}
    (train,) = [child for child in children if child.data.tags["rule"] == "train"]
    history = client.get_metric_history(train.info.run_id, "validation_rmse_m")
    assert len(history) >= 2


def test_the_report_is_made(finished):
    done = subprocess.run(
        [sys.executable, "workflow/scripts/report.py", *TINY],
        cwd=finished,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "score table:" in done.stdout and "### ssh-v1" in done.stdout
    assert (finished / RESULTS / "report.html").stat().st_size > 1e5


def test_maps_do_not_depend_on_the_truth_of_the_evaluated_days(finished, tmp_path):
    """The bit-identity test: another truth on the test days, equal maps to the last bit."""
    folder = copy_workflow(tmp_path / "other")
    shutil.copytree(finished / RESULTS, folder / RESULTS)
    config = tiny_config(folder)
    region = folder / RESULTS / "data" / "gulfstream"
    period = config.domains["gulfstream"].periods.evaluation.padded(14)
    with xr.open_dataset(region / "truth.nc") as data:
        truth = data.load()
    days = truth.time.dt.date
    changed = (days >= period.start) & (days <= period.end)
    assert changed.sum() > 20
    truth["ssh"] = xr.where(changed, -3.0 * truth["ssh"], truth["ssh"], keep_attrs=True)
    truth.to_netcdf(region / "truth.nc")

    def options(stage: str, method: str = "") -> dict[str, object]:
        return {
            "config": stage_json(config, stage, "gulfstream", "mapping", method),
            "domain": "gulfstream",
            "observations": region / "observations.nc",
            "grid": region / "grid.nc",
        }

    model = tmp_path / "model"
    run_script(
        folder,
        "training_statistics",
        config=stage_json(config, "statistics", "gulfstream"),
        domain="gulfstream",
        truth=region / "truth.nc",
        tracks=region / "tracks.nc",
        grid=region / "grid.nc",
        output=region / "statistics.json",
    )
    common = {"truth": region / "truth.nc"}
    run_script(
        folder, "tune", **options("tune"), **common,
        tracks=region / "tracks.nc", output=model / "oi_tuned.json",
    )  # fmt: skip
    run_script(
        folder, "fit_spde", **options("fit"), **common,
        tracks=region / "tracks.nc", output=model / "spde_oi.nc",
    )  # fmt: skip
    run_script(
        folder, "train", **options("train"), **common,
        statistics=region / "statistics.json", work=tmp_path / "work", output=model / "state.ckpt",
    )  # fmt: skip
    for method in config.tasks["mapping"]:
        run_script(
            folder, "maps", **options("maps", method),
            tracks=region / "tracks.nc", tuning=model / METHODS[method].fitted,
            checkpoint=model / "state.ckpt", output=tmp_path / f"{method}.nc",
        )  # fmt: skip
        original = finished / RESULTS / f"maps/gulfstream/mapping/{method}.nc"
        assert digest(tmp_path / f"{method}.nc") == digest(original), method


def test_a_killed_run_is_completed_by_the_next_one_with_equal_results(finished, checkout):
    shutil.copytree(finished / RESULTS / "data", checkout / RESULTS / "data")
    for path in (checkout / RESULTS / "data").rglob("*"):
        os.utime(path)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *TINY]
    work = checkout / RESULTS / "work" / "gulfstream.mapping"
    with subprocess.Popen(
        command,
        cwd=checkout,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as job:
        deadline = time.time() + 400
        while not list(work.glob("*.ckpt")) and time.time() < deadline:
            time.sleep(0.2)
        os.killpg(job.pid, signal.SIGKILL)
    assert list(work.glob("*.ckpt")), "training did not start in time"
    assert not list(checkout.rglob("models/**/state.ckpt"))
    stuck = snakemake(checkout, "--cores", "2", *TINY)
    assert stuck.returncode != 0 and "--unlock" in stuck.stderr + stuck.stdout  # says the remedy
    snakemake(checkout, "--unlock", *TINY)  # `make run` does this by itself
    done = snakemake(checkout, "--cores", "2", *TINY)
    assert done.returncode == 0, done.stderr[-4000:]
    for method in ("oi_tuned", "spde_oi", "4dvarnet"):
        name = f"maps/gulfstream/mapping/{method}.nc"
        assert digest(checkout / RESULTS / name) == digest(finished / RESULTS / name), method


def test_a_damaged_input_is_named_and_earlier_results_stay(finished, tmp_path):
    folder = copy_workflow(tmp_path / "other")
    shutil.copytree(finished / RESULTS, folder / RESULTS)
    tracks = folder / RESULTS / "data/gulfstream/tracks.nc"
    tracks.write_bytes(tracks.read_bytes()[:5000])
    before = (folder / RESULTS / "tables/scores.md").read_bytes()
    command = [
        sys.executable,
        "workflow/scripts/observations.py",
        f"--config={stage_json(tiny_config(folder), 'observations', 'gulfstream')}",
        "--domain=gulfstream",
        f"--tracks={tracks}",
        f"--output={tmp_path / 'observations.nc'}",
        f"--coverage={tmp_path / 'coverage.csv'}",
    ]
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "tracks.nc" in done.stderr and "truncated" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "observations.nc").exists()
    assert (folder / RESULTS / "tables/scores.md").read_bytes() == before


def test_the_stage_configuration_survives_the_shell(finished):
    """JSON with blanks, quotes and dates comes through Snakemake's quoting unchanged."""
    record = read_json(finished / RESULTS / "maps/gulfstream/mapping/oi.nc.run.json")
    expected = json.loads(stage_json(tiny_config(finished), "maps", "gulfstream", "mapping", "oi"))
    assert record["config"] == expected


def test_maps_are_finite_on_every_ocean_cell_and_day(finished):
    for path in (finished / RESULTS / "maps").rglob("*.nc"):
        with xr.open_dataset(path) as maps:
            assert np.isfinite(maps["ssh"].values).all(), path
