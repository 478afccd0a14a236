"""What is particular to the store in one DuckDB file: it is locked, it is killed, its disk fills up."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from heatwatch.errors import Damaged, Unavailable
from heatwatch.stores import embedded
from heatwatch.stores.embedded import EmbeddedReadings
from heatwatch.stores.readings import Outcome, ReadingBatch

WRITE_WITHOUT_END = """
import sys
from itertools import count
from pathlib import Path
from heatwatch.stores.embedded import EmbeddedReadings
from tests.stores.test_embedded import some

store = EmbeddedReadings(Path(sys.argv[1]))
for n in count(store.count() // 50):
    store.write(some(n))
    print(n, flush=True)
"""


OPEN = """
import sys
from pathlib import Path
from heatwatch.stores.embedded import EmbeddedReadings

EmbeddedReadings(Path(sys.argv[1]))
"""


def some(n: int, rows: int = 50) -> ReadingBatch:
    """Return the batch number `n` of rows that are all new."""
    value = np.full(rows, 20.0)
    return ReadingBatch(
        source=[f"p{m}" for m in range(rows)],
        time_ms=np.full(rows, n, np.int64),
        temp_c=value,
        humidity_pct=value,
        battery=value,
        rssi_dbm=value,
        flags=[""] * rows,
        arrived_ms=np.full(rows, n, np.int64),
        worker="w",
        sequence=np.full(rows, n + 1, np.int64),
        position=np.arange(rows, dtype=np.int32),
    )


def test_killed_while_writing_it_has_kept_whole_batches_and_each_that_it_confirmed(tmp_path: Path) -> None:
    path = tmp_path / "readings.duckdb"
    for confirmations in (1, 40, 7):
        command = [sys.executable, "-c", WRITE_WITHOUT_END, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            confirmed = [int(child.stdout.readline()) for _ in range(confirmations)]
            child.kill()
            confirmed += [int(line) for line in child.stdout.read().splitlines()]
        with closing(EmbeddedReadings(path)) as store:
            assert store.count() in {50 * (confirmed[-1] + 1), 50 * (confirmed[-1] + 2)}
            assert set(store.read().time_ms.tolist()) >= set(confirmed)
            assert (store.write(some(confirmed[-1])).outcome == Outcome.STORED).all()


def test_another_process_is_told_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "readings.duckdb"
    with closing(EmbeddedReadings(path)):
        other = subprocess.run([sys.executable, "-c", OPEN, str(path)], capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert f"Unavailable: {path} does not answer: another process holds it; ask the running server" in other.stderr


def test_a_file_that_is_no_database_is_damaged_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "readings.duckdb"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(Damaged, match=r"readings\.duckdb"):
        EmbeddedReadings(path)
    assert path.read_bytes() == b"not a database" * 1000


def test_closed_it_does_not_answer(tmp_path: Path) -> None:
    store = EmbeddedReadings(tmp_path / "readings.duckdb")
    store.close()
    for _ in range(2):
        with pytest.raises(Unavailable):
            store.ping()


def test_a_connection_that_was_lost_is_opened_again_as_soon_as_that_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(EmbeddedReadings(tmp_path / "readings.duckdb")) as store:
        store.write(some(0))
        store._connection.close()  # as DuckDB does when the disk refuses it the file
        for refusal in (Damaged("out of memory", where="file"), OSError("too many open files")):
            with monkeypatch.context() as refused:
                refused.setattr(embedded, "_open", _refuse(refusal))
                with pytest.raises(Unavailable, match="cannot be opened again"):
                    store.count()
        with pytest.raises(Unavailable):
            store.count()
        assert store.count() == 50


def _refuse(error: Exception) -> Callable[..., NoReturn]:
    def refuse(_: Path, *, read_only: bool) -> NoReturn:
        assert not read_only
        raise error

    return refuse


def test_a_full_disk_keeps_nothing_of_the_batch_and_all_of_it_once_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "readings.duckdb"
    with closing(EmbeddedReadings(path)) as store:
        store.write(some(0))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 4096, limits[1]))
        try:
            with pytest.raises(Unavailable):
                store.write(some(1, rows=200_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert store.count() == 50
        assert (store.write(some(1, rows=200_000)).outcome == Outcome.STORED).all()
        assert store.count() == 200_050
    with closing(EmbeddedReadings(path)) as store:
        assert store.count() == 200_050


def test_opened_for_reading_only_it_shows_what_there_is_and_refuses_to_write(tmp_path: Path) -> None:
    path = tmp_path / "readings.duckdb"
    with pytest.raises(Unavailable):
        EmbeddedReadings(path, read_only=True)
    assert not path.exists()
    with closing(EmbeddedReadings(path)) as store:
        store.write(some(0))
    before = path.read_bytes()
    with closing(EmbeddedReadings(path, read_only=True)) as store:
        assert store.count() == 50
        with pytest.raises(Unavailable):
            store.write(some(1))
    assert path.read_bytes() == before
