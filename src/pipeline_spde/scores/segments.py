"""Effective resolution along tracks: spectra of error and data over segments of 1000 km.

Consecutive valid measurements form a run; a run ends where the pass changes or more than 4 s
passes. Runs are cut into segments of int(1000 km / Δx) points (Δx: median distance of neighbours)
that overlap by half. Each segment is freed of its mean and tapered by a periodic Hann window; the
powers of error and data are summed over segments, the score is 1 − P_e/P_h and λx its first
crossing of 0.5 from large to small scales, linear in ln k. Public tables use other rules (75 %
overlap, interpolation sorted by score): do not compare.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from pipeline_spde.grids import great_circle_km
from pipeline_spde.scores.bootstrap import Resampling
from pipeline_spde.scores.spectral import MINIMUM_BINS, taper
from pipeline_spde.scores.statistic import Array, Sample, Score
from pipeline_spde.scores.wavelengths import as_score, first_crossing

SEGMENT_KM = 1000.0
LARGEST_GAP = np.timedelta64(4, "s")
MINIMUM_SEGMENTS = 10


def along_track_resolution(
    *,
    time: NDArray[np.datetime64],
    lat: Array,
    lon: Array,
    sample: Sample,
    pass_id: NDArray[np.int64],
    days: NDArray[np.datetime64],
    resampling: Resampling,
) -> tuple[Score, int]:
    """Return λx in km and the number of segments behind it.

    Args:
        time: of each measurement, shape (obs,).
        lat: degrees north.
        lon: degrees east.
        sample: data (truth) and maps (estimate) in m; points that are not valid end a run only
            by the gap they leave.
        pass_id: pass or mission of each measurement.
        days: every day of the period, the days that are resampled.
        resampling: how intervals are made.
    """
    used = np.flatnonzero(sample.valid)
    order = used[np.lexsort((time[used], pass_id[used]))]
    starts_run = _run_starts(time[order], pass_id[order])
    spacing = _spacing_km(lat[order], lon[order], starts_run)
    if spacing is None:
        return Score(None, "km", "no two measurements follow each other within 4 s"), 0
    size = int(SEGMENT_KM / spacing)
    first = _segment_starts(starts_run, order.size, size)
    if first.size < MINIMUM_SEGMENTS:
        reason = (
            f"too short: {first.size} segments of {SEGMENT_KM:.0f} km ({size} points), "
            f"{MINIMUM_SEGMENTS} are needed"
        )
        return Score(None, "km", reason), int(first.size)
    if (size - 1) // 2 < MINIMUM_BINS:
        return Score(None, "km", f"measurements {spacing:.0f} km apart are too sparse"), 0
    index = order[first[:, None] + np.arange(size)]
    day = (time[index[:, size // 2]].astype("datetime64[D]") - days[0]).astype(np.int64)
    error = _power_by_day(sample.estimate[index] - sample.truth[index], day, days.size)
    data = _power_by_day(sample.truth[index], day, days.size)
    wavenumber = np.arange(1, (size - 1) // 2 + 1) / (size * spacing)
    return _crossing(error, data, wavenumber, resampling), int(first.size)


def _run_starts(time: NDArray[np.datetime64], pass_id: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return True where a run of consecutive measurements begins, shape (obs,)."""
    starts = np.ones(time.size, bool)
    starts[1:] = (np.diff(time) > LARGEST_GAP) | (np.diff(pass_id) != 0)
    return starts


def _spacing_km(lat: Array, lon: Array, starts: NDArray[np.bool_]) -> float | None:
    steps = great_circle_km(lat[:-1], lon[:-1], lat[1:], lon[1:])[~starts[1:]]
    steps = steps[steps > 0]
    return float(np.median(steps)) if steps.size else None


def _segment_starts(starts: NDArray[np.bool_], count: int, size: int) -> NDArray[np.int64]:
    """Return the first points of half-overlapping segments that fit into the runs."""
    begins = np.flatnonzero(starts)
    ends = np.append(begins[1:], count)
    step = max(1, size // 2)
    found = [np.arange(b, e - size + 1, step) for b, e in zip(begins, ends, strict=True)]
    return np.concatenate(found).astype(np.int64)


def _power_by_day(segments: Array, day: NDArray[np.int64], days: int) -> Array:
    """Return the power of tapered segments summed by day, shape (days, wavenumber)."""
    size = segments.shape[1]
    tapered = (segments - segments.mean(axis=1, keepdims=True)) * taper("hann", size)
    power = np.abs(fft.rfft(tapered, axis=1)[:, 1 : (size - 1) // 2 + 1]) ** 2
    total = np.zeros((days, power.shape[1]))
    np.add.at(total, day, power)
    return total


def _crossing(error: Array, data: Array, wavenumber: Array, resampling: Resampling) -> Score:
    def wavelength(weights: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return first_crossing(1.0 - (weights @ error) / (weights @ data), wavenumber)

    draws = resampling.over_days(error.shape[0])
    return as_score(
        float(wavelength(np.ones(error.shape[0]))),
        "km",
        1.0 / wavenumber[-1],
        1.0 / wavenumber[0],
        draws.interval(wavelength),
        draws.method,
    )
