"""Choice of parameters from short lists of candidates, one list after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

logger = logging.getLogger(__name__)

_EXTENSIONS = 2  # steps beyond a list
_AS_GOOD = 1.01  # errors this close to the smallest differ by chance: the first candidate is taken

P = TypeVar("P")


class ListScan(Generic[P]):
    """Candidates tried in turn; a list whose end is best is continued by its own ratio.

    Attributes:
        best: the parameters with what has been chosen so far.
        rows: "name=value: error" of all that was tried, in order.
        at_edge: names of the parameters whose chosen value is the smallest or largest one tried.
    """

    def __init__(self, error: Callable[[P], float], first: P) -> None:
        """Set the problem.

        Args:
            error: what to make small, given parameters (a frozen dataclass).
            first: parameters to begin with.
        """
        self.best = first
        self.rows: list[str] = []
        self.at_edge: list[str] = []
        self._error = error
        self._known: float | None = None  # the error of `best`

    def choose(self, name: str, candidates: Sequence[float], limits: tuple[float, float]) -> None:
        """Put the best value of a parameter into `best`.

        Args:
            name: the parameter.
            candidates: values in order of preference; a single one is taken without a trial.
            limits: (lowest, highest) value that the list may be continued to.
        """
        if len(set(candidates)) == 1:
            if candidates[0] != getattr(self.best, name):
                self.best, self._known = self._with(name, candidates[0]), None
            return
        errors = {value: self._try(name, value) for value in candidates}
        for _ in range(_EXTENSIONS):
            more = _beyond(list(errors), _first_as_good(errors), limits)
            if more is None:
                break
            errors[more] = self._try(name, more)
        chosen = _first_as_good(errors)
        if chosen in (min(errors), max(errors)):
            self.at_edge.append(name)
            logger.warning("%s ends at %.4g, the last value tried", name, chosen)
        self.best, self._known = self._with(name, chosen), errors[chosen]

    def _try(self, name: str, value: float) -> float:
        """Return the error of the best parameters so far with another value."""
        same = value == getattr(self.best, name)
        known = self._known if same else None
        error = self._error(self._with(name, value)) if known is None else known
        self.rows.append(f"{name}={value:g}: {error:.5f}")
        logger.info("%s", self.rows[-1])
        return error

    def _with(self, name: str, value: float) -> P:
        changed: Any = replace(self.best, **{name: value})  # type: ignore[type-var]
        return changed


def _first_as_good(errors: Mapping[float, float]) -> float:
    """Return the first value whose error is the smallest, or as good."""
    most = _AS_GOOD * min(errors.values())
    return next(value for value, error in errors.items() if error <= most)


def _beyond(values: Sequence[float], chosen: float, limits: tuple[float, float]) -> float | None:
    """Return the value that continues the list at its end `chosen`; None inside or at a limit."""
    up = sorted(values)
    low, high = limits
    if chosen == up[-1]:
        following = min(up[-1] ** 2 / up[-2], high) if up[-2] > 0 else high
        return following if following > chosen else None
    if chosen == up[0]:
        following = max(up[0] ** 2 / up[1], low)
        return following if following < chosen else None
    return None
