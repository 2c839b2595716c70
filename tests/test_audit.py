"""Published scores computed again: on maps and a truth in the registry's layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline_spde.cli import app
from pipeline_spde.data import export
from pipeline_spde.fields import Maps, daily_stamps
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period
from pipeline_spde.verification import GridRequest, Scoring, score_against_truth
from pipeline_spde.verification.audit import (
    AGREES,
    DIFFERS,
    MISSING,
    Published,
    audit,
    files_on_disk,
    missing_files,
    to_markdown,
)

TRUTH = "oceanbench/osse_natl60/grid/gf_mod_ssh_daily.nc"
MAPS = "oceanbench/results/osse_gf_nadir/{}.nc"
NADIR = "OceanBench OSSE NADIR"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A data folder with a truth and the maps of two methods, DUACS better than MIOST."""
    place = tmp_path_factory.mktemp("registry")
    grid = Grid.latlon(33.0 + 0.25 * np.arange(41), -65.0 + 0.25 * np.arange(41))
    period = Period(start="2012-10-20", end="2012-12-04")
    time = daily_stamps(period.start, period.end)
    rng = np.random.default_rng(1)
    y, x, t = np.meshgrid(np.arange(41), np.arange(41), np.arange(time.size), indexing="ij")
    waves = sum(
        0.2 * np.sin(2 * np.pi * (k * x / 40 + j * y / 40 - t / (9 + 4 * k)) + rng.uniform(0, 6))
        for k in (1, 2, 3) for j in (0, 1, 2)
    )  # fmt: skip
    height = np.moveaxis(waves, 2, 0).astype(np.float32)
    (place / TRUTH).parent.mkdir(parents=True)
    export.write_oceanbench_truth(Maps(time, grid, height, "ssh"), place / TRUTH)
    for name, noise in (("duacs", 0.02), ("miost", 0.2)):
        worse = height + noise * rng.standard_normal(height.shape).astype(np.float32)
        path = place / MAPS.format(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        export.write_oceanbench_result(Maps(time, grid, worse, "ssh"), path)
    return place


def published(**printed: str) -> Published:
    """The package's tables with other numbers printed for µ of DUACS and MIOST."""
    known = Published.load()
    table = next(t for t in known.tables if t["name"] == NADIR)
    rows = [
        row | {"published": row["published"] | {"mu": printed[row["method"]]}}
        for row in table["rows"] if row["method"] in printed
    ]  # fmt: skip
    return Published(known.sources, known.reasons, [dict(table) | {"rows": rows}])


def own_mu(folder: Path, name: str) -> float:
    period = ("2012-10-22", "2012-12-02")
    from pipeline_spde.verification import selection

    box = selection((33.0, 42.975), (-65.0, -55.025), period)
    content = score_against_truth(
        GridRequest([str(folder / MAPS.format(name))], quantity="ssh"),
        GridRequest([str(folder / TRUTH)], quantity="ssh", selection=box),
        Scoring(["oceanbench-legacy"], draws=20),
    )
    return content["protocols"]["oceanbench-legacy"]["mu"]["value"]


def test_what_was_printed_right_agrees_and_what_was_not_differs(folder):
    mu = {name: own_mu(folder, name) for name in ("duacs", "miost")}
    assert mu["duacs"] > mu["miost"] + 0.05
    frame = audit(folder, published(DUACS=f"{mu['duacs']:.3f}", MIOST=f"{mu['miost'] + 0.02:.3f}"))
    verdicts = frame[frame["score"] == "mu"].set_index("method")["verdict"].to_dict()
    assert verdicts == {"DUACS": AGREES, "MIOST": DIFFERS}
    row = frame[(frame["score"] == "mu") & (frame["method"] == "MIOST")].iloc[0]
    assert float(row["difference"]) == pytest.approx(-0.02, abs=6e-4)
    assert "xESMF" in row["known_reason"]


def test_the_tables_of_the_package_run_with_whatever_is_there(folder):
    frame = audit(folder)
    nadir = frame[frame["table"] == NADIR]
    scored = nadir[nadir["recomputed"] != ""]
    assert set(scored["method"]) == {"DUACS", "MIOST"}
    assert (scored["map"] != "").all() and set(scored["score"]) >= {"mu", "lambda_x", "lambda_t"}
    assert (frame.loc[frame["map"] == "", "recomputed"] == "").all()
    assert (
        frame.loc[(frame["map"] == "") & (frame["published"] != "–"), "verdict"] == MISSING
    ).all()
    assert missing_files(frame) and all("download" in line for line in missing_files(frame))
    assert [p.name for p in files_on_disk(folder)] == [
        "gf_mod_ssh_daily.nc", "duacs.nc", "miost.nc"
    ]  # fmt: skip
    text = to_markdown(frame)
    assert "### OceanBench OSSE NADIR + SWOT" in text and "| DUACS | mu | 0.915 |" in text


def test_every_published_number_has_a_source_and_every_reason_exists():
    known = Published.load()
    for table in known.tables:
        assert table["source"] in known.sources
        for row in table["rows"]:
            for reasons in (table.get("reasons", {}), row.get("reasons", {})):
                for names in reasons.values():
                    assert set(names) <= set(known.reasons), (table["name"], row["method"])
            for printed in row["published"].values():
                assert printed is None or np.isfinite(float(printed))


def test_the_command_writes_both_tables(folder, tmp_path):
    out = tmp_path / "audit.md", tmp_path / "audit.csv"
    done = CliRunner().invoke(
        app, ["audit", "--from", str(folder), "--out", str(out[0]), "--out", str(out[1])]
    )
    assert done.exit_code == 0, done.output
    assert "to fetch what is missing: pipeline-spde download --task audit" in done.output
    assert out[0].read_text().startswith("### ") and out[1].read_text().startswith("table,method")


@pytest.mark.parametrize(
    ("options", "message"),
    [(("--from", "nowhere"), "no such folder"), (("--out", "x.txt"), "end it in .md or .csv")],
)
def test_wrong_requests_are_refused(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    done = CliRunner().invoke(app, ["audit", *options])
    assert done.exit_code == 2 and message in done.output


def test_a_damaged_map_is_said_and_the_others_are_scored(folder, tmp_path):
    import shutil

    copy = tmp_path / "registry"
    shutil.copytree(folder, copy)
    path = copy / MAPS.format("miost")
    path.write_bytes(path.read_bytes()[:2000])
    frame = audit(copy)
    verdicts = frame[frame["table"] == NADIR].groupby("method")["verdict"].first()
    assert verdicts["MIOST"].startswith("cannot be scored: ") and "miost.nc" in verdicts["MIOST"]
    assert verdicts["DUACS"] in (AGREES, DIFFERS)
