"""One day of the whole globe at 0.25 degrees (720 x 1440 cells), mapped on a CPU or a GPU.

    python bench/globe_day.py [--model state.ckpt] [--workers 1 2] [--precisions 32-true bf16-mixed]

Land is that of the package, ice covers what lies poleward of 66 degrees; one cell in 13 is observed
each day, as by four altimeters. The window is that of the model; patches have 64 x 64 cells, one
every 48. The day is mapped in one process of one thread, and in tiles of 4 x 8 patches by as many
processes at once as there are workers. Without --model the network has random weights.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from tiles import DAY, SOURCE, WINDOW, by_workers, random_model, run

from pipeline_spde import io, tiling
from pipeline_spde.config import InferenceConfig, MapRequest, PatchConfig
from pipeline_spde.fields import GriddedObservations, daily_stamps
from pipeline_spde.grids import Grid
from pipeline_spde.land import land_mask

ICE = 66.0  # degrees


def write_globe(folder: Path) -> Grid:
    """Write gridded observations along slanted tracks, and the grid."""
    lat, lon = -90 + 0.25 * (np.arange(720) + 0.5), -180 + 0.25 * (np.arange(1440) + 0.5)
    land = land_mask(lat, lon) | (np.abs(lat) > ICE)[:, None]
    grid = Grid.latlon(lat, lon, land, periodic=True)
    days = 2 * (WINDOW // 2) + 1
    y, x = np.mgrid[:720, :1440]
    line = np.stack([(x + y // 3 + 17 * day) % 13 == 0 for day in range(days)]) & grid.ocean
    height = np.random.default_rng(0).normal(0, 0.1, line.shape)
    gridded = GriddedObservations(
        daily_stamps("2020-01-12", np.datetime64("2020-01-12") + days - 1),
        grid,
        np.where(line, height, 0).astype(np.float32),
        line,
        line.astype(np.int32),
        np.where(line, 0.02, np.inf).astype(np.float32),
        "ssh",
    )
    io.write_observations(gridded, ("saral",), folder / "observations.nc", SOURCE)
    io.write_grid(grid, np.zeros(grid.shape), np.ones(grid.shape), folder / "grid.nc", SOURCE)
    return grid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--precisions", nargs="+", default=["32-true"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        grid = write_globe(folder)
        request = MapRequest(
            period=DAY,
            patches=PatchConfig(lat=64, lon=64, stride_lat=48, stride_lon=48),
            checkpoint=arguments.model or random_model(folder / "state.ckpt"),
            inference=InferenceConfig(tile_patches=(4, 8), tile_days=1),
        )
        names = [tile.name for tile in tiling.tiles_of(grid, request)]
        print(json.dumps({"ocean_cells": int(grid.ocean.sum()), "tiles": len(names)}))
        for precision in arguments.precisions:
            inference = request.inference.model_copy(update={"precision": precision})
            own = request.model_copy(update={"inference": inference})
            started = time.perf_counter()
            seconds, mib = run(folder, "whole", own)
            wall = time.perf_counter() - started
            print(json.dumps({"precision": precision, "one_job": {
                "processor_s": seconds, "wall_s_with_start": wall, "peak_mib": mib,
            }}))  # fmt: skip
            for workers in arguments.workers:
                wall = by_workers(folder, names, own, workers)
                print(json.dumps({"precision": precision, "workers": workers, "wall_s": wall}))
        paths = [folder / f"{name}.nc" for name in names]
        started = time.perf_counter()
        tiling.write_gathered(paths, folder / "grid.nc", request, None, folder / "m.nc", SOURCE)
        print(json.dumps({"joined_in_s": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
