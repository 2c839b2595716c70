"""What makes a file acceptable: the manifest, the form of its bytes, the content of NetCDF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_spde import netcdf_length
from pipeline_spde.config import ProtocolName
from pipeline_spde.data import contents, integrity, manifest
from pipeline_spde.data.download import Download
from pipeline_spde.data.manifest import DataFile, Expectation, ManifestError
from pipeline_spde.data.pins import PinBook
from pipeline_spde.data.verify import verify
from pipeline_spde.files import DataError

LARGE = "oceanbench/osse_natl60/grid/natl_obs_nadir.nc"


@pytest.fixture(scope="module")
def known() -> manifest.Manifest:
    return manifest.load()


# --- the manifest ----------------------------------------------------------------------------


def test_the_registry_is_there_whole(known):
    registry = [f for f in known.files.values() if f.name.startswith("oceanbench/")]
    assert len(registry) == 51
    sizes = [f.bytes or 67_068_590 for f in registry]  # the one without an object of its own
    assert sum(sizes) == 45_528_397_471
    assert all(f.md5 for f in registry if f.mirrors)


def test_addresses_of_the_registry_are_made_of_the_checksum(known):
    file = known.files["oceanbench/osse_natl60/grid/gf_mod_ssh_daily.nc"]
    assert file.mirrors[0].url.endswith("/dvc/50/4972423abd6564acf8284a3721d854")


@pytest.mark.parametrize(
    ("task", "low", "high"),
    [("gulfstream_nadir", 0.82e9, 0.84e9), ("gulfstream", 1.4e9, 1.6e9), ("audit", 3e9, 4e9)],
)
def test_tasks_have_the_size_that_is_promised(known, task, low, high):
    assert low < sum(file.size for file in known.of_task(task)) < high


def test_no_task_fetches_a_large_file(known):
    for task in known.tasks:
        assert not any(getattr(file, "explicit", False) for file in known.of_task(task))
    assert all(f.explicit for f in known.files.values() if f.size > 7e9)


def test_large_files_must_be_named_in_full(known):
    chosen = known.select([], ["oceanbench/osse_natl60/grid"])
    assert chosen and LARGE not in [file.name for file in chosen]
    assert [file.name for file in known.select([], [LARGE])] == [LARGE]
    with pytest.raises(ManifestError, match="matches only large files; name them in full"):
        known.select([], ["oceanbench/*/natl_obs*"])


def test_every_task_serves_scored_protocols_and_every_data_set_has_a_licence(known):
    ours = {*ProtocolName.__args__, "dc2021a-legacy", "oceanbench-ose-legacy", "ssh-ose-v1"}
    assert {name for task in known.tasks.values() for name in task.protocols} == ours
    for data in known.datasets.values():
        assert data.licence and data.citation and data.source.startswith("https://")


def test_the_truth_of_the_whole_year_is_listed_by_day(known):
    days = [name for name in known.files if name.startswith("2020a/dc_ref/NATL60")]
    assert len(days) == 365
    assert "2020a/dc_ref/NATL60-CJM165_GULFSTREAM_y2013m02d28.1h_SSH.nc" in days
    window = [f.name for f in known.of_task("dc2020a") if "dc_ref" in f.name]
    assert len(window) == 42
    assert "y2012m10d22" in window[0] and "y2012m12d02" in window[-1]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("oceanbench/osse_natl60/grid/gf_obs_nadr.nc", "did you mean .*gf_obs_nadir.nc"),
        ("2021a/dc_ob", "did you mean '2021a/dc_obs'"),
        ("zzz", "--list` shows what there is"),
    ],
)
def test_unknown_names_are_met_with_near_ones(known, word, sentence):
    with pytest.raises(ManifestError, match=sentence):
        known.select([], [word])


def test_an_unknown_task_is_met_with_near_ones(known):
    with pytest.raises(ManifestError, match="did you mean 'gulfstream_nadir'"):
        known.select(["gulfstream_nadirs"], [])


ABOUT = {"title": "t", "licence": "l", "citation": "c", "source": "s"}
MD5 = "0" * 32


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"a": {"md5": MD5}, "b": {"md5": MD5}}, "set/a have one md5, .* known_bad"),
        ({"a": {"mirrors": ["https://ann:secret@x.org/a"]}}, "no user or password in a URL"),
        ({"a": {"mirrors": ["http://x.org/a"]}}, "expected an https:// address"),
        ({"a": {"mirrors": [{"url": "https://x.org/a", "login": "x"}]}}, "login .* not in logins"),
        ({"a": {"md5": "xyz"}}, "files.set/a.md5: String should match"),
        ({"a": {"size": 3}}, "size: unknown key"),
        ({"../a": {}}, "expected FOLDER/PATH below the data folder"),
        ({"a": {"mirrors": ["https://x.org/{md5_head}"]}}, "md5 of set/a"),
        ({"a": {"archive": {"into": "set", "contains": "set/b/*"}}}, "nothing matches contains"),
        ([1], "not a manifest of data sets"),
    ],
)
def test_a_bad_manifest_says_what_to_mend(tmp_path, files, sentence):
    path = tmp_path / "datasets.yaml"
    path.write_text(yaml.safe_dump({"datasets": {"set": {**ABOUT, "files": files}}}))
    with pytest.raises(ManifestError, match=sentence):
        manifest.load(path)


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "\x00"])
def test_what_is_no_manifest_is_refused_with_a_sentence(tmp_path, text):
    path = tmp_path / "datasets.yaml"
    path.write_text(text)
    with pytest.raises(ManifestError, match=r"datasets.yaml: (not|cannot)"):
        manifest.load(path)
    with pytest.raises(ManifestError, match="cannot be read"):
        manifest.load(tmp_path / "none.yaml")


# --- the form of the bytes -------------------------------------------------------------------


def netcdf(path: Path, hour: int = 12, days: int = 3, **changes: Any) -> Path:
    """A small daily field of 1/20-degree-registry kind, as NetCDF-4."""
    start = np.datetime64("2012-10-01T00:00", "ns") + np.timedelta64(hour, "h")
    data = xr.Dataset(
        {"ssh_mod": (("time", "lat", "lon"), np.zeros((days, 6, 5), np.float32), {"units": "m"})},
        coords={
            "time": start + np.arange(days) * np.timedelta64(1, "D"),
            "lat": np.linspace(33, 43, 6),
            "lon": np.linspace(-65, -55, 5),
        },
    ).assign(changes)
    data.to_netcdf(path, format="NETCDF4")
    return path


@given(st.binary(max_size=300))
@settings(max_examples=60, derandomize=True)
def test_arbitrary_bytes_are_refused_as_netcdf(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "x.nc"
    path.write_bytes(content)
    with pytest.raises(DataError):
        verify(path, DataFile(name="set/x.nc", dataset="set"), PinBook(path.parent), "here")


def table(path: Path, kind: str) -> Path:
    """A file with fixed and record variables of several types, attributes and odd sizes."""
    with netCDF4.Dataset(path, "w", format=kind) as data:
        data.title = "odd"
        data.createDimension("time", None)
        data.createDimension("x", 503)
        data.createVariable("fixed", "f8", ("x",))[:] = np.arange(503.0)
        data.createVariable("flag", "i1", ("time",))[:] = np.arange(7)
        data.createVariable("h", "i2", ("time", "x"))[:] = np.ones((7, 503))
    return path


KINDS = ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_netcdf_file_states_its_length(tmp_path, kind):
    path = table(tmp_path / "x.nc", kind)
    assert 0 <= path.stat().st_size - netcdf_length.stated_length(path) < 4  # padding at the end
    integrity.check_form(path, "x.nc")


@pytest.mark.parametrize("share", [0.005, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_netcdf_file_is_refused(tmp_path, share, kind):
    path = table(tmp_path / "x.nc", kind)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=r"cut off(: \d+ of \d+ bytes)?"):
        integrity.check_form(path, "x.nc")


def test_a_classic_file_with_a_single_record_variable_has_no_padding(tmp_path):
    path = tmp_path / "x.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as data:
        data.createDimension("time", None)
        data.createVariable("flag", "i1", ("time",))[:] = np.arange(5)
    assert netcdf_length.stated_length(path) <= path.stat().st_size


@pytest.mark.realdata
def test_real_files_are_as_long_as_they_state(real_data):
    for path in real_data.glob("*.nc"):
        assert netcdf_length.stated_length(path) == path.stat().st_size


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf <HTML><title>Log in</title>", r"a web page \('Log in'\)"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "AccessDenied"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        (b"PK\x03\x04 zip", "not NetCDF"),
    ],
)
def test_what_is_not_data_is_called_by_its_name(tmp_path, content, sentence):
    path = tmp_path / "x.nc"
    path.write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        integrity.check_form(path, "set/x.nc")


def test_checksums_are_those_of_the_standard_library(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    found = integrity.digests(path)
    assert found.md5 == "900150983cd24fb0d6963f7d28e17f72"
    assert found.sha256.startswith("ba7816bf8f01cfea") and found.bytes == 3


# --- the content of NetCDF -------------------------------------------------------------------

GRID = Expectation(
    variables=("ssh_mod",),
    units={"ssh_mod": "m"},
    lat=(33, 43),
    lon=(-65, -55),
    extent="equal",
    period=("2012-10-01", "2012-10-03"),
    steps=3,
    stamp="12:00",
    missing=(0, 0.1),
)


def test_a_file_as_expected_raises_no_remark(tmp_path):
    assert contents.problems(netcdf(tmp_path / "x.nc"), "x.nc", GRID) == []


def test_longitudes_of_any_circle_are_understood(tmp_path):
    path = netcdf(tmp_path / "x.nc", lon=np.linspace(295, 305, 5))
    assert contents.problems(path, "x.nc", GRID) == []


def gaps() -> tuple[tuple[str, ...], np.ndarray, dict[str, str]]:
    values = np.zeros((3, 6, 5), np.float32)
    values[:, :3] = np.nan
    return ("time", "lat", "lon"), values, {"units": "cm"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"hour": 0}, "stamped 00:00, expected 12:00: maps would be half a day off"),
        ({"days": 4}, "4 times, expected 3"),
        ({"days": 4}, "2012-10-01 … 2012-10-04 are not within 2012-10-01 … 2012-10-03"),
        ({"lat": np.linspace(23, 53, 6)}, "latitude runs from 23.00 to 53.00, .* end at 33 to 43"),
        ({"lon": np.linspace(0, 10, 5)}, "longitude runs from 0.00 to 10.00"),
        ({"ssh_mod": gaps()}, "50.0% of ssh_mod is missing, expected 0% to 10%"),
        ({"ssh_mod": gaps()}, "ssh_mod has units 'cm', expected 'm'"),
        ({"time": ("time", [0.0, 1.0, 2.0])}, "time has units 'missing', which give no date"),
        ({"time": ("time", [0, 1, 2], {"units": "sols since 2012"})}, "'sols since 2012'"),
    ],
)
def test_what_is_not_as_expected_is_told(tmp_path, changes, sentence):
    path = netcdf(tmp_path / "x.nc", **changes)
    found = contents.problems(path, "x.nc", GRID)
    assert any(remark.startswith("x.nc: ") for remark in found)
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError("\n".join(found))


def test_a_missing_variable_is_told_with_what_there_is(tmp_path):
    path = netcdf(tmp_path / "x.nc")
    found = contents.problems(path, "x.nc", Expectation(variables=("sossheig",), any_of=("adt",)))
    assert "variable ['sossheig'] not found; the file holds" in found[0]
    assert "none of the variables ['adt']" in found[1]


def test_a_checksum_weighs_more_than_an_expectation(tmp_path):
    path = netcdf(tmp_path / "x.nc", hour=0)
    file = DataFile(name="set/x.nc", dataset="set", expect=GRID)
    with pytest.raises(DataError, match="stamped 00:00"):
        verify(path, file, PinBook(tmp_path), "here")
    published = file.model_copy(update={"md5": integrity.digests(path).md5})
    verdict = verify(path, published, PinBook(tmp_path), "here")
    assert verdict.pin.checked == "md5" and "stamped 00:00" in verdict.remarks[0]


# --- what only users can supply --------------------------------------------------------------


def supplied(folder: Path, drop_in: Path | None, name: str) -> list[Any]:
    known = manifest.load()
    return Download(known, folder, drop_in, offline=True).run(known.select([], [name]))


def test_data_that_only_users_can_get_come_with_instructions(tmp_path):
    (outcome,) = supplied(tmp_path, None, "cmems_l3")
    assert outcome.state == "missing"
    assert "copernicusmarine get -i cmems_obs-sl_eur_phy" in outcome.remarks[0]


def test_a_folder_with_other_data_only_is_told(tmp_path):
    (tmp_path / "own").mkdir()
    netcdf(tmp_path / "own/maps.nc")
    (outcome,) = supplied(tmp_path / "data", tmp_path / "own", "cmems_l3")
    assert outcome.state == "missing" and outcome.remarks[0].endswith("own hold other data")


def test_maps_are_not_taken_for_tracks(tmp_path):
    path = netcdf(tmp_path / "x.nc")
    tracks = Expectation(variables=("ssh_mod",), gridded=False)
    assert "expected a track" in contents.problems(path, "x.nc", tracks)[0]
    assert not contents.is_of_kind(path, tracks)


def test_files_of_the_user_are_checked_one_by_one(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    netcdf(own / "maps.nc")
    (own / "page.nc").write_bytes(b"<html>")
    with netCDF4.Dataset(own / "track.nc", "w") as data:
        data.createDimension("time", 2)
        data.createVariable("sla_unfiltered", "f8", ("time",)).units = "m"
    outcomes = {o.name: o for o in supplied(tmp_path / "data", own, "cmems_l3")}
    assert outcomes["cmems_l3/track.nc"].state == "taken"
    assert "a web page" in outcomes["cmems_l3/page.nc"].remarks[0]
    assert len(outcomes) == 2  # maps.nc is sound, and something else
    again = supplied(tmp_path / "data", None, "cmems_l3")
    assert [(o.name, o.state) for o in again] == [("cmems_l3/track.nc", "verified")]


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "starts", "count"),
    [
        ("cmems_l3", ("cmems_l3_",), 5),
        ("cmems_l4", ("duacs_l4_", "aviso_l4_"), 5),
        ("cmems_mdt", ("cmems_mdt_",), 1),
        ("swot_l3", ("swot_l3_",), 1),
    ],
)
def test_real_files_find_their_data_set(tmp_path, real_data, name, starts, count):
    outcomes = supplied(tmp_path / "data", real_data, name)
    assert [outcome.state for outcome in outcomes] == ["taken"] * count
    assert all(Path(outcome.name).name.startswith(starts) for outcome in outcomes)
    assert not any(outcome.remarks for outcome in outcomes)
