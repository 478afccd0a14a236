"""The pictures of `docs/grafana.md`: the boards' own queries, asked of an InfluxDB that holds `tests.dashboards.town`.

::

    python -m tests.dashboards.pictures docs/pictures/grafana
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

from dashboards.boards import boards
from dashboards.boards.layout import Board
from dashboards.boards.spelling import query
from dashboards.pictures.asking import Reader, Row, in_influxql, of_influxql, seconds
from dashboards.pictures.drawing import Scene, picture
from dashboards.queries.asking import Ask
from dashboards.settings import GrafanaSettings, InfluxVersion, Limits
from heatwatch.drawing import engine
from tests.dashboards import town
from tests.dashboards.palette import small
from tests.influxdb import influxdb1

LIMITS = Limits(16.0, 18.0)
SETTINGS = GrafanaSettings(LIMITS, version=InfluxVersion.ONE)


def main(folder: str, *names: str) -> None:
    """Draw the boards, or those named, as PNG into a folder."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    with _scene() as scene:
        for board in boards(LIMITS):
            if not names or board.name in names:
                told = replace(scene, reader=_reader(board))
                drawn = picture(board, told)
                with engine() as made:
                    whole = made.svg_to_png(drawn, scale=1.0)
                (Path(folder) / f"{board.name}.png").write_bytes(small(whole))


def _reader(board: Board) -> Reader:
    cold = next(room for room in town.rooms() if room.station == "东城站" and room.at(14.3) < 18)
    station, building = (cold.station, cold.building) if board.name == "room" else town.STOPPED
    sources = [room.point for room in town.rooms() if (room.station, room.building) == town.STOPPED]
    chosen = {"station": [station], "building": [building], "point": [cold.point], "source": sources}
    chosen |= {each.name: [".*"] for each in board.variables if each.choice.many and each.everything}
    span_s = seconds(board.since.removeprefix("now-"))
    return Reader(town.TO_MS - span_s * 1000, town.TO_MS, chosen, max(60, span_s // 300 // 60 * 60))


@contextmanager
def _scene() -> Iterator[Scene]:
    with tempfile.TemporaryDirectory() as folder, influxdb1(Path(folder)) as server:
        told = town.lines()
        for start in range(0, len(told), 20_000):
            server.write(told[start : start + 20_000], "ns")

        def answers(ask: Ask, reader: Reader) -> Sequence[Row]:
            return of_influxql(_asked(in_influxql(query(ask, SETTINGS), reader)))

        _asked = cache(server.query)
        yield Scene(SETTINGS, answers, Reader(0, town.TO_MS, {}))


if __name__ == "__main__":
    main(*sys.argv[1:])
