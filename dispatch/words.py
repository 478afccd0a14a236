"""The Chinese texts that go out: public notices (R12, R13) and notifications, as an office would write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from heatwatch.domain.instants import from_ms
from heatwatch.domain.life import Deed, Mark
from heatwatch.domain.notices import NoticeKind
from heatwatch.domain.tickets import LABELS, TicketKind
from heatwatch.records.schema import TicketClock, TicketRow

STEPS: Mapping[str, str] = {
    "start": "组织抢修",
    Deed.TAKE: "受理",
    Deed.ASSIGN: "派工",
    Deed.CONTACT: "联系用户",
    Deed.OPINION: "报处理意见",
    Deed.RESULT: "报处理结果",
    Deed.ON_SITE: "到达现场",
    Deed.CAUSE: "查明原因",
    Deed.FINISH: "处理完毕",
    Deed.RECEIPT: "填写回执单",
    Deed.FOLLOW_UP: "回访",
    Mark.WARNING: "停热预警",
    Mark.NOTICE: "发布停热公告",
}
"""What a deadline asks for, in words."""

_TITLES = {
    NoticeKind.STOP: "停热公告",
    NoticeKind.RESTORATION: "恢复供热公告",
    NoticeKind.CORRECTION: "更正公告",
}


@dataclass(frozen=True, slots=True)
class Company:
    """Who signs: its name, the number to call (empty where none is set), its time zone."""

    name: str
    hotline: str
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Told:
    """What a notice tells of."""

    kind: NoticeKind
    station_id: str
    buildings: Sequence[str]
    start_ms: int
    end_ms: int | None
    cause: str = ""
    expected_end_ms: int | None = None


def notice(company: Company, told: Told, at_ms: int) -> tuple[str, str]:
    """Return title and text of a public notice."""
    body = {NoticeKind.STOP: _stop, NoticeKind.RESTORATION: _restoration, NoticeKind.CORRECTION: _correction}
    lines = ["尊敬的热用户：", *(f"　　{line}" for line in body[told.kind](company, told))]
    if company.hotline:
        lines.append(f"　　供热服务电话：{company.hotline}（24小时）。")
    lines += ["", company.name, _day(company, at_ms)]
    return f"{told.station_id}供热站{_TITLES[told.kind]}", "\n".join(lines)


def _stop(company: Company, told: Told) -> list[str]:
    why = f"因{told.cause}" if told.cause else "因供热系统发生故障"
    until = "我公司正在组织抢修，将尽快恢复供热，恢复情况另行公告。"
    if told.expected_end_ms is not None:
        until = f"我公司正在组织抢修，预计{_moment(company, told.expected_end_ms)}恢复供热。"
    return [
        f"{why}，{_places(told)}自{_moment(company, told.start_ms)}起停止供热。{until}",
        "由此给您带来的不便，我们深表歉意，敬请谅解。",
    ]


def _restoration(company: Company, told: Told) -> list[str]:
    since = "" if told.end_ms is None else f"已于{_moment(company, told.end_ms)}"
    return [
        f"{_places(told)}自{_moment(company, told.start_ms)}起的停热{since}恢复供热，室内温度将逐步回升。",
        "感谢您的理解与支持。室温如仍未达标，请及时与我们联系。",
    ]


_CORRECTED = "经后续测温数据核实，该时段供热未中断，现予更正。"


def _correction(company: Company, told: Told) -> list[str]:
    return [
        f"我公司此前发布的{_places(told)}自{_moment(company, told.start_ms)}起停热的公告，{_CORRECTED}",
        "由此给您带来的不便，敬请谅解。",
    ]


def _places(told: Told) -> str:
    if not told.buildings:
        return f"{told.station_id}供热站供热范围"
    return f"{told.station_id}供热站所辖{'、'.join(told.buildings)}" + (
        "" if len(told.buildings) == 1 else f"共{len(told.buildings)}栋楼"
    )


def _local(company: Company, ms: int) -> datetime:
    return from_ms(ms).astimezone(company.zone)


def _moment(company: Company, ms: int) -> str:
    """Write a moment as an office does, to the minute.

    >>> _moment(Company("", "", ZoneInfo("Asia/Shanghai")), 1764038400000)
    '11月25日10时40分'
    """
    at = _local(company, ms)
    return f"{at.month}月{at.day}日{at.hour}时{at.minute:02d}分"


def _day(company: Company, ms: int) -> str:
    at = _local(company, ms)
    return f"{at.year}年{at.month}月{at.day}日"


def place(ticket: TicketRow) -> str:
    """Return where a ticket is, in words."""
    station = f"{ticket.station_id}供热站" if ticket.station_id else "监测系统"
    parts = [station, ticket.building_id, ticket.room_id or ""]
    return " ".join(part for part in parts if part)


def opened(company: Company, ticket: TicketRow, next_clock: TicketClock | None) -> str:
    """Return what is told when a ticket opens."""
    head = "【紧急工单】" if ticket.emergency else "【新工单】"
    label = LABELS[TicketKind(ticket.kind)]
    if ticket.kind == TicketKind.TECHNICAL:
        label = f"{label}（{ticket.subject}）"
    since = _moment(company, ticket.cause_start_ms)
    text = f"{head}{ticket.id}号 {label}：{place(ticket)}，自{since}起（{ticket.rule}）。"
    if next_clock is None:
        return text
    due = _moment(company, next_clock.due_ms)
    return f"{text}请于{due}前{STEPS[next_clock.step]}（{next_clock.rule}）。"


def about(ticket: TicketRow, what: str) -> str:
    """Return a short message about a ticket."""
    return f"【工单{ticket.id}号】{LABELS[TicketKind(ticket.kind)]}，{place(ticket)}：{what}"


_REVISIONS = {
    "extended": "时段延长",
    "shortened": "时段缩短",
    "moved": "时段变动",
    "corrected": "数值更正",
    "merged": "时段合并",
    "split": "时段拆分",
    "withdrawn": "已撤销",
}


def amended(company: Company, said: Mapping[str, Any]) -> str:
    """Return what is told of an amendment: why, what was said before and what is said now."""
    changes = "；".join(_changes(company, said["before"], said["after"] or said["before"]))
    what = _REVISIONS[said["amendment"]]
    return f"{_why(company, said['cause'])}，测温依据{what}{'：' if changes else ''}{changes}。请核对。"


def _why(company: Company, cause: Mapping[str, Any]) -> str:
    laws = [(name, cause[key]) for name, key in (("测点台账", "register"), ("判定规则", "rules")) if key in cause]
    if laws:
        return "因" + "、".join(f"{name}更新（第{version}版）" for name, version in laws)
    if cause.get("readings"):
        first_ms, last_ms = (edge(row[at] for row in cause["readings"]) for edge, at in ((min, 1), (max, 2)))
        rows = sum(row[3] for row in cause["readings"])
        return f"据后到的{_moment(company, first_ms)}至{_moment(company, last_ms)}测温数据（{rows}条）"
    return "经重新判定"


def _changes(company: Company, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Give what is said otherwise, the old before the new."""
    for name, key in (("起始", "start_ms"), ("结束", "end_ms")):
        if was[key] != now[key]:
            old, new = ("仍在持续" if one[key] is None else _moment(company, one[key]) for one in (was, now))
            yield f"{name}由{old}改为{new}"
    for name, key, unit in (("最低室温", "min_temp_c", "℃"), ("不达标时长", "violation_h", "小时")):
        old, new = was["detail"].get(key), now["detail"].get(key)
        if old is not None and new is not None and f"{old:.1f}" != f"{new:.1f}":
            yield f"{name}由{old:.1f}{unit}改为{new:.1f}{unit}"
