# Published scores of public maps, computed again: snakemake audit. Whatever is on disk is scored.


rule audit:
    input:
        published=published_files,
    output:
        markdown="<results>/audit.md",
        csv="<results>/audit.csv",
    log:
        "<logs>/audit.log",
    benchmark:
        "<benchmarks>/audit.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(8000),
        runtime=more(60),
    params:
        data=DATA_FOLDER,
    shell:
        "pipeline-spde audit --from {params.data:q} --out {output.markdown:q} --out {output.csv:q}"
        " > {log:q} 2>&1"
