"""One address into one partial file: resume by Range, what the answer means, no half-truths.

pooch carries the bytes (`pooch.HTTPDownloader`); the hook that it passes on to requests looks at
every answer before its body is written. A partial file `.NAME.part` has a note `.NAME.part.json`
beside it that says which address and which version of the content it is of.
"""

from __future__ import annotations

import email.utils
import fcntl
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pipeline_spde.data.integrity import web_page
from pipeline_spde.files import DataError, read_json, write_json

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

CHUNK = 64 * 2**10
_RANGE = re.compile(r"bytes\s+(\d+)-(\d+)/(\d+|\*)$")
_BUSY = {408, 425, 429, 500, 502, 503, 504}


class MirrorError(OSError):
    """This address cannot give the file; the next one may."""


class LoginError(MirrorError):
    """The server asks for an account, or refuses the one given."""


class TryAgain(OSError):
    """The transfer failed but may go on later; `wait` is what the server asks for, in seconds."""

    def __init__(self, sentence: str, wait: float | None = None) -> None:
        super().__init__(sentence)
        self.wait = wait


class Stopped(Exception):
    """The user interrupted the download; partial files stay."""


@dataclass(frozen=True)
class Limits:
    """Patience of the downloads.

    Attributes:
        jobs: files at once, 1 to 4.
        attempts: failures in a row, without a new byte, after which a mirror is given up.
        connect_s: seconds to wait for a connection.
        stall_s: seconds without a byte after which a connection counts as dead.
        backoff_s: first wait between attempts; doubled at each failure.
        longest_wait_s: longest wait, also when a server asks for more (it is then given up).
    """

    jobs: int = 4
    attempts: int = 5
    connect_s: float = 20.0
    stall_s: float = 60.0
    backoff_s: float = 1.0
    longest_wait_s: float = 120.0

    def __post_init__(self) -> None:
        if not 1 <= self.jobs <= 4:
            raise ValueError(f"jobs: 1 to 4 files at once, got {self.jobs}")
        if self.attempts < 1:
            raise ValueError(f"attempts: at least 1, got {self.attempts}")
        for name in ("connect_s", "stall_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: must be positive, got {getattr(self, name)}")


@dataclass
class Transfer:
    """One attempt at one address.

    Attributes:
        url: the address.
        partial: file that holds what has arrived; kept when the attempt fails.
        auth: (user, password), or None: nothing is sent, whatever a netrc file says.
        size: bytes that the file must have, or None.
        anchored: True when a checksum is known, so that a partial of another address may go on.
        limits: time-outs.
        stop: set when the user interrupts.
        arrived: called with the number of new bytes (negative when some are thrown away).
        reserve: called with the bytes still to come; raises OSError when the disk has no room.
    """

    url: str
    partial: Path
    auth: tuple[str, str] | None
    size: int | None
    anchored: bool
    limits: Limits
    stop: threading.Event
    arrived: Callable[[int], None]
    reserve: Callable[[int], None]
    _file: BinaryIO = field(init=False)
    _total: int | None = field(init=False, default=None)
    _offset: int = field(init=False, default=0)

    def run(self) -> None:
        """Fetch what is missing; on return the partial file has the size that was announced.

        Raises:
            TryAgain: dropped, stalled, busy.
            MirrorError: this address will not give the file.
            Stopped: the user interrupted.
            OSError: the disk is full.
        """
        self.partial.parent.mkdir(parents=True, exist_ok=True)
        with self.partial.open("ab") as file:
            self._file, self._total = file, self.size
            self._offset, headers = self._start()
            if self.size is not None and self._offset == self.size:
                return
            self._download(headers)
            held = file.tell()
        if self._total is not None and held < self._total:
            raise TryAgain(f"the connection ended after {held} of {self._total} bytes")

    def write(self, chunk: bytes) -> None:
        """Take a piece of the body (pooch writes to this object as to a file)."""
        if self.stop.is_set():
            raise Stopped
        self._file.write(chunk)
        self.arrived(len(chunk))
        if self._total is not None and self._file.tell() > self._total:
            self._restart()
            raise MirrorError(f"it sends more than the {self._total} bytes announced")

    def flush(self) -> None:
        """Do nothing: pooch flushes after every piece, which slows large files."""

    def _start(self) -> tuple[int, dict[str, str]]:
        """Return the size of what can be kept and the request's headers."""
        headers = {"Accept-Encoding": "identity"}
        note = self._note()
        offset = self._file.seek(0, 2)
        same = note.get("url") == self.url
        # without a checksum only the server's own word says that both parts are of one file
        certain = bool(note.get("version")) if not self.anchored else True
        if offset and not ((same and certain) or (self.anchored and self.size)):
            offset = self._restart()
        if offset and self.size is not None and offset > self.size:
            offset = self._restart()
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if same and note.get("version"):
                headers["If-Range"] = note["version"]
        return offset, headers

    def _download(self, headers: dict[str, str]) -> None:
        import pooch
        import requests

        downloader = pooch.HTTPDownloader(
            chunk_size=CHUNK,
            headers=headers,
            auth=_utf8(self.auth) if self.auth else _anonymous,
            timeout=(self.limits.connect_s, self.limits.stall_s),
            hooks={"response": self._answer},
        )
        try:
            downloader(url=self.url, output_file=self, pooch=None)
        except requests.exceptions.SSLError as error:
            raise MirrorError(f"its certificate is not accepted ({_cause(error)})") from error
        except requests.exceptions.Timeout as error:
            raise TryAgain("it does not answer") from error
        except (
            requests.exceptions.ConnectionError,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            raise TryAgain(f"{_what_happened(error)} ({_cause(error)})") from error
        except (requests.exceptions.RequestException, ValueError) as error:
            raise MirrorError(f"its answer cannot be used ({_cause(error)})") from error

    def _answer(self, response: Response, *_: Any, **__: Any) -> None:
        """Look at an answer before its body is written (hook of requests)."""
        if response.is_redirect:
            return
        try:
            self._judge(response)
        except Exception:
            response.close()
            raise

    def _judge(self, response: Response) -> None:
        status = response.status_code
        if status in (401, 403):
            raise LoginError(f"it asks for a login (HTTP {status})")
        if status in _BUSY:
            raise TryAgain(f"HTTP {status} {response.reason}", _retry_after(response))
        if status == 416 and self._offset:
            self._restart()
            raise TryAgain("the partial file does not fit the server's; starting again")
        if status not in (200, 206):
            raise MirrorError(f"HTTP {status} {response.reason}")
        if "text/html" in response.headers.get("Content-Type", "").lower():
            page = web_page(next(response.iter_content(4096), b"")) or "a web page"
            raise LoginError(f"it sends {page} instead of the file; a login may be needed")
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding not in ("identity", ""):
            raise MirrorError(
                f"it compresses the file on the way ({encoding}), which was not asked"
            )
        self._total = self._announced(response)
        if self.size is not None and self._total not in (None, self.size):
            raise MirrorError(f"its file has {self._total} bytes, expected {self.size}")
        self._total = self._total or self.size
        if self._total is not None:
            self.reserve(self._total - self._file.tell())
        version = response.headers.get("ETag", "")
        if not version or version.startswith("W/"):
            version = response.headers.get("Last-Modified", "")
        write_json(self._note_path, {"url": self.url, "version": version, "bytes": self._total})

    def _announced(self, response: Response) -> int | None:
        """Return the size of the whole file; the partial file is cut to where the body starts."""
        if response.status_code == 200:
            if self._offset:  # the server ignores ranges, or its file has changed
                self._restart()
            length = response.headers.get("Content-Length")
            return int(length) if length and length.isdigit() else None
        found = _RANGE.match(response.headers.get("Content-Range", "").strip())
        if found is None or int(found[1]) != self._offset:
            self._restart()
            said = response.headers.get("Content-Range", "missing")
            raise TryAgain(f"it sends another part than asked for (Content-Range: {said})")
        total = None if found[3] == "*" else int(found[3])
        before = self._note().get("bytes")
        if total is not None and before is not None and total != before:
            self._restart()
            raise TryAgain(f"its file has changed from {before} to {total} bytes; starting again")
        return total

    def _restart(self) -> int:
        """Throw away what has arrived."""
        self.arrived(-self._file.seek(0, 2))
        self._file.truncate(0)
        self._file.seek(0)
        self._offset = 0
        return 0

    @property
    def _note_path(self) -> Path:
        return note_of(self.partial)

    def _note(self) -> dict[str, Any]:
        try:
            return dict(read_json(self._note_path))
        except (OSError, DataError, TypeError, ValueError):
            return {}  # no note: what has arrived is then of an unknown address


def note_of(partial: Path) -> Path:
    """Return where the note of a partial file is."""
    return partial.with_name(partial.name + ".json")


def discard(partial: Path) -> None:
    """Remove a partial file and its note."""
    partial.unlink(missing_ok=True)
    note_of(partial).unlink(missing_ok=True)


@contextmanager
def alone(partial: Path) -> Iterator[None]:
    """Keep other processes from a partial file while it arrives and is checked.

    Raises:
        OSError: another process is at it.
    """
    partial.parent.mkdir(parents=True, exist_ok=True)
    lock = partial.with_name(partial.name + ".lock")
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = lock.exists() and os.fstat(handle.fileno()).st_ino == lock.stat().st_ino
        except BlockingIOError:
            ours = False
        if not ours:
            raise OSError(f"{partial}: another download of this file is running")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _anonymous(request: PreparedRequest) -> PreparedRequest:
    """Send no credentials: without this, requests would take those of a netrc file."""
    return request


def _utf8(auth: tuple[str, str]) -> tuple[bytes, bytes]:
    return auth[0].encode(), auth[1].encode()


def _retry_after(response: Response) -> float | None:
    """Return the seconds of Retry-After, which is a number or a date."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _what_happened(error: BaseException) -> str:
    if "timed out" in str(error):
        return "the connection stalled"
    if "NewConnection" in repr(error) or "NameResolution" in repr(error):
        return "it cannot be reached"
    return "the connection was dropped"


def _cause(error: BaseException) -> str:
    """Return the innermost reason of a requests error, short and without addresses of memory."""
    inner: Any = error
    for _ in range(6):
        nested = getattr(inner, "reason", None) or next(
            (a for a in getattr(inner, "args", ()) if isinstance(a, BaseException)), None
        )
        if not isinstance(nested, BaseException):
            break
        inner = nested
    text = re.sub(r"<[^>]*>:?\s*|\w+(?:Pool|Connection)\([^)]*\):?\s*", "", str(inner)).strip()
    return text[:160] or type(inner).__name__
