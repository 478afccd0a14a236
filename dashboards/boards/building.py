"""楼栋: the rooms of a house beside what is asked of them."""

from __future__ import annotations

from dashboards.boards.layout import Asked, Board, Kind, Panel, Style
from dashboards.boards.parts import (
    BUILDING,
    BUILDING_HERE,
    HERE,
    MEASURED,
    STATION,
    VALID,
    asked,
    is_kind,
    limits,
    open_tickets,
    spans,
    supply,
)
from dashboards.looks import CELSIUS, PURPLE, VERMILION, Look
from dashboards.queries.asking import AROUND, Curve, Either, Fn, Is, Latest, Rows, Since, Window, same
from dashboards.settings import Limits
from dashboards.words import PLACES, Said
from heatwatch.domain.findings import FindingKind
from heatwatch.stores.influx.schema import FINDING, ROOM_HOUR, WHOLE_STATION

SPELLS = (is_kind(FindingKind.COLD_SPELL),)
HOUSE_OR_STATION = (*HERE, Either((Is("building", "=", BUILDING.choice), Is("building", "=", WHOLE_STATION))))
"""Of the chosen house, or of its station as a whole."""
OUTAGES = (*HOUSE_OR_STATION, is_kind(FindingKind.HEAT_OUTAGE))
APARTMENTS = (*BUILDING_HERE, Is("room_class", "=", "apartment"))


def building(_: Limits) -> Board:
    """Return the board."""
    return Board(
        name="building",
        title=Said("楼栋", "Building"),
        note=Said("全楼室温与限值、低温时段、近中远端对比。", "The rooms of a house beside what is asked of them."),
        since="now-72h",
        variables=(STATION, BUILDING),
        marked=(
            spans(Said("低温时段", "Cold spell"), PURPLE, (*BUILDING_HERE, *SPELLS), "subject"),
            spans(Said("停热", "Heat outage"), VERMILION, OUTAGES, "subject"),
        ),
        panels=(_rooms(), _places(), _lowest(), _now(), _spells(), supply((0, 31, 12, 9), BUILDING_HERE),
                open_tickets((12, 31, 12, 9), BUILDING_HERE)),
    )  # fmt: skip


def _rooms() -> Panel:
    rooms = Curve(of=ROOM_HOUR, value="mean_c", where=(*BUILDING_HERE, MEASURED), by=("room",))
    return Panel(
        kind=Kind.CURVES,
        title=Said("各房间室温", "Rooms"),
        note=Said(
            "各房间小时平均室温。黑色虚线为楼房住户最低限值（白天 {high} ℃，夜间 {low} ℃），灰色点线为目标温度；"
            "其他类别的限值见房间看板。底色为低温时段和停热。",
            "Means of the hour. Dashed black: the minimum of apartments ({high} °C by day, {low} °C "
            "at night); dotted: the "
            "target. Limits of other rooms are on the room's board. Shaded: cold spells and heat outages.",
        ),
        at=(0, 0, 24, 13),
        asked=(Asked(ask=rooms, style=Style.THIN), *limits(APARTMENTS)),
        label="room",
        unit=CELSIUS,
        decimals=1,
        least_step="1h",
    )


def _places() -> Panel:
    near_to_far = Curve(of=ROOM_HOUR, value="mean_c", where=(*BUILDING_HERE, MEASURED), by=("place",))
    return Panel(
        kind=Kind.CURVES,
        title=Said("近、中、远端平均室温", "Near, middle and far end"),
        note=Said(
            "按测温点台账登记的环路位置（近、中、远端）平均。远端明显偏低，说明水力失调。",
            "Means by where the rooms hang on the loop, in the register's words. A far end that is "
            "much colder tells of a "
            "loop out of balance.",
        ),
        at=(0, 13, 12, 9),
        asked=asked(near_to_far),
        label="place",
        words=PLACES,
        unit=CELSIUS,
        decimals=1,
        least_step="1h",
        nothing=Said("台账未登记环路位置", "the register names no places"),
    )


def _lowest() -> Panel:
    def line(fn: Fn, value: str, said: Said) -> Asked:
        return Asked(ask=Curve(of=ROOM_HOUR, value=value, fn=fn, where=(*BUILDING_HERE, MEASURED)), said=said)

    return Panel(
        kind=Kind.CURVES,
        title=Said("全楼室温范围", "Coldest, mean, warmest"),
        note=Said(
            "全楼各小时的最低、平均、最高室温。", "The lowest, the mean and the highest of the house in each hour."
        ),
        at=(12, 13, 12, 9),
        asked=(
            line(Fn.MIN, "min_c", Said("最低", "lowest")),
            line(Fn.MEAN, "mean_c", Said("平均", "mean")),
            line(Fn.MAX, "max_c", Said("最高", "highest")),
        ),
        unit=CELSIUS,
        decimals=1,
        least_step="1h",
        lines=True,
    )


def _now() -> Panel:
    ask = Latest(
        of=ROOM_HOUR,
        window=Window(back_h=3),
        where=(*BUILDING_HERE, MEASURED),
        by=("room", "point"),
        columns=same("last_c", "minimum_c"),
    )
    return Panel(
        kind=Kind.TABLE,
        title=Said("各房间现况", "Rooms now"),
        note=Said(
            "近3小时各房间最近室温与限值，最冷的排在最前。",
            "The last of each room within three hours, the coldest first.",
        ),
        at=(0, 22, 10, 9),
        asked=asked(ask),
        sort="last_c",
    )


def _spells() -> Panel:
    columns = same(
        "subject", "start_ms", "open", "confirmed", "violation_h", "min_temp_c", "rule", "end_reason", "ticket"
    )
    lasting = Either((Is("end_ms", "=", 0), Is("end_ms", ">=", Since())))
    return Panel(
        kind=Kind.TABLE,
        title=Said("低温时段", "Cold spells"),
        note=Said("所选时段内的低温时段，含未确认的。", "Cold spells of the chosen time, unconfirmed ones too."),
        at=(10, 22, 14, 9),
        asked=asked(Rows(of=FINDING, columns=columns, window=AROUND, where=(*BUILDING_HERE, *SPELLS, VALID, lasting))),
        looks={"subject": Look(said=Said("测温点", "Is point"))},
        nothing=Said("所选时段无低温", "none"),
        sort="start_ms",
        down=True,
    )
