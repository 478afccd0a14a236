"""What happened to documents after they were issued: they are never altered, lines beside them say what became of them.

Documents are public notices; whatever else is published is to be noted in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from heatwatch.records.schema import DocumentEvent

NOTICE = "notice"


def note_document(
    session: Session, document: str, document_id: int, at_ms: int, kind: str, detail: Mapping[str, Any]
) -> None:
    """Add a line to what happened to a document."""
    session.add(DocumentEvent(document=document, document_id=document_id, at_ms=at_ms, kind=kind, detail=dict(detail)))


def document_log(session: Session, document: str, document_id: int) -> Sequence[DocumentEvent]:
    """Return what happened to a document, in order."""
    mine = select(DocumentEvent).where(DocumentEvent.document == document, DocumentEvent.document_id == document_id)
    return session.scalars(mine.order_by(DocumentEvent.id)).all()
