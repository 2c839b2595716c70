"""Scores of maps and members, and the sampling error of everything that tells calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gaussian_process.ocean import Ocean
from pipeline_spde.fields import Maps
from pipeline_spde.scores import score_maps
from pipeline_spde.scores.point_scores import LEVELS, of_members

Array = NDArray[np.float64]

_POINTS = 6000  # of the comparison with members


def scores_of(
    ocean: Ocean, maps: Maps, members: NDArray[np.float32] | None = None
) -> dict[str, Any]:
    """Return the probabilistic scores of maps, or of members around them."""
    data = maps.to_dataset()
    ensemble = None if members is None else ensemble_of(data, members)
    found = score_maps(
        truth=ocean.true_maps().to_dataset()["ssh"], estimate=data["ssh"],
        std=data.get("ssh_std"), ensemble=ensemble, protocols=("ssh-v1",), margin_degrees=0.0,
        bootstrap_draws=200, seed=0,
    )["probabilistic"]  # fmt: skip
    values = {name: score["value"] for name, score in found["raw"].items()}
    if "rank_histogram" in found:
        values["rank_p_value"] = found["rank_histogram"]["raw"]["chi_square"]["p_value"]
        values["independent_points"] = found["rank_histogram"]["raw"]["independent_points"]
    return values


def ensemble_of(data: xr.Dataset, members: NDArray[np.float32]) -> xr.Dataset:
    """Return maps and deviations of members in the layout of ensemble files."""
    values = data["ssh"].values[None] + np.moveaxis(members, 1, 0)
    spread = data["ssh"].copy(data=members.std(axis=1, ddof=1))
    fields = {"ssh_mean": data["ssh"], "ssh_std": spread}
    fields["ssh"] = (("realization", *data["ssh"].dims), values)
    return xr.Dataset(fields, attrs={"quantity": "ssh"})


def against_members(ocean: Ocean, maps: Maps, members: NDArray[np.float32]) -> dict[str, Any]:
    """Return statistics of the truth among the members, and of each member among the others.

    Given the observations, truth − mean and the deviations are draws of one law if the posterior is
    the right one: whatever is computed of them has the same distribution. That is the sampling
    error of the statistic, without any assumption about how many points are independent.
    """
    rng = np.random.default_rng(0)
    error = ocean.true_maps().height - maps.height
    day, row, column = np.unravel_index(
        np.sort(rng.choice(error.size, min(_POINTS, error.size), replace=False)), error.shape
    )
    draws = members[day, :, row, column].astype(np.float64).T
    own = _statistics(error[day, row, column].astype(np.float64), draws, rng)
    others = [
        _statistics(draws[k], np.delete(draws, k, axis=0), rng) for k in range(draws.shape[0])
    ]
    found = {}
    for name, value in own.items():
        values = np.array([one[name] for one in others])
        found[name] = {
            "value": value, "expected": float(values.mean()), "sd": float(values.std(ddof=1))
        }  # fmt: skip
    return found


def _statistics(truth: Array, draws: Array, rng: np.random.Generator) -> dict[str, float]:
    """Return spread/skill, coverages and reliability index of draws about zero."""
    found = of_members(truth, draws, rng)
    assert found.variance is not None and found.rank is not None
    shares = np.bincount(found.rank, minlength=found.ranks) / truth.size
    values = {"spread_skill": float(np.sqrt(found.variance.mean() / np.mean(truth**2)))}
    values |= {
        f"coverage_{round(100 * level)}": float(found.covered[level].mean())
        for level in LEVELS
        if level in found.covered
    }
    return values | {"reliability_index": float(np.abs(shares - 1 / found.ranks).sum())}
