"""Registry of reconstruction methods: a new method is one module and one line here.

A method's module holds `reconstruct(observations, grid, task, config) -> Maps`. Modules are
imported when used, so that reading the registry (as the workflow does) costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline_spde.config import MapRequest
    from pipeline_spde.fields import Maps, Observations
    from pipeline_spde.grids import Grid
    from pipeline_spde.periods import Task


@dataclass(frozen=True)
class Method:
    """One way to make maps from observations.

    Attributes:
        module: module with the function `reconstruct`.
        tuning: "task" when it reads the parameters fitted for its own task, the name of another
            task when it reads that one's, "" when it has no fitted parameters.
        fitted: name of the file of fitted parameters.
        checkpoint: name of the file of its trained network, "" when it has none.
        curve: name of the file of the network's training curve.
        options: further arguments of its function `reconstruct`.
    """

    module: str
    tuning: str = ""
    fitted: str = "oi_tuned.json"
    checkpoint: str = ""
    curve: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


METHODS: dict[str, Method] = {
    "oi": Method("pipeline_spde.baselines.oi"),
    "oi_tuned": Method("pipeline_spde.baselines.oi_tuned", tuning="task"),
    "spde_oi": Method("pipeline_spde.baselines.spde_oi", tuning="task", fitted="spde_oi.nc"),
    "persistence": Method("pipeline_spde.baselines.persistence", tuning="nrt"),
    "unet": Method(
        "pipeline_spde.reconstruct",
        checkpoint="unet.ckpt",
        curve="unet.csv",
        options={"method": "unet"},
    ),
    "4dvarnet": Method("pipeline_spde.reconstruct", checkpoint="state.ckpt", curve="training.csv"),
    "4dvarnet_spde": Method(
        "pipeline_spde.reconstruct",
        checkpoint="spde.ckpt",
        curve="spde.csv",
        options={"method": "4dvarnet_spde"},
    ),
}


def tuning_task(method: str, task: str) -> str | None:
    """Return the task whose fitted parameters `method` reads for `task`, or None."""
    wanted = METHODS[method].tuning
    return {"": None, "task": task}.get(wanted, wanted)


def reconstruct(
    method: str, observations: Observations, grid: Grid, task: Task, config: MapRequest
) -> Maps:
    """Return the daily maps of a method for the days of `config.period`.

    Args:
        method: a key of `METHODS`.
        observations: what the method may see; never the truth.
        grid: where the maps are wanted.
        task: mapping, nrt or for{n}: which days around a target are observed.
        config: days, parameters and files of the method.

    Raises:
        ValueError: unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"no method {method!r}; there are {', '.join(METHODS)}")
    module = import_module(METHODS[method].module)
    maps: Maps = module.reconstruct(observations, grid, task, config, **METHODS[method].options)
    return maps


def reconstruct_leads(
    method: str,
    observations: Observations,
    grid: Grid,
    task: Task,
    config: MapRequest,
    leads: Sequence[int],
) -> Mapping[int, Maps]:
    """Return the maps of several lead times, all with the model or the parameters of one task.

    Args:
        method: a key of `METHODS`.
        observations: what the method may see; never the truth.
        grid: where the maps are wanted.
        task: for{n}.
        config: days, parameters and files of the method for this task.
        leads: lead times in days, from 0 to n.
    """
    from pipeline_spde.periods import Task

    module = import_module(METHODS[method].module)
    if hasattr(module, "reconstruct_leads"):
        options = METHODS[method].options
        found: Mapping[int, Maps] = module.reconstruct_leads(
            observations, grid, task, config, leads=leads, **options
        )
        return found
    names = {lead: f"for{lead}" if lead else "nrt" for lead in leads}
    return {
        lead: reconstruct(method, observations, grid, Task(name=name), config)
        for lead, name in names.items()
    }
