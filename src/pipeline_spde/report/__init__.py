"""One self-contained page about an experiment: scores, figures, maps to play with, provenance."""

from pipeline_spde.report.build import build

__all__ = ["build"]
