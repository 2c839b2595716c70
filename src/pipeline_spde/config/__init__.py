"""Typed configuration of an experiment: the only place where defaults and limits live.

`load(mapping)` validates a whole configuration and reports every mistake at once, naming the key,
the value and what would be right; `pipeline_spde.stages` cuts out what one stage depends on.
Nothing heavy is imported here, so that the Snakefile stays quick to parse.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_validator

from pipeline_spde.config.baselines import (
    OiConfig,
    OiTunedConfig,
    SpdeOiConfig,
)
from pipeline_spde.config.domains import (
    DomainConfig,
    ObservationConfig,
    Periods,
    TwinConfig,
)
from pipeline_spde.config.networks import (
    NETWORK_CONFIGS,
    AnyNetworkConfig,
    AugmentedModelConfig,
    EnsembleConfig,
    FirstGuessConfig,
    InferenceConfig,
    LocalPriorConfig,
    LossConfig,
    NetworkConfig,
    PatchConfig,
    SpdeSolverConfig,
    StateModelConfig,
    TrainingConfig,
    UNetConfig,
    WithholdingConfig,
)
from pipeline_spde.config.ocean import SpdeOceanConfig
from pipeline_spde.config.types import (
    Bounds,
    Files,
    Fraction,
    Longitudes,
    MethodName,
    MissionName,
    PartName,
    Positive,
    ProtocolName,
    StartName,
    ThetaName,
)
from pipeline_spde.inheritance import DOMAIN_SECTIONS, inherited
from pipeline_spde.periods import FrozenModel, Period
from pipeline_spde.splits import domain_problems, task_problems
from pipeline_spde.transfers import transfer_problems
from pipeline_spde.trees import explain, overlay

__all__ = [
    "NETWORK_CONFIGS",
    "STAGE_VERSIONS",
    "AnyNetworkConfig",
    "AugmentedModelConfig",
    "Bounds",
    "Config",
    "ConfigError",
    "DomainConfig",
    "EnsembleConfig",
    "FigureConfig",
    "Files",
    "FirstGuessConfig",
    "Fraction",
    "InferenceConfig",
    "LocalPriorConfig",
    "Longitudes",
    "LossConfig",
    "MapRequest",
    "MethodName",
    "MissionName",
    "NetworkConfig",
    "ObservationConfig",
    "OiConfig",
    "OiTunedConfig",
    "PartName",
    "PatchConfig",
    "Periods",
    "Positive",
    "ProtocolName",
    "ReportConfig",
    "ScoreConfig",
    "SpdeOceanConfig",
    "SpdeOiConfig",
    "SpdeSolverConfig",
    "StartName",
    "StateModelConfig",
    "ThetaName",
    "TrackingConfig",
    "TrainingConfig",
    "TwinConfig",
    "UNetConfig",
    "WithholdingConfig",
    "load",
    "load_files",
]

STAGE_VERSIONS: dict[str, int] = {
    # Bump a stage's number when its code changes the numbers it writes: that, and a change of the
    # stage's part of the configuration, makes its results and all that follow be made again.
    "truth": 1,
    "tracks": 1,
    "observations": 1,
    "statistics": 2,
    "tune": 2,
    "fit": 2,
    "train": 1,
    "zero_shot": 1,
    "transfer": 1,
    "first_guess": 1,
    "train_unet": 1,
    "train_spde": 1,
    "transfer_spde": 1,
    "calibrate": 1,
    "local_prior": 1,
    "members": 1,
    "ensemble": 1,
    "leads": 1,
    "transfer_unet": 1,
    "withheld_guess": 1,
    "tracks_tuning": 1,
    "tracks_tuning_unet": 1,
    "tracks_tuning_spde": 1,
    "calibrate_tracks": 1,
    "share": 1,
    "transfer_table": 1,
    "maps": 2,
    "tile": 1,
    "gather": 1,
    "seams": 1,
    "scores": 2,
    "tables": 2,
    "figures": 1,
    "globe": 1,
    "region_table": 1,
    "report": 1,
}


class ConfigError(ValueError):
    """The configuration is not valid; the message lists every key to mend."""


class ScoreConfig(FrozenModel):
    """Protocols and confidence intervals."""

    protocols: tuple[ProtocolName, ...] = (
        "dc2020a-legacy",
        "starter",
        "oceanbench-legacy",
        "ssh-v1",
    )
    """Protocols of the scores of simulated domains; each is kept apart."""
    bootstrap_draws: int = Field(1000, ge=100)
    """Draws of the block bootstrap of the intervals."""
    bootstrap_block_days: int = Field(7, ge=1)
    """Length of its blocks."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Probability of the intervals."""
    regions: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], tuple[Bounds, Bounds]] = (
        Field(default_factory=dict)
    )
    """Name -> [[south, north], [west, east]] in degrees (the east may lie beyond 180): parts of a
    domain with a truth that are scored by themselves as well; tables/regions.md."""


class FigureConfig(FrozenModel):
    """What is drawn."""

    days: tuple[date, ...] = ()
    """Days of the map panels; empty: three, evenly spread over the evaluation period."""
    animation: bool = True
    """Make the film."""
    dpi: int = Field(150, ge=50, le=600)
    """Resolution of the figures, dots per inch."""


class ReportConfig(FrozenModel):
    """The page that gathers everything: report.html."""

    max_megabytes: float = Field(40.0, ge=1, le=1000)
    """Largest size of the figures and maps on the page, in 10⁶ bytes: films are left out first,
    then members, cells and days of the maps. A quarter of it is always kept for the maps."""
    members: int = Field(5, ge=0)
    """Members of each ensemble that the page shows at most."""


class TrackingConfig(FrozenModel):
    """MLflow; $MLFLOW_TRACKING_URI overrides the SQLite file under the results folder."""

    enabled: bool = True
    """False: nothing is tracked."""
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
    """Name; products go to <results>/<experiment>."""
    seed: int = Field(2020, ge=0, lt=2**32)
    """Root of every random number; each stage derives its own."""
    results: Path = Path("results")
    """Folder of the products, e.g. on a larger disk."""
    domains: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], DomainConfig] = Field(
        default_factory=lambda: {"gulfstream": DomainConfig()}
    )
    """Name -> region."""
    tasks: dict[str, tuple[MethodName, ...]] = Field(default_factory=_default_tasks)
    """Task -> methods, in the order of tables and figures; an empty list drops a task."""
    twin: TwinConfig = TwinConfig()
    """The simulated ocean of source twin."""
    ocean: SpdeOceanConfig = SpdeOceanConfig()
    """The random ocean of source spde."""
    observations: ObservationConfig = ObservationConfig()
    """Noise and binning of observations."""
    oi: OiConfig = OiConfig()
    """Method oi."""
    oi_tuned: OiTunedConfig = OiTunedConfig()
    """Method oi_tuned."""
    spde_oi: SpdeOiConfig = SpdeOiConfig()
    """Method spde_oi."""
    patches: PatchConfig = PatchConfig()
    """Cutting for networks."""
    model: StateModelConfig = StateModelConfig()
    """Method 4dvarnet, and the state of 4dvarnet_spde."""
    unet: UNetConfig = UNetConfig()
    """Method unet."""
    first_guess: FirstGuessConfig = FirstGuessConfig()
    """What networks start from."""
    spde: SpdeSolverConfig = SpdeSolverConfig()
    """Method 4dvarnet_spde: parameters of its prior."""
    ensembles: EnsembleConfig = EnsembleConfig()
    """Members of 4dvarnet_spde."""
    inference: InferenceConfig = InferenceConfig()
    """Maps by trained networks: tiles and precision."""
    withholding: WithholdingConfig = WithholdingConfig()
    """Passes withheld where networks learn from real tracks."""
    leads: tuple[Annotated[int, Field(ge=0, le=99)], ...] = (0, 1, 2, 3, 4)
    """Lead times in days of the curves that one forecast model gives; for{n} shows those up to n,
    an empty list none."""
    training: TrainingConfig = TrainingConfig()
    """Optimisation of the networks."""
    scores: ScoreConfig = ScoreConfig()
    """Protocols and intervals."""
    figures: FigureConfig = FigureConfig()
    """Maps, curves and the film."""
    report: ReportConfig = ReportConfig()
    """The page that gathers everything."""
    tracking: TrackingConfig = TrackingConfig()
    """MLflow."""

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, tree: Any) -> Any:
        return inherited(tree) if isinstance(tree, Mapping) else tree

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
            found = [*transfer_problems(self, domain), *domain_problems(self.of(domain), domain)]
            if self.of(domain).ensembles.method != self.ensembles.method:
                found.append("ensembles.method: one for all domains; set it in `ensembles` above")
            problems += [f"domains.{name}.{text}" for text in found]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def of(self, domain: DomainConfig) -> Config:
        """Return the experiment as it is for a domain: its own sections in place of the common."""
        found = {name: getattr(domain, name) for name in DOMAIN_SECTIONS}
        own = {name: section for name, section in found.items() if section is not None}
        return self.model_copy(update=own) if own else self


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
    first_guess: Path | None = None
    """First guesses of the windows, for the networks that need them."""
    inference: InferenceConfig = InferenceConfig()
    """Batches and precision of a network, and the tiles that jobs are cut into."""


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
