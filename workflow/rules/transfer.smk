# Regional transfer: a domain that names `model_from` takes another domain's network as it is
# (zero-shot: rule transfer) or, with `fine_tune_steps`, goes on training it on its own truth.


rule transfer:
    input:
        checkpoint=transfer_source,
    output:
        checkpoint="<results>/models/{domain}/{task}/state.ckpt",
    log:
        "<logs>/transfer/{domain}.{task}.log",
    benchmark:
        "<benchmarks>/transfer/{domain}.{task}.tsv"
    wildcard_constraints:
        domain=names(ZERO_SHOT),
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    shell:
        "cp {input.checkpoint:q} {output.checkpoint:q}.tmp 2> {log:q}"
        " && mv {output.checkpoint:q}.tmp {output.checkpoint:q} 2>> {log:q}"


rule fine_tune:
    input:
        truth="<results>/data/{domain}/truth.nc",
        checkpoint=transfer_source,
        observations="<results>/data/{domain}/observations.nc",
        grid="<results>/data/{domain}/grid.nc",
        statistics="<results>/data/{domain}/statistics.json",
    output:
        checkpoint="<results>/models/{domain}/{task}/state.ckpt",
        curve="<results>/models/{domain}/{task}/training.csv",
    log:
        "<logs>/fine_tune/{domain}.{task}.log",
    benchmark:
        "<benchmarks>/fine_tune/{domain}.{task}.tsv"
    wildcard_constraints:
        domain=names(FINE_TUNED),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=6000,
        runtime=24 * 60,
    params:
        tracking=MARKER,
        config=stage("transfer"),
        work=str(RESULTS / "work" / "{domain}.{task}"),
    shell:
        "python workflow/scripts/train.py --config {params.config:q} --domain {wildcards.domain}"
        " --init-from {input.checkpoint:q} --truth {input.truth:q}"
        " --observations {input.observations:q} --grid {input.grid:q}"
        " --statistics {input.statistics:q} --work {params.work:q}"
        " --output {output.checkpoint:q} --tracking {params.tracking:q} --log {log:q}"
