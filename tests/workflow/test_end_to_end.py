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
from pipeline_spde.disk import estimated_bytes
from pipeline_spde.fields import PARAMETERS
from pipeline_spde.files import read_json
from pipeline_spde.periods import Period
from pipeline_spde.products import ensemble_tasks, figure_names
from pipeline_spde.stages import stage_json

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


def of_methods(config: Config, folder: str, suffix: str) -> list[str]:
    """Paths below the results of one file per task and method."""
    return [
        f"{folder}/gulfstream/{task}/{method}{suffix}"
        for task, methods in config.tasks.items()
        for method in methods
    ]


def ensembles_of(config: Config) -> list[str]:
    return [f"ensembles/gulfstream/{task}/4dvarnet_spde.nc" for task in ensemble_tasks(config)]


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
        text = (folder / f"tables/scores.{suffix}").read_text().lower()
        assert "4dvarnet" in text and "unet" in text and "spde" in text


def test_ensembles_hold_their_members_and_scores_say_what_these_are_worth(finished):
    config = tiny_config(finished)
    folder, members = finished / RESULTS, config.ensembles.members
    assert ensemble_tasks(config) == ["mapping", "for2"]
    for task, name in zip(ensemble_tasks(config), ensembles_of(config), strict=True):
        with xr.open_dataset(folder / name) as data:
            assert data.sizes["realization"] == members
            spread = data["ssh"].std("realization", ddof=1).values
            assert np.allclose(spread, data["ssh_std"].values, rtol=1e-3, atol=1e-5)
            assert (data["ssh_std_calibrated"] > 0).all()
        record = read_json(folder / f"models/gulfstream/{task}/4dvarnet_spde.calibration.json")
        assert record["days"] >= config.ensembles.calibration_days and record["factor"] > 0
        scores = read_json(folder / f"scores/gulfstream/{task}/4dvarnet_spde.json")
        found = scores["probabilistic"]
        assert found["kind"] == "ensemble" and found["members"] == members
        assert found["raw"]["crps"]["value"] > 0 and found["calibrated"]["crps"]["value"] > 0


def test_a_forecast_model_has_its_curve_over_the_lead_times(finished):
    config = tiny_config(finished)
    leads = pd.read_csv(finished / RESULTS / "scores/gulfstream/for2/leads.csv")
    assert set(leads["method"]) == set(config.tasks["for2"])
    assert all(list(some["lead"]) == [0, 1, 2] for _, some in leads.groupby("method"))


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
        "first_guess",
        "train",
        "train_unet",
        "train_spde",
        "maps",
        "calibrate",
        "ensemble",
        "scores",
        "leads",
    )
    detail = snakemake(folder, "-n", *TINY, "--config", *settings)
    text = detail.stdout + detail.stderr
    return {rule for rule in rules if f"rule {rule}:" in text}


def test_a_changed_key_reruns_only_what_depends_on_it(finished):
    after_stage_2 = {"train_spde", "maps", "calibrate", "ensemble", "scores", "leads"}
    assert planned(finished, 'scores={"confidence": 0.9}') == {"scores", "leads"}
    changed = planned(finished, 'training={"steps": 81}')
    assert changed == {"train", "train_unet"} | after_stage_2
    assert planned(finished, 'training={"fine_tune_steps": 9}') == set()
    assert planned(finished, 'oi={"noise": 0.06}') == {"maps", "scores"}
    assert planned(finished, 'unet={"channels": 12}') == {"train_unet", "maps", "scores"}
    assert planned(finished, 'spde={"fine_tune_steps": 4}') == after_stage_2
    changed = planned(finished, 'ensembles={"calibration_days": 13}')
    assert changed == {"calibrate", "ensemble", "scores"}
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
        "fit",
        "first_guess",
        "train",
        "maps",
        "calibrate",
        "ensemble",
        "scores",
        "leads",
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
    trainings = [child for child in children if child.data.tags["rule"] == "train"]
    assert len(trainings) == 4  # three networks for mapping, one of them again for a forecast
    histories = [
        client.get_metric_history(child.info.run_id, "validation_rmse_m") for child in trainings
    ]
    assert sorted(len(history) for history in histories) == [1, 2, 4, 4]


def test_the_report_is_made(finished):
    done = subprocess.run(
        [sys.executable, "workflow/scripts/summary.py", *TINY],
        cwd=finished,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "score table:" in done.stdout and "### ssh-v1" in done.stdout
    page = (finished / RESULTS / "report.html").read_text(encoding="utf-8")
    assert len(page) > 1e6 and "<h1>tiny</h1>" in page and "http-equiv" in page


def change_truth(path: Path, period: Period) -> None:
    """Write another truth on the days of a period."""
    with xr.open_dataset(path) as data:
        truth = data.load()
    days = truth.time.dt.date
    changed = (days >= period.start) & (days <= period.end)
    assert changed.sum() > 20
    truth["ssh"] = xr.where(changed, -3.0 * truth["ssh"], truth["ssh"], keep_attrs=True)
    truth.to_netcdf(path)


def test_nothing_that_is_made_depends_on_the_truth_of_the_evaluated_days(finished, tmp_path):
    """The bit-identity test: with another truth on the test days, after they were observed, every
    parameter, map, field of Θ and member is the same to the last bit; the scores are not."""
    config = tiny_config(finished)
    folder = copy_workflow(tmp_path / "other")
    shutil.copytree(finished / RESULTS / "data", folder / RESULTS / "data")
    region = folder / RESULTS / "data" / "gulfstream"
    change_truth(region / "truth.nc", config.domains["gulfstream"].periods.evaluation.padded(14))
    (region / "statistics.json").unlink()
    for name in ("grid.nc", "tracks.nc", "observations.nc", "coverage.csv"):
        os.utime(region / name)  # observed already: newer than the truth
    scores = of_methods(config, "scores", ".json")
    made = [*of_methods(config, "maps", ".nc"), *ensembles_of(config)]
    targets = [str(RESULTS / name) for name in (*made, *scores)]
    done = snakemake(folder, *targets, "--cores", "2", *TINY)
    assert done.returncode == 0, done.stderr[-4000:]
    made += ["data/gulfstream/tracks.nc", "data/gulfstream/observations.nc"]
    made += [
        str(path.relative_to(folder / RESULTS))
        for path in (folder / RESULTS / "models").rglob("*.nc")
    ]
    assert sum(name.endswith("first_guess.nc") for name in made) == 2
    for name in made:
        assert digest(folder / RESULTS / name) == digest(finished / RESULTS / name), name
    with xr.open_dataset(folder / RESULTS / "maps/gulfstream/for2/4dvarnet_spde.nc") as maps:
        assert set(PARAMETERS) <= set(maps)
    with xr.open_dataset(folder / RESULTS / ensembles_of(config)[0]) as members:
        assert "realization" in members["ssh"].dims
    for name in scores:
        other, own = (read_json(place / RESULTS / name) for place in (folder, finished))
        assert other["protocols"] != own["protocols"], name


def test_a_killed_run_is_completed_by_the_next_one_with_equal_results(finished, checkout):
    shutil.copytree(finished / RESULTS / "data", checkout / RESULTS / "data")
    for path in (checkout / RESULTS / "data").rglob("*"):
        os.utime(path)
    maps = [f"maps/gulfstream/mapping/{method}.nc" for method in ("spde_oi", "4dvarnet")]
    goal = [*(str(RESULTS / name) for name in maps), "--cores", "2", *TINY]
    command = [sys.executable, "-m", "snakemake", *goal]
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
            time.sleep(0.01)  # the rest of the training takes half a second on an idle machine
        os.killpg(job.pid, signal.SIGKILL)
    assert list(work.glob("*.ckpt")), "training did not start in time"
    assert not list(checkout.rglob("models/**/state.ckpt"))
    stuck = snakemake(checkout, *goal)
    assert stuck.returncode != 0 and "--unlock" in stuck.stderr + stuck.stdout  # says the remedy
    snakemake(checkout, "--unlock", *TINY)  # `make run` does this by itself
    done = snakemake(checkout, *goal)
    assert done.returncode == 0, done.stderr[-4000:]
    for name in maps:
        assert digest(checkout / RESULTS / name) == digest(finished / RESULTS / name), name


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


def test_the_room_was_estimated_well_before_the_run(finished):
    need = estimated_bytes(tiny_config(finished))
    folder = finished / RESULTS
    data = sum(path.stat().st_size for path in (folder / "data").rglob("*.nc"))
    assert 0.3 * need["data"] < data < 1.1 * need["data"]
    made = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert made < sum(need.values())


def test_maps_are_finite_on_every_ocean_cell_and_day(finished):
    for path in (finished / RESULTS / "maps").rglob("*.nc"):
        with xr.open_dataset(path) as maps:
            assert np.isfinite(maps["ssh"].values).all(), path
