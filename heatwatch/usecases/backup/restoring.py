"""Restoring a backup: onto an empty place, all of it or nothing."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL
from sqlalchemy.orm import Session

from heatwatch.errors import BadInput, Damaged, HeatwatchError
from heatwatch.files.appearing import sync
from heatwatch.records.database import Records
from heatwatch.settings import Settings
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.audit import faults
from heatwatch.usecases.backup.archive import Archive, open_archive
from heatwatch.usecases.backup.rows import load_readings
from heatwatch.usecases.backup.tables import clear_place, count_tables, load_tables
from heatwatch.usecases.backup.taking import MOST_FAULTS, CheckJournal, Report, Tell, summary
from heatwatch.usecases.delivery import identities

BROKEN_OFF = ".restore-"
FROM_BACKUP = "from-backup"
"""Folder for settings and rules of the backup: those in force here are not touched."""
_SEGMENT = re.compile(r"journal/([A-Za-z0-9][A-Za-z0-9_.-]{0,63})/(\d{20}\.journal)")
_PAPER = re.compile(r"settings/([A-Za-z0-9][A-Za-z0-9_.-]*)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a backup is restored to.

    Attributes
    ----------
    settings
        Folder, records and store.
    open_store
        Opens the store that settings name.
    check_journal
        Reads a journal to its end.
    """

    settings: Settings
    open_store: Callable[[Settings, Records], AbstractContextManager[ReadingStore]]
    check_journal: CheckJournal


def restore(source: Path, place: Place, tell: Tell = lambda _: None) -> Report:
    """Put all that a backup holds in an empty place, and prove that it is what was there; return what it comes to.

    Raises
    ------
    BadInput
        If the place is not empty, or there is no backup that this version can read.
    Damaged
        If the backup is not as it was written, or what was restored is not what it says: nothing is kept.
    HeatwatchError
        If nothing is kept but in a store that takes nothing back: says what to remove.
    """
    with open_archive(source) as archive:
        tell(f"backup of {archive.manifest['taken']}, by heatwatch {archive.manifest['heatwatch']}")
        archive.verify()
        tell(f"{len(archive.files):,} files are as they were written")
        with _scratch(place.settings) as scratch:
            _restore(archive, place, scratch, tell)
        return summary(archive.manifest)


def _restore(archive: Archive, place: Place, scratch: Path, tell: Tell) -> None:
    inside = place.settings.model_copy(update={"data_dir": scratch})
    ends = _put_files(archive, scratch, place.check_journal)
    records = Records(inside.records_url)
    try:
        with records.write() as session:
            clear_place(session.connection(), inside.records_url.render_as_string())
        _fill_store(archive, place, inside, tell)
        with _what_is_left(inside), records.write() as session:
            load_tables(session.connection(), archive)
            _prove(session, archive, ends)
            tell(f"records: {sum(archive.manifest['records'].values()):,} rows, the audit trail verified")
    finally:
        records.close()


def _fill_store(archive: Archive, place: Place, inside: Settings, tell: Tell) -> None:
    with _nobody_else(inside) as alone, place.open_store(inside, alone) as store:
        if not store.empty():
            raise BadInput(
                "holds readings already: a backup is restored onto an empty place only",
                where=_store_name(inside),
                mend="name another one",
            )
        with _what_is_left(inside):
            load_readings(store, archive, tell)


@contextmanager
def _nobody_else(inside: Settings) -> Iterator[Records]:
    """Give records by which to take turns at writing: those of the place have no tables yet, and no other process."""
    with (
        tempfile.TemporaryDirectory(dir=inside.data_dir) as apart,
        closing(Records(URL.create("sqlite", database=f"{apart}/none.sqlite"))) as alone,
    ):
        yield alone


def _put_files(archive: Archive, folder: Path, check: CheckJournal) -> dict[str, int]:
    """Put journals and papers into a folder; return the last message of each journal."""
    for name in [*archive.names("journal"), *archive.names("settings")]:
        segment, paper = _SEGMENT.fullmatch(name), _PAPER.fullmatch(name)
        if segment is not None:
            path = folder / "journal" / segment[1] / segment[2]
        elif paper is not None:
            path = folder / FROM_BACKUP / paper[1]
        else:
            raise Damaged("has a name that no file of a backup has", where=archive.where_is(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(name) as file, path.open("wb") as made:
            shutil.copyfileobj(file, made, 1 << 20)
    ends = dict[str, int]()
    for worker, told in archive.manifest["journals"].items():
        ends[worker] = check(folder / "journal" / worker, told["stored"])
        if ends[worker] != told["received"]:
            raise Damaged(f"ends with message {ends[worker]}, not {told['received']}", where=f"journal of {worker}")
    return ends


def _prove(session: Session, archive: Archive, ends: Mapping[str, int]) -> None:
    """Raise `Damaged` unless the records are those of the backup."""
    told = archive.manifest
    session.expire_all()
    anchor = (told["audit"]["seq"], told["audit"]["sha256"])
    found = [str(fault) for _, fault in zip(range(MOST_FAULTS), faults(session, [anchor]), strict=False)]
    if found != told["audit"]["faults"]:
        other = next((one for one in found if one not in told["audit"]["faults"]), "a fault that was there is gone")
        raise Damaged(other, where="restored audit trail")
    known = {name: rows for name, rows in told["records"].items() if not name.startswith("audit")}
    counts = count_tables(session.connection(), list(known))
    for name, rows in counts.items():
        if rows != known[name]:
            raise Damaged(f"has {rows} rows, not {known[name]}", where=f"restored table {name}")
    delivered = identities(session, ends)
    if not delivered.holds:
        raise Damaged(f"the delivery identity does not hold: {delivered.as_dict()}", where="restored records")


@contextmanager
def _scratch(settings: Settings) -> Iterator[Path]:
    """Give a folder within an empty data folder; what is in it when the block ends well is moved out of it."""
    folder = settings.data_dir
    made: list[Path] = []
    scratch: Path | None = None
    try:
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        _check_empty(folder)
        scratch = Path(tempfile.mkdtemp(prefix=BROKEN_OFF, dir=folder))
        yield scratch
        for path in sorted(scratch.rglob("*"), reverse=True):
            sync(path)
        for path in sorted(scratch.iterdir()):
            if path.is_dir():
                with suppress(OSError):
                    (folder / path.name).rmdir()
            path.replace(folder / path.name)
        sync(folder)
        made = []
    except OSError as error:
        raise HeatwatchError(f"{folder}: cannot be written: {error.strerror or error}") from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        for path in made:
            with suppress(OSError):
                path.rmdir()


def _check_empty(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(BROKEN_OFF):
            raise BadInput("is left of an attempt that was broken off", where=str(path), mend="remove it")
        if path.name in ("records.sqlite", "readings.duckdb", FROM_BACKUP) or any(path.rglob("*.journal")):
            raise BadInput(
                "is there already: a backup is restored onto an empty place only",
                where=str(path),
                mend="name another folder with --data-dir, or move it away",
            )


@contextmanager
def _what_is_left(settings: Settings) -> Iterator[None]:
    """Say with an error what it leaves in a store that takes nothing back."""
    try:
        yield
    except HeatwatchError as error:
        if settings.one_process:
            raise
        left = f"{_store_name(settings)} may hold a part of the readings: empty it before the next attempt"
        raise HeatwatchError(f"{error}. {left}") from error


def _store_name(settings: Settings) -> str:
    if settings.one_process:
        return str(settings.readings_path)
    return f"bucket {settings.influx_bucket} at {settings.influx_url}"


def rules_differ(source: Path, rules: str) -> bool:
    """Tell whether a restored installation would be judged by other rules than those of its backup."""
    try:
        return source.read_text(encoding="utf-8") != rules
    except (OSError, UnicodeDecodeError):
        return False


def restored_paper(settings: Settings, name: str) -> Path:
    """Return where a paper of the backup lies after it was restored."""
    return settings.data_dir / FROM_BACKUP / name


def shown(told: Mapping[str, Any]) -> str:
    """Say in a line what a backup comes to."""
    return (
        f"{told['records']:,} rows of records, {told['readings']:,} readings of {told['days']} days, "
        f"{told['journals']} journals with {told['waiting']:,} messages waiting; of {told['taken']}, "
        f"judged as of {told['as_of'] or 'nothing yet'}"
    )
