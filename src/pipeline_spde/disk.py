"""How much disk an experiment takes, estimated from its configuration before it starts."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from pipeline_spde.config import Config, DomainConfig
from pipeline_spde.products import ensemble_tasks
from pipeline_spde.splits import mapped_days
from pipeline_spde.stages import needs_first_guess, results_folder, tiled_methods

# Bytes on disk, compressed; measured on the demonstration: 3.3, 2.2 and 14.
_HEIGHT = 4  # a float32 of a cell and day hardly shrinks
_OBSERVATION = 4  # value, error, count and mask of a cell and day, most of them empty
_SAMPLE = 16  # time, place, height and its error, mission, pass
_SMALL = 150 * 2**20  # figures, networks, an unfinished training, tables, tracking
_FIELDS = {"4dvarnet_spde": 14}  # with the parameters of the prior; others: height and deviation
_OVERLAP = 1.5  # cells of all tiles over those of the domain; they wait until they are joined
_NADIR_A_DAY = 86400  # samples of one altimeter around the globe, one a second
_GROUND_SPEED = 6.6  # km/s
_SWATHS_KM = 100.0  # both sides of KaRIn together


def estimated_bytes(config: Config) -> dict[str, int]:
    """Return the estimated size of an experiment's files by their kind."""
    kinds = ("data", "first guesses", "maps", "tiles", "ensembles")
    found = {**dict.fromkeys(kinds, 0), "others": _SMALL}
    for name, domain in config.domains.items():
        found["data"] += _data_bytes(config, domain)
        found["first guesses"] += _first_guess_bytes(config, domain)
        if domain.mapped:
            field = _HEIGHT * _cells(domain) * mapped_days(domain).days
            methods: list[str] = [method for methods in config.tasks.values() for method in methods]
            found["maps"] += field * sum(_FIELDS.get(method, 2) for method in methods)
            tiled = tiled_methods(config, name)
            found["tiles"] += round(_OVERLAP * field * sum(methods.count(m) for m in tiled))
            found["ensembles"] += field * _ensemble_fields(config.of(domain))
    return found


def require_room(config: Config, free: int | None = None) -> None:
    """Refuse an experiment whose results folder lies on too small a disk.

    What the folder holds already is counted as made.

    Args:
        config: of the experiment.
        free: bytes that may be written; None: what the disk of the results folder has.

    Raises:
        OSError: with the folder, what is needed for what, and what is free.
    """
    folder = results_folder(config)
    need = estimated_bytes(config)
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    wanted = sum(need.values()) - held
    free = shutil.disk_usage(_existing(folder)).free if free is None else free
    if free < wanted:
        parts = ", ".join(f"{name} {in_words(size)}" for name, size in need.items() if size)
        raise OSError(
            f"{folder}: {in_words(free)} free, about {in_words(wanted)} needed ({parts}; "
            f"{in_words(held)} are there); free some space, set `results` to a larger disk, or "
            "choose larger cells (resolution) or fewer methods"
        )


def in_words(size: int) -> str:
    """Return a number of bytes with a unit that suits it."""
    for unit, power in (("TiB", 4), ("GiB", 3)):
        if size >= 1024**power:
            return f"{size / 1024**power:.1f} {unit}"
    return f"{size / 2**20:.0f} MiB"


def _data_bytes(config: Config, domain: DomainConfig) -> int:
    """Return the size of truth, samples and gridded observations of a domain."""
    days, cells = domain.periods.available.days, _cells(domain)
    truth = _HEIGHT if domain.has_truth else 0
    return days * (cells * (truth + _OBSERVATION) + _SAMPLE * _samples_a_day(config, domain))


def _first_guess_bytes(config: Config, domain: DomainConfig) -> int:
    """Return the size of the analyses that networks start from: all windows of all their days."""
    periods = domain.periods
    days = sum(p.days for p in (periods.train, periods.validation, periods.evaluation) if p)
    fields = 0
    for name, methods in config.tasks.items():
        if any(needs_first_guess(config, method) for method in methods):
            # the currents and a height; a forecast has one of every day of every window
            fields += 2 + (1 if name == "mapping" else config.model.window_days)
    return _HEIGHT * _cells(domain) * days * fields


def _ensemble_fields(config: Config) -> int:
    """Return how many fields a day the ensembles hold, what waits while one is made included."""
    tasks, settings = ensemble_tasks(config), config.ensembles
    kept = settings.members if settings.keep_members else 2
    # draws and deviations; groups of a calibration and of the maps, and their members joined
    waiting = 2 if settings.method == "4dvarnet_spde" else 3
    return len(tasks) * kept + (waiting * settings.members if tasks else 0)


def _cells(domain: DomainConfig) -> int:
    (south, north), (west, east) = domain.lat, domain.lon
    return round((north - south) / domain.resolution) * round((east - west) / domain.resolution)


def _samples_a_day(config: Config, domain: DomainConfig) -> int:
    """Return about how many samples the missions take in a domain: its share of the globe."""
    south, north = (math.sin(math.radians(lat)) for lat in domain.lat)
    share = (north - south) / 2 * (domain.lon[1] - domain.lon[0]) / 360
    seen = config.observations
    across = _SWATHS_KM / seen.karin_across_km
    swath = 86400 * _GROUND_SPEED / seen.karin_along_km * across
    missions = (*domain.missions, *domain.withheld)
    return round(share * sum(swath if m == "swot_karin" else _NADIR_A_DAY for m in missions))


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(parent for parent in (folder, *folder.parents) if parent.exists())
