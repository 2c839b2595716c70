"""Typed configuration of an experiment: the only place where defaults and limits live.

`load(mapping)` validates a whole configuration and reports every mistake at once, naming the key,
the value and what would be right; `pipeline_spde.stages` cuts out what one stage depends on.
Nothing heavy is imported here, so that the Snakefile stays quick to parse.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from pipeline_spde.periods import FrozenModel, Period
from pipeline_spde.splits import domain_problems, task_problems
from pipeline_spde.trees import explain, overlay

MethodName = Literal["oi", "oi_tuned", "spde_oi", "persistence", "4dvarnet"]
ProtocolName = Literal["dc2020a-legacy", "starter", "oceanbench-legacy", "ssh-v1"]
MissionName = Literal[
    "topex_interleaved",
    "jason1",
    "geosat_follow_on",
    "envisat",
    "saral",
    "sentinel3a",
    "sentinel3b",
    "cryosat2",
    "jason3",
    "swot_nadir",
    "swot_karin",
]

STAGE_VERSIONS: dict[str, int] = {
    # Bump a stage's number when its code changes the numbers it writes: that, and a change of the
    # stage's part of the configuration, makes its results and all that follow be made again.
    "truth": 1,
    "tracks": 1,
    "observations": 1,
    "statistics": 1,
    "tune": 2,
    "fit": 1,
    "train": 1,
    "transfer": 1,
    "maps": 1,
    "scores": 1,
    "tables": 1,
    "figures": 1,
    "report": 1,
}


class ConfigError(ValueError):
    """The configuration is not valid; the message lists every key to mend."""


def _increasing(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[1] <= bounds[0]:
        raise ValueError(f"the first bound must be the smaller one, got {list(bounds)}")
    return bounds


Bounds = Annotated[tuple[float, float], AfterValidator(_increasing)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Periods(FrozenModel):
    """The calendar of a domain. Defaults: the NATL60 challenge (2020a)."""

    available: Period = Period(start=date(2012, 10, 1), end=date(2013, 9, 30))
    evaluation: Period = Period(start=date(2012, 10, 22), end=date(2012, 12, 2))
    embargo: Period | None = Period(start=date(2012, 12, 3), end=date(2013, 1, 1))
    train: Period | None = Period(start=date(2013, 2, 25), end=date(2013, 9, 30))
    validation: Period | None = Period(start=date(2013, 1, 9), end=date(2013, 2, 17))


class TwinConfig(FrozenModel):
    """The simulated two-layer quasi-geostrophic ocean (data/twin.py)."""

    nodes: int | None = Field(None, ge=32, le=2048)
    """Grid points per side of the periodic box; None: chosen from the domain's resolution."""
    side_km: Positive = 1440.0
    deformation_radius_km: Positive = 38.0
    jet_speed: Positive = 0.7
    """Target speed of the upper-layer mean jet relative to the lower layer, m/s."""
    jet_width_km: Positive = 80.0
    spin_up_days: int = Field(600, ge=0)
    time_step_s: Positive | None = None
    """None: chosen from the CFL limit."""
    bottom_drag_days: Positive = 8.0
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
    karin_across_km: Positive = 5.0
    """Posting of simulated swath samples; their noise is that of the mean over such a pixel."""
    representativeness_m: float = Field(0.02, ge=0)
    """Standard deviation of (sample − daily cell mean) that is not instrument noise."""


class DomainConfig(FrozenModel):
    """One region, its truth or real data, its observing system and its calendar."""

    source: Literal["twin", "rads"] = "twin"
    lat: Bounds = (32.0, 44.0)
    lon: Bounds = (-66.0, -54.0)
    resolution: Positive = 0.2
    """Cell size in degrees."""
    evaluation_margin: float = Field(1.0, ge=0)
    """Degrees cut off each side before scoring (the challenge scores 10°×10° of 12°×12°)."""
    periods: Periods = Periods()
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
    tracks_file: Path | None = None
    """Real along-track file (source: rads). A relative path is looked up from the working folder,
    then from $PIPELINE_SPDE_DATA."""
    model_from: str | None = None
    """Name of the domain whose trained networks are used here (zero-shot transfer)."""
    fine_tune_steps: int = Field(0, ge=0)
    """Optimiser steps of fine-tuning after a transfer; 0: zero-shot."""
    mapped: bool = True
    """False: the domain is only trained on; no maps, scores or figures of it are made."""

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
        if self.source == "twin" and self.withheld:
            raise ValueError(
                "withheld: a twin is scored against its truth; leave this for real data"
            )
        if len(set(self.missions)) != len(self.missions):
            raise ValueError(f"missions: one is named twice in {list(self.missions)}")
        if self.source == "rads" and self.tracks_file is None:
            raise ValueError("tracks_file: source rads needs the path of the along-track file")
        if self.source == "rads" and not self.withheld:
            raise ValueError("withheld: source rads has no truth; name the mission that scores")
        if self.source == "rads" and self.model_from is None:
            raise ValueError("model_from: source rads has no truth to train on; name a twin domain")
        if self.source == "rads" and self.fine_tune_steps:
            raise ValueError("fine_tune_steps: source rads has no truth to fine-tune on; use 0")
        if self.fine_tune_steps and self.model_from is None:
            raise ValueError("fine_tune_steps: nothing to fine-tune; name a domain in model_from")
        return self


class OiConfig(FrozenModel):
    """The challenge's quickstart optimal interpolation (2020a): parameters are its definition."""

    length_lon_degrees: Positive = 1.0
    length_lat_degrees: Positive = 1.0
    length_days: Positive = 7.0
    noise: Positive = 0.05
    """Standard deviation of the observation error relative to a unit prior deviation."""
    half_window_lengths: Positive = 2.0
    thin_nadir: int = Field(5, ge=1)
    thin_karin: tuple[int, int] = (15, 6)


class OiTunedConfig(FrozenModel):
    """Optimal interpolation of anomalies; lengths and noise fitted on the validation period."""

    lengths_km: tuple[Positive, ...] = (80.0, 95.0, 110.0, 130.0, 155.0)
    lengths_days: tuple[Positive, ...] = (5.0, 6.5, 8.0, 10.0, 12.5)
    noise_factors: tuple[Positive, ...] = (0.5, 0.7, 1.0, 1.4, 2.0)
    """Candidates for the start of the fit: multiples of the observations' own error."""
    window_days: int = Field(15, ge=1)
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


class PatchConfig(FrozenModel):
    """Cutting for training and reconstruction; sizes in grid cells and days."""

    lat: int = Field(60, ge=8)
    lon: int = Field(60, ge=8)
    stride_lat: int = Field(40, ge=1)
    stride_lon: int = Field(40, ge=1)
    stride_days: int = Field(1, ge=1)


class StateModelConfig(FrozenModel):
    """4DVarNet: bilinear autoencoder prior and ConvLSTM gradient solver."""

    window_days: int = Field(15, ge=3)
    hidden: int = Field(48, ge=4)
    prior_hidden: int = Field(48, ge=4)
    iterations: int = Field(6, ge=1)
    gradient: Literal["split", "exact"] = "split"
    pooling: int = Field(2, ge=1)
    """Average pooling of the ConvLSTM input (1: none)."""
    prior_pooling: int = Field(2, ge=1)
    dropout: Fraction = 0.0
    gradient_step: float = 0.2
    """Initial value of the learned step along the plain gradient."""
    start: Literal["oi", "smooth", "zeros"] = "oi"
    start_iterations: int = Field(25, ge=1)
    start_length_km: Positive = 85.0
    start_length_days: Positive = 6.0

    @model_validator(mode="after")
    def _odd(self) -> StateModelConfig:
        if self.window_days % 2 == 0:
            raise ValueError(f"window_days: must be odd, got {self.window_days}")
        return self


class LossConfig(FrozenModel):
    """Weights of the training loss (variables are divided by the training standard deviation)."""

    mse: float = Field(1.0, ge=0)
    gradient: float = Field(10.0, ge=0)
    prior: float = Field(0.05, ge=0)


class TrainingConfig(FrozenModel):
    """Optimisation of the state model; the budget is in steps, so runs are reproducible."""

    steps: int = Field(1500, ge=1)
    batch_size: int = Field(2, ge=1)
    learning_rate: Positive = 2e-3
    final_learning_rate: Fraction = 0.02
    """Share of `learning_rate` reached at the end of the cosine."""
    warm_up_steps: int = Field(30, ge=0)
    gradient_clip: Positive = 1.0
    loss: LossConfig = LossConfig()
    augment: bool = True
    """Flips, and observation masks of other training days with fresh noise."""
    validate_every: int = Field(125, ge=1)
    """Steps between validations (and checkpoints)."""
    validation_days: int = Field(12, ge=1)
    patience: int = Field(10, ge=1)
    """Validations without improvement before stopping early."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = Field(1, ge=1)
    """Processes of data-parallel training (DDP when more than one)."""
    workers: int = Field(0, ge=0)
    fine_tune_steps: int = Field(250, ge=1)
    """Steps when starting from another model (other tasks start from mapping)."""
    fine_tune_learning_rate: Positive = 1e-3

    @model_validator(mode="after")
    def _shared(self) -> TrainingConfig:
        if self.batch_size % self.devices:
            raise ValueError(
                f"batch_size: {self.batch_size} windows cannot be shared evenly by "
                f"{self.devices} processes (devices)"
            )
        return self


class ScoreConfig(FrozenModel):
    """Protocols and confidence intervals."""

    protocols: tuple[ProtocolName, ...] = (
        "dc2020a-legacy",
        "starter",
        "oceanbench-legacy",
        "ssh-v1",
    )
    bootstrap_draws: int = Field(1000, ge=100)
    bootstrap_block_days: int = Field(7, ge=1)
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


class FigureConfig(FrozenModel):
    """What is drawn."""

    days: tuple[date, ...] = ()
    """Days of the map panels; empty: three, evenly spread over the evaluation period."""
    animation: bool = True
    dpi: int = Field(150, ge=50, le=600)


class TrackingConfig(FrozenModel):
    """MLflow; $MLFLOW_TRACKING_URI overrides the SQLite file under the results folder."""

    enabled: bool = True
    required: bool = False
    """True: a tracking failure fails the job (default: it warns and keeps the record on disk)."""


def _default_tasks() -> dict[str, tuple[MethodName, ...]]:
    return {
        "mapping": ("oi", "oi_tuned", "spde_oi", "4dvarnet"),
        "for4": ("oi_tuned", "spde_oi", "persistence"),
    }


class Config(FrozenModel):
    """A whole experiment."""

    experiment: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "demo"
    seed: int = Field(2020, ge=0, lt=2**32)
    results: Path = Path("results")
    domains: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], DomainConfig] = Field(
        default_factory=lambda: {"gulfstream": DomainConfig()}
    )
    tasks: dict[str, tuple[MethodName, ...]] = Field(default_factory=_default_tasks)
    """Task -> methods, in the order of tables and figures; an empty list drops a task."""
    twin: TwinConfig = TwinConfig()
    observations: ObservationConfig = ObservationConfig()
    oi: OiConfig = OiConfig()
    oi_tuned: OiTunedConfig = OiTunedConfig()
    spde_oi: SpdeOiConfig = SpdeOiConfig()
    patches: PatchConfig = PatchConfig()
    model: StateModelConfig = StateModelConfig()
    training: TrainingConfig = TrainingConfig()
    scores: ScoreConfig = ScoreConfig()
    figures: FigureConfig = FigureConfig()
    tracking: TrackingConfig = TrackingConfig()

    @field_validator("tasks", mode="before")
    @classmethod
    def _drop_empty(cls, tasks: Any) -> Any:
        if not isinstance(tasks, Mapping):
            return tasks
        kept = {task: methods for task, methods in tasks.items() if methods}
        if not kept:
            raise ValueError("name at least one task with a method, e.g. mapping: [oi_tuned]")
        return kept

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        problems = [*task_problems(self)]
        for name, domain in self.domains.items():
            problems += [f"domains.{name}.{text}" for text in domain_problems(self, domain)]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def half_window(self) -> int:
        """Half of the longest window in days: how far a patch reaches around its centre."""
        return self.model.window_days // 2


class MapRequest(FrozenModel):
    """What a method's `reconstruct(observations, grid, task, config)` receives as `config`."""

    period: Period
    """Days to map (targets)."""
    seed: int = 0
    oi: OiConfig = OiConfig()
    oi_tuned: OiTunedConfig = OiTunedConfig()
    spde_oi: SpdeOiConfig = SpdeOiConfig()
    patches: PatchConfig = PatchConfig()
    tuning: Path | None = None
    """Fitted parameters (JSON of oi_tuned, NetCDF of spde_oi), for the methods that need them."""
    checkpoint: Path | None = None
    """Trained network, for the methods that need one."""
    batch_size: int = Field(8, ge=1)
    """Windows reconstructed at once by a network."""


def load(mapping: Mapping[str, Any], origin: str = "the configuration") -> Config:
    """Validate a configuration mapping (parsed YAML, overlays merged).

    Args:
        mapping: keys and values.
        origin: what to call it in messages, e.g. the file name.

    Raises:
        ConfigError: listing every invalid key with its value and what would be right.
    """
    try:
        return Config.model_validate(dict(mapping))
    except ValidationError as error:
        lines = [line for item in error.errors() for line in explain(item, Config)]
        text = "\n".join(f"  {line}" for line in dict.fromkeys(lines))
        raise ConfigError(f"{origin} is not valid:\n{text}") from None


def load_files(*paths: str | Path) -> Config:
    """Read YAML files, each overlaying the one before, and validate the result."""
    import yaml

    merged: dict[str, Any] = {}
    for path in paths:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        if not isinstance(content, dict):
            raise ConfigError(f"{path} must hold keys and values, got {type(content).__name__}")
        merged = overlay(merged, content)
    return load(merged, " + ".join(str(path) for path in paths))
