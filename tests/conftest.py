"""Shared fixtures: the real data sets, small grids, strict numpy errors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_spde.grids import Grid

ROOT = Path(__file__).resolve().parents[1]


TINY_RUN = ("test_end_to_end.py", "test_report_page.py")
"""Files of tests that look at one run of the tiny experiment."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests, those that run the workflow, first: no process waits for them."""
    items.sort(key=lambda item: item.path.parent.name != "workflow")  # stable


class TinyRunTogether:
    """Of several processes (-n), keep the tests of a file and of the one tiny run in one."""

    @pytest.hookimpl
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        from xdist.scheduler import LoadScopeScheduling

        class Scheduling(LoadScopeScheduling):
            def _split_scope(self, nodeid: str) -> str:
                file = nodeid.split("::")[0]
                return "tiny run" if Path(file).name in TINY_RUN else file

        return Scheduling(config, log)


def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(TinyRunTogether())


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the small real data sets, or a skip that says how to provide them."""
    named = os.environ.get("PIPELINE_SPDE_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set PIPELINE_SPDE_DATA to their folder")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(2020)


@pytest.fixture
def small_grid() -> Grid:
    """A 10 x 12 grid of 0.5-degree cells in the Gulf Stream."""
    return Grid.from_bounds((36.0, 41.0), (-64.0, -58.0), 0.5)
