"""Send the records that MLflow did not take when their job ended."""

import json
import logging

import typer

from pipeline_spde import runtime
from pipeline_spde.files import write_json
from pipeline_spde.tracking import finish_parent, send_pending


def main(
    config: runtime.ConfigOption,
    results: runtime.FolderOption,
    tracking: runtime.FileOption,
    output: runtime.FileOption,
    log: runtime.LogOption = None,
) -> None:
    """Write how many records were sent now and how many remain."""
    runtime.set_up_logging(log)
    sent, left = send_pending(results, tracking)
    finish_parent(tracking, json.loads(config))
    logging.info("tracking: %d late records sent, %d remain on disk", sent, left)
    write_json(output, {"sent": sent, "left": left})


if __name__ == "__main__":
    typer.run(main)
