"""The command line `pipeline-spde`: what users do outside the workflow.

Each command is a function of its own name in `pipeline_spde.commands`; its module imports typer
alone at the top and the library inside the function, so that `--help` answers at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline_spde import __version__
from pipeline_spde.commands.audit import audit
from pipeline_spde.commands.doctor import doctor
from pipeline_spde.commands.download import download
from pipeline_spde.commands.inspect import inspect
from pipeline_spde.commands.score import score

app = typer.Typer(
    name="pipeline-spde",
    help="Sea-surface-height maps from sparse altimetry: data and scores outside the workflow.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
)
app.command()(audit)
app.command()(doctor)
app.command()(download)
app.command()(inspect)
app.command()(score)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pipeline-spde {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Sea-surface-height maps from sparse altimetry: data and scores outside the workflow."""
