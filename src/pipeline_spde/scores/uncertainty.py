"""The probabilistic part of a score file: of members, of a Gaussian, or of maps alone.

Every score is given for the raw and, where there is one, the calibrated version, side by side; the
scores that tables quote are those of the calibrated version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from pipeline_spde.scores import calibration, spread_correlation
from pipeline_spde.scores.bootstrap import Resampling
from pipeline_spde.scores.ensemble import (
    CALIBRATED,
    RAW,
    Ensemble,
    Estimate,
    GaussianMaps,
    PlainMaps,
    estimate_of,
)
from pipeline_spde.scores.point_scores import LEVELS
from pipeline_spde.scores.probabilistic import (
    CRPS,
    SPREAD,
    Verification,
    judged_places,
    mean_scores,
    percent,
    verify,
)
from pipeline_spde.scores.regional import RegionalSums
from pipeline_spde.scores.regrid import as_cube
from pipeline_spde.scores.spread_spectrum import SpreadSpectrum
from pipeline_spde.scores.statistic import Array, Metric, finite_or_none
from pipeline_spde.scores.targets import MapTarget, Target

QUOTED = (
    "crps",
    "spread_skill",
    *(percent("coverage", level) for level in LEVELS),
    "crpss_oi",
    "crpss_deterministic",
    "error_spread_correlation",
    "daily_spread_error_correlation",
)


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """What maps say about their own error, and what they are measured against.

    Attributes:
        estimate: members, Gaussian or plain maps.
        reference: maps with a standard deviation whose CRPS is the reference of `crpss_oi`.
    """

    estimate: Estimate
    reference: GaussianMaps | None

    @classmethod
    def of(
        cls,
        estimate: xr.DataArray,
        std: xr.DataArray | None,
        ensemble: xr.Dataset | None,
        reference: xr.Dataset | None,
    ) -> Uncertainty:
        """Return what is judged: the ensemble if there is one, else maps with their std, or maps.

        Args:
            estimate: the maps in m.
            std: standard deviation of their error in m, or None.
            ensemble: Dataset in the layout that `ensemble` describes, or None.
            reference: maps with a standard deviation (the tuned OI), or None.
        """
        judged: Estimate
        if ensemble is not None:
            judged = estimate_of(ensemble)
        elif std is not None:
            judged = GaussianMaps.of_arrays(estimate, std)
        else:
            judged = PlainMaps(as_cube(estimate, "estimate"))
        return cls(judged, None if reference is None else GaussianMaps.of(reference))

    def scored(
        self,
        target: Target,
        resampling: Resampling,
        weights: Mapping[str, Array] | None = None,
    ) -> ScoredUncertainty:
        """Return all scores at a target; the members are read once, day by day.

        Args:
            target: where and when.
            resampling: how confidence intervals are made.
            weights: region -> weight of each cell (lat, lon) of a target of maps.
        """
        judged = judged_places(target, self.estimate)
        spectra = None
        if isinstance(target, MapTarget) and isinstance(self.estimate, Ensemble):
            valid = np.array(judged)
            spectra = {
                version: SpreadSpectrum(valid, target.lat, target.step)
                for version in self.estimate.versions
            }
        regional = None
        if weights:
            regional = {v: RegionalSums(target.days, weights) for v in self.estimate.versions}
        found = verify(
            target, self.estimate, self.reference, judged, resampling.seed, spectra, regional
        )
        return ScoredUncertainty(self.estimate, found, spectra, resampling, regional)


@dataclass(frozen=True, eq=False)
class ScoredUncertainty:
    """The verification of an estimate, ready to be written.

    Attributes:
        estimate: what was judged.
        found: version -> verification.
        spectra: version -> spectra of spread and error, where there are any.
        resampling: how intervals are made.
        regional: version -> sums by region, where regions were given.
    """

    estimate: Estimate
    found: dict[str, Verification]
    spectra: dict[str, SpreadSpectrum] | None
    resampling: Resampling
    regional: Mapping[str, RegionalSums] | None = None

    @property
    def quoted_regions(self) -> RegionalSums | None:
        """The sums by region of the version that tables quote."""
        if self.regional is None:
            return None
        return self.regional.get(CALIBRATED, self.regional[RAW])

    @property
    def excluded(self) -> int:
        """Places with a truth and a map, but without a spread."""
        return self.found[RAW].excluded

    def to_json(self) -> dict[str, Any]:
        """Return "probabilistic" and, where there is a spread, the quoted scores beside it."""
        versions = {name: self._scores(found) for name, found in self.found.items()}
        curves = {name: self._curves(name) for name, found in self.found.items() if found.ranks}
        content = {
            "kind": self.estimate.kind,
            "members": self.estimate.size,
            "crps_estimator": self.estimate.estimator,
            "points": int(self.found[RAW].count.sum()),
            "excluded_points": self.excluded,
            RAW: versions[RAW],
            CALIBRATED: versions.get(CALIBRATED),
        }
        for kind in ("rank_histogram", "binned", "spectral", "retain") if curves else ():
            content[kind] = {name: parts[kind] for name, parts in curves.items()}
        quoted = versions.get(CALIBRATED) or versions[RAW]
        top = {name: quoted[name] for name in QUOTED if name in quoted} if curves else {}
        return {**top, "probabilistic": content}

    def _scores(self, found: Verification) -> dict[str, Any]:
        scores = mean_scores(found, self.estimate.size, self.resampling)
        if found.ranks:
            scores |= spread_correlation.correlations(found, self.resampling)
        return {name: score.to_json() for name, score in scores.items()}

    def _curves(self, version: str) -> dict[str, Any]:
        found = self.found[version]
        spectral = {"reason": "only members on cells without holes have a spectrum of spread"}
        if self.spectra is not None:
            spectral = self.spectra[version].to_json(self.resampling)
        return {
            "rank_histogram": calibration.rank_histogram(found)
            | {"of": "ranks" if self.estimate.kind == "ensemble" else "PIT"},
            "binned": calibration.binned(found, self.resampling),
            "spectral": spectral,
            "retain": calibration.retained(found),
        }

    def daily(self, days: list[str]) -> dict[str, list[float | None]]:
        """Return the columns of the daily series on the given days; {} without a spread.

        `crps` is that of the quoted version.
        """
        if not self.found[RAW].ranks:
            return {}
        quoted = self.found.get(CALIBRATED, self.found[RAW])
        columns = {
            "crps": _daily(CRPS, quoted, days),
            "spread": _daily(SPREAD, self.found[RAW], days),
        }
        if CALIBRATED in self.found:
            columns["spread_calibrated"] = _daily(SPREAD, self.found[CALIBRATED], days)
        return columns


def _daily(metric: Metric, found: Verification, days: list[str]) -> list[float | None]:
    values, defined = metric.daily(found.daily_sums)
    known = {str(day): v for day, v, ok in zip(found.days, values, defined, strict=True) if ok}
    return [finite_or_none(known.get(day, np.nan)) for day in days]
