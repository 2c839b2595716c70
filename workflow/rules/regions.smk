# Parts of the ocean: scores by region, and the gradient of the sea surface with regions enlarged.


rule region_table:
    input:
        scores=scores_with_regions(),
    output:
        table="<results>/tables/regions.md",
        csv="<results>/tables/regions.csv",
        figures=report(
            region_figures(),
            caption="../report/regions.rst",
            category="1 Scores",
            labels={"figure": "scores by region"},
        ),
    log:
        "<logs>/region_table.log",
    benchmark:
        "<benchmarks>/region_table.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        tracking=MARKER,
        config=stages.stage_json(CONFIG, "tables"),
        results=subpath(output.table, ancestor=2),
        dpi=CONFIG.figures.dpi,
    shell:
        "python workflow/scripts/region_table.py --config {params.config:q} {input.scores:q}"
        " --table {output.table:q} --results {params.results:q} --dpi {params.dpi}"
        " --tracking {params.tracking:q} --log {log:q}"


rule figure_globe:
    input:
        unpack(shown_ensemble),
        truth="<results>/data/{domain}/truth.nc",
        maps=maps_of,
    output:
        figure=report(
            "<results>/figures/{domain}/{task}/globe.png",
            caption="../report/globe.rst",
            category="2 Maps",
            labels={
                "domain": "{domain}",
                "task": "{task}",
                "figure": "gradient of the sea surface",
            },
        ),
    log:
        "<logs>/figures/{domain}.{task}.globe.log",
    benchmark:
        "<benchmarks>/figures/{domain}.{task}.globe.tsv"
    wildcard_constraints:
        domain=names(WITH_TRUTH),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        config=stage("globe"),
        members=options(ensemble="--ensemble"),
    shell:
        "python workflow/scripts/figure_globe.py --config {params.config:q}"
        " --domain {wildcards.domain} --truth {input.truth:q} {input.maps:q} {params.members}"
        " --output {output.figure:q} --log {log:q}"
