"""What differs between what is in a Grafana and what is to be there, place by place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SHOWN = 60
"""How much of a value is shown [characters]."""
WAITS = {"for", "keep_firing_for", "group_wait", "group_interval", "repeat_interval"}
"""Keys whose values are spans of time: Grafana gives 90s back as 1m30s."""
GIVEN = {"intervalMs": 1000, "maxDataPoints": 43200}
"""What Grafana adds to the queries of rules."""
UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}


@dataclass(frozen=True, slots=True)
class Difference:
    """A place, as in ``panels[0].title``, with what is there and what is to be; None for nothing."""

    path: str
    was: Any
    becomes: Any

    def __str__(self) -> str:
        return f"{self.path or '.'}: {_short(self.was)} -> {_short(self.becomes)}"


def differences(was: Any, becomes: Any, *, verbatim: bool = False) -> list[Difference]:
    """Return the places where two things differ.

    What is empty, zero or false is as good as nothing, since Grafana gives back keys that were never sent, with such
    values; in what it keeps `verbatim`, as boards, zero and false are values like others.

    >>> [str(each) for each in differences({"a": [1, 2], "for": "60s"}, {"a": [1, 3], "b": "", "for": "1m"})]
    ['a[1]: 2 -> 3']
    """
    return list(_differences(was, becomes, "", verbatim=verbatim))


def _differences(was: Any, becomes: Any, path: str, *, verbatim: bool) -> Iterator[Difference]:
    if _is_nothing(was, verbatim=verbatim) and _is_nothing(becomes, verbatim=verbatim):
        return
    if isinstance(was, Mapping) and isinstance(becomes, Mapping):
        for key in [*becomes, *(key for key in was if key not in becomes)]:
            theirs, ours = was.get(key), becomes.get(key)
            if key in WAITS and not verbatim:
                theirs, ours = _span(theirs), _span(ours)
            if verbatim or key in becomes or GIVEN.get(key) != theirs:
                yield from _differences(theirs, ours, f"{path}.{key}" if path else str(key), verbatim=verbatim)
    elif _is_list(was) and _is_list(becomes) and len(was) == len(becomes):
        for number, (theirs, ours) in enumerate(zip(was, becomes, strict=True)):
            yield from _differences(theirs, ours, f"{path}[{number}]", verbatim=verbatim)
    elif was != becomes or isinstance(was, bool) != isinstance(becomes, bool):
        yield Difference(path, was, becomes)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_nothing(value: Any, *, verbatim: bool) -> bool:
    """Whether a value is what Grafana says of a key that was never set."""
    if isinstance(value, Mapping):
        return all(_is_nothing(each, verbatim=verbatim) for each in value.values())
    if verbatim:
        return value is None or value == "" or (_is_list(value) and not value)
    return not value or value == "0s"


def _span(value: Any) -> Any:
    """Return a span of time in its shortest spelling, other values as they are."""
    if not isinstance(value, str) or not re.fullmatch(r"(\d+(ms|[smhdwy]))+", value):
        return value
    left_ms = sum(int(count) * UNITS_MS[unit] for count, unit in re.findall(r"(\d+)(ms|[smhdwy])", value))
    spelled = ""
    for unit, unit_ms in sorted(UNITS_MS.items(), key=lambda each: -each[1]):
        count, left_ms = divmod(left_ms, unit_ms)
        spelled += f"{count}{unit}" if count else ""
    return spelled or "0s"


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    if _is_list(value):
        return f"{len(value)} items" if len(value) != 1 else "1 item"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
