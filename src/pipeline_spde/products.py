"""What an experiment ends with: its figures, and which tasks have ensembles and trainings."""

from __future__ import annotations

from pipeline_spde.config import NETWORK_CONFIGS, Config
from pipeline_spde.transfers import table_of_transfer


def figure_names(config: Config) -> list[str]:
    """Return the path below figures/ of every figure of an experiment."""
    found = []
    ensembles, own = ensemble_tasks(config), config.ensembles.method
    for name, domain in config.domains.items():
        if not domain.mapped:
            continue
        simulated = domain.has_truth
        found += [f"{name}/coverage.png", f"{name}/tracks.png"]
        found += [f"{name}/truth.png"] if simulated else []
        found += [f"{name}/uncertainty.png"] if ensembles else []
        for task, methods in config.tasks.items():
            kinds = ["maps", "series", *(["speed"] if task == "mapping" else [])]
            kinds += ["contours", "psd"] if simulated else []
            kinds += ["regions", "globe"] if simulated and config.scores.regions else []
            kinds += ["std"] if {"oi_tuned", "spde_oi"} & set(methods) else []
            spread = {"oi_tuned", "spde_oi", own} & set(methods)
            kinds += ["calibration"] if spread else []
            kinds += ["parameters"] if "spde_oi" in methods else []
            if trained_methods(config, name, task):
                kinds.append("training")
            kinds += ["theta"] if "4dvarnet_spde" in methods else []
            shown = task in ensembles and config.of(domain).ensembles.keep_members
            kinds += ["members"] if shown else []
            by_region = own == "4dvarnet" and task == "mapping" and task in ensembles
            kinds += ["prior"] if by_region else []
            if config.leads and simulated and task.startswith("for"):
                kinds.append("leads")
            found += [f"{name}/{task}/{kind}.png" for kind in kinds]
            if config.figures.animation and task == "mapping":
                films = ["animation", *(["ensemble"] if shown else [])]
                found += [f"{name}/{task}/{film}.gif" for film in films]
    return [*found, *(["transfer.png"] if table_of_transfer(config)["rows"] else [])]


def ensemble_tasks(config: Config) -> list[str]:
    """Return the tasks with an ensemble, whose uncertainty is drawn."""
    return [task for task, methods in config.tasks.items() if config.ensembles.method in methods]


def trained_methods(config: Config, domain: str, task: str) -> list[str]:
    """Return the methods of a task whose networks learn in this domain, in the order of tables."""
    region = config.domains[domain]
    if region.model_from is not None and not region.fine_tune_steps:
        return []  # zero-shot: the networks of another domain as they are
    return [method for method in config.tasks[task] if method in NETWORK_CONFIGS]
