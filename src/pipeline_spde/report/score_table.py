"""The score tables of the page: values with intervals, drawn and marked where they are best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline_spde.figures.style import method_look
from pipeline_spde.scores import tables

HIGHER, LOWER = "higher is better", "lower is better"
_HIGHER = {"mu", "mu_daily", "correlation", "crpss_oi", "crpss_deterministic"}
_HIGHER |= {"error_spread_correlation", "daily_spread_error_correlation"}
_TARGETS = {"spread_skill": 1.0}
_TARGETS |= {f"coverage_{level}": level / 100 for level in (50, 80, 90, 95)}


@dataclass(frozen=True)
class Cell:
    """A score of a method.

    Attributes:
        text: the value, or what is said in its place.
        interval: "[low, high]", "" when there is none.
        value: to sort by; NaN sorts last.
        best: True for the best of its domain, task and observations.
        bar: (low, value, high) as shares of the column's range, or None.
    """

    text: str
    interval: str
    value: float
    best: bool
    bar: tuple[float, float, float] | None


@dataclass(frozen=True)
class Row:
    """The scores of a method in a protocol."""

    domain: str
    task: str
    method: str
    colour: str
    observations: str
    cells: list[Cell]


@dataclass(frozen=True)
class Column:
    """A score: heading, unit and what is better."""

    name: str
    text: str
    unit: str
    better: str


@dataclass(frozen=True)
class Table:
    """The scores of a protocol."""

    protocol: str
    caption: str
    columns: list[Column]
    rows: list[Row]


def score_tables(scores: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Return a table of each protocol, the summary with the uncertainty first.

    Args:
        scores: contents of score files.
    """
    if not scores:
        return []
    frame = tables.build(scores)
    captions = tables.captions(frame)
    return [_table(frame[name], name, captions[name]) for name in captions]


def better(name: str) -> str:
    """Return what is better of a score."""
    plain = name.removeprefix("raw_")
    if plain in _TARGETS:
        return f"best is {_TARGETS[plain]:g}"
    return HIGHER if plain in _HIGHER else LOWER


def _table(part: Any, protocol: str, caption: str) -> Table:
    names = list(dict.fromkeys(part.columns.get_level_values("score")))
    shown = part[[any(_text(line[name], 4) for name in names) for _, line in part.iterrows()]]
    columns: list[Column] = []
    by_row: list[list[Cell]] = [[] for _ in range(len(shown))]
    for name in names:
        text, decimals = tables.column_look(name)
        unit = next((u for u in shown[name]["unit"] if u not in ("", "1")), "")
        columns.append(Column(name, text, unit, better(name)))
        for row, cell in enumerate(_cells(shown, name, decimals)):
            by_row[row].append(cell)
    rows = []
    for number, key in enumerate(shown.index):
        domain, task, method, observations = (str(part) for part in key)
        look = method_look(method)
        rows.append(Row(domain, task, look.label, look.colour, observations, by_row[number]))
    return Table(protocol, caption, columns, rows)


def _cells(frame: pd.DataFrame, name: str, decimals: int) -> list[Cell]:
    """Return the cells of a score, all methods."""
    part = frame[name]
    values = [float(value) for value in part["value"]]
    best = _best(frame.index.tolist(), values, better(name))
    ends = [float(v) for key in ("value", "low", "high") for v in part[key] if not math.isnan(v)]
    low, high = (min(ends), max(ends)) if ends else (0.0, 0.0)
    cells = []
    for row, (_, line) in enumerate(part.iterrows()):
        value, bottom, top = (float(line[key]) for key in ("value", "low", "high"))
        known = not any(math.isnan(v) for v in (value, bottom, top))
        interval = f"[{bottom:.{decimals}f}, {top:.{decimals}f}]" if known else ""
        bar = None
        if known and high > low:
            shares = [(v - low) / (high - low) for v in (bottom, value, top)]
            bar = (shares[0], shares[1], shares[2])
        cells.append(Cell(_text(line, decimals), interval, value, row in best, bar))
    return cells


def _best(keys: Sequence[tuple], values: Sequence[float], direction: str) -> set[int]:
    """Return the rows that are best among those of one domain, task and set of observations."""
    groups: dict[tuple, list[int]] = {}
    for row, (domain, task, _, observations) in enumerate(keys):
        if not math.isnan(values[row]):
            groups.setdefault((domain, task, observations), []).append(row)
    found = set()
    for rows in groups.values():
        if len(rows) > 1:
            found.add(min(rows, key=lambda row: _loss(values[row], direction)))
    return found


def _loss(value: float, direction: str) -> float:
    if direction == HIGHER:
        return -value
    return value if direction == LOWER else abs(value - float(direction.rsplit(" ", 1)[1]))


def _text(line: Mapping[str, Any], decimals: int) -> str:
    if math.isnan(line["value"]) or line["note"]:
        return str(line["note"])
    return f"{line['value']:.{decimals}f}"
