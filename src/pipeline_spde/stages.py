"""What each stage of the workflow depends on: the part of the configuration it is run with.

A rule passes `stage_json(config, "maps", domain=…, task=…, method=…)` as a parameter; the script
reads it back with the stage's model. Only these keys, and the stage's version, make its results
and what follows be made again.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

from pipeline_spde.config import (
    NETWORK_CONFIGS,
    STAGE_VERSIONS,
    AugmentedModelConfig,
    Config,
    DomainConfig,
    EnsembleConfig,
    FigureConfig,
    InferenceConfig,
    LocalPriorConfig,
    MapRequest,
    Periods,
    SpdeSolverConfig,
    TrainingConfig,
)
from pipeline_spde.periods import Period, Task
from pipeline_spde.splits import calibrated_days, mapped_days
from pipeline_spde.stage_models import (
    EnsembleStage,
    FiguresStage,
    FirstGuessStage,
    FitStage,
    GlobeStage,
    LeadsStage,
    LocalPriorStage,
    MapsStage,
    MembersStage,
    ObservationsStage,
    ReportStage,
    ScoresStage,
    SeamsStage,
    ShareStage,
    Stage,
    StatisticsStage,
    TablesStage,
    TileStage,
    TrackCalibrationStage,
    TracksStage,
    TrackTrainStage,
    TrainStage,
    TransferTableStage,
    TruthStage,
    TuneStage,
    WithheldGuessStage,
    ZeroShotStage,
)
from pipeline_spde.transfers import STAGE_2_TRAINING, table_of_transfer
from pipeline_spde.trees import canonical, derived_seed

STAGES: dict[str, type[Stage]] = {
    "truth": TruthStage,
    "tracks": TracksStage,
    "observations": ObservationsStage,
    "statistics": StatisticsStage,
    "tune": TuneStage,
    "fit": FitStage,
    "train": TrainStage,
    "zero_shot": ZeroShotStage,
    "transfer": TrainStage,
    "train_unet": TrainStage,
    "transfer_unet": TrainStage,
    "train_spde": TrainStage,
    "transfer_spde": TrainStage,
    "withheld_guess": WithheldGuessStage,
    "tracks_tuning": TrackTrainStage,
    "tracks_tuning_unet": TrackTrainStage,
    "tracks_tuning_spde": TrackTrainStage,
    "calibrate_tracks": TrackCalibrationStage,
    "share": ShareStage,
    "transfer_table": TransferTableStage,
    "first_guess": FirstGuessStage,
    "calibrate": EnsembleStage,
    "local_prior": LocalPriorStage,
    "members": MembersStage,
    "ensemble": EnsembleStage,
    "leads": LeadsStage,
    "maps": MapsStage,
    "tile": TileStage,
    "gather": TileStage,
    "seams": SeamsStage,
    "scores": ScoresStage,
    "tables": TablesStage,
    "report": ReportStage,
    "figures": FiguresStage,
    "globe": GlobeStage,
}


_LOOKS = 6
"""Fewest validations of a fine-tuning on real tracks."""


def stage_json(
    config: Config, name: str, domain: str = "", task: str = "", method: str = ""
) -> str:
    """Return the sub-tree of a stage as canonical JSON, its seed and version included."""
    names = [part for part in (name, domain, task, method) if part]
    return _as_json(config, name, names, _tree(config, name, domain, task, method))


def members_json(
    config: Config, domain: str, task: str, method: str, purpose: str, group: int
) -> str:
    """Return the sub-tree of a group of members, to calibrate an ensemble or to be one, as JSON."""
    region, own = config.domains[domain], {"task": {"name": task}}
    tree = _members_tree(config.of(region), region, Task(name=task), method, purpose, group)
    return _as_json(config, "members", ["members", domain, task, method, purpose], own | tree)


def _as_json(config: Config, name: str, names: list[str], tree: dict[str, Any]) -> str:
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
    if name not in STAGES:
        raise ValueError(f"no stage {name!r}; there are {', '.join(STAGES)}")
    if name == "report":
        return {"configuration": config.model_dump(mode="json")}
    if name == "tables":
        return {"experiment": config.experiment}
    if name == "transfer_table":
        return table_of_transfer(config) | {"dpi": config.figures.dpi}
    region = config.domains[domain]
    config = config.of(region)
    if name in ("truth", "tracks", "observations", "statistics"):
        return _data_tree(config, region, name)
    if name == "share":
        return {"data_from": region.data_from}
    if name == "globe":
        period, dpi = region.periods.evaluation, config.figures.dpi
        day = period.start + timedelta(days=period.days // 2)
        return {"day": day, "regions": config.scores.regions, "dpi": dpi}
    own = {"task": {"name": task}}
    match name:
        case "tune":
            return own | {"period": region.periods.validation, "oi_tuned": config.oi_tuned}
        case "local_prior":
            return {"learning": learned_from(region), "local_prior": config.ensembles.local_prior}
        case "members":
            return own | _members_tree(config, region, Task(name=task), method, "ensemble", 0)
        case "fit":
            return own | _fit_tree(config, region)
        case "zero_shot":
            return own | {"model_from": region.model_from}
        case "maps":
            return own | {"method": method, "request": _request(config, region, method)}
        case "tile" | "gather":
            return own | {"method": method, "request": tile_request(config, region, method)}
        case "seams":
            seed = derived_seed(config.seed, "scores")
            request = tile_request(config, region, method)
            return {"request": request, "scores": config.scores, "scores_seed": seed}
        case "first_guess":
            return own | first_guess_tree(config, region, task)
        case "calibrate" | "ensemble":
            return own | _ensemble_tree(config, region, name, Task(name=task), method)
        case "withheld_guess":
            part = first_guess_tree(config, region, task) | {"evaluation": None}
            periods = {"train": region.periods.train, "validation": region.periods.validation}
            return own | part | periods | _passes(config, region)
        case "calibrate_tracks":
            parts = _ensemble_tree(config, region, "calibrate", Task(name=task), method)
            return own | parts | _passes(config, region)
        case "leads":
            return own | _leads_tree(config, region, Task(name=task), method)
        case "scores":
            return own | {"method": method} | _score_tree(config, region)
        case "figures":
            return {"methods": config.tasks.get(task, ())} | _figure_tree(config, region)
        case _:
            return own | _training(config, region, region.periods, name, task)


def _passes(config: Config, region: DomainConfig) -> dict[str, Any]:
    """Return how the passes of a real domain are dealt into folds, the same in every stage."""
    seed = derived_seed(config.seed, "withheld", *region.missions)
    return {"folds": config.withholding.folds, "passes_seed": seed}


def learned_from(region: DomainConfig) -> Period | None:
    """Return the days that moments and deviations are estimated on.

    On real tracks those are the validation days: `periods.train` is what networks are fine-tuned
    on, and may be short.
    """
    periods = region.periods
    if not region.has_truth:
        return periods.validation
    return periods.train or periods.validation


def _data_tree(config: Config, region: DomainConfig, name: str) -> dict[str, Any]:
    """Return the keys of a stage that makes data: truth, tracks, observations or statistics."""
    periods = region.periods
    box = {"lat": region.lat, "lon": region.lon}
    cells = box | {"resolution": region.resolution}
    if region.highest_latitude < 90:
        cells["highest_latitude"] = region.highest_latitude
    mapped = {"source": region.source, "missions": region.missions}
    match name:
        case "truth" if region.source == "twin":
            return cells | {"available": periods.available, "twin": config.twin}
        case "truth":
            ocean = {"ocean": config.ocean} if region.source == "spde" else {}
            return cells | ocean | {"available": periods.available, "source": region.source}
        case "tracks":
            own = {"withheld": region.withheld, "observations": config.observations}
            if region.quantity is not None:
                own["quantity"] = region.quantity
            return box | mapped | own | {"available": periods.available}
        case "observations":
            share = config.observations.representativeness_m
            own = {"available": periods.available, "representativeness_m": share}
            return cells | mapped | own
        case _:
            return cells | mapped | {"period": learned_from(region)}


def _fit_tree(config: Config, region: DomainConfig) -> dict[str, Any]:
    return {
        "learning": learned_from(region),
        "validation": region.periods.validation,
        "margin": region.evaluation_margin,
        "spde_oi": config.spde_oi,
    }


def first_guess_tree(config: Config, region: DomainConfig, task: str) -> dict[str, Any]:
    """Return the keys of the first guess: every period whose windows are trained on or mapped."""
    simulated = region.has_truth  # on real tracks: `withheld_guess`
    learns = simulated and (region.model_from is None or region.fine_tune_steps > 0)
    lead = Task(name=task).lead
    return {
        "window_days": config.model.window_days,
        "train": region.periods.train if learns else None,
        "validation": region.periods.validation if simulated else None,
        "evaluation": mapped_days(region) if region.mapped else None,
        "ahead_days": (lead or 0) if config.leads else 0,
        "low_pass_km": config.spde_oi.low_pass_km,
        "segment_days": config.spde_oi.segment_days,
        "first_guess": config.first_guess,
    }


def _ensemble_tree(
    config: Config, region: DomainConfig, name: str, task: Task, method: str
) -> dict[str, Any]:
    request, settings = _request(config, region, method), config.ensembles
    if method != "4dvarnet":  # whose prior is the one of its Θ
        settings = settings.model_copy(update={"local_prior": LocalPriorConfig()})
    if name == "calibrate":
        period = calibrated_days(region, task, config.model.window_days)
        request = request.model_copy(update={"period": period} if period else {})
    else:  # used up by the calibration
        default = EnsembleConfig.model_fields["calibration_days"].default
        settings = settings.model_copy(update={"calibration_days": default})
    return {
        "method": method,
        "margin": region.evaluation_margin,
        "request": request,
        "ensembles": settings,
    }


def _members_tree(
    config: Config, region: DomainConfig, task: Task, method: str, purpose: str, group: int
) -> dict[str, Any]:
    """Return the keys of a group of members: the days of a calibration, or those mapped."""
    request = _ensemble_tree(config, region, purpose, task, method)["request"]
    # windows of so many targets are held at once
    days = {"tile_days": config.inference.tile_days}
    inference = request.inference.model_copy(update=days)
    return {
        "purpose": purpose,
        "request": request.model_copy(update={"inference": inference}),
        "group": group,
        "count": config.ensembles.groups()[group],
        "representativeness_m": config.ensembles.local_prior.representativeness_m,
    }


def _leads_tree(config: Config, region: DomainConfig, task: Task, method: str) -> dict[str, Any]:
    return {
        "method": method,
        "leads": [lead for lead in config.leads if lead <= (task.lead or 0)],
        "margin": region.evaluation_margin,
        "request": _request(config, region, method),
        "scores": config.scores,
        "scores_seed": derived_seed(config.seed, "scores"),
    }


def _score_tree(config: Config, region: DomainConfig) -> dict[str, Any]:
    return {
        "period": region.periods.evaluation,
        "margin": region.evaluation_margin,
        "missions": region.missions,
        "withheld": region.withheld,
        "scores": config.scores,
        "scores_seed": derived_seed(config.seed, "scores"),
    }


def _figure_tree(config: Config, region: DomainConfig) -> dict[str, Any]:
    return {
        "days": evaluation_days(region, config.figures),
        "lat": region.lat,
        "lon": region.lon,
        "period": region.periods.evaluation,
        "margin": region.evaluation_margin,
        "dpi": config.figures.dpi,
    }


def _training(
    config: Config, region: DomainConfig, periods: Periods, name: str, task: str
) -> dict[str, Any]:
    training = config.training
    if name.startswith("tracks_tuning"):
        return _track_training(config, region, name.replace("tracks_tuning", "transfer"), task)
    if name.endswith("spde"):
        return {
            "train": periods.train,
            "validation": periods.validation,
            "model": augmented_model(config),
            "training": _spde_training(config, region, name, task),
            "patches": config.patches,
            "frozen": region.frozen if name.startswith("transfer") else (),
        }
    if name.startswith("transfer"):
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
        "model": config.unet if name.endswith("unet") else config.model,
        "training": training,
        "patches": config.patches,
        "frozen": region.frozen if name.startswith("transfer") else (),
    }


def _track_training(config: Config, region: DomainConfig, name: str, task: str) -> dict[str, Any]:
    """Return the keys of a fine-tuning on real tracks; `name` is that of one on a truth."""
    tree = _training(config, region, region.periods, name, task)
    training: TrainingConfig = tree["training"]
    # a short training is looked at often enough to be stopped where it is best
    every = max(1, min(training.validate_every, -(-training.steps // _LOOKS)))
    tree["training"] = training.model_copy(update={"validate_every": every})
    if name.endswith("spde"):  # Θ is learned from the likelihood of a truth
        tree["frozen"] = tuple(dict.fromkeys([*region.frozen, "theta"]))
    return tree | _passes(config, region)


def augmented_model(config: Config) -> AugmentedModelConfig:
    """Return the network of 4dvarnet_spde: the state model of stage 1 and the settings of Θ."""
    own = config.model.model_dump() | {"start": config.spde.start}
    # how it is trained stands in the training; left here it would retrain mapping for fine-tuning
    fields = SpdeSolverConfig.model_fields
    unused = {key: fields[key].default for key in STAGE_2_TRAINING}
    return AugmentedModelConfig(**own, spde=config.spde.model_copy(update=unused))


def _spde_training(config: Config, region: DomainConfig, name: str, task: str) -> TrainingConfig:
    """Return the training of stage 2, or its fine-tuning for a task or a domain."""
    settings = config.spde
    update: dict[str, Any] = {
        "steps": settings.steps,
        "learning_rate": settings.learning_rate,
        "validate_every": settings.validate_every,
    }
    if name.startswith("transfer") or task != "mapping":
        transfer = name.startswith("transfer")
        update |= {
            "steps": region.fine_tune_steps if transfer else settings.fine_tune_steps,
            "learning_rate": settings.fine_tune_learning_rate,
        }
    unused = TrainingConfig.model_fields
    for key in ("fine_tune_steps", "fine_tune_learning_rate"):
        update[key] = unused[key].default
    return config.training.model_copy(update=update)


def needs_first_guess(config: Config, method: str) -> bool:
    """Return True for methods whose network starts from the exact SPDE analysis."""
    starts = {"4dvarnet": config.model.start, "unet": config.unet.start}
    return method == "4dvarnet_spde" or starts.get(method) == "spde_oi"


def _request(config: Config, region: DomainConfig, method: str) -> MapRequest:
    """Return the request of a method with its own parameters; those of others stay at defaults."""
    own: dict[str, dict[str, Any]] = {
        "oi": {"oi": config.oi},
        "oi_tuned": {"oi_tuned": config.oi_tuned},
        "spde_oi": {"spde_oi": config.spde_oi},
        "persistence": {"oi_tuned": config.oi_tuned},
        "unet": {"patches": config.patches},
        "4dvarnet": {"patches": config.patches},
        "4dvarnet_spde": {"patches": config.patches, "spde_oi": config.spde_oi},
    }
    seed = derived_seed(config.seed, "maps")
    if method in NETWORK_CONFIGS:
        whole: dict[str, Any] = {"tile_patches": None, "tile_days": InferenceConfig().tile_days}
        if method == "4dvarnet_spde":  # its prior is solved in full precision
            whole["precision"] = "32-true"
        own[method]["inference"] = config.inference.model_copy(update=whole)
    return MapRequest(period=mapped_days(region), seed=seed, **own[method])


def tile_request(config: Config, region: DomainConfig, method: str) -> MapRequest:
    """Return the request of a method's maps with the tiles that they are made in."""
    request, own = _request(config, region, method), config.inference
    tiles = {"tile_patches": own.tile_patches, "tile_days": own.tile_days}
    return request.model_copy(update={"inference": request.inference.model_copy(update=tiles)})


def tiled_methods(config: Config, domain: str) -> list[str]:
    """Return the methods whose maps of a domain are made in tiles."""
    own = config.of(config.domains[domain])
    if own.inference.tile_patches is None or not config.domains[domain].mapped:
        return []
    named = dict.fromkeys(method for methods in config.tasks.values() for method in methods)
    return [m for m in named if m in NETWORK_CONFIGS and not needs_first_guess(own, m)]


def tracking_json(config: Config) -> str:
    """Return what the tracking record is created with: no more, or every change recreates it."""
    return canonical({"experiment": config.experiment, **config.tracking.model_dump(mode="json")})


def experiment_json(config: Config) -> str:
    """Return the whole configuration as canonical JSON, kept with the experiment's records."""
    return canonical(config.model_dump(mode="json"))


def results_folder(config: Config) -> Path:
    """Return the folder that holds everything of the experiment."""
    return config.results.expanduser() / config.experiment
