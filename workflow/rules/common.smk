# What the rules share: the validated configuration and small functions from it to paths.
from shlex import quote

from snakemake.exceptions import WorkflowError

from pipeline_spde import stages
from pipeline_spde.config import ConfigError, load
from pipeline_spde.methods import METHODS, tuning_task

try:
    CONFIG = load(config)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

RESULTS = stages.results_folder(CONFIG)  # for params, where <results> is not replaced
MARKER = str(RESULTS / "tracking.json")  # where to track; made before the first job
TRACKING = stages.tracking_json(CONFIG)
SIMULATED = [name for name, domain in CONFIG.domains.items() if domain.source == "twin"]
REAL = [name for name in CONFIG.domains if name not in SIMULATED]
TRAINED = [name for name, domain in CONFIG.domains.items() if domain.model_from is None]
ZERO_SHOT = [
    n for n, d in CONFIG.domains.items() if d.model_from and not d.fine_tune_steps
]
FINE_TUNED = [
    n for n, d in CONFIG.domains.items() if d.model_from and d.fine_tune_steps
]
MAPPED = [name for name, domain in CONFIG.domains.items() if domain.mapped]
NOTHING = "(?!)"  # a pattern that no wildcard value matches


def names(values):
    """Return the wildcard pattern of a list of names."""
    return "|".join(values) or NOTHING


def stage(name):
    """Return a params function: the stage's part of the configuration as canonical JSON."""

    def function(wildcards):
        parts = ("domain", "task", "method")
        known = {
            part: getattr(wildcards, part) for part in parts if hasattr(wildcards, part)
        }
        return stages.stage_json(CONFIG, name, **known)

    return function


def tracks_source(wildcards):
    """Return the file that the tracks come from: the simulated truth, or the real tracks."""
    if wildcards.domain in SIMULATED:
        return {"truth": f"<results>/data/{wildcards.domain}/truth.nc"}
    return {"real": str(stages.find_data(CONFIG.domains[wildcards.domain].tracks_file))}


def check_real_data():
    """Refuse a missing or unusable file of real tracks before anything is planned."""
    for name in REAL:
        domain = CONFIG.domains[name]
        path = stages.find_data(domain.tracks_file)
        where = f"domains.{name}.tracks_file"
        if not path.is_file():
            raise WorkflowError(
                f"{where}: no file {path}; give its path, or set PIPELINE_SPDE_DATA to its folder"
            )
        from pipeline_spde.data.sources import rads

        try:
            rads.check(path, (*domain.missions, *domain.withheld))
        except (ValueError, OSError) as error:
            raise WorkflowError(f"{where}: {error}") from None


def truth_of(wildcards):
    """Return the truth of a simulated domain; a real one has none."""
    if wildcards.domain in SIMULATED:
        return {"truth": f"<results>/data/{wildcards.domain}/truth.nc"}
    return {}


def start_of(wildcards):
    """Return the checkpoint that training starts from: mapping's, for every other task."""
    if wildcards.task == "mapping":
        return {}
    return {"start": f"<results>/models/{wildcards.domain}/mapping/state.ckpt"}


def transfer_source(wildcards):
    """Return the checkpoint of the domain that a transferred one takes its network from."""
    source = CONFIG.domains[wildcards.domain].model_from
    return f"<results>/models/{source}/{wildcards.task}/state.ckpt"


def method_files(wildcards):
    """Return the fitted parameters and the checkpoint that a method needs."""
    folder = f"<results>/models/{wildcards.domain}"
    files = {}
    task = tuning_task(wildcards.method, wildcards.task)
    if task is not None:
        files["tuning"] = f"{folder}/{task}/{METHODS[wildcards.method].fitted}"
    if METHODS[wildcards.method].checkpoint:
        files["checkpoint"] = f"{folder}/{wildcards.task}/state.ckpt"
    return files


def scored_against(wildcards):
    """Return what maps are scored against: the truth, or the tracks with the withheld mission."""
    return f"<results>/data/{wildcards.domain}/" + (
        "truth.nc" if wildcards.domain in SIMULATED else "tracks.nc"
    )


def options(**files):
    """Return command-line options for the inputs that a job really has."""

    def function(wildcards, input):
        given = {name: getattr(input, name, "") for name in files}
        return " ".join(
            f"{files[name]} {quote(str(p))}" for name, p in given.items() if p
        )

    return function


def all_scores():
    """Return the score files of every domain, task and method."""
    return [
        f"<results>/scores/{domain}/{task}/{method}.json"
        for domain in MAPPED
        for task, methods in CONFIG.tasks.items()
        for method in methods
    ]


def maps_of(wildcards):
    """Return the maps of every method of a domain and task."""
    return [
        f"<results>/maps/{wildcards.domain}/{wildcards.task}/{method}.nc"
        for method in CONFIG.tasks[wildcards.task]
    ]


def scores_of(wildcards):
    """Return the score files of every method of a domain and task."""
    return [
        f"<results>/scores/{wildcards.domain}/{wildcards.task}/{method}.json"
        for method in CONFIG.tasks[wildcards.task]
    ]


def all_figures():
    """Return every figure of the experiment."""
    return [f"<results>/figures/{name}" for name in stages.figure_names(CONFIG)]


check_real_data()
