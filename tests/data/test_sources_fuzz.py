"""Readers against files that nobody would write on purpose: a sentence, or the right numbers."""

from __future__ import annotations

import logging
import warnings
from datetime import timedelta

import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from pipeline_spde.data.sources import SOURCES, sniff
from pipeline_spde.fields import GriddedObservations, Maps, Tracks
from pipeline_spde.inspection import inspect_file

FAST = settings(
    max_examples=25,
    deadline=timedelta(seconds=20),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LONG = settings(FAST, max_examples=1000, deadline=None)
MAP_SOURCES = [name for name, source in SOURCES.items() if source.gives in ("maps", "observations")]
TRACK_SOURCES = [name for name, source in SOURCES.items() if source.gives == "tracks"]
BEGINNINGS = [b"", b"CDF\x01", b"CDF\x02", b"CDF\x05", b"\x89HDF\r\n\x1a\n"]
TO_METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, None: 1.0}

heights = st.sampled_from(["ssh", "sla", "adt", "sossheig", "ssh_mod", "gssh", "nadir_obs", "zos"])
track_heights = st.sampled_from(
    ["sla_unfiltered", "ssh_model", "sla", "adt_unfiltered", "ssha_filtered", "ssh_true"]
)
height_types = st.sampled_from(["f4", "f8", "i2", "i4", "u1", "S1"])
units = st.sampled_from(["m", "cm", "mm", None, "", "feet", "1", 5])
time_units = st.sampled_from(
    [
        "days since 2012-10-01",
        "hours since 2012-10-01 00:00:00",
        "seconds since 1970-01-01",
        "days since 0000-00-00",
        "months since 2000-01-01",
        "fortnights",
        "days since yesterday",
        "",
        None,
        7,
    ]
)
calendars = st.sampled_from(
    ["standard", "proleptic_gregorian", "noleap", "360_day", "julian", "none", "maya", None]
)
fills = st.sampled_from([None, -999.0, float("nan"), 0.0])
packing = st.sampled_from([None, 0.001, 0.0, float("nan"), "twice", np.array([1.0, 2.0])])
damage = st.sampled_from([None, "truncated", "half", "flipped"])


@st.composite
def axes(draw, low, high):
    """An axis as it should be, or descending, repeated, irregular, missing, out of range, short."""
    size = draw(st.integers(0, 6))
    start = draw(st.floats(low, high))
    values = start + 0.5 * np.arange(size)
    kind = draw(st.sampled_from(["right"] * 5 + ["descending", "repeated", "jumpy", "nan", "far"]))
    if kind == "descending":
        values = values[::-1]
    elif kind == "repeated" and size:
        values[-1] = values[0]
    elif kind == "jumpy":
        values = start + draw(st.floats(0.1, 2.0)) * np.arange(size) ** 2
    elif kind == "nan" and size:
        values[draw(st.integers(0, size - 1))] = np.nan
    elif kind == "far":
        values = values * 1000
    return values


@st.composite
def moments(draw):
    """Values of a time variable: in order, shuffled, repeated, missing or enormous."""
    size = draw(st.integers(0, 5))
    values = np.arange(size) * draw(st.sampled_from([1.0, 0.25, 86400.0, 0.0, 1e30]))
    values = values + draw(st.sampled_from([0.0, 0.5, 12.0, -1e9, 43200.0]))
    kind = draw(st.sampled_from(["right"] * 4 + ["shuffled", "nan"]))
    if kind == "shuffled":
        return values[::-1]
    if kind == "nan" and size:
        values[0] = np.nan
    return values


def write_variable(file, name, dims, values, kind, attrs, fill=None):
    options = {}
    if fill is not None and kind != "S1" and (kind[0] == "f" or np.isfinite(fill)):
        options["fill_value"] = np.asarray(fill).astype(kind)
    variable = file.createVariable(name, kind, dims, **options)
    variable.set_auto_maskandscale(False)
    for key, value in attrs.items():
        if value is not None:
            variable.setncattr(key, value)
    if values.size:
        variable[...] = values.astype(kind) if kind != "S1" else np.full(values.shape, b"7")


def spoil(path, how, position):
    raw = bytearray(path.read_bytes())
    if how == "truncated":
        raw = raw[: len(raw) - 1 - position % 200]
    elif how == "half":
        raw = raw[: len(raw) // 2]
    elif how == "flipped":
        raw[position % len(raw)] ^= 1 << position % 8
    path.write_bytes(bytes(raw))


def attempt(read, path):
    """Return what a reader returns, or None when it refuses with a sentence about the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the decoders of xarray warn of odd attributes
        try:
            with np.errstate(all="ignore"):
                return read(path)
        except (ValueError, FileNotFoundError) as error:
            sentence = str(error)
            assert path.name in sentence, sentence
            assert len(sentence) > len(str(path)) + 15, sentence
            return None


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def check_maps(found, raw, factor):
    """Every height that was read is one of the file's, at its place."""
    assert isinstance(found, Maps | GriddedObservations)
    height = found.height.astype(np.float64)
    if isinstance(found, GriddedObservations):
        height[~found.observed] = np.nan
    assert np.all(np.abs(height[np.isfinite(height)]) <= 20.0)
    lat, lon, values = raw
    if factor is None or len(values) != found.time.size:
        return  # units that the reader must have refused, or maps that were joined to days
    for y, row in enumerate(found.grid.lat):
        for x, column in enumerate(found.grid.lon):
            place = np.flatnonzero(np.abs(lat - row) < 1e-4)
            apart = np.abs((lon - column + 180.0) % 360.0 - 180.0)
            column_place = np.flatnonzero(apart < 1e-4)
            assert place.size and column_place.size
            expected = np.sort(values[:, place[0], column_place[0]] * factor)
            ours = np.sort(height[:, y, x])
            known = np.isfinite(ours)
            np.testing.assert_allclose(ours[known], expected[: known.sum()], rtol=1e-5, atol=1e-6)


@st.composite
def spoiled(draw, sound, strange):
    """A sound file, or one in which up to three things are as nobody expects them."""
    keys = draw(st.sets(st.sampled_from(sorted(strange)), max_size=3))
    spec = {key: draw(value) for key, value in sound.items()}
    return spec | {key: draw(strange[key]) for key in sorted(keys)}


def map_files():
    sound = {
        "height": heights,
        "kind": st.sampled_from(["f4", "f8", "i4"]),
        "units": st.sampled_from(["m", "cm"]),
        "fill": st.sampled_from([None, -999.0]),
        "scale": st.none(),
        "offset": st.none(),
        "time": st.integers(1, 5).map(np.arange),
        "time_units": st.sampled_from(
            ["days since 2012-10-01", "days since 2012-10-01 12:00", "hours since 2012-10-01"]
        ),
        "calendar": st.sampled_from(["standard", None]),
        "lat": st.integers(2, 5).map(lambda size: 33 + 0.5 * np.arange(size)),
        "lon": st.integers(2, 5).map(lambda size: 295 + 0.5 * np.arange(size)),
        "names": st.sampled_from([("lat", "lon"), ("latitude", "longitude")]),
        "format": st.sampled_from(["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET"]),
        "without": st.none(),
        "damage": st.none(),
        "seed": st.integers(0, 10**6),
    }
    strange = {
        "kind": height_types,
        "units": units,
        "fill": fills,
        "scale": packing,
        "offset": packing,
        "time": moments(),
        "time_units": time_units,
        "calendar": calendars,
        "lat": axes(-80.0, 80.0),
        "lon": axes(-180.0, 350.0),
        "names": st.just(("a", "b")),
        "without": st.sampled_from(["time", "lat", "height"]),
        "damage": damage,
    }
    return spoiled(sound, strange)


def write_maps(path, spec):
    shape = (spec["time"].size, spec["lat"].size, spec["lon"].size)
    values = np.random.default_rng(spec["seed"]).normal(0.3, 0.2, shape)
    stored = np.round(values * 100) if spec["kind"] in ("i2", "i4", "u1") else values
    stored = np.abs(stored) if spec["kind"] == "u1" else stored
    north, east = spec["names"]
    with netCDF4.Dataset(path, "w", format=spec["format"]) as file:
        for dim, size in zip(("time", north, east), shape, strict=True):
            file.createDimension(dim, size)
        if spec["without"] != "time":
            attrs = {"units": spec["time_units"], "calendar": spec["calendar"]}
            write_variable(file, "time", ("time",), spec["time"], "f8", attrs)
        if spec["without"] != "lat":
            write_variable(file, north, (north,), spec["lat"], "f8", {})
        write_variable(file, east, (east,), spec["lon"], "f8", {})
        if spec["without"] != "height":
            attrs = {
                "units": spec["units"],
                "scale_factor": spec["scale"],
                "add_offset": spec["offset"],
            }
            dims = ("time", north, east)
            kind = "i2" if spec["format"] != "NETCDF4" and spec["kind"] == "u1" else spec["kind"]
            write_variable(file, spec["height"], dims, stored, kind, attrs, spec["fill"])
    return stored


def expected_maps(spec, stored):
    """Return the heights of a file in its units, or None where no number is right."""
    if spec["units"] not in TO_METRES or spec["damage"] is not None or spec["kind"] == "S1":
        return None
    scale = 1.0 if spec["scale"] is None else spec["scale"]
    offset = 0.0 if spec["offset"] is None else spec["offset"]
    if not isinstance(scale, float) or not isinstance(offset, float):
        return None
    return stored * scale + offset


def check_map_readers(path, spec):
    try:
        stored = write_maps(path, spec)
    except (ValueError, RuntimeError, TypeError, AttributeError, OverflowError, OSError):
        return  # NetCDF cannot even hold this
    if spec["damage"] is not None:
        spoil(path, spec["damage"], spec["seed"])
    values = expected_maps(spec, stored)
    factor = TO_METRES[spec["units"]] if values is not None else None
    raw = (spec["lat"], spec["lon"], [] if values is None else values)
    for name in MAP_SOURCES:
        found = attempt(SOURCES[name].read, path)
        if found is not None:
            event(f"read by {name}")
            check_maps(found, raw, factor)
    attempt(sniff, path)
    report = inspect_file(path)
    assert report.what and (report.sound or all(len(p) > 10 for p in report.problems))


@given(map_files())
@FAST
def test_map_readers_give_right_numbers_or_a_sentence(tmp_path, spec):
    check_map_readers(tmp_path / "maps.nc", spec)


@pytest.mark.slow
@given(map_files())
@LONG
def test_map_readers_long(tmp_path, spec):
    check_map_readers(tmp_path / "maps.nc", spec)


def track_files():
    sound = {
        "height": track_heights,
        "kind": st.sampled_from(["f4", "f8", "i4"]),
        "units": st.sampled_from(["m", "cm"]),
        "fill": st.sampled_from([None, -999.0]),
        "scale": st.none(),
        "size": st.integers(1, 6),
        "pixels": st.sampled_from([1, 3, 4]),
        "swath": st.booleans(),
        "time_units": st.sampled_from(["seconds since 2012-10-01", "hours since 2012-10-01"]),
        "calendar": st.none(),
        "step": st.just(1.0),
        "lat": st.just((30.0, 40.0)),
        "lon": st.sampled_from([(0.0, 10.0), (355.0, 365.0)]),
        "names": st.sampled_from([("lat", "lon"), ("latitude", "longitude")]),
        "without": st.none(),
        "mission": st.sampled_from([None, "i1"]),
        "damage": st.none(),
        "format": st.sampled_from(["NETCDF4", "NETCDF3_CLASSIC"]),
        "seed": st.integers(0, 10**6),
    }
    strange = {
        "kind": height_types,
        "units": units,
        "fill": fills,
        "scale": packing,
        "size": st.just(0),
        "pixels": st.just(0),
        "time_units": time_units,
        "calendar": calendars,
        "step": st.sampled_from([-1.0, 0.0, 1e20, float("nan")]),
        "lat": st.sampled_from([(-500.0, 90.0), (float("nan"), 1.0)]),
        "lon": st.just((-1e6, 0.0)),
        "without": st.sampled_from(["time", "lat", "height"]),
        "mission": st.sampled_from(["f8", "S1"]),
        "damage": damage,
    }
    return spoiled(sound, strange)


def write_tracks(path, spec):
    dims, shape = ("time",), (spec["size"],)
    if spec["height"] in ("ssha_filtered", "ssh_true"):
        dims, shape = ("num_lines", "num_pixels"), (spec["size"], spec["pixels"])
    elif spec["height"] == "ssh_model" and spec["swath"]:
        dims, shape = ("time", "nC"), (spec["size"], spec["pixels"])
    generator = np.random.default_rng(spec["seed"])
    values = generator.normal(0.3, 0.2, shape)
    if spec["kind"] in ("i2", "i4", "u1"):
        values = np.round(np.abs(values) * 100)
    kind = "i2" if spec["format"] != "NETCDF4" and spec["kind"] == "u1" else spec["kind"]
    with netCDF4.Dataset(path, "w", format=spec["format"]) as file:
        for dim, size in zip(dims, shape, strict=True):
            file.createDimension(dim, size)
        attrs = {"units": spec["time_units"], "calendar": spec["calendar"]}
        if spec["without"] != "time":
            moments = spec["step"] * np.arange(spec["size"])
            write_variable(file, "time", dims[:1], moments, "f8", attrs)
        for name, (low, high) in zip(spec["names"], (spec["lat"], spec["lon"]), strict=True):
            if spec["without"] != name:
                places = low + (high - low) * generator.random(shape)
                write_variable(file, name, dims, places, "f8", {})
        if len(shape) == 2:
            across = np.arange(shape[1]) * 2.0
            write_variable(file, "x_ac", dims[1:], across, "f8", {})
            write_variable(file, "cross_track_distance", dims[1:], across, "f8", {"units": "km"})
        if spec["mission"] is not None:
            write_variable(file, "mission", dims[:1], np.zeros(shape[:1]), spec["mission"], {})
        if spec["without"] != "height":
            attrs = {"units": spec["units"], "scale_factor": spec["scale"]}
            write_variable(file, spec["height"], dims, values, kind, attrs, spec["fill"])
            write_variable(file, "mdt", dims, np.zeros(shape), "f8", {"units": "m"})
    return values


def check_track_readers(path, spec):
    try:
        values = write_tracks(path, spec)
    except (ValueError, RuntimeError, TypeError, AttributeError, OverflowError, OSError):
        return  # NetCDF cannot even hold this
    if spec["damage"] is not None:
        spoil(path, spec["damage"], spec["seed"])
    trusted = spec["damage"] is None and spec["kind"] != "S1" and spec["units"] in TO_METRES
    trusted &= spec["scale"] is None or isinstance(spec["scale"], float)
    for name in TRACK_SOURCES:
        options = {}
        if name == "rads":
            options = {
                "missions": ("cryosat2",),
                "lat": (0.0, 80.0),
                "lon": (-10.0, 20.0),
                "period": ("1950-01-01", "2099-01-01"),
            }
        tracks = attempt(lambda file, n=name, o=options: SOURCES[n].read(file, **o), path)
        if tracks is None:
            continue
        event(f"read by {name}")
        assert isinstance(tracks, Tracks) and len(tracks)
        assert np.all(np.abs(tracks.height) <= 20) and np.all(np.abs(tracks.lat) <= 90)
        if trusted:
            factor = (1.0 if spec["scale"] is None else spec["scale"]) * TO_METRES[spec["units"]]
            near = np.abs(tracks.height[:, None] - (values * factor).ravel()).min(axis=1)
            assert np.all(near < 1e-5), name
    attempt(sniff, path)
    report = inspect_file(path)
    assert report.what and (report.sound or all(len(p) > 10 for p in report.problems))


@given(track_files())
@FAST
def test_track_readers_give_right_numbers_or_a_sentence(tmp_path, spec):
    check_track_readers(tmp_path / "tracks.nc", spec)


@pytest.mark.slow
@given(track_files())
@LONG
def test_track_readers_long(tmp_path, spec):
    check_track_readers(tmp_path / "tracks.nc", spec)


@given(st.binary(max_size=300), st.sampled_from(BEGINNINGS))
@settings(FAST, max_examples=100)
def test_any_bytes_are_refused_with_a_sentence(tmp_path, content, beginning):
    path = tmp_path / "noise.nc"
    path.write_bytes(beginning + content)
    for name in ("maps", "tracks", "dc2020a_reference", "cmems_l3"):
        assert attempt(SOURCES[name].read, path) is None
    assert not inspect_file(path).sound
