"""What is on disk: files of the data folder and of a folder that the user names, verified.

A `Shelf` is a data folder with its pins. It verifies what is there, takes files from the user's
folder (`--from`), unpacks archives, and never opens a socket.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pipeline_spde.data import archives, contents
from pipeline_spde.data.integrity import check_form
from pipeline_spde.data.manifest import DataFile, Manifest, Supplied
from pipeline_spde.data.pins import PinBook
from pipeline_spde.data.transfer import discard
from pipeline_spde.data.verify import Verdict, verify
from pipeline_spde.files import DataError, atomic_path

State = Literal["fetched", "taken", "verified", "missing", "failed", "stopped"]


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        name: the file, or the folder that a user is to fill.
        state: "fetched" from a mirror, "taken" from the user's folder, "verified" where it was;
            else "missing", "failed" or "stopped".
        bytes: its size, 0 when it is not there.
        checked: what it was compared with ("sha256", "md5", "first use", "its files"), "" when it
            is not there.
        remarks: sentences: why it is not there, or what is odd about it.
    """

    name: str
    state: State
    bytes: int = 0
    checked: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """True when the file is there and verified."""
        return self.state in ("fetched", "taken", "verified")


class Shelf:
    """A data folder, its pins, and the user's own folder beside it.

    Args:
        manifest: what exists.
        folder: the data folder.
        drop_in: folder in which the user has files already, or None.

    Raises:
        FileNotFoundError: the user's folder does not exist.
        DataError: `pins.json` of the data folder is damaged.
    """

    def __init__(self, manifest: Manifest, folder: Path, drop_in: Path | None = None) -> None:
        if drop_in is not None and not drop_in.is_dir():
            raise FileNotFoundError(f"{drop_in}: no such folder to take files from")
        self.manifest = manifest
        self.folder = folder
        self.drop_in = drop_in
        self.pins = PinBook(folder)
        self._index: dict[str, list[Path]] | None = None
        self._indexing = threading.Lock()

    def place(self, file: DataFile) -> Path:
        """Return where a file belongs."""
        return self.folder / file.name

    def look(self, item: DataFile | Supplied) -> list[Outcome]:
        """Return what is there of a file, or of a folder that the user fills."""
        try:
            return self._supplied(item) if isinstance(item, Supplied) else [self._file(item)]
        except (DataError, OSError) as error:
            return [Outcome(item.name, "failed", remarks=(str(error),))]

    def accept(self, file: DataFile, path: Path, origin: str) -> Verdict:
        """Verify a file, wherever it is, pin it, and unpack it when it is an archive.

        Raises:
            DataError: it is not what it should be.
        """
        verdict = verify(path, file, self.pins, origin)
        if file.archive is not None:
            self._unpack(file, path)
        self.pins.add(file.name, verdict.pin)
        return verdict

    def stands_for_itself(self, file: DataFile) -> bool:
        """Return False for an archive whose files are listed: they stand for it."""
        return not self.manifest.contained(file)

    def twins(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """Remark on equal content under different names: one of the names may be wrong."""
        by_content: dict[str, list[str]] = {}
        for name, pin in self.pins.items():
            by_content.setdefault(pin.sha256, []).append(name)
        return [self._with_twins(outcome, by_content) for outcome in outcomes]

    def _with_twins(self, outcome: Outcome, by_content: dict[str, list[str]]) -> Outcome:
        pin, own = self.pins.get(outcome.name), outcome.name
        if pin is None or not outcome.good:
            return outcome
        others = [n for n in by_content[pin.sha256] if n != own and not self._one_source(n, own)]
        if not others:
            return outcome
        remark = f"the same content as {', '.join(others)}: one of the names may be wrong"
        return replace(outcome, remarks=(*outcome.remarks, remark))

    def _one_source(self, one: str, other: str) -> bool:
        """Return True when the manifest itself takes two names from one address."""
        files = [self.manifest.files.get(name) for name in (one, other)]
        first, second = ({m.url for m in file.mirrors} if file else set() for file in files)
        return bool(first & second)

    def _file(self, file: DataFile) -> Outcome:
        final = self.place(file)
        if final.is_file():
            verdict = self.accept(file, final, "found in place")
            if not self.stands_for_itself(file):
                discard(final)
            return _outcome(file.name, "verified", verdict)
        inside = [m for m in self.manifest.contained(file) if self._source(m) is not None]
        if inside and len(inside) == len(self.manifest.contained(file)):
            outcomes = [self._file(member) for member in inside]
            return Outcome(file.name, "verified", sum(o.bytes for o in outcomes), "its files")
        source = self._source(file)
        if source is None:
            return Outcome(file.name, "missing")
        verdict = self.accept(file, source, str(source))
        if self.stands_for_itself(file):
            _link_or_copy(source, final)
        return _outcome(file.name, "taken", verdict)

    def _unpack(self, file: DataFile, path: Path) -> None:
        if file.archive is None:
            return
        into = self.folder / file.archive.into
        members = self.manifest.contained(file)
        if members:
            required = [str(Path(m.name).relative_to(file.archive.into)) for m in members]
            archives.unpack(path, file.name, into, required)
            for member in members:
                self.accept(member, self.place(member), f"unpacked from {file.name}")
        elif not archives.is_unpacked(self.place(file)):
            archives.write_listing(self.place(file), archives.unpack(path, file.name, into))

    def _source(self, file: DataFile) -> Path | None:
        """Return a file in its place or in the user's folder, there at its place or by its name."""
        if self.place(file).is_file():
            return self.place(file)
        if self.drop_in is None:
            return None
        if (self.drop_in / file.name).is_file():
            return self.drop_in / file.name
        index = self._indexed()
        last = Path(file.name).name
        found = [path for called in (last, *file.aliases) for path in index.get(called, [])]
        if len(found) > 1:  # the place in the publisher's own folder decides
            inside = "/".join(Path(file.name).parts[1:])
            found = [p for p in found if str(p).endswith(f"/{inside}")] or found
        if len(found) > 1:
            raise DataError(
                f"{file.name}: {self.drop_in} holds several files of that name: "
                f"{', '.join(str(path) for path in found[:4])}; put the right one at "
                f"{self.drop_in / file.name}"
            )
        return found[0] if found else None

    def _indexed(self) -> dict[str, list[Path]]:
        """Return the files of the user's folder by name, found once."""
        with self._indexing:
            if self._index is None:
                self._index = {}
                for root, _, names in os.walk(self.drop_in or self.folder):
                    for name in names:
                        self._index.setdefault(name, []).append(Path(root) / name)
            return self._index

    def _supplied(self, group: Supplied) -> list[Outcome]:
        """Return what is in a folder that only the user can fill, and what can be put there."""
        place = self.folder / group.name
        found = {
            str(path.relative_to(place)): path
            for path in sorted(place.rglob(group.pattern))
            if not path.name.startswith(".")
        }
        if self.drop_in is not None:
            for path in sorted(self.drop_in.rglob(group.pattern)):
                if path.is_relative_to(place) or not path.is_file():
                    continue
                if found.setdefault(path.name, path).parent not in (path.parent, place):
                    raise DataError(
                        f"{group.name}: {found[path.name]} and {path} have one name; rename one"
                    )
        ours = {last: path for last, path in found.items() if self._is_ours(group, path, place)}
        if not ours:
            others = f"; {len(found)} files of {self.drop_in} hold other data" if found else ""
            return [Outcome(group.name, "missing", remarks=(group.instructions + others,))]
        return [self._one_supplied(group, last, path) for last, path in ours.items()]

    def _is_ours(self, group: Supplied, path: Path, place: Path) -> bool:
        """Return False for a sound file of the user's folder that holds other data."""
        if path.is_relative_to(place):
            return True
        try:
            check_form(path, path.name)
            return contents.is_of_kind(path, group.expect)
        except DataError:
            return True  # unusable, which is to be told

    def _one_supplied(self, group: Supplied, last: str, path: Path) -> Outcome:
        name = f"{group.name}/{last}"
        file = DataFile(name=name, dataset=group.dataset, expect=group.expect)
        here = path == self.place(file)
        try:
            verdict = self.accept(file, path, "found in place" if here else str(path))
            if not here:
                _link_or_copy(path, self.place(file))
        except (DataError, OSError) as error:
            return Outcome(name, "failed", remarks=(str(error),))
        return _outcome(name, "verified" if here else "taken", verdict)


def _outcome(name: str, state: State, verdict: Verdict) -> Outcome:
    return Outcome(name, state, verdict.pin.bytes, verdict.pin.checked, verdict.remarks)


def _link_or_copy(source: Path, final: Path) -> None:
    """Put a file of the user into place: a hard link where possible, else a copy."""
    with atomic_path(final) as temporary:
        try:
            os.link(source.resolve(), temporary)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, temporary)
