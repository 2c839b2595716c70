"""`pipeline-spde inspect`: what a file is, where it comes from, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def inspect(
    file: Annotated[list[Path], typer.Argument(help="One file or more.", show_default=False)],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON list instead of text.")
    ] = False,
) -> None:
    """Say what a file is, its provenance, and what is wrong with it.

    Format, source, quantity, units, stamps, region, period, resolution and ensembles of NetCDF
    files; hashes, code version, seed, hardware and wall time of the package's own. Exit status: 0
    nothing is wrong, 1 something is.
    """
    from pipeline_spde.inspection import inspect_file

    reports, missing = [], []
    for path in file:
        try:
            reports.append(inspect_file(path))
        except OSError as error:
            missing.append(str(error))
    if as_json:
        typer.echo(json.dumps([report.to_json() for report in reports], indent=1))
    elif reports:
        typer.echo("\n\n".join(report.to_text() for report in reports))
    for sentence in missing:
        typer.echo(f"pipeline-spde inspect: {sentence}", err=True)
    sound = not missing and all(report.sound for report in reports)
    raise typer.Exit(0 if sound else 1)
