"""The one place that wires settings to implementations, and runs roles side by side."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from analytics.rates.worker import RatesWorker
from analytics.roles.foresight import Foresight, ForesightRole
from analytics.roles.worker import AnalyticsWorker
from api.app import create_app
from api.console.backing import Console
from api.server import ApiRole
from api.signing import signing_of
from cli.options import broker_of
from dispatch.channels import LogChannel
from dispatch.notifier import Notifier
from dispatch.worker import DispatchWorker
from heatwatch import __version__
from heatwatch.broker import Address
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.temperature import Standard
from heatwatch.errors import BadInput, Damaged, Unavailable
from heatwatch.files.findings_file import csv_text
from heatwatch.files.rules_file import parse_standard, rules_text, time_zone
from heatwatch.records.database import Records
from heatwatch.records.progress import progress
from heatwatch.records.schema import ReadingCount
from heatwatch.settings import ClockKind, Settings
from heatwatch.stores.embedded import EmbeddedReadings
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.delivery import DeliverySummary, identities, stored_up_to
from heatwatch.usecases.findings import findings
from heatwatch.usecases.outcome import findings_frame
from heatwatch.usecases.roles import Bell, Line, Role
from heatwatch.usecases.rules import record_rules
from ingest.broker import EmbeddedBroker
from ingest.journal import Journal
from ingest.worker import MB, IngestWorker

log = logging.getLogger(__name__)

ROLES = ("ingest", "analytics", "rates", "foresight", "dispatch", "notifier", "api")
LAST_ROLE = "dispatch"
CONNECT_S = 10.0
"""How long a start waits for the broker, so that nothing published after it said that it runs is missed."""


def wall_clock() -> int:
    """Return the time [ms]: the only place that asks the machine for it."""
    return time.time_ns() // 1_000_000


@contextmanager
def open_records(settings: Settings) -> Iterator[Records]:
    """Open the records, brought up to this version's tables.

    Raises
    ------
    BadInput
        If the data folder cannot be one.
    """
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot be the data folder: {error.strerror}", where=str(settings.data_dir)) from error
    records = Records(settings.records_url)
    try:
        records.migrate()
        yield records
    finally:
        records.close()


def _check_store(settings: Settings, store: ReadingStore, records: Records) -> None:
    """Refuse a store that has lost what the records say was stored in it."""
    with records.read() as session:
        stored = session.scalar(select(func.sum(ReadingCount.stored))) or 0
    if stored and store.empty():
        raise Damaged(
            f"holds no reading, though {stored} were stored: restore it from the backup",
            where=str(settings.readings_path),
        )


def _warn_of_other_journals(settings: Settings, records: Records) -> None:
    """Say which journals of other workers hold messages that nobody stores."""
    for folder in sorted({path.parent for path in settings.journal_dir.parent.glob("*/*.journal")}):
        if folder.name != settings.worker and (waiting := _waiting(settings, folder, records)):
            log.warning("journal %s: %s wait for a worker of the name %s", folder, waiting, folder.name)


def _waiting(settings: Settings, folder: Path, records: Records) -> str:
    """Say how much of a journal waits; nothing where all is stored, or its worker is at work."""
    try:
        with Journal(folder, limit_bytes=settings.journal_limit_mb * MB) as journal, records.read() as session:
            waiting = journal.last_sequence - stored_up_to(session, folder.name)
    except Unavailable:
        return ""
    except Damaged as error:
        return f"what is left of its messages ({error})"
    return f"{waiting} messages" if waiting > 0 else ""


@dataclass
class Service:
    """Every role of one `serve`, its broker and its stores; a context manager that starts and ends them.

    An exception in one role stops the others; `failure` then holds it. Without `console` there is neither console nor
    API: nothing listens, and nobody is notified, as in a rehearsal.
    """

    settings: Settings
    stop: threading.Event = field(default_factory=threading.Event)
    failure: BaseException | None = None
    console: bool = True

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._set_up(stack)
            self._stack = stack.pop_all()
        return self

    def _set_up(self, stack: ExitStack) -> None:
        settings = self.settings
        rules, text = rules_text(settings.rules)
        standard = self.standard = parse_standard(text, where=rules)
        zone = time_zone(settings.timezone)
        self._threads: list[threading.Thread] = []
        self.records = stack.enter_context(open_records(settings))
        with self.records.write() as session:
            record_rules(session, rules, text, wall_clock())
        self.store = stack.enter_context(closing(EmbeddedReadings(settings.readings_path)))
        _check_store(settings, self.store, self.records)
        _warn_of_other_journals(settings, self.records)
        self._address = self._broker(stack)
        arrived, found, dispatched = Bell(), Bell(), Bell()
        clock = None if settings.clock is ClockKind.REPLAY else wall_clock
        host, port = self.broker
        access = self._address.access
        lines = [Line(hears=dispatched, rings=arrived), Line(hears=arrived, rings=found)]
        lines.append(Line(hears=found, rings=dispatched))
        self.ingest = IngestWorker(settings, self.records, self.store, lines[0], host, port, wall_clock, access)
        analytics = AnalyticsWorker(
            self.records,
            self.store,
            standard,
            zone,
            lines[1],
            wall_clock=clock,
            judge_every_s=settings.judge_every_s,
            late_days=settings.late_days,
        )
        dispatch = DispatchWorker(
            self.records,
            self.store,
            standard,
            lines[2],
            timezone=settings.timezone,
            company=settings.company_name,
            hotline=settings.hotline,
            wall_clock=clock,
        )
        foresight = Foresight(self.records, self.store, standard, zone, settings.late_days)
        roles: list[Role] = [self.ingest, analytics, dispatch]
        if self.console:
            channel = LogChannel(settings.notifications_path)
            roles.append(Notifier(self.records, channel, Line(hears=dispatched, rings=Bell()), wall_clock))
            roles.append(self._rates(standard, zone, Line(hears=found, rings=Bell())))
            self.api = ApiRole(self._app(standard, zone), settings.api_host, settings.api_port)
            self.api.bind()
            roles.append(self.api)
            roles.append(ForesightRole(foresight, Bell()))
        stack.callback(self._end_roles)
        self._threads = [self._thread(role) for role in roles]
        for thread in self._threads:
            thread.start()
        if not wait_until(lambda: self.ingest.connected or self.stop.is_set(), CONNECT_S):
            log.warning("the broker at %s does not answer yet; ingest goes on trying", self.broker_url)

    def _rates(self, standard: Standard, zone: ZoneInfo, line: Line) -> RatesWorker:
        every_min, late_days = self.settings.rates_every_min, self.settings.late_days
        return RatesWorker(self.records, self.store, standard, zone, line, every_min=every_min, late_days=late_days)

    def _broker(self, stack: ExitStack) -> Address:
        if self.settings.broker != "embedded":
            return broker_of(self.settings)
        broker = stack.enter_context(EmbeddedBroker(self.settings.broker_port))
        return Address(broker.host, broker.port)

    def _app(self, standard: Standard, zone: ZoneInfo) -> Any:
        return create_app(
            self.records,
            self.store,
            lambda: self.ingest.journal_last_sequences,
            self.now_ms,
            __version__,
            delivery=lambda: self.delivery().as_dict(),
            findings_csv=self.findings_csv,
            standard=standard,
            signing=signing_of(self.settings, wall_clock),
            checks=self._checks(),
            console=self._console_of(standard, zone),
        )

    def _console_of(self, standard: Standard, zone: ZoneInfo) -> Console:
        settings = self.settings
        return Console(
            self.records,
            self.store,
            standard,
            zone,
            self.now_ms,
            settings.company_name,
            replayed=settings.clock is ClockKind.REPLAY,
            auto_sign_in=settings.auto_sign_in,
        )

    def _checks(self) -> dict[str, Callable[[], bool]]:
        """Return what tells of each role, and of the broker, whether it works."""
        checks = {name: partial(self._works, name) for name in ROLES}
        return {**checks, "broker": lambda: self.ingest.connected}

    def _works(self, role: str) -> bool:
        return any(thread.name == f"role-{role}" and thread.is_alive() for thread in self._threads)

    def _thread(self, role: Role) -> threading.Thread:
        def work() -> None:
            try:
                role.run(self.stop)
            except BaseException as error:
                log.exception("role %s failed", role.name)
                self.failure = self.failure or error
            finally:
                self.stop.set()

        return threading.Thread(target=work, name=f"role-{role.name}")

    def _end_roles(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def api_url(self) -> str:
        """Where the API answers."""
        return f"http://{self.settings.api_host}:{self.api.bound_port}"

    @property
    def broker(self) -> tuple[str, int]:
        """Host and port of the broker."""
        return self._address.host, self._address.port

    @property
    def broker_url(self) -> str:
        """Where thermometers publish."""
        return self._address.url

    def now_ms(self) -> int | None:
        """Return the clock of this service [ms]; None before a replay has begun."""
        if self.settings.clock is ClockKind.WALL:
            return wall_clock()
        with self.records.read() as session:
            done = progress(session, LAST_ROLE)
            return None if done is None else done.as_of_ms

    def delivery(self) -> DeliverySummary:
        """Return the two lines of the delivery identity.

        The journal's length is read first: what is stored in between can only make `waiting` smaller, and is seen
        as waiting at worst.
        """
        with self.records.read() as session:
            return identities(session, self.ingest.journal_last_sequences)

    def findings_csv(self, kind: FindingKind, stations: Collection[str] | None = None) -> bytes:
        """Return the findings of a kind, of some stations or of all, as the very file that `judge` writes."""
        with self.records.read() as session:
            done = progress(session, "analytics")
            as_of_ms = None if done is None else done.as_of_ms
            frame = findings_frame(kind, findings(session, kind=kind, stations=stations), as_of_ms)
        return csv_text(kind, frame).encode()


def wait_until(condition: Callable[[], bool], timeout_s: float, every_s: float = 0.02) -> bool:
    """Return whether `condition` came true within `timeout_s` seconds."""
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(every_s)
    return True
