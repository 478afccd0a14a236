"""What is found now and was not before: rows that stand elsewhere in the table are not news."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analytics.found import _missing_in

ROW = np.dtype([("subject", np.int32), ("open", np.bool_), ("start", np.int64)])
ROWS = st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 2)), max_size=8)


@given(ROWS, ROWS)
def test_the_rows_that_are_nowhere_among_the_others_are_found_in_order(
    rows: list[tuple[int, bool, int]], others: list[tuple[int, bool, int]]
) -> None:
    found = _missing_in(np.array(rows, ROW), np.array(others, ROW)).tolist()
    assert found == [row for row in rows if row not in others]
