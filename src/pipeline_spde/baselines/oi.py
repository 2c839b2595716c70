"""The quickstart optimal interpolation of the 2020a SSH mapping challenge.

Prior: mean zero on the height itself (not an anomaly), covariance of unit variance

    exp(−(Δt/Lt)² − (Δlon/Lx)² − (Δlat/Ly)²),   Lx = Ly = 1°, Lt = 7 days,

with Δlon and Δlat in degrees and no cos(latitude). Observations: block averages of the samples at
their own positions and times, all with |Δt| < 2 Lt inside the box padded by 1°, error variance
0.05² of the prior's. For near-real-time and forecasts the same with past observations only.

The original maps are for 00:00; these are for 12:00, the centre of the daily mean they stand for.
The algebra differs too: instead of inverting the covariance of the observations, the problem is
solved in the modes that carry all but `_NEGLECTED` of the prior variance, and that rest is counted
as observation error.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.baselines.cells import Days, target_days
from pipeline_spde.baselines.covariance import (
    ProductModes,
    gaussian_modes,
    product_modes,
)
from pipeline_spde.baselines.exact import DaySums, condition, day_sums, linear_in_day
from pipeline_spde.baselines.thinning import Points, block_averages
from pipeline_spde.config import MapRequest, OiConfig
from pipeline_spde.fields import Maps, Observations, daily_stamps
from pipeline_spde.grids import Grid, wrap_longitude
from pipeline_spde.periods import Task

logger = logging.getLogger(__name__)

PADDING_DEGREES = 1.0
_NEGLECTED = 2e-4
_NODES_PER_LENGTH = 6

Array = NDArray[np.float64]


def reconstruct(observations: Observations, grid: Grid, task: Task, config: MapRequest) -> Maps:
    """Return daily maps for the days of `config.period`.

    Args:
        observations: the raw samples are used; gridded values and mean are not.
        grid: where the maps are wanted, latitudes and longitudes.
        task: which days around a target are seen.
        config: `period` and `oi`.

    Raises:
        ValueError: the grid is Cartesian, or the lead leaves no day in the window.
    """
    started = perf_counter()
    if grid.kind != "latlon":
        raise ValueError("the quickstart interpolation is defined in degrees; use a latlon grid")
    points = block_averages(observations.tracks, config.oi.thin_nadir, config.oi.thin_karin)
    points = _in_padded_box(points, grid)
    analysed = interpolate(points, grid, target_days(config.period), task, config.oi)
    height = analysed.astype(np.float32)
    height[:, grid.land] = np.nan
    seconds = perf_counter() - started
    logger.info("oi: %d maps from %d points in %.1f s", len(height), points.time.size, seconds)
    return Maps(
        time=daily_stamps(config.period.start, config.period.end),
        grid=grid,
        height=height,
        quantity=observations.tracks.quantity,
    )


def interpolate(
    points: Points,
    grid: Grid,
    targets: Days,
    task: Task,
    config: OiConfig,
    neglected: float = _NEGLECTED,
) -> Array:
    """Return the analysed height at 12:00 of each target day in m, shape (targets, lat, lon).

    Args:
        points: observations within the padded box, longitudes continuous with the grid's.
        grid: where the maps are wanted.
        targets: calendar days, shape (targets,).
        task: which days are seen.
        config: the covariance and the noise.
        neglected: share of the prior variance that the modes leave out.
    """
    half = config.half_window_lengths * config.length_days
    # offsets of the observations from 12:00 of the target, in days
    window = (-half, half if task.lead is None else 0.5 - task.lead)
    if window[1] <= window[0]:
        raise ValueError(
            f"task {task.name} sees no observation: the window reaches {half} days back; "
            "lengthen oi.length_days or oi.half_window_lengths"
        )
    modes = _modes(grid, config, (window[0], max(window[1], 0.5)), neglected)
    features = modes.nodes(grid.lat, grid.lon)
    slots = _Slots(points, modes)
    at_target = modes.time([0.0])[0]
    maps = np.empty((targets.size, *grid.shape))
    for number, target in enumerate(targets):
        sums, middles = slots.window(target.astype(int) + 0.5, *window)
        # what the modes leave out, most at the ends of the window, counts as observation error
        weights = 1.0 / (config.noise**2 + modes.left_out(middles))
        posterior = condition(
            modes,
            [day.scaled(weight) for day, weight in zip(sums, weights, strict=True)],
            [linear_in_day(modes.time, middle) for middle in middles],
        )
        maps[number] = (features @ posterior.spatial_mean(at_target)).reshape(grid.shape)
    return maps


def _in_padded_box(points: Points, grid: Grid) -> Points:
    """Return the points in the box padded by one degree, longitudes next to the grid's."""
    south, north, west, east = grid.bounds
    pad = PADDING_DEGREES
    if grid.periodic:
        lon = wrap_longitude(points.lon, west)
        near = np.ones(lon.size, bool)
    else:
        lon = wrap_longitude(points.lon, west - pad)
        near = lon <= east + pad
    near &= (points.lat >= south - pad) & (points.lat <= north + pad)
    return replace(points, lon=lon).select(near)


def _modes(
    grid: Grid, config: OiConfig, days: tuple[float, float], neglected: float
) -> ProductModes:
    """Return the modes of the covariance over the padded box and the window."""
    south, north, west, east = grid.bounds
    share, pad = neglected / 100, PADDING_DEGREES
    circle = 360.0 if grid.periodic else None
    lon = grid.lon if grid.periodic else _nodes(west - pad, east + pad, config.length_lon_degrees)
    lat = _nodes(south - pad, north + pad, config.length_lat_degrees)
    return product_modes(
        gaussian_modes(_nodes(*days, config.length_days), config.length_days, share),
        gaussian_modes(lat, config.length_lat_degrees, share),
        gaussian_modes(lon, config.length_lon_degrees, share, circle),
        neglected,
    )


def _nodes(low: float, high: float, length: float) -> Array:
    """Return nodes from `low` to `high`, close enough for a covariance of that length."""
    return np.linspace(low, high, int(np.ceil(_NODES_PER_LENGTH * (high - low) / length)) + 2)


class _Slots:
    """Sums over the points from one noon to the next, kept for the windows that share them."""

    def __init__(self, points: Points, modes: ProductModes) -> None:
        self.points, self.modes = points, modes
        self._kept: dict[float, DaySums] = {}

    def window(self, noon: float, first: float, last: float) -> tuple[list[DaySums], Array]:
        """Return sums of the points from `noon + first` to `noon + last` (days), unit weights.

        Slots without points are left out; the middles of the others come relative to `noon`.
        """
        self._kept = {at: sums for at, sums in self._kept.items() if at >= noon + first}
        found, middles = [], []
        for step in range(int(np.floor(first)), int(np.ceil(last))):
            sums = self._slot(noon, step, max(step, first), min(step + 1, last))
            if sums is not None:
                found.append(sums)
                middles.append(step + 0.5)
        return found, np.array(middles)

    def _slot(self, noon: float, step: int, low: float, high: float) -> DaySums | None:
        start, whole = noon + step, (low, high) == (step, step + 1)
        if whole and start in self._kept:
            return self._kept[start]
        first, last = np.searchsorted(self.points.time, [noon + low, noon + high])
        if first == last:
            return None
        seen = self.points.select(slice(first, last))
        features = self.modes.points(seen.lat, seen.lon)
        sums = day_sums(features, np.ones(len(features)), seen.height, seen.time - start - 0.5)
        if whole:
            self._kept[start] = sums
        return sums
