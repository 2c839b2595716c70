"""Gather what an experiment made into one page that needs nothing but itself.

The page holds its style, its scripts and its data; its policy (Content-Security-Policy) lets the
browser run no other script and open no connection. All text goes through Jinja's escaping.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files as resource_files
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from pipeline_spde.config import Config
from pipeline_spde.files import read_json
from pipeline_spde.products import figure_names
from pipeline_spde.report import fields, gallery, histograms, records, score_table, theta
from pipeline_spde.trees import config_hash

MEGABYTE = 10**6
_LEAST_SHARE = 0.25
"""Share of the page that the maps may always take, however large the figures are."""
_PRIORS = 0.15
"""Share of the maps that those of Θ may take."""


def build(folder: Path, config: Config, captions: Path | None = None) -> str:
    """Return the page (HTML) of an experiment; what is not there is left out and said.

    Args:
        folder: results folder of the experiment.
        config: its configuration.
        captions: folder of the figures' captions (reStructuredText); None: no captions.

    Raises:
        DataError: a file of the results is damaged.
    """
    room = config.report.max_megabytes * MEGABYTE
    names = [name for name in figure_names(config) if (folder / "figures" / name).is_file()]
    kept = (1 - _LEAST_SHARE) * room
    figures = gallery.gather(folder / "figures", names, captions, int(kept))
    left = room - sum(len(figure.data) for figure in figures)
    maps, notes = _maps(folder, config, left)
    scores = _scores(folder, config)
    jobs = records.jobs(folder)
    tree = config.model_dump(mode="json")
    code = _resource("viewer.js") + _resource("page.js")
    return (
        _environment()
        .from_string(_resource("page.html"))
        .render(
            experiment=config.experiment,
            domains=config.domains,
            mapped=[name for name, domain in config.domains.items() if domain.mapped],
            tasks=config.tasks,
            tables=score_table.score_tables(scores),
            figures=figures,
            categories=[
                c for c in gallery.CATEGORIES if any(f.kind.category == c for f in figures)
            ],
            histograms=histograms.rank_histograms(scores),
            histogram=histograms.drawing,
            maps=_script_json(maps.contents),
            has_maps=bool(maps.contents.get("domains")),
            has_theta=any(d["theta"] for d in maps.contents.get("domains", {}).values()),
            texts=maps.texts,
            notes=notes,
            jobs=jobs,
            costs=records.costs(folder / "benchmarks"),
            environment=records.environment(),
            code_versions=records.one_or_many(job.code_version for job in jobs),
            config_hash=config_hash(tree),
            seed=config.seed,
            made=max((job.started for job in jobs), default="unknown"),
            configuration=yaml.safe_dump(tree, sort_keys=False, allow_unicode=True),
            style=Markup(_resource("style.css")),
            script=Markup(code),
            script_hash=_script_hash(code),
        )
    )


def _maps(folder: Path, config: Config, room: float) -> tuple[fields.Pack, list[str]]:
    """Return the packed maps of all domains, smallest first given room, and what was thinned."""
    found, notes, used = fields.Pack(), [], set()
    domains: dict[str, Any] = {}
    sizes = {name: _cells(domain) for name, domain in config.domains.items()}
    order = sorted(sizes, key=lambda name: sizes[name])
    for number, name in enumerate(order):
        share = (1 - _PRIORS) * (room - found.size) / (len(order) - number)
        packed = fields.pack_domain(folder, config, name, config.report.members, share)
        if packed is None:
            continue
        pack, thinning = packed
        _append(found, pack)
        priors = theta.pack_theta(folder, config, name, thinning.stride, found)
        domains[name] = pack.contents | {"theta": priors, "thinned": thinning.words()}
        used |= {scale["colours"] for scale in pack.contents["scales"].values()}
        used |= {field["scale"]["colours"] for prior in priors for field in prior["fields"]}
        if thinning.words():
            notes.append(f"{name}: {thinning.words()}")
    ordered = {name: domains[name] for name in config.domains if name in domains}
    tables = theta.colour_tables(used)
    found.contents = {"domains": ordered, "colours": tables, "tasks": list(config.tasks)}
    return found, notes


def _append(found: fields.Pack, pack: fields.Pack) -> None:
    """Add the arrays of a pack to those found before; its numbers move on by as many."""
    shift = len(found.texts)
    found.texts += pack.texts
    found.size += pack.size
    _renumber(pack.contents, shift)


def _renumber(tree: Any, shift: int) -> None:
    if isinstance(tree, dict):
        if "id" in tree and "shape" in tree:
            tree["id"] += shift
        for value in tree.values():
            _renumber(value, shift)
    elif isinstance(tree, list):
        for value in tree:
            _renumber(value, shift)


def _cells(domain: Any) -> float:
    area = (domain.lat[1] - domain.lat[0]) * (domain.lon[1] - domain.lon[0])
    return float(area / domain.resolution**2)


def _scores(folder: Path, config: Config) -> Sequence[dict[str, Any]]:
    """Return the contents of the score files that exist, in the order of tables."""
    paths = [
        folder / "scores" / domain / task / f"{method}.json"
        for domain in config.domains
        for task, methods in config.tasks.items()
        for method in methods
    ]
    return [read_json(path) for path in paths if path.is_file()]


def _environment() -> Environment:
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters["duration"] = duration
    environment.filters["number"] = lambda value: f"{value:,.0f}".replace(",", "\u2009")
    return environment


def duration(seconds: float) -> str:
    """Return a length of time for people: "0.4 s", "3 min 20 s", "2 h 05 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _resource(name: str) -> str:
    return resource_files("pipeline_spde.report").joinpath(name).read_text(encoding="utf-8")


def _script_json(tree: Any) -> Markup:
    """Return JSON that may stand in a script element: nothing in it can end the element."""
    text = json.dumps(tree, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _script_hash(code: str) -> str:
    digest = hashlib.sha256(code.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
