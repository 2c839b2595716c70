"""Checkouts to run the workflow in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running import copy_workflow, snakemake


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which the tiny experiment has been run once, end to end."""
    folder = copy_workflow(tmp_path_factory.mktemp("checkout"))
    done = snakemake(folder, "--cores", "2", "--configfile", "config/tiny.yaml")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh checkout without results."""
    return copy_workflow(tmp_path)
