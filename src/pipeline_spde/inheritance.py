"""What domains take over before the configuration is validated: from others, and from the whole.

A domain may hold sections of the experiment (`twin`, `spde_oi`, `training`, …): keys given there
count for this domain alone, the others are those of the experiment. A domain with `data_from` is
the same piece of ocean as another, with another network: all its keys but those of the network are
taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_spde.trees import overlay

DOMAIN_SECTIONS = (
    "twin",
    "observations",
    "oi_tuned",
    "spde_oi",
    "patches",
    "first_guess",
    "spde",
    "ensembles",
    "inference",
    "training",
)
"""Sections of the experiment that a domain may change for itself."""
OWN_NETWORK = ("data_from", "model_from", "fine_tune_steps", "frozen", "mapped")
"""Keys of a domain with `data_from` that are its own, not those of the domain it names."""
NETWORK_SECTIONS = ("patches", "spde", "ensembles", "inference", "training")
"""Sections that do not decide its data, baselines and first guesses."""


def inherited(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration tree with all that its domains take over written into them.

    What is not a mapping, or names no domain, is left as it is for the validation to refuse.
    """
    domains = tree.get("domains")
    if not isinstance(domains, Mapping):
        return dict(tree)
    found = {name: _with_data(domain, domains) for name, domain in domains.items()}
    return {**tree, "domains": {name: _with_sections(d, tree) for name, d in found.items()}}


def _with_data(domain: Any, domains: Mapping[str, Any]) -> Any:
    """Return a domain with the keys of the one named by `data_from` below its own."""
    if not isinstance(domain, Mapping) or not isinstance(domain.get("data_from"), str):
        return domain
    source = domains.get(domain["data_from"])
    if not isinstance(source, Mapping):
        return domain
    return overlay({k: v for k, v in source.items() if k not in OWN_NETWORK}, domain)


def _with_sections(domain: Any, tree: Mapping[str, Any]) -> Any:
    """Return a domain whose sections are whole: the experiment's with the domain's laid over."""
    if not isinstance(domain, Mapping):
        return domain
    whole = {
        name: overlay(tree[name], domain[name])
        for name in DOMAIN_SECTIONS
        if isinstance(domain.get(name), Mapping) and isinstance(tree.get(name), Mapping)
    }
    return {**domain, **whole}
