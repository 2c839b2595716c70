"""Gather the scores by region of all methods: table and, for each domain and task, a figure."""

from pathlib import Path

import typer

from pipeline_spde import files, regional_table, runtime
from pipeline_spde.figures.regions import region_bars
from pipeline_spde.stages import TablesStage


def main(
    config: runtime.ConfigOption,
    scores: list[Path],
    table: runtime.FileOption,
    results: runtime.FolderOption,
    dpi: int = 150,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write the table as Markdown and CSV, and RESULTS/figures/<domain>/<task>/regions.png."""
    stage = TablesStage.model_validate_json(config)
    with runtime.stage_run(
        "region_table",
        stage,
        outputs={"table": table},
        inputs={".".join(path.with_suffix("").parts[-3:]): path for path in scores},
        log=log,
        marker=tracking,
        title=f"Scores by region of {stage.experiment}",
        wildcards={},
    ) as run:
        frame = regional_table.build([files.read_json(path) for path in scores])
        files.write_text(table.with_suffix(".csv"), frame.to_csv(index=False))
        files.write_text(table, regional_table.to_markdown(frame))
        for (domain, task), part in frame.groupby(["domain", "task"]):
            path = results / "figures" / str(domain) / str(task) / "regions.png"
            files.write_figure(region_bars(part), path, dpi)
            run.artifacts.append(str(path))


if __name__ == "__main__":
    typer.run(main)
