"""Space-time power: conformance, independent implementations, closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
import xrft
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline_spde.scores import score_spectra
from pipeline_spde.scores.spectra import largest_box, method_spectra
from pipeline_spde.scores.spectral import (
    complete_rows,
    isotropic_power,
    meridional_power,
    positive_bins,
    spectrum,
    taper,
)
from pipeline_spde.scores.wavelengths import first_crossing, first_polyline


@pytest.mark.parametrize(
    ("window", "scores", "lengths"),
    [
        ("hann", (0.986602, 0.972753, 0.240903), (0.825919, 5.166204)),
        ("tukey", (0.987228, 0.981354, 0.252030), (0.817242, 5.073841)),
    ],
)
def test_vector_a(vector_a, window, scores, lengths):
    lattice = spectrum(truth=vector_a[0], estimate=vector_a[1], window=window, step_degrees=0.05)
    score = lattice.score()
    assert score.shape == (20, 99)
    assert (score[0, 0], score[0, 4], score[9, 9]) == pytest.approx(scores, abs=5e-7)
    crossing = first_polyline(score, lattice.wavenumber, lattice.frequency)
    assert crossing.polylines == 1
    assert (crossing.wavelength, crossing.period) == pytest.approx(lengths, abs=5e-7)


def test_vector_a_eastward_quadrant(vector_a):
    # x → −x about the first point, so that the periodic window stays where it is
    truth, estimate = (np.roll(field[:, :, ::-1], 1, axis=2) for field in vector_a)
    lattice = spectrum(truth=truth, estimate=estimate, window="hann", step_degrees=0.05)
    crossing = first_polyline(lattice.score(), lattice.wavenumber, lattice.frequency)
    assert crossing.wavelength == pytest.approx(0.814000, abs=5e-7)
    assert crossing.period == pytest.approx(5.174603, abs=5e-7)


def test_vector_a_one_dimensional(vector_a):
    lattice = spectrum(truth=vector_a[0], estimate=vector_a[1], window="hann", step_degrees=0.05)
    x = first_crossing(lattice.score_by_wavenumber(), lattice.wavenumber)
    t = first_crossing(lattice.score_by_frequency(), lattice.frequency)
    assert float(x) == pytest.approx(0.861648, abs=5e-7)
    assert float(t) == pytest.approx(5.692702, abs=5e-7)


def test_vector_a_with_41_days(vector_a):
    truth, estimate = (field[:41] for field in vector_a)
    lattice = spectrum(truth=truth, estimate=estimate, window="hann", step_degrees=0.05)
    assert lattice.frequency.size == 20
    crossing = first_polyline(lattice.score(), lattice.wavenumber, lattice.frequency)
    assert crossing.wavelength / 0.825919 - 1 == pytest.approx(0.001, abs=5e-4)
    assert crossing.period / 5.166204 - 1 == pytest.approx(-0.009, abs=5e-4)


@pytest.mark.parametrize("days", [20, 21])
@pytest.mark.parametrize("window", ["hann", "tukey"])
def test_agrees_with_xrft(rng, days, window):
    truth, estimate = rng.standard_normal((2, days, 6, 17)).cumsum(axis=3).cumsum(axis=1)

    def power(field):
        data = xr.DataArray(
            field,
            dims=("time", "lat", "lon"),
            coords={"time": np.arange(days), "lat": np.arange(6), "lon": 0.2 * np.arange(17)},
        )
        found = xrft.power_spectrum(
            data, dim=["time", "lon"], detrend="constant", window=window, scaling="density"
        )
        return found.mean("lat")

    ratio = power(estimate - truth) / power(truth)
    ratio = ratio.where((ratio.freq_time > 0) & (ratio.freq_lon > 0), drop=True)
    ours = spectrum(truth=truth, estimate=estimate, window=window, step_degrees=0.2)
    np.testing.assert_allclose(ours.frequency, ratio.freq_time)
    np.testing.assert_allclose(ours.wavenumber, ratio.freq_lon)
    np.testing.assert_allclose(ours.score(), 1 - ratio.values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(12, 3, 14), (13, 3, 15), (12, 70, 9)])
def test_summed_powers_equal_a_brute_force_transform(rng, shape):
    field = rng.standard_normal(shape)
    lattice = spectrum(truth=field, estimate=0 * field, window="hann", step_degrees=0.1)
    days, _, columns = shape
    tapered = (field - field.mean(axis=(0, 2), keepdims=True)) * (
        taper("hann", days)[:, None, None] * taper("hann", columns)
    )
    power = np.abs(np.fft.fft2(tapered, axes=(0, 2))) ** 2  # (f, row, k), both signs
    last_f, last_k = lattice.frequency.size, lattice.wavenumber.size
    np.testing.assert_allclose(
        lattice.truth.by_frequency, power[1 : last_f + 1].sum(axis=2).T, rtol=1e-10
    )
    np.testing.assert_allclose(
        days * lattice.truth.by_day.sum(axis=0),
        power[:, :, 1 : last_k + 1].sum(axis=(0, 1)),
        rtol=1e-10,
    )


def test_the_quadrant_holds_westward_waves():
    t, x = np.arange(32)[:, None, None], np.arange(40)[None, None, :]
    phase = 2 * np.pi * (4 * x / 40 + 6 * t / 32)  # x = −c t + const: westward
    westward = np.broadcast_to(np.cos(phase), (32, 2, 40))
    lattice = spectrum(truth=westward, estimate=0 * westward, window="hann", step_degrees=1.0)
    power = lattice.truth.quadrant[0]
    assert np.unravel_index(power.argmax(), power.shape) == (5, 3)
    eastward = spectrum(
        truth=westward[:, :, ::-1], estimate=0 * westward, window="hann", step_degrees=1.0
    )
    assert eastward.truth.quadrant.max() < 1e-20 * power.max()


def test_score_is_the_ratio_of_means_not_the_mean_of_ratios(rng):
    truth = rng.standard_normal((16, 2, 16))
    truth[:, 1] *= 10
    estimate = truth.copy()
    estimate[:, 0] = 0  # the quiet row is all wrong
    lattice = spectrum(truth=truth, estimate=estimate, window="hann", step_degrees=1.0)
    assert lattice.score().mean() > 0.9


def test_rows_weighted_twice_count_twice(rng):
    truth, estimate = rng.standard_normal((2, 12, 3, 12))
    lattice = spectrum(truth=truth, estimate=estimate, window="hann", step_degrees=1.0)
    again = spectrum(
        truth=truth[:, [0, 0, 2]], estimate=estimate[:, [0, 0, 2]], window="hann", step_degrees=1.0
    )
    np.testing.assert_allclose(lattice.score(np.array([2.0, 0, 1])), again.score(), rtol=1e-10)


def test_nan_rows_are_refused_and_can_be_left_out(rng):
    truth, estimate = rng.standard_normal((2, 12, 4, 12))
    estimate[3, 1, 5] = np.nan
    with pytest.raises(ValueError, match="finite"):
        spectrum(truth=truth, estimate=estimate, window="hann", step_degrees=1.0)
    rows = complete_rows(np.isfinite(estimate))
    assert rows.tolist() == [True, False, True, True]
    with pytest.raises(ValueError, match="too few"):
        spectrum(truth=truth[:4], estimate=truth[:4], window="hann", step_degrees=1.0)
    with pytest.raises(ValueError, match="no window"):
        taper("boxcar", 4)


def test_meridional_power_is_zonal_power_of_the_transposed_box(rng):
    field = rng.standard_normal((14, 9, 11))
    zonal = spectrum(truth=field, estimate=0 * field, window="hann", step_degrees=1.0)
    np.testing.assert_allclose(
        meridional_power(field.transpose(0, 2, 1)), zonal.truth.by_day, rtol=1e-12
    )


def test_isotropic_power_puts_a_plane_wave_on_its_ring():
    n, step = 48, 10.0
    y, x = np.meshgrid(np.arange(n) * step, np.arange(n) * step, indexing="ij")
    width = 1 / (n * step)
    wave = np.cos(2 * np.pi * (3 * width * x + 4 * width * y))[None].repeat(5, axis=0)
    wavenumber, power = isotropic_power(wave, step, step)
    assert wavenumber.size == 24
    peak = power.sum(axis=0).argmax()
    assert wavenumber[peak] == pytest.approx(5 * width, rel=0.05)
    # all power but that beyond the last ring and the mean is kept, each wave once
    weights = taper("hann", n)
    tapered = (wave - wave.mean(axis=(1, 2), keepdims=True)) * np.outer(weights, weights)
    total = (np.abs(np.fft.fft2(tapered)) ** 2).sum(axis=(1, 2)) * taper("hann", 5) ** 2
    np.testing.assert_allclose(power.sum(axis=1), total, rtol=1e-2, atol=1e-9)


def test_spectra_for_figures(maps, vector_a):
    truth, estimate = maps(vector_a[0]), maps(vector_a[1])
    field, zonal = score_spectra(truth=truth, estimate=estimate, margin_degrees=0)
    assert field["score"].dims == ("frequency", "wavenumber")
    assert float(field["score"][0, 0]) == pytest.approx(0.986602, abs=5e-7)
    assert zonal["wavenumber"].attrs["units"] == "1/km"
    # the density integrates to the variance about row means, up to the window's sampling
    rows = vector_a[0] - vector_a[0].mean(axis=(0, 2), keepdims=True)
    step = float(zonal["wavenumber"][1] - zonal["wavenumber"][0])
    variance = float(zonal["truth"].sum()) * step
    zonal_mean_share = rows.mean(axis=2).var()
    assert variance == pytest.approx(rows.var() - zonal_mean_share, rel=0.25)
    score = 1 - zonal["error"] / zonal["truth"]
    degrees = float(first_crossing(score.values, positive_bins(200, 0.05)))
    assert degrees == pytest.approx(0.861648, abs=5e-7)


def test_spectra_of_several_methods_are_those_of_each(maps, vector_a):
    truth, estimate = (
        maps(field).to_dataset(name="sla").assign_attrs(quantity="sla") for field in vector_a
    )
    fields, zonal = method_spectra(truth, {"oi": estimate, "perfect": truth}, 0)
    alone = score_spectra(truth=truth["sla"], estimate=estimate["sla"], margin_degrees=0)
    xr.testing.assert_identical(fields["oi"], alone[0])
    xr.testing.assert_identical(zonal["oi"], alone[1])
    assert list(fields) == list(zonal) == ["oi", "perfect"]
    assert float(zonal["perfect"]["error"].max()) == 0.0


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_the_largest_box_is_the_largest_of_all(valid):
    south, north, west, east = largest_box(valid)
    assert valid[south:north, west:east].all()
    rows, columns = valid.shape
    best = max(
        (
            (b - a) * (d - c)
            for a in range(rows) for b in range(a + 1, rows + 1)
            for c in range(columns) for d in range(c + 1, columns + 1)
            if valid[a:b, c:d].all()
        ),
        default=0,
    )  # fmt: skip
    assert (north - south) * (east - west) == best


def test_spectra_around_land_are_those_of_the_largest_box(rng):
    shape, axes = (12, 20, 40), {"time": np.arange("2020-01-01", "2020-01-13", dtype="M8[D]")}
    axes |= {"lat": 30 + 0.25 * np.arange(20), "lon": 0.25 * np.arange(40)}
    axes["time"] = axes["time"].astype("M8[ns]") + np.timedelta64(12, "h")
    truth = xr.DataArray(rng.standard_normal(shape), axes, ("time", "lat", "lon"))
    estimate = truth + 0.5 * rng.standard_normal(shape)
    land = np.zeros(shape[1:], bool)
    land[:, 30:33] = True  # in every row; west of it lies the largest box
    west = {"lon": slice(0, 30)}
    box = score_spectra(truth=truth[west], estimate=estimate[west], margin_degrees=0)
    for rows_of_water in (0, 1, 3):  # too few to say anything: a basin's box says more
        coast = land.copy()
        coast[:rows_of_water] = False
        field, zonal = score_spectra(
            truth=truth.where(~coast), estimate=estimate.where(~coast), margin_degrees=0
        )
        xr.testing.assert_allclose(field, box[0])
        xr.testing.assert_allclose(zonal, box[1])
    land[::2, ::8] = land[1::2, 4::8] = True
    with pytest.raises(ValueError, match="nor is a box"):
        score_spectra(truth=truth.where(~land), estimate=estimate.where(~land), margin_degrees=0)
