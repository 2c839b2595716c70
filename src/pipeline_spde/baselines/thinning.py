"""Block averages of along-track and swath samples, as the quickstart interpolation takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.fields import Tracks

Array = NDArray[np.float64]

CHALLENGE_SWATH_POSTING_KM = 2.0
GROUND_SPEED_KM_S = 6.5  # of the SWOT nadir point, within 3 % at these latitudes
_PASS_GAP = np.timedelta64(600, "s")  # a longer pause starts another pass


@dataclass(frozen=True, eq=False)
class Points:
    """Block averages, sorted by time.

    Attributes:
        time: days since 1970-01-01, float, shape (n,).
        lat: degrees north, shape (n,).
        lon: degrees east, continuous within a block, shape (n,).
        height: m, shape (n,).
    """

    time: Array
    lat: Array
    lon: Array
    height: Array

    def select(self, keep: NDArray | slice) -> Points:
        """Return the points of a slice, boolean or integer index."""
        return Points(self.time[keep], self.lat[keep], self.lon[keep], self.height[keep])


def passes(tracks: Tracks) -> NDArray[np.int64]:
    """Return a number for every sample that is the same within one pass, shape (obs,).

    A pass is a run of samples of one mission with one pass number and no pause of 10 minutes, so
    that a pass number that comes back with the next cycle counts as another pass.
    """
    if len(tracks) == 0:
        return np.zeros(0, np.int64)
    order = np.lexsort((tracks.time, tracks.pass_id, tracks.mission))
    mission, number, time = tracks.mission[order], tracks.pass_id[order], tracks.time[order]
    fresh = (np.diff(mission) != 0) | (np.diff(number) != 0) | (np.diff(time) > _PASS_GAP)
    label = np.zeros(len(tracks), np.int64)
    label[order] = np.concatenate([[0], np.cumsum(fresh)])
    return label


def block_averages(tracks: Tracks, nadir: int, swath: tuple[int, int]) -> Points:
    """Return block averages of position, time and height within each pass.

    Nadir samples are averaged `nadir` at a time. Swath samples are averaged over blocks as large
    as `swath` (along, across) samples of the challenge's 2 km swath, e.g. 15 × 6 for 30 km × 12 km,
    on each side of nadir, whatever their own posting.

    Args:
        tracks: samples; missions with any sample off nadir count as swaths.
        nadir: samples per nadir block.
        swath: along- and across-track size of a swath block in samples of 2 km.
    """
    if len(tracks) == 0:
        empty = np.zeros(0)
        return Points(empty, empty, empty, empty)
    label = passes(tracks)
    wide = np.isin(tracks.mission, np.unique(tracks.mission[tracks.cross_track != 0]))
    along = np.where(wide, _swath_rank(tracks, label, swath[0]), _rank(label) // nadir)
    width = swath[1] * CHALLENGE_SWATH_POSTING_KM
    across = np.where(wide, np.floor(tracks.cross_track / width), 0).astype(np.int64)
    _, block = np.unique(_key(label, along, across - across.min()), return_inverse=True)
    counts = np.bincount(block)

    def average(values: NDArray) -> Array:
        return np.asarray(np.bincount(block, weights=values) / counts)

    first = np.zeros(counts.size, np.int64)
    first[block[::-1]] = np.arange(len(tracks))[::-1]
    # longitudes of a block may lie on both sides of the date line: average the offsets
    reference = tracks.lon[first]
    lon = reference + average((tracks.lon - reference[block] + 180.0) % 360.0 - 180.0)
    seconds = (tracks.time - np.datetime64("1970-01-01")) / np.timedelta64(1, "s")
    points = Points(average(seconds) / 86400.0, average(tracks.lat), lon, average(tracks.height))
    return points.select(np.argsort(points.time, kind="stable"))


def _key(*parts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one integer for each combination of non-negative integers, ordered like tuples."""
    key = np.zeros_like(parts[0])
    for part in parts:
        key = key * (int(part.max()) + 1) + part
    return key


def _rank(label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the position of each sample among those with its label (samples in time order)."""
    order = np.argsort(label, kind="stable")
    starts = np.searchsorted(label[order], label[order])
    rank = np.empty_like(label)
    rank[order] = np.arange(label.size) - starts
    return rank


def _swath_rank(tracks: Tracks, label: NDArray[np.int64], samples: int) -> NDArray[np.int64]:
    """Return the along-track block of each sample, counted from the start of its pass."""
    seconds = (tracks.time - tracks.time[0]) / np.timedelta64(1, "s")
    start = np.full(label.max() + 1, np.inf)
    np.minimum.at(start, label, seconds)
    length = samples * CHALLENGE_SWATH_POSTING_KM
    blocks: NDArray[np.int64] = ((seconds - start[label]) * GROUND_SPEED_KM_S // length).astype(
        np.int64
    )
    return blocks
