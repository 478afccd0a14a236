"""`heatwatch dashboards truth`: InfluxDB has what is true of a town, each row with the finding that tells of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cli.main import main
from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.identity import subject_of
from heatwatch.domain.instants import HOUR_MS
from heatwatch.records.database import Records
from heatwatch.records.progress import advance
from heatwatch.settings import Settings
from heatwatch.stores.influx.schema import TRUTH, FieldType
from heatwatch.usecases.findings import record_findings
from heatwatch.usecases.outcome import JUDGED_BY
from tests.influxdb import DATABASE, Influx1

T0 = 1_768_176_000_000
"""2026-01-12T00:00Z."""
SPELLS = "point_id,start,end,open,confirmed_at,end_reason,violation_h,unknown_h,min_temp_c,deficit_kh,rule"
OUTAGES = "subject_kind,subject_id,start,end,open,duration_h,evidence,confidence,points"
FAULTS = "point_id,kind,start,end"


def at(hour: int) -> str:
    return f"2026-01-{12 + hour // 24}T{hour % 24:02}:00:00Z"


def put(folder: Path, name: str, *lines: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def finding(of: FindingKind, name: str, start_h: float, end_h: float | None, **detail: Any) -> Finding:
    subject = SubjectKind.BUILDING if of is FindingKind.HEAT_OUTAGE else SubjectKind.POINT
    start_ms, end_ms = round(T0 + start_h * HOUR_MS), None if end_h is None else round(T0 + end_h * HOUR_MS)
    return Finding(of, subject, name, "b 1", "s1", start_ms, end_ms, end_h is None, None, detail)


class Place(NamedTuple):
    """An installation, the truth of its town, and the InfluxDB."""

    data: Path
    truth: Path
    influx: Influx1

    def findings(self, *found: Finding, as_of_h: int = 30) -> list[int]:
        """Put what was found so far into the records; what is no longer there is withdrawn."""
        judged = {(kind, SubjectKind.POINT, "p1") for kind in (FindingKind.COLD_SPELL, FindingKind.SENSOR_FAULT)}
        everyone = judged | {subject_of(one) for one in found}
        self.data.mkdir(exist_ok=True)
        records = Records(Settings.read(data_dir=self.data).records_url)
        records.migrate()
        with records.write() as session:
            ids = record_findings(session, found, everyone, T0 + as_of_h * HOUR_MS)
            advance(session, JUDGED_BY, 1, T0 + as_of_h * HOUR_MS, None)
        records.close()
        return ids

    def told(self) -> list[dict[str, Any]]:
        """Return all points, the earliest first."""
        series = self.influx.query('SELECT * FROM "truth" ORDER BY time')
        return [dict(zip(one["columns"], row, strict=True)) for one in series for row in one["values"]]


@pytest.fixture
def place(tmp_path: Path, influx: Influx1, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Give a town: two spells of one room, a stop of its house and one of the station, two faults at once."""
    for name, value in {"store": "influxdb1", "influx_url": influx.url, "influx_bucket": DATABASE}.items():
        monkeypatch.setenv(f"HEATWATCH_{name.upper()}", value)
    folder = tmp_path / "truth"
    put(
        folder,
        "points.csv",
        "point_id,building_id,station_id,room_class,valid_from,valid_to",
        f"p1,b 0,s1,apartment,,{at(1)}",
        f"p1,b 1,s1,apartment,{at(1)},",
        "p2,b 1,s1,apartment,,",
    )
    put(
        folder,
        "truth_cold_spells.csv",
        SPELLS,
        f"p1,{at(2)},{at(6)},false,{at(3)},recovered,4.0,0.0,15.5,6.0,R1+R2",
        f"p1,{at(10)},,true,,,0.2,,17.5,0.1,R1",
        f"p2,{at(40)},,true,{at(41)},,0.2,,17.5,0.1,R1",
    )
    put(
        folder,
        "truth_heat_outages.csv",
        OUTAGES,
        f"station,s1,{at(20)},{at(21)},false,1.0,,1.000,",
        f"building,b 1,{at(2)},{at(5)},false,3.0,,1.000,",
    )
    put(folder, "truth_sensor_faults.csv", FAULTS, f"p1,stuck,{at(0)},", f"p1,drift,{at(0)},")
    return Place(tmp_path / "data", folder, influx)


def ran(capsys: pytest.CaptureFixture[str], place: Place, code: int = 0) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["dashboards", "truth", str(place.truth), "--data-dir", str(place.data)])
    said = capsys.readouterr()
    assert ended.value.code == code, said.err
    return said.err if code else said.out


def test_each_row_names_the_finding_that_tells_of_it(capsys: pytest.CaptureFixture[str], place: Place) -> None:
    spell = finding(FindingKind.COLD_SPELL, "p1", 2.5, 7)
    stray = finding(FindingKind.COLD_SPELL, "p1", 8, 9)
    stop = finding(FindingKind.HEAT_OUTAGE, "b 1", 3, None)
    drift = finding(FindingKind.SENSOR_FAULT, "p1", 5, None, kind="drift")
    place.findings(spell)
    place.findings(spell, stray)
    place.findings(spell, stray, stop)
    place.findings(spell, stray, stop, drift)
    said = ran(capsys, place)
    assert said.splitlines() == [
        "as of 2026-01-13T06:00:00.000Z",
        "cold spells: 2 true, 1 of them found; 1 that begin later are left out",
        "heat outages: 2 true, 1 of them found",
        "sensor faults: 2 true, 1 of them found",
    ]
    told = place.told()
    names = ("kind", "subject_kind", "subject", "building", "station", "start_ms", "matched", "found")
    outage, fault = "heat_outage", "sensor_fault"
    assert sorted(tuple(row[name] for name in names) for row in told) == [
        ("cold_spell", "point", "p1", "b 1", "s1", T0 + 2 * HOUR_MS, 1, 1),
        ("cold_spell", "point", "p1", "b 1", "s1", T0 + 10 * HOUR_MS, 0, 0),
        (outage, "building", "b 1", "b 1", "s1", T0 + 2 * HOUR_MS, 1, 3),
        (outage, "station", "s1", "_", "s1", T0 + 20 * HOUR_MS, 0, 0),
        (fault, "point", "p1", "b 0", "s1", T0, 0, 0),
        (fault, "point", "p1", "b 0", "s1", T0, 1, 4),
    ]
    (matched,) = (row for row in told if row["kind"] == fault and row["matched"])
    assert (matched["fault"], matched["finding"], matched["open"], matched["end_ms"]) == ("drift", 1, True, 0)
    first, second = (row for row in told if row["kind"] == "cold_spell")
    assert (first["confirmed"], first["confirmed_ms"]) == (True, T0 + 3 * HOUR_MS)
    assert (first["rule"], first["end_reason"], first["min_temp_c"], first["duration_h"]) == (
        "R1+R2",
        "recovered",
        15.5,
        4,
    )
    assert (second["confirmed"], second["confirmed_ms"], second["open"]) == (False, 0, True)
    assert (second["end_reason"], second["unknown_h"], second["duration_h"]) == ("", None, 0)
    asked = {field.name for field in TRUTH.fields if field.type is FieldType.BOOLEAN}
    assert all(row[name] is not None for row in told for name in asked)


def test_written_again_the_same_points_say_what_is_found_since(
    capsys: pytest.CaptureFixture[str], place: Place
) -> None:
    first = finding(FindingKind.COLD_SPELL, "p1", 2.5, 7)
    place.findings(first)
    ran(capsys, place)
    was = place.told()
    ran(capsys, place)
    assert place.told() == was
    place.findings(finding(FindingKind.COLD_SPELL, "p1", 10, None))
    put(place.truth, "readings.csv", "time,point_id,temperature_c", f"{at(28)},p1,20", f"{at(24)},p1,20")
    assert ran(capsys, place).startswith("as of 2026-01-13T04:00:00.000Z")
    now = place.told()
    key = ("kind", "subject", "time", "finding")
    assert [[row[name] for name in key] for row in now] == [[row[name] for name in key] for row in was]
    assert [row["found"] for row in now if row["kind"] == "cold_spell"] == [0, 2]
    place.findings(first, as_of_h=48)
    (place.truth / "readings.csv").unlink()
    ran(capsys, place)
    assert len(place.told()) == len(was) + 1


def test_what_cannot_be_told_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(place.truth, "truth_heat_outages.csv", OUTAGES, f"building,b9,{at(2)},{at(5)},false,3.0,,1.000,")
    place.findings()
    assert "truth_heat_outages.csv, row 1 (line 2): building b9 is not in points.csv" in ran(capsys, place, 2)
    (place.truth / "points.csv").unlink()
    assert "there is no points file (put points.csv beside the truth)" in ran(capsys, place, 2)
    (tmp_path / "empty").mkdir()
    assert "empty: there is no truth in it" in ran(capsys, place._replace(truth=tmp_path / "empty"), 2)
    assert "none: no such folder" in ran(capsys, place._replace(truth=tmp_path / "none"), 2)
    monkeypatch.setenv("HEATWATCH_STORE", "embedded")
    said = ran(capsys, place, 2)
    assert "store: is embedded: truth is written into InfluxDB" in said
    assert place.told() == []
