"""Tracking on a real MLflow server: nested runs; one that is down, dead or slow costs little."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time

import pandas as pd
import pytest
import requests

from pipeline_spde import tracking
from pipeline_spde.files import read_json, write_json, write_text
from pipeline_spde.training import logs

pytestmark = pytest.mark.slow

RECORD = {
    "stage": "train",
    "name": "train gulfstream",
    "wildcards": {"domain": "gulfstream"},
    "config": {"steps": 3},
    "started": 1e9,
    "metrics": {"best_rmse_m": 0.05},
    "inputs": {"truth": "ab" * 32},
    "outputs": {"checkpoint": "cd" * 32},
}
CURVE = pd.DataFrame({"step": [0, 1, 2, 3], "loss": [4.0, 3.0, 2.0, 1.0]})


class Server:
    """An MLflow server of one worker on a free port of the loopback interface."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        options = [
            "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.folder / 'server.db'}",
            "--artifacts-destination", str(self.folder / "artifacts"),
        ]  # fmt: skip
        own = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *options],
                env={**os.environ, **own}, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + 90
        while time.monotonic() < until:
            try:
                if requests.get(f"{self.uri}/health", timeout=2).ok:
                    return
            except requests.ConnectionError:
                assert self.process.poll() is None, (self.folder / "server.log").read_text()
            time.sleep(0.2)
        raise AssertionError((self.folder / "server.log").read_text())

    def stop(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(tmp_path_factory.mktemp("server"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


class Run:
    mlflow_run_id = None


def begin(results, server, monkeypatch, name):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    marker = results / "tracking.json"
    write_json(marker, tracking.create(results, name))
    return marker


def client_of(server):
    from mlflow.tracking import MlflowClient

    return MlflowClient(server.uri)


def test_runs_are_nested_with_metrics_artifacts_and_datasets(server, tmp_path, monkeypatch):
    marker = begin(tmp_path, server, monkeypatch, "nested")
    run = Run()
    live = logs.live_curves(marker, run, "train", {"domain": "gulfstream"})
    for step, loss in CURVE.itertuples(index=False):
        live.log_metrics({"loss": loss}, int(step))
    table = tmp_path / "scores.csv"
    write_text(table, "rmse\n0.05\n")
    own = {"mlflow_run_id": run.mlflow_run_id, "artifacts": [str(table)]}
    record = RECORD | own | {"histories": logs.histories(CURVE, live)}
    path = tracking.write_record(tmp_path / "state.ckpt", record)
    assert tracking.send(path, marker)
    assert tracking.finish_parent(marker, {"seed": 1})

    client, target = client_of(server), read_json(marker)
    child = client.get_run(run.mlflow_run_id)
    assert child.data.tags["mlflow.parentRunId"] == target["parent_run_id"]
    assert child.info.status == "FINISHED" and child.data.params == {"steps": "3"}
    history = client.get_metric_history(run.mlflow_run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(0, 4.0), (1, 3.0), (2, 2.0), (3, 1.0)]
    assert [d.dataset.name for d in child.inputs.dataset_inputs] == ["truth"]
    assert [a.path for a in client.list_artifacts(run.mlflow_run_id)] == ["scores.csv"]
    assert client.get_run(target["parent_run_id"]).info.status == "FINISHED"
    names = {r.info.run_name for r in client.search_runs([target["experiment_id"]])}
    assert names == {"nested", "train gulfstream"}


def test_a_server_that_dies_in_a_training_gets_the_rest_later(
    server, tmp_path, monkeypatch, caplog
):
    marker = begin(tmp_path, server, monkeypatch, "dies")
    run = Run()
    live = logs.live_curves(marker, run, "train", {"domain": "gulfstream"})
    live.log_metrics({"loss": 4.0}, 0)
    live.log_metrics({"loss": 3.0}, 1)
    server.stop()
    with caplog.at_level(logging.WARNING):
        live.log_metrics({"loss": 2.0}, 2)  # a warning, once
        live.log_metrics({"loss": 1.0}, 3)
    assert sum("no more live curves" in line for line in caplog.messages) == 1
    record = RECORD | {"mlflow_run_id": run.mlflow_run_id}
    path = tracking.write_record(
        tmp_path / "state.ckpt", record | {"histories": logs.histories(CURVE, live)}
    )
    assert not tracking.send(path, marker)
    assert tracking.send_pending(tmp_path, marker) == (0, 1)
    assert not read_json(path)["tracked"]
    server.start()
    assert tracking.send_pending(tmp_path, marker) == (1, 0)
    history = client_of(server).get_metric_history(run.mlflow_run_id, "loss")
    assert sorted((m.step, m.value) for m in history) == [(0, 4.0), (1, 3.0), (2, 2.0), (3, 1.0)]


def test_a_server_that_never_answers_costs_seconds(tmp_path, monkeypatch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        began = time.monotonic()
        with pytest.raises(tracking.TrackingError, match=r"127\.0\.0\.1"):
            tracking.create(tmp_path, "slow")
        write_json(
            tmp_path / "tracking.json", {"uri": uri, "experiment_id": "1", "parent_run_id": "x"}
        )
        path = tracking.write_record(tmp_path / "maps.nc", RECORD)
        assert not tracking.send(path, tmp_path / "tracking.json")
        assert time.monotonic() - began < 10
    assert not read_json(path)["tracked"]


def test_without_settings_of_the_user_a_dead_server_is_given_up_soon(monkeypatch):
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    tracking._client("http://127.0.0.1:9")
    from mlflow.environment_variables import (
        MLFLOW_HTTP_REQUEST_MAX_RETRIES,
        MLFLOW_HTTP_REQUEST_TIMEOUT,
    )

    assert MLFLOW_HTTP_REQUEST_TIMEOUT.get() <= 10 and MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() <= 1


def test_a_password_in_the_address_stays_in_the_environment(server, tmp_path, monkeypatch, caplog):
    secret = server.uri.replace("http://", "http://someone:hunter2@")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", secret)
    marker = tmp_path / "tracking.json"
    write_json(marker, tracking.create(tmp_path, "secret"))
    assert tracking.is_open(marker)
    assert tracking.address(read_json(marker)) == secret
    path = tracking.write_record(tmp_path / "maps.nc", RECORD)
    assert tracking.send(path, marker)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:hunter2@127.0.0.1:9")
    lost = tmp_path / "lost.json"
    write_json(lost, read_json(marker) | {"uri": "http://127.0.0.1:9"})
    other = tracking.write_record(tmp_path / "scores.json", RECORD)
    with caplog.at_level(logging.WARNING):
        assert not tracking.send(other, lost)
    with pytest.raises(tracking.TrackingError) as raised:
        tracking.create(tmp_path, "secret")
    written = "".join(p.read_text() for p in tmp_path.iterdir() if p.is_file())
    assert "hunter2" not in written + caplog.text + str(raised.value)
