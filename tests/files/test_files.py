"""Files are read as they are written down in the design, and what is read can be written again."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import Judging, Limit, RoomClass
from heatwatch.errors import BadInput
from heatwatch.files.points_file import points_frame, read_hours, read_points, write_hours
from heatwatch.files.readings_file import read_readings
from heatwatch.files.rules_file import default_standard, parse_standard

MINUTES = st.integers(0, 1440)


class TestReadings:
    """`time, point_id, temperature_c`."""

    def read(self, folder: Path, *lines: str) -> pd.DataFrame:
        file = folder / "readings.csv"
        file.write_text("\n".join(["time,point_id,temperature_c", *lines]) + "\n", encoding="utf-8")
        return read_readings(file)

    def test_an_offset_is_understood_and_what_is_finer_than_a_millisecond_is_cut_off(self, tmp_path: Path) -> None:
        times = ["2026-01-12T06:00:00+08:00", "2026-01-11T21:59:59.9999Z", "1969-12-31T23:59:59.9999Z"]
        frame = self.read(tmp_path, *(f"{time},p,1" for time in times))
        ms = frame["time"].dt.tz_localize(None).to_numpy("datetime64[ms]").view("int64").tolist()
        assert ms == [1_768_168_800_000, 1_768_168_799_999, -1]

    @given(value=st.floats(allow_nan=False, allow_infinity=False, width=64))
    def test_a_temperature_keeps_its_64_bits(self, value: float, tmp_path_factory: pytest.TempPathFactory) -> None:
        frame = self.read(tmp_path_factory.mktemp("bits"), f"2026-01-12T06:00:00Z,p,{value!r}")
        assert frame["temperature_c"].tolist() == [value]

    def test_no_value_is_no_number_and_a_name_is_never_one(self, tmp_path: Path) -> None:
        values = ["", "NaN", "null", "inf"]
        frame = self.read(tmp_path, *(f"2026-01-12T06:00:00Z,NA,{value}" for value in values))
        assert np.isfinite(frame["temperature_c"]).tolist() == [False] * 4
        assert frame["point_id"].astype("str").unique().tolist() == ["NA"]

    def test_a_point_without_a_name_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match=r"row 2 \(line 3\): point_id is empty"):
            self.read(tmp_path, "2026-01-12T06:00:00Z,p,1", "2026-01-12T06:00:00Z,,1")

    def test_what_databases_write_is_understood(self, tmp_path: Path) -> None:
        frame = self.read(tmp_path, "2026-01-12 06:00:00+08, p ,1", "", "2026-01-12 06:00:00.5+05:45,p,2", "")
        assert frame["point_id"].astype("str").tolist() == ["p", "p"]
        assert frame["time"].dt.minute.tolist() == [0, 15]

    def test_a_parquet_index_is_a_column(self, tmp_path: Path) -> None:
        file = tmp_path / "r.PARQUET"
        time = pd.DatetimeIndex(["2026-01-12T06:00:00Z"], name="time")
        pd.DataFrame({"point_id": "p", "temperature_c": 1}, index=time).to_parquet(file)
        assert read_readings(file)["temperature_c"].tolist() == [1.0]

    def test_a_parquet_time_without_zone_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "r.parquet"
        pd.DataFrame({"time": [pd.Timestamp("2026-01-12")], "point_id": "p", "temperature_c": 1.0}).to_parquet(file)
        with pytest.raises(BadInput, match="no time zone"):
            read_readings(file)


class TestPoints:
    """The register's file."""

    def test_every_field_written_is_read_again(self, tmp_path: Path) -> None:
        start = datetime(2026, 1, 1, tzinfo=UTC)
        row = PointRow(
            "p/1",
            "b",
            "s",
            RoomClass.NON_RESIDENTIAL,
            valid_from=start,
            valid_to=start.replace(month=6),
            device_id="d1",
            contract="office",
            suspended_from=start.replace(month=2),
            suspended_to=start.replace(month=3),
            interval_s=300,
            offset_k=-0.3,
            room_id="1-301",
            riser="r2",
            loop="low",
            floor="3",
            heating_hours=((300, 1320), (1380, 60)),
        )
        plain = PointRow("q", "b", "s", RoomClass.APARTMENT)
        for name in ("points.csv", "points.parquet"):
            file = tmp_path / name
            frame = points_frame(Register.of([row, plain]).rows)
            frame.to_csv(file, index=False) if file.suffix == ".csv" else frame.to_parquet(file)
            assert read_points(file) == Register.of([row, plain])

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("interval_s", "0"),
            ("interval_s", "1.5"),
            ("offset_k", "inf"),
            ("heating_hours", "5-25:00"),
            ("valid_to", "x"),
        ],
    )
    def test_what_makes_no_sense_is_named(self, tmp_path: Path, field: str, value: str) -> None:
        file = tmp_path / "points.csv"
        file.write_text(f"point_id,building_id,station_id,room_class,{field}\np,b,s,apartment,{value}\n")
        with pytest.raises(BadInput, match=rf"row 1 \(line 2\): {field}"):
            read_points(file)

    @pytest.mark.parametrize("span", ["valid", "suspended"])
    def test_what_ends_before_it_begins_is_refused(self, tmp_path: Path, span: str) -> None:
        file = tmp_path / "points.csv"
        fields = f"point_id,building_id,station_id,room_class,{span}_from,{span}_to"
        file.write_text(f"{fields}\np,b,s,apartment,2026-02-01T00:00:00Z,2026-01-01T00:00:00Z\n")
        with pytest.raises(BadInput, match=f"point p: {span}_to is"):
            read_points(file)

    def test_two_points_cannot_have_one_device_at_once(self, tmp_path: Path) -> None:
        file = tmp_path / "points.csv"
        file.write_text("point_id,building_id,station_id,room_class,device_id\np,b,s,apartment,d\nq,b,s,apartment,d\n")
        with pytest.raises(BadInput, match="device d: two rows are valid at once"):
            read_points(file)

    @given(st.lists(st.tuples(MINUTES, MINUTES), min_size=1, max_size=3).map(tuple))
    def test_hours_of_heating_are_read_as_they_are_written(self, hours: tuple[tuple[int, int], ...]) -> None:
        written = write_hours(hours)
        assert written is not None
        assert read_hours(written) == hours


class TestRules:
    """The rules file."""

    def test_the_default_asks_what_r1_to_r4_ask(self) -> None:
        version = default_standard().versions[0]
        day, night = Limit(18.0, 18.0, "R1"), Limit(16.0, 18.0, "R2")
        for weekday in range(7):
            asked = [version.asked(RoomClass.APARTMENT, None, weekday * 1440 + m) for m in (359, 360, 1259, 1260)]
            assert asked == [night, day, day, night]
        assert version.week(RoomClass.SINGLE_STOREY, None)[0] == (0, Limit(16.0, 16.0, "R3"))
        assert version.asked(RoomClass.NON_RESIDENTIAL, None, 0) is None

    def test_the_numbers_of_judging_are_those_of_the_design(self) -> None:
        assert asdict(default_standard().judging) == asdict(Judging())

    def test_the_deadlines_are_those_of_r11_to_r19(self) -> None:
        clocks = default_standard().versions[0].clocks
        due = {
            (kind, one.step, one.rule): (one.counted_from, one.within_min) for kind in clocks for one in clocks[kind]
        }
        for kind in ("low_temperature", "repair"):
            assert due[kind, "contact", "R16"] == ("opened", 30)
            assert due[kind, "on_site", "R16"] == ("opened", 120)
            assert due[kind, "on_site", "R17"] == ("leak", 30)
        assert due["leak", "on_site", "R17"] == ("opened", 30)
        assert due["heat_outage", "on_site", "R17"] == ("leak", 30)
        assert due["heat_outage", "start", "R11"] == ("opened", 0)
        assert due["heat_outage", "warning", "R12"] == ("cause", 6 * 60)
        assert due["heat_outage", "notice", "R12"] == ("cause", 8 * 60)
        for kind in set(clocks) - {"sensor"}:
            assert due[kind, "opinion", "R15"] == ("opened", 60)
            assert due[kind, "result", "R15"] == ("from_above", 60)
            assert due[kind, "finish", "R18"] == ("opened", 24 * 60)
            assert due[kind, "follow_up", "R19"] == ("finish", 72 * 60)

    def test_the_deadlines_of_points_are_ours_and_whole_days(self) -> None:
        """R7 says in good time. They fall due at the hour at which they began, and none in the night by itself."""
        clocks = default_standard().versions[0].clocks["sensor"]
        assert {(one.rule, one.source) for one in clocks} == {("R7", "ours"), ("R14", "ours")}
        assert [(one.step, one.counted_from, one.within_min / 1440) for one in clocks] == [
            ("take", "opened", 1),
            ("on_site", "fault", 3),
            ("finish", "fault", 7),
            ("finish", "battery", 30),
            ("follow_up", "finish", 3),
        ]

    def test_what_holds_for_leaks_alone_holds_for_nothing_else(self) -> None:
        """R16 speaks of repairs other than leaks; heatwatch does warning and notice itself, the others are people's."""
        rules = [one for clocks in default_standard().versions[0].clocks.values() for one in clocks]
        assert {one.leak for one in rules if one.rule == "R16"} == {False}
        assert {one.step for one in rules if one.lead_min is not None} == {"warning", "notice"}
        assert {one.not_before_min for one in rules if one.rule == "R19"} == {48 * 60}

    def test_a_contract_raises_what_the_class_asks_and_never_lowers_it(self) -> None:
        standard = parse_standard(
            """
            versions:
              - classes:
                  apartment:
                    target_c: {value: 18, rule: R2}
                    hours: [{from: "00:00", to: "24:00", minimum_c: 16, rule: R2}]
                contracts:
                  warm: [{from: "08:00", to: "20:00", minimum_c: 20, target_c: 22}]
                  cool: [{from: "08:00", to: "20:00", minimum_c: 12}]
            """,
            where="here",
        )
        noon = 12 * 60
        version = standard.versions[0]
        assert version.asked(RoomClass.APARTMENT, "warm", noon) == Limit(20.0, 22.0, "R2")
        assert version.asked(RoomClass.APARTMENT, "warm", 0) == Limit(16.0, 18.0, "R2")
        assert version.asked(RoomClass.APARTMENT, "cool", noon) == Limit(16.0, 18.0, "R2")
        assert version.asked(RoomClass.NON_RESIDENTIAL, "cool", noon) == Limit(12.0, 12.0, "R4")

    @pytest.mark.parametrize(
        ("kind", "clocks", "why"),
        [
            ("heat_outage", "[{step: notise, within_min: 480, rule: R12}]", "no such step: notise"),
            ("heat_outages", "[{step: notice, within_min: 480, rule: R12}]", "heat_outages"),
            (
                "low_temperature",
                "[{step: on_site, within_min: 120, rule: R16}, {step: on_site, within_min: 30, rule: R17, leak: true}]",
                "on_site has two deadlines at once",
            ),
            (
                "sensor",
                "[{step: take, within_min: 9, rule: R7, counted_from: fault}, {step: take, within_min: 8, rule: R7}]",
                "take has two deadlines at once",
            ),
        ],
    )
    def test_a_deadline_that_dispatch_could_not_keep_is_refused(self, kind: str, clocks: str, why: str) -> None:
        """It would be found out by dispatch, with the first ticket of its kind."""
        text = f"versions: [{{classes: {{apartment: {{hours: []}}}}, clocks: {{{kind}: {clocks}}}}}]"
        with pytest.raises(BadInput, match=why):
            parse_standard(text, where="here")
