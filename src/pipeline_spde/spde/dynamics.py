"""Settings of the stochastic dynamics: order, time scheme, noise. Plain numbers, no tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scheme = Literal["backward_euler", "crank_nicolson"]


@dataclass(frozen=True)
class Coloured:
    """Spatially smooth noise: white noise passed through (1 − ℓ²∇²)^(−order).

    Attributes:
        length_km: ℓ in km; 0 is white noise.
        order: 1 or 2. The amplitude τ is that of the white noise before the filter.
    """

    length_km: float
    order: int = 1

    def __post_init__(self) -> None:
        if not self.length_km > 0:
            raise ValueError(f"noise length must be > 0 km, got {self.length_km}; else 'white'")
        if self.order not in (1, 2):
            raise ValueError(f"noise order must be 1 or 2, got {self.order}")


@dataclass(frozen=True)
class Dynamics:
    """How x_t follows from x_{t−1}: A_t x_t = B_t x_{t−1} + e_t, e_t = ρ e_{t−1} + ξ_t.

    With K = κ² − ∇·H∇ and S = m·∇ (skew-symmetric), and θ = 1 (backward Euler) or ½
    (Crank–Nicolson), and for several sub-steps δ = dt / substeps,

        α = 2, one step :  A = I + θ dt (K + S),              B = I − (1−θ) dt (K + S)
        otherwise       :  A = (I + θ δ S)ⁿ (I + θ dt K^(α/2)),  B the same with −(1−θ) for θ.

    Advection stays outside the power: F² would square it and its modes would grow. Sub-steps act on
    the advection, where a Courant number above one makes backward Euler smear along the flow.

    Attributes:
        dt: time step, days.
        alpha: 2 or 4. For 4 the damping rate of the largest scales is κ⁴ · (1 day).
        scheme: "backward_euler" or "crank_nicolson".
        noise: "white" or `Coloured`.
        rho: correlation of the noise from one step to the next, in [0, 1).
        substeps: number of advection steps per dt.
    """

    dt: float = 1.0
    alpha: int = 2
    scheme: Scheme = "backward_euler"
    noise: Literal["white"] | Coloured = "white"
    rho: float = 0.0
    substeps: int = 1

    def __post_init__(self) -> None:
        if not self.dt > 0:
            raise ValueError(f"dt must be > 0 days, got {self.dt}")
        if self.alpha not in (2, 4):
            raise ValueError(f"alpha must be 2 or 4, got {self.alpha}")
        if self.scheme not in ("backward_euler", "crank_nicolson"):
            raise ValueError(
                f"scheme must be 'backward_euler' or 'crank_nicolson', got {self.scheme!r}"
            )
        if self.noise != "white" and not isinstance(self.noise, Coloured):
            raise ValueError(f"noise must be 'white' or Coloured(length_km), got {self.noise!r}")
        if not 0 <= self.rho < 1:
            raise ValueError(f"rho must lie in [0, 1), got {self.rho}")
        if self.substeps < 1:
            raise ValueError(f"substeps must be at least 1, got {self.substeps}")

    @property
    def implicit(self) -> float:
        """θ: the share of the step that is implicit."""
        return 1.0 if self.scheme == "backward_euler" else 0.5

    @property
    def power(self) -> int:
        """α / 2: the power of K."""
        return self.alpha // 2

    @property
    def colour_order(self) -> int:
        """Number of times the noise filter is applied."""
        return self.noise.order if isinstance(self.noise, Coloured) else 0
