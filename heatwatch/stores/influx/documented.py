"""The table of `heatwatch.stores.influx.schema` in words, as `docs/influxdb.md` has it."""

from __future__ import annotations

from collections.abc import Iterator

from heatwatch.stores.influx.schema import MEASUREMENTS, SCHEMA_VERSION, Measurement


def markdown() -> str:
    """Return every measurement as Markdown, each with a table of its tags and fields."""
    parts = [f"Version of this schema: {SCHEMA_VERSION}\n", *(part for one in MEASUREMENTS for part in _part(one))]
    return "\n".join(parts)


def _part(one: Measurement) -> Iterator[str]:
    yield f"### `{one.name}`\n"
    yield f"{_sentence(one.what)} Its time: {one.time}.\n"
    yield "| name | type | unit | what |"
    yield "| --- | --- | --- | --- |"
    for tag in one.tags:
        yield f"| `{tag.name}` | tag | | {tag.what} |"
    for field in one.fields:
        yield f"| `{field.name}` | {field.type} | {field.unit} | {field.what} |"
    yield ""


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
