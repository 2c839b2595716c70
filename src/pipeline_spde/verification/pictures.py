"""Figures of a score file; the only module here that needs matplotlib."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_spde.figures import calibration, series, spectra
from pipeline_spde.files import write_figure
from pipeline_spde.scores.spectra import score_spectra

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)


def write_figures(
    content: Mapping[str, Any],
    folder: Path,
    margin_degrees: float,
    pair: tuple[xr.DataArray, xr.DataArray] | None = None,
    dpi: int = 150,
) -> list[Path]:
    """Draw the daily scores and, where there are any, calibration and spectra.

    Everything is drawn before anything is written.

    Args:
        content: of the score file.
        folder: where to write `daily.png`, `calibration.png`, `contours.png` and `psd.png`.
        margin_degrees: what is cut off each side of the truth's grid.
        pair: truth and maps in memory, for the spectra; None: none are drawn.
        dpi: dots per inch.
    """
    name = str(content["method"])
    along_track = "count" in content["daily"]
    daily = series.along_track_scores if along_track else series.daily_scores
    drawn: dict[str, Figure] = {"daily": daily({name: content["daily"]})}
    if "rank_histogram" in content["probabilistic"]:
        drawn["calibration"] = calibration.calibration({name: content})
    if pair is not None:
        drawn |= _spectra(content, name, margin_degrees, *pair)
    paths = []
    for key, figure in drawn.items():
        paths.append(folder / f"{key}.png")
        write_figure(figure, paths[-1], dpi)
    return paths


def _spectra(
    content: Mapping[str, Any],
    name: str,
    margin_degrees: float,
    truth: xr.DataArray,
    estimate: xr.DataArray,
) -> dict[str, Figure]:
    try:
        field, zonal = score_spectra(truth=truth, estimate=estimate, margin_degrees=margin_degrees)
    except ValueError as error:
        logger.warning("no spectra drawn: %s", error)
        return {}
    contours, psd = spectra.resolved_scales({name: field}, {name: zonal}, {name: content})
    return {"contours": contours, "psd": psd}
