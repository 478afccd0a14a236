"""The readings that a ticket rests on: valid ones that violate the rule in force for their room and time (R1-R4)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator
from zoneinfo import ZoneInfo

from heatwatch.domain.instants import from_ms
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import MINUTES_PER_DAY, Limit, RoomClass, Standard
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.register import row_at, sources_of

_MINUTES_PER_HOUR = 60


class Violations:
    """Gives the violating readings of points, in time order; as kept, compared with their calibration.

    As in judging, a reading counts that is a number, that its calibration leaves in the range of what can be, and
    that no other value of its point and time contradicts (R8).
    """

    def __init__(self, store: ReadingStore, standard: Standard, register: Register | None, zone: ZoneInfo) -> None:
        self._store, self._standard, self._register, self._zone = store, standard, register, zone

    def __call__(self, point_ids: Collection[str], start_ms: int, end_ms: int) -> list[tuple[str, int, float]]:
        """Return (point, time [ms], temperature [degC]) of what points measured too cold in `[start_ms, end_ms)`."""
        told: defaultdict[tuple[int, str], set[float]] = defaultdict(set)
        for point, time_ms, temp_c in self._measured(point_ids, start_ms, end_ms):
            if math.isfinite(temp_c):
                told[time_ms, point].add(temp_c)
        found = [
            (point, time_ms, values.pop()) for (time_ms, point), values in sorted(told.items()) if len(values) == 1
        ]
        return [reading for reading in found if self._violates(*reading)]

    def _measured(self, point_ids: Collection[str], start_ms: int, end_ms: int) -> Iterator[tuple[str, int, float]]:
        """Give what points measured, whatever device did it."""
        owners: defaultdict[str, list[tuple[str, int, int]]] = defaultdict(list)
        for point in point_ids:
            for source, since_ms, until_ms in sources_of(self._register, point):
                owners[source].append((point, since_ms, until_ms))
        rows = self._store.read(sorted(owners), start_ms, end_ms)
        for code, time_ms, temp_c in zip(rows.code.tolist(), rows.time_ms.tolist(), rows.temp_c.tolist(), strict=True):
            for point, since_ms, until_ms in owners[rows.source[code]]:
                if since_ms <= time_ms < until_ms:
                    yield point, time_ms, temp_c

    def _violates(self, point_id: str, time_ms: int, temp_c: float) -> bool:
        row = self._row(point_id, time_ms)
        if row is None or (limit := self._limit(row, time_ms)) is None:
            return False
        judging, true_c = self._standard.judging, temp_c + row.offset_k
        return judging.range_low_c <= true_c <= judging.range_high_c and true_c < limit.minimum_c

    def _row(self, point_id: str, time_ms: int) -> PointRow | None:
        if self._register is None:
            return PointRow(point_id, "", "", RoomClass.APARTMENT)
        return row_at(self._register, point_id, time_ms)

    def _limit(self, row: PointRow, time_ms: int) -> Limit | None:
        local = from_ms(time_ms).astimezone(self._zone)
        minute = local.weekday() * MINUTES_PER_DAY + local.hour * _MINUTES_PER_HOUR + local.minute
        return self._standard.at(local).asked(row.room_class, row.contract, minute)
