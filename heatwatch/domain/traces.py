"""One id from a message to its ticket.

A message's id is `{worker}/{sequence}`: whose journal has it, and where. What is stored together is traced together:
the trace of a commit is the id of the last message in it, and goes with the arrival to the findings that it led to,
and with these to their tickets.
"""

from __future__ import annotations

from collections.abc import Callable

from heatwatch.domain.findings import Finding

Traced = Callable[[Finding], str]
"""Gives the trace of what a finding says now."""

CLOCK = "clock"
"""The trace of what no message led to: time has passed, or register or rules have changed."""


def trace_of(worker: str, sequence: int) -> str:
    """Return a message's id.

    >>> trace_of("ingest-1", 812)
    'ingest-1/812'
    """
    return f"{worker}/{sequence}"


def kept_on(before: str, trace: str) -> str:
    """Return the trace of an issued finding after a change: what no message led to leaves it as it was.

    >>> kept_on("ingest-1/812", "ingest-1/900"), kept_on("ingest-1/812", CLOCK), kept_on("", CLOCK)
    ('ingest-1/900', 'ingest-1/812', 'clock')
    """
    return before if before and trace == CLOCK else trace
