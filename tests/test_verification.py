"""Anybody's files against a truth or tracks: layouts, ensembles, blocks of days, tracks."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import xarray as xr

from pipeline_spde import verification
from pipeline_spde.data.sources.selection import Selection
from pipeline_spde.files import DataError
from pipeline_spde.scores.protocols import score_maps
from pipeline_spde.verification import (
    ON_TRACKS,
    ON_TRUTH,
    GridRequest,
    RequestError,
    Scoring,
    TrackRequest,
    gridded,
)

DAY = np.timedelta64(1, "D")
FAST = Scoring(draws=20)
MEMBERS = 20


def field(seed: int, days: int = 16, size: int = 24) -> np.ndarray:
    """Smooth heights around 0.3 m, shape (days, size, size)."""
    rng = np.random.default_rng(seed)
    white = np.fft.fftn(rng.standard_normal((days, size, size)))
    waves = [np.fft.fftfreq(n) for n in white.shape]
    radius = np.sqrt(sum(k**2 for k in np.meshgrid(*waves, indexing="ij")))
    smooth = np.fft.ifftn(white / (1 + (radius / 0.06) ** 4)).real
    return (0.3 + 0.2 * smooth / smooth.std()).astype(np.float32)


def maps(values: np.ndarray, name: str = "ssh", **more: np.ndarray) -> xr.Dataset:
    dims = ("time", "lat", "lon")
    lead = {4: ("realization",), 3: ()}
    days, rows, columns = values.shape[-3:]
    step = 6.0 / rows
    variables = {name: values} | more
    return xr.Dataset(
        {k: ((*lead[v.ndim], *dims), v, {"units": "m"}) for k, v in variables.items()},
        {
            "time": np.datetime64("2012-10-22T12", "ns") + np.arange(days) * DAY,
            "lat": 33.0 + step * np.arange(rows),
            "lon": -65.0 + step * np.arange(columns),
        },
    )


TRUTH, ERROR = field(1), 0.2 * (field(2) - np.float32(0.3))
NOISE = np.random.default_rng(3).standard_normal((MEMBERS, 1, 1, 1)).astype(np.float32)
ENSEMBLE = TRUTH + ERROR + 0.03 * NOISE * (1 + field(4)) / 1.3


@pytest.fixture
def folder(tmp_path):
    maps(TRUTH).to_netcdf(tmp_path / "truth.nc")
    maps(TRUTH + ERROR).to_netcdf(tmp_path / "map.nc")
    return tmp_path


def against_truth(folder, data=None, scoring=FAST, **options):
    path = folder / "map.nc"
    if data is not None:
        path = folder / "other.nc"
        path.unlink(missing_ok=True)
        data.to_netcdf(path)
    truth = GridRequest([folder / "truth.nc"], selection=options.pop("chosen", Selection()))
    return verification.score_against_truth(GridRequest([path], **options), truth, scoring)


def values(content) -> dict[str, float]:
    """Every value of the protocols and of the maps' uncertainty, by its path."""
    found = {}
    for name, protocol in content["protocols"].items():
        found |= {f"{name} {k}": v["value"] for k, v in protocol.items() if isinstance(v, dict)}
    raw = content["probabilistic"]["raw"]
    found |= {name: score["value"] for name, score in raw.items()}
    return {k: v for k, v in found.items() if v is not None}


def same(one, other, **tolerance):
    assert values(one) == pytest.approx(values(other), **tolerance)


def test_a_file_scores_as_its_arrays_do(folder):
    content = against_truth(folder)
    expected = score_maps(
        truth=maps(TRUTH)["ssh"],
        estimate=maps(TRUTH + ERROR)["ssh"],
        protocols=ON_TRUTH,
        margin_degrees=0.0,
        bootstrap_draws=20,
        seed=2020,
    )
    same(content, expected, rel=1e-6)
    assert list(content["protocols"]) == list(ON_TRUTH)
    mu = content["protocols"]["ssh-v1"]["mu"]
    assert mu["unit"] == "1" and mu["interval"][0] < mu["value"] < mu["interval"][1]
    assert content["inputs"]["maps"]["files"]["map.nc"].startswith("sha256 ")


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.assign_coords(lon=d["lon"] + 360.0),
        lambda d: d.isel(lat=slice(None, None, -1)),
        lambda d: d.transpose("lon", "time", "lat"),
        lambda d: d.rename(lat="y", lon="x").assign(
            y=("y", d["lat"].values, {"units": "degrees_north"}),
            x=("x", d["lon"].values, {"units": "degrees_east"}),
        ),
        lambda d: d.assign(ssh=(100.0 * d["ssh"]).assign_attrs(units="cm")),
        lambda d: d.assign_coords(time=d["time"] - np.timedelta64(12, "h")),
        lambda d: d.rename(ssh="zos"),
        lambda d: d.isel(time=[3, 1, 0, 2, *range(4, 16)]),
    ],
    ids=["0..360", "descending", "order", "cf names", "cm", "midnight", "zos", "shuffled"],
)
def test_the_layout_of_a_file_does_not_change_its_scores(folder, change):
    expected = against_truth(folder)
    same(against_truth(folder, change(maps(TRUTH + ERROR))), expected, rel=1e-5)


def test_a_calendar_without_leap_days_is_read(folder):
    data = maps(TRUTH + ERROR)
    data["time"].encoding = {"units": "days since 2012-01-01", "calendar": "noleap"}
    data["time"] = ("time", np.arange(16) + 294.5, {"units": "days since 2012-01-01"})
    data["time"].attrs["calendar"] = "noleap"  # 2012-10-22 is day 295 of a year of 365
    same(against_truth(folder, data), against_truth(folder), rel=1e-6)


@pytest.mark.parametrize("name", ["realization", "member", "number"])
def test_members_score_as_their_arrays_do(folder, name):
    data = maps(ENSEMBLE)
    content = against_truth(folder, data.rename(realization=name))
    cubes = data.assign(ssh_mean=data["ssh"].mean("realization", dtype=float))
    cubes["ssh_std"] = data["ssh"].astype(float).std("realization", ddof=1)
    expected = score_maps(
        truth=maps(TRUTH)["ssh"],
        estimate=cubes["ssh_mean"],
        ensemble=cubes.assign_attrs(quantity="ssh"),
        protocols=ON_TRUTH,
        margin_degrees=0.0,
        bootstrap_draws=20,
        seed=2020,
    )
    same(content, expected, rel=1e-5)
    assert content["inputs"]["maps"]["members"] == MEMBERS
    assert content["crps"]["value"] and content["coverage_90"]["value"]
    assert content["coverage_95"]["value"] is None


@pytest.mark.parametrize("name", ["ssh_std", "err_ssh", "std", "ssh_error"])
def test_a_standard_deviation_is_found_by_its_name(folder, name):
    spread = np.full(TRUTH.shape, 0.04, np.float32)
    content = against_truth(folder, maps(TRUTH + ERROR, **{name: spread}))
    assert content["probabilistic"]["kind"] == "gaussian"
    rmse = content["protocols"]["ssh-v1"]["rmse"]["value"]
    assert content["spread_skill"]["value"] == pytest.approx(0.04 / rmse, rel=1e-5)


def test_a_standard_deviation_of_another_name_is_told(folder):
    spread = np.full(TRUTH.shape, 0.04, np.float32)
    data = maps(TRUTH + ERROR, doubt=spread)
    assert against_truth(folder, data)["probabilistic"]["kind"] == "deterministic"
    assert against_truth(folder, data, std="doubt")["probabilistic"]["kind"] == "gaussian"
    with pytest.raises(DataError, match=r"variable \['nothing'\] not found"):
        against_truth(folder, data, std="nothing")
    with pytest.raises(DataError, match="doubt is negative"):
        against_truth(folder, maps(TRUTH + ERROR, doubt=-spread), std="doubt")


def test_the_layout_of_the_pipeline_without_members_is_read(folder):
    parts = {"ssh_std": 0 * TRUTH + 0.02, "ssh_std_calibrated": 0 * TRUTH + 0.04}
    content = against_truth(folder, maps(TRUTH + ERROR, "ssh_mean", **parts))
    raw, better = (content["probabilistic"][v]["spread"]["value"] for v in ("raw", "calibrated"))
    assert (raw, better) == pytest.approx((0.02, 0.04))


@pytest.mark.parametrize("kind", ["maps", "gaussian", "members", "holes"])
def test_blocks_of_days_give_the_pooled_scores_of_the_whole(folder, kind):
    spread = np.full(TRUTH.shape, 0.04, np.float32)
    holes = np.where(np.arange(24) % 7 == 3, np.nan, TRUTH + ERROR)
    holes[5] = np.nan  # a day without a map
    data = {
        "maps": maps(TRUTH + ERROR),
        "gaussian": maps(TRUTH + ERROR, ssh_std=spread),
        "members": maps(ENSEMBLE),
        "holes": maps(holes.astype(np.float32)),
    }[kind]
    whole = against_truth(folder, data)
    day = 8 * 24**2 * (1 + {"gaussian": 2, "members": MEMBERS}.get(kind, 1))
    blocks = against_truth(folder, data, Scoring(draws=20, memory_bytes=8 * day * 4))
    pooled, reference = values(blocks), values(whole)
    assert {"ssh-v1 mu", "ssh-v1 sigma", "starter rmse", "crps", "rmse"} <= pooled.keys()
    assert pooled == pytest.approx({name: reference[name] for name in pooled}, rel=1e-9)
    for name in ON_TRUTH:
        score = blocks["protocols"][name]["lambda_x"]
        assert score["value"] is None and "choose a box or a period" in score["reason"]
        for key in ("days", "missing_days", "excluded_cells", "filled_cells"):
            assert blocks["protocols"][name][key] == whole["protocols"][name][key]
    assert blocks["protocols"]["ssh-v1"]["mu"] == whole["protocols"]["ssh-v1"]["mu"]
    assert blocks["daily"]["rmse"] == pytest.approx(whole["daily"]["rmse"])


def test_a_box_that_fits_has_its_spectra(folder):
    limit = Scoring(draws=20, memory_bytes=8 * 26 * 16 * 15**2)
    assert values(against_truth(folder, None, limit)).get("ssh-v1 lambda_x") is None
    box = Selection(lat=(33, 36), lon=(-65, -62))
    content = against_truth(folder, None, limit, chosen=box)
    assert content["protocols"]["ssh-v1"]["grid"].startswith("13x13")
    assert "left out" not in str(content["protocols"]["ssh-v1"]["lambda_x"]["reason"])
    assert content["protocols"]["ssh-v1"]["window"] == "hann"


def test_a_day_that_does_not_fit_is_refused(folder):
    with pytest.raises(DataError, match=r"scoring one day needs about .* choose a smaller box"):
        against_truth(folder, None, Scoring(memory_bytes=1000))


def daily_files(folder, data, stem):
    target = folder / stem
    target.mkdir()
    for day in range(data.sizes["time"]):
        data.isel(time=[day]).to_netcdf(target / f"{stem}_{day:03}.nc")
    return target


def test_a_folder_of_daily_files_scores_as_one_file(folder):
    target = daily_files(folder, maps(TRUTH + ERROR), "days")
    truth = GridRequest([folder / "truth.nc"])
    for files in ([target], [f"{target}/*.nc"], sorted(target.glob("*.nc"))):
        content = verification.score_against_truth(GridRequest(files), truth, FAST)
        same(content, against_truth(folder))
    with pytest.raises(FileNotFoundError, match="no file matches"):
        verification.score_against_truth(GridRequest([f"{target}/*.zarr"]), truth, FAST)


@pytest.mark.slow
def test_nothing_is_loaded_whole(folder, monkeypatch):
    days, size = 20, 300
    truth = field(1, days, size)
    for stem, data in (("many", truth + 0.05), ("true", truth)):
        daily_files(folder, maps(data.astype(np.float32)), stem)
    monkeypatch.setattr(gridded, "CHUNK_BYTES", 1)
    asked, read = [], gridded.read_days

    def recorded(*arguments):
        asked.append(arguments[-1].size)
        return read(*arguments)

    monkeypatch.setattr(gridded, "read_days", recorded)
    whole = 8 * 2 * days * size**2  # truth and maps, of which scoring at once needs many
    allowed = whole // 2
    tracemalloc.start()
    content = verification.score_against_truth(
        GridRequest([folder / "many"]),
        GridRequest([folder / "true"]),
        Scoring(draws=20, memory_bytes=allowed),
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(asked) == {1} and len(asked) >= 2 * days
    assert peak < allowed
    assert content["protocols"]["ssh-v1"]["rmse"]["value"] == pytest.approx(0.05, rel=1e-5)
    assert content["protocols"]["ssh-v1"]["days"] == days


def tracks(name: str = "ssh", offset: float = 0.05, count: int = 4000) -> xr.Dataset:
    """Measurements every second that cross the box, the truth at the nearest node + offset."""
    seconds = np.arange(count) * (13 * 86400 / count)
    lat = 33.5 + 4.5 * np.abs((seconds / 3000) % 2 - 1)
    lon = -64.5 + 4.5 * ((seconds / 5000) % 1)
    time = np.datetime64("2012-10-23", "ns") + (seconds * 1e9).astype("timedelta64[ns]")
    cube = xr.DataArray(TRUTH, maps(TRUTH).coords, ("time", "lat", "lon"))
    height = cube.interp(
        time=("obs", time), lat=("obs", lat), lon=("obs", lon), method="linear"
    ).values
    return xr.Dataset(
        {name: ("obs", (height + offset).astype(np.float32), {"units": "m"})},
        {
            "time": ("obs", time),
            "latitude": ("obs", lat, {"units": "degrees_north"}),
            "longitude": ("obs", lon % 360, {"units": "degrees_east"}),
        },
    )


def against_tracks(folder, data, scoring=FAST, mapped=None, **options):
    for path, content in (("tracks.nc", data), ("mapped.nc", mapped or maps(TRUTH))):
        (folder / path).unlink(missing_ok=True)
        content.to_netcdf(folder / path)
    request = TrackRequest([folder / "tracks.nc"], **options)
    return verification.score_against_tracks(GridRequest([folder / "mapped.nc"]), request, scoring)


def test_tracks_have_their_protocols_side_by_side(folder):
    content = against_tracks(folder, tracks())
    assert list(content["protocols"]) == list(ON_TRACKS)
    for name in ON_TRACKS:
        rmse = content["protocols"][name]["rmse"]
        assert rmse["value"] == pytest.approx(0.05, rel=1e-3)
    assert content["inputs"]["tracks"]["missions"] == ["tracks"]
    only = against_tracks(folder, tracks(), Scoring(("dc2021a-legacy",), draws=20))
    assert list(only["protocols"]) == ["dc2021a-legacy"]


def test_the_error_of_the_measurements_belongs_to_the_spread(folder):
    spread = maps(TRUTH, ssh_std=np.full(TRUTH.shape, 0.03, np.float32))
    content = against_tracks(folder, tracks(), mapped=spread, sigma_m=0.04)
    assert content["spread_skill"]["value"] == pytest.approx(np.hypot(0.03, 0.04) / 0.05, rel=1e-3)
    assert content["inputs"]["tracks"]["sigma_obs_m"] == pytest.approx(0.04)
    with pytest.raises(RequestError, match="error must be positive"):
        against_tracks(folder, tracks(), sigma_m=0.0)


@pytest.mark.parametrize("ensemble", [False, True])
def test_maps_beyond_memory_score_the_same_along_tracks(folder, monkeypatch, ensemble):
    mapped = maps(ENSEMBLE) if ensemble else None
    whole = against_tracks(folder, tracks(), mapped=mapped)
    monkeypatch.setattr(gridded, "CHUNK_BYTES", 1)
    lazy = against_tracks(folder, tracks(), Scoring(draws=20, memory_bytes=1), mapped)
    same(lazy, whole, rel=1e-6)


def test_anomalies_are_not_scored_against_absolute_heights(folder):
    with pytest.raises(DataError, match="different reference surfaces"):
        against_tracks(folder, tracks("sla"))
    with pytest.raises(DataError, match="different reference surfaces"):
        against_truth(folder, maps(ERROR, "sla"))
    content = against_truth(folder, maps(TRUTH + ERROR, "sla"), quantity="ssh")
    same(content, against_truth(folder))


def test_a_protocol_that_does_not_apply_is_refused(folder):
    with pytest.raises(RequestError, match="does not apply to maps scored against a truth"):
        against_truth(folder, None, Scoring(("ssh-ose-v1",)))
    with pytest.raises(RequestError, match="is unknown; there are dc2020a-legacy"):
        against_truth(folder, None, Scoring(("best",)))
    with pytest.raises(RequestError, match="draws and block days"):
        Scoring(draws=0)


def test_one_entry_of_a_further_dimension_is_chosen(folder):
    both = xr.concat([maps(TRUTH), maps(TRUTH + ERROR)], dim="config", data_vars=["ssh"])
    with pytest.raises(DataError, match="choose one index of"):
        against_truth(folder, both)
    same(against_truth(folder, both, place={"config": 1}), against_truth(folder))
    with pytest.raises(DataError, match="config has 2 entries, not 2"):
        against_truth(folder, both, place={"config": 2})
    assert verification.as_place(["config=1"]) == {"config": 1}
    with pytest.raises(RequestError, match="NAME=INDEX"):
        verification.as_place(["config"])


def test_what_shares_nothing_is_refused(folder):
    elsewhere = maps(TRUTH).assign_coords(lat=np.arange(24) * 0.25)
    with pytest.raises(DataError, match=r"no map|fewer than two rows"):
        against_truth(folder, elsewhere)
    later = maps(TRUTH)
    later["time"] = later["time"] + 400 * DAY
    with pytest.raises(DataError, match="no map of"):
        against_truth(folder, later)
    with pytest.raises(DataError, match="expected maps on a regular grid"):
        against_truth(folder, tracks("sla_unfiltered"))


def test_units_that_cannot_be_right_are_told(folder, caplog):
    small = maps((TRUTH + ERROR) / 100)
    against_truth(folder, small)
    assert "is its attribute `units` right?" in caplog.text
