"""Domains that refer to others: whose network they use (`model_from`), whose data (`data_from`).

`Config` calls the checks when it is made (so they cannot name its type); the workflow asks what is
shared, which trainings lie behind a network, and which domains stand side by side in the table of
transfer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pipeline_spde.inheritance import NETWORK_SECTIONS, OWN_NETWORK

STAGE_2_TRAINING = (
    "steps",
    "learning_rate",
    "fine_tune_steps",
    "fine_tune_learning_rate",
    "validate_every",
)
"""Keys of `spde` that only the training of stage 2 depends on; a domain may have its own."""
_ONE_MACHINE = ("devices", "accelerator", "workers")
"""Keys of `training` that rules ask the machine for: those of the experiment."""


_SUFFIX = {"4dvarnet": "", "4dvarnet_spde": "_spde", "unet": "_unet"}
"""Method with a network -> end of the names of its rules."""
_CURVE = {"4dvarnet": "training.csv", "4dvarnet_spde": "spde.csv", "unet": "unet.csv"}


class Training(NamedTuple):
    """A job that trains a network: the folder of its rule's benchmark, domain, task, curve."""

    rule: str
    domain: str
    task: str
    curve: str


def transfer_problems(config: Any, domain: Any) -> list[str]:
    """Return what is wrong with a domain's references to others and with its own sections."""
    return [
        *_source_problems(config, domain),
        *_data_problems(config, domain),
        *_section_problems(config, domain),
        *_frozen_problems(config, domain),
    ]


def chain(config: Any, domain: Any) -> list[str]:
    """Return the names of the domains that a domain's network comes through, the nearest first.

    A cycle ends with the first name that comes twice; so does a name that is no domain.
    """
    found: list[str] = []
    while domain is not None and domain.model_from is not None:
        repeated = domain.model_from in found
        found.append(domain.model_from)
        if repeated:
            break
        domain = config.domains.get(domain.model_from)
    return found


def _source_problems(config: Any, domain: Any) -> list[str]:
    """Return why no network comes through `model_from`."""
    names = chain(config, domain)
    if not names:
        return []
    if names[-1] not in config.domains:
        known = ", ".join(config.domains)
        return [f"model_from: no domain {names[-1]!r}; there are {known}"]
    if names[-1] in names[:-1]:
        cycle = names[names.index(names[-1]) :]
        return [
            f"model_from: {' ← '.join(cycle)} is a cycle, in which no domain trains a network; "
            "leave out model_from in one of them"
        ]
    return []


def _data_problems(config: Any, domain: Any) -> list[str]:
    """Return why a domain cannot have its data from the one named by `data_from`."""
    if domain.data_from is None:
        return []
    source = config.domains.get(domain.data_from)
    if source is None:
        known = ", ".join(config.domains)
        return [f"data_from: no domain {domain.data_from!r}; there are {known}"]
    if source.data_from is not None:
        return [
            f"data_from: {domain.data_from!r} has its own data from {source.data_from!r}; name "
            f"{source.data_from!r}"
        ]
    own = (*OWN_NETWORK, *NETWORK_SECTIONS)
    return [
        f"{key}: differs from that of {domain.data_from!r}, whose data these are (data_from); "
        "leave it out here"
        for key in type(domain).model_fields
        if key not in own and getattr(domain, key) != getattr(source, key)
    ]


def _section_problems(config: Any, domain: Any) -> list[str]:
    """Return the keys of a domain's sections that must be those of the experiment."""
    problems = []
    for section, keys in (
        ("spde", set(type(config.spde).model_fields) - set(STAGE_2_TRAINING)),
        ("training", set(_ONE_MACHINE)),
    ):
        own, common = getattr(domain, section), getattr(config, section)
        problems += [
            f"{section}.{key}: is one for all domains; set {section}.{key} of the experiment"
            for key in sorted(keys)
            if own is not None and getattr(own, key) != getattr(common, key)
        ]
    return problems


def _frozen_problems(config: Any, domain: Any) -> list[str]:
    """Return the parts that no network has, and the networks with nothing left to learn."""
    if not domain.frozen:
        return []
    named = {method for methods in config.tasks.values() for method in methods}
    parts = {name: own for name, own in _parts(config).items() if name in named}
    known = list(dict.fromkeys(part for own in parts.values() for part in own))
    problems = [
        f"frozen: no network of this experiment has a part {part!r}; they have {', '.join(known)}"
        for part in domain.frozen
        if part not in known
    ]
    problems += [
        f"frozen: nothing of {method} is left to learn; leave out one of {', '.join(own)}"
        for method, own in parts.items()
        if set(own) <= set(domain.frozen)
    ]
    return problems


def _parts(config: Any) -> dict[str, tuple[str, ...]]:
    """Return the parts of each network that learn."""
    state = config.model.parts
    augmented = ("theta",) if config.spde.mode == "frozen" else (*state, "theta")
    return {"4dvarnet": state, "4dvarnet_spde": augmented, "unet": config.unet.parts}


def trainings(config: Any, name: str, task: str, method: str) -> list[Training]:
    """Return the trainings in a domain itself that the network of a method and task rests on.

    A zero-shot domain has none, a fine-tuned one its fine-tuning; where networks are trained from
    random weights, other tasks start from mapping, and stage 2 from stage 1.
    """
    domain = config.domains[name]
    suffix, curve = _SUFFIX[method], _CURVE[method]
    if domain.model_from is not None:
        tuned = domain.fine_tune_steps > 0
        return [Training(f"fine_tune{suffix}", name, task, curve)] if tuned else []
    found = [Training("train", name, "mapping", "training.csv")] if suffix == "_spde" else []
    tasks = list(dict.fromkeys(["mapping", task]))
    return found + [Training(f"train{suffix}", name, each, curve) for each in tasks]


def trainings_before(config: Any, name: str, task: str, method: str) -> list[Training]:
    """Return the trainings in other domains that the network of a domain rests on."""
    sources = chain(config, config.domains[name])
    return [found for each in sources for found in trainings(config, each, task, method)]


def start_of(config: Any, name: str) -> str:
    """Return in words what a domain's networks are: from scratch, zero-shot or fine-tuned."""
    domain = config.domains[name]
    if domain.model_from is None:
        return "from scratch"
    if not domain.fine_tune_steps:
        return f"zero-shot from {domain.model_from}"
    kept = f", {' and '.join(domain.frozen)} frozen" if domain.frozen else ""
    return f"fine-tuned from {domain.model_from}{kept}"


def compared(config: Any) -> dict[str, list[str]]:
    """Return data domain -> mapped domains that use its data with other networks.

    Zero-shot first, then fine-tuned, then from scratch; data that one domain alone uses are left
    out.
    """
    groups: dict[str, list[str]] = {}
    for name, domain in config.domains.items():
        if domain.mapped:
            groups.setdefault(domain.data_from or name, []).append(name)
    return {
        data: sorted(names, key=lambda name: _rank(config.domains[name]))
        for data, names in groups.items()
        if len(names) > 1
    }


def _rank(domain: Any) -> int:
    if domain.model_from is None:
        return 2
    return 1 if domain.fine_tune_steps else 0


def table_of_transfer(config: Any) -> dict[str, Any]:
    """Return the rows of the table of transfer, and the methods without a network beside them.

    Returns:
        `rows`: fields of a `stage_models.TransferRow` each; none where no data have two networks.
        `references`: (data domain, domain that is scored, task, method).
    """
    rows, references = [], []
    for data, names in compared(config).items():
        for task, methods in config.tasks.items():
            for method in methods:
                if method not in _SUFFIX:
                    references.append((data, names[-1], task, method))
                    continue
                for name in names:
                    own = trainings(config, name, task, method)
                    before = trainings_before(config, name, task, method)
                    place = {"data": data, "domain": name, "task": task, "method": method}
                    costs = {"trainings": own, "before": before}
                    rows.append(place | {"start": start_of(config, name)} | costs)
    return {"rows": rows, "references": references if rows else []}
