from __future__ import annotations

import numpy as np
import pytest

from pipeline_spde.figures import coverage, series, style

TIME = np.arange("2012-10-22", "2012-11-21", dtype="datetime64[D]")


def _scores() -> dict[str, dict]:
    days = [str(day) for day in TIME]
    return {
        "4dvarnet": {"time": days, "score": [0.9] * 30, "rmse": [0.03] * 30, "count": [20] * 30},
        "oi": {"time": days, "score": [0.8] * 29 + [None], "rmse": [0.06] * 30},
    }


def test_daily_scores_keep_colours_order_and_gaps(house_rules) -> None:
    covered = {"time": TIME, "coverage": np.linspace(0, 0.2, 30)}
    figure = series.daily_scores(_scores(), covered)
    house_rules(figure)
    axes, bars = figure.axes
    assert axes.get_ylabel() == "score 1 − RMSE/RMS"
    assert bars.get_ylabel() == "observed cells [%]"
    assert [line.get_label() for line in axes.lines] == ["OI (mean 0.8)", "4DVarNet (mean 0.9)"]
    assert axes.lines[0].get_color() == style.METHODS["oi"].colour
    assert np.isnan(axes.lines[0].get_ydata()[-1])
    heights = [patch.get_height() for patch in bars.patches]
    assert max(heights) == pytest.approx(20.0)
    # bars stay below the curves
    top = bars.transData.transform((0, max(heights)))[1]
    assert top < axes.transData.transform((0, 0.8))[1]


def test_daily_scores_work_without_coverage_and_need_a_method() -> None:
    assert len(series.daily_scores(_scores()).axes) == 1
    with pytest.raises(ValueError, match="no method"):
        series.daily_scores({})


def test_coverage_is_cut_to_the_scored_days() -> None:
    year = np.arange("2012-10-01", "2013-09-30", dtype="datetime64[D]")
    covered = {"time": year, "coverage": np.full(year.size, 0.05)}
    figure = series.daily_scores(_scores(), covered)
    assert len(figure.axes[1].patches) == 30
    with pytest.raises(ValueError, match="none of the scored days"):
        series.daily_scores(_scores(), {"time": year[60:], "coverage": np.ones(year.size - 60)})


def test_a_method_without_any_value_is_named_so() -> None:
    figure = series.daily_scores({"oi": {"time": TIME[:2], "score": [None, None]}})
    assert figure.axes[0].lines[0].get_label() == "OI (no value)"


def test_along_track_scores_are_in_centimetres_over_the_number_of_points(house_rules) -> None:
    figure = series.along_track_scores(_scores())
    house_rules(figure)
    rmse, points = figure.axes
    assert rmse.get_ylabel() == "RMSE on withheld tracks [cm]"
    np.testing.assert_allclose(rmse.lines[1].get_ydata(), 3.0)
    assert rmse.get_ylim()[0] == 0
    assert points.get_ylabel() == "points\nper day"


def test_lag_correlation_of_a_travelling_wave_is_a_cosine(house_rules) -> None:
    time, x = np.arange(40)[:, None, None], np.arange(24)[None, None, :]
    wave = np.cos(2 * np.pi * (x / 24 - time / 20)) * np.ones((1, 3, 1))
    curve = series.autocorrelation(wave, 10)
    expected = np.cos(2 * np.pi * curve["lag"] / 20)
    np.testing.assert_allclose(curve["correlation"], expected, atol=1e-12)
    figure = series.lag_correlation({"twin": curve})
    house_rules(figure)
    assert figure.axes[0].get_xlabel() == "lag [day]"


def test_lag_correlation_ignores_land_and_refuses_a_short_record() -> None:
    height = np.random.default_rng(0).standard_normal((20, 4, 5))
    masked = np.concatenate([height, np.full((20, 4, 1), np.nan)], axis=2)
    first, second = (series.autocorrelation(h, 5)["correlation"] for h in (height, masked))
    np.testing.assert_allclose(first, second)
    with pytest.raises(ValueError, match=r"1\.\.19"):
        series.autocorrelation(height, 20)


def test_coverage_series_say_how_many_days_are_empty(house_rules) -> None:
    share = np.where(np.arange(30) % 3 == 0, 0.0, 0.06)
    samples = {"time": TIME, "jason1": np.full(30, 3), "swot_karin": np.full(30, 50)}
    figure = coverage.coverage_series({"time": TIME, "coverage": share}, samples)
    house_rules(figure)
    upper, lower = figure.axes
    assert upper.get_title() == "mean 4.00 %, 10 of 30 days without any observation"
    assert upper.get_ylabel() == "observed cells [%]"
    assert [text.get_text() for text in lower.get_legend().texts] == ["Jason-1", "SWOT KaRIn"]
    assert max(patch.get_y() + patch.get_height() for patch in lower.patches) == 53
