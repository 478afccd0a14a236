"""The rules file: dated versions of the temperature standard, the clocks and the numbers of judging, in YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from heatwatch.domain.life import STEPS
from heatwatch.domain.temperature import (
    MINUTES_PER_DAY,
    ClassRules,
    ClockRule,
    Hours,
    Judging,
    RoomClass,
    Season,
    Standard,
    Version,
)
from heatwatch.domain.tickets import TicketKind
from heatwatch.errors import BadInput
from heatwatch.files.tables import FIRST_YEAR, LAST_YEAR

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)


def default_standard() -> Standard:
    """Return the standard of the rules file that comes with heatwatch."""
    source, text = rules_text(None)
    return parse_standard(text, where=source)


def read_standard(path: Path) -> Standard:
    """Read a rules file.

    Raises
    ------
    BadInput
        If it is not there or broken; the message names file, line or field.
    """
    source, text = rules_text(path)
    return parse_standard(text, where=source)


def rules_text(path: Path | None) -> tuple[str, str]:
    """Return the name and the text of a rules file; of the one that comes with heatwatch where none is named.

    Raises
    ------
    BadInput
        If it cannot be read.
    """
    if path is None:
        return "default rules", resources.files("heatwatch.rules").joinpath("default.yaml").read_text(encoding="utf-8")
    try:
        return str(path), path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(error.strerror or str(error), where=str(path)) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"byte {error.start} is not UTF-8", where=str(path)) from error


def parse_standard(text: str, *, where: str) -> Standard:
    """Make a standard of the text of a rules file; `where` names it in errors."""
    try:
        raw = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{where}, line {mark.line + 1}" if mark else where
        raise BadInput(f"not valid YAML: {error.problem}", where=place) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"not valid YAML: {' '.join(str(error).split())}", where=where) from error
    try:
        rules = _RULES.validate_python(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BadInput(f"{field}: {first['msg']}", where=where) from error
    return _standard(rules, where)


def _minute(text: object) -> int:
    if not isinstance(text, str):
        msg = 'a time of day is written as "HH:MM", in quotes'
        raise ValueError(msg)  # noqa: TRY004 - pydantic makes a validation error of a ValueError
    hours, _, minutes = text.partition(":")
    if not (hours.isdecimal() and minutes.isdecimal() and len(minutes) == 2):  # noqa: PLR2004 - two digits of minutes
        msg = f"{text!r} is no time of day as HH:MM"
        raise ValueError(msg)
    minute = int(hours) * 60 + int(minutes)
    if int(minutes) >= 60 or minute > MINUTES_PER_DAY:  # noqa: PLR2004 - minutes of an hour
        msg = f"{text!r} is no time of day"
        raise ValueError(msg)
    return minute


def _instant(value: object) -> object:
    return datetime.combine(value, datetime.min.time()) if type(value) is date else value


Minute = Annotated[int, BeforeValidator(_minute)]
DegC = Annotated[float, Field(ge=-50, le=60, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Number(_Strict):
    value: DegC
    rule: str
    source: str = ""


class _Hours(_Strict):
    start: Minute = Field(alias="from")
    end: Minute = Field(alias="to")
    minimum_c: DegC
    target_c: DegC | None = None
    rule: str = ""
    source: str = ""
    weekdays: list[Weekday] = Field(default=list(WEEKDAYS), min_length=1)

    def hours(self, default_rule: str) -> Hours:
        days = frozenset(WEEKDAYS.index(day) for day in self.weekdays)
        return Hours(
            self.start, self.end, self.minimum_c, self.target_c, self.rule or default_rule, self.source, weekdays=days
        )


class _Class(_Strict):
    target_c: _Number | None = None
    hours: list[_Hours] = []


class _Season(_Strict):
    first_day: date
    last_day: date


def _known_step(step: str) -> str:
    if step not in STEPS:
        msg = f"no such step: {step}; there are {', '.join(STEPS)}"
        raise ValueError(msg)
    return step


class _Clock(_Strict):
    step: Annotated[str, AfterValidator(_known_step)]
    within_min: int = Field(ge=0)
    rule: str
    source: str = ""
    counted_from: Literal["opened", "cause", "finish", "from_above", "leak", "fault", "battery"] = "opened"
    not_before_min: int | None = Field(default=None, ge=0)
    lead_min: int | None = Field(default=None, ge=0)
    leak: bool | None = None


class _Version(_Strict):
    valid_from: Annotated[datetime | None, BeforeValidator(_instant)] = None
    classes: dict[RoomClass, _Class]
    contracts: dict[str, list[_Hours]] = {}
    seasons: list[_Season] = []
    clocks: dict[TicketKind, list[_Clock]] = {}


def _positive(judging: dict[str, float]) -> dict[str, float]:
    unknown = sorted(set(judging) - set(Judging.__dataclass_fields__))
    if unknown:
        msg = f"no such number: {', '.join(unknown)}"
        raise ValueError(msg)
    return judging


class _Rules(_Strict):
    versions: list[_Version] = Field(min_length=1)
    judging: Annotated[dict[str, Annotated[float, Field(allow_inf_nan=False)]], AfterValidator(_positive)] = {}


_RULES = TypeAdapter(_Rules)
_MOST = 10_000
_BOUNDS = {
    "range_low_c": (-273.15, 100),
    "range_high_c": (-273.15, 1_000),
    "interval_default_s": (1, 366 * 86_400),
    "outage_grid_min": (1, 1440),
    "outage_window_h": (0.25, 240),
    "outage_steady_h": (0.25, 240),
    "outage_min_points": (1, _MOST),
    "outage_quick_h": (0.25, 240),
    "outage_reach_h": (1, 240),
    "outage_rise_share": (0, 1),
    "outage_lasting_h": (0.25, 24),
    "outage_usual_days": (1, 6),
    "outage_rhythm_days": (2, 7),
    "outage_restless_days": (2, 7),
    "outage_least": (0, 1),
    "confirm_readings": (1, _MOST),
    "sensor_rows": (1, _MOST),
    "rates_room_pct": (0, 100),
    "rates_known_pct": (0, 100),
    "spike_k": (0.1, _MOST),
    "stuck_h": (0.25, _MOST),
    "stuck_readings": (2, _MOST),
    "drift_neighbours": (1, _MOST),
    "drift_day_hours": (4, 24),
    "clock_readings": (2, _MOST),
    "clock_conflicts": (2, _MOST),
    "supply_room_c": (-50, 60),
    "supply_mild_c": (-50, 60),
    "supply_confidence": (0, 1),
    "supply_usual_h": (1, 240),
    "supply_rhythm_nights": (1, _MOST),
    "supply_rhythm_of": (1, _MOST),
}
"""What a number of judging may be; from 0 to `_MOST` where nothing is said."""


def _standard(rules: _Rules, where: str) -> Standard:
    versions = [_version(raw, where) for raw in rules.versions]
    versions.sort(key=lambda version: version.valid_from or datetime.min.replace(tzinfo=UTC))
    starts = [version.valid_from for version in versions]
    if len(set(starts)) != len(starts):
        raise BadInput("two versions begin at the same moment", where=where, mend="give each its valid_from")
    return Standard(tuple(versions), _judging(rules.judging, where))


def _version(raw: _Version, where: str) -> Version:
    if raw.valid_from is not None and raw.valid_from.tzinfo is None:
        raise BadInput(
            f"versions.valid_from: {raw.valid_from} has no time zone",
            where=where,
            mend="write 2026-10-15T00:00:00+08:00",
        )
    for season in raw.seasons:
        if not FIRST_YEAR <= season.first_day.year <= season.last_day.year <= LAST_YEAR:
            raise BadInput(f"seasons: {season.first_day} to {season.last_day} is out of all time", where=where)
        if season.last_day < season.first_day:
            raise BadInput(f"seasons: {season.last_day} is before {season.first_day}", where=where)
    for kind, clocks in raw.clocks.items():
        _distinct(kind, clocks, where)
    return Version(
        valid_from=raw.valid_from,
        classes={name: _class(rules) for name, rules in raw.classes.items()},
        contracts={name: tuple(h.hours("R4") for h in hours) for name, hours in raw.contracts.items()},
        seasons=tuple(Season(season.first_day, season.last_day) for season in raw.seasons),
        clocks={
            kind: tuple(ClockRule(**clock.model_dump()) for clock in clocks) for kind, clocks in raw.clocks.items()
        },
    )


def _distinct(kind: str, clocks: Sequence[_Clock], where: str) -> None:
    """Refuse two deadlines that would hold for one step of one ticket at once."""
    for place, one in enumerate(clocks):
        if any(one.step == other.step and _at_once(one, other) for other in clocks[:place]):
            raise BadInput(f"clocks.{kind}: {one.step} has two deadlines at once", where=where, mend="leave one")


def _at_once(one: _Clock, other: _Clock) -> bool:
    if {one.counted_from, other.counted_from} == {"fault", "battery"}:
        return False  # a low battery's holds until there is a fault
    return None in (one.leak, other.leak) or one.leak == other.leak


def _class(raw: _Class) -> ClassRules:
    target_c = raw.target_c.value if raw.target_c else None
    return ClassRules(tuple(hours.hours("") for hours in raw.hours), target_c)


def _judging(raw: Mapping[str, float], where: str) -> Judging:
    fields: dict[str, Any] = {}
    for name, value in raw.items():
        whole = isinstance(Judging.__dataclass_fields__[name].default, int)
        low, high = _BOUNDS.get(name, (0, _MOST))
        if not low <= value <= high or (whole and value != int(value)):
            kind = "a whole number" if whole else "a number"
            raise BadInput(f"judging.{name}: {value:g} is not {kind} from {low:g} to {high:g}", where=where)
        fields[name] = int(value) if whole else value
    return Judging(**fields)


def time_zone(name: str) -> ZoneInfo:
    """Return the time zone called `name`.

    Raises
    ------
    BadInput
        If there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise BadInput(
            f"no time zone is called {name!r}", where="timezone", mend="for example Asia/Shanghai"
        ) from error
