"""The pictures of how readings are judged: they are drawn from what the judge finds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from analytics.pictures import definitions
from analytics.pictures.definitions import PICTURES
from analytics.pictures.panel import minimum_c
from heatwatch.domain.temperature import RoomClass
from heatwatch.files.rules_file import default_standard

DOCS = Path(__file__).parents[2] / "docs"


def bands(spec: dict[str, Any]) -> list[list[str]]:
    """Return what is found in each panel of a picture."""
    lanes = [panel["vconcat"][1]["data"]["values"] if len(panel["vconcat"]) > 1 else [] for panel in spec["vconcat"]]
    return [[f"{band['lane']}: {band['said']}" for band in panel] for panel in lanes]


def test_the_document_shows_every_picture_and_no_other() -> None:
    shown = re.findall(r"\(pictures/(judging_\w+)\.png\)", (DOCS / "judging.md").read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(PICTURES)
    assert all((DOCS / "pictures" / f"{name}.png").is_file() for name in shown)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("edges", [["cold spell: (open)"]]),
        ("cold_spell", [["cold spell: recovered"]]),
        ("late_readings", [["cold spell: silence", "data outage: "], ["cold spell: recovered"]]),
        ("sensor_faults", [["sensor fault: spike", "sensor fault: stuck", "sensor fault: out_of_range"]]),
        ("drift", [["sensor fault: drift (open)"]]),
    ],
)
def test_a_picture_shows_what_its_text_says(name: str, found: list[list[str]]) -> None:
    assert bands(getattr(definitions, name)()) == found


def test_a_night_setback_is_an_outage_at_first_and_none_once_its_rhythm_shows() -> None:
    early, later = bands(definitions.setback())
    assert [band for band in early if band.startswith("heat outage")] == ["heat outage: rooms"]
    assert not [band for band in later if band.startswith("heat outage")]
    assert [band for band in later if band.startswith("cold spell")]


def test_what_is_drawn_as_asked_is_what_the_rules_ask() -> None:
    version = default_standard().versions[0]
    for hour in range(24):
        limit = version.asked(RoomClass.APARTMENT, None, hour * 60)
        assert limit is not None
        assert limit.minimum_c == minimum_c(hour)
