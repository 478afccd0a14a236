"""The journal keeps what it confirmed: through cuts at any byte, kills, full disks; and says where it is damaged."""

from __future__ import annotations

import itertools
import logging
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heatwatch.errors import BadInput, Damaged, Unavailable
from ingest.journal import Entry, Journal, Message

MANY = 1 << 30

APPEND_WITHOUT_END = """
import sys
from pathlib import Path
from ingest.journal import Journal, Message

with Journal(Path(sys.argv[1]), limit_bytes=1 << 30, segment_bytes=2000) as journal:
    while True:
        n = journal.last_sequence + 1
        print(journal.append([Message(b"t", b"%d" % m, m) for m in range(n, n + 3)]), flush=True)
"""

MESSAGES = st.builds(
    Message,
    topic=st.binary(max_size=30),
    payload=st.binary(max_size=80) | st.just(b"\xf5HWR" * 9),
    arrived_ms=st.integers(-(2**63), 2**63 - 1),
    retained=st.booleans(),
    repeated=st.booleans(),
)
GROUPS = st.lists(st.lists(MESSAGES, min_size=1, max_size=4), min_size=1, max_size=6)


def message(n: int, size: int = 0) -> Message:
    return Message(b"heat/s/b/p/reading", f"{n}".encode() + b" " * size, n)


def numbers(entries: list[Entry]) -> list[int]:
    """Return the sequences of messages made by `message`, having checked each against its payload."""
    assert [entry.sequence for entry in entries] == [int(entry.message.payload) for entry in entries]
    return [entry.sequence for entry in entries]


def everything(journal: Journal, start: int = 1) -> list[Entry]:
    entries = list[Entry]()
    while more := journal.read_from(start + len(entries), 1000):
        entries += more
    return entries


def newest(folder: Path) -> Path:
    return max(folder.glob("*.journal"))


def test_sequences_begin_at_one_and_what_is_appended_is_read(tmp_path: Path) -> None:
    with Journal(tmp_path, limit_bytes=MANY) as journal:
        assert journal.last_sequence == 0
        assert journal.read_from(1, 10) == []
        assert journal.append([message(1), message(2)]) == 2
        assert journal.append([message(3)]) == 3
        assert numbers(journal.read_from(1, 2)) == [1, 2]
        assert numbers(journal.read_from(3, 2)) == [3]
        assert numbers(journal.read_from(2, 9)) == [2, 3]
        assert numbers(journal.read_from(1, 9, until=lambda one: one.payload == b"2")) == [1, 2]
        assert numbers(journal.read_from(3, 9)) == [3]
        assert journal.read_from(4, 9) == []


@settings(max_examples=50, deadline=None)
@given(GROUPS, st.integers(100, 2000))
def test_whatever_was_appended_comes_back_as_it_was_also_after_reopening(
    groups: list[list[Message]], segment_bytes: int
) -> None:
    flat = [Entry(n, one) for n, one in enumerate(itertools.chain(*groups), start=1)]
    with TemporaryDirectory() as name:
        with Journal(Path(name), limit_bytes=MANY, segment_bytes=segment_bytes) as journal:
            for group in groups:
                journal.append(group)
            assert everything(journal) == flat
        with Journal(Path(name), limit_bytes=MANY, segment_bytes=segment_bytes) as journal:
            assert journal.last_sequence == len(flat)
            assert everything(journal) == flat


def test_cut_at_any_byte_it_keeps_the_whole_messages_before_and_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = tmp_path / "whole"
    with Journal(whole, limit_bytes=MANY) as journal:
        ends = [journal.size_bytes]
        for n in range(1, 7, 2):
            journal.append([message(n)])
            ends.append(journal.size_bytes)
            journal.append([message(n + 1, size=n)])
            ends.append(journal.size_bytes)
    for size in range(ends[0], ends[-1] + 1):
        cut = tmp_path / "cut"
        shutil.copytree(whole, cut)
        os.truncate(newest(cut), size)
        caplog.clear()
        with Journal(cut, limit_bytes=MANY) as journal:
            left = sum(end <= size for end in ends[1:])
            assert journal.last_sequence == left
            assert ("half written" in caplog.text) == (size not in ends)
            assert journal.append([message(left + 1)]) == left + 1
            assert numbers(everything(journal)) == list(range(1, left + 2))
        shutil.rmtree(cut)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_a_power_cut_left_of_the_last_group_never_harms_those_before(data: st.DataObject) -> None:
    """Of a group that was not flushed any block may be missing: zeros, old bytes, nothing."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        with Journal(folder, limit_bytes=MANY) as journal:
            journal.append([message(1), message(2, 20), message(3)])
            flushed = journal.size_bytes
            journal.append([message(4), message(5, 20), message(6)])
        raw = bytearray(newest(folder).read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(flushed, len(raw) - 1))
            raw[at : at + 8] = data.draw(st.binary(max_size=8))
        newest(folder).write_bytes(raw)
        with Journal(folder, limit_bytes=MANY) as journal:
            assert 3 <= journal.last_sequence <= 6
            assert numbers(everything(journal)) == list(range(1, journal.last_sequence + 1))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damage_before_the_last_group_is_named_with_its_place(data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        with Journal(folder, limit_bytes=MANY) as journal:
            begin = journal.size_bytes
            ends = [begin]
            for n in range(1, 5):
                journal.append([message(n)])
                ends.append(journal.size_bytes)
        raw = bytearray(newest(folder).read_bytes())
        at = data.draw(st.integers(begin, ends[3] - 1))
        raw[at] ^= data.draw(st.integers(1, 255))
        newest(folder).write_bytes(raw)
        start = max(end for end in ends if end <= at)
        with pytest.raises(Damaged, match=f"00001.journal, byte {start}: "):
            Journal(folder, limit_bytes=MANY)
        assert newest(folder).read_bytes() == raw


def test_a_payload_cannot_hold_a_record_of_its_own_making(tmp_path: Path) -> None:
    """A torn message whose payload is a copy of the journal is still no more than a torn message."""
    with Journal(tmp_path, limit_bytes=MANY) as journal:
        journal.append([message(1)])
        other = tmp_path / "other"
        with Journal(other, limit_bytes=MANY) as copied:
            copied.append([message(n) for n in range(1, 9)])
        journal.append([Message(b"t", newest(other).read_bytes() * 3, 0)])
    os.truncate(newest(tmp_path), newest(tmp_path).stat().st_size - 5)
    with Journal(tmp_path, limit_bytes=MANY) as journal:
        assert journal.last_sequence == 1


def test_damage_in_an_older_segment_is_found_when_it_is_read(tmp_path: Path) -> None:
    with Journal(tmp_path, limit_bytes=MANY, segment_bytes=200) as journal:
        for n in range(1, 21):
            journal.append([message(n)])
    oldest, second = sorted(tmp_path.glob("*.journal"))[:2]
    raw = bytearray(oldest.read_bytes())
    raw[-1] ^= 1
    oldest.write_bytes(raw)
    with Journal(tmp_path, limit_bytes=MANY, segment_bytes=200) as journal:
        good = len(journal.read_from(1, 100))
        assert good == int(second.stem) - 2
        with pytest.raises(Damaged, match=f"{oldest.name}, byte"):
            journal.read_from(good + 1, 100)
        assert numbers(everything(journal, int(second.stem)))[-1] == 20


def test_a_segment_without_its_header_and_a_missing_one_are_damage(tmp_path: Path) -> None:
    with Journal(tmp_path, limit_bytes=MANY, segment_bytes=200) as journal:
        for n in range(1, 21):
            journal.append([message(n)])
    oldest = min(tmp_path.glob("*.journal"))
    oldest.rename(tmp_path / "elsewhere")
    with Journal(tmp_path, limit_bytes=MANY) as journal, pytest.raises(Damaged, match="message 1 is not there"):
        journal.read_from(1, 1)
    newest(tmp_path).write_bytes(b"HWJ1")
    with pytest.raises(Damaged, match="byte 0: no segment of a journal"):
        Journal(tmp_path, limit_bytes=MANY)


def test_sequences_go_on_when_all_before_is_forgotten(tmp_path: Path) -> None:
    with Journal(tmp_path, limit_bytes=MANY, segment_bytes=200) as journal:
        for n in range(1, 21):
            journal.append([message(n)])
        segments = sorted(int(path.stem) for path in tmp_path.glob("*.journal"))
        journal.forget(segments[2] - 2)
        assert sorted(int(path.stem) for path in tmp_path.glob("*.journal")) == segments[1:]
        assert numbers(everything(journal, segments[1])) == list(range(segments[1], 21))
        journal.forget(20)
        assert [int(path.stem) for path in tmp_path.glob("*.journal")] == segments[-1:]
        assert journal.size_bytes == newest(tmp_path).stat().st_size
    with Journal(tmp_path, limit_bytes=MANY) as journal:
        assert journal.last_sequence == 20
        assert journal.append([message(21)]) == 21


def test_killed_while_appending_it_has_all_that_it_confirmed(tmp_path: Path) -> None:
    confirmed = 0
    for confirmations in (1, 200, 33):
        command = [sys.executable, "-c", APPEND_WITHOUT_END, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(confirmations):
                confirmed = int(child.stdout.readline())
            child.kill()
            for line in child.stdout.read().split():
                confirmed = int(line)
        with Journal(tmp_path, limit_bytes=MANY) as journal:
            assert confirmed <= journal.last_sequence <= confirmed + 3
            assert numbers(everything(journal)) == list(range(1, journal.last_sequence + 1))


def test_a_disk_that_refuses_leaves_it_as_it_was(tmp_path: Path) -> None:
    with Journal(tmp_path, limit_bytes=MANY) as journal:
        journal.append([message(1)])
        size = newest(tmp_path).stat().st_size
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, limits[1]))
        try:
            with pytest.raises(Unavailable, match="File too large"):
                journal.append([message(2), message(3, size=100)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert newest(tmp_path).stat().st_size == size
        assert journal.append([message(2)]) == 2
        assert numbers(everything(journal)) == [1, 2]


@contextmanager
def no_more_files() -> Iterator[None]:
    """Let this process open no file during the block."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_process_that_may_open_no_more_files_is_told_to_try_again(tmp_path: Path) -> None:
    with Journal(tmp_path, limit_bytes=MANY, segment_bytes=200) as journal:
        for n in range(1, 21):
            journal.append([message(n)])
        with no_more_files():
            for refused in (
                lambda: journal.read_from(1, 9),
                lambda: journal.forget(20),
                lambda: journal.append([message(21, size=200)]) and journal.append([message(22)]),
                lambda: Journal(tmp_path / "other", limit_bytes=MANY),
            ):
                with pytest.raises(Unavailable, match="Too many open files"):
                    refused()
        after = journal.last_sequence
        assert journal.append([message(after + 1)]) == after + 1
        journal.forget(after)
        assert numbers(everything(journal, after + 1)) == [after + 1]


def test_a_segment_that_was_taken_away_is_damage(tmp_path: Path) -> None:
    with Journal(tmp_path, limit_bytes=MANY) as journal:
        journal.append([message(1)])
        newest(tmp_path).unlink()
        with pytest.raises(Damaged, match="is missing"):
            journal.read_from(1, 1)


def test_a_file_that_is_named_as_no_segment_is_damage(tmp_path: Path) -> None:
    (tmp_path / "copy.journal").write_bytes(b"")
    with pytest.raises(Damaged, match="not named as a segment"):
        Journal(tmp_path, limit_bytes=MANY)


@pytest.mark.parametrize("below", [".", "below"])
def test_a_file_where_its_folder_should_be_is_bad_input(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="a file is where"):
        Journal(tmp_path / "file" / below, limit_bytes=MANY)


def test_it_warns_at_nine_tenths_and_is_full_before_its_bound(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    limit = 100_000
    with Journal(tmp_path, limit_bytes=limit) as journal:
        while not journal.full:
            assert not caplog.records
            journal.append([message(journal.last_sequence + 1, size=1000)])
        assert journal.size_bytes + journal.group_bytes > limit
        while journal.size_bytes < 0.95 * limit:
            journal.append([message(journal.last_sequence + 1, size=1000)])
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        journal.forget(journal.last_sequence)
        assert not journal.full


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with Journal(tmp_path, limit_bytes=MANY), pytest.raises(Unavailable, match="another process"):
        Journal(tmp_path, limit_bytes=MANY)
    Journal(tmp_path, limit_bytes=MANY).close()


def test_a_reader_sees_each_message_once_and_in_order_while_another_thread_appends(tmp_path: Path) -> None:
    with Journal(tmp_path, limit_bytes=MANY, segment_bytes=3000) as journal:

        def append() -> None:
            for n in range(1, 2001, 4):
                journal.append([message(m) for m in range(n, n + 4)])

        thread = threading.Thread(target=append)
        thread.start()
        seen = list[int]()
        while len(seen) < 2000:
            journal.wait(len(seen), 1)
            seen += numbers(journal.read_from(len(seen) + 1, 50))
            journal.forget(len(seen))
        thread.join()
        assert seen == list(range(1, 2001))
        assert len(list(tmp_path.glob("*.journal"))) <= 2
