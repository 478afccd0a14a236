"""mosquitto's configuration: read as mosquitto reads it, and judged by what heatwatch needs of a broker.

The values that are asked for stand here once, as constants, as `WANTED` and in `judge`; whatever ships a configuration
is tested against them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from cli.doctoring.said import Said, Verdict, bad, ok, warn
from heatwatch.errors import BadInput
from heatwatch.wire import CLOCK_TOPIC, reading_topic

QUEUED_MESSAGES_LEAST = 1_000_000
"""What waits for ingest while it is away: 10,000 rooms every 15 minutes fill it in a day."""
QUEUED_BYTES_LEAST = 1 << 30
INFLIGHT_MESSAGES_LEAST = 100
"""How many messages may be under way to ingest unacknowledged: it flushes and acknowledges them as one group."""
PACKET_BYTES_LEAST = 65_536
"""A gateway's batch of some hundred readings."""
AUTOSAVE_CHANGES_MOST = 1_000
"""How many changes may be lost in a power cut."""
SESSION_DAYS_LEAST = 14
"""How long ingest may be away before its session, with what waits in it, may be forgotten [d]."""
TLS_VERSIONS = ("tlsv1.2", "tlsv1.3")

_INCLUDES_MOST = 10
_UNITS_D = {"h": 1 / 24, "d": 1, "w": 7, "m": 30, "y": 365}
_OF_LISTENER = frozenset({
    "bind_interface", "cafile", "capath", "certfile", "ciphers", "ciphers_tls1.3", "crlfile", "dhparamfile", "http_dir",
    "keyfile", "max_connections", "max_topic_alias", "mount_point", "protocol", "psk_hint", "require_certificate",
    "socket_domain", "tls_engine", "tls_version", "use_identity_as_username", "use_subject_as_username",
    "use_username_as_clientid", "websockets_headers_size", "websockets_log_level",
})  # fmt: skip
_WHO = frozenset({
    "acl_file", "allow_anonymous", "allow_zero_length_clientid", "auth_plugin", "auto_id_prefix", "password_file",
    "plugin", "psk_file",
})  # fmt: skip
_PLUGINS = ("plugin", "auth_plugin", "global_plugin")


@dataclass(frozen=True, slots=True)
class Line:
    """An option as it was written, and where."""

    value: str
    where: str


Options = dict[str, Line]


@dataclass(slots=True)
class Listener:
    """A port, or a socket, on which the broker listens; no address: on all of this machine's."""

    port: int
    address: str
    where: str
    options: Options = field(default_factory=Options)

    @property
    def local(self) -> bool:
        """Whether only this machine reaches it."""
        if self.port == 0 or self.address == "localhost":
            return True
        try:
            return ip_address(self.address).is_loopback
        except ValueError:
            return False

    @property
    def tls(self) -> bool:
        """Whether it speaks TLS."""
        return "certfile" in self.options or "psk_hint" in self.options


@dataclass(slots=True)
class Config:
    """A configuration: general options, and those of each listener."""

    where: str
    general: Options = field(default_factory=Options)
    listeners: list[Listener] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    """Lines that are no option with a value."""

    def value(self, option: str, default: str) -> str:
        """Return what an option says, or the default."""
        line = self.general.get(option)
        return default if line is None else line.value

    def who(self, option: str) -> list[tuple[Line | None, Listener]]:
        """Return what each listener goes by, of an option that says who may come in."""
        apart = self.value("per_listener_settings", "false") == "true"
        return [(one.options.get(option) if apart else self.general.get(option), one) for one in self.listeners]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An option that heatwatch asks for.

    Attributes
    ----------
    option, default
        Its name, and what it is where nobody sets it.
    holds
        Whether a value will do.
    write
        What to write in its place.
    why
        What happens otherwise, in one clause.
    verdict
        How bad that is.
    """

    option: str
    default: str
    holds: Callable[[str], bool]
    write: str
    why: str
    verdict: Verdict = Verdict.BAD


def _on(value: str) -> bool:
    return value == "true"


def _number(value: str) -> int:
    """Return a whole number; -1 where it is none."""
    return int(value) if re.fullmatch(r"\d{1,18}", value) else -1


def _at_least(least: int, *, or_none: bool = True) -> Callable[[str], bool]:
    """Let a number be large enough, or 0, which is without a bound."""
    return lambda value: _number(value) >= least or (or_none and _number(value) == 0)


def _saves_soon(value: str) -> bool:
    return 0 < _number(value) <= AUTOSAVE_CHANGES_MOST


def _keeps_long(value: str) -> bool:
    """Whether sessions are kept long enough: `14d`, `2w`, or for ever."""
    said = re.fullmatch(r"(\d{1,9})([hdwmy])", value)
    return value == "" or (said is not None and int(said[1]) * _UNITS_D[said[2]] >= SESSION_DAYS_LEAST)


WANTED: tuple[Wanted, ...] = (
    Wanted("persistence", "false", _on, "persistence true", "what waits for ingest is gone after a restart"),
    Wanted(
        "autosave_on_changes",
        "false",
        _on,
        "autosave_on_changes true",
        "what waits is saved every half hour only, and lost in a power cut",
    ),
    Wanted(
        "autosave_interval",
        "1800",
        _saves_soon,
        f"autosave_interval {AUTOSAVE_CHANGES_MOST}",
        "so many changes are lost in a power cut",
    ),
    Wanted(
        "max_queued_messages",
        "1000",
        _at_least(QUEUED_MESSAGES_LEAST, or_none=False),
        f"max_queued_messages {QUEUED_MESSAGES_LEAST}",
        "while ingest is away, what comes after so many messages is dropped (0: some versions drop everything)",
    ),
    Wanted(
        "max_queued_bytes",
        "0",
        _at_least(QUEUED_BYTES_LEAST),
        "max_queued_bytes 0",
        "while ingest is away, what comes after so many bytes is dropped",
    ),
    Wanted(
        "max_inflight_messages",
        "20",
        _at_least(INFLIGHT_MESSAGES_LEAST),
        f"max_inflight_messages {INFLIGHT_MESSAGES_LEAST}",
        "a burst is taken in small groups, one flush to disk each",
        Verdict.WARN,
    ),
    Wanted(
        "queue_qos0_messages",
        "false",
        _on,
        "queue_qos0_messages true",
        "what devices send at QoS 0 while ingest is away is lost",
        Verdict.WARN,
    ),
    Wanted(
        "max_packet_size",
        "0",
        _at_least(PACKET_BYTES_LEAST, or_none=False),
        f"max_packet_size {PACKET_BYTES_LEAST * 16}",
        "a gateway's batch must fit, and one client must not fill the memory",
        Verdict.WARN,
    ),
    Wanted(
        "set_tcp_nodelay",
        "false",
        _on,
        "set_tcp_nodelay true",
        "messages and confirmations wait 40 ms for company",
        Verdict.WARN,
    ),
    Wanted(
        "persistent_client_expiration",
        "",
        _keeps_long,
        f"persistent_client_expiration {SESSION_DAYS_LEAST}d",
        "ingest's session, with all that waits in it, is forgotten when ingest is away for so long",
    ),
)
"""The general options that are asked for, whatever the listeners are."""


def read_config(path: Path) -> Config:
    """Read a configuration, with the `*.conf` files of its `include_dir`s in their order.

    Raises
    ------
    BadInput
        If a file cannot be read.
    """
    config = Config(str(path))
    _read(path, config, 0)
    return config


def judge(config: Config) -> list[Said]:
    """Judge queue, window, persistence, who may come in and how; one line for each matter that is not as asked for."""
    found = [*_general(config), *_listening(config), *_anonymous(config), *_bounds(config)]
    found += [warn(f"{where}: no option with a value", "mend or delete the line") for where in config.unclear]
    return found or [ok(f"{config.where}: persistence, queue, window, sign-in and TLS are as they should be")]


def may_read_all(acl: str, user: str) -> bool:
    r"""Tell whether an access list lets a user read every topic of ours.

    >>> may_read_all("user ingest\ntopic read heat/#\n", "ingest")
    True
    >>> may_read_all("user ingest\ntopic write heat/#\n", "ingest")
    False
    """
    return any(_covers(pattern) for pattern in _readable(acl.splitlines(), user)) and not any(
        _denied(pattern) for pattern in _readable(acl.splitlines(), user, deny=True)
    )


def renames_clients(listener: Listener) -> bool:
    """Tell whether all who come under one user name are one client to the broker: the last throws the others out."""
    line = listener.options.get("use_username_as_clientid")
    return line is not None and line.value == "true"


def access_lists(config: Config) -> list[Path]:
    """Return the files that say who may read and write which topics."""
    named = [line.value for line, _ in config.who("acl_file") if line is not None]
    return [_beside(config, name) for name in dict.fromkeys(named)]


def certificates(config: Config) -> list[Path]:
    """Return the certificates that its listeners show."""
    shown = [one.options["certfile"].value for one in config.listeners if "certfile" in one.options]
    return [_beside(config, name) for name in dict.fromkeys(shown)]


def _beside(config: Config, name: str) -> Path:
    """Return a file as the broker finds it: mosquitto 2 goes by where it was started, so a whole path is best."""
    return Path(name) if Path(name).is_absolute() else Path(config.where).parent / name


def _read(path: Path, config: Config, depth: int) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot be read: {getattr(error, 'strerror', None) or error}", where=str(path)) from error
    for number, written in enumerate(text.splitlines(), start=1):
        words = written.strip().split(maxsplit=1)
        if not words or words[0].startswith("#"):
            continue
        _take(words, f"{path}, line {number}", config, depth)


def _take(words: Sequence[str], where: str, config: Config, depth: int) -> None:
    option, value = words[0], words[1].strip() if len(words) > 1 else ""
    if not value:
        config.unclear.append(where)
    elif option == "include_dir":
        if depth >= _INCLUDES_MOST:
            raise BadInput("includes itself", where=where)
        for path in sorted(Path(value).glob("*.conf"), key=lambda one: one.name.encode()):
            _read(path, config, depth + 1)
    elif option in {"listener", "port"}:
        port, _, address = value.partition(" ")
        config.listeners.append(Listener(_number(port), address.strip(), where))
    else:
        _options_of(option, config)[option] = Line(value, where)


def _options_of(option: str, config: Config) -> Options:
    """Return where an option belongs: to the listener above it, or to all."""
    apart = config.value("per_listener_settings", "false") == "true"
    of_listener = option in _OF_LISTENER or (apart and option in _WHO)
    return config.listeners[-1].options if of_listener and config.listeners else config.general


def _general(config: Config) -> Iterator[Said]:
    for wanted in WANTED:
        line = config.general.get(wanted.option)
        value = wanted.default if line is None else line.value
        if not wanted.holds(value):
            where = config.where if line is None else line.where
            what = f"{where}: {wanted.option} is {value}{' (not set)' if line is None else ''}: {wanted.why}"
            yield Said(wanted.verdict, what, f"write `{wanted.write}`")
    if config.value("persistence", "false") == "true" and "persistence_location" not in config.general:
        do = "write `persistence_location` with a folder on a disk that lasts, ending in a slash"
        yield warn(f"{config.where}: no persistence_location: what waits is saved where mosquitto was started", do)


def _bounds(config: Config) -> Iterator[Said]:
    line = config.general.get("memory_limit")
    if line is not None and 0 < _number(line.value) < QUEUED_BYTES_LEAST:
        do = f"leave memory_limit out, or give it {QUEUED_BYTES_LEAST} bytes"
        yield warn(f"{line.where}: memory_limit {line.value}: beyond it messages are refused", do)


def _listening(config: Config) -> Iterator[Said]:
    if not config.listeners:
        yield bad(f"{config.where}: no listener: only this machine reaches it", "write `listener 8883` with its TLS")
    for one in config.listeners:
        if not one.tls and not one.local:
            do = "give it certfile and keyfile, or bind it to 127.0.0.1 or to a network of its own"
            yield warn(f"{one.where}: listener {one.port} is open without TLS: passwords pass in the clear", do)
        if renames_clients(one):
            do = "leave use_username_as_clientid out"
            yield bad(f"{one.where}: listener {one.port} takes user names for client ids: one user, one session", do)
        version = one.options.get("tls_version")
        if version is not None and version.value not in TLS_VERSIONS:
            yield bad(f"{version.where}: {version.value} is broken", "write `tls_version tlsv1.2`")


def _anonymous(config: Config) -> Iterator[Said]:
    """Judge who may come in where: anybody, or whoever is in a list, and on which topics."""
    open_to: dict[Line, list[Listener]] = {}
    for line, listener in config.who("allow_anonymous"):
        if line is not None and line.value == "true":
            open_to.setdefault(line, []).append(listener)
    for line, listeners in open_to.items():
        told = warn if all(one.local for one in listeners) else bad
        ports = ", ".join(str(one.port) for one in listeners)
        what = f"{line.where}: anybody may come in on listener {ports}, and write readings"
        yield told(what, "write `allow_anonymous false` and a password_file")
    plugged = any(name in config.general or any(name in one.options for one in config.listeners) for name in _PLUGINS)
    if plugged:
        return
    for option, lack in (
        ("password_file", "nobody is asked for a password"),
        ("acl_file", "each station may write and read the topics of all"),
    ):
        lacking = [one for line, one in config.who(option) if line is None and not _by_certificate(option, one)]
        if lacking:
            where = f"{config.where}: no {option} for listener {', '.join(str(one.port) for one in lacking)}"
            yield warn(f"{where}: {lack}", f"write `{option}` with a file")


def _by_certificate(option: str, listener: Listener) -> bool:
    line = listener.options.get("require_certificate")
    return option == "password_file" and line is not None and line.value == "true"


def _readable(lines: Iterable[str], user: str, *, deny: bool = False) -> Iterator[str]:
    """Give the topic patterns that an access list lets a user read, or those that it denies."""
    speaks_of: str | None = None
    for written in lines:
        kind, _, rest = written.strip().partition(" ")
        if kind == "user":
            speaks_of = rest.strip()
        elif kind == "pattern" or (kind == "topic" and speaks_of == (user or None)):
            access, _, topic = rest.strip().partition(" ")
            allowed = {"deny"} if deny else {"read", "readwrite"}
            if access in allowed:
                yield _filled(topic.strip(), user)
            elif access not in {"read", "write", "readwrite", "deny"} and not deny:
                yield _filled(rest.strip(), user)


def _filled(pattern: str, user: str) -> str:
    return pattern.replace("%u", user)


def _covers(pattern: str) -> bool:
    return all(_matches(pattern, topic) for topic in _samples().values())


def _denied(pattern: str) -> bool:
    return any(_matches(pattern, topic) for topic in _samples().values())


def _samples() -> Mapping[str, str]:
    """Return a topic of each length that ingest takes."""
    return {"reading": reading_topic("station", "building", "point"), "clock": CLOCK_TOPIC, "supply": "heat/s/b/supply"}


def _matches(pattern: str, topic: str) -> bool:
    asked, levels = pattern.split("/"), topic.split("/")
    for n, level in enumerate(asked):
        if level == "#":
            return True
        if n >= len(levels) or level not in {"+", levels[n]}:
            return False
    return len(asked) == len(levels)
