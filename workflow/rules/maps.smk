# Reconstruction: one file of daily maps per domain, task and method.


rule maps:
    input:
        unpack(method_files),
        unpack(topography_of),
        observations="<results>/data/{domain}/observations.nc",
        tracks="<results>/data/{domain}/tracks.nc",
        grid="<results>/data/{domain}/grid.nc",
    output:
        maps="<results>/maps/{domain}/{task}/{method}.nc",
    log:
        "<logs>/maps/{domain}.{task}.{method}.log",
    benchmark:
        "<benchmarks>/maps/{domain}.{task}.{method}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(4000),
        runtime=more(120),
    params:
        tracking=MARKER,
        config=stage("maps"),
        fitted=options(
            tuning="--tuning",
            checkpoint="--checkpoint",
            first_guess="--first-guess",
            mdt="--mdt",
        ),
    shell:
        "python workflow/scripts/maps.py --config {params.config:q} --domain {wildcards.domain}"
        " {params.fitted} --observations {input.observations:q} --tracks {input.tracks:q}"
        " --grid {input.grid:q} --output {output.maps:q} --tracking {params.tracking:q} --log {log:q}"
