"""Ground tracks and sampling of radar altimeters from their published orbital elements.

`MISSIONS` holds the orbits (`orbit_mechanics.Orbit` has the equations), `ground_track` gives nadir
points at instants and `positions` what a mission samples in a box. How far this is from real
tracks, and for which missions the phase is known, is measured in docs/observations.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.data.orbit_mechanics import DAY_S, ORIGIN, Degrees, Orbit, Seconds
from pipeline_spde.grids import EARTH_RADIUS_KM, wrap_longitude

# Sources of the elements: repeat, orbits, inclination, altitude as published by
#   AVISO+ mission pages (aviso.altimetry.fr/en/missions), "orbit": Topex, Jason-1, GFO, SWOT;
#   altimetry.info: Jason-3, Sentinel-3; SARAL;
#   TU Delft (deos.tudelft.nl/ers/phases/phase_c.html): the 35-day track of ERS, Envisat and SARAL,
#   with e = 0.001165 and the node of track 249 at 243.0078°E, hence of track 1 at 0.1335°E;
#   ESA Sentinel-3 user guide: 98.65°, 27 days, 385 orbits, 10:00 descending, B 140° off A;
#   DGFI-TUM OpenADB: CryoSat-2: 369 (nodal) days, 5344 orbits, 92.03°, e = 0.0014;
#   Mitchell 1999 (Am. Astronaut. Soc. paper 99-180): Geosat Follow-On: 17 (nodal) days,
#   244 orbits, 108°, e = 0.001.
# Phases (node_time, node_longitude_deg) are fits to real positions where the comment says so.
_REFERENCE = Orbit(
    # Fitted to the reference mission of 1-10 January 2022 (Jason-3). The satellites of this track
    # followed one another within minutes; 9.91564 days is the mean repeat from 2021 to 2023.
    orbits_per_cycle=127,
    nodal_days=10,
    repeat_days=9.91564,
    inclination_deg=66.04,
    eccentricity=0.000095,
    node_time="2022-01-01T01:05:59.332",
    node_longitude_deg=159.44885,
)
_ERS_TRACK = Orbit(
    # Track 1 of the ERS numbering. Local time of the ascending node: 22:00 (Envisat). The day of
    # the 35-day cycle on which it is flown is our choice.
    orbits_per_cycle=501,
    nodal_days=35,
    repeat_days=35.0,
    inclination_deg=98.5429,
    eccentricity=0.001165,
    node_time="2003-01-01T21:59:27.960",
    node_longitude_deg=0.1335,
)
_SENTINEL3A = Orbit(
    # Fitted to 2022; 98.627° (published: 98.65°) is what real tracks of 2021 and 2022 follow.
    orbits_per_cycle=385,
    nodal_days=27,
    repeat_days=27.0,
    inclination_deg=98.627,
    eccentricity=0.00115,
    node_time="2022-01-22T02:53:15.702",
    node_longitude_deg=-73.24519,
)
_SWOT = Orbit(
    # Fitted to the science ephemeris of September 2015; the cycle is placed so that pass 1 starts
    # with the science phase, on 2023-07-21 05:33:45.
    orbits_per_cycle=292,
    nodal_days=21,
    repeat_days=20.86455,
    inclination_deg=77.6,
    eccentricity=0.00105,
    node_time="2023-07-21T05:59:28.400",
    node_longitude_deg=22.36318,
)
SWOT_CALVAL = Orbit(
    # Fitted to the calibration ephemeris of June 2015: seconds count from its start.
    orbits_per_cycle=14,
    nodal_days=1,
    repeat_days=0.99349,
    inclination_deg=77.6,
    eccentricity=0.00105,
    node_time="2023-03-28T00:51:09.728",
    node_longitude_deg=48.16565,
    swath_km=(10.0, 60.0),
)
_INTERLEAVE_DEG = 180.0 / 127  # half the distance between neighbouring reference tracks

MISSIONS: dict[str, Orbit] = {
    # The orbital plane of Jason-1, 338 s later: tracks midway between the reference tracks, as
    # flown from September 2002 on.
    "topex_interleaved": replace(
        _REFERENCE,
        node_time="2022-01-01T01:11:37.035",
        node_longitude_deg=_REFERENCE.node_longitude_deg - _INTERLEAVE_DEG,
    ),
    "jason1": _REFERENCE,
    # Orbital elements only: no public positions at hand, the phase is our choice.
    "geosat_follow_on": Orbit(244, 17, 17.05069, 108.04, 0.001, "2003-01-01T00:00:00", 0.0),
    "envisat": _ERS_TRACK,
    # The nominal track of SARAL (until July 2016); it has drifted freely since. Local time of the
    # ascending node: 18:00.
    "saral": replace(_ERS_TRACK, node_time="2013-03-14T17:59:27.960"),
    "sentinel3a": _SENTINEL3A,
    # Fitted to the first quarter of 2021.
    "sentinel3b": replace(
        _SENTINEL3A, node_time="2021-01-01T10:46:09.191", node_longitude_deg=168.46898
    ),
    # Nominal 369-day orbit with the phase of 22 January 2022. CryoSat-2 was raised by 0.9 km in
    # July 2020: in 2022 its tracks leave those of the nominal orbit by about 7 km a day.
    "cryosat2": Orbit(5344, 369, 368.24064, 92.03, 0.0014, "2022-01-22T01:48:08.592", 100.20264),
    "jason3": _REFERENCE,
    "swot_nadir": _SWOT,
    "swot_karin": replace(_SWOT, swath_km=(10.0, 60.0)),
}

_COARSE_S = 30.0  # step of the search for passes over a box


@dataclass(frozen=True, eq=False)
class Positions:
    """Where and when a mission samples; no heights.

    Attributes:
        time: UTC, non-decreasing, datetime64[ns], shape (obs,).
        lat: degrees north, shape (obs,).
        lon: degrees east in [-180, 180), shape (obs,).
        pass_id: half-orbit since 1990, shape (obs,).
        cross_track: distance from nadir in km, positive to the right of flight, shape (obs,).
    """

    time: NDArray[np.datetime64]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    pass_id: NDArray[np.int32]
    cross_track: NDArray[np.float32]

    def __len__(self) -> int:
        return int(self.time.size)

    def select(self, keep: NDArray[np.bool_]) -> Positions:
        """Return the samples where `keep` (obs,) is True."""
        names = ("time", "lat", "lon", "pass_id", "cross_track")
        return Positions(*(getattr(self, name)[keep] for name in names))

    @classmethod
    def joined(cls, parts: list[Positions]) -> Positions:
        """Return the samples of `parts` one after the other."""
        if not parts:
            empty = np.zeros(0)
            time = empty.astype("datetime64[ns]")
            return cls(time, empty, empty, empty.astype(np.int32), empty.astype(np.float32))
        names = ("time", "lat", "lon", "pass_id", "cross_track")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def orbit_of(mission: str) -> Orbit:
    """Return the orbit of a mission; an unknown name is a ValueError that lists the known ones."""
    if mission not in MISSIONS:
        raise ValueError(f"no orbit of mission {mission!r}; known are {', '.join(MISSIONS)}")
    return MISSIONS[mission]


def ground_track(mission: str, time: NDArray[np.datetime64]) -> tuple[Degrees, Degrees]:
    """Return (latitude, longitude in [-180, 180)) of the nadir point at instants, in degrees."""
    orbit = orbit_of(mission)
    return orbit.track(orbit.seconds(time))


def positions(
    mission: str,
    start: np.datetime64,
    end: np.datetime64,
    lat: tuple[float, float],
    lon: tuple[float, float],
    along_km: float | None = None,
    across_km: float | None = None,
) -> Positions:
    """Return the samples of a mission within a box and the period [start, end).

    A nadir altimeter samples once a second (6 to 7 km) unless `along_km` is given. A swath is
    cut into pixels of `along_km` x `across_km` whose centres fill both sides of it. Instants are
    multiples of the sampling step since 1990, so they do not depend on period and box.

    Args:
        mission: a key of `MISSIONS`.
        start: first instant.
        end: instant after the last one.
        lat: (south, north) in degrees.
        lon: (west, east) in degrees, on any circle; may cross the date line, at most 360 wide.
        along_km: distance between samples along the track.
        across_km: width of a swath pixel; only for a swath, which needs both.

    Raises:
        ValueError: unknown mission, empty box or period, or pixel sizes that do not fit it.
    """
    orbit = orbit_of(mission)
    offsets = _cross_track_offsets(mission, orbit, along_km, across_km)
    first, last = (_since_origin(when) for when in (start, end))
    if last <= first or lat[1] <= lat[0] or not 0 < lon[1] - lon[0] <= 360:
        raise ValueError(f"empty box or period: {start} to {end}, lat {lat}, lon {lon}")
    step = 1.0 if along_km is None else along_km / orbit.ground_speed_km_s
    parts = []
    for begin in np.arange(first, last, DAY_S):  # a day at a time bounds the memory
        sample = _sample_day(orbit, begin, min(begin + DAY_S, last), step, lat, lon, offsets)
        if len(sample):
            parts.append(sample)
    return Positions.joined(parts)


def _cross_track_offsets(
    mission: str, orbit: Orbit, along_km: float | None, across_km: float | None
) -> NDArray[np.float64]:
    """Return the pixel centres across the track in km; a single 0 for a nadir altimeter."""
    if along_km is not None and along_km <= 0:
        raise ValueError(f"along_km must be positive, got {along_km}")
    if orbit.swath_km is None:
        if across_km is not None:
            raise ValueError(f"{mission} has no swath; leave across_km out (got {across_km})")
        return np.zeros(1)
    if along_km is None or across_km is None:
        raise ValueError(f"{mission} is a swath: give along_km and across_km of its pixels")
    inner, outer = orbit.swath_km
    if not 0 < across_km <= outer - inner:
        raise ValueError(f"across_km must lie in (0, {outer - inner}], got {across_km}")
    count = int((outer - inner) / across_km + 1e-9)
    right = inner + across_km * (np.arange(count) + 0.5)
    return np.concatenate([-right[::-1], right])


def _since_origin(when: np.datetime64) -> float:
    """Return an instant as seconds since 1990."""
    elapsed = np.asarray(when, dtype="datetime64[ns]") - ORIGIN
    return float(elapsed / np.timedelta64(1, "ns") * 1e-9)


def _sample_day(
    orbit: Orbit,
    low: float,
    high: float,
    step: float,
    lat: tuple[float, float],
    lon: tuple[float, float],
    offsets: NDArray[np.float64],
) -> Positions:
    """Return the samples of at most a day: coarse search for passes, fine steps only there.

    `low` and `high` bound the period in seconds since 1990; the rest is as in `positions`.
    """
    shift = float(orbit.seconds(np.array(ORIGIN)))  # seconds since 1990 -> since node_time
    coarse = np.arange(low, high + _COARSE_S, _COARSE_S)
    reach = _COARSE_S * 1.2 * orbit.ground_speed_km_s + float(np.abs(offsets).max())
    close = _in_box(*orbit.track(coarse + shift), *_padded(lat, lon, reach))
    index = np.arange(np.ceil(low / step), np.ceil(high / step))
    seconds = index[close[((index * step - low) / _COARSE_S).astype(int)]] * step
    y, x = _swath(orbit, seconds + shift, offsets)
    keep = _in_box(y, x, lat, lon)
    line, pixel = np.nonzero(keep)
    instants = ORIGIN + np.round(seconds[line] * 1e9).astype("timedelta64[ns]")
    number = orbit.pass_number(seconds + shift)[line]
    return Positions(instants, y[keep], x[keep], number, offsets[pixel].astype(np.float32))


def _swath(orbit: Orbit, seconds: Seconds, offsets: NDArray[np.float64]) -> tuple[Degrees, Degrees]:
    """Return (lat, lon) of points beside the track, shape (line, pixel), along great circles."""
    lat, lon = orbit.track(seconds)
    if offsets.size == 1 and offsets[0] == 0:
        return lat[:, None], lon[:, None]
    here = _unit_vectors(lat, lon)
    forward = _unit_vectors(*orbit.track(seconds + 0.5)) - _unit_vectors(
        *orbit.track(seconds - 0.5)
    )
    right = np.cross(forward, here)
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    angle = (offsets / EARTH_RADIUS_KM)[None, :, None]
    point = np.cos(angle) * here[:, None] + np.sin(angle) * right[:, None]  # (line, pixel, 3)
    y = np.degrees(np.arcsin(np.clip(point[..., 2], -1, 1)))
    return y, wrap_longitude(np.degrees(np.arctan2(point[..., 1], point[..., 0])))


def _unit_vectors(lat: Degrees, lon: Degrees) -> NDArray[np.float64]:
    """Return unit vectors of points on a sphere, shape (..., 3)."""
    phi, lam = np.radians(lat), np.radians(lon)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def _padded(
    lat: tuple[float, float], lon: tuple[float, float], reach_km: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the box widened by a distance; near a pole it becomes a whole cap."""
    dlat = np.degrees(reach_km / EARTH_RADIUS_KM)
    south, north = lat[0] - dlat, lat[1] + dlat
    polar = max(abs(south), abs(north))
    dlon = 360.0 if polar >= 89.0 else dlat / np.cos(np.radians(polar))
    if lon[1] - lon[0] + 2 * dlon >= 360:
        return (south, north), (-180.0, 180.0)
    return (south, north), (lon[0] - dlon, lon[1] + dlon)


def _in_box(
    lat: Degrees, lon: Degrees, lat_bounds: tuple[float, float], lon_bounds: tuple[float, float]
) -> NDArray[np.bool_]:
    inside = (lat >= lat_bounds[0]) & (lat <= lat_bounds[1])
    return np.asarray(inside & (wrap_longitude(lon, lon_bounds[0]) <= lon_bounds[1]))
