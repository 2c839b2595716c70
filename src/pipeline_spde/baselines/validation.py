"""What maps are compared with while parameters are fitted: the truth, or withheld passes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.baselines.cells import CellAnomalies, Days
from pipeline_spde.baselines.thinning import passes
from pipeline_spde.fields import Maps, Tracks
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period

Array = NDArray[np.float64]

FOLDS = 3


@dataclass(frozen=True, eq=False)
class Comparison:
    """One set of observations to map and the values to compare the maps with.

    Attributes:
        cells: the observations that may be used.
        targets: days to map, shape (targets,).
        reference: anomaly to compare with in m, shape (targets, lat, lon).
        variance: error variance of the reference in m², shape (targets, lat, lon).
        scored: cells to compare, shape (targets, lat, lon).
    """

    cells: CellAnomalies
    targets: Days
    reference: Array
    variance: Array
    scored: NDArray[np.bool_]

    def squared_errors(self, maps: Array) -> Array:
        """Return (map − reference)² at the scored cells, shape (scored,)."""
        return np.asarray((maps - self.reference)[self.scored] ** 2)


def spread_days(days: Days, count: int) -> Days:
    """Return at most `count` of the days, evenly spread, first and last included."""
    places = np.unique(np.round(np.linspace(0, days.size - 1, min(count, days.size))).astype(int))
    return days[places]


def against_truth(
    cells: CellAnomalies, mean: Array, truth: Maps, period: Period, count: int
) -> list[Comparison]:
    """Return the comparison with the true maps on `count` days of the period.

    Raises:
        ValueError: the truth holds no day of the period.
    """
    true = truth.between(period.start, period.end)
    targets = spread_days(true.time.astype("datetime64[D]"), count)
    kept = np.isin(true.time.astype("datetime64[D]"), targets)
    anomaly = true.height[kept].astype(np.float64) - np.nan_to_num(mean)
    ocean = np.broadcast_to(true.grid.ocean, anomaly.shape)
    return [Comparison(cells, targets, anomaly, np.zeros_like(anomaly), ocean)]


def against_passes(
    cells: CellAnomalies,
    tracks: Tracks,
    grid: Grid,
    period: Period,
    count: int,
    lead: int | None,
    rng: np.random.Generator,
) -> list[Comparison]:
    """Return comparisons with cells that are withheld, a third of the passes at a time.

    A cell and day with any sample of a withheld pass is withheld whole. A forecast does not see
    the target day, so there all its observed cells are scored and none is withheld.

    Raises:
        ValueError: no observation in the period.
    """
    inside = (cells.days >= np.datetime64(period.start)) & (cells.days <= np.datetime64(period.end))
    days = cells.days[inside & cells.observed.any(axis=(1, 2))]
    if days.size == 0:
        raise ValueError(f"no observation in {period}: nothing to compare candidates with")
    targets = spread_days(days, count)
    places = cells.index(targets)
    masks = [cells.observed] if lead else pass_masks(cells, tracks, grid, rng)
    return [
        Comparison(
            cells=cells if lead else cells.masked(~mask),
            targets=targets,
            reference=cells.value[places],
            variance=cells.variance[places],
            scored=(mask & cells.observed)[places],
        )
        for mask in masks
    ]


def pass_masks(
    cells: CellAnomalies,
    tracks: Tracks,
    grid: Grid,
    rng: np.random.Generator,
    folds: int = FOLDS,
) -> list[NDArray[np.bool_]]:
    """Return the cells touched by each part of the passes, each (time, lat, lon).

    Args:
        cells: cells and days.
        tracks: samples of the missions that are mapped.
        grid: of the cells.
        rng: draws the part of each pass.
        folds: number of parts, of equal numbers of passes.
    """
    tracks = tracks.between(cells.days[0], cells.days[-1])
    label = passes(tracks)
    count = int(label.max(initial=-1)) + 1
    fold = rng.permutation(np.arange(count) % folds)
    day = cells.index(tracks.time.astype("datetime64[D]"))
    row, column, inside = grid.cell_index(tracks.lat, tracks.lon)
    inside &= day >= 0
    masks = []
    for number in range(folds):
        chosen = inside & (fold[label] == number)
        mask = np.zeros(cells.observed.shape, bool)
        mask[day[chosen], row[chosen], column[chosen]] = True
        masks.append(mask)
    return masks
