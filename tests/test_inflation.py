"""Calibration of the spread: known factors and powers are found, and files say what was done."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from pipeline_spde.files import DataError, write_json
from pipeline_spde.inflation import GOOD_COVERAGE, Inflation, fit_inflation, to_json
from pipeline_spde.scores.point_scores import ensemble_crps

DAYS, MEMBERS, CELLS = 40, 24, (14, 15)
ALL = np.ones(CELLS, bool)


def ensemble(
    factor: float, power: float, seed: int = 0, scatter: float = 0.5
) -> tuple[np.ndarray, ...]:
    """Truth, mean and deviations whose errors are the spread times factor · (s/s₀)^power."""
    rng = np.random.default_rng(seed)
    spread = 0.1 * np.exp(scatter * rng.standard_normal((DAYS, *CELLS)))
    deviations = spread[:, None] * rng.standard_normal((DAYS, MEMBERS, *CELLS))
    law = factor * spread * (spread / np.median(spread)) ** power
    mean = rng.standard_normal((DAYS, *CELLS))
    return mean + law * rng.standard_normal(mean.shape), mean, deviations.astype(np.float32)


def fit(case: tuple[np.ndarray, ...], scored: Any = ALL, **changes: Any):
    return fit_inflation(*case, scored, **({"seed": 1, "fewest_days": 30} | changes))


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.7])
def test_a_known_factor_is_found(factor: float) -> None:
    found, record = fit(ensemble(factor, 0.0))
    assert found.power == 0.0
    assert found.factor == pytest.approx(factor, rel=0.03)
    assert GOOD_COVERAGE[0] < record["coverage_90"] < GOOD_COVERAGE[1]
    assert record["spread_skill_raw"] == pytest.approx(1 / factor, rel=0.05)
    assert record["days"] == DAYS


@pytest.mark.parametrize(("factor", "power"), [(0.8, 0.8), (1.2, -0.5)])
def test_a_known_power_is_found_where_a_factor_alone_does_not_cover(factor, power) -> None:
    found, record = fit(ensemble(factor, power, scatter=0.8))
    scalar = record["coverage_90_scalar"]
    assert not GOOD_COVERAGE[0] <= scalar <= GOOD_COVERAGE[1]
    # the spread of 24 members is itself uncertain, which makes powers look smaller
    assert found.power == pytest.approx(power, abs=0.12)
    assert found.factor == pytest.approx(factor, rel=0.1)
    assert abs(record["coverage_90"] - 0.9) < abs(scalar - 0.9)
    assert record["crps_m"] < record["crps_raw_m"]


def test_the_calibrated_ensemble_is_as_wide_as_its_error() -> None:
    for power in (0.0, 0.8):
        truth, mean, deviations = ensemble(0.7, power, scatter=0.8)
        found, _ = fit((truth, mean, deviations))
        spread = deviations.std(axis=1, ddof=1).astype(float)
        calibrated = found.of(spread) * spread
        ratio = np.sqrt(np.mean(calibrated**2) / np.mean((truth - mean) ** 2))
        assert ratio == pytest.approx(1.0, abs=0.05)


def test_the_record_holds_the_fair_score_of_the_raw_ensemble() -> None:
    truth, mean, deviations = ensemble(1.3, 0.0)
    _, record = fit((truth, mean, deviations))
    members = np.moveaxis(mean[:, None] + deviations, 1, 0).reshape(MEMBERS, -1)
    expected = ensemble_crps(truth=truth.ravel(), members=members).mean()
    assert record["crps_raw_m"] == pytest.approx(expected, rel=1e-6)
    assert record["crps_m"] < record["crps_raw_m"]


def test_cells_that_do_not_count_do_not_count() -> None:
    truth, mean, deviations = ensemble(0.8, 0.0)
    scored = ALL.copy()
    scored[:5] = False
    reference, _ = fit((truth, mean, deviations), scored)
    wrong = np.where(scored, truth, np.nan)
    deviations = np.where(scored, deviations, np.nan).astype(np.float32)
    found, _ = fit((wrong, mean, deviations), scored)
    assert found == reference


def test_very_many_points_are_thinned_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline_spde.inflation._MOST_POINTS", 3000)
    case = ensemble(0.8, 0.0)
    first, again, other = (fit(case, seed=seed)[0] for seed in (1, 1, 2))
    assert first == again != other
    assert first.factor == pytest.approx(other.factor, rel=0.1)


def test_few_days_are_refused() -> None:
    case = [part[:20] for part in ensemble(0.8, 0.0)]
    with pytest.raises(ValueError, match=r"20 days are too few .* 30 are .*calibration_days"):
        fit(case)
    fit(case, fewest_days=20)


def test_a_calibration_survives_its_file(tmp_path: Any) -> None:
    found, record = fit(ensemble(0.8, 0.8, scatter=0.8))
    write_json(tmp_path / "calibration.json", to_json(found, record))
    assert Inflation.read(tmp_path / "calibration.json") == found
    content = json.loads((tmp_path / "calibration.json").read_text())
    assert {"factor", "power", "reference_m", "coverage_90", "crps_m", "days"} <= set(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"factor": 1.0, "power": 0.0}, "reference_m"),
        ({"factor": -1.0, "power": 0.0, "reference_m": 0.1}, "factor must be positive"),
        ({"factor": "wide", "power": 0.0, "reference_m": 0.1}, "could not convert"),
        ({"factor": 1.0, "power": -1.5, "reference_m": 0.1}, "power must be finite and above -1"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused(
    tmp_path: Any, content: Any, message: str
) -> None:
    write_json(tmp_path / "bad.json", content)
    with pytest.raises(DataError, match=rf"bad\.json: not a calibration .*{message}.*again"):
        Inflation.read(tmp_path / "bad.json")


def test_the_factor_follows_the_spread() -> None:
    law = Inflation(0.8, 0.5, 0.1)
    std = np.array([0.0, 0.025, 0.1, 0.4])
    np.testing.assert_allclose(law.of(std)[1:], [0.4, 0.8, 1.6])
    calibrated = law.of(std) * std
    assert np.isfinite(calibrated).all() and calibrated[0] == 0
    assert np.all(np.diff(calibrated) > 0)
    single = law.of(std.astype(np.float32))
    assert single.dtype == np.float32 and single.shape == std.shape
    np.testing.assert_array_equal(Inflation(0.8).of(std), np.full(4, 0.8))
