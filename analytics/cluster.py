"""The same judge on a cluster: blocks of buildings are shared out to Dask's workers, and their state brought together.

A worker carries its blocks over all their rows with the live judge and hands back what that would save; one judge
takes everything up and finds what one run would have found, byte by byte.

References
----------
.. [1] Rocklin, M. (2015). Dask: Parallel computation with blocked algorithms and task scheduling. Proc. 14th Python
   in Science Conf., 126-132.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.evidence.supply_sources import OtherEvidence
from analytics.found import frames_of
from analytics.judge import Findings, signs_in, summary_of
from analytics.layout.rows import PointRows, by_point
from analytics.live import LiveJudge
from analytics.points.machine import NEVER
from analytics.points.vitals import Signs
from analytics.season import settle
from heatwatch.domain.register import Register
from heatwatch.domain.temperature import Standard
from heatwatch.errors import BadInput, Unavailable

if TYPE_CHECKING:
    from distributed import Client, Future

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Float64 = NDArray[np.float64]

PARTS_EACH = 2
"""How many parts a worker gets: with more than one, one slow part does not hold up all."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What every worker must know."""

    register: Register
    standard: Standard
    zone: ZoneInfo


Told = tuple[Int32, Int64, Float64, Signs]
"""Point, time [ms] and temperature [degC] of rows, and what they say of batteries and clocks."""


@dataclass(frozen=True, slots=True)
class Part:
    """Whole blocks: point numbers, and all rows of these points, in that order. Sent as one piece.

    Where batteries and clocks are looked at, `told` has the rows once more, with what they say of these.
    """

    points: Int64
    rows: PointRows
    told: Told | None


def judge_on_dask(
    readings: pd.DataFrame,
    register: Register | None,
    standard: Standard,
    zone: ZoneInfo,
    as_of_ms: int | None = None,
    other: OtherEvidence | None = None,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
) -> Findings:
    """Judge readings on Dask's workers.

    Parameters
    ----------
    readings, register, standard, zone, as_of_ms, other
        As of `analytics.judge.judge`, and so is what is found.
    scheduler
        Address of a running scheduler, as `tcp://host:8786`, whose workers have heatwatch in the same version. None:
        workers are started on this machine for the time of the run.
    workers
        How many are started, one process each; None: as many as there are cores.

    Raises
    ------
    BadInput
        If there are no readings, or a point names a contract that the rules do not have.
    Unavailable
        If Dask is not installed, or the scheduler does not answer.
    """
    if as_of_ms is not None:
        readings = readings[readings["time"].to_numpy(dtype="datetime64[ms]").view(np.int64) <= as_of_ms]
    if not len(readings):
        raise BadInput("there is no reading to judge", where="readings")
    point = pd.Categorical(readings["point_id"])
    names = [str(name) for name in point.categories]
    heard = np.unique(point.codes)
    asked = Asked(register or Register.implied_by([names[code] for code in heard if code >= 0]), standard, zone)
    judge = _judge(asked)
    number = {name: code for code, name in enumerate(judge.timeline.points)}
    code = np.array([*(number.get(name, -1) for name in names), -1], dtype=np.int32)[point.codes]
    time_ms = readings["time"].to_numpy(dtype="datetime64[ms]").view(np.int64)
    last_ms = int(time_ms.max())
    listed = code >= 0
    code, time_ms, temp_c = code[listed], time_ms[listed], readings["temperature_c"].to_numpy(np.float64)[listed]
    rows = by_point(code, time_ms, temp_c, len(number))
    signs = signs_in(readings)
    told = None if signs is None else (code, time_ms, temp_c, signs.where(listed))
    with _client(scheduler, workers) as client:
        parts = _parts(judge, rows, told, PARTS_EACH * len(client.scheduler_info(n_workers=-1)["workers"]))
        known = client.scatter(asked, broadcast=True, hash=False)
        places = cycle(sorted(client.scheduler_info(n_workers=-1)["workers"]))
        done = client.gather([_handed(client, place, known, part) for part, place in zip(parts, places, strict=False)])
    for saved in done:
        judge.load(saved)
    if as_of_ms is None:
        latest = int(judge.state["valid"].max(initial=NEVER))
        as_of_ms = last_ms if latest == NEVER else latest
    other = other or OtherEvidence()
    found = judge.found(as_of_ms, other.supply_found(judge.timeline, as_of_ms), other.stops)
    summary = summary_of(judge.timeline, judge.state, judge.point_counts, int(len(listed) - listed.sum()))
    return Findings(as_of_ms, frames_of(judge.timeline, found), summary)


def _handed(client: Client, place: str, known: Future[Any], part: Part) -> Future[Any]:
    """Hand a part to one worker; another that has less to do may take it over."""
    sent = client.scatter(part, workers=[place], hash=False)
    return client.submit(carried, known, sent, workers=[place], allow_other_workers=True, pure=False)


def carried(asked: Asked, part: Part) -> dict[str, bytes]:
    """Carry blocks over all their rows, on a worker; return what a live judge saves of them."""
    judge = _judge(asked, _Given(asked, part))
    rows = part.rows
    if part.told is not None:
        judge.feed(*part.told[:3], signs=part.told[3])
    else:
        judge.feed(np.repeat(part.points, np.diff(rows.first)).astype(np.int32), rows.time_ms, rows.temp_c)
    settle(judge)
    return judge.save()


class _Given:
    """The history of points: rows that are in memory."""

    def __init__(self, asked: Asked, part: Part) -> None:
        self._asked, self._part = asked, part

    def rows(self, points: Sequence[str]) -> tuple[Int32, Int64, Float64]:
        """Return all rows of `points`: index into `points`, time [ms], temperature as sent [degC]."""
        names = sorted({row.point_id for row in self._asked.register.rows})
        own = self._part.rows.of(np.searchsorted(self._part.points, np.searchsorted(names, points)))
        index = np.repeat(np.arange(len(points), dtype=np.int32), np.diff(own.first))
        return index, own.time_ms, own.temp_c

    def signs(self, points: Sequence[str]) -> None:
        """Nobody looks at batteries and clocks here."""


class _Nothing:
    """The history of a judge that is fed nothing."""

    def rows(self, points: Sequence[str]) -> tuple[Int32, Int64, Float64]:
        raise AssertionError(points)

    def signs(self, points: Sequence[str]) -> None:
        raise AssertionError(points)


def _judge(asked: Asked, history: _Given | None = None) -> LiveJudge:
    return LiveJudge(asked.register, asked.standard, asked.zone, history or _Nothing())


def _parts(judge: LiveJudge, rows: PointRows, told: Told | None, most: int) -> Iterator[Part]:
    """Cut rows by blocks into at most so many parts of about as many rows; blocks without rows are left out."""
    block = judge.block_of_point
    lengths = np.diff(rows.first)
    of_block = np.bincount(block, weights=lengths).astype(np.int64)
    part_of_block = (np.cumsum(of_block) - of_block) * most // max(int(of_block.sum()), 1)
    part = part_of_block[block]
    for number in np.unique(part[lengths > 0]).tolist():
        points = np.nonzero(part == number)[0]
        own = None
        if told is not None:
            here = part[told[0]] == number
            own = (told[0][here], told[1][here], told[2][here], told[3].where(here))
        yield Part(points, rows.of(points), own)


@contextmanager
def _client(scheduler: str | None, workers: int | None) -> Iterator[Client]:
    try:
        from distributed import Client, LocalCluster  # noqa: PLC0415 - an optional library, and slow to import
    except ImportError as error:
        raise Unavailable("--engine dask", "Dask is not installed: pip install 'heatwatch[dask]'") from error
    if scheduler is not None:
        try:
            with Client(scheduler, timeout="10s") as client:
                yield client
        except OSError as error:
            raise Unavailable(scheduler, str(error)) from error
        return
    options: dict[str, Any] = {"threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with LocalCluster(n_workers=workers, **options) as cluster, Client(cluster) as client:
        yield client
