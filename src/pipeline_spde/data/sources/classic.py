"""Headers of NetCDF-3 files, checked before the NetCDF library opens them.

The library may hang on a damaged header of the classic formats, and fills what a truncated file
lacks with zeros, without a word. The header is simple enough to be checked here: counts and lengths
must fit into the file, and so must the data that it promises.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pipeline_spde.files import DataError

_DIMENSIONS, _VARIABLES, _ATTRIBUTES = 0x0A, 0x0B, 0x0C
# bytes of one value: byte, char, short, int, float, double and, in version 5, ubyte … uint64
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
_UNKNOWN_RECORDS = {4: 2**32 - 1, 8: 2**64 - 1}


@dataclass
class _Header:
    """A classic header while it is read; every number is checked against what is left.

    Attributes:
        path: the file, for messages.
        stream: open at the position after the magic number.
        size: of the file in bytes.
        count_bytes: of a count (8 in version 5, else 4).
        offset_bytes: of a position in the file (4 in version 1, else 8).
    """

    path: Path
    stream: BinaryIO
    size: int
    count_bytes: int
    offset_bytes: int
    dims: list[int] = field(default_factory=list)

    def damaged(self, what: str) -> DataError:
        return DataError(
            f"{self.path}: its NetCDF-3 header is damaged ({what}); make or download it again"
        )

    def number(self, width: int) -> int:
        data = self.stream.read(width)
        if len(data) < width:
            raise self.damaged("it ends within the header")
        return int.from_bytes(data, "big")

    def count(self, each_bytes: int = 1) -> int:
        """Return a count of things of at least `each_bytes`, which must fit into the file."""
        value = self.number(self.count_bytes)
        if value * each_bytes > self.size - self.stream.tell():
            raise self.damaged(f"{value} entries are more than the file can hold")
        return value

    def skip(self, length: int) -> None:
        padded = -(-length // 4) * 4
        if padded > self.size - self.stream.tell():
            raise self.damaged(f"a text or value of {length} bytes does not fit")
        self.stream.seek(padded, 1)

    def entries(self, tag: int) -> int:
        """Return the number of entries of a list that should have a tag."""
        found, number = self.number(4), self.count(4)
        if found not in (0, tag) or (found == 0 and number):
            raise self.damaged(f"tag {found} instead of {tag}")
        return number

    def value_bytes(self) -> int:
        kind = self.number(4)
        if kind not in _VALUE_BYTES:
            raise self.damaged(f"no type has the number {kind}")
        return _VALUE_BYTES[kind]

    def skip_attributes(self) -> None:
        for _ in range(self.entries(_ATTRIBUTES)):
            self.skip(self.count())
            width = self.value_bytes()
            self.skip(width * self.count(width))

    def variable(self) -> tuple[int, int, bool]:
        """Return (position, bytes of the data or of one record, whether it has records)."""
        self.skip(self.count())
        dims = [self.number(self.count_bytes) for _ in range(self.count(self.count_bytes))]
        if any(dim >= len(self.dims) for dim in dims):
            raise self.damaged(f"a variable is on dimension {max(dims)} of {len(self.dims)}")
        self.skip_attributes()
        width = self.value_bytes()
        self.number(self.count_bytes)  # its size, which old writers get wrong
        begin = self.number(self.offset_bytes)
        sizes = [self.dims[dim] for dim in dims]
        has_records = bool(sizes) and sizes[0] == 0
        return begin, width * math.prod(sizes[1:] if has_records else sizes), has_records


def require_whole(path: Path) -> None:
    """Refuse a NetCDF-3 file whose header is damaged or whose data are cut off.

    Files of other formats pass.

    Raises:
        DataError: with what is damaged or how much is missing.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        magic = stream.read(4)
        if magic[:3] != b"CDF" or magic[3:] not in (b"\x01", b"\x02", b"\x05"):
            return
        version = magic[3]
        header = _Header(path, stream, size, 8 if version == 5 else 4, 4 if version == 1 else 8)
        records = header.number(header.count_bytes)
        for _ in range(header.entries(_DIMENSIONS)):
            header.skip(header.count())
            header.dims.append(header.number(header.count_bytes))
        header.skip_attributes()
        variables = [header.variable() for _ in range(header.entries(_VARIABLES))]
    promised = _end_of_data(variables, records, header.count_bytes)
    if promised > size:
        raise DataError(
            f"{path}: the file is truncated: its header promises {promised} bytes, it has {size}; "
            "make or download it again"
        )


def _end_of_data(variables: list[tuple[int, int, bool]], records: int, count_bytes: int) -> int:
    """Return where the data of all variables end."""
    if records == _UNKNOWN_RECORDS[count_bytes]:
        records = 0
    recorded = [length for _, length, has_records in variables if has_records]
    step = recorded[0] if len(recorded) == 1 else sum(-(-length // 4) * 4 for length in recorded)
    ends = [0]
    for begin, length, has_records in variables:
        if not has_records:
            ends.append(begin + length)
        elif records:
            ends.append(begin + (records - 1) * step + length)
    return max(ends)
