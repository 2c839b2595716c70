"""Minimisation of a noisy, costly criterion over a few positive parameters."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np

logger = logging.getLogger(__name__)

Point = dict[str, float]

_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
_EXTENSIONS = 6  # steps beyond the candidates before the search gives up and says so
_GOLDEN_STEPS = 4  # narrow a bracket to 15 %


class CoordinateSearch:
    """Search along one parameter after the other, on candidates and then by golden sections.

    When the best candidate is the first or the last one, the list is continued with the same
    ratio until the best lies inside.

    Attributes:
        table: every point tried with its criterion, in order.
        best: the point with the smallest criterion.
        value: that criterion.
        at_edge: parameter -> True when its best value is still the last one tried.
    """

    def __init__(
        self, criterion: Callable[[Point], float], candidates: Mapping[str, Sequence[float]]
    ) -> None:
        """Set the problem; the search starts from the middle candidates.

        Args:
            criterion: what to minimise.
            candidates: name -> positive values.

        Raises:
            ValueError: a parameter has no candidates.
        """
        empty = [name for name, values in candidates.items() if not values]
        if empty:
            raise ValueError(f"no candidates for {empty}; give at least one value each")
        self.criterion = criterion
        self.candidates = {name: sorted(set(values)) for name, values in candidates.items()}
        self.table: list[Point] = []
        self.best: Point = {n: v[(len(v) - 1) // 2] for n, v in self.candidates.items()}
        self.value = np.inf
        self.at_edge = dict.fromkeys(candidates, False)
        self._known: dict[tuple[float, ...], float] = {}

    def run(self) -> Point:
        """Return the best point."""
        for name in self.candidates:
            self._scan(name)
        for name, values in self.candidates.items():
            if len(values) > 1:
                self._refine(name)
        return self.best

    def _try(self, name: str, value: float) -> float:
        point = {**self.best, name: float(value)}
        key = tuple(round(np.log(v), 9) for v in point.values())
        if key not in self._known:
            self._known[key] = float(self.criterion(point))
            self.table.append({**point, "criterion": self._known[key]})
            logger.debug("tried %s: %.5f", point, self._known[key])
        return self._known[key]

    def _move(self, name: str, value: float, criterion: float) -> None:
        if criterion < self.value:
            self.best, self.value = {**self.best, name: float(value)}, criterion

    def _scan(self, name: str) -> None:
        """Try the candidates of one parameter, extending their list while the best is last."""
        values = list(self.candidates[name])
        scores = [self._try(name, value) for value in values]
        for _ in range(_EXTENSIONS if len(values) > 1 else 0):
            lowest = int(np.argmin(scores))
            if lowest == 0:
                values.insert(0, values[0] ** 2 / values[1])
                scores.insert(0, self._try(name, values[0]))
            elif lowest == len(values) - 1:
                values.append(values[-1] ** 2 / values[-2])
                scores.append(self._try(name, values[-1]))
            else:
                break
        lowest = int(np.argmin(scores))
        self.at_edge[name] = len(values) > 1 and lowest in (0, len(values) - 1)
        self.candidates[name] = values
        self._move(name, values[lowest], scores[lowest])

    def _refine(self, name: str) -> None:
        """Narrow the bracket of the best candidate by golden sections in the logarithm."""
        values = self.candidates[name]
        place = int(np.argmin(np.abs(np.log(values) - np.log(self.best[name]))))
        low = np.log(values[max(place - 1, 0)])
        high = np.log(values[min(place + 1, len(values) - 1)])
        inner = [high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)]
        scores = [self._try(name, np.exp(at)) for at in inner]
        for _ in range(_GOLDEN_STEPS - 2):
            if scores[0] < scores[1]:
                high, inner[1], scores[1] = inner[1], inner[0], scores[0]
                inner[0] = high - _GOLDEN * (high - low)
                scores[0] = self._try(name, np.exp(inner[0]))
            else:
                low, inner[0], scores[0] = inner[0], inner[1], scores[1]
                inner[1] = low + _GOLDEN * (high - low)
                scores[1] = self._try(name, np.exp(inner[1]))
        lowest = int(np.argmin(scores))
        self._move(name, float(np.exp(inner[lowest])), scores[lowest])
