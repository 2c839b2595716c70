"""Times of foreign files: units, calendars, and which day a map stands for.

Everywhere else in the package a daily map is a daily mean stamped 12:00 UTC. Public maps are
stamped 12:00, or 00:00, or come several times a day:

- 12:00 is kept;
- 00:00 is a label of the day that starts (`midnight="label"`) and becomes 12:00 of that day, or the
  instant that the map describes (`midnight="instant"`): then the mean of two consecutive maps is
  the map of the day between them, and one day is lost;
- maps several times a day are averaged over the calendar day; incomplete days are left out.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.data.sources.opening import DECODING_ERRORS, decoded
from pipeline_spde.files import DataError

logger = logging.getLogger(__name__)

Midnight = Literal["label", "instant"]
_STANDARD_CALENDARS = ("standard", "gregorian", "proleptic_gregorian")
_WITHOUT_LEAP_DAYS = ("noleap", "365_day")
# Altimeters fly since the seventies and models start in the fifties: other years mean wrong units.
_PLAUSIBLE = (np.datetime64("1950-01-01", "ns"), np.datetime64("2100-01-01", "ns"))
_ONE_DAY = np.timedelta64(1, "D")
_NOON = np.timedelta64(12, "h")


def read_instants(
    data: xr.Dataset, name: str, path: str | Path, assumed_units: str | None = None
) -> NDArray[np.datetime64]:
    """Return a time variable of a file opened undecoded as datetime64[ns], NaT where missing.

    Calendars without leap days are converted date by date, with a warning.

    Args:
        data: the file.
        name: of the variable, 0-D or 1-D.
        path: the file, for messages.
        assumed_units: of a format that is known to leave out the attribute `units`.

    Raises:
        DataError: no units, a calendar that has no dates of ours, or dates that no altimeter saw.
    """
    array = decoded(data, name, path)
    units = str(array.attrs.get("units", assumed_units or ""))
    if " since " not in units:
        raise DataError(
            f"{path}: {name} has units {units or 'missing'!r}, not a date; its attribute `units` "
            "should read 'seconds since …' or the like"
        )
    calendar = str(array.attrs.get("calendar", "standard")).lower()
    if calendar not in (*_STANDARD_CALENDARS, *_WITHOUT_LEAP_DAYS):
        raise DataError(
            f"{path}: {name} is in the calendar {calendar!r}, whose days are not those of "
            f"observations; expected one of {', '.join(_STANDARD_CALENDARS)}"
        )
    instants = _decode(data, name, path, units, calendar)
    known = instants[~np.isnat(instants)]
    if known.size and not (known.min() >= _PLAUSIBLE[0] and known.max() < _PLAUSIBLE[1]):
        raise DataError(
            f"{path}: {name} runs from {known.min().astype('datetime64[s]')} to "
            f"{known.max().astype('datetime64[s]')}, expected 1950 to 2099; are its units "
            f"{units!r} right?"
        )
    return np.atleast_1d(instants)


def _decode(
    data: xr.Dataset, name: str, path: str | Path, units: str, calendar: str
) -> NDArray[np.datetime64]:
    by_date = calendar in _WITHOUT_LEAP_DAYS
    variable = data.variables[name].to_base_variable()
    variable.attrs = {**variable.attrs, "units": units, "calendar": calendar}
    try:
        coder = xr.coders.CFDatetimeCoder(use_cftime=by_date)
        plain = xr.Dataset({name: variable})
        values = xr.decode_cf(plain, decode_times=coder, decode_coords=False)[name].values
        if by_date:
            values = np.array([date.isoformat() for date in np.atleast_1d(values)])
        instants = np.asarray(values).astype("datetime64[ns]")
    except DECODING_ERRORS as error:
        raise DataError(
            f"{path}: {name} with units {units!r} cannot be turned into dates ({error}); expected "
            "'seconds since YYYY-MM-DD' or the like, and dates between 1950 and 2099"
        ) from error
    if by_date:
        logger.warning(
            "%s: calendar %r: dates taken as they read, without 29 February", path, calendar
        )
    return instants


@dataclass(frozen=True, eq=False)
class DailyPlan:
    """Which maps make which daily mean.

    Attributes:
        days: the days, increasing, shape (day,).
        of_map: index of the map, shape (entry,).
        of_day: index into `days`, shape (entry,).
        weight: share of the map in the daily mean; sums to 1 over a day, shape (entry,).
    """

    days: NDArray[np.datetime64]
    of_map: NDArray[np.intp]
    of_day: NDArray[np.intp]
    weight: NDArray[np.float64]

    @property
    def stamps(self) -> NDArray[np.datetime64]:
        """The 12:00 UTC stamps of the days."""
        return np.asarray(self.days.astype("datetime64[ns]") + _NOON)

    def select(self, keep: NDArray[np.bool_]) -> DailyPlan:
        """Return the plan of the days where `keep` (day,) is True."""
        entries = keep[self.of_day]
        renumbered = np.cumsum(keep) - 1
        return DailyPlan(
            self.days[keep],
            self.of_map[entries],
            renumbered[self.of_day[entries]],
            self.weight[entries],
        )


def plan_days(instants: NDArray[np.datetime64], midnight: Midnight, path: str | Path) -> DailyPlan:
    """Return which maps make which daily mean.

    Args:
        instants: stamps of the maps, strictly increasing, shape (map,).
        midnight: what a single map of a day stamped 00:00 stands for.
        path: the file or folder, for messages.

    Raises:
        ValueError: unknown `midnight`.
        DataError: maps that are neither daily means nor a whole number of maps each day.
    """
    if midnight not in get_args(Midnight):
        raise ValueError(f"midnight: choose one of {get_args(Midnight)}, got {midnight!r}")
    days, of_day, count = np.unique(
        instants.astype("datetime64[D]"), return_inverse=True, return_counts=True
    )
    if count.max() > 1:
        return _several_a_day(days, of_day, count, path)
    hour = (instants - instants.astype("datetime64[D]")) / np.timedelta64(1, "h")
    every = np.arange(instants.size)
    if np.all(hour == 12) or (np.all(hour == 0) and midnight == "label"):
        return DailyPlan(days, every, every, np.ones(every.size))
    if np.all(hour == 0):
        return _between_midnights(days, path)
    odd = int(np.flatnonzero((hour != hour[0]) | ~np.isin(hour, (0, 12)))[0])
    raise DataError(
        f"{path}: one map a day, but stamped {instants[odd].astype('datetime64[s]')}; a daily mean "
        "is stamped 00:00 or 12:00 on every day, and a snapshot is no daily mean"
    )


def _several_a_day(
    days: NDArray[np.datetime64],
    of_day: NDArray[np.intp],
    count: NDArray[np.intp],
    path: str | Path,
) -> DailyPlan:
    """Return the plan of maps several times a day: their mean over complete calendar days."""
    usual = int(count.max())
    complete = count == usual
    if 2 * complete.sum() < days.size and days.size > 2:
        raise DataError(
            f"{path}: {int((~complete).sum())} of {days.size} days have fewer than {usual} maps "
            f"({', '.join(map(str, days[~complete][:3]))} …); daily means need complete days"
        )
    every = np.arange(of_day.size)
    plan = DailyPlan(days, every, of_day, 1.0 / count[of_day])
    if not complete.all():
        logger.warning(
            "%s: days with fewer than %d maps left out: %s",
            path,
            usual,
            ", ".join(map(str, days[~complete])),
        )
    return plan.select(complete)


def _between_midnights(days: NDArray[np.datetime64], path: str | Path) -> DailyPlan:
    """Return the plan of instants at 00:00: each day is the mean of its two midnights."""
    first = np.flatnonzero(np.diff(days) == _ONE_DAY)
    if first.size == 0:
        raise DataError(
            f"{path}: maps of 00:00 as instants need two consecutive days to make a daily mean, "
            f"found {', '.join(map(str, days[:3]))}; take them as labels of the day instead "
            "(midnight='label')"
        )
    of_day = np.repeat(np.arange(first.size), 2)
    of_map = np.stack([first, first + 1], axis=1).ravel()
    return DailyPlan(days[first], of_map, of_day, np.full(of_map.size, 0.5))
