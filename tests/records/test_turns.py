"""Turns at writing readings: one at a time, and each learns whether somebody else was there."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import closing

import pytest
from sqlalchemy import text

from heatwatch.errors import Unavailable
from heatwatch.records.database import Records
from heatwatch.usecases import turns as module
from heatwatch.usecases.turns import turns

TAKE = """
import sys
from heatwatch.records.database import Records
from heatwatch.usecases.turns import turns

with turns(Records(sys.argv[1]), "other")() as others:
    print(others, flush=True)
    sys.stdin.read()
"""


def test_the_first_turn_and_one_after_anothers_may_meet_what_is_new(records: Records) -> None:
    one, other = turns(records, "ingest-1"), turns(records, "ingest-1")
    told = []
    for turn in (one, one, other, other, one, one):
        with turn() as others:
            told.append(others)
    assert told == [True, False, True, False, True, False]


def test_two_never_have_it_at_once(records: Records, url: str) -> None:
    """Neither threads of one process nor those of two."""
    inside, most = [0], [0]
    watch = threading.Lock()
    with closing(Records(url)) as second:
        kinds = [turns(records, "a"), turns(second, "b")]

        def work(number: int) -> None:
            for _ in range(6):
                with kinds[number % 2]():
                    with watch:
                        inside[0] += 1
                        most[0] = max(most[0], inside[0])
                    with watch:
                        inside[0] -= 1

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most == [1]


def test_who_dies_with_the_turn_lets_it_go_and_is_known_to_have_had_it(
    records: Records, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = turns(records, "a")
    with mine():
        pass
    command = [sys.executable, "-c", TAKE, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "True\n"
        monkeypatch.setattr(module, "WAIT_S", 1.0)
        with pytest.raises(Unavailable), mine():
            pass
        child.kill()
    with mine() as others:
        assert others
    with mine() as others:
        assert not others


def test_what_goes_wrong_inside_comes_out_and_the_turn_is_free(records: Records) -> None:
    mine = turns(records, "a")
    with pytest.raises(Unavailable, match="InfluxDB"), mine():
        raise Unavailable("InfluxDB", "slow")
    with mine() as others:
        assert not others


def test_a_turn_that_was_lost_is_told(records: Records) -> None:
    """A server of the records that is started again lets every lock go: what was written meanwhile is in doubt."""
    if records.engine.dialect.name == "sqlite":
        return
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid() AND datname = "
    with pytest.raises(Unavailable, match="records"), turns(records, "a")(), records.engine.connect() as connection:
        connection.execute(text(f"{end} current_database()"))
