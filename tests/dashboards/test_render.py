"""The rendered files are what Grafana takes, agree with each other, and appear together or not at all."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from cli.dashboards import dashboards
from dashboards.boards import BLUE, ORANGE, VERMILION, WORDS
from dashboards.render import render, texts
from dashboards.settings import GrafanaSettings, InfluxVersion, Language, Limits
from heatwatch.domain.temperature import Judging, Standard, Version
from heatwatch.errors import BadInput
from heatwatch.stores.influx.schema import READING

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


def test_every_panel_and_variable_asks_a_provisioned_source(files: dict[str, Any]) -> None:
    provisioned = {(source["type"], source["uid"]) for source in files[SOURCES_FILE]["datasources"]}
    board = files[BOARD_FILE]
    targets = [target for panel in board["panels"] for target in panel["targets"]]
    asked = [each["datasource"] for each in (*board["panels"], *targets, *board["templating"]["list"])]
    assert len(asked) >= 7
    assert {(source["type"], source["uid"]) for source in asked} == provisioned


def test_uids_and_panel_numbers_are_given_once(files: dict[str, Any]) -> None:
    board = files[BOARD_FILE]
    uids = [source["uid"] for source in files[SOURCES_FILE]["datasources"]]
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(uids)) == len(uids)
    assert len(set(numbers)) == len(numbers)
    assert board["uid"]
    assert "id" not in board


def test_queries_name_only_what_the_schema_has(files: dict[str, Any]) -> None:
    """A misspelt measurement, tag or field answers with nothing, and no error."""
    known = {READING.name, READING.tag, *(field.name for field in READING.fields)}
    for query in _queries(files[BOARD_FILE]):
        said = re.findall(r'"([a-z_]+)"|r\.([a-z]\w*)', query.replace('import "influxdata/influxdb/schema"', ""))
        names = {quoted or member for quoted, member in said} - {"_time", "_value"}
        assert READING.name in names
        assert names <= known


def test_queries_hold_to_the_boards_time_and_the_sources_bucket(files: dict[str, Any], version: InfluxVersion) -> None:
    for panel in files[BOARD_FILE]["panels"]:
        (target,) = panel["targets"]
        if version is InfluxVersion.ONE:
            assert "$timeFilter" in target["query"]
        else:
            assert target["query"].startswith(
                "from(bucket: v.defaultBucket)\n  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)\n"
            )
            assert "rawQuery" not in target


def test_flux_is_what_was_checked_with_its_compiler() -> None:
    """No InfluxDB 2 runs here, so the texts stand as they were parsed and type-checked."""
    board = json.loads(texts(GrafanaSettings(Limits(16.0, 18.0)))[BOARD_FILE])
    head = (
        "from(bucket: v.defaultBucket)\n"
        "  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)\n"
        '  |> filter(fn: (r) => r._measurement == "reading" and r._field == "temperature_c")\n'
    )
    columns = '  |> rename(columns: {_time: "Time", _value: "temperature_c"})'
    newest = '  |> last()\n  |> group()\n  |> top(n: 1, columns: ["_time"])\n  |> keep(columns: ["_time", "_value"])\n'
    curves = (
        '  |> filter(fn: (r) => r.source =~ /^${source:regex}$/)\n  |> keep(columns: ["_time", "_value", "source"])'
    )
    latest = '  |> last()\n  |> group()\n  |> keep(columns: ["_time", "_value", "source"])\n'
    choice = (
        'import "influxdata/influxdb/schema"\nschema.tagValues(bucket: v.defaultBucket, tag: "source", '
        'predicate: (r) => r._measurement == "reading", start: v.timeRangeStart, stop: v.timeRangeStop)'
    )
    assert _queries(board) == [head + newest + columns, head + curves, head + latest + columns, choice]


def test_limits_are_those_of_the_rules(files: dict[str, Any]) -> None:
    """18 degC by day and 16 degC by night (R1, R2), as lines, with their numbers in the panel's note."""
    (curves,) = [panel for panel in files[BOARD_FILE]["panels"] if panel["type"] == "timeseries"]
    defaults = curves["fieldConfig"]["defaults"]
    steps = [(step["value"], step["color"]) for step in defaults["thresholds"]["steps"]]
    assert steps == [(None, VERMILION), (16.0, ORANGE), (18.0, BLUE)]
    assert defaults["custom"]["thresholdsStyle"] == {"mode": "dashed"}
    assert "16 " in curves["description"]
    assert "18 " in curves["description"]


def test_a_panel_speaks_one_language(files: dict[str, Any], settings: GrafanaSettings) -> None:
    board = files[BOARD_FILE]
    words = WORDS[settings.language]
    texts_shown = [board["title"], *(panel[key] for panel in board["panels"] for key in ("title", "description"))]
    chinese = [bool(re.search(r"[\u4e00-\u9fff]", text)) for text in texts_shown]
    assert board["title"] == words.board
    assert set(chinese) == {settings.language is Language.CHINESE}


def test_panels_fit_the_grid_and_do_not_overlap(files: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in files[BOARD_FILE]["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells
        assert at["x"] + at["w"] <= 24
        taken |= cells


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
    assert _tree(tmp_path) == [BOARD_FILE, PROVIDER_FILE]


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
    assert json.loads((out / BOARD_FILE).read_text())["title"] == WORDS[Language.ENGLISH].board


def _queries(board: dict[str, Any]) -> list[str]:
    asked = [target["query"] for panel in board["panels"] for target in panel["targets"]]
    return [*asked, *(variable["query"] for variable in board["templating"]["list"])]


def _tree(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
