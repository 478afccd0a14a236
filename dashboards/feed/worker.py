"""The feed role: writes into InfluxDB what was found, done and counted, so that Grafana needs no other source.

It reads the records' feeds from where it was, writes, and moves on after InfluxDB took it. What is written twice is the
same points: a point's time and series never change. Each pass does one bounded piece of each kind of work.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dashboards.feed.days import series_in, told_days
from dashboards.feed.hours import HoursFeed, Plan
from dashboards.feed.now import Snapshot
from dashboards.feed.telling import told_deeds, told_findings
from dashboards.feed.writing import Writer
from heatwatch.domain.instants import DAY_MS, MINUTE_MS
from heatwatch.domain.temperature import Standard
from heatwatch.errors import Unavailable
from heatwatch.records.database import Records
from heatwatch.records.progress import progress
from heatwatch.records.schema import Arrival, FeedProgress
from heatwatch.stores.influx.server import Influx
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.compliance import days_changed, demands_of, last_day_change
from heatwatch.usecases.feeding import (
    FEED,
    begin,
    changed_findings,
    deeds_after,
    feed_progress,
    findings_numbered,
    is_placed,
    move_on,
    next_due_by_station,
    places,
    put_places,
    put_series,
    series_of,
    tallies_of,
)
from heatwatch.usecases.findings import last_change
from heatwatch.usecases.overview import NEVER_MS, Overview, Overviews
from heatwatch.usecases.roles import Wake, follow
from heatwatch.usecases.stops import stops_in_force
from heatwatch.usecases.tickets import feed_end
from heatwatch.usecases.workers import Come, identities_by_worker, roles_come, too_late_by_worker

log = logging.getLogger(__name__)

FINDINGS_AT_ONCE = 1000
DEEDS_AT_ONCE = 1000
DAYS_AT_ONCE = 200
"""Days of buildings told in one pass."""
LOOK_EVERY_MS = 10_000
"""How often hours follow what has arrived, where it is not much."""
LAST_ROLE = "dispatch"
"""Whose progress is the clock of a replay."""
Tell = Callable[[FeedProgress], bool]
"""Tells a piece of one kind of what there is, from where that was left off; returns whether there was anything."""


class FeedWorker:
    """Writes into InfluxDB what Grafana reads.

    Parameters
    ----------
    records, store
        What is told; the readings of which hours are made.
    influx
        Where it is told.
    standard, zone
        The dated rules, and the company's time zone.
    bell
        Rung when there may be something new.
    wall_clock
        The installation's clock [ms]; None in a replay, whose clock is the moment that dispatch has reached.
    late_days
        Readings that arrived more than so many days after they were measured are not judged; None: all are.
    """

    name = FEED

    def __init__(
        self,
        records: Records,
        store: ReadingStore,
        influx: Influx,
        standard: Standard,
        zone: ZoneInfo,
        bell: Wake,
        *,
        wall_clock: Callable[[], int] | None = None,
        late_days: float | None = None,
    ) -> None:
        self._records, self._standard, self._zone, self._bell = records, standard, zone, bell
        self._wall_clock = wall_clock
        self._writer = Writer(influx)
        self._overviews = Overviews(store, standard, zone)
        late_most_ms = None if late_days is None else round(late_days * DAY_MS)
        self._hours = HoursFeed(store, standard, zone, late_most_ms)
        self._plan: Plan | None = None
        self._looked_ms: int | None = None
        self._upto = 0
        self._order: list[Tell] = [
            self._tell_findings,
            self._tell_deeds,
            self._tell_days,
            self._tell_now,
            self._tell_hours,
        ]

    def run(self, stop: threading.Event) -> None:
        """Tell until told to stop; wait longer and longer while InfluxDB, records or store do not answer."""
        follow(self.name, self.pass_once, self._bell, stop)

    def pass_once(self) -> bool:
        """Tell a piece of all there is to tell; return whether there was anything.

        Raises
        ------
        Unavailable
            If InfluxDB, records or store do not answer. What it was about comes last from then on: what takes a server
            too long to answer keeps nothing else from being told.
        """
        done, behind = self._look()
        told = False
        for tell in tuple(self._order):
            if tell not in behind:
                continue
            try:
                told |= tell(done)
            except Unavailable:
                self._order.remove(tell)
                self._order.append(tell)
                raise
        return told

    def _look(self) -> tuple[FeedProgress, list[Tell]]:
        """Return how far was told, and of what there may be something to tell; in one short session: it is asked often.

        Of hours that is not known yet.
        """
        with self._records.read() as session:
            done = feed_progress(session)
            if done is not None:
                behind: dict[Tell, bool] = {
                    self._tell_findings: last_change(session) > done.change_seq,
                    self._tell_deeds: feed_end(session) > done.audit_seq,
                    self._tell_days: last_day_change(session) > done.days_seq,
                    self._tell_now: _is_another_minute(done.snapshot_ms, self._now(session)),
                    self._tell_hours: True,
                }
                return done, [tell for tell, there in behind.items() if there]
        with self._records.write() as session:
            begin(session)
        return self._look()

    def _move_on(self, done: FeedProgress, refused: int, **to: Any) -> None:
        with self._records.write() as session:
            move_on(session, done.generation, refused, **to)

    # --- findings

    def _tell_findings(self, done: FeedProgress) -> bool:
        with self._records.read() as session:
            rows = changed_findings(session, done.change_seq, FINDINGS_AT_ONCE)
        if not rows:
            return False
        refused = self._writer.write(self._findings([row.id for row in rows]))
        self._move_on(done, refused, change_seq=rows[-1].change_seq)
        return True

    def _findings(self, numbers: list[int]) -> list[str]:
        """Return findings as they are now as lines; where they stand in InfluxDB is written down before."""
        with self._records.read() as session:
            rows = findings_numbered(session, numbers)
            known = places(session, rows)
            if all(is_placed(row, known.get(row.id)) for row in rows):
                return told_findings(session, rows, known)
        with self._records.write() as session:
            rows = findings_numbered(session, numbers)
            return told_findings(session, rows, put_places(session, rows))

    # --- tickets, notices, reported stops

    def _tell_deeds(self, done: FeedProgress) -> bool:
        with self._records.read() as session:
            entries = deeds_after(session, done.audit_seq, DEEDS_AT_ONCE)
            if not entries:
                return False
            lines, regrouped = told_deeds(session, entries)
        refused = self._writer.write(lines)
        if regrouped:
            refused += self._writer.write(self._findings(regrouped))
        self._move_on(done, refused, audit_seq=entries[-1].seq)
        return True

    # --- days of compliance

    def _tell_days(self, done: FeedProgress) -> bool:
        with self._records.read() as session:
            changes = days_changed(session, done.days_seq, DAYS_AT_ONCE)
            if not changes:
                return False
            days = [(one.day, one.building_id) for one in changes]
            tallies, before = tallies_of(session, days), series_of(session, days)
        now = series_in(tallies)
        series = {day: sorted({*before[day], *now.get(day, ())}) for day in days}
        new = {day: several for day, several in series.items() if several != sorted(before[day])}
        if new:
            with self._records.write() as session:
                put_series(session, new)
        refused = self._writer.write(told_days(series, tallies, demands_of(self._standard), self._zone))
        self._move_on(done, refused, days_seq=changes[-1].change_seq)
        return True

    # --- what is so now

    def _tell_now(self, done: FeedProgress) -> bool:
        with self._records.read() as session:
            now_ms = self._now(session)
            if now_ms is None:
                return False
            lines = self._snapshot(session, done, now_ms).lines()
        refused = self._writer.write(lines)
        self._move_on(done, refused, snapshot_ms=now_ms // MINUTE_MS * MINUTE_MS)
        return True

    def _now(self, session: Session) -> int | None:
        if self._wall_clock is not None:
            return self._wall_clock()
        led = progress(session, LAST_ROLE)
        return None if led is None else led.as_of_ms

    def _snapshot(self, session: Session, done: FeedProgress, now_ms: int) -> Snapshot:
        overview = self._overviews(session, now_ms)
        identities = identities_by_worker(session)
        arrived = session.scalar(select(func.max(Arrival.seq))) or 0
        roles = roles_come(session)
        roles["ingest"] = Come(None, sum(one.messages["waiting"] for one in identities.values()))
        roles[FEED] = Come(now_ms, max(0, arrived - done.arrival_seq))
        return Snapshot(
            now_ms=now_ms,
            minute_ms=now_ms // MINUTE_MS * MINUTE_MS,
            overview=overview,
            heard=_heard(overview, done.heard),
            stops=stops_in_force(session),
            next_due_ms=next_due_by_station(session),
            identities=identities,
            too_late=too_late_by_worker(session),
            roles=roles,
            refused=done.refused,
            timezone=self._zone.key,
        )

    # --- hours

    def _arrived(self, session: Session) -> int:
        """Return up to which arrival hours are told.

        In a replay of whole steps; by the wall clock up to what was there when it was looked last, now and then.
        """
        if self._wall_clock is None:
            led = progress(session, LAST_ROLE)
            return 0 if led is None else led.arrival_seq
        now_ms = self._wall_clock()
        if self._looked_ms is None or abs(now_ms - self._looked_ms) >= LOOK_EVERY_MS:
            self._looked_ms, self._upto = now_ms, session.scalar(select(func.max(Arrival.seq))) or 0
        return self._upto

    def _tell_hours(self, done: FeedProgress) -> bool:
        plan, self._plan = self._plan, None  # kept only if InfluxDB takes this piece of it
        if plan is None or plan.generation != done.generation:
            with self._records.read() as session:
                plan = self._hours.plan(session, done, self._now(session), self._arrived(session))
        if plan is None:
            return False
        lines = self._hours.told(plan)
        plan.refused += self._writer.write(lines)
        if plan.stretches:
            self._plan = plan
            return True
        heard = {name: max(at, done.heard.get(name, at)) for name, at in plan.heard.items()}
        self._move_on(done, plan.refused, heard={**done.heard, **heard}, **plan.to)
        return True


def _is_another_minute(told_ms: int | None, now_ms: int | None) -> bool:
    """Tell whether a snapshot is due; also where the clock was put back."""
    return now_ms is not None and (told_ms is None or not 0 <= now_ms - told_ms < MINUTE_MS)


def _heard(overview: Overview, before: Mapping[str, int]) -> dict[str, int]:
    """Return when each station's newest reading was measured [ms], where one was ever heard."""
    heard = dict(before)
    for one in overview.layout.buildings:
        newest = max(overview.rooms.time_ms[one.first : one.first + one.rooms].tolist(), default=NEVER_MS)
        if newest > NEVER_MS:
            heard[one.station_id] = max(newest, heard.get(one.station_id, newest))
    return heard
