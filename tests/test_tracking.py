"""Tracking: parent and children in MLflow, safe in parallel, never at the cost of a result."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline_spde import tracking
from pipeline_spde.files import read_json, write_json

RECORD = {
    "stage": "maps",
    "name": "maps gulfstream",
    "wildcards": {"domain": "gulfstream"},
    "config": {"a": {"b": 1}},
    "started": 1e9,
    "metrics": {"rmse": 0.05},
    "histories": {"loss": [(0, 2.0), (10, 1.0)]},
    "inputs": {"truth": "ab" * 32},
    "outputs": {"maps": "cd" * 32},
    "artifacts": [],
}


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def make_marker(results):
    write_json(results / "tracking.json", tracking.create(results, "test"))
    return results / "tracking.json"


def test_a_failure_to_send_keeps_the_record_and_the_next_try_delivers_it(results):
    path = tracking.write_record(results / "maps.nc", RECORD)
    broken = results / "broken.json"
    write_json(
        broken, {"uri": "sqlite:////proc/no/such.db", "experiment_id": "1", "parent_run_id": "x"}
    )
    assert tracking.send(path, broken) is False
    assert read_json(path)["tracked"] is False


@pytest.mark.slow
def test_a_store_that_was_down_at_the_start_gets_the_records_at_the_end(results):
    path = tracking.write_record(results / "maps.nc", RECORD)
    marker = results / "tracking.json"
    write_json(marker, {"failed": "server down", "experiment": "test"})
    assert tracking.send(path, marker) is False
    assert tracking.send_pending(results, marker) == (1, 0)
    assert read_json(path)["tracked"] and "uri" in read_json(marker)


def test_tracking_switched_off_sends_nothing(results):
    path = tracking.write_record(results / "maps.nc", RECORD)
    write_json(results / "off.json", {})
    assert tracking.send(path, results / "off.json") is False


@pytest.mark.slow
def test_children_hang_on_their_parent_with_metrics_parameters_and_inputs(results):
    marker = make_marker(results)
    path = tracking.write_record(results / "maps.nc", RECORD)
    assert tracking.send(path, marker)
    assert tracking.send_pending(results, marker) == (0, 0)
    assert tracking.finish_parent(marker, {"seed": 1})

    from mlflow.tracking import MlflowClient

    target = read_json(marker)
    client = MlflowClient(target["uri"])
    run = client.get_run(read_json(path)["mlflow_run_id"])
    assert run.data.tags["mlflow.parentRunId"] == target["parent_run_id"]
    assert run.data.params == {"a.b": "1"}
    assert run.data.metrics["rmse"] == pytest.approx(0.05)
    assert [m.value for m in client.get_metric_history(run.info.run_id, "loss")] == [2.0, 1.0]
    assert run.inputs.dataset_inputs[0].dataset.name == "truth"


@pytest.mark.slow
def test_a_dataset_registered_by_another_job_meanwhile_is_not_a_failure(results, monkeypatch):
    """MLflow's store raises on the unique key when two jobs register one dataset at once."""
    from mlflow.tracking import MlflowClient

    marker = make_marker(results)
    path = tracking.write_record(results / "maps.nc", RECORD)
    log_inputs, calls = MlflowClient.log_inputs, []

    def refused_once(client, *args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise RuntimeError("UNIQUE constraint failed: datasets.name")
        return log_inputs(client, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_inputs", refused_once)
    assert tracking.send(path, marker)
    assert len(calls) == 2


@pytest.mark.slow
def test_a_second_attempt_completes_the_run_of_the_first(results, monkeypatch):
    from mlflow.tracking import MlflowClient

    marker = make_marker(results)
    path = tracking.write_record(results / "maps.nc", RECORD)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", lambda *a, **k: 1 / 0)
        assert not tracking.send(path, marker)
    opened = read_json(path)["mlflow_run_id"]
    assert tracking.send_pending(results, marker) == (1, 0)
    assert read_json(path)["mlflow_run_id"] == opened
    runs = MlflowClient(read_json(marker)["uri"]).search_runs([read_json(marker)["experiment_id"]])
    assert len(runs) == 2  # the parent and one child


@pytest.mark.slow
def test_parallel_jobs_do_not_lose_records(results):
    marker = make_marker(results)
    paths = [tracking.write_record(results / f"maps{i}.nc", RECORD) for i in range(4)]
    code = "import sys; from pipeline_spde.tracking import send; sys.exit(not send(*sys.argv[1:]))"
    jobs = [subprocess.Popen([sys.executable, "-c", code, str(p), str(marker)]) for p in paths]
    assert [job.wait() for job in jobs] == [0, 0, 0, 0]
    assert len({read_json(p)["mlflow_run_id"] for p in paths}) == 4
