"""An InfluxDB is prepared once, each part gets no more than it needs, and asked again nothing changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from heatwatch.errors import BadInput, Unavailable
from heatwatch.settings import Settings, StoreKind
from heatwatch.stores.influx.connecting import connect
from heatwatch.stores.influx.preparing import ACCOUNTS, Account, Wanted, prepare_1, prepare_2, write_secret
from tests.influxdb import DATABASE, NO_CONTENT, Influx1, Influx2, fresh_influxdb2, has_influxdb, influxdb1

LINE = "reading,source=d arrived_ms=1i 1"
ODD_WORD = 'it\'s a \\ "word"'
VERSIONS = ["1", "2"] if has_influxdb("2") else ["1"]


class Place:
    """A new server, and a folder for secrets."""

    def __init__(self, server: Influx1 | Influx2, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.secret = folder / "admin"
        self.secret.write_text("a-token-that-may-do-everything\n" if server.version == "2" else f"{ODD_WORD}\n")

    def prepare(self, *, retention_days: int = 0, rotate: bool = False) -> list[str]:
        """Prepare it, and return what was said."""
        wanted = Wanted(self.server.url, "heatwatch", DATABASE, self.folder / "tokens", retention_days, rotate=rotate)
        if self.server.version == "1":
            return list(prepare_1(wanted, "admin", self.secret))
        return list(prepare_2(wanted, self.secret, "admin", self.secret))

    def words(self) -> dict[str, str]:
        """Return each account's secret."""
        kind = "password" if self.server.version == "1" else "token"
        files = {one.name: self.folder / "tokens" / f"{one.name}_influx_{kind}" for one in ACCOUNTS}
        return {name: file.read_text().strip() for name, file in files.items()}

    def settings(self, name: str) -> Settings:
        """Return the settings with which a part comes."""
        here = Settings(influx_url=self.server.url, influx_bucket=DATABASE)
        if self.server.version == "1":
            file = self.folder / "tokens" / f"{name}_influx_password"
            named = {"store": StoreKind.INFLUXDB_1, "influx_user": f"heatwatch_{name}", "influx_password_file": file}
            return here.model_copy(update=named)
        file = self.folder / "tokens" / f"{name}_influx_token"
        return here.model_copy(update={"store": StoreKind.INFLUXDB_2, "influx_token_file": file})

    def ask(self, account: Account, word: str) -> tuple[bool, bool]:
        """Tell whether an account can read, and whether it can write."""
        url = self.server.url
        if self.server.version == "1":
            known = (f"heatwatch_{account.name}", word)
            asked = httpx.post(f"{url}/query", data={"db": DATABASE, "q": "SHOW SERIES"}, auth=known)
            wrote = httpx.post(f"{url}/write", params={"db": DATABASE, "precision": "ms"}, content=LINE, auth=known)
            return asked.is_success and "error" not in asked.json()["results"][0], wrote.status_code == NO_CONTENT
        headers = {"Authorization": f"Token {word}"}
        script = {"query": f'from(bucket: "{DATABASE}") |> range(start: 0)', "type": "flux"}
        asked = httpx.post(f"{url}/api/v2/query", params={"org": "heatwatch"}, json=script, headers=headers)
        params = {"org": "heatwatch", "bucket": DATABASE, "precision": "ms"}
        wrote = httpx.post(f"{url}/api/v2/write", params=params, content=LINE, headers=headers)
        return asked.is_success, wrote.status_code == NO_CONTENT


@pytest.fixture(scope="module", params=VERSIONS, ids="influxdb{}".format)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Give a server that nobody has set up yet."""
    folder = tmp_path_factory.mktemp("prepared")
    opened = influxdb1(folder, auth=True) if request.param == "1" else fresh_influxdb2(folder)
    with opened as server:
        yield Place(server, folder)


def test_each_account_may_do_what_it_needs_and_asked_again_nothing_changes(place: Place) -> None:
    first = place.prepare()
    assert any("kept for ever" in line for line in first)
    words = place.words()
    assert {one.name: place.ask(one, words[one.name]) for one in ACCOUNTS} == {
        one.name: (one.reads, one.writes) for one in ACCOUNTS
    }
    again = place.prepare()
    assert not [line for line in again if line.endswith("written") or "made" in line]
    assert place.words() == words


def test_a_lost_secret_is_made_anew_and_rotating_renews_all_of_them(place: Place) -> None:
    place.prepare()
    words = place.words()
    (lost,) = place.folder.glob("tokens/api_influx_*")
    lost.unlink()
    written = [line for line in place.prepare() if line.endswith("written")]
    assert [str(lost) in line for line in written] == [True]
    place.prepare(rotate=True)
    renewed = place.words()
    assert not set(words.values()) & set(renewed.values())
    ingest = next(one for one in ACCOUNTS if one.name == "ingest")
    assert place.ask(ingest, words["ingest"]) == (False, False)
    assert place.ask(ingest, renewed["ingest"]) == (True, True)


def test_a_part_whose_secret_no_longer_holds_is_not_ready_until_it_has_the_new_one(place: Place) -> None:
    place.prepare()
    settings = place.settings("api")
    with closing(connect(settings)) as influx:
        influx.ping()
        kept = {file: file.read_text() for file in place.folder.glob("tokens/*")}
        place.prepare(rotate=True)
        fresh = {file: file.read_text() for file in kept}
        for file, word in kept.items():
            file.write_text(word)
        with pytest.raises(Unavailable, match="does not know us"):
            influx.ping()
        for file, word in fresh.items():
            file.write_text(word)
        influx.ping()


def test_how_long_readings_are_kept_is_brought_to_what_is_wanted(place: Place) -> None:
    assert any("kept 400 days" in line for line in place.prepare(retention_days=400))
    assert any("kept for ever" in line for line in place.prepare())


def test_a_wrong_secret_is_refused_in_one_clear_error(place: Place) -> None:
    place.prepare()
    place.secret.rename(place.folder / "right")
    try:
        place.secret.write_text("wrong\n")
        with pytest.raises(Unavailable, match=r"refuses the token|authorization failed"):
            place.prepare()
    finally:
        (place.folder / "right").rename(place.secret)


def test_a_server_that_asks_nobody_gets_its_database_and_no_accounts(influx: Influx1, tmp_path: Path) -> None:
    said = list(prepare_1(Wanted(influx.url, "", "fresh", tmp_path / "tokens")))
    assert said[-1].startswith("no accounts")
    assert "fresh" in [name for (name,) in influx.query("SHOW DATABASES")[0]["values"]]
    assert not (tmp_path / "tokens").exists()


def test_secrets_are_for_their_owner_only_but_grafana_s(tmp_path: Path) -> None:
    write_secret(tmp_path / "new" / "mine", "word")
    write_secret(tmp_path / "new" / "shared", "word", shared=True)
    assert [oct((tmp_path / "new" / name).stat().st_mode & 0o777) for name in ("mine", "shared")] == ["0o600", "0o644"]
    assert [one.name for one in ACCOUNTS if one.shared] == ["grafana"]


def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t\n")
    wanted = Wanted("http://127.0.0.1:9", "o", "b", tmp_path)
    for asked in (prepare_1(wanted), prepare_2(wanted, tmp_path / "token")):
        with pytest.raises(Unavailable, match=r"InfluxDB at http://127\.0\.0\.1:9"):
            list(asked)
    with pytest.raises(BadInput, match="token cannot be read"):
        list(prepare_2(wanted, tmp_path / "nosuch"))
