"""Taking a backup, of one moment, while everything goes on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from heatwatch import __version__
from heatwatch.domain.instants import iso
from heatwatch.errors import BadInput, Damaged, HeatwatchError, Unavailable
from heatwatch.records.database import Records
from heatwatch.records.progress import progress
from heatwatch.records.schema import JournalPosition
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.audit import faults, head
from heatwatch.usecases.backup.archive import Writer, new_archive
from heatwatch.usecases.backup.rows import save_readings
from heatwatch.usecases.backup.tables import revision_of, save_tables

CheckJournal = Callable[[Path, int], int]
"""Reads a journal's messages after a number, all of them, and returns the number of the last: raises `Damaged`."""
Report = Mapping[str, Any]
Tell = Callable[[str], None]
Segment = tuple[str, IO[bytes], int]
"""A segment of a journal by its name, open, and how much of it was there [bytes]."""
MOST_FAULTS = 1000
LOOKS = 10


@dataclass(frozen=True, slots=True)
class Installation:
    """What a backup is taken of.

    Attributes
    ----------
    records, store
        Where it keeps what it knows, and its readings.
    journals
        Folder of the journals, a folder for each worker.
    papers
        Settings and rules, by the names that they have in the backup.
    check_journal
        Reads a copied journal to its end.
    wall_clock
        Gives the moment at which it is taken [ms].
    """

    records: Records
    store: ReadingStore
    journals: Path
    papers: Mapping[str, bytes]
    check_journal: CheckJournal
    wall_clock: Callable[[], int]


@dataclass(slots=True)
class _Moment:
    """What was there at one instant: a view of the records, and the journals' segments, open up to a size."""

    session: Session
    taken_ms: int
    positions: dict[str, JournalPosition]
    segments: dict[str, list[Segment]]


def take(installation: Installation, out: Path, tell: Tell = lambda _: None) -> Report:
    """Write a backup to a new folder, or to a new tar file if `out` ends so; return what is in it.

    Raises
    ------
    BadInput
        If something is there already, or nothing can be written there.
    Damaged
        If a journal does not read as it was written.
    Unavailable
        If the store or the records do not answer.
    """
    with new_archive(out) as writer:
        for name, content in sorted(installation.papers.items()):
            with writer.file(f"settings/{name}") as path:
                path.write_bytes(content)
        with _moment(installation) as moment:
            ends, remarks = _save_journals(installation, moment, writer)
            tell(f"journals: {sum(ends.values()):,} messages received")
            told = _save_records(moment, writer)
            tell(f"records: {sum(told['records'].values()):,} rows")
        days, later = save_readings(installation.store, ends, writer, tell)
        stored = {worker: one.sequence for worker, one in moment.positions.items()}
        journals = {worker: {"stored": stored.get(worker, 0), "received": ends[worker]} for worker in sorted(ends)}
        faulty = told["audit"]["faults"]
        if faulty:
            remarks.append(f"the audit trail is not whole, and was not when this was taken: {faulty[0]}")
        manifest = {
            "heatwatch": __version__,
            "taken": iso(moment.taken_ms),
            **told,
            "journals": journals,
            "readings": days,
            "came_later": later,
            "secrets": "files with passwords, tokens and keys are not in it",
            "remarks": remarks,
        }
        return writer.finish(manifest)


def summary(manifest: Report) -> dict[str, Any]:
    """Return what a backup comes to, without its list of files."""
    journals = manifest["journals"].values()
    return {
        "taken": manifest["taken"],
        "as_of": manifest["as_of"],
        "records": sum(manifest["records"].values()),
        "readings": sum(manifest["readings"].values()),
        "days": len(manifest["readings"]),
        "journals": len(journals),
        "waiting": sum(one["received"] - one["stored"] for one in journals),
        "files": len(manifest["files"]),
        "bytes": sum(one["bytes"] for one in manifest["files"].values()),
        "remarks": manifest["remarks"],
    }


@contextmanager
def _moment(installation: Installation) -> Iterator[_Moment]:
    """Hold the journals' positions for an instant, and give what is there then.

    A segment that is open can be read also when it is deleted meanwhile.
    """
    with ExitStack() as stack:
        with installation.records.write() as holding:
            _hold(holding)
            session = stack.enter_context(installation.records.read())
            positions = {one.worker: one for one in session.scalars(select(JournalPosition))}
            segments = {
                folder.name: _open_segments(stack, folder, positions.get(folder.name))
                for folder in sorted(installation.journals.glob("*"))
                if folder.is_dir()
            }
            taken_ms = installation.wall_clock()
        session.expunge_all()
        yield _Moment(session, taken_ms, positions, {name: some for name, some in segments.items() if some})


def _hold(session: Session) -> None:
    """Let nobody move a position until the transaction ends. SQLite has one writer at a time anyway."""
    if session.connection().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE journal_positions IN SHARE ROW EXCLUSIVE MODE"))


def _open_segments(stack: ExitStack, folder: Path, position: JournalPosition | None) -> list[Segment]:
    """Open the segments that hold what is not stored, and the newest.

    One may go before it is open, when all of it has been stored and a newer one has begun: then it is looked again.
    """
    stored = 0 if position is None else position.sequence
    gone = ""
    for _ in range(LOOKS):
        try:
            return [_opened(stack, path) for path in _segments_after(folder, stored)]
        except FileNotFoundError as error:
            gone = str(error.filename)
        except OSError as error:
            raise Unavailable(str(folder), str(error)) from error
    raise Damaged("is missing, though not all in it is stored", where=gone)


def _segments_after(folder: Path, stored: int) -> list[Path]:
    paths = sorted(folder.glob("*.journal"))
    for path in paths:
        if not path.stem.isdecimal():
            raise Damaged("is not named as a segment of a journal is", where=str(path))
    past = {path for path, following in pairwise(paths) if int(following.stem) - 1 <= stored}
    return [path for path in paths if path not in past]


def _opened(stack: ExitStack, path: Path) -> Segment:
    file = stack.enter_context(path.open("rb"))
    return path.name, file, os.fstat(file.fileno()).st_size


def _save_journals(installation: Installation, moment: _Moment, writer: Writer) -> tuple[dict[str, int], list[str]]:
    """Copy the journals; return the last message of each, and what is amiss."""
    ends, remarks = dict[str, int](), list[str]()
    for worker, segments in moment.segments.items():
        folder = writer.scratch / "journal" / worker
        folder.mkdir(parents=True)
        for name, file, size in segments:
            _copy(file, size, folder / name)
        position = moment.positions.get(worker)
        stored = 0 if position is None else position.sequence
        ends[worker] = _checked(installation.check_journal, folder, stored, str(installation.journals / worker))
        for path in sorted(folder.glob("*.journal")):
            with writer.file(f"journal/{worker}/{path.name}") as kept:
                path.replace(kept)
    for worker, position in sorted(moment.positions.items()):
        if worker not in ends:
            waiting = max(0, position.received - position.sequence)
            remarks.append(
                f"the journal of worker {worker} is not in {installation.journals}, nor in this backup: "
                f"of its messages {waiting or 'none'} were known to wait"
            )
    return ends, remarks


def _checked(check: CheckJournal, folder: Path, stored: int, where: str) -> int:
    try:
        end = check(folder, stored)
    except Damaged as error:
        raise Damaged(f"does not read as it was written: {error.what}", where=where) from error
    if end < stored:
        raise Damaged(f"ends with message {end}, though {stored} are recorded as stored", where=where)
    return end


def _copy(file: IO[bytes], size: int, path: Path) -> None:
    with path.open("wb") as made:
        shutil.copyfileobj(_Part(file, size), made, 1 << 20)


class _Part:
    """The beginning of a file that goes on growing."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int = -1) -> bytes:
        some = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(some)
        return some


def _save_records(moment: _Moment, writer: Writer) -> dict[str, Any]:
    session = moment.session
    judged = progress(session, "analytics")
    as_of_ms = None if judged is None else judged.as_of_ms
    counts = save_tables(session.connection(), writer)
    try:
        seq, sha256 = head(session)
    except Damaged as error:
        raise HeatwatchError(f"{error}: what cannot be restored is not backed up") from error
    found = [str(fault) for _, fault in zip(range(MOST_FAULTS), faults(session), strict=False)]
    return {
        "as_of": None if as_of_ms is None else iso(as_of_ms),
        "revision": revision_of(session.connection()),
        "records": counts,
        "audit": {"seq": seq, "sha256": sha256, "faults": found},
    }


def papers_of(settings_file: Path, in_force: Mapping[str, Any], rules: str) -> dict[str, bytes]:
    """Return settings and rules as papers of a backup: the file where there is one, what was in force, the rules."""
    papers = {
        "in_force.json": json.dumps(in_force, indent=1, ensure_ascii=False).encode(),
        "rules.yaml": rules.encode(),
    }
    try:
        return papers | {"heatwatch.toml": settings_file.read_bytes()}
    except FileNotFoundError:
        return papers
    except OSError as error:
        raise BadInput(error.strerror or str(error), where=str(settings_file)) from error
