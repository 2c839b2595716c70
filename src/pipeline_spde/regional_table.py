"""Scores by region of every method as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline_spde.figures.style import method_look

SCORES = ("rmse", "mu", "lambda_x", "crps", "spread_skill")
_HEADINGS = {"rmse": "RMSE, cm", "mu": "µ", "lambda_x": "λx, km", "crps": "CRPS, cm"}
_HEADINGS |= {"spread_skill": "spread/skill"}


def build(scores: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row per domain, task, region and method.

    Args:
        scores: contents of score files; those without regions are left out.

    Returns:
        Columns `domain`, `task`, `region`, `method`, `cells`, `truth_rms` (m) and each of `SCORES`
        (m, 1, km) with `_low` and `_high`, NaN where there is none.
    """
    rows = []
    for content in scores:
        for name, region in content.get("regions", {}).items():
            row = {key: content[key] for key in ("domain", "task", "method")}
            row |= {"region": name, "cells": region["cells"], "truth_rms": region["truth_rms"]}
            for score in SCORES:
                found = region.get(score) or {}
                low, high = found.get("interval") or (None, None)
                row |= {score: found.get("value"), f"{score}_low": low, f"{score}_high": high}
            rows.append(row)
    frame = pd.DataFrame(rows)
    return frame.sort_values(["domain", "task"], kind="stable").reset_index(drop=True)


def to_markdown(frame: pd.DataFrame) -> str:
    """Return a table for each domain and task, heights in cm, with intervals."""
    blocks = []
    for (domain, task), part in frame.groupby(["domain", "task"], sort=False):
        shown = [score for score in SCORES if part[score].notna().any()]
        heads = ["region", "cells", "truth, cm rms", "method", *(_HEADINGS[s] for s in shown)]
        lines = [f"### {domain}, {task}\n", "| " + " | ".join(heads) + " |"]
        lines.append("|" + " --- |" * len(heads))
        for region in dict.fromkeys(part["region"]):
            for _, row in part[part["region"] == region].iterrows():
                lines.append("| " + " | ".join(_cells(row, shown)) + " |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _cells(row: pd.Series, shown: Sequence[str]) -> list[str]:
    """Return the cells of a row as text."""
    rms = "" if pd.isna(row["truth_rms"]) else f"{100 * row['truth_rms']:.1f}"
    found = [str(row["region"]).replace("_", " "), str(row["cells"]), rms]
    found.append(method_look(str(row["method"])).label)
    for score in shown:
        factor = 100 if score in ("rmse", "crps") else 1
        digits = {"mu": 3, "lambda_x": 0}.get(score, 2)
        value, low, high = (row[f"{score}{end}"] for end in ("", "_low", "_high"))
        if pd.isna(value):
            found.append("–")
            continue
        text = f"{factor * value:.{digits}f}"
        if not pd.isna(low):
            text += f" [{factor * low:.{digits}f}, {factor * high:.{digits}f}]"
        found.append(text)
    return found
