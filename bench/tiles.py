"""Time and peak memory of maps in tiles against the size of the domain and the number of workers.

    python bench/tiles.py [--model state.ckpt] [--cells 256 512 1024] [--workers 1 2] [--profile]
        [--precisions 32-true bf16-mixed] [--output tiles.json]

Domains of 192 rows at 0.25 degrees and of as many columns as asked for are observed along simple
tracks. One day of each is mapped in one piece and in tiles of 4 x 4 patches of 64 x 64 cells, every
piece in a process of one thread of its own, as the workflow does it; peak memory is that of the
largest process. Exponents are those of a fit of log(time) or log(memory) to log(cells). The workers
are processes at once on the largest domain. Without --model the network has random weights.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pipeline_spde import io, tiling
from pipeline_spde.config import InferenceConfig, MapRequest, PatchConfig
from pipeline_spde.fields import GriddedObservations, daily_stamps
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period, Task

ROWS, DAY, WINDOW = 192, Period(start="2020-01-16", end="2020-01-16"), 9
METHOD, TASK = "4dvarnet", Task(name="mapping")
SOURCE = io.Provenance("bench/tiles.py", "0", 0)

CHILD = """
import resource, sys, time
started = time.perf_counter()
import torch
from pathlib import Path
from pipeline_spde import io, reconstruct
from pipeline_spde.config import MapRequest
from pipeline_spde.fields import Observations, Tracks
from pipeline_spde.periods import Task
torch.set_num_threads(1)
folder, name, request = Path(sys.argv[1]), sys.argv[2], MapRequest.model_validate_json(sys.argv[3])
files, task = (folder / "observations.nc", folder / "grid.nc"), Task(name="mapping")
loaded = time.process_time()
if name != "whole":
    maps = reconstruct.tile_from_files(name, *files, task, request, "4dvarnet")
else:
    import numpy as np
    grid, mean, _ = io.read_grid(files[1])
    gridded = io.read_observations(files[0], grid.land)
    none = np.zeros(0, np.float32)
    tracks = Tracks(time=np.zeros(0, "datetime64[ns]"), lat=none.astype(float),
        lon=none.astype(float), height=none, error=none, mission=none.astype(np.int8),
        missions=("saral",), pass_id=none.astype(np.int32), quantity="ssh", cross_track=none)
    maps = reconstruct.reconstruct(Observations(gridded, tracks, mean), grid, task, request)
io.write_maps(maps, folder / f"{name}.nc", io.Provenance("bench", "0", 0))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(time.process_time() - loaded, peak)
"""


def write_domain(folder: Path, columns: int) -> Grid:
    """Write gridded observations along slanted tracks, and the grid."""
    grid = Grid.from_bounds((10.0, 10.0 + ROWS / 4), (-179.0, -179.0 + columns / 4), 0.25)
    days = 2 * (WINDOW // 2) + 1
    time_axis = daily_stamps("2020-01-12", np.datetime64("2020-01-12") + days - 1)
    y, x = np.mgrid[:ROWS, :columns]
    line = np.stack([(x + y // 3 + 17 * day) % 60 == 0 for day in range(days)])
    rng = np.random.default_rng(0)
    height = np.where(line, 0.1 * rng.standard_normal(line.shape), 0).astype(np.float32)
    error = np.where(line, 0.02, np.inf).astype(np.float32)
    gridded = GriddedObservations(
        time_axis, grid, height, line, line.astype(np.int32), error, "ssh"
    )
    io.write_observations(gridded, ("saral",), folder / "observations.nc", SOURCE)
    io.write_grid(grid, np.zeros(grid.shape), np.ones(grid.shape), folder / "grid.nc", SOURCE)
    return grid


def random_model(path: Path) -> Path:
    """Write a network of random weights, of the size of config/global_duacs.yaml."""
    from pipeline_spde.assimilation.checkpoint import StateCheckpoint
    from pipeline_spde.assimilation.state_solver import StateSolver
    from pipeline_spde.config import StateModelConfig

    config = StateModelConfig(window_days=WINDOW, hidden=32, prior_hidden=32)
    solver = StateSolver(config, (27.8, 22.0))
    StateCheckpoint(
        model=config, weights=solver.state_dict(), task="mapping", mean=0.0, std=0.1,
        spacing_km=solver.spacing_km, seed=0, config_hash="0", version="bench",
    ).save(path)  # fmt: skip
    return path


def run(folder: Path, name: str, request: MapRequest) -> tuple[float, float]:
    """Return (processor seconds after the imports, peak memory in MiB) of one piece."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), name, request.model_dump_json()],
        env={**os.environ, **threads}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds, peak = done.stdout.split()[-2:]
    return float(seconds), float(peak)


def by_workers(folder: Path, names: list[str], request: MapRequest, workers: int) -> float:
    """Return the wall time of all tiles with so many processes at once."""
    started = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda name: run(folder, name, request), names))
    return time.perf_counter() - started


def exponent(cells: list[int], values: list[float]) -> float:
    return float(np.polyfit(np.log(cells), np.log(values), 1)[0])


def profile(folder: Path, name: str, request: MapRequest) -> str:
    """Return what a tile spends its time on."""
    import torch
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as watch

    from pipeline_spde import reconstruct

    torch.set_num_threads(1)
    files = (folder / "observations.nc", folder / "grid.nc")
    with watch(activities=[ProfilerActivity.CPU]) as found:
        reconstruct.tile_from_files(name, *files, TASK, request, METHOD)
    return str(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=14))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--cells", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--precisions", nargs="+", default=["32-true"])
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    result: dict = {"domains": [], "workers": {}, "precision": {}}
    with tempfile.TemporaryDirectory() as scratch:
        model = arguments.model or random_model(Path(scratch) / "state.ckpt")
        for columns in arguments.cells:
            folder = Path(scratch) / str(columns)
            folder.mkdir()
            grid = write_domain(folder, columns)
            request = MapRequest(
                period=DAY,
                patches=PatchConfig(lat=64, lon=64, stride_lat=48, stride_lon=48),
                checkpoint=model,
                inference=InferenceConfig(tile_patches=(4, 4), tile_days=1),
            )
            names = [tile.name for tile in tiling.tiles_of(grid, request)]
            whole = run(folder, "whole", request)
            tiles = [run(folder, name, request) for name in names]
            paths = [folder / f"{name}.nc" for name in names]
            tiling.write_gathered(
                paths, folder / "grid.nc", request, None, folder / "maps.nc", SOURCE
            )
            joined, one = (io.read_maps(folder / f"{n}.nc").height for n in ("maps", "whole"))
            row = {
                "cells": ROWS * columns, "tiles": len(names), "whole_s": whole[0],
                "whole_mib": whole[1], "tiles_s": sum(t[0] for t in tiles),
                "tile_mib": max(t[1] for t in tiles),
                "largest_difference_m": float(np.abs(joined - one).max()),
            }  # fmt: skip
            result["domains"].append(row)
            print(json.dumps(row), flush=True)
        cells = [row["cells"] for row in result["domains"]]
        for key in ("whole_s", "tiles_s", "whole_mib", "tile_mib"):
            values = [row[key] for row in result["domains"]]
            result[f"exponent_{key}"] = exponent(cells, values) if len(cells) > 1 else None
        for precision in arguments.precisions:
            own = request.inference.model_copy(update={"precision": precision})
            found = run(folder, names[0], request.model_copy(update={"inference": own}))
            result["precision"][precision] = found[0]
        for workers in arguments.workers:
            result["workers"][workers] = by_workers(folder, names, request, workers)
        if arguments.profile:
            print(profile(folder, names[0], request))
    print(json.dumps({key: value for key, value in result.items() if key != "domains"}, indent=1))
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
