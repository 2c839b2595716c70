"""Films of daily maps: truth, observations, and the maps and errors of a few methods."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from pipeline_spde.figures import style
from pipeline_spde.figures.maps import bar_labels, day_panels
from pipeline_spde.figures.panels import check_same_axes, land_of, panel_figure, scales_of

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
    if not shown:
        raise ValueError("nothing to draw: no day given")
    sample = [shown[i] for i in np.unique(np.linspace(0, len(shown) - 1, 7).astype(int))]
    rows = [row for day in sample for row in day_panels(day, observations, maps, truth)]
    first = day_panels(shown[0], observations, maps, truth)
    figure, drawn = panel_figure(
        first,
        reference["lat"].values,
        reference["lon"].values,
        land_of([reference]),
        row_labels=[""] * len(first),
        bars=bar_labels(reference),
        scales=scales_of(rows),
        width=width,
    )
    with style.context():
        title = figure.suptitle(style.day_label(shown[0]), fontsize=9)
        figure.set_dpi(dpi)
        figure.canvas.draw()
        figure.set_layout_engine("none")  # the layout of the first frame holds for all
    for day in shown:
        title.set_text(style.day_label(day))
        block = day_panels(day, observations, maps, truth)
        for handles, row in zip(drawn, block, strict=True):
            for handle, panel in zip(handles, row, strict=True):
                handle.show(panel)
        yield _render(figure)


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
    for dpi, every in ATTEMPTS:
        images = frames(observations, maps, truth, shown[::every], dpi=dpi)
        content = _gif(images, every / frames_per_second)
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
        "show fewer days or methods"
    )


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
