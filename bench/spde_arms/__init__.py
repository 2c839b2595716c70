"""The arms of bench/spde.py: what they compute, how, and on which problems."""
