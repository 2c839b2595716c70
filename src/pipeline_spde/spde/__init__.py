"""Gaussian priors from stochastic partial differential equations, on regular grids, in torch."""

from pipeline_spde.spde.conjugate import Convergence, ConvergenceError
from pipeline_spde.spde.dynamics import Coloured, Dynamics
from pipeline_spde.spde.parameters import (
    RAW_CHANNELS,
    Bounds,
    PhysicalParameters,
    SpdeParameters,
)
from pipeline_spde.spde.posterior import Posterior
from pipeline_spde.spde.prior import SpdePrior

__all__ = [
    "RAW_CHANNELS",
    "Bounds",
    "Coloured",
    "Convergence",
    "ConvergenceError",
    "Dynamics",
    "PhysicalParameters",
    "Posterior",
    "SpdeParameters",
    "SpdePrior",
]
