"""The register of test points (R6): where, which class, which device since when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from heatwatch.domain.instants import iso, to_ms
from heatwatch.domain.temperature import RoomClass
from heatwatch.errors import BadInput

FAR_PAST_MS = -(2**62)
FAR_FUTURE_MS = 2**62


@dataclass(frozen=True, slots=True)
class PointRow:
    """What holds for one test point from `valid_from` (included) to `valid_to` (excluded); None is unbounded.

    `interval_s` [s] is the spacing at which it was told to measure; `offset_k` [K] is added to what its device
    says when it is judged; `heating_hours` are local minutes of the day in which the room is heated by
    agreement, None for all.
    """

    point_id: str
    building_id: str
    station_id: str
    room_class: RoomClass
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    device_id: str | None = None
    contract: str | None = None
    suspended_from: datetime | None = None
    suspended_to: datetime | None = None
    interval_s: int | None = None
    offset_k: float = 0.0
    room_id: str | None = None
    riser: str | None = None
    loop: str | None = None
    floor: str | None = None
    heating_hours: tuple[tuple[int, int], ...] | None = None

    @property
    def valid_from_ms(self) -> int:
        """Start of validity [ms]."""
        return FAR_PAST_MS if self.valid_from is None else to_ms(self.valid_from)

    @property
    def valid_to_ms(self) -> int:
        """End of validity [ms], excluded."""
        return FAR_FUTURE_MS if self.valid_to is None else to_ms(self.valid_to)

    @property
    def room(self) -> str:
        """The room that the point measures; the point itself where none is named."""
        return self.room_id or self.point_id


@dataclass(frozen=True, slots=True)
class Register:
    """Every row of every point, ordered by point and start of validity.

    `implied` marks a register made up from the readings alone because no points file was given.
    """

    rows: tuple[PointRow, ...]
    implied: bool = False

    @classmethod
    def of(cls, rows: Iterable[PointRow], *, where: str = "register") -> Register:
        """Order the rows and check that no two of one point overlap, nor two points share a device at once.

        Raises
        ------
        BadInput
            If validities overlap, or one ends before it begins.
        """
        ordered = sorted(rows, key=lambda row: (row.point_id, row.valid_from_ms))
        for row in ordered:
            if row.valid_to_ms <= row.valid_from_ms:
                raise BadInput(f"point {row.point_id}: valid_to is not after valid_from", where=where)
            if row.suspended_from and row.suspended_to and row.suspended_to < row.suspended_from:
                raise BadInput(f"point {row.point_id}: suspended_to is before suspended_from", where=where)
        _refuse_overlap(ordered, [row.point_id for row in ordered], "point", where)
        devices = sorted(
            (row for row in ordered if row.device_id is not None),
            key=lambda row: (row.device_id or "", row.valid_from_ms),
        )
        _refuse_overlap(devices, [row.device_id or "" for row in devices], "device", where)
        return cls(tuple(ordered))

    @classmethod
    def implied_by(cls, point_ids: Iterable[str]) -> Register:
        """Without a points file every point is an apartment, in one building and one station."""
        rows = (PointRow(point, "building", "station", RoomClass.APARTMENT) for point in sorted(set(point_ids)))
        return cls(tuple(rows), implied=True)

    def at(self, point_id: str, instant_ms: int) -> PointRow | None:
        """Return the row in force for a point at `instant_ms`, None where there is none."""
        for row in self.rows:
            if row.point_id == point_id and row.valid_from_ms <= instant_ms < row.valid_to_ms:
                return row
        return None


def _refuse_overlap(rows: Sequence[PointRow], keys: Sequence[str], noun: str, where: str) -> None:
    for (before, key), (after, next_key) in zip(
        zip(rows, keys, strict=True), zip(rows[1:], keys[1:], strict=True), strict=False
    ):
        if key == next_key and after.valid_from_ms < before.valid_to_ms:
            since = "the beginning" if after.valid_from is None else iso(after.valid_from_ms)
            raise BadInput(
                f"{noun} {key}: two rows are valid at once from {since}",
                where=where,
                mend="end the earlier row with valid_to",
            )
