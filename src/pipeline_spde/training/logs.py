"""Training curves for MLflow: live while the training runs, whole with the job's record."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pandas as pd

from pipeline_spde import tracking
from pipeline_spde.files import read_json

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger


class TrackedRun(Protocol):
    """What is needed of a running stage: where to leave the id of its MLflow run."""

    mlflow_run_id: str | None


def mlflow_loggers(
    marker: Path | None, run: TrackedRun, stage: str, wildcards: dict[str, str]
) -> Sequence[Logger]:
    """Return a Lightning logger that writes to the job's own MLflow run, or none.

    Args:
        marker: the tracking marker; None or an empty one means no tracking.
        run: receives the id, so that the job's record completes the same MLflow run.
        stage: name of the stage.
        wildcards: domain and task.
    """
    if marker is None:
        return ()
    name = " ".join([stage, *wildcards.values()])
    record = {"stage": stage, "name": name, "wildcards": wildcards}
    run.mlflow_run_id = tracking.start_child(marker, record)
    if run.mlflow_run_id is None:
        return ()
    from pytorch_lightning.loggers import MLFlowLogger

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return (MLFlowLogger(tracking_uri=read_json(marker)["uri"], run_id=run.mlflow_run_id),)


def histories(curve: pd.DataFrame) -> dict[str, list[tuple[int, float]]]:
    """Return the columns of a training log (column `step`) as series of (step, value)."""
    return {
        str(name): [
            (int(step), float(value))
            for step, value in zip(curve["step"], curve[name], strict=True)
            if pd.notna(value)
        ]
        for name in curve.columns
        if name != "step"
    }
