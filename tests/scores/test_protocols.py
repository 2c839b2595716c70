"""Scores of maps under the named protocols."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import get_args

import numpy as np
import pytest

from pipeline_spde.config import ProtocolName
from pipeline_spde.grids import KM_PER_DEGREE
from pipeline_spde.scores import PROTOCOLS, compare, score_maps
from pipeline_spde.scores.collocation import collocate

ALL = tuple(PROTOCOLS)
QUICK = {"margin_degrees": 0.0, "bootstrap_draws": 20, "seed": 1}


@pytest.fixture(scope="session")
def scored_a(maps, vector_a):
    """All scores of vector A, with the seconds they took."""
    truth, estimate = maps(vector_a[0]), maps(vector_a[1])
    start = time.perf_counter()
    scores = score_maps(
        truth=truth,
        estimate=estimate,
        protocols=ALL,
        margin_degrees=0,
        seed=1,
        std=0 * estimate + 0.05,
    )
    return scores, time.perf_counter() - start


@pytest.fixture
def small(maps, small_pair):
    return maps(small_pair[0], step=0.2), maps(small_pair[1], step=0.2)


def test_the_configuration_knows_the_same_protocols():
    assert set(get_args(ProtocolName)) == set(ALL)


@pytest.mark.parametrize(
    ("name", "factor", "lambda_x", "lambda_t"),
    [
        ("dc2020a-legacy", 1.0, 0.825919, 5.166204),
        ("starter", 1.0, 0.825919, 5.166204),
        ("oceanbench-legacy", 111.195, 0.817242, 5.073841),
    ],
)
def test_vector_a_under_the_legacy_protocols(scored_a, name, factor, lambda_x, lambda_t):
    scores = scored_a[0]["protocols"][name]
    assert scores["mu"]["value"] == pytest.approx(0.865547, abs=5e-7)
    assert scores["lambda_x"]["value"] / factor == pytest.approx(lambda_x, abs=1e-6)
    assert scores["lambda_t"]["value"] == pytest.approx(lambda_t, abs=5e-7)
    assert scores["lambda_x_all_polylines"]["value"] == pytest.approx(scores["lambda_x"]["value"])
    assert scores["contour_polylines"] == 1
    assert scores["rmse"]["value"] == pytest.approx(
        (1 - scores["mu"]["value"]) * scores["truth_rms"], rel=1e-12
    )
    if name == "oceanbench-legacy":
        assert scores["sigma"]["value"] is None
        assert "no σ" in scores["sigma"]["reason"]
    else:
        assert scores["sigma"]["value"] == pytest.approx(0.007683, abs=5e-7)


def test_vector_a_under_ssh_v1(scored_a):
    scores = scored_a[0]["protocols"]["ssh-v1"]
    assert scores["lambda_x_degrees"]["value"] == pytest.approx(0.861648, abs=5e-7)
    assert scores["lambda_t"]["value"] == pytest.approx(5.692702, abs=5e-7)
    lat = 33 + 0.05 * (np.arange(200) + 0.5)
    true_km = 0.861648 * KM_PER_DEGREE * np.cos(np.radians(lat)).mean()
    assert scores["lambda_x"] | {"value": None} != scores["lambda_x"]
    assert scores["lambda_x"]["value"] == pytest.approx(true_km, rel=1e-6)
    assert scores["lambda_x"]["unit"] == "km"
    # the vector is isotropic in degrees: one degree is longer to the north than to the east
    assert scores["lambda_y"]["value"] == pytest.approx(0.861648 * KM_PER_DEGREE, rel=0.05)
    iso = scores["lambda_iso"]["value"]
    assert scores["lambda_x"]["value"] * 0.9 < iso < scores["lambda_y"]["value"]


def test_every_interval_holds_its_value(scored_a):
    for scores in scored_a[0]["protocols"].values():
        for name in ("mu", "sigma", "rmse", "lambda_x", "lambda_t"):
            if scores[name]["value"] is not None:
                low, high = scores[name]["interval"]
                assert low < scores[name]["value"] < high, name
                assert "bootstrap" in scores[name]["interval_method"]


def test_the_daily_series(scored_a):
    daily = scored_a[0]["daily"]
    assert daily["time"][0] == "2012-10-22"
    assert daily["time"][-1] == "2012-12-02"
    assert np.mean(daily["score"]) == pytest.approx(0.865001, abs=5e-7)
    assert np.std(daily["score"]) == pytest.approx(0.007683, abs=5e-7)
    mean_square = np.mean(np.square(daily["rmse"]))
    assert np.sqrt(mean_square) == pytest.approx(
        scored_a[0]["protocols"]["ssh-v1"]["rmse"]["value"], rel=1e-12
    )


def test_probabilistic_scores_come_with_a_standard_deviation(scored_a):
    scores = scored_a[0]
    spread_skill = 0.05 / scores["protocols"]["ssh-v1"]["rmse"]["value"]
    assert scores["spread_skill"]["value"] == pytest.approx(spread_skill)
    assert 0.85 < scores["coverage_90"]["value"] < 0.95
    assert len(scores["daily"]["crps"]) == 42
    assert np.mean(scores["daily"]["crps"]) == pytest.approx(scores["crps"]["value"])


def test_the_result_is_json_and_quick(scored_a):
    scores, seconds = scored_a
    json.dumps(scores, allow_nan=False)
    assert seconds < 30  # 2.6 s on an idle core; a bound for busy machines


def test_scoring_needs_no_matplotlib():
    code = (
        "import sys, numpy as np, xarray as xr\n"
        "sys.modules['matplotlib'] = None\n"
        "from pipeline_spde.scores import score_maps, tables\n"
        "time = np.datetime64('2020-01-01', 'ns') + np.arange(8) * np.timedelta64(1, 'D')\n"
        "axes = {'time': time, 'lat': np.arange(6.0), 'lon': np.arange(7.0)}\n"
        "truth = xr.DataArray(np.random.default_rng(0).normal(size=(8, 6, 7)), axes)\n"
        "scores = score_maps(truth=truth, estimate=0.9 * truth, protocols=['starter', 'ssh-v1'],"
        " margin_degrees=0, bootstrap_draws=5, bootstrap_block_days=2, seed=0)\n"
        "print(scores['protocols']['starter']['lambda_x']['limit'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("<")


def test_our_twin_grid_is_scored_as_it_is_and_says_so(rng, maps):
    truth = maps(rng.standard_normal((10, 60, 60)), step=0.2, south=32, west=-66)
    scores = score_maps(truth=truth, estimate=truth * 0.9, protocols=ALL, **QUICK | {
        "margin_degrees": 1.0})["protocols"]  # fmt: skip
    for protocol in scores.values():
        assert protocol["grid"] == "60x60 at 0.2°, scored 50x50"
        assert protocol["days"] == 10
        assert not protocol["comparable"]
        assert "50x50 cells, published" in protocol["not_comparable_because"]
        assert protocol["mu"]["value"] == pytest.approx(0.9)
        assert protocol["mu"]["interval"] == [None, None]
        assert "fewer than two blocks" in protocol["mu"]["interval_method"]


def test_comparable_only_on_the_published_grid_days_and_truth(maps, vector_a):
    truth = vector_a[0] * 0.581 / np.sqrt(np.mean(vector_a[0] ** 2))
    cases = {
        "published": maps(truth),
        "other day": maps(truth, first="2012-10-23T12:00"),
        "other box": maps(truth, south=34.0),
        "41 days": maps(truth[:41]),
        "other truth": maps(1.2 * truth),
    }
    found = {}
    for case, data in cases.items():
        collocated = collocate(truth=data, estimate=0.9 * data, margin_degrees=0)
        found[case] = {name: p.mismatch(collocated) is None for name, p in PROTOCOLS.items()}
    assert all(found["published"].values())
    assert not any(found["other day"].values() or found["other box"].values())
    assert not any(found["other truth"].values())
    assert [name for name, ok in found["41 days"].items() if ok] == ["dc2020a-legacy"]


def test_protocols_do_not_influence_each_other(small):
    truth, estimate = small
    together = score_maps(truth=truth, estimate=estimate, protocols=ALL, **QUICK)
    reverse = score_maps(truth=truth, estimate=estimate, protocols=ALL[::-1], **QUICK)
    assert together["protocols"] == reverse["protocols"]
    assert together["daily"] == reverse["daily"]
    for name in ALL:
        alone = score_maps(truth=truth, estimate=estimate, protocols=[name], **QUICK)
        assert alone["protocols"][name] == together["protocols"][name]


def test_same_seed_same_intervals(small):
    truth, estimate = small
    run = [
        score_maps(truth=truth, estimate=estimate, protocols=ALL, **QUICK | {"seed": seed})
        for seed in (3, 3, 4)
    ]
    assert run[0] == run[1]
    one, other = (r["protocols"]["ssh-v1"]["mu"] for r in (run[0], run[2]))
    assert one["value"] == other["value"]
    assert one["interval"] != other["interval"]


def test_swapping_truth_and_estimate_changes_every_protocol(small):
    truth, estimate = small
    right = score_maps(truth=truth, estimate=estimate, protocols=ALL, **QUICK)["protocols"]
    wrong = score_maps(truth=estimate, estimate=truth, protocols=ALL, **QUICK)["protocols"]
    for name in ALL:
        assert right[name]["mu"]["value"] != wrong[name]["mu"]["value"]
        assert right[name]["lambda_x"] != wrong[name]["lambda_x"]


def test_the_truth_itself_scores_one_and_is_resolved_to_the_grid(small):
    truth, _ = small
    for scores in score_maps(truth=truth, estimate=truth, protocols=ALL, **QUICK)[
        "protocols"
    ].values():
        assert scores["mu"]["value"] == 1.0
        assert scores["rmse"]["value"] == 0.0
        assert scores["lambda_x"]["value"] is None
        assert scores["lambda_x"]["limit"].startswith("<")


def test_an_empty_map_scores_zero_and_resolves_nothing(small):
    truth, _ = small
    zero = score_maps(truth=truth, estimate=0 * truth, protocols=ALL, **QUICK)["protocols"]
    for scores in zero.values():
        assert scores["mu"]["value"] == pytest.approx(0.0, abs=1e-12)
        assert scores["lambda_t"]["value"] is None
        assert scores["lambda_t"]["limit"].startswith(">")
        assert "already at the largest scale" in scores["lambda_t"]["reason"]


def test_holes_are_filled_by_legacy_and_excluded_by_ours(small):
    truth, estimate = small
    holed = estimate.copy()
    holed[:, 10:12, 5:9] = np.nan
    found = score_maps(truth=truth, estimate=holed, protocols=ALL, **QUICK)
    legacy, ours = (found["protocols"][name] for name in ("starter", "ssh-v1"))
    assert (legacy["filled_cells"], legacy["excluded_cells"]) == (21 * 8, 0)
    assert (ours["filled_cells"], ours["excluded_cells"]) == (0, 21 * 8)
    assert (legacy["excluded_rows"], ours["excluded_rows"]) == (0, 2)
    keep = np.isfinite(holed.values)
    error = (holed.values - truth.values)[keep]
    score = 1 - np.sqrt(np.mean(error**2)) / np.sqrt(np.mean(truth.values[keep] ** 2))
    assert ours["mu"]["value"] == pytest.approx(score, rel=1e-12)
    assert legacy["mu"]["value"] != ours["mu"]["value"]
    assert "holes" in ours["lambda_iso"]["reason"]
    assert found["daily"]["score"][0] == pytest.approx(
        1 - np.sqrt(np.nanmean((holed - truth).values[0] ** 2))
        / np.sqrt(np.mean(truth.values[0][keep[0]] ** 2))
    )  # fmt: skip


def test_land_of_the_truth_never_counts(small):
    truth, estimate = small
    land = truth.copy()
    land[:, :3, :4] = np.nan
    one = score_maps(truth=land, estimate=estimate, protocols=ALL, **QUICK)["protocols"]
    other = score_maps(
        truth=land, estimate=estimate.where(np.isfinite(land), 99.0), protocols=ALL, **QUICK
    )["protocols"]
    for name in ALL:
        assert one[name]["mu"] == other[name]["mu"]
        assert one[name]["lambda_x"] == other[name]["lambda_x"]
        assert one[name]["excluded_rows"] == 3


def test_mostly_land_leaves_no_spectrum_but_a_reason(small):
    truth, estimate = small
    land = truth.copy()
    land[:, :, 0] = np.nan
    scores = score_maps(truth=land, estimate=estimate, protocols=ALL, **QUICK)["protocols"]
    for protocol in scores.values():
        assert protocol["mu"]["value"] is not None
        assert "0 of 30 latitude rows" in protocol["lambda_x"]["reason"]


def test_days_without_a_map_are_left_out_and_counted(small):
    truth, estimate = small
    short = score_maps(truth=truth, estimate=estimate[3:], protocols=ALL, **QUICK)["protocols"]
    empty = estimate.copy()
    empty[:3] = np.nan
    blank = score_maps(truth=truth, estimate=empty, protocols=ALL, **QUICK)["protocols"]
    for name in ALL:
        assert short[name] == blank[name]
        assert (short[name]["days"], short[name]["missing_days"]) == (18, 3)
    gap = estimate.copy()
    gap[9] = np.nan
    scores = score_maps(truth=truth, estimate=gap, protocols=ALL, **QUICK)["protocols"]["starter"]
    assert "gaps" in scores["lambda_x"]["reason"]
    assert scores["days"] == 20


def test_the_hour_of_a_map_matters_where_the_protocol_says_so(small):
    truth, _ = small
    midnight = truth.assign_coords(time=truth["time"] - np.timedelta64(12, "h"))
    scores = score_maps(truth=truth, estimate=midnight, protocols=ALL, **QUICK)["protocols"]
    assert scores["oceanbench-legacy"]["mu"]["value"] == 1.0
    assert scores["starter"]["mu"]["value"] < 0.99


def test_three_days_have_no_spectrum(small):
    truth, estimate = small
    scores = score_maps(truth=truth[:3], estimate=estimate[:3], protocols=ALL, **QUICK)
    for protocol in scores["protocols"].values():
        assert "3 days" in protocol["lambda_t"]["reason"]


def test_mistakes_are_explained(small):
    truth, estimate = small
    with pytest.raises(ValueError, match="there are dc2020a-legacy"):
        score_maps(truth=truth, estimate=estimate, protocols=["dc2020"], **QUICK)
    later = estimate.assign_coords(time=estimate["time"] + np.timedelta64(90, "D"))
    with pytest.raises(ValueError, match="no day in common"):
        score_maps(truth=truth, estimate=later, protocols=ALL, **QUICK)
    elsewhere = estimate.assign_coords(lat=estimate["lat"] - 20)
    with pytest.raises(ValueError, match="no cell in common"):
        score_maps(truth=truth, estimate=elsewhere, protocols=ALL, **QUICK)
    hourly = truth.assign_coords(
        time=truth["time"].values[0] + np.arange(21) * np.timedelta64(1, "h")
    )
    with pytest.raises(ValueError, match="one map a day"):
        score_maps(truth=hourly, estimate=estimate, protocols=ALL, **QUICK)


def test_compare_uses_common_cells_and_recovers_the_ratio(small):
    truth, estimate = small
    error = estimate - truth
    other = truth + 0.8 * error
    found = compare(truth=truth, estimate=other, reference=estimate, **QUICK)
    assert found["relative_rmse"]["value"] == pytest.approx(-0.2)
    assert found["better"] is True
    holed = other.copy()
    holed[2, :5] = np.nan
    less = compare(truth=truth, estimate=holed[1:], reference=estimate[:-1], **QUICK)
    assert less["relative_rmse"]["value"] == pytest.approx(-0.2)
    assert less["days"] == 19
    assert less["cells"] == 19 * 30 * 32 - 5 * 32
