"""The manifest of public data sets: what exists, where it is, how it is recognised, who needs it.

`load()` reads `resources/datasets.yaml` (or another file of that form). A file's name is its
logical name and its place below the data folder at once, e.g.
`oceanbench/osse_natl60/grid/gf_mod_ssh_daily.nc`. Nothing here opens a socket or a data file.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from fnmatch import fnmatchcase
from importlib.resources import files as package_files
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from pipeline_spde.periods import FrozenModel, Period
from pipeline_spde.trees import explain

Md5 = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, Field(gt=0)]
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_WILD = "*?["


class ManifestError(ValueError):
    """The manifest, or a request made of it, is not valid; the message says what to mend."""


class Login(FrozenModel):
    """An account that a mirror asks for; only the names of variables, never a secret."""

    account: str
    """Where people get one, in words."""
    user: str
    """Environment variable with the user's name."""
    password: str
    """Environment variable with the password."""


class Mirror(FrozenModel):
    """One address of a file; in YAML also a bare URL."""

    url: str
    login: str | None = None
    """Key of `logins`, when the server asks for an account."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _safe(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.username or parts.password:
            raise ValueError("no user or password in a URL: use netrc or the environment")
        if parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise ValueError(f"expected an https:// address, got {value!r}")
        return value

    @property
    def host(self) -> str:
        """Name of the server, for messages."""
        return urlsplit(self.url).hostname or self.url


class Expectation(FrozenModel):
    """What a NetCDF file must hold, as far as it is known without the file."""

    variables: tuple[str, ...] = ()
    """Names that must all be present."""
    any_of: tuple[str, ...] = ()
    """At least one of these names must be present."""
    gridded: bool | None = None
    """True: the first of these variables has two dimensions or more; False: one (tracks)."""
    units: dict[str, str] = Field(default_factory=dict)
    """Variable -> unit."""
    lat: tuple[float, float] | None = None
    lon: tuple[float, float] | None = None
    extent: Literal["equal", "within", "overlap"] = "within"
    """How the coordinates relate to `lat` and `lon`: end there, lie inside, or meet them."""
    period: Period | None = None
    """Days that the times must lie in."""
    steps: Size | None = None
    """Number of times."""
    stamp: Literal["00:00", "12:00"] | None = None
    """Time of day of every step of daily fields."""
    missing: tuple[float, float] | None = None
    """Bounds of the share of missing values, taken from a few steps of the first variable."""


class KnownBad(FrozenModel):
    """Content that is known to be wrong under this name."""

    md5: Md5
    reason: str


class Archive(FrozenModel):
    """A tar archive that is unpacked into a folder below the data folder."""

    into: str
    contains: str | None = None
    """Pattern of the manifest's names that it must yield. They then stand for the archive, which
    is deleted. None: the archive is kept."""
    factor: Annotated[float, Field(ge=1)] = 1.2
    """Size of the content over that of the archive (estimate, for the disk-space check)."""


class DataFile(FrozenModel):
    """One file of the manifest."""

    name: str
    dataset: str
    mirrors: tuple[Mirror, ...] = ()
    bytes: Size | None = None
    about_bytes: Size | None = None
    """Estimate where no size is published."""
    md5: Md5 | None = None
    sha256: Sha256 | None = None
    explicit: bool = False
    """True: fetched only when it is named in full (large files)."""
    aliases: tuple[str, ...] = ()
    """Other names under which people have the file."""
    archive: Archive | None = None
    expect: Expectation | None = None
    known_bad: tuple[KnownBad, ...] = ()
    note: str = ""

    @field_validator("name")
    @classmethod
    def _inside(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
            raise ValueError(f"expected FOLDER/PATH below the data folder, got {value!r}")
        return value

    @property
    def size(self) -> int:
        """Bytes, or their estimate, or 0 when nothing is known."""
        return self.bytes or self.about_bytes or 0


class Supplied(FrozenModel):
    """Files that only the user can provide: an account or a choice of region is needed."""

    name: str
    """Folder below the data folder."""
    dataset: str
    pattern: str = "*.nc"
    instructions: str
    expect: Expectation | None = None


class DataSet(FrozenModel):
    """Licence, citation and origin of a group of files."""

    title: str
    licence: str
    citation: str
    source: str
    checksums: str = "none published; the first copy fetched is trusted and pinned"


class TaskFiles(FrozenModel):
    """What one task or protocol needs."""

    about: str
    files: tuple[str, ...]
    protocols: tuple[str, ...] = ()


class Manifest(FrozenModel):
    """All data sets, files, accounts and tasks."""

    logins: dict[str, Login]
    datasets: dict[str, DataSet]
    files: dict[str, DataFile]
    supplied: dict[str, Supplied]
    tasks: dict[str, TaskFiles]

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        for file in self.files.values():
            unknown = {m.login for m in file.mirrors if m.login} - set(self.logins)
            if unknown:
                raise ValueError(f"{file.name}: login {sorted(unknown)} is not in logins")
            if file.archive and file.archive.contains and not self.contained(file):
                raise ValueError(f"{file.name}: nothing matches contains {file.archive.contains!r}")
        self._refuse_one_checksum_twice()
        for name in self.tasks:
            self.of_task(name)
        return self

    def _refuse_one_checksum_twice(self) -> None:
        """Two names with one checksum: a registry error, unless it is declared as known bad."""
        seen: dict[str, str] = {}
        for file in self.files.values():
            if file.md5 and file.md5 in seen:
                raise ValueError(
                    f"{file.name} and {seen[file.md5]} have one md5, {file.md5}: one of them is "
                    "wrong; declare it under known_bad of that file"
                )
            if file.md5:
                seen[file.md5] = file.name

    def contained(self, file: DataFile) -> tuple[DataFile, ...]:
        """Return the manifest's files that an archive yields (empty: they are not listed)."""
        pattern = file.archive.contains if file.archive else None
        if not pattern:
            return ()
        return tuple(f for f in self.files.values() if fnmatchcase(f.name, pattern))

    def of_task(self, task: str) -> list[DataFile | Supplied]:
        """Return what a task needs; a file that must be named in full is refused here."""
        if task not in self.tasks:
            raise ManifestError(f"task {task!r} is not known{_near(task, self.tasks)}")
        found = [item for name in self.tasks[task].files for item in self._match(name, wild=True)]
        large = [f.name for f in found if isinstance(f, DataFile) and f.explicit]
        if large:
            raise ManifestError(f"task {task}: {large} must be named in full, not by a task")
        return list({item.name: item for item in found}.values())

    def select(self, tasks: Iterable[str], names: Iterable[str]) -> list[DataFile | Supplied]:
        """Return the files of some tasks and names, each once.

        Args:
            tasks: keys of `tasks`.
            names: a file's full name, a folder (`oceanbench/results`) or a pattern with `*`.
                Folders and patterns leave out what is only fetched by its full name.

        Raises:
            ManifestError: an unknown task or name, with the nearest known ones.
        """
        found = [item for task in tasks for item in self.of_task(task)]
        for name in names:
            found += self._match(name.strip("/"), wild=False)
        return list({item.name: item for item in found}.values())

    def _match(self, name: str, wild: bool) -> list[DataFile | Supplied]:
        everything: dict[str, DataFile | Supplied] = {**self.files, **self.supplied}
        if name in everything:
            return [everything[name]]
        pattern = name if any(sign in name for sign in _WILD) else f"{name}/*"
        found = [item for key, item in everything.items() if fnmatchcase(key, pattern)]
        kept = [item for item in found if wild or not getattr(item, "explicit", False)]
        if found and not kept:
            listed = ", ".join(item.name for item in found)
            raise ManifestError(f"{name!r} matches only large files; name them in full: {listed}")
        if not kept:
            raise ManifestError(f"no file or folder {name!r}{_near(name, _places(everything))}")
        return kept


def load(path: str | Path | None = None) -> Manifest:
    """Return the manifest of the package, or one in another file of the same form.

    Raises:
        ManifestError: the file is missing, not YAML, or not valid; every mistake is listed.
    """
    where = Path(path) if path else package_files("pipeline_spde") / "resources" / "datasets.yaml"
    try:
        tree = yaml.safe_load(where.read_text(encoding="utf-8"))
        return Manifest.model_validate(_expanded(tree))
    except OSError as error:
        raise ManifestError(f"{where}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestError(f"{where}: not valid YAML ({error})") from error
    except ValidationError as error:
        problems = [line for item in error.errors() for line in explain(dict(item), Manifest)]
        text = "\n  ".join(problems)
        raise ManifestError(f"{where} is not valid:\n  {text}") from None
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ManifestError(f"{where}: not a manifest of data sets ({error!r})") from error


def _expanded(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest's tree with every file in full: folders, dates and mirrors filled in."""
    datasets: dict[str, Any] = {}
    files: dict[str, Any] = {}
    supplied: dict[str, Any] = {}
    for key, group in tree["datasets"].items():
        about = dict(group)
        listed = about.pop("files", None) or {}
        common = {part: about.pop(part, None) for part in ("folder", "mirrors", "expect", "bytes")}
        by_user = about.pop("supplied", None)
        datasets[key] = about
        folder = common["folder"] or key
        if by_user:
            supplied[folder] = {**by_user, "name": folder, "dataset": key}
        for template, entry in listed.items():
            for path, specified in _dated(template, dict(entry or {})):
                name = f"{folder}/{path}"
                files[name] = _file(name, path, key, specified, common)
    rest = {part: tree.get(part, {}) for part in ("logins", "tasks")}
    return {"datasets": datasets, "files": files, "supplied": supplied, **rest}


def _dated(template: str, entry: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield one path, or one for each day of `days` when the template holds strftime codes."""
    days = entry.pop("days", None)
    if days is None:
        yield template, entry
        return
    first, last = (d if isinstance(d, date) else date.fromisoformat(str(d)) for d in days)
    for step in range((last - first).days + 1):
        yield (first + timedelta(days=step)).strftime(template), entry


def _file(
    name: str, path: str, dataset: str, entry: dict[str, Any], common: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the tree of one file; addresses are the data set's, then its own."""
    md5 = str(entry.get("md5") or "")
    words = {
        "path": path,
        "name": PurePosixPath(path).name,
        "md5_head": md5[:2],
        "md5_tail": md5[2:],
    }
    own = entry.pop("mirrors", None)
    instead = entry.pop("only_mirrors", None)
    templates = instead if instead is not None else [*(common["mirrors"] or []), *(own or [])]
    mirrors = []
    for template in templates:
        mirror = dict(template) if isinstance(template, Mapping) else {"url": template}
        if "{md5" in mirror["url"] and not md5:
            raise KeyError(f"md5 of {name}, which its address is made of")
        mirrors.append({**mirror, "url": mirror["url"].format(**words)})
    filled = {key: common[key] for key in ("expect", "bytes") if common[key] is not None}
    return {**filled, **entry, "name": name, "dataset": dataset, "mirrors": mirrors}


def _places(names: Iterable[str]) -> Sequence[str]:
    """Return all names and the folders they are in."""
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    return [*names, *sorted(folders - {"."})]


def _near(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(repr(name) for name in close)}?"
    return "; `pipeline-spde download --list` shows what there is"
