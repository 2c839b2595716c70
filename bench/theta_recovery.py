"""What a network finds of the parameters of a random ocean, against those it was drawn with.

    python bench/theta_recovery.py config/north_atlantic.yaml basin \
        results/north_atlantic/maps/basin/mapping/4dvarnet_spde.nc

For an ocean of `source: spde` σ, both ranges, the decorrelation time and the currents are known at
every cell. Printed for each: means over the ocean cells and the mapped days, true and found, the
correlation of the two maps (of their logarithms, except for currents), and the root mean square of
the logarithm of their ratio (currents: of the difference, km/day).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from pipeline_spde.config import load_files
from pipeline_spde.data.spde_ocean import ocean_parameters
from pipeline_spde.files import load_netcdf
from pipeline_spde.grids import Grid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("domain")
    parser.add_argument("maps", type=Path)
    arguments = parser.parse_args()
    config = load_files(Path("config.yaml"), arguments.config)
    data = load_netcdf(arguments.maps).mean("time")
    grid = Grid.latlon(data["lat"].values, data["lon"].values)
    margin = config.domains[arguments.domain].evaluation_margin
    inside = np.zeros(grid.shape, bool)
    inside[grid.inside(margin)] = True
    ocean = np.isfinite(data["sigma"].values) & inside
    true = ocean_parameters(grid, config.ocean)
    east, north = true.range_east, true.range_north
    found = {name: data[name].values[ocean] for name in data}
    mean_range = np.sqrt(found["range_major"] * found["range_minor"])
    rows = {
        "sigma, m": (true.sigma, found["sigma"]),
        "mean range, km": (np.sqrt(east * north), mean_range),
        "decorrelation time, days": (true.decorrelation_time, found["decorrelation_time"]),
    }
    print("| parameter | true | found | correlation | rms of log ratio or difference |")
    print("| --- | --- | --- | --- | --- |")
    for name, (field, own) in rows.items():
        truth = np.broadcast_to(field, grid.shape)[ocean]
        ratio = np.log(own / truth)
        line(name, truth, own, np.corrcoef(np.log(truth), np.log(own))[0, 1], ratio)
    for name in ("m_east", "m_north"):
        truth = np.broadcast_to(getattr(true, name), grid.shape)[ocean]
        own = found[name]
        line(f"{name}, km/day", truth, own, np.corrcoef(truth, own)[0, 1], own - truth)


def line(name: str, truth: np.ndarray, own: np.ndarray, r: float, misfit: np.ndarray) -> None:
    rms = float(np.sqrt(np.mean(misfit**2)))
    print(f"| {name} | {truth.mean():.3g} | {own.mean():.3g} | {r:.2f} | {rms:.2f} |")


if __name__ == "__main__":
    main()
