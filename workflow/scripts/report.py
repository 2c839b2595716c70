"""Write results/{experiment}/report.html if anything is newer than it, and say where things are."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline_spde.config import load_files
from pipeline_spde.files import atomic_path
from pipeline_spde.stages import figure_names, results_folder


def main(configfile: Annotated[Path | None, typer.Option()] = None) -> None:
    """Make the report of the experiment of config.yaml, or of the overlay given."""
    overlay = [configfile] if configfile else []
    config = load_files(Path("config.yaml"), *overlay)
    folder = results_folder(config)
    report, table = folder / "report.html", folder / "tables" / "scores.md"
    contents = [table, *(folder / "figures" / name for name in figure_names(config))]
    missing = [str(path) for path in contents if not path.exists()]
    if missing:
        typer.echo(f"no report yet: {missing[0]} is missing; run snakemake first", err=True)
        raise typer.Exit(1)
    newest = max(path.stat().st_mtime for path in contents)
    if not report.exists() or report.stat().st_mtime < newest:
        with atomic_path(report) as temporary:
            options = ["--configfile", *map(str, overlay)] if overlay else []
            command = [sys.executable, "-m", "snakemake", "--report", str(temporary), *options]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                typer.echo(done.stderr, err=True)
                raise typer.Exit(1)
    typer.echo(f"\n{table.read_text(encoding='utf-8')}")
    typer.echo(f"report:       {report}\nscore table:  {table}\nfigures:      {folder / 'figures'}")


if __name__ == "__main__":
    typer.run(main)
