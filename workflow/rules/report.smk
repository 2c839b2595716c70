# The page that gathers everything; then records that MLflow did not take at once are sent again.


rule report:
    input:
        tables=rules.tables.output.markdown,
        scores=all_scores(),
        figures=all_figures(),
        maps=shown_on_the_page(),
    output:
        page="<results>/report.html",
    log:
        "<logs>/report.log",
    benchmark:
        "<benchmarks>/report.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(4000),
        runtime=more(30),
    params:
        config=stages.stage_json(CONFIG, "report"),
        folder=subpath(output.page, parent=True),
    shell:
        "python workflow/scripts/report.py --config {params.config:q} --results {params.folder:q}"
        " --captions workflow/report --tables {input.tables:q}"
        " --output {output.page:q} --log {log:q}"


rule send_records:
    input:
        tables=rules.tables.output.markdown,
        figures=all_figures(),
        report=rules.report.output.page,
    output:
        summary="<results>/records.json",
    log:
        "<logs>/send_records.log",
    benchmark:
        "<benchmarks>/send_records.tsv"
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    params:
        tracking=MARKER,
        config=stages.experiment_json(CONFIG),
        folder=subpath(output.summary, parent=True),
    shell:
        "python workflow/scripts/send_records.py --results {params.folder:q}"
        " --config {params.config:q} --tracking {params.tracking:q} --output {output.summary:q} --log {log:q}"
