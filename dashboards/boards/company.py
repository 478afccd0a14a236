"""公司总览: every station at a glance."""

from __future__ import annotations

from dashboards.boards.layout import Asked, Board, Kind, Panel
from dashboards.boards.parts import HOUR_S, RATE_NOTE, asked, open_tickets, outages, rates
from dashboards.looks import PERCENT, Look
from dashboards.queries.asking import NOW, Column, Curve, Every, Fn, Latest, Made, Sums, Term, same, share
from dashboards.settings import Limits
from dashboards.words import Said
from heatwatch.stores.influx.schema import COMPLIANCE_DAY, STATION_NOW

_KINDS = tuple(field.name for field in STATION_NOW.fields if field.name.startswith("tickets_"))


def company(limits: Limits) -> Board:
    """Return the board."""
    return Board(
        name="company",
        title=Said("公司总览", "Company"),
        note=Said("各供热站一览：停热、低温、工单时限、数据完整率和合格率。", "Every station at a glance."),
        since="now-24h",
        panels=(
            _all(),
            _stations(),
            outages((0, 14, 24, 6), limits.notice_h),
            _kinds(),
            open_tickets((0, 24, 24, 9)),
            _cold(),
            _rates(),
            _complete(),
            _rates_by_station(),
        ),
    )


def _sum(name: str) -> Term:
    return Made(Fn.SUM, name)


def _all() -> Panel:
    columns = {name: _sum(name) for name in ("outages", "cold", "clocks_overdue", "tickets")}
    columns["heard_pct"] = share("points_heard", "points_expected")
    now = Sums(of=STATION_NOW, window=NOW, latest_by=("station",), columns=columns)
    return Panel(
        kind=Kind.TILES,
        title=Said("全公司现况", "The company now"),
        note=Said(
            "停热：正在停热的楼栋或供热站；低温房间：处于已确认低温时段的在测房间；超期时限：已过期未完成的工单时限；"
            "数据完整率：应有读数的测温点中按时收到读数的比例。" + RATE_NOTE.zh,
            "Heat outages that go on; rooms in a confirmed cold spell; deadlines that have passed; "
            "tickets at work; of the "
            "test points that are to be heard, those heard in time. " + RATE_NOTE.en,
        ),
        at=(0, 0, 24, 6),
        asked=(Asked(ask=now), Asked(ask=rates())),
    )


def _stations() -> Panel:
    columns: dict[str, Term] = {
        **same("outages", "longest_outage_h", "notices_due"),
        "notice_left_h": Column("notice_due_s") / HOUR_S,
        **same("cold", "below", "silent", "rooms", "tickets", "clocks_overdue"),
        "next_left_h": Column("next_due_s") / HOUR_S,
        "heard_pct": 100 * (Column("points_heard") / Column("points_expected")),
        **same("planned_buildings"),
    }
    return Panel(
        kind=Kind.TABLE,
        title=Said("各供热站现况", "Stations"),
        note=Said(
            "每站一行，停热最久的排在最前。“距公告时限”为距最近一次应发公告的时间，“最近时限”为距最近一项工单时限的时间，"
            "负数表示已超过。点击站名打开该站看板。",
            "A row for each station, the longest without heat first. Times left are negative when overdue. "
            "A station's name "
            "opens its board.",
        ),
        at=(0, 6, 24, 8),
        asked=asked(Latest(of=STATION_NOW, window=NOW, by=("station",), columns=columns)),
        sort="longest_outage_h",
        down=True,
    )


def _kinds() -> Panel:
    columns = {name: _sum(name) for name in _KINDS}
    return Panel(
        kind=Kind.TILES,
        title=Said("在办工单（按类别）", "Tickets at work, by kind"),
        note=Said("全公司在办工单数。", "Tickets of all stations on which something is still to be done."),
        at=(0, 20, 24, 4),
        asked=asked(Sums(of=STATION_NOW, window=NOW, latest_by=("station",), columns=columns)),
    )


def _cold() -> Panel:
    return Panel(
        kind=Kind.CURVES,
        title=Said("低温房间数", "Cold rooms"),
        note=Said("各站处于已确认低温时段的在测房间数。", "Rooms in a confirmed cold spell, by station."),
        at=(0, 33, 12, 9),
        asked=asked(Curve(of=STATION_NOW, value="cold", fn=Fn.MAX, by=("station",))),
        label="station",
        decimals=0,
        least_step="1m",
        to="station",
    )


def _rates() -> Panel:
    return Panel(
        kind=Kind.CURVES,
        title=Said("室温合格率（近30日，逐日）", "Compliance, day by day"),
        note=Said(f"{RATE_NOTE.zh}当日为截至目前。", f"{RATE_NOTE.en} Today is as far as it goes."),
        at=(12, 33, 12, 9),
        asked=asked(Curve(of=COMPLIANCE_DAY, value="compliant_ms", over="rated_ms", every=Every.DAY, by=("station",))),
        label="station",
        unit=PERCENT,
        decimals=1,
        recent="30d",
        to="station",
    )


def _complete() -> Panel:
    return Panel(
        kind=Kind.CURVES,
        title=Said("数据完整率", "Points heard"),
        note=Said(
            "应有读数的测温点中，按时收到读数的比例。", "Of the test points that are to be heard, those heard in time."
        ),
        at=(0, 42, 12, 9),
        asked=asked(Curve(of=STATION_NOW, value="points_heard", over="points_expected", by=("station",))),
        label="station",
        unit=PERCENT,
        decimals=1,
        least_step="1m",
        to="station",
    )


def _rates_by_station() -> Panel:
    return Panel(
        kind=Kind.TABLE,
        title=Said("各站室温合格率（近7日）", "Compliance by station, 7 days"),
        note=RATE_NOTE,
        at=(12, 42, 12, 9),
        asked=asked(rates(by=("station",))),
        looks={"hours_pct": Look(said=Said("合格率", "Rate"), unit=PERCENT, decimals=1)},
        sort="hours_pct",
    )
