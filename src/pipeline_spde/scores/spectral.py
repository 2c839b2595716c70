"""Space-time power of truth and error, and the spectral score 1 − P̄_error / P̄_truth.

For each latitude row the mean over (time, longitude) is removed, the row is multiplied by
w_t(t)·w_x(x) (periodic windows over the whole period and box, no padding) and Fourier transformed
over both. P(f, k) = |FFT|² is averaged over rows for truth and for error separately; the score is
one minus the ratio of these means. Only f > 0 and k > 0 are kept: with the transform e^{−i…} this
quadrant holds one propagation direction, westward. The Nyquist bin of an even length is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse
from scipy.signal import windows

from pipeline_spde.scores.statistic import Array

WindowName = Literal["hann", "tukey"]

MINIMUM_BINS = 2  # a contour or a crossing needs two bins in each direction
_ROWS_AT_ONCE = 64  # caps the memory of the transforms of large grids


def taper(name: WindowName, size: int) -> Array:
    """Return a periodic window of `size` points: Hann, or Tukey with a cosine share of 0.5.

    Raises:
        ValueError: unknown name.
    """
    if name == "hann":
        return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / size)
    if name == "tukey":
        return np.asarray(windows.tukey(size, alpha=0.5, sym=False))
    raise ValueError(f"no window {name!r}; there are hann and tukey")


def positive_bins(size: int, step: float) -> Array:
    """Return the positive frequencies of a series below Nyquist: j/(size·step), j ≥ 1."""
    return np.arange(1, (size - 1) // 2 + 1) / (size * step)


@dataclass(frozen=True, eq=False)
class Power:
    """Power of one field, unnormalised (scales cancel in the score).

    Attributes:
        quadrant: P(f, k) of each row for f > 0 and k > 0, shape (row, f, k).
        by_frequency: P summed over every wavenumber (both signs and zero), shape (row, f).
        by_day: Σ_rows w_t² |FFT_x|²: summed over the days it is P summed over every frequency
            (Parseval), shape (time, k).
    """

    quadrant: Array
    by_frequency: Array
    by_day: Array


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Space-time power of truth and error on one lattice.

    Attributes:
        truth: power of the truth.
        error: power of (estimate − truth).
        frequency: 1/day, shape (f,).
        wavenumber: 1/degree of longitude, shape (k,).
    """

    truth: Power
    error: Power
    frequency: Array
    wavenumber: Array

    def score(self, row_weights: Array | None = None) -> Array:
        """Return 1 − P̄_error/P̄_truth, shape (…, f, k); NaN where the truth has no power.

        Args:
            row_weights: how often each latitude row counts, shape (…, row); default: once.
        """
        return _ratio_score(self.error.quadrant, self.truth.quadrant, row_weights)

    def score_by_frequency(self, row_weights: Array | None = None) -> Array:
        """Return the score of powers summed over all wavenumbers, shape (…, f)."""
        return _ratio_score(self.error.by_frequency, self.truth.by_frequency, row_weights)

    def score_by_wavenumber(self, day_weights: Array | None = None) -> Array:
        """Return the score of powers summed over all frequencies, shape (…, k)."""
        return _ratio_score(self.error.by_day, self.truth.by_day, day_weights)


def spectrum(
    *,
    truth: Array,
    estimate: Array,
    window: WindowName,
    step_days: float = 1.0,
    step_degrees: float,
) -> Spectrum:
    """Return the space-time power of truth and error.

    Args:
        truth: heights, every value finite, shape (time, lat, lon).
        estimate: same shape.
        window: "hann" or "tukey".
        step_days: time step.
        step_degrees: step in longitude.

    Raises:
        ValueError: shapes differ, a value is not finite, or the cube is too small (5 days or 5
            columns are needed for two bins).
    """
    truth, estimate = (np.asarray(a, dtype=np.float64) for a in (truth, estimate))
    if truth.shape != estimate.shape or truth.ndim != 3:
        raise ValueError(
            f"truth and estimate must both be (time, lat, lon), got {truth.shape}, {estimate.shape}"
        )
    if not (np.isfinite(truth).all() and np.isfinite(estimate).all()):
        raise ValueError("a spectrum needs finite values everywhere; fill or leave out the holes")
    days, rows, columns = truth.shape
    frequency, wavenumber = positive_bins(days, step_days), positive_bins(columns, step_degrees)
    if min(frequency.size, wavenumber.size) < MINIMUM_BINS or rows == 0:
        raise ValueError(
            f"{days} days of {rows}x{columns} cells are too few for a spectrum; at least 5 days "
            "and 5 columns are needed"
        )
    error = estimate - truth
    return Spectrum(_power(truth, window), _power(error, window), frequency, wavenumber)


def _power(field: Array, window: WindowName) -> Power:
    days, rows, columns = field.shape
    in_time = taper(window, days)[:, None, None]
    in_space = taper(window, columns)
    last_f, last_k = (days - 1) // 2, (columns - 1) // 2
    quadrant = np.empty((rows, last_f, last_k))
    by_frequency = np.empty((rows, last_f))
    by_day = np.zeros((days, last_k))
    for start in range(0, rows, _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        chunk = field[:, part]
        chunk = (chunk - chunk.mean(axis=(0, 2), keepdims=True)) * in_time * in_space
        zonal = fft.rfft(chunk, axis=2)  # (time, row, k ≥ 0)
        by_day += (np.abs(zonal[:, :, 1 : last_k + 1]) ** 2).sum(axis=1)
        full = np.abs(fft.fft(zonal, axis=0)) ** 2  # (f of both signs, row, k ≥ 0)
        positive = full[1 : last_f + 1]
        negative = full[-1 : -last_f - 1 : -1]
        quadrant[part] = positive[:, :, 1 : last_k + 1].transpose(1, 0, 2)
        # P(f, −k) = P(−f, k) for real fields; zero and Nyquist wavenumbers occur once
        both_signs = positive.sum(axis=2) + negative[:, :, 1 : last_k + 1].sum(axis=2)
        by_frequency[part] = both_signs.T
    return Power(quadrant, by_frequency, by_day)


def _ratio_score(error: Array, truth: Array, weights: Array | None) -> Array:
    """Return 1 − Σ w·error / Σ w·truth over the first axis, shape (…, remaining axes)."""
    weights = np.ones(truth.shape[0]) if weights is None else weights
    sums = [
        (weights @ part.reshape(part.shape[0], -1)).reshape(*weights.shape[:-1], *part.shape[1:])
        for part in (error, truth)
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(sums[1] > 0, 1.0 - sums[0] / sums[1], np.nan)


def meridional_power(field: Array, window: WindowName = "hann") -> Array:
    """Return w_t² Σ_columns |FFT_y|² of each day, shape (time, l), for l > 0 below Nyquist.

    The mean over (time, latitude) of each column is removed first.

    Args:
        field: finite heights, shape (time, lat, lon).
        window: window in time and latitude.
    """
    days, rows, _ = field.shape
    tapered = field - field.mean(axis=(0, 1), keepdims=True)
    tapered = tapered * taper(window, days)[:, None, None] * taper(window, rows)[None, :, None]
    power = np.abs(fft.rfft(tapered, axis=1)[:, 1 : (rows - 1) // 2 + 1]) ** 2
    return power.sum(axis=2)


def isotropic_power(
    field: Array, step_y_km: float, step_x_km: float, window: WindowName = "hann"
) -> tuple[Array, Array]:
    """Return the wavenumbers (1/km) and w_t² Σ_|k| |FFT_yx|² of each day, shape (time, bins).

    Args:
        field: finite heights, shape (time, lat, lon).
        step_y_km: meridional step.
        step_x_km: zonal step (at the mean latitude).
        window: window in time, latitude and longitude.
    """
    wavenumber, power = ring_power(field, step_y_km, step_x_km, window)
    return wavenumber, power * taper(window, field.shape[0])[:, None] ** 2


def ring_power(
    field: Array, step_y_km: float, step_x_km: float, window: WindowName = "hann"
) -> tuple[Array, Array]:
    """Return the wavenumbers (1/km) and Σ_|k| |FFT_yx|² of each map alone, shape (maps, bins).

    The mean of each map is removed first. Rings are as wide as the coarser of the two
    wavenumber steps and end at the smaller Nyquist wavenumber; a ring stands at the mean of its
    wavenumbers.

    Args:
        field: finite heights, shape (maps, lat, lon).
        step_y_km: meridional step.
        step_x_km: zonal step (at the mean latitude).
        window: window in latitude and longitude.
    """
    _, rows, columns = field.shape
    tapered = field - field.mean(axis=(1, 2), keepdims=True)
    tapered = tapered * taper(window, rows)[:, None] * taper(window, columns)
    power = np.abs(fft.rfft2(tapered, axes=(1, 2))) ** 2
    ky, kx = fft.fftfreq(rows, step_y_km)[:, None], fft.rfftfreq(columns, step_x_km)[None, :]
    # columns of rfft2 other than zero and Nyquist stand for two wavenumbers
    twice = np.where((kx == 0) | (np.isclose(kx, 0.5 / step_x_km)), 1.0, 2.0)
    modulus = np.hypot(ky, kx)
    width = ring_width((rows, columns), step_y_km, step_x_km)
    bins = int(min(0.5 / step_y_km, 0.5 / step_x_km) / width)
    ring = np.rint(modulus / width).astype(np.int64) - 1
    inside = (ring >= 0) & (ring < bins)
    weight = np.broadcast_to(twice, modulus.shape)[inside]
    count = np.bincount(ring[inside], weights=weight, minlength=bins)
    centre = np.bincount(ring[inside], weights=weight * modulus[inside], minlength=bins) / count
    selector = sparse.csr_matrix(
        (weight, (ring[inside], np.arange(weight.size))), shape=(bins, weight.size)
    )
    return centre, np.asarray(selector @ power[:, inside].T).T


def ring_width(shape: tuple[int, int], step_y_km: float, step_x_km: float) -> float:
    """Return the width in 1/km of the rings of `ring_power` for maps of `shape`."""
    return max(1.0 / (shape[0] * step_y_km), 1.0 / (shape[1] * step_x_km))


def zonal_power(field: Array, window: WindowName = "hann") -> Array:
    """Return Σ_rows |FFT_x|² of each map alone, shape (maps, k), for k > 0 below Nyquist.

    The mean of each row is removed first.

    Args:
        field: finite heights, shape (maps, lat, lon).
        window: window in longitude.
    """
    columns = field.shape[2]
    tapered = (field - field.mean(axis=2, keepdims=True)) * taper(window, columns)
    power = np.abs(fft.rfft(tapered, axis=2)[:, :, 1 : (columns - 1) // 2 + 1]) ** 2
    return np.asarray(power.sum(axis=1))


def complete_rows(valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which latitude rows are valid at every time and longitude; valid: (time, lat, lon)."""
    return np.asarray(valid.all(axis=(0, 2)))
