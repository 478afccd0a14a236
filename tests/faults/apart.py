"""The plant with a process for each role, on InfluxDB and PostgreSQL, any of which may end."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from cli.wiring import ROLES
from heatwatch.settings import Settings
from tests.e2e.processes import Serve
from tests.faults.driver import Deed, Plant, Timed
from tests.faults.influx import EndInflux, InfluxPlant, StartInflux
from tests.postgresql import Postgres, new_database, running_postgresql

STREAM = 31
SPAN = (0.05, 0.9)


class Apart(Serve):
    """A `serve` that is a process for each role; asked as one."""

    def __init__(
        self, data_dir: Path, *arguments: str, environment: Mapping[str, str], settings: Settings | None = None
    ) -> None:
        super().__init__(data_dir, *arguments, environment=environment, settings=settings)
        self.roles: dict[str, Serve] = {}
        for role in ROLES:
            self.roles[role] = Serve(data_dir, *arguments, "--role", role, environment=environment, settings=settings)

    def start(self) -> None:
        """Start every role that does not run, all at once."""
        missing = [serve for serve in self.roles.values() if not _runs(serve)]
        failed: list[BaseException] = []

        def start(serve: Serve) -> None:
            try:
                serve.start()
            except BaseException as error:  # noqa: BLE001 - raised below
                failed.append(error)

        threads = [threading.Thread(target=start, args=(serve,)) for serve in missing]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        self.where = self.roles["api"].where
        self.process = _All([serve.process for serve in self.roles.values()])  # type: ignore[assignment]

    def kill(self) -> None:
        """End all of them as a power cut would."""
        for serve in self.roles.values():
            if _runs(serve):
                serve.kill()

    def stop(self) -> int:
        """Ask all of them to end; return the worst exit code."""
        return max(serve.stop() for serve in self.roles.values())


def _runs(serve: Serve) -> bool:
    process = getattr(serve, "process", None)
    return process is not None and process.poll() is None


class _All:
    """Processes as one."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]]) -> None:
        self._processes = processes
        self.pid = processes[-1].pid

    def poll(self) -> int | None:
        """Return an exit code as soon as one has ended."""
        return next((code for one in self._processes if (code := one.poll()) is not None), None)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to each."""
        for one in self._processes:
            one.send_signal(number)


class ApartPlant(InfluxPlant):
    """A plant of several processes: records in PostgreSQL, readings in InfluxDB."""

    postgres: Postgres

    def _open_store(self, stack: ExitStack) -> dict[str, str]:
        return {**super()._open_store(stack), "HEATWATCH_RECORDS": self.settings.records}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.postgres = stack.enter_context(running_postgresql())
            address = new_database(self.postgres.address).replace("+psycopg", "")
            self._settings = Settings(data_dir=self.folder / "data", records=address)
            super().__enter__()
            self._servers = stack.pop_all()
        return self

    def __exit__(self, *details: object) -> None:
        with self._servers:
            super().__exit__(None, None, None)

    @property
    def settings(self) -> Settings:
        """The settings of each role, as far as they say where its records are."""
        return self._settings

    def _serve(self, *where: str, environment: dict[str, str]) -> Serve:
        return Apart(self.folder / "data", *where, environment=environment, settings=self.settings)


@dataclass(frozen=True)
class KillRole:
    """One role ends as at a power cut, and is started again."""

    role: str

    def do(self, plant: Plant) -> None:
        assert isinstance(plant.serve, Apart)
        plant.await_serve()
        plant.serve.roles[self.role].kill()
        plant.start_serve()


@dataclass(frozen=True)
class RestartPostgres:
    """PostgreSQL ends as at a power cut, and is started again."""

    def do(self, plant: Plant) -> None:
        assert isinstance(plant, ApartPlant)
        plant.postgres.kill()
        plant.postgres.start()


def apart_faults(seed: int) -> list[Timed]:
    """Return what is done in the run of a seed: each role is killed once, and both databases."""
    rng = np.random.default_rng([seed, STREAM])
    episodes: list[Sequence[tuple[float, Deed]]] = [[(0.02, KillRole(role))] for role in ROLES]
    episodes += [[(0.02, RestartPostgres())], [(0.02, EndInflux(kill=True)), (0.3, StartInflux())]]
    shares = np.sort(rng.uniform(*SPAN, len(episodes))).round(3).tolist()
    order = rng.permutation(len(episodes)).tolist()
    return [
        Timed(share, after_s, deed)
        for share, number in zip(shares, order, strict=True)
        for after_s, deed in episodes[number]
    ]
