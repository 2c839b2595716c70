"""Minimisation of a noisy, costly criterion over a few positive parameters."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np

logger = logging.getLogger(__name__)

Point = dict[str, float]

_EXTENSIONS = 6  # steps beyond the candidates before the scan gives up and says so
_FIRST_STEP = 0.25  # of the pattern search, in the logarithm
_LAST_STEP = 0.06
_MOST_MOVES = 25


class PatternSearch:
    """Scan of candidates, one parameter after the other, then a pattern search from the best.

    When the best candidate is the first or the last one, the list is continued with the same
    ratio until the best lies inside. The scan can end far from the minimum when parameters
    compensate each other (a longer correlation and more noise give similar maps); the pattern
    search (Hooke and Jeeves, 1961, in the logarithms) follows such a valley: after every round of
    steps along the axes it tries the sum of the successful ones once more.

    Attributes:
        table: every point tried with its criterion, in order.
        best: the point with the smallest criterion.
        value: that criterion.
        at_edge: parameter -> True when the scan gave up with the best value at the end of its
            list, or the search was stopped before it settled.
    """

    def __init__(
        self, criterion: Callable[[Point], float], candidates: Mapping[str, Sequence[float]]
    ) -> None:
        """Set the problem; the search starts from the middle candidates.

        Args:
            criterion: what to minimise.
            candidates: name -> positive values; a single value is kept fixed.

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
        self.value = self._evaluate(self.best)
        self.at_edge = dict.fromkeys(candidates, False)

    def run(self) -> Point:
        """Return the best point."""
        free = [name for name, values in self.candidates.items() if len(values) > 1]
        for name in free:
            self._scan(name)
        if free:
            self._settle(free)
        return self.best

    def _evaluate(self, point: Point) -> float:
        for row in self.table:
            if all(np.isclose(row[name], value, rtol=1e-9) for name, value in point.items()):
                return row["criterion"]
        value = float(self.criterion(point))
        self.table.append({**point, "criterion": value})
        logger.debug("tried %s: %.5f", point, value)
        return value

    def _try(self, point: Point) -> bool:
        """Evaluate a point; keep it and return True when it is the best so far."""
        value = self._evaluate(point)
        if value >= self.value:
            return False
        self.best, self.value = point, value
        return True

    def _scan(self, name: str) -> None:
        """Try the candidates of one parameter, extending their list while the best is last."""
        values = list(self.candidates[name])
        others = dict(self.best)
        for value in values:
            self._try({**others, name: value})
        for _ in range(_EXTENSIONS):
            if self.best[name] == values[0]:
                values.insert(0, values[0] ** 2 / values[1])
                self._try({**others, name: values[0]})
            elif self.best[name] == values[-1]:
                values.append(values[-1] ** 2 / values[-2])
                self._try({**others, name: values[-1]})
            else:
                break
        self.at_edge[name] = self.best[name] in (values[0], values[-1])

    def _settle(self, names: list[str]) -> None:
        """Move downhill from the best point with ever smaller steps."""
        step = _FIRST_STEP
        for _ in range(_MOST_MOVES):
            base = dict(self.best)
            for name in names:
                for factor in (np.exp(step), np.exp(-step)):
                    if self._try({**self.best, name: self.best[name] * factor}):
                        self.at_edge[name] = False
                        break
            if self.best == base:
                step /= 2
                if step < _LAST_STEP:
                    return
            else:
                self._try({name: self.best[name] ** 2 / base[name] for name in base})
        self.at_edge = {name: name in names for name in self.at_edge}
