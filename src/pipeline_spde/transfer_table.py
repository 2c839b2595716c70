"""The table of transfer: the same data under networks from elsewhere, fine-tuned, and from scratch.

What a network cost is read from its training curves: optimiser steps and seconds of the domain
itself, and those of the trainings in other domains that it rests on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_spde.figures.style import method_look
from pipeline_spde.files import read_json
from pipeline_spde.stages import TransferTableStage
from pipeline_spde.transfers import Training

SCORES = ("rmse", "mu", "lambda_x", "crps", "spread_skill")
_PROTOCOLS = ("ssh-v1", "ssh-ose-v1")
_HEADINGS = {
    "data": "data",
    "task": "task",
    "method": "method",
    "start": "network",
    "rmse": "RMSE, cm",
    "mu": "µ",
    "lambda_x": "λx, km",
    "crps": "CRPS, cm",
    "spread_skill": "spread/skill",
    "steps": "steps here",
    "seconds": "seconds here",
    "steps_before": "steps elsewhere",
    "seconds_before": "seconds elsewhere",
}
_IN_CENTIMETRES = ("rmse", "crps")


def build(stage: TransferTableStage, scores: Path, models: Path) -> pd.DataFrame:
    """Return one row per network and per method without one, data by data.

    Args:
        stage: rows and references.
        scores: folder of the score files, scores/<domain>/<task>/<method>.json.
        models: folder of the training curves, models/<domain>/<task>/<curve>.

    Returns:
        Columns `data`, `domain`, `task`, `method`, `start`; each of `SCORES` with `_low` and
        `_high` (m, 1, km; NaN where there is none); `steps`, `seconds` of the domain's own
        trainings, `steps_before`, `seconds_before` of those elsewhere.
    """
    rows: list[dict[str, Any]] = []
    for row in stage.rows:
        place = {"data": row.data, "domain": row.domain, "task": row.task, "method": row.method}
        content = read_json(scores / row.domain / row.task / f"{row.method}.json")
        steps, seconds = _cost(row.trainings, models)
        before, seconds_before = _cost(row.before, models)
        cost = {"steps": steps, "seconds": seconds}
        cost |= {"steps_before": before, "seconds_before": seconds_before}
        rows.append(place | {"start": row.start} | _values(content) | cost)
    for data, domain, task, method in stage.references:
        content = read_json(scores / domain / task / f"{method}.json")
        place = {"data": data, "domain": domain, "task": task, "method": method, "start": "–"}
        rows.append(place | _values(content))
    frame = pd.DataFrame(rows)
    order = {data: number for number, data in enumerate(dict.fromkeys(frame["data"]))}
    return frame.sort_values(
        ["data", "task"], key=lambda c: c.map(order) if c.name == "data" else c, kind="stable"
    ).reset_index(drop=True)


def to_markdown(frame: pd.DataFrame) -> str:
    """Return the table with intervals, heights in cm."""
    columns = [name for name in _HEADINGS if name in frame and frame[name].notna().any()]
    lines = ["| " + " | ".join(_HEADINGS[name] for name in columns) + " |"]
    lines.append("|" + " --- |" * len(columns))
    for _, row in frame.iterrows():
        lines.append("| " + " | ".join(_text(row, name) for name in columns) + " |")
    return "\n".join(lines) + "\n"


def _text(row: pd.Series, name: str) -> str:
    """Return a cell in words."""
    value = row[name]
    if name == "method":
        return method_look(str(value)).label
    if name not in SCORES:
        if isinstance(value, str):
            return value
        return "–" if pd.isna(value) else f"{value:.0f}"
    if pd.isna(value):
        return ""
    factor = 100 if name in _IN_CENTIMETRES else 1
    digits = {"mu": 4, "lambda_x": 0}.get(name, 2)
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    interval = "" if pd.isna(low) else f" [{factor * low:.{digits}f}, {factor * high:.{digits}f}]"
    return f"{factor * value:.{digits}f}{interval}"


def _cost(trainings: Sequence[Training], models: Path) -> tuple[float, float]:
    """Return the optimiser steps and the seconds of some trainings."""
    steps = seconds = 0.0
    for one in trainings:
        curve = pd.read_csv(models / one.domain / one.task / one.curve)
        steps += float(curve["step"].iloc[-1])
        seconds += float(curve["seconds"].iloc[-1])
    return steps, seconds


def _values(content: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores of a score file with their intervals, NaN where there are none."""
    protocol = next(name for name in _PROTOCOLS if name in content["protocols"])
    known = content["protocols"][protocol]
    found: dict[str, float] = {}
    for name in SCORES:
        score = known.get(name) or content.get(name) or {}
        value, interval = score.get("value"), score.get("interval") or (None, None)
        ends = {"": value, "_low": interval[0], "_high": interval[1]}
        found |= {f"{name}{end}": float("nan") if v is None else v for end, v in ends.items()}
    return found
