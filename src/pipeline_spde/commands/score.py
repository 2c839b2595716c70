"""`pipeline-spde score`: anybody's maps, every protocol that applies."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer


def score(
    maps: Annotated[
        list[str],
        typer.Argument(help="NetCDF maps or an ensemble: files, a folder or a pattern."),
    ],
    truth: Annotated[
        list[str] | None, typer.Option(help="Maps of the truth; may be repeated.")
    ] = None,
    tracks: Annotated[
        list[str] | None, typer.Option(help="Independent measurements; may be repeated.")
    ] = None,
    protocol: Annotated[
        list[str] | None, typer.Option(help="A protocol; may be repeated; else all that apply.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="File of the scores.", dir_okay=False)] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Draw figures into this folder.", file_okay=False)
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the method in the table.")] = None,
    variable: Annotated[str | None, typer.Option(help="Height variable of the maps.")] = None,
    std: Annotated[
        str | None, typer.Option(help="Variable with the standard deviation of their error.")
    ] = None,
    quantity: Annotated[str | None, typer.Option(help="What it is: ssh, sla or adt.")] = None,
    place: Annotated[
        list[str] | None,
        typer.Option(help="NAME=INDEX along a further dimension of the maps; may be repeated."),
    ] = None,
    truth_variable: Annotated[str | None, typer.Option(help="Heights of the truth.")] = None,
    tracks_variable: Annotated[
        str | None, typer.Option(help="Height variable of the measurements.")
    ] = None,
    mission: Annotated[
        list[str] | None, typer.Option(help="Mission to score against; may be repeated.")
    ] = None,
    sigma_obs: Annotated[
        float | None, typer.Option(help="Error of the measurements in m (standard deviation).")
    ] = None,
    midnight: Annotated[
        str, typer.Option(help="What 00:00 stands for in the maps: label (of the day) or instant.")
    ] = "label",
    lat: Annotated[
        tuple[float, float] | None, typer.Option(help="South and north of the box.")
    ] = None,
    lon: Annotated[
        tuple[float, float] | None, typer.Option(help="West and east of the box.")
    ] = None,
    period: Annotated[
        tuple[str, str] | None, typer.Option(help="First and last day, YYYY-MM-DD.")
    ] = None,
    margin: Annotated[float, typer.Option(help="Degrees cut off each side.")] = 0.0,
    draws: Annotated[int, typer.Option(help="Bootstrap draws; fewer are faster.")] = 1000,
    block_days: Annotated[int, typer.Option(help="Length of the bootstrap's blocks.")] = 7,
    confidence: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 2020,
    memory: Annotated[
        float | None,
        typer.Option(help="GiB that the maps may take; else half of what is free."),
    ] = None,
) -> None:
    """Score maps or an ensemble against a truth or along tracks.

    Every protocol that applies stands side by side, with intervals, and "unresolved" where a scale
    is not. Exit status: 0 scored, 1 the files cannot be scored, 2 a wrong request.
    """
    from pipeline_spde import verification
    from pipeline_spde.files import write_json
    from pipeline_spde.scores import tables

    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.captureWarnings(True)
    try:
        if bool(truth) == bool(tracks):
            raise verification.RequestError("give either --truth or --tracks")
        scoring = verification.Scoring(
            protocol or (), margin, draws, block_days, confidence, seed,
            None if memory is None else int(memory * 2**30),
        )  # fmt: skip
        chosen = verification.selection(lat, lon, period)
        kind = verification.as_quantity(quantity)
        stamp = verification.as_midnight(midnight)
        where = verification.as_place(place or ())
        wanted = verification.GridRequest(maps, variable, std, kind, stamp, chosen, where)
        pair = None
        if truth:
            true = verification.GridRequest(truth, truth_variable, selection=chosen)
            content = verification.score_against_truth(wanted, true, scoring, name)
            if figures and "curves_left_out" not in content["probabilistic"]:
                pair = verification.loaded_pair(wanted, true)
        else:
            measured = verification.TrackRequest(
                tracks or (), mission or (), tracks_variable, sigma_obs
            )
            content = verification.score_against_tracks(wanted, measured, scoring, name)
        table = tables.to_markdown(tables.build([content]))
        if figures:
            from pipeline_spde.verification.pictures import write_figures

            write_figures(content, figures, margin, pair)
        if json:
            write_json(json, content)
    except verification.RequestError as error:
        typer.echo(f"pipeline-spde score: {error}", err=True)
        raise typer.Exit(2) from None
    except (ValueError, OSError, MemoryError) as error:
        typer.echo(f"pipeline-spde score: {error or type(error).__name__}", err=True)
        raise typer.Exit(1) from None
    typer.echo(table)
