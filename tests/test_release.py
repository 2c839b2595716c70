"""What is handed out: the wheel; files from elsewhere are read safely; settings run nothing."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from packaging.requirements import Requirement

from pipeline_spde import __version__
from pipeline_spde.assimilation.checkpoint import StateCheckpoint
from pipeline_spde.config import load_files
from pipeline_spde.files import DataError

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "workflow"))

from running import copy_workflow, snakemake  # noqa: E402


class Creates:
    """An object whose unpickling makes a file: what a malicious checkpoint could do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_checkpoint_cannot_run_anything(tmp_path):
    made, path = tmp_path / "made", tmp_path / "state.ckpt"
    torch.save({"weights": Creates(made)}, path)
    pickle.loads(pickle.dumps(Creates(made)))  # it would
    made.unlink()
    with pytest.raises(DataError, match=r"state\.ckpt"):
        StateCheckpoint.load(path)
    assert not made.exists()


@pytest.mark.parametrize(
    "tag", ["object/apply:os.system", "object/new:os.system", "name:os.system"]
)
def test_a_configuration_cannot_run_anything(tmp_path, tag):
    path = tmp_path / "bad.yaml"
    path.write_text(f"experiment: !!python/{tag} ['touch {tmp_path}/made']\n")
    with pytest.raises((yaml.YAMLError, ValueError)):
        load_files(path)
    assert not (tmp_path / "made").exists()


def test_values_reach_the_shell_as_words(tmp_path):
    """A results folder with a command in its name is a folder with a long name."""
    checkout = copy_workflow(tmp_path / "checkout")
    results = "r; touch made; $(touch made) `touch made`"
    overlay = checkout / "evil.yaml"
    overlay.write_text(
        yaml.safe_dump({"results": results, "twin": {"spin_up_days": 20, "nodes": 48}})
    )
    done = snakemake(
        checkout, f"{results}/tiny/data/gulfstream/truth.nc", "--cores", "1",
        "--configfile", "config/tiny.yaml", "evil.yaml",
    )  # fmt: skip
    assert not list(checkout.rglob("made")), done.stderr[-2000:]
    assert done.returncode == 0, done.stderr[-3000:]
    assert (checkout / results / "tiny" / "data" / "gulfstream" / "truth.nc").is_file()


@pytest.mark.parametrize("name", ["a b", "../up", "x;y", "$(id)", "", "-rf", "a/b"])
def test_names_that_are_no_names_are_refused(name):
    from pipeline_spde.config import ConfigError, load

    with pytest.raises(ConfigError, match="experiment"):
        load({"experiment": name})


@pytest.mark.slow
def test_the_wheel_builds_and_works_on_its_own(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, ROOT],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    wanted = ("resources/datasets.yaml", "resources/published.yaml", "report/page.html", "cli.py")
    for name in wanted:
        assert f"pipeline_spde/{name}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    place = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", place, wheel],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    code = "import pipeline_spde as p; from pipeline_spde.cli import app; print(p.__file__); app()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(place)}, check=True, timeout=120,
    )  # fmt: skip
    assert str(place) in done.stdout and f"pipeline-spde {__version__}" in done.stdout


def test_every_dependency_has_a_lowest_version():
    """`make test-lowest` resolves them and runs the tests with them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"]:
        wanted = Requirement(text)
        assert any(s.operator in (">=", "==") for s in wanted.specifier), text


def test_the_version_is_one_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
