"""The api role: the application behind a real server, in whatever thread runs it."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from heatwatch.errors import BadInput

_LOOK_EVERY_S = 0.05
_LAST_WORDS_S = 5


class ApiRole:
    """Serves an application over HTTP until it is told to stop.

    Parameters
    ----------
    app
        The application.
    host, port
        Where to listen; port 0 takes a free one.
    """

    name = "api"

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        self._app, self._host, self._port = app, host, port
        self._socket: socket.socket | None = None
        self._bound_port = 0
        self._started = threading.Event()

    def bind(self) -> int:
        """Take the port, if it is not taken yet, and return it.

        Raises
        ------
        BadInput
            If the address cannot be listened on.
        """
        self._listening()
        return self.bound_port

    @property
    def bound_port(self) -> int:
        """The port that it listens on, or last did; 0 before it is bound."""
        return self._bound_port

    def wait_started(self, timeout_s: float) -> bool:
        """Return whether it answers, at the latest after `timeout_s` seconds."""
        return self._started.wait(timeout_s)

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set, then let running requests end; streams look at `app.state.stopping`."""
        self.bind()
        self._app.state.stopping = stop
        try:
            asyncio.run(self._serve(stop))
        finally:
            self._started.clear()
            self.close()

    def close(self) -> None:
        """Give the port back, also if it was bound and never run."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _serve(self, stop: threading.Event) -> None:
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=_LAST_WORDS_S,
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve([self._listening()]), name="api server")
        while not serving.done():
            if server.started:
                self._started.set()
            server.should_exit = stop.is_set()
            await asyncio.wait([serving], timeout=_LOOK_EVERY_S)
        await serving

    def _listening(self) -> socket.socket:
        if self._socket is None:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            try:
                self._socket = socket.create_server((self._host, self._port), family=family)
            except OSError as error:
                raise _refused(self._host, self._port, error) from error
            self._bound_port = self._socket.getsockname()[1]
        return self._socket


class _Server(uvicorn.Server):
    """A server that leaves signals to the process that it is a part of."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _refused(host: str, port: int, error: OSError) -> BadInput:
    taken = error.errno == errno.EADDRINUSE
    what = "something listens there already" if taken else error.strerror or str(error)
    return BadInput(what, where=f"{host}:{port}", mend="choose another api_host or api_port")
