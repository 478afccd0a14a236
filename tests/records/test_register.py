"""The register in the records comes back exactly."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heatwatch.domain.instants import to_ms
from heatwatch.domain.register import FAR_FUTURE_MS, FAR_PAST_MS, PointRow, Register
from heatwatch.domain.temperature import RoomClass, Standard
from heatwatch.errors import BadInput
from heatwatch.files.rules_file import default_standard
from heatwatch.records.database import Records
from heatwatch.usecases.register import (
    RegisterInForce,
    current_register,
    differs_from,
    import_register,
    register_version,
    rooms_in_service,
    row_at,
    sources_of,
)
from heatwatch.usecases.rules import differ_from

STANDARD = default_standard()
DAY = datetime(2025, 11, 20, tzinfo=UTC)
SHA = "0" * 64

zones = st.sampled_from([UTC, timezone(timedelta(hours=8)), timezone(timedelta(hours=-3, minutes=-30))])
instants = st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=zones)  # noqa: DTZ001
words = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
minutes = st.integers(0, 1439)
rows = st.builds(
    PointRow,
    point_id=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
    building_id=st.just("b/1"),
    station_id=st.just("站"),
    room_class=st.sampled_from(RoomClass),
    device_id=st.none(),
    contract=words,
    suspended_from=instants,
    suspended_to=instants,
    interval_s=st.none() | st.integers(1, 86400),
    offset_k=st.floats(-5, 5),
    room_id=words,
    heating_hours=st.none() | st.lists(st.tuples(minutes, minutes), max_size=3).map(tuple),
).filter(lambda row: not row.suspended_from or not row.suspended_to or row.suspended_from <= row.suspended_to)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Records:
    folder: Path = tmp_path_factory.mktemp("register")
    records = Records(f"sqlite:///{folder / 'records.sqlite'}")
    records.migrate()
    return records


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rows, max_size=5, unique_by=lambda row: row.point_id))
def test_every_row_comes_back_as_it_was(shared: Records, given_rows: list[PointRow]) -> None:
    with shared.write() as session:
        version = import_register(session, given_rows, "points.csv", SHA, 1)
    with shared.read() as session:
        assert current_register(session) == (version, Register.of(given_rows))


def _row(point: str, **more: object) -> PointRow:
    return PointRow(point, "b", "s", RoomClass.APARTMENT, **more)  # type: ignore[arg-type]


def test_there_is_none_before_the_first_import(records: Records) -> None:
    with records.read() as session:
        assert current_register(session) is None
        assert register_version(session) is None
        assert RegisterInForce()(session) is None


def test_the_newest_import_is_in_force(records: Records) -> None:
    in_force = RegisterInForce()
    for rows_ in ([_row("p1")], [_row("p1"), _row("p2", valid_from=DAY)]):
        with records.write() as session:
            import_register(session, rows_, "points.csv", SHA, 1)
        with records.read() as session:
            assert in_force(session) == Register.of(rows_)


def test_the_same_file_again_stays_one_version(records: Records) -> None:
    with records.write() as session:
        first = import_register(session, [_row("p1")], "points.csv", SHA, 1)
        assert import_register(session, [_row("p1")], "points.csv", SHA, 2) == first
        assert import_register(session, [_row("p1")], "points.csv", "1" * 64, 3) == first + 1


def test_a_register_that_contradicts_itself_is_refused(records: Records) -> None:
    with records.write() as session, pytest.raises(BadInput, match="p1"):
        import_register(session, [_row("p1"), _row("p1")], "points.csv", SHA, 1)


def test_a_points_readings_are_under_its_devices_while_they_were_its_own() -> None:
    later = DAY + timedelta(days=1)
    register = Register.of(
        [_row("p1", device_id="d1", valid_to=DAY), _row("p1", device_id="d2", valid_from=later), _row("p2")]
    )
    assert sources_of(register, "p1") == [
        ("d1", FAR_PAST_MS, to_ms(DAY)),
        ("d2", to_ms(later), FAR_FUTURE_MS),
        ("p1", FAR_PAST_MS, FAR_FUTURE_MS),
    ]
    assert sources_of(register, "p2") == [("p2", FAR_PAST_MS, FAR_FUTURE_MS)]
    assert sources_of(None, "p9") == [("p9", FAR_PAST_MS, FAR_FUTURE_MS)]


@given(st.lists(st.integers(0, 20), unique=True, max_size=6), st.integers(-1, 21), st.sampled_from(["p1", "p2", "p3"]))
def test_the_row_at_a_moment_is_the_registers(days: list[int], day: int, point: str) -> None:
    edges = [DAY + timedelta(days=number) for number in sorted(days)]
    dated = [_row("p2", valid_from=start, valid_to=end) for start, end in pairwise(edges)]
    register = Register.of([_row("p1"), *dated])
    instant = to_ms(DAY + timedelta(days=day))
    assert row_at(register, point, instant) == register.at(point, instant)


def test_rooms_in_service_are_counted_once_and_without_the_suspended() -> None:
    register = Register.of(
        [
            _row("p1", room_id="r1"),
            _row("p2", room_id="r1"),
            _row("p3"),
            _row("p4", suspended_from=DAY),
            _row("p5", suspended_from=DAY + timedelta(days=1)),
            _row("p6", valid_to=DAY),
            _row("p7", suspended_to=DAY),
        ]
    )
    assert rooms_in_service(register, to_ms(DAY)) == {"b": 4}
    assert rooms_in_service(None, 0) == {}


def _point(**said: Any) -> PointRow:
    return PointRow("p1", "b1", "s1", RoomClass.APARTMENT, **said)


_JAN, _FEB, _MAR = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))


@pytest.mark.parametrize(
    ("old", "new", "since"),
    [
        ([_point()], [_point()], None),
        ([_point()], [_point(offset_k=0.5)], None),
        ([_point()], [_point(valid_to=_FEB), _point(valid_from=_FEB, offset_k=0.5)], _FEB),
        ([_point()], [_point(valid_to=_FEB), _point(valid_from=_FEB)], None),
        ([_point()], [_point(suspended_from=_FEB)], _FEB),
        ([_point(suspended_from=_JAN, suspended_to=_MAR)], [_point(suspended_from=_JAN, suspended_to=_FEB)], _FEB),
        ([_point(valid_from=_JAN)], [_point(valid_from=_JAN, valid_to=_MAR)], _MAR),
        ([], [_point(valid_from=_JAN)], _JAN),
    ],
)
def test_from_when_on_two_registers_differ(old: list[PointRow], new: list[PointRow], since: datetime | None) -> None:
    """It is what holds at each moment that is compared, not how it is cut into rows."""
    expected = None if since is None else to_ms(since)
    assert differs_from(Register.of(old), Register.of(new)) == expected
    assert differs_from(Register.of(new), Register.of(old)) == expected


def test_from_when_on_two_sets_of_rules_differ() -> None:
    (first,) = (replace(version, valid_from=None) for version in STANDARD.versions[:1])
    colder = replace(first, clocks={}, valid_from=_FEB)
    plain = Standard((first,), STANDARD.judging)
    assert differ_from(plain, plain) is None
    assert differ_from(plain, Standard((first, colder), STANDARD.judging)) == to_ms(_FEB)
    assert differ_from(plain, Standard((first, replace(first, valid_from=_FEB)), STANDARD.judging)) is None
    other = Standard((first, colder), replace(STANDARD.judging, confirm_h=9.0))
    assert differ_from(plain, other) is None  # the numbers of judging have no date: of all time
