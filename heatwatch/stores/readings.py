"""The protocol of every reading store.

A raw reading is kept under (source, time): the source is the device that measured, or the point where no device
is named. A second row with the same source, time and value is a duplicate and is not kept again; one with another
value is a conflict and is kept beside the first (R8).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Int8 = NDArray[np.int8]
Float64 = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Outcome(IntEnum):
    """What became of a row that was written."""

    STORED = 0
    DUPLICATE = 1
    CONFLICT = 2
    REFUSED = 3
    """The store will never take it, whatever is tried; it goes to quarantine with the reason."""


@dataclass(frozen=True, slots=True)
class ReadingBatch:
    """Rows to write, as columns of one length.

    Attributes
    ----------
    source
        Device or point, one string a row.
    time_ms, arrived_ms
        When measured and when received [ms].
    temp_c, humidity_pct, battery, rssi_dbm
        Measured values [degC, %, as sent, dBm]; NaN where the device sent none.
    flags
        Comma-joined flags, empty where there are none.
    worker
        The ingest worker whose journal the rows come from.
    sequence, position
        The message in that journal, and the row within the message. (worker, sequence, position) is a row's
        birth certificate: written again after a crash, it has the outcome that it had the first time.
    """

    source: Sequence[str]
    time_ms: Int64
    temp_c: Float64
    humidity_pct: Float64
    battery: Float64
    rssi_dbm: Float64
    flags: Sequence[str]
    arrived_ms: Int64
    worker: str
    sequence: Int64
    position: Int32

    def __len__(self) -> int:
        return len(self.time_ms)


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch.

    Attributes
    ----------
    outcome
        An `Outcome` a row.
    refused
        Why, by row, for each that was refused.
    """

    outcome: Int8
    refused: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VitalColumns:
    """What rows say of the thermometer itself.

    Attributes
    ----------
    battery
        Its level as sent (percent, volts or millivolts); NaN where none was.
    low_battery
        Whether the row bore that flag.
    arrived_ms
        When it was received [ms].
    """

    battery: Float64
    low_battery: Bools
    arrived_ms: Int64


@dataclass(frozen=True, slots=True)
class ReadingColumns:
    """Rows read, ordered by source and time: `source[code[i]]` measured `temp_c[i]` [degC] at `time_ms[i]`.

    `vitals` holds what was received besides, where it was asked for.
    """

    source: Sequence[str]
    code: Int32
    time_ms: Int64
    temp_c: Float64
    vitals: VitalColumns | None = None

    def __len__(self) -> int:
        return len(self.time_ms)


@dataclass(frozen=True, slots=True)
class WholeRows:
    """Rows read with all that was received of them: `source[code[i]]` is the source of row `i`; the rest as written.

    `conflict` tells rows that were kept beside an earlier one of their source and time.
    """

    source: Sequence[str]
    code: Int32
    time_ms: Int64
    arrived_ms: Int64
    temp_c: Float64
    humidity_pct: Float64
    battery: Float64
    rssi_dbm: Float64
    flags: Sequence[str]
    worker: Sequence[str]
    sequence: Int64
    position: Int32
    conflict: Bools

    def __len__(self) -> int:
        return len(self.time_ms)

    def batches(self) -> Iterator[ReadingBatch]:
        """Give the rows as batches that, written to an empty store in their order, have the outcomes that they had."""
        worker, flags = np.asarray(self.worker, object), np.asarray(self.flags, object)
        source = np.asarray(self.source, object)
        for conflict in (False, True):
            mine = np.nonzero(self.conflict == conflict)[0]
            for name in sorted(set(worker[mine].tolist())):
                row = mine[worker[mine] == name]
                yield ReadingBatch(
                    source=source[self.code[row]].tolist(),
                    time_ms=self.time_ms[row],
                    temp_c=self.temp_c[row],
                    humidity_pct=self.humidity_pct[row],
                    battery=self.battery[row],
                    rssi_dbm=self.rssi_dbm[row],
                    flags=flags[row].tolist(),
                    arrived_ms=self.arrived_ms[row],
                    worker=name,
                    sequence=self.sequence[row],
                    position=self.position[row],
                )


@runtime_checkable
class ReadingStore(Protocol):
    """Keeps every reading. Safe to call from several threads of one process."""

    def write(self, batch: ReadingBatch) -> Written:
        """Keep a batch durably and return what became of each row.

        All of it is kept but what is refused; refused is only what the store could never take.

        Raises
        ------
        Unavailable
            If the store does not answer, or refuses everything for now; nothing was kept, or what was kept is
            recognised when written again.
        """
        ...

    def read(
        self,
        sources: Sequence[str] | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        *,
        late_most_ms: int | None = None,
        vitals: bool = False,
    ) -> ReadingColumns:
        """Return the rows of `sources` (None: all) measured in `[start_ms, end_ms)` (None: unbounded).

        Rows that arrived more than `late_most_ms` after they were measured (None: none) are left out. With `vitals`
        the rows bear battery, flag and arrival as well.
        """
        ...

    def latest(
        self, sources: Sequence[str], start_ms: int, end_ms: int, range_c: tuple[float, float]
    ) -> ReadingColumns:
        """Return the newest valid row of each of `sources` measured in `[start_ms, end_ms)`, where there is one.

        Valid is a number within `range_c` [degC], both ends included, that is the only number of its source and time.
        """
        ...

    def whole(self, start_ms: int, end_ms: int, *, by_arrival: bool = False) -> WholeRows:
        """Return the rows measured in `[start_ms, end_ms)` with all that was received, in order of time.

        Rows of one time come in the order in which they were received. With `by_arrival` it is the moments of arrival
        that lie in the span, and rows come in the order of these. All of it is held in memory: ask for a long span in
        slices.
        """
        ...

    def days(self) -> tuple[Int64, Int64]:
        """Return the days that hold rows, by their beginning in UTC [ms], and how many rows each holds; in order."""
        ...

    def count(self) -> int:
        """Return how many rows are kept; this may look at every row."""
        ...

    def empty(self) -> bool:
        """Whether no row is kept; this looks at few rows."""
        ...

    def ping(self) -> None:
        """Raise `Unavailable` if the store does not answer."""
        ...

    def close(self) -> None:
        """Release files and connections; what was written stays."""
        ...
