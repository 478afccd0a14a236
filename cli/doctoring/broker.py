"""The broker: whether it lets us in, keeps a session, grants what ingest subscribes to; mosquitto's configuration."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Self

from paho.mqtt.client import Client, ConnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from cli.doctoring import mosquitto
from cli.doctoring.patient import Patient, UnseenError
from cli.doctoring.said import Said, bad, ok, skip, warn
from cli.options import broker_of
from heatwatch.broker import CLOSED_PLAIN, Address, meaning, refusal
from heatwatch.errors import BadInput, Unavailable
from heatwatch.settings import EMBEDDED
from ingest.client import TOPICS

ANSWER_S = 5.0
SESSION_S = mosquitto.SESSION_DAYS_LEAST * 86_400
_KEEPALIVE_S = 10
_NO_VERSION_5 = (1, 132)


class Visit:
    """One connection as `{worker}-doctor`, under MQTT 5; the session is gone when its block ends with `forget`."""

    def __init__(self, address: Address, name: str, *, clean: bool, keep_s: int) -> None:
        self._address, self._clean, self._keep_s = address, clean, keep_s
        self.present, self.granted = False, list[ReasonCode]()
        self.told: dict[str, Any] = {}
        self._answer: ReasonCode | None = None
        self._mqtt = Client(CallbackAPIVersion.VERSION2, f"{name}-doctor", protocol=MQTTProtocolVersion.MQTTv5)
        self._mqtt.on_connect, self._mqtt.on_subscribe = self._on_connect, self._on_subscribe

    def __enter__(self) -> Self:
        """Connect.

        Raises
        ------
        Unavailable
            If the broker does not answer, or does not let us in; with the reason.
        BadInput
            If a file of the sign-in or certificates cannot be read.
        """
        address, peer = self._address, f"broker {self._address.url}"
        address.access.prepare(self._mqtt)
        self._mqtt.connect_timeout = ANSWER_S
        asked = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        asked.SessionExpiryInterval = self._keep_s
        try:
            self._mqtt.connect(address.host, address.port, _KEEPALIVE_S, clean_start=self._clean, properties=asked)
        except (OSError, ValueError) as error:
            raise Unavailable(peer, meaning(error, address.access)) from error
        self._until(lambda: self._answer is not None)
        if self._answer is None:
            raise Unavailable(peer, CLOSED_PLAIN if self._mqtt.socket() is None else f"no answer within {ANSWER_S:g} s")
        if self._answer.is_failure:
            if self._answer.value in _NO_VERSION_5:
                raise UnseenError("it speaks MQTT 3.1.1 only, which tells no reasons")
            raise Unavailable(peer, refusal(self._answer.value, address.access))
        return self

    def __exit__(self, *_: object) -> None:
        """Leave; the session stays for as long as it was asked for."""
        self._leave(None)

    def forget(self) -> None:
        """Leave, and let the broker forget the session."""
        gone = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
        gone.SessionExpiryInterval = 0
        self._leave(gone)

    def subscribe(self, topics: str) -> None:
        """Ask for topics, and wait for the answer."""
        self._mqtt.subscribe(topics, qos=1)
        self._until(lambda: bool(self.granted))

    def _leave(self, said: Properties | None) -> None:
        if self._mqtt.socket() is not None:
            self._mqtt.disconnect(properties=said)
            self._until(lambda: self._mqtt.socket() is None)

    def _until(self, holds: Callable[[], bool]) -> None:
        until_s = time.monotonic() + ANSWER_S
        while not holds() and time.monotonic() < until_s:
            with suppress(OSError):
                self._mqtt.loop(0.05)
            if self._mqtt.socket() is None:
                return

    def _on_connect(
        self, _mqtt: Client, _userdata: Any, flags: ConnectFlags, reason: ReasonCode, said: Properties | None
    ) -> None:
        self._answer, self.present = reason, flags.session_present
        self.told = {} if said is None else said.json()  # type: ignore[no-untyped-call]

    def _on_subscribe(self, _mqtt: Client, _userdata: Any, _mid: int, reasons: list[ReasonCode], _said: Any) -> None:
        self.granted = reasons


def broker(patient: Patient) -> Iterator[Said]:
    """Connect as ingest does, under another name."""
    address = _address(patient)
    with _visit(patient, address) as visit:
        told = visit.told
        visit.forget()
    least = mosquitto.PACKET_BYTES_LEAST
    if 0 < int(told.get("MaximumPacketSize", 0)) < least:
        do = f"let it take {least} bytes (mosquitto: max_packet_size)"
        yield warn(f"it takes no packet beyond {told['MaximumPacketSize']} bytes", do)
    if told.get("MaximumQoS", 2) == 0:
        yield bad("it knows QoS 0 only: what is under way is lost", "use a broker with QoS 1")
    who = f"as {address.access.user!r}" if address.access.user else "as nobody"
    yield ok(f"{address.url}: lets us in {who}")


def session(patient: Patient) -> Iterator[Said]:
    """Tell whether the broker keeps a session: with one of our own, which is thrown away."""
    address, wanted_d = _address(patient), mosquitto.SESSION_DAYS_LEAST
    try:
        with _visit(patient, address, keep_s=SESSION_S) as first:
            granted_s = int(first.told.get("SessionExpiryInterval", SESSION_S))
        with _visit(patient, address, clean=False) as again:
            kept = again.present
            again.forget()
    except (BadInput, Unavailable) as error:
        raise UnseenError("the broker lets nobody in: see broker") from error
    if not kept or not granted_s:
        do = "let it keep sessions (mosquitto: see persistent_client_expiration); another broker does"
        yield bad("it keeps no session: what is sent while ingest is away is lost", do)
    elif granted_s < SESSION_S:
        do = f"let it keep sessions for {wanted_d} days"
        yield warn(f"it keeps a session for {granted_s / 3600:g} h only, with all that waits in it", do)
    else:
        yield ok(f"it keeps a session for {wanted_d} days and more; whether over a restart, its configuration says")


def subscription(patient: Patient) -> Iterator[Said]:
    """Tell whether what ingest subscribes to is granted, and what an access list that was given says of it."""
    address = _address(patient)
    group = patient.settings.shared_group
    topics = f"$share/{group}-doctor/{TOPICS}" if group else TOPICS  # in the workers' group it would take from them
    try:
        with _visit(patient, address) as visit:
            visit.subscribe(topics)
            granted = visit.granted
            visit.forget()
    except (BadInput, Unavailable) as error:
        raise UnseenError("the broker lets nobody in: see broker") from error
    user = address.access.user
    do = f"let {user or 'ingest'} read {TOPICS} in the broker's access list"
    if not granted:
        yield bad(f"no answer to a subscription to {topics}", do)
    elif granted[0].is_failure:
        yield bad(f"it refuses a subscription to {topics}: {granted[0]}", do)
    elif granted[0].value < 1:
        yield bad(f"it grants {topics} at QoS 0 only: what is under way is lost", "let it grant QoS 1")
    else:
        yield from _by_list(patient, user, topics, do)


def configuration(patient: Patient) -> Iterator[Said]:
    """Judge the configuration of mosquitto that was given."""
    if patient.mosquitto_conf is None:
        yield skip("not given", "--mosquitto-conf FILE looks at persistence, queue and window")
        return
    yield from mosquitto.judge(mosquitto.read_config(patient.mosquitto_conf))


def _by_list(patient: Patient, user: str, topics: str, do: str) -> Iterator[Said]:
    """Look into the access lists: mosquitto grants a subscription, and holds back what the list forbids."""
    if patient.mosquitto_conf is None:
        yield ok(f"{topics} is granted; mosquitto grants also what its access list holds back: give --mosquitto-conf")
        return
    lists = [path for path in mosquitto.access_lists(mosquitto.read_config(patient.mosquitto_conf)) if path.is_file()]
    held_back = [path for path in lists if not mosquitto.may_read_all(path.read_text(encoding="utf-8"), user)]
    if held_back:
        yield bad(f"{topics} is granted, and {held_back[0]} holds its messages back", do)
    else:
        yield ok(f"{topics} is granted{', and the access list lets its messages through' if lists else ''}")


def _address(patient: Patient) -> Address:
    patient.sure_of("broker", "broker_user", "broker_password_file", "broker_ca", "broker_cert", "broker_key")
    if patient.settings.broker == EMBEDDED:
        raise UnseenError("the broker is embedded: it runs with `serve`, and is for trials")
    if patient.mosquitto_conf is not None and any(
        mosquitto.renames_clients(one) for one in mosquitto.read_config(patient.mosquitto_conf).listeners
    ):
        raise UnseenError("its use_username_as_clientid would let a visit throw ingest out: see mosquitto")
    return broker_of(patient.settings)


def _visit(patient: Patient, address: Address, *, clean: bool = True, keep_s: int = 0) -> Visit:
    return Visit(address, patient.settings.worker, clean=clean, keep_s=keep_s)
