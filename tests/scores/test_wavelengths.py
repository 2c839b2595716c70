"""The contour rules and the one-dimensional crossing on fields that are hard for them."""

from __future__ import annotations

import contourpy
import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_spde.scores.wavelengths import (
    all_polylines,
    as_score,
    first_crossing,
    first_polyline,
)

matplotlib.use("Agg")

FREQUENCY = np.arange(1, 21) / 42
WAVENUMBER = np.arange(1, 100) / 10


def noisy(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    decay = np.hypot(FREQUENCY[:, None] * 3, WAVENUMBER[None] / 2)
    return 1 - decay + 0.3 * rng.standard_normal((20, 99))


def islands() -> np.ndarray:
    """A resolved corner at large scales and a resolved island at small ones."""
    score = np.zeros((20, 99))
    score[:4, :12] = 1.0
    score[10:13, 60:70] = 1.0
    return score


def matplotlib_first(score: np.ndarray) -> np.ndarray:
    """Vertices of the first polyline of matplotlib's own contour with the mpl2014 tracer."""
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    drawn = axes.contour(1 / WAVENUMBER, 1 / FREQUENCY, score, [0.5], algorithm="mpl2014")
    path = drawn.get_paths()[0]
    starts = np.flatnonzero(path.codes == path.MOVETO)
    end = starts[1] if starts.size > 1 else path.codes.size
    return path.vertices[:end]


@pytest.mark.parametrize("seed", range(8))
def test_first_polyline_is_that_of_matplotlib(seed):
    score = noisy(seed)
    x, y = matplotlib_first(score).min(axis=0)
    found = first_polyline(score, WAVENUMBER, FREQUENCY)
    assert (found.wavelength, found.period) == (x, y)
    assert found.polylines > 1


def test_first_polyline_of_masked_fields_is_that_of_matplotlib():
    score = noisy(3)
    score[5, 10:40] = np.nan
    x, y = matplotlib_first(np.ma.masked_invalid(score)).min(axis=0)
    found = first_polyline(score, WAVENUMBER, FREQUENCY)
    assert (found.wavelength, found.period) == (x, y)


def test_two_islands_first_and_all_disagree():
    score = islands()
    found = first_polyline(score, WAVENUMBER, FREQUENCY)
    assert found.polylines == 2
    every = all_polylines(score, WAVENUMBER, FREQUENCY)
    x, y = 1 / WAVENUMBER, 1 / FREQUENCY
    # half-way in X and Y between the last resolved and the first unresolved node
    corner = ((x[11] + x[12]) / 2, (y[3] + y[4]) / 2)
    island = ((x[69] + x[70]) / 2, (y[12] + y[13]) / 2)
    assert every == pytest.approx(island)
    assert (found.wavelength, found.period) == pytest.approx(corner)


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_all_polylines_is_the_minimum_over_traced_lines(seed):
    score = noisy(seed)
    tracer = contourpy.contour_generator(1 / WAVENUMBER, 1 / FREQUENCY, score, name="serial")
    vertices = np.concatenate(tracer.lines(0.5))
    found = all_polylines(score, WAVENUMBER, FREQUENCY)
    assert found == pytest.approx(tuple(vertices.min(axis=0)), rel=1e-12)
    first = first_polyline(score, WAVENUMBER, FREQUENCY)
    assert first.wavelength >= found[0] - 1e-12
    assert first.period >= found[1] - 1e-12


def test_a_plane_crosses_where_algebra_says():
    x, y = np.meshgrid(1 / WAVENUMBER, 1 / FREQUENCY)
    score = 0.5 + 0.1 * (x - 1.3) + 0.0 * y  # linear in X: crossing at X = 1.3 everywhere
    found = first_polyline(score, WAVENUMBER, FREQUENCY)
    assert found.wavelength == pytest.approx(1.3, abs=1e-12)
    assert found.period == pytest.approx(1 / FREQUENCY[-1])
    assert all_polylines(score, WAVENUMBER, FREQUENCY) == pytest.approx((1.3, 42 / 20))


@pytest.mark.parametrize(("level", "expected"), [(0.9, 0.0), (0.1, np.inf)])
def test_a_field_that_never_crosses_is_named(level, expected):
    score = np.full((20, 99), level)
    found = first_polyline(score, WAVENUMBER, FREQUENCY)
    assert (found.wavelength, found.period, found.polylines) == (expected, expected, 0)
    assert all_polylines(score, WAVENUMBER, FREQUENCY) == (expected, expected)
    assert float(first_crossing(score[0], WAVENUMBER)) == expected


def test_a_field_without_power_is_not_defined():
    score = np.full((20, 99), np.nan)
    assert np.isnan(first_polyline(score, WAVENUMBER, FREQUENCY).wavelength)
    assert np.isnan(all_polylines(score, WAVENUMBER, FREQUENCY)[1])
    assert np.isnan(first_crossing(score[0], WAVENUMBER))
    broken = np.array([0.9, np.nan, 0.1])
    assert np.isnan(first_crossing(broken, WAVENUMBER[:3]))


def test_nan_rows_do_not_move_a_contour_elsewhere():
    score = islands()
    score[18:] = np.nan
    assert first_polyline(score, WAVENUMBER, FREQUENCY) == first_polyline(
        islands(), WAVENUMBER, FREQUENCY
    )
    assert all_polylines(score, WAVENUMBER, FREQUENCY) == all_polylines(
        islands(), WAVENUMBER, FREQUENCY
    )


def test_first_crossing_is_linear_in_the_logarithm():
    k = np.array([0.1, 0.2, 0.4, 0.8])
    score = np.array([0.9, 0.7, 0.3, 0.8])
    assert float(first_crossing(score, k)) == pytest.approx(1 / np.sqrt(0.2 * 0.4))
    stacked = np.stack([score, [0.4, 0.9, 0.9, 0.9], [0.9, 0.9, 0.9, 0.5]])
    assert first_crossing(stacked, k)[1:].tolist() == [np.inf, 0.0]


@given(st.floats(0.11, 7.0))
@settings(deadline=None)
def test_first_crossing_recovers_a_known_scale(scale):
    score = 1 - np.log(WAVENUMBER / 0.05) / np.log(1 / (scale * 0.05)) / 2
    expected = scale if 1 / scale < WAVENUMBER[-1] else 0.0
    assert float(first_crossing(score, WAVENUMBER)) == pytest.approx(expected, rel=1e-9)


def test_unresolved_is_a_value_with_a_reason():
    coarse = as_score(np.inf, "km", 11.0, 900.0, (300.0, None), "m")
    assert (coarse.value, coarse.limit, coarse.interval) == (None, "> 900", (300.0, None))
    assert "below 0.5 already" in coarse.reason
    fine = as_score(0.0, "km", 11.0, 900.0)
    assert (fine.value, fine.limit) == (None, "< 11")
    assert as_score(0.0, "km", 11.0, 900.0, (0.0, 0.0), "m").interval == (0.0, 11.0)
    assert as_score(np.nan, "km", 11.0, 900.0).reason.startswith("not defined")
    assert as_score(120.0, "km", 11.0, 900.0).value == 120.0
