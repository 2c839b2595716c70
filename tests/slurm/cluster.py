"""A real one-node Slurm on the loopback interface, for tests.

    python tests/slurm/cluster.py start FOLDER   munge, slurmctld, slurmd; returns when all is idle
    python tests/slurm/cluster.py stop FOLDER    ends what `start` began, removes its configuration

Needs root and Debian's `slurm-wlm` and `munge` (or their like). A machine that is configured for a
cluster already (/etc/slurm/slurm.conf) is left alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

CONFIGURATION = Path("/etc/slurm")  # jobs started by srun look nowhere else
MARK = "# written by tests/slurm/cluster.py\n"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue")
SEARCHED = os.pathsep.join(("/usr/sbin", "/sbin", os.environ.get("PATH", "")))
PATIENCE_SECONDS = 60
# More than the machine has: what matters is that the jobs of the demonstration are all scheduled.
CPUS, MEMORY_MB = 4, 24_000

SLURM_CONF = """{mark}ClusterName=mini
SlurmctldHost=localhost(127.0.0.1)
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# no cgroups needed: memory is sampled every second, and who has too much is killed
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
KillWait=5
MinJobAge=600
ReturnToService=2
GresTypes=gpu
NodeName=localhost NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:1
PartitionName=cpu Nodes=localhost Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=localhost MaxTime=INFINITE State=UP
"""
GRES_CONF = "{mark}Name=gpu File=/dev/null\n"


class ClusterError(RuntimeError):
    """The cluster cannot be started; the message says why."""


def obstacle() -> str | None:
    """Return why no cluster can be started here, or None."""
    if os.geteuid() != 0:
        return "the daemons of Slurm need root"
    missing = [name for name in PROGRAMS if shutil.which(name, path=SEARCHED) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: apt-get install slurm-wlm munge)"
    if (CONFIGURATION / "slurm.conf").exists():
        return f"{CONFIGURATION}/slurm.conf exists: this machine belongs to a cluster"
    return None


def start(folder: Path) -> None:
    """Start the daemons with their state in `folder` and wait until the node is idle.

    Raises:
        ClusterError: something is missing, or a daemon did not come up.
    """
    reason = obstacle()
    if reason:
        raise ClusterError(reason)
    folder = folder.resolve()
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    try:
        _write_configuration(folder)
        started = _start_munge(folder)
        for name in ("slurmctld", "slurmd"):
            _command(name, *(["-N", "localhost"] if name == "slurmd" else []))
            started[name] = _pid(folder / f"{name}.pid")
            _remember(folder, started)
        _wait_for_node()
    except BaseException:
        stop(folder)
        raise


def stop(folder: Path) -> None:
    """End the daemons that `start` began with this folder, jobs first, and remove its files."""
    folder = folder.resolve()
    record = folder / "started.json"
    started = json.loads(record.read_text()) if record.is_file() else {}
    if "slurmctld" in started:
        subprocess.run(["scancel", "--quiet", "--user=root"], check=False, timeout=20)
        _wait_until(lambda: not _text("squeue", "--noheader"), seconds=20)
    for name in ("slurmd", "slurmctld", "munged"):
        if name in started:
            _end(started[name], name)
    record.unlink(missing_ok=True)
    for name in ("slurm.conf", "gres.conf"):
        path = CONFIGURATION / name
        if path.is_file() and path.read_text().startswith(MARK):
            path.unlink()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[None]:
    """Have a cluster for the length of a `with` block."""
    start(folder)
    try:
        yield
    finally:
        stop(folder)


def _write_configuration(folder: Path) -> None:
    CONFIGURATION.mkdir(exist_ok=True)
    text = SLURM_CONF.format(mark=MARK, folder=folder, cpus=CPUS, memory=MEMORY_MB)
    (CONFIGURATION / "slurm.conf").write_text(text)
    (CONFIGURATION / "gres.conf").write_text(GRES_CONF.format(mark=MARK))


def _start_munge(folder: Path) -> dict[str, int]:
    """Start munged unless one answers already; return its process id by name."""
    if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0:
        return {}
    run = Path("/run/munge")
    run.mkdir(exist_ok=True)
    shutil.chown(run, "munge", "munge")
    _command("runuser", "-u", "munge", "--", str(shutil.which("munged", path=SEARCHED)))
    started = {"munged": _pid(run / "munged.pid")}
    _remember(folder, started)
    return started


def _remember(folder: Path, started: dict[str, int]) -> None:
    (folder / "started.json").write_text(json.dumps(started))


def _command(name: str, *arguments: str) -> None:
    done = subprocess.run(
        [str(shutil.which(name, path=SEARCHED)), *arguments],
        capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    if done.returncode:
        raise ClusterError(f"{name} did not start: {done.stderr.strip() or done.stdout.strip()}")


def _text(*command: str) -> str:
    """Return what a Slurm client prints, stripped; nothing where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return done.stdout.strip() if done.returncode == 0 else ""


def _pid(file: Path) -> int:
    _wait_until(lambda: file.is_file() and bool(file.read_text().strip()), what=str(file))
    return int(file.read_text())


def _wait_for_node() -> None:
    _wait_until(
        lambda: _text("sinfo", "--noheader", "--format=%T").splitlines()[:1] == ["idle"],
        what="an idle node",
    )


def _wait_until(holds, *, seconds: float = PATIENCE_SECONDS, what: str | None = None) -> None:
    """Wait until a condition holds; complain about its lack when it has a name."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return
        time.sleep(0.2)
    if what:
        raise ClusterError(f"waited {seconds:.0f} s in vain for {what}")


def _end(pid: int, name: str) -> None:
    """End a process if it still is the daemon that was started."""
    program = Path(f"/proc/{pid}/comm")
    if not program.is_file() or not name.startswith(program.read_text().strip()[:9]):
        return
    os.kill(pid, signal.SIGTERM)
    _wait_until(lambda: not program.exists(), seconds=15)
    if program.exists():
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("start", "stop"):
        sys.exit(__doc__)
    try:
        {"start": start, "stop": stop}[sys.argv[1]](Path(sys.argv[2]))
    except ClusterError as error:
        sys.exit(f"no cluster: {error}")
