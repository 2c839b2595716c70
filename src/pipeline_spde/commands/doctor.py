"""`pipeline-spde doctor`: is this machine fit to run the pipeline?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def doctor(
    config: Annotated[
        list[Path] | None,
        typer.Option(
            help="Configuration whose needs are checked too; give base and overlays in their order."
        ),
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Folder of results; default: that of the configuration.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON list instead of text.")
    ] = False,
) -> None:
    """Check the machine: versions, processors, GPU, disk, write access, MLflow, Slurm, arithmetic.

    Each line says what was found and, where something is not right, what to do. Exit status: 0
    runs can start, 1 something is bad.
    """
    from pipeline_spde.config import ConfigError, load_files
    from pipeline_spde.machine import examine

    try:
        wanted = load_files(*config) if config else None
    except (ConfigError, OSError) as error:
        typer.echo(f"pipeline-spde doctor: {error}", err=True)
        raise typer.Exit(1) from None
    findings = examine(wanted, results)
    if as_json:
        typer.echo(json.dumps([finding.to_json() for finding in findings], indent=1))
    else:
        typer.echo("\n".join(finding.to_text() for finding in findings))
    raise typer.Exit(1 if any(finding.state == "bad" for finding in findings) else 0)
