"""A reading store of a test's own: the embedded one, in memory, that can be told not to answer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np

from heatwatch.errors import Unavailable
from heatwatch.stores.embedded import EmbeddedReadings
from heatwatch.stores.readings import ReadingBatch, ReadingColumns

Row = tuple[str, int, float]
"""Source, time [ms], temperature [degC]."""


def batch_of(rows: Sequence[Row], sequence: int) -> ReadingBatch:
    """Return rows as one message of worker ``w`` brings them."""
    number = len(rows)
    source, time_ms, temp_c = zip(*rows, strict=True)
    nothing = np.full(number, np.nan)
    return ReadingBatch(
        source=source,
        time_ms=np.array(time_ms, np.int64),
        temp_c=np.array(temp_c, np.float64),
        humidity_pct=nothing,
        battery=nothing,
        rssi_dbm=nothing,
        flags=[""] * number,
        arrived_ms=np.array(time_ms, np.int64),
        worker="w",
        sequence=np.full(number, sequence, np.int64),
        position=np.arange(number, dtype=np.int32),
    )


class Shelf(EmbeddedReadings):
    """Keeps rows; while `answers` is false it does not answer."""

    def __init__(self, *rows: Row) -> None:
        super().__init__(Path(":memory:"))
        self.answers = True
        self._sequence = count(1)
        self.keep(*rows)

    def keep(self, *rows: Row) -> None:
        """Store more rows."""
        if rows:
            self.write(batch_of(rows, next(self._sequence)))

    def read(
        self,
        sources: Sequence[str] | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        *,
        late_most_ms: int | None = None,
        vitals: bool = False,
    ) -> ReadingColumns:
        """Read as every store does, or not at all."""
        self._answer()
        return super().read(sources, start_ms, end_ms, late_most_ms=late_most_ms, vitals=vitals)

    def latest(
        self, sources: Sequence[str], start_ms: int, end_ms: int, range_c: tuple[float, float]
    ) -> ReadingColumns:
        """Read as every store does, or not at all."""
        self._answer()
        return super().latest(sources, start_ms, end_ms, range_c)

    def ping(self) -> None:
        """Answer, or do not."""
        self._answer()
        super().ping()

    def _answer(self) -> None:
        if not self.answers:
            raise Unavailable("store", "away")
