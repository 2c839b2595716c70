"""The length that a NetCDF file states of itself, read from its header alone.

The NetCDF library reads zeros beyond the end of a classic (NetCDF-3) file that was cut off, without
a word, and may hang on a damaged classic header; an HDF5 file (NetCDF-4) that was cut off does not
open. The headers are simple enough to be checked first: counts and lengths must fit into the file,
and so must the data that they promise. Layouts: NetCDF classic format (CDF-1, -2, -5), HDF5
superblock versions 0 to 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import BinaryIO

HDF5 = b"\x89HDF\r\n\x1a\n"
CLASSIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
_DIMENSIONS, _VARIABLES, _ATTRIBUTES = 0x0A, 0x0B, 0x0C
# bytes of one value: byte, char, short, int, float, double and, in version 5, ubyte … uint64
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
_UNKNOWN_RECORDS = {4: 2**32 - 1, 8: 2**64 - 1}  # written while records were still appended


def stated_length(path: str | Path) -> int | None:
    """Return the least length of a whole NetCDF file, None when the header does not tell.

    Raises:
        ValueError: the header itself is cut off or damaged.
    """
    path = Path(path)
    with path.open("rb") as stream:
        start = stream.read(100)
        if start.startswith(HDF5):
            return _hdf5_length(start)
        if start.startswith(CLASSIC):
            stream.seek(4)
            version = start[3]
            return _ClassicHeader(
                stream,
                path.stat().st_size,
                count_bytes=8 if version == 5 else 4,
                offset_bytes=4 if version == 1 else 8,
            ).length()
    return None


def _hdf5_length(start: bytes) -> int | None:
    """The superblock holds, after widths, the addresses: base, one more, end of file."""
    places = {0: (13, 24), 1: (13, 28), 2: (9, 12), 3: (9, 12)}
    if len(start) < 100:
        raise ValueError("the file is cut off within its HDF5 header")
    if start[8] not in places:
        return None
    width_at, base_at = places[start[8]]
    width = start[width_at]
    if width not in (2, 4, 8):
        return None
    end = base_at + 2 * width
    return int.from_bytes(start[end : end + width], "little")


def _damaged(what: str) -> ValueError:
    return ValueError(f"its NetCDF-3 header is damaged or cut off ({what})")


@dataclass
class _ClassicHeader:
    """A classic header while it is read, big-endian; every number must fit what is left.

    Attributes:
        stream: open at the position after the magic number.
        size: of the file in bytes.
        count_bytes: of a count (8 in version 5, else 4).
        offset_bytes: of a position in the file (4 in version 1, else 8).
        dims: lengths of the dimensions read so far, 0 for that of the records.
    """

    stream: BinaryIO
    size: int
    count_bytes: int
    offset_bytes: int
    dims: list[int] = field(default_factory=list)

    def length(self) -> int:
        """Return where the data of the last variable end."""
        records = self._number(self.count_bytes)
        for _ in range(self._entries(_DIMENSIONS)):
            self._skip_name()
            self.dims.append(self._number(self.count_bytes))
        self._skip_attributes()
        variables = [self._variable() for _ in range(self._entries(_VARIABLES))]
        if records == _UNKNOWN_RECORDS[self.count_bytes]:
            records = 0
        steps = [length for _, length, recorded in variables if recorded]
        # a single variable with records is not padded to four bytes
        step = steps[0] if len(steps) == 1 else sum(map(_padded, steps))
        ends = [begin + length for begin, length, recorded in variables if not recorded]
        if records:
            last = (records - 1) * step
            ends += [begin + last + length for begin, length, recorded in variables if recorded]
        return max([self.stream.tell(), *ends])

    def _variable(self) -> tuple[int, int, bool]:
        """Return (position, bytes of the data or of one record, whether it has records)."""
        self._skip_name()
        dims = [self._number(self.count_bytes) for _ in range(self._count(self.count_bytes))]
        if any(dim >= len(self.dims) for dim in dims):
            raise _damaged(f"a variable is on dimension {max(dims)} of {len(self.dims)}")
        self._skip_attributes()
        width = self._value_bytes()
        self._number(self.count_bytes)  # its size, which old writers get wrong
        begin = self._number(self.offset_bytes)
        shape = [self.dims[dim] for dim in dims]
        recorded = bool(shape) and shape[0] == 0
        return begin, width * prod(shape[1:] if recorded else shape), recorded

    def _skip_attributes(self) -> None:
        for _ in range(self._entries(_ATTRIBUTES)):
            self._skip_name()
            width = self._value_bytes()
            self._skip(width * self._count(width))

    def _entries(self, tag: int) -> int:
        """Return the number of entries of a list that should have a tag."""
        found, number = self._number(4), self._count(4)
        if found not in (0, tag) or (found == 0 and number):
            raise _damaged(f"tag {found} instead of {tag}")
        return number

    def _value_bytes(self) -> int:
        kind = self._number(4)
        if kind not in _VALUE_BYTES:
            raise _damaged(f"no type has the number {kind}")
        return _VALUE_BYTES[kind]

    def _skip_name(self) -> None:
        self._skip(self._count())

    def _skip(self, length: int) -> None:
        if _padded(length) > self.size - self.stream.tell():
            raise _damaged(f"a text or value of {length} bytes does not fit")
        self.stream.seek(_padded(length), 1)

    def _count(self, each_bytes: int = 1) -> int:
        """Return a count of things of at least `each_bytes`, which must fit into the file."""
        value = self._number(self.count_bytes)
        if value * each_bytes > self.size - self.stream.tell():
            raise _damaged(f"{value} entries are more than the file can hold")
        return value

    def _number(self, width: int) -> int:
        data = self.stream.read(width)
        if len(data) < width:
            raise _damaged("it ends within the header")
        return int.from_bytes(data, "big")


def _padded(length: int) -> int:
    return -(-length // 4) * 4
