"""The rendered files are what Grafana takes, agree with each other, and appear together or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from cli.dashboards import dashboards
from dashboards.render import render, texts
from dashboards.settings import GrafanaSettings, InfluxVersion, Language, Limits
from heatwatch.domain.temperature import Judging, Standard, Version
from heatwatch.errors import BadInput

SCHEMAS = Path(__file__).parents[2].parent / "shared" / "schemas"
SOURCES_FILE = "provisioning/datasources/heatwatch.yaml"
PROVIDER_FILE = "provisioning/dashboards/heatwatch.yaml"
BOARD_FILE = "dashboards/readings.json"


@pytest.fixture
def files(settings: GrafanaSettings, tmp_path: Path) -> dict[str, Any]:
    """Give the rendered files, parsed."""
    written = render(settings, tmp_path / "out")
    named = {file.relative_to(tmp_path / "out").as_posix(): file.read_text(encoding="utf-8") for file in written}
    return {name: json.loads(text) if name.endswith(".json") else yaml.safe_load(text) for name, text in named.items()}


@pytest.mark.parametrize(
    ("file", "schema"),
    [
        (SOURCES_FILE, "datasources-file.schema.json"),
        (PROVIDER_FILE, "dashboards-provider-file.schema.json"),
    ],
)
def test_provisioning_files_have_no_key_that_grafana_would_pass_over(
    files: dict[str, Any], file: str, schema: str
) -> None:
    if not SCHEMAS.is_dir():
        pytest.skip(f"the schemas of Grafana's files are not in {SCHEMAS}")
    jsonschema.Draft202012Validator(json.loads((SCHEMAS / schema).read_text())).validate(files[file])


def test_the_provider_reads_the_folder_of_the_boards(files: dict[str, Any], settings: GrafanaSettings) -> None:
    (provider,) = files[PROVIDER_FILE]["providers"]
    assert provider["options"]["path"] == settings.boards_dir
    assert provider["allowUiUpdates"] is False


def test_secrets_are_named_by_their_file_only(files: dict[str, Any], version: InfluxVersion) -> None:
    (source,) = files[SOURCES_FILE]["datasources"]
    name = {InfluxVersion.ONE: "password", InfluxVersion.TWO: "token"}[version]
    assert source["secureJsonData"] == {name: f"$__file{{/run/secrets/grafana_influx_{name}}}"}


def test_influxdb_1_without_sign_in_needs_no_secret() -> None:
    settings = GrafanaSettings(Limits(16.0, 18.0), version=InfluxVersion.ONE)
    (source,) = yaml.safe_load(texts(settings)[SOURCES_FILE])["datasources"]
    assert source["jsonData"]["dbName"] == "heatwatch"
    assert "secureJsonData" not in source


def test_a_dollar_in_a_name_stays_a_dollar() -> None:
    settings = GrafanaSettings(Limits(16.0, 18.0), database="raw$HOME")
    (source,) = yaml.safe_load(texts(settings)[SOURCES_FILE])["datasources"]
    assert source["jsonData"]["defaultBucket"] == "raw$$HOME"


@pytest.mark.parametrize(
    "wrong",
    [
        {"influx_url": "http://grafana:secret@influxdb:8086"},
        {"influx_url": "influxdb:8086"},
        {"influx_url": "http://influxdb:port"},
        {"influx_url": "http://influxdb:8086/?token=abc"},
        {"database": ""},
        {"organization": ""},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(BadInput) as refused:
        replace(GrafanaSettings(Limits(16.0, 18.0)), **wrong)  # type: ignore[arg-type]
    assert "secret@" not in str(refused.value)


def test_rules_without_apartments_give_no_lines() -> None:
    with pytest.raises(BadInput, match="no hours for apartments"):
        Limits.of(Standard((Version(None, {}),), Judging()))


def test_rendering_again_gives_the_same_bytes_and_leaves_other_files(tmp_path: Path) -> None:
    settings = GrafanaSettings(Limits(16.0, 18.0))
    first = {file: file.read_bytes() for file in render(settings, tmp_path)}
    other = tmp_path / "dashboards" / "ours.json"
    other.write_text("{}")
    assert {file: file.read_bytes() for file in render(settings, tmp_path)} == first
    assert _tree(tmp_path) == sorted([*texts(settings), "dashboards/ours.json"])


def test_where_one_file_cannot_be_written_all_stay_as_they_were(tmp_path: Path) -> None:
    """The last file's place is taken by a folder: the two before it come back, nothing of ours is left over."""
    settings = GrafanaSettings(Limits(16.0, 18.0))
    render(settings, tmp_path)
    before = (tmp_path / BOARD_FILE).read_bytes()
    (tmp_path / SOURCES_FILE).unlink()
    (tmp_path / SOURCES_FILE / "in the way").mkdir(parents=True)
    with pytest.raises(BadInput, match="cannot be written"):
        render(replace(settings, language=Language.ENGLISH), tmp_path)
    assert (tmp_path / BOARD_FILE).read_bytes() == before
    assert _tree(tmp_path) == sorted(set(texts(settings)) - {SOURCES_FILE})


def test_where_nothing_can_be_written_nothing_appears(tmp_path: Path) -> None:
    (tmp_path / "dashboards").write_text("a file in the way")
    with pytest.raises(BadInput, match="dashboards"):
        render(GrafanaSettings(Limits(16.0, 18.0)), tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["dashboards"]
    with pytest.raises(BadInput, match="cannot be written"):
        render(GrafanaSettings(Limits(16.0, 18.0)), tmp_path / "dashboards" / "below" / "a file")


def test_the_command_writes_the_files_and_names_them(tmp_path: Path) -> None:
    out = tmp_path / "grafana"
    arguments = ["render", "--out", str(out), "--influx-url", "http://127.0.0.1:8086", "--influx-version", "1"]
    ran = CliRunner().invoke(dashboards, [*arguments, "--language", "en"], catch_exceptions=False)
    assert ran.exit_code == 0
    assert sorted(Path(line).relative_to(out).as_posix() for line in ran.output.splitlines()) == _tree(out)
    assert yaml.safe_load((out / SOURCES_FILE).read_text())["datasources"][0]["url"] == "http://127.0.0.1:8086"
    assert json.loads((out / BOARD_FILE).read_text())["title"] == "Thermometers"


def _tree(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
