"""A small problem whose answer is known: does this machine compute as it should?

Broken linear-algebra libraries, mixed installations and wrong thread settings show up here in a
second instead of in a map after hours.
"""

from __future__ import annotations

import numpy as np
import torch

from pipeline_spde.grids import Grid
from pipeline_spde.machine import Finding
from pipeline_spde.spde import SpdeParameters, SpdePrior

_AGREEMENT = 1e-9
"""Relative difference that rounding in float64 explains on the grid below, with room to spare."""


def known_answers() -> list[Finding]:
    """Return whether the SPDE prior agrees with dense algebra, and draws with themselves."""
    prior = _small_prior()
    x = prior.sample(1, torch.Generator().manual_seed(2))[0]
    again = prior.sample(1, torch.Generator().manual_seed(2))[0]
    dense = prior.precision()[0].toarray()
    flat = x[0].flatten().numpy()
    energy, logdet = float(prior.energy(x)[0]), float(prior.logdet()[0])
    errors = {
        "energy": abs(energy / (flat @ dense @ flat) - 1),
        "log-determinant": abs(logdet / np.linalg.slogdet(dense)[1] - 1),
    }
    wrong = [f"{name} off by {error:.1e}" for name, error in errors.items() if error > _AGREEMENT]
    if not bool(torch.equal(x, again)):
        wrong.append("two draws of one seed differ")
    if wrong:
        advice = "install numpy, scipy and torch anew in a fresh environment"
        return [Finding("arithmetic", "bad", "; ".join(wrong), advice)]
    found = f"SPDE prior equals dense algebra to {max(errors.values()):.0e}; draws repeat"
    return [Finding("arithmetic", "good", found)]


def _small_prior() -> SpdePrior:
    """Return a prior with currents and anisotropy on 3 days of 6 × 8 cells, without land."""
    grid = Grid.cartesian(6, 8, 12.0, 10.0)
    draw = torch.Generator().manual_seed(1)

    def field(low: float, high: float) -> torch.Tensor:
        unit = torch.rand((1, 3, *grid.shape), generator=draw, dtype=torch.float64)
        return low + (high - low) * unit

    theta = SpdeParameters(
        kappa=field(0.2, 0.5),
        m_east=field(-6, 6),
        m_north=field(-6, 6),
        h_ee=field(120, 200),
        h_en=field(-30, 30),
        h_nn=field(80, 150),
        tau=field(5, 15),
    )
    return SpdePrior(grid, theta)
