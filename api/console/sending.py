"""Answers that are kept ready: packed once, and not sent again to who has them."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

_FAST = 1


@dataclass(frozen=True, slots=True)
class Ready:
    """An answer as it is sent, plain and under gzip, and the tag by which a browser knows it again."""

    content: bytes
    packed: bytes
    media_type: str
    tag: str

    @classmethod
    def of(cls, content: bytes, media_type: str, level: int = _FAST) -> Ready:
        """Make an answer ready; packed at a level of gzip."""
        tag = f'"{sha256(content).hexdigest()[:16]}"'
        return cls(content, gzip.compress(content, level, mtime=0), media_type, tag)

    def send(self, request: Request, headers: Mapping[str, str]) -> Response:
        """Answer, as short as who asks allows."""
        said = {"ETag": self.tag, "Vary": "Accept-Encoding, Cookie", **headers}
        if self.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=said)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self.packed, media_type=self.media_type, headers={**said, "Content-Encoding": "gzip"})
        return Response(self.content, media_type=self.media_type, headers=said)
