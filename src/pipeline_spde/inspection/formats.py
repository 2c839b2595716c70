"""Files that are no NetCDF: what they are instead, told by their first bytes."""

from __future__ import annotations

from pathlib import Path

import netCDF4

_CLASSIC = {
    "NETCDF3_CLASSIC": "NetCDF-3 classic",
    "NETCDF3_64BIT_OFFSET": "NetCDF-3, 64-bit offset",
    "NETCDF3_64BIT_DATA": "NetCDF-3, 64-bit data",
    "NETCDF4": "NetCDF-4",
    "NETCDF4_CLASSIC": "NetCDF-4, classic model",
}
_BEGINNINGS = (
    (b"\x1f\x8b", "compressed with gzip: unpack it first (gunzip, tar -xzf)"),
    (b"PK\x03\x04", "a zip archive: unpack it first (a PyTorch checkpoint is one, too)"),
    (b"BZh", "compressed with bzip2: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it first"),
    (b"\xfd7zXZ", "compressed with xz: unpack it first"),
    (b"version https://git-lfs", "a Git LFS pointer, not the data: run `git lfs pull`"),
    (b"\x89PNG", "a PNG picture"),
    (b"%PDF", "a PDF document"),
    (b"GIF8", "a GIF picture"),
    (b"GRIB", "a GRIB file: convert it to NetCDF"),
)


def netcdf_format(path: Path) -> str:
    """Return the name of the NetCDF format of a sound file."""
    with netCDF4.Dataset(path) as data:
        return _CLASSIC.get(data.data_model, data.data_model)


def what_else(path: Path) -> str | None:
    """Return what a file is that is no NetCDF, or None when its first bytes say NetCDF or nothing.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        start = stream.read(512)
    if start[257:262] == b"ustar":
        return "a tar archive: unpack it first (tar -xf)"
    for beginning, words in _BEGINNINGS:
        if start.startswith(beginning):
            return words
    if start.startswith((b"\x89HDF", b"CDF")):
        return None
    text = start.decode("utf-8", errors="ignore").strip().lower()
    if text.startswith(("<!doctype html", "<html", "<?xml")):
        return "a web page: the download brought a login or error page; download it again"
    if text.startswith("outs:") or "\nouts:" in text:
        return "a DVC pointer, not the data: download the object that it names"
    if text.startswith(("{", "[")):
        return "JSON text"
    printable = sum(32 <= byte < 127 or byte in b"\r\n\t" for byte in start)
    if start and printable == len(start):
        return "plain text"
    return None
