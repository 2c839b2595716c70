"""Finding the files that a configuration names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def find_files(given: Path | Sequence[Path] | None) -> list[Path]:
    """Return the files meant by a path, a folder, a pattern or a list of them.

    Each is looked up as it is, then below $PIPELINE_SPDE_DATA. A missing file is returned as given:
    the workflow then names it as missing input.

    Raises:
        ValueError: no path is configured.
    """
    if given is None:
        raise ValueError("no path is configured (truth_file, tracks_file)")
    found: list[Path] = []
    for path in [given] if isinstance(given, Path) else given:
        places = [path]
        if not path.is_absolute() and (folder := os.environ.get("PIPELINE_SPDE_DATA")):
            places.append(Path(folder) / path)
        held = next((files for place in places if (files := _files_at(place))), places[-1:])
        found += held
    return found


def _files_at(place: Path) -> list[Path]:
    """Return the files at a path, in a folder or of a pattern, none where there are none."""
    if place.is_dir():
        return sorted(place.glob("*.nc"))
    if place.exists():
        return [place]
    return sorted(place.parent.glob(place.name)) if place.parent.is_dir() else []
