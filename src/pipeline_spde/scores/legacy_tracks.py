"""Public protocols of maps against along-track data: `dc2021a-legacy`, `oceanbench-ose-legacy`.

With e = map − height and s_d = 1 − RMS(e)/RMS(height) of the points of a calendar day:

| | `dc2021a-legacy` | `oceanbench-ose-legacy` |
| --- | --- | --- |
| points | 0.25° or more inside the box | in the box |
| µ | mean of s_d, days with 10 points or more | 1 − RMS(e)/RMS(height), pooled |
| σ | standard deviation (ddof 0) of these s_d | none |
| segments | 1000 km (156 points) | 850 km (133 points) |

λx: points are taken to be 0.9434 s · 6.77 km/s = 6.387 km apart. The series is cut where
consecutive times are more than 4 s apart. Segments start every int(size/4) points of a pass; as in
the published numbers a pass begins at the last point before its gap, its last start lies before
end − size, and the last pass of the series is never used. Each segment is freed of its mean and
tapered (periodic Hann); score(k) = 1 − ΣP_e/ΣP_h. The score is sorted by its value and the
wavelength interpolated linearly at 0.5: where it is not monotone, the two neighbours of 0.5 may be
far apart. The bin k = 0 has no wavelength and is left out. Public code extrapolates or fails where
0.5 is not bracketed; here λx is unresolved then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from pipeline_spde.scores.bootstrap import Resampling, score_with_interval
from pipeline_spde.scores.regrid import around_circle, as_cube, to_measurements
from pipeline_spde.scores.rmse import MU, RMSE
from pipeline_spde.scores.segments import LARGEST_GAP
from pipeline_spde.scores.spectral import taper
from pipeline_spde.scores.statistic import Array, DailySums, Metric, Sample, Score
from pipeline_spde.scores.statistic import unique_statistics as unique
from pipeline_spde.scores.wavelengths import LEVEL, as_score

SPACING_KM = 0.9434 * 6.77
MINIMUM_POINTS_A_DAY = 10
PUBLISHED_BOX = (33.0, 43.0, -65.0, -55.0)
PUBLISHED_POINTS = 50_196  # of CryoSat-2 in the box, 2017
_FIRST_DAY, _LAST_DAY = np.datetime64("2017-01-01"), np.datetime64("2017-12-31")

_DAILY_MU = Metric("mu", "1", MU.statistics, MU.function, "daily mean", MINIMUM_POINTS_A_DAY)
_SIGMA = Metric("sigma", "1", MU.statistics, MU.function, "daily deviation", MINIMUM_POINTS_A_DAY)


@dataclass(frozen=True)
class TrackProtocol:
    """One public way to score maps along tracks.

    Attributes:
        name: key in results.
        version: raised whenever the numbers would change.
        inset_degrees: how far inside the box points must lie.
        daily: µ is the mean of daily scores (and has a σ), else pooled.
        segment_km: length of the segments.
    """

    name: str
    version: int
    inset_degrees: float
    daily: bool
    segment_km: float

    @property
    def size(self) -> int:
        """Number of points of a segment."""
        return int(self.segment_km / SPACING_KM)


TRACK_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        TrackProtocol("dc2021a-legacy", 1, 0.25, True, 1000.0),
        TrackProtocol("oceanbench-ose-legacy", 1, 0.0, False, 850.0),
    )
}


def score_legacy_tracks(
    *,
    time: NDArray[np.datetime64],
    lat: ArrayLike,
    lon: ArrayLike,
    height: ArrayLike,
    estimate: xr.DataArray,
    protocols: Sequence[str],
    missions: Sequence[str] = (),
    bootstrap_draws: int = 1000,
    bootstrap_block_days: int = 7,
    confidence: float = 0.95,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Return protocol -> scores of maps on independent measurements, ready for JSON.

    Args:
        time: of each measurement, increasing, shape (obs,).
        lat: degrees north.
        lon: degrees east, any convention.
        height: m, the same quantity as the maps; NaN where there is none.
        estimate: maps in m, dims (time, lat, lon).
        protocols: names from `TRACK_PROTOCOLS`.
        missions: whose measurements these are; the public tables score one, CryoSat-2.
        bootstrap_draws: number of bootstrap draws.
        bootstrap_block_days: length of the blocks of days.
        confidence: coverage of the intervals.
        seed: seed of the draws.

    Raises:
        ValueError: an unknown protocol, or no measurement meets a map.
    """
    unknown = [name for name in protocols if name not in TRACK_PROTOCOLS]
    if unknown:
        raise ValueError(f"no protocol {unknown}; there are {', '.join(TRACK_PROTOCOLS)}")
    maps = as_cube(estimate, "estimate")
    y, x, data = (np.asarray(a, dtype=np.float64) for a in (lat, lon, height))
    values = to_measurements(maps, time, y, x)
    box, published = _box(maps)
    resampling = Resampling(bootstrap_draws, bootstrap_block_days, confidence, seed)
    results = {}
    for protocol in (TRACK_PROTOCOLS[name] for name in protocols):
        valid = np.isfinite(data) & np.isfinite(values) & _inside(box, y, x, protocol.inset_degrees)
        if not valid.any():
            raise ValueError(
                f"{protocol.name}: none of the {time.size} measurements meets a map in the box "
                "{:g}…{:g}°N, {:g}…{:g}°E".format(*box)
            )
        sample = Sample(data[valid], values[valid], np.ones(int(valid.sum()), bool))
        in_box = int(np.count_nonzero(_inside(box, y, x, 0.0) & np.isfinite(data + values)))
        mismatch = _mismatch(published, time[valid], in_box, missions)
        results[protocol.name] = _scored(protocol, time[valid], sample, resampling, missions) | {
            "grid": "{:g}…{:g}°N, {:g}…{:g}°E".format(*box) + f", {sample.truth.size} points",
            "points_given": int(time.size),
            "comparable": mismatch is None,
            "not_comparable_because": mismatch,
        }
    return results


def _scored(
    protocol: TrackProtocol,
    time: NDArray[np.datetime64],
    sample: Sample,
    resampling: Resampling,
    missions: Sequence[str],
) -> dict[str, Any]:
    metrics = (_DAILY_MU, _SIGMA, RMSE) if protocol.daily else (MU, RMSE)
    sums = DailySums.of_points(sample, time, unique(metrics))
    scores = {m.name: score_with_interval(m, sums, resampling) for m in metrics}
    if not protocol.daily:
        scores["sigma"] = Score(None, "1", f"{protocol.name} defines no σ")
    if len(missions) > 1:
        reason = f"the protocol scores one mission, there are {len(missions)}; choose one"
        scores["lambda_x"], segments = Score(None, "km", reason), 0
    else:
        scores["lambda_x"], segments = legacy_resolution(
            time=time, sample=sample, size=protocol.size, days=sums.days, resampling=resampling
        )
    scores["lambda_t"] = Score(None, "day", "not defined along tracks")
    return {
        "version": protocol.version,
        **{name: score.to_json() for name, score in scores.items()},
        "rule": "sorted by score",
        "points": int(sample.truth.size),
        "segments": segments,
        "days": int(np.count_nonzero(sums.count)),
        "first_day": str(sums.days[0]),
        "last_day": str(sums.days[-1]),
    }


def legacy_resolution(
    *,
    time: NDArray[np.datetime64],
    sample: Sample,
    size: int,
    days: NDArray[np.datetime64],
    resampling: Resampling,
) -> tuple[Score, int]:
    """Return λx in km by the sort-by-score rule and the number of segments behind it.

    Args:
        time: of each valid measurement, increasing, shape (obs,).
        sample: data (truth) and maps (estimate) in m, all valid.
        size: points of a segment.
        days: every day of the period, the days that are resampled.
        resampling: how intervals are made.
    """
    starts = legacy_segments(time, size)
    if starts.size == 0:
        return Score(None, "km", f"too short: no segment of {size} points without a gap"), 0
    index = starts[:, None] + np.arange(size)
    day = (time[index[:, size // 2]].astype("datetime64[D]") - days[0]).astype(np.int64)
    powers = []
    for values in (sample.estimate[index] - sample.truth[index], sample.truth[index]):
        tapered = (values - values.mean(axis=1, keepdims=True)) * taper("hann", size)
        power = np.abs(fft.rfft(tapered, axis=1)[:, 1:]) ** 2
        by_day = np.zeros((days.size, power.shape[1]))
        np.add.at(by_day, day, power)
        powers.append(by_day)
    wavelength = size * SPACING_KM / np.arange(1, size // 2 + 1)

    def crossing(weights: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            score = 1.0 - (weights @ powers[0]) / (weights @ powers[1])
        return sorted_by_score(score, wavelength)

    draws = resampling.over_days(days.size)
    value = float(crossing(np.ones(days.size)))
    bounds = draws.interval(crossing)
    shortest, longest = wavelength[-1], wavelength[0]
    return as_score(value, "km", shortest, longest, bounds, draws.method), int(starts.size)


def legacy_segments(time: NDArray[np.datetime64], size: int) -> NDArray[np.int64]:
    """Return the first points of the segments of a series, as the published numbers have them."""
    gaps = np.flatnonzero(np.diff(time) > LARGEST_GAP)
    begins = np.concatenate([[0], gaps[:-1]]) if gaps.size else gaps
    step = max(1, size // 4)
    found = [np.arange(b, e - size, step) for b, e in zip(begins, gaps, strict=True)]
    return np.concatenate([np.zeros(0), *found]).astype(np.int64)


def sorted_by_score(score: Array, wavelength: Array) -> Array:
    """Return the wavelength at a score of 0.5, linear between the neighbours in sorted order.

    Args:
        score: shape (…, k).
        wavelength: shape (k,).

    Returns:
        Shape score.shape[:-1]: +inf where every score is below 0.5, 0 where every one is above,
        NaN where one is not defined.
    """
    order = np.argsort(score, axis=-1, kind="stable")
    ordered = np.take_along_axis(score, order, axis=-1)
    right = np.clip((ordered < LEVEL).sum(axis=-1), 1, score.shape[-1] - 1)[..., None]

    at = wavelength[order]
    low, high = (np.take_along_axis(ordered, i, axis=-1)[..., 0] for i in (right - 1, right))
    x_low, x_high = (np.take_along_axis(at, i, axis=-1)[..., 0] for i in (right - 1, right))
    with np.errstate(invalid="ignore", divide="ignore"):
        result = x_low + (LEVEL - low) / (high - low) * (x_high - x_low)
    result = np.where(ordered[..., -1] < LEVEL, np.inf, result)
    result = np.where(ordered[..., 0] > LEVEL, 0.0, result)
    return np.where(np.isnan(score).any(axis=-1), np.nan, result)


def _box(maps: xr.DataArray) -> tuple[tuple[float, float, float, float], bool]:
    """Return (south, north, west, east) of the published box where the maps cover it, else theirs.

    Returns:
        The box, and whether it is the published one.
    """
    south, north, west, east = PUBLISHED_BOX
    lat, lon = maps["lat"].values, maps["lon"].values
    dlat, dlon = ((a[-1] - a[0]) / max(a.size - 1, 1) for a in (lat, lon))
    turns = 360.0 * np.round((west - lon[0]) / 360.0)
    rows = lat[0] - south <= 1.01 * dlat and north - lat[-1] <= 1.01 * dlat
    columns = lon[0] + turns - west <= 1.01 * dlon and east - lon[-1] - turns <= 1.01 * dlon
    if rows and (columns or lon[-1] - lon[0] + 1.01 * dlon >= 360.0):
        return PUBLISHED_BOX, True
    return (float(lat[0]), float(lat[-1]), float(lon[0]), float(lon[-1])), False


def _inside(
    box: tuple[float, float, float, float], lat: Array, lon: Array, inset: float
) -> NDArray[np.bool_]:
    south, north, west, east = box
    x = around_circle(lon, (west + east) / 2 - 180.0)
    inside = (lat >= south + inset) & (lat <= north - inset)
    return np.asarray(inside & (x >= west + inset) & (x <= east - inset))


def _mismatch(
    published: bool, time: NDArray[np.datetime64], points: int, missions: Sequence[str]
) -> str | None:
    """Return why scores cannot stand beside the public tables of 2017, or None."""
    problems = []
    if not published:
        problems.append("the maps do not cover the published box 33…43°N, -65…-55°E")
    days = time.astype("datetime64[D]")
    if days.min() < _FIRST_DAY or days.max() > _LAST_DAY:
        problems.append(f"{days.min()} to {days.max()}, published 2017")
    if abs(points - PUBLISHED_POINTS) > 0.05 * PUBLISHED_POINTS:
        problems.append(f"{points} points in the box, published {PUBLISHED_POINTS}")
    if missions and tuple(missions) != ("cryosat2",):
        problems.append(f"measurements of {', '.join(missions)}, published CryoSat-2")
    return "; ".join(problems) or None
