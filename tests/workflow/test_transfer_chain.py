"""Networks on other seas: as they are, fine-tuned with a frozen part, from scratch; the table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from running import copy_workflow, kill_when_it_runs, snakemake

from pipeline_spde import io
from pipeline_spde.assimilation.checkpoint import StateCheckpoint
from pipeline_spde.files import read_json, sha256

pytestmark = pytest.mark.slow

TINY = yaml.safe_load((Path(__file__).parents[2] / "config" / "tiny.yaml").read_text())
KEPT = ("twin", "scores")
SEAMS = "results/chain/scores/tiled/mapping/4dvarnet.seams.json"
TILES = ["r00c00d000", "r00c00d001", "r01c00d000", "r01c00d001"]
SEA = {"resolution": 0.6, "lat": [22.0, 34.0], "model_from": "home"}


def chain() -> dict:
    """A small network trained at home, and a calmer, coarser sea that takes it over."""
    home = {k: TINY["domains"]["gulfstream"][k] for k in ("resolution", "periods")}
    home |= {"missions": ["saral", "sentinel3a"]}
    training = TINY["training"] | {"steps": 12, "validate_every": 6, "fine_tune_steps": 6}
    return {name: TINY[name] for name in KEPT} | {
        "experiment": "chain",
        "domains": {
            "gulfstream": home | {"mapped": False},
            "home": home | {"model_from": "gulfstream", "mapped": False},
            "sea": home | SEA | {"twin": {"jet_speed": 0.4}},
            "tuned": {"data_from": "sea", "model_from": "home", "fine_tune_steps": 6},
            "held": {
                "data_from": "sea", "model_from": "home", "fine_tune_steps": 6,
                "frozen": ["prior"],
            },
            "scratch": {"data_from": "sea", "training": {"steps": 6}},
            "tiled": {  # the network of "sea", in four jobs
                "data_from": "sea", "model_from": "home",
                "inference": {"tile_patches": [1, 2], "tile_days": 7},
            },
        },
        "tasks": {"mapping": ["oi", "unet", "4dvarnet"], "nrt": [], "for2": [], "for4": []},
        "patches": {"lat": 12, "lon": 12, "stride_lat": 8, "stride_lon": 8},
        "model": TINY["model"] | {"start": "oi"},
        "unet": TINY["unet"] | {"start": "oi"},
        "training": training,
    }  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    checkout = copy_workflow(tmp_path_factory.mktemp("chain"))
    (checkout / "chain.yaml").write_text(yaml.safe_dump(chain()))
    done = snakemake(
        checkout, "results/chain/tables/transfer.md", "results/chain/maps/held/mapping/4dvarnet.nc",
        SEAMS, "--cores", "2", "--configfile", "chain.yaml",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-5000:]
    return checkout / "results" / "chain"


def model(results: Path, domain: str, name: str = "state.ckpt") -> Path:
    return results / "models" / domain / "mapping" / name


def test_the_table_says_what_each_network_is_and_cost(results):
    table = pd.read_csv(results / "tables" / "transfer.csv")
    networks = table[table["steps"].notna()].set_index(["method", "domain"])
    assert set(networks.index.get_level_values("domain")) == {
        "sea",
        "tuned",
        "held",
        "scratch",
        "tiled",
    }
    for method in ("4dvarnet", "unet"):
        own = networks.loc[method]
        assert own["start"].to_dict() == {
            "sea": "zero-shot from home",
            "tiled": "zero-shot from home",
            "tuned": "fine-tuned from home",
            "held": "fine-tuned from home, prior frozen",
            "scratch": "from scratch",
        }
        assert own["steps"].to_dict() == {
            "sea": 0,
            "tiled": 0,
            "tuned": 6,
            "held": 6,
            "scratch": 6,
        }
        assert own["steps_before"].to_dict() == {
            "sea": 12,
            "tiled": 12,
            "tuned": 12,
            "held": 12,
            "scratch": 0,
        }
        assert (own["rmse"] > 0).all() and (own["rmse_low"] < own["rmse_high"]).all()
    assert table[table["steps"].isna()]["method"].tolist() == ["oi"]
    text = (results / "tables" / "transfer.md").read_text()
    assert "zero-shot from home" in text and "4DVarNet" in text
    assert (results / "figures" / "transfer.png").stat().st_size > 5000


def test_a_network_travels_whole_through_a_chain(results):
    for name in ("state.ckpt", "unet.ckpt"):
        copies = {sha256(model(results, d, name)) for d in ("gulfstream", "home", "sea")}
        assert len(copies) == 1
    assert StateCheckpoint.load(model(results, "sea")).std == pytest.approx(
        read_json(results / "data" / "gulfstream" / "statistics.json")["std"]
    )


def weights(path: Path, part: str) -> torch.Tensor:
    state = StateCheckpoint.load(path).weights
    found = [value.flatten().double() for key, value in state.items() if key.startswith(part)]
    assert found, (part, list(state)[:5])
    return torch.cat(found)


def test_a_frozen_part_stays_as_it_is_to_the_last_bit(results):
    home = model(results, "home")
    for part, frozen in (("prior", True), ("gradient", False)):
        same = torch.equal(weights(model(results, "held"), part), weights(home, part))
        assert same is frozen, part
        assert not torch.equal(weights(model(results, "tuned"), part), weights(home, part))


def test_the_data_are_made_once_and_shared(results):
    for name in ("truth.nc", "observations.nc", "grid.nc"):
        assert len({sha256(results / "data" / d / name) for d in ("sea", "tuned", "scratch")}) == 1
    record = read_json(results / "data" / "tuned" / "truth.nc.run.json")
    assert record["stage"] == "share" and record["config"]["data_from"] == "sea"
    assert io.read_maps(results / "maps" / "tuned" / "mapping" / "4dvarnet.nc").grid.shape == (
        20,
        20,
    )


def maps_of(results: Path, domain: str) -> np.ndarray:
    return io.read_maps(results / "maps" / domain / "mapping" / "4dvarnet.nc").height


def test_tiles_give_the_maps_of_one_job(results):
    np.testing.assert_allclose(maps_of(results, "tiled"), maps_of(results, "sea"), atol=1e-6)
    assert not list((results / "tiles").rglob("*.nc"))  # joined, and gone
    logs = sorted((results / "logs" / "tiles").glob("tiled.mapping.4dvarnet.*.log"))
    assert [path.name.split(".")[3] for path in logs] == TILES
    seams = read_json(results / "scores" / "tiled" / "mapping" / "4dvarnet.seams.json")
    assert seams["tiles"] == 4 and seams["both"]["edges"] == 2
    assert seams["relative"]["value"] == pytest.approx(1, abs=0.4)


def test_a_killed_tile_is_made_again_alone(results):
    checkout, maps = results.parents[1], results / "maps" / "tiled" / "mapping" / "4dvarnet.nc"
    before = maps_of(results, "tiled")
    maps.unlink()
    target, tiles = str(maps.relative_to(checkout)), results / "tiles" / "tiled/mapping/4dvarnet"
    with ThreadPoolExecutor() as pool:
        killed = pool.submit(kill_when_it_runs, checkout, "tile.py", TILES[2])
        done = snakemake(
            checkout, target, "--cores", "2", "--keep-going", "--configfile", "chain.yaml"
        )
    assert killed.result() and done.returncode != 0
    assert not maps.exists()
    assert sorted(path.stem for path in tiles.glob("*.nc")) == [t for t in TILES if t != TILES[2]]
    logs = results / "logs" / "tiles"
    kept = {t: (logs / f"tiled.mapping.4dvarnet.{t}.log").stat().st_mtime for t in TILES}
    again = snakemake(checkout, target, "--cores", "2", "--configfile", "chain.yaml")
    assert again.returncode == 0, again.stderr[-3000:]
    made = [
        t for t in TILES if (logs / f"tiled.mapping.4dvarnet.{t}.log").stat().st_mtime > kept[t]
    ]
    assert made == [TILES[2]]
    np.testing.assert_array_equal(maps_of(results, "tiled"), before)
