"""A dispatch that remembers does what one that forgets at every pass does, whatever is found and whoever acts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from dispatch.standstill import Standstill
from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.instants import HOUR_MS, MINUTE_MS, from_ms
from heatwatch.domain.life import NEEDS, Deed
from heatwatch.domain.notices import NoticeState
from heatwatch.domain.register import PointRow
from heatwatch.domain.temperature import RoomClass
from heatwatch.errors import Unavailable
from heatwatch.files.rules_file import default_standard
from heatwatch.records.database import Records
from heatwatch.records.progress import advance
from heatwatch.records.schema import (
    Base,
    NoticeRow,
    OutboxRow,
    TicketClock,
    TicketEvent,
    TicketFinding,
    TicketRow,
)
from heatwatch.usecases.findings import record_findings
from heatwatch.usecases.notices import edit, publish_by_hand
from heatwatch.usecases.register import import_register
from heatwatch.usecases.tickets import Done, act, known
from tests.dispatch.office import Office, at, spell
from tests.dispatch.test_living import live
from tests.ledger import fresh_records

STANDARD = default_standard()
PLACES = {"b1": "s1", "b2": "s1", "b3": "s2"}
HOMES = {f"{building}-{number}": building for building in PLACES for number in range(5)}
COMPARED: Sequence[type[Base]] = (TicketRow, TicketFinding, TicketClock, TicketEvent, NoticeRow, OutboxRow)
STEPS = 30


class _Random:
    """What is found at random, as judging would find it: amended, withdrawn, ended, reopened, split, begun earlier."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.found: dict[tuple[FindingKind, SubjectKind, str], list[Finding]] = {}

    def change(self, hours: float) -> list[tuple[FindingKind, SubjectKind, str]]:
        """Let a moment pass; return whose findings were judged anew."""
        self.found = {who: [self._longer(one, hours) for one in found] for who, found in self.found.items()}
        for _ in range(self._chance.choice((0, 0, 1, 1, 2, 4) if self.found else (12,))):
            self._one(hours)
        return list(self.found)

    def _longer(self, one: Finding, hours: float) -> Finding:
        if not one.open:
            return one
        detail = {**one.detail, "figure": hours}
        if one.kind is FindingKind.SENSOR_FAULT and self._chance.random() < 0.3:
            detail["detail"] = f"n={self._chance.choice((5, 6, 9))} min=1.0 max=2.0"
        if one.kind is FindingKind.COLD_SPELL and one.confirmed_ms is None and at(hours) - one.start_ms >= HOUR_MS:
            return replace(one, detail=detail, confirmed_ms=at(hours))
        return replace(one, detail=detail)

    def _one(self, hours: float) -> None:
        chance = self._chance
        who = self._somebody()
        mine = self.found.setdefault(who, [])
        if not mine or (not mine[-1].open and chance.random() < 0.3):
            mine.append(self._new(who, hours))
            return
        place = chance.randrange(len(mine))
        one = mine[place]
        last = place == len(mine) - 1
        match chance.choice(("end", "end", "open", "gone", "earlier", "moved", "split")):
            case "end":
                mine[place] = self._ended(one, hours)
            case "open" if last and not one.open:
                mine[place] = replace(one, end_ms=None, open=True, detail={**one.detail, "end_reason": ""})
            case "gone" if chance.random() < 0.5:
                del mine[place]
            case "earlier" if place == 0:
                mine[place] = replace(one, start_ms=one.start_ms - chance.choice((5, 60, 300)) * MINUTE_MS)
            case "moved" if one.kind is FindingKind.COLD_SPELL:
                home = chance.choice([*PLACES])
                mine[place] = replace(one, building_id=home, station_id=PLACES[home])
            case "split" if last and one.open and at(hours) - one.start_ms > 2 * HOUR_MS:
                mine[place] = replace(self._ended(one, hours), end_ms=one.start_ms + HOUR_MS)
                mine.append(self._new(who, hours))

    def _somebody(self) -> tuple[FindingKind, SubjectKind, str]:
        draw = self._chance.random()
        if draw < 0.6:
            return FindingKind.COLD_SPELL, SubjectKind.POINT, self._chance.choice([*HOMES])
        if draw < 0.82:
            kind = self._chance.choice((FindingKind.SENSOR_FAULT, FindingKind.DATA_OUTAGE))
            return kind, SubjectKind.POINT, self._chance.choice([*HOMES])
        if draw < 0.86:
            return FindingKind.DATA_OUTAGE, SubjectKind.BUILDING, self._chance.choice([*PLACES])
        if draw < 0.88:
            return FindingKind.DATA_OUTAGE, SubjectKind.STATION, self._chance.choice(["s1", "s2"])
        if draw < 0.93:
            return FindingKind.HEAT_OUTAGE, SubjectKind.BUILDING, self._chance.choice([*PLACES])
        return FindingKind.HEAT_OUTAGE, SubjectKind.STATION, self._chance.choice(["s1", "s2"])

    def _new(self, who: tuple[FindingKind, SubjectKind, str], hours: float) -> Finding:
        kind, subject_kind, name = who
        lately = (23 * 60, 24 * 60 - 20, 25 * 60) if kind is FindingKind.DATA_OUTAGE else (10, 70, 200)
        start_ms = at(hours) - self._chance.choice(lately) * MINUTE_MS
        if self.found[who]:
            start_ms = max(start_ms, (self.found[who][-1].end_ms or 0) + MINUTE_MS)
        if subject_kind is SubjectKind.STATION:
            return Finding(
                kind, subject_kind, name, "", name, start_ms, None, open=True, confirmed_ms=None, detail={"points": 9}
            )
        home = HOMES.get(name, name)
        confirmed = at(hours) if kind is FindingKind.COLD_SPELL and self._chance.random() < 0.5 else None
        detail = {"rule": "R1", "end_reason": ""} if kind is FindingKind.COLD_SPELL else {"points": 5}
        if kind is FindingKind.SENSOR_FAULT:
            fault = self._chance.choice(("stuck", "spike", "out_of_range", "low_battery"))
            detail = {"kind": fault, "detail": "n=5 min=1.0 max=2.0"}
        return Finding(
            kind,
            subject_kind,
            name,
            home,
            PLACES[home],
            start_ms,
            None,
            open=True,
            confirmed_ms=confirmed,
            detail=detail,
        )

    def _ended(self, one: Finding, hours: float) -> Finding:
        end_ms = max(one.start_ms + MINUTE_MS, at(hours) - self._chance.choice((0, 30, 90)) * MINUTE_MS)
        reason = self._chance.choice(("recovered", "recovered", "silence"))
        detail = {**one.detail, "end_reason": reason} if one.kind is FindingKind.COLD_SPELL else dict(one.detail)
        return replace(one, end_ms=end_ms, open=False, detail=detail)


def _forgetful(office: Office) -> Office:
    """Let an office's dispatch take everything for news at each pass."""
    office.worker._standstill = _Forgetful()
    return office


class _Forgetful(Standstill):
    def decided(self, *_: Any, **__: Any) -> None:
        self.forget()


def _register(closed_from: datetime | None, *, moved: bool) -> list[PointRow]:
    rows = [PointRow(name, home, PLACES[home], RoomClass.APARTMENT) for name, home in HOMES.items()]
    rows = [replace(row, room_id=f"{row.building_id}-r") if row.point_id[-1] in "01" else row for row in rows]
    if closed_from is not None:
        rows = [replace(row, suspended_from=closed_from) if row.point_id[-1] in "34" else row for row in rows]
    return [row for row in rows if not (moved and row.point_id == "b1-2")]


def _find(office: Office, found: Sequence[Finding], subjects: Sequence[Any], hours: float) -> None:
    office.step += 1
    with office.records.write() as session:
        record_findings(session, found, subjects, at(hours))
        tick = {"run": "r", "step": office.step, "now": at(hours)}
        advance(session, "analytics", office.step, at(hours), tick)


def _deed(office: Office, hours: float, draw: random.Random) -> None:
    """Let a person do something that is legal, or see to a draft."""
    with office.records.write() as session:
        rows = session.scalars(select(TicketRow).order_by(TicketRow.id)).all()
        drafts = session.scalars(select(NoticeRow).where(NoticeRow.state == NoticeState.DRAFT)).all()
        if drafts and draw.random() < 0.4:
            if draw.random() < 0.5:
                edit(session, drafts[-1].id, "words", "of a person", "s1", at(hours))
            else:
                publish_by_hand(session, drafts[-1].id, "s1", at(hours), STANDARD)
        elif rows:
            row = draw.choice(rows)
            legal = [one for one in known(session, row, STANDARD).deeds(at(hours)) if one not in _IDLE]
            if legal:
                deed = draw.choice(legal)
                detail: dict[str, Any] = dict.fromkeys(NEEDS.get(deed, ()), "x")
                detail |= {"expected_end_ms": at(hours + 9)} if deed is Deed.OPINION else {}
                act(session, row.id, Done(deed, "s1", at(hours), detail), STANDARD)


_IDLE = frozenset({Deed.EXPLAIN, Deed.COMMENT, Deed.FROM_ABOVE, Deed.RESULT, Deed.CONTACT, Deed.LEAK})


def _table(office: Office, table: type[Base]) -> list[tuple[Any, ...]]:
    columns = table.__table__.columns
    with office.records.read() as session:
        rows = session.execute(select(*columns).order_by(*table.__table__.primary_key)).all()
    return [tuple(row) for row in rows]


def _assert_alike(offices: Sequence[Office], when: str) -> None:
    remembering, forgetful = offices
    for table in COMPARED:
        assert _table(remembering, table) == _table(forgetful, table), when


def _fails(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a pass break off after everything was decided."""

    def away(*_: Any) -> None:
        raise Unavailable("records", "away")

    with monkeypatch.context() as patch:
        patch.setattr("dispatch.worker.advance", away)
        with pytest.raises(Unavailable):
            office.worker.pass_once()


def _import(offices: Sequence[Office], chance: random.Random, hours: float, step: int) -> None:
    rows = _register(chance.choice((None, from_ms(at(hours + 1)))), moved=chance.random() < 0.3)
    for office in offices:
        with office.records.write() as session:
            import_register(session, rows, f"{step}", f"{step:064}", at(hours))


def _deeds(offices: Sequence[Office], chance: random.Random, hours: float) -> None:
    seeds = [chance.randrange(2**32) for _ in range(chance.choice((0, 0, 0, 1, 4)))]
    for office in offices:
        for seed in seeds:
            _deed(office, hours, random.Random(seed))  # noqa: S311 - no secret


def _lived(seed: int, offices: Sequence[Office], monkeypatch: pytest.MonkeyPatch) -> int:
    """Live through the same in both offices, and compare them after each pass; return how many tickets there were."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    world, hours, second = _Random(chance), 2.0, offices[0].hire()
    for step in range(STEPS):
        hours += chance.choice((1, 1, 5, 20, 90)) / 60
        if step == 0 or chance.random() < 0.04:
            _import(offices, chance, hours, step)
        subjects = world.change(hours)
        for office in offices:
            _find(office, [one for who in subjects for one in world.found[who]], subjects, hours)
        world.found = {who: mine for who, mine in world.found.items() if mine}
        _deeds(offices, chance, hours)
        match chance.choice(("", "", "", "", "", "late", "late", "second", "restart", "failure")):
            case "late":
                continue
            case "second":
                second.pass_once()
            case "restart":
                offices[0].worker = offices[0].hire()
            case "failure":
                for office in offices:
                    _fails(office, monkeypatch)
        for office in offices:
            office.worker.pass_once()
        _assert_alike(offices, f"seed {seed}, step {step}")
    return len(_table(offices[0], TicketRow))


@pytest.fixture
def forgetful(tmp_path: Path) -> Records:
    folder = tmp_path / "forgetful"
    folder.mkdir()
    return fresh_records(folder)


@pytest.mark.parametrize("seed", range(2))
def test_remembering_changes_nothing(
    seed: int, records: Records, forgetful: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    offices = Office(records, standard=STANDARD), _forgetful(Office(forgetful, standard=STANDARD))
    assert _lived(seed, offices, monkeypatch)
    assert {kind for kind, *_ in offices[0].picture()} == {"low_temperature", "heat_outage", "sensor"}
    forgetful.close()


@pytest.fixture
def office(records: Records) -> Office:
    made = Office(records, standard=STANDARD)
    made.register("p1", "p2", "p3", "p4", "p5")
    return made


def _states(office: Office) -> list[tuple[str, str]]:
    return sorted([(scope, state) for _, scope, state, _ in office.picture()], reverse=True)


def _longer(*spells: Finding) -> list[Finding]:
    return [replace(one, detail={"rule": "R1", "violation_h": 5.0}) for one in spells]


def test_a_spell_that_began_before_its_point_moved_is_seen_to_where_its_ticket_is(office: Office) -> None:
    group = [spell(name, 4) for name in ("p2", "p3", "p4")]
    office.judge(spell("p1", 0, 3), *group, at_h=6).judge(spell("p1", 0, 3), *_longer(*group), at_h=6.5)
    assert _states(office) == [("room", "open"), ("building", "open")]
    office.judge(replace(spell("p1", -1, confirmed_h=1), building_id="b9", station_id="s9"), at_h=7)
    assert _states(office) == [("room", "merged"), ("building", "open")]


def test_what_another_dispatch_read_of_a_deed_is_no_less_news(office: Office) -> None:
    """R18. A repair that goes on again is of the group, whichever of two has read so."""
    one, two, three = spell("p1", 0), spell("p2", 0), spell("p3", 4)
    office.judge(one, two, at_h=2)
    live(office, 1, 2.5)
    office.judge(one, two, three, at_h=6).judge(*_longer(one, two, three), at_h=6.5)
    with office.records.write() as session:
        act(session, 1, Done(Deed.REOPEN, "s1", at(7), {"text": "cold"}), STANDARD)
    office.hire().pass_once()
    office.judge(one, two, three, at_h=8)
    assert _states(office) == [("room", "merged")] * 3 + [("building", "open")]
