"""Compliance rates: what is rated, what stands beside, when a room complies, and what is unknown."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heatwatch.domain.compliance import (
    FIELDS,
    By,
    Demands,
    Per,
    RoomSum,
    Share,
    columns_of,
    complies,
    period_of,
    rates,
)
from heatwatch.domain.temperature import Season

DEMANDS = Demands(95, 50)
DAYS = st.dates(date(1990, 1, 1), date(2080, 12, 31))


def sums(**named: int) -> list[int]:
    assert set(named) <= set(FIELDS)
    return [named.get(name, 0) for name in FIELDS]


def room(name: str = "101", point: str = "p", building: str = "b", station: str = "s", **named: int) -> RoomSum:
    return RoomSum(station, building, name, point, "2026-01", sums(**named))


class TestShare:
    """A rate is cut off, so that 100 % means all, and unknown where nothing is known."""

    @given(st.integers(0, 10**12), st.integers(0, 10**12))
    def test_it_is_never_more_than_the_truth_and_less_by_under_a_hundredth(self, part: int, rest: int) -> None:
        pct = Share(part, part + rest).pct
        if part + rest == 0:
            assert pct is None
            return
        assert pct is not None
        truth = Fraction(100 * part, part + rest)
        shown = Fraction(f"{pct:.2f}")
        assert shown <= truth < shown + Fraction(1, 100)

    @given(st.integers(1, 10**15))
    def test_a_single_violation_among_any_number_is_not_hundred_percent(self, whole: int) -> None:
        pct = Share(whole - 1, whole).pct
        assert pct is not None
        assert pct < 100


class TestRoom:
    """A room complies where enough of its known time does, and is rated where enough is known."""

    @pytest.mark.parametrize(
        ("compliant", "violating", "verdict"),
        [(95, 5, True), (949, 51, False), (1, 0, True), (0, 1, False), (0, 0, None)],
    )
    def test_ninety_five_of_a_hundred_hours_are_enough(
        self, compliant: int, violating: int, *, verdict: bool | None
    ) -> None:
        assert complies(sums(compliant_ms=compliant, violating_ms=violating), DEMANDS) is verdict

    @pytest.mark.parametrize(("unknown", "faulty", "verdict"), [(100, 0, True), (101, 0, None), (50, 51, None)])
    def test_half_of_the_time_has_to_be_known(self, unknown: int, faulty: int, *, verdict: bool | None) -> None:
        told = sums(compliant_ms=100, unknown_ms=unknown, sensor_fault_ms=faulty)
        assert complies(told, DEMANDS) is verdict

    @given(
        st.sampled_from(["outage_ms", "not_asked_ms", "suspended_ms", "off_season_ms", "unlisted_ms"]), st.integers(1)
    )
    def test_excluded_time_takes_nothing_from_what_has_to_be_known(self, name: str, length: int) -> None:
        assert complies(sums(compliant_ms=1, **{name: length}), DEMANDS) is True


class TestRates:
    """Rates of rooms, buildings, stations and all."""

    def test_nothing_known_is_unknown_and_neither_nought_nor_a_hundred(self) -> None:
        (one,) = rates([room(unknown_ms=10, sensor_fault_ms=3, outage_violating_n=5, outage_n=5)], Per.COMPANY, DEMANDS)
        assert (one.by_readings.pct, one.by_hours.pct, one.by_rooms.pct) == (None, None, None)
        assert (one.rooms, one.rooms_known) == (1, 0)

    def test_a_room_is_as_warm_as_its_coldest_point(self) -> None:
        cold, warm = room(point="p1", violating_ms=10), room(point="p2", compliant_ms=10)
        (one,) = rates([cold, warm], Per.BUILDING, DEMANDS)
        assert (one.rooms, one.rooms_known, one.rooms_compliant) == (1, 1, 0)

    def test_a_silent_point_beside_a_warm_one_leaves_the_room_rated(self) -> None:
        (one,) = rates([room(point="p1", unknown_ms=10), room(point="p2", compliant_ms=10)], Per.BUILDING, DEMANDS)
        assert (one.rooms, one.rooms_known, one.rooms_compliant) == (1, 1, 1)

    def test_rooms_of_one_number_in_two_buildings_are_two(self) -> None:
        (one,) = rates([room(compliant_ms=1), room(building="b2", point="q", compliant_ms=1)], Per.COMPANY, DEMANDS)
        assert one.rooms == 2

    def test_a_room_that_is_only_excluded_is_in_no_count_of_rooms(self) -> None:
        (one,) = rates([room(suspended_ms=100)], Per.STATION, DEMANDS)
        assert one.rooms == 0

    @given(
        st.lists(
            st.tuples(
                *[st.sampled_from("ab")] * 4, st.lists(st.integers(0, 99), min_size=len(FIELDS), max_size=len(FIELDS))
            )
        )
    )
    def test_the_company_is_the_sum_of_its_stations_these_of_buildings_these_of_rooms(
        self, drawn: list[tuple[str, str, str, str, list[int]]]
    ) -> None:
        rooms = [RoomSum(s, s + b, r, s + b + r + p, "2026-01", own) for s, b, r, p, own in drawn]
        added = []
        for per in Per:
            found = rates(rooms, per, DEMANDS)
            assert found == sorted(found, key=lambda one: (one.period, one.station_id, one.building_id, one.room))
            columns = zip(*(one.sums for one in found), strict=True)
            added.append(
                ([sum(c) for c in columns], sum(o.rooms for o in found), sum(o.rooms_compliant for o in found))
            )
        assert all(one == added[0] for one in added)

    def test_below_target_is_compliant_and_told_beside(self) -> None:
        (one,) = rates([room(compliant_n=4, below_target_n=4, compliant_ms=9, below_target_ms=9)], Per.ROOM, DEMANDS)
        told = columns_of(one, Per.ROOM)
        assert (told["readings_pct"], told["readings_below_target"]) == (100.0, 4)

    @given(
        st.sampled_from(
            [name for name in FIELDS if name not in {"compliant_ms", "violating_ms", "compliant_n", "violating_n"}]
        )
    )
    def test_what_stands_beside_changes_no_rate_of_time_or_readings(self, name: str) -> None:
        rated = {"compliant_ms": 3, "violating_ms": 1, "compliant_n": 2, "violating_n": 1}
        told = (RoomSum("s", "b", "101", "p", "2026-01", sums(**rated, **more)) for more in ({name: 10**9}, {}))
        (with_it,), (without,) = (rates([one], Per.COMPANY, DEMANDS) for one in told)
        assert (with_it.by_hours, with_it.by_readings) == (without.by_hours, without.by_readings)


class TestPeriods:
    """Days, months and seasons."""

    @given(DAYS)
    def test_without_seasons_in_the_rules_a_winter_is_whole(self, day: date) -> None:
        name = period_of(day, By.SEASON)
        begins = date(int(name[:4]), 7, 1)
        assert begins <= day < date(begins.year + 1, 7, 1)
        assert name[5:] == f"{(begins.year + 1) % 100:02d}"

    @given(DAYS, st.integers(0, 300), st.integers(0, 300))
    def test_a_day_within_a_season_of_the_rules_is_called_as_its_first_day(
        self, first: date, length: int, n: int
    ) -> None:
        season = Season(first, first + timedelta(days=length))
        day = first + timedelta(days=n % (length + 1))
        assert period_of(day, By.SEASON, [season]) == period_of(first, By.SEASON)

    @given(DAYS)
    def test_days_and_months_are_those_of_the_calendar(self, day: date) -> None:
        assert (period_of(day, By.DAY), period_of(day, By.MONTH)) == (f"{day:%Y-%m-%d}", f"{day:%Y-%m}")
