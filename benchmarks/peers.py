"""The judge's peers: the same definitions by whole columns, in pandas, in polars and in DuckDB's SQL.

All three answer the same question on rows that are sorted by point and time and all valid: the design's cold spells
of apartments that are always in service and in season, gaps, and stuck runs. They find what the judge finds, to the
last digit; a test holds them to it. Left out, and so done by the judge only: duplicates and conflicts, values out of
range, dated rows of a register, contracts, seasons, sensor faults that take readings out of a spell.

What makes the state machine a matter of columns: a run of warm readings is the same whether a spell is open or not,
since a spell opens at a reading that is not warm. So every run that ends a spell, and every silence, is marked first;
the violating readings between two marks are one spell. Only rooms that are ever cold need
be looked at so closely: pandas and polars are there with that step and without, DuckDB with it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.judge import Findings
from heatwatch.domain.instants import HOUR_MS, MINUTE_MS
from heatwatch.domain.register import FAR_PAST_MS

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read once, at the import: one core each

import polars as pl

DAY_C, NIGHT_C, TARGET_C, MARGIN_K = 18.0, 16.0, 18.0, 0.3
FROM_H, TO_H, ZONE_MS = 6, 21, 8 * HOUR_MS
HOLD_MS, BREAK_MS, CONFIRM_MS, WARMER_MS, WARM_MS = 2 * HOUR_MS, 8 * HOUR_MS, HOUR_MS, 30 * MINUTE_MS, 3 * HOUR_MS
STUCK_MS = 6 * HOUR_MS
NEVER = FAR_PAST_MS

SPELLS = (
    "point",
    "start",
    "end",
    "reason",
    "confirmed_at",
    "violation_ms",
    "unknown_ms",
    "deficit_mk_ms",
    "min_temp_c",
)
"""`reason`: 0 recovered, 1 silence, 2 going on; `end` and `confirmed_at` are `NEVER` where there is none."""
GAPS = ("point", "start", "end")
STUCK = ("point", "start", "end", "temp_c")


class Answer(NamedTuple):
    """What a way of judging finds: three frames of the columns above, by point and start."""

    spells: pd.DataFrame
    gaps: pd.DataFrame
    stuck: pd.DataFrame


# --- pandas


def with_pandas(rows: pd.DataFrame, as_of_ms: int, *, cold_first: bool = True) -> Answer:
    """Judge `point, time_ms, temp_c` with pandas, its columns taken as arrays where that is faster.

    With `cold_first` spells are looked for in rooms only that are ever cold; else in all, by whole columns.
    """
    point, time_ms, temp_c = (rows[name].to_numpy() for name in ("point", "time_ms", "temp_c"))
    first = np.empty(len(rows), bool)
    first[0], first[1:] = True, point[1:] != point[:-1]
    heads = np.flatnonzero(first)
    last = np.append(heads[1:], len(rows)) - 1
    gap_ms = np.diff(time_ms, prepend=time_ms[0])
    silent = np.flatnonzero((gap_ms >= BREAK_MS) & ~first)
    mute = last[as_of_ms - time_ms[last] >= BREAK_MS]
    gaps = pd.DataFrame(
        {
            "point": np.append(point[silent], point[mute]),
            "start": np.append(time_ms[silent - 1], time_ms[mute]),
            "end": np.append(time_ms[silent], np.full(len(mute), NEVER)),
        }
    )
    changed = first.copy()
    changed[1:] |= temp_c[1:] != temp_c[:-1]
    begin = np.flatnonzero(changed)
    end = np.append(begin[1:], len(rows)) - 1
    long = time_ms[end] - time_ms[begin] >= STUCK_MS
    begin, end = begin[long], end[long]
    stuck = pd.DataFrame({"point": point[begin], "start": time_ms[begin], "end": time_ms[end], "temp_c": temp_c[begin]})
    hour = (time_ms + ZONE_MS) // HOUR_MS % 24
    minimum_c = np.where((hour >= FROM_H) & (hour < TO_H), DAY_C, NIGHT_C)
    violates = temp_c < minimum_c
    kept: slice | NDArray[np.intp] = slice(None)
    if cold_first:
        kept = np.flatnonzero(np.repeat(np.logical_or.reduceat(violates, heads), last - heads + 1))
    cold = pd.DataFrame(
        {
            "point": point[kept],
            "time_ms": time_ms[kept],
            "temp_c": temp_c[kept],
            "violates": violates[kept],
            "first": first[kept],
            "gap_ms": gap_ms[kept],
            "short_mk": np.rint((minimum_c[kept] - temp_c[kept]) * 1000).astype(np.int64),
        }
    )
    return Answer(_pandas_spells(cold, as_of_ms), gaps.sort_values(["point", "start"], ignore_index=True), stuck)


def _pandas_spells(rows: pd.DataFrame, as_of_ms: int) -> pd.DataFrame:
    """Find the spells among the rows of rooms that are ever cold."""
    gap_ms = rows["gap_ms"]
    broken = rows["first"] | (gap_ms >= BREAK_MS)
    warm_ms, warmer_ms = _pandas_run(rows, TARGET_C), _pandas_run(rows, TARGET_C + MARGIN_K)
    is_warm, is_warmer = rows["time_ms"] - warm_ms >= WARM_MS, rows["time_ms"] - warmer_ms >= WARMER_MS
    ends = is_warm | is_warmer
    rows["until"] = warm_ms.where(is_warm, warmer_ms.where(is_warmer))
    cuts = broken | ends.shift(fill_value=False)
    rows["key"] = cuts.cumsum()
    held = rows["violates"].shift(fill_value=False) & (gap_ms <= HOLD_MS) & ~broken
    rows["held_ms"] = gap_ms.where(held, 0)
    rows["deficit_mk_ms"] = rows["held_ms"] * rows["short_mk"].shift(fill_value=0)
    rows["unknown_ms"] = gap_ms.where((gap_ms > HOLD_MS) & ~broken, 0)
    rows["count"] = _pandas_sum_since(rows["violates"].astype("int64"), cuts)
    rows["sum_ms"] = _pandas_sum_since(rows["held_ms"], cuts)
    rows["mute"] = rows["first"].shift(-1, fill_value=True)
    rows = rows[rows["count"] > 0]
    rows.loc[rows["count"].eq(1) & rows["violates"], "unknown_ms"] = 0
    groups = rows.groupby("key", sort=False)
    enough = rows[(rows["sum_ms"] >= CONFIRM_MS) & (rows["count"] >= 2)]  # noqa: PLR2004 - two readings
    confirmed = enough.drop_duplicates("key").set_index("key")["time_ms"]
    spells = groups.agg(
        point=("point", "first"),
        start=("time_ms", "first"),
        last=("time_ms", "last"),
        mute=("mute", "last"),
        violation_ms=("held_ms", "sum"),
        unknown_ms=("unknown_ms", "sum"),
        deficit_mk_ms=("deficit_mk_ms", "sum"),
    )
    until = rows.drop_duplicates("key", keep="last").set_index("key")["until"]
    recovered = until.notna()
    silent = ~spells["mute"] | (as_of_ms - spells["last"] >= BREAK_MS)
    spells["reason"] = np.select([recovered, silent], [0, 1], 2)
    spells["end"] = until.where(recovered, spells["last"].where(silent, NEVER)).astype("int64")
    inside = rows["time_ms"] < rows["key"].map(until).fillna(np.inf)
    spells["min_temp_c"] = rows["temp_c"][inside].groupby(rows["key"][inside]).min()
    spells["confirmed_at"] = confirmed.reindex(spells.index, fill_value=NEVER)
    return spells.reset_index()[[*SPELLS]]


def _pandas_sum_since(values: pd.Series, starts: pd.Series) -> pd.Series:
    """Return running sums that begin anew at `starts`, the first row among them."""
    total = values.to_numpy().cumsum()
    begin = np.flatnonzero(starts.to_numpy())
    before = total[begin] - values.to_numpy()[begin]
    return pd.Series(total - np.repeat(before, np.diff(np.append(begin, len(total)))), index=values.index)


def _pandas_run(rows: pd.DataFrame, least_c: float) -> pd.Series:
    """Return when the run of readings of at least `least_c` began that a reading is in; none where it is colder."""
    warm = rows["temp_c"] >= least_c
    begins = warm & (~warm.shift(fill_value=False) | rows["first"] | (rows["gap_ms"] > HOLD_MS))
    return rows["time_ms"].where(begins).ffill().where(warm)


# --- polars


def with_polars(rows: pl.DataFrame, as_of_ms: int, *, cold_first: bool = True) -> Answer:
    """Judge `point, time_ms, temp_c` with polars' lazy expressions; `cold_first` as of `with_pandas`."""
    point, time_ms, temp_c = pl.col("point"), pl.col("time_ms"), pl.col("temp_c")
    hour = (time_ms + ZONE_MS) // HOUR_MS % 24
    minimum_c = pl.when((hour >= FROM_H) & (hour < TO_H)).then(DAY_C).otherwise(NIGHT_C)
    marked = rows.lazy().with_columns(
        first=(point != point.shift()).fill_null(value=True),
        gap_ms=time_ms.diff().fill_null(0),
        before_ms=time_ms.shift(),
        minimum_c=minimum_c,
    )
    silent = marked.filter((pl.col("gap_ms") >= BREAK_MS) & ~pl.col("first"))
    last = marked.filter(pl.col("first").shift(-1).fill_null(value=True))
    gaps = pl.concat(
        [
            silent.select("point", start="before_ms", end="time_ms"),
            last.filter(as_of_ms - time_ms >= BREAK_MS).select("point", start="time_ms", end=pl.lit(NEVER)),
        ]
    )
    runs = marked.filter(pl.col("first") | (temp_c != temp_c.shift())).select(
        "point", start="time_ms", end=pl.col("before_ms").shift(-1).fill_null(rows["time_ms"][-1]), temp_c="temp_c"
    )
    stuck = runs.filter(pl.col("end") - pl.col("start") >= STUCK_MS)
    cold = marked.with_columns(violates=temp_c < pl.col("minimum_c"))
    if cold_first:
        ever = cold.filter("violates").select(point.unique())
        cold = cold.join(ever, on="point", how="semi", maintain_order="left")
    spells = _polars_spells(cold, as_of_ms)
    found = pl.collect_all([spells, gaps.sort("point", "start"), stuck])
    return Answer(*(pd.DataFrame(one.to_dict(as_series=False)) for one in found))


def _polars_spells(rows: pl.LazyFrame, as_of_ms: int) -> pl.LazyFrame:
    """Find the spells among the rows of rooms that are ever cold."""
    time_ms, gap_ms, violates = pl.col("time_ms"), pl.col("gap_ms"), pl.col("violates")
    broken = pl.col("first") | (gap_ms >= BREAK_MS)
    is_warm, is_warmer = time_ms - pl.col("warm_ms") >= WARM_MS, time_ms - pl.col("warmer_ms") >= WARMER_MS
    ends = (is_warm | is_warmer).fill_null(value=False)
    short_mk = ((pl.col("minimum_c") - pl.col("temp_c")) * 1000).round(mode="half_to_even").cast(pl.Int64)
    keyed = (
        rows.with_columns(
            broken=broken, warm_ms=_polars_run(TARGET_C), warmer_ms=_polars_run(TARGET_C + MARGIN_K), short_mk=short_mk
        )
        .with_columns(
            until=pl.when(is_warm).then("warm_ms").when(is_warmer).then("warmer_ms"),
            cuts=pl.col("broken") | ends.shift().fill_null(value=False),
            held_ms=pl.when(violates.shift() & (gap_ms <= HOLD_MS) & ~pl.col("broken")).then(gap_ms).otherwise(0),
            unknown_ms=pl.when((gap_ms > HOLD_MS) & ~pl.col("broken")).then(gap_ms).otherwise(0),
            mute=pl.col("first").shift(-1).fill_null(value=True),
        )
        .with_columns(
            key=pl.col("cuts").cum_sum(),
            deficit_mk_ms=pl.col("held_ms") * pl.col("short_mk").shift().fill_null(0),
            count=_polars_sum_since(violates.cast(pl.Int64)),
            sum_ms=_polars_sum_since(pl.col("held_ms")),
            warm_from=pl.when(pl.col("cuts").shift(-1).fill_null(value=True)).then(pl.col("until").fill_null(NEVER)),
        )
        .with_columns(warm_from=pl.col("warm_from").backward_fill().replace(NEVER, None))
        .filter(pl.col("count") > 0)
    )
    confirmed = (pl.col("sum_ms") >= CONFIRM_MS) & (pl.col("count") >= 2)  # noqa: PLR2004 - two readings
    spells = keyed.group_by("key", maintain_order=True).agg(
        pl.col("point").first(),
        start=time_ms.first(),
        last=time_ms.last(),
        until=pl.col("until").last(),
        mute=pl.col("mute").last(),
        violation_ms=pl.col("held_ms").sum(),
        unknown_ms=pl.col("unknown_ms").sum() - pl.col("unknown_ms").first(),
        deficit_mk_ms=pl.col("deficit_mk_ms").sum(),
        min_temp_c=pl.col("temp_c").filter(pl.col("warm_from").is_null() | (time_ms < pl.col("warm_from"))).min(),
        confirmed_at=time_ms.filter(confirmed).first().fill_null(NEVER),
    )
    silent = ~pl.col("mute") | (as_of_ms - pl.col("last") >= BREAK_MS)
    return spells.with_columns(
        reason=pl.when(pl.col("until").is_not_null()).then(0).when(silent).then(1).otherwise(2),
        end=pl.col("until").fill_null(pl.when(silent).then("last").otherwise(NEVER)),
    ).select(SPELLS)


def _polars_sum_since(values: pl.Expr) -> pl.Expr:
    """Return running sums that begin anew where `cuts` says so."""
    total = values.cum_sum()
    return total - pl.when("cuts").then(total - values).forward_fill()


def _polars_run(least_c: float) -> pl.Expr:
    """Return when the run of readings of at least `least_c` began that a reading is in; null where it is colder."""
    warm = pl.col("temp_c") >= least_c
    begins = warm & (~warm.shift().fill_null(value=False) | pl.col("first") | (pl.col("gap_ms") > HOLD_MS))
    return pl.when(warm).then(pl.when(begins).then(pl.col("time_ms")).forward_fill())


# --- DuckDB

SHARED_SQL = f"""
CREATE OR REPLACE TEMP VIEW marked AS
SELECT *, prev_ms IS NULL AS first, time_ms - prev_ms AS gap_ms,
    CASE WHEN (time_ms + {ZONE_MS}) // {HOUR_MS} % 24 BETWEEN {FROM_H} AND {TO_H - 1}
         THEN {DAY_C}::DOUBLE ELSE {NIGHT_C}::DOUBLE END AS minimum_c
FROM (SELECT *, lag(time_ms) OVER w AS prev_ms, lead(time_ms) OVER w AS next_ms, lag(temp_c) OVER w AS prev_c
      FROM rows WINDOW w AS (PARTITION BY point ORDER BY time_ms))"""

GAPS_SQL = f"""
SELECT point, prev_ms AS start, time_ms AS "end" FROM marked WHERE gap_ms >= {BREAK_MS}
UNION ALL
SELECT point, time_ms, {NEVER} FROM marked WHERE next_ms IS NULL AND $as_of - time_ms >= {BREAK_MS}
ORDER BY 1, 2"""

STUCK_SQL = f"""
SELECT point, start, "end", temp_c FROM (
    SELECT point, time_ms AS start, temp_c,
        coalesce(lead(prev_ms) OVER w, (SELECT max(time_ms) FROM rows l WHERE l.point = c.point)) AS "end"
    FROM (SELECT point, time_ms, temp_c, prev_ms FROM marked WHERE first OR temp_c <> prev_c) c
    WINDOW w AS (PARTITION BY point ORDER BY time_ms))
WHERE "end" - start >= {STUCK_MS} ORDER BY 1, 2"""

SPELLS_SQL = f"""
WITH cold AS (
    SELECT *, temp_c < minimum_c AS violates, first OR gap_ms >= {BREAK_MS} AS broken,
        temp_c >= {TARGET_C}::DOUBLE AS warm, temp_c >= {TARGET_C + MARGIN_K}::DOUBLE AS warmer,
        round_even((minimum_c - temp_c) * 1000, 0)::BIGINT AS short_mk
    FROM marked WHERE point IN (SELECT point FROM marked WHERE temp_c < minimum_c)),
begun AS (
    SELECT *, coalesce(lag(violates) OVER w, false) AS violated, lag(short_mk) OVER w AS was_short_mk,
        warm AND (first OR gap_ms > {HOLD_MS} OR NOT lag(warm) OVER w) AS warm_begins,
        warmer AND (first OR gap_ms > {HOLD_MS} OR NOT lag(warmer) OVER w) AS warmer_begins
    FROM cold WINDOW w AS (PARTITION BY point ORDER BY time_ms)),
run AS (
    SELECT *,
        CASE WHEN warm THEN max(CASE WHEN warm_begins THEN time_ms END) OVER w END AS warm_ms,
        CASE WHEN warmer THEN max(CASE WHEN warmer_begins THEN time_ms END) OVER w END AS warmer_ms
    FROM begun WINDOW w AS (PARTITION BY point ORDER BY time_ms ROWS UNBOUNDED PRECEDING)),
ended AS (
    SELECT *, CASE WHEN time_ms - warm_ms >= {WARM_MS} THEN warm_ms
                   WHEN time_ms - warmer_ms >= {WARMER_MS} THEN warmer_ms END AS until
    FROM run),
cut AS (
    SELECT *, broken OR lag(until) OVER w IS NOT NULL AS cuts FROM ended
    WINDOW w AS (PARTITION BY point ORDER BY time_ms)),
keyed AS (
    SELECT *, sum(cuts::INT) OVER w AS key,
        CASE WHEN violated AND gap_ms <= {HOLD_MS} AND NOT broken THEN gap_ms ELSE 0 END AS held_ms,
        CASE WHEN gap_ms > {HOLD_MS} AND NOT broken THEN gap_ms ELSE 0 END AS long_ms
    FROM cut WINDOW w AS (PARTITION BY point ORDER BY time_ms ROWS UNBOUNDED PRECEDING)),
counted AS (
    SELECT *, sum(violates::INT) OVER w AS count, sum(held_ms) OVER w AS sum_ms, last_value(until) OVER whole AS over_ms
    FROM keyed
    WINDOW w AS (PARTITION BY point, key ORDER BY time_ms ROWS UNBOUNDED PRECEDING),
        whole AS (PARTITION BY point, key ORDER BY time_ms ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)),
spells AS (
    SELECT point, key, min(time_ms) AS start, max(time_ms) AS last, any_value(over_ms) AS over_ms,
        bool_or(next_ms IS NULL) AS mute, sum(held_ms) AS violation_ms,
        sum(CASE WHEN violates AND count = 1 THEN 0 ELSE long_ms END) AS unknown_ms,
        sum(held_ms * coalesce(was_short_mk, 0)) AS deficit_mk_ms,
        min(temp_c) FILTER (over_ms IS NULL OR time_ms < over_ms) AS min_temp_c,
        coalesce(min(time_ms) FILTER (sum_ms >= {CONFIRM_MS} AND count >= 2), {NEVER}) AS confirmed_at
    FROM counted WHERE count > 0 GROUP BY point, key),
named AS (
    SELECT *, CASE WHEN over_ms IS NOT NULL THEN 0
                   WHEN NOT mute OR $as_of - last >= {BREAK_MS} THEN 1 ELSE 2 END AS reason
    FROM spells)
SELECT point, start, CASE reason WHEN 0 THEN over_ms WHEN 1 THEN last ELSE {NEVER} END AS "end", reason, confirmed_at,
    violation_ms::BIGINT AS violation_ms, unknown_ms::BIGINT AS unknown_ms, deficit_mk_ms::BIGINT AS deficit_mk_ms,
    min_temp_c
FROM named ORDER BY 1, 2"""


def with_duckdb(connection: duckdb.DuckDBPyConnection, as_of_ms: int) -> Answer:
    """Judge the table `rows` of `point, time_ms, temp_c` with window functions."""
    connection.execute(SHARED_SQL)
    asked = {"as_of": as_of_ms}
    stuck = connection.execute(STUCK_SQL).df()
    return Answer(connection.execute(SPELLS_SQL, asked).df(), connection.execute(GAPS_SQL, asked).df(), stuck)


def duckdb_of(rows: pd.DataFrame) -> duckdb.DuckDBPyConnection:
    """Return a database in memory, of one thread, that holds `rows`."""
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    connection.register("given", rows)
    connection.execute("CREATE TABLE rows AS SELECT * FROM given")
    connection.unregister("given")
    return connection


# --- side by side


def polars_of(rows: pd.DataFrame) -> pl.DataFrame:
    """Return rows as polars has them."""
    return pl.DataFrame({name: rows[name].to_numpy() for name in rows})


def answer_of(found: Findings, number: Mapping[str, int]) -> Answer:
    """Return what the judge found in the peers' columns; `number` is that of each point."""
    spells, silent, faults = found.cold_spells, found.data_outages, found.sensor_faults
    silent = silent[silent["subject_kind"] == "point"]
    faults = faults[faults["kind"] == "stuck"]
    reasons = {"recovered": 0, "silence": 1, "": 2}
    return Answer(
        pd.DataFrame(
            {
                "point": spells["point_id"].map(number),
                "start": _ms(spells["start"]),
                "end": _ms(spells["end"]),
                "reason": spells["end_reason"].map(reasons),
                "confirmed_at": _ms(spells["confirmed_at"]),
                "violation_ms": (spells["violation_h"] * HOUR_MS).round(),
                "unknown_ms": (spells["unknown_h"] * HOUR_MS).round(),
                "deficit_mk_ms": (spells["deficit_kh"] * HOUR_MS * 1000).round(),
                "min_temp_c": spells["min_temp_c"],
            }
        ),
        pd.DataFrame(
            {"point": silent["subject_id"].map(number), "start": _ms(silent["start"]), "end": _ms(silent["end"])}
        ),
        pd.DataFrame({"point": faults["point_id"].map(number), "start": _ms(faults["start"])}),
    )


def check_same(ours: Answer, theirs: Answer, name: str) -> None:
    """Raise `AssertionError` if two answers differ in any number that both have."""
    for part, mine, other in zip(Answer._fields, ours, theirs, strict=True):
        if len(mine) != len(other):
            msg = f"{part}: the judge finds {len(mine)}, {name} {len(other)}"
            raise AssertionError(msg)
        for column in mine:
            differ = mine[column].to_numpy() != other[column].to_numpy()
            if differ.any():
                at = int(np.argmax(differ))
                found = f"{mine.iloc[at].to_dict()}, {other.iloc[at].to_dict()}"
                msg = f"{part}: {column} of the judge and of {name}: {found}"
                raise AssertionError(msg)


def _ms(instants: pd.Series) -> NDArray[np.int64]:
    stamps = instants.to_numpy(dtype="datetime64[ms]")
    return np.where(np.isnat(stamps), NEVER, stamps.view(np.int64))
