"""Scenario files: what they say becomes a town, what they cannot mean is told with file, line and field."""

from __future__ import annotations

import random
import string
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from heatwatch.errors import BadInput
from simulators.physics.weather import ColdSnap
from simulators.scenarios.files import START_MS, library, load_scenario
from simulators.scenarios.marked_yaml import read_marked
from simulators.scenarios.models import json_schema, schema_text, span_of, span_text
from simulators.scoring.expectations import Count, KindExpected
from simulators.thermometers.faults import FAULTS
from simulators.towns.events import EVENTS, BoilerTrip, BurstMain, Subject

WHOLE = """title: A boiler trips
title_zh: 锅炉停炉
teaches: >
  What is to be learnt.
start: 2026-01-12T00:00:00+08:00
lasts: 2d
town: {rooms: 48, rooms_per_building: 12, stations: 2, interval: 5min, cold_rooms: 1, seed: 7}
weather: {mean_c: -6, snaps: [{at: 1d, lasts: 12h, depth_k: 5}]}
physics: {envelope_shares: [0.3, 0.4, 0.3], site: {latitude_deg: 45}}
thermometers: {noise_k: 0.1}
events:
  - boiler_trip: {station: S1, at: 10h, lasts: 12h}
  - burst_main: {building: S2-B03, at: 1d 06:00, reported_after: 30min}
faults:
  - stuck: {room: S1-B01-1-101, at: 6h, lasts: 20h}
  - noise: {town: true, share: 0.5}
expect:
  heat_outages: {true: 3, recall: 1.0, delay_h: 3}
  tickets: {heat_outage: 1, leak: {at_least: 1}}
"""


def put(folder: Path, text: str, name: str = "own.yaml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_says_what_its_town_is_like(tmp_path: Path) -> None:
    scenario = load_scenario(put(tmp_path, WHOLE))
    town = scenario.settings
    assert (scenario.title_zh, scenario.teaches) == ("锅炉停炉", "What is to be learnt.")
    assert (scenario.start_ms, scenario.length_ms) == (START_MS, 2 * DAY_MS)
    assert (town.seed, town.rooms, town.interval_s, town.cold_rooms) == (7, 48, 300, 1)
    assert (town.outage_h, town.silent_h) == (0, 0)
    assert town.weather.snaps == (ColdSnap(START_MS + DAY_MS, START_MS + 36 * HOUR_MS, 5.0),)
    assert (town.physics.site.latitude_deg, town.physics.site.longitude_deg) == (45, 116)
    assert town.thermometers.noise_k == 0.1
    end_ms = START_MS + 2 * DAY_MS
    assert town.events == (
        BoilerTrip(Subject("station", "S1"), START_MS + 10 * HOUR_MS, START_MS + 22 * HOUR_MS),
        BurstMain(Subject("building", "S2-B03"), START_MS + 30 * HOUR_MS, end_ms, 30 * MINUTE_MS),
    )
    stuck, noise = town.faults
    assert (type(stuck), stuck.start_ms) == (FAULTS["stuck"], START_MS + 6 * HOUR_MS)
    assert (noise.subject, noise.start_ms, noise.end_ms, noise.share) == (Subject("town", ""), START_MS, end_ms, 0.5)
    assert scenario.expects.findings == {FindingKind.HEAT_OUTAGE: KindExpected(true=3, recall=1.0, delay_h=3)}
    assert scenario.expects.tickets == {"heat_outage": Count(1, 1), "leak": Count(1)}


def test_what_is_written_again_loads_as_the_same(tmp_path: Path) -> None:
    text = WHOLE.replace("noise_k: 0.1", "noise_k: 1.2345678901234567e-4")
    scenario = load_scenario(put(tmp_path, text)).changed(seed=3, start_ms=START_MS + HOUR_MS)
    again = load_scenario(put(tmp_path, scenario.text(), "again.yaml"))
    assert (again.settings, again.length_ms, again.expects) == (scenario.settings, scenario.length_ms, scenario.expects)
    assert again.text() == scenario.text()


def test_events_move_with_the_beginning_and_end_with_the_end(tmp_path: Path) -> None:
    scenario = load_scenario(put(tmp_path, WHOLE)).changed(start_ms=START_MS + DAY_MS, length_ms=3 * DAY_MS)
    trip, burst = scenario.settings.events
    assert (trip.start_ms, trip.end_ms) == (START_MS + 34 * HOUR_MS, START_MS + 46 * HOUR_MS)
    assert burst.end_ms == START_MS + 4 * DAY_MS


def test_a_shorter_one_is_written_without_what_would_begin_later(tmp_path: Path) -> None:
    scenario = load_scenario(put(tmp_path, WHOLE)).changed(length_ms=8 * HOUR_MS, seed=2**63 - 1)
    assert scenario.settings.events == ()
    again = load_scenario(put(tmp_path, scenario.text(), "again.yaml"))
    assert (again.settings, again.length_ms) == (scenario.settings, scenario.length_ms)


def test_what_includes_a_longer_one_takes_as_long(tmp_path: Path) -> None:
    put(tmp_path, "title: long\nlasts: 9d\n", "long.yaml")
    later = "title: x\ninclude: [long.yaml]\nevents: [boiler_trip: {station: S1, at: 3d}]\n"
    (trip,) = load_scenario(put(tmp_path, later)).settings.events
    assert (trip.start_ms, trip.end_ms) == (START_MS + 3 * DAY_MS, START_MS + 9 * DAY_MS)
    with pytest.raises(BadInput, match=r"line 3: events\.0\.boiler_trip\.at: it begins when all is over, after 9d"):
        load_scenario(put(tmp_path, later.replace("at: 3d", "at: 9d")))
    with pytest.raises(BadInput, match="it begins when all is over, after 1d"):
        load_scenario(put(tmp_path, f"lasts: 1d\n{later}"))


def test_in_a_town_of_another_size_it_happens_at_the_same_place(tmp_path: Path) -> None:
    """Station S2 has the houses from the fourth on where there are six of them, and only one where there are two."""
    scenario = load_scenario(put(tmp_path, WHOLE))
    larger = scenario.changed(rooms=72)
    assert [event.subject.name for event in larger.settings.events] == ["S1", "S2-B04"]
    assert load_scenario(put(tmp_path, larger.text())).settings == larger.settings
    assert len(scenario.town(rooms=72).points()) == 72
    assert scenario.changed(rooms=24).settings.events[1].subject.name == "S2-B02"
    with pytest.raises(BadInput, match=r"line 13: events\.1\.burst_main\.building: the town has no building 'S2-B03'"):
        scenario.changed(rooms=12)


def test_joined_scenarios_mean_the_same_place_too(tmp_path: Path) -> None:
    small = put(tmp_path, "title: x\ntown: {rooms: 36}\n")
    large = put(tmp_path, "title: y\ntown: {rooms: 72}\nevents: [air_in_riser: {riser: 4-2-01}]\n", "large.yaml")
    plain = put(tmp_path, "title: z\nevents: [air_in_riser: {riser: 3-1-01}]\n", "plain.yaml")
    assert load_scenario(f"{small}+{large}").settings.events[0].subject.name == "3-2-01"
    assert load_scenario(f"{small}+{plain}").settings.events[0].subject.name == "3-1-01"


WRONG: dict[str, tuple[str, str, str]] = {
    "a span": (
        "at: 10h, lasts: 12h",
        "at: 10h, lasts: 12x",
        "line 12: events.0.boiler_trip.lasts: '12x' is no span of time",
    ),
    "a number for a span": ("at: 10h", "at: 10", "line 12: events.0.boiler_trip.at: 10 is no span of time"),
    "no time at all": (
        "lasts: 12h}\n  - b",
        "lasts: 0s}\n  - b",
        "line 12: events.0.boiler_trip.lasts: '0s' is no time",
    ),
    "an unknown field": (
        "lasts: 12h}\n  - b",
        "lests: 12h}\n  - b",
        "boiler_trip.lests: is not known (did you mean lasts?)",
    ),
    "an unknown event": (
        "boiler_trip",
        "boiler_tripp",
        "line 12: events.0.boiler_tripp: is not known (did you mean boiler",
    ),
    "an unknown section": ("events:", "evnts:", "line 11: evnts: is not known (did you mean events?)"),
    "no hour of a day": (
        "boiler_trip: {station: S1, at: 10h",
        "night_setback: {station: S1, from_h: 25, at: 10h",
        "line 12: events.0.night_setback.from_h: 25: should be less than or equal to 24",
    ),
    "a stranger": ("S1,", "S3,", "line 12: events.0.boiler_trip.station: the town has no station 'S3' (one of S1, S2)"),
    "nearly a building": ("S2-B03", "S2-B3", "the town has no building 'S2-B3' (did you mean S2-B03?)"),
    "nobody": ("station: S1, ", "", "line 12: events.0.boiler_trip: it happens to one of"),
    "two of them": (
        "station: S1",
        "station: S1, building: S1-B01",
        "line 12: events.0.boiler_trip: it happens to one of",
    ),
    "the wrong sort": (
        "station: S1",
        "building: S1-B01",
        "line 12: events.0.boiler_trip: BoilerTrip happens to a station",
    ),
    "past the end": ("at: 10h", "at: 2d", "line 12: events.0.boiler_trip.at: it begins when all is over, after 2d"),
    "a fault's number": (
        "share: 0.5",
        "share: 1.5",
        "line 16: faults.1.noise.share: 1.5: should be less than or equal to 1",
    ),
    "half a room": ("rooms: 48", "rooms: 48.5", "line 7: town.rooms: 48.5: should be a valid integer"),
    "truth for a number": ("rooms: 48", "rooms: true", "line 7: town.rooms: True: should be a valid integer"),
    "half a second": (
        "interval: 5min",
        "interval: 1500ms",
        "line 7: town.interval: '1500ms' is not from a second to a day",
    ),
    "a word for a number": ("-6", "cold", "line 8: weather.mean_c: 'cold': should be a valid number"),
    "no number": ("latitude_deg: 45", "latitude_deg: .nan", "line 9: physics.site.latitude_deg: '.nan': should be"),
    "shares of more than a whole": ("[0.3,", "[0.4,", "line 9: physics: envelope_shares must be shares of a whole"),
    "less than nothing": ("weather: {", "weather: {slow_k: -1, ", "line 8: weather: slow_k is -1.0, below 0"),
    "water that cools": ("physics: {", "physics: {supply_c: 20, return_c: 60, ", "line 9: physics: such water"),
    "no zone": ("+08:00", "", "line 5: start: '2026-01-12T00:00:00' is no moment with a zone"),
    "no title": ("title: A boiler trips\n", "", "line 1: title: is missing"),
    "twice": ("lasts: 2d", "lasts: 2d\nlasts: 3d", "line 7: lasts stands there twice (leave one of them)"),
    "twice, deep": ("at: 10h", "at: 10h, at: 9h", "line 12: events.0.boiler_trip.at stands there twice"),
    "an alias": ("at: 10h", "at: *a", "line 12: not valid YAML: aliases (*name) are not understood here"),
    "a tag": ("at: 10h", "at: !!int 10", "line 12: the tag tag:yaml.org,2002:int is not understood here"),
    "a mapping that is none": (
        "{heat_outage: 1, leak: {at_least: 1}}",
        "3",
        "line 19: expect.tickets: it must be a mapping",
    ),
    "a count that is none": ("heat_outage: 1", "heat_outage: x", "line 19: expect.tickets.heat_outage"),
    "no list": ("  - stuck", "  stuck", "not valid YAML"),
    "an entry without a name": (
        "  - noise: {town: true, share: 0.5}",
        "  - {}",
        "line 16: faults.1: an entry has one name",
    ),
    "half a town": ("town: true", "town: false", "line 16: faults.1.noise.town: False: should be True"),
    "weather that is not there": (
        "mean_c: -6, snaps: [{at: 1d, lasts: 12h, depth_k: 5}]",
        "file: w.csv",
        "line 8: weather.file: no such file",
    ),
    "an unknown one to include": (
        "expect:",
        "include: [boiler_tripp]\nexpect:",
        "line 17: include.0: there is no scenario",
    ),
    "including itself": (
        "expect:",
        "include: [own.yaml]\nexpect:",
        "line 17: include.0: own.yaml includes itself in the end",
    ),
    "nothing": (WHOLE, "", "a scenario has at least a title"),
    "a list": (WHOLE, "- a", "line 1: a scenario has at least a title"),
    "no YAML": ("title: A", "title: [A", "not valid YAML"),
    "two documents": ("expect:", "---\nexpect:", "line 17: not valid YAML"),
    "a fault that the interval forbids": (
        "stuck: {",
        "interval: {interval_s: 450, ",
        "line 15: faults.0.interval: interval_s",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_meant_is_told_with_file_line_and_field(tmp_path: Path, what: str) -> None:
    old, new, says = WRONG[what]
    assert old in WHOLE
    path = put(tmp_path, WHOLE.replace(old, new, 1))
    with pytest.raises(BadInput) as caught:
        load_scenario(path)
    assert str(caught.value).startswith(path)
    assert says in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"title: \xff")
    with pytest.raises(BadInput, match="byte 7 is not UTF-8"):
        load_scenario(str(tmp_path / "bytes.yaml"))
    with pytest.raises(BadInput, match="there is no file"):
        load_scenario(str(tmp_path / "none.yaml"))
    with pytest.raises(BadInput, match=r"there is no scenario 'boiler_tripp' \(did you mean boiler_trip\?\)"):
        load_scenario("boiler_tripp")
    with pytest.raises(BadInput, match="is named twice"):
        load_scenario("boiler_trip+boiler_trip")
    with pytest.raises(BadInput, match="there is no file"):
        load_scenario("a\0b.yaml")


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """Return the text of a scenario with a few places changed, cut out, doubled or mixed up."""
    text = draw(st.sampled_from([WHOLE, *(_text(name) for name in library() if name != "city")]))
    rng = random.Random(draw(st.integers(0, 2**32)))  # noqa: S311 - no secret
    tokens = [
        *"{}[]:,-#&*!|>'\"%@?~ \n\t",
        "null",
        "true",
        "1e9",
        "-1",
        "99999999999",
        ".inf",
        "S1",
        "<<",
        "0x1",
        "9" * 30,
    ]
    for _ in range(draw(st.integers(1, 6))):
        at = rng.randrange(len(text) + 1)
        end = min(at + rng.choice((0, 0, 1, 3, 20)), len(text))
        put_in = rng.choice((rng.choice(tokens), rng.choice(string.printable), text[at:end] * 2, "", "室"))
        text = text[:at] + put_in + text[end:]
    return text


@settings(max_examples=300, deadline=None)
@given(text=damaged())
def test_whatever_a_file_says_it_loads_or_is_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    path.write_bytes(text.encode("utf-8", "replace"))
    try:
        scenario = load_scenario(str(path))
    except BadInput:
        return
    assert scenario.settings.rooms >= 1


@settings(max_examples=200, deadline=None)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
    field=st.sampled_from(
        ["title", "start", "lasts", "town", "weather", "physics", "events", "faults", "expect", "include"]
    ),
)
def test_whatever_a_field_says(tmp_path_factory: pytest.TempPathFactory, value: Any, field: str) -> None:
    path = tmp_path_factory.getbasetemp() / "strange.yaml"
    path.write_text(yaml.safe_dump({"title": "x", field: value}), encoding="utf-8")
    try:
        load_scenario(str(path))
    except BadInput:
        return


class TestComposition:
    """The rule by which scenarios join."""

    def test_the_first_one_s_town_holds_and_the_rest_adds_up(self, tmp_path: Path) -> None:
        one = put(
            tmp_path, "title: One\nlasts: 1d\ntown: {rooms: 36}\nevents: [pump_failure: {station: S1, lasts: 3h}]\n"
        )
        two = put(
            tmp_path,
            "title: Two\nstart: 2026-02-01T00:00:00Z\nlasts: 3d\ntown: {rooms: 60, seed: 9}\nweather: {mean_c: 3}\n"
            "faults: [stuck: {room: S1-B01-1-101}]\n",
            "two.yaml",
        )
        both = load_scenario(f"{one}+{two}")
        town = both.settings
        assert both.title == "One + Two"
        assert (town.rooms, town.seed, town.weather.mean_c) == (36, 9, 3)
        assert both.length_ms == 3 * DAY_MS
        assert both.start_ms == 1_769_904_000_000
        assert (len(town.events), len(town.faults)) == (1, 1)
        assert town.faults[0].end_ms == both.end_ms

    def test_cold_snaps_add_up(self, tmp_path: Path) -> None:
        snaps = [
            put(
                tmp_path,
                f"title: x\nweather: {{mean_c: {at}, snaps: [{{at: {at}h, lasts: 1d, depth_k: 5}}]}}\n",
                f"{at}.yaml",
            )
            for at in (1, 2)
        ]
        weather = load_scenario("+".join(snaps)).settings.weather
        assert (weather.mean_c, len(weather.snaps)) == (1, 2)

    def test_measured_weather_comes_alone(self, tmp_path: Path) -> None:
        (tmp_path / "w.csv").write_text(
            "time,outdoor_c\n2026-01-01T00:00Z,-5\n2026-03-01T00:00Z,-5\n", encoding="utf-8"
        )
        measured = put(tmp_path, "title: x\nweather: {file: w.csv}\n", "measured.yaml")
        made_up = put(tmp_path, "title: y\nweather: {mean_c: 3}\n", "made_up.yaml")
        first, second = load_scenario(f"{measured}+{made_up}"), load_scenario(f"{made_up}+{measured}")
        assert (first.weather_file, first.weather) == (tmp_path / "w.csv", {})
        assert (second.weather_file, second.weather) == (None, {"mean_c": 3})
        assert first.town().weather.mean_c == -5

    def test_a_file_includes_others_and_says_itself_what_is_expected(self, tmp_path: Path) -> None:
        path = put(
            tmp_path,
            "title: Own\ninclude: [boiler_trip, gateway_outage]\ntown: {seed: 5}\n"
            "expect: {heat_outages: {recall: 0.5}}\n",
        )
        scenario, both = load_scenario(path), load_scenario("boiler_trip+gateway_outage")
        assert (scenario.title, scenario.size.seed) == ("Own", 5)
        assert scenario.settings.events == both.settings.events
        assert scenario.expects.findings[FindingKind.HEAT_OUTAGE] == KindExpected(recall=0.5)
        assert scenario.expects.findings[FindingKind.DATA_OUTAGE] == both.expects.findings[FindingKind.DATA_OUTAGE]

    def test_a_circle_is_refused_and_what_is_reached_twice_happens_once(self, tmp_path: Path) -> None:
        put(tmp_path, "title: a\ninclude: [b.yaml]\n", "a.yaml")
        put(tmp_path, "title: b\ninclude:\n  - a.yaml\n", "b.yaml")
        with pytest.raises(BadInput, match=r"b\.yaml, line 3: include\.0: a\.yaml includes itself in the end"):
            load_scenario(str(tmp_path / "a.yaml"))
        put(tmp_path, "title: c\ninclude: [boiler_trip]\n", "c.yaml")
        twice = load_scenario(put(tmp_path, "title: d\ninclude: [boiler_trip, c.yaml]\n", "d.yaml"))
        assert len(twice.settings.events) == 1

    def test_every_pair_of_the_library_joins(self) -> None:
        small = [name for name in library() if name not in {"city", "season"}]
        for one in small:
            for two in small:
                if one != two:
                    joined = load_scenario(f"{one}+{two}")
                    parts = [load_scenario(name) for name in (one, two)]
                    assert len(joined.happens) == sum(len(part.happens) for part in parts)
                    assert joined.length_ms == max(part.length_ms for part in parts)


class TestLibrary:
    """What comes with heatwatch."""

    @pytest.mark.parametrize("name", library())
    def test_each_says_in_both_languages_what_it_is_and_teaches(self, name: str) -> None:
        scenario = load_scenario(name)
        assert any("\u4e00" <= sign <= "\u9fff" for sign in scenario.title_zh)
        assert len(scenario.teaches) > 40
        assert scenario.expects.findings
        text = _text(name)
        assert max(map(len, text.splitlines())) <= 140

    def test_the_zoo_has_every_fault_each_in_a_room_of_its_own(self) -> None:
        faults = load_scenario("sensor_zoo").settings.faults
        assert {type(fault) for fault in faults} == set(FAULTS.values())
        assert len({fault.subject for fault in faults}) == len(FAULTS)

    def test_every_event_happens_somewhere(self) -> None:
        happening = {type(event) for name in library() for event in load_scenario(name).settings.events}
        assert set(EVENTS.values()) - happening == set()

    def test_the_schema_is_that_of_the_models_and_every_file_keeps_to_it(self) -> None:
        text = (resources.files("simulators") / "scenarios" / "schema.json").read_text(encoding="utf-8")
        assert text == schema_text(), "schema_text() says how to write it anew"
        jsonschema.Draft202012Validator.check_schema(json_schema())
        for one in (WHOLE, *map(_text, library())):
            jsonschema.validate(read_marked(one, "x").value, json_schema())
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"title": "x", "evnts": []}, json_schema())


def _text(name: str) -> str:
    return (resources.files("simulators") / "scenarios" / f"{name}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("90s", 90 * SECOND_MS),
        ("1.5h", 90 * MINUTE_MS),
        ("2d 06:00", 54 * HOUR_MS),
        ("1h30min", 90 * MINUTE_MS),
        ("-1d", -DAY_MS),
        ("250ms", 250),
        ("06:30", 390 * MINUTE_MS),
    ],
)
def test_spans(text: str, ms: int) -> None:
    assert span_of(text) == ms


@pytest.mark.parametrize(
    "text", ["", "-", "5", 5, True, None, "h", "5 x", "5hours", "5h,", "1e3s", "--1h", "9999999d", "6:0"]
)
def test_what_is_no_span(text: object) -> None:
    with pytest.raises(ValueError, match="no span of time"):
        span_of(text)


@given(st.integers(-(10**11), 10**11))
def test_a_span_reads_as_it_is_written(length_ms: int) -> None:
    assert span_of(span_text(length_ms)) == length_ms
