"""`pipeline-spde doctor`: what it finds on this machine, and on machines that are not well."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from pipeline_spde import machine
from pipeline_spde.cli import app
from pipeline_spde.config import load_files
from pipeline_spde.machine import arithmetic, hardware, services, software

ROOT = Path(__file__).resolve().parents[1]


def states(findings):
    return {finding.subject: finding.state for finding in findings}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "PIPELINE_SPDE_DATA", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


def test_every_check_answers_in_words_and_as_json(tmp_path):
    done = CliRunner().invoke(app, ["doctor", "--json", "--results", str(tmp_path)])
    findings = {item["subject"]: item for item in json.loads(done.stdout)}
    assert {"Python", "packages", "processors", "memory", "disk", "MLflow"} <= set(findings)
    assert findings["packages"]["state"] == "good", findings["packages"]
    assert findings["arithmetic"]["state"] == "good"
    assert done.exit_code == any(item["state"] == "bad" for item in findings.values())
    assert not list(tmp_path.iterdir()), "something was left behind"
    for item in findings.values():
        assert (item["state"] == "good") == (item["advice"] == ""), item


def test_an_experiment_is_compared_with_the_disk(tmp_path, monkeypatch):
    config = load_files(ROOT / "config.yaml")
    assert states(hardware.disk_space(tmp_path, config)) == {"disk": "good"}
    full = os.statvfs_result((4096, 4096, 10, 10, 10, 10, 10, 10, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: full)
    (finding,) = hardware.disk_space(tmp_path, config)
    assert finding.state == "bad" and "demo" in finding.found


def test_a_configuration_that_cannot_be_read_is_a_sentence(tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("seed: many\n", encoding="utf-8")
    options = ["doctor", "--config", str(ROOT / "config.yaml"), "--config", str(wrong)]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 1 and "seed" in done.output and "Traceback" not in done.output


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_is_bad(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert states(hardware.folder(tmp_path / "results")) == {"results folder": "bad"}


def test_a_file_in_the_way_of_the_results_is_bad(tmp_path):
    (tmp_path / "results").write_text("a file", encoding="ascii")
    (finding,) = hardware.folder(tmp_path / "results" / "demo")
    assert finding.state == "bad" and "results" in finding.found


def test_packages_that_are_missing_or_too_old_are_named():
    assert software.unmet(Requirement("numpy>=1.0")) is None
    assert software.unmet(Requirement("numpy<1.0")) == f"numpy {np.__version__} is not <1.0"
    assert software.unmet(Requirement("no-such-package")) == "no-such-package is missing"


def test_threads_that_make_no_sense_are_doubtful(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "0")
    assert states(hardware.processors())["OMP_NUM_THREADS"] == "doubtful"


def test_a_server_that_is_down_is_doubtful_and_its_password_is_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:hunter2@127.0.0.1:9")
    (finding,) = services.tracking(tmp_path)
    assert finding.state == "doubtful" and "127.0.0.1:9" in finding.found
    assert "hunter2" not in finding.to_text()


def test_a_wrong_solution_is_found(monkeypatch):
    exact = arithmetic.SpdePrior.logdet
    monkeypatch.setattr(arithmetic.SpdePrior, "logdet", lambda prior: exact(prior) * (1 + 1e-6))
    (finding,) = arithmetic.known_answers()
    assert finding.state == "bad" and "log-determinant" in finding.found


def test_a_check_that_fails_is_a_finding(monkeypatch):
    monkeypatch.setattr(software, "python", lambda: 1 / 0)
    found = machine.examine(results=Path("nowhere"))
    broken = next(finding for finding in found if finding.subject == "Python")
    assert broken.state == "bad" and "ZeroDivisionError" in broken.found
