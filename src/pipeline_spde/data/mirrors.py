"""One file from its mirrors: in order, each with patience, until one gives content that is right.

Credentials come from the environment or from netrc, go to the mirror that asks for them only, and
appear in no message.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pipeline_spde.data.manifest import DataFile, Login, Mirror
from pipeline_spde.data.transfer import (
    Limits,
    LoginError,
    MirrorError,
    Stopped,
    Transfer,
    TryAgain,
    discard,
)
from pipeline_spde.files import DataError

logger = logging.getLogger(__name__)


class Unavailable(OSError):
    """No mirror gave the file; the message holds one sentence for each."""


@dataclass(frozen=True)
class Desk:
    """What all transfers of one download share.

    Attributes:
        logins: accounts of the manifest.
        limits: patience.
        stop: set when the user interrupts.
        arrived: called with the number of new bytes.
        reserve: called with the bytes still to come; raises when the disk is full.
    """

    logins: Mapping[str, Login]
    limits: Limits
    stop: threading.Event
    arrived: Callable[[int], None]
    reserve: Callable[[int], None]


def fetch(
    file: DataFile, partial: Path, anchored: bool, accept: Callable[[Path, str], None], desk: Desk
) -> Mirror:
    """Bring a file into `partial` from the first mirror whose content is accepted.

    Args:
        file: what to fetch.
        partial: where; what is there from an earlier attempt is gone on with where that is safe.
        anchored: True when a checksum of the file is known.
        accept: called with the partial file and the address; raises DataError when the content
            is wrong, which is then thrown away.
        desk: what all transfers share.

    Returns:
        The mirror that gave the file.

    Raises:
        Unavailable: none did; every reason is named.
        Stopped: the user interrupted; the partial file stays.
    """
    reasons = []
    for mirror in file.mirrors:
        try:
            _try(mirror, file, partial, anchored, accept, desk)
            return mirror
        except LoginError as error:
            reasons.append(f"{mirror.host}: {error}{_advice(mirror, desk.logins)}")
        except (MirrorError, TryAgain, DataError) as error:
            reasons.append(f"{mirror.host}: {error}")
        if mirror is not file.mirrors[-1]:
            logger.info("%s: %s; trying the next mirror", file.name, reasons[-1])
    raise Unavailable("; ".join(reasons))


def _try(
    mirror: Mirror,
    file: DataFile,
    partial: Path,
    anchored: bool,
    accept: Callable[[Path, str], None],
    desk: Desk,
) -> None:
    """Fetch from one mirror; content that is wrong after a resume is fetched whole once more."""
    resumed = partial.is_file() and partial.stat().st_size > 0
    _patiently(mirror, file, partial, anchored, desk)
    try:
        accept(partial, mirror.url)
        return
    except DataError as error:
        _throw_away(partial, desk)
        if not resumed:
            raise
        logger.info("%s: %s; fetching it whole", file.name, error)
    _patiently(mirror, file, partial, anchored, desk)
    try:
        accept(partial, mirror.url)
    except DataError:
        _throw_away(partial, desk)
        raise


def _throw_away(partial: Path, desk: Desk) -> None:
    desk.arrived(-partial.stat().st_size)
    discard(partial)


def _patiently(mirror: Mirror, file: DataFile, partial: Path, anchored: bool, desk: Desk) -> None:
    """Run attempts until one completes or too many in a row bring nothing new."""
    auth = credentials(mirror, desk.logins)
    failures, farthest = 0, _size(partial)
    while True:
        try:
            Transfer(
                url=mirror.url,
                partial=partial,
                auth=auth,
                size=file.bytes,
                anchored=anchored,
                limits=desk.limits,
                stop=desk.stop,
                arrived=desk.arrived,
                reserve=desk.reserve,
            ).run()
            return
        except TryAgain as error:
            failures = 0 if _size(partial) > farthest else failures
            farthest = max(farthest, _size(partial))
            failures += 1
            if failures >= desk.limits.attempts:
                raise TryAgain(f"{error}; given up at attempt {failures}") from error
            _pause(error, failures, file, mirror, desk)


def _pause(error: TryAgain, failures: int, file: DataFile, mirror: Mirror, desk: Desk) -> None:
    """Wait as long as the server asks, or twice as long as the last time."""
    limits = desk.limits
    wait = min(limits.backoff_s * 2 ** (failures - 1), limits.longest_wait_s)
    if error.wait is not None:
        if error.wait > limits.longest_wait_s:
            raise MirrorError(f"{error}; it asks to wait {error.wait:.0f} s, which is too long")
        wait = max(wait, error.wait)
    logger.info("%s: %s: %s; again in %.1f s", file.name, mirror.host, error, wait)
    if desk.stop.wait(wait):
        raise Stopped


def credentials(mirror: Mirror, logins: Mapping[str, Login]) -> tuple[str, str] | None:
    """Return (user, password) for a mirror from the environment, else from netrc, else None.

    Raises:
        LoginError: only one of the two variables is set, or the netrc file cannot be read.
    """
    if mirror.login is None:
        return None
    login = logins[mirror.login]
    user, password = os.environ.get(login.user, ""), os.environ.get(login.password, "")
    if user and password:
        return user, password
    if user or password:
        absent = login.password if user else login.user
        raise LoginError(f"the environment variable {absent} is not set")
    return _from_netrc(mirror)


def _from_netrc(mirror: Mirror) -> tuple[str, str] | None:
    from netrc import NetrcParseError

    from requests.utils import get_netrc_auth

    try:
        found = get_netrc_auth(mirror.url, raise_errors=True)
    except (NetrcParseError, OSError) as error:
        place = getattr(error, "filename", None) or "the netrc file"
        raise LoginError(f"{place} cannot be read (line {getattr(error, 'lineno', '?')})") from None
    return found if found and found[1] else None


def _advice(mirror: Mirror, logins: Mapping[str, Login]) -> str:
    """Return what to do about a login, without any of its words."""
    if mirror.login is None:
        return ""
    login = logins[mirror.login]
    host = urlsplit(mirror.url).hostname
    try:
        given = credentials(mirror, logins) is not None
    except LoginError:
        return ""
    if given:
        return (
            " and refuses the one given: check user and password, and that the account may use it"
        )
    return (
        f". You need {login.account}; put it into ~/.netrc (machine {host} login USER password "
        f"PASSWORD) or into {login.user} and {login.password}"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
