"""Cut a field (time, lat, lon) into overlapping patches and blend patches back into a field.

Along each axis patches start every `stride` cells and the last one is moved in, so that all is
covered; along a periodic longitude patches run on over the seam. Blending is a weighted mean with
sin² weights that vanish towards the patch edges and sum to one after normalisation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Triple = tuple[int, int, int]
_AXES = ("time", "lat", "lon")


def axis_starts(size: int, patch: int, stride: int, periodic: bool = False) -> tuple[int, ...]:
    """Return the first index of each patch along an axis of `size` cells.

    A patch longer than the axis has the length of the axis. On a periodic axis patches start at
    every stride around the whole circle (a patch may run over the end).

    Raises:
        ValueError: sizes below one, or a stride that would leave gaps.
    """
    if min(size, patch, stride) < 1:
        raise ValueError(f"need positive sizes, got size={size}, patch={patch}, stride={stride}")
    if stride > patch:
        raise ValueError(
            f"a stride of {stride} between patches of {patch} leaves gaps; choose a stride of at "
            f"most {patch}"
        )
    if periodic:
        return tuple(range(0, size, stride))
    last = max(size - patch, 0)
    return tuple(dict.fromkeys([*range(0, last, stride), last]))


def taper(length: int) -> NDArray[np.float64]:
    """Return the weights sin²(π (i + ½)/length) > 0 of the cells across a patch."""
    return np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2


@dataclass(frozen=True)
class Patches:
    """How a field of `shape` is cut; build it with `plan`.

    Patches are numbered with longitude running fastest, then latitude, then time.

    Attributes:
        shape: (time, lat, lon) of the field.
        size: (time, lat, lon) of a patch.
        starts: first indices along each axis.
        periodic: True when longitude wraps around.
    """

    shape: Triple
    size: Triple
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    periodic: bool = False

    @classmethod
    def plan(cls, shape: Triple, patch: Triple, stride: Triple, periodic: bool = False) -> Patches:
        """Return the cutting of a field; errors as in `axis_starts`, naming the axis."""
        starts = []
        for axis, whole, part, step in zip(_AXES, shape, patch, stride, strict=True):
            try:
                starts.append(axis_starts(whole, part, step, periodic and axis == "lon"))
            except ValueError as error:
                raise ValueError(f"patches along {axis}: {error}") from error
        size = (min(patch[0], shape[0]), min(patch[1], shape[1]), min(patch[2], shape[2]))
        return cls(shape, size, (starts[0], starts[1], starts[2]), periodic)

    def __len__(self) -> int:
        return len(self.starts[0]) * len(self.starts[1]) * len(self.starts[2])

    def place(self, index: int) -> Triple:
        """Return the first (time, lat, lon) index of patch number `index`."""
        if not 0 <= index < len(self):
            raise IndexError(f"no patch {index}; there are {len(self)}")
        rest, column = divmod(index, len(self.starts[2]))
        day, row = divmod(rest, len(self.starts[1]))
        return self.starts[0][day], self.starts[1][row], self.starts[2][column]

    def places(self) -> Iterator[Triple]:
        """Yield the first indices of all patches in order."""
        return (self.place(index) for index in range(len(self)))

    def cut(self, field: Any, place: Triple) -> NDArray:
        """Return the patch at `place` of a field (time, lat, lon) or (lat, lon).

        Args:
            field: numpy array, dask array or DataArray with its dims in that order; only the
                patch is computed or read.
            place: first (time, lat, lon) indices.

        Raises:
            ValueError: the field does not have the planned shape.
        """
        if tuple(field.shape) != self.shape[-field.ndim :]:
            raise ValueError(
                f"the field has shape {tuple(field.shape)}, the patches were planned for "
                f"{self.shape[-field.ndim :]}"
            )
        window = tuple(
            slice(start, start + length)
            for start, length in zip(place[:2], self.size[:2], strict=True)
        )[-(field.ndim - 1) :]
        pieces = [np.asarray(field[(*window, part)]) for part in self._columns(place[2])]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=-1)

    def columns(self, fields: NDArray, place: Triple) -> NDArray:
        """Return the cells of the patch at `place` of fields (…, lat, lon), whatever their days."""
        if tuple(fields.shape[-2:]) != self.shape[1:]:
            raise ValueError(
                f"the fields have {tuple(fields.shape[-2:])} cells, the patches were planned for "
                f"{self.shape[1:]}"
            )
        rows = slice(place[1], place[1] + self.size[1])
        pieces = [fields[..., rows, part] for part in self._columns(place[2])]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=-1)

    def _columns(self, start: int) -> list[slice]:
        """Return one slice of longitudes, or two when the patch runs over the seam."""
        end = start + self.size[2]
        if end <= self.shape[2]:
            return [slice(start, end)]
        return [slice(start, self.shape[2]), slice(0, end - self.shape[2])]


class Blender:
    """Running weighted mean of patches; memory is that of two fields, whatever the overlap.

    Args:
        patches: the cutting.
    """

    def __init__(self, patches: Patches) -> None:
        self.patches = patches
        self._sum = np.zeros(patches.shape)
        self._weight = np.zeros(patches.shape)
        time, lat, lon = (taper(length) for length in patches.size)
        self._taper = time[:, None, None] * lat[:, None] * lon

    def add(self, values: NDArray, place: Triple) -> None:
        """Add a patch of values (time, lat, lon), which must be finite, at `place`."""
        if values.shape != self.patches.size:
            raise ValueError(f"a patch has shape {self.patches.size}, got {values.shape}")
        rows = tuple(
            slice(start, start + length)
            for start, length in zip(place[:2], self.patches.size[:2], strict=True)
        )
        done = 0
        for part in self.patches._columns(place[2]):
            width = part.stop - part.start
            piece = (..., slice(done, done + width))
            self._sum[(*rows, part)] += self._taper[piece] * values[piece]
            self._weight[(*rows, part)] += self._taper[piece]
            done += width

    def result(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return (field, covered), both (time, lat, lon); the field is 0 where not covered."""
        covered = self._weight > 0
        return self._sum / np.where(covered, self._weight, 1.0), covered
