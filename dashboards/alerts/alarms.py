"""The alert rules: what each looks at, when it fires, and why its waits and states are what they are.

Each looks at what the pipeline wrote: none says again what cold, an outage or a deadline is. Two habits of Grafana's
decide much of what follows. A series that is missing while others of the rule are there ends its own alert [1]_ [2]_:
so rules rest on measurements that have a point for each station of the register each minute, also for one that has
fallen silent. And a query that answers with nothing at all is another matter than one that answers with no number:
what a rule becomes then is chosen by what nothing means in its query.

References
----------
.. [1] https://github.com/grafana/grafana/issues/76920
.. [2] https://github.com/grafana/grafana/issues/130902
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from dashboards import words
from dashboards.alerts.asking import Earliest, Growth, Newest
from dashboards.model import NoData, OnError
from dashboards.queries.asking import Ask, Column, Is, Op, Term
from dashboards.words import Said
from heatwatch.domain.alerts import AlertKind
from heatwatch.domain.findings import FindingKind
from heatwatch.stores.influx.schema import (
    DELIVERY,
    FINDING,
    HEATWATCH,
    PIPELINE,
    STATION_NOW,
    TICKET,
    WHOLE_STATION,
)

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
EVERY_S = MINUTE_S
"""How often rules are evaluated [s]: the feed writes once a minute."""
LATELY_S = 10 * MINUTE_S
"""For what the feed writes each minute: older than this is not the state of now [s]."""
KEPT_S = 7 * DAY_S
"""For what is to stay as it was last told while the feed is silent [s]."""
SEASON_S = 220 * DAY_S
"""For what may be open since long: a heating season, as on the boards [s]."""

SOON_H = 2
"""A notice is due soon when so much time is left, or less [h]."""
SILENT_MIN = 90
"""Data have stopped when a station's newest reading is older [min]: thermometers send once an hour or more often."""
MISSING_PCT = 10
"""More than this share of the points of a station has to be silent [%]. Single ones have tickets of their own (R7)."""
QUARANTINE_MOST = 20
"""So many new ones in quarantine within an hour are looked at by whoever comes by; more are a matter of now."""
BEHIND_MIN = 30
"""So far may a role be behind the clock [min]."""


class Severity(StrEnum):
    """How fast somebody has to look."""

    CRITICAL = "critical"
    """At once: people are without heat, a deadline of the rules has passed, or nobody is watching."""
    WARNING = "warning"
    """Within the hour."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A query of a rule and how far back it looks [s]."""

    ask: Ask
    back_s: int


@dataclass(frozen=True, slots=True)
class Choices:
    """Waits and states of a rule.

    Attributes
    ----------
    for_s
        How long it has to hold before it fires [s].
    keep_s
        How long it goes on firing after that [s].
    missing_evals
        After how many evaluations a series that is missing, while others are there, ends its alert.
    no_data, on_error
        What becomes of it where its queries answer with nothing, or not at all.
    why
        Why each of them is what it is.
    """

    for_s: int
    keep_s: int
    missing_evals: int
    no_data: NoData
    on_error: OnError
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alert rule.

    Attributes
    ----------
    name
        The end of its uid.
    kind
        What the webhook is told that it speaks of.
    rule
        The rules that it watches over; empty where none, or more than one can name.
    summary, detail
        What it says; Grafana puts labels and values in.
    looked
        Its queries by letter; the newest number of each series of a query ``A`` is ``$RA``.
    value
        The number that it tells, reckoned from these: ``$V``.
    when
        When it fires, reckoned from these and ``$V``.
    panel
        The board and the English title of the panel that shows it.
    """

    name: str
    kind: str
    severity: Severity
    rule: str = ""
    title: Said
    summary: Said
    detail: Said
    looked: Mapping[str, Looked]
    value: str
    when: str
    panel: tuple[str, str]
    choices: Choices


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other."""

    name: str
    alarms: tuple[Alarm, ...]


def _now(field: str) -> Looked:
    """Return a number of each station as it is now."""
    return Looked(Newest(of=STATION_NOW, value=Column(field), by=("station",)), LATELY_S)


def _last(field: str) -> Looked:
    """Return a number of each station as it was last told."""
    return Looked(Newest(of=STATION_NOW, value=Column(field), by=("station",)), KEPT_S)


_CLOCK = Looked(Newest(of=PIPELINE, value=Column("as_of_ms"), where=(Is("role", "=", "feed"),)), KEPT_S)
"""What the time was at the last minute that was told [ms]: no label, so that it is reckoned with any series."""
_PLACE = ("station", "building")
_AT = "{{ $labels.station }}"


def _number(value: str = "V", form: str = "%.0f") -> str:
    return f'{{{{ printf "{form}" $values.{value}.Value }}}}'


def _house(zh: bool) -> str:  # noqa: FBT001 - one of two languages
    whole = words.WHOLE[WHOLE_STATION].zh if zh else words.WHOLE[WHOLE_STATION].en
    test = f'{{{{ if eq $labels.building "{WHOLE_STATION}" }}}}'
    return f"{test}{whole}{{{{ else }}}}{{{{ $labels.building }}}}{{{{ end }}}}"


def _role(zh: bool) -> str:  # noqa: FBT001 - one of two languages
    told = [(name, said.zh if zh else said.en) for name, said in words.ROLES.items()]
    first, *rest = [f'if eq $labels.role "{name}" }}}}{said}' for name, said in told]
    more = "".join(f"{{{{ else {each}" for each in rest)
    return f"{{{{ {first}{more}{{{{ else }}}}{{{{ $labels.role }}}}{{{{ end }}}}"


COLD = Alarm(
    name="cold-rooms",
    kind=AlertKind.COLD_ROOM,
    severity=Severity.WARNING,
    rule="R1+R2+R3+R4",
    title=Said("低温房间", "Cold rooms"),
    summary=Said(f"{_AT}：{_number()} 间房间室温不达标", f"{_AT}: {_number()} cold rooms"),
    detail=Said(
        "处于已确认低温时段的在测房间数。全站各楼均在计划停热中的不告警。每间房的工单由系统开立，处理情况以工单为准。",
        "Rooms in service in a confirmed cold spell. Not told where planned stops cover every building of the station. "
        "Each room has its ticket already.",
    ),
    looked={"A": _now("cold"), "B": _last("planned_buildings"), "C": _last("buildings")},
    value="$RA",
    when="$V > 0 && ($RB < 1 || $RB < $RC)",
    panel=("company", "Cold rooms"),
    choices=Choices(
        for_s=2 * MINUTE_S,
        keep_s=15 * MINUTE_S,
        missing_evals=3,
        no_data=NoData.KEEP,
        on_error=OnError.KEEP,
        why="A spell is confirmed by an hour below the minimum: waiting longer tells nothing. It goes on for 15 "
        "min, so that "
        "spells which are joined or revised stay one episode. Every station of the register has a point each "
        "minute: one "
        "that is missing has left the register. Nothing at all means that the feed is silent, not that it is warm.",
    ),
)

OUTAGE = Alarm(
    name="outage",
    kind=AlertKind.OUTAGE,
    severity=Severity.CRITICAL,
    rule="R11",
    title=Said("停热", "Heat outage"),
    summary=Said(
        f"{_AT} {_house(zh=True)}：已停热 {_number(form='%.1f')} 小时",
        f"{_AT} {_house(zh=False)}: without heat for {_number(form='%.1f')} h",
    ),
    detail=Said(
        "停热尚未结束，应立即组织抢修。全站各楼均在计划停热中的不告警。",
        "The stop of heat goes on; repair starts at once. Not told where planned stops cover every building of "
        "the station.",
    ),
    looked={
        "A": Looked(
            Earliest(
                of=FINDING,
                value="start_ms",
                by=_PLACE,
                where=(
                    Is("kind", "=", FindingKind.HEAT_OUTAGE.value),
                    Is("open", "=", True),  # noqa: FBT003 - what the field is compared with
                    Is("withdrawn", "=", False),  # noqa: FBT003 - same
                ),
            ),
            SEASON_S,
        ),
        "B": _CLOCK,
        "C": _last("planned_buildings"),
        "D": _last("buildings"),
    },
    value="($RB - $RA) / 3600000",
    when="$V >= 0 && ($RC < 1 || $RC < $RD)",
    panel=("company", "Heat outages"),
    choices=Choices(
        for_s=0,
        keep_s=0,
        missing_evals=2,
        no_data=NoData.OK,
        on_error=OnError.KEEP,
        why="R11 says at once, and judging has waited already. A finding that is open stays in the answer whatever its "
        "thermometers do, and while the feed is silent. One that has ended, was withdrawn or moved is no more "
        "in it: that, "
        "and an answer with nothing, is the end of the outage, so nothing is kept.",
    ),
)

NOTICE_SOON = Alarm(
    name="notice-soon",
    kind=AlertKind.NOTICE_DUE,
    severity=Severity.WARNING,
    rule="R12",
    title=Said("停热公告即将到期", "Notice due soon"),
    summary=Said(
        f"{_AT}：须在 {_number(form='%.1f')} 小时内发布停热公告",
        f"{_AT}: the notice is due in {_number(form='%.1f')} h",
    ),
    detail=Said(
        f"距公告时限不足 {SOON_H} 小时，公告尚未发布。计划停热同样须公告。",
        f"{SOON_H} hours or less are left, and nothing is published. Planned stops are announced too.",
    ),
    looked={"A": _now("notices_due"), "B": _last("notice_due_s")},
    value="$RB / 3600",
    when=f"$RA > 0 && $V <= {SOON_H} && $V >= 0",
    panel=("tickets", "Notices not published yet"),
    choices=Choices(
        for_s=0,
        keep_s=0,
        missing_evals=3,
        no_data=NoData.KEEP,
        on_error=OnError.KEEP,
        why="A deadline is a fact: every minute of waiting is one of those left. Once published, or overdue, it "
        "ends in the same "
        "minute. Whether a notice is due is told each minute for every station; the time left is looked for "
        "further back, for "
        "there is none where no notice is due. Nothing at all means that the feed is silent: it stays as it was.",
    ),
)

NOTICE_OVERDUE = Alarm(
    name="notice-overdue",
    kind=AlertKind.NOTICE_DUE,
    severity=Severity.CRITICAL,
    rule="R12",
    title=Said("停热公告超期", "Notice overdue"),
    summary=Said(
        f"{_AT}：停热公告超期 {_number(form='%.1f')} 小时未发布",
        f"{_AT}: the notice is overdue by {_number(form='%.1f')} h",
    ),
    detail=Said("停热公告已超过时限，应立即发布。", "The time has passed and nothing is published: publish it now."),
    looked={"A": _now("notices_due"), "B": _last("notice_due_s")},
    value="0 - $RB / 3600",
    when="$RA > 0 && $V > 0",
    panel=("tickets", "Notices not published yet"),
    choices=Choices(
        for_s=0,
        keep_s=0,
        missing_evals=3,
        no_data=NoData.KEEP,
        on_error=OnError.KEEP,
        why="As for the notice that is due soon: it begins to fire in the minute in which that one ends.",
    ),
)

CLOCK_BREACHED = Alarm(
    name="clock-breached",
    kind=AlertKind.CLOCK_BREACHED,
    severity=Severity.CRITICAL,
    title=Said("工单时限超期", "Deadline missed"),
    summary=Said(
        f"{_AT} {_house(zh=True)}：工单时限已超期 {_number()} 分钟",
        f"{_AT} {_house(zh=False)}: a deadline passed {_number()} min ago",
    ),
    detail=Said(
        "至少有一张在办工单的时限已过而未完成，时间按最早的一项计算。各项时限及依据见工单（R7、R11—R19）。",
        "Of at least one ticket at work a deadline has passed undone; the earliest is told. Which, and by which "
        "rule, the "
        "ticket says (R7, R11 to R19).",
    ),
    looked={
        "A": Looked(Earliest(of=TICKET, value="due_ms", by=_PLACE, where=(Is("due_ms", ">", 0),)), SEASON_S),
        "B": _CLOCK,
    },
    value="($RB - $RA) / 60000",
    when="$V > 0",
    panel=("tickets", "Deadlines overdue"),
    choices=Choices(
        for_s=0,
        keep_s=0,
        missing_evals=2,
        no_data=NoData.OK,
        on_error=OnError.KEEP,
        why="A deadline that has passed is a fact. Tickets without one that runs are not in the answer: a "
        "series that is missing, "
        "and an answer with nothing, say that all is done. Tickets stay in the answer while the feed is silent. "
        "No label "
        "`rule`: a ticket may have missed several, and without one the webhook takes the earliest.",
    ),
)

DELIVERY_STOPPED = Alarm(
    name="delivery-stopped",
    kind=AlertKind.DELIVERY_STOPPED,
    severity=Severity.CRITICAL,
    rule="R7",
    title=Said("全站数据中断", "Data stopped"),
    summary=Said(f"{_AT}：已 {_number()} 分钟没有任何读数", f"{_AT}: no reading for {_number()} min"),
    detail=Said(
        f"全站最近一次读数已超过 {SILENT_MIN} 分钟。请检查该站网关和网络；数据中断不代表停热。",
        f"The newest reading of any thermometer of the station is older than {SILENT_MIN} minutes. Look after "
        f"its gateway; it "
        "says nothing of the heat.",
    ),
    looked={"A": _now("points_expected"), "B": _now("last_heard_s")},
    value="$RB / 60",
    when=f"$RA > 0 && $V > {SILENT_MIN}",
    panel=("delivery", "Points heard"),
    choices=Choices(
        for_s=5 * MINUTE_S,
        keep_s=10 * MINUTE_S,
        missing_evals=3,
        no_data=NoData.KEEP,
        on_error=OnError.KEEP,
        why="Five minutes let a backlog be worked off after a restart of ingest; ten more let a gateway that "
        "comes and goes stay one "
        "episode. A station that has fallen silent still has its point each minute, so its alert goes on: what "
        "is missing has "
        "left the register. Nothing at all is the feed's silence. One that was never heard is told by the next rule.",
    ),
)

THERMOMETERS_MISSING = Alarm(
    name="thermometers-missing",
    kind=AlertKind.THERMOMETERS_MISSING,
    severity=Severity.WARNING,
    rule="R7",
    title=Said("测点缺数", "Thermometers missing"),
    summary=Said(f"{_AT}：{_number()} 个测温点没有按时上报", f"{_AT}: {_number()} thermometers are silent"),
    detail=Said(
        f"按测温点台账应上报而未按时上报的超过 {MISSING_PCT}%。个别测点故障由系统另开工单。",
        f"More than {MISSING_PCT} % of those that the register says are to be heard were not. Single ones have "
        f"tickets already.",
    ),
    looked={"A": _now("points_expected"), "B": _now("points_heard")},
    value="$RA - $RB",
    when=f"$V * 100 > $RA * {MISSING_PCT}",
    panel=("delivery", "Points heard"),
    choices=Choices(
        for_s=15 * MINUTE_S,
        keep_s=30 * MINUTE_S,
        missing_evals=3,
        no_data=NoData.KEEP,
        on_error=OnError.KEEP,
        why="Expected is what the register says, not what has sent: a dead thermometer is missing, its series "
        "need not be there. A "
        "quarter of an hour lets what is late come in; half an hour keeps a share that swings about the limit "
        "one episode. "
        "Missing series and nothing at all as for data that stopped.",
    ),
)

QUARANTINE = Alarm(
    name="quarantine-growing",
    kind=AlertKind.QUARANTINE_GROWING,
    severity=Severity.WARNING,
    rule="R8",
    title=Said("隔离数据增多", "Quarantine grows"),
    summary=Said(
        f"{{{{ $labels.worker }}}}：近1小时新增隔离 {_number()} 条",
        f"{{{{ $labels.worker }}}}: {_number()} more in quarantine within an hour",
    ),
    detail=Said(
        f"近1小时新增的隔离消息和读数超过 {QUARANTINE_MOST} 条，多为设备报文格式或时钟有误。用 heatwatch "
        f"quarantine 查看原因。",
        f"More than {QUARANTINE_MOST} messages and readings: most often a device that sends another format or "
        f"has a wrong clock. "
        "heatwatch quarantine lists the reasons.",
    ),
    looked={"A": Looked(Growth(of=DELIVERY, counters=("quarantined", "readings_quarantined"), by=("worker",)), HOUR_S)},
    value="$RA",
    when=f"$V > {QUARANTINE_MOST}",
    panel=("delivery", "Quarantine"),
    choices=Choices(
        for_s=0,
        keep_s=0,
        missing_evals=3,
        no_data=NoData.KEEP,
        on_error=OnError.KEEP,
        why="An hour's growth is smooth by itself: neither wait nor keeping would add anything. A worker that "
        "is missing was given up; "
        "nothing at all is the feed's silence.",
    ),
)


def _gap(whole: str, *parts: str) -> Term:
    gap: Term = Column(whole)
    for part in parts:
        gap = Op("-", gap, Column(part))
    return gap


IDENTITY = Alarm(
    name="identity-broken",
    kind=AlertKind.IDENTITY_BROKEN,
    severity=Severity.CRITICAL,
    rule="R8",
    title=Said("收发账目不符", "Delivery does not add up"),
    summary=Said(
        f"{{{{ $labels.worker }}}}：收发账目相差 {_number()}",
        f"{{{{ $labels.worker }}}}: {_number()} messages or readings are not accounted for",
    ),
    detail=Said(
        "接收消息或解出读数与各去向之和不符，有数据去向不明，请立即联系系统维护人员。",
        "Messages received or readings decoded are not what became of them: something was lost or counted twice.",
    ),
    looked={
        "A": Looked(
            Newest(
                of=DELIVERY,
                value=_gap("received", "decoded", "no_reading", "quarantined", "waiting"),
                by=("worker",),
            ),
            LATELY_S,
        ),
        "B": Looked(
            Newest(
                of=DELIVERY,
                value=_gap(
                    "readings_decoded",
                    "readings_stored",
                    "readings_duplicate",
                    "readings_conflict",
                    "readings_quarantined",
                    "readings_waiting",
                ),
                by=("worker",),
            ),
            LATELY_S,
        ),
    },
    value="abs($RA) + abs($RB)",
    when="$V > 0",
    panel=("delivery", "Delivery identities"),
    choices=Choices(
        for_s=2 * MINUTE_S,
        keep_s=30 * MINUTE_S,
        missing_evals=3,
        no_data=NoData.KEEP,
        on_error=OnError.KEEP,
        why="The identity holds at every commit: three minutes in a row that it does not are no accident of "
        "reading. One that heals by "
        "itself is kept for half an hour, so that somebody sees it.",
    ),
)

REFUSED = Alarm(
    name="feed-refused",
    kind=AlertKind.FEED_REFUSED,
    severity=Severity.WARNING,
    title=Said("数据写入被拒", "InfluxDB refused lines"),
    summary=Said(f"近1小时 InfluxDB 拒收 {_number()} 行", f"InfluxDB refused {_number()} lines within an hour"),
    detail=Said(
        "被拒的行不会重写，看板和告警可能不全。原因见 feed 的日志。",
        "They are not written again: boards and alerts may lack something. The feed's log has the reasons.",
    ),
    looked={"A": Looked(Growth(of=PIPELINE, counters=("refused",), where=(Is("role", "=", "feed"),)), HOUR_S)},
    value="$RA",
    when="$V > 0",
    panel=("delivery", "How far the roles have come"),
    choices=Choices(
        for_s=0,
        keep_s=0,
        missing_evals=3,
        no_data=NoData.KEEP,
        on_error=OnError.KEEP,
        why="Each line that is refused is one that boards and rules lack. An hour's growth needs neither wait "
        "nor keeping. Nothing at all is "
        "the feed's silence.",
    ),
)

BEHIND = Alarm(
    name="pipeline-behind",
    kind=AlertKind.PIPELINE_SILENT,
    severity=Severity.WARNING,
    title=Said("处理进度落后", "Pipeline behind"),
    summary=Said(f"{_role(zh=True)}：进度落后 {_number()} 分钟", f"{_role(zh=False)}: {_number()} min behind"),
    detail=Said(
        f"该环节进度落后于当前时间超过 {BEHIND_MIN} 分钟，低温、停热和时限会晚于实际显示。",
        f"More than {BEHIND_MIN} minutes behind the clock: cold rooms, outages and deadlines are told late.",
    ),
    looked={"A": Looked(Newest(of=PIPELINE, value=Column("lag_s"), by=("role",)), LATELY_S)},
    value="$RA / 60",
    when=f"$V > {BEHIND_MIN}",
    panel=("delivery", "How far behind"),
    choices=Choices(
        for_s=10 * MINUTE_S,
        keep_s=10 * MINUTE_S,
        missing_evals=3,
        no_data=NoData.KEEP,
        on_error=OnError.KEEP,
        why="A role that has ended is told by its lag, which grows: the feed tells it for all. Ten minutes let "
        "one catch up after a "
        "restart. Nothing at all is the next rule's matter.",
    ),
)

SILENT = Alarm(
    name="pipeline-silent",
    kind=AlertKind.PIPELINE_SILENT,
    severity=Severity.CRITICAL,
    title=Said("监测系统无心跳", "Pipeline silent"),
    summary=Said(
        f"监测系统超过 {LATELY_S // MINUTE_S} 分钟没有写入数据",
        f"nothing was written for more than {LATELY_S // MINUTE_S} minutes",
    ),
    detail=Said(
        "心跳中断，或 InfluxDB 无法查询。其他告警在恢复前保持原状，看板显示的不是现况。请检查 heatwatch 各进程和"
        " InfluxDB。",
        "No heartbeat, or InfluxDB does not answer. Until it does, other alerts stay as they were and boards "
        "are outdated. Look "
        "after the roles of heatwatch and after InfluxDB.",
    ),
    looked={"A": Looked(Newest(of=HEATWATCH, value=Column("schema")), LATELY_S)},
    value="$RA",
    when="$V < 0",
    panel=("delivery", "Installation"),
    choices=Choices(
        for_s=2 * MINUTE_S,
        keep_s=0,
        missing_evals=2,
        no_data=NoData.ALERTING,
        on_error=OnError.ALERTING,
        why="While there is a heartbeat it cannot fire; once there is none there is no series at all, so that "
        "it fires by nothing. It is the "
        "one rule that fires where InfluxDB does not answer: the others stay as they were, and one alert tells "
        "it. Two minutes let "
        "InfluxDB be restarted.",
    ),
)

GROUPS = (
    Group("heat", (COLD, OUTAGE)),
    Group("deadlines", (NOTICE_SOON, NOTICE_OVERDUE, CLOCK_BREACHED)),
    Group("data", (DELIVERY_STOPPED, THERMOMETERS_MISSING, QUARANTINE, IDENTITY, REFUSED, BEHIND, SILENT)),
)
"""All rules; names of groups are the same in every language, for Grafana knows rules by them."""
ALARMS = tuple(alarm for group in GROUPS for alarm in group.alarms)
