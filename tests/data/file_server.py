"""A real HTTP server on the loopback interface that serves files and misbehaves as told.

Every path has a list of answers, used up one by one; then it is served as a good server would:
ranges, ETag, If-Range. Nothing is mocked: the tests speak HTTP over sockets.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Answers GET by the next behaviour of the path."""

    protocol_version = "HTTP/1.1"
    server: FileServer

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.requests.append((self.path, dict(self.headers)))
            self.server.active += 1
            self.server.most_active = max(self.server.most_active, self.server.active)
            waiting = self.server.answers.get(self.path, [])
            answer = waiting.pop(0) if waiting else good
        try:
            if self.path in self.server.bodies:
                answer(self, self.server.bodies[self.path])
            else:
                status(404)(self, b"")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with self.server.lock:
                self.server.active -= 1

    def head(self, code: int, length: int | None, **headers: str) -> None:
        self.send_response(code)
        if length is not None:
            self.send_header("Content-Length", str(length))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class FileServer(ThreadingHTTPServer):
    """Bodies and scripted answers by path; remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.bodies: dict[str, bytes] = {}
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.active = self.most_active = 0
        self.release = threading.Event()  # ends stalls when a test is over

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up: half of the tests are about that."""

    def serve(self, path: str, body: bytes, *answers: Answer) -> str:
        """Serve a body under a path, first by the given answers; return its address."""
        self.bodies[path] = body
        self.answers[path] = list(answers)
        return f"http://127.0.0.1:{self.server_port}{path}"

    def asked(self, path: str) -> list[dict[str, str]]:
        """Return the headers of every request for a path."""
        return [headers for asked, headers in self.requests if asked == path]


def etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def good(handler: Handler, body: bytes) -> None:
    """Serve the body or the part that is asked for."""
    start = wanted_start(handler, body)
    if start is None:
        handler.head(200, len(body), ETag=etag(body), Accept_Ranges="bytes")
        handler.wfile.write(body)
    elif start >= len(body):
        handler.head(416, 0, Content_Range=f"bytes */{len(body)}")
    else:
        span = f"bytes {start}-{len(body) - 1}/{len(body)}"
        handler.head(206, len(body) - start, ETag=etag(body), Content_Range=span)
        handler.wfile.write(body[start:])


def wanted_start(handler: Handler, body: bytes) -> int | None:
    asked = handler.headers.get("Range")
    known = handler.headers.get("If-Range")
    if asked is None or (known is not None and known != etag(body)):
        return None
    return int(asked.removeprefix("bytes=").removesuffix("-"))


def cut(after: int) -> Answer:
    """Announce everything, send `after` bytes of what is asked for, drop the connection."""

    def answer(handler: Handler, body: bytes) -> None:
        start = wanted_start(handler, body)
        if start is None:
            handler.head(200, len(body), ETag=etag(body))
        else:
            span = f"bytes {start}-{len(body) - 1}/{len(body)}"
            handler.head(206, len(body) - start, ETag=etag(body), Content_Range=span)
        handler.wfile.write(body[start or 0 :][:after])
        handler.wfile.flush()
        handler.close_connection = True

    return answer


def stall(after: int) -> Answer:
    """Send `after` bytes and then nothing, with the connection open."""

    def answer(handler: Handler, body: bytes) -> None:
        cut(after)(handler, body)
        handler.server.release.wait(20)

    return answer


def silent(handler: Handler, body: bytes) -> None:
    """Accept the request and never answer."""
    handler.server.release.wait(20)
    handler.close_connection = True


def status(code: int, **headers: str) -> Answer:
    """Answer with a status and no file."""

    def answer(handler: Handler, body: bytes) -> None:
        handler.head(code, 0, **headers)

    return answer


def ignoring_range(handler: Handler, body: bytes) -> None:
    """Send the whole file whatever part is asked for, without a validator."""
    handler.head(200, len(body))
    handler.wfile.write(body)


def unannounced(after: int | None = None) -> Answer:
    """Send without Content-Length; the end of the connection is the end of the file."""

    def answer(handler: Handler, body: bytes) -> None:
        handler.head(200, None)
        handler.wfile.write(body[:after])

    return answer


def instead(other: bytes, **headers: str) -> Answer:
    """Send another body under this name."""

    def answer(handler: Handler, body: bytes) -> None:
        handler.head(200, len(other), **headers)
        handler.wfile.write(other)

    return answer


def shifted(handler: Handler, body: bytes) -> None:
    """Answer a range request with another range."""
    handler.head(206, len(body) - 7, Content_Range=f"bytes 7-{len(body) - 1}/{len(body)}")
    handler.wfile.write(body[7:])


def behind_login(user: str, password: str) -> Answer:
    """Serve only with HTTP basic authentication."""
    expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def answer(handler: Handler, body: bytes) -> None:
        if handler.headers.get("Authorization") == expected:
            good(handler, body)
        else:
            handler.head(401, 0, WWW_Authenticate='Basic realm="data"')

    return answer


@dataclass
class Counter:
    """Counts the bytes that arrive."""

    done: int = 0
    calls: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, done: int, total: int) -> None:
        self.done = done
        self.calls.append((done, total))
