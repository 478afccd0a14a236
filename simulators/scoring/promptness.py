"""Whether tickets and notices came for what is true, and in time, by the exports of a live replay."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from heatwatch.domain.findings import FindingKind, SubjectKind
from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.notices import NoticeKind
from heatwatch.domain.tickets import TicketKind
from simulators.scoring.agreement import Agreement, Spread
from simulators.scoring.matching import NEVER_MS, milliseconds

CAUSES: Mapping[str, tuple[FindingKind, ...]] = {
    TicketKind.LOW_TEMPERATURE: (FindingKind.COLD_SPELL,),
    TicketKind.HEAT_OUTAGE: (FindingKind.HEAT_OUTAGE, FindingKind.COLD_SPELL),
    NoticeKind.STOP: (FindingKind.HEAT_OUTAGE,),
}
"""What a ticket or notice of each kind answers. Others are a person's, or follow on one of these: not scored."""
TICKETS = (TicketKind.LOW_TEMPERATURE, TicketKind.HEAT_OUTAGE)
NOTICES = (NoticeKind.STOP,)
_WHO = ["subject_kind", "subject_id"]


@dataclass(frozen=True, slots=True)
class Promptness:
    """How tickets, or notices, answer what is true.

    Attributes
    ----------
    demanded, answered
        How many true findings ask for one, and how many have one.
    judged, on_time
        Of how many of the demanded ones a deadline is known, and for how many it was kept; what has no answer has
        not kept it.
    issued, false, further
        How many there are; how many answer nothing true; how many answer what an earlier one had answered.
    left_out
        How many are of a kind that is not scored, or are not issued yet.
    delay
        From the true start to the first answer.
    """

    demanded: int
    answered: int
    judged: int
    on_time: int
    issued: int
    false: int
    further: int
    left_out: int
    delay: Spread | None

    @property
    def precision(self) -> float | None:
        """Return the share of what was issued that answers something true; None where nothing was."""
        return 1 - self.false / self.issued if self.issued else None

    @property
    def recall(self) -> float | None:
        """Return the share of what is demanded that has an answer; None where nothing is."""
        return self.answered / self.demanded if self.demanded else None

    @property
    def on_time_rate(self) -> float | None:
        """Return the share that was answered in time; None where no deadline is known."""
        return self.on_time / self.judged if self.judged else None

    def told(self) -> dict[str, Any]:
        """Return it for JSON; what there is none of is null."""
        return {
            "demanded": self.demanded,
            "answered": self.answered,
            "recall": self.recall,
            "deadlines": self.judged,
            "on_time": self.on_time,
            "on_time_rate": self.on_time_rate,
            "issued": self.issued,
            "false": self.false,
            "precision": self.precision,
            "further": self.further,
            "left_out": self.left_out,
            "delay": self.delay.told() if self.delay else None,
        }


def true_findings(
    agreements: Mapping[FindingKind, Agreement], truth: Mapping[FindingKind, pd.DataFrame]
) -> pd.DataFrame:
    """Return what is true of the scored kinds: ``finding, subject_kind, subject_id, start_ms, end_ms, demanded``.

    `truth` are the tables that were compared. Where they tell when a cold spell was confirmed, one that never was
    demands nothing: it is no reason for a ticket.
    """
    frames = [_true(kind, one, truth[kind]) for kind, one in agreements.items()]
    return pd.concat(frames, ignore_index=True)


def answers(
    deeds: pd.DataFrame,
    truth: pd.DataFrame,
    places: pd.DataFrame,
    known: Collection[FindingKind],
    *,
    within_h: float | None = None,
) -> Promptness:
    """Score tickets or notices.

    Parameters
    ----------
    deeds
        ``id, kind, subject_kind, subject_id`` (text), ``cause_start, done, due`` (UTC instants): when the cause
        began as far as was known, when the ticket was opened or the notice published (NaT: it was not), and by when
        it had to be (NaT: no deadline). An `id` that speaks of several subjects has a row for each. Optional is
        ``closed``: until then what begins later joins it (NaT: it is open).
    truth
        What `true_findings` returns.
    places
        ``point_id, building_id, station_id``: what is about a building answers for its points, and so on.
    known
        The kinds of which the truth is known, be there none of them.
    within_h
        For notices: a stop asks for one when it lasts so long, and it is due so long after its true start, unless
        `due` says otherwise [h]. None for tickets: everything demanded asks for one, due only where `due` says so.

    Notes
    -----
    An answer belongs to what is true of its subject, or of something inside it, if the time from its
    `cause_start` to its `done`, or until it is closed, touches the true interval. A deadline is counted from the true
    start: `due` is moved by as much as the known start of the cause is off. The answer that was done first is the one
    that is judged; what it answers may begin later, and has then waited for nothing. A station's stop asks for no
    notice beside those of its houses.
    """
    kinds = NOTICES if within_h is not None else TICKETS
    scored = [kind for kind in kinds if CAUSES[kind][0] in known]
    issued = _dated(deeds[deeds["kind"].isin(scored) & deeds["done"].notna()])
    asking = _asking(truth, scored, within_h)
    pairs = _pairs(issued, asking, places)
    first = pairs.sort_values(["done_ms", "id"], kind="stable").drop_duplicates("row")
    judged = first[first["demanded"]]
    demanded, ids = int(asking["demanded"].sum()), set(issued["id"])
    deadline_ms = _deadlines_ms(judged, within_h)
    dated = int((deadline_ms < NEVER_MS).sum())
    missing = demanded - len(judged) if dated or within_h is not None else 0
    return Promptness(
        demanded=demanded,
        answered=len(judged),
        judged=dated + missing,
        on_time=int(((judged["done_ms"] <= deadline_ms) & (deadline_ms < NEVER_MS)).sum()),
        issued=len(ids),
        false=len(ids - set(pairs["id"])),
        further=len(set(pairs["id"]) - set(first["id"])),
        left_out=len(set(deeds["id"]) - ids),
        delay=Spread.of((judged["done_ms"] - judged["start_ms"]).clip(lower=0).to_numpy(dtype=np.int64), signed=True),
    )


def _true(kind: FindingKind, one: Agreement, truth: pd.DataFrame) -> pd.DataFrame:
    """Return the true findings of one kind."""
    spans, demanded = one.truth.spans, one.truth.demanded
    if kind is FindingKind.COLD_SPELL and "seen" in truth:
        demanded = demanded & truth["seen"].notna().to_numpy()[spans.row]
    who = one.subjects.iloc[spans.subject][_WHO].reset_index(drop=True)
    return who.assign(finding=str(kind), start_ms=spans.start_ms, end_ms=spans.end_ms, demanded=demanded)


def _dated(deeds: pd.DataFrame) -> pd.DataFrame:
    """Return tickets or notices with their moments in ms, one that has not come as `NEVER_MS`."""
    moments = {f"{name}_ms": milliseconds(deeds[name]) for name in ("cause_start", "done", "due")}
    closed_ms = milliseconds(deeds["closed"]) if "closed" in deeds else moments["done_ms"]
    return deeds[["id", "kind", *_WHO]].assign(**moments, closed_ms=closed_ms)


def _asking(truth: pd.DataFrame, kinds: Sequence[str], within_h: float | None) -> pd.DataFrame:
    """Return what may be answered, numbered, `demanded` where it must be."""
    causes = {str(cause) for kind in kinds for cause in CAUSES[kind]}
    asking = truth[truth["finding"].isin(causes)].reset_index(drop=True)
    asked = asking["demanded"] & (asking["end_ms"] - asking["start_ms"] >= (within_h or 0.0) * HOUR_MS)
    if within_h is not None:
        asked &= asking["subject_kind"] != SubjectKind.STATION
    return asking.assign(row=np.arange(len(asking)), demanded=asked)


def _pairs(issued: pd.DataFrame, asking: pd.DataFrame, places: pd.DataFrame) -> pd.DataFrame:
    """Return what answers what: a row for each pair of an `id` and a `row`."""
    whose = pd.concat([asking[["row", *_WHO]], *_above(asking, places)], ignore_index=True)
    pairs = whose.merge(issued, on=_WHO).merge(asking.drop(columns=_WHO), on="row")
    fits = [finding in CAUSES[kind] for kind, finding in zip(pairs["kind"], pairs["finding"], strict=True)]
    until_ms = pairs[["done_ms", "closed_ms"]].max(axis="columns")
    touches = (pairs["cause_start_ms"] <= pairs["end_ms"]) & (until_ms >= pairs["start_ms"])
    return pairs[np.array(fits, dtype=np.bool_) & touches].drop_duplicates(["row", "id"])


def _above(asking: pd.DataFrame, places: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Give what is true of a point as its building's and its station's, what is true of a building as its station's."""
    for inner, outer in (("point", "building"), ("point", "station"), ("building", "station")):
        own, above = f"{inner}_id", f"{outer}_id"
        ladder = places[[own, above]].drop_duplicates().rename(columns={own: "subject_id", above: "above"})
        found = asking.loc[asking["subject_kind"] == inner, ["row", "subject_id"]].merge(ladder, on="subject_id")
        yield pd.DataFrame({"row": found["row"], "subject_kind": outer, "subject_id": found["above"]})


def _deadlines_ms(first: pd.DataFrame, within_h: float | None) -> pd.Series[int]:
    """Return by when each had to be done, counted from the true start [ms]; `NEVER_MS` where nothing says so."""
    moved_ms = (first["due_ms"] - first["cause_start_ms"]) + first["start_ms"]
    otherwise = NEVER_MS if within_h is None else first["start_ms"] + round(within_h * HOUR_MS)
    return moved_ms.where(first["due_ms"] < NEVER_MS, otherwise)
