"""Training curves for MLflow: live while the training runs, whole with the job's record."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from pipeline_spde import tracking

logger = logging.getLogger(__name__)


class TrackedRun(Protocol):
    """What is needed of a running stage: where to leave the id of its MLflow run."""

    mlflow_run_id: str | None


class LiveCurves(Logger):
    """Sends training curves to the job's MLflow run as they come.

    The first failure is a warning and ends it: a server that is down or slow costs one wait, and
    what it did not get goes with the job's record (`histories`).
    """

    def __init__(self, marker: Path, run_id: str) -> None:
        super().__init__()
        self._marker = marker
        self._run_id = run_id
        self.failed = False
        self.taken: set[int] = set()
        """Steps whose metrics MLflow has taken."""

    @property
    def name(self) -> str:
        """Return the name Lightning asks for."""
        return "mlflow"

    @property
    def version(self) -> str:
        """Return the id of the MLflow run."""
        return self._run_id

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Send metrics of one step, unless a step before could not be sent."""
        if self.failed:
            return
        problem = tracking.log_live(self._marker, self._run_id, metrics, step or 0)
        if problem:
            self.failed = True
            logger.warning("MLflow: no more live curves, they go with the record: %s", problem)
        else:
            self.taken.add(step or 0)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Leave them to the job's record."""


def live_curves(
    marker: Path | None, run: TrackedRun, stage: str, wildcards: dict[str, str]
) -> LiveCurves | None:
    """Return a Lightning logger that writes to the job's own MLflow run, or None.

    Args:
        marker: the tracking marker; None or an empty one means no tracking.
        run: receives the id, so that the job's record completes the same MLflow run.
        stage: name of the stage.
        wildcards: domain and task.
    """
    if marker is None:
        return None
    name = " ".join([stage, *wildcards.values()])
    record = {"stage": stage, "name": name, "wildcards": wildcards}
    run.mlflow_run_id = tracking.start_child(marker, record)
    return None if run.mlflow_run_id is None else LiveCurves(marker, run.mlflow_run_id)


def histories(
    curve: pd.DataFrame, live: LiveCurves | None = None
) -> dict[str, list[tuple[int, float]]]:
    """Return the columns of a training log (column `step`) as series of (step, value).

    Args:
        curve: the training log.
        live: what has logged meanwhile; steps that MLflow has taken are left out.
    """
    if live is not None:
        curve = curve[~curve["step"].isin(live.taken)]
    return {
        str(name): [
            (int(step), float(value))
            for step, value in zip(curve["step"], curve[name], strict=True)
            if pd.notna(value)
        ]
        for name in curve.columns
        if name != "step"
    }
