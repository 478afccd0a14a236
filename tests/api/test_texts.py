"""The catalogue of texts: every key that is used is there, every one there is used, in both languages alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from api.console import texts
from api.console.texts import FOR_SCRIPTS, LANGUAGES, catalogue, for_scripts, say
from heatwatch.domain.people import Role
from heatwatch.domain.tickets import TicketKind
from heatwatch.files.rules_file import default_standard
from heatwatch.usecases.overview import RoomState

CONSOLE = Path(texts.__file__).parent
PLACES = ("../*.py", "*.py", "templates/*", "static/*.js")
SOURCES = sorted(path for place in PLACES for path in CONSOLE.glob(place) if path.name != "__init__.py")
USE = re.compile(r"""\b(?:t\(|say\(\w+(?:\.\w+)?,)\s*["'`]([\w.]+)["'`]""")
"""`t("key"`, `words.t("key"` and `say(language, "key"`."""
CHOICE = re.compile(r"""["'`]([a-z_]+(?:\.[a-z_0-9]+)+)["'`]""")
"""A key that is chosen elsewhere and handed on, as in a table of keys."""
FAMILY = re.compile(r"""t_of\(["'](\w+(?:\.\w+)*)["']|(?:t|say)\((?:[\w.]+, )?f?["'`]([\w.]+)\.(?:\$?\{|["'`])""")
"""`t_of("family", …)` and texts whose last part is worked out."""


def used() -> Iterator[tuple[str, str]]:
    for path in SOURCES:
        for key in USE.findall(path.read_text(encoding="utf-8")):
            yield path.name, key


def families() -> set[str]:
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    named = {one or other for one, other in FAMILY.findall(text)}
    return named | {name for name in CHOICE.findall(text) if any(key.startswith(f"{name}.") for key in catalogue())}


def values_of(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_every_key_that_is_used_is_there() -> None:
    assert {(where, key) for where, key in used() if key not in catalogue()} == set()


def test_every_family_that_is_used_has_members() -> None:
    assert {name for name in families() if not any(key.startswith(f"{name}.") for key in catalogue())} == set()


def test_every_text_is_used() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    known = {key for _, key in used()} | set(CHOICE.findall(text))
    unused = {key for key in catalogue() if key not in known and key.rpartition(".")[0] not in families()}
    assert unused == set()


def test_every_text_is_there_in_each_language_and_names_the_same_values() -> None:
    for key, said in catalogue().items():
        assert set(said) == set(LANGUAGES), key
        assert all(str(one).strip() for one in said.values()), key
        assert len({frozenset(values_of(one)) for one in said.values()}) == 1, key


def test_chinese_has_chinese_signs_where_it_has_words() -> None:
    """A text that was forgotten would stand there in English."""
    said = {key: re.sub(r"\{\w+\}", "", one["zh"]) for key, one in catalogue().items()}
    wordy = {key for key, text in said.items() if re.search(r"[A-Za-z]{3}", text) and not re.search("[一-鿿]", text)}
    assert wordy == {"frame.other_language"}


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("role", [str(role) for role in Role]),
        ("kind", [str(kind) for kind in TicketKind]),
        ("state", [state.name.lower() for state in RoomState]),
        ("month", [str(month) for month in range(1, 13)]),
        (
            "step",
            sorted(
                {
                    clock.step
                    for version in default_standard().versions
                    for clocks in version.clocks.values()
                    for clock in clocks
                }
                - {"warning"}
            ),
        ),
    ],
)
def test_what_data_name_has_a_text(family: str, names: list[str]) -> None:
    assert [name for name in names if f"{family}.{name}" not in catalogue()] == []


def test_what_scripts_use_they_are_given() -> None:
    asked = {key for where, key in used() if where.endswith(".js")}
    assert asked - for_scripts("zh").keys() == set()
    assert all(key.startswith(FOR_SCRIPTS) for key in asked)


def test_a_text_without_its_value_is_an_error() -> None:
    with pytest.raises(KeyError):
        say("en", "span.minutes")
