"""Figures: functions from arrays and xarray objects to a matplotlib Figure; no files, no pyplot.

Every figure is drawn inside `style.context()` on an Agg canvas of its own, so nothing has to be
closed and no global state changes. Save one with `figure.savefig(path)`; figures are 7 inches wide
(a page) unless stated otherwise.
"""
