"""Observing a simulated ocean: samples along real orbits, noise, daily cells, coverage."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline_spde.config import ObservationConfig
from pipeline_spde.data.orbits import MISSIONS, Positions, orbit_of, positions
from pipeline_spde.fields import GriddedObservations, Maps, Tracks
from pipeline_spde.grids import Grid, wrap_longitude

logger = logging.getLogger(__name__)

# Share of the variance of representativeness that is a difference in time. On the simulated ocean
# 0.10 to 0.16 (docs/observations.md); more here, since the real one also has faster motions.
_TEMPORAL_SHARE = 0.25
_HALF_DAY = np.timedelta64(12, "h")

# ln of the standard deviation [m] of KaRIn height noise for 2 m waves and pixels of 1 km², as a
# polynomial of (|x| - 35 km) / 25 km: least-squares fit, to 1.3 % between 10 and 60 km, of the
# table karin_noise_v2 of the SWOT simulator (2016). The simulator divides the table by the root
# of the pixel area in km², so the table's own posting is 1 km.
_KARIN_LOG_NOISE = (-4.0166, 0.1263, 0.5391, 0.0933, 0.1769)


def karin_noise_m(cross_track_km: NDArray[np.floating], area_km2: float) -> NDArray[np.float64]:
    """Return the standard deviation of KaRIn height noise at 2 m waves in m.

    It is white from pixel to pixel, so it falls with the root of the pixel's area.

    Args:
        cross_track_km: signed distance from nadir, 10 to 60 km in absolute value.
        area_km2: area of the pixel over which heights are averaged.
    """
    scaled = (np.abs(np.asarray(cross_track_km, dtype=np.float64)) - 35.0) / 25.0
    log_noise = np.polynomial.polynomial.polyval(scaled, _KARIN_LOG_NOISE)
    return np.asarray(np.exp(log_noise) / np.sqrt(area_km2))


def simulate_tracks(
    truth: Maps, missions: Sequence[str], config: ObservationConfig, seed: int
) -> Tracks:
    """Return what the missions would have measured of a simulated ocean.

    The truth is interpolated bilinearly in space and linearly in time between its daily stamps;
    half a day before the first and after the last stamp the nearest map is used. Nothing is
    extrapolated: samples beyond the outermost cell centres, or next to land, are left out. White
    noise is added: `nadir_noise_m` to nadir samples, `karin_noise_m` of the pixel to swath ones.

    Args:
        truth: daily maps.
        missions: keys of `orbits.MISSIONS`.
        config: noise and pixel size.
        seed: each mission draws from its own stream of it, so that adding a mission leaves the
            samples of the others as they are.

    Returns:
        Samples of all missions sorted by time; `error` is the standard deviation of their noise.

    Raises:
        ValueError: an unknown or repeated mission, or a truth that is not on longitudes and
            latitudes.
    """
    if truth.grid.kind != "latlon":
        raise ValueError("orbits need a grid in degrees; this truth is Cartesian")
    if len(set(missions)) != len(missions):
        raise ValueError(f"missions are named twice: {list(missions)}")
    parts = []
    for index, mission in enumerate(missions):
        sampled, height = _sample_truth(truth, mission, config)
        error = _noise_m(mission, sampled, config)
        generator = np.random.default_rng([seed, list(MISSIONS).index(mission)])
        measured = height + error * generator.standard_normal(height.size)
        parts.append((sampled, measured, error, np.full(height.size, index, np.int8)))
        logger.info("%s: %d samples", mission, height.size)
    joined = Positions.joined([part[0] for part in parts])
    order = np.argsort(joined.time, kind="stable")
    return Tracks(
        time=joined.time[order],
        lat=joined.lat[order],
        lon=joined.lon[order],
        height=np.concatenate([part[1] for part in parts])[order].astype(np.float32),
        error=np.concatenate([part[2] for part in parts])[order].astype(np.float32),
        mission=np.concatenate([part[3] for part in parts])[order],
        missions=tuple(missions),
        pass_id=joined.pass_id[order],
        quantity=truth.quantity,
        cross_track=joined.cross_track[order],
    )


def _sample_truth(
    truth: Maps, mission: str, config: ObservationConfig
) -> tuple[Positions, NDArray[np.float64]]:
    """Return the samples of a mission that the truth covers and the true heights there."""
    is_swath = orbit_of(mission).swath_km is not None
    south, north, west, east = truth.grid.bounds
    sampled = positions(
        mission,
        truth.time[0] - _HALF_DAY,
        truth.time[-1] + _HALF_DAY,
        (south, north),
        (west, min(east, west + 360.0)),
        along_km=config.karin_along_km if is_swath else None,
        across_km=config.karin_across_km if is_swath else None,
    )
    height, covered = interpolate(truth, sampled.time, sampled.lat, sampled.lon)
    return sampled.select(covered), height[covered]


def _noise_m(mission: str, sampled: Positions, config: ObservationConfig) -> NDArray[np.float64]:
    if orbit_of(mission).swath_km is None:
        return np.full(len(sampled), config.nadir_noise_m)
    area = config.karin_along_km * config.karin_across_km
    return config.karin_noise_factor * karin_noise_m(sampled.cross_track, area)


def interpolate(
    maps: Maps,
    time: NDArray[np.datetime64],
    lat: NDArray[np.float64],
    lon: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return (heights in m, covered) of maps at points: bilinear in space, linear in time.

    Args:
        maps: daily maps on a grid in degrees.
        time: instants, shape (obs,).
        lat: degrees north, shape (obs,).
        lon: degrees east on any circle, shape (obs,).

    Returns:
        Heights, shape (obs,), valid where `covered` (obs,) is True: between cell centres, away
        from land, and between two stamps a day apart or within half a day of one.
    """
    earlier, later, late, in_time = _time_weights(maps.time, time)
    row, upper, in_lat = _axis_weights(maps.grid.lat, lat)
    column, eastern, in_lon = _longitude_weights(maps.grid, lon)
    next_column = (column + 1) % maps.grid.lon.size
    covered = in_time & in_lat & in_lon
    height = np.zeros(time.shape)
    for y, weight_y in ((row, 1 - upper), (row + 1, upper)):
        for x, weight_x in ((column, 1 - eastern), (next_column, eastern)):
            weight = weight_y * weight_x
            land = maps.grid.land[y, x]
            covered &= ~(land & (weight > 1e-9))
            values = (1 - late) * maps.height[earlier, y, x] + late * maps.height[later, y, x]
            height += np.where(land, 0.0, weight * values)
    return height, covered


def _time_weights(
    stamps: NDArray[np.datetime64], time: NDArray[np.datetime64]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64], NDArray[np.bool_]]:
    """Return (earlier, later) stamp of each instant, weight of the later one, and validity."""
    last = stamps.size - 1
    later = np.clip(np.searchsorted(stamps, time, side="right"), min(1, last), last)
    earlier = np.maximum(later - 1, 0)
    hour = np.timedelta64(1, "h")
    gap = (stamps[later] - stamps[earlier]) / hour  # 0 for a single map
    since = (time - stamps[earlier]) / hour
    weight = np.clip(since / np.maximum(gap, 1.0), 0.0, 1.0)
    joined = (gap <= 24.0) & (since >= 0) & (since <= gap)
    weight = np.where(joined, weight, np.round(weight))
    near = (np.abs(since) <= 12) | (np.abs(since - gap) <= 12)
    return earlier, later, weight, joined | near


def _axis_weights(
    axis: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.bool_]]:
    """Return the lower node of each value, the weight of the upper one, and validity."""
    place = (values - axis[0]) / (axis[-1] - axis[0]) * (axis.size - 1)
    inside = (place >= -1e-9) & (place <= axis.size - 1 + 1e-9)
    node = np.clip(np.floor(place), 0, axis.size - 2).astype(np.intp)
    return node, np.clip(place - node, 0.0, 1.0), inside


def _longitude_weights(
    grid: Grid, lon: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.bool_]]:
    """Return what `_axis_weights` does for longitudes on any circle, periodic grids included."""
    if not grid.periodic:
        return _axis_weights(grid.lon, wrap_longitude(lon, grid.bounds[2]))
    place = (wrap_longitude(lon, grid.lon[0]) - grid.lon[0]) / grid.resolution[1]
    node = np.minimum(np.floor(place).astype(np.intp), grid.lon.size - 1)
    return node, np.clip(place - node, 0.0, 1.0), np.ones(lon.shape, bool)


def bin_to_grid(
    tracks: Tracks, grid: Grid, time: NDArray[np.datetime64], representativeness_m: float
) -> GriddedObservations:
    """Return the daily mean of the samples of every cell, with its error.

    Samples i of one pass p in one cell and day have independent noise σᵢ, but their departures from
    the daily cell mean (representativeness, standard deviation r) are alike: the satellite crosses
    a part of the cell in a second. A quarter of that variance, the difference in time, is common
    to a pass; the rest, the place within the cell, is common to each line of samples along the
    track and averages over the number kₚ of lines (1 for a nadir altimeter):

        vₚ = 1 / Σᵢ σᵢ⁻²,    mₚ = vₚ Σᵢ σᵢ⁻² hᵢ,    wₚ = 1 / (vₚ + r² (¼ + ¾/kₚ)),
        height = Σₚ wₚ mₚ / Σₚ wₚ,    error² = 1 / Σₚ wₚ.

    For n nadir samples of equal noise on P like passes, error² = σ²/n + r²/P.

    Args:
        tracks: samples; those outside the grid, its ocean or its days are ignored.
        grid: the cells.
        time: daily stamps at 12:00 UTC, shape (time,).
        representativeness_m: standard deviation of (sample − daily cell mean) without noise.

    Raises:
        ValueError: negative representativeness, or samples without positive error.
    """
    if representativeness_m < 0:
        raise ValueError(f"representativeness_m must not be negative, got {representativeness_m}")
    if len(tracks) and tracks.error.min() <= 0:
        raise ValueError("tracks: error must be positive to weight the samples of a cell")
    row, column, keep = grid.cell_index(tracks.lat, tracks.lon)
    days = np.asarray(time).astype("datetime64[D]")
    day = np.searchsorted(days, tracks.time.astype("datetime64[D]"))
    day = np.minimum(day, days.size - 1)
    keep &= (days[day] == tracks.time.astype("datetime64[D]")) & ~grid.land[row, column]
    shape = (days.size, *grid.shape)
    cell = np.ravel_multi_index((day, row, column), shape)[keep]
    height, error, count = _cell_means(cell, tracks.select(keep), representativeness_m, shape)
    return GriddedObservations(
        time=np.asarray(time).astype("datetime64[ns]"),
        grid=grid,
        height=height,
        observed=count > 0,
        count=count,
        error=error,
        quantity=tracks.quantity,
    )


def _cell_means(
    cell: NDArray[np.intp],
    samples: Tracks,
    representativeness_m: float,
    shape: tuple[int, ...],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Return (height, error, count), each of `shape`, of samples in flat cells."""
    height = np.zeros(shape, np.float32)
    error = np.full(shape, np.inf, np.float32)
    count = np.zeros(shape, np.int32)
    if cell.size == 0:
        return height, error, count
    # one number per (mission, pass), then one group per (cell, mission, pass)
    passes = samples.pass_id.astype(np.int64) * len(samples.missions) + samples.mission
    pass_index = np.unique(passes, return_inverse=True)[1]
    key = cell.astype(np.int64) * (int(pass_index.max()) + 1) + pass_index
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    weight = samples.error.astype(np.float64) ** -2
    noise_variance = 1 / np.bincount(group, weight)
    pass_mean = noise_variance * np.bincount(group, weight * samples.height)
    used, of_cell = np.unique(cell[first], return_inverse=True)
    lines = _count_lines(group, samples.cross_track)
    shared = _TEMPORAL_SHARE + (1 - _TEMPORAL_SHARE) / lines
    pass_weight = 1 / (noise_variance + shared * representativeness_m**2)
    total = np.bincount(of_cell, pass_weight)
    height.flat[used] = np.bincount(of_cell, pass_weight * pass_mean) / total
    error.flat[used] = 1 / np.sqrt(total)
    np.add.at(count.reshape(-1), cell, 1)
    return height, error, count


def _count_lines(group: NDArray[np.intp], cross_track: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the number of different cross-track distances (to 0.1 km) in each group."""
    line = np.unique(np.round(cross_track, 1), return_inverse=True)[1]
    pairs = np.unique(group.astype(np.int64) * (int(line.max()) + 1) + line)
    return np.bincount(pairs // (int(line.max()) + 1))


def coverage_table(observations: GriddedObservations, tracks: Tracks | None = None) -> pd.DataFrame:
    """Return what is seen per day: columns `time`, `cells`, `samples` and `coverage`.

    `cells` is the number of observed cells, `samples` that of the samples in them, `coverage` the
    observed fraction of the ocean cells (0 to 1). With `tracks`, a column `samples_<mission>` each
    counts the samples of the missions on that day, wherever they fell.
    """
    table = pd.DataFrame(
        {
            "time": observations.time,
            "cells": observations.observed.sum(axis=(1, 2)),
            "samples": observations.count.sum(axis=(1, 2)),
            "coverage": observations.coverage(),
        }
    )
    if tracks is not None:
        days = observations.time.astype("datetime64[D]")
        for index, mission in enumerate(tracks.missions):
            taken = tracks.time[tracks.mission == index].astype("datetime64[D]")
            spans = np.searchsorted(np.sort(taken), [days, days + np.timedelta64(1, "D")])
            table[f"samples_{mission}"] = spans[1] - spans[0]
    return table


def coverage_summary(observations: GriddedObservations) -> str:
    """Return one line: mean, smallest and largest daily coverage, share of days without any."""
    share = 100 * observations.coverage()
    return (
        f"{share.size} days, {share.mean():.2f} % of the ocean cells observed a day "
        f"({share.min():.2f} to {share.max():.2f} %), "
        f"{100 * np.mean(share == 0):.1f} % of the days without observation"
    )
