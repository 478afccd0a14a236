"""Calls to a Grafana through the library grafana-api, which no other module imports (decision 0004).

What the library leaves to its user is dealt with here. It takes an empty answer for JSON and fails after the server has
done the deed; it stumbles over error messages that are no objects; its user sees the exceptions of requests and never a
header; it follows redirects, which make a GET of a POST; it tries once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from grafana_api.grafana_api import GrafanaException
from grafana_api.grafana_face import GrafanaFace

from heatwatch.errors import BadInput, HeatwatchError, Unavailable
from heatwatch.secret import one_line

TIMEOUT_S = 30.0
TRIES = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
FIRST_ERROR, FIRST_REDIRECT = 400, 300
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_MANY, SERVER = 401, 403, 404, 429, 500
AGAIN = {TOO_MANY, 502, 503, 504}
EDITABLE = {"X-Disable-Provenance": "true"}
"""Leaves a thing of Grafana's alerting open to be changed by hand."""


class Refused(BadInput):
    """Grafana takes a call for wrong.

    Attributes
    ----------
    status
        Of HTTP.
    """

    def __init__(self, status: int, what: str, *, where: str, mend: str = "") -> None:
        self.status = status
        super().__init__(what, where=where, mend=mend)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Grafana is; `path` ends in a slash, or is empty."""

    protocol: str
    host: str
    port: int | None
    path: str

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"{self.protocol}://{self.host}{port}/{self.path}"


@dataclass(frozen=True, slots=True)
class Access:
    """How to get in: the token of a service account, or a user and password; and whom to trust.

    Attributes
    ----------
    token_file, password_file
        Files of one line.
    ca_file
        Certificates of the authorities that sign Grafana's, in PEM; None trusts those that browsers trust.
    """

    token_file: Path | None = None
    user: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None

    def words(self) -> str | tuple[str, str]:
        """Read the token, or the user and password.

        Raises
        ------
        BadInput
            If neither or both are given, or a file cannot be read.
        """
        basic = bool(self.user), self.password_file is not None
        if (self.token_file is None) != all(basic) or any(basic) != all(basic):
            mend = "give the token of a service account, or a user and the password's file"
            raise BadInput("one way to get in is needed", where="sign-in to Grafana", mend=mend)
        if self.token_file is not None:
            return one_line(self.token_file, "token")
        return self.user, one_line(self.password_file or Path(), "password")


def read_address(url: str) -> Address:
    """Return where a Grafana is.

    Raises
    ------
    BadInput
        If the URL is none, or holds a secret.

    Examples
    --------
    >>> read_address("https://example.org/grafana")
    Address(protocol='https', host='example.org', port=None, path='grafana/')
    """
    where = "address of Grafana"
    try:
        parts = urlsplit(url)
        host, port, secret = parts.hostname, parts.port, parts.username is not None or parts.password is not None
    except ValueError as error:
        raise BadInput(f"is no URL: {error}", where=where) from None
    if secret:
        raise BadInput("holds a user or password", where=where, mend="secrets are read from files")
    if parts.scheme not in {"http", "https"} or not host or port == 0 or parts.query or parts.fragment:
        raise BadInput("is none over http or https", where=where, mend="write https://grafana.example:3000")
    path = parts.path.strip("/")
    return Address(parts.scheme, f"[{host}]" if ":" in host else host, port, f"{path}/" if path else "")


class Grafana:
    """A Grafana that is called; paths begin behind ``/api``.

    Parameters
    ----------
    address
        Where it is.
    access
        How to get in.
    timeout_s
        How long each call may take [s].
    pause
        Waits between tries [s].

    Raises
    ------
    BadInput
        If a file of `access` is amiss.
    """

    def __init__(
        self,
        address: Address,
        access: Access,
        *,
        timeout_s: float = TIMEOUT_S,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        words = access.words()
        if access.ca_file is not None and not access.ca_file.is_file():
            raise BadInput("is no file", where=str(access.ca_file), mend="certificates of authorities, in PEM")
        self.name = f"Grafana at {address}"
        self._pause = pause
        self._hidden = [words if isinstance(words, str) else words[1]]
        self._answer: requests.Response | None = None
        self._face = GrafanaFace(
            words,
            host=address.host,
            port=address.port,
            url_path_prefix=address.path,
            protocol=address.protocol,
            verify=True if access.ca_file is None else str(access.ca_file),
            timeout=timeout_s,
        )
        session: requests.Session = self._face.api.s
        session.max_redirects = 0
        session.hooks["response"].append(self._keep)

    def close(self) -> None:
        """Give back its connections."""
        self._face.api.s.close()

    def hide(self, secret: str) -> None:
        """Keep a secret out of every error from now on, should Grafana say it back."""
        self._hidden.append(secret)

    def get(self, path: str) -> Any:
        """Return what lies there.

        Raises
        ------
        Refused
            If Grafana takes the call for wrong.
        BadInput
            If it lets nobody in with this sign-in, or is no Grafana.
        Unavailable
            If it does not answer, also when asked again.
        """
        return self._call("GET", path)

    def find(self, path: str) -> Any:
        """Return what lies there, or None; raises as `get` does."""
        try:
            return self.get(path)
        except Refused as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def post(self, path: str, body: Any, *, again: bool = False) -> Any:
        """Send something new; `again` where the same once more does no harm. Raises as `get` does."""
        return self._call("POST", path, body, again=again)

    def put(self, path: str, body: Any, *, editable: bool = False) -> Any:
        """Put something in its place; `editable` leaves it open to be changed by hand. Raises as `get` does."""
        return self._call("PUT", path, body, editable=editable)

    def delete(self, path: str) -> None:
        """Take something away, if it is there; raises as `get` does."""
        try:
            self._call("DELETE", path)
        except Refused as error:
            if error.status != NOT_FOUND:
                raise

    def _call(self, verb: str, path: str, body: Any = None, *, again: bool = True, editable: bool = False) -> Any:
        """Call until there is an answer; what may do harm twice, again only where it was turned away at once."""
        pause_s = FIRST_PAUSE_S
        for turn in range(1, TRIES + 1):
            try:
                return self._once(verb, path, body, editable=editable)
            except Unavailable:
                status = 0 if self._answer is None else self._answer.status_code
                if turn == TRIES or status not in AGAIN or not (again or status == TOO_MANY):
                    raise
                self._pause(self._asked_pause_s() or pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        raise AssertionError  # the last turn raises or returns

    def _once(self, verb: str, path: str, body: Any, *, editable: bool) -> Any:
        self._answer = None
        try:
            return getattr(self._face.api, verb)(path, json=body, headers=EDITABLE if editable else None)
        except requests.exceptions.SSLError as error:
            mend = "give the file of the authority that signed it"
            raise BadInput(f"TLS fails: {self._clean(str(error))}", where=self.name, mend=mend) from None
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            self._answer = None
            raise Unavailable(self.name, self._clean(str(error))) from None
        except (GrafanaException, requests.RequestException, ValueError, TypeError) as error:
            if self._answer is None:
                raise
            return self._judged(self._answer, f"{verb} {path}", error)

    def _keep(self, answer: requests.Response, *_: object, **__: object) -> None:
        """Note an answer: the library shows no headers, and of empty answers nothing at all."""
        self._answer = answer

    def _asked_pause_s(self) -> float:
        """Return for how long Grafana asks to be left alone [s], within reason; 0 where it says nothing usable."""
        said = "" if self._answer is None else self._answer.headers.get("Retry-After", "")
        return min(float(said), LONGEST_PAUSE_S) if said.isdecimal() else 0.0

    def _judged(self, answer: requests.Response, call: str, error: Exception) -> Any:
        """Return what an answer means over which the library stumbled, or raise it."""
        status, text = answer.status_code, answer.text.strip()
        if status < FIRST_REDIRECT and not text:
            return {}
        raise self._error(status, self._message(answer), call, answer.headers.get("Location", "")) from error

    def _error(self, status: int, said: str, call: str, location: str) -> HeatwatchError:
        if status < FIRST_REDIRECT:
            return BadInput(
                "answers with something that is not JSON", where=self.name, mend="is it a Grafana's address?"
            )
        if status < FIRST_ERROR:
            return BadInput(f"sends us on to {location}", where=self.name, mend="give that address")
        if status >= SERVER or status == TOO_MANY:
            return Unavailable(self.name, f"{call}: {status} {said}")
        mend = {
            UNAUTHORIZED: "is the token or password right, and not expired?",
            FORBIDDEN: "a service account needs the role Admin, or the right to write what is pushed",
        }.get(status, "")
        return Refused(status, f"{call}: {status} {said}", where=self.name, mend=mend)

    def _message(self, answer: requests.Response) -> str:
        """Return what Grafana says is wrong, without our secrets."""
        try:
            said = answer.json()
        except ValueError:
            said = None
        message = said.get("message") if isinstance(said, dict) else said
        return self._clean(str(message or answer.reason or ""))

    def _clean(self, text: str) -> str:
        for secret in self._hidden:
            text = text.replace(secret, "***")
        return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}…"


LONGEST_MESSAGE = 300
"""How much is told of what Grafana says [characters]."""
