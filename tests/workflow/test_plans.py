"""Every committed configuration is valid and plans; mistakes stop before any work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from check_lint import findings
from running import ROOT, environment, snakemake

from pipeline_spde.config import Config, load_files
from pipeline_spde.methods import METHODS
from pipeline_spde.stages import STAGES

CONFIGS = sorted((ROOT / "config").glob("*.yaml"))
RULE_FILES = ("data", "patches", "train", "transfer", "ensemble", "scores", "figures", "report")


def write_real_tracks(folder: Path) -> Path:
    """Write a file in the layout of the real tracks, with hardly a sample; return its folder."""
    folder.mkdir(exist_ok=True)
    columns = {name: ("obs", np.zeros(4)) for name in ("lat", "lon", "sla")}
    columns["time"] = ("obs", np.arange(4), {"units": "days since 2022-04-05"})
    columns["mission"] = ("obs", np.arange(4, dtype=np.int8))
    xr.Dataset(columns).to_netcdf(folder / "rads_alongtrack_natl_2022.nc")
    return folder


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_configuration_is_a_valid_overlay(path):
    assert load_files(ROOT / "config.yaml", path).experiment == path.stem


def test_the_default_configuration_is_what_its_file_says():
    assert load_files(ROOT / "config.yaml").experiment == "demo"


def test_the_schema_for_editors_is_that_of_the_models():
    kept = json.loads((ROOT / "config" / "schema.json").read_text())
    assert kept == Config.model_json_schema(), "run: python workflow/scripts/write_schema.py"


@pytest.mark.parametrize(
    "path",
    [
        None,
        *(
            pytest.param(path, marks=() if path.stem == "tiny" else pytest.mark.slow)
            for path in CONFIGS
        ),
    ],
    ids=lambda p: p.stem if p else "default",
)
def test_every_configuration_plans(checkout, path, tmp_path):
    data = write_real_tracks(tmp_path / "data")
    overlay = ["--configfile", f"config/{path.name}"] if path else []
    done = snakemake(checkout, "-n", *overlay, PIPELINE_SPDE_DATA=str(data))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "rule scores" in done.stdout + done.stderr or "scores" in done.stdout
    assert not (checkout / "results").exists()


def test_a_missing_real_file_is_named_before_work_starts(checkout):
    done = snakemake(
        checkout, "-n", "--configfile", "config/gulfstream_ose.yaml", PIPELINE_SPDE_DATA="/nowhere"
    )
    assert done.returncode != 0
    text = done.stderr + done.stdout
    assert (
        "domains.gulfstream_2022.tracks_file: no file /nowhere/rads_alongtrack_natl_2022.nc" in text
    )
    assert "PIPELINE_SPDE_DATA" in text


def test_a_damaged_real_file_is_refused_before_earlier_results_are_touched(checkout, tmp_path):
    data = write_real_tracks(tmp_path / "data")
    path = data / "rads_alongtrack_natl_2022.nc"
    path.write_bytes(path.read_bytes()[:1000])
    kept = checkout / "results" / "gulfstream_ose" / "data" / "gulfstream_2022" / "tracks.nc"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"earlier")
    target = str(kept.relative_to(checkout))
    done = snakemake(
        checkout, target, "--cores", "1", "--configfile", "config/gulfstream_ose.yaml",
        PIPELINE_SPDE_DATA=str(data),
    )  # fmt: skip
    assert done.returncode != 0
    assert "domains.gulfstream_2022.tracks_file" in done.stderr + done.stdout
    assert kept.read_bytes() == b"earlier"


@pytest.mark.slow
def test_blanks_in_paths_do_no_harm(checkout):
    folder = checkout / "my results"
    target = f"{folder}/tiny/data/gulfstream/truth.nc"
    done = snakemake(
        checkout, target, "--cores", "1", "--configfile", "config/tiny.yaml",
        "--config", f"results={folder}", 'twin={"spin_up_days": 20, "nodes": 48}',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert Path(target).is_file()
    assert (folder / "tiny" / "tracking.json").is_file()


def test_a_typo_in_the_configuration_stops_the_run_with_its_place(checkout):
    done = snakemake(checkout, "-n", "--config", 'training={"step": 3}')
    assert done.returncode != 0
    assert "training.step: unknown key (did you mean 'steps'?)" in done.stderr + done.stdout


def test_the_slurm_profile_is_found_from_a_clone(checkout):
    assert (ROOT / "slurm").is_symlink()
    assert (ROOT / "slurm" / "profile.yaml").is_file()
    done = snakemake(checkout, "-n", "--cores", "all", "--profile", "slurm")
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_default_profile_leaves_resources_to_the_others():
    text = (ROOT / "profiles" / "default" / "profile.yaml").read_text()
    keys = {line.split(":")[0] for line in text.splitlines() if line[:1].isalpha()}
    assert not keys & {"default-resources", "set-resources"}


def test_rule_files_and_stages_are_all_there():
    for name in RULE_FILES:
        assert (ROOT / "workflow" / "rules" / f"{name}.smk").is_file()
    literal = Config.model_fields["tasks"].annotation
    assert set(METHODS) == set(literal.__args__[1].__args__[0].__args__)
    for name in STAGES:
        assert STAGES[name].__doc__


def test_scripts_are_thin_and_explain_themselves():
    scripts = sorted((ROOT / "workflow" / "scripts").glob("*.py"))
    assert scripts
    for path in scripts:
        body = [line for line in path.read_text().splitlines() if line.strip()]
        assert len(body) <= 62, f"{path.name}: {len(body)} lines"
        done = subprocess.run(
            [sys.executable, "-m", "py_compile", str(path)], check=False, env=environment()
        )
        assert done.returncode == 0


def test_snakefiles_are_formatted():
    formatter = Path(sys.executable).with_name("snakefmt")
    done = subprocess.run(
        [formatter, "--check", "Snakefile", "workflow/rules"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_snakemake_lint_is_clean():
    assert findings() == []


def test_the_graph_in_the_docs_names_every_rule():
    text = (ROOT / "docs" / "pipeline.md").read_text(encoding="utf-8")
    rules = [
        line.removeprefix("rule ").rstrip(":\n")
        for path in (ROOT / "workflow" / "rules").glob("*.smk")
        for line in path.read_text().splitlines()
        if line.startswith("rule ")
    ]
    missing = [rule for rule in rules if rule.removeprefix("figure_") not in text]
    assert not missing
