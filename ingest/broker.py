"""The broker of a single process, for where none is installed: `iotcore` (rumqttd) in a child process.

It listens on 127.0.0.1 only and keeps its sessions in memory: it protects from a slow or restarted ingest thread, not
from the loss of its own process. It keeps the order of messages within one subscription, not between two.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import iotcore

from heatwatch.errors import BadInput, Unavailable

HOST = "127.0.0.1"
PAYLOAD_BYTES = 1 << 20


class EmbeddedBroker:
    """A broker that lives as long as its block, and no longer than this process however it ends.

    Parameters
    ----------
    port
        Where it listens; 0 takes a free one.
    """

    host = HOST

    def __init__(self, port: int = 0) -> None:
        self.port = port or _free_port()
        self._broker = iotcore.Broker(port=self.port, listen=HOST, max_payload_size=PAYLOAD_BYTES)

    def __enter__(self) -> Self:
        """Start it, and return when it listens.

        Raises
        ------
        BadInput
            If the port is taken.
        Unavailable
            If the broker does not come up.
        """
        try:
            with _deaf_to_interrupts():
                self._broker.start()
        except OSError as error:
            raise BadInput(
                f"port {self.port} is taken", where="broker_port", mend="set another, or broker = mqtt://127.0.0.1:1883"
            ) from error
        except RuntimeError as error:
            raise Unavailable("the embedded broker", str(error)) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._broker.stop()


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Start children that do not hear Ctrl-C: it outlives what drains it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        port: int = taken.getsockname()[1]
    return port
