# The simulated truth, and the samples along real orbits.


rule truth:
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
        tracking=MARKER,
        config=stage("truth"),
    shell:
        "python workflow/scripts/truth.py --config {params.config:q} --domain {wildcards.domain}"
        " --output {output.truth:q} --tracking {params.tracking:q} --log {log:q}"


rule tracks:
    input:
        unpack(tracks_source),
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
        tracking=MARKER,
        config=stage("tracks"),
        source=options(truth="--truth", real="--real"),
    shell:
        "python workflow/scripts/tracks.py --config {params.config:q} --domain {wildcards.domain}"
        " {params.source} --output {output.tracks:q} --tracking {params.tracking:q} --log {log:q}"
