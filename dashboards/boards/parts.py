"""Panels and choices that more than one board has."""

from __future__ import annotations

from dashboards import words
from dashboards.boards.layout import Asked, Kind, Marked, Panel, Style, Variable
from dashboards.looks import BLUE, CELSIUS, GREY, VERMILION, Look
from dashboards.queries.asking import (
    AROUND,
    SEASON,
    WEEK,
    Ask,
    Choice,
    Column,
    Condition,
    Curve,
    Either,
    Ended,
    Fn,
    Is,
    Rows,
    Since,
    Sums,
    Term,
    Until,
    Values,
    same,
    share,
)
from dashboards.words import Said
from heatwatch.domain.findings import FindingKind
from heatwatch.stores.influx.schema import (
    COMPLIANCE_DAY,
    FINDING,
    ROOM_HOUR,
    STATION_NOW,
    SUPPLY_HOUR,
    TICKET,
    Measurement,
)

HOUR_MS, MINUTE_MS, HOUR_S, MINUTE_S = 3_600_000.0, 60_000.0, 3600.0, 60.0
HERE = (Is("station", "=", Choice("station")),)
"""At the chosen station."""
BUILDING_HERE = (*HERE, Is("building", "=", Choice("building")))
POINT_HERE = (*BUILDING_HERE, Is("point", "=", Choice("point")))
MEASURED = Is("readings", ">", 0)
VALID = Is("withdrawn", "=", False)  # noqa: FBT003 - what the field is compared with
OPEN = Is("open", "=", True)  # noqa: FBT003 - same
LASTS: Term = (Until() - Column("start_ms")) / HOUR_MS

STATION = Variable(Choice("station"), Said("供热站", "Station"), Values(of=STATION_NOW, tag="station"))
STATIONS = Variable(Choice("station", many=True), Said("供热站", "Stations"), Values(of=STATION_NOW, tag="station"))
BUILDING = Variable(Choice("building"), Said("楼栋", "Building"), Values(of=ROOM_HOUR, tag="building", where=HERE))
POINT = Variable(Choice("point"), Said("测温点", "Is point"), Values(of=ROOM_HOUR, tag="point", where=BUILDING_HERE))

AS_IT_STANDS: dict[str, Term] = {
    "outages": Column("outages"),
    "cold": Column("cold"),
    "below": Column("below"),
    "clocks_overdue": Column("clocks_overdue"),
    "tickets": Column("tickets"),
    "silent": Column("silent"),
    "heard_pct": 100 * (Column("points_heard") / Column("points_expected")),
}
"""What a station's tiles tell."""


def is_kind(kind: FindingKind) -> Is:
    """Return the test for findings of a kind."""
    return Is("kind", "=", kind.value)


def asked(ask: Ask) -> tuple[Asked, ...]:
    """Return a panel's only query."""
    return (Asked(ask=ask),)


def rates(by: tuple[str, ...] = (), where: tuple[Condition, ...] = ()) -> Sums:
    """Return the query for compliance rates of the last seven days."""
    return Sums(
        of=COMPLIANCE_DAY, where=where, window=WEEK, by=by, columns={"hours_pct": share("compliant_ms", "rated_ms")}
    )


RATE_NOTE = Said(
    "合格率按时长计：合格时长占合格与低于限值时长之和的比例，只舍不入。无数据、传感器故障和停热时段不计入。",
    "The rate goes by time: what complies of what complies or violates, cut off and never rounded up. Time without "
    "data, with a faulty thermometer or without heat is in none.",
)


def outages(at: tuple[int, int, int, int], notice_h: float, where: tuple[Condition, ...] = ()) -> Panel:
    """Return the table of stops of heat that go on."""
    lasting = (Until() - Column("start_ms")) / HOUR_MS
    columns: dict[str, Term] = {
        **same("station", "building", "start_ms"),
        "lasts_h": lasting,
        "announce_left_h": notice_h - lasting,
        **same("evidence", "confidence", "ticket"),
    }
    return Panel(
        kind=Kind.TABLE,
        title=Said("正在停热", "Heat outages"),
        note=Said(
            "尚未结束的停热。“距公告时限”为距停热满 {notice} 小时的时间，负数表示已超过；"
            "是否已发公告见“工单与时限”。楼栋“全站”即整个供热站停热。",
            "Stops of heat that go on. “Notice due in” counts down to {notice} hours after the beginning, by when "
            "users have to be told; whether they were is on the board of tickets.",
        ),
        at=at,
        asked=asked(
            Rows(
                of=FINDING,
                columns=columns,
                window=SEASON,
                where=(is_kind(FindingKind.HEAT_OUTAGE), OPEN, VALID, *where),
            )
        ),
        nothing=Said("当前没有停热", "the heat is on everywhere"),
        sort="lasts_h",
        down=True,
    )


def open_tickets(at: tuple[int, int, int, int], where: tuple[Condition, ...] = ()) -> Panel:
    """Return the table of tickets on which something is still to be done."""
    columns: dict[str, Term] = {
        **same("ticket", "kind", "station", "building", "room", "state", "step", "step_rule"),
        "left_h": (Column("due_ms") - Until()) / HOUR_MS,
        **same("missed", "opened_ms"),
    }
    return Panel(
        kind=Kind.TABLE,
        title=Said("在办工单", "Tickets at work"),
        note=Said(
            "尚有工作未完成的工单及其下一步时限，时限最紧的排在最前；剩余时间为负表示已超时。",
            "Tickets on which something is still to be done, the most pressing first; time left is "
            "negative when overdue.",
        ),
        at=at,
        asked=asked(Rows(of=TICKET, columns=columns, window=SEASON, where=(OPEN, Is("due_ms", ">", 0), *where))),
        looks={"kind": Look(said=Said("类别", "Kind"), words=words.TICKET_KINDS)},
        nothing=Said("没有在办工单", "no ticket at work"),
        sort="left_h",
    )


def silent_points(at: tuple[int, int, int, int], where: tuple[Condition, ...]) -> Panel:
    """Return the table of points that are silent."""
    columns: dict[str, Term] = {
        **same("building", "subject", "start_ms"),
        "lasts_h": LASTS,
        **same("part_of"),
    }
    tests = (is_kind(FindingKind.DATA_OUTAGE), Is("subject_kind", "=", "point"), OPEN, VALID, *where)
    return Panel(
        kind=Kind.TABLE,
        title=Said("数据中断测温点", "Silent points"),
        note=Said(
            "正在数据中断的测温点，中断最久的排在最前。数据中断只说明没有读数，不代表停热。“属于”为整楼或全站中断时的对象。",
            "Points with a data outage that goes on, the longest first. It says nothing of the heat. "
            "“Part of” names the "
            "building or station that is silent as a whole.",
        ),
        at=at,
        asked=asked(Rows(of=FINDING, columns=columns, window=SEASON, where=tests)),
        looks={"subject": Look(said=Said("测温点", "Is point"))},
        nothing=Said("没有数据中断", "none is silent"),
        sort="lasts_h",
        down=True,
    )


def supply(at: tuple[int, int, int, int], where: tuple[Condition, ...]) -> Panel:
    """Return the curves of supply and return."""

    def line(value: str, said: Said, colour: str) -> Asked:
        return Asked(ask=Curve(of=SUPPLY_HOUR, value=value, where=where), said=said, colour=colour)

    return Panel(
        kind=Kind.CURVES,
        title=Said("供、回水温度", "Supply and return"),
        note=Said(
            "供水、回水温度的小时平均值；有多个测温装置时为其平均。",
            "Means of the hour; of several sensors their mean.",
        ),
        at=at,
        asked=(
            line("supply_c", Said("供水", "supply"), VERMILION),
            line("return_c", Said("回水", "return"), BLUE),
        ),
        unit=CELSIUS,
        decimals=1,
        least_step="1h",
        nothing=Said("没有供水测温", "no supply sensor"),
    )


def limits(where: tuple[Condition, ...], of: Measurement = ROOM_HOUR) -> tuple[Asked, ...]:
    """Return the step lines of what is asked."""
    being_asked = Is("asked", "=", True)  # noqa: FBT003 - what the field is compared with
    return (
        Asked(
            ask=Curve(of=of, value="minimum_c", fn=Fn.MAX, where=(*where, being_asked)),
            said=Said("最低限值", "minimum"),
            style=Style.LIMIT,
            colour="#000000",
        ),
        Asked(
            ask=Curve(of=of, value="target_c", fn=Fn.MAX, where=(*where, being_asked)),
            said=Said("目标温度", "target"),
            style=Style.TARGET,
            colour=GREY,
        ),
    )


def spans(said: Said, colour: str, where: tuple[Condition, ...], text: str, of: Measurement = FINDING) -> Marked:
    """Return spans of findings that reach into the chosen time."""
    lasting = Either((Is("end_ms", "=", 0), Is("end_ms", ">=", Since())))
    columns: dict[str, Term] = {"timeEnd": Ended("end_ms"), "text": Column(text), "tags": Column("kind")}
    return Marked(said, colour, Rows(of=of, columns=columns, dated=True, window=AROUND, where=(VALID, lasting, *where)))
