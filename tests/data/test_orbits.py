"""Ground tracks against published elements, the geometry of repeat orbits and real positions."""

from __future__ import annotations

import dataclasses
from typing import get_args

import numpy as np
import pytest
import xarray as xr

from pipeline_spde.config import MissionName
from pipeline_spde.data.orbits import (
    MISSIONS,
    SWOT_CALVAL,
    Orbit,
    Positions,
    ground_track,
    positions,
)
from pipeline_spde.grids import KM_PER_DEGREE, great_circle_km, wrap_longitude

DAY = np.timedelta64(1, "D")
START = np.datetime64("2012-10-01")
# what the mission pages publish: semi-major axis [km], distance of tracks at the equator [km]
PUBLISHED = {
    "jason3": (7714.4, 315.0),
    "geosat_follow_on": (7162.7, 164.0),
    "envisat": (7159.496, 80.0),
    "sentinel3a": (7178.0, 104.0),
    "cryosat2": (7095.3, 7.5),
    "swot_nadir": (7268.719, 137.0),
}
EVERY = list(MISSIONS)


def test_every_configurable_mission_has_an_orbit():
    assert {*MISSIONS, "gridded"} == set(get_args(MissionName))


@pytest.mark.parametrize("mission", PUBLISHED)
def test_precession_by_flattening_gives_the_published_axis_and_track_spacing(mission):
    axis, spacing = PUBLISHED[mission]
    orbit = MISSIONS[mission]
    assert orbit.semi_major_axis_km == pytest.approx(axis, abs=2.0)  # published ones are rounded
    assert orbit.node_spacing_km == pytest.approx(spacing, rel=0.01)


@pytest.mark.parametrize("orbit", [*MISSIONS.values(), SWOT_CALVAL], ids=[*EVERY, "calval"])
def test_repeat_period_agrees_with_the_theory_of_precession(orbit):
    # J2 alone is good to J2² ~ 1e-6 in the rates; 2e-5 of a day's turn is half a degree a year
    assert orbit.theoretical_repeat_days == pytest.approx(orbit.repeat_days, rel=2e-5)


@pytest.mark.parametrize("orbit", [*MISSIONS.values(), SWOT_CALVAL], ids=[*EVERY, "calval"])
def test_track_closes_after_a_cycle_and_not_before(orbit):
    seconds = np.linspace(0, 1e5, 300)
    lat, lon = orbit.track(seconds)
    later = orbit.track(seconds + orbit.repeat_days * 86400)
    assert great_circle_km(lat, lon, *later).max() < 1e-3
    half = orbit.track(seconds + orbit.repeat_days * 86400 / orbit.orbits_per_cycle)
    assert great_circle_km(lat, lon, *half).max() > 1000


@pytest.mark.parametrize("mission", ["jason3", "envisat", "swot_nadir", "geosat_follow_on"])
def test_ascending_nodes_of_a_cycle_divide_the_equator_evenly(mission):
    orbit = MISSIONS[mission]
    nodes = np.arange(orbit.orbits_per_cycle) * orbit.nodal_period_s
    lat, lon = orbit.track(nodes)
    assert np.abs(lat).max() < 1e-3
    gaps = np.diff(np.sort(lon))
    assert gaps == pytest.approx(360 / orbit.orbits_per_cycle, abs=1e-6)


@pytest.mark.parametrize("mission", EVERY)
def test_latitudes_turn_at_the_inclination(mission):
    orbit = MISSIONS[mission]
    lat, _ = orbit.track(np.linspace(0, 3 * orbit.nodal_period_s, 20001))
    turning = min(orbit.inclination_deg, 180 - orbit.inclination_deg)
    # geodetic latitude exceeds the geocentric one by up to 0.19 degrees
    assert turning < lat.max() < turning + 0.2
    assert lat.min() == pytest.approx(-lat.max(), abs=0.02)


@pytest.mark.parametrize(("mission", "hour"), [("envisat", 22.0), ("saral", 18.0)])
def test_sun_synchronous_orbits_keep_their_local_time(mission, hour):
    orbit = MISSIONS[mission]
    nodes = np.arange(0, 20000, 97) * orbit.nodal_period_s
    _, lon = orbit.track(nodes)
    at_node = np.datetime64(orbit.node_time, "ns")
    midnight = at_node.astype("datetime64[D]").astype("datetime64[ns]")
    first = (at_node - midnight) / np.timedelta64(1, "h")
    local = np.mod(first + nodes / 3600 + lon / 15, 24)
    assert local == pytest.approx(hour, abs=0.02)


def test_interleaved_topex_flies_midway_between_the_tracks_of_jason():
    orbit = MISSIONS["jason1"]
    nodes = np.arange(orbit.orbits_per_cycle) * orbit.nodal_period_s
    jason, topex = (np.sort(MISSIONS[n].track(nodes)[1]) for n in ("jason1", "topex_interleaved"))
    offset = np.mod(topex[:, None] - jason[None, :], 360).min(axis=1)
    assert offset == pytest.approx(180 / 127, abs=1e-3)


def test_sentinel3b_flies_140_degrees_off_sentinel3a():
    first, second = MISSIONS["sentinel3a"], MISSIONS["sentinel3b"]
    apart = first.seconds(np.array(np.datetime64(second.node_time)))
    phase = np.mod(360 * apart / first.nodal_period_s, 360)
    assert min(phase, 360 - phase) == pytest.approx(140, abs=2)


def test_cryosat_has_a_sub_cycle_of_a_month():
    days, shift = MISSIONS["cryosat2"].sub_cycle(below=32)
    assert days in (29, 30)
    assert shift < 40  # km: neighbouring tracks of the sub-cycle are 90 km apart
    with pytest.raises(ValueError, match="nodal days"):
        MISSIONS["cryosat2"].sub_cycle(below=1)


def _brute_force(mission: str, lat: tuple, lon: tuple, days: int) -> tuple[np.ndarray, np.ndarray]:
    time = START + np.arange(days * 86400) * np.timedelta64(1, "s")
    y, x = ground_track(mission, time)
    keep = (y >= lat[0]) & (y <= lat[1]) & (wrap_longitude(x, lon[0]) <= lon[1])
    return time[keep], y[keep]


@pytest.mark.parametrize(
    ("lat", "lon"),
    [
        ((32.0, 44.0), (-66.0, -54.0)),
        ((-10.0, 5.0), (170.0, 200.0)),
        ((70.0, 90.0), (0.0, 90.0)),
        ((-90.0, 90.0), (-180.0, 180.0)),
        ((10.0, 10.5), (294.0, 294.5)),
    ],
)
@pytest.mark.parametrize("mission", ["jason1", "cryosat2"])
def test_search_finds_every_sample_of_the_box(mission, lat, lon):
    days = 1 if lat[1] - lat[0] > 100 else 3
    found = positions(mission, START, START + days * DAY, lat, lon)
    time, y = _brute_force(mission, lat, lon, days)
    assert np.array_equal(found.time, time.astype("datetime64[ns]"))
    assert found.lat == pytest.approx(y, abs=1e-9)
    assert found.cross_track.max(initial=0.0) == 0


def test_samples_do_not_depend_on_the_box_or_the_period():
    wide = positions("swot_karin", START, START + 8 * DAY, (20, 50), (-80, -40), 7.0, 5.0)
    box = ((32.0, 44.0), (294.0, 306.0))
    narrow = positions("swot_karin", START + 2 * DAY, START + 5 * DAY, *box, 7.0, 5.0)
    inside = (wide.lat >= 32) & (wide.lat <= 44) & (wide.lon >= -66) & (wide.lon <= -54)
    inside &= (wide.time >= START + 2 * DAY) & (wide.time < START + 5 * DAY)
    cut = wide.select(inside)
    assert len(narrow) == len(cut) > 1000
    for name in ("time", "pass_id", "cross_track"):
        assert np.array_equal(getattr(narrow, name), getattr(cut, name))
    assert narrow.lon == pytest.approx(cut.lon, abs=1e-12)


def test_swath_covers_both_sides_from_10_to_60_km():
    swath = positions("swot_karin", START, START + DAY, (-30, 30), (-90, 90), 50.0, 5.0)
    right = 12.5 + 5.0 * np.arange(10)
    assert np.unique(swath.cross_track) == pytest.approx(np.sort(np.r_[-right, right]))
    lat, lon = ground_track("swot_karin", swath.time)
    distance = great_circle_km(lat, lon, swath.lat, swath.lon)
    assert distance == pytest.approx(np.abs(swath.cross_track), abs=5e-3)
    after = ground_track("swot_karin", swath.time + np.timedelta64(1, "s"))
    north, east = after[0] - lat, (after[1] - lon) * np.cos(np.radians(lat))
    off_north, off_east = swath.lat - lat, (swath.lon - lon) * np.cos(np.radians(lat))
    safe = np.abs(lat) < 29  # plane geometry holds there
    sine = (east * off_north - north * off_east) / np.hypot(north, east)
    turned = sine[safe] * KM_PER_DEGREE
    assert turned == pytest.approx(-swath.cross_track[safe], abs=0.3)  # right is positive


def test_swath_lines_are_spaced_as_asked():
    swath = positions("swot_karin", START, START + DAY, (0, 40), (-180, 180), 7.0, 5.0)
    line = swath.select((swath.cross_track == 12.5) & (swath.pass_id == swath.pass_id[0]))
    step = great_circle_km(line.lat[:-1], line.lon[:-1], line.lat[1:], line.lon[1:])
    assert step == pytest.approx(7.0, rel=0.1)  # the Earth's rotation adds a few per cent


def test_nadir_samples_are_one_second_and_six_to_seven_km_apart():
    track = positions("jason1", START, START + DAY, (-67, 67), (-180, 180))
    assert np.diff(track.time).max() == np.timedelta64(1, "s")
    step = great_circle_km(track.lat[:-1], track.lon[:-1], track.lat[1:], track.lon[1:])
    assert 5.4 < step.min() < step.max() < 6.5
    assert np.unique(track.pass_id).size in (25, 26, 27)  # 12.8 orbits a day
    assert track.pass_id.min() > 0


def test_passes_run_from_turn_to_turn():
    track = positions("envisat", START, START + DAY, (-90, 90), (-180, 180))
    for number in np.unique(track.pass_id)[1:-1]:
        climb = np.diff(track.lat[track.pass_id == number])[3:-3]
        assert np.all(climb > 0) or np.all(climb < 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sputnik", START, START + DAY, (0, 1), (0, 1)), "no orbit of mission 'sputnik'"),
        (("jason1", START, START, (0, 1), (0, 1)), "empty box or period"),
        (("jason1", START, START + DAY, (1, 1), (0, 1)), "empty box or period"),
        (("jason1", START, START + DAY, (0, 1), (0, 361)), "empty box or period"),
        (("jason1", START, START + DAY, (0, 1), (0, 1), None, 5.0), "has no swath"),
        (("jason1", START, START + DAY, (0, 1), (0, 1), -1.0), "along_km must be positive"),
        (("swot_karin", START, START + DAY, (0, 1), (0, 1)), "is a swath"),
        (("swot_karin", START, START + DAY, (0, 1), (0, 1), 7.0, 51.0), "across_km must lie"),
    ],
)
def test_impossible_requests_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        positions(*arguments)


def test_a_box_that_is_never_reached_has_no_samples():
    nothing = positions("jason1", START, START + DAY, (80, 85), (0, 10))
    assert len(nothing) == 0
    assert len(Positions.joined([nothing, nothing])) == 0


# --- real positions ---


def cross_track_km(orbit: Orbit, seconds, lat, lon) -> np.ndarray:
    """Distance of points to the track in km: slide along it to the nearest point, then measure.

    Timing does not count: satellites are kept on their track, not on their timetable.
    """
    moment = np.array(seconds, dtype=np.float64)
    for _ in range(6):
        here, ahead = orbit.track(moment), orbit.track(moment + 0.5)
        scale = np.cos(np.radians(lat))
        speed = 2 * (ahead[0] - here[0]), 2 * wrap_longitude(ahead[1] - here[1]) * scale
        off = lat - here[0], wrap_longitude(lon - here[1]) * scale
        squared = speed[0] ** 2 + speed[1] ** 2
        moment += np.clip((off[0] * speed[0] + off[1] * speed[1]) / squared, -200, 200)
    return KM_PER_DEGREE * np.abs(off[0] * speed[1] - off[1] * speed[0]) / np.sqrt(squared)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "orbit"), [("science", MISSIONS["swot_nadir"]), ("calval", SWOT_CALVAL)]
)
def test_swot_track_is_the_reference_ephemeris(real_data, name, orbit):
    """Measured: 0.02 km at most, 0.01 km in the median; bound 0.1 km."""
    with xr.open_dataset(real_data / f"swot_ephemeris_{name}.nc", decode_times=False) as data:
        time, lat, lon = (data[key].values for key in ("time", "lat", "lon"))
        assert data.attrs["cycle_duration_days"] == pytest.approx(orbit.repeat_days)
    start = {"science": 3090.950, "calval": 3069.728}[name]  # s from its start to our node
    distance = great_circle_km(lat, lon, *orbit.track(time - start))
    assert distance.max() < 0.25  # along the track too
    assert cross_track_km(orbit, time - start, lat, wrap_longitude(lon)).max() < 0.1


def _positions_of(folder, file: str, code: int | None = None):
    with xr.open_dataset(folder / file) as data:
        names = ("lat", "lon") if "lat" in data.variables else ("latitude", "longitude")
        keep = slice(None) if code is None else data["mission"].values == code
        time, lat, lon = (data[key].values[keep] for key in ("time", *names))
    return time, lat, wrap_longitude(lon)


STATION_KEPT = [
    # file, code, mission, bound on the largest cross-track distance in km (measured)
    ("nasa_ssh_refmission_global_20220101_10.nc", None, "jason3", 1.0),  # 0.39
    ("rads_alongtrack_natl_2022.nc", 1, "jason3", 1.5),  # 0.74
    ("rads_alongtrack_natl_2022.nc", 3, "sentinel3a", 2.0),  # 1.12 in 287 days
    ("sentinel6_l2_global_20231217.nc", None, "jason3", 1.5),  # 0.79, same track
    ("cmems_l3_wmed_2021q1_s3a.nc", None, "sentinel3a", 0.5),  # 0.07
    ("cmems_l3_wmed_2021q1_s3b.nc", None, "sentinel3b", 0.5),  # 0.07
    ("cmems_l3_wmed_2021q1_j3.nc", None, "jason3", 1.0),  # 0.26
]


@pytest.mark.realdata
@pytest.mark.parametrize(("file", "code", "mission", "bound"), STATION_KEPT)
def test_real_altimeters_fly_our_tracks(real_data, file, code, mission, bound):
    """Satellites are kept within 1 km of their track at the equator; we allow our own share."""
    time, lat, lon = (array[::7] for array in _positions_of(real_data, file, code))
    orbit = MISSIONS[mission]
    distance = cross_track_km(orbit, orbit.seconds(time), lat, lon)
    assert distance.max() < bound
    assert np.median(distance) < 0.6 * bound


# SARAL (since 2016) and CryoSat-2 (2022) drift: their own revolutions per nominal cycle, node and
# inclination, fitted to ten days from 22 January 2022 on. The bound tests the shape of the track.
DRIFTING = {
    "saral": {
        "orbits_per_cycle": 500.93087413,
        "nodal_days": 35.00006124,
        "inclination_deg": 98.5446,
        "eccentricity": 0.001065,
        "node_time": "2022-01-22T08:40:53.845216",
        "node_longitude_deg": -41.75261740,
    },
    "cryosat2": {
        "orbits_per_cycle": 5342.99599673,
        "nodal_days": 369.00083123,
        "repeat_days": 368.24,
        "inclination_deg": 92.0252,
        "eccentricity": 0.001357,
        "node_time": "2022-01-22T01:48:02.550381",
        "node_longitude_deg": 100.22416905,
    },
}


@pytest.mark.realdata
@pytest.mark.parametrize(("mission", "code"), [("saral", 2), ("cryosat2", 0)])
def test_drifting_altimeters_have_our_track_geometry(real_data, mission, code):
    time, lat, lon = _positions_of(real_data, "rads_alongtrack_natl_2022.nc", code)
    early = time < time[0] + np.timedelta64(10, "D")
    time, lat, lon = (array[early][::5] for array in (time, lat, lon))
    orbit = dataclasses.replace(MISSIONS[mission], **DRIFTING[mission])
    distance = cross_track_km(orbit, orbit.seconds(time), lat, lon)
    assert distance.max() < 0.5  # measured 0.31
    assert np.median(distance) < 0.15  # measured 0.08


@pytest.mark.realdata
def test_cryosat_phase_is_that_of_january_2022(real_data):
    time, lat, lon = _positions_of(real_data, "rads_alongtrack_natl_2022.nc", 0)
    first = time < time[0] + DAY
    orbit = MISSIONS["cryosat2"]
    distance = cross_track_km(orbit, orbit.seconds(time[first]), lat[first], lon[first])
    assert distance.max() < 6.0  # the nominal orbit: tracks are 7.5 km apart
    assert np.median(distance) < 3.0


@pytest.mark.realdata
def test_real_swot_pixels_lie_where_our_swath_has_them(real_data):
    """One pass of the one-day orbit; the cross-track distance of every pixel is in the file."""
    with xr.open_dataset(real_data / "swot_l3_karin_wmed_pass003.nc") as data:
        lat, lon, stated = (data[key].values for key in ("lat", "lon", "cross_track_distance"))
    inner = np.abs(stated) == 10
    lines = np.flatnonzero(inner.sum(axis=1) == 2)
    # the track is midway between the two inner pixels of a line: this tells our instant
    middle_lat, middle_lon = (
        np.array([field[line, inner[line]].mean() for line in lines])
        for field in (lat, wrap_longitude(lon))
    )
    dense = np.arange(0, SWOT_CALVAL.repeat_days * 86400, 10.0)
    track = SWOT_CALVAL.track(dense)
    start = dense[great_circle_km(middle_lat[0], middle_lon[0], *track).argmin()]
    close = np.abs(dense - start) < 600  # this pass, not those that cross it
    track, dense = (track[0][close], track[1][close]), dense[close]
    near = np.array(
        [
            dense[great_circle_km(y, x, *track).argmin()]
            for y, x in zip(middle_lat, middle_lon, strict=True)
        ]
    )
    known = np.isfinite(stated[lines]) & (np.abs(stated[lines]) >= 10)
    near = np.broadcast_to(near[:, None], known.shape)[known]
    lat, lon, stated = (field[lines][known] for field in (lat, wrap_longitude(lon), stated))
    distance = cross_track_km(SWOT_CALVAL, near, lat, lon)
    assert np.abs(distance - np.abs(stated)).max() < 2.5  # km: station keeping, and the plane
    assert np.median(np.abs(distance - np.abs(stated))) < 1.5
