"""Scores by region: the same statistics, weighted by area, summed over named boxes.

    statistic of a cell → Σ weight · value over the box, day by day → mean → metric

The weight of a cell is the cosine of its latitude. Boxes may cross the date line. The entry `whole`
is all scored cells. Spectral scores need a box of water and are given for such boxes only; the
others say why there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.grids import wrap_longitude
from pipeline_spde.scores.bootstrap import Resampling, score_with_interval
from pipeline_spde.scores.collocation import Collocation
from pipeline_spde.scores.rmse import MU, RMSE, SIGMA
from pipeline_spde.scores.statistic import Array, DailySums, Score, unique_statistics

WHOLE = "whole"
LEAST_CELLS = 9
"""Cells of water that a region needs for a score."""
LatLonBox = tuple[tuple[float, float], tuple[float, float]]
"""((south, north), (west, east)) in degrees; the east may lie beyond 180."""


@dataclass(frozen=True, eq=False)
class Regions:
    """Named boxes on the axes of a grid.

    Attributes:
        boxes: name -> box; `WHOLE` has the grid's own.
        lat: latitudes of the grid.
        lon: longitudes of the grid.
    """

    boxes: Mapping[str, LatLonBox]
    lat: Array
    lon: Array

    @classmethod
    def on(cls, boxes: Mapping[str, LatLonBox], lat: Array, lon: Array) -> Regions:
        """Return the boxes on some axes, the whole grid first.

        Raises:
            ValueError: a box is called `WHOLE`.
        """
        if WHOLE in boxes:
            raise ValueError(f"regions: {WHOLE!r} is the name of all scored cells; choose another")
        edges = [(float(a[0] - s / 2), float(a[-1] + s / 2)) for a, s in _with_steps(lat, lon)]
        return cls({WHOLE: (edges[0], edges[1]), **boxes}, lat, lon)

    def inside(self, name: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the rows and columns of the cells of a region, from its west to its east."""
        (south, north), (west, east) = self.boxes[name]
        rows = np.flatnonzero((self.lat > south) & (self.lat < north))
        if name == WHOLE:
            return rows, np.arange(self.lon.size)
        lon = wrap_longitude(self.lon, west)
        columns = np.flatnonzero(lon < east)
        return rows, columns[np.argsort(lon[columns], kind="stable")]

    def weights(self, name: str) -> Array:
        """Return the weight of every cell, shape (lat, lon): 0 outside, 1 or more inside."""
        rows, columns = self.inside(name)
        weights = np.zeros((self.lat.size, self.lon.size))
        if rows.size and columns.size:
            cosine = np.cos(np.radians(self.lat[rows]))
            weights[np.ix_(rows, columns)] = (cosine / cosine.min())[:, None]
        return weights


def _with_steps(*axes: Array) -> list[tuple[Array, float]]:
    return [(axis, float((axis[-1] - axis[0]) / max(axis.size - 1, 1))) for axis in axes]


@dataclass(eq=False)
class RegionalSums:
    """Daily sums of the statistics of points, by region; filled day by day.

    Attributes:
        days: calendar days, shape (days,).
        weights: region -> weight of each cell, shape (lat, lon).
        count: region -> summed weight of the judged points of each day, shape (days,).
        sums: region -> statistic -> weighted sum of each day, shape (days,).
    """

    days: NDArray[np.datetime64]
    weights: Mapping[str, Array]
    count: dict[str, Array] = field(default_factory=dict)
    sums: dict[str, dict[str, Array]] = field(default_factory=dict)

    def add(self, row: int, statistics: Mapping[str, Array], valid: NDArray[np.bool_]) -> None:
        """Add a day.

        Args:
            row: number of the day.
            statistics: name -> values at the valid cells.
            valid: cells that are judged, shape (lat, lon).
        """
        for name, weights in self.weights.items():
            weight = weights[valid]
            self.count.setdefault(name, np.zeros(self.days.size))[row] = weight.sum()
            sums = self.sums.setdefault(name, {})
            for key, values in statistics.items():
                sums.setdefault(key, np.zeros(self.days.size))[row] = weight @ values

    def of(self, name: str) -> DailySums | None:
        """Return the sums of a region, None before any day was added."""
        if name not in self.sums:
            return None
        return DailySums(self.days, self.count[name], self.sums[name])


def regional_scores(
    maps: Collocation,
    regions: Regions,
    resampling: Resampling,
    judged: RegionalSums | None = None,
    resolutions: Any = None,
) -> dict[str, dict[str, Any]]:
    """Return region -> scores as JSON types, the whole domain first.

    Args:
        maps: truth and estimate on the scored cells.
        regions: boxes on the same cells.
        resampling: how confidence intervals are made.
        judged: sums of the probabilistic statistics, or None.
        resolutions: function of a `Collocation` that returns name -> `Score` of its resolutions.

    Returns:
        {name: {"lat", "lon", "cells", "truth_rms", "rmse", "mu", "sigma", and with `judged`
        "crps", "spread", "spread_skill", "coverage_…"; with `resolutions` those}}; every score has
        a value or the reason why there is none.
    """
    return {
        name: _of_region(maps, regions, name, resampling, judged)
        | _resolutions(maps, regions, name, resolutions)
        for name in regions.boxes
    }


def _of_region(
    maps: Collocation,
    regions: Regions,
    name: str,
    resampling: Resampling,
    judged: RegionalSums | None,
) -> dict[str, Any]:
    from pipeline_spde.scores.probabilistic import regional_metrics

    weights = regions.weights(name)
    cells = int(((weights > 0) & maps.valid.any(axis=0)).sum())
    (south, north), (west, east) = regions.boxes[name]
    place = {"lat": [south, north], "lon": [west, east], "cells": cells}
    if cells < LEAST_CELLS:
        reason = f"not defined: {cells} scored cells of water in the region, {LEAST_CELLS} needed"
        missing = {metric.name: Score(None, metric.unit, reason) for metric in (RMSE, MU, SIGMA)}
        return place | {"truth_rms": None} | {key: s.to_json() for key, s in missing.items()}
    statistics = unique_statistics((MU, SIGMA, RMSE))
    sums = DailySums.of_maps(maps.sample(), maps.days, statistics, weights)
    scores = {m.name: score_with_interval(m, sums, resampling) for m in (RMSE, MU, SIGMA)}
    points = judged.of(name) if judged is not None else None
    if points is not None and points.count.any():
        metrics = regional_metrics(points.sums)
        scores |= {m.name: score_with_interval(m, points, resampling) for m in metrics}
    rms = float(np.sqrt(sums.means()["squared_truth"]))
    return place | {"truth_rms": rms} | {key: score.to_json() for key, score in scores.items()}


def _resolutions(
    maps: Collocation, regions: Regions, name: str, resolutions: Any
) -> dict[str, Any]:
    if resolutions is None or name == WHOLE:
        return {}
    rows, columns = regions.inside(name)
    if min(rows.size, columns.size) < 5:
        reason = f"not defined: {rows.size}x{columns.size} cells are too few for a spectrum"
        scores = {"lambda_x": Score(None, "km", reason), "lambda_t": Score(None, "day", reason)}
    else:
        scores = resolutions(cropped(maps, rows, columns))
    return {key: score.to_json() for key, score in scores.items()}


def cropped(maps: Collocation, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Collocation:
    """Return the maps on some rows and columns; longitudes run on across the date line."""
    lon = maps.lon[columns]
    return replace(
        maps,
        lat=maps.lat[rows],
        lon=np.where(lon < lon[0], lon + 360.0, lon),
        truth=maps.truth[:, rows][:, :, columns],
        estimate=maps.estimate[:, rows][:, :, columns],
    )
