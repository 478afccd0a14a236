"""The embedded broker is for this machine only, and never outlives the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from heatwatch.errors import BadInput
from ingest.broker import EmbeddedBroker
from tests.ingest.station import publisher
from tests.peers import HOST, free_port, listens, wait_for

HOLD_OPEN = """
import sys, time
from ingest.broker import EmbeddedBroker

with EmbeddedBroker() as broker:
    print(broker.port, broker._broker._process.pid, flush=True)
    time.sleep(60)
"""


def alive(process: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(process, 0)
        return True
    return False


def test_it_listens_on_this_machine_only() -> None:
    with EmbeddedBroker() as broker:
        assert listens(HOST, broker.port)
        assert not listens("127.0.0.2", broker.port)
    assert not listens(HOST, broker.port)


def test_it_takes_the_port_that_it_is_told_and_says_so_where_it_is_taken() -> None:
    port = free_port()
    with EmbeddedBroker(port) as broker:
        assert (broker.host, broker.port) == (HOST, port)
        with pytest.raises(BadInput, match=f"broker_port: port {port} is taken"), EmbeddedBroker(port):
            pass


def test_it_takes_a_large_batch_of_a_gateway() -> None:
    payload = b"x" * 1_000_000
    got: list[int] = []
    with EmbeddedBroker() as broker:
        listening = {"on_message": lambda _topic, body: got.append(len(body)), "topic": "heat/#"}
        with publisher(broker.port, **listening), publisher(broker.port) as sender:
            sender.send(payload)
            wait_for(lambda: got == [len(payload)])


def test_it_does_not_hear_an_interrupt_meant_for_its_parent() -> None:
    """Ctrl-C reaches every process of a terminal; what is still to be drained needs the broker."""
    with EmbeddedBroker() as broker:
        process = broker._broker._process
        assert process is not None
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        assert listens(HOST, broker.port)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_it_goes_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD_OPEN], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        port, child = map(int, parent.stdout.readline().split())
        assert alive(child)
        assert listens(HOST, port)
        parent.kill()
    wait_for(lambda: not listens(HOST, port))
