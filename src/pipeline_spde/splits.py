"""The split guard: periods, tasks and patches that would let one period see another.

`Config` calls these checks when it is made (so they cannot name its type); each returns sentences
that name the key, what is wrong and the days or values concerned.
"""

from __future__ import annotations

import math
from datetime import timedelta
from itertools import combinations
from typing import Any

from pydantic import ValidationError

from pipeline_spde.periods import Period, Task
from pipeline_spde.trees import plain

SHORTEST_EVALUATION = 5  # days
MOST_MODES = 2500
"""Waves of a basis that the SPDE filter can afford: matrices of twice this size every day."""


def task_problems(config: Any) -> list[str]:
    """Return what is wrong with the tasks of a `Config` and their methods."""
    problems = []
    for name, methods in config.tasks.items():
        try:
            task = Task(name=name)
        except ValidationError as error:
            problems.append(f"tasks.{name}: {plain(error.errors()[0]['msg'])}")
            continue
        if task.lead is None and "persistence" in methods:
            problems.append(f"tasks.{name}: persistence is a forecast; use it with nrt or for<n>")
        windows = [
            ("model.window_days", config.model.window_days),
            ("oi_tuned.window_days", config.oi_tuned.window_days),
            ("spde_oi.window_days", config.spde_oi.window_days),
        ]
        windows += [("unet.window_days", config.unet.window_days)] if "unet" in methods else []
        for key, days in windows:
            if task.lead is not None and task.lead >= days:
                problems.append(
                    f"tasks.{name}: a lead of {task.lead} days leaves no observed day in a window "
                    f"of {days} ({key})"
                )
        other = config.unet.window_days != config.model.window_days
        if "unet" in methods and config.unet.start == "spde_oi" and other:
            problems.append(
                f"unet.window_days: the first guesses are made for windows of "
                f"{config.model.window_days} days (model.window_days), not of "
                f"{config.unet.window_days}; make them equal or choose another unet.start"
            )
        lag = max(config.spde.nll_lags)
        if "4dvarnet_spde" in methods and lag >= config.model.window_days:
            problems.append(
                f"spde.nll_lags: a lag of {lag} days leaves one day of a window of "
                f"{config.model.window_days} (model.window_days); use shorter lags"
            )
        if len(set(methods)) != len(methods):
            problems.append(f"tasks.{name}: a method is named twice in {list(methods)}")
    return problems


def reach_days(config: Any, domain: Any) -> int:
    """Return how many days the windows used in a domain reach around their period."""
    windows = [config.model.window_days]
    named = {method for methods in config.tasks.values() for method in methods}
    if "unet" in named:
        windows.append(config.unet.window_days)
    if domain.mapped and named & {"oi_tuned", "persistence"}:
        windows.append(config.oi_tuned.window_days)
    if domain.mapped and "spde_oi" in named:
        windows.append(config.spde_oi.window_days)
    return max(windows) // 2


def _training_problems(config: Any, periods: Any) -> list[str]:
    """Return why the networks of a `Config` cannot be trained in these periods."""
    problems = []
    named = {method for methods in config.tasks.values() for method in methods}
    keys = {"4dvarnet": "model", "4dvarnet_spde": "model", "unet": "unet"}
    for method, key in keys.items():
        if method not in named:
            continue
        window = getattr(config, key).window_days
        if periods.train is None:
            problems.append(f"periods.train: needed to train {method}")
        elif periods.train.days < window:
            problems.append(
                f"periods.train: {periods.train.days} days are less than one window of "
                f"{window} ({key}.window_days)"
            )
    return problems


def calibrated_days(domain: Any, task: Task, window_days: int) -> Period | None:
    """Return the validation days on which the ensemble of a task is calibrated, None for none.

    They are the targets whose windows reach at most half their length out of the period.
    """
    period: Period | None = domain.periods.validation
    if period is None:
        return None
    late = max(-task.offsets(window_days)[0] - window_days // 2, 0)
    start = period.start + timedelta(days=late)
    return Period(start=start, end=period.end) if start <= period.end else None


def mapped_days(domain: Any) -> Period:
    """Return the days to map: those of the evaluation, on real tracks one more at each end.

    Maps are for 12:00. A measurement of the first morning or the last evening lies between two
    maps only with that further day; it is left out where the available days end.
    """
    evaluation: Period = domain.periods.evaluation
    if domain.has_truth:
        return evaluation
    return evaluation.padded(1).common(domain.periods.available) or evaluation


def domain_problems(config: Any, domain: Any) -> list[str]:
    """Return the violations of the split rules."""
    half = reach_days(config, domain)
    return [
        *_availability_problems(domain.periods),
        *_overlap_problems(domain, half),
        *_embargo_problems(domain.periods, half),
        *_need_problems(config, domain),
        *_calibration_problems(config, domain),
        *_member_problems(config, domain),
        *_pooling_problems(config, domain),
        *_mode_problems(config, domain),
        *_first_guess_problems(config, domain),
    ]


def _used(periods: Any) -> dict[str, Period]:
    """Return the periods that a domain uses, by name."""
    names = ("evaluation", "train", "validation")
    return {name: period for name in names if (period := getattr(periods, name))}


def _availability_problems(periods: Any) -> list[str]:
    return [
        f"periods.{name}: {period} reaches outside the available days {periods.available}"
        for name, period in _used(periods).items()
        if not periods.available.contains(period)
    ]


def _overlap_problems(domain: Any, half: int) -> list[str]:
    """Return where a target day of one period is seen, through a window, by another period."""
    used = _used(domain.periods)
    targets = {**used, "evaluation": mapped_days(domain)}
    problems = []
    for first, second in combinations(used, 2):
        clash = targets[first].padded(half).common(targets[second])
        if clash:
            beyond = "" if targets[first] == used[first] else ", mapped one day further"
            problems.append(
                f"periods.{second}: {used[second]} comes within the half-window ({half} days) "
                f"of periods.{first} ({used[first]}{beyond}): days {clash}"
            )
    return problems


def _embargo_problems(periods: Any, half: int) -> list[str]:
    """Return where those who learn use embargoed days.

    Training patches lie inside their period; validation targets are padded by a half-window.
    """
    if periods.embargo is None:
        return []
    problems = []
    for name, margin in (("train", 0), ("validation", half)):
        period = getattr(periods, name)
        clash = period.padded(margin).common(periods.embargo) if period else None
        if clash:
            problems.append(
                f"periods.{name}: {period}, counting the half-window of {half} days where it "
                f"applies, uses embargoed days {clash} (periods.embargo: {periods.embargo})"
            )
    return problems


def _need_problems(config: Any, domain: Any) -> list[str]:
    """Return which periods are missing or too short for what is to be made."""
    periods = domain.periods
    problems = [] if domain.model_from else _training_problems(config, periods)
    if periods.evaluation.days < SHORTEST_EVALUATION:
        problems.append(
            f"periods.evaluation: {periods.evaluation} is {periods.evaluation.days} days; spectra "
            f"and intervals need at least {SHORTEST_EVALUATION}"
        )
    if domain.fine_tune_steps and periods.train is None:
        problems.append("periods.train: needed for fine_tune_steps")
    elif domain.fine_tune_steps:
        problems += _training_problems(config, periods)
    if periods.validation is None:
        problems.append(
            "periods.validation: needed to fit oi_tuned and spde_oi and to choose the network"
        )
    return problems


def _calibration_problems(config: Any, domain: Any) -> list[str]:
    """Return the tasks whose ensembles a twin's validation period is too short to calibrate."""
    validation, problems = domain.periods.validation, []
    needed, window = config.ensembles.calibration_days, config.model.window_days
    for name, methods in config.tasks.items():
        if not domain.has_truth or validation is None or config.ensembles.method not in methods:
            continue
        try:
            period = calibrated_days(domain, Task(name=name), window)
        except ValidationError:
            continue  # no such task: said already
        days = period.days if period else 0
        if days < needed:
            problems.append(
                f"periods.validation: {validation} holds {days} days to calibrate the ensemble for "
                f"{name} on (windows of {window} days), {needed} are needed "
                "(ensembles.calibration_days)"
            )
    return problems


def _member_problems(config: Any, domain: Any) -> list[str]:
    """Return why members of 4dvarnet, made with a prior matched to moments, cannot be made."""
    named = {method for methods in config.tasks.values() for method in methods}
    if config.ensembles.method != "4dvarnet" or "4dvarnet" not in named or not domain.mapped:
        return []
    problems = []
    if config.model.start == "spde_oi":
        problems.append(
            "ensembles.method: members of 4dvarnet have no exact analysis to start from; choose "
            "another model.start, or the method 4dvarnet_spde"
        )
    if not domain.has_truth and domain.fine_tune_steps:
        problems.append(
            "ensembles.method: members of 4dvarnet are calibrated on a truth, not on withheld "
            "passes; leave out fine_tune_steps, which takes the calibration of model_from, or "
            "choose the method 4dvarnet_spde"
        )
    return problems


def _pooling_problems(config: Any, domain: Any) -> list[str]:
    """Return the sides of patches that pooling does not divide; small domains cut patches short."""
    poolings = {f"model.{key}": getattr(config.model, key) for key in ("pooling", "prior_pooling")}
    if any("4dvarnet_spde" in methods for methods in config.tasks.values()):
        poolings["spde.pooling"] = config.spde.pooling
    problems = []
    for axis, (low, high) in (("lat", domain.lat), ("lon", domain.lon)):
        size = min(getattr(config.patches, axis), round((high - low) / domain.resolution))
        unfit = {key: factor for key, factor in poolings.items() if size % factor}
        if unfit:
            problems.append(
                f"resolution: {size} cells of a patch along {axis} are not divisible by the "
                f"pooling of {max(unfit.values())} ({', '.join(unfit)})"
            )
    return problems


def _first_guess_problems(config: Any, domain: Any) -> list[str]:
    """Return the days that would have two first guesses: those of mapping are one map a day."""
    networks = {"4dvarnet": config.model, "unet": config.unet, "4dvarnet_spde": config.spde}
    methods = config.tasks.get("mapping", ())
    guess = any(name in methods and own.start == "spde_oi" for name, own in networks.items())
    validation, half = domain.periods.validation, config.model.window_days // 2
    # on real tracks windows that are learned from have first guesses of their own
    if validation is None or not (domain.mapped and domain.has_truth):
        return []
    if not (guess or "4dvarnet_spde" in methods):
        return []
    clash = mapped_days(domain).padded(half).common(validation.padded(half))
    if not clash:
        return []
    return [
        f"periods.validation: windows of {config.model.window_days} days for mapping around "
        f"{validation} and around the evaluated days share {clash}; a day has one first guess: "
        "move the periods apart by a window"
    ]


def _mode_problems(config: Any, domain: Any) -> list[str]:
    """Return the shortest wavelengths that leave more waves in the box than are affordable.

    The box is counted as if it were all water: a quarter of land saves 2 % of the waves, half of
    it a quarter.
    """
    named = {method for methods in config.tasks.values() for method in methods}
    networks = {"4dvarnet": config.model, "unet": config.unet, "4dvarnet_spde": config.spde}
    guess = any(name in named and own.start == "spde_oi" for name, own in networks.items())
    guess = guess or "4dvarnet_spde" in named
    keys = {
        "spde_oi.shortest_km": guess or ("spde_oi" in named and domain.mapped),
        "spde_oi.tuning_shortest_km": guess or ("spde_oi" in named and domain.mapped),
        "first_guess.shortest_km": guess,
        "ensembles.shortest_km": domain.mapped
        and config.ensembles.method == "4dvarnet_spde"
        and "4dvarnet_spde" in named,
    }
    south, north = (math.sin(math.radians(edge)) for edge in domain.lat)
    area = 6371.0**2 * (north - south) * math.radians(domain.lon[1] - domain.lon[0])
    least = math.sqrt(math.pi * area / MOST_MODES)
    problems = []
    for key, used in keys.items():
        section, name = key.split(".")
        shortest = getattr(getattr(config, section), name)
        if used and shortest < least:
            problems.append(
                f"{key}: {shortest:g} km leave {math.pi * area / shortest**2:.0f} waves in the box "
                f"of this domain, {MOST_MODES} are affordable: set it to {math.ceil(least)} or "
                "more, or choose a smaller box"
            )
    return problems
