"""Draw which scales the maps of all methods resolve: score contours and spectra."""

import typer

from pipeline_spde import io, runtime
from pipeline_spde.figures import spectra
from pipeline_spde.files import load_netcdf, read_json, write_figure
from pipeline_spde.scores.spectra import method_spectra
from pipeline_spde.stages import FiguresStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    task: runtime.TaskOption,
    maps: runtime.FilesArgument,
    scores: runtime.FolderOption,
    truth: runtime.FileOption,
    output: runtime.FileOption,
    psd: runtime.FileOption,
    log: runtime.LogOption = None,
) -> None:
    """The 0.5 line is where the error is half as energetic as the truth."""
    stage = FiguresStage.model_validate_json(config)
    with runtime.stage_run(
        "figures",
        stage,
        outputs={"contours": output, "psd": psd},
        inputs=runtime.named(maps, truth=truth),
        log=log,
        marker=None,
        title="Resolved scales",
        wildcards={"domain": domain, "task": task, "figure": "spectra"},
    ) as run:
        true = io.read_maps(truth).between(stage.period.start, stage.period.end).to_dataset()
        drawn = {path.stem: load_netcdf(path) for path in maps}
        fields, zonal = method_spectra(true, drawn, stage.margin)
        scored = {name: read_json(scores / f"{name}.json") for name in drawn}
        contours, densities = spectra.resolved_scales(fields, zonal, scored)
        write_figure(contours, output, stage.dpi)
        write_figure(densities, psd, stage.dpi)
        run.artifacts += [str(output), str(psd)]


if __name__ == "__main__":
    typer.run(main)
