"""An ensemble of 4dvarnet around maps made in tiles, by the workflow: one group killed, scores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from running import copy_workflow, kill_when_it_runs, snakemake

from pipeline_spde import io
from pipeline_spde.files import read_json

pytestmark = pytest.mark.slow

TINY = yaml.safe_load((Path(__file__).parents[2] / "config" / "tiny.yaml").read_text())
ENSEMBLE = "results/members/ensembles/sea/mapping/4dvarnet.nc"
GLOBE = "results/members/figures/sea/mapping/globe.png"
SCORES = "results/members/scores/sea/mapping/4dvarnet.json"


def experiment() -> dict:
    """A random ocean that closes around the globe, coarse, mapped in tiles."""
    return {
        "experiment": "members",
        "domains": {
            "gulfstream": {"mapped": False},
            "sea": {
                "source": "spde", "lat": [-40.0, 40.0], "lon": [-180.0, 180.0], "resolution": 4.0,
                "missions": ["saral", "sentinel3a"], "evaluation_margin": 0.0,
                "periods": {
                    "available": ["2019-12-20", "2020-03-31"],
                    "evaluation": ["2020-01-01", "2020-01-07"], "embargo": None,
                    "validation": ["2020-01-20", "2020-01-27"],
                    "train": ["2020-02-10", "2020-03-20"],
                },
            },
        },
        "tasks": {"mapping": ["4dvarnet"], "nrt": [], "for2": [], "for4": []},
        "patches": {"lat": 12, "lon": 12, "stride_lat": 8, "stride_lon": 8},
        "model": TINY["model"] | {
            "start": "oi", "start_length_km": 500.0, "start_length_days": 10.0,
        },
        "training": TINY["training"] | {"steps": 12, "validate_every": 6},
        "inference": {"tile_patches": [2, 4], "tile_days": 4},
        "ensembles": {
            "method": "4dvarnet", "members": 5, "members_at_once": 2, "calibration_days": 7,
            "local_prior": {
                "box": [30.0, 60.0], "smoothing_km": 900.0, "range_km": [300.0, 3000.0],
            },
        },
        "scores": TINY["scores"] | {"regions": {"tropics": [[-20, 20], [-170, -60]]}},
        "figures": TINY["figures"],
    }  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """The experiment, in two runs: in the first a group of members is killed."""
    checkout = copy_workflow(tmp_path_factory.mktemp("members"))
    (checkout / "members.yaml").write_text(yaml.safe_dump(experiment()))
    wanted = (SCORES, GLOBE, "--cores", "2", "--configfile", "members.yaml")
    with ThreadPoolExecutor() as pool:
        killed = pool.submit(kill_when_it_runs, checkout, "members.py", "ensemble.1.nc")
        done = snakemake(checkout, *wanted, "--keep-going")
    assert killed.result() and done.returncode != 0
    folder = checkout / "results" / "members"
    waiting = {path.name for path in (folder / "members/sea/mapping/4dvarnet").glob("*.nc")}
    assert {"ensemble.0.nc", "ensemble.2.nc"} <= waiting and "ensemble.1.nc" not in waiting
    logs = folder / "logs" / "members"
    kept = {path.name: path.stat().st_mtime for path in logs.glob("*.log")}
    again = snakemake(checkout, *wanted)
    assert again.returncode == 0, again.stdout[-2000:] + again.stderr[-5000:]
    made = {
        path.name for path in logs.glob("*.log") if path.stat().st_mtime > kept.get(path.name, 0)
    }
    assert made == {"sea.mapping.4dvarnet.ensemble.1.log"}  # the others were kept
    return folder


def test_the_ensemble_lies_around_the_maps(results) -> None:
    maps = io.read_maps(results / "maps" / "sea" / "mapping" / "4dvarnet.nc")
    with xr.open_dataset(results / "ensembles" / "sea" / "mapping" / "4dvarnet.nc") as data:
        assert dict(data.sizes) == {"realization": 5, "time": 7, "lat": 20, "lon": 90}
        np.testing.assert_array_equal(data["sla_mean"], maps.height)
        ocean = maps.grid.ocean
        std = data["sla"].values.std(axis=0, ddof=1)
        np.testing.assert_allclose(std[:, ocean], data["sla_std"].values[:, ocean], rtol=1e-3)
        assert np.isnan(data["sla"].values[..., ~ocean]).all()
        members = data["sla"].values[..., ocean].reshape(5, -1) - maps.height[:, ocean].ravel()
    correlation = np.corrcoef(members)[np.triu_indices(5, 1)]
    assert np.abs(correlation).max() < 0.3  # groups do not repeat each other's numbers
    assert not list((results / "members").rglob("*.nc"))  # joined, and gone


def test_the_spread_is_calibrated_and_scored_by_region(results) -> None:
    found = read_json(results / "models" / "sea" / "mapping" / "4dvarnet.calibration.json")
    assert found["days"] == 8 and 0.05 < found["factor"] < 20
    scores = read_json(results / "scores" / "sea" / "mapping" / "4dvarnet.json")
    text = str(scores)
    assert "spread_skill" in text and "tropics" in text


def test_the_prior_says_how_it_was_fitted(results) -> None:
    with xr.open_dataset(results / "models" / "sea" / "mapping" / "local_prior.nc") as data:
        assert data.attrs["boxes_fitted"] >= 6 and data["range_km"].attrs["units"] == "km"
        assert float(data["range_km"].min()) > 250
        assert "config_hash" in " ".join(data.attrs)


def test_the_figure_shows_truth_map_and_three_members(results) -> None:
    assert (results / "figures" / "sea" / "mapping" / "globe.png").stat().st_size > 20_000
