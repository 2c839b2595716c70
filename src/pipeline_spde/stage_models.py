"""The models of the stages: what the parameters of each rule hold, and what its script reads."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pipeline_spde.config import (
    AnyNetworkConfig,
    Bounds,
    EnsembleConfig,
    FirstGuessConfig,
    LocalPriorConfig,
    MapRequest,
    ObservationConfig,
    OiTunedConfig,
    PartName,
    PatchConfig,
    ScoreConfig,
    SpdeOceanConfig,
    SpdeOiConfig,
    TrainingConfig,
    TwinConfig,
)
from pipeline_spde.periods import FrozenModel, Period, Task
from pipeline_spde.transfers import Training


class Stage(FrozenModel):
    """Common to all stages."""

    version: int
    seed: int


class TruthStage(Stage):
    """Simulate or draw the true ocean of a domain, or read it from files."""

    source: str = "twin"
    lat: Bounds
    lon: Bounds
    resolution: float
    available: Period
    highest_latitude: float = 90.0
    twin: TwinConfig = TwinConfig()
    ocean: SpdeOceanConfig | None = None


class TracksStage(Stage):
    """Sample the truth along real orbits, or read real tracks."""

    source: str
    lat: Bounds
    lon: Bounds
    available: Period
    missions: tuple[str, ...]
    withheld: tuple[str, ...]
    observations: ObservationConfig
    quantity: str | None = None


class ObservationsStage(Stage):
    """Bin the tracks of the mapped missions to daily cells."""

    source: str
    lat: Bounds
    lon: Bounds
    resolution: float
    highest_latitude: float = 90.0
    available: Period
    missions: tuple[str, ...]
    representativeness_m: float


class StatisticsStage(Stage):
    """Mean and deviation of the training period."""

    source: str
    lat: Bounds
    lon: Bounds
    resolution: float
    highest_latitude: float = 90.0
    period: Period
    missions: tuple[str, ...]


class TuneStage(Stage):
    """Fit the parameters of oi_tuned on the validation period."""

    task: Task
    period: Period
    oi_tuned: OiTunedConfig


class FitStage(Stage):
    """Fit the parameters of spde_oi: moments on the learning period, the rest on validation."""

    task: Task
    learning: Period
    validation: Period
    margin: float
    spde_oi: SpdeOiConfig


class FirstGuessStage(Stage):
    """Interpolate the windows that the neural solvers start from."""

    task: Task
    window_days: int
    train: Period | None
    validation: Period | None
    evaluation: Period | None
    ahead_days: int
    """Targets beyond the evaluation period: the lead-time curves need their windows."""
    low_pass_km: float
    segment_days: int
    first_guess: FirstGuessConfig

    def periods(self) -> dict[str, Period]:
        """Return the periods that windows are needed of, by their use."""
        named = {"train": self.train, "validation": self.validation, "evaluation": self.evaluation}
        return {use: period for use, period in named.items() if period is not None}


class EnsembleStage(Stage):
    """Simulate an ensemble: on validation days to calibrate it, on the days mapped to use it."""

    task: Task
    method: str
    margin: float
    request: MapRequest
    ensembles: EnsembleConfig


class LocalPriorStage(Stage):
    """Match the prior of the members of 4dvarnet to the moments of the learning period."""

    learning: Period
    local_prior: LocalPriorConfig


class MembersStage(Stage):
    """Make a group of members: of validation days to calibrate them, or of the days mapped."""

    purpose: Literal["calibrate", "ensemble"]
    task: Task
    request: MapRequest
    group: int
    count: int
    """Members of the group: with more members in all, the full groups stay as they are."""
    representativeness_m: float


class LeadsStage(Stage):
    """Map and score several lead times with the model of one forecast task."""

    task: Task
    method: str
    leads: tuple[int, ...]
    margin: float
    request: MapRequest
    scores: ScoreConfig
    scores_seed: int
    """Equal for all methods, so that their intervals come from the same draws."""

    def resampling(self) -> dict[str, Any]:
        """Return the arguments of the resampling that makes the intervals."""
        return {
            "draws": self.scores.bootstrap_draws,
            "block_days": self.scores.bootstrap_block_days,
            "confidence": self.scores.confidence,
            "seed": self.scores_seed,
        }


class TrainStage(Stage):
    """Train a network, or fine-tune it from another task or domain."""

    task: Task
    train: Period
    validation: Period
    model: AnyNetworkConfig
    training: TrainingConfig
    patches: PatchConfig
    frozen: tuple[PartName, ...] = ()


class WithheldGuessStage(FirstGuessStage):
    """Interpolate windows on real tracks without the passes of each fold."""

    folds: int
    passes_seed: int
    """Equal for all stages that withhold passes, so that they withhold the same."""


class TrackTrainStage(TrainStage):
    """Fine-tune a network on real tracks by withholding passes."""

    folds: int
    passes_seed: int


class TrackCalibrationStage(EnsembleStage):
    """Calibrate an ensemble on real tracks at withheld passes of the validation days."""

    folds: int
    passes_seed: int


class ZeroShotStage(Stage):
    """Take over the network of another domain as it is."""

    task: Task
    model_from: str


class ShareStage(Stage):
    """Take over files of another domain: the same data, fits, first guesses or maps."""

    data_from: str


class TransferRow(FrozenModel):
    """A network in the table of transfer, and the trainings that it rests on."""

    data: str
    domain: str
    task: str
    method: str
    start: str
    trainings: tuple[Training, ...]
    before: tuple[Training, ...]


class TransferTableStage(Stage):
    """Put domains side by side that use the same data with other networks."""

    rows: tuple[TransferRow, ...]
    references: tuple[tuple[str, str, str, str], ...]
    """(data, domain that is scored, task, method) of the methods without a network."""
    dpi: int


class MapsStage(Stage):
    """Reconstruct the maps of one method."""

    method: str
    task: Task
    request: MapRequest


class TileStage(MapsStage):
    """Reconstruct a tile of the maps of one method, or join the tiles; `request` says which."""


class SeamsStage(Stage):
    """Compare the jumps across the edges of tiles with those beside them."""

    request: MapRequest
    scores: ScoreConfig
    scores_seed: int

    def resampling(self) -> dict[str, Any]:
        """Return the arguments of the resampling that makes the intervals."""
        return {
            "draws": self.scores.bootstrap_draws,
            "confidence": self.scores.confidence,
            "seed": self.scores_seed,
        }


class ScoresStage(Stage):
    """Score the maps of one method."""

    task: Task
    method: str
    period: Period
    margin: float
    missions: tuple[str, ...]
    withheld: tuple[str, ...]
    scores: ScoreConfig
    scores_seed: int
    """Equal for all methods, so that their intervals come from the same draws."""

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments that all scoring functions share."""
        return {
            "margin_degrees": self.margin,
            "bootstrap_draws": self.scores.bootstrap_draws,
            "bootstrap_block_days": self.scores.bootstrap_block_days,
            "confidence": self.scores.confidence,
            "seed": self.scores_seed,
        }

    def against_truth(self) -> dict[str, Any]:
        """Return the further keyword arguments of the scores against a truth."""
        return {"protocols": self.scores.protocols, "regions": self.scores.regions or None}


class TablesStage(Stage):
    """Gather the scores of all methods."""

    experiment: str


class ReportStage(Stage):
    """Gather everything on one page: it shows the whole configuration, so it depends on it."""

    configuration: dict[str, Any]


class FiguresStage(Stage):
    """Draw the figures of a domain and task."""

    methods: tuple[str, ...]
    days: tuple[date, ...]
    lat: Bounds
    lon: Bounds
    period: Period
    margin: float
    dpi: int


class GlobeStage(Stage):
    """Draw the gradient of the sea surface of a domain with its regions enlarged."""

    day: date
    regions: dict[str, tuple[Bounds, Bounds]]
    dpi: int
