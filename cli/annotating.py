"""What of the records hangs in Grafana's curves: stops of heat as found and as reported, and the notices of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from dashboards.push.annotations import Annotation
from dashboards.settings import Language
from heatwatch.domain.findings import FindingKind, SubjectKind
from heatwatch.domain.notices import NoticeKind
from heatwatch.records.schema import FindingRow, NoticeRow, ReportedStop
from heatwatch.usecases.notices import PUBLIC


@dataclass(frozen=True, slots=True)
class Words:
    """What is said of each."""

    outage: str
    planned: str
    reported: str
    notices: dict[NoticeKind, str]


WORDS = {
    Language.CHINESE: Words(
        outage="停热：{subject}",
        planned="计划停热：{subject} {reason}",
        reported="上报停热：{subject} {reason}",
        notices={
            NoticeKind.STOP: "停热公告：{title}",
            NoticeKind.RESTORATION: "恢复供热公告：{title}",
            NoticeKind.CORRECTION: "更正公告：{title}",
        },
    ),
    Language.ENGLISH: Words(
        outage="No heat: {subject}",
        planned="Planned stop: {subject} {reason}",
        reported="Reported stop: {subject} {reason}",
        notices={
            NoticeKind.STOP: "Notice of a stop: {title}",
            NoticeKind.RESTORATION: "Notice of the restoration: {title}",
            NoticeKind.CORRECTION: "Notice of a correction: {title}",
        },
    ),
}


def told_annotations(session: Session, since_ms: int, language: Language) -> Iterator[Annotation]:
    """Give all that goes on or has happened since a moment [ms]; what was withdrawn too, so that it is taken off.

    A notice is a point at its publication. Stops of single homes are nobody's business but theirs.
    """
    words = WORDS[language]
    outages = select(FindingRow).where(FindingRow.kind == FindingKind.HEAT_OUTAGE)
    for row in session.scalars(outages.where(or_(FindingRow.end_ms.is_(None), FindingRow.end_ms >= since_ms))):
        place = [f"building:{row.building_id}"] if row.building_id else []
        text = words.outage.format(subject=row.subject_id)
        yield Annotation(
            kind="finding",
            number=row.id,
            start_ms=row.start_ms,
            end_ms=row.end_ms,
            text=text,
            tags=("heat_outage", f"station:{row.station_id}", *place),
            withdrawn=row.withdrawn,
        )
    stops = select(ReportedStop).where(or_(ReportedStop.end_ms.is_(None), ReportedStop.end_ms >= since_ms))
    stops = stops.where(ReportedStop.subject_kind.in_([SubjectKind.STATION, SubjectKind.BUILDING]))
    for stop in session.scalars(stops):
        said = words.planned if stop.planned else words.reported
        yield Annotation(
            kind="stop",
            number=stop.id,
            start_ms=stop.start_ms,
            end_ms=stop.end_ms,
            text=said.format(subject=stop.subject_id, reason=stop.reason).strip(),
            tags=(f"station:{stop.station_id}", "planned_stop" if stop.planned else "reported_stop"),
            withdrawn=stop.withdrawn,
        )
    notices = select(NoticeRow).where(NoticeRow.state.in_(PUBLIC), NoticeRow.published_ms >= since_ms)
    for notice in session.scalars(notices):
        at_ms = notice.published_ms or 0
        kind = NoticeKind(notice.kind)
        text = words.notices[kind].format(title=notice.title)
        yield Annotation(
            kind="notice",
            number=notice.id,
            start_ms=at_ms,
            end_ms=at_ms,
            text=text,
            tags=("notice", f"station:{notice.station_id}"),
        )
