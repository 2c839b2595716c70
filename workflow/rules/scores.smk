# Scores under every protocol, and the tables that gather them.


rule scores:
    input:
        maps="<results>/maps/{domain}/{task}/{method}.nc",
        reference=scored_against,
    output:
        scores="<results>/scores/{domain}/{task}/{method}.json",
        daily="<results>/scores/{domain}/{task}/{method}.daily.csv",
    log:
        "<logs>/scores/{domain}.{task}.{method}.log",
    benchmark:
        "<benchmarks>/scores/{domain}.{task}.{method}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        tracking=MARKER,
        config=stage("scores"),
    shell:
        "python workflow/scripts/score_maps.py --config {params.config:q} --domain {wildcards.domain}"
        " --maps {input.maps:q} --reference {input.reference:q}"
        " --daily {output.daily:q} --output {output.scores:q} --tracking {params.tracking:q} --log {log:q}"


rule tables:
    input:
        scores=all_scores(),
    output:
        markdown="<results>/tables/scores.md",
        csv="<results>/tables/scores.csv",
        latex="<results>/tables/scores.tex",
        html=report(
            "<results>/tables/scores.html",
            caption="../report/table.rst",
            category="1 Scores",
            labels={"figure": "score table"},
        ),
    log:
        "<logs>/tables.log",
    benchmark:
        "<benchmarks>/tables.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        tracking=MARKER,
        config=stages.stage_json(CONFIG, "tables"),
    shell:
        "python workflow/scripts/score_tables.py --config {params.config:q} {input.scores:q}"
        " --output {output.markdown:q} --csv {output.csv:q} --latex {output.latex:q}"
        " --html {output.html:q} --tracking {params.tracking:q} --log {log:q}"
