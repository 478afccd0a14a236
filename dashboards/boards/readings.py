"""室温读数: raw readings by thermometer, whatever the register says of it."""

from __future__ import annotations

from dashboards.boards.layout import Asked, Board, Kind, Panel, Style, Variable
from dashboards.boards.parts import asked
from dashboards.looks import CELSIUS, Look
from dashboards.queries.asking import CHOSEN, Choice, Curve, Every, Is, Latest, Values, same
from dashboards.settings import Limits
from dashboards.words import Said
from heatwatch.stores.influx.schema import READING

SOURCE = Variable(
    Choice(READING.tag, many=True), Said("温度计", "Thermometer"), Values(of=READING, tag=READING.tag), everything=False
)


def readings(_: Limits) -> Board:
    """Return the board."""
    return Board(
        name="readings",
        title=Said("室温读数", "Thermometers"),
        note=Said(
            "温度计上报的原始读数，未经校准和判定。", "As the thermometers sent it, neither calibrated nor judged."
        ),
        since="now-24h",
        variables=(SOURCE,),
        panels=(_curves(), _latest()),
    )


def _curves() -> Panel:
    ask = Curve(
        of=READING,
        value="temperature_c",
        every=Every.POINT,
        by=(READING.tag,),
        where=(Is(READING.tag, "=", SOURCE.choice),),
    )
    return Panel(
        kind=Kind.CURVES,
        title=Said("原始读数", "Readings"),
        note=Said(
            "所选温度计的原始读数。虚线为楼房住户最低限值：{low} ℃、{high} ℃，适用时段见规则。",
            "Readings of the chosen thermometers. Dashed: the minimum for apartments, {low} and {high} "
            "°C; the rules say "
            "at which hours.",
        ),
        at=(0, 0, 24, 12),
        asked=(Asked(ask=ask, style=Style.THIN),),
        label=READING.tag,
        unit=CELSIUS,
        decimals=2,
        lines=True,
        nothing=Said("无读数", "no reading"),
    )


def _latest() -> Panel:
    names = ("temperature_c", "humidity_pct", "battery", "rssi_dbm")
    return Panel(
        kind=Kind.TABLE,
        title=Said("最新读数", "Latest readings"),
        note=Said(
            "所选温度计在所选时段内的最后一次上报，最久未上报的排在最前。",
            "The last of each chosen thermometer within the chosen time, the longest silent first.",
        ),
        at=(0, 12, 24, 9),
        asked=asked(
            Latest(
                of=READING,
                window=CHOSEN,
                where=(Is(READING.tag, "=", SOURCE.choice),),
                by=(READING.tag,),
                columns=same(*names),
                dated=True,
            )
        ),
        looks={
            "humidity_pct": Look(said=Said("湿度", "Humidity"), unit="percent", decimals=0),
            "battery": Look(said=Said("电量", "Battery"), decimals=2),
            "rssi_dbm": Look(said=Said("信号强度", "Signal"), unit="dBm", decimals=0),
        },
        nothing=Said("无读数", "no reading"),
        sort="Time",
    )
