"""Named, frozen, versioned protocols, and the scores of maps under them.

The public benchmarks of SSH mapping share metric names, not metrics: window, rule for λ, units,
treatment of holes and of time stamps differ. Each protocol here freezes one of them; numbers of
different protocols must not be mixed or converted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
import xarray as xr

from pipeline_spde.grids import KM_PER_DEGREE
from pipeline_spde.scores.bootstrap import Resampling, paired_change, score_with_interval
from pipeline_spde.scores.collocation import Collocation, TimeRule, collocate
from pipeline_spde.scores.regional import LatLonBox, Regions, regional_scores
from pipeline_spde.scores.resolution import (
    Box,
    first_crossing_resolutions,
    horizontal_resolutions,
    legacy_resolutions,
)
from pipeline_spde.scores.rmse import MU, RMSE, SIGMA, SQUARED_ERROR
from pipeline_spde.scores.spectral import Spectrum, WindowName, complete_rows, spectrum
from pipeline_spde.scores.statistic import DailySums, Sample, Score, unique_statistics
from pipeline_spde.scores.targets import MapTarget
from pipeline_spde.scores.uncertainty import Uncertainty

logger = logging.getLogger(__name__)

# Where the published tables were made: NATL60, Gulf Stream
PUBLISHED_BOX = (33.0, 43.0, -65.0, -55.0)
PUBLISHED_FIRST_DAY = np.datetime64("2012-10-22", "D")
PUBLISHED_TRUTH_RMS = 0.581  # m, from the starter's RMSE 0.0211406 m at µ = 0.96362


@dataclass(frozen=True)
class Protocol:
    """One way to score maps.

    Attributes:
        name: key in configurations and results.
        version: raised whenever the numbers would change.
        window: taper of the space-time spectra.
        rule: how λ is read: "first polyline" of the 0.5 contour, or one-dimensional "first
            crossing".
        holes: "fill" the map by Laplace's equation, or "exclude" the cells (and from the spectra
            the latitude rows that hold one).
        times: how maps stamped at another hour are treated.
        wavelength_unit: unit of λx.
        unit_per_degree: what a degree of longitude is in that unit; None: its true length.
        has_sigma: False where the published protocol has no σ.
        shapes: scored grids of the published tables, (lat, lon).
        day_counts: numbers of days of the published tables.
    """

    name: str
    version: int
    window: WindowName
    rule: Literal["first polyline", "first crossing"]
    holes: Literal["fill", "exclude"]
    times: TimeRule
    wavelength_unit: str
    unit_per_degree: float | None
    has_sigma: bool
    shapes: tuple[tuple[int, int], ...]
    day_counts: tuple[int, ...]

    def mismatch(self, case: Collocation) -> str | None:
        """Return why scores of these maps cannot stand beside the published table, or None."""
        problems = []
        shape = (case.lat.size, case.lon.size)
        if shape not in self.shapes:
            problems.append(f"{_shape(shape)} cells, published {_shapes(self.shapes)}")
        else:
            ends = (case.lat[0], case.lat[-1], case.lon[0], case.lon[-1])
            steps = np.repeat(case.step, 2)
            if np.any(np.abs(np.subtract(ends, PUBLISHED_BOX)) > 1.01 * steps):
                box = "{:g}…{:g}°N, {:g}…{:g}°E".format(*ends)
                problems.append(f"box {box}, published 33…43°N, -65…-55°E")
        count = case.days.size
        if count not in self.day_counts or case.days[0] != PUBLISHED_FIRST_DAY:
            counts = " or ".join(str(n) for n in self.day_counts)
            problems.append(f"{count} days from {case.days[0]}, published {counts} from 2012-10-22")
        rms = float(np.sqrt(np.nanmean(case.truth**2)))
        if abs(rms - PUBLISHED_TRUTH_RMS) > 0.05 * PUBLISHED_TRUTH_RMS:
            problems.append(f"the truth's RMS is {rms:.3f} m, published {PUBLISHED_TRUTH_RMS} m")
        return "; ".join(problems) or None


def _shape(shape: tuple[int, int]) -> str:
    return f"{shape[0]}x{shape[1]}"


def _shapes(shapes: tuple[tuple[int, int], ...]) -> str:
    return " or ".join(_shape(shape) for shape in shapes)


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "dc2020a-legacy", 1, "hann", "first polyline", "fill", "interpolate",
            "degree", 1.0, True, ((600, 600), (200, 200)), (41, 42),
        ),
        Protocol(
            "starter", 1, "hann", "first polyline", "fill", "interpolate",
            "degree", 1.0, True, ((200, 200),), (42,),
        ),
        # Its degree-to-metre conversion takes the meridional spacing for the zonal one: a "km" is
        # 1/111.195 degree of longitude. It also overwrites the map's times with the truth's.
        Protocol(
            "oceanbench-legacy", 1, "tukey", "first polyline", "fill", "calendar day",
            f"km of {KM_PER_DEGREE:.3f}/degree", float(KM_PER_DEGREE), False, ((200, 200),), (42,),
        ),
        Protocol(
            "ssh-v1", 1, "hann", "first crossing", "exclude", "interpolate",
            "km", None, True, ((200, 200),), (42,),
        ),
    )
}  # fmt: skip


def find_protocol(name: str) -> Protocol:
    """Return a protocol by name.

    Raises:
        ValueError: unknown name, listing those there are.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"no protocol {name!r}; there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def score_maps(
    *,
    truth: xr.DataArray,
    estimate: xr.DataArray,
    protocols: Sequence[str],
    margin_degrees: float,
    bootstrap_draws: int = 1000,
    bootstrap_block_days: int = 7,
    confidence: float = 0.95,
    seed: int,
    std: xr.DataArray | None = None,
    ensemble: xr.Dataset | None = None,
    reference: xr.Dataset | None = None,
    regions: Mapping[str, LatLonBox] | None = None,
) -> dict[str, Any]:
    """Return the scores of maps under protocols, with confidence intervals, ready for JSON.

    Args:
        truth: one map a day in m, NaN on land, dims (time, lat, lon).
        estimate: maps of the same quantity in m on any regular grid.
        protocols: names from `PROTOCOLS`.
        margin_degrees: what is cut off each side of the truth's grid before scoring.
        bootstrap_draws: number of bootstrap draws.
        bootstrap_block_days: length of the blocks of days.
        confidence: coverage of the intervals.
        seed: seed of the draws; the same seed pairs the draws of different methods.
        std: standard deviation of the estimate's error in m, on the estimate's grid.
        ensemble: members and spreads around the same maps, in the layout of `scores.ensemble`;
            they take the place of `std`. Members may be on disk: a day is read at a time.
        reference: maps with their standard deviation (the tuned OI), to be beaten in CRPS.
        regions: name -> ((south, north), (west, east)) in degrees, to be scored by themselves.

    Returns:
        {"protocols": {name: {"mu", "sigma", "rmse", "lambda_x", "lambda_t", …: score; "grid",
        "days", "comparable", …}}, "daily": {"time", "score", "rmse", …}, "probabilistic": …}
        and, with a spread, the scores `uncertainty.QUOTED`; with regions {"regions": {name: …}} as
        `regional.regional_scores` returns them. A score is {"value", "interval",
        "unit", "reason", "limit", "interval_method"}; its value is None where `reason` says why.
        The daily series and the probabilistic scores use cells with a value only, nothing filled.

    Raises:
        ValueError: an unknown protocol, or truth and estimate have nothing in common.
    """
    chosen = [find_protocol(name) for name in protocols]
    resampling = Resampling(bootstrap_draws, bootstrap_block_days, confidence, seed)
    cases: dict[tuple[str, str], _Case] = {}

    def case(times: TimeRule, holes: str) -> _Case:
        if (times, holes) not in cases:
            if holes == "fill":
                plain = case(times, "exclude")
                filled = plain.maps.with_holes_filled()
                same = filled is plain.maps
                cases[times, holes] = plain if same else _Case(filled, resampling)
            else:
                maps = collocate(
                    truth=truth,
                    estimate=estimate,
                    margin_degrees=margin_degrees,
                    times=times,
                )
                cases[times, holes] = _Case(maps, resampling)
        return cases[times, holes]

    results = {p.name: case(p.times, p.holes).under(p) for p in chosen}
    plain = case("interpolate", "exclude")
    judged = Uncertainty.of(estimate, std, ensemble, reference)
    boxes = Regions.on(regions, plain.maps.lat, plain.maps.lon) if regions else None
    weights = {name: boxes.weights(name) for name in boxes.boxes} if boxes else None
    uncertainty = judged.scored(MapTarget(plain.maps), resampling, weights)
    daily = plain.daily()
    by_region = {}
    if boxes is not None:
        by_region["regions"] = regional_scores(
            plain.maps, boxes, resampling, uncertainty.quoted_regions, partial(_box, resampling)
        )
    return {
        "protocols": results,
        "daily": daily | uncertainty.daily(daily["time"]),
        **by_region,
        **uncertainty.to_json(),
    }


def _box(resampling: Resampling, maps: Collocation) -> dict[str, Score]:
    """Return the zonal and temporal resolution of maps on a regional box, by ssh-v1's rule."""
    scores, _ = _Case(maps, resampling).resolutions(PROTOCOLS["ssh-v1"])
    return {name: scores[name] for name in ("lambda_x", "lambda_t")}


class _Case:
    """Maps on common cells, with what several protocols share computed once."""

    def __init__(self, maps: Collocation, resampling: Resampling) -> None:
        self.maps = maps
        self.resampling = resampling
        self._resolutions: dict[tuple[str, ...], tuple[dict[str, Score], int | None]] = {}

    @cached_property
    def sums(self) -> DailySums:
        statistics = unique_statistics((MU, SIGMA, RMSE))
        return DailySums.of_maps(self.maps.sample(), self.maps.days, statistics)

    def daily(self) -> dict[str, list[Any]]:
        """Return the daily series on days with a score."""
        score, defined = MU.daily(self.sums)
        rmse, _ = RMSE.daily(self.sums)
        return {
            "time": [str(day) for day in self.maps.days[defined]],
            "score": score[defined].tolist(),
            "rmse": rmse[defined].tolist(),
        }

    def under(self, protocol: Protocol) -> dict[str, Any]:
        """Return the scores under a protocol as JSON types."""
        scores = {m.name: score_with_interval(m, self.sums, self.resampling) for m in (MU, RMSE)}
        if protocol.has_sigma:
            scores["sigma"] = score_with_interval(SIGMA, self.sums, self.resampling)
        else:
            scores["sigma"] = Score(None, "1", f"{protocol.name} defines no σ")
        wavelengths, polylines = self.resolutions(protocol)
        mismatch = protocol.mismatch(self.maps)
        rows = self._rows
        return {
            "version": protocol.version,
            **{name: score.to_json() for name, score in (scores | wavelengths).items()},
            "contour_polylines": polylines,
            "window": protocol.window,
            "rule": protocol.rule,
            "grid": self.maps.grid,
            "days": int(self.maps.days.size),
            "first_day": str(self.maps.days[0]),
            "last_day": str(self.maps.days[-1]),
            "missing_days": self.maps.missing_days,
            "filled_cells": self.maps.filled,
            "excluded_cells": self.maps.holes,
            "spectral_rows": int(rows.sum()),
            "excluded_rows": int((~rows).sum()),
            "truth_rms": float(np.sqrt(np.nanmean(self.maps.truth**2))),
            "comparable": mismatch is None,
            "not_comparable_because": mismatch,
        }

    def resolutions(self, protocol: Protocol) -> tuple[dict[str, Score], int | None]:
        """Return λ under a protocol and the number of polylines where it has a contour."""
        key = (protocol.window, protocol.rule, protocol.wavelength_unit)
        if key not in self._resolutions:
            obstacle = self._obstacle
            if obstacle is not None:
                unresolved = {
                    "lambda_x": Score(None, protocol.wavelength_unit, obstacle),
                    "lambda_t": Score(None, "day", obstacle),
                }
                self._resolutions[key] = unresolved, None
            else:
                self._resolutions[key] = self._resolve(protocol)
        return self._resolutions[key]

    def _resolve(self, protocol: Protocol) -> tuple[dict[str, Score], int | None]:
        lattice = self._spectrum(protocol.window)
        if protocol.rule == "first polyline":
            unit = protocol.wavelength_unit
            factor = protocol.unit_per_degree or self._box.km_per_degree_lon
            return legacy_resolutions(lattice, self._box, self.resampling, unit, factor)
        scores = first_crossing_resolutions(lattice, self._box, self.resampling)
        if self._rows.all():
            scores |= horizontal_resolutions(self._box, self.resampling)
        else:
            reason = "the box has holes; only zonal spectra leave out single rows"
            scores |= {name: Score(None, "km", reason) for name in ("lambda_y", "lambda_iso")}
        return scores, None

    @cached_property
    def _rows(self) -> np.ndarray:
        return complete_rows(self.maps.valid)

    @cached_property
    def _box(self) -> Box:
        rows = self._rows
        return Box(
            self.maps.truth[:, rows], self.maps.estimate[:, rows], self.maps.lat[rows],
            *self.maps.step,
        )  # fmt: skip

    def _spectrum(self, window: WindowName) -> Spectrum:
        return spectrum(
            truth=self._box.truth,
            estimate=self._box.estimate,
            window=window,
            step_degrees=self._box.step_lon,
        )

    @property
    def _obstacle(self) -> str | None:
        """Why there can be no space-time spectrum, or None."""
        days, columns = self.maps.days.size, self.maps.lon.size
        if np.any(np.diff(self.maps.days) != np.timedelta64(1, "D")):
            return "the days have gaps; a space-time spectrum needs consecutive days"
        if min(days, columns) < 5:
            return f"{days} days of {columns} columns are too few for a spectrum (5 and 5)"
        rows = self._rows
        if 2 * rows.sum() < rows.size:
            return f"only {rows.sum()} of {rows.size} latitude rows are without holes or land"
        if not np.any(self._box.truth != self._box.truth.flat[0]):
            return "the truth is constant"
        return None


def compare(
    *,
    truth: xr.DataArray,
    estimate: xr.DataArray,
    reference: xr.DataArray,
    margin_degrees: float,
    bootstrap_draws: int = 1000,
    bootstrap_block_days: int = 7,
    confidence: float = 0.95,
    seed: int,
) -> dict[str, Any]:
    """Return the change of RMSE from one method to another, with a paired interval.

    Only cells and days that both methods map count.

    Args:
        truth: one map a day in m, dims (time, lat, lon).
        estimate: maps of the method in question.
        reference: maps of the method it is compared with.
        margin_degrees: what is cut off each side of the truth's grid.
        bootstrap_draws: number of draws.
        bootstrap_block_days: length of the blocks of days.
        confidence: coverage of the intervals.
        seed: seed of the draws.

    Returns:
        As `bootstrap.paired_change`: "relative_rmse" (negative: `estimate` is better),
        "mse_difference", "better", "days", "cells".

    Raises:
        ValueError: the three have no day or no cell in common.
    """
    pair = [
        collocate(truth=truth, estimate=maps, margin_degrees=margin_degrees)
        for maps in (estimate, reference)
    ]
    days = np.intersect1d(pair[0].days, pair[1].days)
    kept = [np.isin(maps.days, days) for maps in pair]
    valid = pair[0].valid[kept[0]] & pair[1].valid[kept[1]]
    if not valid.any():
        raise ValueError("the two methods have no scored cell in common on any day")
    sums = [
        DailySums.of_maps(
            Sample(maps.truth[rows], maps.estimate[rows], valid), days, (SQUARED_ERROR,)
        )
        for maps, rows in zip(pair, kept, strict=True)
    ]
    resampling = Resampling(bootstrap_draws, bootstrap_block_days, confidence, seed)
    return paired_change(estimate=sums[0], reference=sums[1], resampling=resampling)
