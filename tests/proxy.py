"""A proxy between heatwatch and a server: it can be slow, refuse, lose answers, or cut a connection in the middle."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.peers import HOST

HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Mood:
    """How the proxy behaves.

    Attributes
    ----------
    status
        What it answers by itself; 0: it asks the server.
    forward
        Whether the server gets the request all the same: what it does is done, the answer another.
    delay_s
        How long it waits before each answer.
    cut
        Whether it closes the connection where an answer should come.
    only
        Beginning of the paths that this is about; others are passed on.
    over_bytes
        Requests with no larger a body are passed on too.
    """

    status: int = 0
    forward: bool = True
    delay_s: float = 0.0
    cut: bool = False
    only: str = "/"
    over_bytes: int = -1


CALM = Mood()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: that a connection breaks is what the proxy is for."""


class Proxy:
    """Passes HTTP on to a server, in its mood; a context manager."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url).netloc
        self.mood = CALM
        self.refused = 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy._pass(self)

            do_POST = do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Server((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _pass(self, asked: BaseHTTPRequestHandler) -> None:
        body = asked.rfile.read(int(asked.headers.get("Content-Length", 0)))
        mood = self.mood
        if not asked.path.startswith(mood.only) or len(body) <= mood.over_bytes:
            mood = CALM
        status, headers, said = 502, [("Content-Type", "text/plain")], b"no server behind the proxy"
        if mood.forward:
            try:
                status, headers, said = self._ask(asked, body)
            except (OSError, http.client.HTTPException):
                mood = mood if mood.cut else Mood()
        time.sleep(mood.delay_s)
        if mood is not CALM and (mood.cut or mood.status):
            self.refused += 1
        if mood.cut:
            asked.close_connection = True
            return
        if mood.status:
            status, headers, said = mood.status, [("Content-Type", "application/json")], b'{"error":"as the test says"}'
        try:
            asked.send_response(status)
            for name, value in headers:
                asked.send_header(name, value)
            asked.send_header("Content-Length", str(len(said)))
            asked.end_headers()
            asked.wfile.write(said)
        except OSError:
            asked.close_connection = True

    def _ask(self, asked: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self._to, timeout=TIMEOUT_S)
        try:
            headers = {name: value for name, value in asked.headers.items() if name.lower() not in HOP}
            connection.request(asked.command, asked.path, body, headers)
            answer = connection.getresponse()
            said = answer.read()
            return answer.status, [one for one in answer.getheaders() if one[0].lower() not in HOP], said
        finally:
            connection.close()
