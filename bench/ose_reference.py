"""Score maps on the very CryoSat-2 points of which a plain interpolation is known to reach 6.9 cm.

    python bench/ose_reference.py results/gulfstream_ose/maps/gulfstream_2022/mapping/*.nc \
        --tracks results/gulfstream_ose/data/gulfstream_2022/tracks.nc

A Gaussian-covariance OI of SARAL and Sentinel-3A (1.2 degrees, 10 days, noise of 5 cm) was compared
with CryoSat-2 in 33-43° N, 65-55° W on every second day of the days 95 to 180 of 2022. These are
the even ones: 928 points on 6 days. The experiment itself scores every day of days 92 to 182, which
hold rougher water, so its numbers and the known one do not compare; those of this table do.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_spde.fields import Tracks
from pipeline_spde.files import load_netcdf, write_json
from pipeline_spde.io import read_tracks
from pipeline_spde.scores.along_track import PROTOCOL, score_tracks

MISSION = "cryosat2"
YEAR = 2022
DAYS = (95, 180)  # first and last day of the year, 1 January being day 1
EVERY = 2
KNOWN: dict[str, Any] = {
    "points": 928, "days": 6, "rmse": 0.069, "rms_data": 0.220, "mu": 0.685, "correlation": 0.951,
}  # fmt: skip
_COLUMNS = ("method", "points", "days", "rms of data, cm", "RMSE, cm", "score", "correlation")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    points = reference_points(read_tracks(options.tracks).of_missions((MISSION,)))
    scores = {path.stem: score(path, points, options) for path in options.maps}
    print(table({"a plain OI (known)": KNOWN} | scores))
    if options.output:
        write_json(options.output, {"known": KNOWN, "methods": scores})


def reference_points(tracks: Tracks) -> Tracks:
    """Return the samples of every second day of the days of the known result."""
    first = np.datetime64(f"{YEAR}-01-01", "D")
    day = (tracks.time.astype("datetime64[D]") - first).astype(int) + 1
    return tracks.select((day >= DAYS[0]) & (day <= DAYS[1]) & (day % EVERY == 0))


def score(maps: Path, points: Tracks, options: argparse.Namespace) -> dict[str, Any]:
    """Return the scores of a file of maps on the points, as `ssh-ose-v1` has them."""
    data = load_netcdf(maps)
    found = score_tracks(
        time=points.time,
        lat=points.lat,
        lon=points.lon,
        height=points.height,
        estimate=data[data.attrs["quantity"]],
        margin_degrees=options.margin,
        bootstrap_block_days=1,  # six days, weeks apart
        seed=options.seed,
    )["protocols"][PROTOCOL]
    if found["points"] != KNOWN["points"]:
        logging.warning(
            "%s: %d points lie between maps and in the box, the known result has %d: not like "
            "with like", maps, found["points"], KNOWN["points"],
        )  # fmt: skip
    return dict(found)


def table(scores: dict[str, dict[str, Any]]) -> str:
    """Return a Markdown table, one row a method."""
    rows = [_COLUMNS, ("---",) * len(_COLUMNS)]
    for name, found in scores.items():
        rms, rmse = (_text(found[key], 100, 2) for key in ("rms_data", "rmse"))
        others = (_text(found[key], 1, 3) for key in ("mu", "correlation"))
        rows.append((name, str(found["points"]), str(found["days"]), rms, rmse, *others))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _text(found: Any, factor: float, digits: int) -> str:
    """Return a number, or a score with its interval where it has them."""
    if not isinstance(found, dict):
        return f"{factor * found:.{digits}f}"
    if found["value"] is None:
        return "undefined"
    text = f"{factor * found['value']:.{digits}f}"
    if None in found["interval"]:
        return text
    low, high = (f"{factor * bound:.{digits}f}" for bound in found["interval"])
    return f"{text} [{low}, {high}]"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("maps", nargs="+", type=Path, help="files of maps, one a method")
    parser.add_argument("--tracks", required=True, type=Path, help="tracks.nc of the domain")
    parser.add_argument("--margin", type=float, default=1.0, help="degrees cut off each side")
    parser.add_argument("--seed", type=int, default=2020, help="of the bootstrap draws")
    parser.add_argument("--output", type=Path, help="JSON file of all scores")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
