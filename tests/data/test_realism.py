"""The realism statistics on fields whose spectrum, correlation and speed are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_spde.data import realism

DX, DY = 5.0, 6.0


def power_law_maps(rng, slope, maps=24, ny=150, nx=180):
    """Gaussian fields with E(k) ~ k^slope at 400 km and less, cut out of periodic ones."""
    kx = np.fft.rfftfreq(2 * nx, DX)
    ky = np.fft.fftfreq(2 * ny, DY)[:, None]
    k = np.maximum(np.hypot(kx, ky), 1 / 400)
    noise = np.fft.rfft2(rng.standard_normal((maps, 2 * ny, 2 * nx)))
    field = np.fft.irfft2(noise * k ** ((slope - 1) / 2), s=(2 * ny, 2 * nx))
    return (field / field.std())[:, ny // 2 : -ny // 2, nx // 2 : -nx // 2]


@pytest.mark.parametrize(("slope", "leakage"), [(-2.0, 0.1), (-4.0, 0.4), (-5.0, 0.6)])
def test_the_slope_of_a_power_law_is_found(rng, slope, leakage):
    maps = power_law_maps(rng, slope)
    long, short = realism.SLOPE_BANDS_KM
    assert realism.spectral_slope(maps, DX, DY, short) == pytest.approx(slope, abs=0.12)
    # the Hann window leaks from the long waves of the 900 km box: steeper, by a known amount
    found = realism.spectral_slope(maps, DX, DY, long)
    assert slope - leakage - 0.1 < found < slope + 0.1


def test_the_spectrum_integrates_to_the_variance(rng):
    k, energy = realism.isotropic_spectrum(rng.standard_normal((400, 64, 64)), 5.0, 5.0)
    # white noise of variance 1 on 5 km cells: P = 25 km², so E = 2πk · 25; 10 %: three times the
    # sampling error of the smallest ring
    assert energy[1:] == pytest.approx(2 * np.pi * k[1:] * 25.0, rel=0.1)


def test_a_wave_shows_at_its_wavenumber():
    x = np.arange(120) * 10.0
    wave = np.cos(2 * np.pi * x / 150.0) * np.ones((1, 120, 1))
    k, energy = realism.isotropic_spectrum(wave, 10.0, 10.0)
    assert 1 / k[np.argmax(energy)] == pytest.approx(150.0, rel=0.05)


def test_a_tilted_plane_has_no_spectrum():
    y, x = np.mgrid[:40, :50]
    _, energy = realism.isotropic_spectrum((1.0 + 0.3 * x - 0.2 * y)[None], 10.0, 12.0)
    assert energy.max() < 1e-20


def test_a_band_beyond_the_nyquist_wavelength_is_left_out(rng):
    maps = rng.standard_normal((3, 60, 60))
    assert realism.spectral_slope(maps, 17.5, 22.2, (100.0, 30.0)) is None
    found = realism.realism(maps, 17.5, 22.2)
    assert "slope_100_30_km" not in found
    assert "slope_300_100_km" in found


def autoregressive(rng, memory, days=400, cells=(12, 15)):
    series = np.empty((days, *cells))
    series[0] = rng.standard_normal(cells)
    for day in range(1, days):
        noise = rng.standard_normal(cells)
        series[day] = memory * series[day - 1] + np.sqrt(1 - memory**2) * noise
    return series


def test_correlation_and_change_of_an_autoregressive_series_are_known(rng):
    memory = np.exp(-1 / 8)
    scale = 0.2
    found = realism.realism(scale * autoregressive(rng, memory), 20.0, 20.0)
    for lag in (1, 5, 10, 20):
        # a 400-day record less its mean lowers the correlation by about 2 · 8 / 400
        assert found[f"correlation_{lag}_days"] == pytest.approx(memory**lag, abs=0.06)
    assert found["decorrelation_days"] == pytest.approx(8.0, rel=0.15)
    assert found["one_day_change_m"] == pytest.approx(scale * np.sqrt(2 - 2 * memory), rel=0.03)
    assert found["anomaly_std_m"] == pytest.approx(scale, rel=0.05)
    assert found["local_std_min_m"] < found["anomaly_std_m"] < found["local_std_max_m"]


def test_a_time_mean_counts_as_height_but_not_as_anomaly(rng):
    series = autoregressive(rng, 0.5)
    mean = 3.0 * rng.standard_normal(series.shape[1:])
    still, moved = (realism.realism(values, 20.0, 20.0) for values in (series, series + mean))
    assert moved["anomaly_std_m"] == pytest.approx(still["anomaly_std_m"])
    assert moved["correlation_5_days"] == pytest.approx(still["correlation_5_days"])
    assert moved["ssh_std_m"] > 2 * still["ssh_std_m"]


def test_the_speed_of_a_uniform_slope_is_geostrophic():
    x = np.arange(30) * 20.0
    height = 1e-3 * x * np.ones((2, 25, 1))  # 1 mm per km
    coriolis = 2 * 7.2921e-5 * np.sin(np.radians(30.0))
    expected = 9.81 / coriolis * 1e-6
    assert realism.geostrophic_speed_rms(height, 20.0, 22.0, 30.0) == pytest.approx(expected)
    assert realism.geostrophic_speed_rms(height, 20.0, 22.0, -30.0) == pytest.approx(expected)


def test_land_is_left_out_of_the_statistics_and_of_nothing_else(rng):
    series = autoregressive(rng, 0.9, days=60)
    land = np.zeros(series.shape[1:], bool)
    land[:, :4] = True
    masked = np.where(land, np.nan, series)
    found = realism.realism(masked, 20.0, 20.0)
    cut = realism.realism(series[:, :, 4:], 20.0, 20.0)
    for name in ("ssh_std_m", "one_day_change_m", "correlation_5_days", "geostrophic_speed_rms"):
        assert found[name] == pytest.approx(cut[name])
    assert "slope_300_100_km" not in found


def test_short_records_lack_the_long_lags(rng):
    found = realism.realism(autoregressive(rng, 0.9, days=16), 20.0, 20.0)
    assert "correlation_5_days" in found
    assert "correlation_10_days" not in found


def test_gaps_and_wrong_shapes_are_refused(rng):
    series = autoregressive(rng, 0.9, days=8)
    with pytest.raises(ValueError, match="expected \\(time, lat, lon\\)"):
        realism.realism(series[0], 20.0, 20.0)
    series[3, 2, 2] = np.nan
    with pytest.raises(ValueError, match="1 cells are finite on some days only"):
        realism.realism(series, 20.0, 20.0)
    with pytest.raises(ValueError, match="longer record"):
        realism.lag_correlation(np.zeros((5, 2)), 5)
    with pytest.raises(ValueError, match="zero everywhere"):
        realism.lag_correlation(np.zeros((5, 2)), 2)


@settings(max_examples=25, deadline=None)
@given(factor=st.floats(0.01, 100), offset=st.floats(-5, 5), seed=st.integers(0, 2**32 - 1))
def test_scaling_and_shifting_change_only_what_they_should(factor, offset, seed):
    maps = np.random.default_rng(seed).standard_normal((31, 16, 16)).cumsum(axis=0)
    before = realism.realism(maps, 20.0, 20.0)
    after = realism.realism(factor * maps + offset, 20.0, 20.0)
    assert before.keys() == after.keys()
    for name, value in before.items():
        scaled = factor if name.endswith(("_m", "rms")) else 1.0
        assert after[name] == pytest.approx(scaled * value, rel=1e-6)


def test_the_description_has_a_line_for_every_statistic(rng):
    found = realism.realism(power_law_maps(rng, -4.0, maps=61), DX, DY)
    lines = realism.describe(found | {"wall_seconds": 3.0}).splitlines()
    assert len(lines) == len(found)
    assert any(line.startswith("spectral slope of SSH, 300–100 km: ") for line in lines)
    assert not any("wall" in line for line in lines)
