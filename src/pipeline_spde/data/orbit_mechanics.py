"""Motion of a satellite on an exact-repeat orbit, seen from the ground.

The orbit is near-circular and frozen (perigee at the northernmost point). Seen from the rotating
Earth, its ascending node moves by exactly `nodal_days` turns while the satellite makes
`orbits_per_cycle` revolutions, in `repeat_days` days, after which the track closes:

    L = 2π N (t − t₀)/T                                 mean argument of latitude
    u = L + 2e (1 − cos L) − ⅛ J (6 − 7 sin²i) sin 2u   equation of the centre, J2
    i' = i + ⅜ J sin 2i cos 2u
    λ = λ₀ − 2π D (t − t₀)/T + ¾ J cos i sin 2u + atan2(cos i' sin u, cos u)

with J = J₂ (R/a)². The terms in J are the short-period perturbations by the Earth's flattening as
SGP4 has them (Hoots and Roehrich 1980, Spacetrack Report No. 3, section 6) and the semi-major axis
a is the one for which nodal precession and mean motion give the exact repeat. Latitudes are
geodetic (WGS84). What this leaves out stays below 2 km: see docs/observations.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.grids import EARTH_RADIUS_KM, wrap_longitude

GRAVITY_KM3_S2 = 398600.4418  # GM of the Earth (WGS84)
EQUATOR_KM = 6378.137  # equatorial radius (WGS84)
FLATTENING = 1 / 298.257223563  # WGS84
J2 = 1.08262668e-3  # second zonal harmonic (EGM96)
EARTH_RATE = 7.2921158553e-5  # rotation of the Earth in rad/s
DAY_S = 86400.0
ORIGIN = np.datetime64("1990-01-01", "ns")  # samples and passes of all missions count from here

Seconds = NDArray[np.float64]
Degrees = NDArray[np.float64]


@dataclass(frozen=True)
class Orbit:
    """An exact-repeat orbit and the instrument's footprint.

    Attributes:
        orbits_per_cycle: revolutions N until the track closes.
        nodal_days: turns D of the Earth relative to the orbital plane until the track closes.
        repeat_days: duration T of that cycle in days of 86400 s.
        inclination_deg: mean inclination.
        eccentricity: mean eccentricity of the frozen orbit.
        node_time: instant (UTC, ISO) of one ascending pass over the equator.
        node_longitude_deg: longitude of that pass in degrees east.
        swath_km: (inner, outer) distance from nadir of a two-sided swath; None: nadir only.
    """

    orbits_per_cycle: int
    nodal_days: int
    repeat_days: float
    inclination_deg: float
    eccentricity: float
    node_time: str
    node_longitude_deg: float
    swath_km: tuple[float, float] | None = None

    @property
    def nodal_period_s(self) -> float:
        """Time between two ascending passes over the equator in s."""
        return self.repeat_days * DAY_S / self.orbits_per_cycle

    @cached_property
    def semi_major_axis_km(self) -> float:
        """Semi-major axis for which J2 precession gives the exact repeat, in km.

        Fixed point of (n + ΔM + Δω)(a) / (ω_E − ΔΩ(a)) = N / D for a circular orbit, with
        ΔΩ = −3/2 n J cos i and ΔM + Δω = 3/2 n J (4 cos² i − 1).
        """
        cosine = np.cos(np.radians(self.inclination_deg))
        axis = 7200.0
        for _ in range(60):  # contracts by about 1e-2 a step
            rate = np.sqrt(GRAVITY_KM3_S2 / axis**3)
            factor = 1.5 * J2 * (EQUATOR_KM / axis) ** 2
            along = rate * (1 + factor * (4 * cosine**2 - 1))
            wanted = (EARTH_RATE + factor * rate * cosine) * self.orbits_per_cycle / self.nodal_days
            axis *= (along / wanted) ** (2 / 3)
        return float(axis)

    @property
    def altitude_km(self) -> float:
        """Semi-major axis less the equatorial radius in km."""
        return self.semi_major_axis_km - EQUATOR_KM

    @property
    def theoretical_repeat_days(self) -> float:
        """Duration of the cycle that J2 theory gives, to compare with `repeat_days`."""
        rate = np.sqrt(GRAVITY_KM3_S2 / self.semi_major_axis_km**3)
        factor = 1.5 * J2 * (EQUATOR_KM / self.semi_major_axis_km) ** 2
        precession = -factor * rate * np.cos(np.radians(self.inclination_deg))
        return float(2 * np.pi * self.nodal_days / (EARTH_RATE - precession) / DAY_S)

    @property
    def node_spacing_km(self) -> float:
        """Distance at the equator between neighbouring ascending tracks of a full cycle in km."""
        return 2 * np.pi * EQUATOR_KM / self.orbits_per_cycle

    @property
    def ground_speed_km_s(self) -> float:
        """Mean speed of the nadir point on a fixed Earth in km/s."""
        return 2 * np.pi * EARTH_RADIUS_KM / self.nodal_period_s

    def sub_cycle(self, below: int) -> tuple[int, float]:
        """Return the near-repeat (nodal days, node shift in km) with the smallest shift.

        Args:
            below: only repeats shorter than this many nodal days are considered.
        """
        if not 1 < below <= self.nodal_days:
            raise ValueError(f"below must lie in 2..{self.nodal_days} nodal days, got {below}")
        days = np.arange(1, below)
        turns = days * self.orbits_per_cycle / self.nodal_days
        shift = np.abs(turns - np.round(turns)) * self.nodal_days / self.orbits_per_cycle
        best = int(np.argmin(shift))
        return int(days[best]), float(shift[best] * 2 * np.pi * EQUATOR_KM)

    def seconds(self, time: NDArray[np.datetime64]) -> Seconds:
        """Return instants as seconds since `node_time`."""
        elapsed = np.asarray(time, dtype="datetime64[ns]") - np.datetime64(self.node_time, "ns")
        return np.asarray(elapsed / np.timedelta64(1, "ns") * 1e-9)

    def track(self, seconds: Seconds) -> tuple[Degrees, Degrees]:
        """Return (latitude, longitude in [-180, 180)) of nadir at `seconds` after `node_time`."""
        cycles = np.asarray(seconds, dtype=np.float64) / (self.repeat_days * DAY_S)
        mean = 2 * np.pi * np.mod(cycles * self.orbits_per_cycle, 1.0)
        inclination = np.radians(self.inclination_deg)
        flatness = J2 * (EQUATOR_KM / self.semi_major_axis_km) ** 2
        angle = mean + 2 * self.eccentricity * (1 - np.cos(mean))
        double = np.sin(2 * angle)
        tilt = inclination + 0.375 * flatness * np.sin(2 * inclination) * np.cos(2 * angle)
        node = 0.75 * flatness * np.cos(inclination) * double
        angle = angle - flatness / 8 * (6 - 7 * np.sin(inclination) ** 2) * double
        turned = 2 * np.pi * np.mod(cycles * self.nodal_days, 1.0)
        longitude = node - turned + np.arctan2(np.cos(tilt) * np.sin(angle), np.cos(angle))
        radius = self.semi_major_axis_km * (1 - self.eccentricity * np.sin(mean))
        latitude = _geodetic_latitude(radius, np.sin(tilt) * np.sin(angle))
        return latitude, wrap_longitude(self.node_longitude_deg + np.degrees(longitude))

    def pass_number(self, seconds: Seconds) -> NDArray[np.int32]:
        """Return the number of the half-orbit (pole to pole), counted from 1990-01-01."""
        since_1990 = float(self.seconds(np.array(ORIGIN)))
        half = self.nodal_period_s / 2
        halves = np.floor(np.asarray(seconds) / half + 0.5) - np.floor(since_1990 / half + 0.5)
        return halves.astype(np.int32)


def _geodetic_latitude(radius: Seconds, sine: Seconds) -> Degrees:
    """Return the geodetic latitude of a satellite (Bowring 1976, one step: error < 1e-8°).

    Args:
        radius: distance from the centre of the Earth in km.
        sine: sine of the geocentric latitude.
    """
    polar = EQUATOR_KM * (1 - FLATTENING)
    squared = FLATTENING * (2 - FLATTENING)
    height = radius * sine
    axis_distance = radius * np.sqrt(np.maximum(1 - sine**2, 0.0))
    reduced = np.arctan2(height * EQUATOR_KM, axis_distance * polar)
    upper = height + squared / (1 - squared) * polar * np.sin(reduced) ** 3
    lower = axis_distance - squared * EQUATOR_KM * np.cos(reduced) ** 3
    return np.degrees(np.arctan2(upper, lower))
