"""The machine: settings, folders, disk, clock, secrets, certificates, rules, and whether `serve` runs."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from sqlalchemy import select

from cli.doctoring import mosquitto
from cli.doctoring.certificates import ends
from cli.doctoring.patient import Patient, UnseenError
from cli.doctoring.said import Said, bad, ok, skip, warn
from cli.doctoring.settings import DEFAULT, SECRETS, readable_by_all
from cli.options import broker_of
from heatwatch.domain.instants import DAY_MS, MINUTE_MS, from_ms, iso, to_ms
from heatwatch.errors import BadInput
from heatwatch.files.rules_file import parse_standard, rules_text
from heatwatch.records.schema import RulesInForce
from heatwatch.settings import EMBEDDED, StoreKind
from heatwatch.stores.influx.access import Access

MB = 1 << 20
FREE_LEAST_MB = 1024
"""Less room than this on the disk is bad, whatever the journal may still take [MB]."""
FIRST_MOMENT_MS = to_ms(datetime(2026, 1, 1, tzinfo=UTC))
"""A clock that shows an earlier moment was never set."""
SKEW_WARN_MS, SKEW_BAD_MS = 10_000, 2 * MINUTE_MS
"""How far this machine's clock may be from another's, or behind what was written."""
EXPIRES_WARN_D, EXPIRES_BAD_D = 30, 7
ANSWER_S = 5.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - what listens everywhere is asked here


def settings(patient: Patient) -> Iterator[Said]:
    """Name every mistake in the settings."""
    for mistake in patient.looked.mistakes:
        yield bad(f"{mistake.where}: {mistake.what}", mistake.mend or "mend it; `heatwatch settings check` looks again")
    if not patient.looked.mistakes:
        given = len(patient.looked.origin)
        yield ok(f"{given} set, the others at their {DEFAULT}s; no mistake")


def data_folder(patient: Patient) -> Iterator[Said]:
    """Tell whether the data folder can be written, and whose it is."""
    patient.sure_of("data_dir")
    folder = patient.settings.data_dir
    if not folder.exists():
        yield warn(f"{folder}: not there yet", "`heatwatch serve` makes it; look whether data_dir is the one meant")
    elif not folder.is_dir():
        yield bad(f"{folder}: is no folder", "mend data_dir")
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield bad(f"{folder}: this user cannot write there", "look as the user of the service, or chown the folder")
    else:
        strangers = sorted(str(path) for path in _strangers(folder))
        if strangers:
            what = f"{strangers[0]} and {len(strangers) - 1} more belong to somebody else than {folder}"
            yield warn(what, f"chown -R --reference={folder} {folder}")
        else:
            yield ok(f"{folder}: can be written")


def _strangers(folder: Path) -> Iterator[Path]:
    owner = folder.stat().st_uid
    for path in (*folder.glob("*"), *folder.glob("journal/*/*")):
        with suppress(FileNotFoundError):
            if path.stat().st_uid != owner:
                yield path


def disk(patient: Patient) -> Iterator[Said]:
    """Compare the room on the disk with what the journal may still take."""
    patient.sure_of("data_dir", "journal_limit_mb")
    folder = _there(patient.settings.data_dir)
    used = shutil.disk_usage(folder)
    free = used.free // MB
    if not patient.takes_in:
        yield ok(f"{free:,} MB free; no journal is kept here")
        return
    held = sum(_size(path) for path in patient.settings.journal_dir.glob("*.journal"))
    may_grow = max(patient.settings.journal_limit_mb * MB - held, 0)
    wanted = may_grow // MB
    room = f"{free:,} MB free of {used.total // MB:,} MB, the journal may take {wanted:,} MB more"
    if free < FREE_LEAST_MB:
        yield bad(room, f"make room on the disk of {folder} now: on a full disk nothing is taken any more")
    elif free < wanted + FREE_LEAST_MB:
        yield warn(room, f"make room on the disk of {folder}, or lower journal_limit_mb")
    else:
        yield ok(room)


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _there(path: Path) -> Path:
    """Return the folder, or the nearest above it that is there."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())


def clock(patient: Patient) -> Iterator[Said]:
    """Tell whether the machine's clock can be right: it was set, and is not behind what was written."""
    now_ms, do = patient.now_ms, "set the clock, and let it be kept by NTP (timedatectl)"
    if now_ms < FIRST_MOMENT_MS:
        yield bad(f"the clock shows {iso(now_ms)}", do)
        return
    written_ms = max((_written_ms(path) for path in patient.settings.data_dir.glob("*")), default=0)
    if written_ms - now_ms > SKEW_BAD_MS:
        yield bad(f"the clock shows {iso(now_ms)}, behind files that were written at {iso(written_ms)}", do)
    elif Path("/run/systemd/timesync").is_dir() and not Path("/run/systemd/timesync/synchronized").exists():
        yield warn(f"{iso(now_ms)}, and no time server has been heard since the start", do)
    else:
        yield ok(iso(now_ms))


def skew(name: str, other_ms: int, now_ms: int) -> Said:
    """Compare another machine's clock with this one's."""
    apart_ms = abs(other_ms - now_ms)
    what = f"{name}'s clock is {apart_ms / 1000:,.0f} s {'ahead of' if other_ms > now_ms else 'behind'} this machine's"
    do = "let NTP keep both (timedatectl); the machine whose clock is wrong judges by a wrong moment"
    if apart_ms > SKEW_BAD_MS:
        return bad(what, do)
    return warn(what, do) if apart_ms > SKEW_WARN_MS else ok(f"{name}'s clock is this machine's")


def _written_ms(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_mtime_ns // 1_000_000
    return 0


def secrets(patient: Patient) -> Iterator[Said]:
    """Name secrets that everybody on this machine can read, and a data folder that everybody can look into."""
    named = [(name, getattr(patient.settings, name)) for name in (*SECRETS, "broker_key")]
    files = [(name, path) for name, path in named if path is not None]
    open_to_all = [(f"{name}: {path}", path) for name, path in files if readable_by_all(path)]
    folder = patient.settings.data_dir
    if readable_by_all(folder) and readable_by_all(folder / "records.sqlite"):
        open_to_all.append((f"{folder}: the records", folder))
    for name, path in open_to_all:
        yield warn(f"{name}: everybody on this machine can read it", f"chmod o= {path}")
    if not open_to_all:
        yield ok(f"{len(files)} files, for our eyes only" if files else "none is named")


def certificates(patient: Patient) -> Iterator[Said]:
    """Tell for how long each certificate still holds: those in files, and those that broker and InfluxDB show."""
    seen = [*_in_files(patient), *_shown(patient)]
    yield from seen or [skip("no TLS is set")]


def expiry(name: str, until_ms: int, now_ms: int) -> Said:
    """Judge for how long a certificate holds."""
    days = (until_ms - now_ms) // DAY_MS
    when = from_ms(until_ms).strftime("%Y-%m-%d")
    if days < 0:
        return bad(
            f"{name} has expired on {when}",
            "renew it now (the broker's: `heatwatch secrets renew`): whoever checks it connects no more",
        )
    what = f"{name} holds until {when}, {days} days"
    if days < EXPIRES_BAD_D:
        return bad(what, "renew it now")
    return warn(what, "renew it") if days < EXPIRES_WARN_D else ok(what)


def _in_files(patient: Patient) -> Iterator[Said]:
    named = [(name, getattr(patient.settings, name)) for name in ("broker_ca", "broker_cert", "influx_ca")]
    files = [(f"{name} {path}", path) for name, path in named if path is not None]
    if patient.mosquitto_conf is not None:
        with suppress(BadInput):
            shipped = mosquitto.certificates(mosquitto.read_config(patient.mosquitto_conf))
            files += [(f"mosquitto's {path}", path) for path in shipped if path.exists()]
    for name, path in files:
        try:
            until_ms = min(ends(path.read_bytes()))
        except (OSError, ValueError) as error:
            yield bad(f"{name}: no certificate can be read: {error}", "put a PEM certificate there")
        else:
            yield expiry(name, until_ms, patient.now_ms)


def _shown(patient: Patient) -> Iterator[Said]:
    for name, host, port in _tls_peers(patient):
        try:
            shown = _certificate_of(host, port)
        except OSError as error:
            yield skip(f"{name} at {host}:{port} shows none: {error}")
        else:
            yield expiry(f"the certificate of {name} at {host}:{port}", min(ends(shown)), patient.now_ms)


def _tls_peers(patient: Patient) -> Iterator[tuple[str, str, int]]:
    settings = patient.settings
    with suppress(BadInput):
        if settings.broker != EMBEDDED and broker_of(settings).access.tls:
            address = broker_of(settings)
            yield "the broker", address.host, address.port
    with suppress(BadInput):
        if settings.store is not StoreKind.EMBEDDED:
            parts = urlsplit(Access.of(settings).url)
            if parts.scheme == "https" and parts.hostname:
                yield "InfluxDB", parts.hostname, parts.port or 443


def _certificate_of(host: str, port: int) -> bytes:
    """Return the certificate that is shown, whatever it is worth: whether it is trusted is told by connecting."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((host, port), timeout=ANSWER_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        return secured.getpeercert(binary_form=True) or b""


def rules(patient: Patient) -> Iterator[Said]:
    """Tell whether the rules file can be used, and is the one in force."""
    patient.sure_of("rules")
    name, text = rules_text(patient.settings.rules)
    parse_standard(text, where=name)
    try:
        with patient.reading() as session:
            held = session.scalar(select(RulesInForce.text).order_by(RulesInForce.version.desc()).limit(1))
    except UnseenError as error:
        yield ok(f"{name}: can be used; whether it is in force is unknown: {error}")
        return
    if held == text:
        yield ok(f"{name}: in force")
    elif held is None:
        yield ok(f"{name}: comes into force at the first start")
    else:
        do = "`heatwatch rules diff FILE` says what it would alter; restart `serve` to put it in force"
        yield warn(f"{name}: is not what is in force since the last start", do)


def serve(patient: Patient) -> Iterator[Said]:
    """Ask the `serve` of these settings whether it can do its work."""
    told = [_ready(url) for url in _health_urls(patient)]
    answered = [one for one in told if one is not None]
    held = patient.at_work()
    if not answered and held:
        do = "set health_port to be told more; its log says what it does"
        yield warn("ingest is at work, and neither api_port nor health_port answers", do)
    elif not answered and patient.journal() is not None:
        do = "start it (systemctl start heatwatch); if it ends again, its log says why (journalctl -u heatwatch)"
        yield bad("no `serve` runs here, though a journal is here: messages wait at the broker", do)
    elif not answered:
        yield warn("no `serve` answers on this machine", "start it (systemctl start heatwatch), unless it is elsewhere")
    for failing in answered:
        if failing:
            yield bad(f"it says that these do not work: {', '.join(failing)}", "see their lines here, and its log")
        else:
            yield ok("every part says that it works")


def _health_urls(patient: Patient) -> Iterable[str]:
    settings = patient.settings
    ports = {settings.api_port: settings.api_host, settings.health_port: settings.health_host}
    for port, host in ports.items():
        if port:
            shown = _EVERYWHERE.get(host, f"[{host}]" if ":" in host else host)
            yield f"http://{shown}:{port}/health/ready"


def _ready(url: str) -> list[str] | None:
    """Return which checks fail, by the word of the process itself; None where none answers as ours does."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=ANSWER_S) as answer:
            body = answer.read()
    except HTTPError as error:
        if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
            return None
        with error:
            body = error.read()
    except (OSError, ValueError):
        return None
    with suppress(ValueError, KeyError, TypeError):
        return [check["name"] for check in json.loads(body)["checks"] if not check["ok"]]
    return None
