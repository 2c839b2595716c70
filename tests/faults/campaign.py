"""What happens when things go wrong: stages killed at random moments, disks, locks, damaged files.

    python tests/faults/campaign.py --trials 30 --report docs/faults_measured.md [--base FOLDER]

The tiny experiment is run once (or found in a checkout of --base). Each trial removes a product,
runs Snakemake for it, does the damage, runs Snakemake again as a user would, and compares the
product with the first one bit by bit. Every trial ends in a completed rerun or an error that says
what is wrong; a partial or different product is a failure of the campaign (exit status 1).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np
import psutil
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))
from running import copy_workflow, environment, snakemake

RESULTS = Path("results/tiny")
TINY = ("--configfile", "config/tiny.yaml")
PLACE = "gulfstream/mapping"
PRODUCTS = {
    "truth": "data/gulfstream/truth.nc",
    "tracks": "data/gulfstream/tracks.nc",
    "observations": "data/gulfstream/observations.nc",
    "statistics": "data/gulfstream/grid.nc",
    "tune": f"models/{PLACE}/oi_tuned.json",
    "fit_spde": f"models/{PLACE}/spde_oi.nc",
    "first_guess": f"models/{PLACE}/first_guess.nc",
    "train": f"models/{PLACE}/state.ckpt",
    "train_unet": f"models/{PLACE}/unet.ckpt",
    "train_spde": f"models/{PLACE}/spde.ckpt",
    "maps": f"maps/{PLACE}/spde_oi.nc",
    "calibrate": f"models/{PLACE}/4dvarnet_spde.calibration.json",
    "ensemble": f"ensembles/{PLACE}/4dvarnet_spde.nc",
    "scores": f"scores/{PLACE}/4dvarnet_spde.json",
    "leads": "scores/gulfstream/for2/leads/oi_tuned.csv",
    "figure_maps": f"figures/{PLACE}/maps.png",
    "tables": "tables/scores.md",
    "report": "report.html",
}
SCRIPTS = "workflow/scripts/"


@dataclass(frozen=True)
class Outcome:
    """How a trial ended."""

    fault: str
    what: str
    good: bool
    end: str


def fingerprint(path: Path) -> str:
    """Return a hash of what a product says; provenance (times, host) is left out."""
    if path.suffix == ".nc":
        with xr.open_dataset(path, decode_cf=False) as data:
            parts = [data[name].values.tobytes() for name in sorted(map(str, data.variables))]
        return hashlib.sha256(b"".join(parts)).hexdigest()
    if path.suffix == ".ckpt":
        import torch

        content = torch.load(path, weights_only=True)
        weights = content["weights"]
        return hashlib.sha256(
            b"".join(weights[k].numpy().tobytes() for k in sorted(weights))
        ).hexdigest()
    if path.suffix == ".html":  # figures and maps; what it says of times and hosts may differ
        text = path.read_text(encoding="utf-8")
        parts = re.findall(r'base64,[A-Za-z0-9+/=]+|<script type="text/plain"[^<]*</script>', text)
        return hashlib.sha256("".join(parts).encode()).hexdigest() + f" {len(parts)} parts"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def start(folder: Path, target: str, *options: str) -> subprocess.Popen[str]:
    """Start Snakemake for a product in a process group of its own."""
    command = [sys.executable, "-m", "snakemake", str(RESULTS / target), "--cores", "2", *TINY]
    return subprocess.Popen(
        [*command, *options], cwd=folder, env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def jobs_of(run: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the stages that run now."""
    try:
        children = psutil.Process(run.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    found = []
    for child in children:
        try:
            words = child.cmdline()
        except psutil.Error:
            continue
        if len(words) > 1 and words[1].startswith(SCRIPTS) and "python" in words[0]:
            found.append(child)
    return found


def wait_for_job(run: subprocess.Popen[str]) -> list[psutil.Process]:
    while run.poll() is None:
        found = jobs_of(run)
        if found:
            return found
        time.sleep(0.05)
    return []


def again(folder: Path, target: str) -> subprocess.CompletedProcess[str]:
    """Run as a user would after a crash: clear the lock, then run."""
    snakemake(folder, "--unlock", *TINY)
    return snakemake(folder, str(RESULTS / target), "--cores", "2", *TINY)


def clean(folder: Path, target: str) -> None:
    for path in (RESULTS / target).parent, RESULTS / "work":
        for partial in (folder / path).glob("*.tmp*") if (folder / path).is_dir() else ():
            partial.unlink()
    (folder / RESULTS / target).unlink(missing_ok=True)


def duration(folder: Path, rule: str) -> float:
    """Return how long a stage ran, its start included, as its record says (figures: a guess)."""
    record = folder / RESULTS / (PRODUCTS[rule] + ".run.json")
    return 3.0 + (json.loads(record.read_text())["seconds"] if record.is_file() else 2.0)


def killed(
    folder: Path, wanted: dict[str, str], rng: random.Random, rule: str, seconds: float
) -> Outcome | None:
    """Kill a stage, or the whole run, with SIGKILL at a random moment of its time.

    None where it had ended already: that is no trial.
    """
    target, whole = PRODUCTS[rule], rng.random() < 0.4
    clean(folder, target)
    run = start(folder, target)
    wait_for_job(run)
    time.sleep(rng.uniform(0, seconds))
    jobs = [] if run.poll() is not None else jobs_of(run)
    if jobs and whole:
        os.killpg(run.pid, signal.SIGKILL)
    for job in jobs:
        with contextlib.suppress(psutil.NoSuchProcess):
            job.kill()
    run.communicate()
    if not jobs:
        return None
    moment = "the whole run" if whole else "the stage"
    product = folder / RESULTS / target
    partial = product.exists() and fingerprint(product) != wanted[rule]
    done = again(folder, target)
    equal = done.returncode == 0 and fingerprint(product) == wanted[rule]
    end = "completed on the next run, bit-identical" if equal else done.stderr[-300:]
    return Outcome(
        "kill -9", f"{rule}: {moment}", equal and not partial, "PARTIAL" if partial else end
    )


def refused(folder: Path, target: str, *sentences: str) -> tuple[bool, str]:
    """Return whether a run fails with one of these sentences, and the line that says so."""
    done = snakemake(folder, str(RESULTS / target), "--cores", "2", *TINY)
    text = done.stdout + done.stderr
    lines = [line for line in text.splitlines() if any(s in line for s in sentences)]
    said = lines[-1].strip()[:180] if lines else text[-180:]
    return done.returncode != 0 and bool(lines), said


def repaired(folder: Path, rule: str, wanted: dict[str, str]) -> bool:
    done = again(folder, PRODUCTS[rule])
    return done.returncode == 0 and fingerprint(folder / RESULTS / PRODUCTS[rule]) == wanted[rule]


def damaged(
    folder: Path, wanted: dict[str, str], what: str, file: str, damage: Callable[[Path], None],
    rule: str, *sentences: str,
) -> Outcome:  # fmt: skip
    """Damage an input of a stage; the stage must refuse it and leave no product."""
    path, target = folder / RESULTS / file, PRODUCTS[rule]
    kept = path.read_bytes()
    clean(folder, target)
    damage(path)
    refusal, said = refused(folder, target, *sentences)
    absent = not (folder / RESULTS / target).exists()
    path.write_bytes(kept)
    good = refusal and absent and repaired(folder, rule, wanted)
    return Outcome(what, f"{file} read by {rule}", good, f"refused: {said}")


def _nan_in_a_day(path: Path) -> None:
    with netCDF4.Dataset(path, "a") as data:
        data["ssh"][150, 12, 12] = np.nan


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    path.write_bytes(content)


def full_disk(folder: Path, wanted: dict[str, str], mount: Path) -> Outcome:
    """Run on a file system without room for the product."""
    results = folder / RESULTS / "maps"
    saved = folder / "saved_maps"
    shutil.move(results, saved)
    results.mkdir()
    size = "300k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", results], check=True)
    try:
        refusal, said = refused(folder, PRODUCTS["maps"], "No space left", "disk", "Errno 28")
        left = [p for p in results.rglob("*.nc") if p.is_file()]
        subprocess.run(["mount", "-o", "remount,size=200m", results], check=True)
        good = refusal and not left and repaired(folder, "maps", wanted)
    finally:
        subprocess.run(["umount", results], check=True)
        results.rmdir()
        shutil.move(saved, results)
    return Outcome("full disk", "maps on 300 kB", good, f"refused: {said}; completed with room")


def read_only(folder: Path, wanted: dict[str, str], mount: Path) -> Outcome:
    """Results on a file system that is mounted read-only."""
    results = folder / RESULTS / "scores"
    clean(folder, PRODUCTS["scores"])
    subprocess.run(["mount", "--bind", results, results], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", results], check=True)
    try:
        refusal, said = refused(
            folder,
            PRODUCTS["scores"],
            "Read-only file system",
            "Errno 30",
            "Write-protected",
            "not writable",
            "cannot be locked",
        )
    finally:
        subprocess.run(["umount", results], check=True)
    good = refusal and repaired(folder, "scores", wanted)
    return Outcome("read-only results", "scores", good, f"refused: {said}")


def two_at_once(folder: Path, wanted: dict[str, str]) -> Outcome:
    clean(folder, PRODUCTS["train"])
    first = start(folder, PRODUCTS["train"])
    wait_for_job(first)
    second, said = refused(folder, PRODUCTS["train"], "cannot be locked", "LockException")
    first.communicate()
    product = folder / RESULTS / PRODUCTS["train"]
    good = second and first.returncode == 0 and fingerprint(product) == wanted["train"]
    return Outcome(
        "two runs at once", "train", good, f"the second refused: {said}; the first completed"
    )


def stale_lock(folder: Path, wanted: dict[str, str]) -> Outcome:
    clean(folder, PRODUCTS["scores"])
    run = start(folder, PRODUCTS["scores"])
    wait_for_job(run)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    refusal, said = refused(
        folder, PRODUCTS["scores"], "cannot be locked", "LockException", "unlock"
    )
    good = refusal and repaired(folder, "scores", wanted)
    return Outcome(
        "stale lock", "scores", good, f"refused: {said}; `--unlock` (make run does it) completes"
    )


def clock_skew(folder: Path, wanted: dict[str, str], hours: int) -> Outcome:
    """An input from the future is refused until the clock is mended, a product of the past is not.

    A product that is older than its inputs is made again, the same.
    """
    rule = "maps"
    path = folder / RESULTS / ("data/gulfstream/tracks.nc" if hours > 0 else PRODUCTS[rule])
    kept = path.stat().st_mtime
    moment = time.time() + 3600 * hours
    os.utime(path, (moment, moment))
    end = "completed, bit-identical"
    if hours > 0:
        good, said = refused(folder, PRODUCTS[rule], "clock skew problem")
        end = f"refused: {said}; completed when the time was mended"
        os.utime(path, (kept, kept))
        good &= repaired(folder, rule, wanted)
    else:
        good = repaired(folder, rule, wanted)
    again(folder, "tables/scores.md")
    return Outcome("clock skew", f"{hours:+d} h on {path.name}", good, end)


def corrupt_resume(folder: Path, wanted: dict[str, str]) -> Outcome:
    """A training that was killed finds its own checkpoint damaged."""
    clean(folder, PRODUCTS["train"])
    run = start(folder, PRODUCTS["train"])
    wait_for_job(run)
    work = folder / RESULTS / "work"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and run.poll() is None:
        if list(work.rglob("*.ckpt")):
            break
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    found = list(work.rglob("*.ckpt"))
    for path in found:
        path.write_bytes(path.read_bytes()[:1000])
    done = again(folder, PRODUCTS["train"])
    product = folder / RESULTS / PRODUCTS["train"]
    if done.returncode == 0:
        good, end = fingerprint(product) == wanted["train"], "trained from the start, bit-identical"
    else:
        text = done.stdout + done.stderr
        lines = [line for line in text.splitlines() if "ckpt" in line and "Error" not in line]
        end = f"refused: {lines[-1].strip()[:180] if lines else text[-180:]}"
        good = bool(lines) and not product.exists()
        shutil.rmtree(work)
        good &= repaired(folder, "train", wanted)
    return Outcome("corrupted checkpoint", f"train resumes ({len(found)} files)", good, end)


def single_faults(folder: Path, wanted: dict[str, str]) -> list[Outcome]:
    """Return the outcome of every fault that is not a matter of chance."""
    half = lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])  # noqa: E731
    found = [
        damaged(folder, wanted, "truncated NetCDF", "data/gulfstream/observations.nc", half,
                "maps", "observations.nc"),
        damaged(folder, wanted, "truncated NetCDF", "data/gulfstream/truth.nc", half,
                "scores", "truth.nc"),
        damaged(folder, wanted, "damaged NetCDF", f"maps/{PLACE}/4dvarnet_spde.nc", _flip,
                "scores", "4dvarnet_spde.nc", "cannot be read"),
        damaged(folder, wanted, "corrupted checkpoint", PRODUCTS["train_spde"], _flip,
                "ensemble", "spde.ckpt"),
        damaged(folder, wanted, "NaN in one batch", "data/gulfstream/truth.nc", _nan_in_a_day,
                "train", "not finite", "NaN"),
        corrupt_resume(folder, wanted),
        two_at_once(folder, wanted),
        stale_lock(folder, wanted),
        clock_skew(folder, wanted, 30),
        clock_skew(folder, wanted, -24 * 3650),
    ]  # fmt: skip
    if os.geteuid() == 0:
        found += [full_disk(folder, wanted, folder), read_only(folder, wanted, folder)]
    return found


def prepare(base: Path | None, folder: Path) -> dict[str, str]:
    """Have a finished tiny experiment in a checkout; return the fingerprint of every product."""
    copy_workflow(folder)
    if base is not None:
        shutil.copytree(base / RESULTS, folder / RESULTS)
        if (base / ".snakemake").is_dir():
            shutil.copytree(base / ".snakemake", folder / ".snakemake")
    done = snakemake(folder, "--cores", "2", *TINY)
    if done.returncode:
        raise SystemExit(
            "the experiment itself fails:\n" + done.stdout[-2000:] + done.stderr[-2000:]
        )
    return {rule: fingerprint(folder / RESULTS / path) for rule, path in PRODUCTS.items()}


def table(outcomes: list[Outcome]) -> str:
    """Return trials and outcomes as Markdown."""
    kills = [one for one in outcomes if one.fault == "kill -9"]
    counts = Counter(one.what for one in kills)
    lines = ["| fault | where | outcome | |", "| --- | --- | --- | --- |"]
    for what, count in sorted(counts.items()):
        part = [one for one in kills if one.what == what]
        bad = [one for one in part if not one.good]
        end = bad[0].end if bad else part[0].end
        lines.append(f"| kill -9 × {count} | {what} | {end} | {'NO' if bad else 'ok'} |")
    for one in outcomes:
        if one.fault != "kill -9":
            end = " ".join(one.end.replace("|", "\\|").split())
            lines.append(f"| {one.fault} | {one.what} | {end} | {'ok' if one.good else 'NO'} |")
    good = sum(one.good for one in outcomes)
    head = f"{len(outcomes)} trials, {len(kills)} of them kills: {good} ended well.\n"
    return head + "\n" + "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=30, help="kills at random moments")
    parser.add_argument("--seed", type=int, default=2020)
    parser.add_argument("--report", type=Path, default=Path("faults.md"))
    parser.add_argument("--base", type=Path, help="a checkout with a finished tiny experiment")
    parser.add_argument("--folder", type=Path, required=True, help="an empty folder to work in")
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    wanted = prepare(options.base, options.folder)
    rng = random.Random(options.seed)
    outcomes = single_faults(options.folder, wanted)
    options.report.write_text(table(outcomes))
    seconds = {rule: duration(options.folder, rule) for rule in PRODUCTS}
    rules = [rule for _ in range(1 + options.trials // len(PRODUCTS)) for rule in PRODUCTS]
    number, missed = 0, 0
    while number < options.trials:  # every stage in turn
        rule = rules[number % len(rules)]
        outcome = killed(options.folder, wanted, rng, rule, seconds[rule])
        if outcome is None:
            missed += 1
            if missed > 5 * options.trials:
                raise SystemExit("most stages end before they are killed: is the machine stalled?")
            continue
        number += 1
        outcomes.append(outcome)
        print(f"{number}: {outcome}", flush=True)
        options.report.write_text(table(outcomes))
    print(f"{missed} more kills came after the stage had ended and do not count")
    print(table(outcomes))
    sys.exit(not all(one.good for one in outcomes))


if __name__ == "__main__":
    main()
