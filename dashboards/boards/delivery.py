"""数据接收: whether every message became a reading that is stored, and how far the roles have come."""

from __future__ import annotations

from dashboards.boards.layout import Asked, Board, Kind, Panel
from dashboards.boards.parts import MINUTE_S, asked
from dashboards.looks import PERCENT, VERMILION, Look
from dashboards.queries.asking import NOW, Column, Curve, Fn, Latest, Made, Sums, Term, Window, same
from dashboards.settings import Limits
from dashboards.words import ROLES, Said
from heatwatch.stores.influx.schema import DELIVERY, HEATWATCH, PIPELINE, STATION_NOW

_MESSAGES = ("decoded", "no_reading", "quarantined", "waiting")
_READINGS = ("readings_stored", "readings_duplicate", "readings_conflict", "readings_quarantined", "readings_waiting")


def delivery(_: Limits) -> Board:
    """Return the board."""
    return Board(
        name="delivery",
        title=Said("数据接收", "Data delivery"),
        note=Said(
            "消息与读数账目、处理滞后、隔离和待处理数量。", "Both identities, the lag, the quarantine and the journal."
        ),
        since="now-24h",
        panels=(
            _now(),
            _workers(),
            _roles(),
            _received(),
            _waiting(),
            _lag(),
            _quarantine(),
            _points(),
            _installation(),
        ),
    )


def _gap(whole: str, parts: tuple[str, ...]) -> Term:
    """Return by how much a whole and its parts differ: 0 where nothing is lost."""
    gap: Term = Column(whole)
    for part in parts:
        gap -= Column(part)
    return gap


def _now() -> Panel:
    names = ("received", "readings_stored", "waiting", "quarantined", "too_late")
    columns: dict[str, Term] = {name: Made(Fn.SUM, name) for name in names}
    return Panel(
        kind=Kind.TILES,
        title=Said("累计接收", "Delivery so far"),
        note=Said(
            "全部接收进程自启用以来的累计数。隔离消息为无法解码、已原样保存待查的消息；迟到未判为到达过晚、只入库不判定的读数。",
            "Of all ingest workers, since the beginning. Messages in quarantine could not be decoded "
            "and are kept as they "
            "came; readings that came too late are stored and not judged.",
        ),
        at=(0, 0, 24, 5),
        asked=asked(Sums(of=DELIVERY, window=NOW, latest_by=("worker",), columns=columns)),
        looks={"waiting": Look(said=Said("待处理消息", "Messages waiting"), decimals=0)},
    )


def _workers() -> Panel:
    columns: dict[str, Term] = {
        **same("holds"),
        "message_gap": _gap("received", _MESSAGES),
        "reading_gap": _gap("readings_decoded", _READINGS),
        **same("received", *_MESSAGES, "readings_decoded", *_READINGS),
    }
    return Panel(
        kind=Kind.TABLE,
        title=Said("收发账目", "Delivery identities"),
        note=Said(
            "接收消息＝已解码＋不含读数＋隔离＋待处理；解出读数＝已入库＋重复＋矛盾＋隔离＋待入库。"
            "差额应为 0，不为 0 说明有数据去向不明。",
            "Messages received = decoded + without a reading + in quarantine + waiting; readings decoded = stored + "
            "duplicates + conflicts + in quarantine + not stored yet. Both gaps are 0, or something is lost.",
        ),
        at=(0, 5, 24, 6),
        asked=asked(Latest(of=DELIVERY, window=NOW, by=("worker",), columns=columns)),
        sort="worker",
    )


def _roles() -> Panel:
    columns: dict[str, Term] = {"lag_min": Column("lag_s") / MINUTE_S, **same("waiting", "refused")}
    return Panel(
        kind=Kind.TABLE,
        title=Said("各环节进度", "How far the roles have come"),
        note=Said(
            "滞后：处理进度落后于当前时间多少。待处理：接收为消息，判定和写入为到达批次，统计为楼日，调度为变动的判定，通知为消息。"
            "写入被拒：InfluxDB 未接受的行。",
            "Behind: how far what is done lies behind the clock. Waiting: what each has still to do. "
            "Refused: lines that "
            "InfluxDB did not take.",
        ),
        at=(0, 11, 10, 9),
        asked=asked(Latest(of=PIPELINE, window=NOW, by=("role",), columns=columns)),
        sort="lag_min",
        down=True,
    )


def _received() -> Panel:
    return Panel(
        kind=Kind.CURVES,
        title=Said("接收消息数", "Messages received"),
        note=Said("各接收进程每个统计间隔内新接收的消息数。", "Growth within each step, by ingest worker."),
        at=(10, 11, 14, 9),
        asked=asked(Curve(of=DELIVERY, value="received", fn=Fn.LAST, by=("worker",), grows=True)),
        label="worker",
        decimals=0,
        least_step="5m",
    )


def _waiting() -> Panel:
    return Panel(
        kind=Kind.CURVES,
        title=Said("各环节待处理数", "Waiting"),
        note=Said(
            "各环节尚未处理的数量，持续上升说明处理不过来。",
            "What each role has still to do; a rise that lasts is trouble.",
        ),
        at=(0, 20, 12, 9),
        asked=asked(Curve(of=PIPELINE, value="waiting", fn=Fn.MAX, by=("role",))),
        label="role",
        words=ROLES,
        decimals=0,
        least_step="1m",
    )


def _lag() -> Panel:
    return Panel(
        kind=Kind.CURVES,
        title=Said("各环节滞后", "How far behind"),
        note=Said("各环节处理进度落后于当前时间的最大值。", "The most that each role was behind the clock."),
        at=(12, 20, 12, 9),
        asked=asked(Curve(of=PIPELINE, value="lag_s", fn=Fn.MAX, by=("role",))),
        label="role",
        words=ROLES,
        unit="s",
        decimals=0,
        least_step="1m",
    )


def _quarantine() -> Panel:
    def line(value: str, said: Said, colour: str = "") -> Asked:
        ask = Curve(of=DELIVERY, value=value, fn=Fn.LAST, each_by=("worker",))
        return Asked(ask=ask, said=said, colour=colour)

    return Panel(
        kind=Kind.CURVES,
        title=Said("隔离数量", "Quarantine"),
        note=Said("隔离区内的消息和读数，全部接收进程合计。用 heatwatch quarantine 查看和重放。",
                  "Messages and readings in quarantine; heatwatch quarantine lists and replays them."),
        at=(0, 29, 12, 9),
        asked=(
            line("quarantined", Said("消息", "messages"), VERMILION),
            line("readings_quarantined", Said("读数", "readings")),
        ),
        decimals=0,
        least_step="1m",
    )  # fmt: skip


def _points() -> Panel:
    return Panel(
        kind=Kind.CURVES,
        title=Said("数据完整率", "Points heard"),
        note=Said(
            "各站应有读数的测温点中，按时收到读数的比例。", "Of the points that are to be heard, those heard in time."
        ),
        at=(12, 29, 12, 9),
        asked=asked(Curve(of=STATION_NOW, value="points_heard", over="points_expected", by=("station",))),
        label="station",
        unit=PERCENT,
        decimals=1,
        least_step="1m",
        to="station",
    )


def _installation() -> Panel:
    return Panel(
        kind=Kind.TABLE,
        title=Said("系统信息", "Installation"),
        note=Said(
            "写入数据的系统版本、数据结构版本和所用时区。", "Who wrote all this, in which version and time zone."
        ),
        at=(0, 38, 24, 4),
        asked=asked(
            Latest(of=HEATWATCH, window=Window(back_h=24), by=(), columns=same("version", "schema", "timezone"))
        ),
    )
