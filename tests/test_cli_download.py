"""`pipeline-spde download` as a user meets it: words, tables, exit status."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from pipeline_spde.cli import app

from .data.file_server import FileServer, stall, status

BODY = bytes(range(256)) * 1000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "PIPELINE_SPDE_DATA"):
        monkeypatch.delenv(name, raising=False)
    with FileServer() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.release.set()
        running.shutdown()


@pytest.fixture
def manifest(tmp_path: Path, server: FileServer) -> Path:
    """Two files that are served, a large one that must be named, and a folder for the user."""
    about = {"licence": "CC0", "citation": "Nobody (2026)", "source": "here", "title": "A set"}
    md5 = hashlib.md5(BODY).hexdigest()
    files = {
        "a.bin": {"mirrors": [server.serve("/a", BODY)], "bytes": len(BODY), "md5": md5},
        "b.bin": {"mirrors": [server.serve("/b", BODY[1:])]},
        "large.bin": {"mirrors": [server.serve("/l", b"x")], "explicit": True, "bytes": 1},
    }
    tree = {
        "datasets": {
            "set": {**about, "files": files},
            "own": {**about, "supplied": {"instructions": "write to the ministry"}},
        },
        "tasks": {"both": {"about": "what is small", "files": ["set/a.bin", "set/b.bin"]}},
    }
    path = tmp_path / "datasets.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def call(manifest: Path, *arguments: str) -> Result:
    """Run the command in this process, with the manifest and folder of the test."""
    place = ["--manifest", str(manifest), "--to", str(manifest.parent / "data")]
    return CliRunner().invoke(app, ["download", *place, *arguments])


def test_a_task_is_fetched_and_reported(manifest, server):
    done = call(manifest, "--task", "both")
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["fetched", "256", "kB", "md5", "set/a.bin"] in rows
    assert ["fetched", "256", "kB", "first", "use", "set/b.bin"] in rows
    assert "2 files: 2 fetched; 512 kB there and verified" in done.stdout
    assert not server.asked("/l")
    again = call(manifest, "set")
    assert again.exit_code == 0 and "2 files: 2 verified" in again.stdout
    assert len(server.requests) == 2


def test_what_is_missing_is_told_by_the_exit_status(manifest, server):
    server.answers["/a"] = [status(404)]
    done = call(manifest, "--task", "both")
    assert done.exit_code == 1
    assert "failed: set/a.bin: 127.0.0.1: HTTP 404 Not Found" in done.stdout
    assert "2 files: 1 failed, 1 fetched" in done.stdout


def test_offline_only_looks(manifest, server):
    done = call(manifest, "--task", "both", "--offline")
    assert done.exit_code == 1 and "2 files: 2 missing" in done.stdout
    assert not server.requests
    told = "missing: 2 files, set/a.bin to set/b.bin: run again without --offline"
    assert done.stdout.count(told) == 1


def test_what_users_must_supply_comes_with_instructions(manifest):
    done = call(manifest, "own")
    assert done.exit_code == 1 and "missing: own: write to the ministry" in done.stdout


def test_nothing_named_lists_the_tasks(manifest, server):
    done = call(manifest)
    assert done.exit_code == 2
    assert re.search(r"both +256 kB +2 files +what is small", done.stdout)
    assert call(manifest, "--list").exit_code == 0
    listed = call(manifest, "--list", "set")
    assert "set/a.bin" in listed.stdout and "large" not in listed.stdout
    assert "licence: CC0" in listed.stdout and not server.requests


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("set/c.bin",), "did you mean 'set/"),
        (("--task", "bth"), "did you mean 'both'"),
        (("set/lar*",), "name them in full: set/large.bin"),
        (("--jobs", "5", "set"), "Invalid value for '--jobs'"),
    ],
)
def test_a_wrong_request_is_refused_with_a_sentence(manifest, arguments, sentence):
    done = call(manifest, *arguments)
    assert done.exit_code == 2 and "Traceback" not in done.output
    assert sentence in " ".join(done.stderr.replace("│", " ").split())


def test_a_missing_drop_in_folder_is_an_error_of_one_line(manifest, tmp_path):
    done = call(manifest, "set", "--from", str(tmp_path / "none"))
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].endswith("none: no such folder to take files from")


def test_the_data_folder_may_come_from_the_environment(manifest, tmp_path, monkeypatch):
    monkeypatch.setenv("PIPELINE_SPDE_DATA", str(tmp_path / "elsewhere"))
    done = CliRunner().invoke(app, ["download", "--manifest", str(manifest), "set/a.bin"])
    assert done.exit_code == 0 and (tmp_path / "elsewhere/set/a.bin").is_file()


def test_a_folder_that_cannot_be_written_is_named(manifest, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/set").write_text("a file where the folder should be")
    done = call(manifest, "set/a.bin")
    assert done.exit_code == 1 and "Traceback" not in done.output
    assert re.search(r"failed: set/a.bin: .*data/set", done.stdout)


def test_ctrl_c_keeps_what_has_arrived(manifest, server, tmp_path):
    server.answers["/a"] = [stall(200_000)]
    place = ["--manifest", str(manifest), "--to", str(tmp_path / "data"), "--timeout", "0.5"]
    program = [sys.executable, "-c", "from pipeline_spde.cli import app; app()"]
    environment = {**os.environ, "NO_PROXY": "127.0.0.1"}
    running = subprocess.Popen(
        [*program, "download", *place, "set/a.bin"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        # a test run started in the background hands on a deaf ear for Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 30
    while not server.requests and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=30)
    assert running.returncode == 130, told
    assert "interrupted; run the same command again to go on" in told
    assert "Traceback" not in told
    assert (tmp_path / "data/set/.a.bin.part").stat().st_size > 100_000
    assert call(manifest, "set/a.bin").exit_code == 0
    assert server.asked("/a")[-1]["Range"].startswith("bytes=1")


def test_help_and_version_are_quick_words():
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0 and done.stdout.startswith("pipeline-spde ")
    assert "download" in CliRunner().invoke(app, ["--help"]).stdout


@pytest.fixture(autouse=True)
def _quiet_root_logger() -> Iterator[None]:
    """The command sets up logging for a process of its own; leave none of it behind."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
