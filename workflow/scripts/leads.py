"""Score several lead times of one method, all from the model of one forecast task."""

from pathlib import Path

import typer

from pipeline_spde import io, methods, runtime
from pipeline_spde.files import write_text
from pipeline_spde.scores.bootstrap import Resampling
from pipeline_spde.scores.leads import score_leads
from pipeline_spde.stages import LeadsStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    observations: runtime.FileOption,
    tracks: runtime.FileOption,
    grid: runtime.FileOption,
    truth: runtime.FileOption,
    output: runtime.FileOption,
    tuning: Path | None = None,
    checkpoint: Path | None = None,
    first_guess: Path | None = None,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write one row for each lead time; the truth is used for the scores alone."""
    stage = LeadsStage.model_validate_json(config)
    fitted = {"tuning": tuning, "checkpoint": checkpoint, "first_guess": first_guess}
    inputs = {"observations": observations, "tracks": tracks, "grid": grid, "truth": truth}
    with runtime.stage_run(
        "leads",
        stage,
        outputs={"leads": output},
        inputs=inputs | {name: path for name, path in fitted.items() if path},
        log=log,
        marker=tracking,
        title="Scores by lead time",
        wildcards={"domain": domain, "task": stage.task.name, "method": stage.method},
    ) as run:
        seen, cells = io.read_domain(observations, tracks, grid)
        request = stage.request.model_copy(update=fitted)
        maps = methods.reconstruct_leads(
            stage.method, seen, cells, stage.task, request, stage.leads
        )
        fields = {lead: some.to_dataset() for lead, some in maps.items()}
        true = io.read_maps(truth).between(stage.request.period.start, stage.request.period.end)
        resampling = Resampling(**stage.resampling())
        rows = score_leads(fields, true.to_dataset(), stage.method, stage.margin, resampling)
        write_text(output, rows.to_csv(index=False))
        run.metrics |= {f"rmse_m_lead_{row.lead}": row.rmse_m for row in rows.itertuples()}


if __name__ == "__main__":
    typer.run(main)
