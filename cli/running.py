"""`heatwatch serve` and `heatwatch demo`."""

from __future__ import annotations

import _thread
import contextlib
import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from cli.narrator import Narrator
from cli.opening import wall_clock
from cli.simulating import span_ms, speed_of
from cli.wiring import Service, roles_of, wait_until
from heatwatch.domain.instants import DAY_MS, MINUTE_MS
from heatwatch.domain.notices import NoticeKind
from heatwatch.domain.people import Role
from heatwatch.errors import HeatwatchError
from heatwatch.logs import configure
from heatwatch.records.schema import UserRow
from heatwatch.settings import EMBEDDED, ClockKind, Settings, StoreKind
from heatwatch.usecases.notices import count_published
from heatwatch.usecases.people import Change, add_user
from heatwatch.usecases.register import import_register
from heatwatch.usecases.tickets import HEATWATCH, count_tickets
from simulators.crew import Crew
from simulators.publishing.publisher import SteppedPublisher
from simulators.publishing.replay import simulate
from simulators.towns.settings import TownSettings
from simulators.towns.town import Town

DRAIN_S = 30.0
FOREVER_MS = 3650 * DAY_MS
STEP_MS = 5 * MINUTE_MS
"""How far the clock of the demo moves at once: the time between two readings of a thermometer."""
OUTAGE_AFTER_H = 0.5
"""How soon a building of the demo loses its heat [h]: its notice is to be seen within a minute."""
VISITOR = "demo"
"""The user as whom a demo signs in whoever looks at it."""


@contextlib.contextmanager
def stopping_on_signals(stop: threading.Event) -> Iterator[None]:
    """Set `stop` when asked to end (Ctrl-C, SIGTERM).

    Not in the handler itself: it interrupts this very thread, which may hold the lock of `stop` while it waits.
    """

    def ask(_signal: int, _frame: object) -> None:
        _thread.start_new_thread(stop.set, ())

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the journal, store and records.")
@click.option("--broker", help="`embedded`, or mqtt://host:port.")
@click.option("--broker-port", type=int, help="Port of the embedded broker; 0 takes a free one.")
@click.option("--api-port", type=int, help="Port of the API; 0 takes a free one.")
@click.option("--clock", type=click.Choice([str(kind) for kind in ClockKind]), help="The wall's, or a replay's.")
@click.option("--rules", type=click.Path(path_type=Path), help="Rules file.")
@click.option("--timezone", help="Zone of the local hours that rules name.")
@click.option("--role", help="Roles of this process, as in ingest,analytics; all of them where none is named.")
@click.option("--json", "as_json", is_flag=True, help="Say where it listens as JSON.")
def serve(role: str | None, *, as_json: bool, **flags: Any) -> None:
    """Run roles in this process: ingest, analytics, dispatch, the API, and with an InfluxDB the feed of Grafana."""
    settings = Settings.read(**flags)
    roles = roles_of(settings, None if role is None else [name.strip() for name in role.split(",")])
    _log(settings)
    stop = threading.Event()
    with stopping_on_signals(stop), Service(settings, stop, roles=roles) as service:
        where = {"broker": service.broker_url, "api": service.api_url, "data_dir": str(settings.data_dir)}
        told = [f"roles {','.join(sorted(roles))}"]
        told += [f"broker {service.broker_url}"] if service.broker_url else []
        told += [f"{'console' if 'api' in roles else 'health'} {service.api_url}/"] if service.api_url else []
        told.append(f"data in {settings.data_dir}")
        click.echo(json.dumps({**where, "roles": sorted(roles)}) if as_json else ", ".join(told))
        if "api" in roles:
            _say_who_may_come(service)
        stop.wait()
    _raise_failure(service)


@click.command()
@click.option("--rooms", type=click.IntRange(1), default=120, show_default=True)
@click.option("--speed", default="900", show_default=True, help="Simulated seconds a second, or max.")
@click.option("--for", "length", help="End after this long, for example 90s.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--port", type=int, default=8000, show_default=True, help="Port of the API; 0 takes a free one.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path("heatwatch-demo"),
    show_default=True,
    help="Where the town's data stay; a demo started again goes on from there.",
)
@click.option("--crew/--no-crew", default=True, show_default=True, help="Simulated people who work on tickets.")
@click.option("--json", "as_json", is_flag=True, help="Print only the summary, as JSON.")
def demo(
    rooms: int, speed: str, length: str | None, seed: int, port: int, data_dir: Path, *, crew: bool, as_json: bool
) -> None:
    """Run a simulated town with everything embedded: broker, ingest, store, judging, tickets and the console."""
    pace = speed_of(speed)
    length_s = span_ms(length, "--for") / 1000 if length else None
    town = Town(TownSettings(seed=seed, rooms=rooms, outage_after_h=OUTAGE_AFTER_H))
    settings = Settings.read(
        store=StoreKind.EMBEDDED,
        records=EMBEDDED,
        shared_group="",
        data_dir=data_dir,
        broker="embedded",
        broker_port=0,
        api_host="127.0.0.1",
        api_port=port,
        clock=ClockKind.REPLAY,
        auto_sign_in=VISITOR,
        company_name="演示供热公司",
    )
    _log(settings)
    stop = threading.Event()
    with stopping_on_signals(stop), Service(settings, stop) as service:
        with service.records.write() as session:
            import_register(session, town.points(), f"town of seed {seed}", "", wall_clock())
            _admit_visitor(session)
        narrator = None if as_json else Narrator(service, town)
        if narrator is not None:
            narrator.greet()
        people = Crew(service.records, service.standard, seed) if crew else None
        _live(service, town, pace, length_s, _each_look(service, narrator, people))
        summary, holds = _summary(service)
        if narrator is not None:
            narrator.tell()
    click.echo(json.dumps(summary) if as_json else f"ended: {json.dumps(summary)}")
    _raise_failure(service)
    if not holds:
        raise HeatwatchError("the delivery identities do not hold")


def _say_who_may_come(service: Service) -> None:
    with service.records.read() as session:
        known = session.scalar(select(UserRow.id).where(UserRow.active).limit(1))
    if known is None:
        click.echo("Nobody can sign in yet: heatwatch users add NAME --role company", err=True)


def _admit_visitor(session: Session) -> None:
    """Let whoever opens the console of a demo be signed in, as a dispatcher."""
    if session.scalar(select(UserRow.id).where(UserRow.name == VISITOR)) is None:
        dispatcher = Change(role=Role.DISPATCH, display_name="演示调度员")
        add_user(session, VISITOR, dispatcher, by=HEATWATCH, now_ms=wall_clock())


def _log(settings: Settings) -> None:
    level = settings.log_level
    configure(settings.log_format, level=None if level is None else logging.getLevelNamesMapping()[level.upper()])


def _each_look(service: Service, narrator: Narrator | None, people: Crew | None) -> Callable[[], None]:
    """Return what happens twice a second while a demo runs."""

    def look() -> None:
        now_ms = service.now_ms()
        if people is not None and now_ms is not None:
            people.work(now_ms)
        if narrator is not None:
            narrator.tell()

    return look


def _live(service: Service, town: Town, speed: float | None, length_s: float | None, look: Callable[[], None]) -> None:
    """Let the town measure until told to stop, or for `length_s` seconds."""
    host, port = service.broker
    until = None if length_s is None else time.monotonic() + length_s
    start_ms = max(service.now_ms() or 0, town.settings.start_ms)
    publisher = SteppedPublisher(host, port, run=f"demo-{start_ms}-{wall_clock()}", speed=speed, step_ms=STEP_MS)
    failed: list[BaseException] = []

    def publish() -> None:
        try:
            simulate(town, publisher, start_ms, start_ms + FOREVER_MS, supply=True)
        except BaseException as error:  # noqa: BLE001 - told below, in the main thread
            failed.append(error)
            service.stop.set()

    with publisher:
        thread = threading.Thread(target=publish, name="town")
        thread.start()
        while not service.stop.wait(0.5) and (until is None or time.monotonic() < until):
            look()
        publisher.stop()
        thread.join()
    if failed and service.failure is None:
        service.failure = failed[0]


def _summary(service: Service) -> tuple[dict[str, Any], bool]:
    """Wait until nothing is on its way any more, then count; say whether both identities hold."""
    wait_until(lambda: service.stop.is_set() or service.delivery().messages["waiting"] == 0, DRAIN_S)
    delivery = service.delivery()
    with service.records.read() as session:
        counts = {"tickets": count_tickets(session), "notices": count_published(session, NoticeKind.STOP)}
    return {**delivery.as_dict(), **counts}, delivery.holds


def _raise_failure(service: Service) -> None:
    if isinstance(service.failure, HeatwatchError):
        raise service.failure
    if service.failure is not None:
        raise HeatwatchError(f"a role failed: {service.failure!r}") from service.failure
