"""Which findings become which tickets: one cause, one ticket (R11).

`decide` says what to do next from how things stand: the tickets at work, the cold rooms and the heat outages. It
remembers nothing, so that a restart changes nothing; what it is shown twice it does not do twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.tickets import Scope, TicketKind


@dataclass(frozen=True, slots=True)
class Spell:
    """A confirmed cold spell, as far as grouping asks. `end_ms` is None while it goes on."""

    finding_id: int
    point_id: str
    room: str
    building_id: str
    station_id: str
    start_ms: int
    end_ms: int | None

    def reaches(self, instant_ms: int) -> bool:
        """Tell whether it had not ended before `instant_ms`."""
        return self.end_ms is None or self.end_ms >= instant_ms


@dataclass(frozen=True, slots=True)
class Outage:
    """A heat outage of a building, or of a whole station (`building_id` is empty)."""

    finding_id: int
    building_id: str
    station_id: str
    start_ms: int
    end_ms: int | None

    @property
    def scope(self) -> Scope:
        """Building or station."""
        return Scope.BUILDING if self.building_id else Scope.STATION

    def meets(self, other: Outage) -> bool:
        """Tell whether the two were at some time at once."""
        before, after = sorted((self, other), key=lambda one: one.start_ms)
        return before.end_ms is None or after.start_ms <= before.end_ms

    def covers(self, instant_ms: int) -> bool:
        """Tell whether it was going on at `instant_ms`."""
        return self.start_ms <= instant_ms and (self.end_ms is None or instant_ms <= self.end_ms)


@dataclass(frozen=True, slots=True)
class Fault:
    """A point that measures wrongly or is silent; or the silence of a building or station (`point_id` is empty).

    `opens` says whether it is reason enough for a ticket; one that is not joins the ticket that its point has.
    """

    finding_id: int
    point_id: str
    room: str | None
    building_id: str
    station_id: str
    start_ms: int
    end_ms: int | None
    opens: bool = True

    @property
    def scope(self) -> Scope:
        """Room, building or station."""
        if self.point_id:
            return Scope.ROOM
        return Scope.BUILDING if self.building_id else Scope.STATION

    def reaches(self, instant_ms: int) -> bool:
        """Tell whether it had not ended before `instant_ms`."""
        return self.end_ms is None or self.end_ms >= instant_ms


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket at work with what it rests on. An `id` below zero stands for one that is being opened.

    `cause_start_ms` is when its cause began as it was opened [ms]. Findings that were withdrawn since are not among
    its `spells`, `outages` and `faults`. `finished_ms` is when its repair was finished, None while it goes on.
    """

    id: int
    kind: TicketKind
    scope: Scope
    station_id: str
    building_id: str
    cause_start_ms: int
    room: str | None = None
    spells: tuple[Spell, ...] = ()
    outages: tuple[Outage, ...] = ()
    finished_ms: int | None = None
    point_id: str | None = None
    faults: tuple[Fault, ...] = ()

    @property
    def goes_on(self) -> bool:
        """Whether its repair is not finished yet."""
        return self.finished_ms is None

    def takes(self, start_ms: int, group_after_ms: int) -> bool:
        """Tell whether what began at `start_ms` can still be of its cause.

        A stop has its rooms turn cold until some hours after the heat is back; a cold room or group is done with when
        its repair is finished: what turns cold later has a cause of its own.
        """
        if self.kind is TicketKind.HEAT_OUTAGE and self.outages:
            ends = [one.end_ms for one in self.outages]
            return None in ends or start_ms <= max(end for end in ends if end is not None) + group_after_ms
        return self.finished_ms is None or start_ms <= self.finished_ms

    def stopped(self, building_id: str) -> int | None:
        """Return since when the heat is missing in a building [ms]; None where this ticket says nothing of it."""
        own = (one.start_ms for one in self.outages if one.building_id in ("", building_id))
        return min(own, default=None)

    def awaits(self, outage: Outage) -> bool:
        """Tell whether it is an emergency of the same place, left without its outage, that began during `outage`."""
        if (self.kind, self.scope, self.building_id) != (TicketKind.HEAT_OUTAGE, outage.scope, outage.building_id):
            return False
        left = any(one.building_id == self.building_id for one in self.outages)
        return not left and outage.covers(self.cause_start_ms)


@dataclass(frozen=True, slots=True)
class Open:
    """Open a ticket; what it rests on joins it in the same decision."""

    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Join:
    """Add a finding to a ticket."""

    ticket_id: int
    finding_id: int


@dataclass(frozen=True, slots=True)
class Merge:
    """Let a ticket, with all its findings, be taken over by another."""

    ticket_id: int
    into: int


Action = Open | Join | Merge


@dataclass(frozen=True, slots=True)
class Situation:
    """How things stand in one station.

    Attributes
    ----------
    tickets
        Every ticket at work: open, taken, or finished and not yet followed up.
    spells
        Confirmed cold spells that no ticket has yet.
    outages
        Heat outages that no ticket has yet.
    rooms_in_service
        How many rooms each building has in service; one that is not named is never grouped.
    group_min
        How many rooms a group has at least.
    group_after_h
        How long after a stop a room that turns cold is still put down to it [h].
    faults
        What is wrong with points, and no ticket has yet; what is part of a larger silence is not among them.
    """

    tickets: Sequence[Ticket] = ()
    spells: Sequence[Spell] = ()
    outages: Sequence[Outage] = ()
    rooms_in_service: Mapping[str, int] = field(default_factory=dict)
    group_min: int = 3
    group_after_h: float = 6.0
    faults: Sequence[Fault] = ()


def decide(situation: Situation) -> list[Action]:
    """Return what to do, in order; nothing where every finding has its ticket and every group is one.

    - A heat outage opens an emergency ticket, whatever its length (R11). A building's, at the same time as its
      station's, is part of the station's.
    - A cold room joins the emergency ticket of its building or station, unless it was warm again before that
      outage began, or turned cold long after it. Low-temperature tickets whose cold began with the outage or later
      merge into it; others stay.
    - Else, when more than half of a building's rooms in service, and at least `group_min`, are cold at one time,
      they have one ticket; those opened earlier merge into it, and rooms that turn cold later join it.
    - Else a room has one ticket of its own, for all its spells until its repair is finished.
    - What is wrong with a point is no matter of heat (R7): it opens a ticket of the point, one at a time, and what is
      found of the point besides joins that. A building or a station that is silent at once has one ticket; those of
      buildings that were silent at the same time merge into their station's.

    A ticket whose repair is finished merges into no other; what began before its end still joins it.
    """
    board = _Board(situation.tickets, round(situation.group_after_h * HOUR_MS))
    _place_outages(board, situation.outages)
    _gather_in_station(board)
    waiting = defaultdict(list)
    for spell in sorted(situation.spells, key=_in_time):
        waiting[spell.building_id].append(spell)
    for building in sorted(board.buildings().union(waiting)):
        _place_spells(board, situation, building, waiting[building])
    _place_faults(board, situation.faults)
    return board.actions


class _Board:
    """The tickets at work while deciding, and the actions that led there."""

    def __init__(self, tickets: Iterable[Ticket], group_after_ms: int) -> None:
        self.actions: list[Action] = []
        self.group_after_ms = group_after_ms
        self._low: defaultdict[str, dict[int, Ticket]] = defaultdict(dict)
        self._stops: dict[int, Ticket] = {}
        self._faulty: dict[int, Ticket] = {}
        for ticket in sorted(tickets, key=lambda one: one.id):
            self._shelf(ticket)[ticket.id] = ticket
        self._opened = 0

    def _shelf(self, ticket: Ticket) -> dict[int, Ticket]:
        """Return where a ticket is kept: rooms' and groups' by building, so that a building costs its own tickets."""
        if ticket.kind is TicketKind.SENSOR:
            return self._faulty
        return self._low[ticket.building_id] if ticket.kind is TicketKind.LOW_TEMPERATURE else self._stops

    def buildings(self) -> set[str]:
        low = {building for building, here in self._low.items() if here}
        return (low | {one.building_id for one in self._stops.values()}) - {""}

    def low(self, building_id: str, *scopes: Scope) -> list[Ticket]:
        return [one for one in self._low.get(building_id, {}).values() if one.scope in scopes]

    def at_work(self, building_id: str, *scopes: Scope) -> list[Ticket]:
        """Return low-temperature tickets that may still merge."""
        return [one for one in self.low(building_id, *scopes) if one.goes_on]

    def emergencies(self, *scopes: Scope) -> list[Ticket]:
        return [one for one in self._stops.values() if one.scope in scopes]

    def faulty(self) -> list[Ticket]:
        return [*self._faulty.values()]

    def open(self, kind: TicketKind, scope: Scope, cause: Spell | Outage | Fault, room: str | None = None) -> Ticket:
        """Open a ticket under the next number below zero; what it rests on joins it."""
        self._opened += 1
        made = Ticket(-self._opened, kind, scope, cause.station_id, cause.building_id, cause.start_ms, room)
        if isinstance(cause, Fault):
            made = replace(made, point_id=cause.point_id or None)
        self._shelf(made)[made.id] = made
        self.actions.append(Open(made))
        return made

    def join(self, ticket: Ticket, one: Spell | Outage | Fault) -> None:
        shelf = self._shelf(ticket)
        held = shelf[ticket.id]
        if isinstance(one, Spell):
            shelf[ticket.id] = replace(held, spells=(*held.spells, one))
        elif isinstance(one, Fault):
            shelf[ticket.id] = replace(held, faults=(*held.faults, one))
        else:
            shelf[ticket.id] = replace(held, outages=(*held.outages, one))
        self.actions.append(Join(ticket.id, one.finding_id))

    def merge(self, gone: Ticket, into: Ticket) -> None:
        gone, shelf = self._shelf(gone).pop(gone.id), self._shelf(into)
        held = shelf[into.id]
        spells, outages = held.spells + gone.spells, held.outages + gone.outages
        shelf[into.id] = replace(held, spells=spells, outages=outages, faults=held.faults + gone.faults)
        self.actions.append(Merge(gone.id, into.id))


def _in_time(one: Spell | Outage | Fault) -> tuple[int, int]:
    return one.start_ms, one.finding_id


def _place_outages(board: _Board, outages: Iterable[Outage]) -> None:
    """Give every outage its ticket, stations first."""
    for outage in sorted(outages, key=lambda one: (one.scope is Scope.BUILDING, *_in_time(one))):
        ticket = _same_stop(board, outage) or board.open(TicketKind.HEAT_OUTAGE, outage.scope, outage)
        board.join(ticket, outage)


def _same_stop(board: _Board, outage: Outage) -> Ticket | None:
    """Return the ticket of an outage at the same time, of the station or else of the same building.

    Else one of the same place whose own outages were all withdrawn, where the stop that it was opened for is this one.
    """
    for ticket in (*board.emergencies(Scope.STATION), *board.emergencies(outage.scope)):
        places = ("", outage.building_id) if ticket.scope is outage.scope else ("",)
        if any(one.building_id in places and one.meets(outage) for one in ticket.outages):
            return ticket
    return next((one for one in board.emergencies(outage.scope) if one.awaits(outage)), None)


def _gather_in_station(board: _Board) -> None:
    """Merge the tickets of buildings' outages that have become part of their station's."""
    for station in board.emergencies(Scope.STATION):
        whole = [one for one in station.outages if one.scope is Scope.STATION]
        for ticket in board.emergencies(Scope.BUILDING):
            if ticket.goes_on and any(one.meets(part) for one in whole for part in ticket.outages):
                board.merge(ticket, station)


def _place_spells(board: _Board, situation: Situation, building: str, spells: Sequence[Spell]) -> None:
    """Give every cold spell of one building its ticket: the emergency's, the group's or the room's."""
    _merge_low(board, building)
    left = _join(board, spells, _stops(board, building))
    left = _join_groups(board, building, left)
    rooms = situation.rooms_in_service.get(building)
    while rooms is not None and (together := _together(_free(board, building, left), rooms, situation.group_min)):
        board.open(TicketKind.LOW_TEMPERATURE, Scope.BUILDING, min(together, key=_in_time))
        left = _join_groups(board, building, left)
    _join_rooms(board, building, left)


def _stops(board: _Board, building: str) -> list[tuple[int, Ticket]]:
    """Return the emergency tickets that cover a building, each with when its heat stopped."""
    tickets = board.emergencies(Scope.BUILDING, Scope.STATION)
    covering = [one for one in tickets if one.scope is Scope.STATION or one.building_id == building]
    stops = [(one.stopped(building), one) for one in covering]
    return [(stopped, one) for stopped, one in stops if stopped is not None]


def _merge_low(board: _Board, building: str) -> None:
    """Merge low-temperature tickets into the emergency with or after which their cold began."""
    for low in board.at_work(building, Scope.ROOM, Scope.BUILDING):
        began_ms = low.cause_start_ms
        stops = [
            (stopped, one)
            for stopped, one in _stops(board, building)
            if stopped <= began_ms and one.takes(began_ms, board.group_after_ms)
        ]
        if stops:
            board.merge(low, _best(began_ms, stops))


def _best(start_ms: int, causes: Sequence[tuple[int, Ticket]]) -> Ticket:
    """Return the cause that began last before `start_ms`, else the first of all."""
    before = [cause for cause in causes if cause[0] <= start_ms]
    if before:
        return max(before, key=lambda cause: (cause[0], -cause[1].id))[1]
    return min(causes, key=lambda cause: (cause[0], cause[1].id))[1]


def _join(board: _Board, spells: Iterable[Spell], causes: Sequence[tuple[int, Ticket]]) -> list[Spell]:
    """Let spells join the causes that they reach; return the others."""
    left = []
    for spell in spells:
        reached = _reached(board, spell, causes)
        if reached:
            board.join(_best(spell.start_ms, reached), spell)
        else:
            left.append(spell)
    return left


def _reached(board: _Board, spell: Spell, causes: Iterable[tuple[int, Ticket]]) -> list[tuple[int, Ticket]]:
    """Return the causes that a spell can be of."""
    return [
        (began_ms, one)
        for began_ms, one in causes
        if spell.reaches(began_ms) and one.takes(spell.start_ms, board.group_after_ms)
    ]


def _join_groups(board: _Board, building: str, spells: Sequence[Spell]) -> list[Spell]:
    """Let spells, and the tickets of their rooms, join the groups that they reach; return the others."""
    groups = [(one.cause_start_ms, one) for one in board.low(building, Scope.BUILDING)]
    left = _join(board, spells, groups)
    for ticket in board.at_work(building, Scope.ROOM):
        own = (*ticket.spells, *(spell for spell in spells if spell.room == ticket.room))
        reached = [group for group in groups if any(_reached(board, spell, [group]) for spell in own)]
        if reached:
            board.merge(ticket, _best(max(spell.start_ms for spell in own), reached))
    return left


def _free(board: _Board, building: str, spells: Iterable[Spell]) -> list[Spell]:
    """Return the spells that may still become a group: those that have no ticket, and those in rooms' tickets.

    What is of another building by now, where the register was corrected, makes no group here.
    """
    held = (spell for ticket in board.at_work(building, Scope.ROOM) for spell in ticket.spells)
    return [*spells, *(spell for spell in held if spell.building_id == building)]


def _together(spells: Sequence[Spell], rooms_in_service: int, group_min: int) -> list[Spell]:
    """Return the spells at the first moment at which most rooms are cold at once; none where most never are."""
    best: list[Spell] = []
    for moment in sorted({spell.start_ms for spell in spells}):
        cold = [one for one in spells if one.start_ms <= moment and (one.end_ms is None or moment < one.end_ms)]
        if _rooms(cold) > _rooms(best):
            best = cold
    return best if _rooms(best) >= group_min and 2 * _rooms(best) > rooms_in_service else []


def _rooms(spells: Iterable[Spell]) -> int:
    return len({spell.room for spell in spells})


def _join_rooms(board: _Board, building: str, spells: Iterable[Spell]) -> None:
    """Let spells join the ticket of their room, or open it."""
    own = board.low(building, Scope.ROOM)
    for spell in spells:
        mine = (one for one in own if one.room == spell.room and one.takes(spell.start_ms, board.group_after_ms))
        ticket = next(mine, None)
        if ticket is None:
            ticket = board.open(TicketKind.LOW_TEMPERATURE, Scope.ROOM, spell, spell.room)
            own.append(ticket)
        board.join(ticket, spell)


def _place_faults(board: _Board, faults: Iterable[Fault]) -> None:
    """Give every fault that is reason for one its ticket, stations first; the others join where there is one."""
    own: defaultdict[tuple[Scope, str], list[int]] = defaultdict(list)
    for ticket in board.faulty():
        own[_place(ticket)].append(ticket.id)
    at_work = {ticket.id: ticket for ticket in board.faulty()}
    for fault in sorted(faults, key=lambda one: (_WIDEST.index(one.scope), not one.opens, *_in_time(one))):
        mine = (at_work[number] for number in own[_place(fault)])
        taker = next((one for one in mine if _takes(one, fault)), None)
        if taker is None and fault.opens:
            taker = board.open(TicketKind.SENSOR, fault.scope, fault, fault.room)
            at_work[taker.id] = taker
            own[_place(fault)].append(taker.id)
        if taker is not None:
            board.join(taker, fault)
    _gather_silences(board)


_WIDEST = (Scope.STATION, Scope.BUILDING, Scope.ROOM)


def _place(one: Fault | Ticket) -> tuple[Scope, str]:
    """Return what a ticket of a point, a building or a station is looked up by."""
    return one.scope, one.point_id or one.building_id or one.station_id


def _takes(ticket: Ticket, fault: Fault) -> bool:
    """Tell whether a fault is of a ticket of its place: it had not ended before, nor begun after the repair."""
    began_before_the_end = ticket.finished_ms is None or fault.start_ms <= ticket.finished_ms
    return began_before_the_end and fault.reaches(ticket.cause_start_ms)


def _gather_silences(board: _Board) -> None:
    """Merge the tickets of silent buildings into that of their station, where they were silent at once."""
    for station in board.faulty():
        if station.scope is not Scope.STATION or not station.goes_on:
            continue
        for ticket in board.faulty():
            if ticket.scope is Scope.BUILDING and ticket.goes_on and _at_once(station, ticket):
                board.merge(ticket, station)


def _at_once(station: Ticket, building: Ticket) -> bool:
    whole = [one for one in station.faults if one.scope is Scope.STATION]
    return any(one.reaches(part.start_ms) and part.reaches(one.start_ms) for one in whole for part in building.faults)
