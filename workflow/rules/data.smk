# The truth, simulated or from files, and the samples along real orbits or from files.


rule truth:
    input:
        unpack(truth_source),
    output:
        truth="<results>/data/{domain}/truth.nc",
    log:
        "<logs>/truth/{domain}.log",
    benchmark:
        "<benchmarks>/truth/{domain}.tsv"
    wildcard_constraints:
        domain=names(WITH_TRUTH),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(60),
    params:
        tracking=MARKER,
        config=stage("truth"),
        files=all_options(files="--file"),
    shell:
        "python workflow/scripts/truth.py --config {params.config:q} --domain {wildcards.domain}"
        " {params.files} --output {output.truth:q} --tracking {params.tracking:q} --log {log:q}"


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
        mem_mb=more(3000),
        runtime=more(60),
    params:
        tracking=MARKER,
        config=stage("tracks"),
        truth=options(truth="--truth"),
        files=all_options(files="--file"),
    shell:
        "python workflow/scripts/tracks.py --config {params.config:q} --domain {wildcards.domain}"
        " {params.truth} {params.files} --output {output.tracks:q} --tracking {params.tracking:q} --log {log:q}"
