"""Pages say what is so: links lead somewhere, commands exist, and the steps of a guide work."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from pipeline_spde.cli import app
from pipeline_spde.config import load_files

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def lines_of(page: Path) -> list[str]:
    """Return the indented command lines of a page, comments removed."""
    return [
        re.sub(r"\s{2,}#.*$|\s+→.*$", "", line.strip())
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("    ") and not line.startswith("     ")
    ]


def commands(start: str) -> list[tuple[str, str]]:
    pattern = re.compile(rf"^(?:[A-Z_]+=\S+ )*{start}\b(.*)$")
    found = {}
    for page in PAGES:
        for line in lines_of(page):
            match = pattern.match(line)
            if match:
                found[match.group(1).strip()] = page.name
    return [(name, text) for text, name in found.items()]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith(("http", "mailto")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_is_in_the_navigation():
    class Loader(yaml.SafeLoader):
        """YAML with the one tag that mkdocs knows."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda *_: None)
    tree = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)

    def names(item) -> list[str]:
        if isinstance(item, str):
            return [item]
        values = item.values() if isinstance(item, dict) else item
        return [name for value in values for name in names(value)]

    listed = set(names(tree["nav"]))
    pages = {p.name for p in (ROOT / "docs").iterdir() if p.suffix in (".md", ".ipynb")}
    assert listed == pages


@pytest.mark.parametrize(("page", "text"), commands("pipeline-spde"))
def test_commands_of_the_command_line_are_understood(page, text):
    """The options exist and have the right shape; nothing is run."""
    words = shlex.split(text.replace("[", "").replace("]", "").replace("…", ""))
    group = typer.main.get_command(app)
    if not words or words[0].startswith("-"):
        return
    command = group.commands[words[0]]
    command.make_context(words[0], words[1:], resilient_parsing=False)


@pytest.mark.parametrize(("page", "text"), commands("make"))
def test_targets_of_make_exist(page, text):
    words = [word for word in shlex.split(text) if "/path/to" not in word]
    done = subprocess.run(
        ["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (page, text, done.stderr)


@pytest.mark.parametrize("block", CODE.findall((ROOT / "docs" / "your_data.md").read_text())[:1])
def test_the_overlay_of_the_guide_is_a_valid_experiment(block, tmp_path):
    language, text = block
    assert language == "yaml"
    path = tmp_path / "mysea.yaml"
    path.write_text(text)
    config = load_files(ROOT / "config.yaml", path)
    assert config.domains["mysea"].withheld == ("sentinel3b",)


def test_the_steps_of_adding_a_method_work(tmp_path):
    """The code of the guide, put where it says, maps and scores the ocean of a test."""
    source = tmp_path / "src" / "pipeline_spde"
    shutil.copytree(ROOT / "src" / "pipeline_spde", source)
    blocks = [text for _, text in CODE.findall((ROOT / "docs" / "add_a_method.md").read_text())]
    (source / "baselines" / "nearest.py").write_text(blocks[0])
    for file, before, line in (
        ("methods.py", '    "oi": Method(', blocks[1]),
        ("figures/style.py", '    "oi": Look(', blocks[2]),
    ):
        path = source / file
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, line + before, 1))
    path = source / "config" / "types.py"
    path.write_text(
        path.read_text().replace('    "oi", "oi_tuned"', '    "nearest", "oi", "oi_tuned"')
    )
    code = """
import numpy as np
from pipeline_spde import methods
from pipeline_spde.config import MapRequest, load
from pipeline_spde.data import observe
from pipeline_spde.fields import Maps, Observations, daily_stamps
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period, Task
load({"tasks": {"mapping": ["oi", "nearest"]}})
grid = Grid.from_bounds((32.0, 44.0), (-66.0, -54.0), 0.5)
period = Period(start="2021-01-01", end="2021-01-20")
time = daily_stamps(period.start, period.end)
x = np.broadcast_to(0.3 * np.sin(np.linspace(0, 6, 24)), (20, 24, 24)).astype(np.float32)
truth = Maps(time, grid, x, "ssh")
tracks = observe.simulate_tracks(truth, ["saral", "jason3"], load({}).observations, 1)
cells = observe.bin_to_grid(tracks, grid, time, 0.02)
seen = Observations(cells, tracks, np.zeros(grid.shape))
request = MapRequest(period=Period(start="2021-01-09", end="2021-01-11"))
maps = methods.reconstruct("nearest", seen, grid, Task(name="mapping"), request)
print("rmse", float(np.sqrt(np.mean((maps.height - x[:3]) ** 2))))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120,
        env={"PYTHONPATH": str(tmp_path / "src"), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout.split("rmse")[1]) < 0.15


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path):
    import nbclient
    import nbformat

    notebook = nbformat.read(ROOT / "docs" / "tutorial.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit it without outputs"
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    text = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ())
    )
    assert "spread / skill" in text and "mu 0." in text
