"""Scores of maps on independent along-track data (observing-system experiments).

Protocol `ssh-ose-v1`: maps are interpolated tri-linearly to the measurements (no extrapolation);
measurements closer to the edge of the map's grid than the margin, and those where either value is
missing, are left out. With e = map − height over all remaining points:

* rmse, rms_data, correlation, mu = 1 − RMSE/RMS(data): pooled over points;
* mu_daily, sigma: mean and standard deviation (ddof 0) over the days of s_d = 1 − rmse_d/rms_d,
  days with fewer than 10 points left out (the rule of the 2021a challenge);
* lambda_x: first crossing of 1 − P_e/P_h over segments of 1000 km (see `segments`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from pipeline_spde.scores.bootstrap import Resampling, paired_change, score_with_interval
from pipeline_spde.scores.regrid import (
    around_circle,
    as_cube,
    inside_margin,
    to_measurements,
)
from pipeline_spde.scores.rmse import MU, RMSE, SQUARED_ERROR, SQUARED_TRUTH
from pipeline_spde.scores.segments import along_track_resolution
from pipeline_spde.scores.statistic import (
    Array,
    DailySums,
    Metric,
    Sample,
    Score,
    Statistic,
    correlation_of_means,
    unique_statistics,
)
from pipeline_spde.scores.targets import TrackTarget
from pipeline_spde.scores.uncertainty import Uncertainty

PROTOCOL = "ssh-ose-v1"
VERSION = 1
MINIMUM_POINTS_A_DAY = 10
SENSITIVITY_M = (0.02, 0.03, 0.04)
"""Standard deviations of the observation error under which probabilistic scores are repeated."""
_REPEATED = ("crps", "spread_skill", "coverage_90")

_DATA = Statistic("data", lambda s: s.truth)
_MAP = Statistic("map", lambda s: s.estimate)
_SQUARED_MAP = Statistic("squared_map", lambda s: s.estimate**2)
_PRODUCT = Statistic("product", lambda s: s.truth * s.estimate)


def _correlation(means: Mapping[str, Array]) -> Array:
    names = ("data", "map", "squared_truth", "squared_map", "product")
    return correlation_of_means(*(means[name] for name in names))


MU_DAILY = Metric("mu_daily", "1", MU.statistics, MU.function, "daily mean", MINIMUM_POINTS_A_DAY)
SIGMA = Metric("sigma", "1", MU.statistics, MU.function, "daily deviation", MINIMUM_POINTS_A_DAY)
RMS_DATA = Metric("rms_data", "m", (SQUARED_TRUTH,), lambda means: np.sqrt(means["squared_truth"]))
CORRELATION = Metric(
    "correlation",
    "1",
    (_DATA, _MAP, SQUARED_TRUTH, _SQUARED_MAP, _PRODUCT),
    _correlation,
)
METRICS = (MU, MU_DAILY, SIGMA, RMSE, RMS_DATA, CORRELATION)


@dataclass(frozen=True, eq=False)
class _Tracks:
    """Measurements, shape (obs,)."""

    time: NDArray[np.datetime64]
    lat: Array
    lon: Array
    height: Array

    @classmethod
    def of(
        cls, time: NDArray[np.datetime64], lat: ArrayLike, lon: ArrayLike, height: ArrayLike
    ) -> _Tracks:
        arrays = [np.asarray(a, dtype=np.float64) for a in (lat, lon, height)]
        shapes = [np.shape(time), *(a.shape for a in arrays)]
        if len(set(shapes)) > 1 or len(shapes[0]) != 1:
            raise ValueError(f"time, lat, lon, height must be 1-D and of one length, got {shapes}")
        return cls(np.asarray(time), *arrays)

    def sample(self, estimate: xr.DataArray, margin: float) -> Sample:
        """Return data and map at every measurement; valid inside the inset box where both exist."""
        maps = as_cube(estimate, "estimate")
        values = to_measurements(maps, self.time, self.lat, self.lon)
        valid = np.isfinite(self.height) & np.isfinite(values)
        valid &= _inside(maps, self.lat, self.lon, margin)
        if not valid.any():
            raise ValueError(
                f"none of the {self.time.size} measurements lies inside the maps' box (margin "
                f"{margin} degrees), period and ocean"
            )
        return Sample(self.height, values, valid)

    def target(self, sample: Sample, height_error: ArrayLike) -> TrackTarget:
        """Return the valid measurements as a target of probabilistic scores."""
        error = np.broadcast_to(np.asarray(height_error, dtype=np.float64), self.height.shape)
        return TrackTarget(self.time, self.lat, self.lon, self.height, error, sample.valid)


def score_tracks(
    *,
    time: NDArray[np.datetime64],
    lat: ArrayLike,
    lon: ArrayLike,
    height: ArrayLike,
    estimate: xr.DataArray,
    margin_degrees: float,
    bootstrap_draws: int = 1000,
    bootstrap_block_days: int = 7,
    confidence: float = 0.95,
    seed: int,
    pass_id: ArrayLike | None = None,
    std: xr.DataArray | None = None,
    height_error: ArrayLike = 0.0,
    ensemble: xr.Dataset | None = None,
    reference: xr.Dataset | None = None,
) -> dict[str, Any]:
    """Return the scores of maps on along-track data that the maps have not seen.

    Args:
        time: of each measurement, shape (obs,).
        lat: degrees north.
        lon: degrees east, any convention.
        height: m, the same quantity as the maps; NaN where there is none.
        estimate: maps in m, dims (time, lat, lon).
        margin_degrees: what is cut off each side of the map's grid.
        bootstrap_draws: number of bootstrap draws.
        bootstrap_block_days: length of the blocks of days.
        confidence: coverage of the intervals.
        seed: seed of the draws.
        pass_id: number of the pass (or mission) of each measurement; segments never cross it.
        std: standard deviation of the maps' error in m, for the probabilistic scores.
        height_error: standard deviation of the measurements' error in m, shape (obs,) or one
            number: the probabilistic scores judge N(map, std² + height_error²), and members that
            each got a draw of this error. They are repeated for `SENSITIVITY_M`.
        ensemble: members and spreads around the same maps, as in `protocols.score_maps`.
        reference: maps with their standard deviation (the tuned OI), to be beaten in CRPS.

    Returns:
        The layout of `protocols.score_maps` with the one protocol `ssh-ose-v1`; the daily series
        holds the days with at least 10 points and their number, `count`. Beside them
        `observation_error`: what was used (rms), and CRPS, spread/skill and coverage under others.

    Raises:
        ValueError: shapes differ, or no measurement meets a map.
    """
    tracks = _Tracks.of(time, lat, lon, height)
    sample = tracks.sample(estimate, margin_degrees)
    resampling = Resampling(bootstrap_draws, bootstrap_block_days, confidence, seed)
    sums = _daily_sums(sample, tracks.time, unique_statistics(METRICS))
    scores = {m.name: score_with_interval(m, sums, resampling) for m in METRICS}
    scores["lambda_x"], segments = along_track_resolution(
        time=tracks.time,
        lat=tracks.lat,
        lon=tracks.lon,
        sample=sample,
        pass_id=_passes(pass_id, tracks.time),
        days=sums.days,
        resampling=resampling,
    )
    scores["lambda_t"] = Score(None, "day", "not defined along tracks")
    protocol = {
        "version": VERSION,
        **{name: score.to_json() for name, score in scores.items()},
        "grid": _box(tracks, sample),
        "points": int(sample.valid.sum()),
        "points_given": int(tracks.time.size),
        "segments": segments,
        "days": int(np.count_nonzero(sums.count)),
        "days_scored_daily": int(np.count_nonzero(sums.count >= MINIMUM_POINTS_A_DAY)),
        "first_day": str(sums.days[0]),
        "last_day": str(sums.days[-1]),
        "comparable": False,
        "not_comparable_because": "this protocol is our own; public tables use other rules",
    }
    judged = Uncertainty.of(estimate, std, ensemble, reference)
    uncertainty = judged.scored(tracks.target(sample, height_error), resampling)
    if uncertainty.excluded:
        raise ValueError(
            f"std is missing at {uncertainty.excluded} measurements that have a map; give it "
            "wherever there is a map"
        )
    daily = _daily(sums)
    return {
        "protocols": {PROTOCOL: protocol},
        "daily": daily | uncertainty.daily(daily["time"]),
        **uncertainty.to_json(),
        "observation_error": {
            "used": _used_error(tracks.target(sample, height_error)),
            "sensitivity": [
                {"error": error, "unit": "m"}
                | _repeated(judged, tracks.target(sample, error), resampling)
                for error in (SENSITIVITY_M if judged.estimate.kind != "deterministic" else ())
            ],
        },
    }


def compare_tracks(
    *,
    time: NDArray[np.datetime64],
    lat: ArrayLike,
    lon: ArrayLike,
    height: ArrayLike,
    estimate: xr.DataArray,
    reference: xr.DataArray,
    margin_degrees: float,
    bootstrap_draws: int = 1000,
    bootstrap_block_days: int = 7,
    confidence: float = 0.95,
    seed: int,
) -> dict[str, Any]:
    """Return the change of RMSE between two methods at the points both map.

    Arguments as in `score_tracks`, with `reference` the maps compared with; the result is that
    of `bootstrap.paired_change`.
    """
    tracks = _Tracks.of(time, lat, lon, height)
    pair = [tracks.sample(maps, margin_degrees) for maps in (estimate, reference)]
    valid = pair[0].valid & pair[1].valid
    if not valid.any():
        raise ValueError("no measurement meets a map of both methods")
    sums = [
        _daily_sums(Sample(s.truth, s.estimate, valid), tracks.time, (SQUARED_ERROR,)) for s in pair
    ]
    resampling = Resampling(bootstrap_draws, bootstrap_block_days, confidence, seed)
    return paired_change(estimate=sums[0], reference=sums[1], resampling=resampling)


def _used_error(target: TrackTarget) -> dict[str, Any]:
    """Return the root mean square of the observation errors that the scores count."""
    errors = np.concatenate([target.of_day(row).truth_error for row in range(target.days.size)])
    return {"value": float(np.sqrt(np.mean(errors**2))), "unit": "m"}


def _repeated(judged: Uncertainty, target: TrackTarget, resampling: Resampling) -> dict[str, Any]:
    """Return version -> probabilistic scores at a target."""
    scored = judged.scored(target, resampling).to_json()["probabilistic"]
    versions = {name: scored[name] for name in ("raw", "calibrated") if scored[name]}
    return {name: {key: found[key] for key in _REPEATED} for name, found in versions.items()}


def _daily_sums(
    sample: Sample, time: NDArray[np.datetime64], statistics: Sequence[Statistic]
) -> DailySums:
    """Return the sums over the days from the first to the last valid measurement."""
    used = sample.valid
    points = Sample(sample.truth[used], sample.estimate[used], used[used])
    return DailySums.of_points(points, time[used], statistics)


def _passes(pass_id: ArrayLike | None, time: NDArray[np.datetime64]) -> NDArray[np.int64]:
    if pass_id is None:
        return np.zeros(time.size, np.int64)
    passes = np.asarray(pass_id, dtype=np.int64)
    if passes.shape != time.shape:
        raise ValueError(f"pass_id has shape {passes.shape}, time {time.shape}")
    return passes


def _box(tracks: _Tracks, sample: Sample) -> str:
    lat, lon = tracks.lat[sample.valid], tracks.lon[sample.valid]
    return (
        f"{lat.min():.2f}…{lat.max():.2f}°N, {lon.min():.2f}…{lon.max():.2f}°E, {lat.size} points"
    )


def _inside(maps: xr.DataArray, lat: Array, lon: Array, margin: float) -> NDArray[np.bool_]:
    """Return which points lie at least `margin` inside the cell edges of the maps' grid.

    Maps of the whole circle have no western and eastern edge.
    """
    inside = np.ones(lat.shape, bool)
    wrapped = around_circle(lon, float(maps["lon"].values.mean()) - 180.0)
    for axis, points in ((maps["lat"].values, lat), (maps["lon"].values, wrapped)):
        inside_margin(axis, margin)  # refuses a margin that leaves nothing
        half = (axis[-1] - axis[0]) / (axis.size - 1) / 2
        low, high = axis[0] - half + margin, axis[-1] + half - margin
        if abs(axis[-1] - axis[0] + 2 * half - 360.0) > 0.2 * half:
            inside &= (points >= low) & (points <= high)
    return inside


def _daily(sums: DailySums) -> dict[str, list[Any]]:
    score, defined = MU_DAILY.daily(sums)
    rmse, _ = RMSE.daily(sums)
    return {
        "time": [str(day) for day in sums.days[defined]],
        "score": score[defined].tolist(),
        "rmse": rmse[defined].tolist(),
        "count": sums.count[defined].astype(int).tolist(),
    }
