"""Opening, hashing and atomically writing files, with errors that name file and remedy."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from pipeline_spde.netcdf_length import stated_length

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class DataError(ValueError):
    """A data file is unusable; the message names the file, the defect and what would be right."""


def open_netcdf(path: str | Path, variables: tuple[str, ...] = (), **options: Any) -> xr.Dataset:
    """Open a NetCDF file lazily after checking that it is there, whole and holds `variables`.

    Args:
        path: the file.
        variables: names that must be present (data variables or coordinates).
        **options: passed to `xarray.open_dataset`.

    Raises:
        FileNotFoundError: no such file.
        DataError: empty, truncated or not NetCDF, or a variable is missing.
    """
    path = Path(path)
    require_whole(path)
    try:
        # numbers of days stay numbers, which older releases turned into spans of time
        data = xr.open_dataset(path, **{"decode_timedelta": False, **options})
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read as NetCDF ({error}); it may be truncated: delete it and "
            "make or download it again"
        ) from error
    missing = [name for name in variables if name not in data.variables]
    if missing:
        held = sorted(str(name) for name in data.variables)
        data.close()
        raise DataError(f"{path}: variable {missing} not found; the file holds {held}")
    return data


def require_whole(path: str | Path) -> None:
    """Refuse a NetCDF file that is empty, cut off or has a damaged header, before it is opened.

    The NetCDF library fills what a truncated classic file lacks with zeros, without a word. Files
    of other formats pass.

    Raises:
        FileNotFoundError: no such file.
        DataError: what is damaged, or how much is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    size = path.stat().st_size
    if size == 0:
        raise DataError(f"{path}: the file is empty; delete it and make or download it again")
    try:
        promised = stated_length(path)
    except ValueError as error:
        raise DataError(
            f"{path}: cannot be read as NetCDF: {error}; make or download it again"
        ) from error
    if promised is not None and promised > size:
        raise DataError(
            f"{path}: the file is truncated: its header promises {promised} bytes, it has {size}; "
            "make or download it again"
        )


def load_netcdf(path: str | Path, variables: tuple[str, ...] = (), **options: Any) -> xr.Dataset:
    """Read a NetCDF file into memory and close it; errors as in `open_netcdf`.

    A file whose data are damaged behind a sound header is found here, when it is read.
    """
    with open_netcdf(path, variables, **options) as data:
        try:
            return data.load()
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"{path}: the data cannot be read ({error}); the file is truncated or damaged: "
                "delete it and make or download it again"
            ) from error


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it there on success, remove it on failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def copy(source: str | Path, path: str | Path) -> None:
    """Copy a file atomically."""
    with atomic_path(path) as temporary:
        shutil.copyfile(source, temporary)


def link(source: str | Path, path: str | Path) -> None:
    """Make a second name of a file, atomically; a copy where the disk has no hard links.

    Files of this package are replaced, never changed: either name keeps what it was given.
    """
    with atomic_path(path) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON atomically; NaN and infinities are refused (use null and say why)."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_figure(figure: Figure, path: str | Path, dpi: int) -> None:
    """Write a matplotlib figure atomically, in the format of the file's suffix."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi)


def read_json(path: str | Path) -> Any:
    """Read a JSON file; a damaged one is a `DataError`."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: not valid JSON ({error}); delete it and make it again") from error


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file as hex digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def require_disk_space(folder: str | Path, needed_bytes: int) -> None:
    """Raise OSError when the file system that holds `folder` has less than `needed_bytes` free."""
    folder = Path(folder)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise OSError(
            f"{folder}: {free / 2**20:.0f} MiB free, about {needed_bytes / 2**20:.0f} MiB needed; "
            "free some space or set `results` to a larger disk"
        )
