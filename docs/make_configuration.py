"""Write docs/configuration.md: every key of the configuration, from the models that check it.

python docs/make_configuration.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline_spde.config import Config
from pipeline_spde.files import write_text

PAGE = Path(__file__).parent / "configuration.md"
HEAD = """# Configuration

<!-- made by docs/make_configuration.py from src/pipeline_spde/config/; change those -->

An experiment is `config.yaml` and, with `--configfile`, overlays such as those in `config/`: a key
there replaces the same key, mappings are merged, an empty list under `tasks` drops a task. All
mistakes are listed at once, before any work; `config/schema.json` lets editors check and complete
the file. Periods are lists of two days, both included. Below are all keys, defaults and limits.
"""
_LIMITS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "multipleOf": "a multiple of {}",
    "pattern": "like `{}`",
}
_KINDS = {"integer": "whole number", "string": "text", "boolean": "true, false", "null": "null"}


def page() -> str:
    """Return the page: the keys of the experiment, then each section in the order of the keys."""
    schema = Config.model_json_schema()
    models = schema["$defs"]
    lines = [HEAD, *_table(schema, models)]
    for name, title in _sections(schema, models).items():
        lines += [f"\n## {title}\n", models[name]["description"].split("\n\n")[0] + "\n"]
        lines += _table(models[name], models)
    return "\n".join(lines) + "\n"


def _sections(schema: dict[str, Any], models: dict[str, Any]) -> dict[str, str]:
    """Return model -> title of every model that a key leads to, the nearest first."""
    found: dict[str, str] = {}
    queue = [("", schema)]
    while queue:
        path, model = queue.pop(0)
        for key, value in model["properties"].items():
            place = f"{path}.{key}" if path else key
            for name in _references(value):
                if name == "Period" or name in found:
                    continue
                place = f"{place}.NAME" if "patternProperties" in value else place
                found[name] = f"`{place}`"
                queue.append((place, models[name]))
    return found


def _references(value: Any) -> Iterator[str]:
    """Yield the names of the models that a key's value may be."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rsplit("/", 1)[1]
        for name in ("anyOf", "additionalProperties", "items"):
            yield from _references(value.get(name))
        yield from _references(list(value.get("patternProperties", {}).values()))
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _table(model: dict[str, Any], models: dict[str, Any]) -> list[str]:
    """Return the rows of a model's keys."""
    lines = ["| key | value | default | what it is |", "| --- | --- | --- | --- |"]
    for key, value in model["properties"].items():
        kind = _kind(value).replace("|", "\\|")
        text = " ".join(value.get("description", "").split()).replace("|", "\\|")
        lines.append(f"| `{key}` | {kind} | {_default(value, models)} | {text} |")
    return lines


def _kind(value: dict[str, Any]) -> str:
    """Return in words what may stand there."""
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[1]
        return "period" if name == "Period" else "section"
    if "anyOf" in value:
        return " or ".join(_kind(option) for option in value["anyOf"])
    if "enum" in value or "const" in value:
        options = value.get("enum", [value.get("const")])
        return ", ".join(f"`{option}`" for option in options)
    if value.get("type") == "array":
        return _list(value)
    if value.get("type") == "object":
        inner = value.get("additionalProperties") or next(iter(value["patternProperties"].values()))
        return f"name: {_kind(inner)}"
    if value.get("format") in ("date", "path"):
        return {"date": "day", "path": "path"}[value["format"]]
    limits = [text.format(value[key]) for key, text in _LIMITS.items() if key in value]
    return ", ".join([_KINDS.get(value.get("type", ""), "number"), *limits])


def _list(value: dict[str, Any]) -> str:
    """Return in words what a list holds."""
    if "prefixItems" in value:
        return "[" + "; ".join(_kind(item) for item in value["prefixItems"]) + "]"
    least = " (one or more)" if value.get("minItems") else ""
    return f"list{least} of: {_kind(value['items'])}"


def _default(value: dict[str, Any], models: dict[str, Any]) -> str:
    """Return the default, or that it is in the section below."""
    if "default" not in value:
        return "below" if list(_references(value)) else "–"
    default = value["default"]
    if isinstance(default, dict):
        if set(default) == {"start", "end"}:
            return f"[{default['start']}, {default['end']}]"
        return "below"
    if isinstance(default, list):
        return "[" + ", ".join(str(item) for item in default) + "]"
    if default is None:
        return "null"
    return str(default).lower() if isinstance(default, bool) else str(default)


if __name__ == "__main__":
    write_text(PAGE, page())
