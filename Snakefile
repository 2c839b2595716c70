# pipeline_spde: from sparse satellite altimetry to scored, mapped, tracked sea surface height.
#
#   snakemake --cores all                                        the embedded demonstration (config.yaml)
#   snakemake --cores all --configfile config/gulfstream_ose.yaml   another experiment
#   snakemake --cores all --profile slurm                        on a cluster
from snakemake.utils import min_version

min_version("9.20")


configfile: "config.yaml"


include: "workflow/rules/common.smk"


pathvars:
    results=str(stages.results_folder(CONFIG)),
    logs=str(stages.results_folder(CONFIG) / "logs"),
    benchmarks=str(stages.results_folder(CONFIG) / "benchmarks"),


resource_scopes:
    gpu="local",


wildcard_constraints:
    domain="|".join(CONFIG.domains),
    task="mapping|nrt|for[1-9][0-9]?",
    method="|".join(METHODS),


report: "workflow/report/workflow.rst"


include: "workflow/rules/data.smk"
include: "workflow/rules/patches.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/transfer.smk"
include: "workflow/rules/maps.smk"
include: "workflow/rules/tiles.smk"
include: "workflow/rules/ensemble.smk"
include: "workflow/rules/members.smk"
include: "workflow/rules/scores.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/regions.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/audit.smk"


# Before the first job: is there room for the results? Then one process opens the tracking store
# (two at once would break a new SQLite file). A hook, not a rule: nothing is made again when the
# store moves.
onstart:
    check_disk()
    shell(
        "python workflow/scripts/tracking.py --config {TRACKING:q} --output {MARKER:q}"
    )


# A job that a scheduler has ended: what to do is said last, where it is read.
onerror:
    for advice in remedies(log, "logs/slurm"):
        print(advice)


localrules:
    all,


rule all:
    default_target: True
    input:
        rules.tables.output,
        all_figures(),
        all_seams(),
        rules.send_records.output,
