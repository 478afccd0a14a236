"""What a rule tells by its labels finds the ticket that it is of, as decision 0025 has it."""

from __future__ import annotations

import pytest

from dashboards.alerts.alarms import ALARMS, Alarm
from heatwatch.domain.alerts import Alert, Candidate, opens, taker
from heatwatch.domain.tickets import Scope, TicketKind
from heatwatch.stores.influx.schema import WHOLE_STATION

PLACES = {"S1": frozenset({"B1"})}
OF = {alarm.name: alarm for alarm in ALARMS}


def ticket(number: int, kind: TicketKind, scope: Scope, building: str = "B1") -> Candidate:
    return Candidate(number, kind, scope, "S1", building, None, None, 0, None, {"R16": 5})


OUTAGE = ticket(1, TicketKind.HEAT_OUTAGE, Scope.BUILDING)
WHOLE = ticket(2, TicketKind.HEAT_OUTAGE, Scope.STATION, "")
SENSOR = ticket(3, TicketKind.SENSOR, Scope.STATION, "")
REPAIR = ticket(4, TicketKind.REPAIR, Scope.BUILDING)


def alert(name: str, **series: str) -> Alert:
    """Return what the webhook hears of a rule: its own labels and those of the series."""
    alarm = OF[name]
    rule = {"rule": alarm.rule} if alarm.rule else {}
    return Alert("f", 1, fired=True, labels={"kind": str(alarm.kind), **rule, **series})


@pytest.mark.parametrize(
    ("told", "number"),
    [
        (alert("outage", station="S1", building="B1"), OUTAGE.id),
        (alert("outage", station="S1", building=WHOLE_STATION), WHOLE.id),
        (alert("outage", station="S2", building="B1"), None),
        (alert("notice-overdue", station="S1"), WHOLE.id),
        (alert("cold-rooms", station="S1"), WHOLE.id),
        (alert("clock-breached", station="S1", building="B1"), OUTAGE.id),
        (alert("delivery-stopped", station="S1"), SENSOR.id),
        (alert("thermometers-missing", station="S1"), SENSOR.id),
        (alert("pipeline-silent"), None),
    ],
)
def test_it_joins_the_ticket_of_its_matter(told: Alert, number: int | None) -> None:
    found = taker(told, [OUTAGE, WHOLE, SENSOR, REPAIR])
    assert (None if found is None else found.id) == number


@pytest.mark.parametrize("alarm", ALARMS, ids=lambda alarm: alarm.name)
def test_only_what_no_finding_tells_opens_one(alarm: Alarm) -> None:
    name = alarm.name
    of_a_place = {"delivery-stopped", "thermometers-missing"}
    own = {"quarantine-growing", "identity-broken", "feed-refused", "pipeline-behind", "pipeline-silent"}
    series = {"station": "S1"} if name in of_a_place else {}
    assert opens(alert(name, **series), PLACES) == (name in of_a_place | own)
