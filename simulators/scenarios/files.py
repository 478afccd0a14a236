"""Scenarios: files that say what a town is like, what goes wrong in it and what should be found; and how they join.

The rule of composition, for ``a+b`` and for ``include`` alike, the file itself before what it includes:

- start, size, thermometers, houses: field by field, the first one that names it holds;
- weather: that of the first one that names any, made up or measured; of several made-up ones field by field as above;
- cold snaps, events and faults add up; the length is the longest; where a file names houses of a town of another size
  than the one that holds, the houses at the same place of their station are meant;
- expectations: as in `simulators.scoring.expectations.in_company`, but what a file expects itself of a kind holds in
  place of what those that it includes expect of that kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import BaseModel

from heatwatch.domain.instants import SECOND_MS, iso
from heatwatch.errors import BadInput
from simulators.physics.weather import ColdSnap, WeatherSettings
from simulators.scenarios.models import MOST_ROOMS, SnapPart, TownPart, span_text
from simulators.scenarios.parts import LASTS_MS, START_MS, Happens, Part, Reader, is_file, library, plain, source_of
from simulators.scoring.expectations import Expectations, in_company
from simulators.thermometers.devices import ThermometerSettings
from simulators.thermometers.faults import Fault
from simulators.towns.events import Event
from simulators.towns.settings import PhysicsSettings, TownSettings
from simulators.towns.town import Town

__all__ = ["START_MS", "Scenario", "library", "load_scenario"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a file says, or several together.

    Attributes
    ----------
    name
        As it was asked for.
    title, title_zh, teaches
        What people read.
    start_ms, length_ms
        When it begins and how long it takes [ms].
    size
        How large the town is, and its seed.
    physics, weather, thermometers
        Fields of these settings, as far as they are told.
    weather_file
        Weather that was measured.
    snaps
        Cold snaps.
    happens
        Events and faults.
    expects
        What should be found.
    """

    name: str
    title: str
    title_zh: str
    teaches: str
    start_ms: int
    length_ms: int
    size: TownPart
    physics: Mapping[str, Any]
    weather: Mapping[str, Any]
    thermometers: Mapping[str, Any]
    weather_file: Path | None
    snaps: tuple[SnapPart, ...]
    happens: tuple[Happens, ...]
    expects: Expectations

    @property
    def end_ms(self) -> int:
        """When it ends [ms]."""
        return self.start_ms + self.length_ms

    @property
    def _begun(self) -> list[Happens]:
        """What begins before all is over: another length may leave out the rest."""
        return [one for one in self.happens if one.said.at < self.length_ms]

    @property
    def settings(self) -> TownSettings:
        """The settings of its town.

        Raises
        ------
        BadInput
            Naming file, line and field, if they make no town.
        """
        made = [one.made(self.start_ms, self.end_ms, self.size.interval) for one in self._begun]
        snaps = tuple(
            ColdSnap(self.start_ms + one.at, self.start_ms + one.at + one.lasts, one.depth_k) for one in self.snaps
        )
        return TownSettings(
            seed=self.size.seed,
            rooms=self.size.rooms,
            rooms_per_building=self.size.rooms_per_building,
            stations=self.size.stations,
            start_ms=self.start_ms,
            interval_s=self.size.interval // SECOND_MS,
            cold_rooms=self.size.cold_rooms,
            outage_h=0.0,
            silent_h=0.0,
            weather=WeatherSettings(**self.weather, snaps=snaps),
            thermometers=ThermometerSettings(**{"unreadable_share": 0.0, **self.thermometers}),
            physics=PhysicsSettings(**self.physics),
            weather_file=self.weather_file,
            events=tuple(one for one in made if isinstance(one, Event)),
            faults=tuple(one for one in made if isinstance(one, Fault)),
        )

    def changed(
        self,
        *,
        seed: int | None = None,
        rooms: int | None = None,
        start_ms: int | None = None,
        length_ms: int | None = None,
    ) -> Scenario:
        """Return it with another seed, size, beginning [ms] or length [ms]; what is None stays.

        Raises
        ------
        BadInput
            If something happens to a subject that so few rooms do not have.
        """
        told = {name: value for name, value in (("seed", seed), ("rooms", rooms)) if value is not None}
        if not 1 <= told.get("rooms", 1) <= MOST_ROOMS:
            raise BadInput(f"{rooms} rooms make no town", where="--rooms", mend=f"from 1 to {MOST_ROOMS:,}")
        if not 0 <= told.get("seed", 0) < 2**63:
            raise BadInput(f"{seed} is no seed", where="--seed", mend="0 or more")
        changed = replace(
            self,
            size=self.size.model_copy(update=told),
            start_ms=self.start_ms if start_ms is None else start_ms,
            length_ms=self.length_ms if length_ms is None else length_ms,
        )
        return replace(changed, happens=tuple(one.moved(self.size, changed.size) for one in self.happens))

    def town(self, seed: int | None = None, rooms: int | None = None, start_ms: int | None = None) -> Town:
        """Return its town, with another seed, size or beginning [ms] where these are told.

        Raises
        ------
        BadInput
            As `changed`; or if a file of weather cannot be used.
        """
        return Town(self.changed(seed=seed, rooms=rooms, start_ms=start_ms).settings)

    def text(self, weather_file: str | None = None) -> str:
        """Return it as the text of one file, with nothing left to include: it loads as the same scenario.

        Parameters
        ----------
        weather_file
            The name that the file of weather has there.
        """
        snaps = [{"at": span_text(one.at), "lasts": span_text(one.lasts), "depth_k": one.depth_k} for one in self.snaps]
        size = {name: plain(self.size, name) for name in TownPart.model_fields}
        happens = {
            section: [one.document() for one in self._begun if issubclass(one.kind, kind)]
            for section, kind in (("events", Event), ("faults", Fault))
        }
        given = {
            "title": self.title,
            "title_zh": self.title_zh,
            "teaches": self.teaches,
            "start": iso(self.start_ms),
            "lasts": span_text(self.length_ms),
            "town": size,
            "weather": dict(self.weather)
            | ({"file": weather_file} if weather_file else {})
            | ({"snaps": snaps} if snaps else {}),
            "physics": {name: _unwrapped(value) for name, value in self.physics.items()},
            "thermometers": dict(self.thermometers),
            **happens,
            "expect": _expectations_document(self.expects),
        }
        given = {name: value for name, value in given.items() if value not in ("", {}, [])}
        return yaml.safe_dump(given, allow_unicode=True, sort_keys=False, width=110)


def load_scenario(name: str) -> Scenario:
    """Load a scenario.

    Parameters
    ----------
    name
        One of `library`, the path of a file, or several of them joined by ``+``.

    Raises
    ------
    BadInput
        If there is none, or something in it cannot be meant; the message names file, line and field.
    """
    names = [name] if name in library() or is_file(name) else name.split("+")
    again = next((one for at, one in enumerate(names) if one in names[:at]), None)
    if again is not None:
        raise BadInput(f"{again!r} is named twice", where=f"scenario {name}", mend="once is enough")
    reader = Reader()
    parts = [part for one in names for part in reader.parts(source_of(one, f"scenario {name}"))]
    return _joined(name, parts, includes=len(names) == 1)


def _joined(name: str, parts: Sequence[Part], *, includes: bool) -> Scenario:
    first = parts[0]
    towns = _first_named(parts, "town")
    size = TownPart.model_construct(set(towns), **towns)
    made_up = [part for part in parts if part.said.weather.model_fields_set]
    file = made_up[0].weather_file if made_up else None
    alike = [part for part in made_up if (part.said.weather.file is None) == (file is None)]
    titled = [first] if includes else parts
    length_ms = max((part.length_ms for part in parts if part.said.lasts is not None), default=LASTS_MS)
    expects = _expected_of(first, parts[1:]) if includes else in_company([part.expects for part in parts])
    scenario = Scenario(
        name=name,
        title=" + ".join(part.said.title for part in titled),
        title_zh=" + ".join(part.said.title_zh or part.said.title for part in titled),
        teaches="\n\n".join(part.said.teaches.strip() for part in titled if part.said.teaches),
        start_ms=next((part.start_ms for part in parts if part.said.start is not None), START_MS),
        length_ms=length_ms,
        size=size,
        physics=MappingProxyType(_settings_of(parts, "physics", PhysicsSettings)),
        weather=MappingProxyType(_settings_of(alike, "weather", WeatherSettings)),
        thermometers=MappingProxyType(_settings_of(parts, "thermometers", ThermometerSettings)),
        weather_file=file,
        snaps=tuple(snap for part in alike for snap in part.said.weather.snaps),
        happens=tuple(one.moved(part.size or size, size) for part in parts for one in part.happens(length_ms)),
        expects=expects,
    )
    _refuse_what_makes_no_town(scenario, first)
    return scenario


def _refuse_what_makes_no_town(scenario: Scenario, first: Part) -> None:
    """Make the settings, for what the settings' own classes refuse."""
    try:
        _ = scenario.settings
    except BadInput as error:
        if error.where.startswith(first.marked.where) or ", line " in error.where:
            raise
        section = next((one for one in ("physics", "weather", "thermometers") if one in error.where), "town")
        raise first.place(section).error(error.what, error.mend) from error


def _expected_of(own: Part, included: Sequence[Part]) -> Expectations:
    """Return what a file expects itself, and of other kinds what is expected of what it includes."""
    if not included:
        return own.expects
    others = in_company([part.expects for part in included])
    if own.said.events or own.said.faults:
        others = in_company([others, Expectations()])
    mine = own.expects
    return Expectations(
        {**others.findings, **mine.findings}, {**others.tickets, **mine.tickets}, {**others.notices, **mine.notices}
    )


def _first_named(parts: Iterable[Part], section: str) -> dict[str, Any]:
    """Return the fields of a section, each as the first one has it that names it."""
    named: dict[str, Any] = {}
    for part in parts:
        said = getattr(part.said, section)
        for field in said.model_fields_set:
            named.setdefault(field, getattr(said, field))
    return named


def _settings_of(parts: Iterable[Part], section: str, kind: type) -> dict[str, Any]:
    """Return what was named of a settings class, in the order of its fields."""
    named = _first_named(parts, section)
    found = {}
    for field in fields(kind):
        if field.name != "snaps" and named.get(field.name) is not None:
            value = named[field.name]
            found[field.name] = _inner(field, value) if isinstance(value, BaseModel) else value
    return found


def _inner(field: Any, value: BaseModel) -> Any:
    """Return settings within settings."""
    default = field.default_factory() if field.default is MISSING else field.default
    return replace(default, **{name: getattr(value, name) for name in value.model_fields_set})


def _expectations_document(expects: Expectations) -> dict[str, Any]:
    def given(one: Any) -> dict[str, Any]:
        return {name: value for name, value in asdict(one).items() if value is not None}

    found: dict[str, Any] = {kind.file_stem: given(one) for kind, one in expects.findings.items()}
    for name in ("tickets", "notices"):
        counts = {kind: given(count) for kind, count in getattr(expects, name).items()}
        found |= {name: counts} if counts else {}
    return found


def _unwrapped(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return list(value) if isinstance(value, tuple) else value
