"""Series of maps as short text that a browser unpacks exactly.

    codes     c = round((x − offset) / step), 16 bit, whole range or a fixed step
    missing   cells without a value, one bit each; their code repeats the one before
    plane     d[i, j] = c[i, j] − c[i−1, j] − c[i, j−1] + c[i−1, j−1]   (mod 2^16)
    text      base64(zlib(missing bits, low bytes of d, high bytes of d))

Neighbouring cells of an ocean are alike: d is near 0, its high bytes hardly cost anything. The sums
that undo it are exact, so what a reader sees is x to half a step. `viewer.js` holds the inverse.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

CODES = 2**16 - 1
"""Largest code."""
_LEVEL = 9  # of zlib: once written, read often


@dataclass(frozen=True)
class Packed:
    """A packed array.

    Attributes:
        shape: (time, lat, lon).
        offset: value of code 0.
        step: value of one code.
        text: base64 of the compressed codes.
    """

    shape: tuple[int, int, int]
    offset: float
    step: float
    text: str

    def header(self) -> dict[str, Any]:
        """Return what a reader must know beside the text."""
        return {"shape": list(self.shape), "offset": self.offset, "step": self.step}


def pack(values: ArrayLike, step: float | None = None) -> Packed:
    """Pack a series of maps.

    Args:
        values: shape (time, lat, lon); NaN where there is none.
        step: resolution in the unit of the values, made coarser when the range needs it; None: a
            4000th of the range.

    Raises:
        ValueError: not three dimensions, or infinite values.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 3 or data.size == 0:
        raise ValueError(f"expected maps on (time, lat, lon), got shape {data.shape}")
    missing = np.isnan(data)
    if np.isinf(data).any():
        raise ValueError("infinite values cannot be packed; use NaN where there is no value")
    known = data[~missing]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    wanted = (high - low) / 4000 if step is None else step
    unit = max(wanted, (high - low) / CODES) or 1.0
    codes = np.rint((_filled(data, missing, low) - low) / unit).astype(np.uint16)
    plane = _differences(codes).ravel()
    raw = b"".join(
        (
            np.packbits(missing.ravel()).tobytes(),
            (plane & 0xFF).astype(np.uint8).tobytes(),
            (plane >> 8).astype(np.uint8).tobytes(),
        )
    )
    text = base64.b64encode(zlib.compress(raw, _LEVEL)).decode("ascii")
    shape = (data.shape[0], data.shape[1], data.shape[2])
    return Packed(shape, low, unit, text)


def unpack(packed: Packed) -> NDArray[np.float64]:
    """Return the values of a packed array, NaN where there was none: what `viewer.js` does."""
    size = int(np.prod(packed.shape))
    raw = np.frombuffer(zlib.decompress(base64.b64decode(packed.text)), np.uint8)
    bits = -(-size // 8)
    missing = np.unpackbits(raw[:bits], count=size).astype(bool).reshape(packed.shape)
    low, high = raw[bits : bits + size], raw[bits + size :]
    plane = (low | (high.astype(np.uint16) << 8)).reshape(packed.shape)
    codes = np.cumsum(np.cumsum(plane, axis=1, dtype=np.uint16), axis=2, dtype=np.uint16)
    return np.where(missing, np.nan, packed.offset + packed.step * codes)


def _differences(codes: NDArray[np.uint16]) -> NDArray[np.uint16]:
    zero = np.uint16(0)
    return np.diff(np.diff(codes, axis=1, prepend=zero), axis=2, prepend=zero)


def _filled(
    data: NDArray[np.float64], missing: NDArray[np.bool_], default: float
) -> NDArray[np.float64]:
    """Return data with the gaps of each row filled by the last value before them."""
    column = np.arange(data.shape[2])
    last = np.maximum.accumulate(np.where(missing, -1, column), axis=2)
    filled = np.take_along_axis(data, np.maximum(last, 0), axis=2)
    return np.where(last < 0, default, filled)
