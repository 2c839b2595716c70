"""The interpolations: quickstart and tuned OI, and exact interpolation with the SPDE prior."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline_spde.config.types import Bounds, Fraction, Positive
from pipeline_spde.periods import FrozenModel


class OiConfig(FrozenModel):
    """The challenge's quickstart optimal interpolation (2020a): parameters are its definition."""

    length_lon_degrees: Positive = 1.0
    """Length scale along a parallel."""
    length_lat_degrees: Positive = 1.0
    """Length scale along a meridian."""
    length_days: Positive = 7.0
    """Time scale."""
    noise: Positive = 0.05
    """Standard deviation of the observation error relative to a unit prior deviation."""
    half_window_lengths: Positive = 2.0
    """Observations used, in time scales on each side of a map."""
    thin_nadir: int = Field(5, ge=1)
    """Nadir samples averaged to one."""
    thin_karin: tuple[int, int] = (15, 6)
    """Swath samples averaged to one, along and across the track."""


class OiTunedConfig(FrozenModel):
    """Optimal interpolation of anomalies; lengths and noise fitted on the validation period."""

    lengths_km: tuple[Positive, ...] = (80.0, 95.0, 110.0, 130.0, 155.0)
    """Candidates of the length scale for the start of the fit."""
    lengths_days: tuple[Positive, ...] = (5.0, 6.5, 8.0, 10.0, 12.5)
    """Candidates of the time scale for the start of the fit."""
    noise_factors: tuple[Positive, ...] = (0.5, 0.7, 1.0, 1.4, 2.0)
    """Candidates for the start of the fit: multiples of the observations' own error."""
    window_days: int = Field(15, ge=1)
    """Days of observations of a map."""
    iterations: int = Field(160, ge=1)
    """Conjugate-gradient steps of the maps."""
    tuning_days: int = Field(12, ge=1)
    """Number of validation days, spread evenly, on which candidates are compared."""
    variance_tolerance: Positive = 1e-4
    """Share of the prior variance that the basis of the formal error may neglect."""


class SpdeOiConfig(FrozenModel):
    """Exact interpolation with the SPDE prior, fitted on learning and validation period."""

    noise_order: Literal[1, 2] = 2
    """Order of the filter that makes the driving noise smooth."""
    sigma_smoothing_cells: Positive = 2.5
    """Width of the smoothing of the local variance of the learning period, in cells."""
    range_km: Bounds = (40.0, 1000.0)
    """Limits of the range that fits the moments. Of few weeks of sparse tracks moments tell little
    of the largest scales and longest times: narrow them to what the ocean is known to have."""
    decorrelation_days: Bounds = (1.0, 100.0)
    """Limits of the decorrelation time that fits the moments."""
    noise_length_km: Bounds = (5.0, 150.0)
    """Limits of the smoothness of the noise that fits the moments."""
    advection_shares: Annotated[tuple[Fraction, ...], Field(min_length=1)] = (0.0, 0.5, 1.0)
    """Candidates: share of the low-passed geostrophic current that carries anomalies; 0: none."""
    time_factors: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0, 2.0, 3.0)
    """Candidates: factor of the decorrelation time that fits the moments. They see anomalies pass
    by; along the current, the memory is longer."""
    low_pass_km: Positive = 190.0
    """Full width at half maximum of the low-pass of the currents."""
    shortest_km: Positive = 80.0
    """Shortest wavelength of the basis; the work of a day goes with its inverse to the sixth."""
    tuning_shortest_km: Positive = 110.0
    """The same while candidates are compared."""
    representativeness_m: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.005, 0.015)
    """Candidates: error of a mean per pass and cell beyond the noise of its samples."""
    window_days: int = Field(15, ge=1)
    """Days of observations that a target sees at least (mapping: half of them on each side)."""
    segment_days: int = Field(42, ge=1)
    """Target days smoothed in one sweep; bounds the memory."""
    tuning_days: int = Field(12, ge=1)
    """Number of validation days, spread evenly, on which maps are compared."""
