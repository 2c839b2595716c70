# The experiment's tracking record, the simulated truth, and the samples along real orbits.


rule tracking:
    output:
        marker="<results>/tracking.json",
    log:
        "<logs>/tracking.log",
    benchmark:
        "<benchmarks>/tracking.tsv"
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    params:
        config=stages.tracking_json(CONFIG),
    shell:
        "python workflow/scripts/tracking.py --config {params.config:q} --output {output.marker:q}"
        " --log {log:q}"


rule truth:
    input:
        tracking=ancient("<results>/tracking.json"),
    output:
        truth="<results>/data/{domain}/truth.nc",
    log:
        "<logs>/truth/{domain}.log",
    benchmark:
        "<benchmarks>/truth/{domain}.tsv"
    wildcard_constraints:
        domain=names(SIMULATED),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        config=stage("truth"),
    shell:
        "python workflow/scripts/truth.py --config {params.config:q} --domain {wildcards.domain}"
        " --output {output.truth:q} --tracking {input.tracking:q} --log {log:q}"


rule tracks:
    input:
        unpack(tracks_source),
        tracking=ancient("<results>/tracking.json"),
    output:
        tracks="<results>/data/{domain}/tracks.nc",
    log:
        "<logs>/tracks/{domain}.log",
    benchmark:
        "<benchmarks>/tracks/{domain}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        config=stage("tracks"),
        source=options(truth="--truth", real="--real"),
    shell:
        "python workflow/scripts/tracks.py --config {params.config:q} --domain {wildcards.domain}"
        " {params.source} --output {output.tracks:q} --tracking {input.tracking:q} --log {log:q}"
