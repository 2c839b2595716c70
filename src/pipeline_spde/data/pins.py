"""What has been verified, kept beside the data: checksums (`pins.json`) and sources (`SOURCES.md`).

Most public data sets publish no checksum. The first copy that passes the checks is trusted and
its SHA-256 pinned; a later copy that differs is refused. Several downloads may write at once.
"""

from __future__ import annotations

import fcntl
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from pipeline_spde.data.manifest import Manifest, Sha256, Size
from pipeline_spde.files import DataError, read_json, write_json, write_text
from pipeline_spde.periods import FrozenModel

logger = logging.getLogger(__name__)

PINS, SOURCES = "pins.json", "SOURCES.md"


class Pin(FrozenModel):
    """One verified file.

    Attributes:
        sha256: digest of the content.
        bytes: its size.
        checked: what it was compared with: "md5", "sha256" or "first use".
        origin: address or folder it came from.
        date: day on which it was verified first.
        dataset: key of the manifest.
    """

    sha256: Sha256
    bytes: Size
    checked: str
    origin: str
    date: str
    dataset: str


class PinBook:
    """The pins of one data folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lock = threading.Lock()
        self._pins = self._read()
        self._warned = False

    def get(self, name: str) -> Pin | None:
        """Return the pin of a file, or None."""
        return self._pins.get(name)

    def items(self) -> list[tuple[str, Pin]]:
        """Return (name, pin) of every file, by name."""
        with self._lock:
            return sorted(self._pins.items())

    def add(self, name: str, pin: Pin) -> None:
        """Pin a file and write the book; what other processes have pinned meanwhile is kept.

        A folder that cannot be written (a shared one, say) costs a warning, not the file.
        """
        with self._lock:
            if self._pins.get(name) == pin:
                return
            self._pins[name] = pin
            try:
                with self._alone():
                    merged = {**self._read(), name: pin}
                    tree = {key: merged[key].model_dump() for key in sorted(merged)}
                    write_json(self.folder / PINS, tree)
                    self._pins = merged | self._pins
            except OSError as error:
                if not self._warned:
                    logger.warning("%s cannot be written: pins not kept (%s)", PINS, error)
                self._warned = True

    def write_sources(self, manifest: Manifest) -> None:
        """Write `SOURCES.md`: origin, licence and citation of every file that is pinned."""
        by_set: dict[str, list[str]] = {}
        for name, pin in self.items():
            line = f"- `{name}`, {pin.bytes} bytes, sha256 {pin.sha256}, {pin.origin}"
            by_set.setdefault(pin.dataset, []).append(f"{line} ({pin.checked}, {pin.date})")
        parts = ["# Sources, licences and citations of the data in this folder"]
        for key, lines in by_set.items():
            about = manifest.datasets.get(key)
            if about is None:
                parts += [f"## {key}", "Not in the manifest that was used last."]
            else:
                parts += [
                    f"## {about.title}",
                    f"Licence: {about.licence}\n\nCitation: {about.citation}\n\n"
                    f"Source: {about.source}\n\nChecksums: {about.checksums}",
                ]
            parts.append("\n".join(lines))
        try:
            write_text(self.folder / SOURCES, "\n\n".join(parts) + "\n")
        except OSError as error:
            logger.warning("%s not written (%s)", self.folder / SOURCES, error)

    def _read(self) -> dict[str, Pin]:
        path = self.folder / PINS
        if not path.is_file():
            return {}
        try:
            return {name: Pin.model_validate(tree) for name, tree in dict(read_json(path)).items()}
        except (ValidationError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}: not a file of pins ({error}); delete it: the files are then checked anew"
            ) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the book's lock against other processes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f".{PINS}.lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def today() -> str:
    """Return the date in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d")
