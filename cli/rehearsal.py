"""A rehearsal: readings run through the whole live pipeline in one process, in a clock of their own."""

from __future__ import annotations

import json
import secrets
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from paho.mqtt.client import Client as Mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from sqlalchemy import URL, select

from cli.opening import wall_clock
from cli.options import broker_of
from cli.wiring import Service, wait_until
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, iso
from heatwatch.domain.register import PointRow
from heatwatch.errors import BadInput, HeatwatchError
from heatwatch.files.outcome_files import Outcome
from heatwatch.files.points_file import read_points
from heatwatch.files.readings_file import read_readings
from heatwatch.records.database import Records
from heatwatch.records.schema import RulesInForce
from heatwatch.settings import EMBEDDED, ClockKind, Settings, StoreKind
from heatwatch.stores.embedded import EmbeddedReadings
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.outcome import Within, outcome_of
from heatwatch.usecases.register import current_register, import_register
from ingest.decoders import FIRST_MS
from simulators.publishing.encoding import Encoder, Messages
from simulators.publishing.publisher import Progress, Source, SteppedPublisher
from simulators.publishing.replay import simulate
from simulators.towns.town import Town

AS_ARRIVED, AS_MEASURED = "as-arrived", "as-measured"
STEPS = ((7 * DAY_MS, MINUTE_MS), (60 * DAY_MS, 15 * MINUTE_MS))
"""How far the clock moves at once by default, for what lasts at most so long [ms]; an hour for what lasts longer."""
EVER_MS = 10**15
MOVE_MS = HOUR_MS
ARRIVED_AHEAD_MS = 10 * MINUTE_MS
ARRIVED_LATE_MS = 6 * HOUR_MS
DRAIN_S = 30.0

Show = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Run:
    """How a rehearsal is run.

    Attributes
    ----------
    step_ms
        How far the clock moves at once [ms].
    speed
        Simulated seconds a second; None for as fast as steps are done.
    settings
        Those of the private `serve`.
    """

    step_ms: int
    speed: float | None
    settings: Settings


class Material(Protocol):
    """What is rehearsed: who is measured, and what was measured when."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def rows(self) -> Sequence[PointRow]:
        """The register; empty for none."""
        ...

    @property
    def span_ms(self) -> tuple[int, int]:
        """From when (included) to when (excluded) something is published [ms]."""
        ...

    def publish(self, publisher: SteppedPublisher, show: Show) -> Progress:
        """Publish all of it, step by step."""
        ...


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What came of a rehearsal, what was published, and the delivery identity."""

    outcome: Outcome
    done: Progress
    delivery: Mapping[str, Any]


def usual_step_ms(material: Material) -> int:
    """Return how far the clock moves at once where nothing else is said: longer for what lasts long [ms]."""
    first_ms, last_ms = material.span_ms
    return next((step_ms for most_ms, step_ms in STEPS if last_ms - first_ms <= most_ms), HOUR_MS)


def refuse_times(material: Material) -> None:
    """Refuse what begins at a time that no clock can have.

    Raises
    ------
    BadInput
        If it does.
    """
    first_ms = material.span_ms[0]
    if first_ms < FIRST_MS:
        raise BadInput(f"{iso(first_ms)} is before 2000: no clock is set so", where=material.name)


def run_through(material: Material, run: Run, stop: threading.Event, show: Show = lambda _: None) -> Rehearsed:
    """Run readings through a private `serve` and return what comes of them.

    Raises
    ------
    HeatwatchError
        If a role fails, the rehearsal is stopped, or a message is not accounted for.
    """
    with _session_forgotten(run.settings), Service(run.settings, stop, console=False) as service:
        if material.rows:
            with service.records.write() as session:
                import_register(session, material.rows, material.name, "", wall_clock())
        done = _published(service, material, run, show)
        # A step that was sent twice, after a connection that broke, may still be on its way.
        wait_until(lambda: stop.is_set() or not service.delivery().messages["waiting"], DRAIN_S)
        delivery = service.delivery()
        with service.records.read() as session:
            outcome = outcome_of(session)
    if not delivery.holds or delivery.messages["waiting"]:
        raise HeatwatchError(f"the delivery identities do not hold: {json.dumps(delivery.as_dict())}")
    return Rehearsed(outcome, done, delivery.as_dict())


def _published(service: Service, material: Material, run: Run, show: Show) -> Progress:
    host, port = service.broker
    publisher = SteppedPublisher(
        host,
        port,
        run=f"rehearsal-{secrets.token_hex(8)}",
        speed=run.speed,
        step_ms=run.step_ms,
        max_jump_ms=MOVE_MS,
        access=broker_of(run.settings).access if run.settings.broker != "embedded" else None,
    )

    def end() -> None:
        service.stop.wait()
        publisher.stop()

    watcher = threading.Thread(target=end, name="rehearsal-stop", daemon=True)
    with publisher:
        watcher.start()
        done = material.publish(publisher, show)
    if isinstance(service.failure, HeatwatchError):
        raise service.failure
    if service.failure is not None:
        raise HeatwatchError(f"a role failed: {service.failure!r}") from service.failure
    if service.stop.is_set():
        raise HeatwatchError(f"stopped at {iso(done.now_ms)}, before the end")
    return done


@contextmanager
def private_settings(
    data_dir: Path | None, broker: str | None, *, rules_text: tuple[str, str] | None = None, **flags: Any
) -> Iterator[Settings]:
    """Give the settings of a private `serve`, in a folder of its own: a temporary one where none is named.

    `rules_text`, a name and a text, holds where `flags` name no file of rules.

    Raises
    ------
    BadInput
        If the folder is an installation's already.
    """
    with ExitStack() as stack:
        if data_dir is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heatwatch-rehearsal-")))
        elif any((data_dir / name).exists() for name in ("records.sqlite", "readings.duckdb", "journal")):
            raise BadInput("holds an installation already", where=f"--data-dir {data_dir}", mend="name an empty folder")
        else:
            folder = data_dir
        if rules_text is not None and flags.get("rules") is None:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heatwatch-rules-")))
            flags["rules"] = scratch / "rules.yaml"
            flags["rules"].write_text(rules_text[1], encoding="utf-8")
        yield Settings.read(
            store=StoreKind.EMBEDDED,
            records=EMBEDDED,
            shared_group="",
            data_dir=folder,
            broker=broker or "embedded",
            broker_port=0,
            clock=ClockKind.REPLAY,
            worker=f"rehearsal-{secrets.token_hex(8)}",
            **flags,
        )


@contextmanager
def _session_forgotten(settings: Settings) -> Iterator[None]:
    """Let a broker that goes on forget, at the end, the session in which it would keep messages for this worker."""
    yield
    if settings.broker == "embedded":
        return
    address = broker_of(settings)
    mqtt = Mqtt(CallbackAPIVersion.VERSION2, settings.worker, clean_session=True, protocol=MQTTProtocolVersion.MQTTv311)
    address.access.prepare(mqtt)
    mqtt.connect(address.host, address.port)
    mqtt.loop_start()
    mqtt.disconnect()
    mqtt.loop_stop()


# --- what can be rehearsed


@dataclass(frozen=True, slots=True)
class FileMaterial:
    """Rows of a readings file.

    Attributes
    ----------
    frame
        ``moment_ms``, when each is published, in order; ``time_ms, point_id, temperature_c`` and what else
        `simulators.publishing.encoding.Encoder` knows.
    """

    name: str
    rows: Sequence[PointRow]
    frame: pd.DataFrame

    @property
    def span_ms(self) -> tuple[int, int]:
        """From the first row to the last."""
        moment_ms = self.frame["moment_ms"]
        return int(moment_ms.iloc[0]), int(moment_ms.iloc[-1]) + 1

    def publish(self, publisher: SteppedPublisher, show: Show) -> Progress:
        """Publish all rows."""
        moment_ms = self.frame["moment_ms"].to_numpy(np.int64)

        def rows(start_ms: int, end_ms: int) -> pd.DataFrame:
            first, last = np.searchsorted(moment_ms, [start_ms, end_ms])
            return self.frame.iloc[first:last]

        return _play(rows, self.rows, self.span_ms, publisher, show)


def file_material(readings: Path, points: Path | None, arrivals: str | None) -> FileMaterial:
    """Read a readings file; where it tells when each row arrived, rows come then.

    Raises
    ------
    BadInput
        If a file cannot be used.
    """
    rows = read_points(points).rows if points else ()
    frame = read_readings(readings, whole=True)
    frame["time_ms"] = _ms(frame["time"])
    if arrivals == AS_ARRIVED and "arrived" not in frame:
        raise BadInput("does not tell when rows arrived", where=str(readings), mend="leave --arrivals as-arrived out")
    frame["moment_ms"] = frame["time_ms"]
    if "arrived" in frame and arrivals != AS_MEASURED:
        known = frame["arrived"].notna()
        frame.loc[known, "moment_ms"] = _ms(frame.loc[known, "arrived"])
    ordered = frame.drop(columns=["time", "arrived"], errors="ignore")
    return FileMaterial(readings.name, rows, ordered.sort_values("moment_ms", kind="stable", ignore_index=True))


@dataclass(frozen=True, slots=True)
class TownMaterial:
    """What a simulated town sends."""

    name: str
    town: Town
    span_ms: tuple[int, int]

    @property
    def rows(self) -> Sequence[PointRow]:
        """The town's register."""
        return self.town.points()

    def publish(self, publisher: SteppedPublisher, show: Show) -> Progress:
        """Publish what it sends, as it sends it, the supply of its stations too."""
        return simulate(self.town, publisher, *self.span_ms, supply=True, progress=show)


@dataclass(frozen=True, slots=True)
class StoreMaterial:
    """What an installation stored of a span of time, under the sources of its own.

    Attributes
    ----------
    rows
        The register that is in force there.
    rules
        The rules in force there: their name and text; None where none are on record.
    within
        The span, its end excluded.
    as_arrived
        Whether rows come when they came then.
    records
        A copy of the installation's records.
    """

    name: str
    rows: Sequence[PointRow]
    rules: tuple[str, str] | None
    store: ReadingStore
    within: Within
    as_arrived: bool
    records: Records

    @property
    def span_ms(self) -> tuple[int, int]:
        """The span."""
        return self.within.start_ms, self.within.end_ms

    def publish(self, publisher: SteppedPublisher, show: Show) -> Progress:
        """Publish the rows, read slice by slice."""
        return _play(self._slice, self.rows, self.span_ms, publisher, show, until_ms=self.within.end_ms)

    def really(self) -> Outcome:
        """Return what came of it at the time."""
        with self.records.read() as session:
            return outcome_of(session, self.within)

    def _slice(self, start_ms: int, end_ms: int) -> pd.DataFrame:
        found = self.store.whole(start_ms, end_ms, by_arrival=self.as_arrived)
        frame = pd.DataFrame(
            {
                "moment_ms": found.arrived_ms if self.as_arrived else found.time_ms,
                "time_ms": found.time_ms,
                "point_id": np.array(found.source, dtype=object)[found.code],
                "temperature_c": found.temp_c,
                "humidity_pct": found.humidity_pct,
                "battery_pct": found.battery,
                "rssi_dbm": found.rssi_dbm,
                "flags": pd.Series(found.flags, dtype="str"),
            }
        )
        measured = (frame["time_ms"] >= self.within.start_ms) & (frame["time_ms"] < self.within.end_ms)
        return frame[measured].astype({"point_id": "str"})


@contextmanager
def store_material(folder: Path, start_ms: int, end_ms: int, arrivals: str | None) -> Iterator[StoreMaterial]:
    """Open the data folder of an installation that is not running, for reading only.

    Raises
    ------
    BadInput
        If it is none, or the span is empty.
    Unavailable
        If a running `serve` holds it.
    """
    where = Settings.read(data_dir=folder)
    if not where.readings_path.is_file() or not (folder / "records.sqlite").is_file():
        raise BadInput("is no data folder of heatwatch", where=f"store:{folder}")
    if end_ms <= start_ms:
        raise BadInput("the span is empty", where="--from, --to")
    with ExitStack() as stack:
        store = stack.enter_context(closing(_open_store(where.readings_path)))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heatwatch-rehearsal-")))
        records = stack.enter_context(closing(_copy_of(folder / "records.sqlite", scratch / "records.sqlite")))
        with records.read() as session:
            found = current_register(session)
            rules = session.scalar(select(RulesInForce).order_by(RulesInForce.version.desc()).limit(1))
        came = arrivals == AS_ARRIVED if arrivals else _came_live(store, start_ms, end_ms)
        yield StoreMaterial(
            f"store {folder}",
            found[1].rows if found is not None else (),
            None if rules is None else (rules.source, rules.text),
            store,
            Within(start_ms, end_ms),
            came,
            records,
        )


def _open_store(path: Path) -> EmbeddedReadings:
    try:
        return EmbeddedReadings(path, read_only=True)
    except HeatwatchError as error:
        if "another process holds it" not in str(error):
            raise
        raise BadInput(
            "a running heatwatch holds it", where=str(path), mend="stop it, or copy the folder and name the copy"
        ) from error


def _copy_of(path: Path, copy: Path) -> Records:
    """Return the records of a copy, brought up to this version; the original is only read."""
    try:
        with (
            closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        raise BadInput(f"cannot be read: {error}", where=str(path)) from error
    records = Records(URL.create("sqlite", database=str(copy)))
    records.migrate()
    return records


def _came_live(store: ReadingStore, start_ms: int, end_ms: int) -> bool:
    """Tell whether arrivals lie in the time of measuring: in a store that was filled long afterwards they do not."""
    delays = [
        rows.arrived_ms - rows.time_ms
        for first_ms in range(start_ms, end_ms, DAY_MS)
        if len(rows := store.whole(first_ms, min(first_ms + DAY_MS, end_ms)))
    ]
    if not delays:
        raise BadInput("holds no reading of that span", where="--from, --to")
    return -ARRIVED_AHEAD_MS <= float(np.median(np.concatenate(delays))) <= ARRIVED_LATE_MS


# --- publishing


def _play(
    rows: Callable[[int, int], pd.DataFrame],
    register: Sequence[PointRow],
    span_ms: tuple[int, int],
    publisher: SteppedPublisher,
    show: Show,
    until_ms: int | None = None,
) -> Progress:
    """Publish rows at their moments; the clock ends with the step of the last one, or at `until_ms`."""
    encoder, step_ms = Encoder(register, batch_ms=EVER_MS), publisher.step_ms

    def source(start_ms: int, end_ms: int) -> Messages:
        return _encoded(encoder, rows(start_ms, end_ms), step_ms)

    first_ms, end_ms = span_ms
    ends_ms = ((end_ms - 1) // step_ms + 1) * step_ms if until_ms is None else until_ms
    published: Source = source
    return publisher.play(published, first_ms, end_ms, until_ms=ends_ms, progress=show)


def _encoded(encoder: Encoder, frame: pd.DataFrame, step_ms: int) -> Messages:
    """Return what is published of some rows: of each step a message of each building's gateway, at its last moment."""
    messages = Messages.none()
    if frame.empty:
        return messages
    moment_ms = frame["moment_ms"].to_numpy(np.int64)
    edges = [*np.flatnonzero(np.diff(moment_ms // step_ms, prepend=-1)).tolist(), len(frame)]
    parts = []
    for first, last in pairwise(edges):
        part = encoder.encode(frame.iloc[first:last])
        at_ms = np.full(len(part), moment_ms[last - 1], dtype=np.int64)
        parts.append(Messages(at_ms, part.topics, part.payloads, part.sizes))
    return Messages(
        np.concatenate([part.time_ms for part in parts]),
        [topic for part in parts for topic in part.topics],
        [payload for part in parts for payload in part.payloads],
        np.concatenate([part.sizes for part in parts]),
    )


def _ms(column: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return column.to_numpy(dtype="datetime64[ms]").view(np.int64)
