"""What to do about jobs that a scheduler has ended, said at the end of a run that failed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_RULE = re.compile(r"Error in rule (\w+):")
_CAUSES = {
    "OUT_OF_MEMORY": (
        re.compile(r"OUT_OF_MEMORY|oom.?kill|exceeded memory limit|MemoryError", re.IGNORECASE),
        "was killed for using more memory than it had asked for; every attempt asks for more: "
        "--retries 4, or at once --set-resources {rule}:mem_mb=16000",
    ),
    "TIMEOUT": (
        re.compile(r"\bTIMEOUT\b|DUE TO TIME LIMIT"),
        "ran out of time; every attempt asks for more: --retries 4, or at once "
        "--set-resources {rule}:runtime=480 (minutes); a training goes on from its checkpoint",
    ),
    "CANCELLED": (
        re.compile(r"\bCANCELLED\b|PREEMPTED"),
        "was cancelled or preempted by the scheduler: start the run again, it goes on from there",
    ),
    "NODE_FAIL": (
        re.compile(r"NODE_FAIL|BOOT_FAIL"),
        "lost its node: start the run again, it goes on from there",
    ),
    "disk": (
        re.compile(r"No space left on device|Disk quota exceeded"),
        "found the disk full: free some space or set `results` to a larger disk, then run again",
    ),
}


def remedies(log: str | Path | Sequence[str | Path], slurm_logs: str | Path = "") -> list[str]:
    """Return a sentence on each rule of a run whose failure has a known remedy.

    Args:
        log: Snakemake's own log of the run, or several.
        slurm_logs: folder in which Slurm's messages of failed jobs are kept, rule by rule.
    """
    files = [Path(one) for one in ([log] if isinstance(log, str | Path) else log)]
    text = "\n".join(_text(path) for path in files if path.is_file())
    blocks = re.split(r"(?=Error in rule \w+:)", text)[1:]
    found: dict[str, None] = {}
    for block in blocks:
        named = _RULE.match(block)
        assert named is not None  # the blocks were split there
        rule = named.group(1)
        words = block + (_scheduler(Path(slurm_logs), rule) if slurm_logs else "")
        for pattern, advice in _CAUSES.values():
            if pattern.search(words):
                found[f"rule {rule} {advice.format(rule=rule)}"] = None
                break
    return list(found)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _scheduler(folder: Path, rule: str) -> str:
    """Return the end of what Slurm wrote about the failed jobs of a rule."""
    return "\n".join(_text(path)[-4000:] for path in sorted(folder.glob(f"rule_{rule}/**/*.log")))
