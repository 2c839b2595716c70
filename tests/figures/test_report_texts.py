"""The texts of the report render as Snakemake renders them: Jinja, then reStructuredText."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils.core import publish_parts
from jinja2 import Environment, StrictUndefined

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "workflow" / "report"
CAPTIONS = sorted(path.name for path in FOLDER.glob("*.rst") if path.name != "workflow.rst")
CONFIG = {
    "experiment": "demo",
    "domains": {
        "gulfstream": {"periods": {"evaluation": ["2012-10-22", "2012-12-02"]}},
        "real": {"source": "rads"},
    },
}
TABLE = """<!DOCTYPE html>
<html><head><style>body{margin:9em}</style></head>
<body>
<h2>starter</h2>
<table><tr><td>0.11</td></tr></table>
<h2>ssh-v1</h2>
<table><tr><td>0.99</td></tr></table>
</body></html>
"""


@dataclass
class File:
    path: Path


def render(name: str, **names) -> str:
    environment = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    text = environment.from_string((FOLDER / name).read_text(encoding="utf-8")).render(**names)
    warnings = io.StringIO()
    parts = publish_parts(
        text, writer="html", settings_overrides={"warning_stream": warnings, "report_level": 1}
    )
    assert warnings.getvalue() == ""
    return parts["html_body"]


@pytest.mark.parametrize("name", CAPTIONS)
def test_captions_are_sound_and_short(name: str) -> None:
    wildcards = SimpleNamespace(domain="gulfstream", task="mapping", method="oi")
    text = render(name, snakemake=SimpleNamespace(wildcards=wildcards, config=CONFIG))
    assert text.count(".") <= 8
    if "wildcards.domain" in (FOLDER / name).read_text(encoding="utf-8"):
        assert "<strong>gulfstream</strong>" in text


def test_every_caption_that_a_rule_names_exists() -> None:
    rules = "\n".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    named = {
        line.split("report/")[1].split('"')[0] for line in rules.splitlines() if "caption=" in line
    }
    assert named
    assert named <= set(CAPTIONS)


def test_the_first_page_shows_the_main_table_without_its_page_style(tmp_path) -> None:
    table = tmp_path / "scores.html"
    table.write_text(TABLE, encoding="utf-8")
    files = [File(tmp_path / "maps.png"), File(table)]
    page = render("workflow.rst", snakemake=SimpleNamespace(config=CONFIG), files=files)
    assert "<td>0.99</td>" in page
    assert "0.11" not in page, "other protocols stay on their own page"
    assert "margin:9em" not in page
    assert "scored from 2012-10-22 to 2012-12-02" in page
    assert "real observations" in page


def test_all_tables_are_shown_when_none_is_ours(tmp_path) -> None:
    table = tmp_path / "scores.html"
    table.write_text(TABLE.replace("ssh-v1", "oceanbench-legacy"), encoding="utf-8")
    page = render("workflow.rst", snakemake=SimpleNamespace(config=CONFIG), files=[File(table)])
    assert "0.11" in page
    assert "0.99" in page


def test_the_first_page_renders_before_there_is_a_table() -> None:
    page = render("workflow.rst", snakemake=SimpleNamespace(config={"experiment": "x"}), files=[])
    assert "How to read this report" in page
    assert "Scores</h" not in page
