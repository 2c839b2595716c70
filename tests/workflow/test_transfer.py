"""Zero-shot transfer: the copy of a network is a tracked job like any other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from running import ROOT, environment

from pipeline_spde.config import load_files
from pipeline_spde.files import read_json, sha256, write_json
from pipeline_spde.stages import stage_json
from pipeline_spde.tracking import create


def transfer(folder: Path, *options: object) -> Path:
    """Run the script on a file of a few bytes; return the copy."""
    config = load_files(ROOT / "config.yaml", ROOT / "config" / "gulfstream_ose.yaml")
    (folder / "twin").mkdir()
    source, copy = folder / "twin" / "state.ckpt", folder / "real" / "state.ckpt"
    source.write_bytes(b"weights")
    command = [
        sys.executable, ROOT / "workflow" / "scripts" / "transfer.py", "--domain=gulfstream_2022",
        f"--config={stage_json(config, 'zero_shot', 'gulfstream_2022', 'mapping')}",
        f"--checkpoint={source}", f"--output={copy}", *options,
    ]  # fmt: skip
    subprocess.run(command, env=environment(), check=True, capture_output=True, timeout=120)
    return copy


def test_the_record_of_a_copy_says_which_network_it_is_and_whose(tmp_path):
    copy = transfer(tmp_path)
    assert copy.read_bytes() == b"weights"
    assert [path.name for path in copy.parent.iterdir() if path.suffix != ".json"] == ["state.ckpt"]
    record = read_json(copy.with_name("state.ckpt.run.json"))
    assert record["stage"] == "zero_shot" and record["config"]["model_from"] == "gulfstream"
    assert record["wildcards"]["domain"] == "gulfstream_2022"
    assert record["inputs"]["checkpoint"] == sha256(copy) == record["outputs"]["checkpoint"]


@pytest.mark.slow
def test_a_copy_is_a_child_run(tmp_path):
    marker = tmp_path / "tracking.json"
    write_json(marker, create(tmp_path, "test"))
    copy = transfer(tmp_path, f"--tracking={marker}")
    record = read_json(copy.with_name("state.ckpt.run.json"))
    assert record["tracked"]

    from mlflow.tracking import MlflowClient

    run = MlflowClient(read_json(marker)["uri"]).get_run(record["mlflow_run_id"])
    assert run.data.tags["rule"] == "zero_shot"
    assert run.data.params["model_from"] == "gulfstream"
