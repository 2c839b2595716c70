"""The jumps across the edges of tiles: one where there is no seam, more where there is one."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline_spde.scores.seams import jumps, score_seams, seam_ratio


def smooth_field(shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Waves of a random ocean, periodic in longitude."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[1], : shape[2]]
    days = []
    for _ in range(shape[0]):
        field = np.zeros(shape[1:])
        for _ in range(30):
            k = 2 * np.pi / shape[2] * rng.integers(1, 12)
            field += rng.normal() * np.cos(k * x + rng.uniform(0, 0.5) * y + rng.uniform(0, 6.28))
        days.append(field)
    return np.stack(days)


def test_a_smooth_field_has_no_seams_and_tiles_side_by_side_have():
    fields = smooth_field((6, 60, 96), 0), smooth_field((6, 60, 96), 1)
    edges = {"rows": [12, 24, 36, 48], "columns": [0, 16, 32, 48, 64, 80]}
    arguments = {"periodic": True, "draws": 400, "confidence": 0.95, "seed": 0}
    clean = score_seams(iter(fields[0]), edges, **arguments)["both"]
    assert abs(clean["value"] - 1) < 0.04 and 0 < clean["high"] - clean["low"] < 0.3
    # a tenth of another field, in every second tile, without blending
    checked = (np.arange(60)[:, None] // 12 + np.arange(96) // 16) % 2
    cut = fields[0] + 0.1 * checked * fields[1]
    seamed = score_seams(iter(cut), edges, **arguments)
    for axis in ("rows", "columns", "both"):
        assert seamed[axis]["low"] > 1.05, axis
    assert clean["edges"] == 10
    # against the field itself: one, whatever it has of its own there
    same = score_seams(iter(fields[0]), edges, **arguments, reference=iter(fields[0]))
    assert same["relative"]["low"] == same["relative"]["high"] == same["relative"]["value"] == 1
    other = score_seams(iter(cut), edges, **arguments, reference=iter(fields[0]))["relative"]
    assert other["low"] > 1.02


def test_jumps_are_those_across_and_beside_the_edges():
    heights = np.zeros((1, 3, 20))
    heights[..., 10:] = 2.0  # one step of 2 m, at the edge
    heights[0, 0, 9] = np.nan  # a land cell: one row less
    sums = jumps(heights, [10], "columns")[0, 0]
    assert sums[0] == 4.0 and sums[1] == 2 and sums[2] == 0.0
    assert sums[3] == 6 * 3  # six places beside, three rows; none touches the land cell
    closed = jumps(heights, [0], "columns", periodic=True)[0, 0]
    assert closed[0] == 6.0 and closed[1] == 3
    none = seam_ratio(np.zeros((1, 0, 4)), 10, 0.95, 0)
    assert none["value"] is None and none["edges"] == 0
    with pytest.raises(ValueError, match="rows or columns"):
        jumps(heights, [1], "time")
