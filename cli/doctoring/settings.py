"""Every mistake in the settings at once, each with the line or the variable that it stands in.

`Settings.read` stops at what it cannot use. Here the file and the variables are each looked at by themselves, so that a
mistake which something else overrides is named too, and then all of it together: files that are named, addresses,
secrets, and what cannot work side by side.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from cli.options import broker_of
from heatwatch.errors import BadInput
from heatwatch.files.rules_file import read_standard, time_zone
from heatwatch.secret import one_line
from heatwatch.settings import EMBEDDED, ClockKind, Settings, StoreKind
from heatwatch.stores.influx.access import Access

DEFAULT = "default"
PREFIX = "HEATWATCH_"
OTHER_VARIABLES = frozenset({"debug", "bench_scale"})
"""Variables that begin as ours do and are no settings."""
_ALIKE = 0.6
"""How much of two names must be the same for one to be taken for the other."""
_PASSWORD = re.compile(r"(?<=://)[^@/\s]*:[^@/\s]*(?=@)")
_LINE = re.compile(r", line (\d+)$")
_AT = re.compile(r" \(at (line \d+), column \d+\)$")


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something in the settings that cannot be meant, and where.

    Attributes
    ----------
    where
        File and line, or variable.
    what
        What is wrong, in one clause; no secret is in it.
    mend
        What to do about it; empty where `what` says it already.
    """

    where: str
    what: str
    mend: str = ""

    def __str__(self) -> str:
        said = f"{self.where}: {self.what}"
        return f"{said} ({self.mend})" if self.mend else said


@dataclass(slots=True)
class Looked:
    """What the settings come to.

    Attributes
    ----------
    settings
        All that is right; a setting that is wrong has its default.
    origin
        Where each setting that was given comes from: file and line, or variable.
    wrong
        Settings whose value cannot be used.
    mistakes
        What is wrong.
    """

    settings: Settings
    origin: dict[str, str] = field(default_factory=dict)
    wrong: set[str] = field(default_factory=set)
    mistakes: list[Mistake] = field(default_factory=list)

    def where(self, *names: str) -> str:
        """Return where the first of some settings that was given stands; the name of the first where none was."""
        return next((self.origin[name] for name in names if name in self.origin), names[0])

    def shown(self) -> dict[str, tuple[str, str]]:
        """Return each setting as text, and where it comes from; never a secret."""
        given = {name: getattr(self.settings, name) for name in Settings.model_fields}
        return {name: (_text(value), self.origin.get(name, DEFAULT)) for name, value in given.items()}


class _Given(Settings):
    """Settings of what is handed over alone: neither file nor variables are read."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(toml_file=None)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the framework's signature
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put in only what was handed over."""
        return (init_settings,)


def look(file: Path | None, environ: Mapping[str, str], **flags: Any) -> Looked:
    """Look at a file of settings, the variables, and what they come to together.

    Parameters
    ----------
    file
        The file; None for `heatwatch.toml` in the working directory, where there is one.
    environ
        The environment.
    **flags
        Settings given otherwise, which go before both; those that are None are not given.
    """
    looked = Looked(_Given())
    values = _of_file(Path("heatwatch.toml"), looked, named=False) if file is None else _of_file(file, looked)
    values |= _of_environment(environ, looked)
    given = {name: value for name, value in flags.items() if value is not None}
    values |= given
    looked.origin |= {name: f"--{name.replace('_', '-')}" for name in given}
    looked.settings = _Given(**{name: value for name, value in values.items() if name not in looked.wrong})
    for check in CHECKS:
        looked.mistakes += check(looked)
    looked.mistakes.sort(key=_number)
    return looked


def _number(mistake: Mistake) -> float:
    """Return the line of a mistake; what stands in no line comes after."""
    line = _LINE.search(mistake.where)
    return math.inf if line is None else int(line[1])


def _of_file(path: Path, looked: Looked, *, named: bool = True) -> dict[str, Any]:
    """Return the values that a file gives; note where each stands, and what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if named:
            looked.mistakes.append(Mistake(str(path), "no such file"))
        return {}
    except (OSError, UnicodeDecodeError) as error:
        looked.mistakes.append(Mistake(str(path), f"cannot be read: {getattr(error, 'strerror', None) or error}"))
        return {}
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        looked.mistakes.append(_not_toml(path, str(error), text))
        return {}
    lines = {name: f"{path}, line {_line(text, name)}" for name in values}
    return _usable(values, lines, looked)


def _of_environment(environ: Mapping[str, str], looked: Looked) -> dict[str, Any]:
    """Return the values that variables give; their names may be written in any case."""
    given = {name: name[len(PREFIX) :].lower() for name in environ if name.upper().startswith(PREFIX)}
    ours = {key: name for name, key in given.items() if key not in OTHER_VARIABLES}
    return _usable({key: _parsed(key, environ[name]) for key, name in ours.items()}, ours, looked, variables=True)


def _parsed(name: str, text: str) -> Any:
    """Return what a variable says: JSON where the setting is a list or a table."""
    known = Settings.model_fields.get(name)
    if known is None or not _is_complex(known.annotation):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _is_complex(annotation: Any) -> bool:
    kinds = (annotation, getattr(annotation, "__origin__", None), *get_args(annotation))
    return any(kind in (list, dict, tuple, set, frozenset) for kind in kinds)


def _usable(
    values: Mapping[str, Any], places: Mapping[str, str], looked: Looked, *, variables: bool = False
) -> dict[str, Any]:
    """Return the values that are right by themselves; note where they stand, and the mistakes in the others."""
    wrong: set[str] = set()
    for error in _errors(values):
        name = str(error["loc"][0]) if error["loc"] else ""
        place = places.get(name, next(iter(places.values()), name))
        wrong.add(name)
        looked.mistakes.append(_mistake(error, name, place, variables=variables))
    looked.wrong = (looked.wrong - values.keys()) | (wrong & Settings.model_fields.keys())
    looked.origin |= {name: place for name, place in places.items() if name in Settings.model_fields}
    return {name: value for name, value in values.items() if name in Settings.model_fields and name not in wrong}


def _errors(values: Mapping[str, Any]) -> Sequence[ErrorDetails]:
    try:
        _Given(**values)
    except ValidationError as error:
        return error.errors()
    return ()


def _mistake(error: ErrorDetails, name: str, place: str, *, variables: bool) -> Mistake:
    if error["type"] == "extra_forbidden":
        near = _nearest(name)
        meant = f"{PREFIX}{near.upper()}" if near and variables else near
        said = "no setting is read from it" if variables else f"{name!r} is no setting"
        return Mistake(place, said, f"did you mean {meant}?" if meant else "`settings check --show` lists them all")
    said = error["msg"][:1].lower() + error["msg"][1:]
    return Mistake(place, said if variables else f"{name}: {said}")


def _nearest(name: str) -> str:
    """Return the setting that is spelt most like it; nothing where none is."""
    likeness = {known: SequenceMatcher(None, name.lower(), known) for known in Settings.model_fields}
    near = max(likeness, key=lambda known: likeness[known].ratio() + likeness[known].quick_ratio())
    return near if likeness[near].ratio() >= _ALIKE else ""


def _not_toml(path: Path, said: str, text: str) -> Mistake:
    at = _AT.search(said)
    last = f"line {max(len(text.splitlines()), 1)}"
    return Mistake(
        f"{path}, {at[1] if at else last}", f"no TOML: {_AT.sub('', said).removesuffix(' (at end of document)')}"
    )


def _line(text: str, name: str) -> int:
    """Return the line on which a key, or the table of that name, stands."""
    quoted = re.escape(name)
    key = re.compile(rf"""^\s*(?:\[+\s*)?(["']?){quoted}\1\s*(?:[=.\]])""")
    return next((number for number, line in enumerate(text.splitlines(), start=1) if key.match(line)), 1)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return _PASSWORD.sub("…", str(value)).encode("utf-8", "replace").decode()


# What can only be told of all settings together


def _named_files(looked: Looked) -> Iterator[Mistake]:
    """Files that are named and cannot be read. A secret has its own words for that."""
    for name in _files(looked.settings):
        path: Path = getattr(looked.settings, name)
        if name in looked.wrong or name in SECRETS:
            continue
        why = _unreadable(path)
        if why:
            yield Mistake(looked.where(name), f"{name}: {path}: {why}")


def _secrets(looked: Looked) -> Iterator[Mistake]:
    """Secrets that hold none, or that everybody on this machine can read."""
    for name in SECRETS:
        path: Path | None = getattr(looked.settings, name)
        if path is None:
            continue
        try:
            one_line(path, "secret")
        except BadInput as error:
            yield Mistake(looked.where(name), f"{name}: {path}: {error.what}")
    for name in (*SECRETS, "broker_key"):
        path = getattr(looked.settings, name)
        if path is not None and readable_by_all(path):
            what = f"{name}: {path}: everybody on this machine can read it"
            yield Mistake(looked.where(name), what, f"chmod o= {path}")


def _data_dir(looked: Looked) -> Iterator[Mistake]:
    path = looked.settings.data_dir
    if path.exists() and not path.is_dir():
        yield Mistake(looked.where("data_dir"), f"data_dir: {path} is no folder")


def _rules(looked: Looked) -> Iterator[Mistake]:
    path = looked.settings.rules
    if path is not None and not _unreadable(path):
        yield from _refused(looked, lambda _: read_standard(path), "rules")


def _zone(looked: Looked) -> Iterator[Mistake]:
    yield from _refused(looked, lambda settings: time_zone(settings.timezone), "timezone")


def _store(looked: Looked) -> Iterator[Mistake]:
    settings = looked.settings
    if settings.store is not StoreKind.EMBEDDED:
        yield from _refused(looked, Access.of, "store", "influx_url")
    elif settings.shared_group:
        what = "shared_group: the embedded store is for one worker"
        yield Mistake(looked.where("shared_group"), what, "set `store` to an InfluxDB, or leave shared_group empty")


def _records(looked: Looked) -> Iterator[Mistake]:
    settings = looked.settings
    named = "records", "records_password_file"
    if settings.records == EMBEDDED:
        if settings.records_password_file is not None:
            what = "records_password_file: SQLite asks for no password"
            yield Mistake(looked.where(named[1]), what, "set `records` to the PostgreSQL that does, or leave it out")
        return
    if settings.records_password_file is None or not _unreadable(settings.records_password_file):
        refused = list(_refused(looked, lambda given: given.records_url, *named))
        yield from refused
        if refused:
            return
        url = settings.records_url
        if url.host and not url.host.startswith("/") and url.password is None:
            what = f"records: {url.host} is reached over the network without a password"
            yield Mistake(looked.where("records"), what, "put it on the one line of a file: records_password_file")
    if find_spec("psycopg") is None:
        yield Mistake(looked.where("records"), "records: no driver for PostgreSQL is installed", "heatwatch[postgres]")


def _broker(looked: Looked) -> Iterator[Mistake]:
    settings = looked.settings
    of_sign_in = ("broker_user", "broker_password_file", "broker_ca", "broker_cert", "broker_key")
    if settings.broker != EMBEDDED:
        yield from _refused(looked, broker_of, "broker", *of_sign_in)
        return
    for name in of_sign_in:
        if getattr(settings, name):
            what = f"{name}: the embedded broker asks nobody who comes"
            yield Mistake(looked.where(name), what, "set `broker` to the address of one that does")
    if settings.shared_group:
        what = "shared_group: an embedded broker is for one process"
        yield Mistake(looked.where("shared_group"), what, "set `broker` to the address of a broker")


def _clock(looked: Looked) -> Iterator[Mistake]:
    if looked.settings.clock is ClockKind.REPLAY and looked.settings.shared_group:
        yield Mistake(looked.where("shared_group"), "shared_group: the ticks of a replay cannot be shared")


def _open_doors(looked: Looked) -> Iterator[Mistake]:
    settings = looked.settings
    if settings.auto_sign_in and not is_loopback(settings.api_host):
        what = f"auto_sign_in: everybody who reaches {settings.api_host} would be signed in"
        yield Mistake(looked.where("auto_sign_in"), what, "leave it empty, or set api_host to 127.0.0.1")


def _ports(looked: Looked) -> Iterator[Mistake]:
    """Two that listen on one port of this machine."""
    settings = looked.settings
    taken = {"api_port": settings.api_port, "health_port": settings.health_port}
    if settings.broker == EMBEDDED:
        taken["broker_port"] = settings.broker_port
    names = list(taken)
    for n, name in enumerate(names):
        twin = next((other for other in names[:n] if taken[name] and taken[other] == taken[name]), None)
        if twin is not None:
            yield Mistake(looked.where(name, twin), f"{name}: {twin} is {taken[name]} too", "set another port")


CHECKS: tuple[Callable[[Looked], Iterator[Mistake]], ...] = (
    _data_dir,
    _named_files,
    _secrets,
    _rules,
    _zone,
    _store,
    _records,
    _broker,
    _clock,
    _open_doors,
    _ports,
)
SECRETS = tuple(name for name in Settings.model_fields if name.endswith("_file"))
"""Settings that name a file with a secret on one line."""


def readable_by_all(path: Path) -> bool:
    """Tell whether everybody on this machine may read a file."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _files(settings: Settings) -> Iterator[str]:
    """Give the settings that name a file."""
    for name in Settings.model_fields:
        if name != "data_dir" and isinstance(getattr(settings, name), Path):
            yield name


def _unreadable(path: Path) -> str:
    """Say why a file cannot be read; nothing where it can."""
    if not path.exists():
        return "no such file"
    if not path.is_file():
        return "is no file"
    return "" if os.access(path, os.R_OK) else "cannot be read by this user"


def _refused(looked: Looked, use: Callable[[Settings], object], *names: str) -> Iterator[Mistake]:
    """Name what is refused when some settings are used, unless one of them is known to be wrong."""
    missing = [
        name for name in names if isinstance(path := getattr(looked.settings, name, None), Path) and _unreadable(path)
    ]
    if missing or not looked.wrong.isdisjoint(names):
        return
    try:
        use(looked.settings)
    except BadInput as error:
        yield _placed(looked, error, names)


def _placed(looked: Looked, error: BadInput, names: Sequence[str]) -> Mistake:
    """Say where a refusal stands: at the setting that it names, or whose file it names."""
    of_file = [name for name in _files(looked.settings) if str(getattr(looked.settings, name)) in error.where]
    named = [error.where] if error.where in Settings.model_fields else of_file[:1]
    about = named[0] if named else names[0]
    shown = f"{about}: {error.where}: " if of_file else f"{about}: "
    return Mistake(looked.where(about, *names), f"{shown}{error.what}", error.mend)
