"""`pipeline-spde audit`: published scores of public maps, computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def audit(
    data: Annotated[
        Path,
        typer.Option(
            "--from", help="The data folder.", envvar="PIPELINE_SPDE_DATA", file_okay=False
        ),
    ] = Path("data"),
    out: Annotated[
        list[Path] | None,
        typer.Option(help="Write it here too: .md or .csv; may be repeated.", dir_okay=False),
    ] = None,
) -> None:
    """Score every published map that is in the data folder, beside what was printed.

    Exit status: 0 whatever was on disk has been scored, 1 a map could not be scored, 2 a wrong
    request.
    """
    from pipeline_spde.files import write_text
    from pipeline_spde.verification import audit as auditing

    for path in out or ():
        if path.suffix not in (".md", ".csv"):
            raise typer.BadParameter(f"{path}: end it in .md or .csv", param_hint="--out")
    if not data.is_dir():
        raise typer.BadParameter(f"{data}: no such folder", param_hint="--from")
    frame = auditing.audit(data)
    text = auditing.to_markdown(frame)
    typer.echo(text)
    for path in out or ():
        write_text(path, text if path.suffix == ".md" else frame.to_csv(index=False))
    counts = frame["verdict"].str.split(":").str[0].value_counts()
    typer.echo("; ".join(f"{count} {name}" for name, count in counts.items()))
    for command in auditing.missing_files(frame):
        typer.echo(f"to fetch what is missing: {command}")
    if frame["verdict"].str.startswith(auditing.FAILED).any():
        raise typer.Exit(1)
