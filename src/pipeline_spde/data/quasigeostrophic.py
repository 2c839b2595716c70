"""Two-layer quasi-geostrophic dynamics on a doubly periodic β-plane, pseudo-spectral.

    ∂t q₁ + J(ψ₁, q₁) + β ∂x ψ₁ = −(⟨q₁⟩ − q*) / T
    ∂t q₂ + J(ψ₂, q₂) + β ∂x ψ₂ = −r ∇²ψ₂
    q₁ = ∇²ψ₁ + F₁ (ψ₂ − ψ₁),   q₂ = ∇²ψ₂ + F₂ (ψ₁ − ψ₂)
    F₁ = 1 / (R² (1 + δ)),   F₂ = δ F₁

with ψ the streamfunction (u = −∂y ψ, v = ∂x ψ), q the potential vorticity without βy, ⟨·⟩ the
zonal mean, q* the potential vorticity of the jet that the upper layer is relaxed to (lower layer
at rest) in the time T, R the deformation radius, δ = H₁/H₂ the ratio of layer depths and r the rate
of the bottom drag (Vallis 2017, Atmospheric and Oceanic Fluid Dynamics, ch. 5 and 9). Time steps
are classical Runge-Kutta; after each, a scale-selective filter removes the enstrophy that
cascades to the mesh. SI units throughout; spectra are those of `scipy.fft.rfft2` with axes
(layer, y, x).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Spectrum = NDArray[np.complexfloating]
Field = NDArray[np.floating]

FILTER_CUTOFF = 0.65
"""Share of the Nyquist wavenumber below which the filter does nothing (LaCasce 1996)."""


@dataclass(frozen=True, eq=False)
class TwoLayerModel:
    """The equations of the module on a mesh of nodes x nodes points.

    Attributes:
        nodes: points per side, even.
        side: length of the periodic square in m.
        deformation_radius: R in m.
        thickness_ratio: δ, upper over lower layer depth.
        beta: meridional gradient of the Coriolis parameter in 1/(m s).
        drag_rate: r in 1/s.
        relaxation_rate: 1/T in 1/s.
        jet: speed u(y) in m/s of the upper-layer jet relaxed to, zero on average, shape (nodes,),
            or None for no flow.
        filter_rate: damping rate in 1/s of the Nyquist wavenumber.
        single: True computes in float32.
    """

    nodes: int
    side: float
    deformation_radius: float
    thickness_ratio: float
    beta: float
    drag_rate: float = 0.0
    relaxation_rate: float = 0.0
    jet: NDArray[np.float64] | None = None
    filter_rate: float = 0.0
    single: bool = False

    def __post_init__(self) -> None:
        if self.nodes < 8 or self.nodes % 2:
            raise ValueError(f"nodes must be even and 8 or more, got {self.nodes}")
        if self.jet is not None and self.jet.shape != (self.nodes,):
            raise ValueError(f"jet has shape {self.jet.shape}, expected ({self.nodes},)")

    def with_nodes(self, nodes: int) -> TwoLayerModel:
        """Return the same ocean on another mesh (the jet is resampled spectrally)."""
        jet = self.jet
        if jet is not None:
            jet = scipy.fft.irfft(scipy.fft.rfft(jet), n=nodes) * (nodes / self.nodes)
        return replace(self, nodes=nodes, jet=jet)

    @property
    def spacing(self) -> float:
        """Mesh size in m."""
        return self.side / self.nodes

    @cached_property
    def kx(self) -> Field:
        """Zonal wavenumber in rad/m, shape (1, nodes/2 + 1)."""
        k = 2 * np.pi / self.side * np.arange(self.nodes // 2 + 1)
        k[-1] = 0  # the Nyquist wave has no derivative on the mesh
        return self._real(k[None, :])

    @cached_property
    def ky(self) -> Field:
        """Meridional wavenumber in rad/m, shape (nodes, 1)."""
        k = 2 * np.pi * scipy.fft.fftfreq(self.nodes, self.spacing)
        k[self.nodes // 2] = 0
        return self._real(k[:, None])

    @cached_property
    def wavenumber_squared(self) -> Field:
        """kx² + ky² in rad²/m², Nyquist included, shape (nodes, nodes/2 + 1)."""
        kx = 2 * np.pi * scipy.fft.rfftfreq(self.nodes, self.spacing)
        ky = 2 * np.pi * scipy.fft.fftfreq(self.nodes, self.spacing)
        return self._real(ky[:, None] ** 2 + kx**2)

    @cached_property
    def stretching(self) -> tuple[float, float]:
        """(F₁, F₂) in 1/m²."""
        upper = 1 / (self.deformation_radius**2 * (1 + self.thickness_ratio))
        return upper, self.thickness_ratio * upper

    @cached_property
    def _inverse(self) -> Field:
        """Matrix of ψ = A q per wavenumber, shape (2, 2, nodes, nodes/2 + 1); 0 for the mean."""
        k2 = self.wavenumber_squared.astype(np.float64)
        f1, f2 = self.stretching
        determinant = k2 * (k2 + f1 + f2)
        determinant[0, 0] = 1
        matrix = -np.array([[k2 + f2, np.full_like(k2, f1)], [np.full_like(k2, f2), k2 + f1]])
        matrix /= determinant
        matrix[:, :, 0, 0] = 0
        return self._real(matrix)

    @cached_property
    def _jet_vorticity(self) -> Spectrum:
        """Zonal-mean spectrum of q*, shape (nodes,)."""
        if self.jet is None:
            return np.zeros(self.nodes, self._complex)
        ky = self.ky[:, 0].astype(np.float64)
        flow = scipy.fft.fft(self.jet) * self.nodes
        safe = np.where(ky == 0, 1, ky)
        psi = np.where(ky == 0, 0, 1j * flow / safe)  # u = −∂y ψ
        return (-(ky**2 + self.stretching[0]) * psi).astype(self._complex)

    @property
    def _complex(self) -> type[np.complexfloating]:
        return np.complex64 if self.single else np.complex128

    def _real(self, values: Field) -> Field:
        return values.astype(np.float32 if self.single else np.float64)

    def to_mesh(self, spectrum: Spectrum) -> Field:
        """Return fields on the mesh, shape (…, nodes, nodes)."""
        return np.asarray(scipy.fft.irfft2(spectrum, s=(self.nodes, self.nodes), workers=1))

    def to_spectrum(self, field: Field) -> Spectrum:
        """Return spectra of fields on the mesh, shape (…, nodes, nodes/2 + 1)."""
        return np.asarray(scipy.fft.rfft2(self._real(np.asarray(field)), workers=1))

    def streamfunction(self, q: Spectrum) -> Spectrum:
        """Return the spectrum of ψ in m²/s of both layers for that of q in 1/s; mean zero."""
        psi = self._inverse[:, 0] * q[0]
        psi += self._inverse[:, 1] * q[1]
        return psi

    def potential_vorticity(self, psi: Spectrum) -> Spectrum:
        """Return the spectrum of q in 1/s of both layers for that of ψ in m²/s."""
        f1, f2 = self.stretching
        difference = psi[1] - psi[0]
        q = -self.wavenumber_squared * psi
        q[0] += f1 * difference
        q[1] -= f2 * difference
        return q

    def tendency(self, q: Spectrum) -> Spectrum:
        """Return the spectrum of ∂t q in 1/s² (all terms of the module's equations)."""
        psi = self.streamfunction(q)
        spectra = np.empty((6, *q.shape[1:]), q.dtype)
        np.multiply(-self._iky, psi, out=spectra[:2])
        np.multiply(self._ikx, psi, out=spectra[2:4])
        spectra[4:] = q
        fields = self.to_mesh(spectra)
        velocities = fields[:4].reshape(2, 2, self.nodes, self.nodes)
        velocities *= fields[4:]
        flux_x, flux_y = self.to_spectrum(velocities)
        flux_x += self.beta * psi
        flux_x *= self._ikx
        flux_y *= self._iky
        flux_x += flux_y
        rate = np.negative(flux_x, out=flux_x)
        rate[1] += self._drag * psi[1]
        rate[0, :, 0] -= self.relaxation_rate * (q[0, :, 0] - self._jet_vorticity)
        return rate

    def step(self, q: Spectrum, time_step: float) -> Spectrum:
        """Return q after a Runge-Kutta step of `time_step` seconds and the filter."""
        total = self.tendency(q)
        stage = self.tendency(q + time_step / 2 * total)
        total += 2 * stage
        stage = self.tendency(q + time_step / 2 * stage)
        total += 2 * stage
        total += self.tendency(q + time_step * stage)
        total *= time_step / 6
        total += q
        total *= self._filter(time_step)
        return total

    def _filter(self, time_step: float) -> Field:
        """Return exp(−rate · dt · ((k − c)/(1 − c))⁴) above the cutoff c, k relative to Nyquist."""
        return self._real(np.exp(-time_step * self._filter_rates))

    @cached_property
    def _filter_rates(self) -> Field:
        k = np.sqrt(self.wavenumber_squared) * (self.spacing / np.pi)
        excess = np.clip((k - FILTER_CUTOFF) / (1 - FILTER_CUTOFF), 0, None)
        return self.filter_rate * excess**4

    @cached_property
    def _drag(self) -> Field:
        return self.drag_rate * self.wavenumber_squared

    @cached_property
    def _ikx(self) -> Spectrum:
        return (1j * self.kx).astype(self._complex)

    @cached_property
    def _iky(self) -> Spectrum:
        return (1j * self.ky).astype(self._complex)

    def fastest(self, q: Spectrum) -> float:
        """Return the largest speed on the mesh in either layer, m/s."""
        psi = self.streamfunction(q)
        u, v = self.to_mesh(np.stack([-1j * self.ky * psi, 1j * self.kx * psi]))
        return float(np.sqrt(np.max(u**2 + v**2)))

    def energy(self, q: Spectrum) -> float:
        """Return the mean energy per unit mass in m²/s²: −½ ⟨Σ ψᵢ qᵢ Hᵢ⟩ / (H₁ + H₂)."""
        psi = self.to_mesh(self.streamfunction(q)).astype(np.float64)
        return -0.5 * float(self._depths @ np.mean(psi * self.to_mesh(q), axis=(1, 2)))

    def enstrophy(self, q: Spectrum) -> float:
        """Return the mean potential enstrophy in 1/s²: ½ ⟨Σ qᵢ² Hᵢ⟩ / (H₁ + H₂)."""
        squared = self.to_mesh(q).astype(np.float64) ** 2
        return 0.5 * float(self._depths @ np.mean(squared, axis=(1, 2)))

    @property
    def _depths(self) -> NDArray[np.float64]:
        return np.array([self.thickness_ratio, 1.0]) / (1 + self.thickness_ratio)


def refine(spectrum: Spectrum, nodes: int) -> Spectrum:
    """Return spectra of the same fields on a finer (or equal) mesh of `nodes` points per side.

    Raises:
        ValueError: the mesh would be coarser.
    """
    old = spectrum.shape[-2]
    if nodes < old:
        raise ValueError(f"cannot refine from {old} to {nodes} nodes")
    if nodes == old:
        return spectrum
    half = old // 2
    fine = np.zeros((*spectrum.shape[:-2], nodes, nodes // 2 + 1), spectrum.dtype)
    # the Nyquist waves have no counterpart of definite phase and are dropped
    fine[..., :half, :half] = spectrum[..., :half, :half]
    fine[..., -half + 1 :, :half] = spectrum[..., -half + 1 :, :half]
    return fine * spectrum.dtype.type((nodes / old) ** 2)
