"""What the feed writes, on the real servers: each holds the very points, under awkward names too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from dashboards.feed.worker import FeedWorker
from heatwatch.domain.instants import MINUTE_MS
from heatwatch.domain.life import Deed
from heatwatch.domain.supply import SupplySource
from heatwatch.records.schema import FeedProgress
from heatwatch.settings import Settings
from heatwatch.stores.influx.connecting import connect
from heatwatch.stores.influx.schema import CONFLICT, MEASUREMENTS, READING, TRUTH
from heatwatch.stores.influx.server import Influx as Server
from heatwatch.usecases.register import import_register
from tests.dashboards.feed.pad import Pad, Points
from tests.dashboards.feed.town import Town, register
from tests.dispatch.office import T0, at
from tests.influxdb import DATABASE, TOKEN, Influx, has_influxdb, influxdb1, influxdb2

OTHERS = {one.name for one in (READING, CONFLICT, TRUTH)}
"""What others write."""
AWKWARD = 'b 1,=\\"锦"\\'


class Both:
    """A server, and a stand-in beside it that is told the same."""

    def __init__(self, server: Server) -> None:
        self.server, self.pad = server, Pad()

    def write(self, lines: bytes, *, precision: str = "ms") -> None:
        """Write to both."""
        self.server.write(lines, precision=precision)
        self.pad.write(lines, precision=precision)

    def ping(self) -> None:
        """Ask the server."""
        self.server.ping()

    def close(self) -> None:
        """Let go of the server."""
        self.server.close()


@pytest.fixture(scope="module", params=["1", *(["2"] if has_influxdb("2") else [])], ids="influxdb-{}".format)
def influxdb(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    """Give each InfluxDB that is installed, with an empty bucket."""
    folder = tmp_path_factory.mktemp("influxdb")
    with influxdb1(folder) if request.param == "1" else influxdb2(folder) as server:
        yield server


def connected(influxdb: Influx, folder: Path) -> Server:
    (folder / "token").write_text(TOKEN)
    token = folder / "token" if influxdb.version == "2" else None
    kind = f"influxdb{influxdb.version}"
    return connect(Settings.read(store=kind, influx_url=influxdb.url, influx_bucket=DATABASE, influx_token_file=token))


def held(influxdb: Influx, measurement: str) -> Points:
    """Return the points of a measurement as the server gives them."""
    asked = {"db": DATABASE, "q": f'SELECT * FROM "{measurement}" GROUP BY *', "epoch": "ns"}  # noqa: S608 - the schema's
    headers = {"Authorization": f"Token {TOKEN}"} if influxdb.version == "2" else {}
    answer = httpx.get(f"{influxdb.url}/query", params=asked, headers=headers, timeout=30).raise_for_status().json()
    found: Points = {}
    for series in answer["results"][0].get("series", []):
        tags = tuple(sorted((name, value) for name, value in series.get("tags", {}).items() if value))
        _, *names = series["columns"]
        for time_ns, *values in series["values"]:
            fields = {name: value for name, value in zip(names, values, strict=True) if value is not None}
            found[tags, time_ns] = fields
    return found


def test_the_server_holds_the_very_points_after_amendments_withdrawals_and_moves(
    influxdb: Influx, tmp_path: Path
) -> None:
    with closing(connected(influxdb, tmp_path)) as server, closing(Town(tmp_path)) as town:
        both = Both(server)
        town.hire(both)
        with town.records.write() as session:
            rows = [replace(row, building_id=AWKWARD) if row.point_id == "r3" else row for row in register()]
            import_register(session, rows, "points.csv", "1" * 64, 1)
        town.arrive([(f"dr{room}", T0 + minute * 600_000, 18.5 - room) for room in (1, 2, 3) for minute in range(12)])
        town.arrive([(SupplySource("s1", AWKWARD, "supply_c").name, T0, 51.5)])
        town.judge(0, 0.5, None)
        town.judge(1, 0.5, 1.0)
        _tell_all(town.feed)
        town.judge(0, 0.25, 4.0, "b2")
        town.withdraw(1)
        town.act(0, Deed.TAKE)
        town.fail(0.0, None)
        town.report(1)
        town.tally(1, AWKWARD, [(0, 3, 1), (1, 2, 2)])
        town.now_h = 8.0
        town.fail(0.0, None)
        _tell_all(town.feed)
        town.tally(1, AWKWARD, [(1, 4, 0)])
        town.put_in_force(1)
        _tell_all(town.feed)
        assert both.pad.points.keys() == {one.name for one in MEASUREMENTS} - OTHERS
        for measurement, points in both.pad.points.items():
            assert held(influxdb, measurement) == points, measurement
        assert at(0.5) * 1_000_000 + 1 in {time for _, time in both.pad.points["finding"]}


def _tell_all(feed: FeedWorker) -> None:
    while feed.pass_once():
        pass


def test_a_field_that_is_of_another_type_there_costs_its_points_and_no_others(influxdb: Influx, tmp_path: Path) -> None:
    with closing(connected(influxdb, tmp_path)) as server, closing(Town(tmp_path)) as town:
        town.now_h = 24.0 * 30
        server.write(f'pipeline,role=feed waiting="many" {at(town.now_h) + 1}\n'.encode(), precision="ms")
        town.hire(server)
        for room in range(3):
            town.judge(room, 24.0 * 30, None)
        _tell_all(town.feed)
        now = at(town.now_h) // MINUTE_MS * MINUTE_MS * 1_000_000
        assert {time for _, time in held(influxdb, "station_now")} >= {now}
        assert now not in {time for _, time in held(influxdb, "pipeline")}
        with town.records.read() as session:
            assert session.get_one(FeedProgress, 1).refused >= 4
