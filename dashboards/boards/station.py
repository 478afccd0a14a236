"""供热站: the houses of a station hour by hour, its coldest rooms, its water, its work."""

from __future__ import annotations

from dashboards.boards.layout import Asked, Board, Kind, Panel
from dashboards.boards.parts import (
    AS_IT_STANDS,
    HERE,
    RATE_NOTE,
    STATION,
    asked,
    open_tickets,
    outages,
    rates,
    silent_points,
    supply,
)
from dashboards.looks import CELSIUS, ORANGE, PALE, PERCENT, ROOM_MAP, VERMILION
from dashboards.queries.asking import NOW, Column, Curve, Is, Latest, Window, same
from dashboards.settings import Limits
from dashboards.words import Said
from heatwatch.stores.influx.schema import ROOM_HOUR, STATION_NOW

_LAST_HOURS = Window(back_h=3)
_COLD_SHARE = ((None, PALE), (5.0, ORANGE), (25.0, VERMILION))


def station(limits: Limits) -> Board:
    """Return the board."""
    return Board(
        name="station",
        title=Said("供热站", "Station"),
        note=Said(
            "本站各楼逐时室温、最冷房间、供回水、停热、工单和数据中断。", "A station: its houses, rooms and work."
        ),
        since="now-48h",
        variables=(STATION,),
        panels=(
            _tiles(),
            _map(),
            _share(),
            _coldest(),
            outages((10, 33, 14, 10), limits.notice_h, HERE),
            supply((10, 43, 14, 12), HERE),
            silent_points((0, 55, 10, 9), HERE),
            open_tickets((10, 55, 14, 9), HERE),
        ),
    )


def _tiles() -> Panel:
    now = Latest(of=STATION_NOW, window=NOW, where=HERE, by=("station",), columns=AS_IT_STANDS)
    return Panel(
        kind=Kind.TILES,
        title=Said("本站现况", "The station now"),
        note=Said(
            "低温房间：处于已确认低温时段；当前低于限值：最近读数低于限值、尚未确认；数据中断房间：正在数据中断。"
            + RATE_NOTE.zh,
            "Cold rooms are in a confirmed cold spell; below the limit: measured so, not confirmed yet. "
            + RATE_NOTE.en,
        ),
        at=(0, 0, 24, 5),
        asked=(Asked(ask=now), Asked(ask=rates(where=HERE))),
    )


def _map() -> Panel:
    return Panel(
        kind=Kind.LANES,
        title=Said("各楼逐时平均室温", "Mean temperature of each building by hour"),
        note=Said(
            "每行一栋楼，每格一小时：全楼在测房间的平均室温。{low} ℃ 以下、{low} 至 {high} ℃、{high} ℃ 及以上分色，"
            "高出 2 ℃、6 ℃ 再各分一级，格内为数值。空白为无读数。点击打开楼栋看板。",
            "A row for each building, a cell for each hour: the mean of its rooms. Coloured at {low} "
            "and {high} °C, and "
            "2 and 6 K above; the number stands in the cell. Empty: nothing was measured.",
        ),
        at=(0, 5, 24, 16),
        asked=asked(Curve(of=ROOM_HOUR, value="mean_c", where=HERE, by=("building",))),
        label="building",
        unit=CELSIUS,
        decimals=1,
        steps=ROOM_MAP,
        least_step="1h",
        to="building",
    )


def _share() -> Panel:
    return Panel(
        kind=Kind.LANES,
        title=Said("各楼低于限值读数占比", "Share of readings below the minimum"),
        note=Said(
            "每行一栋楼，每格一小时：有效读数中低于最低限值的比例。白天限值 {high} ℃，夜间 {low} ℃。",
            "Of the valid readings of a building in an hour, those below the minimum: {high} °C by "
            "day, {low} °C at night.",
        ),
        at=(0, 21, 24, 12),
        asked=asked(Curve(of=ROOM_HOUR, value="violations", over="readings", where=HERE, by=("building",))),
        label="building",
        unit=PERCENT,
        decimals=0,
        steps=_COLD_SHARE,
        least_step="1h",
        to="building",
    )


def _coldest() -> Panel:
    columns = {**same("last_c", "minimum_c"), "above_k": Column("last_c") - Column("minimum_c")}
    ask = Latest(
        of=ROOM_HOUR,
        window=_LAST_HOURS,
        where=(*HERE, Is("readings", ">", 0)),
        by=("building", "room", "point"),
        columns=columns,
    )
    return Panel(
        kind=Kind.TABLE,
        title=Said("最冷房间", "Coldest rooms"),
        note=Said(
            "近3小时有读数的房间，按与当前限值之差排列，负数表示低于限值。点击测温点打开房间看板。",
            "Rooms heard within three hours, by what they have above their limit; negative is below it.",
        ),
        at=(0, 33, 10, 22),
        asked=asked(ask),
        sort="above_k",
    )
