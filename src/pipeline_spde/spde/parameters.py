"""Θ = (κ, m, H, τ) as fields, what people think in, and what networks put out.

    dx/dt + [(κ² − ∇·H∇)^(α/2) + m·∇] x = τ ξ

Physical parameters determine Θ and back:

    decorrelation time  T = κ^−α, days: e-folding time of the largest scales
    ranges              r = √8 √(h/κ²), km, h the eigenvalues of H: where the correlation has
                        fallen to 0.14 for α = 4 and dt → 0 (a Matérn field of smoothness 1)
    angle               of the major axis, degrees counter-clockwise from east
    σ                   stationary standard deviation, m, from τ by `variance_per_unit_tau`
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pipeline_spde.spde.dynamics import Dynamics
from pipeline_spde.spde.variance import variance_per_unit_tau

logger = logging.getLogger(__name__)

RAW_CHANNELS = (
    "sigma",
    "decorrelation_time",
    "mean_range",
    "anisotropy_0",
    "anisotropy_45",
    "m_east",
    "m_north",
)
"""Order of the channels that `SpdeParameters.from_unconstrained` takes."""
_DEFAULT = Dynamics()
_ROUNDING = 1e-12  # keeps √ and its derivatives finite where the anisotropy is exactly zero


@dataclass(frozen=True)
class Bounds:
    """Limits of the physical parameters; each may be a number or a tensor that broadcasts.

    Attributes:
        sigma: (lowest, highest) standard deviation, m.
        mean_range: (lowest, highest) geometric mean of both ranges, km.
        decorrelation_time: (lowest, highest), days.
        largest_ratio: upper limit of major over minor range, ≥ 1.
        largest_speed: upper limit of |m|, km/day.
    """

    sigma: tuple[float | Tensor, float | Tensor] = (0.02, 0.6)
    mean_range: tuple[float | Tensor, float | Tensor] = (60.0, 400.0)
    decorrelation_time: tuple[float | Tensor, float | Tensor] = (4.0, 60.0)
    largest_ratio: float = 3.0
    largest_speed: float = 50.0

    def __post_init__(self) -> None:
        for name in ("sigma", "mean_range", "decorrelation_time"):
            low, high = (torch.as_tensor(v) for v in getattr(self, name))
            if not bool((low > 0).all() and (low < high).all()):
                raise ValueError(f"bounds of {name} must satisfy 0 < lowest < highest")
        if self.largest_ratio <= 1 or self.largest_speed <= 0:
            raise ValueError(
                "largest_ratio must be > 1 and largest_speed > 0 km/day, got "
                f"{self.largest_ratio} and {self.largest_speed}"
            )


@dataclass(frozen=True, eq=False)
class PhysicalParameters:
    """Parameters in the terms of the module's docstring, each (batch, time, lat, lon)."""

    sigma: Tensor
    range_major: Tensor
    range_minor: Tensor
    angle: Tensor
    decorrelation_time: Tensor
    m_east: Tensor | None = None
    m_north: Tensor | None = None


@dataclass(frozen=True, eq=False)
class SpdeParameters:
    """Parameter fields, each (batch, time, lat, lon); values on land are never used.

    Attributes:
        kappa: κ > 0, day^-1/2 (κ² is the damping rate for α = 2, κ⁴ · 1 day for α = 4).
        m_east: eastward velocity, km/day; None (with m_north) for no advection at all.
        m_north: northward velocity, km/day.
        h_ee: east-east diffusion, km²/day.
        h_en: east-north diffusion, h_en² < h_ee h_nn.
        h_nn: north-north diffusion.
        tau: amplitude τ > 0 of the noise, m km day^-1/2.
        dynamics: settings of the prior that the fields were worked out for from physical
            parameters; None where κ and τ were given themselves: any prior takes them.
    """

    kappa: Tensor
    m_east: Tensor | None
    m_north: Tensor | None
    h_ee: Tensor
    h_en: Tensor
    h_nn: Tensor
    tau: Tensor
    dynamics: Any = None  # typed as Any: tensors may be given by name as one mapping

    def __post_init__(self) -> None:
        if (self.m_east is None) != (self.m_north is None):
            raise ValueError("give both m_east and m_north, or neither")
        shape = self.kappa.shape
        if len(shape) != 4:
            raise ValueError(f"parameters must be (batch, time, lat, lon), got {tuple(shape)}")
        for name, value in self.items():
            same = (value.shape, value.dtype, value.device)
            if same != (shape, self.kappa.dtype, self.kappa.device):
                raise ValueError(
                    f"{name} is {tuple(value.shape)}, {value.dtype} on {value.device}; kappa is "
                    f"{tuple(shape)}, {self.kappa.dtype} on {self.kappa.device}: make them equal"
                )

    def items(self) -> list[tuple[str, Tensor]]:
        """Return the names and tensors that are there."""
        named = [(name, getattr(self, name)) for name in self.__dataclass_fields__]
        return [(name, value) for name, value in named if isinstance(value, Tensor)]

    @property
    def shape(self) -> torch.Size:
        """(batch, time, lat, lon)."""
        return self.kappa.shape

    def to(self, target: torch.dtype | torch.device | str) -> SpdeParameters:
        """Return the parameters in another dtype or on another device."""
        return replace(self, **{name: value.to(target) for name, value in self.items()})

    def detach(self) -> SpdeParameters:
        """Return the parameters without their history."""
        return replace(self, **{name: value.detach() for name, value in self.items()})

    def check_made_for(self, dynamics: Dynamics) -> None:
        """Refuse settings of a prior under which the parameters mean something else.

        Raises:
            ValueError: they were made for another α: neither κ nor τ would be right.
        """
        made: Dynamics | None = self.dynamics
        if made is None:
            return
        if made.alpha != dynamics.alpha:
            raise ValueError(
                f"these parameters were made from physical ones for alpha={made.alpha}, the prior "
                f"has alpha={dynamics.alpha}: κ = T^(−1/α) and τ would be wrong; give "
                f"from_physical or from_unconstrained dynamics=Dynamics(alpha={dynamics.alpha}, …)"
            )
        other_rho = made.dt == dynamics.dt and made.rho != dynamics.rho
        if other_rho or made.noise != dynamics.noise:
            logger.warning(
                "parameters made for noise=%s and rho=%g in a prior with noise=%s and rho=%g: its "
                "standard deviation is not their sigma; pass the prior's dynamics when making them",
                made.noise, made.rho, dynamics.noise, dynamics.rho,
            )  # fmt: skip

    def at(self, times: slice) -> SpdeParameters:
        """Return the parameters of some days."""
        return replace(self, **{name: value[:, times] for name, value in self.items()})

    def on(self, ocean: Tensor) -> SpdeParameters:
        """Return the parameters with harmless constants on land, after a check of the ocean.

        Raises:
            ValueError: a value in the ocean is not finite, κ or τ not positive, H not positive
                definite; the message names the field and the number of cells.
        """
        tests = {
            "kappa must be > 0": self.kappa > 0,
            "tau must be > 0": self.tau > 0,
            "h_ee must be > 0": self.h_ee > 0,
            "h_ee h_nn − h_en² must be > 0": self.h_ee * self.h_nn - self.h_en.square() > 0,
        }
        tests |= {f"{name} must be finite": value.isfinite() for name, value in self.items()}
        good = torch.stack([(ok | ~ocean).all() for ok in tests.values()])
        if not bool(good.all()):
            broken = [
                f"{rule} (fails in {int((~ok & ocean).sum())} cells)"
                for (rule, ok), fine in zip(tests.items(), good.tolist(), strict=True)
                if not fine
            ]
            raise ValueError("invalid SPDE parameters in the ocean: " + "; ".join(broken))
        safe = {"m_east": 0.0, "m_north": 0.0, "h_en": 0.0}
        return replace(
            self,
            **{name: torch.where(ocean, v, safe.get(name, 1.0)) for name, v in self.items()},
        )

    @classmethod
    def from_physical(
        cls,
        sigma: Tensor,
        range_major: Tensor | float,
        range_minor: Tensor | float,
        angle: Tensor | float,
        decorrelation_time: Tensor | float,
        m_east: Tensor | float | None = None,
        m_north: Tensor | float | None = None,
        *,
        dynamics: Dynamics = _DEFAULT,
        cell_km: tuple[float, float] | None = None,
    ) -> SpdeParameters:
        """Return Θ from what people think in; all arguments broadcast to (batch, time, lat, lon).

        Args:
            sigma: stationary standard deviation, m.
            range_major: range along the major axis, km.
            range_minor: range across it, km.
            angle: direction of the major axis, degrees counter-clockwise from east.
            decorrelation_time: e-folding time of the largest scales, days.
            m_east: eastward velocity, km/day.
            m_north: northward velocity, km/day.
            dynamics: settings that relate σ to τ; those of the prior.
            cell_km: (dy, dx) of the grid, see `variance_per_unit_tau`.
        """
        given = [sigma, range_major, range_minor, angle, decorrelation_time]
        currents = [] if m_east is None or m_north is None else [m_east, m_north]
        fields = _broadcast([*given, *currents])
        sigma, major, minor, angle, time = fields[:5]
        kappa = time ** (-1 / dynamics.alpha)
        along, across = (kappa * major).square() / 8, (kappa * minor).square() / 8
        mean, half = 0.5 * (along + across), 0.5 * (along - across)
        twice = torch.deg2rad(2 * angle)
        h = (mean + half * twice.cos(), half * twice.sin(), mean - half * twice.cos())
        unit = variance_per_unit_tau(kappa, *h, dynamics, cell_km)
        east, north = fields[5:] if currents else (None, None)
        return cls(kappa, east, north, *h, sigma / unit.sqrt(), dynamics)

    @classmethod
    def from_unconstrained(
        cls,
        raw: Tensor,
        bounds: Bounds,
        *,
        dynamics: Dynamics = _DEFAULT,
        cell_km: tuple[float, float] | None = None,
    ) -> SpdeParameters:
        """Return Θ from any real numbers: smooth, within the bounds, H positive definite.

        σ, T and the mean range R run between their bounds on a log scale by a sigmoid; the
        currents and the anisotropy (a₀, a₄₅) fill a disc. With |a| = log(major / minor),

            H = κ²R²/8 · exp([[a₀, a₄₅], [a₄₅, −a₀]])

        which is smooth through isotropy, where an angle is not.

        Args:
            raw: channels in the order of RAW_CHANNELS, (batch, 7, time, lat, lon).
            bounds: limits.
            dynamics: settings that relate σ to τ.
            cell_km: (dy, dx), see `variance_per_unit_tau`.
        """
        if raw.ndim != 5 or raw.shape[1] != len(RAW_CHANNELS):
            raise ValueError(
                f"raw parameters must be (batch, {len(RAW_CHANNELS)}, time, lat, lon), "
                f"got {tuple(raw.shape)}"
            )
        channels = raw.unbind(dim=1)
        sigma = _between(channels[0], bounds.sigma)
        kappa = _between(channels[1], bounds.decorrelation_time) ** (-1 / dynamics.alpha)
        mean_range = _between(channels[2], bounds.mean_range)
        a0, a45 = _in_disc(channels[3], channels[4], math.log(bounds.largest_ratio))
        ratio = (a0.square() + a45.square() + _ROUNDING).sqrt()
        size = (kappa * mean_range).square() / 8
        even, odd = size * torch.cosh(ratio), size * torch.sinh(ratio) / ratio
        h = (even + odd * a0, odd * a45, even - odd * a0)
        unit = variance_per_unit_tau(kappa, *h, dynamics, cell_km)
        currents = _in_disc(channels[5], channels[6], bounds.largest_speed)
        return cls(kappa, *currents, *h, sigma / unit.sqrt(), dynamics)

    def to_unconstrained(
        self,
        bounds: Bounds,
        *,
        dynamics: Dynamics | None = None,
        cell_km: tuple[float, float] | None = None,
    ) -> Tensor:
        """Return the raw channels that `from_unconstrained` maps to these parameters.

        Values at or beyond a bound come out as a large but finite number just inside it.
        `dynamics` as for `physical`.
        """
        p = self.physical(dynamics=dynamics, cell_km=cell_km)
        log_ratio = torch.log(p.range_major / p.range_minor)
        twice = torch.deg2rad(2 * p.angle)
        zero = torch.zeros_like(self.kappa)
        currents = (
            zero if p.m_east is None else p.m_east,
            zero if p.m_north is None else p.m_north,
        )
        return torch.stack(
            [
                _from_between(p.sigma, bounds.sigma),
                _from_between(p.decorrelation_time, bounds.decorrelation_time),
                _from_between((p.range_major * p.range_minor).sqrt(), bounds.mean_range),
                *_from_disc(
                    log_ratio * twice.cos(), log_ratio * twice.sin(), math.log(bounds.largest_ratio)
                ),
                *_from_disc(*currents, bounds.largest_speed),
            ],
            dim=1,
        )

    def physical(
        self, *, dynamics: Dynamics | None = None, cell_km: tuple[float, float] | None = None
    ) -> PhysicalParameters:
        """Return what the parameters mean; the inverse of `from_physical` (angle in (−90, 90]).

        Args:
            dynamics: settings of the prior; by default those the parameters were made for, or
                α = 2 with white noise.
            cell_km: (dy, dx) of the grid, see `variance_per_unit_tau`.
        """
        settings: Dynamics = dynamics or self.dynamics or _DEFAULT
        half = 0.5 * (self.h_ee - self.h_nn)
        radius = (half.square() + self.h_en.square()).sqrt()
        mean = 0.5 * (self.h_ee + self.h_nn)
        # the product of the eigenvalues is the determinant: no cancellation in the smaller one
        along = mean + radius
        across = (self.h_ee * self.h_nn - self.h_en.square()) / along
        h = (self.h_ee, self.h_en, self.h_nn)
        unit = variance_per_unit_tau(self.kappa, *h, settings, cell_km)
        return PhysicalParameters(
            sigma=self.tau * unit.sqrt(),
            range_major=(8 * along).sqrt() / self.kappa,
            range_minor=(8 * across).sqrt() / self.kappa,
            angle=0.5 * torch.rad2deg(torch.atan2(self.h_en, half)),
            decorrelation_time=self.kappa ** (-settings.alpha),
            m_east=self.m_east,
            m_north=self.m_north,
        )


def _broadcast(values: list[Tensor | float]) -> list[Tensor]:
    """Return tensors of one shape, with the dtype and device of the first tensor found."""
    like = next((v for v in values if isinstance(v, Tensor)), None)
    if like is None:
        raise ValueError("give at least one parameter as a tensor (batch, time, lat, lon)")
    tensors = [torch.as_tensor(v, dtype=like.dtype, device=like.device) for v in values]
    return list(torch.broadcast_tensors(*tensors))


def _logs(limits: tuple[float | Tensor, float | Tensor], like: Tensor) -> tuple[Tensor, Tensor]:
    low, high = (torch.as_tensor(v, dtype=like.dtype, device=like.device).log() for v in limits)
    return low, high


def _between(raw: Tensor, limits: tuple[float | Tensor, float | Tensor]) -> Tensor:
    """Return exp(log low + (log high − log low) · sigmoid(raw))."""
    low, high = _logs(limits, raw)
    return torch.exp(low + (high - low) * torch.sigmoid(raw))


def _from_between(value: Tensor, limits: tuple[float | Tensor, float | Tensor]) -> Tensor:
    low, high = _logs(limits, value)
    return torch.logit((value.log() - low) / (high - low), eps=1e-6)


def _in_disc(first: Tensor, second: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Return radius · v / √(1 + |v|²): the plane mapped smoothly onto an open disc."""
    scale = radius / (1 + first.square() + second.square()).sqrt()
    return first * scale, second * scale


def _from_disc(first: Tensor, second: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    length = (first.square() + second.square()) / radius**2
    scale = 1 / (radius * (1 - length.clamp(max=1 - 1e-6)).sqrt())
    return first * scale, second * scale
