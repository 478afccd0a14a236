"""People and keys in the records: no secret is kept, what has ended lets nobody in, and all is in the audit trail."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select

from heatwatch.domain.instants import DAY_MS, HOUR_MS
from heatwatch.domain.people import OF_STATIONS, Person, Role
from heatwatch.errors import BadInput, Unavailable
from heatwatch.records.database import Records
from heatwatch.records.schema import ApiToken, AuditEntry, SignedIn, UserRow
from heatwatch.usecases import people
from heatwatch.usecases.people import (
    FAILURES_MAX,
    FAILURES_WITHIN_MS,
    NAMES_REMEMBERED,
    TOKEN_PREFIX,
    Change,
    Door,
    add_user,
    change_user,
    make_token,
    person_named,
    person_of_session,
    person_of_token,
    revoke_token,
    sign_in,
    sign_out,
)

T0 = 1764028800000
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
PASSWORD = "correct horse battery"  # noqa: S105 - of nobody


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let argon2 take less time than it should."""
    monkeypatch.setattr(people, "_HASHER", QUICK)
    people._nobody.cache_clear()
    yield
    people._nobody.cache_clear()


def add(records: Records, name: str = "wang", change: Change | None = None) -> Person:
    said = Change(role=Role.DISPATCH, password=PASSWORD) if change is None else change
    with records.write() as session:
        return add_user(session, name, said, by="boss", now_ms=T0)


def amend(records: Records, change: Change, name: str = "wang") -> Person:
    with records.write() as session:
        return change_user(session, name, change, by="boss", now_ms=T0 + 1)


def enter(records: Records, password: str = PASSWORD, name: str = "wang", now_ms: int = T0) -> str:
    secret = sign_in(records, Door(), name, password, now_ms=now_ms, hours=12)
    assert secret is not None
    return secret


def whose(records: Records, secret: str, now_ms: int = T0) -> Person | None:
    with records.read() as session:
        return person_of_session(session, secret, now_ms)


class TestUsers:
    """Who is known."""

    def test_have_the_stations_that_they_were_given(self, records: Records) -> None:
        change = Change(role=Role.STATION, stations=["s2", "s1", "s2"], display_name="王")
        assert add(records, change=change) == Person("wang", "王", Role.STATION, frozenset({"s1", "s2"}))
        assert add(records, "li", Change(role=Role.VIEWER)) == Person("li", "li", Role.VIEWER, None)
        assert amend(records, Change(role=Role.COMPANY, stations=())).stations is None

    @pytest.mark.parametrize("role", sorted(OF_STATIONS))
    def test_of_stations_need_one(self, records: Records, role: Role) -> None:
        with pytest.raises(BadInput, match="needs at least one station"):
            add(records, change=Change(role=role))
        add(records)
        with pytest.raises(BadInput, match="needs at least one station"):
            amend(records, Change(role=role))

    @pytest.mark.parametrize("name", ["", " wang", "wang\n", "wa\0ng", "w" * 65, "heatwatch", "HeatWatch"])
    def test_have_names_that_can_be_read(self, records: Records, name: str) -> None:
        with pytest.raises(BadInput):
            add(records, name)

    def test_are_added_once_and_found_before_they_are_changed(self, records: Records) -> None:
        add(records)
        with pytest.raises(BadInput, match="wang: there is a user of this name already"):
            add(records)
        with pytest.raises(BadInput, match="li: there is no such user"):
            amend(records, Change(active=False), "li")

    def test_have_passwords_that_are_long_enough_and_nowhere_kept(self, records: Records) -> None:
        with pytest.raises(BadInput, match="at least 10"):
            add(records, change=Change(role=Role.DISPATCH, password="123456789"))  # noqa: S106 - of nobody
        add(records)
        with records.read() as session:
            kept = session.scalars(select(UserRow.password_hash)).one()
            trail = session.scalars(select(AuditEntry)).all()
        assert kept.startswith("$argon2id$")
        said = [str(entry.content) for entry in trail if entry.subject == "users"]
        assert [PASSWORD in one or kept in one for one in said] == [False]

    def test_are_in_the_audit_trail_with_who_did_it(self, records: Records) -> None:
        add(records)
        amend(records, Change(active=False))
        with records.read() as session:
            query = select(AuditEntry).where(AuditEntry.subject == "users").order_by(AuditEntry.seq)
            trail = [(one.who, one.at_ms, one.action) for one in session.scalars(query)]
        assert trail == [("boss", T0, "created"), ("boss", T0 + 1, "changed")]


class TestSessions:
    """Browsers."""

    def test_last_as_long_as_was_said(self, records: Records) -> None:
        person = add(records)
        secret = enter(records)
        assert whose(records, secret, T0 + 12 * HOUR_MS - 1) == person
        assert whose(records, secret, T0 + 12 * HOUR_MS) is None
        assert whose(records, "another") is whose(records, "") is None

    def test_are_kept_without_their_secret_and_dropped_when_over(self, records: Records) -> None:
        add(records)
        first, second = enter(records), enter(records, now_ms=T0 + DAY_MS)
        assert first != second
        with records.read() as session:
            (kept,) = session.scalars(select(SignedIn)).all()
        assert second not in (kept.sha256, "")
        assert len(kept.sha256) == 64

    def test_end_by_signing_out_and_only_that_one(self, records: Records) -> None:
        add(records)
        first, second = enter(records), enter(records)
        with records.write() as session:
            sign_out(session, first)
        assert whose(records, first) is None
        assert whose(records, second) is not None

    @pytest.mark.parametrize(
        ("change", "ends"),
        [
            (Change(password=PASSWORD[::-1]), True),
            (Change(active=False), True),
            (Change(role=Role.VIEWER), False),
            (Change(display_name="王"), False),
        ],
    )
    def test_end_when_the_proof_no_longer_holds(self, records: Records, change: Change, ends: bool) -> None:  # noqa: FBT001
        add(records)
        add(records, "li")
        secret, other = enter(records), enter(records, name="li")
        amend(records, change)
        assert (whose(records, secret) is None) == ends
        assert whose(records, other) is not None
        if change.active is False:
            amend(records, Change(active=True))
            assert whose(records, secret) is None

    def test_begin_only_with_name_and_password_of_someone_active(self, records: Records) -> None:
        add(records)
        add(records, "machine", Change(role=Role.VIEWER))
        add(records, "gone", Change(role=Role.VIEWER, password=PASSWORD, active=False))
        door = Door()
        for name, password in [("wang", "x"), ("wang", ""), ("machine", ""), ("gone", PASSWORD), ("no", PASSWORD)]:
            assert sign_in(records, door, name, password, now_ms=T0, hours=1) is None
        with records.read() as session:
            assert session.scalar(select(func.count()).select_from(SignedIn)) == 0

    def test_check_a_password_for_unknown_names_too(self, records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
        """It takes as long: each is one whole argon2 check with the same parameters."""
        checked = []

        class Counting(PasswordHasher):
            def __init__(self) -> None:
                super().__init__(QUICK.time_cost, QUICK.memory_cost, QUICK.parallelism)

            def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]  # noqa: A002
                checked.append(str(hash).rsplit("$", 2)[0])
                return super().verify(hash, password)

        add(records)
        monkeypatch.setattr(people, "_HASHER", Counting())
        for name in ("wang", "nobody", "a\0b"):
            sign_in(records, Door(), name, "a wrong password", now_ms=T0, hours=1)
        assert len(checked) == 3
        assert len(set(checked)) == 1

    def test_renew_a_hash_of_other_parameters(self, records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
        add(records)
        monkeypatch.setattr(people, "_HASHER", PasswordHasher())
        for _ in range(2):
            enter(records)
        with records.read() as session:
            kept = session.scalars(select(UserRow.password_hash)).one()
            changes = [one.who for one in session.scalars(select(AuditEntry).where(AuditEntry.action == "changed"))]
        assert not PasswordHasher().check_needs_rehash(kept)
        assert changes == ["wang"]

    def test_do_not_begin_when_the_password_changes_meanwhile(
        self, records: Records, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(records)

        class Slow(PasswordHasher):
            def check_needs_rehash(self, hash: str | bytes) -> bool:  # noqa: A002 - the library's name
                amend(records, Change(active=False))
                return super().check_needs_rehash(hash)

        monkeypatch.setattr(people, "_HASHER", Slow())
        assert sign_in(records, Door(), "wang", PASSWORD, now_ms=T0, hours=1) is None


class TestDoor:
    """Failures are counted."""

    def test_closes_after_many_failures_until_they_are_old(self, records: Records) -> None:
        add(records)
        door = Door()
        for number in range(FAILURES_MAX):
            assert not door.refuses("wang", T0 + number)
            assert sign_in(records, door, "wang", "x", now_ms=T0 + number, hours=1) is None
        assert sign_in(records, door, "wang", PASSWORD, now_ms=T0 + FAILURES_WITHIN_MS - 1, hours=1) is None
        assert not door.refuses("li", T0)
        assert sign_in(records, door, "wang", PASSWORD, now_ms=T0 + FAILURES_WITHIN_MS, hours=1) is not None
        assert not door.refuses("wang", T0 + FAILURES_WITHIN_MS)

    def test_forgets_of_very_many_names_the_one_that_failed_longest_ago(self) -> None:
        door = Door()
        for number in range(2 * NAMES_REMEMBERED):
            door.failed(f"name {number}", T0 + number)
            if number % NAMES_REMEMBERED == 0:
                for _ in range(FAILURES_MAX):
                    door.failed("wang", T0 + number)
        assert len(door._failures) == NAMES_REMEMBERED
        assert door.refuses("wang", T0 + 2 * NAMES_REMEMBERED)

    def test_lets_only_some_be_checked_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(people, "_CHECK_WAIT_S", 0.01)
        door = Door()
        with ExitStack() as others:
            for _ in range(4):
                others.enter_context(door.checking())
            with pytest.raises(Unavailable, match="too many"), door.checking():
                pass
        with door.checking():
            pass

    def test_lets_only_some_wait_for_it(self) -> None:
        """Whoever waits holds a thread that everyone else's requests need."""
        door = Door()

        def wait() -> None:
            with suppress(Unavailable), door.checking():
                pass

        with ExitStack() as others:
            for _ in range(4):
                others.enter_context(door.checking())
            waiting = [threading.Thread(target=wait) for _ in range(8)]
            for one in waiting:
                one.start()
            while door._inside.acquire(blocking=False):
                door._inside.release()
                time.sleep(0.001)
            before = time.monotonic()
            with pytest.raises(Unavailable, match="too many"), door.checking():
                pass
            assert time.monotonic() - before < people._CHECK_WAIT_S / 2
        for one in waiting:
            one.join()


class TestTokens:
    """Keys of machines."""

    def make(self, records: Records, expires_ms: int | None = None) -> str:
        with records.write() as session:
            return make_token(session, "wang", "grafana", expires_ms=expires_ms, by="boss", now_ms=T0)

    def whose(self, records: Records, secret: str, now_ms: int = T0) -> Person | None:
        with records.read() as session:
            return person_of_token(session, secret, now_ms)

    def test_act_as_their_user_until_they_expire(self, records: Records) -> None:
        person = add(records)
        ever, some = self.make(records), self.make(records, T0 + DAY_MS)
        assert ever.startswith(TOKEN_PREFIX)
        assert self.whose(records, ever, T0 + 10_000 * DAY_MS) == person
        assert self.whose(records, some, T0 + DAY_MS - 1) == person
        assert self.whose(records, some, T0 + DAY_MS) is None
        assert self.whose(records, ever.removeprefix(TOKEN_PREFIX)) is self.whose(records, ever + "x") is None

    def test_are_kept_without_their_secret(self, records: Records) -> None:
        add(records)
        secret = self.make(records)
        with records.read() as session:
            kept = session.scalars(select(ApiToken)).one()
            trail = [str(one.content) for one in session.scalars(select(AuditEntry))]
        assert secret not in kept.sha256
        assert [one for one in trail if secret in one or kept.sha256 in one] == []

    def test_are_revoked_by_their_label_for_good(self, records: Records) -> None:
        add(records)
        secrets = [self.make(records), self.make(records)]
        with records.write() as session:
            assert revoke_token(session, "wang", "grafana", by="boss", now_ms=T0) == 2
        assert [self.whose(records, one) for one in secrets] == [None, None]
        with pytest.raises(BadInput, match="no token 'grafana'"), records.write() as session:
            revoke_token(session, "wang", "grafana", by="boss", now_ms=T0)

    def test_are_for_who_is_active(self, records: Records) -> None:
        add(records)
        secret = self.make(records)
        amend(records, Change(active=False))
        assert self.whose(records, secret) is None
        with pytest.raises(BadInput, match="not active"):
            self.make(records)


def test_someone_is_found_by_name_while_active(records: Records) -> None:
    person = add(records)
    with records.read() as session:
        assert person_named(session, "wang") == person
        assert person_named(session, "li") is None
    amend(records, Change(active=False))
    with records.read() as session:
        assert person_named(session, "wang") is None
