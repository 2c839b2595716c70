"""Whether the bytes of a file are what its name says: web pages, truncation, checksums.

Every problem is a `DataError` whose sentence says what the file is instead and what to do.
"""

from __future__ import annotations

import hashlib
import html
import re
from pathlib import Path
from typing import NamedTuple

from pipeline_spde.files import DataError
from pipeline_spde.netcdf_length import CLASSIC, HDF5, stated_length

_GZIP = b"\x1f\x8b"
_PAGE = re.compile(
    rb"\A\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body|\?xml|error)", re.I
)
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>|<(?:message|code)>(.*?)</", re.I | re.S)
_BLOCK = 2**20


class Digests(NamedTuple):
    """Checksums of one file."""

    md5: str
    sha256: str
    bytes: int


def digests(path: str | Path) -> Digests:
    """Return MD5, SHA-256 and size of a file, read once."""
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    with Path(path).open("rb") as stream:
        while block := stream.read(_BLOCK):
            md5.update(block)
            sha256.update(block)
            size += len(block)
    return Digests(md5.hexdigest(), sha256.hexdigest(), size)


def web_page(start: bytes) -> str | None:
    """Return what a file is called by people when it starts like a web page, else None."""
    if not _PAGE.match(start[:512]):
        return None
    found = _TITLE.search(start)
    words = next((group for group in found.groups() if group), b"") if found else b""
    title = " ".join(html.unescape(words.decode("utf-8", "replace")).split())[:80]
    return f"a web page ({title!r})" if title else "a web page"


def check_form(path: str | Path, name: str) -> None:
    """Refuse a file that is not of the kind that the suffix of `name` says, or is cut off.

    Args:
        path: the file, wherever it is.
        name: what it is to be called; `.nc` must be NetCDF, `.gz` gzip.

    Raises:
        DataError: empty, a web page, a pointer to a file, another format, or truncated.
    """
    path = Path(path)
    with path.open("rb") as stream:
        start = stream.read(4096)
    if not start:
        raise DataError(f"{name}: the file is empty (0 bytes)")
    page = web_page(start)
    if page:
        raise DataError(
            f"{name}: the file is {page}, not data: the server answered with a login or error page"
        )
    if start.startswith(b"version https://git-lfs"):
        raise DataError(f"{name}: the file is a Git LFS pointer, not the data it points to")
    if name.endswith(".gz") and not start.startswith(_GZIP):
        raise DataError(f"{name}: not gzip (it starts with {start[:8]!r})")
    if name.endswith(".nc"):
        if not start.startswith((HDF5, *CLASSIC)):
            raise DataError(f"{name}: not NetCDF (it starts with {start[:8]!r})")
        _refuse_truncated(path, name)


def _refuse_truncated(path: Path, name: str) -> None:
    try:
        stated = stated_length(path)
    except ValueError as error:
        raise DataError(f"{name}: not a whole NetCDF file: {error}; get it again") from error
    size = path.stat().st_size
    if stated is not None and size < stated:
        raise DataError(
            f"{name}: the file is cut off: {size} of {stated} bytes ({size / stated:.0%}); get it "
            "again"
        )
