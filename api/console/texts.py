"""Every word that the console shows: one catalogue, Chinese and English, in `texts.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import yaml

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
DEFAULT: Language = "zh"
TAGS: Mapping[Language, str] = {"zh": "zh-CN", "en": "en"}
"""As `<html lang>` says it."""
FOR_SCRIPTS = ("live.", "room.", "span.", "state.", "temp.")
"""Beginnings of the keys whose texts the scripts of a page are given."""
CATALOGUE = Path(__file__).with_name("texts.yaml")


@cache
def catalogue() -> Mapping[str, Mapping[Language, str]]:
    """Return every text under its key, in each language."""
    told: dict[str, dict[Language, str]] = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))
    return told


def say(language: Language, key: str, **values: object) -> str:
    """Return a text in a language.

    Raises
    ------
    KeyError
        If there is no such text, or it names a value that is not given.

    Examples
    --------
    >>> say("zh", "span.minutes", minutes=5), say("en", "span.minutes", minutes=5)
    ('5 分钟', '5 min')
    """
    return catalogue()[key][language].format_map(values)


@cache
def for_scripts(language: Language) -> Mapping[str, str]:
    """Return the texts that scripts are given, by key."""
    return {key: said[language] for key, said in catalogue().items() if key.startswith(FOR_SCRIPTS)}


def language_named(name: str | None) -> Language:
    """Return a language by its name, the default where there is none of that name."""
    return next((language for language in LANGUAGES if language == name), DEFAULT)
