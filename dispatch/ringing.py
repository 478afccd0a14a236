"""Clocks that ring: a warning that falls due (R12), and a deadline that passes undone (R14-R19)."""

from __future__ import annotations

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from dispatch.tickets import Dispatch
from heatwatch.domain.instants import iso
from heatwatch.domain.life import Mark
from heatwatch.domain.tickets import AT_WORK
from heatwatch.records.schema import TicketClock, TicketRow
from heatwatch.usecases.tickets import note


def ring(session: Session, by: Dispatch) -> set[int]:
    """Note every deadline that has passed, and every warning that is due, on its ticket; return those tickets.

    A deadline is missed when its moment has passed: what is done at that very moment is done in time.
    """
    touched = set()
    for clock in session.scalars(_due(by.at_ms)).all():
        if clock.step == Mark.WARNING:
            note(session, clock.ticket_id, by.at_ms, Mark.WARNING, {"rule": clock.rule, "due": iso(clock.due_ms)})
        elif clock.due_ms < by.at_ms:
            detail = {"step": clock.step, "rule": clock.rule, "due": iso(clock.due_ms)}
            note(session, clock.ticket_id, by.at_ms, Mark.OVERDUE, detail)
        else:
            continue
        clock.told = True
        touched.add(clock.ticket_id)
    return touched


def rings(session: Session, at_ms: int) -> bool:
    """Tell whether a clock has passed at `at_ms` that `ring` has not noted; cheap."""
    return session.scalar(_due(at_ms - 1).limit(1)) is not None


def _due(at_ms: int) -> Select[TicketClock]:
    at_work = TicketRow.state.in_([str(state) for state in AT_WORK])
    return (
        select(TicketClock)
        .join(TicketRow, TicketRow.id == TicketClock.ticket_id)
        .where(TicketClock.told.is_(False), TicketClock.due_ms <= at_ms, at_work)
        .order_by(TicketClock.due_ms, TicketClock.ticket_id, TicketClock.step)
    )
