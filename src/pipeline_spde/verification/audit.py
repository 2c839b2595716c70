"""Published scores of public maps, computed again from the maps: agreement, or the reason why not.

`resources/published.yaml` holds what was printed, where, and what is known about it. Whatever is in
the data folder is scored; what is missing is said with the command that fetches it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from pipeline_spde.data.sources.selection import Selection
from pipeline_spde.files import DataError
from pipeline_spde.verification import (
    GridRequest,
    Scoring,
    TrackRequest,
    score_against_tracks,
    score_against_truth,
)

logger = logging.getLogger(__name__)

COLUMNS = (
    "table", "method", "protocol", "score", "published", "recomputed", "difference", "verdict",
    "known_reason", "map", "source",
)  # fmt: skip
AGREES, DIFFERS, MISSING, FAILED = "agrees", "differs", "not on disk", "cannot be scored"
UNSCORED, UNRESOLVED, OTHER = "never published", "unresolved", "no such score here"
_DRAWS = 20  # intervals are not asked for


@dataclass(frozen=True)
class Published:
    """The tables of published scores (`resources/published.yaml`)."""

    sources: Mapping[str, Mapping[str, str]]
    reasons: Mapping[str, str]
    tables: Sequence[Mapping[str, Any]]

    @classmethod
    def load(cls, path: Path | None = None) -> Published:
        """Return the package's tables, or those of a file of the same layout.

        Raises:
            DataError: the file is not of that layout.
        """
        where = path or files("pipeline_spde") / "resources" / "published.yaml"
        content = yaml.safe_load(where.read_text(encoding="utf-8"))
        try:
            return cls(content["sources"], content["reasons"], content["tables"])
        except (TypeError, KeyError) as error:
            raise DataError(f"{where}: expected sources, reasons and tables ({error})") from None


def audit(folder: Path, published: Published | None = None) -> pd.DataFrame:
    """Return every published score beside the one computed from the map, columns `COLUMNS`.

    Args:
        folder: the data folder; names are those of `pipeline-spde download`.
        published: what was printed; None: the package's tables.
    """
    known = published or Published.load()
    rows = [row for table in known.tables for row in _of_table(table, folder, known)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def files_on_disk(folder: Path, published: Published | None = None) -> list[Path]:
    """Return the maps and references of the published tables that are in the data folder."""
    known = published or Published.load()
    names = [
        name for table in known.tables for row in table["rows"] for name in row.get("maps", ())
    ]
    for table in known.tables:
        names += [n for group in table.get("truth", table.get("tracks", ())) for n in group]
    return sorted({path for name in names for path in folder.glob(name)})


def missing_files(frame: pd.DataFrame, published: Published | None = None) -> list[str]:
    """Return the commands that fetch what was not on disk."""
    known = published or Published.load()
    absent = set(frame.loc[frame["verdict"] == MISSING, "table"])
    wanted = (t.get("fetch") for t in known.tables if t["name"] in absent)
    return [f"pipeline-spde download {what}" for what in dict.fromkeys(wanted) if what]


def to_markdown(frame: pd.DataFrame) -> str:
    """Return the audit as Markdown, one table per published one."""
    blocks = []
    for name, part in frame.groupby("table", sort=False):
        first = part.iloc[0]
        lines = [f"### {name}\n", f"Protocol `{first['protocol']}`. Source: {first['source']}.\n"]
        lines.append("| method | score | published | recomputed | difference | known reason |")
        lines.append("| --- | --- | --- | --- | --- | --- |")
        for _, row in part.iterrows():
            again = row["recomputed"] if isinstance(row["recomputed"], str) else ""
            shown = again or f"*{row['verdict']}*"
            difference = f"{row['difference']} ({row['verdict']})" if row["difference"] else ""
            cells = (row["method"], row["score"], row["published"], shown, difference)
            lines.append("| " + " | ".join((*cells, row["known_reason"])) + " |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _of_table(table: Mapping[str, Any], folder: Path, known: Published) -> Iterator[dict[str, Any]]:
    source = known.sources[table["source"]]
    about = {
        "table": table["name"],
        "protocol": table["protocol"],
        "source": f"{source['title']}, {source['address']}",
    }
    reference, number = _reference(table, folder)
    for row in table["rows"]:
        place = next((folder / n for n in row.get("maps", ()) if (folder / n).is_file()), None)
        verdict: str = MISSING
        scores: Mapping[str, Any] = {}
        if place is not None and reference:
            verdict, scores = _scored(table, place, reference, number)
        for score, printed in row["published"].items():
            found = _compared(table, row, score, printed, scores) if scores else {}
            state = found.pop("verdict", UNSCORED if printed is None and not place else verdict)
            yield {
                **about,
                "method": row["method"],
                "score": score,
                "published": "–" if printed is None else printed,
                "recomputed": found.get("recomputed", ""),
                "difference": found.get("difference", ""),
                "verdict": state,
                "known_reason": _reasons(table, row, score, known, number, place),
                "map": "" if place is None else str(place.relative_to(folder)),
            }


def _reference(table: Mapping[str, Any], folder: Path) -> tuple[list[Path], int]:
    """Return the files of the first alternative of a reference that is whole, and its number."""
    for number, names in enumerate(table.get("truth", table.get("tracks", ()))):
        found = [sorted(folder.glob(name)) for name in names]
        if all(found):
            return [path for paths in found for path in paths], number
    return [], 0


def _scored(
    table: Mapping[str, Any], maps: Path, reference: Sequence[Path], number: int
) -> tuple[str, dict[str, Any]]:
    """Return the scores of a map under the protocol of its table, or why there are none."""
    box = table["box_of_first"] if number == 0 and "box_of_first" in table else table.get("box", {})
    lat, lon, period = box.get("lat"), box.get("lon"), box.get("period")
    scoring = Scoring(protocols=[table["protocol"]], draws=_DRAWS)
    options = {"quantity": table["quantity"], "midnight": table.get("midnight", "label")}
    days = None if period is None else tuple(period)
    try:
        if "truth" in table:
            true = GridRequest(
                [str(p) for p in reference], quantity=table["quantity"],
                selection=Selection(_pair(lat), _pair(lon), days),
            )  # fmt: skip
            content = score_against_truth(GridRequest([str(maps)], **options), true, scoring)
        else:
            grids = GridRequest([str(maps)], selection=Selection(None, None, days), **options)
            judged = table.get("scored_period")
            tracks = TrackRequest(
                [str(p) for p in reference], (table["mission"],),
                period=None if judged is None else (judged[0], judged[1]),
            )  # fmt: skip
            content = score_against_tracks(grids, tracks, scoring)
    except (DataError, ValueError, OSError) as error:
        logger.warning("%s: %s", maps, error)
        return f"{FAILED}: {error}", {}
    return AGREES, content["protocols"][table["protocol"]]


def _pair(bounds: Sequence[float] | None) -> tuple[float, float] | None:
    return None if bounds is None else (float(bounds[0]), float(bounds[1]))


def _compared(
    table: Mapping[str, Any],
    row: Mapping[str, Any],
    score: str,
    printed: str | None,
    scores: Mapping[str, Any],
) -> dict[str, str]:
    """Return a score as computed, its distance from what was printed, and the verdict."""
    found = scores.get(score)
    if not isinstance(found, Mapping):
        return {"verdict": OTHER}
    value = found.get("value")
    if value is None:
        return {"verdict": UNRESOLVED if printed is not None else UNSCORED}
    digits = len(printed.partition(".")[2]) if printed else 3
    again = {"recomputed": f"{value:.{digits + 1}f}"}
    if printed is None:
        return again | {"verdict": UNSCORED}
    off = value - float(printed)
    again["difference"] = f"{off:+.{digits + 1}f}"
    rival = row.get("rival", {}).get(score)
    near = [_near(table, score, text, value, digits) for text in (printed, rival) if text]
    if any(near):
        which = "" if near[0] else f" with {rival}, {row['rival_from']}"
        return again | {"verdict": AGREES + which}
    return again | {"verdict": DIFFERS}


def _near(table: Mapping[str, Any], score: str, printed: str, value: float, digits: int) -> bool:
    """Return whether a value lies within the tolerance of what would have been printed so."""
    half = 0.5 * 10.0**-digits
    low, high = float(printed) - half, float(printed) + half
    if table.get("printed", {}).get(score) == "truncated":
        low, high = float(printed), float(printed) + 2 * half
    allowed = table["tolerance"].get(score, {})
    slack = allowed.get("absolute", 0.0) + allowed.get("relative", 0.0) * abs(float(printed))
    return low - slack <= value <= high + slack


def _reasons(
    table: Mapping[str, Any],
    row: Mapping[str, Any],
    score: str,
    known: Published,
    number: int,
    place: Path | None,
) -> str:
    """Return in words what is known of a number that may not come out again."""
    names = [*table.get("reasons", {}).get(score, ()), *row.get("reasons", {}).get(score, ())]
    texts = [known.reasons[name] for name in dict.fromkeys(names)]
    if place is not None and number > 0 and "second_truth" in table:
        texts.append(table["second_truth"])
    return "; ".join(texts)
