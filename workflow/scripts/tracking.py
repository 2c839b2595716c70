"""Open the experiment's MLflow record: database, experiment and parent run."""

import json
import logging

import typer

from pipeline_spde.files import write_json
from pipeline_spde.runtime import ConfigOption, FileOption, LogOption, set_up_logging
from pipeline_spde.tracking import TrackingError, create, is_open


def main(config: ConfigOption, output: FileOption, log: LogOption = None) -> None:
    """Write the marker that jobs read, unless it is there; an empty one when tracking is off."""
    set_up_logging(log)
    settings = json.loads(config)
    if settings["enabled"] and is_open(output):
        return
    marker: dict[str, str] = {}
    if settings["enabled"]:
        try:
            marker = create(output.parent, settings["experiment"])
        except TrackingError as error:
            if settings["required"]:
                raise
            logging.warning("records are kept and sent at the end: %s", error)
            marker = {"failed": str(error), "experiment": settings["experiment"]}
    write_json(output, marker)


if __name__ == "__main__":
    typer.run(main)
