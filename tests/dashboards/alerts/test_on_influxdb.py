"""The rules over a known company, asked of real InfluxDBs of both versions and judged as Grafana judges."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from dashboards.alerts.alarms import EVERY_S
from dashboards.alerts.making import rule_groups
from dashboards.model import Query, Rule
from dashboards.pictures.asking import Reader, in_flux, in_influxql, of_flux, of_influxql
from dashboards.settings import GrafanaSettings, InfluxVersion, Limits
from tests.dashboards.alerts import town
from tests.dashboards.alerts.grafana import Asks, Failed, Row, Watch, evaluate, labels
from tests.dashboards.alerts.town import EXPECTED, MINUTE_MS, NOW_MS
from tests.influxdb import DATABASE, Influx1, Influx2, has_influxdb, influxdb1, influxdb2

LIMITS = Limits(16.0, 18.0)
VERSIONS = [version for version in InfluxVersion if has_influxdb(version.value) or version is InfluxVersion.ONE]
RULES = {
    version: {rule.uid: rule for group in rule_groups(GrafanaSettings(LIMITS, version=version)) for rule in group.rules}
    for version in VERSIONS
}
Server = Influx1 | Influx2
LOOKED_MS = NOW_MS + 5000
"""A little after the minute was told: the end of Flux's range is no more in it."""


@pytest.fixture(scope="module", params=VERSIONS, ids="influxdb-{}".format)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give each version of InfluxDB."""
    folder: Path = tmp_path_factory.mktemp("influxdb")
    with influxdb1(folder) if request.param is InfluxVersion.ONE else influxdb2(folder) as running:
        yield running


@pytest.fixture(scope="module")
def company(server: Server) -> Server:
    """Give it with the company as it is at `NOW_MS`."""
    server.write(town.lines(), "ns")
    return server


@pytest.fixture
def rules(server: Server) -> dict[str, Rule]:
    """Give the rules in its language."""
    return RULES[InfluxVersion(server.version)]


_ANSWERED: dict[tuple[object, ...], Sequence[Row]] = {}
"""Rules share queries, and nothing is written after the first question."""


def asks(server: Server, database: str = DATABASE) -> Asks:
    """Return a way to ask as Grafana does."""

    def ask(query: Query, now_ms: int) -> Sequence[Row]:
        key = (server.url, database, query.model["query"], query.from_s, now_ms)
        if key not in _ANSWERED:
            _ANSWERED[key] = answer(query, now_ms)
        return _ANSWERED[key]

    def answer(query: Query, now_ms: int) -> Sequence[Row]:
        reader = Reader(now_ms - query.from_s * 1000, now_ms - query.to_s * 1000, {})
        text: str = query.model["query"]
        assert "${" not in text
        try:
            if isinstance(server, Influx1):
                return of_influxql(server.query(in_influxql(text, reader), database))
            told = server.flux(in_flux(text, reader, database))
        except httpx.HTTPError as error:
            raise Failed(str(error)) from error
        _check_series(told)
        return of_flux(told)

    return ask


def _check_series(answer: str) -> None:
    """Check that what is neither time nor value is in the key of its table: Grafana takes it for a label then."""
    names: list[str] = []
    key: list[str] = []
    for line in csv.reader(io.StringIO(answer)):
        if line and line[0] == "#group":
            key, names = line, []
        elif line and not line[0].startswith("#") and not names:
            names = line
            grouped = dict(zip(names, key, strict=True))
            assert {name for name, told in grouped.items() if told == "true"} == set(names[3:]) - {"_time", "_value"}


@pytest.mark.parametrize("uid", EXPECTED)
def test_a_rule_finds_what_is_amiss_and_nothing_else(company: Server, rules: dict[str, Rule], uid: str) -> None:
    numbers = evaluate(rules[uid], asks(company), LOOKED_MS)
    assert {key for key, number in numbers.items() if number} == EXPECTED[uid]


def test_every_rule_is_looked_at(rules: dict[str, Rule]) -> None:
    assert set(rules) == set(EXPECTED)


@pytest.mark.parametrize("uid", EXPECTED)
def test_it_fires_when_it_has_held_for_its_wait(company: Server, rules: dict[str, Rule], uid: str) -> None:
    watch, wait_ms = Watch(rules[uid]), rules[uid].for_s * 1000
    fired = [watch.look(asks(company), LOOKED_MS - before_ms) for before_ms in _once(wait_ms, EVERY_S * 1000, 0)]
    assert fired[-1] == EXPECTED[uid]
    assert not any(fired[:-1])


def _once(*values: int) -> list[int]:
    return sorted(set(values), reverse=True) if values[0] else [0]


@pytest.mark.parametrize("uid", EXPECTED)
def test_while_the_feed_is_silent_what_fired_goes_on_and_one_rule_tells_of_it(
    company: Server, rules: dict[str, Rule], uid: str
) -> None:
    """Until a quarter of an hour after the last minute that was told."""
    watch, ask, wait = Watch(rules[uid]), asks(company), rules[uid].for_s // EVERY_S
    fired = {minute: watch.look(ask, LOOKED_MS + minute * MINUTE_MS) for minute in (-wait, 0, 9, 10, 11, 12, 15)}
    if uid == "heatwatch-pipeline-silent":
        assert [minute for minute, each in fired.items() if each] == [12, 15], "10 without, then 2 of waiting"
    else:
        assert all(fired[minute] == EXPECTED[uid] for minute in fired if minute >= 0)


def test_without_anything_only_the_silence_is_told(server: Server, rules: dict[str, Rule]) -> None:
    """Grafana starts beside an empty database."""
    server.create("empty")
    ask = asks(server, "empty")
    for uid, rule in rules.items():
        watch = Watch(rule)
        fired = [watch.look(ask, LOOKED_MS + minute * MINUTE_MS) for minute in (0, 2)]
        assert fired[-1] == ({labels()} if uid == "heatwatch-pipeline-silent" else set()), uid


GONE_MS = NOW_MS - 60 * MINUTE_MS


@pytest.fixture(scope="module")
def silenced(server: Server) -> Server:
    """Give three hours of two stations: the readings of one end after an hour, its minutes do not."""
    server.create("silenced")
    told: list[str] = []
    for minute in range(181):
        at_ms = NOW_MS + (minute - 120) * MINUTE_MS
        gone_s = max(0.0, (at_ms - GONE_MS) / 1000) + 60.0
        heard = 4 if gone_s <= 3600 else 0  # a reading holds for an hour here
        told.append(town.station("well", at_ms))
        told.append(town.station("silent", at_ms, last_heard_s=gone_s, points_heard=heard))
    _write(server, told, "silenced")
    return server


@pytest.mark.parametrize("uid", ["heatwatch-delivery-stopped", "heatwatch-thermometers-missing"])
def test_a_station_that_has_fallen_silent_fires_and_goes_on(silenced: Server, rules: dict[str, Rule], uid: str) -> None:
    """Where an alert rests on its readings, it would end with them (Grafana's issues 76920 and 130902)."""
    watch, ask = Watch(rules[uid], interval_s=5 * 60), asks(silenced, "silenced")
    fired = [watch.look(ask, LOOKED_MS + minute * MINUTE_MS) for minute in range(-10, 61, 5)]
    told = [each == {labels(station="silent")} for each in fired]
    assert not any(told[:2])
    assert told[-2:] == [True, True]
    assert told == sorted(told), "once it fires it goes on"
    assert all(each in (set(), {labels(station="silent")}) for each in fired)


def _write(server: Server, told: Sequence[str], database: str) -> None:
    body = "\n".join(told).encode()
    if isinstance(server, Influx1):
        asked = {"db": database, "precision": "ns"}
        httpx.post(f"{server.url}/write", params=asked, content=body).raise_for_status()
    else:
        asked = {"org": "heatwatch", "bucket": database, "precision": "ns"}
        server.call("POST", "write", params=asked, content=body)
