"""The figures of an experiment: category, title and caption of each, and its bytes as text."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from docutils.core import publish_parts
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image


class Kind(NamedTuple):
    """What a figure shows.

    Attributes:
        category: heading that it stands under.
        title: a few words.
        caption: name of the file of its caption.
    """

    category: str
    title: str
    caption: str = ""


CATEGORIES = ("Scores", "Maps", "Training and prior", "Ocean and observations", "Other")
KINDS = {
    "regions": Kind("Scores", "scores by region", "regions.rst"),
    "globe": Kind("Maps", "gradient of the sea surface", "globe.rst"),
    "transfer": Kind("Scores", "networks from elsewhere", "transfer.rst"),
    "series": Kind("Scores", "daily scores", "series.rst"),
    "contours": Kind("Scores", "resolved scales", "spectra.rst"),
    "psd": Kind("Scores", "spectra", "spectra.rst"),
    "calibration": Kind("Scores", "calibration of the spread", "calibration.rst"),
    "leads": Kind("Scores", "skill by lead time", "leads.rst"),
    "maps": Kind("Maps", "maps and errors", "maps.rst"),
    "speed": Kind("Maps", "geostrophic speed", "speed.rst"),
    "std": Kind("Maps", "standard deviation and error", "std.rst"),
    "members": Kind("Maps", "members of the ensemble", "members.rst"),
    "uncertainty": Kind("Maps", "uncertainty of every task", "uncertainty.rst"),
    "animation": Kind("Maps", "film of maps and errors", "animation.rst"),
    "ensemble": Kind("Maps", "film of the ensemble", "ensemble.rst"),
    "training": Kind("Training and prior", "training curves", "training.rst"),
    "parameters": Kind("Training and prior", "fitted prior of SPDE OI", "parameters.rst"),
    "prior": Kind("Training and prior", "prior of the members, by region", "prior.rst"),
    "theta": Kind("Training and prior", "estimated prior of 4DVarNet-SPDE", "theta.rst"),
    "truth": Kind("Ocean and observations", "simulated truth", "truth.rst"),
    "coverage": Kind("Ocean and observations", "coverage by day", "observations.rst"),
    "tracks": Kind("Ocean and observations", "ground tracks", "observations.rst"),
}
"""File stem -> kind; any other figure is shown under "Other" with its name as title."""
_MEDIA = {".png": "image/png", ".gif": "image/gif", ".jpg": "image/jpeg", ".webp": "image/webp"}
_FILM = ".gif"


@dataclass(frozen=True)
class Figure:
    """A figure as the page shows it.

    Attributes:
        name: its path below figures/.
        domain: name of the domain, "" when it belongs to none.
        task: name of the task, "" when it belongs to none.
        kind: category, title and name of the caption.
        caption: HTML of the caption, "" when there is none.
        data: data URI; "" when the page has no room for it.
        width: of the picture in pixels.
        height: of the picture in pixels.
    """

    name: str
    domain: str
    task: str
    kind: Kind
    caption: Markup
    data: str
    width: int
    height: int

    @property
    def alt(self) -> str:
        """What the picture is, for those who do not see it."""
        where = ", ".join(part for part in (self.domain, self.task) if part)
        return f"{self.kind.title.capitalize()}: {where}" if where else self.kind.title.capitalize()


def gather(folder: Path, names: Sequence[str], captions: Path | None, room: int) -> list[Figure]:
    """Return the figures in the order of categories, films last to be given room.

    Args:
        folder: figures/ of the experiment.
        names: paths below it, `{domain}/{task}/{kind}.png` or `{domain}/{kind}.png`.
        captions: folder of the captions, reStructuredText with Jinja; None: no captions.
        room: bytes of the page that figures may take.
    """
    order = sorted(names, key=lambda name: (Path(name).suffix == _FILM, names.index(name)))
    figures = []
    for name in order:
        path = folder / name
        data = _data_uri(path)
        fits = len(data) <= room
        room -= len(data) if fits else 0
        figures.append(_figure(name, path, captions, data if fits else ""))
    return sorted(figures, key=lambda f: (CATEGORIES.index(f.kind.category), names.index(f.name)))


def _figure(name: str, path: Path, captions: Path | None, data: str) -> Figure:
    *places, _ = Path(name).parts
    domain, task = [*places, "", ""][:2]
    kind = KINDS.get(path.stem, Kind("Other", path.stem.replace("_", " ")))
    text = ""
    if captions is not None and kind.caption:
        text = caption((captions / kind.caption).read_text(encoding="utf-8"), domain, task)
    with Image.open(path) as picture:
        width, height = picture.size
    return Figure(name, domain, task, kind, Markup(text), data, width, height)


@cache
def caption(source: str, domain: str, task: str) -> str:
    """Return the HTML of a caption, rendered as `snakemake --report` renders it."""
    wildcards = SimpleNamespace(domain=domain, task=task)
    environment = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    text = environment.from_string(source).render(snakemake=SimpleNamespace(wildcards=wildcards))
    settings = {"raw_enabled": False, "file_insertion_enabled": False, "report_level": 5}
    parts = publish_parts(text, writer="html", settings_overrides=settings)
    return str(parts["body"])


def _data_uri(path: Path) -> str:
    if path.suffix not in _MEDIA:
        raise ValueError(f"{path}: a page shows {', '.join(_MEDIA)} only")
    return f"data:{_MEDIA[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
