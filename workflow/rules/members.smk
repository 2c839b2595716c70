# Ensembles of 4dvarnet on domains of any size: draws of a prior matched to moments by region, mapped
# by the network. Groups of members are jobs of their own: one that fails is made again alone.


rule local_prior:
    input:
        unpack(truth_of),
        observations="<results>/data/{domain}/observations.nc",
        tracks="<results>/data/{domain}/tracks.nc",
        grid="<results>/data/{domain}/grid.nc",
    output:
        prior="<results>/models/{domain}/mapping/local_prior.nc",
    log:
        "<logs>/local_prior/{domain}.log",
    benchmark:
        "<benchmarks>/local_prior/{domain}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(4000),
        runtime=more(60),
    params:
        tracking=MARKER,
        config=stage("local_prior"),
        truth=options(truth="--truth"),
    shell:
        "python workflow/scripts/local_prior.py --config {params.config:q}"
        " --domain {wildcards.domain} {params.truth} --observations {input.observations:q}"
        " --tracks {input.tracks:q} --grid {input.grid:q} --output {output.prior:q}"
        " --tracking {params.tracking:q} --log {log:q}"


ruleorder: share > local_prior


rule members:
    input:
        observations="<results>/data/{domain}/observations.nc",
        tracks="<results>/data/{domain}/tracks.nc",
        grid="<results>/data/{domain}/grid.nc",
        checkpoint=lambda w: f"<results>/models/{w.domain}/{w.task}/{METHODS[w.method].checkpoint}",
        prior="<results>/models/{domain}/mapping/local_prior.nc",
    output:
        group=temp("<results>/members/{domain}/{task}/{method}/{purpose}.{group}.nc"),
    log:
        "<logs>/members/{domain}.{task}.{method}.{purpose}.{group}.log",
    benchmark:
        "<benchmarks>/members/{domain}.{task}.{method}.{purpose}.{group}.tsv"
    wildcard_constraints:
        method=names(IN_GROUPS),
        purpose="calibrate|ensemble",
        group=r"\d+",
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(5000),
        runtime=more(4 * 60),
    params:
        tracking=MARKER,
        config=members_stage,
    shell:
        "OMP_NUM_THREADS={threads} MKL_NUM_THREADS={threads}"
        " python workflow/scripts/members.py --config {params.config:q} --domain {wildcards.domain}"
        " --observations {input.observations:q} --tracks {input.tracks:q}"
        " --grid {input.grid:q} --checkpoint {input.checkpoint:q} --prior {input.prior:q}"
        " --output {output.group:q} --tracking {params.tracking:q} --log {log:q}"


rule calibrate_members:
    input:
        groups=groups_of("calibrate"),
        truth="<results>/data/{domain}/truth.nc",
        grid="<results>/data/{domain}/grid.nc",
    output:
        calibration="<results>/models/{domain}/{task}/{method}.calibration.json",
    log:
        "<logs>/calibrate/{domain}.{task}.{method}.log",
    benchmark:
        "<benchmarks>/calibrate/{domain}.{task}.{method}.tsv"
    wildcard_constraints:
        domain=names(WITH_TRUTH),
        method=names(IN_GROUPS),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(3000),
        runtime=more(60),
    params:
        tracking=MARKER,
        config=stage("calibrate"),
    shell:
        "python workflow/scripts/calibrate_members.py --config {params.config:q}"
        " --domain {wildcards.domain} {input.groups:q} --grid {input.grid:q} --truth {input.truth:q}"
        " --output {output.calibration:q} --tracking {params.tracking:q} --log {log:q}"


rule ensemble_of_members:
    input:
        groups=groups_of("ensemble"),
        maps="<results>/maps/{domain}/{task}/{method}.nc",
        calibration=calibration_of,
    output:
        ensemble="<results>/ensembles/{domain}/{task}/{method}.nc",
    log:
        "<logs>/ensemble/{domain}.{task}.{method}.log",
    benchmark:
        "<benchmarks>/ensemble/{domain}.{task}.{method}.tsv"
    wildcard_constraints:
        method=names(IN_GROUPS),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(3000),
        runtime=more(60),
    params:
        tracking=MARKER,
        config=stage("ensemble"),
    shell:
        "python workflow/scripts/ensemble_of_members.py --config {params.config:q}"
        " --domain {wildcards.domain} {input.groups:q} --maps {input.maps:q}"
        " --calibration {input.calibration:q} --output {output.ensemble:q}"
        " --tracking {params.tracking:q} --log {log:q}"


rule figure_prior:
    input:
        prior="<results>/models/{domain}/mapping/local_prior.nc",
    output:
        figure=report(
            "<results>/figures/{domain}/mapping/prior.png",
            caption="../report/prior.rst",
            category="3 Training",
            labels={"domain": "{domain}", "figure": "prior of the members"},
        ),
    log:
        "<logs>/figures/{domain}.prior.log",
    benchmark:
        "<benchmarks>/figures/{domain}.prior.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        config=stage("figures"),
    shell:
        "python workflow/scripts/figure_prior.py --config {params.config:q}"
        " --domain {wildcards.domain} --prior {input.prior:q} --output {output.figure:q}"
        " --log {log:q}"
