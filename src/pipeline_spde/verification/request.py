"""What is asked of a verification: protocols and how intervals are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, get_args

import psutil

from pipeline_spde.data.sources.selection import Selection
from pipeline_spde.data.sources.times import Midnight
from pipeline_spde.fields import Quantity
from pipeline_spde.scores.along_track import PROTOCOL as OWN_TRACK_PROTOCOL
from pipeline_spde.scores.legacy_tracks import TRACK_PROTOCOLS
from pipeline_spde.scores.protocols import PROTOCOLS

ON_TRUTH = tuple(PROTOCOLS)
ON_TRACKS = (*TRACK_PROTOCOLS, OWN_TRACK_PROTOCOL)


class RequestError(ValueError):
    """What is asked for makes no sense; the message says what would."""


@dataclass(frozen=True)
class Scoring:
    """How to score.

    Attributes:
        protocols: names; empty: every one that applies.
        margin_degrees: what is cut off each side of the truth's grid, or of the maps' for tracks;
            the public protocols along tracks have their own inset.
        draws: number of bootstrap draws.
        block_days: length of the blocks of days.
        confidence: coverage of the intervals.
        seed: seed of the draws.
        memory_bytes: what the maps may take; None: half of the memory that is free. Maps that
            need more are scored in blocks of days, without spectra.
    """

    protocols: Sequence[str] = ()
    margin_degrees: float = 0.0
    draws: int = 1000
    block_days: int = 7
    confidence: float = 0.95
    seed: int = 2020
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.draws < 1 or self.block_days < 1 or not 0 < self.confidence < 1:
            raise RequestError(
                "draws and block days must be 1 or more and the confidence between 0 and 1, got "
                f"{self.draws}, {self.block_days} and {self.confidence}"
            )
        if self.seed < 0 or not self.margin_degrees >= 0:
            raise RequestError(
                f"seed and margin cannot be negative, got {self.seed} and {self.margin_degrees}"
            )
        if self.memory_bytes is not None and self.memory_bytes < 1:
            raise RequestError("the memory must be positive")

    def chosen(self, known: Sequence[str], against: str) -> tuple[str, ...]:
        """Return the protocols to use of those that apply.

        Raises:
            RequestError: an unknown protocol, or one that does not apply.
        """
        for name in self.protocols:
            if name not in known:
                other = name in (*ON_TRUTH, *ON_TRACKS)
                why = f"does not apply to maps scored against {against}" if other else "is unknown"
                raise RequestError(f"protocol {name!r} {why}; there are {', '.join(known)}")
        return tuple(dict.fromkeys(self.protocols)) or tuple(known)

    @property
    def intervals(self) -> dict[str, Any]:
        """Arguments of the functions that score."""
        return {
            "bootstrap_draws": self.draws,
            "bootstrap_block_days": self.block_days,
            "confidence": self.confidence,
            "seed": self.seed,
        }

    def allowed_bytes(self) -> int:
        """Return what the maps may take."""
        return self.memory_bytes or int(psutil.virtual_memory().available // 2)


def selection(
    lat: tuple[float, float] | None,
    lon: tuple[float, float] | None,
    period: tuple[str, str] | None,
) -> Selection:
    """Return a box and period as asked for.

    Raises:
        RequestError: bounds in the wrong order, or dates that are none.
    """
    try:
        days = None if period is None else tuple(date.fromisoformat(day) for day in period)
        return Selection(lat, lon, days)  # type: ignore[arg-type]
    except ValueError as error:
        raise RequestError(str(error)) from None


def as_quantity(name: str | None) -> Quantity | None:
    """Return the name of a quantity; RequestError where there is none of that name."""
    if name is not None and name not in get_args(Quantity):
        raise RequestError(f"quantity {name!r}: choose one of {', '.join(get_args(Quantity))}")
    return name  # type: ignore[return-value]


def as_midnight(name: str) -> Midnight:
    """Return what 00:00 stands for; RequestError where it is neither."""
    if name not in get_args(Midnight):
        raise RequestError(f"midnight {name!r}: choose one of {', '.join(get_args(Midnight))}")
    return name  # type: ignore[return-value]


def as_place(texts: Sequence[str]) -> dict[str, int]:
    """Return indices along further dimensions; RequestError where a text is not NAME=INDEX."""
    found = {}
    for text in texts:
        name, _, index = text.partition("=")
        if not name or not index.lstrip("-").isdecimal():
            raise RequestError(f"place {text!r}: expected NAME=INDEX, such as config=0")
        found[name] = int(index)
    return found
