"""The download stage: public data sets into one folder, verified, resumed, pinned, with sources.

`Download.run` first looks at what is on disk (and in a folder that the user names), then checks
the disk space for the rest, then fetches it, at most four files at once. A file appears under its
final name only when it has passed its checks. With `offline` nothing opens a socket.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from pipeline_spde.data import mirrors
from pipeline_spde.data.manifest import DataFile, Manifest, Supplied
from pipeline_spde.data.shelf import Outcome, Shelf
from pipeline_spde.data.transfer import Limits, Stopped, alone, discard
from pipeline_spde.data.verify import Verdict
from pipeline_spde.files import DataError

_SPARE_BYTES = 200 * 2**20

T = TypeVar("T")
R = TypeVar("R")


@dataclass
class Download:
    """One download: where to, where from, how patiently.

    Attributes:
        manifest: what exists.
        folder: the data folder.
        drop_in: folder in which the user has files already, or None.
        offline: True: only look at what is there; no socket is opened.
        replace: True: files that fail their check are fetched again and replaced.
        limits: patience.
        progress: called with (bytes done, bytes in all) as bytes arrive.
        stop: set it to interrupt.
    """

    manifest: Manifest
    folder: Path
    drop_in: Path | None = None
    offline: bool = False
    replace: bool = False
    limits: Limits = field(default_factory=Limits)
    progress: Callable[[int, int], None] = lambda done, total: None
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._shelf = Shelf(self.manifest, self.folder, self.drop_in)
        self._counting = threading.Lock()
        self._done = self._total = 0

    def run(self, wanted: Sequence[DataFile | Supplied]) -> list[Outcome]:
        """Bring everything wanted into the folder; return what became of each, in order.

        One file that fails does not keep the others from being fetched.

        Raises:
            OSError: the disk has no room for all of it (nothing is fetched then).
            KeyboardInterrupt: the user interrupted; partial files stay.
        """
        found = dict(
            zip((item.name for item in wanted), self._each(self._look, wanted), strict=True)
        )
        rest = [i for i in wanted if isinstance(i, DataFile) and self._lacks(i, found[i.name])]
        if rest and not self.offline:
            self._require_room(rest)
            for file, outcome in zip(rest, self._each(self._fetch, rest), strict=True):
                found[file.name] = [outcome]
        outcomes = [outcome for item in wanted for outcome in found[item.name]]
        if any(outcome.good for outcome in outcomes) and not self.offline:
            self._shelf.pins.write_sources(self.manifest)
        return self._shelf.twins(self._explained(outcome) for outcome in outcomes)

    def _each(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Run `work` on every item, a few at once; Ctrl-C stops all and keeps partial files."""
        with ThreadPoolExecutor(self.limits.jobs, thread_name_prefix="download") as pool:
            futures = [pool.submit(work, item) for item in items]
            try:
                return [future.result() for future in futures]
            except BaseException:
                self.stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _look(self, item: DataFile | Supplied) -> list[Outcome]:
        if self.stop.is_set():
            return [Outcome(item.name, "stopped")]
        return self._shelf.look(item)

    def _lacks(self, file: DataFile, found: Iterable[Outcome]) -> bool:
        """Return True for what is to be fetched: missing, or bad in its place and replaceable."""
        states = {outcome.state for outcome in found}
        bad = states == {"failed"} and self._shelf.place(file).is_file()
        return bool(file.mirrors) and (states == {"missing"} or (bad and self.replace))

    def _explained(self, outcome: Outcome) -> Outcome:
        """Say of a missing file what to do."""
        file = self.manifest.files.get(outcome.name)
        if (
            outcome.state == "failed"
            and not self.replace
            and (self.folder / outcome.name).is_file()
        ):
            advice = "delete it, or use --replace, to fetch it again"
            return replace(outcome, remarks=(*outcome.remarks, advice))
        if outcome.state != "missing" or file is None or outcome.remarks:
            return outcome
        if not file.mirrors:
            how = file.note or "no address is known; get it yourself and name its folder by --from"
        else:
            how = "run again without --offline, or name a folder that has it by --from"
        return replace(outcome, remarks=(how,))

    def _fetch(self, file: DataFile) -> Outcome:
        """Fetch one file; it gets its final name when it has passed its checks."""
        final = self._shelf.place(file)
        partial = partial_of(final)
        verdicts: list[Verdict] = []

        def accept(path: Path, mirror: str) -> None:
            verdicts.append(self._shelf.accept(file, path, mirror))

        desk = mirrors.Desk(
            self.manifest.logins, self.limits, self.stop, self._arrived, self._reserve
        )
        anchored = bool(file.md5 or file.sha256 or self._shelf.pins.get(file.name))
        try:
            with alone(partial):
                if final.is_file() and not self.replace:  # another process was faster
                    return self._shelf.look(file)[0]
                mirrors.fetch(file, partial, anchored, accept, desk)
                if self._shelf.stands_for_itself(file):
                    os.replace(partial, final)
                discard(partial)
        except Stopped:
            return Outcome(file.name, "stopped", remarks=("interrupted; run again to go on",))
        except (DataError, OSError) as error:
            if partial.is_file() and not partial.stat().st_size:
                discard(partial)
            return Outcome(file.name, "failed", remarks=(str(error),))
        pin = verdicts[-1].pin
        return Outcome(file.name, "fetched", pin.bytes, pin.checked, verdicts[-1].remarks)

    def _require_room(self, files: Sequence[DataFile]) -> None:
        """Refuse before the first byte when the disk cannot hold everything."""
        needed = _SPARE_BYTES
        for file in files:
            there = partial_of(self._shelf.place(file))
            have = there.stat().st_size if there.is_file() else 0
            unpacked = file.size * file.archive.factor if file.archive else 0
            needed += max(file.size - have, 0) + int(unpacked)
            self._done += have
            self._total += max(file.size, have)
        free = _free(self.folder)
        if free < needed:
            raise OSError(
                f"{self.folder}: {_gigabytes(free)} free, {_gigabytes(needed)} needed (with "
                f"{_gigabytes(_SPARE_BYTES)} to spare); free some space, choose another folder "
                "with --to, or name fewer files"
            )

    def _reserve(self, more: int) -> None:
        """Refuse a file whose announced size the disk cannot hold."""
        free = _free(self.folder)
        if free < more:
            raise OSError(
                f"{self.folder}: {_gigabytes(free)} free, {_gigabytes(more)} still to come; free "
                "some space or choose another folder with --to"
            )

    def _arrived(self, count: int) -> None:
        with self._counting:
            self._done += count
            self._total = max(self._total, self._done)
            self.progress(self._done, self._total)


def partial_of(final: Path) -> Path:
    """Return where a file is kept while it arrives."""
    return final.with_name(f".{final.name}.part")


def _free(folder: Path) -> int:
    """Return the free bytes of the file system that holds a folder, which need not exist yet."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.2f} GB"
