"""Scores of sea-surface-height maps: named protocols, confidence intervals, tracks, tables.

score_maps       maps against a known truth, under one or more protocols
score_tracks     maps against independent along-track data
compare          paired comparison of two methods, against a truth …
compare_tracks   … and against along-track data
score_spectra    spectra of truth and error, for figures
tables           one table from many score files
"""

from pipeline_spde.scores.along_track import compare_tracks, score_tracks
from pipeline_spde.scores.protocols import PROTOCOLS, Protocol, compare, score_maps
from pipeline_spde.scores.spectra import score_spectra

__all__ = [
    "PROTOCOLS",
    "Protocol",
    "compare",
    "compare_tracks",
    "score_maps",
    "score_spectra",
    "score_tracks",
]
