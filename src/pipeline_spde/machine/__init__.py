"""Is this machine fit to run the pipeline? Each check says what it found and what would be right.

`examine` runs them all; `software` looks at Python and its packages, `hardware` at processors,
memory, GPU and disk, `services` at the tracking store, Slurm and the folder of data, and
`arithmetic` computes a small problem of the package whose answer is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline_spde.config import Config

State = Literal["good", "doubtful", "bad"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        subject: what was looked at.
        state: good; doubtful: works, worse than it could; bad: runs will fail.
        found: what is there.
        advice: what to do, empty when good.
    """

    subject: str
    state: State
    found: str
    advice: str = ""

    def to_text(self) -> str:
        """Return one line, and a second one with the advice if there is any."""
        line = f"{self.state:8} {self.subject}: {self.found}"
        return f"{line}\n{'':9}→ {self.advice}" if self.advice else line

    def to_json(self) -> dict[str, Any]:
        """Return the attributes as a mapping."""
        return asdict(self)


Check = Callable[[], Sequence[Finding]]


def examine(config: Config | None = None, results: Path | None = None) -> list[Finding]:
    """Return what every check found; a check that cannot be made is a finding, never an error.

    Args:
        config: an experiment whose needs are compared with what is there; None: none.
        results: folder of results; None: that of the experiment, or ./results.
    """
    from pipeline_spde.machine import arithmetic, hardware, services, software
    from pipeline_spde.stages import results_folder

    folder = results or (results_folder(config) if config else Path("results"))
    checks: dict[str, Check] = {
        "Python": software.python,
        "packages": software.packages,
        "Snakemake": software.snakemake,
        "processors": hardware.processors,
        "memory": hardware.memory,
        "GPU": hardware.gpu,
        "results folder": lambda: hardware.folder(folder),
        "disk": lambda: hardware.disk_space(folder, config),
        "data": lambda: services.data(config),
        "MLflow": lambda: services.tracking(folder),
        "Slurm": services.slurm,
        "arithmetic": arithmetic.known_answers,
    }
    return [finding for subject, check in checks.items() for finding in _guarded(subject, check)]


def _guarded(subject: str, check: Check) -> Sequence[Finding]:
    try:
        return check()
    except Exception as error:  # whatever a broken machine raises is what is looked for
        found = f"the check failed: {type(error).__name__}: {error}"
        return [Finding(subject, "bad", found, "mend this first, or report it as a defect")]
