"""The public protocols along tracks, on hand-made series and spectra."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.interpolate import interp1d
from scipy.signal import welch

from pipeline_spde.scores.bootstrap import Resampling
from pipeline_spde.scores.legacy_tracks import (
    SPACING_KM,
    TRACK_PROTOCOLS,
    legacy_resolution,
    legacy_segments,
    score_legacy_tracks,
    sorted_by_score,
)
from pipeline_spde.scores.statistic import Sample

SECOND = np.timedelta64(1, "s")
START = np.datetime64("2017-01-01T00:00:00", "ns")


def series(*lengths: int, gap: int = 60) -> np.ndarray:
    """Times one second apart in passes of some lengths, with gaps between them."""
    starts = np.cumsum([0, *(length + gap for length in lengths[:-1])])
    seconds = np.concatenate([s + np.arange(n) for s, n in zip(starts, lengths, strict=True)])
    return START + seconds * SECOND


def test_segments_have_the_published_numbers_of_points():
    sizes = {name: protocol.size for name, protocol in TRACK_PROTOCOLS.items()}
    assert sizes == {"dc2021a-legacy": 156, "oceanbench-ose-legacy": 133}


def test_segments_start_at_the_last_point_before_a_gap_and_leave_out_the_last_pass():
    time = series(300, 250, 400)
    # pass 1: from 0 to its last point 299; pass 2: from 299 (foreign) to 549; pass 3: never used
    expected = [*range(0, 299 - 156, 39), *range(299, 549 - 156, 39)]
    assert legacy_segments(time, 156).tolist() == expected
    assert legacy_segments(series(1000), 156).size == 0
    assert legacy_segments(series(100, 100), 156).size == 0


def test_a_gap_of_four_seconds_is_none():
    time = series(200, 200, 200, gap=3)  # four seconds from the last point to the next
    assert legacy_segments(time, 156).size == 0
    assert legacy_segments(series(200, 200, 200, gap=4), 156).size > 0


def test_the_spectra_are_those_of_welch_over_the_joined_segments(rng):
    time, size = series(700, 900, 800, 500), 156
    height = np.cumsum(rng.standard_normal(time.size)) * 0.02
    estimate = height + 0.05 * rng.standard_normal(time.size)
    starts = legacy_segments(time, size)
    joined = [
        np.concatenate([a[s : s + size] for s in starts]) for a in (estimate - height, height)
    ]
    k, error = welch(joined[0], 1 / SPACING_KM, nperseg=size, noverlap=0, scaling="density")
    _, data = welch(joined[1], 1 / SPACING_KM, nperseg=size, noverlap=0, scaling="density")
    expected = float(interp1d(1 - error[1:] / data[1:], 1 / k[1:])(0.5))
    score, segments = legacy_resolution(
        time=time,
        sample=Sample(height, estimate, np.ones(time.size, bool)),
        size=size,
        days=np.array([START.astype("datetime64[D]")]),
        resampling=Resampling(20, 7, 0.95, 1),
    )
    assert score.value == pytest.approx(expected, rel=1e-9)
    assert segments == starts.size


def test_the_rule_sorts_by_score_and_so_may_join_distant_scales():
    wavelength = np.array([1000.0, 500.0, 250.0, 125.0])
    assert sorted_by_score(np.array([0.9, 0.7, 0.3, 0.1]), wavelength) == pytest.approx(375.0)
    # not monotone: the neighbours of 0.5 are 1000 km and 125 km
    assert sorted_by_score(np.array([0.6, 0.9, 0.1, 0.4]), wavelength) == pytest.approx(562.5)
    assert np.isposinf(sorted_by_score(np.array([0.4, 0.3, 0.2, 0.1]), wavelength))
    assert sorted_by_score(np.array([0.9, 0.8, 0.7, 0.6]), wavelength) == 0.0
    assert np.isnan(sorted_by_score(np.array([0.9, np.nan, 0.7, 0.1]), wavelength))


def sea(days: int = 4) -> xr.DataArray:
    lat, lon = np.arange(33.0, 43.1), np.arange(295.0, 305.1)
    time = np.datetime64("2016-12-31T12", "ns") + np.arange(days) * np.timedelta64(1, "D")
    values = np.ones((days, lat.size, lon.size))
    return xr.DataArray(
        values, dims=("time", "lat", "lon"), coords={"time": time, "lat": lat, "lon": lon}
    )


def scored(time, lat, lon, height, **options):
    return score_legacy_tracks(
        time=time,
        lat=lat,
        lon=lon,
        height=height,
        estimate=sea(),
        protocols=tuple(TRACK_PROTOCOLS),
        seed=1,
        bootstrap_draws=10,
        **options,
    )


def test_mu_is_the_mean_of_days_in_one_protocol_and_pooled_in_the_other():
    # day 1: 30 points off by 0.5 of 2; day 2: 10 points off by 1 of 2; day 3: 9 points, too few
    counts, heights = (30, 10, 9), (1.5, 0.5, 5.0)
    time = np.concatenate(
        [START + np.timedelta64(d, "D") + np.arange(n) * SECOND for d, n in enumerate(counts)]
    )
    height = np.repeat(heights, counts)
    found = scored(time, np.full(49, 38.0), np.full(49, -60.0), height)
    daily = [1 - 0.5 / 1.5, 1 - 0.5 / 0.5]
    legacy, oceanbench = found["dc2021a-legacy"], found["oceanbench-ose-legacy"]
    assert legacy["mu"]["value"] == pytest.approx(np.mean(daily))
    assert legacy["sigma"]["value"] == pytest.approx(np.std(daily))
    pooled = 1 - np.sqrt(np.mean((1 - height) ** 2) / np.mean(height**2))
    assert oceanbench["mu"]["value"] == pytest.approx(pooled)
    assert oceanbench["sigma"]["value"] is None and "no σ" in oceanbench["sigma"]["reason"]
    assert legacy["lambda_x"]["value"] is None and "too short" in legacy["lambda_x"]["reason"]
    assert not legacy["comparable"] and "49 points" in legacy["not_comparable_because"]


def test_only_one_protocol_keeps_away_from_the_edge_of_the_box():
    lon = np.array([-64.9, -64.75, -60.0])
    found = scored(series(3), np.full(3, 38.0), lon, np.full(3, 1.5))
    assert found["dc2021a-legacy"]["points"] == 2
    assert found["oceanbench-ose-legacy"]["points"] == 3


def test_several_missions_have_no_lambda():
    found = scored(series(3), np.full(3, 38.0), np.full(3, -60.0), np.ones(3), missions=("a", "b"))
    assert "one mission" in found["dc2021a-legacy"]["lambda_x"]["reason"]


def test_maps_in_chunks_give_the_same_numbers(rng):
    time = series(300, 300, 300)
    lat, lon = rng.uniform(34, 42, time.size), rng.uniform(-64, -56, time.size)
    height = 1.0 + 0.1 * rng.standard_normal(time.size)
    whole = scored(time, lat, lon, height)
    common = {"time": time, "lat": lat, "lon": lon, "height": height, "seed": 1}
    chunked = score_legacy_tracks(
        **common,
        estimate=sea().chunk({"time": 1}),
        protocols=tuple(TRACK_PROTOCOLS),
        bootstrap_draws=10,
    )
    assert chunked == whole


def test_what_cannot_be_scored_is_said():
    with pytest.raises(ValueError, match="none of the 1 measurements meets a map"):
        scored(series(1), np.array([50.0]), np.array([-60.0]), np.array([1.0]))
    with pytest.raises(ValueError, match="no protocol"):
        score_legacy_tracks(
            time=series(1), lat=[38], lon=[-60], height=[1], estimate=sea(),
            protocols=("other",), seed=1,
        )  # fmt: skip
