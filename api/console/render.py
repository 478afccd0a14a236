"""Making pages: one environment of templates, and what every page knows."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from api.access import asked_for
from api.console.assets import assets
from api.console.backing import Console, console_of
from api.console.texts import LANGUAGES, TAGS, Language, for_scripts, language_named
from api.console.words import Words
from heatwatch.domain.people import Person
from heatwatch.errors import Unavailable

LANGUAGE_COOKIE = "lang"
NAVIGATION = (
    ("/", "nav.now"),
    ("/tickets", "nav.tickets"),
    ("/notices", "nav.notices"),
    ("/compliance", "nav.compliance"),
)
"""Path and text of each entry, in order."""
TEMPLATES = Path(__file__).with_name("templates")


def page(request: Request, template: str, *, status: int = HTTPStatus.OK, **context: Any) -> HTMLResponse:
    """Answer with a page in the language of who asks.

    Parameters
    ----------
    request
        Who asks, and of which application.
    template
        Name of a file in `templates/`.
    status
        The answer's status.
    context
        What the template asks for besides what every page knows.
    """
    console = console_of(request)
    words = words_of(request, console)
    known = _known(request, console, words) | {"status": int(status)} | context
    return HTMLResponse(environment().get_template(template).render(known), status, headers={"Vary": "Cookie"})


def part(words: Words, template: str, **context: Any) -> str:
    """Return a piece of a page, which knows words and nothing of who asks."""
    return environment().get_template(template).render(_spoken(words) | context)


def words_of(request: Request, console: Console) -> Words:
    """Return the words of who asks."""
    return Words(language_of(request), console.zone)


def language_of(request: Request) -> Language:
    """Return in which language someone wants to read."""
    return language_named(request.cookies.get(LANGUAGE_COOKIE))


@cache
def environment() -> Environment:
    """Return the environment of all templates: everything is escaped, and what is not given is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["static"] = assets().address
    made.filters["segment"] = segment
    return made


def segment(name: str) -> str:
    """Return a name as one piece of an address, whatever it has in it; Jinja's `urlencode` leaves slashes."""
    return quote(name, safe="")


def _known(request: Request, console: Console, words: Words) -> dict[str, Any]:
    """Return what every page knows."""
    person: Person | None = getattr(request.state, "person", None)
    language = words.language
    return {
        **_spoken(words),
        "person": person,
        "by_itself": person is not None and person.name == console.auto_sign_in,
        "company_name": console.company_name,
        "replayed": console.replayed,
        "now_ms": _now_ms(console),
        "path": request.url.path,
        "here": asked_for(request),
        "navigation": NAVIGATION,
        "lang": language,
        "html_lang": TAGS[language],
        "other": next(one for one in LANGUAGES if one != language),
        "script_texts": for_scripts(language),
    }


def _now_ms(console: Console) -> int | None:
    """Return the clock [ms]; None where a replay has not begun, or its clock cannot be read just now."""
    try:
        return console.clock()
    except Unavailable:
        return None


def _spoken(words: Words) -> dict[str, Any]:
    """Return the functions with which templates write."""
    names = ("t", "t_of", "when", "clock", "span", "temp", "iso")
    return {name: getattr(words, name) for name in names} | {"zone_name": words.zone.key}
