"""Unpacking a verified tar archive: nothing outside its folder, nothing half unpacked.

An archive without a file is refused: challenge 2023a once published one (10 kB, no member).
"""

from __future__ import annotations

import os
import shutil
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from pipeline_spde.files import DataError, read_json, write_json

_BLOCK = 2**20


def unpack(archive: Path, name: str, folder: Path, required: Collection[str] = ()) -> list[Path]:
    """Unpack the files of a tar archive into `folder`, all of them or none.

    Members are written to a hidden folder first and then moved; links, devices and paths that
    lead out of the folder are refused. A member with the last name of a required path goes there,
    whatever folder the archive has it in.

    Args:
        archive: the archive, compressed or not.
        name: what messages call it.
        folder: where its files go.
        required: paths below `folder` that it must yield.

    Returns:
        The files, as they are in `folder`.

    Raises:
        DataError: no tar archive, cut off, damaged, empty, with unsafe members, or not holding
            what is required.
    """
    hidden = folder / f".{archive.name}.{os.getpid()}.unpacking"
    shutil.rmtree(hidden, ignore_errors=True)
    hidden.mkdir(parents=True)
    places = {Path(path).name: path for path in required}
    try:
        members = _extract(archive, name, hidden, places)
        if not members:
            raise DataError(f"{name}: the archive holds no file ({archive.stat().st_size} bytes)")
        absent = sorted(set(required) - set(members))
        if absent:
            raise DataError(
                f"{name}: the archive lacks {len(absent)} of {len(required)} files, "
                f"{absent[0]} for one"
            )
        for member in members:
            (folder / member).parent.mkdir(parents=True, exist_ok=True)
            os.replace(hidden / member, folder / member)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return [folder / member for member in members]


def _extract(archive: Path, name: str, hidden: Path, places: Mapping[str, str]) -> list[str]:
    try:
        with tarfile.open(archive, "r:*") as tar:
            return [_write(tar, member, hidden, places) for member in _plain(tar, name)]
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # the disk, not the archive
            raise
        raise DataError(
            f"{name}: cannot be unpacked ({error}); it is cut off or damaged"
        ) from error


def _plain(tar: tarfile.TarFile, name: str) -> Iterator[tarfile.TarInfo]:
    """Yield the regular files; anything that could write elsewhere is refused."""
    for member in tar:
        if member.isdir():
            continue
        parts = Path(member.name).parts
        if not member.isfile() or Path(member.name).is_absolute() or ".." in parts:
            raise DataError(f"{name}: the archive holds {member.name!r}, which is not a plain file")
        yield member


def _write(
    tar: tarfile.TarFile, member: tarfile.TarInfo, hidden: Path, places: Mapping[str, str]
) -> str:
    parts = [part for part in Path(member.name).parts if part != "."]
    path = places.get(parts[-1], "/".join(parts))
    target = hidden / path
    target.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    if source is None:
        raise tarfile.ExtractError(f"{member.name} has no content")
    with source, target.open("wb") as out:
        shutil.copyfileobj(source, out, _BLOCK)
    if target.stat().st_size != member.size:
        raise EOFError(f"{member.name} is cut off")
    return path


def write_listing(archive: Path, members: list[Path]) -> None:
    """Note beside an archive that is kept what was unpacked from it."""
    sizes = {os.path.relpath(path, archive.parent): path.stat().st_size for path in members}
    write_json(_listing(archive), sizes)


def is_unpacked(archive: Path) -> bool:
    """Return True when everything noted by `write_listing` is still there, whole."""
    if not _listing(archive).is_file():
        return False
    for path, size in dict(read_json(_listing(archive))).items():
        member = archive.parent / path
        if not member.is_file() or member.stat().st_size != size:
            return False
    return True


def _listing(archive: Path) -> Path:
    return archive.with_name(f".{archive.name}.unpacked.json")
