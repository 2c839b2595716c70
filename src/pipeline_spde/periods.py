"""Calendar of an experiment: periods of whole days, and tasks with their windows."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class FrozenModel(BaseModel):
    """Base of all configuration models: unknown keys, NaN and later changes are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Period(FrozenModel):
    """A period of whole days, both ends included; in YAML a list [first day, last day]."""

    start: date
    """First day."""
    end: date
    """Last day, included."""

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            if len(value) != 2:
                raise ValueError("a period is a list of two dates, [first day, last day]")
            return {"start": value[0], "end": value[1]}
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Period:
        if self.end < self.start:
            raise ValueError(f"the period ends ({self.end}) before it starts ({self.start})")
        return self

    @property
    def days(self) -> int:
        """Number of days, both ends included."""
        return (self.end - self.start).days + 1

    def padded(self, days: int) -> Period:
        """Return the period widened by `days` on both sides (negative: narrowed)."""
        margin = timedelta(days=days)
        return Period(start=self.start - margin, end=self.end + margin)

    def contains(self, other: Period) -> bool:
        """Return True when `other` lies inside."""
        return self.start <= other.start and other.end <= self.end

    def common(self, other: Period) -> Period | None:
        """Return the days in both periods, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Period(start=start, end=end) if start <= end else None

    def __str__(self) -> str:
        return f"{self.start} … {self.end}"


class Task(FrozenModel):
    """mapping, nrt or for{n}: which days of the window are observed and which day is kept.

    With a target day d and a window of T days: mapping sees d ± T//2; nrt sees d−T+1 … d; for{n}
    sees d−T+1 … d−n, the last n days being unobserved.
    """

    name: str

    @model_validator(mode="after")
    def _known(self) -> Task:
        if not re.fullmatch(r"mapping|nrt|for[1-9]\d?", self.name):
            raise ValueError(f"{self.name!r} is no task; use mapping, nrt or for<days>, e.g. for4")
        return self

    @property
    def lead(self) -> int | None:
        """Lead time in days: None for mapping, 0 for nrt, n for for{n}."""
        if self.name == "mapping":
            return None
        return 0 if self.name == "nrt" else int(self.name.removeprefix("for"))

    def offsets(self, window: int) -> range:
        """Return the days of a window of `window` days relative to the target day."""
        return (
            range(-(window // 2), window - window // 2)
            if self.lead is None
            else range(-window + 1, 1)
        )

    def observed_offsets(self, window: int) -> range:
        """Return the days of the window whose observations may be used, relative to the target."""
        if self.lead is None:
            return self.offsets(window)
        return range(-window + 1, 1 - self.lead)

    def target_index(self, window: int) -> int:
        """Return the index in the window of the day that is kept."""
        return self.offsets(window).index(0)
