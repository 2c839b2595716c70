# What the rules share: the validated configuration and small functions from it to paths.
import os
import re
from pathlib import Path
from shlex import quote

from snakemake.exceptions import WorkflowError

from pipeline_spde import disk, products, sharing, stages
from pipeline_spde.config import ConfigError, load
from pipeline_spde.machine.remedies import remedies
from pipeline_spde.methods import METHODS, tuning_task
from pipeline_spde.paths import find_files

try:
    CONFIG = load(config)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

RESULTS = stages.results_folder(CONFIG)  # for params, where <results> is not replaced
MARKER = str(RESULTS / "tracking.json")  # where to track; made before the first job
TRACKING = stages.tracking_json(CONFIG)
WITH_TRUTH = [name for name, domain in CONFIG.domains.items() if domain.has_truth]
REAL = [name for name in CONFIG.domains if name not in WITH_TRUTH]
OWN_FILES = [name for name, d in CONFIG.domains.items() if d.source != "twin"]
TRAINED = [name for name, domain in CONFIG.domains.items() if domain.model_from is None]
ZERO_SHOT = [
    n for n, d in CONFIG.domains.items() if d.model_from and not d.fine_tune_steps
]
FINE_TUNED = [
    n
    for n, d in CONFIG.domains.items()
    if d.model_from and d.fine_tune_steps and n in WITH_TRUTH
]
TRACK_TUNED = [name for name in REAL if CONFIG.domains[name].fine_tune_steps]
TRANSFER = stages.TransferTableStage.model_validate_json(
    stages.stage_json(CONFIG, "transfer_table")
)
SHARED = sharing.shared_files(CONFIG)  # file -> the one it is a copy of
MAPPED = [name for name, domain in CONFIG.domains.items() if domain.mapped]
TILES = {
    name: methods for name in MAPPED if (methods := stages.tiled_methods(CONFIG, name))
}
# the method of the ensembles: one whose prior has the Θ of a network, or one matched to moments
WITH_THETA = [m for m in ("4dvarnet_spde",) if m == CONFIG.ensembles.method]
IN_GROUPS = [m for m in ("4dvarnet",) if m == CONFIG.ensembles.method]
DATA_FOLDER = os.environ.get("PIPELINE_SPDE_DATA", "data")  # what `download` fills
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


def truth_source(wildcards):
    """Return the files that hold the truth of a domain; a twin is simulated from nothing."""
    domain = CONFIG.domains[wildcards.domain]
    if domain.truth_file is None:
        return {}
    return {"files": [str(path) for path in find_files(domain.truth_file)]}


def tracks_source(wildcards):
    """Return what the tracks come from: a truth that is sampled, or files of tracks."""
    domain = CONFIG.domains[wildcards.domain]
    if domain.tracks_file is None:
        return {"truth": f"<results>/data/{wildcards.domain}/truth.nc"}
    return {"files": [str(path) for path in find_files(domain.tracks_file)]}


def coast_of(wildcards):
    """Return the truth whose land is that of the domain; others have the package's or none."""
    if CONFIG.domains[wildcards.domain].source != "files":
        return {}
    return truth_of(wildcards)


def check_own_files():
    """Refuse missing or unusable files of truth and tracks before anything is planned."""
    from pipeline_spde.data import own_files

    for name in OWN_FILES:
        domain = CONFIG.domains[name]
        for key in ("truth_file", "tracks_file"):
            if getattr(domain, key) is None:
                continue
            where = f"domains.{name}.{key}"
            paths = find_files(getattr(domain, key))
            missing = [path for path in paths if not path.is_file()]
            if missing:
                raise WorkflowError(
                    f"{where}: no file {missing[0]}; give its path, or set PIPELINE_SPDE_DATA to "
                    "its folder"
                )
            check = (
                own_files.check_truth if key == "truth_file" else own_files.check_tracks
            )
            try:
                check(paths, domain)
            except (ValueError, OSError) as error:
                raise WorkflowError(f"{where}: {error}") from None


def published_files(wildcards):
    """Return the published maps that are on disk, and what they are scored against."""
    from pipeline_spde.verification import audit

    return [str(path) for path in audit.files_on_disk(Path(DATA_FOLDER))]


def check_disk():
    """Refuse an experiment that is larger than the disk of its results folder."""
    try:
        disk.require_room(CONFIG)
    except OSError as error:
        raise WorkflowError(str(error)) from None


def truth_of(wildcards):
    """Return the truth of a simulated domain; a real one has none."""
    if wildcards.domain in WITH_TRUTH:
        return {"truth": f"<results>/data/{wildcards.domain}/truth.nc"}
    return {}


def more(amount):
    """Return a resource that grows with the attempts: a job that was killed for it gets more."""

    def function(wildcards, attempt):
        return amount * attempt

    return function


def training_gpus():
    """Return the GPUs of a training: one for each process, none where it runs on the CPU."""
    return 0 if CONFIG.training.accelerator == "cpu" else CONFIG.training.devices


def training_threads():
    """Return the threads of a training: every process and each of its data loaders has one.

    A second one gains a tenth on these small fields; the rules set OMP_NUM_THREADS accordingly.
    """
    return CONFIG.training.devices * (1 + CONFIG.training.workers)


def start_of(file):
    """Return the checkpoint that training starts from: mapping's, for every other task."""

    def function(wildcards):
        if wildcards.task == "mapping":
            return {}
        return {"start": f"<results>/models/{wildcards.domain}/mapping/{file}"}

    return function


def first_guess_of(method):
    """Return an input function: the first guess, where the network of a method starts from it."""

    def function(wildcards):
        if not stages.needs_first_guess(CONFIG, method):
            return {}
        folder = f"<results>/models/{wildcards.domain}/{wildcards.task}"
        return {"first_guess": f"{folder}/first_guess.nc"}

    return function


def withheld_guess_of(method):
    """Return an input function: the first guesses without withheld passes, where needed."""

    def function(wildcards):
        if not stages.needs_first_guess(CONFIG, method):
            return {}
        folder = f"<results>/models/{wildcards.domain}/{wildcards.task}"
        return {"withheld_guess": f"{folder}/withheld_guess.nc"}

    return function


def start_of_stage_2(wildcards):
    """Return the checkpoint that 4dvarnet_spde starts from: stage 1, or its mapping model."""
    file = "state.ckpt" if wildcards.task == "mapping" else "spde.ckpt"
    return {"start": f"<results>/models/{wildcards.domain}/mapping/{file}"}


def transfer_source(file):
    """Return the checkpoint of the domain that a transferred one takes its network from."""

    def function(wildcards):
        source = CONFIG.domains[wildcards.domain].model_from
        return f"<results>/models/{source}/{wildcards.task}/{file}"

    return function


def share_stage(wildcards):
    """Return the configuration of the stage that takes over a shared file."""
    return stages.stage_json(CONFIG, "share", wildcards.shared.split("/")[1])


def transfer_files(wildcards):
    """Return what the table of transfer gathers: scores and training curves."""
    rows = TRANSFER.rows
    jobs = sorted({job for row in rows for job in (*row.trainings, *row.before)})
    scored = [(row.domain, row.task, row.method) for row in rows]
    scored += [reference[1:] for reference in TRANSFER.references]
    return {
        "scores": [f"<results>/scores/{'/'.join(place)}.json" for place in scored],
        "curves": [f"<results>/models/{j.domain}/{j.task}/{j.curve}" for j in jobs],
    }


def method_files(wildcards):
    """Return the fitted parameters and the checkpoint that a method needs."""
    folder = f"<results>/models/{wildcards.domain}"
    files = {}
    task = tuning_task(wildcards.method, wildcards.task)
    if task is not None:
        files["tuning"] = f"{folder}/{task}/{METHODS[wildcards.method].fitted}"
    if METHODS[wildcards.method].checkpoint:
        files["checkpoint"] = (
            f"{folder}/{wildcards.task}/{METHODS[wildcards.method].checkpoint}"
        )
    return files | first_guess_of(wildcards.method)(wildcards)


def topography_of(wildcards):
    """Return the file of the mean topography of a domain, where it has one."""
    file = CONFIG.domains[wildcards.domain].mdt_file
    return {} if file is None else {"mdt": str(find_files(file)[0])}


def tiles_of(wildcards):
    """Return the tiles of the maps of a method, in the order in which they are joined."""
    from pipeline_spde import tiling
    from pipeline_spde.grids import Grid

    domain = CONFIG.domains[wildcards.domain]
    request = stages.tile_request(CONFIG.of(domain), domain, wildcards.method)
    cells = Grid.from_bounds(domain.lat, domain.lon, domain.resolution)
    folder = f"<results>/tiles/{wildcards.domain}/{wildcards.task}/{wildcards.method}"
    return [f"{folder}/{tile.name}.nc" for tile in tiling.tiles_of(cells, request)]


def all_seams():
    """Return the scores of the seams of all maps that are made in tiles."""
    return [
        f"<results>/scores/{domain}/{task}/{method}.seams.json"
        for domain, tiled in TILES.items()
        for task, methods in CONFIG.tasks.items()
        for method in methods
        if method in tiled
    ]


def ensemble_inputs(wildcards):
    """Return what an ensemble is simulated from."""
    folder = f"<results>/models/{wildcards.domain}"
    data = f"<results>/data/{wildcards.domain}"
    return {
        "observations": f"{data}/observations.nc",
        "tracks": f"{data}/tracks.nc",
        "grid": f"{data}/grid.nc",
        "tuning": f"{folder}/mapping/spde_oi.nc",
        "checkpoint": f"{folder}/{wildcards.task}/{METHODS[wildcards.method].checkpoint}",
        "first_guess": f"{folder}/{wildcards.task}/first_guess.nc",
    }


def members_stage(wildcards):
    """Return the configuration of a group of members, for a calibration or the days mapped."""
    w = wildcards
    return stages.members_json(
        CONFIG, w.domain, w.task, w.method, w.purpose, int(w.group)
    )


def groups_of(purpose):
    """Return an input function: the groups of members of an ensemble."""

    def function(wildcards):
        own = CONFIG.of(CONFIG.domains[wildcards.domain]).ensembles
        folder = f"<results>/members/{wildcards.domain}/{wildcards.task}"
        stem = f"{folder}/{wildcards.method}/{purpose}"
        return [f"{stem}.{group}.nc" for group in range(len(own.groups()))]

    return function


def calibration_of(wildcards):
    """Return the calibration of an ensemble.

    A real domain has its own where its networks are fine-tuned on its tracks, else that of the
    twin learned from.
    """
    domain = wildcards.domain
    if domain in REAL and domain not in TRACK_TUNED:
        domain = CONFIG.domains[domain].model_from
    folder = f"<results>/models/{domain}/{wildcards.task}"
    return f"{folder}/{wildcards.method}.calibration.json"


def curves_of(wildcards):
    """Return the training curves of the networks that learn for a domain and task."""
    folder = f"<results>/models/{wildcards.domain}/{wildcards.task}"
    trained = products.trained_methods(CONFIG, wildcards.domain, wildcards.task)
    return [f"{folder}/{METHODS[method].curve}" for method in trained]


def scored_against(wildcards):
    """Return what maps are scored against: the truth, or the tracks with the withheld mission."""
    return f"<results>/data/{wildcards.domain}/" + (
        "truth.nc" if wildcards.domain in WITH_TRUTH else "tracks.nc"
    )


def options(**files):
    """Return command-line options for the inputs that a job really has."""

    def function(wildcards, input):
        given = {name: getattr(input, name, "") for name in files}
        return " ".join(
            f"{files[name]} {quote(str(p))}" for name, p in given.items() if p
        )

    return function


def all_options(**files):
    """Return command-line options that are repeated for each of a job's inputs of a name."""

    def function(wildcards, input):
        return " ".join(
            f"{option} {quote(str(path))}"
            for name, option in files.items()
            for path in (input.get(name) or [])
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


def in_ensemble_tasks(folder):
    """Return an input function: the file of the ensembles' method in every task with one."""

    def function(wildcards):
        return [
            f"<results>/{folder}/{wildcards.domain}/{task}/{CONFIG.ensembles.method}.nc"
            for task in products.ensemble_tasks(CONFIG)
        ]

    return function


def judged_by(wildcards):
    """Return what errors and scores of a simulated domain are drawn from; a real one has none."""
    if wildcards.domain not in WITH_TRUTH:
        return {}
    return {
        "truth": f"<results>/data/{wildcards.domain}/truth.nc",
        "coverage": f"<results>/data/{wildcards.domain}/coverage.csv",
        "scores": [
            f"<results>/scores/{wildcards.domain}/{task}/{method}.json"
            for task in products.ensemble_tasks(CONFIG)
            for method in CONFIG.tasks[task]
        ],
    }


def repeated(**files):
    """Return an option before every file of inputs that hold a list ("": the file alone)."""

    def function(wildcards, input):
        return " ".join(
            f"{files[name]} {quote(str(path))}".strip()
            for name in files
            for path in getattr(input, name, [])
        )

    return function


def ensemble_of(wildcards):
    """Return the ensemble of a method that has one."""
    if wildcards.method != CONFIG.ensembles.method:
        return {}
    folder = f"<results>/ensembles/{wildcards.domain}/{wildcards.task}"
    return {"ensemble": f"{folder}/{wildcards.method}.nc"}


def shown_ensemble(wildcards):
    """Return the ensemble of a task, where its members are kept to be shown."""
    own = CONFIG.of(CONFIG.domains[wildcards.domain]).ensembles
    if wildcards.task not in products.ensemble_tasks(CONFIG) or not own.keep_members:
        return {}
    folder = f"<results>/ensembles/{wildcards.domain}/{wildcards.task}"
    return {"ensemble": f"{folder}/{CONFIG.ensembles.method}.nc"}


def reference_of(wildcards):
    """Return the maps of the tuned OI, which every other method of a task should beat in CRPS."""
    if wildcards.method == "oi_tuned" or "oi_tuned" not in CONFIG.tasks[wildcards.task]:
        return {}
    folder = f"<results>/maps/{wildcards.domain}/{wildcards.task}"
    return {"reference_maps": f"{folder}/oi_tuned.nc"}


def tuned_oi_of(wildcards):
    """Return the fit of the tuned OI, where it is a method of the task: it holds its error."""
    if "oi_tuned" not in CONFIG.tasks[wildcards.task]:
        return {}
    folder = f"<results>/models/{wildcards.domain}/{wildcards.task}"
    return {"tuning": f"{folder}/oi_tuned.json"}


def leads_of(wildcards):
    """Return the lead-time curves of every method of a forecast task."""
    folder = f"<results>/scores/{wildcards.domain}/{wildcards.task}/leads"
    return [f"{folder}/{method}.csv" for method in CONFIG.tasks[wildcards.task]]


def scores_with_regions():
    """Return the score files that hold scores by region: those of domains with a truth."""
    return [path for path in all_scores() if path.split("/")[2] in WITH_TRUTH]


def region_figures():
    """Return the figures of the scores by region."""
    return [
        f"<results>/figures/{domain}/{task}/regions.png"
        for domain in MAPPED
        for task in CONFIG.tasks
        if domain in WITH_TRUTH
    ]


def all_figures():
    """Return every figure of the experiment."""
    return [f"<results>/figures/{name}" for name in products.figure_names(CONFIG)]


if OWN_FILES and workflow.is_main_process:  # not again in every job of a cluster
    check_own_files()


def shown_on_the_page():
    """Return the maps and ensembles that the page shows, and what they are judged by."""
    shown = []
    for domain in MAPPED:
        shown += [
            f"<results>/data/{domain}/{name}.nc" for name in ("grid", "observations")
        ]
        shown += [f"<results>/data/{domain}/truth.nc"] if domain in WITH_TRUTH else []
        for task, methods in CONFIG.tasks.items():
            place = f"{domain}/{task}"
            shown += [f"<results>/maps/{place}/{method}.nc" for method in methods]
            shown += [
                f"<results>/ensembles/{place}/{method}.nc"
                for method in methods
                if method == CONFIG.ensembles.method
            ]
    return shown
