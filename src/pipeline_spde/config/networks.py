"""The networks, what they start from, how they are trained, and the ensembles they give."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline_spde.config.types import (
    Bounds,
    Fraction,
    MethodName,
    PartName,
    Positive,
    StartName,
    ThetaName,
)
from pipeline_spde.periods import FrozenModel


class PatchConfig(FrozenModel):
    """Cutting for training and reconstruction; sizes in grid cells and days."""

    lat: int = Field(60, ge=8)
    """Rows of a patch."""
    lon: int = Field(60, ge=8)
    """Columns of a patch."""
    stride_lat: int = Field(40, ge=1)
    """Rows from one patch to the next."""
    stride_lon: int = Field(40, ge=1)
    """Columns from one patch to the next."""
    stride_days: int = Field(1, ge=1)
    """Days from one training window to the next."""

    @model_validator(mode="after")
    def _without_gaps(self) -> PatchConfig:
        for axis in ("lat", "lon"):
            size, stride = getattr(self, axis), getattr(self, f"stride_{axis}")
            if stride > size:
                raise ValueError(
                    f"stride_{axis}: a stride of {stride} cells leaves gaps between patches of "
                    f"{size}; use at most {size} (patches.{axis})"
                )
        return self


class InferenceConfig(FrozenModel):
    """How maps are made by trained networks: in how many jobs, and in which arithmetic."""

    batch_size: int = Field(8, ge=1)
    """Windows reconstructed at once."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """bf16-mixed: products of 4dvarnet and unet in bfloat16 (8 bits), sums in 32 bits; faster where
    the processor or GPU has them."""
    tile_patches: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    """[rows, columns] of patches that one job reconstructs (a tile), for networks that need no
    first guess of the whole domain; the tiles are then blended as patches are, which gives the
    same maps. Bounds the memory of a job whatever the domain. null: one job for the domain."""
    tile_days: int = Field(10, ge=1)
    """Days of a tile."""


class NetworkConfig(FrozenModel):
    """What the networks share: the window of days, and the start made of its observations."""

    method: ClassVar[MethodName]
    """The method whose network this is."""
    parts: ClassVar[tuple[PartName, ...]] = ()
    """Parts of the network that a fine-tuning may leave as they are."""
    window_days: int = Field(15, ge=3)
    """Days that the network sees at once; odd."""
    start: StartName = "oi"
    """oi: some steps of an optimal interpolation; spde_oi: the exact analysis with the SPDE prior
    (stage first_guess); smooth: smoothed observations; zeros: the mean."""
    start_iterations: int = Field(25, ge=1)
    """Steps of the interpolation that makes the start `oi`."""
    start_length_km: Positive = 85.0
    """Length scale of that interpolation."""
    start_length_days: Positive = 6.0
    """Time scale of that interpolation."""

    @model_validator(mode="after")
    def _odd(self) -> NetworkConfig:
        if self.window_days % 2 == 0:
            raise ValueError(f"window_days: must be odd, got {self.window_days}")
        return self


class StateModelConfig(NetworkConfig):
    """4DVarNet: bilinear autoencoder prior and ConvLSTM gradient solver."""

    method: ClassVar[MethodName] = "4dvarnet"
    parts: ClassVar[tuple[PartName, ...]] = ("prior", "gradient", "observation")
    hidden: int = Field(48, ge=4)
    """Channels of the ConvLSTM."""
    prior_hidden: int = Field(48, ge=4)
    """Channels of the prior Φ."""
    iterations: int = Field(6, ge=1)
    """Iterations of the learned descent."""
    gradient: Literal["split", "exact"] = "split"
    """What the ConvLSTM is given: both residuals of the cost (split), or its gradient (exact)."""
    pooling: int = Field(2, ge=1)
    """Average pooling of the ConvLSTM input (1: none)."""
    prior_pooling: int = Field(2, ge=1)
    """Average pooling of the coarse branch of the prior (1: none)."""
    dropout: Fraction = 0.0
    """Share of the gradient's channels dropped in training."""
    gradient_step: float = 0.2
    """Initial value of the learned step along the plain gradient."""


class UNetConfig(NetworkConfig):
    """UNet: direct inversion, the correction of the start in one pass."""

    method: ClassVar[MethodName] = "unet"
    parts: ClassVar[tuple[PartName, ...]] = ("encoder", "decoder", "output")
    channels: int = Field(32, ge=4, multiple_of=4)
    """Channels at full resolution; twice as many at each coarser level."""
    levels: int = Field(3, ge=1, le=6)
    """Resolutions, each half of the one above."""


class FirstGuessConfig(FrozenModel):
    """The exact analyses with the SPDE prior that the neural solvers start from."""

    shortest_km: Positive = 100.0
    """Shortest wavelength of their basis; the network adds what is smaller."""


class SpdeSolverConfig(FrozenModel):
    """4DVarNet-SPDE: state and parameters Θ of the prior found together (stage 2)."""

    mode: Literal["joint", "frozen"] = "joint"
    """joint: the descent of the state goes on learning and sees the prior's gradient; frozen: the
    state is that of stage 1, and Θ alone is learned."""
    start: StartName = "spde_oi"
    """As in `model`, for both stages."""
    learned: Annotated[tuple[ThetaName, ...], Field(min_length=1)] = (
        "sigma",
        "decorrelation_time",
        "mean_range",
        "anisotropy",
        "currents",
    )
    """Fields of Θ that the solver may change; the others stay those of the fit of spde_oi."""
    background: Literal["climatology", "first_guess"] = "climatology"
    """Mean of the prior: that of the learning period, or that and the low-passed first guess."""
    background_km: Positive = 400.0
    """Full width at half maximum of that low-pass."""
    pooling: int = Field(2, ge=1)
    """Cells per side of a node of the prior in the cost and in the loss."""
    theta_pooling: int = Field(3, ge=1)
    """Nodes per side of a cell of Θ: Θ is piecewise bilinear on this coarser grid."""
    theta_every: int = Field(2, ge=1)
    """Θ takes a step at every so many iterations of the state."""
    theta_hidden: int = Field(24, ge=4)
    """Channels of the ConvLSTM that moves Θ."""
    sigma_factors: Bounds = (0.25, 3.0)
    """Limits of σ as multiples of the local deviation of the learning period."""
    decorrelation_days: Bounds = (3.0, 60.0)
    """Limits of 1/κ²: κ² stays away from zero."""
    mean_range_km: Bounds = (40.0, 400.0)
    """Limits of the mean range of the prior."""
    largest_ratio: Annotated[float, Field(gt=1)] = 3.0
    """Limit of the major over the minor range."""
    largest_speed: Positive = 50.0
    """Limit of |m|, km/day."""
    mse: float = Field(1.0, ge=0)
    """λ₁: weight of the loss of the state (training.loss)."""
    nll: float = Field(0.05, ge=0)
    """λ₂: weight of the negative log-likelihood of the truth per node and day."""
    nll_lags: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (1,)
    """Steps in days at which the likelihood looks at the window; the mean over them counts."""
    smoothness: float = Field(0.01, ge=0)
    """Weight of the squared differences of Θ (unconstrained) between neighbouring cells."""
    steps: int = Field(500, ge=1)
    """Optimiser steps from the state model of stage 1."""
    learning_rate: Positive = 1e-3
    """Largest rate of these steps."""
    fine_tune_steps: int = Field(150, ge=1)
    """Steps of the other tasks from the mapping model."""
    fine_tune_learning_rate: Positive = 5e-4
    """Largest rate of those."""
    validate_every: int = Field(50, ge=1)
    """Steps between validations (and checkpoints)."""


class WithholdingConfig(FrozenModel):
    """Real tracks: the passes that networks are not shown and are judged by."""

    folds: int = Field(4, ge=2, le=20)
    """Parts into which the passes of the mapped missions are dealt; one at a time is withheld."""


class LocalPriorConfig(FrozenModel):
    """Prior of ensembles of 4dvarnet: matched to moments of the learning period by region."""

    box: tuple[Positive, Positive] = (10.0, 20.0)
    """[latitude, longitude], degrees: boxes that range and decorrelation time are fitted in."""
    smoothing_km: Positive = 150.0
    """Smoothing of the local deviation (standard deviation of the Gaussian)."""
    range_km: Bounds = (40.0, 1000.0)
    """Limits of the range."""
    decorrelation_days: Bounds = (3.0, 100.0)
    """Limits of the decorrelation time."""
    noise_length_km: Bounds = (5.0, 150.0)
    """Limits of the length of the noise filter, one for the domain."""
    largest_rho: Annotated[float, Field(gt=0.001, lt=1)] = 0.9
    """Largest correlation of the noise from day to day, one for the domain."""
    representativeness_m: float = Field(0.01, ge=0)
    """Error of a pseudo-observation, a mean per pass and cell, beyond the noise of its samples."""


class EnsembleConfig(FrozenModel):
    """Ensembles by conditional simulation: x* + (x_s − x_s*)."""

    method: Literal["4dvarnet_spde", "4dvarnet"] = "4dvarnet_spde"
    """Whose maps members are drawn around. 4dvarnet_spde: x_s is a draw of the prior under the Θ
    that the network found; 4dvarnet: one of a prior matched to moments by region (local_prior),
    for domains of any size, and x_s* is made by the network."""
    local_prior: LocalPriorConfig = LocalPriorConfig()
    """The prior of the members of 4dvarnet."""
    members: int = Field(40, ge=2)
    """Members of an ensemble."""
    posterior: Literal["exact", "neural"] = "exact"
    """How pseudo-observations are mapped: by the exact posterior or by the network."""
    members_at_once: int = Field(40, ge=1)
    """Members drawn and reconstructed together; bounds the memory. A group shares a stream of
    random numbers: other groups, other members."""
    shortest_km: Positive = 100.0
    """Shortest wavelength of the basis of the exact posterior."""
    keep_members: bool = True
    """Write all members, not only their mean and spread."""
    calibration_days: int = Field(30, ge=5)
    """Fewest validation days that the spread is calibrated on: errors of eddies last for weeks."""

    def groups(self) -> list[int]:
        """Return the number of members of each group that is made at once."""
        starts = range(0, self.members, self.members_at_once)
        return [min(self.members_at_once, self.members - start) for start in starts]


class AugmentedModelConfig(StateModelConfig):
    """4DVarNet-SPDE as it is trained: the state solver and the settings of Θ."""

    method: ClassVar[MethodName] = "4dvarnet_spde"
    parts: ClassVar[tuple[PartName, ...]] = ("prior", "gradient", "observation", "theta")
    spde: SpdeSolverConfig = SpdeSolverConfig()


# the state model first: its settings would fit 4dvarnet_spde too, and the first match is taken
AnyNetworkConfig = StateModelConfig | AugmentedModelConfig | UNetConfig
NETWORK_CONFIGS: dict[str, type[AnyNetworkConfig]] = {
    kind.method: kind for kind in (StateModelConfig, UNetConfig, AugmentedModelConfig)
}
"""Method -> the configuration of its network."""


class LossConfig(FrozenModel):
    """Weights of the training loss (variables are divided by the training standard deviation)."""

    mse: float = Field(1.0, ge=0)
    """Weight of the squared error."""
    gradient: float = Field(10.0, ge=0)
    """Weight of the squared error of the horizontal gradient."""
    prior: float = Field(0.05, ge=0)
    """Weight of the prior cost of the truth and of the map."""


class TrainingConfig(FrozenModel):
    """Optimisation of a network; the budget is in steps, so runs are reproducible."""

    steps: int = Field(1500, ge=1)
    """Optimiser steps of a training from scratch."""
    batch_size: int = Field(2, ge=1)
    """Windows of a step, over all processes."""
    learning_rate: Positive = 2e-3
    """Largest rate; a cosine leads down from it."""
    final_learning_rate: Fraction = 0.02
    """Share of `learning_rate` reached at the end of the cosine."""
    warm_up_steps: int = Field(30, ge=0)
    """Steps of the linear rise to it."""
    gradient_clip: Positive = 1.0
    """Largest norm of the gradient."""
    loss: LossConfig = LossConfig()
    """Weights of the loss."""
    augment: bool = True
    """Flips, and observation masks of other training days with fresh noise."""
    validate_every: int = Field(125, ge=1)
    """Steps between validations (and checkpoints)."""
    validation_days: int = Field(12, ge=1)
    """Days of the validation period, spread evenly, that a validation looks at."""
    patience: int = Field(10, ge=1)
    """Validations without improvement before stopping early."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    """Arithmetic. auto: bfloat16 where the GPU has it, else float32."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """auto: a GPU where there is one."""
    devices: int = Field(1, ge=1)
    """Processes of data-parallel training (DDP when more than one)."""
    workers: int = Field(0, ge=0)
    """Processes that prepare windows, per training process; 0: none."""
    fine_tune_steps: int = Field(250, ge=1)
    """Steps when starting from another model (other tasks start from mapping)."""
    fine_tune_learning_rate: Positive = 1e-3
    """Largest rate of those steps."""

    @model_validator(mode="after")
    def _shared(self) -> TrainingConfig:
        if self.batch_size % self.devices:
            raise ValueError(
                f"batch_size: {self.batch_size} windows cannot be shared evenly by "
                f"{self.devices} processes (devices)"
            )
        return self
