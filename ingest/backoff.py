"""How long to wait before trying again."""

from __future__ import annotations

import random


class Backoff:
    """Waits that double up to a cap, each shortened at random by up to a half so that a fleet does not march in step.

    Parameters
    ----------
    first_s, cap_s
        The first wait and the longest one, before shortening [s].
    """

    def __init__(self, first_s: float = 0.1, cap_s: float = 10.0) -> None:
        self._first_s, self._cap_s = first_s, cap_s
        self._failures = 0

    def next_s(self) -> float:
        """Return the next wait [s]."""
        longest = min(self._cap_s, self._first_s * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def reset(self) -> None:
        """Begin again with the first wait: something went well."""
        self._failures = 0
