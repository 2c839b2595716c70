"""Which files a domain with `data_from` takes over from the domain that makes them."""

from __future__ import annotations

from pipeline_spde.config import NETWORK_CONFIGS, Config, LocalPriorConfig
from pipeline_spde.stages import first_guess_tree

_DATA = ("truth.nc", "tracks.nc", "observations.nc", "coverage.csv", "grid.nc", "statistics.json")
_FITTED = ("oi_tuned.json", "spde_oi.nc")


def shared_files(config: Config) -> dict[str, str]:
    """Return file -> file it is a copy of, both below the results of the experiment.

    Data and what is fitted to them are the same under every network, so are the maps of methods
    that have none. The first guess is shared where the other domain's holds all days needed.
    """
    found: dict[str, str] = {}
    for name, domain in config.domains.items():
        if domain.data_from is None:
            continue
        source = domain.data_from
        files = [("data", file) for file in _DATA]
        for task in {"mapping", "nrt", *config.tasks}:  # persistence is fitted for nrt
            files += [("models", f"{task}/{file}") for file in _FITTED]
        if _local_prior(config, name) == _local_prior(config, source):
            files.append(("models", "mapping/local_prior.nc"))
        for task, methods in config.tasks.items():
            baselines = [method for method in methods if method not in NETWORK_CONFIGS]
            files += [("maps", f"{task}/{method}.nc") for method in baselines]
            if _shares_first_guess(config, name, task):
                files.append(("models", f"{task}/first_guess.nc"))
        found |= {f"{kind}/{name}/{file}": f"{kind}/{source}/{file}" for kind, file in files}
    return found


def _local_prior(config: Config, name: str) -> LocalPriorConfig:
    """Return how the prior of the members of a domain is fitted."""
    return config.of(config.domains[name]).ensembles.local_prior


def _shares_first_guess(config: Config, name: str, task: str) -> bool:
    """Return True where the first guess of `data_from` holds all days that a domain needs."""
    domain = config.domains[name]
    assert domain.data_from is not None
    source = config.domains[domain.data_from]
    own, other = (first_guess_tree(config.of(each), each, task) for each in (domain, source))
    return all(value is None or value == other[key] for key, value in own.items())
