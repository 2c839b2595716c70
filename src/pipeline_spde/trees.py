"""Configuration trees: overlaying, canonical text, hashes, seeds, and errors in plain words."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel


def overlay(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the keys of `top` laid over it, mappings merged, other values replaced."""
    merged = dict(base)
    for key, value in top.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = overlay(merged[key], value) if both else value
    return merged


def canonical(tree: Any) -> str:
    """Return JSON with sorted keys: equal trees give equal text."""
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), default=str)


def config_hash(tree: Any) -> str:
    """Return a 16-digit hash of a configuration (sub-)tree."""
    return hashlib.sha256(canonical(tree).encode()).hexdigest()[:16]


def derived_seed(root: int, *names: str) -> int:
    """Return the seed of a stage: a hash of the root seed, the stage and its wildcards."""
    digest = hashlib.sha256(canonical([root, *names]).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def plain(message: str) -> str:
    """Return a validator's message without pydantic's prefix."""
    return message.removeprefix("Value error, ")


def explain(item: Mapping[str, Any], root: type[BaseModel]) -> list[str]:
    """Return the lines, one per problem, that put a pydantic error in plain words."""
    place = [str(part) for part in item["loc"]]
    where = ".".join(place)
    if item["type"] == "extra_forbidden":
        known = _known_keys(place[:-1], root)
        close = difflib.get_close_matches(place[-1], known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
        return [f"{where}: unknown key ({hint})"]
    if item["type"] == "value_error":
        return [f"{where}: {line}" if where else line for line in plain(item["msg"]).split("\n")]
    if item["type"] == "missing":
        return [f"{where}: this key is required"]
    return [f"{where}: {plain(item['msg'])}; got {item['input']!r}"]


def _known_keys(place: list[str], root: type[BaseModel]) -> list[str]:
    """Return the keys allowed at a place of the tree below `root`."""
    model, next_is_name = root, False
    for part in place:
        if next_is_name:  # a free name, e.g. of a domain
            next_is_name = False
            continue
        field = model.model_fields.get(part)
        models = [] if field is None else list(_models_in(field.annotation))
        if field is None or not models:
            return []
        model, next_is_name = models[0], get_origin(field.annotation) is dict
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models named anywhere in a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
