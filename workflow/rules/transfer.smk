# Regional transfer: a domain that names `model_from` takes another domain's network, as it is
# (zero-shot) or fine-tuned on its own truth (`fine_tune_steps`).


rule transfer:
    input:
        unpack(truth_of),
        checkpoint=transfer_source,
        observations="<results>/data/{domain}/observations.nc",
        grid="<results>/data/{domain}/grid.nc",
        tracking=ancient("<results>/tracking.json"),
    output:
        checkpoint="<results>/models/{domain}/{task}/state.ckpt",
    log:
        "<logs>/transfer/{domain}.{task}.log",
    benchmark:
        "<benchmarks>/transfer/{domain}.{task}.tsv"
    params:
        config=stage("transfer"),
        truth=options(truth="--truth"),
        work="<results>/work/{domain}.{task}",
    wildcard_constraints:
        domain=names(TRANSFERRED),
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        gpu=1,
        mem_mb=6000,
        runtime=24 * 60,
    shell:
        "python workflow/scripts/transfer.py --config {params.config:q}"
        " --domain {wildcards.domain} {params.truth} --init-from {input.checkpoint}"
        " --observations {input.observations} --grid {input.grid} --work {params.work}"
        " --output {output.checkpoint} --tracking {input.tracking} --log {log}"
