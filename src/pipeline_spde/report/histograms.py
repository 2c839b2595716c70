"""Rank histograms of the maps with a spread, as numbers for a drawing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline_spde.figures.style import method_look

BARS = 20
"""Bars at most: neighbouring ranks are joined."""
_NORMAL_95 = 1.96
_SURPRISING = 0.05  # p-values below are not flat by chance


@dataclass(frozen=True)
class RankHistogram:
    """How often the truth has each rank among the members; 1 everywhere for an honest spread.

    Attributes:
        domain: name of the domain.
        task: name of the task.
        method: how the method is called in figures.
        colour: of the method in figures.
        version: "raw" or "calibrated", "" when there is only one.
        frequency: of each bar, 1 where flat.
        low: below this a bar is not flat by chance (95 %).
        high: above this a bar is not flat by chance (95 %).
        p_value: of flatness; None: not known.
        of: what is counted, "ranks" or "PIT".
    """

    domain: str
    task: str
    method: str
    colour: str
    version: str
    frequency: tuple[float, ...]
    low: float
    high: float
    p_value: float | None
    of: str

    @property
    def shape(self) -> str:
        """What the shape says of the spread, in words."""
        count = len(self.frequency)
        third = max(count // 4, 1)
        inside = all(self.low <= bar <= self.high for bar in self.frequency)
        if inside if self.p_value is None else self.p_value >= _SURPRISING:
            return "flat within chance"
        ends = float(np.mean([*self.frequency[:third], *self.frequency[-third:]]))
        middle = float(np.mean(self.frequency[third:-third])) if count > 2 * third else 1.0
        if ends > max(1.05 * middle, 1.05):
            return "raised at the ends: the spread is too small"
        if middle > max(1.05 * ends, 1.05):
            return "raised in the middle: the spread is too large"
        return "uneven"


def rank_histograms(scores: Sequence[Mapping[str, Any]]) -> list[RankHistogram]:
    """Return the histograms of all score files that have one, the calibrated version first."""
    found = []
    for content in scores:
        histograms = content.get("probabilistic", {}).get("rank_histogram", {})
        versions = [name for name in ("calibrated", "raw") if name in histograms]
        for version in versions:
            label = version if len(versions) > 1 else ""
            found.append(_histogram(content, label, histograms[version]))
    return found


def _histogram(
    content: Mapping[str, Any], version: str, histogram: Mapping[str, Any]
) -> RankHistogram:
    frequency = _relative_frequency(histogram["counts"])
    half = _NORMAL_95 * math.sqrt(max(len(frequency) - 1, 1) / histogram["independent_points"])
    look = method_look(content["method"])
    return RankHistogram(
        domain=content["domain"],
        task=content["task"],
        method=look.label,
        colour=look.colour,
        version=version,
        frequency=frequency,
        low=max(1 - half, 0.0),
        high=1 + half,
        p_value=histogram.get("chi_square", {}).get("p_value"),
        of=histogram["of"],
    )


def _relative_frequency(counts: Sequence[int]) -> tuple[float, ...]:
    """Return the frequency of joined ranks over that of a flat histogram."""
    groups = np.array_split(np.asarray(counts, dtype=float), min(BARS, len(counts)))
    flat = sum(counts) / len(counts)
    return tuple(float(group.mean() / flat) if flat else 1.0 for group in groups)


def drawing(histogram: RankHistogram, width: int = 260, height: int = 120) -> dict[str, Any]:
    """Return the coordinates of a drawing in pixels: bars, band of chance, line of flatness."""
    top = max(1.6, 1.05 * histogram.high, 1.05 * max(histogram.frequency))
    step = width / len(histogram.frequency)

    def y_of(frequency: float) -> float:
        return round(height * (1 - min(frequency, top) / top), 1)

    bars = [
        {
            "x": round(number * step + 0.5, 1),
            "y": y_of(frequency),
            "width": round(step - 1, 1),
            "height": round(height - y_of(frequency), 1),
            "frequency": round(frequency, 2),
        }
        for number, frequency in enumerate(histogram.frequency)
    ]
    top, bottom = y_of(histogram.high), y_of(histogram.low)
    band = {"y": top, "height": round(bottom - top, 1)}
    return {"bars": bars, "band": band, "flat": y_of(1.0), "width": width, "height": height}
