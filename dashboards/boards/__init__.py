"""The boards, a module each: up to `delivery` for those on duty, `engineer` and `readings` for who looks deeper."""

from __future__ import annotations

from typing import Any

from dashboards.boards.building import building
from dashboards.boards.company import company
from dashboards.boards.delivery import delivery
from dashboards.boards.engineer import engineer
from dashboards.boards.layout import Board
from dashboards.boards.readings import readings
from dashboards.boards.room import room
from dashboards.boards.spelling import spelled
from dashboards.boards.station import station
from dashboards.boards.tickets import tickets
from dashboards.settings import GrafanaSettings, Limits

_BOARDS = (company, station, building, room, tickets, delivery, engineer, readings)


def boards(limits: Limits) -> tuple[Board, ...]:
    """Return all boards."""
    return tuple(made(limits) for made in _BOARDS)


def all_spelled(settings: GrafanaSettings) -> tuple[dict[str, Any], ...]:
    """Return all boards as Grafana keeps them."""
    return tuple(spelled(board, settings) for board in boards(settings.limits))
