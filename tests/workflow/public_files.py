"""Small files under the names that the configurations with data of their own look for."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import xarray as xr

from pipeline_spde.config import ObservationConfig
from pipeline_spde.data import export, observe
from pipeline_spde.fields import Maps, daily_stamps
from pipeline_spde.grids import Grid
from pipeline_spde.periods import Period

NADIRS = {"topex_interleaved": "tpn", "jason1": "j1", "geosat_follow_on": "g2", "envisat": "en"}
YEAR = Period(start="2012-10-01", end="2013-09-30")


def write_mediterranean(folder: Path) -> None:
    """Copernicus Marine tracks of four missions, a sample each half hour, and a mean topography."""
    rng = np.random.default_rng(2021)
    time = np.arange("2021-01-01", "2021-04-01", 30, dtype="datetime64[m]").astype("datetime64[ns]")
    for code in ("alg", "j3", "s3a", "s3b"):
        columns = {
            "latitude": ("time", rng.uniform(36, 44.8, time.size), {"units": "degrees_north"}),
            "longitude": ("time", rng.uniform(0, 16, time.size), {"units": "degrees_east"}),
            "sla_unfiltered": ("time", rng.normal(0, 0.1, time.size), {"units": "m"}),
            "mdt": ("time", np.zeros(time.size), {"units": "m"}),
        }
        path = folder / f"cmems_l3_wmed_2021q1_{code}.nc"
        xr.Dataset(columns, {"time": time}).to_netcdf(path)
    axes = {"lat": np.arange(35.0, 46.0), "lon": np.arange(0.0, 18.0)}
    mean = np.zeros((11, 18))
    xr.Dataset({"mdt": (("lat", "lon"), mean)}, axes).to_netcdf(
        folder / "cmems_mdt_wmed_1-24deg.nc"
    )


def write_natl60(folder: Path) -> None:
    """A year at half a degree as OceanBench and as the 2020a challenge have it."""
    grid = Grid.latlon(31.5 + 0.5 * np.arange(27), -66.5 + 0.5 * np.arange(27))
    time = daily_stamps(YEAR.start, YEAR.end)
    height = np.random.default_rng(60).normal(0, 0.2, (time.size, *grid.shape)).astype(np.float32)
    truth = Maps(time, grid, height, "ssh")
    coarse = ObservationConfig(karin_along_km=40.0, karin_across_km=20.0)
    place = folder / "oceanbench" / "osse_natl60"
    export.write_oceanbench_truth(truth, place / "grid" / "gf_mod_ssh_daily.nc")
    ends = truth.time[[0, -1]].astype("datetime64[D]")
    for day in ends:
        export.write_dc2020a_reference(truth.between(day, day), folder / "2020a" / "dc_ref")
    missions = [*NADIRS, "swot_nadir", "swot_karin"]
    tracks = observe.simulate_tracks(truth, missions, coarse, seed=1)
    written = export.write_dc2020a_observations(tracks, folder / "2020a" / "dc_obs")
    (place / "coord" / "nadirs").mkdir(parents=True)
    for name, path in zip(NADIRS.values(), written, strict=False):
        shutil.copy(path, place / "coord" / "nadirs" / f"{name}.nc")


def write_weekly_globe(folder: Path) -> None:
    """Weekly maps of sea level anomaly around the globe, every five degrees."""
    time = np.arange("1992-10-14", "1992-12-03", 7, dtype="datetime64[D]").astype("datetime64[ns]")
    axes = {"time": time, "lat": np.arange(-90.0, 91.0, 5), "lon": np.arange(-175.0, 181.0, 5)}
    height = np.random.default_rng(1992).normal(0, 0.1, [axis.size for axis in axes.values()])
    sla = (("time", "lat", "lon"), height, {"units": "m", "long_name": "sea level anomaly"})
    xr.Dataset({"sla": sla}, axes).to_netcdf(
        folder / "aviso_l4_global_sla_weekly_19921014_19921202.nc"
    )


WRITERS = {
    "global_duacs": write_weekly_globe,
    "global_ensemble": write_weekly_globe,
    "medsea_ose": write_mediterranean,
    "medsea_transfer": write_mediterranean,
    "natl60_small": write_natl60,
    "paper": write_natl60,
}
"""Configuration -> what writes the files that it needs."""
