"""The length that a NetCDF file states of itself, read from its header alone.

The NetCDF library reads zeros beyond the end of a classic file that was cut off, without a word;
an HDF5 file (NetCDF-4) that was cut off does not open. Comparing the stated with the real length
finds both. Layouts: NetCDF classic format (CDF-1, -2, -5), HDF5 superblock versions 0 to 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import BinaryIO

HDF5 = b"\x89HDF\r\n\x1a\n"
CLASSIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
_MOST = 10**7
"""No real header lists more of anything; a damaged one would."""


def stated_length(path: str | Path) -> int | None:
    """Return the least length of a whole NetCDF file, None when the header does not tell.

    Raises:
        ValueError: the header itself is cut off or damaged.
    """
    with Path(path).open("rb") as stream:
        start = stream.read(100)
        if start.startswith(HDF5):
            return _hdf5_length(start)
        if start.startswith(CLASSIC):
            stream.seek(4)
            return _ClassicHeader(stream, version=start[3]).length()
    return None


def _hdf5_length(start: bytes) -> int | None:
    """The superblock holds, after widths, the addresses: base, one more, end of file."""
    places = {0: (13, 24), 1: (13, 28), 2: (9, 12), 3: (9, 12)}
    if len(start) < 100:
        raise ValueError("the header is cut off")
    if start[8] not in places:
        return None
    width_at, base_at = places[start[8]]
    width = start[width_at]
    if width not in (2, 4, 8):
        return None
    end = base_at + 2 * width
    return int.from_bytes(start[end : end + width], "little")


@dataclass
class _ClassicHeader:
    """Reads dimensions and the places of variables of a classic file, big-endian."""

    stream: BinaryIO
    version: int
    sizes: list[int] = field(default_factory=list)

    def length(self) -> int:
        """Return the end of the last variable."""
        records = self._count(limit=None)
        self._skip_tag()
        for _ in range(self._count()):
            self._skip_name()
            self.sizes.append(self._count(limit=None))  # 0: the record dimension
        self._skip_tag()
        self._skip_attributes()
        self._skip_tag()
        variables = [self._variable() for _ in range(self._count())]
        ends = [begin + size for begin, size, recorded in variables if not recorded]
        steps = [size for _, size, recorded in variables if recorded]
        step = steps[0] if len(steps) == 1 else sum(size + -size % 4 for size in steps)
        streaming = records == 2 ** (8 * self._width) - 1
        if records and not streaming:
            last = (records - 1) * step
            ends += [begin + last + size for begin, size, recorded in variables if recorded]
        return max([self.stream.tell(), *ends])

    @property
    def _width(self) -> int:
        return 8 if self.version == 5 else 4

    def _variable(self) -> tuple[int, int, bool]:
        """Return where a variable begins, its bytes (of one record), and whether it has records."""
        self._skip_name()
        shape = [self.sizes[self._count(limit=len(self.sizes))] for _ in range(self._count())]
        self._skip_tag()
        self._skip_attributes()
        kind = self._number(4)
        self._number(self._width)  # the size as stated, which may have overflowed
        begin = self._number(4 if self.version == 1 else 8)
        recorded = bool(shape) and shape[0] == 0
        return begin, _bytes_of(kind) * prod(shape[1:] if recorded else shape), recorded

    def _skip_attributes(self) -> None:
        for _ in range(self._count()):
            self._skip_name()
            size = _bytes_of(self._number(4)) * self._count(limit=None)
            self._skip(size + -size % 4)

    def _skip_name(self) -> None:
        size = self._count()
        self._skip(size + -size % 4)

    def _skip_tag(self) -> None:
        self._number(4)

    def _skip(self, size: int) -> None:
        self.stream.seek(size, 1)

    def _count(self, limit: int | None = _MOST) -> int:
        value = self._number(self._width)
        if limit is not None and value >= limit:
            raise ValueError("the header is damaged")
        return value

    def _number(self, width: int) -> int:
        read = self.stream.read(width)
        if len(read) < width:
            raise ValueError("the header is cut off")
        return int.from_bytes(read, "big")


def _bytes_of(kind: int) -> int:
    if kind not in _TYPE_BYTES:
        raise ValueError("the header is damaged")
    return _TYPE_BYTES[kind]
