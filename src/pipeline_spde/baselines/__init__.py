"""Baselines: the challenge's quickstart optimal interpolation, a tuned one, and persistence."""
