"""Boards, held against the types of Grafana's own builder package.

Grafana passes over a key that it does not know: a typing error would show as a panel that looks otherwise, and nowhere
else. What is read into the package's types and written again has lost such keys.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

BEYOND = frozenset({"query", "textColumn", "tagsColumn", "timeEndColumn"})
"""Keys of annotations that InfluxQL's plugin has of its own."""


def unknown(board: Mapping[str, Any]) -> list[str]:
    """Return where a board has a key, or a value, that Grafana's types do not keep.

    >>> unknown({"uid": "a", "title": "b", "timezon": "utc", "panels": [{"type": "stat", "gridpos": {}}]})
    ['timezon', 'panels[0].gridpos']
    """
    plain = json.loads(json.dumps(board))
    return [path.removeprefix(".") for path in _lost(plain, _through_types(plain))]


def _through_types(board: dict[str, Any]) -> Any:
    types, encoder = _types()
    return json.loads(json.dumps(types.from_json(board), cls=encoder))


@cache
def _types() -> tuple[Any, Any]:
    """Return the type of boards and what writes it; the package has a module for every kind of panel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the format of files, which Grafana goes on to read
        from grafana_foundation_sdk.cog import plugins  # noqa: PLC0415 - only where boards are made
        from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: PLC0415 - same
        from grafana_foundation_sdk.models.dashboard import Dashboard  # noqa: PLC0415 - same

        plugins.register_default_plugins()
    return Dashboard, JSONEncoder


def _lost(before: Any, after: Any, path: str = "") -> Iterator[str]:
    match before, after:
        case dict(), dict():
            for key, value in before.items():
                if key in after:
                    yield from _lost(value, after[key], f"{path}.{key}")
                elif not (key in BEYOND and path.startswith(".annotations.list")):
                    yield f"{path}.{key}"
        case list(), list() if len(before) == len(after):
            for number, (one, other) in enumerate(zip(before, after, strict=True)):
                yield from _lost(one, other, f"{path}[{number}]")
        case _:
            if before != after:
                yield path
