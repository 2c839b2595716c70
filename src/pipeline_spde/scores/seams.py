"""Seams: are the jumps of maps across the edges of tiles larger than those beside them?

    ratio = mean |x(e) − x(e − 1)| over the edges e  /  mean |x(i) − x(i − 1)| over i = e ± 3, 4, 5

with x neighbouring cells along rows or columns. It is 1 where tiles leave no trace. The statistic
of the same places in another field (a truth) tells what the ocean itself has there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BESIDE = (-5, -4, -3, 3, 4, 5)
"""Where the jumps inside are taken, in cells from the edge."""


def jumps(
    heights: NDArray[np.floating], edges: Sequence[int], axis: str, periodic: bool = False
) -> NDArray[np.float64]:
    """Return sums of |jump| and their counts, at each edge and beside it.

    Args:
        heights: maps in m, NaN on land, shape (time, lat, lon).
        edges: first row or column after each edge.
        axis: "rows" where edges lie between rows, "columns" between columns.
        periodic: columns close the circle.

    Returns:
        (time, edges, 4): sum and count of the jumps across the edge, sum and count of those beside.

    Raises:
        ValueError: another axis.
    """
    size = heights.shape[1 if axis == "rows" else 2]
    closed = periodic and axis == "columns"
    if axis not in ("rows", "columns"):
        raise ValueError(f"axis must be rows or columns, got {axis!r}")
    found = np.zeros((heights.shape[0], len(edges), 4))
    for number, edge in enumerate(edges):
        for offset in (0, *BESIDE):
            later = edge + offset
            if closed:
                later %= size
            elif not 1 <= later < size:
                continue
            earlier = later - 1  # -1 is the last column of a circle
            index = (slice(None), later) if axis == "rows" else (..., later)
            before = (slice(None), earlier) if axis == "rows" else (..., earlier)
            step = np.abs(heights[index].astype(np.float64) - heights[before])
            first = 0 if offset == 0 else 2
            found[:, number, first] += np.nansum(step, axis=1)
            found[:, number, first + 1] += np.isfinite(step).sum(axis=1)
    return found


def seam_ratio(
    sums: NDArray[np.float64], draws: int, confidence: float, seed: int
) -> dict[str, Any]:
    """Return the ratio of the jumps and its interval by resampling edges.

    Days of one edge are alike; edges far apart are not: whole edges are drawn.

    Args:
        sums: of `jumps`, (time, edges, 4).
        draws: bootstrap draws.
        confidence: coverage of the interval.
        seed: of the draws.

    Returns:
        `value`, `low`, `high`, `edges`, `jump_m` and `jump_beside_m`; values None where there is
        no edge with ocean on both sides, the interval where there are fewer than four.
    """
    by_edge = sums.sum(axis=0)
    by_edge = by_edge[(by_edge[:, 1] > 0) & (by_edge[:, 3] > 0)]
    if not len(by_edge):
        return dict.fromkeys(("value", "low", "high", "jump_m", "jump_beside_m")) | {"edges": 0}

    def ratio(total: NDArray[np.float64]) -> NDArray[np.float64]:
        across, beside = total[..., 0] / total[..., 1], total[..., 2] / total[..., 3]
        return np.asarray(across / np.maximum(beside, np.finfo(float).tiny))

    total = by_edge.sum(axis=0)
    low = high = None
    if len(by_edge) >= 4:
        rng = np.random.default_rng(seed)
        drawn = by_edge[rng.integers(0, len(by_edge), (draws, len(by_edge)))].sum(axis=1)
        tail = 50 * (1 - confidence)
        low, high = (float(value) for value in np.percentile(ratio(drawn), [tail, 100 - tail]))
    return {
        "value": float(ratio(total)),
        "low": low,
        "high": high,
        "edges": len(by_edge),
        "jump_m": float(total[0] / total[1]),
        "jump_beside_m": float(total[2] / total[3]),
    }


def score_seams(
    days: Iterable[NDArray[np.floating]],
    edges: Mapping[str, Sequence[int]],
    periodic: bool,
    draws: int,
    confidence: float,
    seed: int,
) -> dict[str, Any]:
    """Return the ratio across rows, across columns and of both together.

    Args:
        days: maps (lat, lon) one by one.
        edges: "rows" and "columns" -> first index after each edge.
        periodic: columns close the circle.
        draws: as for `seam_ratio`, and so are the others.
        confidence: see there.
        seed: see there.
    """
    sums: dict[str, NDArray[np.float64]] = {}
    for day in days:
        for axis in ("rows", "columns"):
            found = jumps(day[None], edges[axis], axis, periodic)
            sums[axis] = found + sums.get(axis, 0.0)
    if not sums:
        raise ValueError("no day is given")
    both = np.concatenate(list(sums.values()), axis=1)
    ratios = {axis: seam_ratio(own, draws, confidence, seed) for axis, own in sums.items()}
    return {**ratios, "both": seam_ratio(both, draws, confidence, seed)}
