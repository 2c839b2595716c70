# Large domains: the maps of networks are made in tiles (blocks of patches and days), a job each, and
# joined. A tile that fails is made again alone; those that are done are kept until they are joined.


rule tile:
    input:
        unpack(method_files),
        observations="<results>/data/{domain}/observations.nc",
        grid="<results>/data/{domain}/grid.nc",
    output:
        tile=temp("<results>/tiles/{domain}/{task}/{method}/{tile}.nc"),
    log:
        "<logs>/tiles/{domain}.{task}.{method}.{tile}.log",
    benchmark:
        "<benchmarks>/tiles/{domain}.{task}.{method}.{tile}.tsv"
    wildcard_constraints:
        domain=names(TILES),
        tile=r"r\d+c\d+d\d+",
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2500),
        runtime=more(60),
    params:
        tracking=MARKER,
        config=stage("tile"),
    shell:
        "OMP_NUM_THREADS={threads} MKL_NUM_THREADS={threads}"
        " python workflow/scripts/tile.py --config {params.config:q} --domain {wildcards.domain}"
        " --tile {wildcards.tile} --checkpoint {input.checkpoint:q}"
        " --observations {input.observations:q} --grid {input.grid:q} --output {output.tile:q}"
        " --tracking {params.tracking:q} --log {log:q}"


rule gather:
    input:
        unpack(topography_of),
        tiles=tiles_of,
        grid="<results>/data/{domain}/grid.nc",
    output:
        maps="<results>/maps/{domain}/{task}/{method}.nc",
    log:
        "<logs>/gather/{domain}.{task}.{method}.log",
    benchmark:
        "<benchmarks>/gather/{domain}.{task}.{method}.tsv"
    wildcard_constraints:
        domain=names(TILES),
        method=names(sorted({m for methods in TILES.values() for m in methods})),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(60),
    params:
        tracking=MARKER,
        config=stage("gather"),
        mdt=options(mdt="--mdt"),
    shell:
        "python workflow/scripts/gather.py --config {params.config:q} --domain {wildcards.domain}"
        " {input.tiles:q} --grid {input.grid:q} {params.mdt} --output {output.maps:q}"
        " --tracking {params.tracking:q} --log {log:q}"


# what is made in tiles is not made in one piece
ruleorder: gather > maps


rule seams:
    input:
        unpack(truth_of),
        maps="<results>/maps/{domain}/{task}/{method}.nc",
        grid="<results>/data/{domain}/grid.nc",
    output:
        seams="<results>/scores/{domain}/{task}/{method}.seams.json",
    log:
        "<logs>/seams/{domain}.{task}.{method}.log",
    benchmark:
        "<benchmarks>/seams/{domain}.{task}.{method}.tsv"
    wildcard_constraints:
        domain=names(TILES),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        tracking=MARKER,
        config=stage("seams"),
        truth=options(truth="--truth"),
    shell:
        "python workflow/scripts/seams.py --config {params.config:q} --domain {wildcards.domain}"
        " --method {wildcards.method} --maps {input.maps:q} --grid {input.grid:q} {params.truth}"
        " --output {output.seams:q} --tracking {params.tracking:q} --log {log:q}"
