"""The role that empties the outbox: every notification goes out at least once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from dispatch.channels import Channel
from heatwatch.errors import Unavailable
from heatwatch.records.database import Records
from heatwatch.records.schema import OutboxRow
from heatwatch.usecases.outbox import record_failed, record_sent, unsent
from heatwatch.usecases.roles import Wake, follow

log = logging.getLogger(__name__)


class Notifier:
    """Hands what is in the outbox to a channel, and says so in the records only then.

    Between the two a power cut may come: what the channel has already goes out again.
    """

    name = "notifier"

    def __init__(self, records: Records, channel: Channel, bell: Wake, wall_clock: Callable[[], int]) -> None:
        self._records, self._channel, self._bell, self._wall_clock = records, channel, bell, wall_clock

    def run(self, stop: threading.Event) -> None:
        """Send until told to stop."""
        follow(self.name, self.pass_once, self._bell, stop)

    def pass_once(self) -> bool:
        """Send what waits; return whether there was anything."""
        with self._records.read() as session:
            waiting = unsent(session, self._wall_clock())
        if not waiting:
            return False
        try:
            self._channel.send(waiting)
        except Unavailable as error:
            self._failed(waiting, str(error))
            return False
        with self._records.write() as session:
            record_sent(session, [one.id for one in waiting], self._wall_clock())
        return True

    def _failed(self, waiting: Sequence[OutboxRow], why: str) -> None:
        log.warning("%d notifications wait: %s", len(waiting), why)
        with self._records.write() as session:
            for one in waiting:
                record_failed(session, one.id, why, self._wall_clock())
