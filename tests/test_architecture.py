"""The house rules of the package: floors, directions of import, sizes of modules."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "pipeline_spde"

# A room uses only lower floors (architecture of the project); the support rooms are placed here.
FLOORS = {
    "netcdf_length": -1,
    "files": 0,
    "trees": 0,
    "periods": 0,
    "paths": 0,
    "inheritance": 0.1,
    "splits": 0.25,
    "transfers": 0.25,
    "config": 0.5,
    "grids": 0.5,
    "land": 0.75,
    "scores": 1,
    "figures": 1,
    "tracking": 1,
    "inflation": 1,
    "stage_models": 1.25,
    "stages": 1.5,
    "sharing": 1.75,
    "products": 1,
    "disk": 1.75,
    "fields": 2,
    "spde": 2,
    "first_guess": 2,
    "io": 3,
    "data": 3,
    "assimilation": 3,
    "ensemble_file": 3.5,
    "member_file": 3.5,
    "theta_days": 4,
    "inspection": 4,
    "report": 4,
    "transfer_table": 4,
    "regional_table": 4,
    "verification": 4.5,
    "baselines": 4,
    "networks": 4.25,
    "pseudo_observations": 4.25,
    "training": 4.5,
    "reconstruct": 4.5,
    "tiling": 3.5,
    "runtime": 4,
    "machine": 4.75,
    "methods": 5,
    "ensembles": 5,
    "members": 5.5,
    "commands": 6,
    "cli": 7,
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Rooms of the package that a module imports, wherever the import stands in it."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            if node.module == "pipeline_spde":
                rooms |= {alias.name for alias in node.names}
            elif node.module.startswith("pipeline_spde."):
                rooms.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("pipeline_spde."):
                    rooms.add(alias.name.split(".")[1])
    return {name for name in rooms if not name.startswith("__")}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_uses_only_lower_floors(path):
    if path == PACKAGE / "__init__.py":
        return
    here = room(path)
    assert here in FLOORS, f"{here} has no floor"
    for other in imported_rooms(path) - {here}:
        if here == "methods" and other in {"config", "fields", "grids", "periods"}:
            continue
        assert FLOORS[other] < FLOORS[here], f"{path.name} ({here}) imports {other}"


def test_mathematics_knows_nothing_of_files_networks_or_workflow():
    for path in (PACKAGE / "spde").rglob("*.py"):
        assert imported_rooms(path) <= {"grids", "spde"}, path


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_are_about_one_thing(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= 480, f"{path.name} has {lines} lines"


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("pipeline_spde.stages", {"torch", "mlflow", "xarray", "matplotlib", "scipy"}),
        ("pipeline_spde.methods", {"torch", "mlflow", "xarray", "matplotlib", "scipy"}),
        ("pipeline_spde.scores.protocols", {"torch", "mlflow", "matplotlib"}),
        ("pipeline_spde.cli", {"torch", "mlflow", "xarray", "matplotlib", "scipy", "pooch"}),
    ],
)
def test_light_rooms_import_nothing_heavy(module, heavy):
    code = f"import sys, {module}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())
