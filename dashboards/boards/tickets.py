"""工单与时限: what has to be done, by when, and what was missed."""

from __future__ import annotations

from dashboards.boards.layout import Asked, Board, Kind, Panel, Style
from dashboards.boards.parts import HOUR_MS, OPEN, STATIONS, asked, open_tickets
from dashboards.looks import Look
from dashboards.queries.asking import (
    CHOSEN,
    NOW,
    SEASON,
    Column,
    Curve,
    Every,
    Fn,
    Is,
    Made,
    Rows,
    Sums,
    Term,
    Until,
    same,
)
from dashboards.settings import Limits
from dashboards.words import NOTICE_KINDS, NOTICE_STATES, STEPS, TICKET_KINDS, Said
from heatwatch.stores.influx.schema import NOTICE, STATION_NOW, TICKET, TICKET_EVENT

AT = (Is("station", "=", STATIONS.choice),)
"""At the chosen stations."""
_KIND = Look(said=Said("类别", "Kind"), words=TICKET_KINDS)


def tickets(_: Limits) -> Board:
    """Return the board."""
    return Board(
        name="tickets",
        title=Said("工单与时限", "Tickets and deadlines"),
        note=Said("在办工单、下一步时限、超时记录和停热公告。", "What has to be done, by when, and what was missed."),
        since="now-7d",
        variables=(STATIONS,),
        panels=(
            _now(),
            open_tickets((0, 5, 24, 12), AT),
            _waiting(),
            _notices(),
            _opened(),
            _missed(),
            _overdue(),
            _log(),
        ),
    )


def _now() -> Panel:
    names = ("tickets", "clocks_running", "clocks_overdue", "notices_due")
    columns: dict[str, Term] = {name: Made(Fn.SUM, name) for name in names}
    return Panel(
        kind=Kind.TILES,
        title=Said("时限现况", "Deadlines now"),
        note=Said(
            "进行中时限：在办工单尚未完成的各项时限；超期时限：其中已过期的；待发公告：应发而未发的停热公告。",
            "Deadlines of tickets at work that are not met yet; of these those that have passed; notices "
            "that a rule asks "
            "for and nobody has published.",
        ),
        at=(0, 0, 24, 5),
        asked=asked(Sums(of=STATION_NOW, where=AT, window=NOW, latest_by=("station",), columns=columns)),
    )


def _waiting() -> Panel:
    return Panel(
        kind=Kind.TABLE,
        title=Said("在办工单（按类别）", "Tickets at work, by kind"),
        note=Said(
            "所选供热站在办工单的件数、进行中时限和累计超时次数。", "How many, with their deadlines, run and missed."
        ),
        at=(0, 17, 10, 9),
        asked=asked(
            Sums(
                of=TICKET,
                where=(*AT, OPEN),
                window=SEASON,
                by=("kind",),
                columns={
                    "count": Made(Fn.COUNT, "ticket"),
                    "clocks": Made(Fn.SUM, "clocks"),
                    "missed": Made(Fn.SUM, "missed"),
                },
            )
        ),
        looks={"kind": _KIND},
        nothing=Said("没有在办工单", "no ticket at work"),
        sort="count",
        down=True,
    )


def _notices() -> Panel:
    columns: dict[str, Term] = {
        **same("kind", "state", "station", "title", "building_count"),
        "left_h": (Column("due_ms") - Until()) / HOUR_MS,
        **same("ticket"),
    }
    looks = {
        "kind": Look(said=Said("类别", "Kind"), words=NOTICE_KINDS),
        "state": Look(said=Said("状态", "State"), words=NOTICE_STATES),
    }
    return Panel(
        kind=Kind.TABLE,
        title=Said("未发布的公告", "Notices not published yet"),
        note=Said(
            "已拟稿、尚未发布的公告及剩余时间；负数表示已超过时限。",
            "Drafts, and the time left; negative when overdue.",
        ),
        at=(10, 17, 14, 9),
        asked=asked(
            Rows(of=NOTICE, columns=columns, window=SEASON, where=(Is("state", "=", "draft"), *AT)),
        ),
        looks=looks,
        nothing=Said("没有待发布的公告", "nothing to publish"),
        sort="left_h",
    )


def _opened() -> Panel:
    return Panel(
        kind=Kind.CURVES,
        title=Said("每日新开工单", "Tickets opened each day"),
        note=Said("按类别统计每日新开的工单数。", "By kind."),
        at=(0, 26, 12, 9),
        asked=(
            Asked(
                ask=Curve(of=TICKET, value="ticket", fn=Fn.COUNT, every=Every.DAY, by=("kind",), where=AT),
                style=Style.BARS,
            ),
        ),
        label="kind",
        words=TICKET_KINDS,
        decimals=0,
        recent="30d",
    )


def _missed() -> Panel:
    overdue = (*AT, Is("kind", "=", "overdue"))
    return Panel(
        kind=Kind.CURVES,
        title=Said("每日超时次数", "Deadlines missed each day"),
        note=Said("工单记录中“超过时限”的次数，按供热站统计。", "As noted in the tickets' logs, by station."),
        at=(12, 26, 12, 9),
        asked=(
            Asked(
                ask=Curve(of=TICKET_EVENT, value="event", fn=Fn.COUNT, every=Every.DAY, by=("station",), where=overdue),
                style=Style.BARS,
            ),
        ),
        label="station",
        decimals=0,
        recent="30d",
        nothing=Said("近30日没有超时", "none in 30 days"),
    )


def _overdue() -> Panel:
    return Panel(
        kind=Kind.CURVES,
        title=Said("超期时限数", "Deadlines overdue"),
        note=Said(
            "各时刻已过期未完成的时限，按供热站统计。", "Deadlines that have passed and are not met, by station."
        ),
        at=(0, 35, 12, 9),
        asked=asked(Curve(of=STATION_NOW, value="clocks_overdue", fn=Fn.MAX, by=("station",), where=AT)),
        label="station",
        decimals=0,
        least_step="1m",
    )


def _log() -> Panel:
    columns = same("ticket", "station", "building", "ticket_kind", "step", "rule")
    return Panel(
        kind=Kind.TABLE,
        title=Said("超时记录", "What was missed"),
        note=Said(
            "所选时段内超过的时限及其依据。", "Deadlines missed in the chosen time, and the rules that set them."
        ),
        at=(12, 35, 12, 9),
        asked=asked(
            Rows(of=TICKET_EVENT, columns=columns, dated=True, window=CHOSEN, where=(*AT, Is("kind", "=", "overdue")))
        ),
        looks={
            "ticket_kind": _KIND,
            "step": Look(said=Said("时限", "Deadline"), words=STEPS),
        },
        nothing=Said("所选时段没有超时", "none in this time"),
        sort="Time",
        down=True,
    )
