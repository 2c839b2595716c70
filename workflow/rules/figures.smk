# Figures: one job per subject, each one or two library functions; captions: workflow/report/.
# Their records go to MLflow together at the end (rule send_records): a picture takes less time
# than opening the tracking store.


rule figure_truth:
    input:
        truth="<results>/data/{domain}/truth.nc",
    output:
        figure=report(
            "<results>/figures/{domain}/truth.png",
            caption="../report/truth.rst",
            category="4 Ocean and observations",
            labels={"domain": "{domain}", "figure": "simulated truth"},
        ),
    log:
        "<logs>/figures/{domain}.truth.log",
    benchmark:
        "<benchmarks>/figures/{domain}.truth.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        config=stage("figures"),
    shell:
        "python workflow/scripts/figure_truth.py --config {params.config:q}"
        " --domain {wildcards.domain}"
        " --truth {input.truth:q} --output {output.figure:q}"
        " --log {log:q}"


rule figure_coverage:
    input:
        coverage="<results>/data/{domain}/coverage.csv",
        tracks="<results>/data/{domain}/tracks.nc",
        grid="<results>/data/{domain}/grid.nc",
    output:
        series=report(
            "<results>/figures/{domain}/coverage.png",
            caption="../report/observations.rst",
            category="4 Ocean and observations",
            labels={"domain": "{domain}", "figure": "coverage per day"},
        ),
        tracks=report(
            "<results>/figures/{domain}/tracks.png",
            caption="../report/observations.rst",
            category="4 Ocean and observations",
            labels={"domain": "{domain}", "figure": "ground tracks"},
        ),
    log:
        "<logs>/figures/{domain}.coverage.log",
    benchmark:
        "<benchmarks>/figures/{domain}.coverage.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        config=stage("figures"),
    shell:
        "python workflow/scripts/figure_coverage.py --config {params.config:q}"
        " --domain {wildcards.domain}"
        " --coverage {input.coverage:q} --tracks {input.tracks:q} --grid {input.grid:q}"
        " --output {output.series:q} --tracks-output {output.tracks:q}"
        " --log {log:q}"


rule figure_maps:
    input:
        unpack(truth_of),
        maps=maps_of,
        observations="<results>/data/{domain}/observations.nc",
    output:
        figure=report(
            "<results>/figures/{domain}/{task}/maps.png",
            caption="../report/maps.rst",
            category="2 Maps",
            labels={
                "domain": "{domain}",
                "task": "{task}",
                "figure": "maps and errors",
            },
        ),
    log:
        "<logs>/figures/{domain}.{task}.maps.log",
    benchmark:
        "<benchmarks>/figures/{domain}.{task}.maps.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        config=stage("figures"),
        truth=options(truth="--truth"),
    shell:
        "python workflow/scripts/figure_maps.py --config {params.config:q}"
        " --domain {wildcards.domain} --task {wildcards.task}"
        " {params.truth} --observations {input.observations:q} {input.maps:q}"
        " --output {output.figure:q}"
        " --log {log:q}"


rule figure_speed:
    input:
        unpack(truth_of),
        maps=maps_of,
        observations="<results>/data/{domain}/observations.nc",
    output:
        figure=report(
            "<results>/figures/{domain}/{task}/speed.png",
            caption="../report/speed.rst",
            category="2 Maps",
            labels={
                "domain": "{domain}",
                "task": "{task}",
                "figure": "geostrophic speed",
            },
        ),
    log:
        "<logs>/figures/{domain}.{task}.speed.log",
    benchmark:
        "<benchmarks>/figures/{domain}.{task}.speed.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        config=stage("figures"),
        truth=options(truth="--truth"),
    shell:
        "python workflow/scripts/figure_speed.py --config {params.config:q}"
        " --domain {wildcards.domain} --task {wildcards.task}"
        " {params.truth} --observations {input.observations:q} {input.maps:q}"
        " --output {output.figure:q}"
        " --log {log:q}"


rule figure_std:
    input:
        unpack(truth_of),
        maps=maps_of,
        observations="<results>/data/{domain}/observations.nc",
    output:
        figure=report(
            "<results>/figures/{domain}/{task}/std.png",
            caption="../report/std.rst",
            category="2 Maps",
            labels={
                "domain": "{domain}",
                "task": "{task}",
                "figure": "standard deviation",
            },
        ),
    log:
        "<logs>/figures/{domain}.{task}.std.log",
    benchmark:
        "<benchmarks>/figures/{domain}.{task}.std.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        config=stage("figures"),
        truth=options(truth="--truth"),
    shell:
        "python workflow/scripts/figure_std.py --config {params.config:q}"
        " --domain {wildcards.domain} --task {wildcards.task}"
        " {params.truth} --observations {input.observations:q} {input.maps:q}"
        " --output {output.figure:q}"
        " --log {log:q}"


rule figure_parameters:
    input:
        parameters="<results>/models/{domain}/{task}/spde_oi.nc",
    output:
        figure=report(
            "<results>/figures/{domain}/{task}/parameters.png",
            caption="../report/parameters.rst",
            category="3 Training",
            labels={
                "domain": "{domain}",
                "task": "{task}",
                "figure": "SPDE parameters",
            },
        ),
    log:
        "<logs>/figures/{domain}.{task}.parameters.log",
    benchmark:
        "<benchmarks>/figures/{domain}.{task}.parameters.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        config=stage("figures"),
    shell:
        "python workflow/scripts/figure_parameters.py --config {params.config:q}"
        " --domain {wildcards.domain} --task {wildcards.task}"
        " --parameters {input.parameters:q} --output {output.figure:q} --log {log:q}"


rule figure_animation:
    input:
        unpack(truth_of),
        maps=maps_of,
        observations="<results>/data/{domain}/observations.nc",
    output:
        figure=report(
            "<results>/figures/{domain}/{task}/animation.gif",
            caption="../report/animation.rst",
            category="2 Maps",
            labels={"domain": "{domain}", "task": "{task}", "figure": "animation"},
        ),
    log:
        "<logs>/figures/{domain}.{task}.animation.log",
    benchmark:
        "<benchmarks>/figures/{domain}.{task}.animation.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        config=stage("figures"),
        truth=options(truth="--truth"),
    shell:
        "python workflow/scripts/figure_animation.py --config {params.config:q}"
        " --domain {wildcards.domain} --task {wildcards.task}"
        " {params.truth} --observations {input.observations:q} {input.maps:q}"
        " --output {output.figure:q}"
        " --log {log:q}"


rule figure_series:
    input:
        scores=scores_of,
        coverage="<results>/data/{domain}/coverage.csv",
    output:
        figure=report(
            "<results>/figures/{domain}/{task}/series.png",
            caption="../report/series.rst",
            category="1 Scores",
            labels={"domain": "{domain}", "task": "{task}", "figure": "daily scores"},
        ),
    log:
        "<logs>/figures/{domain}.{task}.series.log",
    benchmark:
        "<benchmarks>/figures/{domain}.{task}.series.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        config=stage("figures"),
    shell:
        "python workflow/scripts/figure_series.py --config {params.config:q}"
        " --domain {wildcards.domain} --task {wildcards.task}"
        " --coverage {input.coverage:q} {input.scores:q}"
        " --output {output.figure:q}"
        " --log {log:q}"


rule figure_spectra:
    input:
        truth="<results>/data/{domain}/truth.nc",
        maps=maps_of,
        scores=scores_of,
    output:
        contours=report(
            "<results>/figures/{domain}/{task}/contours.png",
            caption="../report/spectra.rst",
            category="1 Scores",
            labels={
                "domain": "{domain}",
                "task": "{task}",
                "figure": "resolved scales",
            },
        ),
        psd=report(
            "<results>/figures/{domain}/{task}/psd.png",
            caption="../report/spectra.rst",
            category="1 Scores",
            labels={"domain": "{domain}", "task": "{task}", "figure": "spectra"},
        ),
    log:
        "<logs>/figures/{domain}.{task}.spectra.log",
    benchmark:
        "<benchmarks>/figures/{domain}.{task}.spectra.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        config=stage("figures"),
        scores=str(RESULTS / "scores" / "{domain}" / "{task}"),
    shell:
        "python workflow/scripts/figure_spectra.py --config {params.config:q}"
        " --domain {wildcards.domain} --task {wildcards.task}"
        " --truth {input.truth:q} {input.maps:q} --scores {params.scores:q}"
        " --output {output.contours:q} --psd {output.psd:q}"
        " --log {log:q}"


rule figure_training:
    input:
        unpack(tuned_oi_of),
        curves=curves_of,
    output:
        figure=report(
            "<results>/figures/{domain}/{task}/training.png",
            caption="../report/training.rst",
            category="3 Training",
            labels={
                "domain": "{domain}",
                "task": "{task}",
                "figure": "training curves",
            },
        ),
    log:
        "<logs>/figures/{domain}.{task}.training.log",
    benchmark:
        "<benchmarks>/figures/{domain}.{task}.training.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        config=stage("figures"),
        tuning=options(tuning="--tuning"),
    shell:
        "python workflow/scripts/figure_training.py --config {params.config:q}"
        " --domain {wildcards.domain} --task {wildcards.task}"
        " {params.tuning} {input.curves:q}"
        " --output {output.figure:q}"
        " --log {log:q}"


rule figure_uncertainty:
    input:
        unpack(judged_by),
        maps=in_ensemble_tasks("maps"),
        ensembles=in_ensemble_tasks("ensembles"),
    output:
        figure=report(
            "<results>/figures/{domain}/uncertainty.png",
            caption="../report/uncertainty.rst",
            category="2 Maps",
            labels={
                "domain": "{domain}",
                "figure": "uncertainty and error",
            },
        ),
    log:
        "<logs>/figures/{domain}.uncertainty.log",
    benchmark:
        "<benchmarks>/figures/{domain}.uncertainty.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        config=stage("figures"),
        judged=options(truth="--truth", coverage="--coverage"),
        files=repeated(maps="--maps", ensembles="--ensembles", scores=""),
    shell:
        "python workflow/scripts/figure_uncertainty.py --config {params.config:q}"
        " --domain {wildcards.domain} {params.judged} {params.files}"
        " --output {output.figure:q}"
        " --log {log:q}"


rule figure_theta:
    input:
        maps="<results>/maps/{domain}/{task}/4dvarnet_spde.nc",
    output:
        figure=report(
            "<results>/figures/{domain}/{task}/theta.png",
            caption="../report/theta.rst",
            category="3 Training",
            labels={
                "domain": "{domain}",
                "task": "{task}",
                "figure": "estimated parameters",
            },
        ),
    log:
        "<logs>/figures/{domain}.{task}.theta.log",
    benchmark:
        "<benchmarks>/figures/{domain}.{task}.theta.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        config=stage("figures"),
    shell:
        "python workflow/scripts/figure_theta.py --config {params.config:q}"
        " --domain {wildcards.domain} --task {wildcards.task}"
        " --maps {input.maps:q}"
        " --output {output.figure:q}"
        " --log {log:q}"


rule figure_members:
    input:
        unpack(truth_of),
        ensemble=f"<results>/ensembles/{{domain}}/{{task}}/{CONFIG.ensembles.method}.nc",
    output:
        figure=report(
            "<results>/figures/{domain}/{task}/members.png",
            caption="../report/members.rst",
            category="2 Maps",
            labels={
                "domain": "{domain}",
                "task": "{task}",
                "figure": "members",
            },
        ),
    log:
        "<logs>/figures/{domain}.{task}.members.log",
    benchmark:
        "<benchmarks>/figures/{domain}.{task}.members.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        config=stage("figures"),
        truth=options(truth="--truth"),
    shell:
        "python workflow/scripts/figure_members.py --config {params.config:q}"
        " --domain {wildcards.domain} --task {wildcards.task}"
        " {params.truth} --ensemble {input.ensemble:q}"
        " --output {output.figure:q}"
        " --log {log:q}"


rule figure_ensemble:
    input:
        unpack(truth_of),
        ensemble=f"<results>/ensembles/{{domain}}/{{task}}/{CONFIG.ensembles.method}.nc",
    output:
        figure=report(
            "<results>/figures/{domain}/{task}/ensemble.gif",
            caption="../report/ensemble.rst",
            category="2 Maps",
            labels={
                "domain": "{domain}",
                "task": "{task}",
                "figure": "animation of a member",
            },
        ),
    log:
        "<logs>/figures/{domain}.{task}.ensemble.log",
    benchmark:
        "<benchmarks>/figures/{domain}.{task}.ensemble.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        config=stage("figures"),
        truth=options(truth="--truth"),
    shell:
        "python workflow/scripts/figure_ensemble.py --config {params.config:q}"
        " --domain {wildcards.domain} --task {wildcards.task}"
        " {params.truth} --ensemble {input.ensemble:q}"
        " --output {output.figure:q}"
        " --log {log:q}"


rule figure_leads:
    input:
        scores="<results>/scores/{domain}/{task}/leads.csv",
    output:
        figure=report(
            "<results>/figures/{domain}/{task}/leads.png",
            caption="../report/leads.rst",
            category="1 Scores",
            labels={
                "domain": "{domain}",
                "task": "{task}",
                "figure": "skill by lead",
            },
        ),
    log:
        "<logs>/figures/{domain}.{task}.leads.log",
    benchmark:
        "<benchmarks>/figures/{domain}.{task}.leads.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        config=stage("figures"),
    shell:
        "python workflow/scripts/figure_leads.py --config {params.config:q}"
        " --domain {wildcards.domain} --task {wildcards.task}"
        " --scores {input.scores:q}"
        " --output {output.figure:q}"
        " --log {log:q}"


rule figure_calibration:
    input:
        scores=scores_of,
    output:
        figure=report(
            "<results>/figures/{domain}/{task}/calibration.png",
            caption="../report/calibration.rst",
            category="1 Scores",
            labels={
                "domain": "{domain}",
                "task": "{task}",
                "figure": "calibration of the spread",
            },
        ),
    log:
        "<logs>/figures/{domain}.{task}.calibration.log",
    benchmark:
        "<benchmarks>/figures/{domain}.{task}.calibration.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        config=stage("figures"),
    shell:
        "python workflow/scripts/figure_calibration.py --config {params.config:q}"
        " --domain {wildcards.domain} --task {wildcards.task}"
        " {input.scores:q}"
        " --output {output.figure:q}"
        " --log {log:q}"
