"""The split guard: which days are mapped, and what keeps periods, patches and domains apart."""

from __future__ import annotations

from datetime import date

import pytest

from pipeline_spde.config import ConfigError, DomainConfig, EnsembleConfig, PatchConfig, load
from pipeline_spde.periods import Period, Task
from pipeline_spde.splits import calibrated_days, mapped_days

REAL = {
    "source": "rads",
    "tracks_file": "tracks.nc",
    "missions": ["saral"],
    "withheld": ["cryosat2"],
    "model_from": "gulfstream",
    "periods": {
        "available": ["2022-04-01", "2022-11-04"],
        "evaluation": ["2022-04-02", "2022-07-01"],
        "embargo": None,
        "train": None,
        "validation": ["2022-07-18", "2022-09-23"],
    },
}


def real(**periods: list[str]) -> dict:
    return {**REAL, "periods": REAL["periods"] | periods}


def message(**tree: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tree)
    return str(caught.value)


def test_a_twin_is_mapped_on_the_days_that_are_scored():
    domain = DomainConfig()
    assert mapped_days(domain) == domain.periods.evaluation


def test_real_tracks_are_mapped_one_day_further_so_that_every_instant_lies_between_two_maps():
    domain = DomainConfig.model_validate(REAL)
    assert mapped_days(domain) == Period(start=date(2022, 4, 1), end=date(2022, 7, 2))


def test_the_further_day_stops_where_the_data_do():
    domain = DomainConfig.model_validate(real(available=["2022-04-02", "2022-07-01"]))
    assert mapped_days(domain) == domain.periods.evaluation


def test_windows_of_the_further_day_keep_away_from_the_validation_days_too():
    methods = {"mapping": ["oi_tuned"]}
    domains = {"gulfstream": {}, "real": REAL}
    assert load({"domains": domains, "tasks": methods}).domains["real"].mapped
    # 15 days: half a window of 7; the maps end on 2 July, 9 July is their last day
    domains["real"] = real(validation=["2022-07-09", "2022-09-23"])
    text = message(domains=domains, tasks=methods)
    assert "domains.real.periods.validation" in text and "2022-07-09 … 2022-07-09" in text
    domains["real"] = real(validation=["2022-07-10", "2022-09-23"])
    assert load({"domains": domains, "tasks": methods})


def test_the_embargo_is_kept_by_those_who_learn():
    text = message(domains={"g": {"periods": {"validation": ["2013-01-05", "2013-02-10"]}}})
    assert "uses embargoed days 2012-12-29 … 2013-01-01" in text
    text = message(domains={"g": {"periods": {"train": ["2012-12-20", "2013-09-30"]}}})
    assert "domains.g.periods.train" in text and "embargoed days 2012-12-20 … 2013-01-01" in text


def test_every_kind_of_mistake_in_a_domain_is_listed_at_once():
    periods = {"evaluation": ["2012-10-22", "2012-10-24"], "validation": None}
    domains = {"a": {"periods": periods, "resolution": 12 / 7, "evaluation_margin": 0}, "b": {}}
    text = message(domains=domains, patches={"stride_lat": 8})
    assert "at least 5" in text
    assert "domains.a.periods.validation: needed to fit" in text
    assert "7 cells of a patch along lat are not divisible by the pooling of 2" in text
    assert "domains.b" not in text


@pytest.mark.parametrize("method", ["unet", "4dvarnet", "4dvarnet_spde"])
def test_every_network_needs_days_to_learn_from(method):
    domains = {"g": {"periods": {"train": None}}}
    tasks = {"mapping": ["oi", method]}
    assert f"domains.g.periods.train: needed to train {method}" in message(
        domains=domains, tasks=tasks
    )


@pytest.mark.parametrize("axis", ["lat", "lon"])
def test_a_stride_that_leaves_gaps_between_patches_is_refused(axis):
    text = message(patches={axis: 24, f"stride_{axis}": 25})
    assert f"stride_{axis}: a stride of 25 cells leaves gaps between patches of 24" in text
    assert f"at most 24 (patches.{axis})" in text
    assert PatchConfig(**{axis: 24, f"stride_{axis}": 24})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ((294.0, 306.0), (-66.0, -54.0)),
        ((-66.0, -54.0), (-66.0, -54.0)),
        ((170.0, 190.0), (170.0, 190.0)),  # across the date line
        ((-190.0, -170.0), (170.0, 190.0)),
        ((0.0, 360.0), (-180.0, 180.0)),
        ((180.0, 190.0), (-180.0, -170.0)),
        ((353.4, 366.6), (-6.6, 6.6)),
    ],
)
def test_longitudes_of_any_circle_become_those_of_the_files(given, kept):
    domain = DomainConfig(lon=given, lat=(32, 44), resolution=0.2)
    assert domain.lon == kept


def test_one_box_written_on_two_circles_is_one_configuration():
    first, second = (
        load({"domains": {"g": {"lon": lon}}}) for lon in ([-66.0, -54.0], [294.0, 306.0])
    )
    assert first == second


WIDE = {"wide": {"lat": [20, 50], "lon": [-70, -40], "resolution": 0.5}}


def test_a_basis_of_too_many_waves_is_refused_with_the_wavelength_that_will_do():
    tasks = {"mapping": ["spde_oi"]}
    text = message(domains=WIDE, tasks=tasks)
    assert "spde_oi.shortest_km: 80 km leave 4424 waves in the box" in text
    assert "2500 are affordable: set it to 107 or more" in text
    assert "tuning" not in text and "first_guess" not in text and "ensembles" not in text
    assert load({"domains": WIDE, "tasks": tasks, "spde_oi": {"shortest_km": 107}})


def test_only_the_bases_that_are_used_count():
    short = {"shortest_km": 20}
    small = {"domains": WIDE, "spde_oi": short, "first_guess": short, "ensembles": short}
    assert load(small | {"tasks": {"mapping": ["oi"]}})
    guessed = {"tasks": {"mapping": ["4dvarnet"]}, "model": {"start": "spde_oi"}}
    text = message(**small, **guessed)
    assert "first_guess.shortest_km: 20" in text and "ensembles" not in text
    enough = {"shortest_km": 120}
    assert load({"domains": WIDE, "spde_oi": enough, "first_guess": enough} | guessed)


def test_a_validation_period_too_short_to_calibrate_an_ensemble_is_refused_with_its_task():
    tasks = {"mapping": ["4dvarnet_spde"], "for4": ["4dvarnet_spde"], "for2": ["oi_tuned"]}
    periods = {"validation": ["2013-01-09", "2013-02-12"]}  # 35 days: 28 targets of a forecast
    text = message(domains={"g": {"periods": periods}}, tasks=tasks)
    assert "holds 28 days to calibrate the ensemble for for4 on (windows of 15 days)" in text
    assert "30 are needed (ensembles.calibration_days)" in text
    assert "for mapping" not in text and "for2" not in text
    fewer = {"calibration_days": 28}
    assert load({"domains": {"g": {"periods": periods}}, "tasks": tasks, "ensembles": fewer})


def test_calibrated_days_are_the_targets_whose_windows_reach_half_their_length_out():
    domain = DomainConfig()
    found = calibrated_days(domain, Task(name="mapping"), 15)
    assert found == domain.periods.validation
    found = calibrated_days(domain, Task(name="for4"), 15)
    assert found == Period(start=date(2013, 1, 16), end=date(2013, 2, 17))
    short = {"validation": ["2013-01-09", "2013-01-14"]}
    domain = DomainConfig.model_validate({"periods": short})
    assert calibrated_days(domain, Task(name="for4"), 15) is None


def test_members_of_4dvarnet_need_days_to_calibrate_on_and_a_start_of_their_own():
    tree = {"tasks": {"mapping": ["4dvarnet"]}, "ensembles": {"method": "4dvarnet"}}
    config = load(tree)
    assert config.ensembles.groups() == [40]
    text = message(**tree, model={"start": "spde_oi"})
    assert "ensembles.method" in text and "model.start" in text
    short = {"method": "4dvarnet", "calibration_days": 300}
    text = message(**tree | {"ensembles": short})
    assert "300 are needed" in text and "mapping" in text


def test_a_domain_has_no_ensemble_of_another_method():
    domain = {"ensembles": {"method": "4dvarnet"}}
    text = message(domains={"gulfstream": domain}, tasks={"mapping": ["4dvarnet"]})
    assert "domains.gulfstream.ensembles.method" in text and "one for all domains" in text


def test_members_of_4dvarnet_are_not_calibrated_on_withheld_passes():
    tracks = {"gulfstream": {"mapped": False}, "real": real(train=["2022-05-01", "2022-06-15"])}
    tracks["real"] |= {"fine_tune_steps": 10}
    tree = {"tasks": {"mapping": ["4dvarnet"]}, "ensembles": {"method": "4dvarnet"}}
    text = message(domains=tracks, **tree)
    assert "domains.real.ensembles.method" in text and "fine_tune_steps" in text


@pytest.mark.parametrize(
    ("members", "at_once", "groups"), [(10, 5, [5, 5]), (7, 3, [3, 3, 1]), (4, 40, [4])]
)
def test_groups_hold_all_members(members, at_once, groups):
    settings = EnsembleConfig(members=members, members_at_once=at_once)
    assert settings.groups() == groups
