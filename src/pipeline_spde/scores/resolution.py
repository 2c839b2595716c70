"""Effective resolutions of maps, λx and λt, with confidence intervals.

An FFT over the whole period cannot be resampled by days. Two exact decompositions can be:

* P̄ is a mean over latitude rows: blocks of rows (1° long) are resampled. The interval then holds
  for this one period; it says nothing about other months.
* P̄ summed over all frequencies is, by Parseval's theorem, Σ_t w_t²|FFT_x|²: a sum over days, each
  weighted by the square of the window. Blocks of days are resampled, with their weights.

The legacy rules and λt use rows; λx, λy and λ_iso of ssh-v1 use days.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline_spde.grids import KM_PER_DEGREE
from pipeline_spde.scores.bootstrap import Draws, Resampling
from pipeline_spde.scores.spectral import (
    MINIMUM_BINS,
    Spectrum,
    isotropic_power,
    meridional_power,
    positive_bins,
)
from pipeline_spde.scores.statistic import Array, Bounds, Score
from pipeline_spde.scores.wavelengths import (
    all_polylines,
    as_score,
    first_crossing,
    first_polyline,
)

ROW_BLOCK_DEGREES = 1.0  # length of the blocks of latitude rows, the width of a large eddy


@dataclass(frozen=True, eq=False)
class Box:
    """Truth and estimate without holes, on the rows that enter the spectra.

    Attributes:
        truth: m, shape (time, row, lon).
        estimate: m, same shape.
        lat: latitude of the rows, shape (row,).
        step_lat: degrees.
        step_lon: degrees.
    """

    truth: Array
    estimate: Array
    lat: Array
    step_lat: float
    step_lon: float

    @property
    def km_per_degree_lon(self) -> float:
        """True zonal kilometres of one degree of longitude, mean over the rows."""
        return float(KM_PER_DEGREE * np.cos(np.radians(self.lat)).mean())


def legacy_resolutions(
    spectrum: Spectrum, box: Box, resampling: Resampling, unit: str, unit_per_degree: float
) -> tuple[dict[str, Score], int]:
    """Return λx and λt of the first polyline (and of all), and the number of polylines.

    Args:
        spectrum: space-time power of the box.
        box: the fields.
        resampling: how intervals are made.
        unit: unit of λx.
        unit_per_degree: what one degree of longitude is in that unit.
    """
    k, f = spectrum.wavenumber, spectrum.frequency
    score = spectrum.score()
    crossing = first_polyline(score, k, f)
    every = all_polylines(score, k, f)
    draws = _row_draws(box, resampling)
    bounds_x: Bounds = (None, None)
    bounds_t: Bounds = (None, None)
    if draws.weights is not None:
        drawn = [first_polyline(field, k, f) for field in spectrum.score(draws.weights)]
        bounds_x = draws.bounds(np.array([c.wavelength for c in drawn]) * unit_per_degree)
        bounds_t = draws.bounds(np.array([c.period for c in drawn]))
    method = draws.method
    range_x = (unit_per_degree / k[-1], unit_per_degree / k[0])
    range_t = (1.0 / f[-1], 1.0 / f[0])
    scores = {
        "lambda_x": as_score(
            crossing.wavelength * unit_per_degree, unit, *range_x, bounds_x, method
        ),
        "lambda_t": as_score(crossing.period, "day", *range_t, bounds_t, method),
        "lambda_x_all_polylines": as_score(every[0] * unit_per_degree, unit, *range_x),
        "lambda_t_all_polylines": as_score(every[1], "day", *range_t),
    }
    return scores, crossing.polylines


def first_crossing_resolutions(
    spectrum: Spectrum, box: Box, resampling: Resampling
) -> dict[str, Score]:
    """Return λx (km and degrees) and λt of ssh-v1: one-dimensional first crossings.

    λx uses the powers summed over all frequencies, λt over all wavenumbers: both directions of
    propagation count.
    """
    k, f = spectrum.wavenumber, spectrum.frequency
    days = resampling.over_days(spectrum.truth.by_day.shape[0])
    rows = _row_draws(box, resampling)

    def degrees(weights: Array | None = None) -> Array:
        return first_crossing(spectrum.score_by_wavenumber(weights), k)

    def period(weights: Array | None = None) -> Array:
        return first_crossing(spectrum.score_by_frequency(weights), f)

    def zonal(unit: str, factor: float) -> Score:
        bounds = days.interval(lambda weights: degrees(weights) * factor)
        range_x = (factor / k[-1], factor / k[0])
        return as_score(float(degrees()) * factor, unit, *range_x, bounds, days.method)

    range_t = (1.0 / f[-1], 1.0 / f[0])
    return {
        "lambda_x": zonal("km", box.km_per_degree_lon),
        "lambda_x_degrees": zonal("degree", 1.0),
        "lambda_t": as_score(float(period()), "day", *range_t, rows.interval(period), rows.method),
    }


def horizontal_resolutions(box: Box, resampling: Resampling) -> dict[str, Score]:
    """Return the meridional and the isotropic resolution in km (Hann windows, first crossing)."""
    error = box.estimate - box.truth
    step_y = box.step_lat * KM_PER_DEGREE
    step_x = box.step_lon * box.km_per_degree_lon
    meridional = positive_bins(box.lat.size, step_y)
    ring, truth_rings = isotropic_power(box.truth, step_y, step_x)
    _, error_rings = isotropic_power(error, step_y, step_x)
    return {
        "lambda_y": _of_daily_power(
            meridional_power(error), meridional_power(box.truth), meridional, resampling
        ),
        "lambda_iso": _of_daily_power(error_rings, truth_rings, ring, resampling),
    }


def _of_daily_power(error: Array, truth: Array, wavenumber: Array, resampling: Resampling) -> Score:
    """Return the first crossing in km of powers by day, shape (time, wavenumber in 1/km)."""
    if wavenumber.size < MINIMUM_BINS:
        return Score(None, "km", "the box is too small for a spectrum")

    def crossing(weights: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return first_crossing(1.0 - (weights @ error) / (weights @ truth), wavenumber)

    draws = resampling.over_days(truth.shape[0])
    return as_score(
        float(crossing(np.ones(truth.shape[0]))),
        "km",
        1.0 / wavenumber[-1],
        1.0 / wavenumber[0],
        draws.interval(crossing),
        draws.method,
    )


def _row_draws(box: Box, resampling: Resampling) -> Draws:
    block = max(1, round(ROW_BLOCK_DEGREES / box.step_lat))
    return resampling.over_rows(box.lat.size, block)
