"""What is said of jobs that a scheduler has ended: the cause that is there, and no other."""

from __future__ import annotations

import pytest

from pipeline_spde.machine.remedies import remedies

FAILED = "Error in rule {rule}:\n    message: {message}\n    shell: python x.py --timeout 10\n"


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("SLURM-job '4' failed, SLURM status is: 'OUT_OF_MEMORY'.", "train:mem_mb="),
        ("SLURM status is: 'TIMEOUT'.", "train:runtime="),
        ("SLURM status is: 'CANCELLED'.", "cancelled or preempted"),
        ("SLURM status is: 'NODE_FAIL'.", "lost its node"),
        ("OSError: [Errno 28] No space left on device", "disk full"),
    ],
)
def test_every_cause_has_its_remedy(tmp_path, message, advice):
    log = tmp_path / "log"
    log.write_text(FAILED.format(rule="train", message=message))
    (line,) = remedies([log])
    assert line.startswith("rule train ") and advice in line


def test_a_failure_of_the_program_itself_has_none(tmp_path):
    """An option called timeout is no reason to ask for more time."""
    log = tmp_path / "log"
    log.write_text(FAILED.format(rule="maps", message="None"))
    assert remedies(log) == []
    assert remedies(tmp_path / "missing") == []


def test_what_slurm_wrote_counts_for_its_own_rule(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        FAILED.format(rule="truth", message="None") + FAILED.format(rule="maps", message="None")
    )
    kept = tmp_path / "slurm" / "rule_truth" / "gulfstream"
    kept.mkdir(parents=True)
    (kept / "4.log").write_text("slurmstepd: error: Exceeded memory limit at some point\n")
    (line,) = remedies([log], tmp_path / "slurm")
    assert line.startswith("rule truth was killed for using more memory")
