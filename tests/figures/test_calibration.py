"""Figures of the calibration of spreads, from score files as `score_maps` returns them."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from pipeline_spde.figures import calibration, style
from pipeline_spde.scores import score_maps


@pytest.fixture(scope="module")
def scores() -> dict[str, dict]:
    """A calibrated ensemble, maps with a constant spread, and maps without one."""
    rng = np.random.default_rng(5)
    shape = (15, 12, 14)
    coords = {
        "time": np.datetime64("2012-10-22T12:00", "ns") + np.arange(15) * np.timedelta64(1, "D"),
        "lat": 33 + 0.6 * np.arange(12),
        "lon": -65 + 0.6 * np.arange(14),
    }
    dims = ("time", "lat", "lon")
    mean = xr.DataArray(0.3 * rng.standard_normal(shape), coords=coords, dims=dims)
    std = 0.05 * np.exp(0.4 * rng.standard_normal(shape))
    truth = mean + std * rng.standard_normal(shape)
    members = mean.values + 1.5 * std * rng.standard_normal((39, *shape))
    ensemble = xr.Dataset(
        {
            "ssh": (("realization", *dims), members),
            "ssh_mean": mean,
            "ssh_std": (dims, 1.5 * std),
            "ssh_std_calibrated": (dims, std),
        },
        attrs={"quantity": "ssh"},
    )
    common = {"truth": truth, "estimate": mean, "protocols": ["ssh-v1"]}
    common |= {"margin_degrees": 0.0, "bootstrap_draws": 50, "seed": 1}
    return {
        "4dvarnet_spde": score_maps(**common, ensemble=ensemble),
        "oi_tuned": score_maps(**common, std=0 * mean + 0.06),
        "4dvarnet": score_maps(**common),
    }


ALL = (
    calibration.calibration,
    calibration.rank_histograms,
    calibration.daily_spread,
    calibration.binned_spread_skill,
    calibration.interval_reliability,
    calibration.spectral_spread_skill,
    calibration.retained_rmse,
)


@pytest.mark.parametrize("draw", ALL, ids=lambda f: f.__name__)
def test_every_figure_keeps_the_house_rules(draw, scores, house_rules) -> None:
    house_rules(draw(scores))
    house_rules(draw({"oi_tuned": scores["oi_tuned"]}))


@pytest.mark.parametrize("draw", ALL, ids=lambda f: f.__name__)
def test_methods_without_a_spread_are_left_out(draw, scores) -> None:
    names = [text.get_text() for text in draw(scores).legends[0].texts]
    assert names == ["tuned OI", "4DVarNet-SPDE", "calibrated (or as given)", "raw"]
    with pytest.raises(ValueError, match=r"none of .* has a spread"):
        draw({"4dvarnet": scores["4dvarnet"]})


def test_the_page_has_all_panels(scores) -> None:
    axes = calibration.calibration(scores).axes
    assert len(axes) == 2 + 4 + 2
    titles = [a.get_title().split("\n")[0] for a in axes]
    assert titles == [
        "tuned OI",
        "4DVarNet-SPDE",
        "error where the spread is equal",
        "truths inside central intervals",
        "spread by scale",
        "most confident points (dotted: chosen by the error itself)",
        "tuned OI",
        "4DVarNet-SPDE",
    ]


def test_frequencies_are_one_where_flat_whatever_the_number_of_members() -> None:
    for ranks in (5, 20, 33, 101):
        flat = calibration._relative_frequency([7] * ranks)
        assert flat.size == min(ranks, 20)
        np.testing.assert_allclose(flat, 1.0)
    np.testing.assert_allclose(calibration._relative_frequency([3, 1, 0, 0]), [3, 1, 0, 0])


def test_rank_histograms_show_calibrated_bars_over_a_raw_line(scores) -> None:
    gaussian, ensemble = calibration.rank_histograms(scores).axes
    assert (gaussian.get_xlabel(), ensemble.get_xlabel()) == ("PIT", "rank / members")
    assert len(gaussian.patches) == 3  # band, bars and their outline
    assert len(ensemble.patches) == 4
    dashed = [patch for patch in ensemble.patches if patch.get_linestyle() == "--"]
    assert len(dashed) == 1
    raw = dashed[0].get_data().values
    assert raw[8:12].mean() > raw[[0, 1, -2, -1]].mean() + 0.3  # too wide: the middle ranks
    assert "flatness: p = " in ensemble.get_title()


def test_binned_points_lie_on_the_diagonal_once_calibrated(scores) -> None:
    axes = calibration.binned_spread_skill(scores).axes[0]
    lines = {
        line.get_linestyle(): line
        for line in axes.lines
        if line.get_color() == style.METHODS["4dvarnet_spde"].colour and line.get_xdata().size
    }
    ratio = {k: np.mean(line.get_ydata() / line.get_xdata()) for k, line in lines.items()}
    assert ratio["-"] == pytest.approx(1.0, abs=0.08)
    assert ratio["--"] == pytest.approx(1 / 1.5, abs=0.08)
    labels = [text.get_text() for text in axes.get_legend().texts]
    assert labels[0] == "tuned OI: the same everywhere"
    assert labels[1].startswith("4DVarNet-SPDE: slope ")


def test_intervals_show_observed_minus_nominal(scores) -> None:
    axes = calibration.interval_reliability(scores).axes[0]
    last = axes.lines[-1]
    found = scores["4dvarnet_spde"]["probabilistic"]["calibrated"]
    expected = [100 * found[f"coverage_{k}"]["value"] - k for k in (50, 80, 90, 95)]
    np.testing.assert_allclose(last.get_ydata(), expected)
    low, high = axes.get_ylim()
    assert low == -high


def test_levels_without_an_interval_are_left_out(scores) -> None:
    content = {**scores["4dvarnet_spde"]}
    reason = {"value": None, "interval": [None, None], "unit": "1"}
    few = {**content["probabilistic"]["calibrated"], "coverage_95": reason}
    content["probabilistic"] = {**content["probabilistic"], "calibrated": few}
    axes = calibration.interval_reliability({"4dvarnet_spde": content}).axes[0]
    assert axes.lines[-1].get_ydata().size == 3


def test_two_members_have_no_interval_at_all(scores) -> None:
    content = {**scores["4dvarnet_spde"]}
    reason = {"value": None, "interval": [None, None], "unit": "1"}
    none = {f"coverage_{level}": reason for level in calibration.LEVELS}
    versions = {v: {**content["probabilistic"][v], **none} for v in ("raw", "calibrated")}
    content["probabilistic"] = {**content["probabilistic"], **versions}
    axes = calibration.interval_reliability({"4dvarnet_spde": content}).axes[0]
    assert len(axes.lines) == 1  # the zero line


def test_long_waves_stand_at_the_left(scores) -> None:
    axes = calibration.spectral_spread_skill(scores).axes[0]
    left, right = axes.get_xlim()
    assert left > right
    assert axes.get_xlabel() == "wavelength [km]"
    alone = calibration.spectral_spread_skill({"oi_tuned": scores["oi_tuned"]}).axes[0]
    assert "no method with members" in alone.texts[0].get_text()


def test_daily_spread_beside_the_error_of_the_day(scores) -> None:
    gaussian, ensemble = calibration.daily_spread(scores).axes
    rmse, raw, calibrated = ensemble.lines
    daily = scores["4dvarnet_spde"]["daily"]
    np.testing.assert_allclose(rmse.get_ydata(), 100 * np.array(daily["rmse"]))
    np.testing.assert_allclose(raw.get_ydata(), 1.5 * calibrated.get_ydata(), rtol=1e-6)
    assert ensemble.get_title().startswith("4DVarNet-SPDE\nr = ")
    assert gaussian.get_title() == "tuned OI\nspread constant"
