"""The random ocean of `source: spde` (data/spde_ocean.py): its currents, scales and noise.

Numbers are rounded from the literature named beside them, then checked against the variability of
gridded altimetry (docs/global.md has the comparison).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pipeline_spde.config.types import Positive
from pipeline_spde.periods import FrozenModel

Place = tuple[
    Annotated[float, Field(ge=-90, le=90)],
    Annotated[float, Field(ge=-360, le=360)],
]
"""(degrees north, degrees east)."""


class CurrentConfig(FrozenModel):
    """A strip of energetic eddies along a path, given in the direction of the mean flow."""

    path: Annotated[tuple[Place, ...], Field(min_length=2)]
    """Corners (degrees north, degrees east), joined by great circles."""
    width_km: Positive
    """Distance from the path at which the weight of the current has fallen to 1/e."""
    sigma_m: Positive
    """Standard deviation on the path, added to that of its surroundings in variance, m."""
    speed: float = Field(0.0, ge=0, le=1)
    """Speed at which the mean flow carries eddies along the path, m/s."""


def _current(
    path: tuple[Place, ...], width_km: float, sigma_m: float, speed: float = 0.0
) -> CurrentConfig:
    return CurrentConfig(path=path, width_km=width_km, sigma_m=sigma_m, speed=speed)


def default_currents() -> dict[str, CurrentConfig]:
    """Return the strong and the moderate eddy fields of the world ocean.

    Paths follow the mean currents of atlases of eddy kinetic energy (Ducet, Le Traon and Reverdin
    2000, doi:10.1029/2000JC900063); eddies move along them at a few cm/s, slower than the water
    (Fu 2009, doi:10.1029/2009JC005367).
    """
    return {
        "gulf_stream": _current(
            ((27, -79.5), (31, -79), (35, -75), (37.5, -70), (39, -62), (40, -52), (47, -43)),
            430, 0.26, 0.06,
        ),
        "kuroshio": _current(
            ((22, 123), (27, 126.5), (31, 132), (34, 139), (35.5, 145), (35.5, 155), (36, 178)),
            400, 0.25, 0.05,
        ),
        "agulhas": _current(
            ((-30, 32), (-34, 27), (-38, 20), (-40, 16), (-40, 22), (-40, 32), (-41, 65)),
            350, 0.26, 0.05,
        ),
        "agulhas_rings": _current(((-37, 15), (-33, 5), (-29, -8)), 300, 0.10),
        "brazil_malvinas": _current(
            ((-34, -51), (-38, -54), (-42, -54), (-46, -52), (-45, -45)), 380, 0.24, 0.02
        ),
        "east_australian": _current(
            ((-24, 155), (-29, 154.5), (-34, 152.5), (-36, 154), (-34, 170)), 330, 0.17, 0.03
        ),
        "mozambique": _current(((-12, 44), (-17, 41), (-23, 37), (-28, 35)), 300, 0.15, 0.04),
        "gulf_of_mexico": _current(((21, -86), (25, -86.5), (26, -90), (25, -94)), 250, 0.20),
        "caribbean": _current(((13, -64), (14.5, -72), (16, -80)), 250, 0.11, 0.1),
        "tehuantepec": _current(((13, -94), (11, -104)), 300, 0.10),
        "north_pacific_countercurrent": _current(
            ((22, 123), (22, 150), (22, 180), (21, -160)), 650, 0.09
        ),
        "south_indian": _current(((-26, 112), (-25, 90), (-24, 70), (-25, 52)), 550, 0.08),
        "tropical_indian": _current(((-11, 105), (-11, 85), (-9, 60)), 500, 0.08),
        "tropical_pacific": _current(((5, -95), (6, -130), (6, -170), (7, 140)), 600, 0.06),
        "antarctic_circumpolar": _current(
            (
                (-50, -45), (-48, -20), (-49, 0), (-45, 25), (-45, 45), (-46, 60), (-47, 75),
                (-48, 90), (-50, 110), (-52, 130), (-54, 145), (-56, 160), (-60, 178),
                (-57, -155), (-55, -130), (-56, -110), (-58, -90), (-58, -70), (-54, -52),
                (-50, -45),
            ),
            500, 0.09, 0.05,
        ),
    }  # fmt: skip


class SpdeOceanConfig(FrozenModel):
    """A global ocean drawn from the SPDE prior with parameters that vary in space."""

    quiet_sigma_m: Positive = 0.035
    """Standard deviation far from all currents, m (Stammer 1997,
    doi:10.1175/1520-0485(1997)027<1743:GCOOVE>2.0.CO;2)."""
    currents: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], CurrentConfig] = Field(
        default_factory=default_currents
    )
    """Name -> where eddies are energetic."""
    polar_range_km: Positive = 50.0
    """Range that the law below tends to at high latitudes, km."""
    tropical_range_km: Positive = 300.0
    """Range at the equator, km: R(φ) = polar + (tropical − polar) φ₀²/(φ² + φ₀²), the law of
    Jacobs, Barron and Rhodes 2001, doi:10.1029/2000JC000484 (50 + 250 · 900/(φ² + 900))."""
    range_latitude_degrees: Positive = 30.0
    """φ₀ of that law, degrees."""
    smallest_range_cells: float = Field(2.5, ge=1)
    """No range is shorter than this many cells of the grid along its own direction: eddies that a
    cell cannot hold are stretched, or the drawn variance would not be the one asked for."""
    equatorial_ratio: float = Field(3.0, ge=1, le=10)
    """Zonal over meridional range at the equator."""
    equatorial_latitude_degrees: Positive = 7.0
    """The ratio falls to 1 as exp(−(φ/φe)²); φe in degrees."""
    quiet_days: Positive = 35.0
    """Decorrelation time far from the currents, days."""
    energetic_days: Positive = 15.0
    """Decorrelation time in the currents and at the equator, days (Pujol and others 2016,
    doi:10.5194/os-12-1067-2016, use 10 to 45)."""
    wave_speed: Positive = 3.0
    """Phase speed of the first baroclinic mode at the equator, m/s; it falls as cos φ (Chelton and
    others 1998, doi:10.1175/1520-0485(1998)028<0433:GVOTFB>2.0.CO;2)."""
    largest_drift: Positive = 0.3
    """Westward drift that the long Rossby waves' β R² tends to near the equator, m/s."""
    noise_correlation: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """ρ of the noise from one day to the next: makes the ocean smooth in time."""
    substeps: int = Field(2, ge=1, le=20)
    """Advection steps a day."""

    @model_validator(mode="after")
    def _shorter_towards_the_poles(self) -> SpdeOceanConfig:
        if self.polar_range_km > self.tropical_range_km:
            raise ValueError(
                f"polar_range_km: {self.polar_range_km} km is more than tropical_range_km "
                f"({self.tropical_range_km} km); ranges shrink towards the poles"
            )
        return self
