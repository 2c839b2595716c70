"""Films of daily maps: what methods made of the observations; the mean and one member."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from pipeline_spde.figures import members, style
from pipeline_spde.figures.maps import bar_labels, day_panels
from pipeline_spde.figures.panels import (
    Kind,
    Panel,
    PanelRow,
    check_same_axes,
    land_of,
    panel_figure,
    rms_text,
    scales_of,
)

logger = logging.getLogger(__name__)

PALETTE_COLOURS = 128
MOST_BYTES = 5_000_000
ATTEMPTS = ((100, 1), (80, 1), (80, 2), (60, 4))  # pixels per inch, every how many days


def frames(
    observations: xr.Dataset,
    maps: Mapping[str, xr.Dataset],
    truth: xr.Dataset | None = None,
    days: Sequence[Any] | None = None,
    width: float = 5.5,
    dpi: int = 100,
) -> Iterator[Image.Image]:
    """Yield one RGB image per day, all with the same layout and colour limits.

    The panels are those of `maps.reconstruction_panels` for one day; pass the one or two methods
    that matter (the baseline and the best). Limits come from seven days spread over the film.

    Args:
        observations: gridded observations.
        maps: method -> maps.
        truth: true maps, if known.
        days: days to show; all days of the first method when omitted.
        width: inches.
        dpi: pixels per inch.
    """
    if not maps:
        raise ValueError("nothing to draw: no method given")
    reference = next(iter(maps.values())) if truth is None else truth
    check_same_axes(reference, {"observations": observations, **maps})
    shown = list(next(iter(maps.values()))["time"].values if days is None else days)
    yield from _film(
        lambda day: day_panels(day, observations, maps, truth),
        shown,
        reference,
        land_of([reference]),
        bar_labels(reference),
        width,
        dpi,
    )


def ensemble_frames(
    ensemble: xr.Dataset,
    truth: xr.Dataset | None = None,
    days: Sequence[Any] | None = None,
    width: float = 5.5,
    dpi: int = 100,
) -> Iterator[Image.Image]:
    """Yield one RGB image per day: truth (if known), mean, one member, standard deviation.

    The member is the same on all days: it should live as the truth does, not flicker.

    Args:
        ensemble: heights in the layout of `figures.members`; the first member is shown.
        truth: true maps, if known; RMSE of the mean and the member are noted.
        days: days to show; all days of the ensemble when omitted.
        width: inches.
        dpi: pixels per inch.
    """
    shown = list(ensemble["time"].values if days is None else days)
    bars: dict[Kind, str] = {
        "height": style.height_label(members.quantity(ensemble)),
        "std": "std of the members [m]",
    }
    land = members.land_of_ensemble(ensemble)
    yield from _film(
        lambda day: _ensemble_panels(day, ensemble, truth), shown, ensemble, land, bars, width, dpi
    )


def animate(
    target: str | Path | IO[bytes],
    observations: xr.Dataset,
    maps: Mapping[str, xr.Dataset],
    truth: xr.Dataset | None = None,
    days: Sequence[Any] | None = None,
    frames_per_second: float = 4.0,
    most_bytes: int = MOST_BYTES,
) -> int:
    """Write the frames as an endless GIF and return its size in bytes.

    A film larger than `most_bytes` is drawn again with fewer pixels, then with fewer days.

    Args:
        target: path or binary stream.
        observations: as in `frames`.
        maps: as in `frames`.
        truth: as in `frames`.
        days: as in `frames`.
        frames_per_second: speed.
        most_bytes: limit of the size.

    Raises:
        ValueError: the film cannot be made that small.
    """
    shown = list(next(iter(maps.values()))["time"].values if days is None else days)
    return _write(
        target,
        lambda days, dpi: frames(observations, maps, truth, days, dpi=dpi),
        shown,
        frames_per_second,
        most_bytes,
    )


def animate_ensemble(
    target: str | Path | IO[bytes],
    ensemble: xr.Dataset,
    truth: xr.Dataset | None = None,
    days: Sequence[Any] | None = None,
    frames_per_second: float = 4.0,
    most_bytes: int = MOST_BYTES,
) -> int:
    """Write the `ensemble_frames` as `animate` does and return the size in bytes.

    Raises:
        ValueError: the film cannot be made that small, or the ensemble has no member.
    """
    shown = list(ensemble["time"].values if days is None else days)
    return _write(
        target,
        lambda days, dpi: ensemble_frames(ensemble, truth, days, dpi=dpi),
        shown,
        frames_per_second,
        most_bytes,
    )


def _write(
    target: str | Path | IO[bytes],
    frames_of: Callable[[Sequence[Any], int], Iterator[Image.Image]],
    shown: Sequence[Any],
    frames_per_second: float,
    most_bytes: int,
) -> int:
    for dpi, every in ATTEMPTS:
        content = _gif(frames_of(shown[::every], dpi), every / frames_per_second)
        if len(content) <= most_bytes:
            if isinstance(target, str | Path):
                Path(target).write_bytes(content)
            else:
                target.write(content)
            return len(content)
        logger.info(
            "film of %d bytes at %d dpi, every %d days: too large", len(content), dpi, every
        )
    raise ValueError(
        f"a film of {len(shown)} days cannot be made smaller than {most_bytes} bytes; "
        "show fewer days or panels"
    )


def _film(
    panels_of: Callable[[Any], Sequence[PanelRow]],
    days: Sequence[Any],
    reference: xr.Dataset,
    land: NDArray[np.bool_],
    bars: Mapping[Kind, str],
    width: float,
    dpi: int,
) -> Iterator[Image.Image]:
    """Yield the panels of every day in one layout; limits come from seven days of them."""
    if not days:
        raise ValueError("nothing to draw: no day given")
    sample = [days[i] for i in np.unique(np.linspace(0, len(days) - 1, 7).astype(int))]
    first = panels_of(days[0])
    figure, drawn = panel_figure(
        first,
        reference["lat"].values,
        reference["lon"].values,
        land,
        row_labels=[""] * len(first),
        bars=bars,
        scales=scales_of([row for day in sample for row in panels_of(day)]),
        width=width,
    )
    with style.context():
        title = figure.suptitle(style.day_label(days[0]), fontsize=9)
        figure.set_dpi(dpi)
        figure.canvas.draw()
        figure.set_layout_engine("none")  # the layout of the first frame holds for all
    for day in days:
        title.set_text(style.day_label(day))
        for handles, row in zip(drawn, panels_of(day), strict=True):
            for handle, panel in zip(handles, row, strict=True):
                handle.show(panel)
        yield _render(figure)


def _ensemble_panels(day: Any, ensemble: xr.Dataset, truth: xr.Dataset | None) -> list[PanelRow]:
    """Return the panels of a day: two rows of two with a truth, else a row of three."""
    heights = members.heights_of_day(day, ensemble, truth, count=1)
    actual = heights.pop("truth", None)
    panels = []
    for title, height in heights.items():
        note = "" if actual is None else rms_text("RMSE", height - actual)
        panels.append(Panel(title, height, "height", note))
    std = members.part_on_day(ensemble, "std", day)
    panels.append(Panel("std", std, "std", rms_text("spread", std)))
    if actual is None:
        return [panels]
    return [[Panel("truth", actual, "height"), panels[0]], panels[1:]]


def _render(figure: Figure) -> Image.Image:
    canvas = figure.canvas
    if not isinstance(canvas, FigureCanvasAgg):
        raise TypeError(f"the figure must have an Agg canvas, got {type(canvas).__name__}")
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def _gif(images: Iterator[Image.Image], seconds: float) -> bytes:
    """Return a GIF; all frames share the palette of the first one, so that nothing flickers."""
    first = next(images).quantize(PALETTE_COLOURS, dither=Image.Dither.NONE)
    others = (image.quantize(palette=first, dither=Image.Dither.NONE) for image in images)
    stream = io.BytesIO()
    first.save(
        stream,
        format="GIF",
        save_all=True,
        append_images=others,
        duration=round(1000 * seconds),
        loop=0,
        optimize=False,
    )
    return stream.getvalue()
