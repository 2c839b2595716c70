"""Scoring on the points of a known result: exactly these points, and the scores of the library."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline_spde.data.sources import rads
from pipeline_spde.fields import Maps, Tracks, daily_stamps
from pipeline_spde.files import read_json
from pipeline_spde.grids import Grid
from pipeline_spde.io import Provenance, write_maps, write_tracks

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import ose_reference

ABOUT = Provenance("test", "0", 0)


def made_tracks() -> Tracks:
    """One sample every six hours over 2022, of two missions in turn."""
    time = np.arange("2022-01-01", "2023-01-01", 6, dtype="datetime64[h]").astype("datetime64[ns]")
    rng = np.random.default_rng(5)
    return Tracks(
        time=time,
        lat=rng.uniform(33.1, 42.9, time.size),
        lon=rng.uniform(-64.9, -55.1, time.size),
        height=rng.normal(0, 0.2, time.size).astype(np.float32),
        error=np.full(time.size, 0.03, np.float32),
        mission=(np.arange(time.size) % 2).astype(np.int8),
        missions=("saral", "cryosat2"),
        pass_id=np.arange(time.size, dtype=np.int32),
        quantity="sla",
        cross_track=np.zeros(time.size, np.float32),
    )


def test_the_points_are_those_of_the_even_days_of_the_known_result():
    found = ose_reference.reference_points(made_tracks().of_missions(("cryosat2",)))
    days = np.unique(found.time.astype("datetime64[D]"))
    assert days[0] == np.datetime64("2022-04-06") and days[-1] == np.datetime64("2022-06-29")
    assert np.all(np.diff(days) == np.timedelta64(2, "D"))  # days 96 to 180
    assert len(found) == 2 * days.size


def test_maps_are_scored_there_and_a_table_and_a_file_are_made(tmp_path, capsys, caplog):
    tracks = made_tracks()
    write_tracks(tracks, tmp_path / "tracks.nc", ABOUT)
    grid = Grid.from_bounds((32.0, 44.0), (-66.0, -54.0), 2.0)
    time = daily_stamps("2022-04-01", "2022-07-02")
    height = np.full((time.size, *grid.shape), 0.1, np.float32)
    write_maps(Maps(time, grid, height, "sla"), tmp_path / "flat.nc", ABOUT)
    ose_reference.main(
        [
            str(tmp_path / "flat.nc"), f"--tracks={tmp_path / 'tracks.nc'}",
            f"--output={tmp_path / 'out.json'}",
        ]
    )  # fmt: skip
    points = ose_reference.reference_points(tracks.of_missions(("cryosat2",)))
    rmse = float(np.sqrt(np.mean((points.height.astype(float) - 0.1) ** 2)))
    found = read_json(tmp_path / "out.json")["methods"]["flat"]
    assert found["rmse"]["value"] == pytest.approx(rmse, abs=1e-6)
    assert found["points"] == len(points)
    shown = capsys.readouterr().out
    assert "| a plain OI (known) | 928 | 6 | 22.00 | 6.90 | 0.685 | 0.951 |" in shown
    assert f"| flat | {len(points)} | 43 |" in shown
    assert "not like with like" in caplog.text


@pytest.mark.realdata
def test_the_real_points_are_928_with_the_known_rms(real_data):
    path = real_data / "rads_alongtrack_natl_2022.nc"
    box = ((33.0, 43.0), (-65.0, -55.0))
    tracks = rads.read(path, ("cryosat2",), *box, ("2022-04-02", "2022-07-01"))
    found = ose_reference.reference_points(tracks)
    rms = float(np.sqrt(np.mean(found.height.astype(float) ** 2)))
    assert len(found) == ose_reference.KNOWN["points"]
    assert rms == pytest.approx(ose_reference.KNOWN["rms_data"], abs=5e-4)
    assert np.unique(found.time.astype("datetime64[D]")).size == ose_reference.KNOWN["days"]
