"""The role that takes a backup where only the running process may read the readings."""

from __future__ import annotations

import threading
from pathlib import Path

from heatwatch.errors import HeatwatchError
from heatwatch.records.database import Records
from heatwatch.usecases.backup.taking import Installation, summary, take
from heatwatch.usecases.jobs import DONE, FAILED, answer, next_job
from heatwatch.usecases.roles import Wake, follow

JOB = "backup"
"""Work of this kind asks for a backup at `out`, a path on the machine of the role."""


class BackupRole:
    """Takes backups that are asked for, in a thread of its own: everything goes on meanwhile."""

    name = "backup"

    def __init__(self, installation: Installation, bell: Wake) -> None:
        self._installation, self._bell = installation, bell

    @property
    def _records(self) -> Records:
        return self._installation.records

    def run(self, stop: threading.Event) -> None:
        """Take backups until told to stop; one that is being taken is ended first."""
        follow(self.name, self.pass_once, self._bell, stop)

    def pass_once(self) -> bool:
        """Answer whoever has waited longest; return whether anybody did."""
        with self._records.read() as session:
            waiting = next_job(session, JOB)
        if waiting is None:
            return False
        number, asked = waiting
        try:
            state, told = DONE, summary(take(self._installation, Path(str(asked["out"]))))
        except HeatwatchError as error:
            state, told = FAILED, {"error": str(error)}
        with self._records.write() as session:
            answer(session, number, state, told)
        return True
