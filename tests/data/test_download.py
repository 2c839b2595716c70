"""Downloads from a real HTTP server that drops, stalls, lies, and asks for logins."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import shutil
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_spde.data import download as downloading
from pipeline_spde.data import manifest as manifests
from pipeline_spde.data.download import Download, partial_of
from pipeline_spde.data.shelf import Outcome
from pipeline_spde.data.transfer import CHUNK, Limits

from .file_server import (
    Counter,
    FileServer,
    behind_login,
    cut,
    etag,
    ignoring_range,
    instead,
    shifted,
    silent,
    stall,
    status,
    unannounced,
)

QUICK = Limits(attempts=3, connect_s=5.0, stall_s=5.0, backoff_s=0.01, longest_wait_s=2.0)
IMPATIENT = Limits(attempts=3, connect_s=5.0, stall_s=0.3, backoff_s=0.01, longest_wait_s=2.0)
BODY = np.random.default_rng(1).bytes(400_000)
PAGE = b"<!DOCTYPE html>\n<html><head><title>AVISO+ &mdash; Sign in</title></head></html>"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", "/dev/null")
    with FileServer() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.release.set()
        running.shutdown()


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def manifest_of(tmp_path: Path, files: dict[str, Any], **rest: Any) -> manifests.Manifest:
    """A manifest with one data set `set`, read from YAML as users' manifests are."""
    about = {"title": "A set", "licence": "CC0", "citation": "Nobody (2026)", "source": "here"}
    tree = {"datasets": {"set": {**about, "files": files}}, **rest}
    path = tmp_path / "datasets.yaml"
    path.write_text(yaml.safe_dump(tree))
    return manifests.load(path)


def run(tmp_path: Path, files: dict[str, Any], *, logins: Any = None, **options: Any) -> Outcome:
    """Download the files of a manifest; return the outcome of the first."""
    return run_all(tmp_path, files, logins=logins, **options)[0]


def run_all(
    tmp_path: Path, files: dict[str, Any], *, logins: Any = None, **options: Any
) -> list[Outcome]:
    known = manifest_of(tmp_path, files, logins=logins or {})
    work = Download(known, tmp_path / "data", **{"limits": QUICK, **options})
    return work.run([known.files[f"set/{name}"] for name in files])


def kept(tmp_path: Path) -> Path:
    return tmp_path / "data" / "set" / "a.bin"


def entry(*urls: str, body: bytes = BODY, **more: Any) -> dict[str, Any]:
    return {"mirrors": list(urls), "bytes": len(body), "md5": md5(body), **more}


def whole_chunks(count: int) -> int:
    """What is kept of `count` bytes before a drop: the chunk on the way is lost."""
    return count // CHUNK * CHUNK


# --- the good case ---------------------------------------------------------------------------


def test_a_file_is_fetched_verified_pinned_and_its_source_noted(tmp_path, server):
    url = server.serve("/a.bin", BODY)
    progress = Counter()
    outcome = run(tmp_path, {"a.bin": entry(url)}, progress=progress)
    assert (outcome.state, outcome.checked, outcome.bytes) == ("fetched", "md5", len(BODY))
    assert kept(tmp_path).read_bytes() == BODY
    pin = json.loads((tmp_path / "data/pins.json").read_text())["set/a.bin"]
    assert pin["sha256"] == hashlib.sha256(BODY).hexdigest()
    assert pin["origin"] == url
    sources = (tmp_path / "data/SOURCES.md").read_text()
    assert "Licence: CC0" in sources and "Citation: Nobody (2026)" in sources
    assert progress.calls[-1] == (len(BODY), len(BODY))
    assert not [p for p in kept(tmp_path).parent.iterdir() if p.name.startswith(".")]


def test_a_verified_file_is_not_fetched_again(tmp_path, server):
    files = {"a.bin": entry(server.serve("/a.bin", BODY))}
    run(tmp_path, files)
    assert run(tmp_path, files).state == "verified"
    assert len(server.asked("/a.bin")) == 1


def test_at_most_four_files_arrive_at_once(tmp_path, server):
    def slow(handler, body):
        time.sleep(0.05)
        handler.head(200, len(body))
        handler.wfile.write(body)

    files = {}
    for i in range(10):
        body = BODY[:1000] + bytes([i])
        files[f"{i}.bin"] = entry(server.serve(f"/{i}", body, slow), body=body)
    outcomes = run_all(tmp_path, files)
    assert all(outcome.state == "fetched" for outcome in outcomes)
    assert 2 <= server.most_active <= 4


def test_five_files_at_once_are_refused():
    with pytest.raises(ValueError, match="1 to 4 files at once, got 5"):
        Limits(jobs=5)


# --- interruptions and resuming --------------------------------------------------------------


def test_a_dropped_connection_goes_on_where_it_stopped(tmp_path, server):
    url = server.serve("/a.bin", BODY, cut(150_000), cut(100_000))
    progress = Counter()
    assert run(tmp_path, {"a.bin": entry(url)}, progress=progress).state == "fetched"
    assert kept(tmp_path).read_bytes() == BODY
    starts = [headers.get("Range") for headers in server.asked("/a.bin")]
    first = whole_chunks(150_000)
    assert starts == [None, f"bytes={first}-", f"bytes={first + whole_chunks(100_000)}-"]
    assert server.asked("/a.bin")[1]["If-Range"] == etag(BODY)
    assert progress.done == len(BODY)


def test_more_drops_than_attempts_are_fine_as_long_as_bytes_arrive(tmp_path, server):
    url = server.serve("/a.bin", BODY, *[cut(70_000)] * 5)
    assert run(tmp_path, {"a.bin": entry(url)}).state == "fetched"


def test_a_later_run_goes_on_with_the_partial_file(tmp_path, server):
    url = server.serve("/a.bin", BODY, cut(150_000), cut(0), cut(0), cut(0))
    files = {"a.bin": entry(url)}
    outcome = run(tmp_path, files)
    assert outcome.state == "failed"
    assert "given up at attempt 3" in outcome.remarks[0]
    assert not kept(tmp_path).exists()
    assert partial_of(kept(tmp_path)).stat().st_size == whole_chunks(150_000)
    assert run(tmp_path, files).state == "fetched"
    assert server.asked("/a.bin")[-1]["Range"] == f"bytes={whole_chunks(150_000)}-"
    assert kept(tmp_path).read_bytes() == BODY


def test_a_stalled_connection_times_out_and_goes_on(tmp_path, server):
    url = server.serve("/a.bin", BODY, stall(200_000))
    started = time.monotonic()
    assert run(tmp_path, {"a.bin": entry(url)}, limits=IMPATIENT).state == "fetched"
    assert time.monotonic() - started < 10
    assert kept(tmp_path).read_bytes() == BODY
    assert server.asked("/a.bin")[1]["Range"] == f"bytes={whole_chunks(200_000)}-"


def test_a_server_that_never_answers_is_left_for_the_next_mirror(tmp_path, server):
    mute = server.serve("/mute", BODY, silent, silent, silent)
    speaking = server.serve("/a.bin", BODY)
    files = {"a.bin": entry(mute, speaking)}
    assert run(tmp_path, files, limits=IMPATIENT).state == "fetched"
    assert len(server.asked("/mute")) == 3


def test_a_server_that_ignores_ranges_sends_the_file_whole(tmp_path, server):
    url = server.serve("/a.bin", BODY, cut(150_000), ignoring_range)
    assert run(tmp_path, {"a.bin": entry(url)}).state == "fetched"
    assert kept(tmp_path).read_bytes() == BODY


def test_a_server_that_sends_another_range_is_asked_from_the_start(tmp_path, server):
    url = server.serve("/a.bin", BODY, cut(150_000), shifted)
    assert run(tmp_path, {"a.bin": entry(url)}).state == "fetched"
    assert "Range" not in server.asked("/a.bin")[2]
    assert kept(tmp_path).read_bytes() == BODY


def test_a_file_that_changes_between_attempts_is_never_mixed(tmp_path, server):
    newer = BODY[::-1]

    def change(handler, body):
        cut(150_000)(handler, body)
        handler.server.bodies["/a.bin"] = newer

    url = server.serve("/a.bin", BODY, change)
    outcome = run(tmp_path, {"a.bin": {"mirrors": [url]}})
    assert (outcome.state, outcome.checked) == ("fetched", "first use")
    assert kept(tmp_path).read_bytes() == newer


def test_without_checksum_and_validator_a_partial_file_is_thrown_away(tmp_path, server):
    url = server.serve("/a.bin", BODY, ignoring_range)
    partial = partial_of(kept(tmp_path))
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"of an unknown address")
    assert run(tmp_path, {"a.bin": {"mirrors": [url]}}).state == "fetched"
    assert "Range" not in server.asked("/a.bin")[0]
    assert kept(tmp_path).read_bytes() == BODY


def test_a_partial_file_that_is_too_long_is_thrown_away(tmp_path, server):
    url = server.serve("/a.bin", BODY)
    partial = partial_of(kept(tmp_path))
    partial.parent.mkdir(parents=True)
    partial.write_bytes(BODY + b"more")
    assert run(tmp_path, {"a.bin": entry(url)}).state == "fetched"
    assert kept(tmp_path).read_bytes() == BODY


def test_a_wrong_partial_file_costs_one_more_transfer_not_the_file(tmp_path, server):
    url = server.serve("/a.bin", BODY)
    partial = partial_of(kept(tmp_path))
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"x" * 100_000)
    assert run(tmp_path, {"a.bin": entry(url)}).state == "fetched"
    assert kept(tmp_path).read_bytes() == BODY
    assert [h.get("Range") for h in server.asked("/a.bin")] == ["bytes=100000-", None]


def test_a_file_of_unknown_length_that_ends_early_is_not_taken_for_whole(tmp_path, server):
    url = server.serve("/a.bin", BODY, *[unannounced(1000)] * 3)
    outcome = run(tmp_path, {"a.bin": entry(url)})
    assert outcome.state == "failed"
    assert "the connection ended after 1000 of 400000 bytes" in outcome.remarks[0]
    assert not kept(tmp_path).exists()


def test_an_interrupted_download_stops_soon_and_can_go_on(tmp_path, server):
    url = server.serve("/a.bin", BODY, stall(200_000))
    known = manifest_of(tmp_path, {"a.bin": entry(url)})
    stop = threading.Event()
    work = Download(known, tmp_path / "data", limits=IMPATIENT, stop=stop)
    work.progress = lambda done, total: stop.set()
    assert work.run(list(known.files.values()))[0].state == "stopped"
    assert not kept(tmp_path).exists()
    assert run(tmp_path, {"a.bin": entry(url)}).state == "fetched"


def test_two_downloads_of_one_file_do_not_meet(tmp_path, server):
    url = server.serve("/a.bin", BODY, stall(200_000))
    files = {"a.bin": entry(url)}
    first = threading.Thread(target=run, args=(tmp_path, files), kwargs={"limits": IMPATIENT})
    first.start()
    while not server.requests:
        time.sleep(0.01)
    outcome = run(tmp_path, files)
    first.join()
    assert outcome.state == "failed" and "another download of this file" in outcome.remarks[0]
    assert kept(tmp_path).read_bytes() == BODY


# --- what servers say ------------------------------------------------------------------------


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_busy_server_is_asked_again(tmp_path, server, code):
    url = server.serve("/a.bin", BODY, status(code), status(code))
    assert run(tmp_path, {"a.bin": entry(url)}).state == "fetched"
    assert len(server.asked("/a.bin")) == 3


def test_retry_after_is_kept(tmp_path, server):
    url = server.serve("/a.bin", BODY, status(429, Retry_After="1"))
    started = time.monotonic()
    assert run(tmp_path, {"a.bin": entry(url)}).state == "fetched"
    assert 1.0 <= time.monotonic() - started < 10


def test_a_server_that_asks_for_an_hour_is_left_for_the_next_mirror(tmp_path, server):
    far = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))
    first = server.serve("/busy", BODY, status(429, Retry_After=far))
    second = server.serve("/a.bin", BODY)
    assert run(tmp_path, {"a.bin": entry(first, second)}).state == "fetched"
    assert len(server.asked("/busy")) == 1
    server.serve("/busy", BODY, status(429, Retry_After="3600"))
    (tmp_path / "data/set/a.bin").unlink()
    outcome = run(tmp_path, {"a.bin": entry(first)})
    assert "asks to wait 3600 s, which is too long" in outcome.remarks[0]


def test_back_off_doubles(tmp_path, server, caplog):
    url = server.serve("/a.bin", BODY, *[status(503)] * 4)
    patience = Limits(attempts=5, backoff_s=0.02)
    with caplog.at_level(logging.INFO, logger="pipeline_spde"):
        assert run(tmp_path, {"a.bin": entry(url)}, limits=patience).state == "fetched"
    waits = [record.args[-1] for record in caplog.records if "again in" in record.msg]
    assert waits == pytest.approx([0.02, 0.04, 0.08, 0.16])


def test_mirrors_are_tried_in_order_and_each_reason_is_told(tmp_path, server):
    gone = f"http://127.0.0.1:{server.server_port}/gone"
    wrong = server.serve("/wrong", BODY, instead(BODY[::-1]), instead(BODY[::-1]))
    short = server.serve("/short", BODY[:-1])
    outcome = run(tmp_path, {"a.bin": entry(gone, wrong, short)})
    assert outcome.state == "failed"
    told = outcome.remarks[0]
    assert told.index("HTTP 404") < told.index("wrong md5") < told.index("399999 bytes, expected")
    assert not kept(tmp_path).exists() and not partial_of(kept(tmp_path)).exists()
    last = server.serve("/a.bin", BODY)
    assert run(tmp_path, {"a.bin": entry(gone, wrong, last)}).state == "fetched"


def test_a_partial_file_with_a_checksum_goes_on_at_the_next_mirror(tmp_path, server):
    first = server.serve("/first", BODY, cut(150_000), status(404))
    second = server.serve("/second", BODY)
    assert run(tmp_path, {"a.bin": entry(first, second)}).state == "fetched"
    assert server.asked("/second")[0]["Range"] == f"bytes={whole_chunks(150_000)}-"
    assert kept(tmp_path).read_bytes() == BODY


def test_wrong_content_never_gets_the_final_name(tmp_path, server):
    seen = []
    url = server.serve("/a.bin", BODY, instead(BODY[::-1]))
    watch = threading.Event()

    def look() -> None:
        while not watch.wait(0.001):
            seen.append(kept(tmp_path).exists())

    watcher = threading.Thread(target=look)
    watcher.start()
    outcome = run(tmp_path, {"a.bin": entry(url)})
    watch.set()
    watcher.join()
    assert outcome.state == "failed" and "wrong md5" in outcome.remarks[0]
    assert seen and not any(seen)


def test_a_larger_body_than_announced_is_refused(tmp_path, server):
    url = server.serve("/a.bin", BODY, unannounced())
    outcome = run(tmp_path, {"a.bin": entry(url, body=BODY[:200_000])})
    assert "sends more than the 200000 bytes" in outcome.remarks[0]


def test_a_compressed_answer_is_refused(tmp_path, server):
    url = server.serve("/a.bin", BODY, instead(BODY, Content_Encoding="gzip"))
    assert "compresses the file" in run(tmp_path, {"a.bin": entry(url)}).remarks[0]
    assert server.asked("/a.bin")[0]["Accept-Encoding"] == "identity"


def test_a_redirect_is_followed(tmp_path, server):
    target = server.serve("/new", BODY)
    url = server.serve("/a.bin", b"", status(302, Location=target))
    assert run(tmp_path, {"a.bin": entry(url)}).state == "fetched"


def test_a_dead_server_is_named(tmp_path, server):
    url = "http://127.0.0.1:9/a.bin"
    outcome = run(tmp_path, {"a.bin": entry(url)})
    assert outcome.state == "failed"
    assert "127.0.0.1: it cannot be reached (" in outcome.remarks[0]
    assert "0x" not in outcome.remarks[0]


def test_one_failure_does_not_keep_the_others_away(tmp_path, server):
    files = {
        "a.bin": entry(f"http://127.0.0.1:{server.server_port}/gone"),
        "b.bin": entry(server.serve("/b", BODY[1:]), body=BODY[1:]),
    }
    assert [o.state for o in run_all(tmp_path, files)] == ["failed", "fetched"]


# --- logins ----------------------------------------------------------------------------------

LOGINS = {"aviso": {"account": "a free account", "user": "SET_USER", "password": "SET_PASSWORD"}}


def guarded(server: FileServer) -> dict[str, Any]:
    url = server.serve("/a.bin", BODY, *[behind_login("ann", "søcrét")] * 9)
    return entry(body=BODY) | {"mirrors": [{"url": url, "login": "aviso"}]}


def test_a_login_comes_from_the_environment(tmp_path, server, monkeypatch, caplog):
    monkeypatch.setenv("SET_USER", "ann")
    monkeypatch.setenv("SET_PASSWORD", "søcrét")
    with caplog.at_level(logging.DEBUG):
        outcome = run(tmp_path, {"a.bin": guarded(server)}, logins=LOGINS)
    assert outcome.state == "fetched"
    written = "".join(p.read_text() for p in (tmp_path / "data").rglob("*.json"))
    assert "søcrét" not in caplog.text + written + str(outcome)


def test_a_login_comes_from_netrc(tmp_path, server, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ann password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    url = server.serve("/a.bin", BODY, behind_login("ann", "secret"))
    files = {"a.bin": entry(body=BODY) | {"mirrors": [{"url": url, "login": "aviso"}]}}
    assert run(tmp_path, files, logins=LOGINS).state == "fetched"


def test_a_login_goes_to_the_mirror_that_asks_for_it_only(tmp_path, server, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ann password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert run(tmp_path, {"a.bin": entry(server.serve("/a.bin", BODY))}).state == "fetched"
    assert "Authorization" not in server.asked("/a.bin")[0]


def test_a_missing_login_says_what_to_do(tmp_path, server, monkeypatch):
    monkeypatch.delenv("SET_USER", raising=False)
    outcome = run(tmp_path, {"a.bin": guarded(server)}, logins=LOGINS)
    told = outcome.remarks[0]
    assert outcome.state == "failed" and len(server.asked("/a.bin")) == 1
    assert "asks for a login (HTTP 401)" in told and "You need a free account" in told
    assert "machine 127.0.0.1 login USER" in told and "SET_USER and SET_PASSWORD" in told


def test_a_refused_login_is_told_without_the_password(tmp_path, server, monkeypatch):
    monkeypatch.setenv("SET_USER", "ann")
    monkeypatch.setenv("SET_PASSWORD", "wrong-one")
    outcome = run(tmp_path, {"a.bin": guarded(server)}, logins=LOGINS)
    assert "refuses the one given" in outcome.remarks[0]
    assert "wrong-one" not in outcome.remarks[0]


def test_half_a_login_is_an_error(tmp_path, server, monkeypatch):
    monkeypatch.setenv("SET_USER", "ann")
    monkeypatch.delenv("SET_PASSWORD", raising=False)
    outcome = run(tmp_path, {"a.bin": guarded(server)}, logins=LOGINS)
    assert "SET_PASSWORD is not set" in outcome.remarks[0]
    assert not server.asked("/a.bin")


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_login_page_is_not_data(tmp_path, server, kind):
    url = server.serve("/a.bin", b"", instead(PAGE, Content_Type=kind))
    outcome = run(tmp_path, {"a.bin": {"mirrors": [url]}})
    assert outcome.state == "failed"
    assert "a web page ('AVISO+ — Sign in')" in outcome.remarks[0]
    assert not kept(tmp_path).exists()


# --- checksums, pins, defects ----------------------------------------------------------------


def test_the_first_copy_is_pinned_and_another_one_refused(tmp_path, server):
    files = {"a.bin": {"mirrors": [server.serve("/a.bin", BODY)]}}
    assert run(tmp_path, files).checked == "first use"
    kept(tmp_path).write_bytes(BODY[::-1])
    outcome = run(tmp_path, files)
    assert outcome.state == "failed"
    assert "was pinned on" in outcome.remarks[0] and "pins.json" in outcome.remarks[0]
    assert "--replace" in outcome.remarks[1]
    assert run(tmp_path, files, replace=True).state == "fetched"
    assert kept(tmp_path).read_bytes() == BODY


def test_a_bad_file_in_place_is_never_touched_unless_asked(tmp_path, server):
    files = {"a.bin": entry(server.serve("/a.bin", BODY))}
    kept(tmp_path).parent.mkdir(parents=True)
    kept(tmp_path).write_bytes(b"my own notes")
    outcome = run(tmp_path, files)
    assert outcome.state == "failed" and "cut off: 12 bytes, expected 400000" in outcome.remarks[0]
    assert kept(tmp_path).read_bytes() == b"my own notes" and not server.requests


def test_content_known_to_be_wrong_is_refused(tmp_path, server):
    bad = {
        "known_bad": [{"md5": md5(BODY), "reason": "it is Jason-1"}],
        "note": "nowhere to be had",
    }
    outcome = run(tmp_path, {"a.bin": bad})
    assert (outcome.state, outcome.remarks) == ("missing", ("nowhere to be had",))
    kept(tmp_path).parent.mkdir(parents=True)
    kept(tmp_path).write_bytes(BODY)
    assert "known to be wrong: it is Jason-1" in run(tmp_path, {"a.bin": bad}).remarks[0]


def test_equal_content_under_two_names_is_remarked(tmp_path, server):
    files = {
        "a.bin": {"mirrors": [server.serve("/a.bin", BODY)]},
        "b.bin": {"mirrors": [server.serve("/b.bin", BODY)]},
    }
    first, second = run_all(tmp_path, files)
    assert "the same content as set/b.bin" in first.remarks[0]
    assert "the same content as set/a.bin" in second.remarks[0]


def test_a_damaged_file_of_pins_is_named(tmp_path, server):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/pins.json").write_text("[1, 2")
    with pytest.raises(ValueError, match=r"pins.json: not a file of pins"):
        run(tmp_path, {"a.bin": entry(server.serve("/a.bin", BODY))})


# --- room, offline, drop-in ------------------------------------------------------------------


def test_too_little_room_is_told_before_the_first_byte(tmp_path, server, monkeypatch):
    url = server.serve("/a.bin", BODY)
    with pytest.raises(OSError, match=r"free, .* needed .* choose another folder"):
        run(tmp_path, {"a.bin": {"mirrors": [url], "about_bytes": 10**18}})
    assert not server.requests
    monkeypatch.setattr(downloading, "_free", lambda folder: 300_000)
    monkeypatch.setattr(downloading, "_SPARE_BYTES", 0)
    outcome = run(tmp_path, {"a.bin": {"mirrors": [url]}})
    assert outcome.state == "failed" and "still to come" in outcome.remarks[0]


def test_offline_opens_no_connection(tmp_path, server):
    files = {
        "a.bin": entry(server.serve("/a.bin", BODY)),
        "b.bin": entry(server.serve("/b.bin", BODY[1:]), body=BODY[1:]),
    }
    run(tmp_path, {"a.bin": files["a.bin"]})
    there, missing = run_all(tmp_path, files, offline=True)
    assert (there.state, missing.state) == ("verified", "missing")
    assert "without --offline" in missing.remarks[0]
    assert len(server.requests) == 1


def test_files_of_the_user_are_checked_and_linked(tmp_path, server):
    own = tmp_path / "own" / "deep" / "down"
    own.mkdir(parents=True)
    (own / "a.bin").write_bytes(BODY)
    (own / "old-name.bin").write_bytes(BODY[1:])
    (own / "c.bin").write_bytes(BODY[::-1])
    files = {
        "a.bin": entry(server.serve("/a.bin", BODY)),
        "b.bin": entry(body=BODY[1:]) | {"aliases": ["old-name.bin"]},
        "c.bin": entry(server.serve("/c.bin", BODY)) | {"md5": md5(BODY[2:] + b"ab")},
    }
    taken, renamed, wrong = run_all(tmp_path, files, drop_in=tmp_path / "own")
    assert (taken.state, renamed.state, wrong.state) == ("taken", "taken", "failed")
    assert "wrong md5" in wrong.remarks[0]
    assert os.path.samefile(own / "a.bin", kept(tmp_path))
    assert kept(tmp_path).with_name("b.bin").read_bytes() == BODY[1:]
    assert not server.requests


def test_files_of_the_user_are_copied_where_links_are_impossible(tmp_path, monkeypatch):
    def refuse(*_: Any) -> None:
        raise OSError("another file system")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "own").mkdir()
    (tmp_path / "own/a.bin").write_bytes(BODY)
    assert run(tmp_path, {"a.bin": entry()}, drop_in=tmp_path / "own").state == "taken"
    assert kept(tmp_path).read_bytes() == BODY


def test_two_files_of_one_name_need_a_choice(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / "own" / folder).mkdir(parents=True)
        (tmp_path / "own" / folder / "a.bin").write_bytes(BODY)
    outcome = run(tmp_path, {"a.bin": entry()}, drop_in=tmp_path / "own")
    assert "holds several files of that name" in outcome.remarks[0]
    (tmp_path / "own/set").mkdir()
    (tmp_path / "own/set/a.bin").write_bytes(BODY)
    assert run(tmp_path, {"a.bin": entry()}, drop_in=tmp_path / "own").state == "taken"


def test_a_missing_folder_of_the_user_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder to take files from"):
        run(tmp_path, {"a.bin": entry()}, drop_in=tmp_path / "nowhere")


# --- archives --------------------------------------------------------------------------------


def tar_of(**members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, body in members.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return out.getvalue()


def archive_files(url: str, **archive: Any) -> dict[str, Any]:
    return {
        "all.tar.gz": {"mirrors": [url], "archive": {"into": "set", **archive}},
        "obs/a.bin": {},
        "obs/b.bin": {},
    }


def test_an_archive_yields_its_files_and_goes(tmp_path, server):
    url = server.serve("/t", tar_of(top__obs__a_bin=b"", **{"obs/a.bin": b"A", "obs/b.bin": b"B"}))
    files = archive_files(url, contains="set/obs/*")
    known = manifest_of(tmp_path, files)
    work = Download(known, tmp_path / "data", limits=QUICK)
    assert work.run([known.files["set/all.tar.gz"]])[0].state == "fetched"
    assert (tmp_path / "data/set/obs/a.bin").read_bytes() == b"A"
    assert not (tmp_path / "data/set/all.tar.gz").exists()
    again = Download(known, tmp_path / "data", limits=QUICK).run([known.files["set/all.tar.gz"]])[0]
    assert (again.state, again.checked) == ("verified", "its files")
    assert len(server.requests) == 1


def test_files_of_the_user_stand_for_an_archive(tmp_path, server):
    own = tmp_path / "own/obs"
    own.mkdir(parents=True)
    (own / "a.bin").write_bytes(b"A")
    (own / "b.bin").write_bytes(b"B")
    files = archive_files(server.serve("/t", b""), contains="set/obs/*")
    known = manifest_of(tmp_path, files)
    work = Download(known, tmp_path / "data", tmp_path / "own", limits=QUICK)
    assert work.run([known.files["set/all.tar.gz"]])[0].good
    assert (tmp_path / "data/set/obs/b.bin").read_bytes() == b"B" and not server.requests


def test_an_archive_of_unlisted_files_is_kept_and_unpacked_once(tmp_path, server):
    url = server.serve("/t", tar_of(**{"./x/one.bin": b"1"}))
    files = {"all.tar.gz": {"mirrors": [url], "archive": {"into": "set/tracks"}}}
    assert run(tmp_path, files).state == "fetched"
    one = tmp_path / "data/set/tracks/x/one.bin"
    assert one.read_bytes() == b"1" and (tmp_path / "data/set/all.tar.gz").is_file()
    one.unlink()
    assert run(tmp_path, files, offline=True).state == "verified"
    assert one.read_bytes() == b"1"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (tar_of(), "the archive holds no file"),
        (tar_of(**{"obs/a.bin": b"A"}), "lacks 1 of 2 files, obs/b.bin"),
        (tar_of(**{"../evil.bin": b"A"}), "'../evil.bin', which is not a plain file"),
        (tar_of(**{"obs/a.bin": BODY, "obs/b.bin": BODY})[:-5000], "cut off or damaged"),
        (b"no gzip at all", "not gzip"),
        (b"", "the file is empty"),
    ],
    ids=["nothing inside", "a file lacks", "a file outside", "cut off", "no gzip", "empty"],
)
def test_a_bad_archive_leaves_nothing(tmp_path, server, body, sentence):
    files = archive_files(server.serve("/t", body), contains="set/obs/*")
    known = manifest_of(tmp_path, files)
    work = Download(known, tmp_path / "data", limits=QUICK)
    outcome = work.run([known.files["set/all.tar.gz"]])[0]
    assert outcome.state == "failed" and sentence in outcome.remarks[0]
    assert not [p for p in (tmp_path / "data").rglob("*") if p.is_file()]
    assert not (tmp_path / "evil.bin").exists()


# --- whatever happens ------------------------------------------------------------------------

FAULTS = st.one_of(
    st.integers(0, len(BODY)).map(cut),
    st.integers(0, len(BODY)).map(unannounced),
    st.sampled_from([404, 416, 429, 500, 503]).map(status),
    st.sampled_from([ignoring_range, shifted, instead(PAGE), instead(BODY[::-1]), instead(b"")]),
)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(faults=st.lists(FAULTS, max_size=5), announced=st.booleans())
def test_whatever_a_server_does_the_file_is_right_or_absent(tmp_path, server, faults, announced):
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    url = server.serve("/a.bin", BODY, *faults)
    known = entry(url) if announced else {"mirrors": [url], "md5": md5(BODY)}
    outcomes = [run(tmp_path, {"a.bin": known}) for _ in range(3)]
    assert outcomes[-1].good or len(faults) > 2
    assert not kept(tmp_path).exists() or kept(tmp_path).read_bytes() == BODY
    for outcome in outcomes:
        assert outcome.good or outcome.remarks
