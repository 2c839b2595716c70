"""The reference of the configuration is that of the models, and every key says what it is."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pipeline_spde.config import Config

ROOT = Path(__file__).resolve().parents[2]


def generator():
    spec = importlib.util.spec_from_file_location("page", ROOT / "docs" / "make_configuration.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_that_of_the_models():
    kept = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert kept == generator().page(), "run: python docs/make_configuration.py"


def test_every_key_is_described():
    schema = Config.model_json_schema()
    models = {"the experiment": schema, **schema["$defs"]}
    silent = [
        f"{name}.{key}"
        for name, model in models.items()
        for key, value in model["properties"].items()
        if not value.get("description")
    ]
    assert not silent


def test_every_section_is_on_the_page():
    page = generator().page()
    for key in Config.model_fields:
        assert f"| `{key}` |" in page
    for name in ("domains.NAME", "domains.NAME.periods", "training.loss", "spde", "report"):
        assert f"\n## `{name}`\n" in page
