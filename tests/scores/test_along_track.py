"""Scores of maps on along-track data."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter

from pipeline_spde.scores import compare_tracks, score_tracks
from pipeline_spde.scores.bootstrap import Resampling
from pipeline_spde.scores.segments import along_track_resolution
from pipeline_spde.scores.statistic import Sample

START = np.datetime64("2017-01-01", "ns")
QUICK = {"margin_degrees": 0.25, "bootstrap_draws": 50, "seed": 1}


def stamps(days):
    return START + (np.asarray(days) * 86400e3).astype("timedelta64[ms]")


def linear(t, y, x):
    """A field that tri-linear interpolation reproduces."""
    return 0.1 * t + 0.2 * (y - 36) - 0.05 * (x + 60)


@pytest.fixture
def field(maps):
    data = maps(np.zeros((30, 20, 20)), step=0.5, first="2017-01-01T12:00")
    days = (data["time"] - START) / np.timedelta64(86400, "s")
    return data + linear(days, data["lat"], data["lon"])


@pytest.fixture
def tracks(rng):
    """4000 points in and around the box, from before the first map to after the last one."""
    t = np.sort(rng.uniform(0.0, 31.0, 4000))
    lat, lon = rng.uniform(32.0, 44.0, 4000), rng.uniform(-66.0, -54.0, 4000)
    return {"time": stamps(t), "lat": lat, "lon": lon, "height": linear(t, lat, lon)}


def inside(tracks):
    t = (tracks["time"] - START) / np.timedelta64(86400, "s")
    return (
        (np.abs(tracks["lat"] - 38) <= 4.75)
        & (np.abs(tracks["lon"] + 60) <= 4.75)
        & (t >= 0.5)
        & (t <= 29.5)
    )


def test_a_linear_field_is_met_exactly_inside_the_margin_and_the_period(field, tracks):
    scores = score_tracks(**tracks, estimate=field, **QUICK)
    ose = scores["protocols"]["ssh-ose-v1"]
    assert ose["points"] == inside(tracks).sum()
    assert ose["points_given"] == 4000
    assert ose["rmse"]["value"] == pytest.approx(0, abs=1e-6)
    assert ose["mu"]["value"] == pytest.approx(1, abs=1e-6)
    assert ose["correlation"]["value"] == pytest.approx(1)
    expected = np.sqrt(np.mean(tracks["height"][inside(tracks)] ** 2))
    assert ose["rms_data"]["value"] == pytest.approx(expected)
    json.dumps(scores, allow_nan=False)


def test_pooled_and_daily_scores_by_hand(field, tracks, rng):
    noise = 0.1 * rng.standard_normal(4000)
    noisy = tracks | {"height": tracks["height"] + noise, "lon": tracks["lon"] + 360}
    used = inside(tracks)
    day = tracks["time"].astype("datetime64[D]")
    few = np.flatnonzero(used & (day == np.datetime64("2017-01-08")))[9:]
    noisy["height"] = noisy["height"].copy()
    noisy["height"][few] = np.nan  # leaves 9 points on one day
    used[few] = False
    ose = (scores := score_tracks(**noisy, estimate=field, **QUICK))["protocols"]["ssh-ose-v1"]
    data = noisy["height"][used]
    assert ose["rmse"]["value"] == pytest.approx(np.sqrt(np.mean(noise[used] ** 2)), rel=1e-6)
    daily = {
        str(d): 1 - np.sqrt(np.mean(noise[used & (day == d)] ** 2))
        / np.sqrt(np.mean(noisy["height"][used & (day == d)] ** 2))
        for d in np.unique(day[used])
        if np.count_nonzero(used & (day == d)) >= 10
    }  # fmt: skip
    assert "2017-01-08" not in daily
    assert scores["daily"]["time"] == list(daily)
    np.testing.assert_allclose(scores["daily"]["score"], list(daily.values()), rtol=1e-6)
    assert ose["mu_daily"]["value"] == pytest.approx(np.mean(list(daily.values())))
    assert ose["sigma"]["value"] == pytest.approx(np.std(list(daily.values())))
    assert ose["days_scored_daily"] == len(daily) == ose["days"] - 1
    prediction = data - noise[used]
    assert ose["correlation"]["value"] == pytest.approx(np.corrcoef(data, prediction)[0, 1])
    low, high = ose["rmse"]["interval"]
    assert low < ose["rmse"]["value"] < high


def test_missing_map_cells_and_data_are_left_out(field, tracks):
    holed = field.copy()
    holed[:, 8:12, 8:12] = np.nan
    scores = score_tracks(**tracks, estimate=holed, **QUICK)
    assert scores["protocols"]["ssh-ose-v1"]["points"] < inside(tracks).sum()
    assert scores["protocols"]["ssh-ose-v1"]["rmse"]["value"] == pytest.approx(0, abs=1e-6)


def test_probabilistic_scores_count_the_error_of_the_data(field, tracks, rng):
    noisy = tracks | {"height": tracks["height"] + np.hypot(0.05, 0.03) * rng.standard_normal(4000)}
    std = 0 * field + 0.05
    scores = score_tracks(**noisy, estimate=field, std=std, height_error=0.03, **QUICK)
    assert scores["spread_skill"]["value"] == pytest.approx(1.0, abs=0.05)
    assert scores["coverage_90"]["value"] == pytest.approx(0.9, abs=0.03)
    without = score_tracks(**noisy, estimate=field, std=std, **QUICK)
    assert without["spread_skill"]["value"] < 0.9
    with pytest.raises(ValueError, match="std is missing"):
        score_tracks(**noisy, estimate=field, std=std.where(std["lat"] > 36), **QUICK)


def test_short_passes_have_no_wavelength_but_a_reason(field, tracks):
    ose = score_tracks(**tracks, estimate=field, **QUICK)["protocols"]["ssh-ose-v1"]
    assert ose["lambda_x"]["value"] is None
    assert ose["lambda_t"]["reason"] == "not defined along tracks"
    one = {name: values[:1] for name, values in tracks.items()}
    one |= {"time": stamps([10.0]), "lat": np.array([38.0]), "lon": np.array([-60.0])}
    scores = score_tracks(**one, estimate=field, **QUICK)["protocols"]["ssh-ose-v1"]
    assert "no two measurements" in scores["lambda_x"]["reason"]


def passes(count, points, wave_km, noise, rng):
    """Meridional passes of 1-s samples 6.5 km apart: a wave, and a map that misses the noise."""
    step = 6.5 / 111.195
    lat = np.tile(step * np.arange(points), count)
    along = np.tile(6.5 * np.arange(points), count)
    time = (
        START
        + np.repeat(np.arange(count), points) * np.timedelta64(3, "h")
        + np.tile(np.arange(points), count) * np.timedelta64(1, "s")
    )
    phase = np.repeat(rng.uniform(0, 2 * np.pi, count), points)
    estimate = np.cos(2 * np.pi * along / wave_km + phase)
    data = estimate + noise * rng.standard_normal(count * points)
    sample = Sample(data, estimate, np.ones(data.shape, bool))
    return time, lat, np.zeros(lat.size), sample, np.repeat(np.arange(count), points)


def resolve(time, lat, lon, sample, pass_id):
    return along_track_resolution(
        time=time, lat=lat, lon=lon, sample=sample, pass_id=pass_id,
        days=np.unique(time.astype("datetime64[D]")), resampling=Resampling(100, 2, 0.95, 0),
    )  # fmt: skip


def test_segments_are_counted_and_never_cross_passes(rng):
    score, count = resolve(*passes(80, 400, 250, 0.5, rng))
    size = int(1000 / 6.5)
    assert count == 80 * (1 + (400 - size) // (size // 2))
    assert score.interval_method.startswith("moving-block")
    # shorter than a segment, though all passes together are long
    short, none = resolve(*passes(80, size - 1, 250, 0.5, rng))
    assert none == 0
    assert "too short: 0 segments" in short.reason


def test_a_gap_ends_a_run(rng):
    time, lat, lon, sample, pass_id = passes(20, 200, 250, 0.5, rng)
    sample.valid[100::200] = False  # one missing point: 2 s, bridged
    assert resolve(time, lat, lon, sample, pass_id)[1] == 20
    for missing in range(4):
        sample.valid[100 + missing :: 200] = False  # four missing points: 5 s
    assert resolve(time, lat, lon, sample, pass_id)[1] == 0


def test_along_track_wavelength_of_a_red_map_and_white_noise(rng):
    """P_h = P_m + N and P_e = N: the score is P_m/(P_m + N), 0.5 where P_m equals N, at 150 km.

    The Hann window broadens a spectrum ∝ k⁻⁴: at the seventh of its wavenumbers by 7 % in power,
    so 146–147 km is what an exact estimate of the tapered spectra gives.
    """
    count, points, step = 600, 400, 6.5
    k = np.fft.rfftfreq(points, step)
    amplitude = np.where(k > 0, (np.maximum(k, k[1]) * 150.0) ** -2.0, 0.0)  # equal at 150 km
    white = rng.standard_normal((2, count, points))
    red = np.fft.irfft(np.fft.rfft(white[0]) * amplitude, points)
    time, lat, lon, _, pass_id = passes(count, points, 250, 0.0, rng)
    sample = Sample((red + white[1]).ravel(), red.ravel(), np.ones(count * points, bool))
    score, _ = resolve(time, lat, lon, sample, pass_id)
    assert score.value == pytest.approx(146.5, rel=0.03)
    low, high = score.interval
    assert low < 146.5 < high
    assert high - low < 20


def test_order_and_unrelated_points_do_not_matter(field, tracks, rng):
    shuffle = rng.permutation(4000)
    one = score_tracks(**tracks, estimate=field + 0.1, **QUICK)
    other = score_tracks(
        **{name: values[shuffle] for name, values in tracks.items()}, estimate=field + 0.1, **QUICK
    )
    for name in ("mu", "sigma", "rmse", "correlation"):
        one_score, other_score = (s["protocols"]["ssh-ose-v1"][name] for s in (one, other))
        assert one_score["value"] == pytest.approx(other_score["value"], rel=1e-9)


def test_compare_tracks(field, tracks, rng):
    error = 0.1 * rng.standard_normal(field.shape)
    found = compare_tracks(**tracks, estimate=field + 0.5 * error, reference=field + error, **QUICK)
    assert found["relative_rmse"]["value"] == pytest.approx(-0.5, abs=1e-5)
    assert found["better"] is True
    assert found["cells"] == inside(tracks).sum()


def test_mistakes_are_explained(field, tracks):
    with pytest.raises(ValueError, match="one length"):
        score_tracks(**tracks | {"lat": tracks["lat"][:-1]}, estimate=field, **QUICK)
    with pytest.raises(ValueError, match="none of the 4000"):
        score_tracks(**tracks | {"lat": tracks["lat"] + 40}, estimate=field, **QUICK)
    with pytest.raises(ValueError, match="pass_id"):
        score_tracks(**tracks, estimate=field, pass_id=[1], **QUICK)


@pytest.mark.slow  # reads 67 MB
@pytest.mark.realdata
def test_real_cryosat_tracks_are_predicted_by_smoothing_two_other_missions(real_data, maps):
    """April to June 2022, Gulf Stream: the numbers agree with plain numpy on the same points."""
    first, last = np.datetime64("2022-04-02"), np.datetime64("2022-07-01")
    with xr.open_dataset(real_data / "rads_alongtrack_natl_2022.nc") as data:
        near = (np.abs(data["lat"] - 38) < 6) & (np.abs(data["lon"] + 60) < 6)
        period = (data["time"] >= first) & (data["time"] < last)
        data = data.isel(time=np.flatnonzero(near & period)).load()
    mission = data["mission"].values
    others, cryosat = (data.isel(time=np.flatnonzero(m)) for m in (mission >= 2, mission == 0))

    edges = [np.arange(93), 32 + 0.2 * np.arange(61), -66 + 0.2 * np.arange(61)]
    days = (others["time"].values - (first - np.timedelta64(1, "D"))) / np.timedelta64(86400, "s")
    points = np.stack([days, others["lat"], others["lon"]], axis=1)
    total, _ = np.histogramdd(points, edges, weights=others["sla"].values)
    count, _ = np.histogramdd(points, edges)
    smooth = [gaussian_filter(part, (4.0, 3.0, 3.0)) for part in (total, count)]
    weighted_mean = smooth[0] / np.maximum(smooth[1], 1e-12)
    estimate = maps(weighted_mean, step=0.2, south=32, west=-66, first="2022-04-01T12:00")
    found = score_tracks(
        time=cryosat["time"].values,
        lat=cryosat["lat"].values,
        lon=cryosat["lon"].values,
        height=cryosat["sla"].values,
        estimate=estimate,
        margin_degrees=1.0,
        bootstrap_draws=200,
        seed=0,
    )["protocols"]["ssh-ose-v1"]

    used = (np.abs(cryosat["lat"] - 38) <= 5) & (np.abs(cryosat["lon"] + 60) <= 5)
    sla = cryosat["sla"].values[used.values]
    assert found["points"] == sla.size > 3000
    assert found["rms_data"]["value"] == pytest.approx(np.sqrt(np.mean(sla**2)), rel=1e-12)
    assert 0.05 < found["rmse"]["value"] < 0.7 * found["rms_data"]["value"]
    assert found["correlation"]["value"] > 0.8
    assert found["segments"] >= 10
    assert 100 < found["lambda_x"]["value"] < 600
