"""Public notices in the records (R12, R13): looked up, edited while they are drafts, published."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from heatwatch.domain.life import Mark
from heatwatch.domain.notices import NoticeKind, NoticeState
from heatwatch.domain.temperature import Standard
from heatwatch.errors import BadInput
from heatwatch.records.audit import acting, hold
from heatwatch.records.schema import NoticeRow, TicketRow
from heatwatch.usecases.documents import NOTICE, note_document
from heatwatch.usecases.tickets import note, refresh

PUBLIC = (str(NoticeState.PUBLISHED), str(NoticeState.SUPERSEDED))
_MARKS = {
    NoticeKind.STOP: Mark.NOTICE,
    NoticeKind.RESTORATION: Mark.RESTORATION,
    NoticeKind.CORRECTION: Mark.CORRECTION,
}


def public_notices(session: Session, *, limit: int, offset: int = 0) -> Sequence[NoticeRow]:
    """Return what was published, the latest first; what was brought up to date since stays readable."""
    shown = select(NoticeRow).where(NoticeRow.state.in_(PUBLIC))
    return session.scalars(
        shown.order_by(NoticeRow.published_ms.desc(), NoticeRow.id.desc()).limit(limit).offset(offset)
    ).all()


def count_published(session: Session, kind: NoticeKind) -> int:
    """Return how many notices of a kind were published."""
    published = select(func.count()).select_from(NoticeRow).where(NoticeRow.state.in_(PUBLIC), NoticeRow.kind == kind)
    return session.scalar(published) or 0


def notices(
    session: Session,
    *,
    stations: Collection[str] | None = None,
    ticket_id: int | None = None,
    state: NoticeState | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> Sequence[NoticeRow]:
    """Return notices, the latest drafted first."""
    query = select(NoticeRow).order_by(NoticeRow.drafted_ms.desc(), NoticeRow.id.desc())
    if stations is not None:
        query = query.where(NoticeRow.station_id.in_(sorted(stations)))
    if ticket_id is not None:
        query = query.where(NoticeRow.ticket_id == ticket_id)
    if state is not None:
        query = query.where(NoticeRow.state == state)
    return session.scalars(query.limit(limit).offset(offset)).all()


def count_public(session: Session) -> int:
    """Return how many notices were published."""
    return session.scalar(select(func.count()).select_from(NoticeRow).where(NoticeRow.state.in_(PUBLIC))) or 0


def count_notices(
    session: Session, *, stations: Collection[str] | None = None, state: NoticeState | None = None
) -> int:
    """Return how many notices there are of these."""
    query = select(func.count()).select_from(NoticeRow)
    if stations is not None:
        query = query.where(NoticeRow.station_id.in_(sorted(stations)))
    if state is not None:
        query = query.where(NoticeRow.state == state)
    return session.scalar(query) or 0


def edit(session: Session, notice_id: int, title: str, text: str, who: str, at_ms: int) -> NoticeRow | None:
    """Change the words of a draft; None where there is no such notice.

    Raises
    ------
    BadInput
        If it is no draft any more.
    """
    row = _draft(session, notice_id, who, at_ms)
    if row is not None:
        row.title, row.text, row.edited_by = title, text, who
    return row


def publish_by_hand(session: Session, notice_id: int, who: str, at_ms: int, standard: Standard) -> NoticeRow | None:
    """Publish a draft; None where there is no such notice.

    Raises
    ------
    BadInput
        If it is no draft any more.
    """
    row = _draft(session, notice_id, who, at_ms)
    if row is not None:
        publish(session, row, who, at_ms)
        refresh(session, session.get_one(TicketRow, row.ticket_id), standard)
    return row


def publish(session: Session, row: NoticeRow, who: str, at_ms: int) -> None:
    """Publish a notice, in the place of all that is published of its stop, and note it on its ticket."""
    shown = select(NoticeRow).where(NoticeRow.ticket_id == row.ticket_id, NoticeRow.state == NoticeState.PUBLISHED)
    for before in session.scalars(shown).all():
        before.state = str(NoticeState.SUPERSEDED)
        note_document(session, NOTICE, before.id, at_ms, "superseded", {"by": row.id})
    row.state, row.published_ms, row.published_by = str(NoticeState.PUBLISHED), at_ms, who
    session.flush()
    note(session, row.ticket_id, at_ms, _MARKS[NoticeKind(row.kind)], {"notice_id": row.id}, who)


def _draft(session: Session, notice_id: int, who: str, at_ms: int) -> NoticeRow | None:
    hold(session)
    row = session.get(NoticeRow, notice_id, with_for_update=True, populate_existing=True)
    if row is not None and row.state != NoticeState.DRAFT:
        raise BadInput(f"the notice is {row.state}, no draft", where=f"notice {notice_id}")
    acting(session, who, at_ms)
    return row
