"""Records for tests that do not test the records themselves."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import event

from heatwatch.records.database import Records


def fresh_records(folder: Path) -> Records:
    """Make records that do not wait for the disk."""
    made = Records(f"sqlite:///{folder / 'records.sqlite'}")
    event.listen(made.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    made.migrate()
    return made
