"""Are the samples there that a domain of real tracks needs? Asked before any work is done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.config import DomainConfig
from pipeline_spde.files import DataError
from pipeline_spde.periods import Period

Days = NDArray[np.datetime64]
# One altimeter alone meets a box of ten degrees every two days or so.
_UNSEEN_DAYS = 7


def require_samples(seen: Mapping[Any, Days], domain: DomainConfig, path: Path) -> None:
    """Refuse samples that cannot serve a domain.

    Every mission must have samples, the mapped ones together from end to end of the periods of
    evaluation, validation and training, and each withheld one in the evaluation.

    Args:
        seen: mission -> days with samples in the box.
        domain: its missions and periods.
        path: the file, for messages.

    Raises:
        DataError: samples are missing.
    """
    periods = domain.periods
    for name in domain.missions:
        _days_in({name: seen[name]}, periods.available, "available", path)
    for name in domain.withheld:
        _days_in({name: seen[name]}, periods.evaluation, "evaluation", path)
    mapped: dict[str, Days] = {name: seen[name] for name in domain.missions}
    for key in ("evaluation", "validation", "train"):
        if (period := getattr(periods, key)) is not None:
            _require_ends(mapped, period, key, path)


def _days_in(seen: Mapping[str, Days], period: Period, key: str, path: Path) -> Days:
    """Return the days of a period on which some mission has samples; refuse none."""
    days = np.unique(np.concatenate(list(seen.values())))
    inside = days[(days >= np.datetime64(period.start)) & (days <= np.datetime64(period.end))]
    if inside.size == 0:
        found = f"only from {days[0]} to {days[-1]}" if days.size else "none at all"
        raise DataError(
            f"{path}: no sample of {', '.join(seen)} in the box in periods.{key} ({period}), "
            f"{found}: choose other missions, days or box, or a file that holds them"
        )
    return inside


def _require_ends(seen: Mapping[str, Days], period: Period, key: str, path: Path) -> None:
    """Refuse samples that leave more than `_UNSEEN_DAYS` days at an end of a period unseen."""
    days = _days_in(seen, period, key, path)
    late = (days[0] - np.datetime64(period.start)).astype(int)
    early = (np.datetime64(period.end) - days[-1]).astype(int)
    if max(late, early) > _UNSEEN_DAYS:
        raise DataError(
            f"{path}: the samples of {', '.join(seen)} in the box run from {days[0]} to "
            f"{days[-1]} only, periods.{key} is {period}: get the missing days or shorten it"
        )
