"""Mean and deviation of the learning period: what methods may know of a domain beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.fields import Day, Maps, Tracks, as_day
from pipeline_spde.grids import Grid

_Statistics = tuple[NDArray[np.float64], NDArray[np.float64], dict[str, Any]]


def domain_statistics(
    truth: Maps | None, tracks: Tracks | None, grid: Grid, period: tuple[Day, Day]
) -> _Statistics:
    """Return the statistics of the truth of a simulated domain, or of the samples of a real one.

    Arguments and results as in `training_statistics` and `anomaly_statistics`.

    Raises:
        ValueError: neither is given, or as in these.
    """
    if truth is not None:
        return training_statistics(truth, period)
    if tracks is None:
        raise ValueError("give the truth, or the samples where there is none")
    return anomaly_statistics(tracks, grid, period)


def training_statistics(truth: Maps, period: tuple[Day, Day]) -> _Statistics:
    """Return the mean map of a simulated ocean's learning period and the deviation about it.

    The mean of sea level anomalies (`sla`) is zero by definition, however short the period.

    Args:
        truth: daily maps that hold the whole period.
        period: first and last day, both included.

    Returns:
        Mean in m, shape (lat, lon), 0 on land; standard deviation about it in m, shape (lat, lon),
        0 on land; scalars for JSON: `mean` (area-weighted) and `std` (root of the area-weighted
        mean variance) in m over the ocean, `days` and `period`.

    Raises:
        ValueError: the truth does not hold every day of the period.
    """
    first, last = as_day(period[0]), as_day(period[1])
    days = int((last - first) / np.timedelta64(1, "D")) + 1
    held = truth.between(first, last)
    if held.time.size != days:
        raise ValueError(
            f"the truth holds {held.time.size} of the {days} days from {first} to {last}; "
            "simulate the whole period"
        )
    ocean = truth.grid.ocean
    height = np.where(ocean, held.height, 0.0).astype(np.float64)
    anomalies = truth.quantity == "sla"
    mean = np.zeros(ocean.shape) if anomalies else height.mean(axis=0)
    std = np.sqrt(((height - mean) ** 2).mean(axis=0))
    area = truth.grid.area_km2[ocean]
    scalars = {
        "mean": float(np.average(mean[ocean], weights=area)),
        "std": float(np.sqrt(np.average(std[ocean] ** 2, weights=area))),
        "days": days,
        "period": [str(first), str(last)],
    }
    return mean, std, scalars


def anomaly_statistics(tracks: Tracks, grid: Grid, period: tuple[Day, Day]) -> _Statistics:
    """Return the statistics of real anomalies, whose mean is zero by definition.

    Samples are too sparse for a map of their deviation, so it is one number everywhere: the root
    mean square about zero of the samples on the grid's ocean, less the variance of their noise.

    Args:
        tracks: samples of the missions that are mapped; never of a withheld one.
        grid: the domain.
        period: first and last day, both included.

    Returns:
        Zeros, shape (lat, lon); the deviation in m, shape (lat, lon), 0 on land; scalars for JSON:
        `mean` (of the samples) and `std` in m, `days` and `period`.

    Raises:
        ValueError: no sample on the domain in the period, or samples that are nothing but noise.
    """
    first, last = as_day(period[0]), as_day(period[1])
    held = tracks.between(first, last)
    row, column, inside = grid.cell_index(held.lat, held.lon)
    held = held.select(inside & ~grid.land[row, column])
    if len(held) == 0:
        raise ValueError(
            f"no sample on the domain {grid.bounds} from {first} to {last}; the tracks hold "
            f"{len(tracks)} samples elsewhere: check box and period"
        )
    height = held.height.astype(np.float64)
    total, noise = np.mean(height**2), np.mean(held.error.astype(np.float64) ** 2)
    if total <= noise:
        raise ValueError(
            f"the samples have rms {np.sqrt(total):.4f} m, not more than their noise of "
            f"{np.sqrt(noise):.4f} m; check units and errors"
        )
    std = float(np.sqrt(total - noise))
    scalars = {
        "mean": float(height.mean()),
        "std": std,
        "days": int((last - first) / np.timedelta64(1, "D")) + 1,
        "period": [str(first), str(last)],
    }
    return np.zeros(grid.shape), np.where(grid.ocean, std, 0.0), scalars
