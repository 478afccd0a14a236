"""Every check of the doctor's, in the order in which they are told: a new one is a function, and a line here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from cli.doctoring import broker, flowing, keeping, machine, readings
from cli.doctoring.patient import Patient, UnseenError
from cli.doctoring.said import Said, bad, skip
from heatwatch.errors import BadInput, Damaged, HeatwatchError, Unavailable

TIMEOUT_S = 15.0
LONG_S = 60.0
DEEP_S = 3600.0
"""For what reads everything, where that is asked for."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is looked at.

    Attributes
    ----------
    name
        As it is told.
    look
        Looks, and gives a line for each matter; what it raises becomes a line too.
    timeout_s
        After how long it is given up [s].
    reads_all
        Whether it reads everything where that is asked for, and may take long then.
    """

    name: str
    look: Callable[[Patient], Iterable[Said]]
    timeout_s: float = TIMEOUT_S
    reads_all: bool = False


CHECKS = (
    Check("settings", machine.settings),
    Check("data folder", machine.data_folder),
    Check("disk", machine.disk),
    Check("clock", machine.clock),
    Check("secrets", machine.secrets),
    Check("certificates", machine.certificates),
    Check("serve", machine.serve),
    Check("records", keeping.records),
    Check("integrity", keeping.integrity, LONG_S, reads_all=True),
    Check("audit", keeping.audit, reads_all=True),
    Check("postgresql", keeping.postgresql),
    Check("rules", machine.rules),
    Check("register", keeping.register),
    Check("users", keeping.users),
    Check("store", readings.store),
    Check("rights", readings.rights),
    Check("retention", readings.retention),
    Check("readings", readings.emptiness),
    Check("broker", broker.broker),
    Check("session", broker.session, LONG_S),
    Check("subscription", broker.subscription),
    Check("mosquitto", broker.configuration),
    Check("journal", flowing.journal, LONG_S, reads_all=True),
    Check("other journals", flowing.other_journals, LONG_S),
    Check("waiting", flowing.waiting, LONG_S, reads_all=True),
    Check("roles", flowing.roles),
    Check("quarantine", flowing.quarantine),
    Check("delivery", flowing.delivery, LONG_S, reads_all=True),
    Check("outbox", flowing.outbox),
    Check("clocks", flowing.clocks),
    Check("stations", flowing.stations, LONG_S),
)


def examine(patient: Patient, checks: Sequence[Check] = CHECKS) -> Iterator[tuple[Check, list[Said]]]:
    """Look at one thing after the other; one that fails, or never ends, stops none of the others."""
    for check in checks:
        timeout_s = DEEP_S if patient.deep and check.reads_all else check.timeout_s
        yield check, _within(check, patient, timeout_s)


def _within(check: Check, patient: Patient, timeout_s: float) -> list[Said]:
    said: list[Said] = []
    at_work = threading.Thread(target=lambda: said.extend(_look(check, patient)), name=check.name, daemon=True)
    at_work.start()
    at_work.join(timeout_s)
    if at_work.is_alive():
        return [bad(f"no answer within {timeout_s:g} s", "something hangs there: look at what it asks, and its log")]
    return said


def _look(check: Check, patient: Patient) -> list[Said]:
    said: list[Said] = []
    try:
        said.extend(check.look(patient))
    except Exception as error:  # noqa: BLE001 - whatever nobody thought of is one line too
        said.append(_told(error))
    return said


def _told(error: Exception) -> Said:
    if isinstance(error, UnseenError):
        return skip(str(error))
    if isinstance(error, BadInput):
        return bad(f"{error.where}: {error.what}" if error.where else error.what, error.mend or "mend it")
    if isinstance(error, Unavailable):
        return bad(_one_line(str(error)), "see whether it runs and can be reached from here, and its log")
    if isinstance(error, Damaged):
        return bad(_one_line(str(error)), "stop `serve`, keep a copy of what is there, and restore the backup")
    if isinstance(error, HeatwatchError):
        return bad(_one_line(str(error)), "")
    return bad(f"the check itself failed: {_one_line(repr(error))}", "tell the developers; look at this by hand")


def _one_line(text: str) -> str:
    return " ".join(text.split())
