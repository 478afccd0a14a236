"""Within what the numbers of a town make sense."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import Any

from heatwatch.errors import BadInput


def refuse_senseless(made: Any, where: str, *, shares: Collection[str] = (), not_below_0: Collection[str] = ()) -> None:
    """Refuse a dataclass in which a share is none, or a number below 0 that cannot be.

    Parameters
    ----------
    made
        Its fields whose names end in ``share``, and `shares`, lie between 0 and 1.
    where
        What it is part of, for the error.
    shares, not_below_0
        Names of fields.

    Raises
    ------
    BadInput
        Naming the field.
    """
    for field in fields(made):
        name, value = field.name, getattr(made, field.name)
        if (name.endswith("share") or name in shares) and not 0.0 <= value <= 1.0:
            raise BadInput(f"{name} is {value}, not between 0 and 1", where=where)
        if name in not_below_0 and not value >= 0.0:
            raise BadInput(f"{name} is {value}, below 0", where=where)
