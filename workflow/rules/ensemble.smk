# Conditional simulation x* + (x_s − x_s*): calibrated on validation days, applied to those mapped.


rule calibrate:
    input:
        unpack(ensemble_inputs),
        truth="<results>/data/{domain}/truth.nc",
    output:
        calibration="<results>/models/{domain}/{task}/{method}.calibration.json",
    log:
        "<logs>/calibrate/{domain}.{task}.{method}.log",
    benchmark:
        "<benchmarks>/calibrate/{domain}.{task}.{method}.tsv"
    wildcard_constraints:
        domain=names(WITH_TRUTH),
        method=names(WITH_THETA),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(6000),
        runtime=more(4 * 60),
    params:
        tracking=MARKER,
        config=stage("calibrate"),
    shell:
        "python workflow/scripts/calibrate.py --config {params.config:q} --domain {wildcards.domain}"
        " --observations {input.observations:q} --tracks {input.tracks:q} --grid {input.grid:q}"
        " --tuning {input.tuning:q} --checkpoint {input.checkpoint:q}"
        " --first-guess {input.first_guess:q} --truth {input.truth:q}"
        " --output {output.calibration:q} --tracking {params.tracking:q} --log {log:q}"


# On real tracks: at passes of the validation days that the maps were not shown.
rule calibrate_on_tracks:
    input:
        observations="<results>/data/{domain}/observations.nc",
        tracks="<results>/data/{domain}/tracks.nc",
        grid="<results>/data/{domain}/grid.nc",
        tuning="<results>/models/{domain}/mapping/spde_oi.nc",
        checkpoint=lambda w: f"<results>/models/{w.domain}/{w.task}/{METHODS[w.method].checkpoint}",
        withheld_guess="<results>/models/{domain}/{task}/withheld_guess.nc",
    output:
        calibration="<results>/models/{domain}/{task}/{method}.calibration.json",
    log:
        "<logs>/calibrate/{domain}.{task}.{method}.log",
    benchmark:
        "<benchmarks>/calibrate/{domain}.{task}.{method}.tsv"
    wildcard_constraints:
        domain=names(TRACK_TUNED),
        method=names(WITH_THETA),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(6000),
        runtime=more(4 * 60),
    params:
        tracking=MARKER,
        config=stage("calibrate_tracks"),
    shell:
        "python workflow/scripts/calibrate_tracks.py --config {params.config:q}"
        " --domain {wildcards.domain} --observations {input.observations:q}"
        " --tracks {input.tracks:q} --grid {input.grid:q} --tuning {input.tuning:q}"
        " --checkpoint {input.checkpoint:q} --withheld-guess {input.withheld_guess:q}"
        " --output {output.calibration:q} --tracking {params.tracking:q} --log {log:q}"


rule ensemble:
    input:
        unpack(ensemble_inputs),
        calibration=calibration_of,
    output:
        ensemble="<results>/ensembles/{domain}/{task}/{method}.nc",
    log:
        "<logs>/ensemble/{domain}.{task}.{method}.log",
    benchmark:
        "<benchmarks>/ensemble/{domain}.{task}.{method}.tsv"
    wildcard_constraints:
        method=names(WITH_THETA),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=more(6000),
        runtime=more(4 * 60),
    params:
        tracking=MARKER,
        config=stage("ensemble"),
    shell:
        "python workflow/scripts/ensemble.py --config {params.config:q} --domain {wildcards.domain}"
        " --observations {input.observations:q} --tracks {input.tracks:q} --grid {input.grid:q}"
        " --tuning {input.tuning:q} --checkpoint {input.checkpoint:q}"
        " --first-guess {input.first_guess:q} --calibration {input.calibration:q}"
        " --output {output.ensemble:q} --tracking {params.tracking:q} --log {log:q}"
