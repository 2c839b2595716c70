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
    sums: NDArray[np.float64],
    draws: int,
    confidence: float,
    seed: int,
    reference: NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    """Return the ratio of the jumps and its interval by resampling edges.

    Days of one edge are alike; edges far apart are not: whole edges are drawn.

    Args:
        sums: of `jumps`, (time, edges, 4).
        draws: bootstrap draws.
        confidence: coverage of the interval.
        seed: of the draws.
        reference: of the same places in another field; the ratio is then divided by its ratio,
            which draws the same edges.

    Returns:
        `value`, `low`, `high`, `edges`, `jump_m` and `jump_beside_m`; values None where there is
        no edge with ocean on both sides, the interval where there are fewer than four.
    """
    parts = [sums.sum(axis=0)] + ([] if reference is None else [reference.sum(axis=0)])
    known = np.all([(part[:, 1] > 0) & (part[:, 3] > 0) for part in parts], axis=0)
    if not known.any():
        return dict.fromkeys(("value", "low", "high", "jump_m", "jump_beside_m")) | {"edges": 0}
    parts = [part[known] for part in parts]
    edges = len(parts[0])
    low = high = None
    if edges >= 4:
        index = np.random.default_rng(seed).integers(0, edges, (draws, edges))
        tail = 50 * (1 - confidence)
        drawn = _ratio([part[index].sum(axis=1) for part in parts])
        low, high = (float(value) for value in np.percentile(drawn, [tail, 100 - tail]))
    total = parts[0].sum(axis=0)
    return {
        "value": float(_ratio([part.sum(axis=0) for part in parts])),
        "low": low,
        "high": high,
        "edges": edges,
        "jump_m": float(total[0] / total[1]),
        "jump_beside_m": float(total[2] / total[3]),
    }


def _ratio(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the ratio of the first sums over that of the others."""
    tiny = np.finfo(float).tiny
    ratios = [
        (part[..., 0] / part[..., 1]) / np.maximum(part[..., 2] / part[..., 3], tiny)
        for part in parts
    ]
    return np.asarray(ratios[0] / (ratios[1] if len(ratios) > 1 else 1.0))


def score_seams(
    days: Iterable[NDArray[np.floating]],
    edges: Mapping[str, Sequence[int]],
    periodic: bool,
    draws: int,
    confidence: float,
    seed: int,
    reference: Iterable[NDArray[np.floating]] | None = None,
) -> dict[str, Any]:
    """Return the ratio across rows, across columns and of both together.

    Args:
        days: maps (lat, lon) one by one.
        edges: "rows" and "columns" -> first index after each edge.
        periodic: columns close the circle.
        draws: as for `seam_ratio`, and so are the others.
        confidence: see there.
        seed: see there.
        reference: another field (the truth) on the same days: adds its own ratios as `reference`,
            and `relative`, the ratio of both together over that of the reference.
    """
    own = _sums(days, edges, periodic)
    options: dict[str, Any] = {"draws": draws, "confidence": confidence, "seed": seed}
    found: dict[str, Any] = {axis: seam_ratio(sums, **options) for axis, sums in own.items()}
    if reference is not None:
        other = _sums(reference, edges, periodic)
        found["reference"] = {axis: seam_ratio(sums, **options) for axis, sums in other.items()}
        found["relative"] = seam_ratio(own["both"], **options, reference=other["both"])
    return found


def _sums(
    days: Iterable[NDArray[np.floating]], edges: Mapping[str, Sequence[int]], periodic: bool
) -> dict[str, NDArray[np.float64]]:
    """Return the sums of `jumps` over days, of rows, of columns and of both, (1, edges, 4)."""
    sums = {axis: np.zeros((1, len(edges[axis]), 4)) for axis in ("rows", "columns")}
    for day in days:
        for axis, total in sums.items():
            total += jumps(day[None], edges[axis], axis, periodic)
    return {**sums, "both": np.concatenate(list(sums.values()), axis=1)}
