"""The one place that wires settings to implementations, and runs roles side by side."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, closing
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
from api.grafana import webhook_of
from api.observing import Watched, observing_app
from api.server import ApiRole
from api.signing import signing_of
from cli.backing_up import installation_of
from cli.opening import long_looks, open_records, open_store, wall_clock
from cli.options import broker_of
from dashboards.feed.worker import FeedWorker
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
from heatwatch.settings import EMBEDDED, ClockKind, Settings
from heatwatch.stores.influx.connecting import connect
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.backup.role import BackupRole
from heatwatch.usecases.delivery import DeliverySummary, identities, stored_up_to
from heatwatch.usecases.findings import findings
from heatwatch.usecases.outcome import findings_frame
from heatwatch.usecases.roles import LOOK_AGAIN_S, Bell, Line, Role
from heatwatch.usecases.rules import record_rules
from ingest.broker import EmbeddedBroker
from ingest.inspecting import inspect, is_held
from ingest.worker import IngestWorker

log = logging.getLogger(__name__)

ROLES = ("ingest", "analytics", "dispatch", "api", "feed")
"""What a process may be told to do; some of them are several threads."""
THREADS = {"analytics": ("analytics", "rates", "foresight"), "dispatch": ("dispatch", "notifier")}
"""Roles that are several threads, by their names."""
LAST_ROLE = "dispatch"
CONNECT_S = 10.0
"""How long a start waits for the broker, so that nothing published after it said that it runs is missed."""
RECORDS_S, RECORDS_WAIT_S = 60.0, 3.0
"""How long a start waits for records on a server, and how long at most between two attempts."""


def _check_store(settings: Settings, store: ReadingStore, records: Records) -> None:
    """Refuse a store that has lost what the records say was stored in it; one that does not answer is awaited."""
    try:
        with records.read() as session:
            stored = session.scalar(select(func.sum(ReadingCount.stored))) or 0
        lost = bool(stored) and store.empty()
    except Unavailable as error:
        log.warning("%s; until it does, messages wait in the journal", error)
        return
    if lost:
        raise Damaged(
            f"holds no reading, though {stored} were stored: restore it from the backup",
            where=str(settings.readings_path if settings.one_process else settings.influx_url),
        )


def _warn_of_other_journals(settings: Settings, records: Records) -> None:
    """Say which journals of other workers hold messages that nobody stores."""
    for folder in sorted({path.parent for path in settings.journal_dir.parent.glob("*/*.journal")}):
        if folder.name != settings.worker and (waiting := _waiting(folder, records)):
            log.warning("journal %s: %s wait for a worker of the name %s", folder, waiting, folder.name)


def _waiting(folder: Path, records: Records) -> str:
    """Say how much of a journal waits; nothing where all is stored, or its worker is at work.

    It is not opened, which would hold it: its worker may be starting at this very moment.
    """
    try:
        found = inspect(folder)
        with records.read() as session:
            stored = stored_up_to(session, folder.name)
    except Unavailable:
        return ""
    if found is None or not (found.damage or found.last > stored) or is_held(folder):
        return ""
    return f"what is left of its messages ({found.damage})" if found.damage else f"{found.last - stored} messages"


def roles_of(settings: Settings, asked: Collection[str] | None = None) -> frozenset[str]:
    """Return the roles of a process: those asked for, or all that these settings can have.

    Raises
    ------
    BadInput
        If there is no such role, or these settings cannot have it, or not without the others.
    """
    possible = frozenset(ROLES) - ({"feed"} if settings.one_process else set())
    roles = possible if asked is None else frozenset(asked)
    if unknown := sorted(roles - set(ROLES)):
        raise BadInput(f"{unknown[0]!r} is no role", where="--role", mend=",".join(sorted(possible)))
    if not roles:
        raise BadInput("no role", where="--role", mend=",".join(sorted(possible)))
    if settings.one_process and roles != possible:
        what = "the embedded store of readings is for one process with the roles " + ",".join(sorted(possible))
        raise BadInput(what, where="--role", mend="set `store` to an InfluxDB for a process each")
    if "ingest" not in roles:
        return roles
    if settings.broker == EMBEDDED and roles != possible:
        raise BadInput("an embedded broker is for one process with every role", where="broker")
    if settings.shared_group and settings.clock is ClockKind.REPLAY:
        raise BadInput("the ticks of a replay cannot be shared", where="shared_group", mend="leave it empty")
    return roles


class _Bells:
    """By which roles of one process wake each other; one that is elsewhere finds out by looking."""

    def __init__(self) -> None:
        self.arrived, self.found, self.dispatched = Bell(), Bell(), Bell()


@dataclass
class Service:
    """The roles of one `serve`, its broker and its stores; a context manager that starts and ends them.

    An exception in one role stops the others; `failure` then holds it. Without `console` there is neither console nor
    API: nothing listens, and nobody is notified, as in a rehearsal.

    Attributes
    ----------
    roles
        What this process does; None for all that the settings can have.
    """

    settings: Settings
    stop: threading.Event = field(default_factory=threading.Event)
    failure: BaseException | None = None
    console: bool = True
    roles: frozenset[str] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._set_up(stack)
            self._stack = stack.pop_all()
        return self

    def _set_up(self, stack: ExitStack) -> None:
        settings = self.settings
        self._mine = roles_of(settings, self.roles)
        rules, text = rules_text(settings.rules)
        standard = self.standard = parse_standard(text, where=rules)
        zone = time_zone(settings.timezone)
        self._threads: list[threading.Thread] = []
        self.records = self._records_with(stack, rules, text)
        self.store = stack.enter_context(open_store(settings, self.records))
        _check_store(settings, self.store, self.records)
        self.ingest: IngestWorker | None = None
        self.listener: ApiRole | None = None
        made = {
            "ingest": self._ingest,
            "analytics": self._analytics,
            "dispatch": self._dispatch,
            "feed": self._feed,
            "api": self._api,
        }
        bells = _Bells()
        roles = [
            role for name, make in made.items() if name in self._mine for role in make(stack, bells, standard, zone)
        ]
        if "api" not in self._mine and settings.health_port:
            roles.append(self._health())
        stack.callback(self._end_roles)
        self._threads = [self._thread(role) for role in roles]
        for thread in self._threads:
            thread.start()
        ingest = self.ingest
        if ingest and not wait_until(lambda: ingest.connected or self.stop.is_set(), CONNECT_S):
            log.warning("the broker at %s does not answer yet; ingest goes on trying", self.broker_url)

    def _records_with(self, stack: ExitStack, rules: str, text: str) -> Records:
        """Open the records and put the rules in force; a server that keeps them is awaited, for a while.

        All processes of an installation may start at once, its databases too. Whoever waits in vain has to be told:
        a wrong password looks no other than a server that is away.

        Raises
        ------
        Unavailable
            If the records still do not answer, or this is to end; those in a file of ours are not awaited.
        """
        until_s, wait_s = time.monotonic() + RECORDS_S, LOOK_AGAIN_S
        while True:
            try:
                with ExitStack() as opened:
                    records = opened.enter_context(open_records(self.settings))
                    with records.write() as session:
                        record_rules(session, rules, text, wall_clock())
                    stack.enter_context(opened.pop_all())
                    return records
            except Unavailable as error:
                if self.settings.records == EMBEDDED or self.stop.is_set() or time.monotonic() > until_s:
                    raise
                log.warning("start waits %.1f s: %s", wait_s, error)
                self.stop.wait(wait_s)
                wait_s = min(2 * wait_s, RECORDS_WAIT_S)

    def _ingest(self, stack: ExitStack, bells: _Bells, _standard: Standard, _zone: ZoneInfo) -> Iterator[Role]:
        settings = self.settings
        _warn_of_other_journals(settings, self.records)
        self._address = self._broker(stack)
        line = Line(hears=bells.dispatched, rings=bells.arrived)
        host, port, access = self._address.host, self._address.port, self._address.access
        self.ingest = IngestWorker(settings, self.records, self.store, line, host, port, wall_clock, access)
        yield self.ingest

    def _analytics(self, _stack: ExitStack, bells: _Bells, standard: Standard, zone: ZoneInfo) -> Iterator[Role]:
        settings, store = self.settings, long_looks(self.settings, self.store)
        yield AnalyticsWorker(
            self.records,
            store,
            standard,
            zone,
            Line(hears=bells.arrived, rings=bells.found),
            wall_clock=self._clock(),
            judge_every_s=settings.judge_every_s,
            late_days=settings.late_days,
        )
        if self.console:
            yield RatesWorker(
                self.records,
                store,
                standard,
                zone,
                Line(hears=bells.found, rings=Bell()),
                every_min=settings.rates_every_min,
                late_days=settings.late_days,
            )
            yield ForesightRole(Foresight(self.records, store, standard, zone, settings.late_days), Bell())
            if settings.one_process:
                yield BackupRole(installation_of(settings, self.records, self.store), Bell())

    def _dispatch(self, _stack: ExitStack, bells: _Bells, standard: Standard, _zone: ZoneInfo) -> Iterator[Role]:
        settings = self.settings
        yield DispatchWorker(
            self.records,
            self.store,
            standard,
            Line(hears=bells.found, rings=bells.dispatched),
            timezone=settings.timezone,
            company=settings.company_name,
            hotline=settings.hotline,
            wall_clock=self._clock(),
        )
        if self.console:
            channel = LogChannel(settings.notifications_path)
            yield Notifier(self.records, channel, Line(hears=bells.dispatched, rings=Bell()), wall_clock)

    def _feed(self, stack: ExitStack, bells: _Bells, standard: Standard, zone: ZoneInfo) -> Iterator[Role]:
        if self.console:
            yield FeedWorker(
                self.records,
                self.store,
                stack.enter_context(closing(connect(self.settings))),
                standard,
                zone,
                Line(hears=bells.dispatched, rings=Bell()),
                wall_clock=self._clock(),
                late_days=self.settings.late_days,
            )

    def _api(self, _stack: ExitStack, _bells: _Bells, standard: Standard, zone: ZoneInfo) -> Iterator[Role]:
        if self.console:
            self.listener = ApiRole(self._app(standard, zone), self.settings.api_host, self.settings.api_port)
            self.listener.bind()
            yield self.listener

    def _health(self) -> Role:
        """Return what tells of a process that has no API."""
        watched = Watched(self.records, self.store, self._checks(), self.now_ms, self._journals)
        self.listener = ApiRole(observing_app(watched), self.settings.health_host, self.settings.health_port)
        self.listener.bind()
        return self.listener

    def _clock(self) -> Callable[[], int] | None:
        return None if self.settings.clock is ClockKind.REPLAY else wall_clock

    def _journals(self) -> Mapping[str, int]:
        return {} if self.ingest is None else self.ingest.journal_last_sequences

    def _broker(self, stack: ExitStack) -> Address:
        if self.settings.broker != EMBEDDED:
            return broker_of(self.settings)
        broker = stack.enter_context(EmbeddedBroker(self.settings.broker_port))
        return Address(broker.host, broker.port)

    def _app(self, standard: Standard, zone: ZoneInfo) -> Any:
        return create_app(
            self.records,
            self.store,
            self._journals,
            self.now_ms,
            __version__,
            delivery=lambda: self.delivery().as_dict(),
            findings_csv=self.findings_csv,
            standard=standard,
            signing=signing_of(self.settings, wall_clock),
            webhook=webhook_of(self.settings, wall_clock),
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
        names = [name for role in ROLES if role in self._mine for name in THREADS.get(role, (role,))]
        checks: dict[str, Callable[[], bool]] = {name: partial(self._works, name) for name in names}
        if (ingest := self.ingest) is not None:
            checks["broker"] = lambda: ingest.connected
        return checks

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
        """Where the API answers; in a process without it, where that one tells of itself."""
        host = self.settings.api_host if "api" in self._mine else self.settings.health_host
        return "" if self.listener is None else f"http://{host}:{self.listener.bound_port}"

    @property
    def broker(self) -> tuple[str, int]:
        """Host and port of the broker."""
        return self._address.host, self._address.port

    @property
    def broker_url(self) -> str:
        """Where thermometers publish; empty in a process that takes nothing in."""
        return "" if self.ingest is None else self._address.url

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
            return identities(session, self._journals())

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
