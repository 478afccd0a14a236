"""Says on the terminal what happens in a demo."""

from __future__ import annotations

import time
from zoneinfo import ZoneInfo

import click
from sqlalchemy import select

from cli.wiring import Service
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import from_ms
from heatwatch.domain.tickets import LABELS, TicketKind
from heatwatch.records.schema import FindingRow, TicketEvent
from heatwatch.usecases.findings import changed_since, findings, last_change
from heatwatch.usecases.tickets import Story, count_tickets, story
from simulators.towns.town import Town

STATUS_EVERY_S = 5.0
_SAID_OF = frozenset({FindingKind.HEAT_OUTAGE, FindingKind.DATA_OUTAGE})


class Narrator:
    """Follows the records and prints a line for what is new: tickets, outages, and every few seconds the state."""

    def __init__(self, service: Service, town: Town) -> None:
        self._service, self._town = service, town
        self._zone = ZoneInfo(service.settings.timezone)
        self._said: set[tuple[int, bool]] = set()
        self._status_at = 0.0
        with service.records.read() as session:
            self._change = last_change(session)
            self._event = session.scalar(select(TicketEvent.id).order_by(TicketEvent.id.desc()).limit(1)) or 0

    def greet(self) -> None:
        """Say what runs where."""
        service, points = self._service, self._town.points()
        buildings = len({row.building_id for row in points})
        click.echo(f"A simulated town: {len(points)} rooms in {buildings} buildings, seed {self._town.settings.seed}.")
        click.echo(f"Console {service.api_url}/ (a browser on this machine is signed in by itself, as a dispatcher)")
        click.echo(f"Public notices {service.api_url}/public/notices, broker {service.broker_url}.")
        click.echo(f"Data in {service.settings.data_dir}.")
        click.echo("Ctrl-C ends it; started again it goes on.")

    def tell(self) -> None:
        """Print what has happened since the last time."""
        with self._service.records.read() as session:
            lines = [line for row in changed_since(session, self._change) if (line := self._finding(row))]
            self._change = last_change(session)
            events = session.scalars(select(TicketEvent).where(TicketEvent.id > self._event).order_by(TicketEvent.id))
            for event in events.all():
                self._event = event.id
                told = story(session, event.ticket_id)
                if told is not None and (line := self._ticket(event, told)):
                    lines.append(line)
            if time.monotonic() >= self._status_at:
                self._status_at = time.monotonic() + STATUS_EVERY_S
                cold = len(findings(session, kind=FindingKind.COLD_SPELL, open=True, confirmed=True))
                lines.append(self._status(cold, count_tickets(session, at_work=True)))
        for line in lines:
            click.echo(line)

    def _finding(self, row: FindingRow) -> str | None:
        if row.kind not in _SAID_OF or row.subject_kind == "point" or row.withdrawn or (row.id, row.open) in self._said:
            return None
        self._said.add((row.id, row.open))
        what = row.kind.replace("_", " ")
        said = f"open since {self._local(row.start_ms)}"
        if row.end_ms is not None:
            said = f"{self._local(row.start_ms)} to {self._local(row.end_ms)}"
        return f"{self._local(row.changed_ms)}  {what} of {row.subject_kind} {row.subject_id}: {said}"

    def _ticket(self, event: TicketEvent, told: Story) -> str | None:
        ticket = told.ticket
        where = ticket.room_id or ticket.building_id or ticket.station_id
        said = f"{self._local(event.at_ms)}  ticket {ticket.id}"
        if event.kind == "merged":
            return f"{said} merged into ticket {ticket.merged_into}"
        if event.kind != "opened":
            return None
        due = ", ".join(f"{clock.step} by {self._local(clock.due_ms)} ({clock.rule})" for clock in told.clocks)
        label = LABELS[TicketKind(ticket.kind)]
        return f"{said} opened: {label} {where}, since {self._local(ticket.cause_start_ms)}, {ticket.rule}; {due}"

    def _status(self, cold: int, tickets: int) -> str:
        now_ms, delivery = self._service.now_ms(), self._service.delivery()
        clock = "no time yet" if now_ms is None else self._local(now_ms)
        holds = "hold" if delivery.holds else "DO NOT HOLD"
        messages, readings = delivery.messages, delivery.readings
        return (
            f"{clock}  -- {messages['received']:,} messages, {readings['stored']:,} readings stored, "
            f"{messages['quarantined'] + readings['quarantined']:,} quarantined, {messages['waiting']:,} waiting; "
            f"identities {holds}; {cold} rooms cold, {tickets} tickets at work"
        )

    def _local(self, ms: int) -> str:
        return f"{from_ms(ms).astimezone(self._zone):%m-%d %H:%M}"
