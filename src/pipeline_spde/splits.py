"""The split guard: periods, tasks and patches that would let one period see another.

`Config` calls these checks when it is made (so they cannot name its type); each returns sentences
that name the key, what is wrong and the days or values concerned.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from pipeline_spde.periods import Task
from pipeline_spde.trees import plain

SHORTEST_EVALUATION = 5  # days


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
        for key, days in (
            ("model.window_days", config.model.window_days),
            ("oi_tuned.window_days", config.oi_tuned.window_days),
            ("spde_oi.window_days", config.spde_oi.window_days),
        ):
            if task.lead is not None and task.lead >= days:
                problems.append(
                    f"tasks.{name}: a lead of {task.lead} days leaves no observed day in a window "
                    f"of {days} ({key})"
                )
        if len(set(methods)) != len(methods):
            problems.append(f"tasks.{name}: a method is named twice in {list(methods)}")
    return problems


def reach_days(config: Any, domain: Any) -> int:
    """Return how many days the windows used in a domain reach around their period."""
    windows = [config.model.window_days]
    named = {method for methods in config.tasks.values() for method in methods}
    if domain.mapped and named & {"oi_tuned", "persistence"}:
        windows.append(config.oi_tuned.window_days)
    if domain.mapped and "spde_oi" in named:
        windows.append(config.spde_oi.window_days)
    return max(windows) // 2


def domain_problems(config: Any, domain: Any) -> list[str]:
    """Return the violations of the split rules and of references to other domains."""
    problems = []
    periods, half = domain.periods, reach_days(config, domain)
    used = {n: p for n in ("evaluation", "train", "validation") if (p := getattr(periods, n))}
    for name, period in used.items():
        if not periods.available.contains(period):
            problems.append(
                f"periods.{name}: {period} reaches outside the available days {periods.available}"
            )
    names = list(used)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            # a target day of one period must not be seen, through a patch, by the other
            clash = used[first].padded(half).common(used[second])
            if clash:
                problems.append(
                    f"periods.{second}: {used[second]} comes within the half-window ({half} days) "
                    f"of periods.{first} ({used[first]}): days {clash}"
                )
    for name in ("train", "validation"):
        period = used.get(name)
        if period is None or periods.embargo is None:
            continue
        # training patches lie inside the period; validation targets are padded by a half-window
        reach = period.padded(half) if name == "validation" else period
        clash = reach.common(periods.embargo)
        if clash:
            problems.append(
                f"periods.{name}: {period}, counting the half-window of {half} days where it "
                f"applies, uses embargoed days {clash} (periods.embargo: {periods.embargo})"
            )
    trains = any("4dvarnet" in methods for methods in config.tasks.values())
    if domain.model_from is None and trains:
        if periods.train is None:
            problems.append("periods.train: needed to train 4dvarnet")
        elif periods.train.days < config.model.window_days:
            problems.append(
                f"periods.train: {periods.train.days} days are less than one window of "
                f"{config.model.window_days} (model.window_days)"
            )
    if periods.evaluation.days < SHORTEST_EVALUATION:
        problems.append(
            f"periods.evaluation: {periods.evaluation} is {periods.evaluation.days} days; spectra "
            f"and intervals need at least {SHORTEST_EVALUATION}"
        )
    if domain.fine_tune_steps and periods.train is None:
        problems.append("periods.train: needed for fine_tune_steps")
    if periods.validation is None:
        problems.append(
            "periods.validation: needed to fit oi_tuned and spde_oi and to choose the network"
        )
    if domain.model_from is not None and domain.model_from not in config.domains:
        known = ", ".join(config.domains)
        problems.append(f"model_from: no domain {domain.model_from!r}; there are {known}")
    elif domain.model_from is not None and config.domains[domain.model_from].model_from:
        problems.append(
            f"model_from: {domain.model_from!r} takes its own network from "
            f"{config.domains[domain.model_from].model_from!r}; name a domain that trains one"
        )
    cells = {
        axis: round((high - low) / domain.resolution)
        for axis, (low, high) in (("lat", domain.lat), ("lon", domain.lon))
    }
    pooling = max(config.model.pooling, config.model.prior_pooling)
    for axis, count in cells.items():
        size = min(getattr(config.patches, axis), count)
        if size % pooling:
            problems.append(
                f"resolution: {size} cells of a patch along {axis} are not divisible by the "
                f"pooling of {pooling} (model.pooling, model.prior_pooling)"
            )
    return problems
