# Last words of a run: records that MLflow did not take at once are sent again.


rule send_records:
    input:
        tables=rules.tables.output.markdown,
        figures=all_figures(),
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
