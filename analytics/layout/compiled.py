"""Compiled loops, with their types kept: numba publishes none, so this is the one module that imports it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of arrays and numbers at its first call; the machine code is kept on disk.

    It lets go of the interpreter's lock, so that threads judge side by side, and keeps to IEEE 754 (no
    reordering of sums), so that every machine finds the same.
    """
    try:
        return cast("Callable[P, R]", numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # nowhere to keep the machine code: neither beside the module nor in a home folder
        return cast("Callable[P, R]", numba.njit(nogil=True)(function))
