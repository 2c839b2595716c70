"""Put networks from elsewhere, fine-tuned and from scratch side by side: table and figure."""

from pathlib import Path

import typer

from pipeline_spde import files, runtime, transfer_table
from pipeline_spde.figures.transfer import transfer_bars
from pipeline_spde.stages import TransferTableStage


def main(
    config: runtime.ConfigOption,
    results: runtime.FolderOption,
    table: runtime.FileOption,
    figure: runtime.FileOption,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write the table as Markdown and CSV, and its figure."""
    stage = TransferTableStage.model_validate_json(config)
    places = [(row.domain, row.task, row.method) for row in stage.rows]
    places += [reference[1:] for reference in stage.references]
    scores = [Path(results, "scores", d, t, f"{m}.json") for d, t, m in places]
    with runtime.stage_run(
        "transfer_table",
        stage,
        outputs={"table": table, "figure": figure},
        inputs={f"{path.parts[-3]}.{path.parts[-2]}.{path.stem}": path for path in scores},
        log=log,
        marker=tracking,
        title="Networks from elsewhere, fine-tuned and from scratch",
        wildcards={},
    ) as run:
        frame = transfer_table.build(stage, results / "scores", results / "models")
        files.write_text(table.with_suffix(".csv"), frame.to_csv(index=False))
        files.write_text(table, transfer_table.to_markdown(frame))
        files.write_figure(transfer_bars(frame), figure, stage.dpi)
        run.artifacts += [str(table), str(figure)]


if __name__ == "__main__":
    typer.run(main)
