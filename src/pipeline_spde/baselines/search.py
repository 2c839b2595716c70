"""Minimisation of a noisy, costly criterion over a few positive parameters."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.optimize import minimize

logger = logging.getLogger(__name__)

Point = dict[str, float]
Progress = Callable[[int, int], None]

_EXTENSIONS = 6  # steps beyond the candidates before the scan gives up and says so
_SIMPLEX_STEP = 0.25  # in the logarithm
_SETTLED_STEP = 0.05
_SETTLED_GAIN = 1e-3  # relative
_MOST_TRIALS = 30


class ScanAndSimplex:
    """Scan of candidates, one parameter after the other, then a simplex search from the best.

    When the best candidate is the first or the last one, the list is continued with the same
    ratio until the best lies inside. The scan can end far from the minimum when parameters
    compensate each other (a longer correlation and more noise give similar maps); the simplex of
    Nelder and Mead, in the logarithms, follows such a valley.

    Attributes:
        table: every point tried with its criterion, in order.
        best: the point with the smallest criterion.
        value: that criterion.
        at_edge: parameter -> True when the best value lies at or beyond an end of the scan.
    """

    def __init__(
        self,
        criterion: Callable[[Point], float],
        candidates: Mapping[str, Sequence[float]],
        progress: Progress | None = None,
    ) -> None:
        """Set the problem; the search starts from the middle candidates.

        Args:
            criterion: what to minimise.
            candidates: name -> positive values; a single value is kept fixed.
            progress: called after every new point with (points tried, points likely in all).

        Raises:
            ValueError: a parameter has no candidates.
        """
        empty = [name for name, values in candidates.items() if not values]
        if empty:
            raise ValueError(f"no candidates for {empty}; give at least one value each")
        self.criterion = criterion
        self.progress = progress
        self.candidates = {name: sorted(set(values)) for name, values in candidates.items()}
        self.table: list[Point] = []
        self.best: Point = {n: v[(len(v) - 1) // 2] for n, v in self.candidates.items()}
        self.value = np.inf
        self.at_edge = dict.fromkeys(candidates, False)
        free = [values for values in self.candidates.values() if len(values) > 1]
        self._likely = 1 + sum(len(values) - 1 for values in free) + (_MOST_TRIALS if free else 0)

    def run(self) -> Point:
        """Return the best point."""
        self._try(self.best)
        free = [name for name, values in self.candidates.items() if len(values) > 1]
        for name in free:
            self._scan(name)
        if free:
            self._settle(free)
        for name in free:
            values = self.candidates[name]
            self.at_edge[name] = not values[0] < self.best[name] < values[-1]
        return self.best

    def _try(self, point: Point) -> float:
        """Return the criterion at a point; keep the point when it is the best so far."""
        for row in self.table:
            if all(np.isclose(row[name], value, rtol=1e-9) for name, value in point.items()):
                return row["criterion"]
        value = float(self.criterion(point))
        self.table.append({**point, "criterion": value})
        logger.debug("tried %s: %.5f", point, value)
        if self.progress is not None:
            self.progress(len(self.table), max(self._likely, len(self.table)))
        if value < self.value:
            self.best, self.value = point, value
        return value

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
        self.candidates[name] = values

    def _settle(self, names: list[str]) -> None:
        """Move downhill from the best point until the simplex is small or flat."""
        start = dict(self.best)
        corner = np.log([start[name] for name in names])
        simplex = np.vstack([corner, corner + _SIMPLEX_STEP * np.eye(len(names))])

        def criterion(place: np.ndarray) -> float:
            return self._try({**start, **dict(zip(names, np.exp(place).tolist(), strict=True))})

        found = minimize(
            criterion,
            corner,
            method="Nelder-Mead",
            options={
                "initial_simplex": simplex,
                "xatol": _SETTLED_STEP,
                "fatol": _SETTLED_GAIN * self.value,
                "maxfev": _MOST_TRIALS,
            },
        )
        if not found.success:
            logger.warning("search stopped after %d trials: %s", len(self.table), found.message)
