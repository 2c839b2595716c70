"""Make the along-track samples of a domain: simulated along real orbits, or read from a file."""

from pathlib import Path

import typer

from pipeline_spde import io, runtime
from pipeline_spde.data import observe, own_files
from pipeline_spde.stages import TracksStage


def main(
    config: runtime.ConfigOption,
    domain: runtime.DomainOption,
    output: runtime.FileOption,
    truth: Path | None = None,
    file: list[Path] | None = None,
    tracking: runtime.TrackingOption = None,
    log: runtime.LogOption = None,
) -> None:
    """Write the samples of all missions, mapped and withheld."""
    stage = TracksStage.model_validate_json(config)
    with runtime.stage_run(
        "tracks",
        stage,
        outputs={"tracks": output},
        inputs=runtime.named(file or [], truth=truth),
        log=log,
        marker=tracking,
        title=f"Along-track samples, domain {domain}",
        wildcards={"domain": domain},
    ) as run:
        missions = (*stage.missions, *stage.withheld)
        if file:
            box = (stage.lat, stage.lon, stage.available)
            samples = own_files.read_tracks(file, missions, *box, stage.quantity)
        else:
            ocean = io.read_maps(truth)
            samples = observe.simulate_tracks(ocean, missions, stage.observations, stage.seed)
        run.metrics["samples"] = len(samples)
        io.write_tracks(samples, output, run.provenance)


if __name__ == "__main__":
    typer.run(main)
