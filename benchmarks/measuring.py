"""What a figure is, and how two ways of doing the same are timed against each other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Figure:
    """A rate of ours beside one of a peer.

    Attributes
    ----------
    name, unit
        What is done, and what is counted.
    ours, peer
        Rates, or shares of a core where `less_is_better`.
    peer_name
        What the peer is.
    less_is_better
        Whether the ratio is turned round.
    note
        What else has to be known.
    """

    name: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    less_is_better: bool = False
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times better ours is than the peer."""
        return self.peer / self.ours if self.less_is_better else self.ours / self.peer

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines, ratio first."""
        return {"ratio": self.ratio, **asdict(self)}


def rates(ways: Mapping[str, Callable[[], int]]) -> dict[str, float]:
    """Return for each way how much it does in a second: the median of three rounds, the ways in turn."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            began_s = time.perf_counter()
            count = way()
            found[name].append(count / (time.perf_counter() - began_s))
    return {name: statistics.median(each) for name, each in found.items()}


def core_share(work: Callable[[], object]) -> float:
    """Return how much of one core this process takes while something goes on."""
    began_s, used_s = time.perf_counter(), time.process_time()
    work()
    return (time.process_time() - used_s) / (time.perf_counter() - began_s)


def table(figures: Sequence[Figure]) -> str:
    """Write figures as a table of Markdown, ratios first."""
    lines = ["| times | what | ours | peer |", "|---:|---|---:|---|"]
    for one in figures:
        note = f"; {one.note}" if one.note else ""
        lines.append(
            f"| {_short(one.ratio)} | {one.name}{note} | {_short(one.ours)} {one.unit} "
            f"| {_short(one.peer)} {one.unit}: {one.peer_name} |"
        )
    return "\n".join(lines)


def _short(number: float) -> str:
    if number >= 100:  # noqa: PLR2004 - three digits say enough
        return f"{float(f'{number:.3g}'):,.0f}"
    return f"{number:.3g}"
