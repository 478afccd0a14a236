"""How a column looks, wherever it stands: its name, unit, colours, words and links, the same on every board.

Colours are those of Okabe and Ito [1]_, told apart with every common form of colour blindness. No meaning rests on
colour alone: numbers stand in the cells, lines carry their names, limits are dashed and have their number on the axis.

References
----------
.. [1] B. Wong, "Points of view: Color blindness", Nature Methods 8, 441 (2011).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dashboards import words
from dashboards.words import Said, Words

VERMILION, ORANGE, BLUE, SKY, GREEN, PURPLE = "#D55E00", "#E69F00", "#0072B2", "#56B4E9", "#009E73", "#CC79A7"
GREY, PALE = "#7F7F7F", "#DCE6EE"
CELSIUS, PERCENT, HOURS, MOMENT, COUNT = "celsius", "percent", "h", "dateTimeAsLocal", "locale"

Steps = tuple[tuple[float | None, str], ...]
"""From which value on, which colour; the first from None."""
BAD_FROM_ONE: Steps = ((None, BLUE), (1, VERMILION))
"""None is well, one is not."""
LEFT: Steps = ((None, VERMILION), (0, ORANGE), (2, BLUE))
"""Time left [h]: overdue, soon, later."""
ODD_FROM_ONE: Steps = ((None, BLUE), (1, ORANGE))
"""None is well, one is to be looked at."""
COMPLETE: Steps = ((None, VERMILION), (80, ORANGE), (95, BLUE))
"""Share of what is expected [%]."""
SHORT: Steps = ((None, VERMILION), (0, BLUE))
"""What a room has above its limit [K]."""
ROOM, ROOM_MAP = "room", "room map"
"""Stand for the limits of the rules, which the settings know; a map tells warm rooms apart, too."""
WARM_K, HOT_K = 2.0, 6.0
"""So much above the highest limit a map calls a building warm, and overheated [K]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a column looks.

    Attributes
    ----------
    said
        Its name.
    unit, decimals
        Grafana's unit, and how many decimals.
    steps
        Colours by value; `ROOM` for those of the limits.
    words
        What stands for its values.
    to
        Where its link leads: a board, or a page of the console.
    width
        Of the column in a table [px].
    """

    said: Said
    unit: str = ""
    decimals: int | None = None
    steps: Steps | str = ()
    words: Words | None = None
    to: str = ""
    width: int | None = None


def _hours(said: Said, steps: Steps = ()) -> Look:
    return Look(said=said, unit=HOURS, decimals=1, steps=steps, width=110)


def _moment(zh: str, en: str) -> Look:
    return Look(said=Said(zh, en), unit=MOMENT, width=170)


def _count(zh: str, en: str, *, bad: bool = False) -> Look:
    return Look(said=Said(zh, en), unit=COUNT, decimals=0, steps=BAD_FROM_ONE if bad else ())


def _odd(zh: str, en: str) -> Look:
    return Look(said=Said(zh, en), unit=COUNT, decimals=0, steps=ODD_FROM_ONE)


def _temp(zh: str, en: str) -> Look:
    return Look(said=Said(zh, en), unit=CELSIUS, decimals=1, steps=ROOM)


def _words(zh: str, en: str, of: Words) -> Look:
    return Look(said=Said(zh, en), words=of)


LOOKS: Mapping[str, Look] = {
    "Time": _moment("时间", "Time"),
    "station": Look(said=Said("供热站", "Station"), to="station"),
    "building": Look(said=Said("楼栋", "Building"), to="building", words=words.WHOLE),
    "room": Look(said=Said("房间", "Room")),
    "point": Look(said=Said("测温点", "Test point"), to="room"),
    "subject": Look(said=Said("对象", "What")),
    "source": Look(said=Said("测温设备", "Thermometer")),
    "worker": Look(said=Said("接收进程", "Worker")),
    "role": _words("环节", "Role", words.ROLES),
    "rooms": _count("在测房间", "Rooms in service"),
    "cold": _count("低温房间", "Cold rooms", bad=True),
    "below": _odd("当前低于限值", "Below the limit now"),
    "silent": _odd("数据中断房间", "Silent rooms"),
    "unknown": _count("情况不明房间", "Rooms not known"),
    "outages": _count("停热", "Heat outages", bad=True),
    "longest_outage_h": _hours(Said("最长已停热", "Longest so far"), ((None, BLUE), (0.01, ORANGE), (6, VERMILION))),
    "notices_due": _count("待发公告", "Notices due", bad=True),
    "notice_left_h": _hours(Said("距公告时限", "Notice due in"), LEFT),
    "tickets": _count("在办工单", "Tickets at work"),
    "tickets_low_temperature": _count("室温不达标", "Low temperature"),
    "tickets_heat_outage": _count("停热抢修", "Heat outage"),
    "tickets_repair": _count("用户报修", "Repair"),
    "tickets_leak": _count("跑冒滴漏", "Leak"),
    "tickets_sensor": _count("测点故障", "Test point"),
    "tickets_technical": _count("系统故障", "Technical fault"),
    "clocks_running": _count("进行中时限", "Deadlines running"),
    "clocks_overdue": _count("超期时限", "Deadlines overdue", bad=True),
    "next_left_h": _hours(Said("最近时限", "Next due in"), LEFT),
    "heard_pct": Look(said=Said("数据完整率", "Points heard"), unit=PERCENT, decimals=1, steps=COMPLETE),
    "last_heard_min": Look(said=Said("最近读数距今", "Newest reading"), unit="m", decimals=0),
    "hours_pct": Look(said=Said("室温合格率（近7日）", "Compliance, 7 days"), unit=PERCENT, decimals=1),
    "planned_buildings": _count("计划停热楼栋", "Planned stops"),
    "start_ms": _moment("开始", "From"),
    "end_ms": Look(said=Said("结束", "To"), unit=MOMENT, width=170, words=words.NOT_YET),
    "lasts_h": _hours(Said("已持续", "For")),
    "duration_h": _hours(Said("时长", "Length")),
    "announce_left_h": _hours(Said("距公告时限", "Notice due in"), LEFT),
    "evidence": _words("判断依据", "Known by", words.EVIDENCE),
    "confidence": Look(said=Said("可信度", "Confidence"), decimals=2),
    "points": _count("测温房间", "Rooms that show it"),
    "ticket": Look(said=Said("工单", "Ticket"), to="ticket", decimals=0),
    "min_temp_c": _temp("最低室温", "Lowest"),
    "violation_h": _hours(Said("不达标时长", "In violation")),
    "unknown_h": _hours(Said("情况不明时长", "Not known")),
    "deficit_kh": Look(said=Said("缺热量（K·h）", "Deficit (K·h)"), decimals=1),
    "rule": Look(said=Said("依据", "Rule"), width=80),
    "end_reason": _words("结束原因", "Ended by", words.ENDS),
    "open": _words("情况", "State", words.GOES_ON),
    "confirmed": _words("已确认", "Confirmed", words.YES),
    "fault": _words("类型", "Kind", words.FAULTS),
    "detail": Look(said=Said("说明", "Detail")),
    "part_of": Look(said=Said("属于", "Part of")),
    "kind": Look(said=Said("类别", "Kind")),
    "subject_kind": _words("范围", "Where", words.SUBJECTS),
    "last_c": _temp("最近室温", "Last"),
    "mean_c": _temp("时均室温", "Mean of the hour"),
    "minimum_c": Look(said=Said("最低限值", "Minimum"), unit=CELSIUS, decimals=1),
    "above_k": Look(said=Said("与限值相差", "Above the limit"), unit="suffix: K", decimals=1, steps=SHORT),
    "temperature_c": _temp("室温", "Temperature"),
    "state": _words("状态", "State", words.TICKET_STATES),
    "step": _words("下一步", "Next step", words.STEPS),
    "step_rule": Look(said=Said("时限依据", "Rule"), width=90),
    "left_h": _hours(Said("剩余时间", "Time left"), LEFT),
    "missed": _count("已超时次数", "Deadlines missed", bad=True),
    "opened_ms": _moment("开立时间", "Opened"),
    "count": _count("件数", "Number"),
    "clocks": _count("进行中时限", "Deadlines running"),
    "title": Look(said=Said("标题", "Title")),
    "building_count": _count("涉及楼栋", "Buildings"),
    "received": _count("接收消息", "Messages received"),
    "decoded": _count("已解码", "Decoded"),
    "no_reading": _count("不含读数", "Without a reading"),
    "quarantined": _count("隔离消息", "Messages in quarantine", bad=True),
    "waiting": _count("待处理", "Waiting"),
    "readings_decoded": _count("解出读数", "Readings decoded"),
    "readings_stored": _count("已入库", "Stored"),
    "readings_duplicate": _count("重复", "Duplicates"),
    "readings_conflict": _count("矛盾", "Conflicts"),
    "readings_quarantined": _count("隔离读数", "In quarantine"),
    "readings_waiting": _count("待入库", "Not stored yet"),
    "message_gap": _count("消息差额", "Messages amiss", bad=True),
    "reading_gap": _count("读数差额", "Readings amiss", bad=True),
    "holds": _words("账目核对", "Identity", words.HOLDS),
    "too_late": _count("迟到未判", "Too late to judge"),
    "refused": _count("写入被拒", "Refused", bad=True),
    "lag_min": Look(
        said=Said("滞后", "Behind"), unit="m", decimals=1, steps=((None, BLUE), (15, ORANGE), (60, VERMILION))
    ),
    "version": Look(said=Said("系统版本", "Version")),
    "schema": _count("数据结构版本", "Schema"),
    "timezone": Look(said=Said("时区", "Time zone")),
    "truths": _count("实际发生", "Happened"),
    "matched": _count("已发现", "Found"),
    "recall_pct": Look(said=Said("查全率", "Recall"), unit=PERCENT, decimals=1),
    "findings": _count("系统发现", "Findings"),
    "found": Look(said=Said("对应发现", "Found as"), decimals=0),
}
"""Every column of every board by its name."""
