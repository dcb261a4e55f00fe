"""`uniar-eval serve DIR`: the runs below a folder in the browser, live while they go on; for this machine's user only.

Listens on 127.0.0.1 and answers to that name alone, so that no other page can reach it through a name of its own. Reads and
never writes below DIR: reports are drawn anew from the run's records into a scratch folder, since a page that somebody put
into a run folder could hold anything. A run is addressed by a hash of its path; what a request names inside a run is confined
to it by the store. Who may read DIR on this machine may read the pages.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from evals.errors import DataError, UserError
from evals.store.reader import RunReader
from reports import pages, runs, status
from reports.render import HtmlReporter

HOST = "127.0.0.1"
REDRAW = 5.0
"""Seconds for which the report of a run that goes on is shown again before it is drawn anew."""
RESCAN = 2.0
"""Seconds for which the list of run folders is kept."""
_TYPES = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp",
    ".json": "text/plain; charset=utf-8", ".jsonl": "text/plain; charset=utf-8",
}  # fmt: skip
"""What is sent of a run folder; nothing that a browser would run."""
_RUN = re.compile(r"/run/([0-9a-f]{16})/(.*)", re.DOTALL)
_POLICY = re.compile(r'http-equiv="Content-Security-Policy" content="([^"]+)"')
_CLOSED = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class Site:
    """What the server shows: the runs below a folder, and their reports, drawn when asked for.

    Args:
        root: the folder.
        scratch: where reports are drawn; not below `root`.

    Raises:
        DataError: no such folder.
    """

    def __init__(self, root: Path, scratch: Path) -> None:
        if not root.is_dir():
            raise DataError(f"{root}: got no folder; expected one with runs in it, as `uniar-eval run` makes under runs/.")
        self.root, self._scratch = root, scratch
        self._found: tuple[float, dict[str, Path]] = (-RESCAN, {})
        self._drawn: dict[str, tuple[tuple[Any, ...], float]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self._watch = status.Watch()

    def folders(self) -> dict[str, Path]:
        """Return the run folders by their address."""
        with self._guard:
            at, found = self._found
            if time.monotonic() - at > RESCAN:
                found = {self._address(path): path for path in runs.find(self.root)}
                self._found = (time.monotonic(), found)
            return found

    def rows(self) -> list[dict[str, Any]]:
        """Return a line a run: those that go on first, then the newest, then by name."""
        rows = [self._watch.row(path, self._shown(path)) | {"address": address} for address, path in self.folders().items()]
        rows.sort(key=lambda row: str(row["name"]))
        rows.sort(key=lambda row: str(row["created"]), reverse=True)
        return sorted(rows, key=lambda row: row["status"] != "running")

    def report(self, address: str) -> Path:
        """Return the folder with a run's report, drawn anew when its records changed.

        Raises:
            KeyError: no such run.
            UserError: a damaged run.
        """
        path = self.folders()[address]
        with self._guard:
            lock = self._locks.setdefault(address, threading.Lock())
        with lock:
            out = self._scratch / address
            now, (state, when) = status.state(path), self._drawn.get(address, ((), 0.0))
            fresh = time.monotonic() - when < REDRAW and bool(state)
            if now != state and not fresh:
                HtmlReporter().render(RunReader(path), out)
                self._drawn[address] = (now, time.monotonic())
            return out

    def _address(self, path: Path) -> str:
        return hashlib.sha256(bytes(path.relative_to(self.root))).hexdigest()[:16]

    def _shown(self, path: Path) -> str:
        relative = path.relative_to(self.root)
        return str(relative) if relative.parts else path.resolve().name


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD only; every answer forbids what its page does not need."""

    server: _Server
    server_version = "uniar-eval"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        """Answer a request."""
        try:
            self._answer()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: names of runs are nobody's business on a shared terminal."""

    def _answer(self) -> None:
        if self.headers.get("Host", "") not in self.server.names:
            # DNS rebinding: a foreign page's own name may lead here.
            return self._text(HTTPStatus.FORBIDDEN, f"This server answers to {self.server.names[0]} only.")
        path = urlsplit(self.path).path
        site = self.server.site
        if path == "/":
            page, policy = _index(site)
            return self._send(HTTPStatus.OK, page, "text/html; charset=utf-8", policy=f"{policy}; frame-ancestors 'none'")
        if path == "/runs.json":
            data = json.dumps(site.rows()).encode("ascii")
            return self._send(HTTPStatus.OK, data, "application/json")
        match = _RUN.fullmatch(path)
        if match is None:
            return self._text(HTTPStatus.NOT_FOUND, "There is no such page.")
        try:
            return self._run(match[1], unquote(match[2], errors="surrogateescape"))
        except KeyError:
            return self._text(HTTPStatus.NOT_FOUND, "There is no such run any more.")
        except UserError as error:
            return self._text(HTTPStatus.NOT_FOUND, str(error))

    def _run(self, address: str, name: str) -> None:
        site = self.server.site
        if name in ("", "report"):
            return self._redirect(f"/run/{address}/report/")
        if name == "report/" or name.startswith("report/"):
            inner = name.removeprefix("report/") or "index.html"
            folder = site.report(address).resolve()
            file = (folder / inner).resolve()
            if not file.is_relative_to(folder) or not file.is_file():
                return self._text(HTTPStatus.NOT_FOUND, "There is no such file.")
            data = file.read_bytes()
            if file.suffix != ".html":
                return self._file(file, data)
            found = _POLICY.search(data[:8192].decode("utf-8", "replace"))
            policy = unescape(found[1]) if found else _CLOSED
            return self._send(HTTPStatus.OK, data, "text/html; charset=utf-8", policy=f"{policy}; frame-ancestors 'none'")
        run = RunReader(site.folders()[address])
        if "\0" in name or any(part.startswith(".") for part in name.split("/")):
            return self._text(HTTPStatus.NOT_FOUND, "There is no such file.")
        file = run.resolve(name)
        if not file.is_file() or file.suffix.lower() not in _TYPES:
            return self._text(HTTPStatus.NOT_FOUND, "There is no such file.")
        return self._file(file, file.read_bytes())

    def _file(self, file: Path, data: bytes) -> None:
        kind = _TYPES.get(file.suffix.lower())
        if kind is None:
            return self._text(HTTPStatus.NOT_FOUND, "There is no such file.")
        return self._send(HTTPStatus.OK, data, kind)

    def _redirect(self, target: str) -> None:
        self.send_response(HTTPStatus.MOVED_PERMANENTLY)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _text(self, code: HTTPStatus, words: str) -> None:
        self._send(code, f"{words}\n".encode("utf-8", "replace"), "text/plain; charset=utf-8")

    def _send(self, code: HTTPStatus, data: bytes, kind: str, *, policy: str = _CLOSED) -> None:
        self.send_response(code)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(data))),
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, site: Site, port: int) -> None:
        super().__init__((HOST, port), _Handler)
        self.site = site
        own = self.server_address[1]
        self.names = (f"{HOST}:{own}", f"localhost:{own}")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no event; anything else is our fault and keeps its traceback."""
        import sys

        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class Running:
    """A server that answers until it is left."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self.url = f"http://{server.names[0]}/"
        self._thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Return only when interrupted."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def stop(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def start(root: Path, *, port: int = 0) -> Iterator[Running]:
    """Serve the runs below a folder until the block is left.

    Args:
        root: the folder.
        port: on 127.0.0.1; 0 takes a free one.

    Raises:
        DataError: no such folder, or the port is taken.
    """
    scratch = Path(tempfile.mkdtemp(prefix="uniar-eval-serve-"))
    try:
        site = Site(root, scratch)
        try:
            server = _Server(site, port)
        except OSError as error:
            raise DataError(f"--port: got {port}, which cannot be used ({error}); expected a free one. Give another, or 0.") from error
        running = Running(server)
        try:
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _index(site: Site) -> tuple[bytes, str]:
    rows = site.rows()
    page, policy = pages.render_text(
        "serve.html.j2", scripts=("serve.js",), connect=True, title="Runs", home="", folder=site.root.resolve().name, rows=rows
    )
    return page.encode("utf-8", "replace"), policy
