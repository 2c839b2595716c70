"""Score files of many runs → one table; written as Markdown, LaTeX, HTML or CSV.

A score file is what `score_maps` or `score_tracks` returns, with the keys `domain`, `task`,
`method` and `observations` (a text or a list of missions) beside it.

Each protocol has a table, the scores of the maps' uncertainty have one, and one puts the main
scores of both side by side: "ssh-v1 with uncertainty". Scores of a calibrated ensemble stand beside
those of the raw one.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pipeline_spde.files import DataError, read_json
from pipeline_spde.scores.published import PUBLISHED

ROW_KEYS = ("domain", "task", "method", "observations")
UNCERTAINTY = "uncertainty"  # group of the probabilistic scores, which belong to no protocol
PUBLISHED_DOMAIN = "NATL60 (published)"
SUMMARY = " with uncertainty"  # ends the name of the group that joins a protocol and UNCERTAINTY
_SUMMARISED = ("ssh-v1", "ssh-ose-v1")  # of these protocols, else of the first one there is
_SUMMARY_MAPS = ("mu", "sigma", "lambda_x", "lambda_t")
_SUMMARY_SPREAD = ("crps", "spread_skill", "coverage_90")  # and their raw versions
_RAW = "raw_"
_PARTS = ("value", "low", "high", "unit", "note")


class _Column(NamedTuple):
    text: str
    latex: str
    decimals: int


_COLUMNS = {
    "mu": _Column("µ", r"$\mu$", 4),
    "sigma": _Column("σ", r"$\sigma$", 4),
    "mu_daily": _Column("daily µ", r"daily $\mu$", 4),
    "rmse": _Column("RMSE", "RMSE", 4),
    "correlation": _Column("r", "$r$", 3),
    "lambda_x": _Column("λx", r"$\lambda_x$", 2),
    "lambda_t": _Column("λt", r"$\lambda_t$", 2),
    "crps": _Column("CRPS", "CRPS", 4),
    "raw_crps": _Column("raw CRPS", "raw CRPS", 4),
    "crpss_oi": _Column("CRPSS (tuned OI)", "CRPSS (tuned OI)", 3),
    "crpss_deterministic": _Column("CRPSS (own map)", "CRPSS (own map)", 3),
    "spread_skill": _Column("spread/skill", "spread/skill", 3),
    "raw_spread_skill": _Column("raw spread/skill", "raw spread/skill", 3),
    "coverage_50": _Column("50 % coverage", r"50\,\% coverage", 3),
    "coverage_80": _Column("80 % coverage", r"80\,\% coverage", 3),
    "coverage_90": _Column("90 % coverage", r"90\,\% coverage", 3),
    "raw_coverage_90": _Column("raw 90 % coverage", r"raw 90\,\% coverage", 3),
    "coverage_95": _Column("95 % coverage", r"95\,\% coverage", 3),
    "error_spread_correlation": _Column("error–spread r", "error--spread $r$", 3),
    "daily_spread_error_correlation": _Column("daily r", "daily $r$", 3),
}
_UNCERTAINTY_COLUMNS = tuple(_COLUMNS)[tuple(_COLUMNS).index("crps") :]
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "°": r"$^\circ$",
    "µ": r"$\mu$",
    "σ": r"$\sigma$",
    "λ": r"$\lambda$",
    "…": r"\dots{}",
    "<": r"$<$",
    ">": r"$>$",
    "−": "$-$",
    "–": "--",
    "|": r"\textbar{}",
}


def build(
    scores: Sequence[str | Path | Mapping[str, Any]], published: bool = False
) -> pd.DataFrame:
    """Return the table of score files, rows in the order given.

    Args:
        scores: paths of JSON files, or their contents.
        published: add the published rows of the protocols that occur.

    Returns:
        Index (domain, task, method, observations); columns (protocol, score, part) with the parts
        value, low, high (NaN where there is none), unit and note (what is shown in place of the
        number: "unresolved (> 10)", "< 11.2", or a published number as printed).
        `attrs["captions"]` holds a line per protocol: version, grids, days and whether the rows
        may stand beside published ones.

    Raises:
        DataError: a file is damaged or lacks a key, or two files describe the same row.
    """
    rows: dict[tuple[str, ...], dict[tuple[str, str, str], Any]] = {}
    captions: dict[str, list[str]] = {}
    for item in scores:
        content, origin = _read(item)
        key = _row_key(content, origin)
        if key in rows:
            raise DataError(f"{origin}: a second score of {' / '.join(key)}; give each once")
        rows[key] = dict(_cells(content))
        for name, protocol in content["protocols"].items():
            captions.setdefault(name, []).append(_conditions(key[0], protocol))
    if published:
        for key, cells in _published_rows(set(captions)):
            rows.setdefault(key, {}).update(cells)
    columns = _in_order(list(dict.fromkeys(column for cells in rows.values() for column in cells)))
    frame = pd.DataFrame(
        [[cells.get(column, _absent(column)) for column in columns] for cells in rows.values()],
        index=pd.MultiIndex.from_tuples(list(rows), names=ROW_KEYS),
        columns=pd.MultiIndex.from_tuples(columns, names=("protocol", "score", "part")),
    )
    frame.attrs["captions"] = {
        name: f"Protocol {name}. " + " ".join(dict.fromkeys(lines))
        for name, lines in captions.items()
    }
    return frame


def column_look(name: str) -> tuple[str, int]:
    """Return how a score is headed and with how many decimals it is written."""
    return _COLUMNS[name].text, _COLUMNS[name].decimals


def captions(frame: pd.DataFrame) -> dict[str, str]:
    """Return the caption of each table of `build`, in their order."""
    names = dict.fromkeys(frame.columns.get_level_values("protocol"))
    return {name: _caption(frame, name) for name in names}


def to_markdown(frame: pd.DataFrame) -> str:
    """Return one Markdown table per protocol, each with its caption."""
    blocks = []
    for name, header, rows in _sections(frame, lambda column: column.text, str):
        lines = [[_markdown(cell) for cell in line] for line in [header, *rows]]
        widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
        padded = [
            "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
            for line in lines
        ]
        rule = "| " + " | ".join("-" * width for width in widths) + " |"
        caption = _caption(frame, name)
        text = "\n".join([padded[0], rule, *padded[1:]])
        blocks.append(f"### {name}\n\n{text}\n\n{caption}\n")
    return "\n".join(blocks)


def to_latex(frame: pd.DataFrame) -> str:
    """Return one LaTeX table (booktabs) per protocol; all text is escaped."""
    blocks = []
    for name, header, rows in _sections(frame, lambda column: column.latex, _latex):
        keys = len(ROW_KEYS)
        body = "\n".join(" & ".join(line) + r" \\" for line in rows)
        blocks.append(
            "\\begin{table}\n\\centering\n"
            f"\\caption{{{_latex(_caption(frame, name))}}}\n"
            f"\\begin{{tabular}}{{{'l' * keys}{'r' * (len(header) - keys)}}}\n\\toprule\n"
            f"{' & '.join(header)} \\\\\n\\midrule\n{body}\n\\bottomrule\n"
            "\\end{tabular}\n\\end{table}\n"
        )
    return "\n".join(blocks)


def to_html(frame: pd.DataFrame) -> str:
    """Return a page with one table per protocol; all text is escaped."""
    blocks = []
    for name, header, rows in _sections(frame, lambda column: column.text, str):
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
        body = "\n".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>"
            for line in rows
        )
        blocks.append(
            f"<h2>{html.escape(name)}</h2>\n<table>\n<thead><tr>{head}</tr></thead>\n"
            f"<tbody>\n{body}\n</tbody>\n</table>\n<p>{html.escape(_caption(frame, name))}</p>"
        )
    style = (
        "body{font-family:sans-serif;margin:1.5em}table{border-collapse:collapse}"
        "th,td{padding:.25em .7em;border-bottom:1px solid #ccc;text-align:left}"
        "p{color:#555;max-width:60em;font-size:90%}"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Scores</title>'
        f"<style>{style}</style></head>\n<body>\n" + "\n".join(blocks) + "\n</body></html>\n"
    )


def to_csv(frame: pd.DataFrame) -> str:
    """Return CSV with one row per run and plain headers such as "ssh-v1 lambda_x low".

    What joins a protocol and the uncertainty is left out: both are in the row already.
    """
    flat = frame[[column for column in frame.columns if not column[0].endswith(SUMMARY)]].copy()
    flat.columns = pd.Index([_plain_header(*column) for column in flat.columns.to_list()])
    return flat.reset_index().to_csv(index=False, lineterminator="\n")


def _plain_header(protocol: str, score: str, part: str) -> str:
    return f"{protocol} {score}" if part == "value" else f"{protocol} {score} {part}"


def _read(item: str | Path | Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    if isinstance(item, Mapping):
        return item, "scores"
    return read_json(item), str(item)


def _row_key(content: Mapping[str, Any], origin: str) -> tuple[str, ...]:
    missing = [key for key in (*ROW_KEYS, "protocols") if key not in content]
    if missing:
        raise DataError(f"{origin}: not a score file, {missing} missing; it has {list(content)}")
    observations = content["observations"]
    text = observations if isinstance(observations, str) else ", ".join(observations)
    return (*(str(content[key]) for key in ROW_KEYS[:3]), text)


def _cells(content: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str, str], Any]]:
    """Yield ((protocol, score, part), content) of every score that is tabulated."""
    for group, scores in _groups(content).items():
        for name in _COLUMNS:
            if name in scores:
                score = scores[name]
                low, high = score["interval"]
                parts = (
                    *map(_number, (score["value"], low, high)),
                    score["unit"],
                    _note(name, score),
                )
                for part, value in zip(_PARTS, parts, strict=True):
                    yield (group, name, part), value


def _groups(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the scores of each table: what joins two, the protocols, the uncertainty."""
    protocols = content["protocols"]
    spread = _uncertainty(content)
    main = next((name for name in _SUMMARISED if name in protocols), next(iter(protocols), None))
    summary = {}
    if main is not None and spread:
        shown = [*_SUMMARY_SPREAD, *(_RAW + name for name in _SUMMARY_SPREAD)]
        scores = {name: protocols[main][name] for name in _SUMMARY_MAPS if name in protocols[main]}
        summary = {main + SUMMARY: scores | {k: spread[k] for k in shown if k in spread}}
    return {**summary, **protocols, UNCERTAINTY: spread}


def _uncertainty(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the quoted scores; the raw ones beside them where there is a calibrated version."""
    versions = content.get("probabilistic", {})
    raw = versions.get("raw", {})
    scores = {name: content[name] for name in _UNCERTAINTY_COLUMNS if name in content}
    if versions.get("kind") == "deterministic":
        scores |= {name: raw[name] for name in ("crps", "crpss_oi") if name in raw}
    if versions.get("calibrated"):
        scores |= {_RAW + name: raw[name] for name in _SUMMARY_SPREAD if name in raw}
    return scores


def _note(name: str, score: Mapping[str, Any]) -> str:
    """Return what a cell says in place of a missing number; "" where there is one."""
    if score["value"] is not None:
        return ""
    limit = score["limit"] or ""
    if limit.startswith("<"):
        return limit
    if score["reason"].startswith("left out"):
        return "left out"
    if not name.startswith("lambda") or score["reason"].startswith("not defined"):
        return "–"
    return f"unresolved ({limit})" if limit else "unresolved"


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _absent(column: tuple[str, str, str]) -> Any:
    return "" if column[2] in ("unit", "note") else math.nan


def _in_order(columns: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Return the columns by protocol and score; summaries first, uncertainty last."""
    protocols = list(dict.fromkeys(column[0] for column in columns))
    protocols.sort(key=lambda name: (not name.endswith(SUMMARY), name == UNCERTAINTY))
    scores = list(_COLUMNS)
    return sorted(columns, key=lambda c: (protocols.index(c[0]), scores.index(c[1])))


def _conditions(domain: str, protocol: Mapping[str, Any]) -> str:
    """Return a sentence on grid, days and comparability of a row."""
    text = (
        f"{domain}: version {protocol['version']}, {protocol['grid']}, {protocol['days']} days "
        f"({protocol['first_day']} … {protocol['last_day']})"
    )
    for key, words in (("filled_cells", "filled"), ("excluded_cells", "without a map")):
        if protocol.get(key):
            text += f", {protocol[key]} cells {words}"
    if not protocol["comparable"]:
        text += f"; not comparable with published rows: {protocol['not_comparable_because']}"
    return text + "."


_UNCERTAINTY_CAPTION = (
    "CRPS: fair for ensembles, Gaussian for maps with a standard deviation, the mean absolute "
    "error for maps without. Raw: before the spread was calibrated. Ideal: spread/skill 1, 90 % "
    "coverage 0.9."
)


def _caption(frame: pd.DataFrame, name: str) -> str:
    if name == UNCERTAINTY:
        return (
            f"Scores of the maps' error estimate. {_UNCERTAINTY_CAPTION} CRPSS: 1 − CRPS / CRPS of "
            "the tuned OI, or of the method's own map without a spread. r: rank correlation of "
            "absolute error and spread, and correlation of daily RMSE and daily spread."
        )
    if name.endswith(SUMMARY):
        return f"{_caption(frame, name.removesuffix(SUMMARY))} {_UNCERTAINTY_CAPTION}"
    return str(frame.attrs.get("captions", {}).get(name, f"Protocol {name}."))


def _published_rows(
    protocols: set[str],
) -> Iterator[tuple[tuple[str, ...], dict[tuple[str, str, str], Any]]]:
    """Yield the published rows of the given protocols, without intervals."""
    units = {"mu": "1", "sigma": "1", "lambda_x": "", "lambda_t": "day"}
    for row in PUBLISHED:
        if row.protocol in protocols:
            cells: dict[tuple[str, str, str], Any] = {}
            for name, unit in units.items():
                value = getattr(row, name)
                number = math.nan if value is None else float(value)
                parts = (number, math.nan, math.nan, unit, value or "–")
                cells |= {
                    (row.protocol, name, part): content
                    for part, content in zip(_PARTS, parts, strict=True)
                }
            yield (PUBLISHED_DOMAIN, row.task, row.method, row.observations), cells


def _sections(
    frame: pd.DataFrame, heading: Callable[[_Column], str], escape: Callable[[str], str]
) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Yield (protocol, header, rows of text) of each protocol; rows without a score left out."""
    for protocol in dict.fromkeys(frame.columns.get_level_values("protocol")):
        part = frame[protocol]
        names = list(dict.fromkeys(part.columns.get_level_values("score")))
        header = [*ROW_KEYS]
        for name in names:
            unit = next((u for u in part[name]["unit"] if u not in ("", "1")), "")
            header.append(heading(_COLUMNS[name]) + (f" [{escape(unit)}]" if unit else ""))
        rows = []
        for key, line in part.iterrows():
            cells = [_cell(line[name], _COLUMNS[name].decimals) for name in names]
            if any(cells):
                rows.append([*(escape(str(k)) for k in key), *(escape(c) for c in cells)])
        yield protocol, header, rows


def _cell(score: Mapping[str, Any], decimals: int) -> str:
    """Return "0.8655 [0.8600, 0.8672]", what the note says, or "" where there is no score."""
    value, low, high = (score[part] for part in ("value", "low", "high"))
    if math.isnan(value) or score["note"]:
        return str(score["note"])
    text = f"{value:.{decimals}f}"
    if math.isnan(low) and math.isnan(high):
        return text
    bounds = ["?" if math.isnan(bound) else f"{bound:.{decimals}f}" for bound in (low, high)]
    return f"{text} [{bounds[0]}, {bounds[1]}]"


def _markdown(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
