# Scores under every protocol, and the tables that gather them.


rule scores:
    input:
        unpack(ensemble_of),
        unpack(reference_of),
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
        mem_mb=more(4000),
        runtime=more(60),
    params:
        tracking=MARKER,
        config=stage("scores"),
        uncertainty=options(ensemble="--ensemble", reference_maps="--reference-maps"),
    shell:
        "python workflow/scripts/score_maps.py --config {params.config:q} --domain {wildcards.domain}"
        " --maps {input.maps:q} --reference {input.reference:q} {params.uncertainty}"
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
        mem_mb=more(1000),
        runtime=more(10),
    params:
        tracking=MARKER,
        config=stages.stage_json(CONFIG, "tables"),
    shell:
        "python workflow/scripts/score_tables.py --config {params.config:q} {input.scores:q}"
        " --output {output.markdown:q} --csv {output.csv:q} --latex {output.latex:q}"
        " --html {output.html:q} --tracking {params.tracking:q} --log {log:q}"


rule leads:
    input:
        unpack(method_files),
        observations="<results>/data/{domain}/observations.nc",
        tracks="<results>/data/{domain}/tracks.nc",
        grid="<results>/data/{domain}/grid.nc",
        truth="<results>/data/{domain}/truth.nc",
    output:
        leads="<results>/scores/{domain}/{task}/leads/{method}.csv",
    log:
        "<logs>/leads/{domain}.{task}.{method}.log",
    benchmark:
        "<benchmarks>/leads/{domain}.{task}.{method}.tsv"
    wildcard_constraints:
        domain=names(WITH_TRUTH),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(6000),
        runtime=more(120),
    params:
        tracking=MARKER,
        config=stage("leads"),
        fitted=options(
            tuning="--tuning", checkpoint="--checkpoint", first_guess="--first-guess"
        ),
    shell:
        "python workflow/scripts/leads.py --config {params.config:q} --domain {wildcards.domain}"
        " {params.fitted} --observations {input.observations:q} --tracks {input.tracks:q}"
        " --grid {input.grid:q} --truth {input.truth:q}"
        " --output {output.leads:q} --tracking {params.tracking:q} --log {log:q}"


rule lead_table:
    input:
        leads=leads_of,
    output:
        table="<results>/scores/{domain}/{task}/leads.csv",
    log:
        "<logs>/leads/{domain}.{task}.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    shell:
        "{{ head -n 1 {input.leads[0]:q} && tail -q -n +2 {input.leads:q}; }}"
        " > {output.table:q}.tmp 2> {log:q} && mv {output.table:q}.tmp {output.table:q} 2>> {log:q}"
