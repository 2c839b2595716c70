"""Configuration and stages of 4dvarnet_spde: what is refused early, and what depends on what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline_spde.baselines.first_guess import stretch
from pipeline_spde.config import (
    NETWORK_CONFIGS,
    AugmentedModelConfig,
    Config,
    ConfigError,
    SpdeSolverConfig,
    StateModelConfig,
    load,
)
from pipeline_spde.networks import needs_first_guess, untrained
from pipeline_spde.periods import Task
from pipeline_spde.stage_models import EnsembleStage, FirstGuessStage, LeadsStage, TrainStage
from pipeline_spde.stages import augmented_model, stage_json
from pipeline_spde.stages import needs_first_guess as method_needs_first_guess

TASKS = {"mapping": ["4dvarnet", "4dvarnet_spde"], "for4": ["4dvarnet_spde"]}


def config(**changes: Any) -> Config:
    return load({"tasks": TASKS} | changes)


def message(**changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config(**changes)
    return str(caught.value)


# --- refused early --------------------------------------------------------------------------


def test_a_lag_as_long_as_the_window_is_refused() -> None:
    text = message(model={"window_days": 5}, spde={"nll_lags": [1, 5]})
    assert "spde.nll_lags: a lag of 5 days leaves one day of a window of 5" in text
    config(model={"window_days": 5}, spde={"nll_lags": [1, 4]}, tasks={"mapping": TASKS["mapping"]})


def test_nodes_of_the_prior_must_fit_the_patches() -> None:
    text = message(spde={"pooling": 7})
    assert (
        "60 cells of a patch along lat are not divisible by the pooling of 7 (spde.pooling)" in text
    )
    config(spde={"pooling": 7}, tasks={"mapping": ["4dvarnet"]})  # nobody asks for them


def test_a_unet_that_starts_from_the_first_guess_needs_its_windows() -> None:
    tasks = {"mapping": ["4dvarnet_spde", "unet"]}
    text = message(tasks=tasks, unet={"start": "spde_oi", "window_days": 11})
    assert "unet.window_days: the first guesses are made for windows of 15 days" in text
    config(tasks=tasks, unet={"start": "spde_oi", "window_days": 15})


def test_a_day_has_one_first_guess_of_mapping() -> None:
    """Windows reach seven days out of both periods."""
    near = {"validation": ["2012-12-12", "2013-02-17"], "embargo": None}
    domains = {"g": {"periods": near}}
    text = message(domains=domains)
    assert "domains.g.periods.validation: windows of 15 days for mapping" in text
    assert "share 2012-12-05 … 2012-12-09; a day has one first guess" in text
    config(domains=domains, tasks={"for4": ["4dvarnet_spde"]})
    config(domains=domains, tasks={"mapping": ["4dvarnet"]})
    near["validation"] = ["2012-12-17", "2013-02-17"]
    config(domains=domains)


@pytest.mark.parametrize(
    ("spde", "expected"),
    [
        ({"learned": []}, "spde.learned"),
        ({"learned": ["tau"]}, "spde.learned"),
        ({"sigma_factors": [3.0, 0.25]}, "the first bound must be the smaller one"),
        ({"decorrelation_days": [0.5]}, "spde.decorrelation_days"),
        ({"mode": "both"}, "spde.mode"),
        ({"nll_lags": [0]}, "spde.nll_lags"),
        ({"kappa": 1}, "spde.kappa: unknown key"),
    ],
)
def test_settings_that_make_no_solver_are_refused(spde: dict, expected: str) -> None:
    assert expected in message(spde=spde)


# --- what depends on what -------------------------------------------------------------------


def test_the_kind_of_a_network_survives_the_stage() -> None:
    """A state model's settings would fit 4dvarnet_spde too; each comes back as what it was."""
    made = config(spde={"mode": "frozen", "pooling": 3, "start": "oi"})
    for name, kind in (("train", StateModelConfig), ("train_spde", AugmentedModelConfig)):
        stage = TrainStage.model_validate_json(stage_json(made, name, "gulfstream", "mapping"))
        assert type(stage.model) is kind
        assert type(untrained(stage.model, (20.0, 18.0)).config) is kind
    assert stage.model.spde.mode == "frozen" and stage.model.spde.pooling == 3
    assert stage.model.start == "oi" and stage.model.hidden == made.model.hidden
    assert NETWORK_CONFIGS[stage.model.method] is AugmentedModelConfig


def test_the_training_of_stage_2_has_its_own_budget() -> None:
    made = config(spde={"steps": 123, "learning_rate": 2e-4, "fine_tune_steps": 45})
    steps = {
        task: TrainStage.model_validate_json(
            stage_json(made, "train_spde", "gulfstream", task)
        ).training.steps
        for task in ("mapping", "for4")
    }
    assert steps == {"mapping": 123, "for4": 45}


def test_mapping_is_not_trained_again_when_fine_tuning_changes() -> None:
    first, second = (config(spde={"fine_tune_steps": n}) for n in (45, 46))
    where = ("train_spde", "gulfstream")
    assert stage_json(first, *where, "mapping") == stage_json(second, *where, "mapping")
    assert stage_json(first, *where, "for4") != stage_json(second, *where, "for4")
    weights = [config(spde={"nll": value}) for value in (0.1, 0.2)]
    assert stage_json(weights[0], *where, "mapping") != stage_json(weights[1], *where, "mapping")
    assert augmented_model(weights[0]).spde.nll == 0.1


def test_stage_1_does_not_depend_on_stage_2() -> None:
    first, second = (config(spde={"pooling": n}) for n in (2, 3))
    for name in ("train", "first_guess"):
        where = (name, "gulfstream", "mapping")
        assert stage_json(first, *where) == stage_json(second, *where)


@pytest.mark.parametrize("task", ["mapping", "nrt", "for4"])
def test_the_first_guess_covers_every_window_that_is_asked_for(task: str) -> None:
    made = config(tasks={task: ["4dvarnet_spde"]})
    own = Task(name=task)
    stage = FirstGuessStage.model_validate_json(stage_json(made, "first_guess", "gulfstream", task))
    assert set(stage.periods()) == {"train", "validation", "evaluation"}
    assert stage.ahead_days == (own.lead or 0)
    parts = {
        use: stretch(period, own, stage.window_days, use, stage.ahead_days * (use == "evaluation"))
        for use, period in stage.periods().items()
    }
    for name, use in (("calibrate", "validation"), ("ensemble", "evaluation")):
        ensemble = EnsembleStage.model_validate_json(
            stage_json(made, name, "gulfstream", task, "4dvarnet_spde")
        )
        needed = stretch(ensemble.request.period, own, stage.window_days, "evaluation")
        assert set(needed.days) <= set(parts[use].days)
        assert parts[use].first <= needed.first


def test_lead_times_beyond_the_task_are_not_asked_for() -> None:
    made = config(leads=[0, 2, 4, 6])
    stage = LeadsStage.model_validate_json(
        stage_json(made, "leads", "gulfstream", "for4", "4dvarnet_spde")
    )
    assert stage.leads == (0, 2, 4)
    none = config(leads=[])
    guess = json.loads(stage_json(none, "first_guess", "gulfstream", "for4"))
    assert guess["ahead_days"] == 0


def test_who_needs_a_first_guess() -> None:
    made = config()
    assert method_needs_first_guess(made, "4dvarnet_spde")
    assert not method_needs_first_guess(made, "4dvarnet")
    assert method_needs_first_guess(config(model={"start": "spde_oi"}), "4dvarnet")
    assert not method_needs_first_guess(made, "oi_tuned")
    assert needs_first_guess(augmented_model(made)) and not needs_first_guess(made.model)
    assert needs_first_guess(StateModelConfig(start="spde_oi"))
    assert SpdeSolverConfig().start == "spde_oi"
