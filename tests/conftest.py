"""Shared fixtures: the real data sets, small grids, strict numpy errors."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pipeline_spde.grids import Grid

ROOT = Path(__file__).resolve().parents[1]


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
