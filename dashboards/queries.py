"""The boards' questions, each said once, and put into InfluxQL (1.x) and Flux (2.x).

Both languages answer with the same columns: ``Time``, the tag and the field. ``$timeFilter``, ``v.…`` and
``${source:regex}`` are Grafana's: the board's time range, the data source's bucket, the chosen sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dashboards.settings import InfluxVersion
from heatwatch.stores.influx.schema import READING, TEMPERATURE, Field

TIME_COLUMN = "Time"
VARIABLE = READING.tag
CHOSEN = f"/^${{{VARIABLE}:regex}}$/"


class Answer(StrEnum):
    """What is asked of a field within the board's time range."""

    RAW = "every value of the chosen sources, a series each"
    LATEST = "the latest value of every source, a row each"
    NEWEST = "the latest value of all, one row"


@dataclass(frozen=True, slots=True)
class Question:
    """What a panel asks: a field of `READING`, and what of it."""

    answer: Answer
    field: Field = TEMPERATURE

    @property
    def is_table(self) -> bool:
        """Whether the answer is a table, not a series per source."""
        return self.answer is not Answer.RAW

    def text(self, version: InfluxVersion) -> str:
        """Return the query in the language of that version."""
        return influxql(self) if version is InfluxVersion.ONE else flux(self)


def influxql(question: Question) -> str:
    """Return a question in InfluxQL."""
    field, by_source = f'"{question.field.name}"', f'GROUP BY "{READING.tag}"'
    source = f'FROM "{READING.name}" WHERE $timeFilter'
    match question.answer:
        case Answer.RAW:
            return f'SELECT {field} {source} AND "{READING.tag}" =~ {CHOSEN} {by_source}'
        case Answer.LATEST:
            return f"SELECT last({field}) AS {field} {source} {by_source}"
        case Answer.NEWEST:
            return f"SELECT last({field}) AS {field} {source}"


def flux(question: Question) -> str:
    """Return a question in Flux.

    A table must have no column ``_value``: Grafana would take it for a series and its sources for one label.
    """
    latest = ["last()", "group()"]
    columns = [f'rename(columns: {{_time: "{TIME_COLUMN}", _value: "{question.field.name}"}})']
    match question.answer:
        case Answer.RAW:
            steps = [f"filter(fn: (r) => r.{READING.tag} =~ {CHOSEN})", _keep("_time", "_value", READING.tag)]
        case Answer.LATEST:
            steps = [*latest, _keep("_time", "_value", READING.tag), *columns]
        case Answer.NEWEST:
            steps = [*latest, 'top(n: 1, columns: ["_time"])', _keep("_time", "_value"), *columns]
    return "\n  |> ".join([*_readings(question.field), *steps])


def sources(version: InfluxVersion) -> str:
    """Return the query for the values of the variable: every source that has readings."""
    if version is InfluxVersion.ONE:
        return f'SHOW TAG VALUES FROM "{READING.name}" WITH KEY = "{READING.tag}"'
    return (
        'import "influxdata/influxdb/schema"\n'
        f'schema.tagValues(bucket: v.defaultBucket, tag: "{READING.tag}", '
        f'predicate: (r) => r._measurement == "{READING.name}", start: v.timeRangeStart, stop: v.timeRangeStop)'
    )


def _readings(field: Field) -> list[str]:
    return [
        "from(bucket: v.defaultBucket)",
        "range(start: v.timeRangeStart, stop: v.timeRangeStop)",
        f'filter(fn: (r) => r._measurement == "{READING.name}" and r._field == "{field.name}")',
    ]


def _keep(*columns: str) -> str:
    quoted = ", ".join(f'"{column}"' for column in columns)
    return f"keep(columns: [{quoted}])"
