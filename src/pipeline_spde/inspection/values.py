"""The heights of a file, read a block at a time: range, holes, empty or repeated maps, fills."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.data.sources import (
    PLAUSIBLE_HEIGHT_M,
    metres_per_unit,
    require_plausible,
)
from pipeline_spde.data.sources.opening import Header, decoded, numbers
from pipeline_spde.files import DataError
from pipeline_spde.inspection.report import Findings

_BLOCK_BYTES = 2**26
_SAMPLE_PER_BLOCK = 20_000


@dataclass
class Statistics:
    """Running statistics of a variable, map by map.

    Attributes:
        count: finite values.
        total: of them.
        squares: sum of their squares.
        low: least value.
        high: greatest value.
        size: values in all.
        finite: finite values of each map.
        same: True where a map equals the one before, of each map.
        sample: some of the values.
        ever: cells that are finite on some map.
        always: cells that are finite on every map.
    """

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    size: int = 0
    finite: list[int] = field(default_factory=list)
    same: list[bool] = field(default_factory=list)
    sample: list[NDArray[np.float64]] = field(default_factory=list)
    ever: NDArray[np.bool_] | None = None
    always: NDArray[np.bool_] | None = None
    _last: NDArray[np.float64] | None = None

    def add(self, block: NDArray[np.float64]) -> None:
        """Add maps, shape (map, …)."""
        for values in block:
            known = np.isfinite(values)
            held = values[known]
            self.count += held.size
            self.size += values.size
            self.finite.append(held.size)
            if held.size:
                self.total += float(held.sum())
                self.squares += float((held**2).sum())
                self.low = min(self.low, float(held.min()))
                self.high = max(self.high, float(held.max()))
            again = self._last is not None and np.array_equal(values, self._last, equal_nan=True)
            self.same.append(bool(again and held.size))
            self._last = values
            self.ever = known if self.ever is None else self.ever | known
            self.always = known if self.always is None else self.always & known
        flat = block[np.isfinite(block)]
        self.sample.append(flat[:: 1 + flat.size // _SAMPLE_PER_BLOCK])

    @property
    def mean(self) -> float:
        """Mean of the finite values."""
        return self.total / max(self.count, 1)

    @property
    def std(self) -> float:
        """Standard deviation of the finite values."""
        return float(np.sqrt(max(self.squares / max(self.count, 1) - self.mean**2, 0.0)))

    @property
    def missing(self) -> float:
        """Share of missing values."""
        return 1.0 - self.count / max(self.size, 1)


def look_at_heights(
    data: xr.Dataset,
    header: Header,
    name: str,
    first_dim: str | None,
    findings: Findings,
    assumed_units: str | None = None,
    plausible_m: tuple[float, float] = PLAUSIBLE_HEIGHT_M,
) -> Statistics | None:
    """Return the statistics of a height variable in m, or None when it is unusable.

    Args:
        data: the file, opened undecoded.
        header: of it.
        name: of the variable.
        first_dim: dimension along which it is read block by block (time); None: at once.
        findings: get units, values and what is wrong with them.
        assumed_units: of formats that leave them out.
        plausible_m: as in `require_plausible`.
    """
    path = header.path
    try:
        array = decoded(data, name, path)
        factor = metres_per_unit(array, path, assumed_units)
        statistics = Statistics()
        for block in _blocks(array, first_dim, header):
            statistics.add(block * factor)
        values = np.concatenate(statistics.sample) if statistics.sample else np.zeros(0)
        extremes = [v for v in (statistics.low, statistics.high) if np.isfinite(v)]
        units = str(array.attrs.get("units", assumed_units))
        require_plausible(np.append(values, extremes), name, units, path, plausible_m)
    except DataError as error:
        findings.problem(error, path)
        return None
    findings.facts[f"values of {name}"] = (
        f"{statistics.low:.3g} to {statistics.high:.3g} m, mean {statistics.mean:.3g}, standard "
        f"deviation {statistics.std:.3g} m, {100 * statistics.missing:.3g} % missing"
    )
    return statistics


def _blocks(
    array: xr.DataArray, first_dim: str | None, header: Header
) -> Iterator[NDArray[np.float64]]:
    """Yield the maps of a variable, shape (map, …), some at a time."""
    if first_dim is None or first_dim not in array.dims:
        yield numbers(array, header.path)[None]
        return
    array = array.transpose(first_dim, ...)
    per_block = max(1, _BLOCK_BYTES // max(8 * array[0].size, 1)) if array.shape[0] else 1
    for start in range(0, array.shape[0], per_block):
        yield numbers(array[start : start + per_block], header.path)
