"""What a scenario file may say, as models: most of it is read off the events, faults and settings themselves.

A field of theirs whose name ends in ``_ms`` is written without that ending, as a span of time:
``reported_after: 20min``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from datetime import datetime
from functools import cache
from inspect import cleandoc
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Strict, WithJsonSchema, create_model, model_validator
from pydantic import Field as Limits

from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, to_ms
from heatwatch.domain.notices import NoticeKind
from heatwatch.domain.tickets import TicketKind
from heatwatch.files.tables import FIRST_YEAR, LAST_YEAR
from simulators.physics.weather import WeatherSettings
from simulators.scoring.expectations import KindExpected
from simulators.thermometers.devices import ThermometerSettings
from simulators.thermometers.faults import FAULTS
from simulators.towns.events import EVENTS
from simulators.towns.settings import PhysicsSettings

SUBJECTS = ("station", "building", "riser", "room", "town")
MOST_ROOMS = 200_000
_LONGEST_MS = 3_660 * DAY_MS
_LONGEST_TEXT = 60
_UNITS = {"ms": 1, "s": SECOND_MS, "min": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_PART = re.compile(r"\s*(?:(\d{1,9}(?:\.\d{1,6})?)(ms|s|min|h|d)(?![a-z])|(\d\d?):([0-5]\d)(?!\d))")
_MOST = 1e7
_LIMITS: Mapping[str, tuple[float, float]] = {
    "share": (0.0, 1.0),
    "value_c": (-_MOST, _MOST),
    "_c": (-80.0, 150.0),
    "from_h": (0.0, 24.0),
    "to_h": (0.0, 24.0),
    "_k": (-100.0, 100.0),
    "_h": (-10_000.0, 10_000.0),
    "_deg": (-180.0, 180.0),
}


def span_of(text: object) -> int:
    """Read a span of time as milliseconds: the sum of its parts, ``90s``, ``5min``, ``10h``, ``2d 06:00``, ``-1d``.

    >>> span_of("2d 06:00"), span_of("-1h 30min")
    (194400000, -5400000)

    Raises
    ------
    ValueError
        If it is none.
    """
    msg = f"{text!r} is no span of time; write 90s, 5min, 10h, 2d or 2d 06:00"
    if text == 0 and not isinstance(text, bool):
        return 0
    if not isinstance(text, str) or len(text) > _LONGEST_TEXT:
        raise ValueError(msg)
    rest = text.strip()
    sign, rest = (-1, rest[1:]) if rest.startswith("-") else (1, rest)
    total, at = 0.0, 0
    while found := _PART.match(rest, at):
        number, unit, hours, minutes = found.groups()
        total += float(number) * _UNITS[unit] if unit else int(hours) * HOUR_MS + int(minutes) * MINUTE_MS
        at = found.end()
    if not at or at != len(rest) or total > _LONGEST_MS:
        raise ValueError(msg)
    return sign * round(total)


def span_text(length_ms: int) -> str:
    """Write a span of time as `span_of` reads it.

    >>> span_text(194400000), span_text(-90_000), span_text(0)
    ('2d 6h', '-1min 30s', '0s')
    """
    left, parts = abs(length_ms), []
    for unit in ("d", "h", "min", "s", "ms"):
        count, left = divmod(left, _UNITS[unit])
        parts += [f"{count}{unit}"] if count else []
    return ("-" if length_ms < 0 else "") + (" ".join(parts) or "0s")


def _length(value: object) -> int:
    length_ms = span_of(value)
    if length_ms <= 0:
        msg = f"{value!r} is no time at all"
        raise ValueError(msg)
    return length_ms


def _seconds(value: object) -> int:
    interval_ms = span_of(value)
    if interval_ms < SECOND_MS or interval_ms % SECOND_MS or interval_ms > DAY_MS:
        msg = f"{value!r} is not from a second to a day, in whole seconds"
        raise ValueError(msg)
    return interval_ms


def _instant(value: object) -> int:
    msg = f"{value!r} is no moment with a zone; write 2026-01-12T00:00:00+08:00"
    if not isinstance(value, str):
        raise ValueError(msg)  # noqa: TRY004 - pydantic makes a validation error of a ValueError
    try:
        moment = datetime.fromisoformat(value)
        if FIRST_YEAR <= moment.year <= LAST_YEAR:
            return to_ms(moment)
    except ValueError as error:
        raise ValueError(msg) from error
    raise ValueError(msg)


_SPAN = r"^-?\s*((\d+(\.\d+)?(ms|s|min|h|d)|\d\d?:[0-5]\d)\s*)+$"
_TEXT_OF_SPAN = WithJsonSchema({"type": "string", "pattern": _SPAN})
Span = Annotated[int, BeforeValidator(span_of), _TEXT_OF_SPAN]
Length = Annotated[int, BeforeValidator(_length), _TEXT_OF_SPAN]
Interval = Annotated[int, BeforeValidator(_seconds), _TEXT_OF_SPAN]
Instant = Annotated[int, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})]
Whole = Annotated[int, Limits(ge=0, le=1_000_000)]
Share = Annotated[float, Limits(ge=0, le=1)]
Hours = Annotated[float, Limits(ge=0, le=_MOST, allow_inf_nan=False)]
Text = Annotated[str, Limits(min_length=1, max_length=4_000)]
Name = Annotated[str, Limits(min_length=1, max_length=200)]


class Strictly(BaseModel):
    """Nothing unknown, no text for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TownPart(Strictly):
    """How large the town is."""

    rooms: Annotated[int, Limits(ge=1, le=MOST_ROOMS)] = 48
    rooms_per_building: Annotated[int, Limits(ge=1, le=10_000)] = 12
    stations: Annotated[int, Limits(ge=1, le=10_000)] = 2
    interval: Interval = 5 * MINUTE_MS
    cold_rooms: Whole = 0
    seed: Annotated[int, Limits(ge=0, lt=2**63)] = 1


class SnapPart(Strictly):
    """A stretch of days colder than they would have been."""

    at: Span
    lasts: Length
    depth_k: Annotated[float, Limits(gt=0, le=60)]


class Happening(Strictly):
    """Whom it happens to, when after the beginning, and for how long; where that is not said, until the end."""

    station: Name | None = None
    building: Name | None = None
    riser: Name | None = None
    room: Name | None = None
    town: Literal[True] | None = None
    at: Span = 0
    lasts: Length | None = None

    @model_validator(mode="after")
    def _one_subject(self) -> Happening:
        if len(self.named) != 1:
            msg = f"it happens to one of {', '.join(SUBJECTS)}; {len(self.named)} are named"
            raise ValueError(msg)
        return self

    @property
    def named(self) -> dict[str, str]:
        """What is named as its subject: kind and name."""
        said = {kind: getattr(self, kind) for kind in SUBJECTS}
        return {kind: "" if name is True else name for kind, name in said.items() if name is not None}

    def own(self) -> dict[str, Any]:
        """Return its own fields, as far as they are given, by the names of the event or fault."""
        of_ms = {f"{name}_ms" if name in _spans_of(type(self)) else name: name for name in self.model_fields_set}
        return {there: getattr(self, here) for there, here in of_ms.items() if here not in Happening.model_fields}


def _exactly(value: object) -> object:
    return {"at_least": value, "at_most": value} if type(value) is int else value


class CountPart(Strictly):
    """How many there should be."""

    at_least: Whole = 0
    at_most: Whole | None = None


_EXACTLY = {"type": "integer", "minimum": 0}
_COUNT_SCHEMA = CountPart.model_json_schema()
Counted = Annotated[CountPart, BeforeValidator(_exactly), WithJsonSchema({"anyOf": [_COUNT_SCHEMA, _EXACTLY]})]


@cache
def document_model() -> type[BaseModel]:
    """Return the model of a whole file."""
    weather = create_model(
        "WeatherPart",
        __base__=_of(WeatherSettings, but=("snaps",)),
        file=(Name | None, Limits(None, description="A file of what was measured: time, outdoor_c.")),
        snaps=(list[SnapPart], []),
    )
    return create_model(
        "Scenario",
        __base__=Strictly,
        __doc__="A scenario: a town, what goes wrong in it, and what should be found.",
        title=(Name, Limits(description="In a few words.")),
        title_zh=(Name | None, Limits(None, description="The same in Chinese.")),
        teaches=(Text | None, Limits(None, description="What is to be learnt from it.")),
        include=(list[Name], Limits([], description="Other scenarios that happen at the same time.")),
        start=(Instant | None, Limits(None, description="When it begins.")),
        lasts=(Length | None, Limits(None, description="How long it takes.")),
        town=(TownPart, TownPart()),
        weather=(weather, weather()),
        physics=(_of(PhysicsSettings), _of(PhysicsSettings)()),
        thermometers=(_of(ThermometerSettings), _of(ThermometerSettings)()),
        events=(_list_of(_entry("EventEntry", EVENTS)), []),
        faults=(_list_of(_entry("FaultEntry", FAULTS)), []),
        expect=(_expected(), _expected()()),
    )


@cache
def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a file, for editors."""
    schema = document_model().model_json_schema()
    lean: dict[str, Any] = _lean(schema)
    lean["$defs"]["span"] = {"type": "string", "pattern": _SPAN, "examples": ["90s", "5min", "10h", "2d 06:00"]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **lean}


def schema_text() -> str:
    """Return the schema as the text of its file.

    ``python -c "from simulators.scenarios.models import schema_text; print(schema_text(), end='')"`` writes
    ``simulators/scenarios/schema.json`` anew when an event, a fault or a setting has changed.
    """
    return json.dumps(json_schema(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def known_fields(path: Sequence[str | int]) -> list[str]:
    """Return the names that a mapping at `path` of a file may have; none where there is no mapping."""
    root = json_schema()
    schema = _resolved(root, root)
    for part in path:
        inner = schema.get("items") if isinstance(part, int) else schema.get("properties", {}).get(part)
        if inner is None:
            return []
        schema = _resolved(inner, root)
    return list(schema.get("properties", {}))


def _resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in schema:
        return next((one for one in (_resolved(one, root) for one in schema["anyOf"]) if "properties" in one), schema)
    return root["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _lean(schema: Any) -> Any:
    """Leave out what says nothing: titles made of names, and null, which means that nothing is said."""
    if isinstance(schema, list):
        return [_lean(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("pattern") == _SPAN:
        default = {"default": span_text(schema["default"])} if "default" in schema else {}
        return {"$ref": "#/$defs/span", **default, **_described(schema)}
    lean: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "title" and isinstance(value, str):
            continue
        if name in {"properties", "$defs"}:
            lean[name] = {key: _lean(one) for key, one in value.items()}
        elif name != "default" or (isinstance(value, (str, int, float)) and value == value):  # noqa: PLR0124 - nan
            lean[name] = _lean(value)
    some = [one for one in lean.get("anyOf", []) if one != {"type": "null"}]
    if len(some) == 1:
        del lean["anyOf"]
        lean = {**some[0], **lean}
    elif some:
        lean["anyOf"] = some
    return lean


def _described(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return the description of a span, which has its unit with it."""
    text = schema.get("description", "").replace(" [ms]", "")
    return {"description": text} if text else {}


def _list_of(model: type[BaseModel]) -> Any:
    return list[model]  # type: ignore[valid-type]


def _entry(name: str, classes: Mapping[str, type]) -> type[BaseModel]:
    """Return the model of one entry of a list: a mapping with one of the names."""
    known = {kind: (_happening(kind, one) | None, None) for kind, one in sorted(classes.items())}
    model: type[BaseModel] = create_model(  # type: ignore[call-overload]
        name,
        __base__=Strictly,
        __validators__={"_one_name": model_validator(mode="after")(_one_name)},
        **known,
    )
    model.model_config["json_schema_extra"] = {"minProperties": 1, "maxProperties": 1}
    model.model_rebuild(force=True)
    return model


def _one_name(self: Any) -> Any:
    if len(self.model_fields_set) != 1 or getattr(self, next(iter(self.model_fields_set))) is None:
        msg = "an entry has one name with its fields, as in `- stuck: {room: S1-B01-1-101, at: 6h}`"
        raise ValueError(msg)
    return self


@cache
def _happening(name: str, one: type) -> type[Happening]:
    own = {field.name: field for field in fields(one) if field.name not in {"subject", "start_ms", "end_ms"}}
    model: type[Happening] = create_model(name, __base__=Happening, __doc__=_summary(one), **_given(one, own))
    return model


@cache
def _spans_of(model: type[Happening]) -> frozenset[str]:
    """Return the fields that stand for one that ends in ``_ms``."""
    return frozenset(
        name for name, info in model.model_fields.items() if (info.json_schema_extra or {}) == {"x-span": True}
    )


@cache
def _of(settings: type, but: tuple[str, ...] = ()) -> type[BaseModel]:
    """Return the model of a settings class; fields that are settings themselves become models too."""
    own = {field.name: field for field in fields(settings) if field.name not in but}
    model: type[BaseModel] = create_model(
        settings.__name__, __base__=Strictly, __doc__=_summary(settings), **_given(settings, own)
    )
    return model


def _given(one: type, own: Mapping[str, Field[Any]]) -> dict[str, Any]:
    hints, said = get_type_hints(one), _attributes(one)
    given = {}
    for name, field in own.items():
        default = field.default if field.default is not MISSING else None
        description = said.get(name)
        if name.endswith("_ms"):
            info = Limits(default, description=description, json_schema_extra={"x-span": True})
            given[name.removesuffix("_ms")] = (Span, info)
        else:
            required = field.default is MISSING and field.default_factory is MISSING
            value = ... if required else default
            given[name] = (_type(name, hints[name]), Limits(value, description=description))
    return given


def _type(name: str, hint: Any) -> Any:
    if hint is float:
        low, high = next((limits for end, limits in _LIMITS.items() if name.endswith(end)), (-_MOST, _MOST))
        return Annotated[float, Limits(ge=low, le=high, allow_inf_nan=False)]
    if hint is int:
        return Annotated[int, Limits(ge=-_MOST, le=_MOST)]
    if hint is str:
        return Annotated[str, Limits(max_length=200)]
    if get_origin(hint) is tuple:
        inner = tuple(_type(name.removesuffix("s"), one) for one in get_args(hint))
        return Annotated[tuple[inner], Strict(strict=False)]  # type: ignore[valid-type]
    return _of(hint) | None if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__") else hint


@cache
def _expected() -> type[BaseModel]:
    said = _attributes(KindExpected)
    types = {
        name: Share if name.startswith(("recall", "precision")) else Hours if name.endswith(("_h", "hours")) else Whole
        for name in (field.name for field in fields(KindExpected))
    }
    own: dict[str, Any] = {name: (kind | None, Limits(None, description=said[name])) for name, kind in types.items()}
    of_kind = create_model("KindPart", __base__=Strictly, **own)
    kinds: dict[str, Any] = {kind.file_stem: (of_kind | None, None) for kind in FindingKind}
    counts: dict[str, Any] = {
        what: (create_model(f"{what}Part", __base__=Strictly, **_counts(kinds)) | None, None)
        for what, kinds in (("tickets", TicketKind), ("notices", NoticeKind))
    }
    return create_model("ExpectPart", __base__=Strictly, **kinds, **counts)


def _counts(kinds: type[TicketKind | NoticeKind]) -> Any:
    return {str(kind): (Counted | None, None) for kind in kinds}


def _summary(one: type) -> str:
    return cleandoc(one.__doc__ or "").split("\n\n")[0].replace("\n", " ")


def _attributes(one: type) -> dict[str, str]:
    """Return what the docstrings of a class and those above it say of its attributes."""
    said: dict[str, str] = {}
    for each in reversed(one.__mro__):
        _, _, section = cleandoc(each.__doc__ or "").partition("Attributes\n----------\n")
        for names, text in re.findall(r"^(\w[\w, ]*)\n((?:    .*\n?)+)", section, re.MULTILINE):
            said |= dict.fromkeys(re.split(r",\s*", names), " ".join(text.split()))
    return said
