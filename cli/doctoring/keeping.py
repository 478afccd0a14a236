"""The records: whether they can be read, are whole, and hold what the work needs; and PostgreSQL under them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from alembic.script import ScriptDirectory
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from cli.doctoring.machine import skew
from cli.doctoring.patient import Patient, held_revision, newest_revision
from cli.doctoring.said import Said, bad, ok, skip, warn
from heatwatch.domain.register import PointRow, Register
from heatwatch.records.audit import sealed
from heatwatch.records.database import MIGRATIONS
from heatwatch.records.schema import UserRow
from heatwatch.usecases.audit import entries, faults, head
from heatwatch.usecases.register import RegisterInForce

AUDIT_LAST = 200
"""How many of the newest entries of the audit trail are looked at, unless all are asked for."""
POSTGRES_LEAST = 13
CONNECTIONS_WARN, CONNECTIONS_BAD = 0.8, 0.95
ROLE_LIMIT_LEAST = 60
_RESTORE = "stop `serve`, keep a copy of what is there, and restore the records from the backup"


def records(patient: Patient) -> Iterator[Said]:
    """Tell whether the records answer, and are of this version."""
    opened = patient.open_records()
    where = opened.url if isinstance(opened.url, str) else opened.url.render_as_string()
    kind = "SQLite" if opened.engine.dialect.name == "sqlite" else where
    known = {step.revision for step in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
    held, newest = held_revision(opened), newest_revision()
    if held == newest:
        yield ok(f"{kind}: answers, revision {held}")
    elif held is None:
        yield warn(f"{kind}: answers, and has no tables yet", "`heatwatch setup`, or the first start, makes them")
    elif held in known:
        do = "back up, then start this version: it brings them up"
        yield warn(f"{kind}: revision {held}, this version wants {newest}", do)
    else:
        do = "use the version of heatwatch that wrote them, or a newer one"
        yield bad(f"{kind}: revision {held} is newer than this version knows", do)


def integrity(patient: Patient) -> Iterator[Said]:
    """Let SQLite look at its file, page by page."""
    with patient.reading() as session:
        if session.get_bind().dialect.name != "sqlite":
            yield skip("PostgreSQL looks after its own files")
            return
        pragma = "integrity_check" if patient.deep else "quick_check"
        said = list(session.scalars(text(f"PRAGMA {pragma}(5)")))
    if said == ["ok"]:
        yield ok(f"{pragma}: the file is whole")
    else:
        yield bad(f"{pragma}: {' '.join(said[0].split())}", _RESTORE)


def audit(patient: Patient) -> Iterator[Said]:
    """Verify the end of the audit trail; all of it, and every row it speaks of, where that is asked for."""
    with patient.reading() as session:
        found = [str(fault) for fault in faults(session)] if patient.deep else list(_end_faults(session))
        seq, sha256 = head(session)
    if found:
        do = "`heatwatch audit verify` lists all; find out who wrote to the database past heatwatch"
        yield bad(f"{found[0]}{f' (and {len(found) - 1} more)' if len(found) > 1 else ''}", do)
    else:
        looked = "all" if patient.deep else f"the newest {min(seq, AUDIT_LAST)}"
        yield ok(f"{looked} of {seq:,} entries verify; the head is {seq} {sha256}")


def _end_faults(session: Session) -> Iterator[str]:
    """Give what is wrong with the newest entries and how they end."""
    newest = entries(session, AUDIT_LAST)
    before = None
    for entry in newest:
        if before is not None and (entry["seq"], entry["before_sha256"]) != (before["seq"] + 1, before["sha256"]):
            yield f"entry {entry['seq']} does not follow on entry {before['seq']}"
        if sealed(entry) != entry["sha256"]:
            yield f"entry {entry['seq']} was altered: what it says does not match its digest"
        before = entry
    end = (0, "") if before is None else (before["seq"], before["sha256"])
    said = head(session)
    if said[0] != end[0] or (before is not None and said[1] != end[1]):
        yield f"the head says that the trail ends with entry {said[0]}, and {end[0]} is the last"


def postgresql(patient: Patient) -> Iterator[Said]:
    """Judge PostgreSQL's version, how it keeps what it confirms, its connections and its clock."""
    with patient.reading() as session:
        if session.get_bind().dialect.name != "postgresql":
            yield skip("the records are in SQLite")
            return
        facts = _facts(session)
    yield from judge_postgresql(facts)
    yield skew("PostgreSQL", int(facts["now_ms"]), patient.now_ms)


def _facts(session: Session) -> dict[str, str]:
    shown = ("server_version", "server_version_num", "max_connections", "fsync", "synchronous_commit")
    facts = {name: str(session.scalar(text(f"SHOW {name}"))) for name in (*shown, "full_page_writes")}
    asked = {
        "in_use": "SELECT count(*) FROM pg_stat_activity",
        "role_limit": "SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user",
        "now_ms": "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint",
    }
    return facts | {name: str(session.scalar(text(query))) for name, query in asked.items()}


def judge_postgresql(facts: Mapping[str, str]) -> Iterator[Said]:
    """Judge what PostgreSQL says of itself."""
    version = facts["server_version"]
    if int(facts["server_version_num"]) < POSTGRES_LEAST * 10_000:
        yield warn(f"version {version} gets no repairs any more", f"move to version {POSTGRES_LEAST} or newer")
    for name, lost in (
        ("fsync", "a power cut destroys the database"),
        ("full_page_writes", "a power cut destroys the database"),
        ("synchronous_commit", "what was confirmed is lost in a power cut"),
    ):
        if facts[name] == "off":
            yield bad(f"{name} is off: {lost}", f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf();")
    limit, in_use = int(facts["max_connections"]), int(facts["in_use"])
    share = in_use / limit
    told = f"version {version}, {in_use} of {limit} connections in use"
    do = "find who holds them (pg_stat_activity), or raise max_connections"
    if share >= CONNECTIONS_BAD:
        yield bad(told, do)
    elif share >= CONNECTIONS_WARN:
        yield warn(told, do)
    else:
        yield ok(told)
    if 0 <= int(facts["role_limit"]) < ROLE_LIMIT_LEAST:
        do = "ALTER ROLE … CONNECTION LIMIT -1"
        yield warn(f"our role may have {facts['role_limit']} connections; each process needs up to 15", do)


def register(patient: Patient) -> Iterator[Said]:
    """Tell whether there is a register of test points, with points in service."""
    with patient.reading() as session:
        held = RegisterInForce()(session)
        now_ms = patient.clock_ms(session) or patient.now_ms
    if held is None:
        yield warn("there is none: every reading is unlisted and none is judged", "`heatwatch points import FILE`")
        return
    valid = in_force(held, now_ms)
    stations = {row.station_id for row in valid}
    if valid:
        yield ok(f"{len(valid):,} points of {len(stations)} stations are in force")
    else:
        do = "import the register that holds now: `heatwatch points import FILE`"
        yield bad(f"none of its {len(held.rows):,} rows is valid at this moment", do)


def in_force(held: Register, now_ms: int) -> list[PointRow]:
    """Return the rows of a register that hold at a moment."""
    return [row for row in held.rows if row.valid_from_ms <= now_ms < row.valid_to_ms]


def users(patient: Patient) -> Iterator[Said]:
    """Tell whether somebody can sign in."""
    with patient.reading() as session:
        can = select(func.count()).select_from(UserRow).where(UserRow.active.is_(True), UserRow.password_hash != "")
        by_password = session.scalar(can) or 0
        active = session.scalar(select(func.count()).select_from(UserRow).where(UserRow.active.is_(True))) or 0
    if by_password or patient.settings.auto_sign_in:
        yield ok(f"{active} active, {by_password} of them with a password")
    else:
        yield warn("nobody can sign in to the console", "`heatwatch users add NAME --role company`")
