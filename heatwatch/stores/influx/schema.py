"""How heatwatch lies in InfluxDB: the one table that stores, feed, boards, alerts, tests and documentation read.

A raw reading is kept under (source, time): the source is the device, or the point where no device is named. Station,
building and point are no tags of it: a device moves, and the register's dated assignments say where it hung when it is
judged. What was found is written besides, by station and building, so that Grafana needs no other source.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SCHEMA_VERSION = 1
"""Grows with every change that a board could notice."""


class FieldType(StrEnum):
    """What a field holds; InfluxDB refuses another type in the same shard."""

    FLOAT = "float"
    INTEGER = "integer"
    STRING = "string"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag: indexed, always text."""

    name: str
    what: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its name, its type, its unit (empty where it has none), and what it says."""

    name: str
    type: FieldType
    unit: str
    what: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """A kind of point.

    Attributes
    ----------
    name
        Its name in InfluxDB.
    what
        What one point is.
    time
        What its time is.
    tags, fields
        In the order in which they are documented.
    """

    name: str
    what: str
    time: str
    tags: tuple[Tag, ...]
    fields: tuple[Field, ...]

    def field(self, name: str) -> Field:
        """Return the field of that name.

        Raises
        ------
        KeyError
            If there is none.
        """
        return {field.name: field for field in self.fields}[name]

    @property
    def tag(self) -> str:
        """The name of its only tag.

        Raises
        ------
        ValueError
            If it has more than one.
        """
        (only,) = self.tags
        return only.name


SOURCE = Tag("source", "device, or point where no device is named; percent-encoded where it holds what no tag can")
TEMPERATURE = Field("temperature_c", FieldType.FLOAT, "degC", "as sent; absent where it is no finite number")
READING_FIELDS = (
    TEMPERATURE,
    Field("humidity_pct", FieldType.FLOAT, "%", "relative humidity"),
    Field("battery", FieldType.FLOAT, "as sent", "battery level: percent, volts or millivolts"),
    Field("rssi_dbm", FieldType.FLOAT, "dBm", "strength of the radio signal"),
    Field("flags", FieldType.STRING, "", "comma-joined flags; absent where there are none"),
    Field("not_finite", FieldType.STRING, "", "`nan`, `inf` or `-inf` where the temperature is no finite number"),
    Field("arrived_ms", FieldType.INTEGER, "ms", "when it was received; never absent"),
    Field(
        "late_ms",
        FieldType.INTEGER,
        "ms",
        "how long after it was measured (negative: before), where that is more than an hour",
    ),
    Field("born", FieldType.STRING, "", "`worker/sequence/position`: the journal's message that brought it"),
)
READING = Measurement("reading", "one reading of one source", "when it was measured", (SOURCE,), READING_FIELDS)
CONFLICT = Measurement(
    "reading_conflict",
    "another value of a source and time that `reading` has already",
    "when it was measured",
    (SOURCE, Tag("nth", "2 for the first of them, and on")),
    READING_FIELDS,
)

WHOLE_STATION = "_"
"""Stands as `building` where something is of a station as a whole."""

STATION = Tag("station", "station")
BUILDING = Tag("building", "building; `_` where it is of the station as a whole")

_SUMS = (
    ("compliant_ms", "time that complies"),
    ("violating_ms", "time below the minimum"),
    ("unknown_ms", "time of which nothing is known"),
    ("sensor_fault_ms", "time of a faulty thermometer"),
    ("outage_ms", "time in a heat outage (R1)"),
    ("not_asked_ms", "time for which nothing is asked"),
    ("suspended_ms", "time of suspended rooms (R5)"),
    ("off_season_ms", "time outside the season (R5)"),
    ("unlisted_ms", "time for which the register does not list the point here"),
    ("below_target_ms", "inside `compliant_ms`: below the target"),
    ("outage_compliant_ms", "inside `outage_ms`: at the minimum or above"),
    ("outage_violating_ms", "inside `outage_ms`: below the minimum"),
    ("compliant_n", "readings that violate nothing"),
    ("violating_n", "readings below the minimum"),
    ("below_target_n", "inside `compliant_n`: below the target"),
    ("outage_n", "readings in a heat outage"),
    ("outage_violating_n", "inside `outage_n`: below the minimum"),
    ("outage_below_target_n", "inside `outage_n`: below the target"),
    ("sensor_fault_n", "readings of a faulty thermometer"),
    ("sensor_fault_violating_n", "inside `sensor_fault_n`: below the minimum"),
    ("sensor_fault_below_target_n", "inside `sensor_fault_n`: below the target"),
    ("not_asked_n", "readings of which nothing is asked"),
    ("not_in_service_n", "readings of rooms not in service"),
)
"""What is added up: `heatwatch.domain.compliance.FIELDS`, in their order."""
_TICKETS = (
    ("low_temperature", "of cold rooms"),
    ("heat_outage", "of stops of heat"),
    ("repair", "reported repairs"),
    ("leak", "reported leaks"),
    ("sensor", "of test points"),
    ("technical", "of what is wrong with heatwatch itself"),
)
"""Kinds of tickets."""


def _float(name: str, unit: str, what: str) -> Field:
    return Field(name, FieldType.FLOAT, unit, what)


def _count(name: str, what: str) -> Field:
    return Field(name, FieldType.INTEGER, "", what)


def _instant(name: str, what: str) -> Field:
    return Field(name, FieldType.INTEGER, "ms", f"{what}; 0 where it is not (yet)")


def _text(name: str, what: str) -> Field:
    return Field(name, FieldType.STRING, "", what)


def _flag(name: str, what: str) -> Field:
    return Field(name, FieldType.BOOLEAN, "", what)


ROOM_HOUR = Measurement(
    "room_hour",
    "an hour of a test point: its valid readings, as they are judged",
    "start of the hour, UTC",
    (
        STATION,
        BUILDING,
        Tag("point", "test point"),
        Tag("room", "room; the point where none is named"),
        Tag("room_class", "`apartment`, `single_storey` or `non_residential`"),
        Tag(
            "place",
            "where it hangs on the loop (near, middle, far), in the register's words; absent where it says none",
        ),
    ),
    (
        _float(
            "mean_c", "degC", "mean of its valid readings, calibrated; as the next three absent where it never had one"
        ),
        _float("min_c", "degC", "lowest"),
        _float("max_c", "degC", "highest"),
        _float("last_c", "degC", "last"),
        _count("readings", "valid readings; 0 where the hour is void by now: then the temperatures are outdated"),
        _count("violations", "of these strictly below the minimum that was asked"),
        _count("below_target", "of these at the minimum or above, strictly below the target"),
        _flag(
            "asked",
            "whether anything was asked at the beginning of the hour; if not, the next two are outdated or absent",
        ),
        _float("minimum_c", "degC", "minimum asked at the beginning of the hour: the step line"),
        _float("target_c", "degC", "target asked then"),
    ),
)
SUPPLY_HOUR = Measurement(
    "supply_hour",
    "an hour of a supply sensor: the means of what it measured",
    "start of the hour, UTC",
    (STATION, BUILDING),
    (
        _float("supply_c", "degC", "supply temperature; each absent where it was not measured"),
        _float("return_c", "degC", "return temperature"),
        _float("flow_m3_h", "m3/h", "flow"),
    ),
)
FINDING = Measurement(
    "finding",
    "what judging says, under its number: a later revision replaces what stood there; nothing is deleted",
    "its start as first issued, with its number in the nanoseconds below a millisecond",
    (
        Tag("kind", "`cold_spell`, `heat_outage`, `data_outage` or `sensor_fault`"),
        Tag("subject_kind", "`point`, `building` or `station`"),
        Tag("subject", "point, building or station"),
        BUILDING,
        STATION,
    ),
    (
        _count("finding", "its number"),
        _instant("start_ms", "start by the last revision"),
        _instant("end_ms", "end"),
        _flag("open", "whether it goes on"),
        _flag("withdrawn", "whether it was taken back, or is told in another series since (`moved`)"),
        _flag(
            "moved", "whether the register has put its subject elsewhere: the finding goes on under the new building"
        ),
        _flag("confirmed", "whether a cold spell is worth a ticket; true of every other kind"),
        _instant("confirmed_ms", "when a cold spell was confirmed"),
        _count("revision", "grows with every change"),
        _instant("issued_ms", "when it was first issued, by the installation's clock"),
        _instant("changed_ms", "when it was last changed, by the same"),
        _count("ticket", "the ticket that it belongs to; 0 where none"),
        _float("duration_h", "h", "length of what has ended; 0 while it goes on"),
        _text("rule", "cold spell: violated rules, joined by `+`"),
        _text("end_reason", "cold spell: `recovered`, `silence`, `suspended`, `season`; empty while it goes on"),
        _float("violation_h", "h", "cold spell: time below the minimum"),
        _float("unknown_h", "h", "cold spell: time of which nothing is known"),
        _float("min_temp_c", "degC", "cold spell: lowest reading"),
        _float("deficit_kh", "K h", "cold spell: how far below the minimum, over its time"),
        _text("evidence", "heat outage: `reported`, `supply` or `rooms`"),
        _float("confidence", "", "heat outage: from 0 to 1"),
        _count("points", "heat outage: rooms that show it"),
        _text("part_of", "data outage: the building's or station's that it is part of; empty where it is none"),
        _text("fault", "sensor fault: `out_of_range`, `spike`, `stuck`, `drift`, `moved`, `low_battery` or `clock`"),
        _text("detail", "sensor fault: what it rests on"),
    ),
)
TRUTH = Measurement(
    "truth",
    "what happened in a simulated town, of the shape of a finding; there is none of real ones",
    "its start, with its number in the nanoseconds below a millisecond",
    FINDING.tags,
    (
        *FINDING.fields,
        _count("matched", "1 where a finding tells of it, 0 where none does"),
        _count("found", "that finding's number; 0 where none"),
    ),
)
TICKET = Measurement(
    "ticket",
    "a ticket as it stands; what it becomes replaces what stood there",
    "when it was opened, with its number in the nanoseconds below a millisecond",
    (
        Tag("kind", "`low_temperature`, `heat_outage`, `repair`, `leak`, `sensor` or `technical`"),
        STATION,
        BUILDING,
        Tag("scope", "`room`, `building` or `station`"),
    ),
    (
        _count("ticket", "its number"),
        _text("state", "`open`, `taken`, `finished`, `closed`, `merged` or `withdrawn`"),
        _flag("open", "whether anything is still to be done"),
        _flag("emergency", "whether work starts at once (R11, R17)"),
        _flag("taken", "whether somebody answers for it (R14)"),
        _text("room", "room, on a room's ticket"),
        _text("point", "test point, on a room's ticket that findings opened"),
        _text("rule", "rules that it rests on, joined by `+`"),
        _instant("opened_ms", "when the company could know"),
        _instant("cause_start_ms", "when the cause began"),
        _instant("finished_ms", "when the repair was finished"),
        _instant("closed_ms", "when it was followed up and closed"),
        _instant("recovered_ms", "since when nothing that it rests on goes on"),
        _count("merged_into", "the ticket that took it over; 0 where none"),
        _count("findings", "how many findings belong to it"),
        _text("step", "its next deadline: what has to be done; empty where there is none"),
        _text("step_rule", "the rule that sets it"),
        _instant("due_ms", "by when"),
        _count("clocks", "deadlines that are running"),
        _count("missed", "deadlines that were missed, as noted in its log (`overdue`)"),
    ),
)
TICKET_EVENT = Measurement(
    "ticket_event",
    "a line of a ticket's log, without the names of people and their words",
    "when it happened, with its number in the nanoseconds below a millisecond",
    (Tag("kind", "what was done, or what heatwatch noted (`take`, `overdue` …)"), STATION, BUILDING),
    (
        _count("event", "its number"),
        _count("ticket", "the ticket's number"),
        _text("ticket_kind", "the ticket's kind"),
        _flag("emergency", "whether the ticket is an emergency"),
        _text("step", "`overdue`, `explain`: the deadline; else empty"),
        _text("rule", "`overdue`: the rule that sets it; else empty"),
        _instant("at_ms", "when it happened"),
    ),
)
NOTICE = Measurement(
    "notice",
    "a public notice (R12, R13) as it stands",
    "when it was drafted, with its number in the nanoseconds below a millisecond",
    (Tag("kind", "`stop`, `restoration` or `correction`"), STATION),
    (
        _count("notice", "its number"),
        _count("ticket", "the ticket's number"),
        _text("state", "`draft`, `published`, `superseded` or `dropped`"),
        _flag("published", "whether it was published"),
        _text("title", "its title"),
        _text("buildings", "the buildings concerned, joined by commas"),
        _count("building_count", "how many they are"),
        _instant("stop_start_ms", "when the stop began"),
        _instant("stop_end_ms", "when it ended"),
        _instant("drafted_ms", "when it was drafted"),
        _instant("published_ms", "when it was published"),
        _instant("due_ms", "by when it has to be published"),
        _count("replaces", "the notice that it brings up to date; 0 where none"),
    ),
)
STOP = Measurement(
    "stop",
    "a stop of heat as reported (R11, R12, R32), planned or not",
    "its start, with its number in the nanoseconds below a millisecond",
    (
        Tag("subject_kind", "`station`, `building`, `riser` or `room`"),
        Tag("subject", "station, building, riser or room"),
        STATION,
    ),
    (
        _count("stop", "its number"),
        _instant("start_ms", "when heat is off"),
        _instant("end_ms", "until when; 0 also where that is not known"),
        _flag("planned", "whether it was planned"),
        _flag("withdrawn", "whether it was reported in error"),
        _text("reason", "why, of a station's or building's stop; else empty"),
        _count("revision", "grows with every change"),
        _instant("reported_ms", "when it was reported, by the installation's clock"),
    ),
)
COMPLIANCE_DAY = Measurement(
    "compliance_day",
    "a local day of the rooms of one class in a building: sums, and the rates that they make (decision 0020)",
    "local midnight at which it begins",
    (STATION, BUILDING, Tag("room_class", "`apartment`, `single_storey` or `non_residential`")),
    (
        _float(
            "readings_pct", "%", "rate by readings; -1 where nothing is known. Over several rows divide sums instead"
        ),
        _float("hours_pct", "%", "rate by hours; -1 where nothing is known"),
        _float("rooms_pct", "%", "rate by rooms, of this one day; -1 where too little is known of each"),
        _count("readings_rated", "compliant_n + violating_n: what `readings_pct` is a share of"),
        _count("rated_ms", "compliant_ms + violating_ms: what `hours_pct` is a share of"),
        _count("rooms", "rooms with any time to be rated"),
        _count("rooms_rated", "of these, rooms of which enough is known"),
        _count("rooms_compliant", "of these, rooms that comply"),
        *(Field(name, FieldType.INTEGER, "ms" if name.endswith("_ms") else "", what) for name, what in _SUMS),
    ),
)
STATION_NOW = Measurement(
    "station_now",
    "a station of the register as it stands: one point each minute of the installation's clock",
    "the minute",
    (STATION,),
    (
        _count("rooms", "rooms in service"),
        _count("cold", "of these in a confirmed cold spell"),
        _count("below", "of these measured below the limit, not (yet) in such a spell"),
        _count("silent", "of these with a data outage that goes on"),
        _count("unknown", "of these of which nothing is known"),
        _count("outages", "stops of heat that go on"),
        _float("longest_outage_h", "h", "how long the longest of them has lasted; 0 where there is none"),
        _count("notices_due", "of them not announced yet, though a rule asks for it"),
        _float(
            "notice_due_s",
            "s",
            "time left to the earliest such announcement, negative when overdue; absent without one",
        ),
        _count("tickets", "tickets on which something is still to be done"),
        *(_count(f"tickets_{kind}", f"of these {what}") for kind, what in _TICKETS),
        _count("clocks_running", "their deadlines that are not met yet"),
        _count("clocks_overdue", "of these passed"),
        _float("next_due_s", "s", "time left to the next deadline, negative when overdue; absent without one"),
        _count("points_expected", "test points of the register that are to be heard: in service now"),
        _count("points_heard", "of these heard within the time for which a reading holds"),
        _float("last_heard_s", "s", "age of the newest reading of any of its points; absent where none was ever heard"),
        _flag("planned_stop", "whether a reported planned stop of the whole station covers now"),
        _count("buildings", "buildings of the register"),
        _count("planned_buildings", "of these covered by a reported planned stop now, their station's included"),
    ),
)
DELIVERY = Measurement(
    "delivery",
    "both lines of the delivery identity, of one ingest worker: one point each minute of the installation's clock",
    "the minute",
    (Tag("worker", "ingest worker"),),
    (
        _count("received", "messages received = the next four"),
        _count("decoded", "messages decoded"),
        _count("no_reading", "messages that rightly hold no reading"),
        _count("quarantined", "messages in quarantine"),
        _count("waiting", "messages in the journal, not stored yet"),
        _count("readings_decoded", "readings decoded = the next five"),
        _count("readings_stored", "readings stored"),
        _count("readings_duplicate", "readings that were there already"),
        _count("readings_conflict", "readings that contradict one that was there; kept beside it"),
        _count("readings_quarantined", "readings in quarantine"),
        _count("readings_waiting", "readings not stored yet"),
        _flag("holds", "whether both lines add up"),
        _count("too_late", "readings that came too late to be judged; stored"),
    ),
)
PIPELINE = Measurement(
    "pipeline",
    "how far a role has come: one point each minute of the installation's clock",
    "the minute",
    (Tag("role", "`ingest`, `analytics`, `rates`, `dispatch`, `notifier` or `feed`"),),
    (
        _instant("as_of_ms", "the moment for which its work holds"),
        _float("lag_s", "s", "how far that is behind the clock; absent where it has no such moment"),
        _count(
            "waiting",
            "what it has still to do: ingest messages, analytics and feed arrivals, rates days of buildings, "
            "dispatch changed findings, notifier notifications",
        ),
        _count("refused", "feed: lines that InfluxDB did not take, since the beginning; else 0"),
    ),
)
HEATWATCH = Measurement(
    "heatwatch",
    "who wrote all this: one point each minute of the installation's clock",
    "the minute",
    (),
    (
        _count("schema", "version of this schema"),
        _text("version", "version of heatwatch"),
        _text("timezone", "the company's time zone"),
    ),
)

MEASUREMENTS = (
    READING,
    CONFLICT,
    ROOM_HOUR,
    SUPPLY_HOUR,
    FINDING,
    TRUTH,
    TICKET,
    TICKET_EVENT,
    NOTICE,
    STOP,
    COMPLIANCE_DAY,
    STATION_NOW,
    DELIVERY,
    PIPELINE,
    HEATWATCH,
)
"""All of them."""
