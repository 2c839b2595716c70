"""Write config/schema.json, which editors use to check and complete config.yaml."""

from pathlib import Path

from pipeline_spde.config import Config
from pipeline_spde.files import write_json

if __name__ == "__main__":
    write_json(Path(__file__).parents[2] / "config" / "schema.json", Config.model_json_schema())
