# Masking: samples to daily cells with count, mask and error; statistics of the training period.
# Patches themselves are cut lazily by the data loader (pipeline_spde.data.patches), never stored.


rule observations:
    input:
        unpack(coast_of),
        tracks="<results>/data/{domain}/tracks.nc",
    output:
        observations="<results>/data/{domain}/observations.nc",
        coverage="<results>/data/{domain}/coverage.csv",
    log:
        "<logs>/observations/{domain}.log",
    benchmark:
        "<benchmarks>/observations/{domain}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(3000),
        runtime=more(60),
    params:
        tracking=MARKER,
        config=stage("observations"),
        truth=options(truth="--truth"),
    shell:
        "python workflow/scripts/observations.py --config {params.config:q}"
        " --domain {wildcards.domain} {params.truth} --tracks {input.tracks:q} --output {output.observations:q}"
        " --coverage {output.coverage:q} --tracking {params.tracking:q} --log {log:q}"


rule statistics:
    input:
        unpack(truth_of),
        tracks="<results>/data/{domain}/tracks.nc",
    output:
        grid="<results>/data/{domain}/grid.nc",
        statistics="<results>/data/{domain}/statistics.json",
    log:
        "<logs>/statistics/{domain}.log",
    benchmark:
        "<benchmarks>/statistics/{domain}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        tracking=MARKER,
        config=stage("statistics"),
        truth=options(truth="--truth"),
    shell:
        "python workflow/scripts/training_statistics.py --config {params.config:q}"
        " --domain {wildcards.domain} {params.truth} --tracks {input.tracks:q}"
        " --grid {output.grid:q} --output {output.statistics:q} --tracking {params.tracking:q}"
        " --log {log:q}"
