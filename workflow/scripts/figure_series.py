"""Draw the daily scores of all methods over the coverage by observations."""

import pandas as pd
import typer

from pipeline_spde import runtime
from pipeline_spde.figures import series
from pipeline_spde.files import read_json, write_figure
from pipeline_spde.stages import FiguresStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    task: runtime.TaskOption,
    scores: runtime.FilesArgument,
    coverage: runtime.FileOption,
    output: runtime.FileOption,
    log: runtime.LogOption = None,
) -> None:
    """Along-track scores where the maps were scored on withheld tracks."""
    stage = FiguresStage.model_validate_json(config)
    with runtime.stage_run(
        "figures",
        stage,
        outputs={"figure": output},
        inputs=runtime.named(scores, coverage=coverage),
        log=log,
        marker=None,
        title="Daily scores",
        wildcards={"domain": domain, "task": task, "figure": "series"},
    ) as run:
        daily = {path.stem: pd.DataFrame(read_json(path)["daily"]) for path in scores}
        if "count" in next(iter(daily.values())):
            figure = series.along_track_scores(daily)
        else:
            days = pd.read_csv(coverage, parse_dates=["time"]).set_index("time")
            shown = days.loc[str(stage.period.start) : str(stage.period.end)].reset_index()
            figure = series.daily_scores(daily, shown)
        write_figure(figure, output, stage.dpi)
        run.artifacts.append(str(output))


if __name__ == "__main__":
    typer.run(main)
