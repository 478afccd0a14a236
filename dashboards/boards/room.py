"""房间: everything that is known of a test point."""

from __future__ import annotations

from dashboards.boards.building import HOUSE_OR_STATION
from dashboards.boards.layout import Asked, Board, Kind, Panel, Style
from dashboards.boards.parts import (
    BUILDING,
    BUILDING_HERE,
    MEASURED,
    POINT,
    POINT_HERE,
    STATION,
    VALID,
    asked,
    is_kind,
    limits,
    spans,
)
from dashboards.looks import BLUE, CELSIUS, GREY, ORANGE, PURPLE, SKY, VERMILION, Look
from dashboards.queries.asking import (
    AROUND,
    SEASON,
    Column,
    Condition,
    Curve,
    Either,
    Every,
    Fn,
    Is,
    Latest,
    Rows,
    Since,
    Term,
    Window,
    same,
)
from dashboards.settings import Limits
from dashboards.words import TICKET_KINDS, Said
from heatwatch.domain.findings import FindingKind
from heatwatch.stores.influx.schema import FINDING, READING, ROOM_HOUR, TICKET

OF_POINT = (Is("subject_kind", "=", "point"), Is("subject", "=", POINT.choice))
SENT = (Is(READING.tag, "=", POINT.choice),)
"""Readings of the thermometer that is called like its point."""
_LASTING = Either((Is("end_ms", "=", 0), Is("end_ms", ">=", Since())))


def room(_: Limits) -> Board:
    """Return the board."""
    return Board(
        name="room",
        title=Said("房间（测温点）", "Room"),
        note=Said("一个测温点的室温、限值、低温时段、故障、电量和工单。", "Everything that is known of a test point."),
        since="now-7d",
        variables=(STATION, BUILDING, POINT),
        marked=(
            spans(Said("低温时段", "Cold spell"), PURPLE, (is_kind(FindingKind.COLD_SPELL), *OF_POINT), "rule"),
            spans(Said("数据中断", "Data outage"), GREY, (is_kind(FindingKind.DATA_OUTAGE), *OF_POINT), "subject"),
            spans(Said("传感器故障", "Sensor fault"), ORANGE, (is_kind(FindingKind.SENSOR_FAULT), *OF_POINT), "fault"),
            spans(
                Said("停热", "Heat outage"), VERMILION, (is_kind(FindingKind.HEAT_OUTAGE), *HOUSE_OR_STATION), "subject"
            ),
        ),
        panels=(
            _last(),
            _curve(),
            _spells(),
            _silences(),
            _faults(),
            _outages(),
            _tickets(),
            _raw(),
            _battery(),
            _signal(),
        ),
    )


def _last() -> Panel:
    columns = {**same("last_c", "minimum_c"), "above_k": Column("last_c") - Column("minimum_c")}
    return Panel(
        kind=Kind.TILES,
        title=Said("最近室温", "Now"),
        note=Said(
            "近一日内最近一个有读数的小时：最后读数、当时限值、两者之差。", "The last hour with a reading within a day."
        ),
        at=(0, 0, 24, 4),
        asked=asked(
            Latest(of=ROOM_HOUR, window=Window(back_h=24), where=(*POINT_HERE, MEASURED), by=("room",), columns=columns)
        ),
        nothing=Said("近一日无有效读数", "no valid reading within a day"),
    )


def _curve() -> Panel:
    def line(fn: Fn, value: str, said: Said, colour: str, style: Style) -> Asked:
        ask = Curve(of=ROOM_HOUR, value=value, fn=fn, where=(*POINT_HERE, MEASURED))
        return Asked(ask=ask, said=said, colour=colour, style=style)

    return Panel(
        kind=Kind.CURVES,
        title=Said("室温曲线", "Room temperature"),
        note=Said(
            "有效读数（已校准）的小时平均、最低、最高值。黑色虚线为该房间当时的最低限值，灰色点线为目标温度。"
            "底色：低温时段、停热、数据中断、传感器故障。",
            "Means, lowest and highest of the valid, calibrated readings of each hour. Dashed black: "
            "what was asked of this "
            "room; dotted: the target. Shaded: what was found.",
        ),
        at=(0, 4, 24, 12),
        asked=(
            line(Fn.MEAN, "mean_c", Said("平均", "mean"), BLUE, Style.LINE),
            line(Fn.MIN, "min_c", Said("最低", "lowest"), SKY, Style.THIN),
            line(Fn.MAX, "max_c", Said("最高", "highest"), SKY, Style.THIN),
            *limits(POINT_HERE),
        ),
        unit=CELSIUS,
        decimals=1,
        least_step="1h",
    )


def _found(
    title: Said, note: Said, at: tuple[int, int, int, int], names: tuple[str, ...], where: tuple[Condition, ...]
) -> Panel:
    columns: dict[str, Term] = {**same("start_ms", "end_ms", *names)}
    return Panel(
        kind=Kind.TABLE,
        title=title,
        note=note,
        at=at,
        asked=asked(Rows(of=FINDING, columns=columns, window=AROUND, where=(*where, VALID, _LASTING))),
        nothing=Said("所选时段没有", "none in this time"),
        sort="start_ms",
        down=True,
    )


def _spells() -> Panel:
    return _found(
        Said("低温时段", "Cold spells"),
        Said("所选时段内的低温时段。“缺热量”为低于限值的温差乘以时间。", "Cold spells of the chosen time."),
        (0, 16, 24, 6),
        ("open", "confirmed", "end_reason", "violation_h", "unknown_h", "min_temp_c", "deficit_kh", "rule", "ticket"),
        (is_kind(FindingKind.COLD_SPELL), *OF_POINT),
    )


def _silences() -> Panel:
    return _found(
        Said("数据中断", "Data outages"),
        Said("此测温点没有读数的时段。", "Times without a reading of this point."),
        (0, 22, 12, 6),
        ("open", "duration_h", "part_of"),
        (is_kind(FindingKind.DATA_OUTAGE), *OF_POINT),
    )


def _faults() -> Panel:
    return _found(
        Said("传感器故障", "Sensor faults"),
        Said(
            "此测温点读数不可信的时段及其依据。", "When its readings were not those of the room, and why that is known."
        ),
        (12, 22, 12, 6),
        ("open", "fault", "detail", "ticket"),
        (is_kind(FindingKind.SENSOR_FAULT), *OF_POINT),
    )


def _outages() -> Panel:
    return _found(
        Said("本楼及全站停热", "Heat outages of house and station"),
        Said("所选时段内本楼或全站的停热。", "Of its building or its whole station, in the chosen time."),
        (0, 28, 12, 6),
        ("subject_kind", "open", "evidence", "confidence", "ticket"),
        (is_kind(FindingKind.HEAT_OUTAGE), *HOUSE_OR_STATION),
    )


def _tickets() -> Panel:
    columns = same("ticket", "kind", "state", "opened_ms", "rule", "missed")
    return Panel(
        kind=Kind.TABLE,
        title=Said("本测温点工单", "Tickets of this point"),
        note=Said(
            "本采暖季此测温点的工单，最近的排在最前；上门情况见工单。",
            "Of this season, the latest first; visits are in the ticket.",
        ),
        at=(12, 28, 12, 6),
        asked=asked(
            Rows(of=TICKET, columns=columns, window=SEASON, where=(*BUILDING_HERE, Is("point", "=", POINT.choice)))
        ),
        looks={"kind": Look(said=Said("类别", "Kind"), words=TICKET_KINDS)},
        nothing=Said("没有工单", "no ticket"),
        sort="opened_ms",
        down=True,
    )


def _sent(
    value: str, title: Said, note: Said, at: tuple[int, int, int, int], unit: str = "", decimals: int = 1
) -> Panel:
    every = Every.POINT if value == "temperature_c" else Every.AUTO
    return Panel(
        kind=Kind.CURVES,
        title=title,
        note=note,
        at=at,
        asked=(
            Asked(
                ask=Curve(of=READING, value=value, where=SENT, every=every),
                said=title,
                colour=BLUE,
                style=Style.POINTS if every is Every.POINT else Style.LINE,
            ),
        ),
        unit=unit,
        decimals=decimals,
        nothing=Said(
            "没有同名温度计的数据，见“室温读数”", "no thermometer of this name: see the board of thermometers"
        ),
    )


def _raw() -> Panel:
    note = Said(
        "与测温点同名的温度计上报的原始读数，未经校准和判定。温度计另有名称的，见“室温读数”看板。",
        "As sent by the thermometer that is called like its point, neither calibrated nor judged. "
        "Thermometers with a name "
        "of their own are on the board of thermometers.",
    )
    return _sent("temperature_c", Said("原始读数", "As sent"), note, (0, 34, 12, 9), CELSIUS, 2)


def _battery() -> Panel:
    note = Said(
        "温度计上报的电量，单位以设备为准（%、V 或 mV）。", "As the thermometer tells it: percent, volts or millivolts."
    )
    return _sent("battery", Said("电量", "Battery"), note, (12, 34, 6, 9))


def _signal() -> Panel:
    note = Said("温度计无线信号强度。", "Strength of the radio signal.")
    return _sent("rssi_dbm", Said("信号强度", "Signal"), note, (18, 34, 6, 9), "dBm", 0)
