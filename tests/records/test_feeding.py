"""How far InfluxDB has been told, in either database; and the feed of tallies that it follows."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from alembic import command
from sqlalchemy import insert

from heatwatch.domain.compliance import FIELDS
from heatwatch.domain.life import Deed
from heatwatch.records.database import Records, _alembic
from heatwatch.records.schema import ComplianceDay
from heatwatch.usecases.compliance import days_changed, put_days
from tests.dashboards.feed.town import Town, lasting
from tests.dispatch.office import T0


def test_the_feed_tells_the_same_whatever_database_keeps_the_records(records: Records, tmp_path: Path) -> None:
    town = Town(tmp_path, records)
    with closing(town.shelf):
        town.arrive([(f"dr{room}", T0 + minute * 600_000, 18.5 - room) for room in (1, 2, 3) for minute in range(12)])
        town.judge(0, 0.5, None)
        town.judge(1, 0.5, 1.0)
        town.tell_all()
        town.judge(0, 0.25, 4.0, "b2")
        town.withdraw(1)
        town.act(0, Deed.TAKE)
        town.fail(0.0, None)
        town.report(1)
        town.tally(1, "b1", [(0, 3, 1), (1, 2, 2)])
        town.tell_all()
        town.tally(1, "b1", [(1, 4, 0)])
        town.put_in_force(1)
        town.tell_all()
        town.assert_told()
        assert lasting(town.pad) == lasting(town.tell_anew())
        assert len(town.pad.points) == 11


def test_each_tally_has_a_number_of_its_own_and_the_last_one_of_a_day_counts(records: Records) -> None:
    for day, buildings in (("2026-01-01", ["a", "b"]), ("2026-01-02", ["a"]), ("2026-01-01", ["a"])):
        with records.write() as session:
            put_days(session, day, buildings, [])
    with records.read() as session:
        told = [(one.day, one.building_id, one.change_seq) for one in days_changed(session, 0, 10)]
        assert told == [("2026-01-01", "b", 2), ("2026-01-02", "a", 3), ("2026-01-01", "a", 4)]
        assert [one.change_seq for one in days_changed(session, 2, 1)] == [3]


def test_days_that_were_tallied_before_there_was_a_feed_come_first_in_it(url: str) -> None:
    with closing(Records(url)) as records:
        with records.engine.begin() as connection:
            command.upgrade(_alembic(connection), "0006")
            row = {
                "point_id": "p",
                "station_id": "s",
                "room": "p",
                "room_class": "apartment",
                **dict.fromkeys(FIELDS, 0),
            }
            days = [("2026-01-02", "a"), ("2026-01-01", "b"), ("2026-01-01", "a")]
            connection.execute(insert(ComplianceDay), [{"day": day, "building_id": name, **row} for day, name in days])
        records.migrate()
        with records.write() as session:
            put_days(session, "2026-01-03", ["a"], [])
        with records.read() as session:
            told = [(one.day, one.building_id) for one in days_changed(session, 0, 10)]
    assert told == [*sorted(days), ("2026-01-03", "a")]
