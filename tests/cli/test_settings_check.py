"""`heatwatch settings check`: every mistake at once, each with its line or its variable, and no secret."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cli.doctoring.settings import PREFIX, look
from cli.main import main
from heatwatch.errors import BadInput
from heatwatch.settings import Settings, StoreKind

SECRET = "correct horse battery"  # noqa: S105 - of nobody
OF_ONE_THAT_ASKS = "set `broker` to the address of one that does"
Check = Callable[..., tuple[int, list[str]]]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be in a folder with no settings of anybody's, and with no variables of ours."""
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    """Run `heatwatch settings check …`; its exit code and its lines."""

    def run(*arguments: object) -> tuple[int, list[str]]:
        with pytest.raises(SystemExit) as ended:
            main(["settings", "check", *map(str, arguments)])
        said = capsys.readouterr()
        assert not said.err
        return int(str(ended.value.code)), said.out.splitlines()

    return run


def toml(*lines: str) -> None:
    Path("heatwatch.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def secret(name: str = "secret", mode: int = 0o600, text: str = SECRET) -> Path:
    file = Path(name)
    file.write_text(text + "\n", encoding="utf-8")
    file.chmod(mode)
    return file


def test_without_a_file_and_variables_nothing_is_wrong(check: Check) -> None:
    assert check() == (0, ["no mistake in the settings"])


def test_every_mistake_is_named_at_once_with_its_line(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    toml(
        "# our settings",
        'data_dir = "data"',
        'borker = "mqtt://127.0.0.1"',
        'judge_every_s = "soon"',
        "",
        "journal_limit_mb = 0",
        'store = "influxdb9"',
        'timezone = "Asia/Peking"',
        'broker_ca = "no-such.pem"',
        "[grafana]",
        'url = "http://127.0.0.1"',
    )
    monkeypatch.setenv("HEATWATCH_WROKER", "a")
    monkeypatch.setenv("HEATWATCH_API_PORT", "eighty")
    code, lines = check()
    assert code == 2
    assert lines == [
        "heatwatch.toml, line 3: 'borker' is no setting (did you mean broker?)",
        "heatwatch.toml, line 4: judge_every_s: input should be a valid number, unable to parse string as a number",
        "heatwatch.toml, line 6: journal_limit_mb: input should be greater than 0",
        "heatwatch.toml, line 7: store: input should be 'embedded', 'influxdb1', 'influxdb2' or 'influxdb3'",
        "heatwatch.toml, line 8: timezone: no time zone is called 'Asia/Peking' (for example Asia/Shanghai)",
        "heatwatch.toml, line 9: broker_ca: no-such.pem: no such file",
        f"heatwatch.toml, line 9: broker_ca: the embedded broker asks nobody who comes ({OF_ONE_THAT_ASKS})",
        "heatwatch.toml, line 10: 'grafana' is no setting (`settings check --show` lists them all)",
        "HEATWATCH_API_PORT: input should be a valid integer, unable to parse string as an integer",
        "HEATWATCH_WROKER: no setting is read from it (did you mean HEATWATCH_WORKER?)",
        "10 mistakes",
    ]


def test_what_is_no_toml_is_named_with_its_line(check: Check) -> None:
    toml('worker = "a"', "broker = mqtt://127.0.0.1")
    assert check() == (2, ["heatwatch.toml, line 2: no TOML: Invalid value", "1 mistake"])
    toml('worker = "a"', "rules = [")
    assert check()[1][0].startswith("heatwatch.toml, line 2: no TOML: ")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["store = 'influxdb2'"], "line 1: influx_token_file: InfluxDB 2.x lets nobody in without a token"),
        (["store = 'influxdb1'", "influx_user = 'w'"], "influx_password_file"),
        (["store = 'influxdb1'", "influx_ca = 'ca.pem'"], "line 2: influx_ca: authorities are for TLS only"),
        (["store = 'influxdb1'", "influx_url = 'http://w:x@h'"], "line 2: influx_url: an address has no user"),
        (["records = 'postgresql://h@db:5432/h'"], "line 1: records: db is reached over the network without a pass"),
        (["records = 'postgresql://h:x@db:5432/h'"], "line 1: records: an address has no password in it"),
        (["records = 'mysql://h@db/h'"], "line 1: records: "),
        (["records_password_file = 'secret'"], "line 1: records_password_file: SQLite asks for no password"),
        (["broker = 'mqtt://h'", "broker_ca = 'ca.pem'"], "line 2: broker_ca: ca.pem: certificates are for TLS only"),
        (["broker = 'mqtt://h'", "broker_password_file = 'secret'"], "line 2: broker_password_file: "),
        (["broker = 'mqtt://h:x@h'"], "line 1: broker: an address has no password in it"),
        (["broker = '127.0.0.1'"], "line 1: broker: '127.0.0.1' is no address of a broker"),
        (["shared_group = 'g'", "broker = 'mqtt://h'"], "line 1: shared_group: the embedded store is for one worker"),
        (["store = 'influxdb1'", "shared_group = 'g'"], "line 2: shared_group: an embedded broker is for one process"),
        (["api_host = '0.0.0.0'", "auto_sign_in = 'a'"], "line 2: auto_sign_in: everybody who reaches 0.0.0.0"),
        (["broker_port = 8000"], "line 1: broker_port: api_port is 8000 too"),
        (["rules = 'rules.yaml'"], "line 1: rules: rules.yaml: versions: "),
        (["rules = 'nowhere.yaml'"], "line 1: rules: nowhere.yaml: no such file"),
        (["data_dir = 'ca.pem'"], "line 1: data_dir: ca.pem is no folder"),
        (["timezone = 3"], "line 1: timezone: input should be a valid string"),
    ],
)
def test_what_cannot_work_is_told_at_the_setting_that_is_to_be_mended(
    check: Check, lines: list[str], says: str
) -> None:
    secret()
    Path("ca.pem").write_text("no certificate\n")
    Path("rules.yaml").write_text("versions: []\n")
    toml(*lines)
    code, told = check()
    assert code == 2
    assert len(told) == 2, told
    assert says in told[0]
    assert told[0].startswith(("heatwatch.toml, line ", "influx_password_file: "))


def test_a_secret_that_everybody_can_read_or_that_is_none_is_named_and_not_shown(check: Check) -> None:
    toml('store = "influxdb2"', 'influx_token_file = "token"', 'broker = "mqtt://w@h"', 'broker_password_file = "pw"')
    secret("token", 0o644)
    secret("pw", text=f"{SECRET}\n{SECRET}")
    code, lines = check("--show")
    assert code == 2
    assert (
        "heatwatch.toml, line 2: influx_token_file: token: everybody on this machine can read it (chmod o= token)"
        in lines
    )
    assert "heatwatch.toml, line 4: broker_password_file: pw: a secret is one line of text" in lines
    assert SECRET not in "".join(lines)


def test_what_a_variable_overrides_is_looked_at_all_the_same(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    toml("api_port = 70000")
    monkeypatch.setenv("HEATWATCH_API_PORT", "8001")
    code, lines = check()
    assert (code, lines[0]) == (2, "heatwatch.toml, line 1: api_port: input should be less than or equal to 65535")
    monkeypatch.setenv("HEATWATCH_DEBUG", "1")
    toml("api_port = 8002")
    code, lines = check("--show")
    assert code == 0
    assert "api_port = 8001  [HEATWATCH_API_PORT]" in lines
    assert "worker = ingest-1  [default]" in lines


def test_the_settings_shown_are_those_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    token = secret("token")
    toml('store = "influxdb2"', f'influx_token_file = "{token}"', "judge_every_s = 5")
    monkeypatch.setenv("HEATWATCH_worker", "w2")
    looked = look(None, os.environ, data_dir=Path("d"))
    assert not looked.mistakes
    read = Settings.read(data_dir=Path("d"))
    assert looked.settings.model_dump() == read.model_dump()
    assert looked.settings.store is StoreKind.INFLUXDB_2
    assert looked.origin["judge_every_s"] == "heatwatch.toml, line 3"
    assert looked.origin["worker"] == "HEATWATCH_worker"
    assert looked.origin["data_dir"] == "--data-dir"
    assert set(looked.shown()) == set(Settings.model_fields)


def test_a_file_that_is_named_and_not_there_is_a_mistake_and_another_is_read(check: Check) -> None:
    assert check("--file", "other.toml") == (2, ["other.toml: no such file", "1 mistake"])
    toml("api_port = -1")
    Path("other.toml").write_text("api_port = 9000\n")
    code, lines = check("--file", "other.toml", "--show")
    assert code == 0
    assert "api_port = 9000  [other.toml, line 1]" in lines


def test_machines_get_the_same_facts(check: Check) -> None:
    toml("api_port = -1")
    code, lines = check("--json", "--show")
    told: dict[str, Any] = json.loads(lines[0])
    assert (code, told["ok"]) == (2, False)
    assert [mistake["where"] for mistake in told["mistakes"]] == ["heatwatch.toml, line 1"]
    assert told["settings"]["api_port"] == {"value": "8000", "from": "heatwatch.toml, line 1"}


def test_roles_that_these_settings_cannot_have_are_named(check: Check) -> None:
    code, lines = check("--role", "ingest")
    assert code == 2
    assert "the embedded store of readings is for one process" in lines[0]
    assert check("--role", "ingest,analytics,dispatch,api")[0] == 0


_NAMES = st.sampled_from([*Settings.model_fields, "borker", "log.level", "tables"])
_WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
_VALUES = st.booleans() | st.integers(-10, 99_999) | st.floats(allow_nan=False, allow_infinity=False) | _WORDS
_LISTS = st.lists(_WORDS, max_size=2)


@given(
    st.dictionaries(_NAMES, _VALUES | _LISTS | st.sampled_from(["influxdb1", "embedded", "json", "replay"]), max_size=6)
)
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_cannot_be_read_is_a_mistake_in_a_line_that_names_it(values: dict[str, Any]) -> None:
    toml(*(f"{name} = {json.dumps(value)}" for name, value in values.items()))
    looked = look(None, os.environ)
    try:
        read = Settings.read()
    except BadInput:
        assert looked.mistakes
    else:
        assert looked.settings.model_dump() == read.model_dump()
    lines = Path("heatwatch.toml").read_text().splitlines()
    for mistake in looked.mistakes:
        file, _, number = mistake.where.rpartition(", line ")
        assert not file or (file == "heatwatch.toml" and lines[int(number) - 1])
