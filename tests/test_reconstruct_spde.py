"""Maps of 4dvarnet_spde with the parameters of their prior, and maps of several lead times."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline_spde import io, methods
from pipeline_spde.assimilation.checkpoint import StateCheckpoint
from pipeline_spde.assimilation.theta import ThetaProblem, dynamics
from pipeline_spde.config import InferenceConfig, PatchConfig
from pipeline_spde.data.windows import WindowCutter, on_days, patch_plan
from pipeline_spde.fields import PARAMETERS, Maps
from pipeline_spde.networks import trained
from pipeline_spde.periods import Task
from pipeline_spde.reconstruct import (
    reconstruct,
    reconstruct_leads,
    reconstruct_with_theta,
)

from .stage2_case import STD, WINDOW, Domain, day, make_domain, period

TARGETS = period(12, 16)
METHOD = "4dvarnet_spde"
ONE_PATCH = PatchConfig(lat=8, lon=10, stride_lat=8, stride_lon=10)


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Domain:
    return make_domain(tmp_path_factory.mktemp("domain"), advection=0.6)


def task(name: str) -> Task:
    return Task(name=name)


def maps(domain: Domain, name: str, still: bool = False, **changes: Any) -> Maps:
    checkpoint = domain.checkpoint(task(name), f"{name}.{still}.ckpt", still)
    request = domain.request(task(name), TARGETS, checkpoint, **changes)
    return reconstruct(domain.observations, domain.grid, task(name), request, METHOD)


def windows_by_hand(domain: Domain, name: str, **changes: Any) -> list[Any]:
    """What the solver finds in the windows of the targets, one by one, without patches."""
    own = task(name)
    checkpoint = StateCheckpoint.load(domain.checkpoint(own, f"{name}.hand.ckpt", False, **changes))
    solver, guess = trained(checkpoint), domain.guess(own, TARGETS)
    offsets = own.offsets(WINDOW)
    daily = on_days(
        domain.observations.gridded,
        (day(12) + np.timedelta64(offsets[0], "D")).astype(object),
        (day(16) + np.timedelta64(offsets[-1], "D")).astype(object),
    )
    plan = patch_plan(domain.grid, daily.time.size, WINDOW, ONE_PATCH, 1)
    cutter = WindowCutter(daily, domain.grid, domain.observations.mean, STD, own, plan, guess)
    found = []
    for target in range(5):
        inputs = cutter.inputs([(target, 0, 0)])
        with torch.no_grad():
            some = solver.augmented(*inputs)
        problem = ThetaProblem.of(
            inputs.guess, inputs.ocean[0], inputs.spacing_km, solver.settings, pooling=1
        )
        found.append((some, problem.parameters(some.delta)))
    return found


@pytest.mark.parametrize("name", ["mapping", "nrt", "for2"])
def test_maps_bring_every_parameter_of_the_prior(domain: Domain, name: str) -> None:
    found = maps(domain, name)
    assert found.parameters is not None and set(found.parameters) == set(PARAMETERS)
    for field in found.parameters.values():
        assert field.shape == found.height.shape and field.dtype == np.float32
        assert np.isfinite(field[:, domain.grid.ocean]).all()
        assert np.isnan(field[:, domain.grid.land]).all()


@pytest.mark.parametrize("name", ["mapping", "for2"])
def test_without_a_step_of_theta_they_are_those_of_the_fit(domain: Domain, name: str) -> None:
    found = maps(domain, name, still=True)
    p, ocean = domain.parameters, domain.grid.ocean
    fields = {key: value[:, ocean] for key, value in found.parameters.items()}
    expected = {
        "sigma": 0.15, "range_major": 160.0, "range_minor": 160.0, "decorrelation_time": 9.0,
        "kappa": 9.0**-0.5, "h_ee": 160.0**2 / 8 / 9, "h_nn": 160.0**2 / 8 / 9,
    }  # fmt: skip
    for key, value in expected.items():
        np.testing.assert_allclose(fields[key], value, rtol=1e-4, err_msg=key)
    np.testing.assert_allclose(fields["h_en"], 0, atol=1e-3)
    guess = domain.guess(task(name), TARGETS)
    lead = task(name).lead or 0
    place = np.searchsorted(guess.days, [day(n - lead) for n in range(12, 17)])
    np.testing.assert_allclose(fields["m_east"], guess.m_east[place][:, ocean], atol=1e-3)
    np.testing.assert_allclose(fields["m_north"], guess.m_north[place][:, ocean], atol=1e-3)
    tau = p.theta().tau[0, 0].numpy()[ocean]
    np.testing.assert_allclose(fields["tau"], np.broadcast_to(tau, fields["tau"].shape), rtol=1e-4)


@pytest.mark.parametrize("name", ["mapping", "nrt", "for2"])
def test_one_patch_equals_the_solver_applied_by_hand(domain: Domain, name: str) -> None:
    """State and Θ of the target; a forecast has the Θ of its last observed day."""
    hand = windows_by_hand(domain, name)
    request = domain.request(
        task(name), TARGETS, domain.folder / f"{name}.hand.ckpt", patches=ONE_PATCH
    )
    found = reconstruct(domain.observations, domain.grid, task(name), request, METHOD)
    index = task(name).target_index(WINDOW)
    own, ocean = index - (task(name).lead or 0), domain.grid.ocean
    for target, (some, theta) in enumerate(hand):
        expected = domain.observations.mean + STD * some.state[0, index].numpy()
        np.testing.assert_allclose(
            found.height[target][ocean], expected[ocean], rtol=1e-5, atol=1e-5
        )
        meaning = theta.physical(dynamics=dynamics(some.problems[0].law))
        for key, value in {
            "kappa": theta.kappa, "tau": theta.tau, "m_east": theta.m_east, "h_en": theta.h_en,
            "sigma": meaning.sigma, "range_major": meaning.range_major,
        }.items():  # fmt: skip
            expected = value[0, own].numpy()[ocean]
            field = found.parameters[key][target][ocean]
            np.testing.assert_allclose(field, expected, rtol=2e-3, atol=2e-3, err_msg=key)


def test_theta_covers_every_day_that_the_windows_see(domain: Domain) -> None:
    for name, first, last in (("mapping", 10, 18), ("nrt", 8, 16), ("for2", 8, 14)):
        checkpoint = domain.checkpoint(task(name), f"{name}.days.ckpt", False)
        request = domain.request(task(name), TARGETS, checkpoint)
        _, theta = reconstruct_with_theta(
            domain.observations, domain.grid, task(name), request, METHOD
        )
        assert (theta.days[0], theta.days[-1]) == (day(first), day(last))
        assert theta.theta.shape == (1, theta.days.size, *domain.grid.shape)
        assert theta.lead == (task(name).lead or 0)


def test_patches_are_blended_without_seams_in_theta(domain: Domain) -> None:
    """Where the start varies smoothly, so do the blended fields: no step at an edge of a patch."""
    whole = maps(domain, "mapping", patches=ONE_PATCH)
    parts = maps(domain, "mapping")
    ocean = domain.grid.ocean
    for key in ("sigma", "decorrelation_time"):
        field = np.where(ocean, parts.parameters[key], np.nan)
        steps = np.concatenate([np.diff(np.log(field), axis=axis).ravel() for axis in (1, 2)])
        assert np.nanmax(np.abs(steps)) < 0.35
        assert np.nanstd(np.log(field)) > 0.01
    assert whole.height.shape == parts.height.shape


def test_batch_size_does_not_matter(domain: Domain) -> None:
    reference, other = (
        maps(domain, "mapping", inference=InferenceConfig(batch_size=size)) for size in (1, 9)
    )
    np.testing.assert_allclose(other.height, reference.height, rtol=0, atol=2e-5)
    for key, field in reference.parameters.items():
        np.testing.assert_allclose(other.parameters[key], field, rtol=2e-3, atol=1e-3, err_msg=key)


def test_parameters_come_back_from_disk_with_their_units(domain: Domain, tmp_path: Path) -> None:
    found = maps(domain, "for2")
    io.write_maps(found, tmp_path / "maps.nc", io.Provenance("maps", "0", 1))
    data = found.to_dataset()
    assert {name: data[name].attrs["units"] for name in ("kappa", "tau", "h_ee", "m_east")} == {
        "kappa": "1", "tau": "m km", "h_ee": "km2 day-1", "m_east": "km day-1"
    }  # fmt: skip
    back = io.read_maps(tmp_path / "maps.nc")
    for key, field in found.parameters.items():
        np.testing.assert_array_equal(back.parameters[key], field)
    some = back.between(str(day(13)), str(day(14)))
    np.testing.assert_array_equal(some.parameters["tau"], found.parameters["tau"][1:3])


def test_units_of_the_parameters_are_what_a_unit_library_reads() -> None:
    """ "day^-1/2" would be read as half a day^-1, without an error."""
    cf_units = pytest.importorskip("cf_units", reason="comes with compliance-checker")
    assert cf_units.Unit("day^-1/2").convert(1.0, "day-1") == 0.5
    dimensions = {
        "m_east": "m s-1", "h_ee": "m2 s-1", "sigma": "m", "decorrelation_time": "s",
        "range_angle": "radian", "kappa": "1", "tau": "m2",
    }  # fmt: skip
    for name, unit in dimensions.items():
        assert cf_units.Unit(PARAMETERS[name][0]).is_convertible(unit), name


@pytest.mark.slow
def test_files_with_parameters_and_first_guesses_pass_the_cf_checker(
    domain: Domain, tmp_path: Path
) -> None:
    provenance = io.Provenance("title", "0", 1)
    io.write_maps(maps(domain, "mapping"), tmp_path / "maps.nc", provenance)
    for name in ("mapping", "for2"):
        data = domain.guess(task(name), TARGETS).to_dataset(domain.grid.lat, domain.grid.lon)
        io.write_dataset(data, tmp_path / f"{name}.nc", provenance)
    fit = domain.parameters.to_dataset(domain.grid, {})
    io.write_dataset(fit, tmp_path / "spde_oi.nc", provenance)
    checker = Path(sys.executable).with_name("compliance-checker")
    for path in sorted(tmp_path.glob("*.nc")):
        done = subprocess.run(
            [checker, "--test=cf:1.8", str(path)], capture_output=True, text=True, check=False
        )
        assert "All tests passed!" in done.stdout, f"{path.name}\n{done.stdout}"


@pytest.mark.parametrize("name", ["mapping", "nrt", "for2"])
def test_only_the_days_of_the_task_are_used(domain: Domain, name: str) -> None:
    """With a first guess that is given, the cells of other days change no bit of map or Θ."""
    guess = domain.guess(task(name), TARGETS)
    checkpoint = domain.checkpoint(task(name), f"{name}.seen.ckpt", False, theta_every=1)
    one = domain.request(task(name), period(14, 14), checkpoint)

    def run(observations: Any) -> tuple[np.ndarray, np.ndarray]:
        found, theta = reconstruct_with_theta(
            observations, domain.grid, task(name), one, METHOD, guess
        )
        return found.height, theta.theta.tau.numpy()

    reference = run(domain.observations)
    gridded = domain.observations.gridded
    for index in range(8, 20):
        height = gridded.height.copy()
        height[index] += gridded.observed[index].astype(np.float32)
        changed = replace(domain.observations, gridded=replace(gridded, height=height))
        found = run(changed)
        seen = index - 14 in task(name).observed_offsets(WINDOW)
        same = [np.array_equal(a, b, equal_nan=True) for a, b in zip(found, reference, strict=True)]
        assert same == [not seen, not seen], index


# --- lead times -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["4dvarnet_spde", "spde_oi"])
def test_the_longest_lead_is_the_map_of_the_task(domain: Domain, method: str) -> None:
    own = task("for2")
    checkpoint = domain.checkpoint(own, "for2.leads.ckpt", False)
    request = domain.request(own, TARGETS, checkpoint, tuning=domain.folder / "spde_oi.nc")
    spde_oi = request.spde_oi.model_copy(update={"shortest_km": 70.0, "window_days": WINDOW})
    request = request.model_copy(update={"spde_oi": spde_oi})
    leads = methods.reconstruct_leads(
        method, domain.observations, domain.grid, own, request, (0, 1, 2)
    )
    expected = methods.reconstruct(method, domain.observations, domain.grid, own, request)
    assert sorted(leads) == [0, 1, 2]
    np.testing.assert_allclose(leads[2].height, expected.height, rtol=0, atol=1e-5)
    if expected.std is not None:
        np.testing.assert_allclose(leads[2].std, expected.std, rtol=1e-6)
        assert leads[0].std[:, domain.grid.ocean].mean() < leads[2].std[:, domain.grid.ocean].mean()
    for found in leads.values():
        np.testing.assert_array_equal(found.time, expected.time)
        assert found.parameters is None


def test_shorter_leads_are_earlier_days_of_later_windows(domain: Domain) -> None:
    """Lead ℓ of day d is day d of the window whose last observed day is d − ℓ."""
    hand = windows_by_hand(domain, "for2")
    checkpoint = domain.folder / "for2.hand.ckpt"
    request = domain.request(task("for2"), TARGETS, checkpoint, patches=ONE_PATCH)
    found = reconstruct_leads(
        domain.observations, domain.grid, task("for2"), request, [0, 1], METHOD
    )
    ocean = domain.grid.ocean
    for lead in (0, 1):
        for number in range(5 - (2 - lead)):  # windows made by hand end with the fifth target
            some, _ = hand[number + 2 - lead]
            state = some.state[0, WINDOW - 1 - (2 - lead)].numpy()
            expected = domain.observations.mean + STD * state
            np.testing.assert_allclose(
                found[lead].height[number][ocean], expected[ocean], rtol=1e-5, atol=1e-5
            )


def test_a_lead_sees_no_later_observation(domain: Domain) -> None:
    own, target = task("for2"), 14
    checkpoint = domain.checkpoint(own, "for2.cut.ckpt", False)
    guess_file = domain.guess_file(own)
    gridded = domain.observations.gridded

    def run(unseen_from: int) -> dict[int, np.ndarray]:
        """Maps of one day with everything after a day changed, the first guess too."""
        late = np.arange(gridded.time.size) >= unseen_from
        height = gridded.height + 5 * (late[:, None, None] & gridded.observed)
        seen = replace(
            domain.seen, value=np.where(domain.seen.day >= day(unseen_from), 5.0, domain.seen.value)
        )
        cells = replace(gridded, height=height.astype(np.float32))
        other = replace(domain, seen=seen, observations=replace(domain.observations, gridded=cells))
        guess_file.unlink(missing_ok=True)
        request = other.request(own, period(target, target), checkpoint)
        leads = reconstruct_leads(other.observations, domain.grid, own, request, [0, 1, 2], METHOD)
        guess_file.unlink()
        return {lead: found.height for lead, found in leads.items()}

    reference = run(30)
    for lead in (0, 1, 2):
        np.testing.assert_array_equal(run(target - lead + 1)[lead], reference[lead])
        changed = run(target - lead)[lead]
        assert not np.array_equal(changed, reference[lead], equal_nan=True)


def test_leads_that_do_not_fit_are_refused(domain: Domain) -> None:
    checkpoint = domain.checkpoint(task("for2"), "for2.refused.ckpt")
    request = domain.request(task("for2"), TARGETS, checkpoint)
    arguments = (domain.observations, domain.grid)
    for name, leads in (("for2", [3]), ("for2", [-1, 0]), ("mapping", [0])):
        with pytest.raises(ValueError, match=f"do not fit the task {name}"):
            reconstruct_leads(*arguments, task(name), request, leads, METHOD)


def test_a_missing_or_foreign_first_guess_is_named(domain: Domain) -> None:
    checkpoint = domain.checkpoint(task("nrt"), "nrt.ckpt")
    request = domain.request(task("nrt"), TARGETS, checkpoint)
    with pytest.raises(ValueError, match="4dvarnet_spde needs the first guess of its windows"):
        reconstruct(
            domain.observations, domain.grid, task("nrt"),
            request.model_copy(update={"first_guess": None}), METHOD,
        )  # fmt: skip
    far = request.model_copy(update={"period": period(30, 32)})
    with pytest.raises(ValueError, match="first guess for nrt does not hold 2020-03-"):
        reconstruct(domain.observations, domain.grid, task("nrt"), far, METHOD)
