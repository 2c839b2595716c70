"""Check the machinery where the truth is known to be a draw of the SPDE: an ocean with known Θ.

    python bench/gaussian_process_check.py --draws 8 --output results/gaussian-process-check.json

A truth of 121 days is drawn from the prior, sampled along real orbits and mapped. No map can have a
smaller error than the exact posterior under the true Θ, whose members are draws of the same law as
the truth; a wrong Θ must show, and Θ must be found again. Results: docs/uncertainty.md.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gaussian_process.maps import (
    FORECAST,
    MAPPING,
    climatology,
    deviations,
    exact_model,
    fitted_maps,
    posterior,
)
from gaussian_process.ocean import Ocean, draw_ocean, true_theta
from gaussian_process.scores import against_members, scores_of
from gaussian_process.theta import accuracy, moments_accuracy, most_likely_theta

from pipeline_spde.baselines.theta_model import ThetaModel
from pipeline_spde.files import write_json

WRONG: dict[str, dict[str, float]] = {
    "σ × 1.5": {"sigma": 1.5},
    "T × 3": {"time": 3.0},
    "m = 0": {"currents": 0.0},
    "all three": {"sigma": 1.5, "time": 3.0, "currents": 0.0},
}
LARGE_CELLS = 40  # per side, of the ocean on which moments are known well
LAGS = {"likelihood, 1 day": (1,), "likelihood, 1 and 3 days": (1, 3), "likelihood, 3 days": (3,)}


def check(options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Return scores, calibration and accuracy of Θ of one draw."""
    ocean = draw_ocean(options.cells, seed)
    model = exact_model(ocean, ocean.theta, options.shortest_km)
    maps = posterior(ocean, model)
    members = deviations(ocean, model, options.members, seed + 1000)
    scores = {"exact posterior": scores_of(ocean, maps)}
    fitted, _ = fitted_maps(ocean, MAPPING, options.shortest_km)
    scores |= {name: scores_of(ocean, one) for name, one in fitted.items()}
    scores["climatology"] = scores_of(ocean, climatology(ocean, model))
    for name, factors in WRONG.items():
        wrong = exact_model(ocean, true_theta(ocean.grid, **factors), options.shortest_km)
        scores[f"wrong Θ: {name}"] = scores_of(ocean, posterior(ocean, wrong))
    theta = moments(options, ocean, seed)
    known = most_likely_theta(ocean, (1,), shapes_known=True)
    theta["likelihood, 1 day, shapes known"] = accuracy(ocean, known)
    for name, lags in LAGS.items():
        estimate = most_likely_theta(ocean, lags)
        theta[name] = accuracy(ocean, estimate)
        found = exact_model(ocean, estimate, options.shortest_km)
        scores[f"Θ by {name}"] = scores_of(ocean, posterior(ocean, found))
    return {
        "mapping": scores,
        "members": {"exact posterior, members": scores_of(ocean, maps, members)},
        "forecast": forecast_scores(ocean, model, options.shortest_km),
        "calibration": against_members(ocean, maps, members),
        "theta": theta,
    }


def moments(options: argparse.Namespace, ocean: Ocean, seed: int) -> dict[str, Any]:
    """Return the accuracy of moments on this ocean, on one without currents and on a larger one."""
    still = draw_ocean(options.cells, seed, currents=0.0)
    large = draw_ocean(LARGE_CELLS, seed, currents=0.0)
    return {
        "moments": moments_accuracy(ocean, options.shortest_km),
        "moments, no currents": moments_accuracy(still, options.shortest_km),
        "moments, no currents, larger": moments_accuracy(large, 120.0),
    }


def forecast_scores(ocean: Ocean, model: ThetaModel, shortest_km: float) -> dict[str, Any]:
    """Return the scores of forecasts two days ahead."""
    maps = {"exact posterior": posterior(ocean, model, FORECAST)}
    maps |= fitted_maps(ocean, FORECAST, shortest_km)[0]
    maps["climatology"] = climatology(ocean, model)
    return {name: scores_of(ocean, one) for name, one in maps.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("pipeline_spde").setLevel(logging.WARNING)
    torch.set_num_threads(1)
    draws = []
    for seed in range(options.draws):
        draws.append(check(options, seed))
        logging.info("draw %d of %d done", seed + 1, options.draws)
        if options.output:
            settings = {k: str(v) for k, v in vars(options).items()}
            write_json(options.output, {"settings": settings, "draws": draws})
    for text in (
        score_table("mapping", draws), score_table("forecast", draws),
        calibration_table(draws), theta_table(draws),
    ):  # fmt: skip
        print(text, end="\n\n")


def score_table(task: str, draws: list[dict[str, Any]]) -> str:
    """Return the means over draws, and in how many of them the exact posterior is the best."""
    columns = ("coverage_50", "coverage_80", "coverage_90", "coverage_95")
    rows = [
        [task, "RMSE cm", "CRPS cm", "above the floor %", "best", "spread/skill", *columns],
    ]
    floor = np.mean([one[task]["exact posterior"]["crps"] for one in draws])
    for name in draws[0][task]:
        found = [one[task][name] for one in draws]
        rmse, crps = (100 * np.mean([one[key] for one in found]) for key in ("rmse", "crps"))
        best = sum(
            one["crps"] <= min(other["crps"] for other in draw[task].values())
            for one, draw in zip(found, draws, strict=True)
        )
        cells = [f"{rmse:.3f}", f"{crps:.3f}", f"{crps / floor - 100:.1f}", str(best)]
        rows.append([name, *cells, *(_mean(found, key) for key in ("spread_skill", *columns))])
    return _markdown(rows)


def calibration_table(draws: list[dict[str, Any]]) -> str:
    """Return the statistics of truth among members with their sampling errors."""
    rows = [["truth among members", "mean", "expected", "sd of one draw", "z of each draw"]]
    for name in draws[0]["calibration"]:
        found = [one["calibration"][name] for one in draws]
        z = [(one["value"] - one["expected"]) / one["sd"] for one in found]
        means = [_mean(found, key) for key in ("value", "expected", "sd")]
        rows.append([name, *means, " ".join(f"{value:+.1f}" for value in z)])
    return _markdown(rows)


def theta_table(draws: list[dict[str, Any]]) -> str:
    """Return bias and root mean square error of each number of Θ."""
    keys = list(dict.fromkeys(key for name in draws[0]["theta"] for key in draws[0]["theta"][name]))
    rows = [["Θ by", *keys]]
    for name in draws[0]["theta"]:
        cells = []
        for key in keys:
            values = np.array([one["theta"][name].get(key, np.nan) for one in draws])
            rms = np.sqrt(np.mean(values**2))
            cells.append("" if np.isnan(rms) else f"{values.mean():+.3f} ({rms:.3f})")
        rows.append([name, *cells])
    return _markdown(rows)


def _mean(found: list[dict[str, Any]], key: str) -> str:
    values = [one[key] for one in found if one.get(key) is not None]
    return f"{np.mean(values):.3f}" if values else ""


def _markdown(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("--draws", type=int, default=8, help="number of oceans")
    parser.add_argument("--cells", type=int, default=24, help="cells of 0.4 degrees per side")
    parser.add_argument("--members", type=int, default=40, help="of the ensemble")
    parser.add_argument("--shortest-km", type=float, default=100.0, help="of the basis")
    parser.add_argument("--output", type=Path, help="JSON file of all numbers")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
