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
from public_files import WRITERS
from running import ROOT, environment, snakemake

from pipeline_spde.config import Config, load_files
from pipeline_spde.methods import METHODS
from pipeline_spde.stages import STAGES

CONFIGS = sorted((ROOT / "config").glob("*.yaml"))
REAL_TRACKS = "rads_alongtrack_natl_2022.nc"
# Lines of the scripts that are longer than 40; these may shrink, and no other may join them.
LONGER_SCRIPTS = {
    "calibrate.py": 46,
    "calibrate_tracks.py": 43,
    "ensemble.py": 47,
    "figure_uncertainty.py": 50,
    "fit_spde.py": 45,
    "leads.py": 49,
    "score_maps.py": 77,
    "train.py": 67,
    "train_on_tracks.py": 49,
}
RULE_FILES = (
    "data",
    "patches",
    "train",
    "transfer",
    "ensemble",
    "scores",
    "figures",
    "report",
    "audit",
    "tiles",
    "members",
)


def real_tracks() -> xr.Dataset:
    """Samples of three missions, every six hours around the Gulf Stream box, in the RADS layout."""
    rng = np.random.default_rng(2022)
    time = np.arange("2022-04-02", "2022-11-05", 6, dtype="datetime64[h]").astype("datetime64[ns]")
    size = time.size
    columns = {
        "lat": ("time", rng.uniform(31, 45, size), {"units": "degrees_north"}),
        "lon": ("time", rng.uniform(-67, -53, size), {"units": "degrees_east"}),
        "sla": ("time", rng.normal(0, 0.2, size), {"units": "m"}),
        "mission": ("time", np.array([0, 2, 3], np.int8)[np.arange(size) % 3]),
    }
    return xr.Dataset(columns, {"time": time})


def write_real_tracks(folder: Path, data: xr.Dataset | None = None) -> Path:
    """Write a file of real tracks under the name that the configurations use; return its folder."""
    folder.mkdir(exist_ok=True)
    data = real_tracks() if data is None else data
    data.to_netcdf(folder / REAL_TRACKS, encoding={"sla": {"zlib": True}})
    return folder


def plan_real_gulf_stream(checkout: Path, folder: Path) -> str:
    """Plan the experiment with real tracks, which must fail; return what was printed."""
    done = snakemake(
        checkout, "-n", "--configfile", "config/gulfstream_ose.yaml",
        PIPELINE_SPDE_DATA=str(folder),
    )  # fmt: skip
    assert done.returncode != 0
    assert not (checkout / "results").exists()
    return done.stderr + done.stdout


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
    if path and path.stem in WRITERS:
        WRITERS[path.stem](data)
    overlay = ["--configfile", f"config/{path.name}"] if path else []
    done = snakemake(checkout, "-n", *overlay, PIPELINE_SPDE_DATA=str(data))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "rule scores" in done.stdout + done.stderr or "scores" in done.stdout
    assert not (checkout / "results").exists()


def test_a_missing_real_file_is_named_before_work_starts(checkout):
    text = plan_real_gulf_stream(checkout, Path("/nowhere"))
    assert f"domains.gulfstream_2022.tracks_file: no file /nowhere/{REAL_TRACKS}" in text
    assert "PIPELINE_SPDE_DATA" in text


def _in_feet(data: xr.Dataset) -> xr.Dataset:
    data["sla"].attrs["units"] = "feet"
    return data


def _of_another_year(data: xr.Dataset) -> xr.Dataset:
    return data.assign_coords(time=data["time"] - np.timedelta64(365, "D"))


def _of_another_sea(data: xr.Dataset) -> xr.Dataset:
    return data.assign(lon=data["lon"] + 100)


def _of_half_the_period(data: xr.Dataset) -> xr.Dataset:
    return data.sel(time=slice(None, "2022-08-31"))


def _without_the_mission_that_scores(data: xr.Dataset) -> xr.Dataset:
    return data.isel(time=data["mission"].values != 0)


def _in_millimetres_called_metres(data: xr.Dataset) -> xr.Dataset:
    return data.assign(sla=(data["sla"] * 1000).assign_attrs(units="m"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_in_feet, "sla has units 'feet', expected m, cm or mm"),
        pytest.param(
            _of_another_year, "the file holds 2021-04-02 to 2021-11-04", marks=pytest.mark.slow
        ),
        pytest.param(_of_another_sea, "choose a box within", marks=pytest.mark.slow),
        pytest.param(
            _of_half_the_period,
            "run from 2022-07-18 to 2022-08-31 only, periods.validation",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            _without_the_mission_that_scores,
            "no sample of cryosat2 in the box in periods.evaluation",
            marks=pytest.mark.slow,
        ),
        pytest.param(_in_millimetres_called_metres, "said to be in m, but", marks=pytest.mark.slow),
    ],
)
def test_unusable_real_tracks_are_refused_before_anything_is_planned(
    checkout, tmp_path, spoil, message
):
    text = plan_real_gulf_stream(checkout, write_real_tracks(tmp_path / "d", spoil(real_tracks())))
    assert "domains.gulfstream_2022.tracks_file" in text and message in text


@pytest.mark.slow
def test_real_tracks_that_are_damaged_inside_are_refused_before_anything_is_planned(
    checkout, tmp_path
):
    rough = real_tracks()
    data = write_real_tracks(tmp_path / "data", rough)
    path = data / REAL_TRACKS
    content = bytearray(path.read_bytes())
    place = content.rindex(b"\x78\x5e") + 1000  # where the compressed heights begin, and on
    content[place : place + 1000] = bytes(1000)
    path.write_bytes(content)
    with xr.open_dataset(path) as damaged:  # the header is sound
        assert damaged["sla"].size == rough["sla"].size
    text = plan_real_gulf_stream(checkout, data)
    assert "domains.gulfstream_2022.tracks_file" in text and "the data cannot be read" in text


def test_a_damaged_real_file_is_refused_before_earlier_results_are_touched(checkout, tmp_path):
    data = write_real_tracks(tmp_path / "data")
    path = data / REAL_TRACKS
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


def planned_training(checkout: Path, *arguments: str) -> str:
    """Return the lines of the planned training of the tiny experiment."""
    done = snakemake(checkout, "-n", "--configfile", "config/tiny.yaml", *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    text = done.stdout + done.stderr
    return text.split("rule train:")[1].split("rule ")[0]


def test_a_training_on_the_cpu_asks_for_no_gpu(checkout):
    text = planned_training(checkout, "--config", 'training={"accelerator": "cpu"}')
    assert "gpu=0" in text and "threads:" not in text  # one is not printed


def test_a_training_asks_for_a_gpu_and_a_thread_for_each_of_its_processes(checkout):
    many = 'training={"devices": 2, "workers": 1}'
    text = planned_training(checkout, "--cores", "8", "--resources", "gpu=4", "--config", many)
    assert "gpu=2" in text and "threads: 4" in text and "mem_mb=12000" in text


def test_an_experiment_larger_than_the_disk_is_refused_before_its_first_job(checkout):
    made = checkout / "results" / "tiny" / "tables" / "scores.md"
    made.parent.mkdir(parents=True)
    made.write_text("earlier")
    done = snakemake(
        checkout, "results/tiny/data/gulfstream/truth.nc", "--cores", "1",
        "--configfile", "config/tiny.yaml", "--config",
        'domains={"gulfstream": {"resolution": 0.0001}}',
    )  # fmt: skip
    text = done.stderr + done.stdout
    assert done.returncode != 0
    assert "results/tiny: " in text and "free, about" in text and "TiB needed" in text
    assert [path for path in (checkout / "results").rglob("*") if path.is_file()] == [made]


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


def test_every_target_of_make_has_a_recipe():
    text = (ROOT / "Makefile").read_text()
    targets = next(line for line in text.splitlines() if line.startswith(".PHONY:")).split()[1:]
    for target in targets:
        done = subprocess.run(
            ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 and "Nothing to be done" not in done.stdout, target
        assert f"# make {target}" in text or target == "clean", f"{target} is not explained"


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
        limit = LONGER_SCRIPTS.get(path.name, 40)
        assert len(body) <= limit, f"{path.name}: {len(body)} lines"
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
