"""YAML of which every value knows its line: one clear error with file, line and field, whatever is wrong.

Only what a person needs in a small file is understood: mappings, lists, texts, numbers, true, false and nothing. Times
and spans stay text. Aliases and tags are refused, and so is a key that stands twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from heatwatch.errors import BadInput

Path = tuple[str | int, ...]
"""Where in a file a value stands: keys and numbers from 0."""

_WHOLE = re.compile(r"[+-]?\d{1,19}")
_NUMBER = re.compile(r"[+-]?(\d{1,18}(\.\d{0,24})?|\.\d{1,24})([eE][+-]?\d{1,3})?")
_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")}


@dataclass(frozen=True, slots=True)
class Marked:
    """What a file says, and where.

    Attributes
    ----------
    where
        Names the file in errors.
    value
        What it says.
    lines
        The line, from 1, of each value: of its key, where it has one.
    """

    where: str
    value: Any
    lines: Mapping[Path, int]

    def error(self, path: Path, what: str, mend: str = "") -> BadInput:
        """Return the error that something at `path` is wrong."""
        known = next((path[:length] for length in range(len(path), -1, -1) if path[:length] in self.lines), ())
        place = f"{self.where}, line {self.lines.get(known, 1)}"
        field = ".".join(map(str, path))
        return BadInput(f"{field}: {what}" if field else what, where=place, mend=mend)


def read_marked(text: str, where: str) -> Marked:
    r"""Read YAML.

    Parameters
    ----------
    text
        The file's.
    where
        Names it in errors.

    Raises
    ------
    BadInput
        If it is no YAML, or none that is understood here.

    Examples
    --------
    >>> read_marked("events:\n  - stuck: {at: 2h}\n", "a.yaml").lines[("events", 0, "stuck", "at")]
    2
    """
    lines: dict[Path, int] = {}
    try:
        root = _Composer(text).get_single_node()
        value = None if root is None else _value(root, (), lines, where)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{where}, line {mark.line + 1}" if mark else where
        raise BadInput(f"not valid YAML: {error.problem}", where=place) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"not valid YAML: {' '.join(str(error).split())}", where=where) from error
    return Marked(where, value, lines)


class _Composer(yaml.BaseLoader):
    """Composes nodes, but for aliases: nobody needs them here, and a few lines of them make a million values."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not understood here", mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


def _value(node: yaml.Node, path: Path, lines: dict[Path, int], where: str) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if node.tag not in _TAGS:
        raise BadInput(f"the tag {node.tag} is not understood here", where=f"{where}, line {line}")
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return [_value(one, (*path, at), lines, where) for at, one in enumerate(node.value)]
    value: dict[str, Any] = {}
    for key, one in node.value:
        place = f"{where}, line {key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise BadInput("a key must be a word", where=place)
        if key.value in value:
            field = ".".join(map(str, (*path, key.value)))
            raise BadInput(f"{field} stands there twice", where=place, mend="leave one of them")
        lines[*path, key.value] = key.start_mark.line + 1
        value[key.value] = _value(one, (*path, key.value), lines, where)
    return value


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.style is not None:
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
