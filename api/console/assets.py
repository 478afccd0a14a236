"""The files that pages load: read once, kept in memory, under addresses that change with their content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from api.console.sending import Ready

FOLDER = Path(__file__).with_name("static")
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_IMPORT = re.compile(rb'(from "\./[\w-]+\.js)"')


@dataclass(frozen=True, slots=True)
class Assets:
    """Every file by its path, and the version that all of them are of together."""

    version: str
    files: Mapping[str, Ready]

    def address(self, path: str) -> str:
        """Return where a browser gets a file.

        Raises
        ------
        KeyError
            If there is no such file.
        """
        if path not in self.files:
            raise KeyError(path)
        return f"/static/{path}?v={self.version}"


@cache
def assets() -> Assets:
    """Read the files. What one module imports of another bears the version, too."""
    contents = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}
    version = sha256(b"".join(name.encode() + content for name, content in contents.items())).hexdigest()[:12]
    return Assets(version, {name: _asset(name, content, version) for name, content in contents.items()})


def _asset(name: str, content: bytes, version: str) -> Ready:
    sent = _IMPORT.sub(rb'\1?v=%s"' % version.encode(), content)
    return Ready.of(sent, TYPES[Path(name).suffix], level=9)
