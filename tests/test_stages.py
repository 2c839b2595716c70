"""What each stage is told: nothing it does not depend on, and every day it must make."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline_spde.config import Config, EnsembleConfig, load, load_files
from pipeline_spde.stages import STAGES, members_json, stage_json

ROOT = Path(__file__).resolve().parents[1]


def real_gulf_stream() -> Config:
    return load_files(ROOT / "config.yaml", ROOT / "config" / "gulfstream_ose.yaml")


@pytest.mark.parametrize("method", ["oi_tuned", "spde_oi", "4dvarnet"])
def test_maps_on_real_tracks_reach_beyond_the_last_evening_that_is_scored(method):
    config = real_gulf_stream()
    maps = json.loads(stage_json(config, "maps", "gulfstream_2022", "mapping", method))
    scores = json.loads(stage_json(config, "scores", "gulfstream_2022", "mapping", method))
    assert scores["period"] == {"start": "2022-04-02", "end": "2022-07-01"}
    # the data begin on 2 April: no map of 1 April
    assert maps["request"]["period"] == {"start": "2022-04-02", "end": "2022-07-02"}


def test_maps_of_a_twin_are_those_of_the_scored_days():
    config = load_files(ROOT / "config.yaml")
    maps = json.loads(stage_json(config, "maps", "gulfstream", "mapping", "oi"))
    scores = json.loads(stage_json(config, "scores", "gulfstream", "mapping", "oi"))
    assert maps["request"]["period"] == scores["period"]


def test_a_network_that_is_used_as_it_is_says_where_it_comes_from():
    text = stage_json(real_gulf_stream(), "zero_shot", "gulfstream_2022", "mapping")
    assert json.loads(text)["model_from"] == "gulfstream"


def test_a_stage_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(ValueError, match=r"no stage 'map'; there are .*maps"):
        stage_json(Config(), "map", "gulfstream")


def test_every_stage_has_its_part_of_the_configuration():
    config = Config()
    for name, model in STAGES.items():
        if name in ("zero_shot", "share") or name.startswith(("transfer", "tracks_tuning")):
            continue  # of domains that take over a network or data
        text = stage_json(config, name, "gulfstream", "mapping", "oi_tuned")
        assert model.model_validate_json(text).version >= 1


def test_only_the_calibration_depends_on_how_many_days_it_needs():
    first, second = (
        load_files(ROOT / "config.yaml").model_copy(
            update={"ensembles": EnsembleConfig(calibration_days=days)}
        )
        for days in (20, 25)
    )
    where = ("gulfstream", "for4", "4dvarnet_spde")
    assert stage_json(first, "ensemble", *where) == stage_json(second, "ensemble", *where)
    assert stage_json(first, "calibrate", *where) != stage_json(second, "calibrate", *where)


def test_more_members_leave_the_full_groups_as_they_are():
    def groups(members: int) -> list[str]:
        own = {"method": "4dvarnet", "members": members, "members_at_once": 3}
        config = load({"tasks": {"mapping": ["4dvarnet"]}, "ensembles": own})
        count = len(config.ensembles.groups())
        names = ("gulfstream", "mapping", "4dvarnet", "ensemble")
        return [members_json(config, *names, group) for group in range(count)]

    few, many = groups(7), groups(9)
    assert len(set(many)) == 3
    assert few[:2] == many[:2] and few[2] != many[2]


def test_a_calibration_draws_other_members_than_the_ensemble():
    own = {"method": "4dvarnet"}
    config = load({"tasks": {"mapping": ["4dvarnet"]}, "ensembles": own})
    names = ("gulfstream", "mapping", "4dvarnet")
    first, second = (
        json.loads(members_json(config, *names, purpose, 0))
        for purpose in ("calibrate", "ensemble")
    )
    assert first["seed"] != second["seed"]
    assert first["request"]["period"] != second["request"]["period"]
