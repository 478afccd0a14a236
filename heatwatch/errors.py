"""The error tree, one branch per thing that a caller can do about it.

::

    HeatwatchError
    ├── BadInput      mend the input: says what is wrong and where; exit code 2
    ├── Unavailable   try again later: a broker, store or database does not answer; exit code 1
    └── Damaged       stop and call someone: what we keep is not what we wrote; exit code 1
"""

from __future__ import annotations


class HeatwatchError(Exception):
    """Base of every error that heatwatch raises on purpose."""


class BadInput(HeatwatchError):  # noqa: N818 - named after what the caller can do
    """Something that a person gave us cannot be used.

    Parameters
    ----------
    what
        What is wrong, in one clause.
    where
        File, row, field or setting in which it is wrong.
    mend
        What to do about it; empty when `what` says it already.
    """

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        self.what, self.where, self.mend = what, where, mend
        message = f"{where}: {what}" if where else what
        super().__init__(f"{message} ({mend})" if mend else message)


class Unavailable(HeatwatchError):  # noqa: N818
    """A peer (broker, store, database) does not answer; the same call may succeed later."""

    def __init__(self, peer: str, why: str) -> None:
        self.peer, self.why = peer, why
        super().__init__(f"{peer} does not answer: {why}")


class Damaged(HeatwatchError):  # noqa: N818
    """Something that we keep is not what we wrote."""

    def __init__(self, what: str, *, where: str) -> None:
        self.what, self.where = what, where
        super().__init__(f"{where}: {what}")
