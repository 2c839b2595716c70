"""Names that may be chosen and limits of numbers, shared by the configuration models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

MethodName = Literal[
    "oi", "oi_tuned", "spde_oi", "persistence", "unet", "4dvarnet", "4dvarnet_spde"
]
StartName = Literal["oi", "spde_oi", "smooth", "zeros"]
ProtocolName = Literal["dc2020a-legacy", "starter", "oceanbench-legacy", "ssh-v1"]
MissionName = Literal[
    "topex_interleaved",
    "jason1",
    "geosat_follow_on",
    "envisat",
    "saral",
    "sentinel3a",
    "sentinel3b",
    "cryosat2",
    "jason3",
    "swot_nadir",
    "swot_karin",
    "gridded",
]
"""Altimeters; gridded: what a publisher has put into daily cells himself (tracks_file)."""
SourceName = Literal["twin", "spde", "files", "tracks", "rads"]
Files = Path | tuple[Path, ...]
PartName = Literal["prior", "gradient", "observation", "theta", "encoder", "decoder", "output"]
"""Parts of the networks that a fine-tuning may keep as they are (`networks.PARTS`)."""
ThetaName = Literal["sigma", "decorrelation_time", "mean_range", "anisotropy", "currents"]


def _increasing(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[1] <= bounds[0]:
        raise ValueError(f"the first bound must be the smaller one, got {list(bounds)}")
    return bounds


def _on_the_circle_of_files(lon: tuple[float, float]) -> tuple[float, float]:
    """Return a box with its west in [-180, 180); the whole globe starts at -180."""
    width = lon[1] - lon[0]
    west = -180.0 if abs(width - 360.0) < 1e-9 else (lon[0] + 180.0) % 360.0 - 180.0
    return round(west, 9), round(west + width, 9)


Bounds = Annotated[tuple[float, float], AfterValidator(_increasing)]
Longitudes = Annotated[Bounds, AfterValidator(_on_the_circle_of_files)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
