"""A change of one thing in a Grafana, and how to tell one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote

from dashboards.model import Json, Secret
from dashboards.push.client import Grafana
from dashboards.push.differences import Difference
from heatwatch.errors import BadInput

PROVISIONING = "/v1/provisioning"
HIDDEN = "(secret)"
"""What is told of a secret."""
BY_FILE = "is provisioned by a file of that Grafana"
_BY_FILE_MEND = "change it there: `heatwatch dashboards render` writes such files"

Secrets = Callable[[Secret], str]
"""Reads a secret from its file."""


class Action(StrEnum):
    """What is done to a thing."""

    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    REMOVE = "remove"


class Kind(StrEnum):
    """What a thing is."""

    FOLDER = "folder"
    SOURCE = "data source"
    BOARD = "board"
    TEMPLATE = "template"
    RECEIVER = "contact point"
    MUTE_TIME = "mute time"
    POLICY = "policy"
    GROUP = "rule group"
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing of ours, and what is done to it.

    Attributes
    ----------
    name
        Its uid, or its name where it has none.
    differences
        Where it differs; empty for what is created or removed. Secrets are not in it.
    needs
        Secrets that it sends.
    do
        Does it.
    """

    kind: Kind
    name: str
    action: Action
    differences: tuple[Difference, ...] = ()
    needs: tuple[Secret, ...] = ()
    do: Callable[[], object] = field(default=lambda: None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Site:
    """Where a set is to be brought.

    Attributes
    ----------
    secrets
        Asked only for what is sent.
    anew
        Whether secrets that Grafana has already are sent again. It never shows them, so that nobody sees whether they
        differ.
    """

    grafana: Grafana
    secrets: Secrets
    anew: bool = False

    def told(self, secret: Secret) -> str:
        """Read a secret, and keep it out of errors."""
        word = self.secrets(secret)
        self.grafana.hide(word)
        return word


def created(kind: Kind, name: str, do: Callable[[], object], *, needs: Iterable[Secret] = ()) -> Change:
    """Return the change that makes a thing."""
    return Change(kind, name, Action.CREATE, needs=tuple(needs), do=do)


def updated(
    kind: Kind,
    name: str,
    found: list[Difference],
    do: Callable[[], object],
    *,
    by_file: bool,
    needs: Iterable[Secret] = (),
) -> Change:
    """Return the change that mends differences, if there are any.

    Raises
    ------
    BadInput
        If there are, and a file of that Grafana keeps the thing.
    """
    if not found:
        return Change(kind, name, Action.UNCHANGED)
    if by_file:
        raise BadInput(BY_FILE, where=f"{kind} {name}", mend=_BY_FILE_MEND)
    return Change(kind, name, Action.UPDATE, tuple(found), tuple(needs), do)


def removed(kind: Kind, name: str, do: Callable[[], object], *, by_file: bool) -> Change:
    """Return the change that takes a thing away.

    Raises
    ------
    BadInput
        If a file of that Grafana keeps it.
    """
    if by_file:
        raise BadInput(BY_FILE, where=f"{kind} {name}", mend=_BY_FILE_MEND)
    return Change(kind, name, Action.REMOVE, do=do)


def kept_by_file(theirs: Json) -> bool:
    """Whether something else than a person or the HTTP interface keeps a thing of Grafana's alerting."""
    return theirs.get("provenance") not in {None, "", "api"}


def not_ours(kind: Kind, name: str, why: str) -> BadInput:
    """Return the error for a thing that has our name and is someone else's."""
    return BadInput(f"is there and is not ours: {why}", where=f"{kind} {name}", mend="rename or remove it in Grafana")


def quoted(name: str) -> str:
    """Return a name as a part of a path."""
    return quote(name, safe="")
