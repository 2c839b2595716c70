"""Effective resolution: where a spectral score crosses 0.5.

Rules on the space-time score field (axes X = 1/k, Y = 1/f, linear interpolation in X and Y):

* `first_polyline` (legacy): λx and λt are the smallest X and the smallest Y of the vertices of the
  first 0.5 polyline of the mpl2014 tracer, the rule of every public SSH-mapping table.
* `all_polylines`: the smallest over all polylines; needs no tracer.

Rule on a one-dimensional score: `first_crossing`, the first bin below 0.5 from large to small
scales, linear in the logarithm of the wavenumber.

Internally a wavelength is a float: +inf "not resolved" (below 0.5 already at the largest scale), 0
"resolved down to the shortest scale", NaN "not defined". `as_score` turns it into a value with a
reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import contourpy
import numpy as np

from pipeline_spde.scores.statistic import Array, Bounds, Score

LEVEL = 0.5


@dataclass(frozen=True)
class Crossing:
    """Wavelength and period where the score field crosses 0.5, and the number of polylines."""

    wavelength: float
    period: float
    polylines: int


def first_polyline(score: Array, wavenumber: Array, frequency: Array) -> Crossing:
    """Return the legacy λx and λt: smallest X and Y over the vertices of polyline 0.

    Args:
        score: 1 − P̄_e/P̄_r, shape (f, k); NaN is masked as matplotlib does.
        wavenumber: increasing, shape (k,).
        frequency: increasing, shape (f,).
    """
    field = score if np.isfinite(score).all() else np.ma.masked_invalid(score)
    tracer = contourpy.contour_generator(1.0 / wavenumber, 1.0 / frequency, field, name="mpl2014")
    # this tracer returns two lists: vertices and drawing codes of each polyline
    lines = cast(list[Array], tracer.lines(LEVEL)[0])
    if not lines:
        never = _never_crosses(score)
        return Crossing(never, never, 0)
    smallest = lines[0].min(axis=0)
    return Crossing(float(smallest[0]), float(smallest[1]), len(lines))


def all_polylines(score: Array, wavenumber: Array, frequency: Array) -> tuple[float, float]:
    """Return λx and λt as the minimum over all 0.5 polylines; arguments as in `first_polyline`."""
    x, y = 1.0 / wavenumber, 1.0 / frequency
    along_x = _edges(score, x)
    along_y = _edges(score.T, y)
    wavelengths = np.concatenate([along_x[1], x[along_y[0]]])
    periods = np.concatenate([y[along_x[0]], along_y[1]])
    if wavelengths.size == 0:
        never = _never_crosses(score)
        return never, never
    return float(wavelengths.min()), float(periods.min())


def first_crossing(score: Array, wavenumber: Array) -> Array:
    """Return 1/k* of the first bin below 0.5, linear in ln k; shape score.shape[:-1].

    With s the score and i the first bin below the level: ln k* = ln k_{i−1} +
    (s_{i−1} − 0.5)/(s_{i−1} − s_i)·(ln k_i − ln k_{i−1}).

    Args:
        score: shape (…, k).
        wavenumber: increasing, shape (k,).
    """
    below = score < LEVEL
    index = np.argmax(below, axis=-1)
    right = np.maximum(index, 1)
    high = np.take_along_axis(score, right[..., None] - 1, axis=-1)[..., 0]
    low = np.take_along_axis(score, right[..., None], axis=-1)[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.clip((high - LEVEL) / (high - low), 0.0, 1.0)
    logarithm = np.log(wavenumber)
    crossing = np.exp(-(logarithm[right - 1] + share * (logarithm[right] - logarithm[right - 1])))
    result = np.where(index == 0, np.inf, crossing)
    result = np.where(below.any(axis=-1), result, 0.0)
    return np.where(np.isnan(score).any(axis=-1), np.nan, result)


def as_score(
    wavelength: float,
    unit: str,
    shortest: float,
    longest: float,
    interval: Bounds = (None, None),
    interval_method: str | None = None,
) -> Score:
    """Return a wavelength as a value, or as "unresolved" with the reason and what is known.

    Args:
        wavelength: as the rules return it, in the unit.
        unit: unit of all numbers.
        shortest: smallest scale of the lattice.
        longest: largest scale of the lattice.
        interval: confidence bounds as the draws give them; an upper bound of 0 (all draws are
            resolved to the shortest scale) becomes that scale.
        interval_method: how they were made.
    """
    low, high = interval
    interval = (low, shortest if high == 0.0 else high)
    if np.isnan(wavelength):
        return Score(None, unit, "not defined: the truth has no power at some scales")
    if wavelength == 0.0:
        reason = f"the score stays above 0.5 down to the shortest scale, {shortest:.4g} {unit}"
        return Score(None, unit, reason, f"< {shortest:.4g}", interval, interval_method)
    if np.isinf(wavelength):
        reason = f"the score is below 0.5 already at the largest scale, {longest:.4g} {unit}"
        return Score(None, unit, reason, f"> {longest:.4g}", interval, interval_method)
    return Score(wavelength, unit, None, None, interval, interval_method)


def _edges(score: Array, axis: Array) -> tuple[np.ndarray, Array]:
    """Return the row and the interpolated position of every crossing between columns."""
    left, right = score[:, :-1], score[:, 1:]
    crosses = np.isfinite(left) & np.isfinite(right) & ((left > LEVEL) != (right > LEVEL))
    row, column = np.nonzero(crosses)
    low, high = score[row, column], score[row, column + 1]
    share = (LEVEL - low) / (high - low)
    return row, axis[column] + share * (axis[column + 1] - axis[column])


def _never_crosses(score: Array) -> float:
    """Return 0, inf or NaN for a field without contour: all above, all below, or neither."""
    finite = score[np.isfinite(score)]
    if finite.size == 0:
        return float("nan")
    if (finite > LEVEL).all():
        return 0.0
    return float("inf") if (finite <= LEVEL).all() else float("nan")
