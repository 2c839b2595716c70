"""Scores of maps that do not fit into memory: pooled over blocks of days, nothing loaded whole.

RMSE, µ, σ, CRPS, spread/skill and coverage are functions of daily sums, which need a day at a time:
their values are those of `score_maps`. Spectra need the whole period in memory and are left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline_spde.files import DataError
from pipeline_spde.scores.bootstrap import Resampling, score_with_interval
from pipeline_spde.scores.collocation import Collocation, NothingInCommonError, collocate
from pipeline_spde.scores.probabilistic import Verification, judged_places, mean_scores, verify
from pipeline_spde.scores.protocols import PROTOCOLS, Protocol
from pipeline_spde.scores.regrid import around
from pipeline_spde.scores.rmse import MU, RMSE, SIGMA
from pipeline_spde.scores.statistic import DailySums, Score, unique_statistics
from pipeline_spde.scores.targets import MapTarget
from pipeline_spde.scores.uncertainty import QUOTED, Uncertainty
from pipeline_spde.verification.estimate import arguments
from pipeline_spde.verification.gridded import MapFiles
from pipeline_spde.verification.request import Scoring

logger = logging.getLogger(__name__)

_COPIES = 8  # arrays of the size of a day that exist at once while a day is scored


@dataclass(eq=False)
class _Tally:
    """What is kept of the blocks under one treatment of times and holes."""

    sums: list[DailySums] = field(default_factory=list)
    filled: int = 0
    holes: int = 0
    grid: str = ""

    def add(self, maps: Collocation) -> None:
        statistics = unique_statistics((MU, SIGMA, RMSE))
        self.sums.append(DailySums.of_maps(maps.sample(), maps.days, statistics))
        self.filled += maps.filled
        self.holes += maps.holes
        self.grid = maps.grid

    def joined(self) -> DailySums:
        return DailySums(
            np.concatenate([part.days for part in self.sums]),
            np.concatenate([part.count for part in self.sums]),
            {
                name: np.concatenate([part.sums[name] for part in self.sums])
                for name in self.sums[0].sums
            },
        )


def score_in_blocks(
    maps: MapFiles, truth: MapFiles, protocols: Sequence[str], scoring: Scoring, reason: str
) -> dict[str, Any]:
    """Return the pooled scores in the layout of `score_maps`; λ is left out for a reason.

    Args:
        maps: the maps, with members or a standard deviation or without.
        truth: maps of the truth.
        protocols: names from `PROTOCOLS`.
        scoring: how to score.
        reason: why the maps are not scored whole.

    Raises:
        NothingInCommonError: truth and maps share no day or no cell.
    """
    chosen = [PROTOCOLS[name] for name in protocols]
    tallies: dict[tuple[str, str], _Tally] = {}
    found: dict[str, list[Verification]] = {}
    uncertainty: Uncertainty | None = None
    problem: NothingInCommonError | None = None
    for block, kept in _blocks(maps, truth, scoring):
        try:
            plain = _collocated(block, kept["estimate"], scoring, "interpolate")
        except NothingInCommonError as error:
            problem = error
            continue
        tallies.setdefault(("interpolate", "exclude"), _Tally()).add(plain)
        for times, holes in {(p.times, p.holes) for p in chosen} - {("interpolate", "exclude")}:
            try:
                case = _collocated(block, kept["estimate"], scoring, times)
            except NothingInCommonError:
                continue
            case = case.with_holes_filled() if holes == "fill" else case
            tallies.setdefault((times, holes), _Tally()).add(case)
        uncertainty = Uncertainty.of(kept["estimate"], kept["std"], kept["ensemble"], None)
        _judge(uncertainty, MapTarget(plain), scoring.seed, found)
    if uncertainty is None:
        raise problem or NothingInCommonError(
            f"no day in common: the truth holds {truth.days[0]} … {truth.days[-1]}, the maps "
            f"{maps.days[0]} … {maps.days[-1]}"
        )
    resampling = Resampling(scoring.draws, scoring.block_days, scoring.confidence, scoring.seed)
    days = int(truth.days.size)
    results = {
        p.name: _protocol(p, tallies.get((p.times, p.holes)), days, resampling, reason)
        for p in chosen
    }
    content = {"protocols": results, "daily": _daily(tallies["interpolate", "exclude"].joined())}
    return content | _probabilistic(uncertainty, found, resampling, reason)


def _blocks(
    maps: MapFiles, truth: MapFiles, scoring: Scoring
) -> Iterator[tuple[xr.DataArray, dict[str, Any]]]:
    """Yield (truth, arguments of the maps around it) of blocks of days, each in memory."""
    lazy, true = maps.dataset(), truth.dataset()[truth.quantity]
    first, last = maps.days[0], maps.days[-1]
    kept = np.flatnonzero((truth.days >= first) & (truth.days <= last))
    a_day = _COPIES * (truth.day_bytes + maps.day_bytes)
    if a_day > scoring.allowed_bytes():
        raise DataError(
            f"{truth.survey.where}: scoring one day needs about {a_day / 2**30:.2g} GiB, "
            f"{scoring.allowed_bytes() / 2**30:.2g} GiB are allowed; choose a smaller box"
        )
    size = max(1, min(kept.size, scoring.allowed_bytes() // a_day - 1))
    for start in range(0, kept.size, size):
        block = true.isel(time=kept[start : start + size]).load()
        stamps = block["time"].values
        needed = around(lazy["time"], stamps[0], stamps[-1])
        yield block, arguments(maps, lazy.sel(time=needed).load())


def _collocated(
    truth: xr.DataArray, estimate: xr.DataArray, scoring: Scoring, times: Any
) -> Collocation:
    return collocate(
        truth=truth, estimate=estimate, margin_degrees=scoring.margin_degrees, times=times
    )


def _judge(
    uncertainty: Uncertainty, target: MapTarget, seed: int, found: dict[str, list[Verification]]
) -> None:
    """Add the sums of a block of days; its points are not kept."""
    judged = judged_places(target, uncertainty.estimate)
    if not any(valid.any() for valid in judged):
        return
    for version, part in verify(target, uncertainty.estimate, None, judged, seed).items():
        part.points = {}
        found.setdefault(version, []).append(part)


def _protocol(
    protocol: Protocol, tally: _Tally | None, days: int, resampling: Resampling, reason: str
) -> dict[str, Any]:
    left_out = {
        "lambda_x": Score(None, protocol.wavelength_unit, reason),
        "lambda_t": Score(None, "day", reason),
    }
    if tally is None:
        nothing = "no map of the same calendar day as the truth"
        metrics = (MU, RMSE, SIGMA)
        scores = {m.name: Score(None, m.unit, nothing) for m in metrics} | left_out
        return {
            "version": protocol.version,
            **{name: score.to_json() for name, score in scores.items()},
            "grid": "–", "days": 0, "first_day": "–", "last_day": "–", "missing_days": days,
            "comparable": False, "not_comparable_because": nothing,
        }  # fmt: skip
    sums = tally.joined()
    scores = {m.name: score_with_interval(m, sums, resampling) for m in (MU, RMSE)}
    scores["sigma"] = (
        score_with_interval(SIGMA, sums, resampling)
        if protocol.has_sigma
        else Score(None, "1", f"{protocol.name} defines no σ")
    )
    squared = float(sums.means()["squared_truth"])
    return {
        "version": protocol.version,
        **{name: score.to_json() for name, score in (scores | left_out).items()},
        "window": protocol.window,
        "rule": protocol.rule,
        "grid": tally.grid,
        "days": int(sums.days.size),
        "first_day": str(sums.days[0]),
        "last_day": str(sums.days[-1]),
        "missing_days": days - int(sums.days.size),
        "filled_cells": tally.filled,
        "excluded_cells": tally.holes,
        "truth_rms": float(np.sqrt(squared)),
        "comparable": False,
        "not_comparable_because": "scored in blocks of days, without λ",
    }


def _daily(sums: DailySums) -> dict[str, list[Any]]:
    score, defined = MU.daily(sums)
    rmse, _ = RMSE.daily(sums)
    return {
        "time": [str(day) for day in sums.days[defined]],
        "score": score[defined].tolist(),
        "rmse": rmse[defined].tolist(),
    }


def _probabilistic(
    uncertainty: Uncertainty,
    found: dict[str, list[Verification]],
    resampling: Resampling,
    reason: str,
) -> dict[str, Any]:
    """Return the scores of the maps' uncertainty in the layout of `Uncertainty.to_json`."""
    if not found:
        raise DataError("the maps have no spread on any scored cell; is the variable all missing?")
    joined = {version: _joined(parts) for version, parts in found.items()}
    estimate = uncertainty.estimate
    scores = {
        version: {
            name: score.to_json()
            for name, score in mean_scores(part, estimate.size, resampling).items()
        }
        for version, part in joined.items()
    }
    quoted = scores.get("calibrated") or scores["raw"]
    has_spread = joined["raw"].ranks > 0
    return {
        **({name: quoted[name] for name in QUOTED if name in quoted} if has_spread else {}),
        "probabilistic": {
            "kind": estimate.kind,
            "members": estimate.size,
            "crps_estimator": estimate.estimator,
            "points": int(joined["raw"].count.sum()),
            "excluded_points": joined["raw"].excluded,
            "raw": scores["raw"],
            "calibrated": scores.get("calibrated"),
            "curves_left_out": reason,
        },
    }


def _joined(parts: Sequence[Verification]) -> Verification:
    days: NDArray[np.datetime64] = np.concatenate([part.days for part in parts])
    return Verification(
        days,
        np.concatenate([part.count for part in parts]),
        {name: np.concatenate([p.sums[name] for p in parts]) for name in parts[0].sums},
        ranks=parts[0].ranks,
        excluded=sum(part.excluded for part in parts),
    )
