"""Processors, memory, GPU, and the folder of results: room, rights, locks and clock."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from pipeline_spde import disk
from pipeline_spde.config import Config
from pipeline_spde.machine import Finding

LEAST_MEMORY = 4 * 2**30
"""Bytes that the demonstration needs: its largest job has 2.4 GB."""
LEAST_DISK = 2**30
MOST_SKEW = 2.0  # seconds between the clock of the machine and that of the file system


def processors() -> list[Finding]:
    """Return the processors that may be used, and limits on threads."""
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    found = f"{allowed} of {os.cpu_count()} may be used"
    findings = [Finding("processors", "good" if allowed > 1 else "doubtful", found)]
    if allowed == 1:
        advice = "one job at a time; the demonstration takes about twice as long as on two"
        findings = [Finding("processors", "doubtful", found, advice)]
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads and not (threads.isdigit() and 1 <= int(threads) <= allowed):
        advice = f"unset it, or use 1 to {allowed}; rules set their own threads"
        findings.append(Finding("OMP_NUM_THREADS", "doubtful", repr(threads), advice))
    return findings


def memory() -> list[Finding]:
    """Return the memory, that of a container or job if it is limited."""
    total = psutil.virtual_memory().total
    limit = _memory_limit()
    size = min(total, limit) if limit else total
    found = f"{disk.in_words(size)}{' (limited)' if size < total else ''}"
    if size < LEAST_MEMORY:
        advice = f"give it {disk.in_words(LEAST_MEMORY)}, or use coarser cells and one core"
        return [Finding("memory", "doubtful", found, advice)]
    return [Finding("memory", "good", found)]


def _memory_limit() -> int | None:
    """Return the limit of the control group, in bytes, or None."""
    names = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    for path in map(Path, names):
        try:
            text = path.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            return int(text)
    return None


def gpu() -> list[Finding]:
    """Return the GPUs that PyTorch sees; a driver that it does not see is doubtful."""
    import torch

    if torch.cuda.is_available():
        findings = []
        for number in range(torch.cuda.device_count()):
            own = torch.cuda.get_device_properties(number)
            found = f"{own.name}, {disk.in_words(own.total_memory)}, CUDA {torch.version.cuda}"
            torch.zeros(8, device=f"cuda:{number}").sum().item()  # does it compute at all?
            findings.append(Finding(f"GPU {number}", "good", found))
        return findings
    if shutil.which("nvidia-smi"):
        seen = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False
        )
        if seen.returncode == 0 and seen.stdout.strip():
            advice = "install torch's CUDA build, or check driver and CUDA_VISIBLE_DEVICES"
            found = f"torch {torch.__version__} does not see {seen.stdout.strip().splitlines()[0]}"
            return [Finding("GPU", "doubtful", found, advice)]
    return [Finding("GPU", "good", "none; everything runs on the CPU, trainings take longer")]


def folder(results: Path) -> list[Finding]:
    """Return whether results can be written, renamed and locked there, and whether clocks agree."""
    existing = next(p for p in (results.absolute(), *results.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryDirectory(dir=existing, prefix=".doctor-") as place:
            first, second = Path(place, "a"), Path(place, "b")
            with first.open("w", encoding="ascii") as file:
                file.write("x")
                os.fsync(file.fileno())
                written = time.time()
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            skew = abs(first.stat().st_mtime - written)
            first.replace(second)
    except OSError as error:
        advice = "choose another folder (key `results`), or change its rights"
        return [Finding("results folder", "bad", f"{existing}: {error}", advice)]
    found = f"{existing}: can be written, renamed and locked"
    if skew > MOST_SKEW:
        advice = "set the clocks of the machine and of the file server; Snakemake compares times"
        return [Finding("results folder", "doubtful", f"clock {skew:.0f} s off", advice)]
    return [Finding("results folder", "good", found)]


def disk_space(results: Path, config: Config | None) -> list[Finding]:
    """Return the room for results, compared with the need of an experiment."""
    existing = next(p for p in (results.absolute(), *results.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if config is not None:
        try:
            disk.require_room(config)
        except OSError as error:
            return [Finding("disk", "bad", str(error), "see there")]
        need = disk.in_words(sum(disk.estimated_bytes(config).values()))
        found = f"{disk.in_words(free)} free, {config.experiment} needs about {need}"
        return [Finding("disk", "good", found)]
    if free < LEAST_DISK:
        advice = f"free some space; the demonstration needs {disk.in_words(LEAST_DISK)}"
        return [Finding("disk", "bad", f"{disk.in_words(free)} free in {existing}", advice)]
    return [Finding("disk", "good", f"{disk.in_words(free)} free in {existing}")]
