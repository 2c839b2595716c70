"""Spread and error by wavenumber."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline_spde.grids import KM_PER_DEGREE
from pipeline_spde.scores.bootstrap import Resampling
from pipeline_spde.scores.spectral import isotropic_power, ring_power, taper, zonal_power
from pipeline_spde.scores.spread_spectrum import SpreadSpectrum

RESAMPLING = Resampling(50, 3, 0.95, 0)
LAT = 33 + 0.2 * np.arange(30)
STEP = (0.2, 0.25)


def smooth(rng, shape, scale):
    """Unit noise whose power falls beyond a wavenumber of `scale` cycles per cell."""
    f = np.hypot(np.fft.fftfreq(shape[-2])[:, None], np.fft.fftfreq(shape[-1]))
    noise = np.fft.fft2(rng.standard_normal(shape)) / (1 + (f / scale) ** 2) ** 1.5
    field = np.fft.ifft2(noise).real
    return field / field.std()


def collect(members, truth, valid=None):
    """The spectrum of days of members (days, members, lat, lon) and truth (days, lat, lon)."""
    valid = np.ones(truth.shape, bool) if valid is None else valid
    spectrum = SpreadSpectrum(valid, LAT, STEP)
    for day, true in zip(members, truth, strict=True):
        spectrum.add(day, true)
    return spectrum


def test_a_consistent_ensemble_spreads_at_every_scale_as_it_errs(rng):
    fields = smooth(rng, (24, 31, 30, 32), 0.05)
    found = collect(fields[:, 1:], fields[:, 0]).to_json(RESAMPLING)
    assert found["direction"] == "isotropic"
    assert np.median(found["spread_skill"]) == pytest.approx(1.0, abs=0.06)
    inside = [lo <= 1 <= hi for lo, hi in zip(found["low"], found["high"], strict=True)]
    assert np.mean(inside) > 0.7


def test_the_ratio_at_each_scale_is_the_factor_of_the_spread_there(rng):
    """Members spread at large scales only: right there, too narrow at small ones."""
    large, small = smooth(rng, (10, 41, 30, 32), 0.03), rng.standard_normal((10, 41, 30, 32))
    truth = large[:, 0] + 0.3 * small[:, 0]
    found = collect(large[:, 1:] + 0.1 * small[:, 1:], truth).to_json(RESAMPLING)
    assert found["spread_skill"][0] == pytest.approx(1.0, abs=0.2)
    assert found["spread_skill"][-1] == pytest.approx(0.1 / 0.3, rel=0.1)


def test_the_density_integrates_to_the_variance(rng):
    """The sum over rings is the tapered variance, but for the mean of the tapered field."""
    members = smooth(rng, (1, 60, 30, 32), 0.08)
    found = collect(members, np.zeros((1, 30, 32))).to_json(RESAMPLING)
    width = max(1 / (30 * STEP[0] * KM_PER_DEGREE), 1 / (32 * _zonal_step()))
    total = np.sum(found["spread"]) * width
    window = np.outer(taper("hann", 30), taper("hann", 32)) ** 2
    anomaly = members[0] - members[0].mean(axis=0)
    anomaly -= anomaly.mean(axis=(1, 2), keepdims=True)
    weighted = (anomaly**2 * window).sum(axis=(1, 2)) / window.sum()
    expected = weighted.sum() / 59 * 61 / 60
    mean = ((anomaly * np.sqrt(window)).mean(axis=(1, 2)) ** 2).sum() / window.mean()
    assert total == pytest.approx(expected - mean / 59 * 61 / 60, rel=1e-3)


def _zonal_step():
    return KM_PER_DEGREE * np.cos(np.radians(LAT)).mean() * STEP[1]


def test_a_zonal_wave_stands_at_its_wavenumber(rng):
    wave = np.cos(2 * np.pi * 4 * np.arange(32) / 32) * np.ones((30, 1))
    members = np.stack([wave, -wave, 0 * wave])[None]
    holes = np.ones((1, 30, 32), bool)
    holes[:, :3, 5] = False
    spectrum = collect(members, 2 * wave[None], holes).to_json(RESAMPLING)
    assert spectrum["direction"] == "zonal"
    peak = spectrum["wavenumber"][int(np.argmax(spectrum["spread"]))]
    step = KM_PER_DEGREE * np.cos(np.radians(LAT[3:])).mean() * STEP[1]
    assert peak == pytest.approx(4 / (32 * step))
    # spread² = 4/3 · (1 + 1 + 0)/2 · P, error² = 4 · P
    assert spectrum["spread_skill"][3] == pytest.approx(np.sqrt(4 / 3 / 4))


def test_cells_of_incomplete_rows_never_matter(rng):
    fields = smooth(rng, (4, 9, 30, 32), 0.1)
    valid = np.ones((4, 30, 32), bool)
    valid[2, 10, 7] = False
    wild = fields.copy()
    wild[:, :, 10] = np.nan
    one, other = (
        collect(data[:, 1:], data[:, 0], valid).to_json(RESAMPLING) for data in (fields, wild)
    )
    assert one == other


def test_days_that_are_not_judged_leave_no_holes(rng):
    valid = np.ones((4, 30, 32), bool)
    valid[1] = False
    assert SpreadSpectrum(valid, LAT, STEP).obstacle is None


def test_too_little_ocean_has_no_spectrum_but_a_reason(rng):
    valid = np.ones((2, 30, 32), bool)
    valid[:, :16, 0] = False
    spectrum = collect(np.zeros((2, 3, 30, 32)), np.zeros((2, 30, 32)), valid)
    assert spectrum.to_json(RESAMPLING) == {
        "reason": "only 14 of 30 latitude rows are without holes or land"
    }
    small = SpreadSpectrum(np.ones((2, 4, 32), bool), LAT[:4], STEP)
    assert "too few" in small.obstacle


def test_perfect_maps_have_no_ratio(rng):
    equal = np.zeros((3, 5, 30, 32))
    found = collect(equal, equal[:, 0]).to_json(RESAMPLING)
    assert set(found["spread_skill"]) == {None}


def test_power_of_single_maps_adds_up_to_that_of_a_tapered_series(rng):
    field = rng.standard_normal((9, 30, 32))
    ring, power = ring_power(field, 20.0, 18.0)
    series = isotropic_power(field, 20.0, 18.0)
    np.testing.assert_array_equal(ring, series[0])
    np.testing.assert_allclose(power * taper("hann", 9)[:, None] ** 2, series[1])


def test_zonal_power_is_that_of_the_rows(rng):
    field = rng.standard_normal((2, 3, 16))
    anomaly = (field - field.mean(axis=2, keepdims=True)) * taper("hann", 16)
    expected = (np.abs(np.fft.fft(anomaly, axis=2)) ** 2).sum(axis=1)[:, 1:8]
    np.testing.assert_allclose(zonal_power(field), expected)
