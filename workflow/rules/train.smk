# Fitting on the learning period: the tuned OI's covariance, the SPDE prior, the networks.


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
        mem_mb=more(3000),
        runtime=more(60),
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
        mem_mb=more(6000),
        runtime=more(120),
    params:
        tracking=MARKER,
        config=stage("fit"),
        truth=options(truth="--truth"),
    shell:
        "python workflow/scripts/fit_spde.py --config {params.config:q} --domain {wildcards.domain}"
        " {params.truth} --observations {input.observations:q} --tracks {input.tracks:q}"
        " --grid {input.grid:q} --output {output.parameters:q} --tracking {params.tracking:q}"
        " --log {log:q}"


rule first_guess:
    input:
        observations="<results>/data/{domain}/observations.nc",
        tracks="<results>/data/{domain}/tracks.nc",
        grid="<results>/data/{domain}/grid.nc",
        tuning="<results>/models/{domain}/mapping/spde_oi.nc",
    output:
        guess="<results>/models/{domain}/{task}/first_guess.nc",
    log:
        "<logs>/first_guess/{domain}.{task}.log",
    benchmark:
        "<benchmarks>/first_guess/{domain}.{task}.tsv"
    priority: 9
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(6000),
        runtime=more(4 * 60),
    params:
        tracking=MARKER,
        config=stage("first_guess"),
    shell:
        "python workflow/scripts/first_guess.py --config {params.config:q}"
        " --domain {wildcards.domain} --observations {input.observations:q}"
        " --tracks {input.tracks:q} --grid {input.grid:q} --tuning {input.tuning:q}"
        " --output {output.guess:q} --tracking {params.tracking:q} --log {log:q}"


rule train:
    input:
        unpack(start_of("state.ckpt")),
        unpack(first_guess_of("4dvarnet")),
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
    threads: training_threads()
    resources:
        gpu=training_gpus(),
        mem_mb=more(6000 * CONFIG.training.devices),
        runtime=more(24 * 60),
    params:
        tracking=MARKER,
        config=stage("train"),
        start=options(start="--init-from", first_guess="--first-guess"),
        # kept between runs (not an output), so that a killed training goes on where it was
        work=str(RESULTS / "work" / "{domain}.{task}"),
    shell:
        "OMP_NUM_THREADS=1 MKL_NUM_THREADS=1"
        " python workflow/scripts/train.py --config {params.config:q} --domain {wildcards.domain}"
        " {params.start} --truth {input.truth:q} --observations {input.observations:q}"
        " --grid {input.grid:q} --statistics {input.statistics:q} --work {params.work:q}"
        " --output {output.checkpoint:q} --curve {output.curve:q}"
        " --tracking {params.tracking:q} --log {log:q}"


# The same with the UNet: same data, loss and number of steps.
use rule train as train_unet with:
    input:
        unpack(start_of("unet.ckpt")),
        unpack(first_guess_of("unet")),
        truth="<results>/data/{domain}/truth.nc",
        observations="<results>/data/{domain}/observations.nc",
        grid="<results>/data/{domain}/grid.nc",
        statistics="<results>/data/{domain}/statistics.json",
    output:
        checkpoint="<results>/models/{domain}/{task}/unet.ckpt",
        curve="<results>/models/{domain}/{task}/unet.csv",
    log:
        "<logs>/train_unet/{domain}.{task}.log",
    benchmark:
        "<benchmarks>/train_unet/{domain}.{task}.tsv"
    params:
        tracking=MARKER,
        config=stage("train_unet"),
        start=options(start="--init-from", first_guess="--first-guess"),
        work=str(RESULTS / "work" / "{domain}.{task}.unet"),


# Stage 2 of 4DVarNet-SPDE: state and parameters together, from the state model of stage 1; other
# tasks go on from the mapping model.
use rule train as train_spde with:
    input:
        unpack(start_of_stage_2),
        truth="<results>/data/{domain}/truth.nc",
        observations="<results>/data/{domain}/observations.nc",
        grid="<results>/data/{domain}/grid.nc",
        statistics="<results>/data/{domain}/statistics.json",
        first_guess="<results>/models/{domain}/{task}/first_guess.nc",
    output:
        checkpoint="<results>/models/{domain}/{task}/spde.ckpt",
        curve="<results>/models/{domain}/{task}/spde.csv",
    log:
        "<logs>/train_spde/{domain}.{task}.log",
    benchmark:
        "<benchmarks>/train_spde/{domain}.{task}.tsv"
    params:
        tracking=MARKER,
        config=stage("train_spde"),
        start=options(start="--init-from", first_guess="--first-guess"),
        work=str(RESULTS / "work" / "{domain}.{task}.spde"),
