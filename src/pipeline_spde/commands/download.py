"""`pipeline-spde download`: public data sets into one folder, verified."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline_spde.data.manifest import DataFile, Manifest, Supplied
    from pipeline_spde.data.shelf import Outcome


def download(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders or patterns, as `--list` shows them."),
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="Everything that a task needs; may be repeated.")
    ] = None,
    to: Annotated[
        Path, typer.Option(help="The data folder.", envvar="PIPELINE_SPDE_DATA", file_okay=False)
    ] = Path("data"),
    from_: Annotated[
        Path | None,
        typer.Option("--from", help="A folder with files that you have: checked, then linked."),
    ] = None,
    show: Annotated[
        bool, typer.Option("--list", help="Show tasks, or the files of what is named, and stop.")
    ] = False,
    offline: Annotated[
        bool, typer.Option(help="Only check what is there; open no connection.")
    ] = False,
    replace: Annotated[
        bool, typer.Option(help="Fetch files that fail their check again and replace them.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, max=4, help="Files at once.")] = 4,
    attempts: Annotated[
        int, typer.Option(min=1, help="Failures in a row after which a mirror is given up.")
    ] = 5,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds without a byte after which to try again.")
    ] = 60.0,
    manifest: Annotated[
        Path | None, typer.Option(help="Another manifest of data sets (YAML).", dir_okay=False)
    ] = None,
) -> None:
    """Fetch public data sets, verify them, and pin what was verified.

    Files go to the data folder (--to, $PIPELINE_SPDE_DATA, or ./data). Interrupted downloads go on
    where they stopped. Accounts are read from ~/.netrc or the environment only. Exit status: 0 all
    there and verified, 1 something is not, 2 a wrong request, 130 interrupted.
    """
    from pipeline_spde.data.download import Download
    from pipeline_spde.data.manifest import ManifestError, load
    from pipeline_spde.data.transfer import Limits
    from pipeline_spde.files import DataError

    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        known = load(manifest)
        wanted = known.select(task or [], names or [])
        if show or not wanted:
            _show(known, wanted, to)
            raise typer.Exit(0 if show else 2)
        with _progress_bar() as progress:
            limits = Limits(
                jobs=jobs, attempts=attempts, stall_s=timeout, connect_s=min(timeout, 20.0)
            )
            work = Download(known, to, from_, offline, replace, limits, progress)
            if not offline:
                _announce(wanted, to)
            outcomes = work.run(wanted)
    except ManifestError as error:
        typer.echo(f"pipeline-spde download: {error}", err=True)
        raise typer.Exit(2) from None
    except (DataError, OSError) as error:
        typer.echo(f"pipeline-spde download: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("interrupted; run the same command again to go on", err=True)
        raise typer.Exit(130) from None
    _report(outcomes, to)
    raise typer.Exit(0 if all(outcome.good for outcome in outcomes) else 1)


def _announce(wanted: Sequence[DataFile | Supplied], folder: Path) -> None:
    """Say what was asked for before the work starts."""
    size = sum(getattr(item, "size", 0) for item in wanted)
    logging.info(
        "%s, %s, in %s", _files(wanted), f"about {_size(size)}" if size else "yours", folder
    )


def _show(known: Manifest, wanted: Sequence[DataFile | Supplied], folder: Path) -> None:
    """Print the tasks, or the files of what is named with what is known about them."""
    if not wanted:
        typer.echo("Name a task (--task NAME), files or folders:\n")
        for name, about in known.tasks.items():
            items = known.of_task(name)
            total = sum(getattr(item, "size", 0) for item in items)
            size = _size(total) if total else "yours"
            typer.echo(f"  {name:22} {size:>9}  {len(items):3} files  {about.about}")
        folders = sorted({name.rsplit("/", 1)[0] for name in known.files} | set(known.supplied))
        typer.echo("\nFolders (`pipeline-spde download --list FOLDER` shows their files):\n")
        typer.echo("\n".join(f"  {folder}" for folder in folders))
        return
    for item in wanted:
        size, check, there = "yours", "", folder / item.name
        if not hasattr(item, "instructions"):
            size = _size(item.size) if item.bytes else f"~{_size(item.size)}"
            check = "sha256" if item.sha256 else "md5" if item.md5 else "first use"
        typer.echo(f"  {'there' if there.exists() else '-':5} {size:>9}  {check:9}  {item.name}")
    for key in dict.fromkeys(item.dataset for item in wanted):
        about_set = known.datasets[key]
        typer.echo(f"\n{about_set.title}\n  licence: {about_set.licence}")
        typer.echo(f"  citation: {about_set.citation}\n  source: {about_set.source}")


def _report(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Print a table of what became of every file, then what is to be said about some."""
    typer.echo(f"{'state':9} {'size':>9}  {'checked':9}  file (below {folder})")
    for outcome in outcomes:
        size = _size(outcome.bytes) if outcome.bytes else "-"
        typer.echo(f"{outcome.state:9} {size:>9}  {outcome.checked or '-':9}  {outcome.name}")
    said: dict[tuple[str, str], list[str]] = {}
    for outcome in outcomes:
        for remark in outcome.remarks:
            kind: str = "note" if outcome.good else outcome.state
            said.setdefault((kind, remark), []).append(outcome.name)
    if said:
        typer.echo("")
    for (kind, remark), names in said.items():
        who = names[0] if len(names) == 1 else f"{_files(names)}, {names[0]} to {names[-1]}"
        typer.echo(f"{kind}: {remark if remark.startswith(names[0]) else f'{who}: {remark}'}")
    counts = {state: 0 for state in dict.fromkeys(outcome.state for outcome in outcomes)}
    for outcome in outcomes:
        counts[outcome.state] += 1
    total = sum(outcome.bytes for outcome in outcomes if outcome.good)
    parts = ", ".join(f"{count} {state}" for state, count in counts.items())
    typer.echo(f"\n{_files(outcomes)}: {parts}; {_size(total)} there and verified")


@contextlib.contextmanager
def _progress_bar() -> Iterator[Callable[[int, int], None]]:
    """Yield a callback (done, total) that draws one bar of bytes when stderr is a terminal."""
    from tqdm import tqdm

    bar = tqdm(
        desc="download",
        unit="B",
        unit_scale=True,
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
        leave=False,
    )

    def update(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    try:
        yield update
    finally:
        bar.close()


def _files(items: Sequence[object]) -> str:
    return f"{len(items)} file{'' if len(items) == 1 else 's'}"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
