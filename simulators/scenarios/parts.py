"""Scenario files one by one: found, read, checked; what is wrong is told with file, line and field."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import DAY_MS
from heatwatch.errors import BadInput
from simulators.scenarios import marked_yaml
from simulators.scenarios.addresses import Size, addresses
from simulators.scenarios.marked_yaml import Marked, read_marked
from simulators.scenarios.models import Happening, TownPart, document_model, known_fields, span_text
from simulators.scoring.expectations import Count, Expectations, KindExpected
from simulators.thermometers.faults import FAULTS, Fault
from simulators.towns.events import BUILDING, EVENTS, RISER, ROOM, Event, Subject

START_MS = 1_768_147_200_000
"""When a scenario begins that does not say when: 2026-01-12, midnight in China [ms]."""
LASTS_MS = 2 * DAY_MS
_ENDINGS = (".yaml", ".yml")
_MOST_BYTES = 1_000_000
_MOST_INCLUDES = 100
_SAYS_ENOUGH = 12
_SIZES = ("rooms", "rooms_per_building", "stations")


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which file something stands."""

    marked: Marked
    path: marked_yaml.Path

    def error(self, what: str, mend: str = "") -> BadInput:
        """Return the error that something is wrong here."""
        return self.marked.error(self.path, what, mend)


@dataclass(frozen=True, slots=True)
class Happens:
    """An event or a fault, before the beginning and the end of everything are known."""

    name: str
    kind: type[Event | Fault]
    said: Happening
    place: Place

    def made(self, start_ms: int, end_ms: int, interval_ms: int) -> Any:
        """Return the event or fault of a scenario from `start_ms` to `end_ms`, of such an interval [ms]."""
        since_ms = start_ms + self.said.at
        until_ms = max(end_ms, since_ms) if self.said.lasts is None else since_ms + self.said.lasts
        try:
            one = self.kind(Subject(*self.subject), since_ms, until_ms, **self.said.own())
            if isinstance(one, Fault):
                one.check(interval_ms)
        except BadInput as error:
            raise self.place.error(error.what, error.mend) from error
        return one

    @property
    def subject(self) -> tuple[str, str]:
        """Its subject: kind and name."""
        ((kind, name),) = self.said.named.items()
        return kind, name

    def refuse_strangers(self, town: TownPart) -> None:
        """Refuse a subject that the town does not have."""
        kind, name = self.subject
        known = addresses(size_of(town)).building_of.get(kind)
        if known is not None and name not in known:
            place = Place(self.place.marked, (*self.place.path, kind))
            raise place.error(f"the town has no {kind} {name!r}", nearest(name, known))

    def moved(self, old: TownPart, new: TownPart) -> Happens:
        """Return it for the same place of a town of another size: the house that is as far along its station's loop.

        Raises
        ------
        BadInput
            If there is no such place.
        """
        self.refuse_strangers(old)
        kind, name = self.subject
        if kind in {BUILDING, RISER, ROOM} and size_of(old) != size_of(new):
            name = addresses(size_of(old)).same_place(kind, name, addresses(size_of(new))) or name
        moved = replace(self, said=self.said.model_copy(update={kind: name})) if name else self
        moved.refuse_strangers(new)
        return moved

    def document(self) -> dict[str, Any]:
        """Return it as an entry of a file."""
        given = {name: plain(self.said, name) for name in type(self.said).model_fields if name in self._given}
        return {self.name: given}

    @property
    def _given(self) -> set[str]:
        return {name for name in self.said.model_fields_set if getattr(self.said, name) is not None}


def library() -> list[str]:
    """Return the names of the scenarios that come with heatwatch, in the order of the alphabet."""
    return sorted(name.removesuffix(".yaml") for name in _shelf_names() if name.endswith(".yaml"))


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the library, or one of somebody's own."""

    name: str
    file: Traversable

    @property
    def folder(self) -> Path | None:
        """The folder from which it names other files; the library's files name none."""
        return self.file.parent if isinstance(self.file, Path) and not self.of_library else None

    @property
    def of_library(self) -> bool:
        """Whether it came with heatwatch."""
        return not self.name.endswith(_ENDINGS)

    def text(self) -> str:
        """Return what it holds; `BadInput` where it cannot be read."""
        try:
            data = self.file.read_bytes()
        except (OSError, ValueError) as error:
            raise BadInput(getattr(error, "strerror", None) or str(error), where=self.name) from error
        if len(data) > _MOST_BYTES:
            raise BadInput("it is too large for a scenario", where=self.name)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise BadInput(f"byte {error.start} is not UTF-8", where=self.name) from error


@dataclass(frozen=True, slots=True)
class Part:
    """One file as it is read: what it says, and where it says it."""

    source: Source
    marked: Marked
    said: Any
    expects: Expectations

    def place(self, *path: str | int) -> Place:
        """Return a place in it."""
        return Place(self.marked, path)

    @property
    def start_ms(self) -> int:
        """When it begins [ms]."""
        return START_MS if self.said.start is None else int(self.said.start)

    @property
    def length_ms(self) -> int:
        """How long it takes [ms]."""
        return LASTS_MS if self.said.lasts is None else int(self.said.lasts)

    @property
    def size(self) -> TownPart | None:
        """How large its town is; None where it does not say, and speaks of whatever town it happens in."""
        said: TownPart = self.said.town
        return said if said.model_fields_set & set(_SIZES) else None

    @property
    def weather_file(self) -> Path | None:
        """The file of weather that it names."""
        name: str | None = self.said.weather.file
        if name is None:
            return None
        path = (self.source.folder or Path()) / name
        if not is_file(str(path)):
            raise self.place("weather", "file").error("no such file")
        return path

    def happens(self, whole_ms: int) -> list[Happens]:
        """Return its events and faults; what begins when all is over is refused.

        That is after its own length or, where it does not say how long it takes, after `whole_ms`.
        """
        over_ms = whole_ms if self.said.lasts is None else self.length_ms
        found = []
        for section, kinds in (("events", EVENTS), ("faults", FAULTS)):
            for at, entry in enumerate(getattr(self.said, section)):
                (name,) = entry.model_fields_set
                one = Happens(name, kinds[name], getattr(entry, name), self.place(section, at, name))
                if one.said.at >= over_ms:
                    lasts = span_text(over_ms)
                    raise self.place(section, at, name, "at").error(f"it begins when all is over, after {lasts}")
                found.append(one)
        return found


class Reader:
    """Reads files and those that they include, each once."""

    def __init__(self) -> None:
        self._read: set[str] = set()

    def parts(self, source: Source, above: tuple[str, ...] = ()) -> list[Part]:
        """Return the file's own part and those of what it includes; none of what has been read already."""
        key = str(source.file)
        if key in self._read:
            return []
        self._read.add(key)
        own = _read_part(source)
        found = [own]
        for at, name in enumerate(own.said.include):
            place = own.place("include", at)
            try:
                inner = source_of(name, "", source.folder)
            except BadInput as error:
                raise place.error(error.what, error.mend) from error
            if str(inner.file) in (*above, key):
                raise place.error(f"{name} includes itself in the end", "leave it out")
            found += self.parts(inner, (*above, key))
        if len(self._read) > _MOST_INCLUDES:
            raise BadInput(f"more than {_MOST_INCLUDES} scenarios at once", where=source.name)
        return found


def _read_part(source: Source) -> Part:
    marked = read_marked(source.text(), source.name)
    if not isinstance(marked.value, dict):
        raise marked.error((), "a scenario has at least a title", "begin it with `title: …`")
    try:
        said: Any = document_model().model_validate(marked.value)
    except ValidationError as error:
        raise _first_error(marked, error) from error
    part = Part(source, marked, said, _expectations(said.expect))
    if said.weather.file is not None and source.of_library:
        raise part.place("weather", "file").error("a scenario of the library brings no weather of its own")
    made_up = said.weather.model_fields_set - {"file", "cloud_share"}
    if said.weather.file is not None and made_up:
        raise part.place("weather", min(made_up)).error("says nothing where the weather is a file's", "leave it out")
    return part


def _first_error(marked: Marked, error: ValidationError) -> BadInput:
    """Return the first error as one line; a name that is not known goes before one that is missing."""
    every = error.errors(include_url=False, include_context=False, include_input=True)
    first = min(every, key=lambda one: one["type"] != "extra_forbidden")
    path = tuple(first["loc"])
    if first["type"] == "extra_forbidden":
        name = str(path[-1])
        return marked.error(path, "is not known", nearest(name, known_fields(path[:-1])))
    if first["type"] == "missing":
        return marked.error(path, "is missing")
    if first["type"] == "model_type":
        return marked.error(path, "it must be a mapping of names to values")
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    given = repr(first["input"])
    if first["type"] != "value_error" and len(given) <= 3 * _SAYS_ENOUGH:
        message = f"{given}: {message}"
    what, _, mend = message.partition("; ")
    return marked.error(path, what, mend)


def _expectations(said: Any) -> Expectations:
    def counts(part: Any) -> dict[str, Count]:
        named = {name: getattr(part, name) for name in type(part).model_fields} if part is not None else {}
        return {name: Count(one.at_least, one.at_most) for name, one in named.items() if one is not None}

    findings = {
        kind: KindExpected(**part.model_dump())
        for kind in FindingKind
        if (part := getattr(said, kind.file_stem)) is not None
    }
    return Expectations(findings, counts(said.tickets), counts(said.notices))


def size_of(town: TownPart) -> Size:
    """Return how large a town is."""
    return town.rooms, town.rooms_per_building, town.stations


def plain(model: BaseModel, name: str) -> Any:
    """Return a field as it is written in a file: spans as text."""
    value = getattr(model, name)
    info = type(model).model_fields[name]
    is_span = name in {"at", "lasts", "interval"} or (info.json_schema_extra or {}) == {"x-span": True}
    return span_text(value) if is_span and value is not None else value


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggest what may have been meant."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names[:20_000], n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"one of {', '.join(names)}" if 0 < len(names) <= _SAYS_ENOUGH else ""


def source_of(name: str, where: str, folder: Path | None = None) -> Source:
    """Find a scenario: a file where the name ends like one, else one of the library."""
    if name.endswith(_ENDINGS):
        path = (folder or Path()) / name
        if not is_file(str(path)):
            raise BadInput(f"there is no file {name!r}", where=where)
        return Source(str(path), path.resolve())
    if name not in library():
        mend = nearest(name, library()) or "`heatwatch simulate --list` names them; a file ends in .yaml"
        raise BadInput(f"there is no scenario {name!r}", where=where, mend=mend)
    return Source(name, _shelf() / f"{name}.yaml")


def is_file(name: str) -> bool:
    """Say whether there is such a file; what can be no name names none."""
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


def _shelf() -> Traversable:
    return resources.files("simulators") / "scenarios"


@lru_cache(maxsize=1)
def _shelf_names() -> tuple[str, ...]:
    return tuple(file.name for file in _shelf().iterdir())
