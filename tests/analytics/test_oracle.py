"""Golden cases for the plain judge: each clause of the definitions once, with the arithmetic done by hand.

Where nothing else is said the zone is Asia/Shanghai, the day Monday 2026-01-12, the room an apartment (R1, R2) and
the interval 1 h, so that `hold` is 2 h and `break` 8 h.
"""

import copy
import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, event, given, seed, settings

from tests.analytics import oracle, strategies
from tests.analytics.oracle import ColdSpell, DataOutage, Point, Result, Row, SensorFault

ZONE = "Asia/Shanghai"
BRUSSELS = "Europe/Brussels"
SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
APARTMENT = Point("p", "b", "s")


def at(text: str, zone: str = ZONE) -> int:
    """Read a local time of 2026-01-12 (or with its own date) as milliseconds."""
    text = text if "-" in text else f"2026-01-12 {text}"
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def utc(text: str) -> int:
    return at(text, "UTC")


def readings(*pairs: tuple[str | int, float | None], point_id: str = "p") -> list[Row]:
    """Make rows from local times and temperatures."""
    return [Row(point_id, when if isinstance(when, int) else at(when), temp_c) for when, temp_c in pairs]


def every(step_ms: int, start: str, temps_c: Sequence[float], point_id: str = "p") -> list[Row]:
    """Make rows with one step between them."""
    return [Row(point_id, at(start) + i * step_ms, temp_c) for i, temp_c in enumerate(temps_c)]


def judge(
    rows: Sequence[Row],
    *points: Point,
    rules: dict[str, Any] = oracle.DEFAULT_RULES,
    zone: str = ZONE,
    as_of: int | None = None,
) -> Result:
    return oracle.judge(rows, points or [APARTMENT], rules, zone, as_of)


def only_spell(result: Result) -> ColdSpell:
    assert len(result.cold_spells) == 1, result.cold_spells
    return result.cold_spells[0]


def rules_with(
    contracts: dict[str, Any] | None = None,
    seasons: list[dict[str, str]] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Give the default rules in one version, with contracts or seasons."""
    version = copy.deepcopy(oracle.DEFAULT_RULES["versions"][0])
    return {"versions": [version | {"contracts": contracts or {}, "seasons": seasons or []} | more]}


def counted(result: Result, *names: str) -> tuple[int, ...]:
    return tuple(result.counts[name] for name in names)


class TestHours:
    """R1 to R3: what is asked at which local hour."""

    @pytest.mark.parametrize(
        ("when", "temp_c", "violations", "below_target"),
        [
            ("05:59:59.999", 17.9, 0, 1),  # still night: 16 <= 17.9 < 18
            ("06:00:00.000", 17.9, 1, 0),  # the day's minimum is 18
            ("20:59:59.999", 17.9, 1, 0),
            ("21:00:00.000", 17.9, 0, 1),
            ("12:00", 18.0, 0, 0),  # exactly the minimum and the target
            ("12:00", math.nextafter(18.0, 0), 1, 0),  # the raw 64-bit value is compared
            ("00:00", 16.0, 0, 1),  # exactly the night's minimum
            ("00:00", math.nextafter(16.0, 0), 1, 0),
            ("23:59:59.999", 18.0, 0, 0),
        ],
    )
    def test_an_apartment_by_day_and_by_night(
        self,
        when: str,
        temp_c: float,
        violations: int,
        below_target: int,
    ) -> None:
        result = judge(readings((when, temp_c)))
        assert counted(result, "violations", "below_target") == (violations, below_target)

    def test_the_rule_at_the_edges(self) -> None:
        """15.0 violates R2 until 05:59:59.999 and R1 from 06:00: together `R1+R2`."""
        night = judge(readings(("05:00", 15.0), ("05:59:59.999", 15.0)))
        both = judge(readings(("05:59:59.999", 15.0), ("06:00", 15.0)))
        day = judge(readings(("06:00", 15.0), ("20:59:59.999", 15.0)), as_of=at("20:59:59.999"))
        assert [only_spell(night).rule, only_spell(both).rule] == ["R2", "R1+R2"]
        assert {spell.rule for spell in day.cold_spells} == {"R1"}

    def test_single_storey_is_16_at_all_hours_and_has_no_target_above(self) -> None:
        room = Point("p", "b", "s", "single_storey")
        result = judge(readings(("03:00", 15.9), ("12:00", 15.9), ("12:01", 16.0), ("12:02", 17.0)), room)
        assert counted(result, "violations", "below_target") == (2, 0)
        assert {spell.rule for spell in result.cold_spells} == {"R3"}

    def test_non_residential_without_a_contract_is_asked_nothing(self) -> None:
        result = judge(readings(("12:00", 2.0), ("13:00", 2.0)), Point("p", "b", "s", "non_residential"))
        assert counted(result, "valid", "violations", "below_target", "not_in_service") == (2, 0, 0, 0)
        assert not result.cold_spells


SHOP = [
    {"weekdays": [0, 1, 2, 3, 4], "start_minute": 480, "end_minute": 1080, "minimum_c": 19.0, "target_c": 20.0},
    {"weekdays": [4], "start_minute": 1320, "end_minute": 120, "minimum_c": 12.0, "rule": "R4b"},
]
"""Monday to Friday 08:00 to 18:00: 19, better 20; Friday 22:00 to Saturday 02:00: 12."""


class TestContracts:
    """R4, and what a contract adds to a class."""

    SHOP_ROOM = Point("p", "b", "s", "non_residential", contract="shop")

    @pytest.mark.parametrize(
        ("when", "temp_c", "violations", "below_target"),
        [
            ("2026-01-12 07:59:59.999", 5.0, 0, 0),  # Monday, before the hours
            ("2026-01-12 08:00", 18.9, 1, 0),
            ("2026-01-12 17:59:59.999", 19.5, 0, 1),
            ("2026-01-12 18:00", 5.0, 0, 0),
            ("2026-01-16 22:00", 11.9, 1, 0),  # Friday night
            ("2026-01-17 01:59:59.999", 11.9, 1, 0),  # Saturday, but the hours began on Friday
            ("2026-01-17 02:00", 5.0, 0, 0),
            ("2026-01-16 01:00", 5.0, 0, 0),  # Friday 01:00 would have begun on Thursday
            ("2026-01-17 12:00", 5.0, 0, 0),  # no Saturday
        ],
    )
    def test_by_hour_and_weekday(self, when: str, temp_c: float, violations: int, below_target: int) -> None:
        result = judge(readings((when, temp_c)), self.SHOP_ROOM, rules=rules_with({"shop": SHOP}))
        assert counted(result, "violations", "below_target") == (violations, below_target)

    def test_rules_are_the_contracts_own_or_r4(self) -> None:
        rows = readings(("2026-01-16 17:00", 10.0), ("2026-01-16 22:00", 10.0))
        assert only_spell(judge(rows, self.SHOP_ROOM, rules=rules_with({"shop": SHOP}))).rule == "R4+R4b"

    def test_hours_not_asked_neither_feed_nor_end(self) -> None:
        """The stretch from 17:30, 18.0 of 19, lasts to 18:30: 1 h, 1000 mK.

        From 18:30 on nothing is asked: 5 degrees add nothing, and 25 degrees for 3 h end nothing. They do belong to
        the spell's readings, so that the lowest is 5.
        """
        rows = readings(("17:30", 18.0), ("18:30", 5.0), ("19:30", 25.0), ("21:00", 25.0), ("22:30", 25.0))
        spell = only_spell(judge(rows, self.SHOP_ROOM, rules=rules_with({"shop": SHOP})))
        assert (spell.open, spell.violation_ms, spell.deficit_mk_ms) == (True, HOUR, 1000 * HOUR)
        assert (spell.min_temp_c, spell.confirmed_at_ms) == (5.0, None)

    def test_a_reading_for_which_nothing_is_asked_restarts_the_warm_run(self) -> None:
        """With an interval of 6 h, `hold` is 12 h: the run would go from 17:45 to 08:00, were it not for 23:00.

        So it goes from 08:00 to 08:30; a reading less, at 08:29:59.999, and the spell is open.
        """
        room = dataclasses.replace(self.SHOP_ROOM, interval_s=6 * 3600)
        rows = readings(
            ("17:00", 18.0),
            ("17:45", 20.3),
            ("23:00", 21.0),
            ("2026-01-13 08:00", 20.3),
            ("2026-01-13 08:29:59.999", 20.3),
            ("2026-01-13 08:30", 20.3),
        )
        spell = only_spell(judge(rows, room, rules=rules_with({"shop": SHOP})))
        assert (spell.end_reason, spell.end_ms) == ("recovered", at("2026-01-13 08:00"))
        assert only_spell(judge(rows[:-1], room, rules=rules_with({"shop": SHOP}))).open

    def test_a_contract_raises_an_apartment_and_never_lowers_it(self) -> None:
        """20 by day under R1, target 20; the 10 that it says for the night leaves R2's 16 and the target of 18."""
        contract = [
            {"start_minute": 360, "end_minute": 1260, "minimum_c": 20.0, "rule": "R4"},
            {"start_minute": 1260, "end_minute": 360, "minimum_c": 10.0, "target_c": 11.0, "rule": "R4"},
        ]
        room = dataclasses.replace(APARTMENT, contract="plus")
        rows = readings(("04:00", 15.9), ("05:00", 17.9), ("07:00", 19.9), ("08:00", 20.0))
        result = judge(rows, room, rules=rules_with({"plus": contract}))
        assert counted(result, "violations", "below_target") == (2, 1)
        assert only_spell(result).rule == "R1+R2"

    def test_a_contracts_target_raises_the_target_alone(self) -> None:
        contract = [{"start_minute": 0, "end_minute": 1440, "minimum_c": 17.0, "target_c": 21.0}]
        room = dataclasses.replace(APARTMENT, contract="plus")
        result = judge(readings(("12:00", 18.0), ("12:30", 21.0)), room, rules=rules_with({"plus": contract}))
        assert counted(result, "violations", "below_target") == (0, 1)

    def test_later_entries_override_earlier_ones(self) -> None:
        """19 all day, but 10 from 12:00 to 13:00."""
        contract = [
            {"start_minute": 0, "end_minute": 0, "minimum_c": 19.0},
            {"start_minute": 720, "end_minute": 780, "minimum_c": 10.0},
        ]
        rows = readings(("11:59:59.999", 15.0), ("12:00", 15.0), ("12:59:59.999", 15.0), ("13:00", 15.0))
        assert judge(rows, self.SHOP_ROOM, rules=rules_with({"shop": contract})).counts["violations"] == 2

    def test_a_target_below_the_minimum_is_the_minimum(self) -> None:
        contract = [{"start_minute": 0, "end_minute": 1440, "minimum_c": 19.0, "target_c": 18.0}]
        rows = readings(("11:00", 18.5), ("12:00", 19.0), ("15:00", 19.0))
        spell = only_spell(judge(rows, self.SHOP_ROOM, rules=rules_with({"shop": contract})))
        assert spell.open  # 12:00 to 15:00 is more than `hold` apart
        rows = every(HOUR, "11:00", [18.5, 19.0, 19.0, 19.0, 19.0])
        spell = only_spell(judge(rows, self.SHOP_ROOM, rules=rules_with({"shop": contract})))
        assert (spell.end_ms, spell.end_reason) == (at("12:00"), "recovered")


class TestVersions:
    """Dated rules."""

    RULES: dict[str, Any] = {  # noqa: RUF012 - a constant
        "versions": [
            {
                "valid_from_ms": at("08:00"),
                "classes": {
                    "apartment": {
                        "hours": [{"start_minute": 0, "end_minute": 0, "minimum_c": 15.0, "rule": "A"}],
                    },
                },
            },
            {
                "valid_from_ms": at("12:00"),
                "classes": {
                    "apartment": {
                        "target_c": 19.0,
                        "hours": [{"start_minute": 0, "end_minute": 0, "minimum_c": 17.0, "rule": "B"}],
                    },
                },
            },
        ],
    }

    def test_the_one_in_force_at_the_readings_time(self) -> None:
        """14 violates A (before the first version too), 16 only B, from 12:00 on; 18 is below B's target of 19."""
        rows = readings(("07:00", 14.0), ("11:59:59.999", 16.0), ("12:00", 16.0), ("12:30", 18.0))
        result = judge(rows, rules=self.RULES)
        assert counted(result, "violations", "below_target") == (2, 1)
        assert only_spell(result).rule == "A+B"

    def test_a_version_may_end_the_season(self) -> None:
        """The second version's season ended the day before: out of season from 12:00 on."""
        rules = copy.deepcopy(self.RULES)
        rules["versions"][1]["seasons"] = [{"first_day": "2025-10-15", "last_day": "2026-01-11"}]
        rows = readings(("11:00", 14.0), ("12:00", 14.0))
        result = judge(rows, rules=rules)
        assert (only_spell(result).end_reason, only_spell(result).end_ms) == ("season", at("11:00"))
        assert counted(result, "violations", "not_in_service") == (1, 1)


class TestColdSpell:
    """Opening, feeding, sums and confirmation."""

    def test_a_whole_one(self) -> None:
        """10:00 17.0 and 10:30 17.5 of 18, warm from 11:00: 2 x 30 min; (1000 + 500) mK x 1 800 000 ms = 2.7e9."""
        rows = readings(("10:00", 17.0), ("10:30", 17.5), ("11:00", 18.3), ("11:30", 18.3))
        assert judge(rows).cold_spells == [
            ColdSpell(
                point_id="p",
                start_ms=at("10:00"),
                end_ms=at("11:00"),
                open=False,
                confirmed_at_ms=at("11:00"),
                end_reason="recovered",
                violation_ms=HOUR,
                unknown_ms=0,
                min_temp_c=17.0,
                deficit_mk_ms=2_700_000_000,
                rule="R1",
            ),
        ]

    def test_open_adds_nothing_after_the_last_reading(self) -> None:
        spell = only_spell(judge(readings(("10:00", 17.0), ("10:30", 16.0)), as_of=at("18:00")))
        assert (spell.open, spell.end_ms, spell.end_reason) == (True, None, "")
        assert (spell.violation_ms, spell.deficit_mk_ms, spell.min_temp_c) == (30 * MINUTE, 1000 * 30 * MINUTE, 16.0)

    def test_one_violating_reading_confirms_nothing(self) -> None:
        """1.5 h of violation, but one violating reading."""
        spell = only_spell(judge(readings(("10:00", 17.0), ("11:30", 18.3), ("12:00", 18.3))))
        assert (spell.violation_ms, spell.confirmed_at_ms) == (90 * MINUTE, None)

    def test_confirmed_where_the_second_violating_reading_arrives(self) -> None:
        """One hour has been reached at 11:30, by one reading; 12:00 is the second."""
        spell = only_spell(judge(readings(("10:00", 17.0), ("11:30", 18.0), ("12:00", 17.0))))
        assert spell.confirmed_at_ms == at("12:00")

    @pytest.mark.parametrize(("third", "confirmed"), [("10:59:59.999", None), ("11:00", at("11:00"))])
    def test_confirmed_at_exactly_one_hour(self, third: str, confirmed: int | None) -> None:
        rows = readings(("10:00", 17.0), ("10:30", 17.0), (third, 17.0))
        assert only_spell(judge(rows)).confirmed_at_ms == confirmed

    @pytest.mark.parametrize(
        ("second", "violation", "unknown"),
        [("12:00", 2 * HOUR, 0), ("12:00:00.001", 0, 2 * HOUR + 1)],
    )
    def test_exactly_hold_is_held_and_a_millisecond_more_is_unknown(
        self,
        second: str,
        violation: int,
        unknown: int,
    ) -> None:
        spell = only_spell(judge(readings(("10:00", 17.0), (second, 17.0))))
        assert (spell.violation_ms, spell.unknown_ms) == (violation, unknown)
        assert spell.deficit_mk_ms == 1000 * violation
        assert (spell.confirmed_at_ms is None) == (unknown > 0)

    def test_a_long_stretch_is_unknown_after_a_reading_that_does_not_violate_too(self) -> None:
        spell = only_spell(judge(readings(("10:00", 17.0), ("11:00", 18.0), ("14:00", 17.0))))
        assert (spell.violation_ms, spell.unknown_ms) == (HOUR, 3 * HOUR)

    def test_the_night_between_minimum_and_target_neither_feeds_nor_ends(self) -> None:
        """20:30 17.0 of 18 runs uncut over 21:00 to 21:30; 17.0 then adds nothing to 22:00; 15.0 of 16 to 22:30.

        1 h x 1000 mK + 0.5 h x 1000 mK; rules R1 and R2; the second violating reading is at 22:00.
        """
        rows = readings(("20:30", 17.0), ("21:30", 17.0), ("22:00", 15.0), ("22:30", 17.0))
        spell = only_spell(judge(rows))
        assert (spell.violation_ms, spell.deficit_mk_ms) == (90 * MINUTE, 1000 * 90 * MINUTE)
        assert (spell.rule, spell.confirmed_at_ms, spell.open) == ("R1+R2", at("22:00"), True)

    def test_over_midnight(self) -> None:
        rows = readings(("23:30", 15.0), ("2026-01-13 00:30", 15.0), ("2026-01-13 01:00", 15.0))
        assert only_spell(judge(rows)).violation_ms == 90 * MINUTE

    def test_milli_kelvin_round_to_even_at_a_half(self) -> None:
        """18 - 17.9375 is 62.5 mK, down to 62; 18 - 17.8125 is 187.5 mK, up to 188: (62 + 188) x 60 000 ms."""
        spell = only_spell(judge(readings(("10:00", 17.9375), ("10:01", 17.8125), ("10:02", 18.0))))
        assert spell.deficit_mk_ms == 250 * MINUTE

    def test_milli_kelvin_are_of_the_difference_in_floats(self) -> None:
        """(18 - 15.0005) x 1000 is 2999.4999999999995 in floats, down to 2999; 18000 - 15000.5 would go up to 3000."""
        assert only_spell(judge(readings(("10:00", 15.0005), ("10:01", 18.0)))).deficit_mk_ms == 2999 * MINUTE

    def test_the_lowest_before_the_end(self) -> None:
        """Contract: 20 by day, 10 at night. 19 violates by day; the warm run at night begins at 12, below that 19."""
        contract = [
            {"start_minute": 480, "end_minute": 1260, "minimum_c": 20.0},
            {"start_minute": 1260, "end_minute": 480, "minimum_c": 10.0},
        ]
        room = Point("p", "b", "s", "non_residential", contract="c")
        rows = readings(("20:30", 19.0), ("21:00", 12.0), ("21:30", 12.0))
        spell = only_spell(judge(rows, room, rules=rules_with({"c": contract})))
        assert (spell.end_ms, spell.min_temp_c) == (at("21:00"), 19.0)
        spell = only_spell(judge(rows[:2], room, rules=rules_with({"c": contract})))
        assert (spell.open, spell.min_temp_c) == (True, 12.0)

    def test_order_of_arrival_is_nothing(self) -> None:
        rows = every(30 * MINUTE, "10:00", [17.0, 17.5, 18.3, 18.3, 17.0])
        assert judge(rows[::-1]) == judge(rows)


class TestRecovery:
    """The two warm runs."""

    @pytest.mark.parametrize(("last", "is_open"), [("11:29:59.999", True), ("11:30", False)])
    def test_fast_after_exactly_30_minutes(self, last: str, is_open: bool) -> None:  # noqa: FBT001 - a parameter
        spell = only_spell(judge(readings(("10:30", 17.0), ("11:00", 18.3), (last, 18.3))))
        assert spell.open == is_open
        assert spell.end_ms == (None if is_open else at("11:00"))

    @pytest.mark.parametrize(("last", "is_open"), [("13:59:59.999", True), ("14:00", False)])
    def test_slow_after_exactly_3_hours(self, last: str, is_open: bool) -> None:  # noqa: FBT001 - a parameter
        spell = only_spell(judge(readings(("10:30", 17.0), ("11:00", 18.0), ("12:30", 18.2), (last, 18.0))))
        assert spell.open == is_open
        assert spell.end_ms == (None if is_open else at("11:00"))

    def test_warm_enough_is_target_plus_0_3(self) -> None:
        rows = readings(("10:30", 17.0), ("11:00", math.nextafter(18.3, 0)), ("11:30", 18.3), ("11:59", 18.3))
        assert only_spell(judge(rows)).open

    def test_fulfilled_first_wins_though_the_other_began_earlier(self) -> None:
        """Slow since 12:00, not yet 3 h; fast from 13:00 to 13:30."""
        rows = every(30 * MINUTE, "11:30", [17.0, 18.0, 18.0, 18.3, 18.3])
        assert only_spell(judge(rows)).end_ms == at("13:00")

    def test_a_tie_goes_to_the_earlier_start(self) -> None:
        """At 15:00 the slow one (12:00) reaches 3 h and the fast one (14:30) 30 min."""
        rows = every(30 * MINUTE, "11:30", [17.0, 18.0, 18.0, 18.0, 18.0, 18.0, 18.3, 18.3])
        assert only_spell(judge(rows)).end_ms == at("12:00")

    def test_exactly_hold_apart_goes_on_and_a_millisecond_more_restarts(self) -> None:
        rows = readings(("10:30", 17.0), ("11:00", 18.3), ("13:00", 18.3))
        assert only_spell(judge(rows)).end_ms == at("11:00")
        rows = readings(("10:30", 17.0), ("11:00", 18.3), ("13:00:00.001", 18.3), ("13:30:00.001", 18.3))
        spell = only_spell(judge(rows))
        assert (spell.end_ms, spell.unknown_ms) == (at("13:00:00.001"), 2 * HOUR + 1)

    def test_a_reading_that_is_not_warm_restarts(self) -> None:
        """17.9 at 21:00 violates nothing, and is no warmth; 18.2 restarts the fast one only."""
        rows = readings(("20:15", 17.0), ("20:30", 18.3), ("21:00", 17.9), ("21:20", 18.3), ("21:50", 18.3))
        assert only_spell(judge(rows)).end_ms == at("21:20")
        rows = readings(("10:00", 17.0), ("10:30", 18.3), ("10:59", 18.2), ("11:01", 18.3), ("11:31", 18.3))
        assert only_spell(judge(rows)).end_ms == at("11:01")

    def test_cold_again_is_a_new_spell(self) -> None:
        rows = every(30 * MINUTE, "10:00", [17.0, 18.3, 18.3, 17.0])
        assert [(s.start_ms, s.open) for s in judge(rows).cold_spells] == [(at("10:00"), False), (at("11:30"), True)]

    def test_a_coarse_sensor_recovers_the_slow_way_and_is_no_fault(self) -> None:
        """A 1 degree sensor: 17, then 18 from 11:00 for 40 h, hourly: warm at 14:00, since 11:00."""
        result = judge(every(HOUR, "09:00", [17.0, 17.0, *[18.0] * 40]))
        assert (only_spell(result).end_ms, only_spell(result).violation_ms) == (at("11:00"), 2 * HOUR)
        assert not result.sensor_faults

    def test_an_hourly_sensor_recovers_fast_with_two_readings(self) -> None:
        room = dataclasses.replace(APARTMENT, interval_s=3600)
        spell = only_spell(judge(every(HOUR, "09:00", [17.0, 17.0, 19.0, 19.0]), room))
        assert (spell.end_ms, spell.confirmed_at_ms) == (at("11:00"), at("10:00"))


class TestSilence:
    """`hold` and `break` between readings and before `as_of`."""

    @pytest.mark.parametrize(("second", "spells"), [("17:59:59.999", 1), ("18:00", 2)])
    def test_exactly_break_between_readings(self, second: str, spells: int) -> None:
        """A millisecond less than 8 h is unknown; 8 h end the first spell, and the next one opens."""
        result = judge(readings(("10:00", 17.0), (second, 17.0)))
        assert len(result.cold_spells) == spells
        first = result.cold_spells[0]
        if spells == 1:
            assert (first.open, first.unknown_ms) == (True, 8 * HOUR - 1)
        else:
            assert (first.end_ms, first.end_reason, first.unknown_ms) == (at("10:00"), "silence", 0)
            assert (first.min_temp_c, first.rule) == (17.0, "R1")

    @pytest.mark.parametrize(("as_of", "is_open"), [("17:59:59.999", True), ("18:00", False)])
    def test_exactly_break_before_as_of(self, as_of: str, is_open: bool) -> None:  # noqa: FBT001 - a parameter
        spell = only_spell(judge(readings(("09:00", 17.0), ("10:00", 17.0)), as_of=at(as_of)))
        assert (spell.open, spell.end_reason) == (is_open, "" if is_open else "silence")
        assert (spell.end_ms, spell.violation_ms) == (None if is_open else at("10:00"), HOUR)

    def test_what_is_not_judged_does_not_break_a_silence(self) -> None:
        """The sentinel and the NaN between are heard, so there is no data outage; judged they are not."""
        rows = readings(("10:00", 17.0), ("13:00", -127.0), ("16:00", math.nan), ("18:00", 17.0))
        result = judge(rows)
        assert [spell.end_reason for spell in result.cold_spells] == ["silence", ""]
        assert not result.data_outages

    @pytest.mark.parametrize(
        ("interval_s", "hold", "break_ms"),
        [(None, 2 * HOUR, 8 * HOUR), (300, 2 * HOUR, 8 * HOUR), (3600, 2 * HOUR, 8 * HOUR), (3601, 7_202_000, 8 * HOUR),
         (4800, 9_600_000, 8 * HOUR), (4801, 9_602_000, 28_806_000), (21600, 12 * HOUR, 36 * HOUR)],
    )  # fmt: skip
    def test_hold_and_break_by_interval(self, interval_s: int | None, hold: int, break_ms: int) -> None:
        """Hold is 2 intervals from 3600 s on, break 6 intervals from 4800 s on."""
        room = dataclasses.replace(APARTMENT, interval_s=interval_s)
        start = at("10:00")
        held = only_spell(judge(readings((start, 5.0), (start + hold, 5.0)), room))
        unknown = only_spell(judge(readings((start, 5.0), (start + hold + 1, 5.0)), room))
        assert (held.violation_ms, unknown.unknown_ms) == (hold, hold + 1)
        assert len(judge(readings((start, 5.0), (start + break_ms - 1, 5.0)), room).cold_spells) == 1
        assert len(judge(readings((start, 5.0), (start + break_ms, 5.0)), room).cold_spells) == 2

    def test_the_interval_is_that_of_the_earlier_reading(self) -> None:
        """6 h intervals until 11:00, 5 min after: the 12 h from 10:00 are held, the 12 h from 12:00 are silence."""
        slow = dataclasses.replace(APARTMENT, interval_s=21600, valid_to_ms=at("11:00"))
        quick = dataclasses.replace(APARTMENT, interval_s=300, valid_from_ms=at("11:00"))
        rows = readings(("10:00", 5.0), ("22:00", 5.0))
        assert only_spell(judge(rows, quick, slow)).violation_ms == 12 * HOUR
        assert not judge(rows, quick, slow).data_outages
        rows = readings(("12:00", 5.0), ("2026-01-13 00:00", 5.0))
        assert len(judge(rows, slow, quick).cold_spells) == 2
        assert len(judge(rows, slow, quick).data_outages) == 1


class TestServiceAndSeason:
    """R5: what ends a spell, and counts in nothing, though the room may be cold."""

    ROWS = tuple(every(HOUR, "10:00", [17.0, 17.0, 17.0, 17.0]))

    def test_a_suspension_ends_and_hides(self) -> None:
        """Suspended from 11:30 to 13:00: 12:00 counts in nothing, 13:00 is judged again and opens a new spell."""
        room = dataclasses.replace(APARTMENT, suspended_from_ms=at("11:30"), suspended_to_ms=at("13:00"))
        result = judge(self.ROWS, room)
        first, second = result.cold_spells
        assert (first.end_ms, first.end_reason, first.violation_ms) == (at("11:00"), "suspended", HOUR)
        assert (second.start_ms, second.open) == (at("13:00"), True)
        assert counted(result, "valid", "violations", "not_in_service") == (4, 3, 1)

    def test_a_suspension_between_two_readings_ends_too(self) -> None:
        room = dataclasses.replace(APARTMENT, suspended_from_ms=at("11:30"), suspended_to_ms=at("11:30:00.001"))
        result = judge(self.ROWS, room)
        assert [spell.end_reason for spell in result.cold_spells] == ["suspended", ""]
        assert result.counts["not_in_service"] == 0

    def test_a_suspension_with_one_end(self) -> None:
        """The start is included, the end excluded."""
        since = dataclasses.replace(APARTMENT, suspended_from_ms=at("11:00"))
        until = dataclasses.replace(APARTMENT, suspended_to_ms=at("11:00"))
        assert judge(self.ROWS, since).counts["not_in_service"] == 3
        assert judge(self.ROWS, until).counts["not_in_service"] == 1

    @pytest.mark.parametrize(("as_of", "reason"), [("13:29:59.999", ""), ("13:30", "suspended")])
    def test_a_suspension_up_to_as_of_included(self, as_of: str, reason: str) -> None:
        room = dataclasses.replace(APARTMENT, suspended_from_ms=at("13:30"))
        assert only_spell(judge(self.ROWS, room, as_of=at(as_of))).end_reason == reason

    def test_validity_that_ends_suspends_and_contiguous_rows_go_on(self) -> None:
        """`valid_to` is excluded: 11:00 is not covered by the first row."""
        old = dataclasses.replace(APARTMENT, valid_to_ms=at("11:00"))
        new = dataclasses.replace(APARTMENT, valid_from_ms=at("11:00"), building_id="b2")
        later = dataclasses.replace(APARTMENT, valid_from_ms=at("11:00:00.001"))
        assert only_spell(judge(self.ROWS, old)).end_reason == "suspended"
        assert judge(self.ROWS, old).counts["not_in_service"] == 3
        assert only_spell(judge(self.ROWS, new, old)).violation_ms == 3 * HOUR
        assert [s.end_reason for s in judge(self.ROWS, later, old).cold_spells] == ["suspended", ""]

    def test_out_of_the_register_is_not_in_service_but_heard_and_counted(self) -> None:
        room = dataclasses.replace(APARTMENT, valid_from_ms=at("12:00"))
        result = judge(self.ROWS, room)
        assert counted(result, "valid", "not_in_service", "violations") == (4, 2, 2)
        assert not result.data_outages

    def test_a_season_holds_its_first_and_last_day_in_local_time(self) -> None:
        rules = rules_with(seasons=[{"first_day": "2026-01-12", "last_day": "2026-01-13"}])
        rows = readings(
            ("2026-01-11 23:59:59.999", 5.0),
            ("2026-01-12 00:00", 5.0),
            ("2026-01-13 23:59:59.999", 5.0),
            ("2026-01-14 00:00", 5.0),
        )
        result = judge(rows, rules=rules)
        assert counted(result, "violations", "not_in_service") == (2, 2)
        assert [s.end_reason for s in result.cold_spells] == ["silence", "season"]
        assert result.cold_spells[1].end_ms == at("2026-01-13 23:59:59.999")

    def test_seasons_that_touch_are_one(self) -> None:
        seasons = [
            {"first_day": "2026-01-13", "last_day": "2026-02-01"},
            {"first_day": "2026-01-12", "last_day": "2026-01-12"},
        ]
        rows = readings(("23:30", 15.0), ("2026-01-13 00:30", 15.0))
        assert only_spell(judge(rows, rules=rules_with(seasons=seasons))).violation_ms == HOUR

    @pytest.mark.parametrize(
        ("last", "suspended_from", "reason"),
        [
            ("16:30", None, "season"),  # silence would be at 00:30, after the season's end at 00:00
            ("16:00", None, "season"),  # both at 00:00
            ("15:59:59.999", None, "silence"),
            ("16:30", "2026-01-13 00:00", "season"),  # season before suspended
            ("16:30", "23:59:59.999", "suspended"),
            ("15:59", "23:59", "suspended"),  # suspended before silence
            ("15:59", "23:59:00.001", "silence"),
        ],
    )
    def test_what_comes_first_ends_it(self, last: str, suspended_from: str | None, reason: str) -> None:
        """The season ends at 2026-01-13 00:00, silence counts from the last reading + 8 h."""
        since = None if suspended_from is None else at(suspended_from)
        room = dataclasses.replace(APARTMENT, suspended_from_ms=since)
        rules = rules_with(seasons=[{"first_day": "2025-10-15", "last_day": "2026-01-12"}])
        spell = only_spell(judge(readings((last, 17.0)), room, rules=rules, as_of=at("2026-01-14 00:00")))
        assert (spell.end_reason, spell.end_ms) == (reason, at(last))

    @pytest.mark.parametrize(("as_of", "reason"), [("23:59:59.999", ""), ("2026-01-13 00:00", "season")])
    def test_the_seasons_end_up_to_as_of_included(self, as_of: str, reason: str) -> None:
        rules = rules_with(seasons=[{"first_day": "2025-10-15", "last_day": "2026-01-12"}])
        assert only_spell(judge(readings(("20:00", 17.0)), rules=rules, as_of=at(as_of))).end_reason == reason


class TestCounting:
    """Each row is counted once."""

    def test_each_row_is_counted_once(self) -> None:
        """Ten rows at five instants, and two that the register does not list.

        10:00 20.0 three times: 2 duplicates, 1 valid. 10:05 17.0, 17.1, 17.1: 1 duplicate, 2 conflicts. 10:10 None
        and NaN: 1 duplicate, 1 invalid. 10:15 None and 17.5: 1 invalid, 1 valid. 10:20 85: 1 out of range.
        """
        rows = readings(
            ("10:00", 20.0), ("10:00", 20.0), ("10:00", 20.0),
            ("10:05", 17.0), ("10:05", 17.1), ("10:05", 17.1),
            ("10:10", None), ("10:10", math.nan),
            ("10:15", None), ("10:15", 17.5),
            ("10:20", 85.0),
        )  # fmt: skip
        result = judge([*rows, *readings(("10:00", 1.0), ("10:00", 1.0), point_id="stranger")])
        assert result.counts == {
            "readings": 13, "unlisted": 2, "duplicates": 4, "conflicts": 2, "invalid": 2, "out_of_range": 1, "valid": 2,
            "violations": 1, "below_target": 0, "not_in_service": 0, "never_heard": 0,
        }  # fmt: skip
        assert result.point_counts == {"p": result.counts | {"readings": 11, "unlisted": 0}}
        assert result.counts["readings"] == sum(result.counts[name] for name in oracle.SORTED_COUNTS)

    def test_more_than_two_values_are_each_a_conflict_in_range_or_not(self) -> None:
        rows = readings(("10:00", 17.0), ("10:00", 85.0), ("10:00", 18.0), ("10:00", math.inf), ("10:00", None))
        result = judge(rows)
        assert counted(result, "conflicts", "invalid", "out_of_range", "valid") == (3, 2, 0, 0)
        assert not result.sensor_faults
        assert not result.cold_spells

    def test_infinities_are_values_though_not_finite(self) -> None:
        rows = readings(("10:00", math.inf), ("10:00", -math.inf), ("10:00", math.inf), ("10:00", math.nan))
        assert counted(judge(rows), "invalid", "duplicates") == (3, 1)

    def test_zero_is_zero_whatever_its_sign(self) -> None:
        assert counted(judge(readings(("10:00", 0.0), ("10:00", -0.0))), "valid", "duplicates") == (1, 1)

    @pytest.mark.parametrize(
        ("temp_c", "offset_k", "kind"),
        [
            (-30.0, 0.0, "valid"),
            (math.nextafter(-30.0, -math.inf), 0.0, "out_of_range"),
            (50.0, 0.0, "valid"),
            (math.nextafter(50.0, math.inf), 0.0, "out_of_range"),
            (50.25, -0.25, "valid"),
            (49.75, 0.5, "out_of_range"),
            (-30.5, 0.5, "valid"),
            (-127.0, 0.0, "out_of_range"),
            (120.0, 0.0, "out_of_range"),
        ],
    )
    def test_the_range_is_of_the_calibrated_value(self, temp_c: float, offset_k: float, kind: str) -> None:
        result = judge(readings(("10:00", temp_c)), dataclasses.replace(APARTMENT, offset_k=offset_k))
        assert counted(result, "valid", "out_of_range")[kind == "out_of_range"] == 1

    def test_calibration_is_dated_and_none_where_no_row_covers(self) -> None:
        """17.75 + 0.25 is 18.0 until 11:00; 18.25 - 0.5 is 17.75 until 12:00; then uncovered, as sent."""
        rows_of_p = [
            dataclasses.replace(APARTMENT, offset_k=0.25, valid_to_ms=at("11:00")),
            dataclasses.replace(APARTMENT, offset_k=-0.5, valid_from_ms=at("11:00"), valid_to_ms=at("12:00")),
        ]
        result = judge(readings(("10:59", 17.75), ("11:00", 18.25), ("12:00", 50.25)), *rows_of_p, as_of=at("12:00"))
        assert counted(result, "valid", "violations", "out_of_range") == (2, 1, 1)
        assert (only_spell(result).min_temp_c, only_spell(result).end_reason) == (17.75, "suspended")
        assert result.sensor_faults[0].detail == "n=1 min=50.2 max=50.2"

    def test_conflicts_compare_values_as_sent(self) -> None:
        """1e-20 is another value than 0.0, though calibration by 20 makes both the same."""
        room = dataclasses.replace(APARTMENT, offset_k=20.0)
        assert counted(judge(readings(("10:00", 0.0), ("10:00", 1e-20)), room), "conflicts", "duplicates") == (2, 0)

    def test_without_a_register_every_point_is_an_apartment(self) -> None:
        rows = [*readings(("12:00", 17.0)), *readings(("12:00", 15.0), point_id="q")]
        result = oracle.judge(rows, None, oracle.DEFAULT_RULES, ZONE)
        assert [spell.point_id for spell in result.cold_spells] == ["p", "q"]
        assert counted(result, "unlisted", "never_heard", "violations") == (0, 0, 2)

    def test_nothing_at_all(self) -> None:
        result = judge([])
        assert (result.as_of_ms, result.counts["readings"], result.counts["never_heard"]) == (None, 0, 1)
        assert (result.cold_spells, result.data_outages, result.sensor_faults) == ([], [], [])
        assert result.point_counts["p"]["never_heard"] == 1


class TestAsOf:
    """The moment for which findings are asked, where none is given."""

    def test_the_latest_valid_reading_else_the_latest_row(self) -> None:
        assert judge(readings(("10:00", 20.0), ("11:00", None))).as_of_ms == at("10:00")
        assert judge(readings(("10:00", 85.0), ("11:00", None))).as_of_ms == at("11:00")
        assert judge(readings(("10:00", 20.0)), as_of=at("12:00")).as_of_ms == at("12:00")

    def test_no_row_is_cut(self) -> None:
        """The row at 20:00 has no value: `as_of` is 10:00, and yet the 10 h up to that row are an outage."""
        result = judge(readings(("10:00", 20.0), ("20:00", None)))
        assert [(o.end_ms, o.open) for o in result.data_outages] == [(at("20:00"), False)]


class TestDataOutage:
    """The outages of single points."""

    def test_from_row_to_row_of_any_kind(self) -> None:
        """8 h exactly is one, 8 h - 1 ms is none; conflicts, sentinels and rows without a value are heard."""
        rows = readings(("00:00", None), ("08:00", 85.0), ("15:59:59.999", 17.0), ("15:59:59.999", 17.5))
        assert judge(rows).data_outages == [
            DataOutage("point", "p", at("00:00"), at("08:00"), open=False, duration_ms=8 * HOUR),
        ]

    @pytest.mark.parametrize(("as_of", "count"), [("17:59:59.999", 0), ("18:00", 1)])
    def test_after_the_last_row(self, as_of: str, count: int) -> None:
        outages = judge(readings(("10:00", 20.0)), as_of=at(as_of)).data_outages
        assert outages == [DataOutage("point", "p", at("10:00"), None, open=True, duration_ms=8 * HOUR)][:count]

    def test_a_point_that_left_the_register(self) -> None:
        """Left at 18:00, 8 h after its last row: closed there. A millisecond earlier: none. After `as_of`: open."""
        rows = readings(("10:00", 20.0))
        left = dataclasses.replace(APARTMENT, valid_to_ms=at("18:00"))
        early = dataclasses.replace(APARTMENT, valid_to_ms=at("17:59:59.999"))
        [outage] = judge(rows, left, as_of=at("2026-01-13 18:00")).data_outages
        assert (outage.end_ms, outage.open, outage.duration_ms) == (at("18:00"), False, 8 * HOUR)
        assert not judge(rows, early, as_of=at("2026-01-13 18:00")).data_outages
        [outage] = judge(rows, left, as_of=at("18:00")).data_outages
        assert (outage.end_ms, outage.open) == (at("18:00"), False)
        later = dataclasses.replace(APARTMENT, valid_to_ms=at("18:30:00.001"))
        [outage] = judge(rows, later, as_of=at("18:30")).data_outages
        assert (outage.end_ms, outage.open, outage.duration_ms) == (None, True, 8 * HOUR + 30 * MINUTE)

    def test_a_gap_in_the_register_is_heard_all_the_same(self) -> None:
        """Between two register rows the outage goes on, with the earlier row's interval."""
        old = dataclasses.replace(APARTMENT, valid_to_ms=at("10:30"), interval_s=21600)
        new = dataclasses.replace(APARTMENT, valid_from_ms=at("2026-01-14 00:00"))
        rows = readings(("10:00", 20.0), ("11:00", 20.0), ("2026-01-13 22:59:59.999", 20.0))
        assert not judge(rows, old, new).data_outages
        [outage] = judge([*rows[:2], *readings(("2026-01-13 23:00", 20.0))], old, new).data_outages
        assert (outage.start_ms, outage.duration_ms) == (at("11:00"), 36 * HOUR)

    def test_after_all_register_rows_the_latest_ones_interval_holds(self) -> None:
        """12:30 is covered by none; the latest row before it says 5 min, so that 8 h are an outage."""
        old = dataclasses.replace(APARTMENT, valid_to_ms=at("10:30"), interval_s=21600)
        new = dataclasses.replace(APARTMENT, valid_from_ms=at("11:00"), valid_to_ms=at("12:00"), interval_s=300)
        [outage] = judge(readings(("12:30", 20.0), ("20:30", 20.0)), old, new).data_outages
        assert (outage.start_ms, outage.open) == (at("12:30"), False)

    def test_never_heard(self) -> None:
        """An outage from `valid_from`, where there is one and it lies 8 h back; counted in any case."""
        rows = readings(("10:00", 20.0), point_id="q")
        other = Point("q", "b2", "s")
        dated = dataclasses.replace(APARTMENT, valid_from_ms=at("02:00"))
        result = judge(rows, dated, other)
        assert result.data_outages == [DataOutage("point", "p", at("02:00"), None, open=True, duration_ms=8 * HOUR)]
        assert (result.counts["never_heard"], result.point_counts["p"]["never_heard"]) == (1, 1)
        assert not judge(rows, dataclasses.replace(dated, valid_from_ms=at("02:00:00.001")), other).data_outages
        undated = judge(rows, APARTMENT, other)
        assert (undated.data_outages, undated.counts["never_heard"]) == ([], 1)

    def test_never_heard_and_left(self) -> None:
        rows = readings(("10:00", 20.0), point_id="q")
        other = Point("q", "b2", "s")
        left = dataclasses.replace(APARTMENT, valid_from_ms=at("01:00"), valid_to_ms=at("09:00"))
        assert judge(rows, left, other).data_outages == [
            DataOutage("point", "p", at("01:00"), at("09:00"), open=False, duration_ms=8 * HOUR),
        ]
        short = dataclasses.replace(left, valid_to_ms=at("08:59:59.999"))
        assert not judge(rows, short, other).data_outages


def silent(point_id: str, start: str, end: str) -> list[Row]:
    return readings((start, 20.0), (end, 20.0), point_id=point_id)


def steady(point_id: str, start: str, hours: int) -> list[Row]:
    return every(HOUR, start, [20.0] * (hours + 1), point_id)


class TestOutagesOfPlaces:
    """The outages of buildings and stations, and what is part of them."""

    def test_more_than_half_and_at_least_two_at_once(self) -> None:
        """Of three, a is silent 00 to 10 and b 02 to 12: both from 02 to 10. c is heard hourly."""
        points = [Point(point_id, "b", "s") for point_id in "abc"]
        rows = [*silent("a", "00:00", "10:00"), *silent("b", "02:00", "12:00"), *steady("c", "00:00", 12)]
        places = [o for o in judge(rows, *points).data_outages if o.subject_kind != "point"]
        assert places == [
            DataOutage("building", "b", at("02:00"), at("10:00"), False, 8 * HOUR, "station:s"),  # noqa: FBT003
            DataOutage("station", "s", at("02:00"), at("10:00"), False, 8 * HOUR, ""),  # noqa: FBT003
        ]

    def test_half_is_not_more_than_half_and_one_is_not_two(self) -> None:
        rows = [*silent("a", "00:00", "10:00"), *silent("b", "00:00", "10:00")]
        four = [Point(point_id, "b", "s") for point_id in "abcd"]
        result = judge([*rows, *steady("c", "00:00", 10), *steady("d", "00:00", 10)], *four)
        assert {o.subject_kind for o in result.data_outages} == {"point"}
        alone = judge(silent("a", "00:00", "10:00"), Point("a", "b", "s"))
        assert {o.subject_kind for o in alone.data_outages} == {"point"}

    def test_only_points_in_service_are_asked(self) -> None:
        """Of four, d is suspended from 04 on: 2 of 3 from then. From 06 on b is suspended too: 1 of 2."""
        points = [
            Point("a", "b", "s"),
            Point("b", "b", "s", suspended_from_ms=at("06:00")),
            Point("c", "b", "s"),
            Point("d", "b", "s", suspended_from_ms=at("04:00")),
        ]
        rows = [*silent("a", "00:00", "10:00"), *silent("b", "00:00", "10:00")]
        rows += [*steady("c", "00:00", 10), *steady("d", "00:00", 10)]
        building = [o for o in judge(rows, *points).data_outages if o.subject_kind == "building"]
        assert [(o.start_ms, o.end_ms) for o in building] == [(at("04:00"), at("06:00"))]

    def test_a_never_heard_point_without_a_date_is_in_service_and_not_silent(self) -> None:
        points = [Point(point_id, "b", "s") for point_id in "abcd"]
        rows = [*silent("a", "00:00", "10:00"), *silent("b", "00:00", "10:00"), *steady("c", "00:00", 10)]
        assert not [o for o in judge(rows, *points).data_outages if o.subject_kind != "point"]

    def test_part_of_the_building_else_of_the_station(self) -> None:
        """Building x: a, b silent 00 to 10. Building y: c alone, silent 05 to 14, and z heard.

        Station: a, b from 00 (2 of 4 is no more than half), with c from 05 to 10 (3 of 4), and then c alone.
        """
        points = [Point("a", "x", "s"), Point("b", "x", "s"), Point("c", "y", "s"), Point("d", "z", "s")]
        rows = [*silent("a", "00:00", "10:00"), *silent("b", "00:00", "10:00")]
        rows += [*silent("c", "05:00", "14:00"), *steady("d", "00:00", 14)]
        found = judge(rows, *points).data_outages
        assert [(o.subject_kind, o.subject_id, o.part_of) for o in found] == [
            ("point", "a", "building:x"),
            ("point", "b", "building:x"),
            ("point", "c", "station:s"),
            ("building", "x", "station:s"),
            ("station", "s", ""),
        ]
        assert (found[-1].start_ms, found[-1].end_ms) == (at("05:00"), at("10:00"))

    def test_no_overlap_is_no_part(self) -> None:
        """Points a and b together 00 to 09; a again from 09 to 18 alone: touching is not overlapping."""
        points = [Point(point_id, "b", "s") for point_id in "abc"]
        rows = [
            *silent("a", "00:00", "09:00"),
            *readings(("18:00", 20.0), point_id="a"),
            *silent("b", "00:00", "09:00"),
        ]
        rows += [*steady("b", "09:00", 9), *steady("c", "00:00", 18)]
        found = [o for o in judge(rows, *points).data_outages if o.subject_id == "a"]
        assert [o.part_of for o in found] == ["building:b", ""]

    def test_open_up_to_as_of(self) -> None:
        """Point a since 00, b since 01, and as of 10:00 both are open; duration 9 h."""
        points = [Point(point_id, "b", "s") for point_id in "ab"]
        rows = [*readings(("00:00", 20.0), point_id="a"), *readings(("01:00", 20.0), point_id="b")]
        building = judge(rows, *points, as_of=at("10:00")).data_outages[2]
        assert building == DataOutage("building", "b", at("01:00"), None, True, 9 * HOUR, "station:s")  # noqa: FBT003

    def test_cut_at_as_of_where_no_point_is_open(self) -> None:
        """`as_of` is 09:00, the latest valid reading (c's); a and b are heard again at 12:00, without a value."""
        points = [Point(point_id, "b", "s") for point_id in "abc"]
        rows = [row for p in "ab" for row in readings(("00:00", 20.0), ("12:00", None), point_id=p)]
        found = judge([*rows, *steady("c", "00:00", 9)], *points).data_outages
        assert [(o.subject_id, o.end_ms, o.open) for o in found if o.subject_kind != "station"] == [
            ("a", at("12:00"), False),
            ("b", at("12:00"), False),
            ("b", at("09:00"), False),
        ]

    def test_a_point_belongs_to_the_building_that_it_is_in_then(self) -> None:
        """Point a moves from x to y at 05:00: with b in x until then, with c in y after; its own row began in x."""
        points = [
            Point("a", "x", "s", valid_to_ms=at("05:00")),
            Point("a", "y", "s", valid_from_ms=at("05:00")),
            Point("b", "x", "s"),
            Point("c", "y", "s"),
        ]
        rows = [row for p in "abc" for row in silent(p, "00:00", "10:00")]
        found = judge(rows, *points).data_outages
        places = [(o.subject_id, o.start_ms, o.end_ms) for o in found if o.subject_kind == "building"]
        assert places == [("x", at("00:00"), at("05:00")), ("y", at("05:00"), at("10:00"))]
        assert [o.part_of for o in found if o.subject_kind == "point"] == ["building:x", "building:x", "building:y"]

    def test_each_row_breaks_only_its_own_points_outage(self) -> None:
        """The row of b at 10:00 lies between two outages of b: two rows of b, and one of the building."""
        points = [Point(point_id, "b", "s") for point_id in "ab"]
        rows = [
            *silent("a", "00:00", "20:00"),
            *silent("b", "00:00", "10:00"),
            *readings(("20:00", 20.0), point_id="b"),
        ]
        found = judge(rows, *points).data_outages
        assert [o.subject_kind for o in found] == ["point", "point", "point", "building", "station"]
        assert found[3].duration_ms == 20 * HOUR


class TestSensorFault:
    """Out-of-range runs, spikes and stuck runs."""

    def test_bad_rows_less_than_a_day_apart_are_one_finding(self) -> None:
        """85 twice (once sent twice) and -127; a conflict and a NaN between; valid at 11:00; then 120."""
        rows = readings(
            ("10:00", 85.0), ("10:00", 85.0), ("10:10", None), ("10:20", 17.0), ("10:20", 99.0), ("10:30", -127.0),
            ("11:00", 20.0), ("11:10", 120.0), ("11:20", None),
        )  # fmt: skip
        detail = "n=3 min=-127.0 max=120.0"
        assert judge(rows).sensor_faults == [
            SensorFault("p", "out_of_range", at("10:00"), None, open=True, detail=detail),
        ]
        ended = [*rows, *readings(("11:30", 20.0))]
        for after_ms, end_ms in ((24 * HOUR - 1, None), (24 * HOUR, at("11:30"))):
            [fault] = judge(ended, as_of=at("11:10") + after_ms).sensor_faults
            assert (fault.start_ms, fault.end_ms, fault.open) == (at("10:00"), end_ms, end_ms is None)

    def test_a_day_of_good_rows_parts_two_findings_and_a_day_of_none_does_not(self) -> None:
        first, second = Row("p", at("10:00"), 85.0), Row("p", at("10:00") + 24 * HOUR, 85.0)
        good = Row("p", at("11:00"), 20.0)
        assert [f.end_ms for f in judge([first, good, second]).sensor_faults] == [at("11:00"), None]
        assert [f.end_ms for f in judge([first, second]).sensor_faults] == [None]
        near = dataclasses.replace(second, time_ms=second.time_ms - 1)
        assert [f.end_ms for f in judge([first, good, near]).sensor_faults] == [None]

    def test_a_jump_that_is_taken_back_is_a_spike_and_feeds_no_spell(self) -> None:
        """7 K down and within 2 K again; one that stays, or one of less, is the room."""
        for values, spikes in (
            ((20.0, 13.0, 22.0), 1),
            ((20.0, 13.0, 22.1), 0),
            ((20.0, 13.1, 20.0), 0),
            ((20.0, 27.0, 20.0), 1),
            ((20.0, 13.0, 13.0), 0),
        ):
            times = ("10:00", "10:10", "10:20")
            result = judge(readings(*zip(times, values, strict=True)), as_of=at("10:30"))
            assert [fault.kind for fault in result.sensor_faults] == ["spike"] * spikes
            assert bool(result.cold_spells) == (not spikes and values[1] < 18)
            assert result.counts["violations"] == sum(value < 18 for value in values)

    def test_the_last_reading_is_no_spike_yet(self) -> None:
        result = judge(readings(("10:00", 20.0), ("10:10", 12.0)))
        assert not result.sensor_faults
        assert only_spell(result).start_ms == at("10:10")

    def test_neighbours_further_apart_than_hold_say_nothing_of_a_spike(self) -> None:
        for last, spikes in (("12:10", 1), ("12:11", 0)):
            result = judge(readings(("10:00", 20.0), ("10:10", 12.0), (last, 20.0)))
            assert len(result.sensor_faults) == spikes

    def test_a_fine_thermometer_that_says_the_same_for_18_hours_is_stuck(self) -> None:
        """Its step is 0.1 K; from 10:00 on it says 17.0, then something else. All of it feeds no spell."""
        start_ms = at("10:00")
        before = [Row("p", start_ms - HOUR, 20.0), Row("p", start_ms - HOUR // 2, 20.1)]
        for last_ms, stuck in ((18 * HOUR, True), (18 * HOUR - 1, False)):
            same = [Row("p", start_ms + k * HOUR, 17.0) for k in range(18)] + [Row("p", start_ms + last_ms, 17.0)]
            result = judge([*before, *same], as_of=start_ms + last_ms)
            assert [fault.start_ms for fault in result.sensor_faults] == [start_ms] * stuck
            assert bool(result.cold_spells) == (not stuck)
            assert result.counts["violations"] > 0
            [*_, after] = rows = [*before, *same, Row("p", start_ms + 19 * HOUR, 20.0)]
            assert [f.end_ms for f in judge(rows).sensor_faults] == [after.time_ms] * stuck

    def test_a_coarse_thermometer_may_rest_for_five_days(self) -> None:
        start_ms = at("10:00")
        for days, step_k, stuck in ((4.9, 1.0, False), (5.0, 1.0, True), (2.4, 0.5, False), (2.5, 0.5, True)):
            rows = [Row("p", start_ms + k * HOUR, 20.0) for k in range(round(days * 24) + 1)]
            result = judge([Row("p", start_ms - HOUR, 20.0 + step_k), *rows])
            assert bool(result.sensor_faults) == stuck, (days, step_k)

    def test_a_silence_and_a_new_device_begin_a_new_run(self) -> None:
        start_ms, half = at("10:00"), 70 * HOUR
        rows = [Row("p", start_ms + k * HOUR, 20.0) for k in range(140)]
        assert judge(rows).sensor_faults
        assert not judge([row for row in rows if not half < row.time_ms - start_ms < half + 8 * HOUR]).sensor_faults
        replaced = [
            dataclasses.replace(APARTMENT, valid_to_ms=start_ms + half),
            dataclasses.replace(APARTMENT, valid_from_ms=start_ms + half),
        ]
        assert not judge(rows, *replaced).sensor_faults

    def test_conflicts_and_invalid_rows_begin_none(self) -> None:
        rows = readings(("10:00", 85.0), ("10:00", 99.0), ("10:10", math.inf), ("10:20", None))
        assert not judge(rows).sensor_faults

    def test_a_reading_out_of_service_is_valid_and_ends_one(self) -> None:
        room = dataclasses.replace(APARTMENT, valid_from_ms=at("12:00"), offset_k=0.5)
        rows = readings(("10:00", 85.0), ("11:00", 20.0))
        [fault] = judge(rows, room, as_of=at("10:00") + 24 * HOUR).sensor_faults
        assert (fault.end_ms, fault.detail) == (at("11:00"), "n=1 min=85.0 max=85.0")

    def test_values_are_calibrated(self) -> None:
        room = dataclasses.replace(APARTMENT, offset_k=-0.5)
        [fault] = judge(readings(("10:00", 85.0)), room).sensor_faults
        assert fault.detail == "n=1 min=84.5 max=84.5"

    def test_a_sentinel_does_not_touch_the_spell(self) -> None:
        """17 at 10:00 holds over the 85 to 11:00: 1 h."""
        spell = only_spell(judge(readings(("10:00", 17.0), ("10:30", 85.0), ("11:00", 17.0))))
        assert (spell.violation_ms, spell.unknown_ms, spell.confirmed_at_ms) == (HOUR, 0, at("11:00"))


class TestClockChanges:
    """Both clock changes of Brussels in 2016: 27 March and 30 October, at 01:00 UTC."""

    @pytest.mark.parametrize(
        ("when", "violations"),
        [
            ("2016-03-26 04:59:59.999", 0),  # 05:59:59.999 CET
            ("2016-03-26 05:00", 1),  # 06:00 CET
            ("2016-03-27 03:59:59.999", 0),  # 05:59:59.999 CEST
            ("2016-03-27 04:00", 1),  # 06:00 CEST
            ("2016-03-27 18:59:59.999", 1),
            ("2016-03-27 19:00", 0),  # 21:00 CEST
            ("2016-10-30 04:59:59.999", 0),
            ("2016-10-30 05:00", 1),  # 06:00 CET
            ("2016-10-30 19:59:59.999", 1),
            ("2016-10-30 20:00", 0),  # 21:00 CET
        ],
    )
    def test_edges_follow_the_wall_clock(self, when: str, violations: int) -> None:
        assert judge(readings((utc(when), 17.0)), zone=BRUSSELS).counts["violations"] == violations

    @pytest.mark.parametrize(
        ("first", "last", "hours"),
        [
            ("2016-03-27 00:30", "2016-03-27 01:30", 1),  # 01:30 CET to 03:30 CEST
            ("2016-10-29 23:30", "2016-10-30 01:30", 2),  # 01:30 CEST to 02:30 CET
        ],
    )
    def test_stretches_are_real_time(self, first: str, last: str, hours: int) -> None:
        spell = only_spell(judge(readings((utc(first), 15.0), (utc(last), 15.0)), zone=BRUSSELS))
        assert (spell.violation_ms, spell.deficit_mk_ms) == (hours * HOUR, hours * HOUR * 1000)

    def test_a_repeated_hour_is_asked_twice_and_a_skipped_one_never(self) -> None:
        """A contract for 02:00 to 03:00: of 00:30, 01:30 and 02:30 UTC, two in autumn, none in spring."""
        rules = rules_with({"c": [{"start_minute": 120, "end_minute": 180, "minimum_c": 20.0}]})
        room = Point("p", "b", "s", "non_residential", contract="c")
        for day, violations in (("2016-10-30", 2), ("2016-03-27", 0)):
            rows = readings(*((utc(f"{day} 0{hour}:30"), 10.0) for hour in range(3)))
            assert judge(rows, room, rules=rules, zone=BRUSSELS).counts["violations"] == violations

    @pytest.mark.parametrize(("last_day", "end"), [("2016-03-27", "22:00"), ("2016-10-30", "23:00")])
    def test_a_season_that_ends_on_the_day_of_the_change(self, last_day: str, end: str) -> None:
        """Midnight after it is in summer time in spring (22:00 UTC), in winter time in autumn (23:00 UTC)."""
        rules = rules_with(seasons=[{"first_day": "2016-01-01", "last_day": last_day}])
        end_ms = utc(f"{last_day} {end}")
        rows = readings((end_ms - HOUR, 15.0), (end_ms - 1, 15.0), (end_ms, 15.0))
        result = judge(rows, rules=rules, zone=BRUSSELS)
        assert counted(result, "violations", "not_in_service") == (2, 1)
        assert (only_spell(result).end_reason, only_spell(result).end_ms) == ("season", end_ms - 1)

    @pytest.mark.parametrize(("as_of", "reason"), [("03:29:59.999", ""), ("03:30", "season")])
    def test_a_season_that_ends_at_a_repeated_midnight(self, as_of: str, reason: str) -> None:
        """St John's set its clocks back at 00:01, to 23:01 of the day before: at 02:31 UTC of 2006-10-29.

        The season's last day, the 28th, came back, and ended for good at 03:30 UTC. 02:45 UTC is in it.
        """
        rules = rules_with(seasons=[{"first_day": "2006-10-01", "last_day": "2006-10-28"}])
        rows = readings((utc("2006-10-29 02:30:30"), 15.0), (utc("2006-10-29 02:45"), 15.0))
        result = judge(rows, rules=rules, zone="America/St_Johns", as_of=utc(f"2006-10-29 {as_of}"))
        assert counted(result, "violations", "not_in_service") == (1, 1)
        assert only_spell(result).end_reason == reason


def features(case: strategies.Case, result: Result) -> set[str]:
    """Name what one generated example has shown."""
    seen = {f"end: {spell.end_reason or 'open'}" for spell in result.cold_spells}
    seen |= {f"confirmed: {spell.confirmed_at_ms is not None}" for spell in result.cold_spells}
    seen |= {f"rule: {spell.rule}" for spell in result.cold_spells}
    seen |= {"spell: unknown" for spell in result.cold_spells if spell.unknown_ms}
    seen |= {f"outage: {o.subject_kind}, open {o.open}" for o in result.data_outages}
    seen |= {f"part of: {o.part_of.partition(':')[0]}" for o in result.data_outages}
    seen |= {f"fault: {fault.kind}, open {fault.open}" for fault in result.sensor_faults}
    seen |= {f"count: {name}" for name, count in result.counts.items() if count}
    seen |= {"register: none"} if case.points is None else set()
    return seen | {"as_of: given" if case.as_of_ms is not None else "as_of: latest"}


EXPECTED = {
    "end: recovered", "end: silence", "end: suspended", "end: season", "end: open",
    "confirmed: True", "confirmed: False", "spell: unknown",
    "rule: R1", "rule: R2", "rule: R1+R2", "rule: R3", "rule: R4",
    "outage: point, open True", "outage: point, open False",
    "outage: building, open True", "outage: building, open False",
    "outage: station, open True", "outage: station, open False",
    "part of: ", "part of: building", "part of: station",
    "fault: out_of_range, open True", "fault: out_of_range, open False",
    "fault: spike, open True", "fault: spike, open False", "fault: stuck, open True", "fault: stuck, open False",
    "register: none", "as_of: given", "as_of: latest",
    *(f"count: {name}" for name in oracle.COUNTS),
}  # fmt: skip


class TestStrategies:
    """The strategies show what they were made to show."""

    def test_examples_reach_everything(self) -> None:
        """400 examples show every end and every count, each feature in at least 2 % of them."""
        seen = Counter[str]()

        @seed(2016)
        @settings(
            max_examples=400,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategies.cases())
        def look(case: strategies.Case) -> None:
            result = oracle.judge(case.rows, case.points, case.rules, case.timezone, case.as_of_ms, case.numbers)
            shown = features(case, result)
            seen.update(shown)
            for feature in shown:
                event(feature)

        look()
        assert {feature: seen[feature] for feature in EXPECTED if seen[feature] < 8} == {}, sorted(
            seen.items(), key=str
        )

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategies.cases())
    def test_identities(self, case: strategies.Case) -> None:
        """Whatever comes: the summary adds up, order is nothing, and a second copy of the rows is all duplicates."""
        result = oracle.judge(case.rows, case.points, case.rules, case.timezone, case.as_of_ms, case.numbers)
        assert result.counts["readings"] == sum(result.counts[name] for name in oracle.SORTED_COUNTS) == len(case.rows)
        backwards = oracle.judge(case.rows[::-1], case.points, case.rules, case.timezone, case.as_of_ms, case.numbers)
        assert backwards == result
        twice = oracle.judge(case.rows * 2, case.points, case.rules, case.timezone, case.as_of_ms, case.numbers)
        assert (twice.cold_spells, twice.data_outages) == (result.cold_spells, result.data_outages)
        assert (twice.sensor_faults, twice.counts["valid"]) == (result.sensor_faults, result.counts["valid"])
