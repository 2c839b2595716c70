"""Tables from score files."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pandas as pd
import pytest

from pipeline_spde.files import DataError
from pipeline_spde.scores import PROTOCOLS, score_maps, tables

TABLES = ["ssh-v1 with uncertainty", *PROTOCOLS, "uncertainty"]


@pytest.fixture(scope="module")
def scored(maps):
    """Scores of two methods, the second with nothing resolved."""
    rng = np.random.default_rng(4)
    truth = maps(rng.standard_normal((16, 24, 24)).cumsum(axis=2), step=0.2)
    rows = []
    for method, estimate in (("oi_tuned", truth + 0.5), ("4dvarnet", 0 * truth)):
        scores = score_maps(
            truth=truth,
            estimate=estimate,
            protocols=list(PROTOCOLS),
            margin_degrees=0,
            bootstrap_draws=20,
            seed=1,
            std=0 * truth + 0.4,
        )
        labels = {"domain": "gulf_stream", "task": "mapping", "method": method}
        rows.append({**labels, "observations": ["saral", "swot_nadir"], **scores})
    return rows


def test_files_and_dicts_give_the_same_table(scored, tmp_path):
    paths = []
    for number, content in enumerate(scored):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(content), encoding="utf-8")
    pd.testing.assert_frame_equal(tables.build(scored), tables.build(paths))


def test_rows_keep_their_order_and_numbers(scored):
    frame = tables.build(scored)
    assert frame.index.get_level_values("method").tolist() == ["oi_tuned", "4dvarnet"]
    assert frame.index.get_level_values("observations")[0] == "saral, swot_nadir"
    mu = scored[0]["protocols"]["ssh-v1"]["mu"]
    cell = frame.iloc[0]["ssh-v1"]["mu"]
    assert (cell["value"], cell["low"], cell["high"]) == (mu["value"], *mu["interval"])
    unresolved = frame.iloc[1]["ssh-v1"]["lambda_x"]
    assert np.isnan(unresolved["value"])
    assert unresolved["note"].startswith("unresolved (>")
    assert frame.columns.get_level_values("protocol")[-1] == "uncertainty"


def test_markdown_is_a_table_per_protocol_with_its_caption(scored):
    text = tables.to_markdown(tables.build(scored))
    assert re.findall(r"^### (.+)$", text, re.MULTILINE) == TABLES
    mu = scored[0]["protocols"]["starter"]["mu"]
    low, high = mu["interval"]
    assert f"{mu['value']:.4f} [{low:.4f}, {high:.4f}]" in text
    assert "24x24 at 0.2°, scored 24x24, 16 days (2012-10-22 … 2012-11-06)" in text
    assert "not comparable with published rows: 24x24 cells" in text
    assert "λx [km]" in text and "λx [degree]" in text
    for block in text.split("### ")[1:]:
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len(rows) == 4
        assert len({line.count("|") for line in rows}) == 1
        assert len({len(line) for line in rows}) == 1


def test_latex_is_escaped(scored):
    text = tables.to_latex(tables.build(scored))
    assert r"gulf\_stream" in text and r"4dvarnet" in text
    assert r"$\lambda_x$ [km]" in text
    assert not re.search(r"(?<![\\$a-z])[_%#]|[µλσ°…<>](?!\$)", text.replace(r"\lambda_", ""))
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 6
    columns = re.search(r"\\begin\{tabular\}\{(l+r+)\}\n\\toprule\n(.*?) \\\\", text, re.DOTALL)
    assert columns.group(2).count("&") + 1 == len(columns.group(1))
    assert tables._latex("50 % of $x_1 & ~^\\") == (
        r"50 \% of \$x\_1 \& \textasciitilde{}\textasciicircum{}\textbackslash{}"
    )


def test_html_is_escaped(scored):
    scored = [{**scored[0], "method": "<b>&"}]
    text = tables.to_html(tables.build(scored))
    assert "&lt;b&gt;&amp;" in text and "<b>" not in text
    assert text.count("<table>") == 6


def test_markdown_escapes_bars(scored):
    text = tables.to_markdown(tables.build([{**scored[0], "method": "a|b"}]))
    assert r"a\|b" in text


def test_csv_round_trip(scored):
    frame = pd.read_csv(io.StringIO(tables.to_csv(tables.build(scored))))
    assert frame["method"].tolist() == ["oi_tuned", "4dvarnet"]
    expected = scored[0]["protocols"]["ssh-v1"]["rmse"]["interval"][1]
    assert frame["ssh-v1 rmse high"][0] == pytest.approx(expected)
    assert frame["crps" if "crps" in frame else "uncertainty crps"][0] > 0


def test_published_rows_stand_beside_ours_as_they_were_printed(scored):
    frame = tables.build(scored, published=True)
    text = tables.to_markdown(frame)
    starter = text.split("### starter")[1].split("###")[0]
    assert "| 4DVarNet-SPDE " in starter and "| 9.90 " in starter and "0.96362" in starter
    assert "oi_tuned" in starter
    ours = text.split("### ssh-v1\n")[1]
    assert "NATL60" not in ours
    assert len(frame) == 2 + len({row[1:4] for row in tables.PUBLISHED})
    assert frame.attrs["captions"].keys() == PROTOCOLS.keys()


def test_rows_without_a_protocol_are_left_out_of_its_table(scored):
    only = {
        **scored[0],
        "method": "tracks",
        "protocols": {"ssh-ose-v1": scored[0]["protocols"]["ssh-v1"]},
    }
    text = tables.to_markdown(tables.build([scored[0], only]))
    assert "tracks" not in text.split("### ssh-v1\n")[1].split("###")[0]
    assert "oi_tuned" not in text.split("### ssh-ose-v1\n")[1].split("###")[0]


def test_a_file_that_is_no_score_file_is_named(scored, tmp_path):
    path = tmp_path / "other.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=r"other\.json: not a score file"):
        tables.build([path])
    path.write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="not valid JSON"):
        tables.build([path])
    with pytest.raises(DataError, match="a second score"):
        tables.build([scored[0], scored[0]])


@pytest.fixture(scope="module")
def with_ensemble(ensemble_case):
    """Score files of a calibrated ensemble, of maps with a spread and of maps alone."""
    truth, ensemble = ensemble_case(np.random.default_rng(1), members=19, inflation=1.5)
    mean = ensemble["ssh_mean"]
    reference = ensemble[["ssh_std"]].assign(ssh=truth + 0.1)
    common = {"truth": truth, "estimate": mean, "protocols": ["starter", "ssh-v1"]}
    common |= {"margin_degrees": 0, "bootstrap_draws": 20, "seed": 1, "reference": reference}
    files = {
        "4dvarnet_spde": score_maps(**common, ensemble=ensemble),
        "oi_tuned": score_maps(**common, std=ensemble["ssh_std"]),
        "4dvarnet": score_maps(**common),
    }
    labels = {"domain": "gulf_stream", "task": "mapping", "observations": "4 nadirs"}
    return [{**labels, "method": method, **scores} for method, scores in files.items()]


def test_one_table_has_the_main_scores_of_maps_and_spread(with_ensemble):
    frame = tables.build(with_ensemble)
    text = tables.to_markdown(frame).split("### ssh-v1 with uncertainty")[1].split("###")[0]
    header = [cell.strip() for cell in text.strip().splitlines()[0].strip("|").split("|")]
    assert header == [
        *tables.ROW_KEYS, "µ", "σ", "λx [km]", "λt [day]", "CRPS [m]", "raw CRPS [m]",
        "spread/skill", "raw spread/skill", "90 % coverage", "raw 90 % coverage",
    ]  # fmt: skip
    assert "the mean absolute error for maps without" in text
    assert "20x22 at 0.2°" in text
    row = next(line for line in text.splitlines() if "4dvarnet_spde" in line)
    assert re.search(r"1\.\d{3} \[[\d.]+, [\d.]+\] \| 1\.[45]\d{2} \[", row)


def test_raw_scores_stand_beside_calibrated_ones_of_ensembles_only(with_ensemble):
    frame = tables.build(with_ensemble)
    group = frame["uncertainty"]
    found = with_ensemble[0]["probabilistic"]
    cell = group.loc[("gulf_stream", "mapping", "4dvarnet_spde", "4 nadirs")]
    for name in ("crps", "spread_skill", "coverage_90"):
        assert cell[name]["value"] == found["calibrated"][name]["value"]
        assert cell["raw_" + name]["value"] == found["raw"][name]["value"]
    assert cell["coverage_95"]["note"] == "–"  # 19 members are too few
    others = group.xs("oi_tuned", level="method").iloc[0]
    assert others["crps"]["value"] == with_ensemble[1]["crps"]["value"]
    assert np.isnan(others["raw_crps"]["value"])
    assert others["crpss_oi"]["value"] is not None


def test_maps_alone_show_their_absolute_error_in_the_column_of_the_crps(with_ensemble):
    group = tables.build(with_ensemble)["uncertainty"].xs("4dvarnet", level="method").iloc[0]
    assert group["crps"]["value"] == with_ensemble[2]["probabilistic"]["raw"]["mae"]["value"]
    assert np.isnan(group["spread_skill"]["value"])


def test_csv_holds_every_number_once(with_ensemble):
    text = tables.to_csv(tables.build(with_ensemble))
    header = text.splitlines()[0].split(",")
    assert len(header) == len(set(header))
    assert "uncertainty raw_crps low" in header
    assert "ssh-v1 mu" in header
    assert not any("with uncertainty" in name for name in header)


def test_score_files_without_a_spread_anywhere_have_no_table_of_it(with_ensemble):
    plain = {k: v for k, v in with_ensemble[2].items() if k != "probabilistic"}
    text = tables.to_markdown(tables.build([plain]))
    assert re.findall(r"^### (.+)$", text, re.MULTILINE) == ["starter", "ssh-v1"]
