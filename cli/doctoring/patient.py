"""What the doctor looks at: settings, records and journals, opened for looking only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from alembic.script import ScriptDirectory
from sqlalchemy import URL, text
from sqlalchemy import inspect as inspect_database
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from cli.doctoring.settings import Looked
from heatwatch.errors import Damaged, HeatwatchError
from heatwatch.records.database import MIGRATIONS, Records
from heatwatch.records.progress import progress
from heatwatch.settings import EMBEDDED, ClockKind, Settings
from ingest.inspecting import Inspection, inspect, is_held

LAST_ROLE = "dispatch"
CONNECT_S = 5


class UnseenError(Exception):
    """Something cannot be looked at, for a reason that another check tells of."""


def held_revision(records: Records) -> str | None:
    """Return the revision of the tables; None where there are none."""
    with records.read() as session:
        there = inspect_database(session.connection()).has_table("alembic_version")
        return session.scalar(text("SELECT version_num FROM alembic_version")) if there else None


def newest_revision() -> str | None:
    """Return the revision of the tables that this version makes."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


@dataclass
class Patient:
    """An installation as the doctor sees it.

    Attributes
    ----------
    looked
        Its settings and what is wrong with them.
    wall_clock
        Gives the time [ms]; asked at each look, since others may have waited long.
    deep
        Whether what takes long is done too.
    mosquitto_conf
        Configuration of its broker, where it was given.
    """

    looked: Looked
    wall_clock: Callable[[], int]
    deep: bool = False
    mosquitto_conf: Path | None = None
    _records: Records | None = field(default=None, init=False)
    _trouble: HeatwatchError | UnseenError | None = field(default=None, init=False)
    _journal: tuple[Inspection | None] | None = field(default=None, init=False)

    @property
    def settings(self) -> Settings:
        """The settings; what is wrong in them stands at its default."""
        return self.looked.settings

    @property
    def now_ms(self) -> int:
        """The time by the wall clock [ms]."""
        return self.wall_clock()

    @property
    def replayed(self) -> bool:
        """Whether the clock is that of a replay."""
        return self.settings.clock is ClockKind.REPLAY

    @property
    def takes_in(self) -> bool:
        """Whether these settings are those of an ingest: other roles by themselves need neither broker nor journal."""
        return self.settings.one_process or self.settings.broker != EMBEDDED

    def sure_of(self, *names: str) -> None:
        """Go on only where these settings are right.

        Raises
        ------
        UnseenError
            If one of them is wrong.
        """
        wrong = sorted(self.looked.wrong.intersection(names))
        if wrong:
            raise UnseenError(f"{wrong[0]} is wrong: see settings")

    def open_records(self) -> Records:
        """Open the records for looking; where there are none, none are made.

        Raises
        ------
        HeatwatchError
            If they do not answer.
        UnseenError
            If there are none yet.
        """
        if self._trouble is not None:
            raise self._trouble
        if self._records is None:
            try:
                self.sure_of("records", "data_dir")
                self._records = Records(self._looking_url())
                self._records.ping()
            except (HeatwatchError, UnseenError) as error:
                self._trouble = error
                raise
        return self._records

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session for looking at the records.

        Raises
        ------
        UnseenError
            If they do not answer, or what is looked for is not in tables of another version: the check of the records
            says why.
        """
        try:
            records = self.open_records()
        except (HeatwatchError, UnseenError) as error:
            raise UnseenError("the records cannot be read") from error
        try:
            with records.read() as session:
                yield session
        except (OperationalError, ProgrammingError) as error:
            if held_revision(records) == newest_revision():
                raise
            raise UnseenError("the tables of the records are not those of this version: see records") from error

    def clock_ms(self, session: Session) -> int | None:
        """Return the clock of the installation [ms]; None before a replay has begun."""
        if not self.replayed:
            return self.now_ms
        done = progress(session, LAST_ROLE)
        return None if done is None else done.as_of_ms

    def journal(self) -> Inspection | None:
        """Look at this worker's journal, once; None where there is none on this machine."""
        if self._journal is None:
            self._journal = (inspect(self.settings.journal_dir, whole=self.deep),)
        return self._journal[0]

    def at_work(self) -> bool:
        """Tell whether an ingest of this name runs on this machine."""
        return is_held(self.settings.journal_dir)

    def close(self) -> None:
        """Release what was opened."""
        if self._records is not None:
            self._records.close()

    def _looking_url(self) -> URL:
        settings = self.settings
        if settings.records != EMBEDDED:
            return settings.records_url.update_query_dict({"connect_timeout": str(CONNECT_S)})
        path = settings.data_dir / "records.sqlite"
        if not path.exists():
            if settings.readings_path.exists() or any(settings.journal_dir.parent.glob("*/*.journal")):
                raise Damaged("is missing, though readings or a journal are there", where=str(path))
            raise UnseenError(f"{path}: none yet: `heatwatch serve` makes them")
        query = {"mode": "ro", "uri": "true"}
        return URL.create("sqlite", database=f"file:{quote(str(path))}", query=query)
