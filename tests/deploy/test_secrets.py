"""`heatwatch secrets`: all is made once, random, for its readers only; nothing is printed but what must be."""

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.secrets import ROTATED, secrets
from cli.securing import certificates
from cli.securing.accounts import SERVICES, account_of, accounts_text, hashed, holds, read_accounts
from cli.securing.keeping import GRAFANA, HEATWATCH, MOSQUITTO, POSTGRES, health_word
from heatwatch.errors import BadInput
from tests.deploy.composed import ROOT

DAY = timedelta(days=1)


def asked(folder: Path, *words: str) -> Any:
    """Run a command to a good end; return what it says to machines."""
    done = CliRunner().invoke(secrets, [words[0], *words[1:], "--out", str(folder), "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def changed(before: dict[str, bytes], folder: Path) -> set[str]:
    after = contents(folder)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def certificate(folder: Path, name: str = "server") -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "mosquitto" / f"{name}.crt").read_bytes())


def test_made_again_nothing_changes(tmp_path: Path) -> None:
    first = asked(tmp_path, "make", "--host", "mqtt.example.org", "--station", "S1", "--demo")
    before = contents(tmp_path)
    assert set(first["made"]) == set(before)
    again = asked(tmp_path, "make", "--host", "mqtt.example.org", "--station", "S1", "--demo")
    assert again == {"made": [], "passwords": {}, "warnings": []}
    assert changed(before, tmp_path) == set()


def test_what_is_missing_is_made_and_the_rest_stays(tmp_path: Path) -> None:
    asked(tmp_path, "make", "--station", "S1")
    before = contents(tmp_path)
    for name in ("mqtt_ingest", "grafana_admin_password", "mosquitto/server.key"):
        (tmp_path / name).unlink()
    made = asked(tmp_path, "make")["made"]
    assert set(made) == changed(before, tmp_path)
    assert set(made) == {
        "grafana_admin_password",
        "mosquitto/passwd",
        "mosquitto/server.crt",
        "mosquitto/server.key",
        "mqtt_ingest",
    }
    kept = read_accounts((tmp_path / "mosquitto/passwd").read_text(), "passwd")
    assert holds((tmp_path / "mqtt_ingest").read_text().strip(), kept["ingest"])
    assert f"S1:{kept['S1']}\n".encode() in before["mosquitto/passwd"]


def test_a_key_that_does_not_fit_its_certificate_is_replaced_with_it(tmp_path: Path) -> None:
    """As after a crash between the two files: mosquitto would not start."""
    asked(tmp_path, "make", "--host", "mqtt.example.org")
    (tmp_path / "mosquitto/server.key").write_bytes(certificates.key_text(certificates.new_key()))
    asked(tmp_path, "make")
    key = certificates.read_key((tmp_path / "mosquitto/server.key").read_bytes(), "key")
    assert certificate(tmp_path).public_key() == key.public_key()
    assert "mqtt.example.org" in certificates.hosts_of(certificate(tmp_path))


def test_no_secret_is_printed_but_the_password_of_a_new_station(tmp_path: Path) -> None:
    runner, out = CliRunner(), ["--out", str(tmp_path)]
    told = runner.invoke(secrets, ["make", "--station", "S1", "--station", "S2", *out])
    told_later = runner.invoke(secrets, ["make", "--station", "S1", "--rotate", "mqtt_ingest", *out])
    secret = {
        text.decode().strip() for name, text in contents(tmp_path).items() if not name.endswith((".crt", "readers"))
    }
    kept = read_accounts((tmp_path / "mosquitto/passwd").read_text(), "passwd")
    for output in (told.output, told_later.output):
        assert not any(word in output for word in secret)
        assert health_word((tmp_path / "mosquitto/mosquitto_sub").read_text()) not in output
    passwords = dict(line.split(": ") for line in told.output.splitlines() if ": " in line)
    assert set(passwords) == {"S1", "S2"}
    assert all(holds(word, kept[name]) for name, word in passwords.items())
    assert passwords["S1"] not in told_later.output
    assert passwords["S1"] not in b"".join(contents(tmp_path).values()).decode()


def test_every_secret_is_long_random_and_on_one_line(tmp_path: Path) -> None:
    asked(tmp_path / "a", "make", "--demo")
    asked(tmp_path / "b", "make", "--demo")
    one, two = contents(tmp_path / "a"), contents(tmp_path / "b")
    words = [name for name in one if "/" not in name and name != "readers"]
    assert len(words) >= 9
    for name in words:
        assert one[name] != two[name]
        assert one[name].count(b"\n") == 1
        assert len(one[name].strip()) >= (32 if "client" in name else 43)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_made_by_root_each_file_belongs_to_the_container_that_reads_it(tmp_path: Path) -> None:
    asked(tmp_path, "make", "--demo")
    readers = {"mosquitto": MOSQUITTO, "grafana": GRAFANA, "postgres": POSTGRES, "mqtt": HEATWATCH, "influx": HEATWATCH}
    for name in contents(tmp_path):
        status = (tmp_path / name).stat()
        mode = stat.S_IMODE(status.st_mode)
        owner = next((uid for start, uid in readers.items() if name.startswith(start)), 0)
        assert status.st_uid == owner, name
        assert mode == (0o644 if name.endswith(".crt") else 0o640 if name == "postgres_password" else 0o600), name
    assert (tmp_path / "postgres_password").stat().st_gid == HEATWATCH
    assert (tmp_path / "mosquitto").stat().st_uid == MOSQUITTO


def test_made_by_another_the_folder_keeps_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    asked(tmp_path / "secrets", "make")
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "secrets").rglob("*") if file.is_file()} == {
        0o644
    }


def test_for_its_owner_alone_nobody_else_reads_anything_and_that_is_remembered(tmp_path: Path) -> None:
    asked(tmp_path, "make", "--readers", "owner")
    asked(tmp_path, "make", "--rotate", "postgres_password")
    asked(tmp_path, "station", "S1")
    asked(tmp_path, "renew")
    for name in contents(tmp_path):
        status = (tmp_path / name).stat()
        assert status.st_uid == os.geteuid()
        assert stat.S_IMODE(status.st_mode) == (0o644 if name.endswith(".crt") else 0o600)
    with pytest.raises(BadInput, match="is for owner"):
        asked(tmp_path, "make", "--readers", "containers")


@pytest.mark.parametrize("name", ROTATED)
def test_one_is_made_anew_and_the_others_stay(tmp_path: Path, name: str) -> None:
    asked(tmp_path, "make", "--demo", "--station", "S1")
    before = contents(tmp_path)
    made = asked(tmp_path, "make", "--rotate", name)["made"]
    accounts = {"mosquitto/passwd"} if name.startswith(("mqtt", "mosquitto")) else set()
    assert set(made) == changed(before, tmp_path) == {name} | accounts


@pytest.mark.parametrize("name", ["mqtt_client_1", "authority/ca.key", "mosquitto/passwd", "nonsense"])
def test_what_cannot_be_made_anew_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    """A worker under another name would leave behind at the broker what waits for it."""
    with pytest.raises(BadInput, match="cannot be made anew"):
        asked(tmp_path / "secrets", "make", "--rotate", name)
    assert not (tmp_path / "secrets").exists()


def test_a_station_gets_another_password_and_can_be_shut_out(tmp_path: Path) -> None:
    first = asked(tmp_path, "make", "--station", "S1")["passwords"]["S1"]
    second = asked(tmp_path, "station", "S1")["passwords"]["S1"]
    kept = read_accounts((tmp_path / "mosquitto/passwd").read_text(), "passwd")
    assert not holds(first, kept["S1"])
    assert holds(second, kept["S1"])
    assert asked(tmp_path, "station", "S1", "--remove")["passwords"] == {}
    assert "S1" not in read_accounts((tmp_path / "mosquitto/passwd").read_text(), "passwd")
    with pytest.raises(BadInput, match="has no account"):
        asked(tmp_path, "station", "S1", "--remove")


def test_the_account_of_the_simulated_town_goes_with_its_file(tmp_path: Path) -> None:
    asked(tmp_path, "make", "--demo")
    (tmp_path / "mqtt_demo").unlink()
    asked(tmp_path, "make")
    assert set(read_accounts((tmp_path / "mosquitto/passwd").read_text(), "passwd")) == {"health", "ingest"}


@pytest.mark.parametrize("station", ["", "_clock", "_", "a:b", "\ud800", *SERVICES])
def test_no_station_has_the_account_of_a_part_or_moves_the_clock(tmp_path: Path, station: str) -> None:
    with pytest.raises(BadInput, match="cannot have an account"):
        asked(tmp_path, "make", "--station", station)


def test_the_services_are_those_of_the_access_list() -> None:
    lines = (ROOT / "deploy/mosquitto/acl").read_text().splitlines()
    assert {line.split()[1] for line in lines if line.startswith("user ")} == set(SERVICES)


@given(station=st.text(min_size=1, max_size=30))
def test_an_account_is_one_level_of_a_topic_and_no_wildcard(station: str) -> None:
    try:
        account = account_of(station)
    except BadInput:
        return
    assert not set(account) & set("/+#: \n")


@settings(max_examples=25)
@given(
    words=st.dictionaries(st.text(st.characters(categories=["L", "N"]), min_size=1), st.text(max_size=40), max_size=4)
)
def test_accounts_are_read_as_they_were_written(words: dict[str, str]) -> None:
    kept = {name: hashed(word) for name, word in words.items()}
    assert read_accounts(accounts_text(kept), "passwd") == kept
    assert all(holds(word, kept[name]) and not holds(f"{word}x", kept[name]) for name, word in words.items())


@pytest.mark.parametrize("kept", ["", "plain", "$6$101$AAAA$AAAA", "$7$x$AAAA$AAAA", "$7$101$AAAA"])
def test_what_is_not_kept_in_our_format_holds_no_password(kept: str) -> None:
    assert not holds("plain", kept)


def test_accounts_that_cannot_be_read_are_not_written_over(tmp_path: Path) -> None:
    asked(tmp_path, "make", "--station", "S1")
    (tmp_path / "mosquitto/passwd").write_text("S1:$7$101$AAAA$AAAA\nhalf a li")
    with pytest.raises(BadInput, match=r"passwd, line 2: is no account"):
        asked(tmp_path, "make")
    assert (tmp_path / "mosquitto/passwd").read_text().endswith("half a li")


def test_the_certificate_is_for_the_named_hosts_and_signed_by_the_authority(tmp_path: Path) -> None:
    asked(tmp_path, "make", "--host", "mqtt.example.org", "--host", "192.0.2.7")
    server, authority = certificate(tmp_path), certificate(tmp_path, "ca")
    server.verify_directly_issued_by(authority)
    assert certificates.hosts_of(server) == ["mqtt.example.org", "192.0.2.7", "mosquitto", "localhost", "127.0.0.1"]
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    now = datetime.now(UTC)
    assert now < server.not_valid_after_utc <= now + 825 * DAY
    assert now + 3650 * DAY < authority.not_valid_after_utc


def test_a_renewed_certificate_is_for_the_same_hosts_and_stations_need_nothing_new(tmp_path: Path) -> None:
    asked(tmp_path, "make", "--host", "mqtt.example.org")
    before, old = contents(tmp_path), certificate(tmp_path)
    asked(tmp_path, "renew", "--days", "90")
    assert changed(before, tmp_path) == {"mosquitto/server.crt", "mosquitto/server.key"}
    new = certificate(tmp_path)
    assert certificates.hosts_of(new) == certificates.hosts_of(old)
    assert new.not_valid_after_utc - datetime.now(UTC) < 91 * DAY
    new.verify_directly_issued_by(certificate(tmp_path, "ca"))
    asked(tmp_path, "renew", "--host", "other.example.org")
    assert certificates.hosts_of(certificate(tmp_path))[0] == "other.example.org"
    assert "mqtt.example.org" not in certificates.hosts_of(certificate(tmp_path))


def test_a_certificate_that_ends_soon_or_lacks_a_host_is_told_of(tmp_path: Path) -> None:
    asked(tmp_path, "make")
    asked(tmp_path, "renew", "--days", "20")
    (warning,) = asked(tmp_path, "make")["warnings"]
    assert "ends in 19 days: heatwatch secrets renew" in warning
    with pytest.raises(
        BadInput, match=r"is not for mqtt.example.org .*heatwatch secrets renew --host mqtt.example.org\)"
    ):
        asked(tmp_path, "make", "--host", "mqtt.example.org")


def test_the_authority_s_key_may_be_kept_elsewhere_until_it_is_needed(tmp_path: Path) -> None:
    asked(tmp_path, "make")
    key = tmp_path / "authority/ca.key"
    kept = key.read_bytes()
    key.unlink()
    before = contents(tmp_path)
    asked(tmp_path, "make", "--station", "S1")
    with pytest.raises(BadInput, match=r"ca.key: cannot be read: .*put the authority's key back"):
        asked(tmp_path, "renew")
    assert changed(before, tmp_path) == {"mosquitto/passwd"}
    key.write_bytes(certificates.key_text(certificates.new_key()))
    with pytest.raises(BadInput, match="does not belong to the authority"):
        asked(tmp_path, "renew")
    key.write_bytes(kept)
    asked(tmp_path, "renew")


def test_a_server_s_certificate_never_outlives_its_authority() -> None:
    now = datetime.now(UTC)
    above_key, key = certificates.new_key(), certificates.new_key()
    above = certificates.authority(above_key, now - 3600 * DAY)
    assert certificates.server(key, ["h"], (above, above_key), now).not_valid_after_utc == above.not_valid_after_utc


@pytest.mark.parametrize("host", ["", "a..b", "x" * 70])
def test_a_host_that_is_none_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(BadInput, match="no name of a machine"):
        asked(tmp_path, "make", "--host", host)


def test_without_secrets_there_is_nothing_to_change(tmp_path: Path) -> None:
    for words in (("station", "S1"), ("renew",)):
        with pytest.raises(BadInput, match="holds no secrets yet"):
            asked(tmp_path / "none", *words)
    assert not (tmp_path / "none").exists()
