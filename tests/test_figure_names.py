"""Which figures an experiment promises."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline_spde.config import Config
from pipeline_spde.products import ensemble_tasks, figure_names

OF_AN_ENSEMBLE = {"theta.png", "members.png"}


def experiment(tasks: dict[str, tuple[str, ...]], **changes: Any) -> Config:
    """Return the default experiment with other tasks, without validation of the methods."""
    return Config().model_copy(update={"tasks": tasks, **changes})


def test_an_ensemble_has_its_figures_in_every_task_and_one_page_for_all() -> None:
    config = experiment(
        {"mapping": ("oi_tuned", "4dvarnet_spde"), "nrt": ("oi_tuned",), "for4": ("4dvarnet_spde",)}
    )
    assert ensemble_tasks(config) == ["mapping", "for4"]
    names = figure_names(config)
    assert names.count("gulfstream/uncertainty.png") == 1
    for task, there in (("mapping", True), ("nrt", False), ("for4", True)):
        for name in OF_AN_ENSEMBLE:
            assert (f"gulfstream/{task}/{name}" in names) is there
    films = [name for name in names if name.endswith(".gif")]
    assert films == ["gulfstream/mapping/animation.gif", "gulfstream/mapping/ensemble.gif"]
    assert len(set(names)) == len(names)


def test_without_an_ensemble_there_is_none_of_them() -> None:
    names = figure_names(experiment({"mapping": ("oi_tuned", "4dvarnet"), "for4": ("oi_tuned",)}))
    assert not [name for name in names if name.split("/")[-1] in OF_AN_ENSEMBLE]
    assert "gulfstream/uncertainty.png" not in names
    assert "gulfstream/mapping/ensemble.gif" not in names


def test_films_are_optional() -> None:
    config = experiment({"mapping": ("4dvarnet_spde",)})
    still = config.figures.model_copy(update={"animation": False})
    names = figure_names(config.model_copy(update={"figures": still}))
    assert not [name for name in names if name.endswith(".gif")]


@pytest.mark.parametrize("leads", [(), (0, 2, 4)])
def test_forecasts_are_drawn_by_lead_when_leads_are_asked_for(leads) -> None:
    tasks = {"mapping": ("oi_tuned",), "for2": ("oi_tuned",), "for4": ("4dvarnet_spde",)}
    names = figure_names(experiment(tasks, leads=leads))
    drawn = [name for name in names if name.endswith("leads.png")]
    expected = ["gulfstream/for2/leads.png", "gulfstream/for4/leads.png"]
    assert drawn == (expected if leads else [])


def test_a_real_domain_has_no_curve_by_lead_but_an_uncertainty() -> None:
    config = experiment({"for4": ("4dvarnet_spde",)}, leads=(0, 4))
    region = config.domains["gulfstream"].model_copy(update={"source": "rads"})
    names = figure_names(config.model_copy(update={"domains": {"real": region}}))
    assert "real/uncertainty.png" in names
    assert "real/for4/leads.png" not in names
    assert "real/truth.png" not in names


def test_members_that_are_not_kept_are_not_drawn():
    config = experiment({"mapping": ("oi_tuned", "4dvarnet")})
    assert not any("members" in name for name in figure_names(config))
    own = config.ensembles.model_copy(update={"method": "4dvarnet"})
    names = figure_names(config.model_copy(update={"ensembles": own}))
    drawn = ("mapping/members.png", "mapping/prior.png", "uncertainty.png")
    assert {f"gulfstream/{name}" for name in drawn} <= set(names)
    assert not any("theta" in name for name in names)
    moments = own.model_copy(update={"keep_members": False})
    names = figure_names(config.model_copy(update={"ensembles": moments}))
    assert "gulfstream/uncertainty.png" in names
    assert not any("members" in name or "ensemble" in name for name in names)
