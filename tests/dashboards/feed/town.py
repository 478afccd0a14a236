"""Records of a small town that change step by step, a feed that follows, and what is to be in InfluxDB in the end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from dashboards.feed.worker import FeedWorker
from heatwatch.domain.compliance import FIELDS
from heatwatch.domain.findings import Finding
from heatwatch.domain.instants import HOUR_MS, from_ms
from heatwatch.domain.life import Deed
from heatwatch.domain.register import PointRow
from heatwatch.domain.stops import Stop
from heatwatch.domain.temperature import RoomClass
from heatwatch.errors import BadInput, Unavailable
from heatwatch.records.database import Records
from heatwatch.records.schema import (
    Arrival,
    FindingRow,
    NoticeRow,
    ReadingCount,
    ReportedStop,
    TicketEvent,
    TicketRow,
)
from heatwatch.usecases.compliance import put_days
from heatwatch.usecases.feeding import forget
from heatwatch.usecases.register import current_register, import_register
from heatwatch.usecases.roles import Bell
from heatwatch.usecases.stops import report_stop
from heatwatch.usecases.tickets import Done, act
from tests.dashboards.feed.pad import Pad, Value
from tests.dispatch.office import STANDARD, Office, at, spell
from tests.dispatch.office import stop as outage
from tests.ledger import fresh_records
from tests.shelf import Row, Shelf, batch_of

ZONE = ZoneInfo("Asia/Shanghai")
ROOMS = ("r1", "r2", "r3")
LASTING = ("finding", "ticket", "ticket_event", "notice", "stop", "compliance_day", "room_hour")
"""What is written once and for all; the rest are moments."""
TEMPERATURES = ("mean_c", "min_c", "max_c", "last_c", "minimum_c", "target_c")


def register(moved_at: int | None = None) -> list[PointRow]:
    """Return the register: three rooms with a device each; from an hour on, the first is in another building."""
    rows = [
        PointRow(name, "b1", "s1", RoomClass.APARTMENT, device_id=f"d{name}", room_id=f"1-{name}", loop="near")
        for name in ROOMS
    ]
    if moved_at is not None:
        moment = from_ms(at(moved_at))
        rows[0] = replace(rows[0], valid_to=moment)
        rows.append(replace(rows[0], building_id="b2", station_id="s2", valid_from=moment, valid_to=None))
    return [*rows, PointRow("never", "b9", "s9", RoomClass.APARTMENT)]


@cache
def _migrated() -> bytes:
    """Return empty records, made once."""
    with TemporaryDirectory() as folder:
        fresh_records(Path(folder)).close()
        return (Path(folder) / "records.sqlite").read_bytes()


class Town:
    """Everything that happens to the records, and a feed that can be cut off anywhere."""

    def __init__(self, folder: Path, records: Records | None = None) -> None:
        if records is None:
            (folder / "records.sqlite").write_bytes(_migrated())
        self.records, self.shelf, self.pad = records or fresh_records(folder), Shelf(), Pad()
        self.office = Office(self.records, self.shelf)
        self.now_h, self._sequence = 2.0, count(1)
        self.put_in_force(None)
        self.hire()

    def close(self) -> None:
        self.records.close()
        self.shelf.close()

    def hire(self, influx: Any = None) -> FeedWorker:
        """Put a feed that knows nothing in the place of this one, as after a crash."""
        self.pad = influx or self.pad
        self.feed = FeedWorker(
            self.records, self.shelf, self.pad, STANDARD, ZONE, Bell(), wall_clock=lambda: at(self.now_h)
        )
        return self.feed

    def tell(self, *away: int) -> None:
        """Let the feed do one pass, InfluxDB answering as it is said."""
        self.pad.away = list(away)
        with suppress(Unavailable):
            self.feed.pass_once()
        self.pad.away = []

    def tell_all(self) -> None:
        self.now_h += 0.25
        while self.feed.pass_once():
            pass

    def tell_anew(self) -> Pad:
        """Write everything anew into an empty InfluxDB."""
        with self.records.write() as session:
            forget(session)
        pad = Pad()
        self.hire(pad)
        self.tell_all()
        return pad

    # --- what happens

    def put_in_force(self, moved_at: int | None) -> None:
        with self.records.write() as session:
            import_register(session, register(moved_at), "points.csv", f"{moved_at}".rjust(64), 1)

    def judge(self, room: int, start_h: float, lasts_h: float | None, building: str = "b1") -> None:
        """Let judging find one spell of a room, whatever it found before, and dispatch see to it."""
        self.now_h += 0.25
        end_h = None if lasts_h is None else start_h + lasts_h
        found: list[Finding] = [spell(ROOMS[room], start_h, end_h)]
        found = [replace(one, building_id=building, station_id=building.replace("b", "s")) for one in found]
        self.office.judge(*found, at_h=self.now_h)

    def withdraw(self, room: int) -> None:
        self.now_h += 0.25
        self.office.judge(at_h=self.now_h, gone=[spell(ROOMS[room], 0)])

    def fail(self, start_h: float, lasts_h: float | None) -> None:
        """Let the building have no heat."""
        self.now_h += 0.25
        self.office.judge(outage(start_h, None if lasts_h is None else start_h + lasts_h), at_h=self.now_h)

    def act(self, ticket: int, deed: Deed) -> None:
        """Let somebody do something, where that is legal."""
        with self.records.write() as session:
            number = session.scalar(select(func.max(TicketRow.id)))
            if number is not None:
                said = {"text": "好", "person": "王师傅", "step": "finish"}
                done = Done(deed, "张三", at(self.now_h), said)
                with suppress(BadInput):
                    act(session, 1 + ticket % number, done, STANDARD)

    def report(self, start_h: int) -> None:
        with self.records.write() as session:
            held = current_register(session)
            stop = Stop("building", "b1", at(start_h), at(start_h + 9), planned=True, reason="检修")
            report_stop(session, stop, held[1] if held else None, who="张三", now_ms=at(self.now_h))

    def arrive(self, rows: Sequence[Row]) -> None:
        """Store rows and put them on the feed, as ingest does."""
        sequence = next(self._sequence)
        self.shelf.write(batch_of(rows, sequence))
        sources = sorted({source for source, _, _ in rows})
        times = {name: [time for source, time, _ in rows if source == name] for name in sources}
        touched = [[name, min(of), max(of), len(of)] for name, of in times.items()]
        with self.records.write() as session:
            for name in sources:
                session.merge(ReadingCount(worker="w", source=name, decoded=1, stored=1))
            session.add(Arrival(worker="w", sequence=sequence, touched=touched, tick=None))

    def tally(self, day: int, building: str, rooms: Sequence[tuple[int, int, int]]) -> None:
        """Keep a day's tallies: of each room by its number, compliant and violating hours."""
        name = f"2025-11-{20 + day}"
        rows = [
            {
                "day": name,
                "building_id": building,
                "point_id": ROOMS[room],
                "station_id": "s2" if building == "b2" else "s1",
                "room": ROOMS[room],
                "room_class": str(list(RoomClass)[room]),
                **dict.fromkeys(FIELDS, 0),
                "compliant_ms": compliant * HOUR_MS,
                "violating_ms": violating * HOUR_MS,
                "compliant_n": compliant,
                "violating_n": violating,
            }
            for room, compliant, violating in {one[0]: one for one in rooms}.values()
        ]
        with self.records.write() as session:
            put_days(session, name, [building], rows)

    # --- what is to be there

    def rows(self, table: type[Any]) -> list[Any]:
        with self.records.read() as session:
            return list(session.scalars(select(table).order_by(table.id)))

    def assert_told(self) -> None:
        """Check that every finding, ticket, event, notice and stop stands in InfluxDB as the records have it."""
        assert_findings(self.pad, self.rows(FindingRow))
        tickets = {row["ticket"]: row for row in self.pad.rows("ticket")}
        assert len(tickets) == len(self.pad.rows("ticket"))
        of = self.rows(TicketRow)
        assert tickets.keys() == {row.id for row in of}
        for row in of:
            told = tickets[row.id]
            assert (told["state"], told["station"], told["scope"]) == (row.state, row.station_id, row.scope)
            assert told["merged_into"] == (row.merged_into or 0)
            assert told["finished_ms"] == (row.finished_ms or 0)
            assert told["cause_start_ms"] == row.cause_start_ms
        for name, table in (("ticket_event", TicketEvent), ("notice", NoticeRow), ("stop", ReportedStop)):
            key = name.removeprefix("ticket_")
            assert sorted(int(row[key]) for row in self.pad.rows(name)) == [row.id for row in self.rows(table)]
        notices = {row["notice"]: row for row in self.pad.rows("notice")}
        assert {key: row["state"] for key, row in notices.items()} == {
            row.id: row.state for row in self.rows(NoticeRow)
        }


def assert_findings(pad: Pad, rows: Sequence[FindingRow]) -> None:
    told = [row for row in pad.rows("finding") if not row["moved"]]
    assert sorted(int(row["finding"]) for row in told) == [row.id for row in rows]
    by_number = {row["finding"]: row for row in told}
    for row in rows:
        one = by_number[row.id]
        assert (one["kind"], one["subject"], one["station"]) == (row.kind, row.subject_id, row.station_id)
        assert one["building"] == (row.building_id or "_")
        assert (one["start_ms"], one["end_ms"], one["withdrawn"]) == (row.start_ms, row.end_ms or 0, row.withdrawn)
        assert one["open"] == (row.open and not row.withdrawn)
        assert (one["revision"], one["changed_ms"]) == (row.revision, row.changed_ms)
        assert int(one["time"]) % 1_000_000 == row.id
    moved = [row for row in pad.rows("finding") if row["moved"]]
    assert all(row["withdrawn"] and not row["open"] for row in moved)


def lasting(pad: Pad) -> dict[str, dict[Any, dict[str, Value]]]:
    """Return what is written once and for all; of void hours, what nobody asks for is left out."""
    found: dict[str, dict[Any, dict[str, Value]]] = {name: pad.points.get(name, {}) for name in LASTING}
    hours = {key: _shown(fields) for key, fields in found["room_hour"].items()}
    return found | {"room_hour": {key: fields for key, fields in hours.items() if fields["readings"]}}


def _shown(fields: dict[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in fields.items() if name not in TEMPERATURES[4:] or fields["asked"]}
