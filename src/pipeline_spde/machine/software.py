"""Python, the packages that the project depends on, and Snakemake with its profiles."""

from __future__ import annotations

import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from pipeline_spde import __version__
from pipeline_spde.io import code_version
from pipeline_spde.machine import Finding

PROJECT = "pipeline-spde"


def python() -> list[Finding]:
    """Return the versions of Python and of this package."""
    found = f"{platform.python_version()} at {sys.executable}"
    own = Finding("pipeline_spde", "good", f"{__version__} ({code_version()})")
    return [Finding("Python", "good", found), own]


def packages() -> list[Finding]:
    """Return which required packages are missing or outside their ranges."""
    wrong = []
    required = [Requirement(text) for text in metadata.requires(PROJECT) or ()]
    needed = [r for r in required if r.marker is None or r.marker.evaluate({"extra": ""})]
    for requirement in needed:
        problem = unmet(requirement)
        if problem:
            wrong.append(problem)
    if wrong:
        advice = "install them: python -m pip install -e . (or make run, which does it)"
        return [Finding("packages", "bad", "; ".join(wrong), advice)]
    shown = ("torch", "pytorch-lightning", "xarray", "mlflow", "snakemake")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in shown)
    return [Finding("packages", "good", f"all {len(needed)} within their ranges ({versions})")]


def unmet(requirement: Requirement) -> str | None:
    """Return why a requirement is not met, None if it is."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is missing"
    except InvalidRequirement as error:
        return f"{requirement.name}: {error}"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{requirement.name} {version} is not {requirement.specifier}"
    return None


def snakemake() -> list[Finding]:
    """Return whether `snakemake` is on the path, and this environment's; and the profiles."""
    program = shutil.which("snakemake")
    if program is None:
        advice = "activate the environment: . .venv/bin/activate"
        return [Finding("Snakemake", "bad", "no program snakemake on the PATH", advice)]
    findings = []
    if Path(program).parent.resolve() != Path(sys.executable).parent.resolve():
        advice = f"put {Path(sys.executable).parent} first on the PATH: activate the environment"
        findings.append(Finding("Snakemake", "doubtful", f"{program} of another Python", advice))
    else:
        found = f"{metadata.version('snakemake')} at {program}"
        findings.append(Finding("Snakemake", "good", found))
    if Path("Snakefile").is_file() and not Path("slurm/profile.yaml").is_file():
        advice = "make the link again: ln -s profiles/slurm slurm (needed by --profile slurm)"
        findings.append(Finding("profile slurm", "doubtful", "./slurm is no folder", advice))
    return findings
