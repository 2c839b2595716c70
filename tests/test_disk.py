"""The room that an experiment takes: estimated from its configuration, refused before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline_spde.config import Config, load, load_files
from pipeline_spde.disk import estimated_bytes, require_room

ROOT = Path(__file__).resolve().parents[1]
MIB = 2**20


def experiment(**domain: object) -> Config:
    return load({"domains": {"gulfstream": domain}, "tasks": {"mapping": ["oi", "oi_tuned"]}})


def test_the_demonstration_takes_what_was_measured():
    # 42 days of maps by seven methods, 1.7 million samples: 52 MiB, 36 MiB of them data and maps
    forecast = ["oi_tuned", "spde_oi", "persistence"]
    tasks = {"mapping": ["oi", "oi_tuned", "spde_oi", "4dvarnet"], "for4": forecast}
    found = estimated_bytes(load({"tasks": tasks}))
    assert 30 * MIB <= found["data"] <= 60 * MIB
    assert 5 * MIB <= found["maps"] <= 12 * MIB
    assert sum(found.values()) >= 52 * MIB


def test_finer_cells_take_more_and_so_do_more_days_and_methods():
    coarse, fine = (estimated_bytes(experiment(resolution=r)) for r in (0.2, 0.05))
    assert fine["maps"] == pytest.approx(16 * coarse["maps"])
    assert 3 < fine["data"] / coarse["data"] < 16  # samples do not depend on the cells
    periods = {"evaluation": ["2012-10-22", "2012-11-11"]}
    half = estimated_bytes(experiment(periods=periods))
    assert half["maps"] == pytest.approx(coarse["maps"] / 2)
    one = load({"tasks": {"mapping": ["oi_tuned"]}})
    assert estimated_bytes(one)["maps"] == pytest.approx(coarse["maps"] / 2)


def test_a_swath_takes_more_than_the_nadirs_and_real_tracks_need_no_truth():
    nadirs = ["jason1", "envisat"]
    without = estimated_bytes(experiment(missions=nadirs))["data"]
    assert estimated_bytes(experiment(missions=[*nadirs, "swot_karin"]))["data"] > 2 * without
    ose = load_files(ROOT / "config.yaml", ROOT / "config" / "gulfstream_ose.yaml")
    twin = ose.domains["gulfstream"].model_copy(update={"mapped": True})
    real = ose.domains["gulfstream_2022"]
    days = real.periods.available.days
    alone = estimated_bytes(ose.model_copy(update={"domains": {"a": real}}))
    both = estimated_bytes(ose.model_copy(update={"domains": {"a": real, "b": twin}}))
    assert both["data"] - alone["data"] > 4 * 365 * 60 * 60
    assert alone["data"] < 12 * days * 60 * 60


def test_members_take_their_number_of_maps():
    tasks = {"mapping": ["oi_tuned", "spde_oi", "4dvarnet", "4dvarnet_spde"]}
    few, many = (
        estimated_bytes(load({"tasks": tasks, "ensembles": {"members": n}})) for n in (10, 30)
    )
    assert many["ensembles"] == 3 * few["ensembles"] >= 3 * 10 * 42 * 60 * 60 * 4
    mean = load({"tasks": tasks, "ensembles": {"members": 30, "keep_members": False}})
    assert estimated_bytes(mean)["ensembles"] < many["ensembles"]
    none = load({"tasks": {"mapping": ["4dvarnet"]}, "ensembles": {"members": 30}})
    assert estimated_bytes(none)["ensembles"] == 0


def test_first_guesses_of_a_forecast_hold_every_day_of_every_window():
    tasks = {"mapping": ["spde_oi", "4dvarnet"], "for4": ["spde_oi", "4dvarnet"]}
    plain = estimated_bytes(load({"tasks": tasks}))
    assert plain["first guesses"] == 0
    exact = estimated_bytes(load({"tasks": tasks, "model": {"start": "spde_oi"}}))
    days = 42 + 218 + 40  # evaluation, training, validation
    assert exact["first guesses"] == 4 * 60 * 60 * days * ((2 + 1) + (2 + 15))


def test_a_domain_that_is_not_mapped_has_no_maps():
    assert estimated_bytes(experiment(mapped=False))["maps"] == 0


def test_too_little_room_is_refused_with_folder_need_and_what_is_free(tmp_path):
    vast = load({"results": str(tmp_path / "there"), "domains": {"g": {"resolution": 0.0001}}})
    with pytest.raises(OSError, match=r"there/demo: .* free, about .* TiB needed") as caught:
        require_room(vast)
    assert "data" in str(caught.value) and "maps" in str(caught.value)
    assert "set `results` to a larger disk" in str(caught.value)
    assert not (tmp_path / "there").exists()


def test_there_is_room_for_a_small_experiment(tmp_path):
    require_room(load({"results": str(tmp_path)}))


def test_what_is_there_already_is_not_asked_for_again(tmp_path):
    config = load({"results": str(tmp_path)})
    need = sum(estimated_bytes(config).values())
    free = 10 * MIB
    with pytest.raises(OSError, match="about"):
        require_room(config, free)
    made = tmp_path / "demo" / "data" / "truth.nc"
    made.parent.mkdir(parents=True)
    with made.open("wb") as file:
        file.truncate(need - 5 * MIB)
    require_room(config, free)


def test_tiles_and_groups_of_members_wait_on_the_disk_too():
    tree = {"tasks": {"mapping": ["4dvarnet"]}}
    whole = estimated_bytes(load(tree))
    assert whole["tiles"] == whole["ensembles"] == 0
    tiled = estimated_bytes(load(tree | {"inference": {"tile_patches": [2, 2]}}))
    assert tiled["tiles"] == pytest.approx(0.75 * tiled["maps"])
    members = estimated_bytes(load(tree | {"ensembles": {"method": "4dvarnet", "members": 10}}))
    assert members["ensembles"] == pytest.approx(40 * 42 * 60 * 60 * 4, rel=0.01)
