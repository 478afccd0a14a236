"""Who is told what: each line of a ticket's log that somebody has to know becomes notifications (R12-R14)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from dispatch import words
from dispatch.words import Company
from heatwatch.domain.instants import from_ms, to_ms
from heatwatch.domain.life import Deed, Mark
from heatwatch.domain.tickets import TicketKind, TicketState
from heatwatch.records.schema import NoticeRow, TicketClock, TicketEvent, TicketRow
from heatwatch.usecases.outbox import Notification

OFFICE, COMPANY = "dispatch", "company"
DAY_BEGINS_H, NIGHT_BEGINS_H = 7, 21
"""Local hours between which the office and the stations hear of test points."""


def notifications(
    session: Session, events: Iterable[TicketEvent], company: Company, *, at_night: bool = True
) -> Iterator[Notification]:
    """Give what is to be told of these lines, one notification for each recipient.

    Without `at_night`, what is told of test points waits for the morning; events are by the wall clock, then.
    """
    for event in events:
        if event.kind not in _TELLS:
            continue
        ticket = session.get_one(TicketRow, event.ticket_id)
        if ticket.kind == TicketKind.SENSOR and event.kind == Mark.AMENDED:
            continue
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
                next_try_ms=0 if at_night or ticket.kind != TicketKind.SENSOR else morning(event.at_ms, company.zone),
            )


def morning(at_ms: int, zone: ZoneInfo) -> int:
    """Return when a test point may be spoken of: at once by day, at night when the day begins; it wakes nobody.

    >>> from heatwatch.domain.instants import iso
    >>> iso(morning(1764090000000, ZoneInfo("Asia/Shanghai")))  # 25 November, 01:00
    '2025-11-25T23:00:00.000Z'
    """
    local = from_ms(at_ms).astimezone(zone)
    if DAY_BEGINS_H <= local.hour < NIGHT_BEGINS_H:
        return at_ms
    day = local.date() + timedelta(days=local.hour >= NIGHT_BEGINS_H)
    return to_ms(datetime.combine(day, time(DAY_BEGINS_H), zone))


def _recipients(ticket: TicketRow, event: TicketEvent) -> list[str]:
    """Return who is told: the office of all, a station of its own, the company of what nobody takes (R14)."""
    told = [OFFICE]
    if event.kind not in _OFFICE_ONLY and ticket.station_id:
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


def _recovered(_session: Session, ticket: TicketRow, _event: TicketEvent, _company: Company) -> str:
    what = _RECOVERED.get(ticket.kind, "室温已达标（或已恢复供热）")
    return words.about(ticket, f"{what}，请核实后办结。")


_RECOVERED: Mapping[str, str] = {TicketKind.SENSOR: "测点已恢复正常", TicketKind.TECHNICAL: "告警已解除"}


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
    Mark.RECOVERED: _recovered,
    Mark.RELAPSED: _says("情况再次出现，请继续处理。"),
    Mark.GROUNDLESS: _says("经重新判定，原依据已撤销，请核实后撤销工单或继续处理。"),
    Deed.FROM_ABOVE: _says("上级转办，请按时限报处理结果（R15）。"),
}
