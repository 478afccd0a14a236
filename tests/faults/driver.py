"""The plant under test: the real broker, the real `heatwatch serve`, a publisher, and what can be done to them.

A deed is a small dataclass with `do(plant)`. A new one needs nothing else: the checks ask what is left at the end,
not what was done. A deed that needs a peer of its own (a store that is slow, a disk that is full) adds it to the
plant and puts it right again in `Plant.mend`.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from sqlalchemy import func, select

from heatwatch.domain.findings import FindingKind
from heatwatch.records.database import Records
from heatwatch.records.schema import OutboxRow
from heatwatch.settings import Settings
from heatwatch.stores.embedded import EmbeddedReadings
from heatwatch.stores.readings import ReadingColumns
from heatwatch.usecases.register import import_register
from simulators.publishing.publisher import Progress
from tests.e2e.processes import Serve, descendants
from tests.faults.load import Load
from tests.peers import mosquitto, wait_for

PATIENCE_S = 90.0
"""How long anything may take that is awaited."""
SAVING = ("", "autosave_on_changes true\nautosave_interval 200")
"""What a killed broker still knows: nothing, or what was true a while ago."""
ONE_AT_A_TIME = threading.Lock()
"""Alembic keeps its place in a global: of several runs in one process only one may migrate."""


class Deed(Protocol):
    """Something that is done to the plant."""

    def do(self, plant: Plant) -> None:
        """Do it, and return when it is done."""
        ...


@dataclass(frozen=True)
class Timed:
    """A deed, and when: as soon as this share of the load is published, and so long after the deed before it [s]."""

    at: float
    after_s: float
    deed: Deed

    def __str__(self) -> str:
        return f"at {self.at:6.1%} + {self.after_s:.3f} s: {self.deed}"


@dataclass(frozen=True)
class Harvest:
    """What a run leaves: what the API said at the end, and the folder with everything else, all processes ended.

    Attributes
    ----------
    load
        What was published.
    folder
        The plant's files; `data_dir` of `serve` is in it.
    findings
        The files of the findings, as the running `serve` gave them.
    delivery
        The delivery identity, as the running `serve` gave it.
    left
        Processes that outlived their time.
    exit_code
        Of the last `serve`, asked to end.
    stored
        Every row in the store.
    settings
        Of `serve`, as far as they say where its records are.
    """

    load: Load
    folder: Path
    findings: dict[FindingKind, str]
    delivery: dict[str, dict[str, int]]
    left: frozenset[int]
    exit_code: int
    stored: ReadingColumns
    settings: Settings

    @property
    def log(self) -> str:
        """What every `serve` of the run has logged."""
        return (self.folder / "data.log").read_text(encoding="utf-8")


class Plant:
    """A broker, a `serve` and a publisher with its load; a context manager that leaves no process behind.

    Parameters
    ----------
    folder
        Where all of its files are kept.
    load
        What is published.
    """

    def __init__(self, folder: Path, load: Load) -> None:
        self.folder, self.load = folder, load
        self.done: list[str] = []
        self._processes: dict[int, str] = {}
        self._reached = Progress(now_ms=load.start_ms)
        self._moved = threading.Condition()
        self._failure: BaseException | None = None
        self._starting: _Starting | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            (self.folder / "broker").mkdir(parents=True)
            self.broker = stack.enter_context(mosquitto(self.folder / "broker", SAVING[self.load.seed % len(SAVING)]))
            stack.callback(self._wake)
            where = ("--broker", f"mqtt://{self.broker.host}:{self.broker.port}", "--clock", "replay")
            with ONE_AT_A_TIME:
                self.serve = self._serve(*where, environment=self._open_store(stack))
                self._import_register()
            self.start_serve()
            stack.callback(self._end_serve)
            self.await_serve()
            self._publisher = self.load.publisher(self.broker.port, f"run-{self.load.seed}")
            stack.enter_context(self._publisher)
            self._thread = threading.Thread(target=self._publish, name=f"load-{self.load.seed}")
            stack.callback(self._stop_publishing)
            self._began_s = time.monotonic()
            self._thread.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _open_store(self, stack: ExitStack) -> dict[str, str]:  # noqa: ARG002 - a store of its own may have to be ended
        """Start what keeps the readings; return the environment in which `serve` finds it."""
        return {}

    @property
    def settings(self) -> Settings:
        """The settings of `serve`, as far as they say where its records are."""
        return Settings(data_dir=self.folder / "data")

    def _serve(self, *where: str, environment: dict[str, str]) -> Serve:
        return Serve(self.folder / "data", *where, environment=environment)

    def _import_register(self) -> None:
        records = Records(self.settings.records_url)
        with records.write() as session:
            import_register(session, self.load.rows, "town", "", self.load.start_ms)
        records.close()

    def _publish(self) -> None:
        load = self.load
        try:
            self._publisher.play(load.source, load.start_ms, load.end_ms, progress=self._move)
        except BaseException as error:  # noqa: BLE001 - told by `reach`
            self._failure = error
        with self._moved:
            self._moved.notify_all()

    def _move(self, reached: Progress) -> None:
        with self._moved:
            self._reached = reached
            self._moved.notify_all()

    @property
    def share(self) -> float:
        """How much of the load is published, by the clock."""
        return (self._reached.now_ms - self.load.start_ms) / (self.load.end_ms - self.load.start_ms)

    def run(self, plan: Sequence[Timed]) -> Harvest:
        """Do what is planned, each at its time, and return what is left when all has settled."""
        for timed in plan:
            self.reach(timed.at)
            time.sleep(timed.after_s)
            self.done.append(f"{time.monotonic() - self._began_s:7.3f} s, {self.share:6.1%}: {timed.deed}")
            timed.deed.do(self)
        self.mend()
        self.reach(1.0)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the publisher does not end"
        self._settle()
        return self._harvest()

    def reach(self, share: float) -> None:
        """Return when so much of the load is published."""
        with self._moved:
            self._moved.wait_for(lambda: self.share >= share or self._failure is not None, PATIENCE_S)
        if self._failure is not None:
            raise AssertionError(f"publishing failed: {self._failure!r}") from self._failure
        assert self.share >= share, f"no further than {self.share:.1%} within {PATIENCE_S:.0f} s"

    def start_serve(self) -> None:
        """Let `serve` start; what is done next need not wait for it."""
        self._starting = _Starting(self.serve)

    def await_serve(self) -> None:
        """Return when a `serve` that was started is there."""
        if self._starting is not None:
            self._starting.wait()
            self._starting = None
            self._note_processes()

    def crash_serve(self, after_s: float) -> None:
        """Let a `serve` start, and end it as a power cut would before it may be there."""
        with self.serve._log.open("ab") as log:
            environment = self.serve.environment
            process = subprocess.Popen(self.serve._command, stdout=subprocess.DEVNULL, stderr=log, env=environment)
        try:
            time.sleep(after_s)
        finally:
            process.kill()
            process.wait(10)

    def signal_serve(self, number: signal.Signals) -> None:
        """Send a signal to `serve`, where it runs."""
        self.await_serve()
        if self.serve.process.poll() is None:
            self.serve.process.send_signal(number)

    def signal_broker(self, number: signal.Signals) -> None:
        """Send a signal to the broker, where it runs."""
        if self.broker._process is not None:
            self.broker._process.send_signal(number)

    def cut_publisher(self) -> None:
        """Break the publisher's connection as a cut cable does."""
        connection = self._publisher._link._lines._lines[0].socket
        if isinstance(connection, socket.socket):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Put everything right again, whatever was done: everything runs, nothing is paused."""
        self._wake()
        if self.broker._process is None:
            self.broker.start()
        self.await_serve()
        self.signal_serve(signal.SIGCONT)
        assert self.serve.process.poll() is None, "serve has ended by itself"

    def _wake(self) -> None:
        """Let the broker go on, or it could not be ended."""
        self.signal_broker(signal.SIGCONT)

    def _settle(self) -> None:
        """Return when nothing is on its way any more."""
        self.await_serve()
        records = Records(self.settings.records_url)
        try:
            wait_for(lambda: self._quiet(records), PATIENCE_S)
        finally:
            records.close()

    def _quiet(self, records: Records) -> bool:
        time.sleep(0.02)
        with records.read() as session:
            unsent = session.scalar(select(func.count()).select_from(OutboxRow).where(OutboxRow.sent_ms.is_(None)))
        return not unsent and not self.serve.get("health")["delivery"]["messages"]["waiting"]

    def _harvest(self) -> Harvest:
        findings = {kind: self.serve.raw(f"findings/{kind}.csv") for kind in FindingKind}
        delivery: dict[str, Any] = self.serve.get("health")["delivery"]
        self._note_processes()
        code = self.serve.stop()
        with suppress(AssertionError):
            wait_for(lambda: not self._left(), 10.0)
        return Harvest(self.load, self.folder, findings, delivery, self._left(), code, self._stored(), self.settings)

    def _stored(self) -> ReadingColumns:
        """Return every row in the store; `serve` has ended."""
        with closing(EmbeddedReadings(self.folder / "data" / "readings.duckdb")) as store:
            return store.read()

    def _note_processes(self) -> None:
        pid = self.serve.process.pid
        self._processes |= {one: _born(one) for one in (pid, *descendants(pid))}

    def _left(self) -> frozenset[int]:
        return frozenset(pid for pid, born in self._processes.items() if born and born == _born(pid))

    def _stop_publishing(self) -> None:
        self._publisher.stop()
        self._thread.join(PATIENCE_S)

    def _end_serve(self) -> None:
        with suppress(AssertionError):
            self.await_serve()
        process = getattr(self.serve, "process", None)
        if process is not None and process.poll() is None:
            self.serve.kill()


def _born(pid: int) -> str:
    """Return when a process began, which tells it from a later one of its number; nothing where it has ended."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    except OSError:
        return ""
    return "" if state == "Z" else rest[18]


class _Starting:
    """A start of `serve` that goes on beside everything else."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._start)
        self._thread.start()

    def _start(self) -> None:
        try:
            self._serve.start()
        except BaseException as error:  # noqa: BLE001 - told by `wait`
            self._failure = error

    def wait(self) -> None:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "serve does not start"
        if self._failure is not None:
            raise AssertionError(f"serve does not start: {self._failure}") from self._failure


@dataclass(frozen=True)
class KillServe:
    """`serve` ends as at a power cut (kill -9)."""

    def do(self, plant: Plant) -> None:
        plant.await_serve()
        plant.serve.kill()


@dataclass(frozen=True)
class StopServe:
    """`serve` is asked to end (SIGTERM), and does."""

    def do(self, plant: Plant) -> None:
        plant.await_serve()
        code = plant.serve.stop()
        assert code == 0, f"asked to end, serve ended with {code}"


@dataclass(frozen=True)
class StartServe:
    """`serve` starts."""

    def do(self, plant: Plant) -> None:
        plant.start_serve()


@dataclass(frozen=True)
class CrashServe:
    """`serve` starts, and ends as at a power cut so soon [s]."""

    after_s: float

    def do(self, plant: Plant) -> None:
        plant.crash_serve(self.after_s)


@dataclass(frozen=True)
class PauseServe:
    """`serve` stands still (SIGSTOP)."""

    def do(self, plant: Plant) -> None:
        plant.signal_serve(signal.SIGSTOP)


@dataclass(frozen=True)
class ResumeServe:
    """`serve` goes on (SIGCONT)."""

    def do(self, plant: Plant) -> None:
        plant.signal_serve(signal.SIGCONT)


@dataclass(frozen=True)
class KillBroker:
    """The broker ends as at a power cut (kill -9)."""

    def do(self, plant: Plant) -> None:
        plant.broker.kill()


@dataclass(frozen=True)
class StopBroker:
    """The broker is asked to end; it saves its sessions."""

    def do(self, plant: Plant) -> None:
        plant.broker.stop()


@dataclass(frozen=True)
class StartBroker:
    """The broker starts."""

    def do(self, plant: Plant) -> None:
        plant.broker.start()


@dataclass(frozen=True)
class PauseBroker:
    """The broker stands still (SIGSTOP)."""

    def do(self, plant: Plant) -> None:
        plant.signal_broker(signal.SIGSTOP)


@dataclass(frozen=True)
class ResumeBroker:
    """The broker goes on (SIGCONT)."""

    def do(self, plant: Plant) -> None:
        plant.signal_broker(signal.SIGCONT)


@dataclass(frozen=True)
class CutPublisher:
    """The publisher's connection breaks."""

    def do(self, plant: Plant) -> None:
        plant.cut_publisher()
