"""On an ocean drawn from the SPDE itself: the exact posterior is the floor, and Θ is found again.

The ocean is small (8°, 40 evaluated days) and one draw of a law whose Θ is known; what many draws
give is measured by bench/gaussian_process_check.py and written in docs/uncertainty.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from gaussian_process import maps, ocean, scores, theta

pytestmark = pytest.mark.slow

CELLS, SHORTEST_KM, MEMBERS, SEED = 20, 120.0, 40, 5


@pytest.fixture(scope="module")
def drawn() -> ocean.Ocean:
    return ocean.draw_ocean(CELLS, SEED)


@pytest.fixture(scope="module")
def model(drawn):
    return maps.exact_model(drawn, drawn.theta, SHORTEST_KM)


@pytest.fixture(scope="module")
def exact(drawn, model):
    return maps.posterior(drawn, model)


@pytest.fixture(scope="module")
def members(drawn, model):
    return maps.deviations(drawn, model, MEMBERS, SEED + 1)


@pytest.fixture(scope="module")
def floor(drawn, exact):
    return scores.scores_of(drawn, exact)


@pytest.fixture(scope="module")
def likeliest(drawn):
    return theta.most_likely_theta(drawn, (1,))


def under(drawn, **factors: float) -> dict:
    """Scores of the posterior under a Θ of which some parts are multiplied by a factor."""
    wrong = maps.exact_model(drawn, ocean.true_theta(drawn.grid, **factors), SHORTEST_KM)
    return scores.scores_of(drawn, maps.posterior(drawn, wrong))


def test_no_method_has_a_smaller_error_than_the_exact_posterior(drawn, model, floor):
    fitted, _ = maps.fitted_maps(drawn, maps.MAPPING, SHORTEST_KM)
    found = {name: scores.scores_of(drawn, one) for name, one in fitted.items()}
    found["climatology"] = scores.scores_of(drawn, maps.climatology(drawn, model))
    for name, one in found.items():
        assert floor["rmse"] < one["rmse"] and floor["crps"] < one["crps"], name
    # with its parameters from moments the SPDE comes close, a Gaussian covariance does not
    assert found["spde_oi"]["crps"] < 1.15 * floor["crps"] < found["oi_tuned"]["crps"]


def test_the_exact_posterior_is_calibrated(floor):
    """Bounds: three standard deviations of one draw, from members in the place of the truth."""
    assert floor["spread_skill"] == pytest.approx(1.0, abs=0.12)
    for level, bound in ((50, 0.04), (80, 0.035), (90, 0.03), (95, 0.02)):
        assert floor[f"coverage_{level}"] == pytest.approx(level / 100, abs=bound), level


def test_the_truth_is_one_more_member(drawn, exact, members, floor):
    found = scores.against_members(drawn, exact, members)
    assert {"spread_skill", "coverage_90", "coverage_95", "reliability_index"} <= set(found)
    for name, one in found.items():
        assert abs(one["value"] - one["expected"]) < 3 * one["sd"], name
    of_members = scores.scores_of(drawn, exact, members)
    assert of_members["rank_p_value"] > 0.01
    assert of_members["crps"] == pytest.approx(floor["crps"], rel=0.02)  # fair, few members


def test_members_spread_as_the_posterior_says(exact, members):
    """40 members know a variance to 23 % at a point; the mean over all to about 1 %."""
    ratio = np.sqrt(members.var(axis=1, ddof=1).mean() / np.mean(exact.std.astype(float) ** 2))
    assert ratio == pytest.approx(1.0, abs=0.03)


def test_a_wrong_theta_shows(drawn, floor):
    wide, slow = under(drawn, sigma=1.5), under(drawn, time=3.0)
    assert wide["coverage_90"] > 0.95 and wide["spread_skill"] > 1.25
    assert slow["coverage_90"] < 0.84 and slow["spread_skill"] < 0.85
    still = under(drawn, currents=0.0)
    together = under(drawn, sigma=1.5, time=3.0, currents=0.0)
    for wrong in (wide, slow, still, together):
        assert wrong["rmse"] > floor["rmse"] and wrong["crps"] > floor["crps"]
    assert min(wide["rank_p_value"], slow["rank_p_value"]) < 1e-3
    # σ²/T, the noise of the prior, hardly changes when both are too large: only the error shows it
    assert together["crps"] > 1.03 * floor["crps"]


def test_moments_find_the_parameters_of_an_ocean_without_currents():
    """Bounds: about twice the error of one draw of 16° and 121 days (docs/uncertainty.md)."""
    still = ocean.draw_ocean(40, SEED, currents=0.0)
    found = theta.moments_accuracy(still, SHORTEST_KM)
    assert abs(found["sigma"]) < 0.15
    assert abs(found["range"]) < 0.35
    assert abs(found["time"]) < 0.5
    assert abs(found["noise_length"]) < 0.12
    assert abs(found["rho"]) < 0.05


def test_the_likelihood_is_right_where_few_numbers_are_asked_for(drawn):
    """The shapes of σ and m are known, range and memory start 37 and 67 % too long."""
    found = theta.accuracy(drawn, theta.most_likely_theta(drawn, (1,), shapes_known=True))
    assert abs(found["sigma"]) < 0.04 and abs(found["range"]) < 0.06
    assert abs(found["time"]) < 0.12 and found["anisotropy"] < 0.1
    assert found["currents_rms_km_day"] < 3.0


def test_the_likelihood_finds_all_of_theta_and_its_maps_come_close_to_the_floor(
    drawn, floor, likeliest
):
    found = theta.accuracy(drawn, likeliest)
    assert abs(found["sigma"]) < 0.15 and found["sigma_rms"] < 0.20
    assert abs(found["range"]) < 0.20
    assert abs(found["time"]) < 0.35
    assert found["currents_correlation"] > 0.85
    assert found["currents_rms_km_day"] < 5.0  # of 10.6
    model = maps.exact_model(drawn, likeliest, SHORTEST_KM)
    plugged = scores.scores_of(drawn, maps.posterior(drawn, model))
    assert plugged["crps"] < 1.03 * floor["crps"]


def test_steps_of_several_days_shorten_the_memory(drawn, likeliest):
    """Backward Euler over three days is not three steps of one: the price of not trusting days."""
    one = theta.accuracy(drawn, likeliest)
    more = theta.accuracy(drawn, theta.most_likely_theta(drawn, (1, 3)))
    assert more["time"] < one["time"] - 0.1
    assert more["range"] < one["range"] - 0.1
    assert abs(more["sigma"]) < 0.2
