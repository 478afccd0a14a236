"""仿真评估: what was found, beside what is known to have happened, for replays of simulated towns."""

from __future__ import annotations

from dashboards.boards.building import HOUSE_OR_STATION
from dashboards.boards.layout import Asked, Board, Kind, Panel, Style
from dashboards.boards.parts import BUILDING, BUILDING_HERE, MEASURED, STATION, VALID, asked, is_kind, limits, spans
from dashboards.looks import CELSIUS, GREEN, PURPLE, Look
from dashboards.queries.asking import (
    AROUND,
    CHOSEN,
    Curve,
    Either,
    Floor,
    Fn,
    Is,
    Made,
    Rows,
    Since,
    Sums,
    Term,
    same,
)
from dashboards.settings import Limits
from dashboards.words import FINDINGS, Said
from heatwatch.domain.findings import FindingKind
from heatwatch.stores.influx.schema import FINDING, ROOM_HOUR, TRUTH

_LASTING = Either((Is("end_ms", "=", 0), Is("end_ms", ">=", Since())))
_KIND = Look(said=Said("类别", "Kind"), words=FINDINGS)


def engineer(_: Limits) -> Board:
    """Return the board."""
    told: dict[str, Term] = {**same("kind", "subject", "start_ms", "end_ms", "duration_h")}
    here = (*HOUSE_OR_STATION, VALID, _SURE, _LASTING)
    return Board(
        name="engineer",
        title=Said("仿真评估", "Truth beside findings"),
        note=Said("仿真回放专用：系统发现与实际发生的对照。", "For replays of simulated towns only."),
        since="now-7d",
        variables=(STATION, BUILDING),
        marked=(
            spans(Said("系统发现", "Found"), PURPLE, (*HOUSE_OR_STATION, _OF_HEAT), "subject"),
            spans(Said("实际发生", "Happened"), GREEN, (*HOUSE_OR_STATION, _OF_HEAT), "subject", TRUTH),
        ),
        panels=(
            _truths(),
            _findings(),
            _rooms(),
            _list(
                Said("系统发现", "Found"),
                (0, 20, 12, 12),
                Rows(of=FINDING, window=AROUND, where=here, columns={**told, **same("open", "finding")}),
            ),
            _list(
                Said("实际发生", "Happened"),
                (12, 20, 12, 12),
                Rows(of=TRUTH, window=AROUND, where=here, columns={**told, **same("found")}),
            ),
        ),
    )


_SURE = Is("confirmed", "=", True)  # noqa: FBT003 - what the field is compared with
_OF_HEAT = Either((is_kind(FindingKind.COLD_SPELL), is_kind(FindingKind.HEAT_OUTAGE)))


def _truths() -> Panel:
    columns: dict[str, Term] = {
        "truths": Made(Fn.COUNT, "start_ms"),
        "matched": Made(Fn.SUM, "matched"),
        "recall_pct": Floor(1000 * (Made(Fn.SUM, "matched") / Made(Fn.COUNT, "start_ms"))) / 10.0,
    }
    return Panel(
        kind=Kind.TABLE,
        title=Said("查全情况", "What was found of what happened"),
        note=Said(
            "所选时段内仿真中实际发生的各类事件、其中系统发现的件数和查全率，全公司合计。",
            "What happened in the simulation in the chosen time, and how much of it was found, of the whole company.",
        ),
        at=(0, 0, 12, 8),
        asked=asked(Sums(of=TRUTH, window=CHOSEN, where=(VALID, _SURE), by=("kind",), columns=columns)),
        looks={"kind": _KIND},
        nothing=Said(
            "没有仿真真值：先用 heatwatch dashboards truth 写入", "no truth: heatwatch dashboards truth writes it"
        ),
        sort="truths",
        down=True,
    )


def _findings() -> Panel:
    return Panel(
        kind=Kind.TABLE,
        title=Said("系统发现件数", "Findings"),
        note=Said(
            "所选时段内系统发现（已确认、未撤销）的各类件数，全公司合计。",
            "Confirmed and not withdrawn, of the whole company.",
        ),
        at=(12, 0, 12, 8),
        asked=asked(
            Sums(
                of=FINDING,
                window=CHOSEN,
                where=(VALID, _SURE),
                by=("kind",),
                columns={"findings": Made(Fn.COUNT, "finding")},
            )
        ),
        looks={"kind": _KIND},
        sort="findings",
        down=True,
    )


def _rooms() -> Panel:
    rooms = Curve(of=ROOM_HOUR, value="mean_c", where=(*BUILDING_HERE, MEASURED), by=("room",))
    return Panel(
        kind=Kind.CURVES,
        title=Said("各房间室温与判定", "Rooms, what happened and what was found"),
        note=Said(
            "紫色底色为系统发现，绿色为实际发生；黑色虚线为最低限值。",
            "Purple: found; green: happened; dashed: the minimum.",
        ),
        at=(0, 8, 24, 12),
        asked=(Asked(ask=rooms, style=Style.THIN), *limits(BUILDING_HERE)),
        label="room",
        unit=CELSIUS,
        decimals=1,
        least_step="1h",
    )


def _list(title: Said, at: tuple[int, int, int, int], ask: Rows) -> Panel:
    return Panel(
        kind=Kind.TABLE,
        title=title,
        note=Said("所选楼栋及全站的事件，按开始时间排列。", "Of the chosen building and its station, by their start."),
        at=at,
        asked=asked(ask),
        looks={"kind": _KIND, "finding": Look(said=Said("编号", "Number"), decimals=0)},
        nothing=Said("所选时段没有", "none in this time"),
        sort="start_ms",
    )
