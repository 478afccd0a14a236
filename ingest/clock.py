"""The clock of a replay: say which tick every role has done, so that the replay may send the next step."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from heatwatch.errors import Unavailable
from heatwatch.records.database import Records
from heatwatch.usecases.delivery import clock_done
from heatwatch.usecases.roles import Wake
from heatwatch.wire import Done

log = logging.getLogger(__name__)

ROLES = ("ingest", "analytics", "dispatch")
LOOK_S = 0.2


class ReplayClock:
    """Announces each tick that all of `ROLES` have done.

    Parameters
    ----------
    announce
        Publishes it.
    """

    def __init__(self, records: Records, bell: Wake, announce: Callable[[Done], None]) -> None:
        self._records, self._bell, self._announce = records, bell, announce
        self._stopping = threading.Event()

    def run(self) -> None:
        """Announce until `stop` is called."""
        announced: Done | None = None
        while not self._stopping.is_set():
            heard = self._bell.heard()
            try:
                with self._records.read() as session:
                    done = clock_done(session, ROLES)
            except Unavailable as error:
                log.warning("%s; the clock of the replay waits", error)
                done = None
            if done is not None and done != announced:
                self._announce(done)
                announced = done
            self._bell.wait(heard, LOOK_S)

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()
        self._bell.ring()
