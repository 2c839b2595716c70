# Fitting on the learning period: the tuned OI's covariance, the SPDE prior, the 4DVarNet state model.


rule tune:
    input:
        unpack(truth_of),
        observations="<results>/data/{domain}/observations.nc",
        tracks="<results>/data/{domain}/tracks.nc",
        grid="<results>/data/{domain}/grid.nc",
    output:
        parameters="<results>/models/{domain}/{task}/oi_tuned.json",
    log:
        "<logs>/tune/{domain}.{task}.log",
    benchmark:
        "<benchmarks>/tune/{domain}.{task}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        tracking=MARKER,
        config=stage("tune"),
        truth=options(truth="--truth"),
    shell:
        "python workflow/scripts/tune.py --config {params.config:q} --domain {wildcards.domain}"
        " {params.truth} --observations {input.observations:q} --tracks {input.tracks:q}"
        " --grid {input.grid:q} --output {output.parameters:q} --tracking {params.tracking:q}"
        " --log {log:q}"


rule fit_spde:
    input:
        unpack(truth_of),
        observations="<results>/data/{domain}/observations.nc",
        tracks="<results>/data/{domain}/tracks.nc",
        grid="<results>/data/{domain}/grid.nc",
    output:
        parameters="<results>/models/{domain}/{task}/spde_oi.nc",
    log:
        "<logs>/fit_spde/{domain}.{task}.log",
    benchmark:
        "<benchmarks>/fit_spde/{domain}.{task}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=6000,
        runtime=120,
    params:
        tracking=MARKER,
        config=stage("fit"),
        truth=options(truth="--truth"),
    shell:
        "python workflow/scripts/fit_spde.py --config {params.config:q} --domain {wildcards.domain}"
        " {params.truth} --observations {input.observations:q} --tracks {input.tracks:q}"
        " --grid {input.grid:q} --output {output.parameters:q} --tracking {params.tracking:q}"
        " --log {log:q}"


rule train:
    input:
        unpack(start_of),
        truth="<results>/data/{domain}/truth.nc",
        observations="<results>/data/{domain}/observations.nc",
        grid="<results>/data/{domain}/grid.nc",
        statistics="<results>/data/{domain}/statistics.json",
    output:
        checkpoint="<results>/models/{domain}/{task}/state.ckpt",
        curve="<results>/models/{domain}/{task}/training.csv",
    log:
        "<logs>/train/{domain}.{task}.log",
    benchmark:
        "<benchmarks>/train/{domain}.{task}.tsv"
    wildcard_constraints:
        domain=names(TRAINED),
    priority: 10  # the longest job first, so that the others run beside it
    conda:
        "../../envs/cpu.yaml"
    threads: 1  # a second thread gains a tenth on these small fields
    resources:
        gpu=1,
        mem_mb=6000,
        runtime=24 * 60,
    params:
        tracking=MARKER,
        config=stage("train"),
        start=options(start="--init-from"),
        # kept between runs (not an output), so that a killed training goes on where it was
        work=str(RESULTS / "work" / "{domain}.{task}"),
    shell:
        "python workflow/scripts/train.py --config {params.config:q} --domain {wildcards.domain}"
        " {params.start} --truth {input.truth:q} --observations {input.observations:q}"
        " --grid {input.grid:q} --statistics {input.statistics:q} --work {params.work:q}"
        " --output {output.checkpoint:q} --tracking {params.tracking:q} --log {log:q}"
