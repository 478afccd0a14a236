"""What becomes of a row: stored, a duplicate or a conflict, by what is kept already and by what came before it (R8)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from heatwatch.stores.readings import Bools, Float64, Int8, Outcome, ReadingBatch


def settle(batch: ReadingBatch, known: dict[str, Any]) -> tuple[Int8, Bools]:
    """Return each row's outcome, and whether it was kept before under its own birth certificate.

    `known` holds a row for each pair of an incoming row and a kept one of the same source and time.
    """
    row, temp_c = known["row"], np.asarray(batch.temp_c, np.float64)
    same = _equal(known["temp_c"], temp_c[row])
    born = same & known["born"]
    again, contested = repeats(batch)
    contested[row] = True
    again[row[same]] = True
    kept_before = np.zeros(len(batch), bool)
    kept_before[row[born]] = True
    outcome = np.where(again, Outcome.DUPLICATE, np.where(contested, Outcome.CONFLICT, Outcome.STORED)).astype(np.int8)
    outcome[row[born]] = np.where(known["conflict"][born], Outcome.CONFLICT, Outcome.STORED)
    return outcome, kept_before


def repeats(batch: ReadingBatch) -> tuple[Bools, Bools]:
    """Mark rows whose source, time and value, and those whose source and time, came earlier in the batch."""
    again, contested = np.zeros(len(batch), bool), np.zeros(len(batch), bool)
    if len(set(zip(batch.source, batch.time_ms.tolist(), strict=True))) < len(batch):
        key = {"source": batch.source, "time_ms": batch.time_ms}
        birth = {"sequence": batch.sequence, "position": batch.position}
        rows = pd.DataFrame({**key, "temp_c": batch.temp_c, **birth}).sort_values([*birth])
        again[rows.index] = rows.duplicated([*key, "temp_c"])
        contested[rows.index] = rows.duplicated([*key])
    return again, contested


def _equal(left: Float64, right: Float64) -> Bools:
    both_missing: Bools = np.isnan(left) & np.isnan(right)
    same: Bools = (left == right) | both_missing
    return same
