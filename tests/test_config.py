"""The configuration says what is wrong, where, and what would be right; splits are guarded."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_spde.config import Config, ConfigError, load, load_files
from pipeline_spde.periods import Period, Task
from pipeline_spde.trees import config_hash, derived_seed, overlay


def message(mapping: dict) -> str:
    with pytest.raises(ConfigError) as caught:
        load(mapping, "config.yaml")
    return str(caught.value)


def test_the_defaults_are_valid():
    assert load({}).experiment == "demo"


def test_a_misspelt_key_is_named_with_the_nearest_known_one():
    assert "experimnt: unknown key (did you mean 'experiment'?)" in message({"experimnt": "a"})
    text = message({"domains": {"gulfstream": {"sorce": "twin"}}})
    assert "domains.gulfstream.sorce: unknown key (did you mean 'source'?)" in text
    text = message({"domains": {"gulfstream": {"periods": {"evaluatoin": ["2012-10-22"] * 2}}}})
    assert "did you mean 'evaluation'?" in text


def test_all_mistakes_are_listed_at_once_with_their_values():
    text = message({"training": {"steps": -1, "batch_size": "two"}, "seed": 1.5})
    assert "training.steps" in text and "got -1" in text
    assert "training.batch_size" in text and "got 'two'" in text
    assert "seed" in text and "got 1.5" in text


@pytest.mark.parametrize(
    ("periods", "expected"),
    [
        ({"train": ["2012-11-25", "2013-09-30"]}, "periods.evaluation"),
        ({"train": ["2012-12-20", "2013-09-30"]}, "embargo"),
        ({"validation": ["2013-01-05", "2013-02-10"]}, "embargo"),
        ({"validation": ["2013-02-01", "2013-02-20"]}, "half-window (7 days)"),
        ({"evaluation": ["2012-09-01", "2012-12-02"]}, "outside the available days"),
        ({"train": ["2013-09-01", "2013-03-01"]}, "ends (2013-03-01) before it starts"),
        ({"train": ["2013-03-01", "2013-03-08"]}, "less than one window"),
    ],
)
def test_periods_that_break_the_split_are_refused(periods, expected):
    assert expected in message({"domains": {"gulfstream": {"periods": periods}}})


def test_a_longer_window_widens_the_guard():
    assert "half-window (10 days)" in message({"model": {"window_days": 21}})


def test_impossible_boxes_missions_and_tasks_are_refused():
    assert "whole number of cells" in message({"domains": {"g": {"resolution": 0.17}}})
    assert "smaller one" in message({"domains": {"g": {"lat": [44, 32]}}})
    both = {"missions": ["saral"], "withheld": ["saral"]}
    assert "both" not in message({"domains": {"g": both}}) and "saral" in message(
        {"domains": {"g": both}}
    )
    assert "persistence is a forecast" in message({"tasks": {"mapping": ["persistence"]}})
    assert "is no task" in message({"tasks": {"forecast": ["oi"]}})
    assert "leaves no observed day" in message({"tasks": {"for20": ["oi"]}})
    assert "no domain 'natl'" in message({"domains": {"g": {"model_from": "natl"}}})
    assert "tracks_file" in message({"domains": {"g": {"source": "rads"}}})


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ({"domains": {"g": {"withheld": ["cryosat2"]}}}, "scored against its truth"),
        ({"domains": {"g": {"missions": ["saral", "saral"]}}}, "named twice"),
        ({"tasks": {"mapping": ["oi", "oi"]}}, "named twice"),
        ({"training": {"batch_size": 3, "devices": 2}}, "shared evenly"),
        ({"oi_tuned": {"window_days": 31}}, "half-window (15 days)"),
        ({"spde_oi": {"window_days": 31}}, "half-window (15 days)"),
        ({"spde_oi": {"advection_shares": []}}, "spde_oi.advection_shares"),
        ({"spde_oi": {"advection_shares": [1.5]}}, "spde_oi.advection_shares"),
        (
            {"domains": {"g": {"periods": {"evaluation": ["2012-10-22", "2012-10-24"]}}}},
            "at least 5",
        ),
        (
            {"domains": {"a": {"model_from": "b"}, "b": {"model_from": "a"}}},
            "is a cycle, in which no domain trains a network",
        ),
        (
            {"domains": {"a": {}, "b": {"model_from": "a", "fine_tune_steps": 5,
                                        "periods": {"train": None}}}},
            "needed for fine_tune_steps",
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_any_work(mapping, expected):
    assert expected in message(mapping)


def test_overlays_are_merged_key_by_key(tmp_path):
    base, top = tmp_path / "base.yaml", tmp_path / "top.yaml"
    base.write_text("seed: 3\ntraining: {steps: 7, batch_size: 1}\n")
    top.write_text("training: {steps: 9}\n")
    config = load_files(base, top)
    assert (config.seed, config.training.steps, config.training.batch_size) == (3, 9, 1)
    assert overlay({"a": {"b": 1}}, {"a": 2}) == {"a": 2}


def test_a_yaml_that_is_not_a_mapping_is_refused(tmp_path):
    path = tmp_path / "list.yaml"
    path.write_text("- a\n- b\n")
    with pytest.raises(ConfigError, match="must hold keys and values"):
        load_files(path)


def test_task_windows():
    assert list(Task(name="mapping").observed_offsets(5)) == [-2, -1, 0, 1, 2]
    assert list(Task(name="nrt").observed_offsets(5)) == [-4, -3, -2, -1, 0]
    assert list(Task(name="for2").observed_offsets(5)) == [-4, -3, -2]
    assert Task(name="mapping").target_index(15) == 7
    assert Task(name="for4").target_index(15) == 14


@given(st.integers(3, 41).filter(lambda n: n % 2), st.integers(0, 20))
def test_no_task_sees_a_day_after_its_lead(window, lead):
    task = Task(name="nrt" if lead == 0 else f"for{lead}")
    assert all(offset <= -lead for offset in task.observed_offsets(window))
    assert len(task.offsets(window)) == window
    assert list(task.offsets(window))[task.target_index(window)] == 0


def test_period_arithmetic():
    period = Period(start=date(2013, 1, 1), end=date(2013, 1, 10))
    assert period.days == 10
    assert period.padded(2).contains(period)
    assert period.common(Period(start=date(2013, 1, 11), end=date(2013, 1, 12))) is None


def test_seeds_differ_by_stage_and_repeat():
    assert derived_seed(1, "truth", "a") == derived_seed(1, "truth", "a")
    assert (
        len({derived_seed(1, "truth", "a"), derived_seed(1, "tracks", "a"), derived_seed(2)}) == 3
    )


def test_the_hash_does_not_depend_on_key_order():
    assert config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1})
    assert config_hash(Config().model_dump(mode="json")) != config_hash({})
