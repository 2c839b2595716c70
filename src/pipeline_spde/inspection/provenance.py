"""Where a product of this package comes from: its attributes and the record of its job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline_spde.data.sources.opening import Header
from pipeline_spde.files import DataError, read_json, sha256
from pipeline_spde.inspection.report import Findings
from pipeline_spde.tracking import RECORD_SUFFIX

_ATTRIBUTES = ("title", "code_version", "config_hash", "seed", "hardware", "history")


def is_ours(header: Header) -> bool:
    """Return True for a file that this package wrote."""
    return header.about.get("institution") == "pipeline_spde" or "config_hash" in header.about


def look_at_provenance(header: Header, findings: Findings) -> None:
    """Add the provenance attributes of a product, and what is wrong with them."""
    about = header.about
    for name in _ATTRIBUTES:
        if name in about:
            findings.provenance[name] = str(about[name])
        else:
            findings.problem(f"the provenance attribute {name} is missing")
    inputs = str(about.get("input_sha256", "none")).split()
    for pair in inputs if inputs != ["none"] else []:
        name, _, digest = pair.partition("=")
        findings.provenance[f"input {name}"] = f"sha256 {digest}"
    if "+dirty" in str(about.get("code_version", "")):
        findings.remarks.append("written by code with uncommitted changes (code_version +dirty)")
    _look_at_record(header.path, str(about.get("config_hash", "")), findings)


def _look_at_record(path: Path, config_hash: str, findings: Findings) -> None:
    """Add wall time and memory of the job, and compare the file with what the job wrote."""
    record_path = _record_of(path)
    if record_path is None:
        findings.remarks.append("no job record (*.run.json) beside it: wall time unknown")
        return
    try:
        record = read_json(record_path)
    except (DataError, UnicodeDecodeError) as error:
        findings.problem(error)
        return
    if not isinstance(record, Mapping):
        findings.problem(f"{record_path.name} is no job record")
        return
    findings.provenance |= _of_record(record)
    outputs = record.get("outputs", {})
    if isinstance(outputs, Mapping) and outputs and sha256(path) not in outputs.values():
        findings.problem(
            f"the file is not what its job wrote ({record_path.name} has other hashes): it was "
            "changed or replaced afterwards; make it again"
        )
    if config_hash and record.get("config_hash") not in (None, config_hash):
        findings.problem(
            f"config_hash {config_hash} of the file is not that of {record_path.name}: "
            f"{record['config_hash']}"
        )


def _record_of(path: Path) -> Path | None:
    """Return the record of the job that wrote a file: its own, or a sibling's that names it."""
    own = Path(f"{path}{RECORD_SUFFIX}")
    if own.is_file():
        return own
    for other in sorted(path.parent.glob(f"*{RECORD_SUFFIX}")):
        try:
            record = json.loads(other.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        outputs = record.get("outputs", {}) if isinstance(record, dict) else {}
        if isinstance(outputs, dict) and path.stem in outputs:
            return other
    return None


def _of_record(record: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    if isinstance(record.get("seconds"), int | float):
        found["wall time"] = f"{record['seconds']:.1f} s"
    if isinstance(record.get("peak_memory_mib"), int | float):
        found["peak memory"] = f"{record['peak_memory_mib']:.0f} MiB"
    if isinstance(record.get("started"), int | float):
        found["started"] = f"{datetime.fromtimestamp(record['started'], UTC):%Y-%m-%d %H:%M:%S} UTC"
    if "python" in record:
        found["python"] = str(record["python"])
    return found
