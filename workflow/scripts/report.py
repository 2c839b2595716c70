"""Write the page that gathers everything an experiment made."""

import typer

from pipeline_spde import runtime
from pipeline_spde.config import load
from pipeline_spde.files import write_text
from pipeline_spde.report import build
from pipeline_spde.stages import ReportStage


def main(
    config: runtime.ConfigOption,
    results: runtime.FolderOption,
    captions: runtime.FolderOption,
    tables: runtime.FileOption,
    output: runtime.FileOption,
    log: runtime.LogOption = None,
) -> None:
    """Its record goes to MLflow with those of the figures, at the end (rule send_records)."""
    stage = ReportStage.model_validate_json(config)
    with runtime.stage_run(
        "report",
        stage,
        outputs={"page": output},
        inputs={"tables": tables},
        log=log,
        marker=None,
        title="Report",
    ) as run:
        write_text(output, build(results, load(stage.configuration), captions))
        run.metrics["page_megabytes"] = output.stat().st_size / 1e6
        run.artifacts.append(str(output))


if __name__ == "__main__":
    typer.run(main)
