"""A region, its truth or real data, its observing system and its calendar."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline_spde.config.baselines import OiTunedConfig, SpdeOiConfig
from pipeline_spde.config.networks import (
    EnsembleConfig,
    FirstGuessConfig,
    InferenceConfig,
    PatchConfig,
    SpdeSolverConfig,
    TrainingConfig,
)
from pipeline_spde.config.types import (
    Bounds,
    Files,
    Longitudes,
    MissionName,
    PartName,
    Positive,
    SourceName,
)
from pipeline_spde.periods import FrozenModel, Period


class Periods(FrozenModel):
    """The calendar of a domain. Defaults: the NATL60 challenge (2020a)."""

    available: Period = Period(start=date(2012, 10, 1), end=date(2013, 9, 30))
    """Days simulated or present; the others lie in it."""
    evaluation: Period = Period(start=date(2012, 10, 22), end=date(2012, 12, 2))
    """Days that are mapped and scored."""
    embargo: Period | None = Period(start=date(2012, 12, 3), end=date(2013, 1, 1))
    """Days that nothing learns from; null: none."""
    train: Period | None = Period(start=date(2013, 2, 25), end=date(2013, 9, 30))
    """Days that statistics and networks learn from; null: none."""
    validation: Period | None = Period(start=date(2013, 1, 9), end=date(2013, 2, 17))
    """Days that variants are chosen and spreads calibrated on; null: none."""


class TwinConfig(FrozenModel):
    """The simulated two-layer quasi-geostrophic ocean (data/twin.py)."""

    nodes: int | None = Field(None, ge=32, le=2048)
    """Grid points per side of the periodic box; None: chosen from the domain's resolution."""
    side_km: Positive = 1440.0
    """Side of the periodic box."""
    deformation_radius_km: Positive = 38.0
    """First baroclinic Rossby radius."""
    jet_speed: Positive = 0.7
    """Target speed of the upper-layer mean jet relative to the lower layer, m/s."""
    jet_width_km: Positive = 80.0
    """Width of the jet."""
    spin_up_days: int = Field(600, ge=0)
    """Days simulated before the first that is used."""
    time_step_s: Positive | None = None
    """None: chosen from the CFL limit."""
    bottom_drag_days: Positive = 8.0
    """Time in which friction stops the lower layer."""
    relaxation_days: Positive = 30.0
    """Time in which the zonal mean of the upper layer is drawn back to the jet."""
    thickness_ratio: Positive = 0.25
    """Depth of the upper layer over that of the lower one."""


class ObservationConfig(FrozenModel):
    """Sampling and noise of simulated observations; binning of all observations."""

    nadir_noise_m: Positive = 0.02
    """White noise of a 1-Hz nadir sample (standard deviation)."""
    karin_noise_factor: Positive = 1.0
    """Multiplies the KaRIn height noise of the swath simulator (2 m waves)."""
    karin_along_km: Positive = 7.0
    """Posting of simulated swath samples along the track."""
    karin_across_km: Positive = 5.0
    """Posting across the track; the noise of a sample is that of the mean over such a pixel."""
    representativeness_m: float = Field(0.02, ge=0)
    """Standard deviation of (sample − daily cell mean) that is not instrument noise."""


class DomainConfig(FrozenModel):
    """One region, its truth or real data, its observing system and its calendar."""

    source: SourceName = "twin"
    """twin: a simulated ocean; spde: a draw from the SPDE prior with parameters that vary over the
    globe (ocean); files: a truth of your own (truth_file); tracks: real tracks and no
    truth (tracks_file); rads: the same, an older name."""
    lat: Bounds = (32.0, 44.0)
    """South and north edge, degrees north."""
    lon: Longitudes = (-66.0, -54.0)
    """Degrees east on any circle; kept with the west in [-180, 180)."""
    resolution: Positive = 0.2
    """Cell size in degrees."""
    highest_latitude: Annotated[float, Field(gt=0, le=90)] = 90.0
    """Cells beyond it, north and south, are not mapped (sea ice)."""
    evaluation_margin: float = Field(1.0, ge=0)
    """Degrees cut off each side before scoring (the challenge scores 10°×10° of 12°×12°)."""
    periods: Periods = Periods()
    """The calendar."""
    missions: tuple[MissionName, ...] = (
        "topex_interleaved",
        "jason1",
        "geosat_follow_on",
        "envisat",
        "swot_nadir",
        "swot_karin",
    )
    """Missions that are mapped."""
    withheld: tuple[MissionName, ...] = ()
    """Missions that only score the maps (real data); never mapped, never trained on."""
    truth_file: Files | None = None
    """source files: the maps that are the truth, in any layout that `pipeline-spde inspect` knows:
    a file, a folder, a pattern or a list. Relative paths are looked up from the working folder,
    then from $PIPELINE_SPDE_DATA."""
    tracks_file: Files | None = None
    """Samples along tracks, given as `truth_file` is. source files: null simulates them along the
    orbits of `missions`."""
    mdt_file: Path | None = None
    """Mean dynamic topography (variable mdt): maps of anomalies get the absolute topography `adt`
    beside them. Looked up as `truth_file` is."""
    quantity: Literal["ssh", "sla", "adt"] | None = None
    """What heights of tracks are read as, where their layout has a choice; null: its default."""
    data_from: str | None = None
    """Name of the domain whose ocean, observations and baselines these are: the same data under
    another network. All keys but those of the network are taken over from it."""
    model_from: str | None = None
    """Name of the domain whose networks are used here (transfer); it may have its own from another
    domain in turn."""
    fine_tune_steps: int = Field(0, ge=0)
    """Optimiser steps of fine-tuning after a transfer; 0: zero-shot. Without a truth (real tracks)
    it learns from passes of `missions` that are withheld from its windows on the days of
    `periods.train`."""
    frozen: tuple[PartName, ...] = ()
    """Parts of the networks that fine-tuning leaves as they are: prior, gradient, observation
    (4DVarNet), theta (4DVarNet-SPDE), encoder, decoder, output (UNet)."""
    mapped: bool = True
    """False: the domain is only trained on; no maps, scores or figures of it are made."""
    twin: TwinConfig | None = None
    """This and the sections below: what is changed for this domain alone; keys that are not given
    are those of the experiment."""
    observations: ObservationConfig | None = None
    """As `observations` of the experiment."""
    oi_tuned: OiTunedConfig | None = None
    """As `oi_tuned` of the experiment."""
    spde_oi: SpdeOiConfig | None = None
    """As `spde_oi` of the experiment."""
    patches: PatchConfig | None = None
    """As `patches` of the experiment."""
    first_guess: FirstGuessConfig | None = None
    """As `first_guess` of the experiment."""
    spde: SpdeSolverConfig | None = None
    """Only how stage 2 is trained: the network is one for all domains."""
    ensembles: EnsembleConfig | None = None
    """As `ensembles` of the experiment."""
    inference: InferenceConfig | None = None
    """As `inference` of the experiment."""
    training: TrainingConfig | None = None
    """As `training` of the experiment."""

    @property
    def has_truth(self) -> bool:
        """True where maps are scored against a truth, False on real tracks."""
        return self.source in ("twin", "spde", "files")

    @model_validator(mode="after")
    def _consistent(self) -> DomainConfig:
        if self.lat[0] < -90 or self.lat[1] > 90:
            raise ValueError(f"lat: must lie within [-90, 90], got {list(self.lat)}")
        if self.lon[1] - self.lon[0] > 360:
            raise ValueError(f"lon: spans more than 360 degrees, got {list(self.lon)}")
        for name in ("lat", "lon"):
            low, high = getattr(self, name)
            cells = (high - low) / self.resolution
            if abs(cells - round(cells)) > 1e-6:
                raise ValueError(
                    f"{name}: {high - low} degrees are not a whole number of cells of "
                    f"{self.resolution} degrees (resolution)"
                )
            if high - low <= 2 * self.evaluation_margin:
                raise ValueError(f"evaluation_margin: {self.evaluation_margin} leaves no {name}")
        both = sorted(set(self.missions) & set(self.withheld))
        if both:
            raise ValueError(f"withheld: {both} are also in missions; a mission is one or other")
        if not self.missions:
            raise ValueError("missions: name at least one")
        if self.has_truth and self.withheld:
            raise ValueError(
                f"withheld: source {self.source} is scored against its truth; leave this for tracks"
            )
        if len(set(self.missions)) != len(self.missions):
            raise ValueError(f"missions: one is named twice in {list(self.missions)}")
        if (self.source == "files") != (self.truth_file is not None):
            raise ValueError("truth_file: source files needs it, no other source has one")
        if self.source in ("twin", "spde") and self.tracks_file is not None:
            raise ValueError(
                f"tracks_file: source {self.source} simulates its tracks; use files or tracks"
            )
        if "gridded" in self.missions and (self.tracks_file is None or len(self.missions) > 1):
            raise ValueError("missions: gridded stands for all samples of a tracks_file, alone")
        if not self.has_truth and self.tracks_file is None:
            raise ValueError(
                f"tracks_file: source {self.source} needs the path of the along-track file"
            )
        if not self.has_truth and not self.withheld:
            raise ValueError(
                f"withheld: source {self.source} has no truth; name the mission that scores"
            )
        if not self.has_truth and self.model_from is None:
            raise ValueError(
                f"model_from: source {self.source} has no truth to train on; name a domain that has"
            )
        if self.fine_tune_steps and self.model_from is None:
            raise ValueError("fine_tune_steps: nothing to fine-tune; name a domain in model_from")
        if self.frozen and not self.fine_tune_steps:
            raise ValueError("frozen: nothing is fine-tuned here; set fine_tune_steps")
        return self
