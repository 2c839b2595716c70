# Regional transfer: a domain that names `model_from` takes another domain's networks as they are
# (zero-shot: rule transfer) or, with `fine_tune_steps`, goes on training them on its own truth or,
# where there is none, on its real tracks at passes that are withheld from the inputs.


rule transfer:
    input:
        checkpoint=transfer_source("state.ckpt"),
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
    params:
        tracking=MARKER,
        config=stage("zero_shot"),
    shell:
        "python workflow/scripts/transfer.py --config {params.config:q} --domain {wildcards.domain}"
        " --checkpoint {input.checkpoint:q} --output {output.checkpoint:q}"
        " --tracking {params.tracking:q} --log {log:q}"


use rule transfer as transfer_unet with:
    input:
        checkpoint=transfer_source("unet.ckpt"),
    output:
        checkpoint="<results>/models/{domain}/{task}/unet.ckpt",
    log:
        "<logs>/transfer_unet/{domain}.{task}.log",
    benchmark:
        "<benchmarks>/transfer_unet/{domain}.{task}.tsv"


rule fine_tune:
    input:
        unpack(first_guess_of("4dvarnet")),
        truth="<results>/data/{domain}/truth.nc",
        checkpoint=transfer_source("state.ckpt"),
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
    threads: training_threads()
    resources:
        gpu=training_gpus(),
        mem_mb=more(6000 * CONFIG.training.devices),
        runtime=more(24 * 60),
    params:
        tracking=MARKER,
        config=stage("transfer"),
        guess=options(first_guess="--first-guess"),
        work=str(RESULTS / "work" / "{domain}.{task}"),
    shell:
        "OMP_NUM_THREADS=1 MKL_NUM_THREADS=1"
        " python workflow/scripts/train.py --config {params.config:q} --domain {wildcards.domain}"
        " --init-from {input.checkpoint:q} {params.guess} --truth {input.truth:q}"
        " --observations {input.observations:q} --grid {input.grid:q}"
        " --statistics {input.statistics:q} --work {params.work:q}"
        " --output {output.checkpoint:q} --curve {output.curve:q}"
        " --tracking {params.tracking:q} --log {log:q}"


use rule fine_tune as fine_tune_unet with:
    input:
        unpack(first_guess_of("unet")),
        truth="<results>/data/{domain}/truth.nc",
        checkpoint=transfer_source("unet.ckpt"),
        observations="<results>/data/{domain}/observations.nc",
        grid="<results>/data/{domain}/grid.nc",
        statistics="<results>/data/{domain}/statistics.json",
    output:
        checkpoint="<results>/models/{domain}/{task}/unet.ckpt",
        curve="<results>/models/{domain}/{task}/unet.csv",
    log:
        "<logs>/fine_tune_unet/{domain}.{task}.log",
    benchmark:
        "<benchmarks>/fine_tune_unet/{domain}.{task}.tsv"
    params:
        tracking=MARKER,
        config=stage("transfer_unet"),
        guess=options(first_guess="--first-guess"),
        work=str(RESULTS / "work" / "{domain}.{task}.unet"),


use rule transfer as transfer_spde with:
    input:
        checkpoint=transfer_source("spde.ckpt"),
    output:
        checkpoint="<results>/models/{domain}/{task}/spde.ckpt",
    log:
        "<logs>/transfer_spde/{domain}.{task}.log",
    benchmark:
        "<benchmarks>/transfer_spde/{domain}.{task}.tsv"


use rule fine_tune as fine_tune_spde with:
    input:
        unpack(first_guess_of("4dvarnet_spde")),
        truth="<results>/data/{domain}/truth.nc",
        checkpoint=transfer_source("spde.ckpt"),
        observations="<results>/data/{domain}/observations.nc",
        grid="<results>/data/{domain}/grid.nc",
        statistics="<results>/data/{domain}/statistics.json",
    output:
        checkpoint="<results>/models/{domain}/{task}/spde.ckpt",
        curve="<results>/models/{domain}/{task}/spde.csv",
    log:
        "<logs>/fine_tune_spde/{domain}.{task}.log",
    benchmark:
        "<benchmarks>/fine_tune_spde/{domain}.{task}.tsv"
    params:
        tracking=MARKER,
        config=stage("transfer_spde"),
        guess=options(first_guess="--first-guess"),
        work=str(RESULTS / "work" / "{domain}.{task}.spde"),


rule withheld_guess:
    input:
        observations="<results>/data/{domain}/observations.nc",
        tracks="<results>/data/{domain}/tracks.nc",
        grid="<results>/data/{domain}/grid.nc",
        tuning="<results>/models/{domain}/mapping/spde_oi.nc",
    output:
        guess="<results>/models/{domain}/{task}/withheld_guess.nc",
    log:
        "<logs>/withheld_guess/{domain}.{task}.log",
    benchmark:
        "<benchmarks>/withheld_guess/{domain}.{task}.tsv"
    wildcard_constraints:
        domain=names(TRACK_TUNED),
    priority: 9
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(6000),
        runtime=more(4 * 60),
    params:
        tracking=MARKER,
        config=stage("withheld_guess"),
    shell:
        "python workflow/scripts/withheld_guess.py --config {params.config:q}"
        " --domain {wildcards.domain} --observations {input.observations:q}"
        " --tracks {input.tracks:q} --grid {input.grid:q} --tuning {input.tuning:q}"
        " --output {output.guess:q} --tracking {params.tracking:q} --log {log:q}"


rule fine_tune_on_tracks:
    input:
        unpack(withheld_guess_of("4dvarnet")),
        checkpoint=transfer_source("state.ckpt"),
        observations="<results>/data/{domain}/observations.nc",
        tracks="<results>/data/{domain}/tracks.nc",
        grid="<results>/data/{domain}/grid.nc",
    output:
        checkpoint="<results>/models/{domain}/{task}/state.ckpt",
        curve="<results>/models/{domain}/{task}/training.csv",
    log:
        "<logs>/fine_tune/{domain}.{task}.log",
    benchmark:
        "<benchmarks>/fine_tune/{domain}.{task}.tsv"
    wildcard_constraints:
        domain=names(TRACK_TUNED),
    conda:
        "../../envs/cpu.yaml"
    threads: training_threads()
    resources:
        gpu=training_gpus(),
        mem_mb=more(6000 * CONFIG.training.devices),
        runtime=more(24 * 60),
    params:
        tracking=MARKER,
        config=stage("tracks_tuning"),
        guess=options(withheld_guess="--withheld-guess"),
        work=str(RESULTS / "work" / "{domain}.{task}"),
    shell:
        "OMP_NUM_THREADS=1 MKL_NUM_THREADS=1"
        " python workflow/scripts/train_on_tracks.py --config {params.config:q}"
        " --domain {wildcards.domain} --init-from {input.checkpoint:q} {params.guess}"
        " --observations {input.observations:q} --tracks {input.tracks:q} --grid {input.grid:q}"
        " --work {params.work:q} --output {output.checkpoint:q} --curve {output.curve:q}"
        " --tracking {params.tracking:q} --log {log:q}"


use rule fine_tune_on_tracks as fine_tune_unet_on_tracks with:
    input:
        unpack(withheld_guess_of("unet")),
        checkpoint=transfer_source("unet.ckpt"),
        observations="<results>/data/{domain}/observations.nc",
        tracks="<results>/data/{domain}/tracks.nc",
        grid="<results>/data/{domain}/grid.nc",
    output:
        checkpoint="<results>/models/{domain}/{task}/unet.ckpt",
        curve="<results>/models/{domain}/{task}/unet.csv",
    log:
        "<logs>/fine_tune_unet/{domain}.{task}.log",
    benchmark:
        "<benchmarks>/fine_tune_unet/{domain}.{task}.tsv"
    params:
        tracking=MARKER,
        config=stage("tracks_tuning_unet"),
        guess=options(withheld_guess="--withheld-guess"),
        work=str(RESULTS / "work" / "{domain}.{task}.unet"),


use rule fine_tune_on_tracks as fine_tune_spde_on_tracks with:
    input:
        unpack(withheld_guess_of("4dvarnet_spde")),
        checkpoint=transfer_source("spde.ckpt"),
        observations="<results>/data/{domain}/observations.nc",
        tracks="<results>/data/{domain}/tracks.nc",
        grid="<results>/data/{domain}/grid.nc",
    output:
        checkpoint="<results>/models/{domain}/{task}/spde.ckpt",
        curve="<results>/models/{domain}/{task}/spde.csv",
    log:
        "<logs>/fine_tune_spde/{domain}.{task}.log",
    benchmark:
        "<benchmarks>/fine_tune_spde/{domain}.{task}.tsv"
    params:
        tracking=MARKER,
        config=stage("tracks_tuning_spde"),
        guess=options(withheld_guess="--withheld-guess"),
        work=str(RESULTS / "work" / "{domain}.{task}.spde"),


rule share:
    input:
        source=lambda wildcards: f"<results>/{SHARED[wildcards.shared]}",
    output:
        file="<results>/{shared}",
    log:
        "<logs>/share/{shared}.log",
    wildcard_constraints:
        shared=names([re.escape(file) for file in SHARED]),
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    params:
        tracking=MARKER,
        config=share_stage,
        domain=lambda wildcards: wildcards.shared.split("/")[1],
    shell:
        "python workflow/scripts/share.py --config {params.config:q} --domain {params.domain}"
        " --source {input.source:q} --output {output.file:q}"
        " --tracking {params.tracking:q} --log {log:q}"


# what is shared is not made a second time
ruleorder: share > truth
ruleorder: share > tracks
ruleorder: share > observations
ruleorder: share > statistics
ruleorder: share > tune
ruleorder: share > fit_spde
ruleorder: share > first_guess
ruleorder: share > maps


rule transfer_table:
    input:
        unpack(transfer_files),
    output:
        table="<results>/tables/transfer.md",
        csv="<results>/tables/transfer.csv",
        figure=report(
            "<results>/figures/transfer.png",
            caption="../report/transfer.rst",
            category="Transfer",
            labels={"figure": "networks from elsewhere"},
        ),
    log:
        "<logs>/transfer_table.log",
    benchmark:
        "<benchmarks>/transfer_table.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        tracking=MARKER,
        config=stages.stage_json(CONFIG, "transfer_table"),
        results=subpath(output.table, ancestor=2),
    shell:
        "python workflow/scripts/transfer_table.py --config {params.config:q}"
        " --results {params.results:q} --table {output.table:q} --figure {output.figure:q}"
        " --tracking {params.tracking:q} --log {log:q}"
