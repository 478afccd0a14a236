"""Who is told what: each line of a ticket's log that somebody has to know becomes notifications (R12-R14)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from dispatch import words
from dispatch.words import Company
from heatwatch.domain.life import Deed, Mark
from heatwatch.domain.tickets import TicketState
from heatwatch.records.schema import NoticeRow, TicketClock, TicketEvent, TicketRow
from heatwatch.usecases.outbox import Notification

OFFICE, COMPANY = "dispatch", "company"


def notifications(session: Session, events: Iterable[TicketEvent], company: Company) -> Iterator[Notification]:
    """Give what is to be told of these lines, one notification for each recipient."""
    for event in events:
        if event.kind not in _TELLS:
            continue
        ticket = session.get_one(TicketRow, event.ticket_id)
        text = _TELLS[event.kind](session, ticket, event, company)
        for recipient in _recipients(ticket, event):
            yield Notification(
                key=f"event-{event.id}:{recipient}",
                kind=event.kind,
                recipient=recipient,
                text=text,
                created_ms=event.at_ms,
                ticket_id=ticket.id,
                notice_id=event.detail.get("notice_id"),
                trace=str(event.detail.get("trace", "")),
            )


def _recipients(ticket: TicketRow, event: TicketEvent) -> list[str]:
    """Return who is told: the office of all, a station of its own, the company of what nobody takes (R14)."""
    told = [OFFICE]
    if event.kind not in _OFFICE_ONLY:
        told.append(f"station:{ticket.station_id}")
    if event.kind == Mark.OVERDUE and ticket.state == TicketState.OPEN:
        told.append(COMPANY)
    return told


_OFFICE_ONLY = frozenset({str(Mark.GROUNDLESS), str(Mark.RECOVERED), str(Mark.AMENDED)})


def _opened(session: Session, ticket: TicketRow, _event: TicketEvent, company: Company) -> str:
    running = select(TicketClock).where(TicketClock.ticket_id == ticket.id, TicketClock.done_ms.is_(None))
    clocks = session.scalars(running.where(TicketClock.off.is_(False)).order_by(TicketClock.due_ms, TicketClock.step))
    return words.opened(company, ticket, clocks.first())


def _warning(session: Session, ticket: TicketRow, _event: TicketEvent, _company: Company) -> str:
    hours = _hours(session, ticket, Mark.WARNING)
    return words.about(ticket, f"停热已满{hours}小时，停热公告尚未发布，请核实原因并确认公告（R12）。")


def _overdue(_session: Session, ticket: TicketRow, event: TicketEvent, _company: Company) -> str:
    step = words.STEPS.get(event.detail["step"], event.detail["step"])
    taken = "" if ticket.state != TicketState.OPEN else "，至今无人受理"
    return words.about(ticket, f"“{step}”已超过时限（{event.detail['rule']}）{taken}。")


def _notice(session: Session, ticket: TicketRow, event: TicketEvent, _company: Company) -> str:
    notice = session.get_one(NoticeRow, event.detail["notice_id"])
    return words.about(ticket, f"已发布《{notice.title}》。\n{notice.text}")


def _amended(_session: Session, ticket: TicketRow, event: TicketEvent, company: Company) -> str:
    return words.about(ticket, words.amended(company, event.detail))


def _says(what: str) -> _Telling:
    def tell(_session: Session, ticket: TicketRow, _event: TicketEvent, _company: Company) -> str:
        return words.about(ticket, what)

    return tell


def _hours(session: Session, ticket: TicketRow, step: str) -> str:
    clock = session.get_one(TicketClock, (ticket.id, step))
    return f"{(clock.due_ms - ticket.cause_start_ms) / 3_600_000:g}"


_Telling = Callable[[Session, TicketRow, TicketEvent, Company], str]
_TELLS: Mapping[str, _Telling] = {
    Mark.OPENED: _opened,
    Mark.WARNING: _warning,
    Mark.OVERDUE: _overdue,
    Mark.NOTICE: _notice,
    Mark.RESTORATION: _notice,
    Mark.CORRECTION: _notice,
    Mark.AMENDED: _amended,
    Mark.RECOVERED: _says("室温已达标（或已恢复供热），请核实后办结。"),
    Mark.RELAPSED: _says("情况再次出现，请继续处理。"),
    Mark.GROUNDLESS: _says("据后到的测温数据，原依据已撤销，请核实后撤销工单或继续处理。"),
    Deed.FROM_ABOVE: _says("上级转办，请按时限报处理结果（R15）。"),
}
