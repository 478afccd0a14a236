"""Alerts of Grafana: what one speaks of, which ticket it belongs to, and which may open one.

Findings are the one truth about heat: an alert of a cold room or an outage joins the ticket that the findings opened,
and opens none. Only what findings cannot say (no data come, the pipeline itself stands still) may open a ticket, a
technical one. Nothing here depends on the order in which deliveries come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from heatwatch.domain.tickets import Scope, TicketKind

GRAFANA = "grafana"
"""Who did what an alert did."""


class AlertKind(StrEnum):
    """What an alert speaks of: its label `kind`. Others are kept, and join only the ticket that they name."""

    COLD_ROOM = "cold_room"
    OUTAGE = "outage"
    NOTICE_DUE = "notice_due"
    CLOCK_BREACHED = "clock_breached"
    DELIVERY_STOPPED = "delivery_stopped"
    THERMOMETERS_MISSING = "thermometers_missing"
    QUARANTINE_GROWING = "quarantine_growing"
    PIPELINE_SILENT = "pipeline_silent"
    IDENTITY_BROKEN = "identity_broken"
    FEED_REFUSED = "feed_refused"
    DATASOURCE = "datasource"
    """Grafana could not ask, or was told nothing: its own alerts, whatever their labels say."""


DATASOURCE_NAMES = frozenset({"DatasourceNoData", "DatasourceError"})
"""Names that Grafana gives to these."""

_ALL = frozenset(TicketKind) - {TicketKind.TECHNICAL}
JOINS: Mapping[str, frozenset[TicketKind]] = {
    AlertKind.COLD_ROOM: frozenset({TicketKind.LOW_TEMPERATURE, TicketKind.HEAT_OUTAGE}),
    AlertKind.OUTAGE: frozenset({TicketKind.HEAT_OUTAGE}),
    AlertKind.NOTICE_DUE: frozenset({TicketKind.HEAT_OUTAGE}),
    AlertKind.CLOCK_BREACHED: _ALL,
    AlertKind.DELIVERY_STOPPED: frozenset({TicketKind.SENSOR}),
    AlertKind.THERMOMETERS_MISSING: frozenset({TicketKind.SENSOR}),
}
"""Of which kinds a ticket is that an alert joins by its place."""

OPENS: Mapping[str, str] = {
    AlertKind.DELIVERY_STOPPED: "测温数据中断",
    AlertKind.THERMOMETERS_MISSING: "测点缺数",
    AlertKind.QUARANTINE_GROWING: "异常报文增多",
    AlertKind.PIPELINE_SILENT: "监测系统停止运行",
    AlertKind.IDENTITY_BROKEN: "收发账目不符",
    AlertKind.FEED_REFUSED: "数据写入被拒",
    AlertKind.DATASOURCE: "告警规则取数异常",
}
"""Kinds that open a technical ticket where the pipeline has none, and what that says it is about."""

OF_A_PLACE = frozenset({AlertKind.DELIVERY_STOPPED, AlertKind.THERMOMETERS_MISSING})
"""Kinds that open one only for a station or building that the register has."""

_WIDEST = (Scope.BUILDING, Scope.STATION, Scope.ROOM)
_NARROWEST = (Scope.ROOM, Scope.BUILDING, Scope.STATION)


@dataclass(frozen=True, slots=True)
class Alert:
    """One episode of an alert, as far as it was told: from its start until it is resolved.

    Attributes
    ----------
    fingerprint, starts_ms
        Whose episode it is and when it began [ms]; together its key.
    ends_ms
        When it ended [ms]; None while it goes on, or where that was not said.
    fired, resolved
        Whether it was told as firing, and as resolved. Once resolved it stays so, in whatever order one was told.
    labels
        Its labels.
    summary, rule_uid
        What it says, and the rule in Grafana.
    seen
        How often it was told.
    """

    fingerprint: str
    starts_ms: int
    ends_ms: int | None = None
    fired: bool = False
    resolved: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""
    rule_uid: str = ""
    seen: int = 1

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from others."""
        return self.fingerprint, self.starts_ms

    @property
    def name(self) -> str:
        """The name of its rule, as Grafana labels it."""
        return self.labels.get("alertname", "")

    @property
    def kind(self) -> str:
        """What it speaks of; empty where it does not say."""
        return str(AlertKind.DATASOURCE) if self.name in DATASOURCE_NAMES else self.labels.get("kind", "")

    @property
    def station(self) -> str:
        """Its station; empty where it is about none."""
        return self.labels.get("station", "")

    @property
    def building(self) -> str:
        """Its building; empty where it is about none."""
        return self.labels.get("building", "")

    @property
    def matter(self) -> str:
        """What technical ticket it is of: alerts of the same matter have one."""
        if self.kind == AlertKind.DATASOURCE:
            return f"{self.kind}|{self.labels.get('rulename') or self.rule_uid or self.fingerprint}"
        return f"{self.kind}|{self.station}|{self.building}"

    @property
    def place(self) -> tuple[str, str]:
        """Where a technical ticket of it is: station and building, each empty where it is of none."""
        return ("", "") if self.kind == AlertKind.DATASOURCE else (self.station, self.building)

    def number(self, label: str) -> int | None:
        """Return the number that a label holds; None where it holds none.

        >>> Alert("f", 0, labels={"ticket": "12", "finding": "x"}).number("ticket")
        12
        """
        text = self.labels.get(label, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None

    def told_again(self, other: Alert) -> Alert:
        """Return what both tellings come to, whichever was first."""
        ends = [one for one in (self.ends_ms, other.ends_ms) if one is not None]
        resolved, fired = self.resolved or other.resolved, self.fired or other.fired
        end_ms = max(ends, default=None) if resolved else None
        return replace(other, ends_ms=end_ms, fired=fired, resolved=resolved, seen=self.seen + other.seen)


_DIGITS = 18


def folded(alerts: Iterable[Alert]) -> dict[tuple[str, int], Alert]:
    """Return one alert for each episode."""
    told: dict[tuple[str, int], Alert] = {}
    for one in alerts:
        before = told.get(one.key)
        told[one.key] = one if before is None else before.told_again(one)
    return told


@dataclass(frozen=True, slots=True)
class Candidate:
    """A ticket at work that an alert might belong to.

    Attributes
    ----------
    id, kind, scope, station_id, building_id, room_id, point_id, cause_start_ms, finished_ms
        As in the records.
    breached
        When each rule's deadline passed that is still undone [ms].
    """

    id: int
    kind: TicketKind
    scope: Scope
    station_id: str
    building_id: str
    room_id: str | None
    point_id: str | None
    cause_start_ms: int
    finished_ms: int | None
    breached: Mapping[str, int] = field(default_factory=dict)


def taker(alert: Alert, tickets: Iterable[Candidate]) -> Candidate | None:
    """Return the ticket that an alert belongs to by its place, of those at work in its station.

    An alert of a building is of the building's ticket, else of its station's, else of a room's in it; one that names a
    room, of the room's first. Of a point's ticket is only an alert that names the point or its room. What began after a
    repair was finished is not of that ticket.
    """
    kinds = JOINS.get(alert.kind)
    if kinds is None or not alert.station:
        return None
    mine = [one for one in tickets if one.kind in kinds and _covers(one, alert)]
    if alert.kind == AlertKind.CLOCK_BREACHED:
        late = [(_breached_ms(one, alert.labels.get("rule", "")), one) for one in mine]
        missed = [(due_ms, one.id, one) for due_ms, one in late if due_ms is not None]
        return min(missed)[2] if missed else None
    order = _NARROWEST if _names_a_room(alert) else _WIDEST
    return min(mine, key=lambda one: (order.index(one.scope), -one.cause_start_ms, -one.id), default=None)


def takes(finished_ms: int | None, alert: Alert) -> bool:
    """Tell whether an alert can be of a ticket whose repair was finished at `finished_ms` [ms]; None: not yet."""
    return finished_ms is None or alert.starts_ms <= finished_ms


def _covers(ticket: Candidate, alert: Alert) -> bool:
    if ticket.station_id != alert.station or not takes(ticket.finished_ms, alert):
        return False
    if ticket.scope is Scope.STATION:
        return True
    if ticket.building_id != alert.building:
        return False
    if ticket.scope is Scope.BUILDING:
        return True
    if not _names_a_room(alert):
        return ticket.kind is not TicketKind.SENSOR
    named = {alert.labels.get("room"), alert.labels.get("point")} - {None, ""}
    return bool(named & {ticket.room_id, ticket.point_id})


def _names_a_room(alert: Alert) -> bool:
    return bool(alert.labels.get("room") or alert.labels.get("point"))


def _breached_ms(ticket: Candidate, rule: str) -> int | None:
    """Return when the first deadline passed that an alert can mean; of any rule where it names none."""
    due = [due_ms for name, due_ms in ticket.breached.items() if rule in ("", name)]
    return min(due, default=None)


def opens(alert: Alert, places: Mapping[str, frozenset[str]]) -> bool:
    """Tell whether an alert may open a technical ticket.

    Parameters
    ----------
    alert
        What was told. One that was never told as firing opens none.
    places
        The stations of the register, each with its buildings.
    """
    if not alert.fired or alert.kind not in OPENS:
        return False
    station, building = alert.place
    if not (station or building):
        return alert.kind not in OF_A_PLACE
    return station in places and (not building or building in places[station])


def about(alert: Alert) -> str:
    """Return what the technical ticket of an alert says that it is about."""
    rulename = alert.labels.get("rulename", "") if alert.kind == AlertKind.DATASOURCE else ""
    return OPENS[alert.kind] + (f"（{rulename}）" if rulename else "")
