"""Whether a file is the one that the manifest means: checksum, pin, form, content.

A published checksum decides. Content that then differs from what the manifest expects is told,
not refused: the manifest may be wrong about it. Where no checksum exists, the first copy must pass
every check before it is pinned.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pipeline_spde.data import contents
from pipeline_spde.data.integrity import Digests, check_form, digests
from pipeline_spde.data.manifest import DataFile
from pipeline_spde.data.pins import Pin, PinBook, today
from pipeline_spde.files import DataError


class Verdict(NamedTuple):
    """What was found.

    Attributes:
        pin: checksum, size and what they were compared with.
        remarks: sentences about content that is not as expected.
    """

    pin: Pin
    remarks: tuple[str, ...]


def verify(path: Path, file: DataFile, pins: PinBook, origin: str) -> Verdict:
    """Return the verdict on a file; one that is wrong raises.

    Args:
        path: the file, under its final name or a partial one.
        file: what it should be.
        pins: what was verified before.
        origin: where it comes from, for the pin.

    Raises:
        DataError: wrong size, wrong checksum, other than pinned, known as bad, or not the kind of
            file or content that is expected.
    """
    check_form(path, file.name)
    if file.bytes is not None and path.stat().st_size != file.bytes:
        held = path.stat().st_size
        what = "cut off" if held < file.bytes else "too long"
        raise DataError(f"{file.name}: {what}: {held} bytes, expected {file.bytes}")
    found = digests(path)
    checked = _compare(found, file, pins)
    remarks = _content(path, file, certain=checked != "first use")
    earlier = pins.get(file.name)
    if earlier is not None and earlier.sha256 == found.sha256:
        return Verdict(earlier, remarks)
    pin = Pin(
        sha256=found.sha256,
        bytes=found.bytes,
        checked=checked,
        origin=origin,
        date=today(),
        dataset=file.dataset,
    )
    return Verdict(pin, remarks)


def _compare(found: Digests, file: DataFile, pins: PinBook) -> str:
    """Return what the checksums agree with: "sha256", "md5", "pin" or "first use"."""
    for bad in file.known_bad:
        if found.md5 == bad.md5:
            raise DataError(f"{file.name}: this content is known to be wrong: {bad.reason}")
    for kind in ("sha256", "md5"):
        expected, held = getattr(file, kind), getattr(found, kind)
        if expected and held != expected:
            raise DataError(f"{file.name}: wrong {kind}: {held}, expected {expected}")
    pin = pins.get(file.name)
    if file.sha256 or file.md5:
        return "sha256" if file.sha256 else "md5"
    if pin is None:
        return "first use"
    if found.sha256 != pin.sha256:
        raise DataError(
            f"{file.name}: wrong sha256: {found.sha256}; {pin.sha256} was pinned on {pin.date} "
            f"({pin.origin}). If the change is meant, remove the file's entry from "
            f"{pins.folder / 'pins.json'}"
        )
    return "pin"


def _content(path: Path, file: DataFile, certain: bool) -> tuple[str, ...]:
    """Return remarks on the content; where no checksum vouches for the file they refuse it."""
    if not file.name.endswith(".nc"):
        return ()
    try:
        remarks = tuple(contents.problems(path, file.name, file.expect))
    except DataError as error:
        remarks = (str(error),)
    if remarks and not certain:
        raise DataError("; ".join(remarks))
    return remarks
