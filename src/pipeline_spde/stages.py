"""What each stage of the workflow depends on: the part of the configuration it is run with.

A rule passes `stage_json(config, "maps", domain=…, task=…, method=…)` as a parameter; the script
reads it back with the stage's model. Only these keys, and the stage's version, make its results
and what follows be made again.
"""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Any

from pipeline_spde.config import (
    STAGE_VERSIONS,
    Bounds,
    Config,
    DomainConfig,
    FigureConfig,
    MapRequest,
    ObservationConfig,
    OiTunedConfig,
    PatchConfig,
    Periods,
    ScoreConfig,
    SpdeOiConfig,
    StateModelConfig,
    TrainingConfig,
    TwinConfig,
)
from pipeline_spde.periods import FrozenModel, Period, Task
from pipeline_spde.trees import canonical, derived_seed


class Stage(FrozenModel):
    """Common to all stages."""

    version: int
    seed: int


class TruthStage(Stage):
    """Simulate the true ocean of a twin domain."""

    lat: Bounds
    lon: Bounds
    resolution: float
    available: Period
    twin: TwinConfig


class TracksStage(Stage):
    """Sample the truth along real orbits, or read real tracks."""

    source: str
    lat: Bounds
    lon: Bounds
    available: Period
    missions: tuple[str, ...]
    withheld: tuple[str, ...]
    observations: ObservationConfig


class ObservationsStage(Stage):
    """Bin the tracks of the mapped missions to daily cells."""

    source: str
    lat: Bounds
    lon: Bounds
    resolution: float
    available: Period
    missions: tuple[str, ...]
    representativeness_m: float


class StatisticsStage(Stage):
    """Mean and deviation of the training period."""

    source: str
    lat: Bounds
    lon: Bounds
    resolution: float
    period: Period
    missions: tuple[str, ...]


class TuneStage(Stage):
    """Fit the parameters of oi_tuned on the validation period."""

    task: Task
    period: Period
    oi_tuned: OiTunedConfig


class FitStage(Stage):
    """Fit the parameters of spde_oi: moments on the learning period, the rest on validation."""

    task: Task
    learning: Period
    validation: Period
    margin: float
    spde_oi: SpdeOiConfig


class TrainStage(Stage):
    """Train the state model, or fine-tune it from another task or domain."""

    task: Task
    train: Period
    validation: Period
    model: StateModelConfig
    training: TrainingConfig
    patches: PatchConfig


class MapsStage(Stage):
    """Reconstruct the maps of one method."""

    method: str
    task: Task
    request: MapRequest


class ScoresStage(Stage):
    """Score the maps of one method."""

    task: Task
    method: str
    period: Period
    margin: float
    missions: tuple[str, ...]
    withheld: tuple[str, ...]
    scores: ScoreConfig
    scores_seed: int
    """Equal for all methods, so that their intervals come from the same draws."""

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments that all scoring functions share."""
        return {
            "margin_degrees": self.margin,
            "bootstrap_draws": self.scores.bootstrap_draws,
            "bootstrap_block_days": self.scores.bootstrap_block_days,
            "confidence": self.scores.confidence,
            "seed": self.scores_seed,
        }


class TablesStage(Stage):
    """Gather the scores of all methods."""

    experiment: str


class FiguresStage(Stage):
    """Draw the figures of a domain and task."""

    methods: tuple[str, ...]
    days: tuple[date, ...]
    lat: Bounds
    lon: Bounds
    period: Period
    margin: float
    dpi: int


STAGES: dict[str, type[Stage]] = {
    "truth": TruthStage,
    "tracks": TracksStage,
    "observations": ObservationsStage,
    "statistics": StatisticsStage,
    "tune": TuneStage,
    "fit": FitStage,
    "train": TrainStage,
    "transfer": TrainStage,
    "maps": MapsStage,
    "scores": ScoresStage,
    "tables": TablesStage,
    "figures": FiguresStage,
}


def stage_json(
    config: Config, name: str, domain: str = "", task: str = "", method: str = ""
) -> str:
    """Return the sub-tree of a stage as canonical JSON, its seed and version included."""
    names = [part for part in (name, domain, task, method) if part]
    tree = _tree(config, name, domain, task, method)
    tree |= {"version": STAGE_VERSIONS[name], "seed": derived_seed(config.seed, *names)}
    return canonical(STAGES[name].model_validate(tree).model_dump(mode="json"))


def evaluation_days(domain: DomainConfig, figures: FigureConfig) -> tuple[date, ...]:
    """Return the days of the map panels: those asked for, or three spread over the evaluation."""
    period = domain.periods.evaluation
    chosen = tuple(day for day in figures.days if period.start <= day <= period.end)
    if chosen:
        return chosen
    steps = [period.days // 6, period.days // 2, period.days - 1 - period.days // 6]
    return tuple(date.fromordinal(period.start.toordinal() + step) for step in steps)


def _tree(config: Config, name: str, domain: str, task: str, method: str) -> dict[str, Any]:
    """Return the keys of a stage beyond seed and version."""
    if name == "tables":
        return {"experiment": config.experiment}
    region = config.domains[domain]
    periods = region.periods
    box = {"lat": region.lat, "lon": region.lon, "available": periods.available}
    cells = {"lat": region.lat, "lon": region.lon, "resolution": region.resolution}
    missions = {"missions": region.missions, "withheld": region.withheld}
    match name:
        case "truth":
            return {**cells, "available": periods.available, "twin": config.twin}
        case "tracks":
            return {
                **box, **missions, "source": region.source, "observations": config.observations
            }  # fmt: skip
        case "observations":
            share = config.observations.representativeness_m
            return {
                **cells,
                "source": region.source,
                "available": periods.available,
                "missions": region.missions,
                "representativeness_m": share,
            }
        case "statistics":
            period = periods.train or periods.validation
            return {
                **cells,
                "source": region.source,
                "period": period,
                "missions": region.missions,
            }
        case "tune":
            return {
                "task": {"name": task}, "period": periods.validation, "oi_tuned": config.oi_tuned
            }  # fmt: skip
        case "fit":
            return {
                "task": {"name": task},
                "learning": periods.train or periods.validation,
                "validation": periods.validation,
                "margin": region.evaluation_margin,
                "spde_oi": config.spde_oi,
            }
        case "train" | "transfer":
            return {"task": {"name": task}, **_training(config, region, periods, name, task)}
        case "maps":
            return {
                "method": method,
                "task": {"name": task},
                "request": _request(config, region, method),
            }
        case "scores":
            return {
                "task": {"name": task},
                "method": method,
                "period": periods.evaluation,
                "margin": region.evaluation_margin,
                **missions,
                "scores": config.scores,
                "scores_seed": derived_seed(config.seed, "scores"),
            }
        case "figures":
            return {
                "methods": config.tasks.get(task, ()),
                "days": evaluation_days(region, config.figures),
                "lat": region.lat,
                "lon": region.lon,
                "period": periods.evaluation,
                "margin": region.evaluation_margin,
                "dpi": config.figures.dpi,
            }
    raise ValueError(f"no stage {name!r}; there are {', '.join(STAGES)}")


def _training(
    config: Config, region: DomainConfig, periods: Periods, name: str, task: str
) -> dict[str, Any]:
    training = config.training
    if name == "transfer":
        update = {
            "steps": region.fine_tune_steps,
            "learning_rate": training.fine_tune_learning_rate,
        }
        training = training.model_copy(update=update)
    elif task != "mapping":
        update = {
            "steps": training.fine_tune_steps,
            "learning_rate": training.fine_tune_learning_rate,
        }
        training = training.model_copy(update=update)
    # used up above: left as they are they would retrain mapping when only fine-tuning changes
    unused = TrainingConfig.model_fields
    update = {name: unused[name].default for name in ("fine_tune_steps", "fine_tune_learning_rate")}
    training = training.model_copy(update=update)
    return {
        "train": periods.train,
        "validation": periods.validation,
        "model": config.model,
        "training": training,
        "patches": config.patches,
    }


def _request(config: Config, region: DomainConfig, method: str) -> MapRequest:
    """Return the request of a method with its own parameters; those of others stay at defaults."""
    own: dict[str, dict[str, Any]] = {
        "oi": {"oi": config.oi},
        "oi_tuned": {"oi_tuned": config.oi_tuned},
        "spde_oi": {"spde_oi": config.spde_oi},
        "persistence": {"oi_tuned": config.oi_tuned},
        "4dvarnet": {"patches": config.patches},
    }
    seed = derived_seed(config.seed, "maps")
    return MapRequest(period=region.periods.evaluation, seed=seed, **own[method])


def tracking_json(config: Config) -> str:
    """Return what the tracking record is created with: no more, or every change recreates it."""
    return canonical({"experiment": config.experiment, **config.tracking.model_dump(mode="json")})


def experiment_json(config: Config) -> str:
    """Return the whole configuration as canonical JSON, kept with the experiment's records."""
    return canonical(config.model_dump(mode="json"))


def find_data(path: Path | None) -> Path:
    """Return where a data file is: the path itself, or below $PIPELINE_SPDE_DATA.

    A missing file is returned as given: the workflow then names it as missing input.
    """
    if path is None:
        raise ValueError("tracks_file: no path is configured")
    folder = os.environ.get("PIPELINE_SPDE_DATA")
    if not path.is_absolute() and not path.exists() and folder:
        return Path(folder) / path
    return path


def figure_names(config: Config) -> list[str]:
    """Return the path below figures/ of every figure of an experiment."""
    found = []
    for name, domain in config.domains.items():
        if not domain.mapped:
            continue
        simulated = domain.source == "twin"
        found += [f"{name}/coverage.png", f"{name}/tracks.png"]
        found += [f"{name}/truth.png"] if simulated else []
        for task, methods in config.tasks.items():
            kinds = ["maps", "series", *(["speed"] if task == "mapping" else [])]
            kinds += ["contours", "psd"] if simulated else []
            kinds += ["std"] if {"oi_tuned", "spde_oi"} & set(methods) else []
            kinds += ["parameters"] if "spde_oi" in methods else []
            if "4dvarnet" in methods and (domain.model_from is None or domain.fine_tune_steps):
                kinds.append("training")
            found += [f"{name}/{task}/{kind}.png" for kind in kinds]
            if config.figures.animation and task == "mapping":
                found.append(f"{name}/{task}/animation.gif")
    return found


def results_folder(config: Config) -> Path:
    """Return the folder that holds everything of the experiment."""
    return config.results.expanduser() / config.experiment
