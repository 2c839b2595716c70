"""Print the score table of an experiment and say where its results are."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline_spde.config import load_files
from pipeline_spde.stages import results_folder


def main(configfile: Annotated[Path | None, typer.Option()] = None) -> None:
    """Of the experiment of config.yaml, or of the overlay given."""
    folder = results_folder(load_files(Path("config.yaml"), *([configfile] if configfile else [])))
    report, table = folder / "report.html", folder / "tables" / "scores.md"
    missing = [str(path) for path in (table, report) if not path.exists()]
    if missing:
        typer.echo(f"no report yet: {missing[0]} is missing; run snakemake first", err=True)
        raise typer.Exit(1)
    typer.echo(f"\n{table.read_text(encoding='utf-8')}")
    typer.echo(f"report:       {report}\nscore table:  {table}\nfigures:      {folder / 'figures'}")


if __name__ == "__main__":
    typer.run(main)
