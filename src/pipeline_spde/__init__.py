"""Neural variational data assimilation with SPDE priors, from altimetry to calibrated SSH maps."""

__version__ = "0.1.0"
