"""Gather all scores in one table: Markdown, CSV, LaTeX and HTML."""

import typer

from pipeline_spde import runtime
from pipeline_spde.files import write_text
from pipeline_spde.scores import tables
from pipeline_spde.stages import TablesStage


def main(
    config: runtime.ConfigOption,
    scores: runtime.FilesArgument,
    output: runtime.FileOption,
    csv: runtime.FileOption,
    latex: runtime.FileOption,
    html: runtime.FileOption,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Every method, task and domain; one table per protocol, never mixed."""
    stage = TablesStage.model_validate_json(config)
    outputs = {"markdown": output, "csv": csv, "latex": latex, "html": html}
    with runtime.stage_run(
        "tables",
        stage,
        outputs=outputs,
        inputs={"/".join(path.parts[-3:]): path for path in scores},
        log=log,
        marker=tracking,
        title="Score tables",
    ) as run:
        frame = tables.build(scores)
        for name, path in outputs.items():
            write_text(path, getattr(tables, f"to_{name}")(frame))
        run.artifacts += [str(path) for path in outputs.values()]


if __name__ == "__main__":
    typer.run(main)
