"""Opening files of foreign origin: their headers, their numbers, lists of files.

Nothing is trusted: variables are decoded one at a time, so that a damaged attribute of one does not
hide the others, and whatever goes wrong ends as a `DataError` that names file and variable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import psutil
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.files import DataError, load_netcdf, open_netcdf, require_whole

# What the NetCDF libraries and the decoders raise on damaged or nonsensical content.
DECODING_ERRORS = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    OverflowError,
)
_SPEAKING = ("title", "source", "summary", "project", "institution", "producer")
FilePaths = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Header:
    """What a file says about itself: no data are read to make one.

    Attributes:
        path: the file.
        sizes: length of every dimension.
        dims: dimensions of every variable.
        attrs: attributes of every variable.
        about: global attributes.
    """

    path: Path
    sizes: Mapping[str, int]
    dims: Mapping[str, tuple[str, ...]]
    attrs: Mapping[str, Mapping[str, Any]]
    about: Mapping[str, Any]

    def has(self, *names: str) -> bool:
        """Return True when all named variables are there."""
        return all(name in self.dims for name in names)

    def ndim(self, name: str) -> int:
        """Return the number of dimensions of a variable, 0 when there is none of that name."""
        return len(self.dims.get(name, ()))

    def named(self, pattern: str) -> bool:
        """Return True when the name of the file matches a regular expression somewhere."""
        return re.search(pattern, self.path.name, re.IGNORECASE) is not None

    def says(self, pattern: str) -> bool:
        """Return True when title, source or producer match a regular expression somewhere."""
        text = " ".join(str(self.about.get(key, "")) for key in _SPEAKING)
        return re.search(pattern, text, re.IGNORECASE) is not None


def read_header(path: str | Path) -> Header:
    """Return the header of a NetCDF file.

    Raises:
        FileNotFoundError: no such file.
        DataError: empty, truncated or not NetCDF.
    """
    with open_raw(path) as data:
        return header_of(data, path)


def header_of(data: xr.Dataset, path: str | Path) -> Header:
    """Return the header of a file opened by `open_raw`."""
    return Header(
        path=Path(path),
        sizes={str(name): int(size) for name, size in data.sizes.items()},
        dims={str(name): tuple(map(str, v.dims)) for name, v in data.variables.items()},
        attrs={str(name): dict(v.attrs) for name, v in data.variables.items()},
        about=dict(data.attrs),
    )


def open_raw(path: str | Path, variables: tuple[str, ...] = ()) -> xr.Dataset:
    """Open a NetCDF file with nothing decoded; errors as in `files.open_netcdf`."""
    if Path(path).is_file():
        require_whole(Path(path))
        _require_short_coordinates(Path(path))
    try:
        return open_netcdf(path, variables, engine="netcdf4", decode_cf=False)
    except (TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        raise DataError(
            f"{path}: its header cannot be understood ({error}); make or download the file again"
        ) from error


def _require_short_coordinates(path: Path) -> None:
    """Refuse coordinates that do not fit into memory: they are read when a file is opened."""
    try:
        with netCDF4.Dataset(path) as file:
            sizes = {
                name: dim.size for name, dim in file.dimensions.items() if name in file.variables
            }
    except DECODING_ERRORS:
        return  # said better when the file is opened in earnest
    for name, size in sizes.items():
        if size * 16 > psutil.virtual_memory().available:
            raise DataError(
                f"{path}: dimension {name} has {size} entries, more than fit into memory; is the "
                "header damaged?"
            )


def load_decoded(path: str | Path, variables: tuple[str, ...]) -> xr.Dataset:
    """Read a NetCDF file as `files.load_netcdf` does, whatever is wrong with it a `DataError`."""
    if Path(path).is_file():
        require_whole(Path(path))
        _require_short_coordinates(Path(path))
    try:
        return load_netcdf(path, variables)
    except (DataError, FileNotFoundError):
        raise
    except DECODING_ERRORS as error:
        raise DataError(
            f"{path}: it cannot be decoded ({error}); correct the attributes of its variables, or "
            "make or download it again"
        ) from error


def decoded(data: xr.Dataset, name: str, path: str | Path) -> xr.DataArray:
    """Return a variable of `open_raw`, fill values as NaN and packing undone, not yet read.

    Raises:
        DataError: no such variable, or its attributes or type make no numbers of it.
    """
    if name not in data.variables:
        held = sorted(map(str, data.variables))
        raise DataError(f"{path}: variable [{name!r}] not found; the file holds {held}")
    variable = data.variables[name]
    if variable.dtype.kind not in "fiu":
        raise DataError(f"{path}: {name} is of type {variable.dtype}, expected numbers")
    _require_packing(variable, name, path)
    try:
        plain = xr.Dataset({name: variable.to_base_variable()})
        return xr.decode_cf(plain, decode_times=False, decode_coords=False)[name]
    except DECODING_ERRORS as error:
        raise DataError(
            f"{path}: {name} cannot be decoded ({error}); correct its attributes _FillValue, "
            "missing_value, scale_factor and add_offset"
        ) from error


def _require_packing(variable: xr.Variable, name: str, path: str | Path) -> None:
    """Refuse a scale or an offset that no value survives."""
    for key in ("scale_factor", "add_offset"):
        value = variable.attrs.get(key, 1.0)
        number = np.asarray(value)
        if number.size != 1 or number.dtype.kind not in "fiu" or not np.isfinite(number).all():
            raise DataError(f"{path}: attribute {key} of {name} is {value!r}, expected one number")
        if key == "scale_factor" and number == 0:
            raise DataError(f"{path}: attribute scale_factor of {name} is 0: all values are lost")


def numbers(array: xr.DataArray, path: str | Path) -> NDArray[np.float64]:
    """Return the values of a decoded variable as float64, NaN where missing.

    Raises:
        DataError: the data are damaged, or do not fit into memory.
    """
    require_memory(array.size * 16, f"reading {array.name} {dict(array.sizes)}", path)
    try:
        values = np.asarray(array.values, dtype=np.float64)
    except DECODING_ERRORS as error:
        raise DataError(
            f"{path}: {array.name} cannot be read ({error}); the file is truncated or damaged, or "
            "its scale_factor or add_offset is no number: make or download it again"
        ) from error
    return np.where(np.isfinite(values), values, np.nan)


def require_memory(needed_bytes: int, what: str, path: str | Path) -> None:
    """Refuse what does not fit into the memory that is free.

    Raises:
        DataError: with both sizes.
    """
    free = psutil.virtual_memory().available
    if needed_bytes > free:
        raise DataError(
            f"{path}: {what} needs {needed_bytes / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are "
            "free; choose a smaller box or period"
        )


def list_files(paths: FilePaths, pattern: str = "*.nc") -> list[Path]:
    """Return the files meant: one file, several, or those of a folder that match a pattern.

    Raises:
        FileNotFoundError: no such file, or none in the folder that matches.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    if not given:
        raise FileNotFoundError("no file is named; give a file, a folder or several files")
    found: list[Path] = []
    for path in map(Path, given):
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
        inside = sorted(path.glob(pattern)) if path.is_dir() else [path]
        if not inside:
            raise FileNotFoundError(f"{path}: the folder holds no file {pattern}")
        found += inside
    return found
