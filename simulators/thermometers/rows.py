"""Rows of what is sent, as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.arrays import Bool, Int64

Rows = Mapping[str, NDArray[Any]]
"""Columns of one length by their names."""


def where(rows: Rows, chosen: Bool | Int64 | slice) -> Rows:
    """Return some of the rows."""
    return {name: values[chosen] for name, values in rows.items()}


def joined(parts: Sequence[Rows]) -> Rows:
    """Return the rows of parts that have the same columns, one part after the other; at least one part."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def merged(first: Rows, second: Rows, keys: tuple[Int64, Int64]) -> Rows:
    """Return the rows of both by their keys; each is in order already, and of equal keys the first goes first."""
    if not keys[1].size:
        return first
    order = np.argsort(np.concatenate(keys), kind="stable")
    return where(joined([first, second]), order)
