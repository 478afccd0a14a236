"""A room's story tells what was measured, asked and found, and each who asks no more than is theirs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, from_ms, to_ms
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import ClassRules, Hours, Judging, Limit, RoomClass, Season, Standard, Version
from heatwatch.records.database import Records
from heatwatch.records.schema import TicketFinding, TicketRow
from heatwatch.usecases.findings import record_findings
from heatwatch.usecases.register import import_register
from heatwatch.usecases.room import Counted, RoomStories, RoomStory, limit_steps, offsets
from tests.shelf import Row, Shelf

BERLIN, SHANGHAI = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Shanghai")
T0 = to_ms(datetime(2025, 11, 24, 16, tzinfo=UTC))
"""Midnight in Shanghai, before a Tuesday."""
OFFICE = (Hours(8 * 60, 18 * 60, 18.0, 20.0, "R4", weekdays=frozenset(range(5))), Hours(23 * 60, 60, 12.0, rule="R4"))
HOME = ClassRules((Hours(360, 1260, 18.0, rule="R1"), Hours(1260, 360, 16.0, rule="R2")), 18.0)
CLASSES = {RoomClass.APARTMENT: HOME, RoomClass.SINGLE_STOREY: ClassRules((Hours(0, 1440, 16.0, rule="R3"),))}
CONTRACTS = {"office": OFFICE, "plus": (Hours(360, 1260, 19.0, 20.0, "R4"),)}
STANDARD = Standard((Version(None, CLASSES, CONTRACTS),), Judging())
CHANGES = [datetime(2025, 3, 30, 1, tzinfo=UTC), datetime(2025, 10, 26, 1, tzinfo=UTC)]
"""When Berlin changed its clocks."""


def oracle(rows: Sequence[PointRow], standard: Standard, zone: ZoneInfo, at: datetime) -> Limit | None:
    """Return what is asked at a moment, said as the rules say it."""
    local = at.astimezone(zone)
    held = [row for row in rows if row.valid_from_ms <= to_ms(at) < row.valid_to_ms]
    version = standard.at(at)
    if not held or (version.seasons and not any(s.first_day <= local.date() <= s.last_day for s in version.seasons)):
        return None
    row = held[0]
    paused = row.suspended_from is not None or row.suspended_to is not None
    if paused and (row.suspended_from or at) <= at < (row.suspended_to or at + timedelta(1)):
        return None
    return version.asked(row.room_class, row.contract, local.weekday() * 1440 + local.hour * 60 + local.minute)


@st.composite
def registers(draw: st.DrawFn, about: datetime) -> list[PointRow]:
    """Draw some rows of one point whose edges lie about a moment, on minutes."""
    edges = sorted(draw(st.sets(st.integers(-3000, 3000), max_size=2)))
    moments: list[datetime | None] = [about + timedelta(minutes=edge) for edge in edges]
    ends = [None, *moments, None]
    rows = []
    for begin, end in zip(ends, ends[1:], strict=False):
        if draw(st.booleans()) or not rows:
            room_class, contract = draw(st.sampled_from(list(RoomClass))), draw(st.sampled_from([None, *CONTRACTS]))
            pause = sorted(draw(st.tuples(st.integers(-3000, 3000), st.integers(-3000, 3000))))
            paused: list[datetime | None] = [about + timedelta(minutes=edge) for edge in pause]
            since, until = (None, None) if draw(st.booleans()) else paused
            rows.append(PointRow("p", "b", "s", room_class, begin, end, None, contract, since, until))
    return rows


@st.composite
def standards(draw: st.DrawFn, about: datetime) -> Standard:
    """Draw one or two versions, with a season or without."""
    day = date(about.year, about.month, about.day)
    seasons = draw(st.sampled_from([(), (Season(day - timedelta(1), day),)]))
    colder = {kind: ClassRules((Hours(300, 1200, 17.0, rule="R1"),), 17.5) for kind in RoomClass}
    later = about + timedelta(minutes=draw(st.integers(-3000, 3000)))
    second = [Version(later, colder, CONTRACTS)] if draw(st.booleans()) else []
    return Standard((Version(None, CLASSES, CONTRACTS, seasons), *second), Judging())


class TestSteps:
    """What is asked, by the hour."""

    @settings(deadline=None)
    @given(st.data())
    def test_are_what_the_rules_ask_at_every_minute(self, data: st.DataObject) -> None:
        """Also across changes of the clocks, rows, suspensions, versions and seasons."""
        about, zone = data.draw(st.sampled_from([*CHANGES, from_ms(T0)])), data.draw(st.sampled_from([BERLIN, SHANGHAI]))
        rows, standard = data.draw(registers(about)), data.draw(standards(about))
        start_ms = to_ms(about) + data.draw(st.integers(-2500, 0)) * MINUTE_MS
        end_ms = to_ms(about) + data.draw(st.integers(1, 2500)) * MINUTE_MS
        steps = limit_steps(rows, standard, zone, start_ms, end_ms)
        told = []
        for minute_ms in range(start_ms, end_ms, MINUTE_MS):
            limit = oracle(rows, standard, zone, from_ms(minute_ms))
            if not told or told[-1][1] != limit:
                told.append((minute_ms, limit))
        assert [(step.start_ms, step.limit) for step in steps] == told
