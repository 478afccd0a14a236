"""What each answer of an InfluxDB means, told by a server that gives it; and what is sent to get it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from heatwatch.errors import BadInput, Unavailable
from heatwatch.settings import Settings, StoreKind
from heatwatch.stores.influx.access import Access
from heatwatch.stores.influx.asking import Asked
from heatwatch.stores.influx.connecting import connect, server_of
from heatwatch.stores.influx.schema import READING
from heatwatch.stores.influx.server import Refused, TooLarge
from heatwatch.stores.influx.v1 import InfluxQl
from heatwatch.stores.influx.v2 import Flux
from tests.authority import Authority
from tests.peers import free_port
from tests.stores.answers import Answer, Answers

KINDS = [StoreKind.INFLUXDB_1, StoreKind.INFLUXDB_2, StoreKind.INFLUXDB_3]
LINES = b"reading,source=d arrived_ms=1i 1\n"
VALUES = Asked(READING, ("temperature_c",))
PARTIAL = "partial write: field type conflict: … is type string, already exists as type float dropped=2"


@pytest.fixture(params=KINDS)
def access(request: pytest.FixtureRequest, tmp_path: Path) -> Access:
    kind: StoreKind = request.param
    secret = tmp_path / "secret"
    secret.write_text("word-1\n")
    user = "ingest" if kind is StoreKind.INFLUXDB_1 else ""
    return Access(kind, "http://127.0.0.1:1", "heat", "company", secret, user, timeout_s=0.5)


@contextmanager
def told(access: Access, *answers: Answer) -> Iterator[tuple[InfluxQl | Flux, Answers]]:
    """Give an InfluxDB that answers so."""
    with Answers(*answers) as server, closing(server_of(replace(access, url=server.url))) as influx:
        yield influx, server


def said(access: Access, text: str) -> bytes:
    """Return an error as that version writes it."""
    return json.dumps({"message" if access.kind is StoreKind.INFLUXDB_2 else "error": text}).encode()


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (401, "does not know us"),
        (403, "may not do this with"),
        (404, "make it, or mend the setting"),
        (408, "took too long"),
        (429, "asked too often; it asks to wait 7 s"),
        (500, "it failed"),
        (502, "it failed"),
        (503, "can take nothing for now; it asks to wait 7 s"),
        (302, "what we do not know"),
        (200, "what we do not know"),
    ],
)
def test_what_may_pass_is_unavailable_and_says_what_to_do(access: Access, status: int, why: str) -> None:
    if status == 200 and access.kind is StoreKind.INFLUXDB_2:
        return  # its client takes that for success
    answer = Answer(status, said(access, "as the test says"), {"Retry-After": "7"} if status in {429, 503} else {})
    with told(access, answer) as (influx, server), pytest.raises(Unavailable) as error:
        influx.write(LINES)
    assert why in str(error.value)
    assert "as the test says" in str(error.value)
    assert "word-1" not in str(error.value)
    assert len(server.asked) == 1


def test_who_is_not_let_in_is_told_which_setting_says_so(access: Access) -> None:
    with told(access, Answer(403, said(access, "forbidden"))) as (influx, _), pytest.raises(Unavailable) as error:
        influx.write(LINES)
    named = "influx_password_file" if access.kind is StoreKind.INFLUXDB_1 else "influx_token_file"
    assert named in str(error.value)
    assert "'heat'" in str(error.value)


@pytest.mark.parametrize("status", [400, 422])
def test_what_will_never_pass_is_refused_with_its_own_words_and_number(access: Access, status: int) -> None:
    with told(access, Answer(status, said(access, PARTIAL))) as (influx, _), pytest.raises(Refused) as error:
        influx.write(LINES)
    assert (error.value.why, error.value.dropped) == (PARTIAL, 2)
    with told(access, Answer(status, b"what?")) as (influx, _), pytest.raises(Refused) as error:
        influx.write(LINES)
    assert (error.value.why, error.value.dropped) == ("what?", None)


def test_too_large_a_request_is_told_from_a_refused_one(access: Access) -> None:
    with told(access, Answer(413, said(access, "Request Entity Too Large"))) as (influx, _), pytest.raises(TooLarge):
        influx.write(LINES)


@pytest.mark.parametrize(
    ("answer", "why"), [(Answer(204, delay_s=1.0), r"no answer within 0\.5 s"), (Answer(500, b"x", cut=True), ".")]
)
def test_an_answer_that_does_not_come_whole_is_unavailable(access: Access, answer: Answer, why: str) -> None:
    with told(access, answer) as (influx, _), pytest.raises(Unavailable, match=why):
        influx.write(LINES)


def test_an_answer_to_a_question_that_is_cut_is_unavailable_not_short(access: Access) -> None:
    rows = b",result,table,_time,_value,source\r\n,_result,0,1970-01-01T00:00:00.002Z,20,a\r\n"
    if access.kind is not StoreKind.INFLUXDB_2:
        rows = b"name,tags,time,temperature_c,source\nreading,,2,20,a\n"
    with told(access, Answer(200, rows)) as (influx, _):
        assert influx.points(VALUES).time_ms.tolist() == [2]
    with told(access, Answer(200, rows, cut=True)) as (influx, _), pytest.raises(Unavailable):
        influx.points(VALUES)


@pytest.mark.parametrize("status", [400, 404, 422, 500])
def test_a_question_is_never_refused_it_is_unanswered(access: Access, status: int) -> None:
    with told(access, Answer(status, said(access, "as the test says"))) as (influx, _):
        with pytest.raises(Unavailable, match="as the test says"):
            influx.points(VALUES)
        with pytest.raises(Unavailable):
            influx.ping()


def test_where_nothing_listens_is_unavailable(access: Access) -> None:
    nowhere = replace(access, url=f"http://127.0.0.1:{free_port()}")
    with closing(server_of(nowhere)) as influx, pytest.raises(Unavailable, match="nothing listens there"):
        influx.write(LINES)


def test_a_certificate_is_checked_against_the_authority_of_the_settings(access: Access, tmp_path: Path) -> None:
    authority, other = Authority(tmp_path, "one"), Authority(tmp_path, "other")
    expired = authority.sign("old", days=-1)
    with Answers(Answer(204), signed=authority.sign("server")) as server:
        with closing(server_of(replace(access, url=server.url, ca_file=authority.cert))) as influx:
            influx.write(LINES)
        stranger = server_of(replace(access, url=server.url, ca_file=other.cert))
        with closing(stranger), pytest.raises(Unavailable, match="no authority that is known here"):
            stranger.write(LINES)
    with Answers(Answer(204), signed=expired) as server:
        late = server_of(replace(access, url=server.url, ca_file=authority.cert))
        with closing(late), pytest.raises(Unavailable, match="has expired"):
            late.write(LINES)
    assert len(server.asked) == 0


def test_a_renewed_secret_is_read_when_the_old_one_is_refused(access: Access) -> None:
    no, yes = Answer(401, said(access, "unauthorized")), Answer(204)
    with told(access, yes, no, yes, no) as (influx, server):
        influx.write(LINES)
        assert access.secret_file is not None
        access.secret_file.write_text("word-2\n")
        influx.write(LINES)
        with pytest.raises(Unavailable, match="does not know us"):
            influx.write(LINES)
        access.secret_file.unlink()
        with pytest.raises(Unavailable, match="cannot be read"):
            influx.write(LINES)
    sent = [request.headers["Authorization"] for request in server.asked]
    assert len(sent) == 5
    assert sent[0] == sent[1] != sent[2] == sent[3] == sent[4]


def test_lines_are_sent_as_they_are_or_compressed(access: Access) -> None:
    with told(access, Answer(204)) as (influx, server):
        influx.write(LINES)
        influx.write(LINES, precision="s")
    with told(replace(access, gzip=True), Answer(204)) as (influx, packed):
        influx.write(LINES)
    assert [request.body for request in server.asked] == [LINES, LINES]
    assert ["precision=ms" in server.asked[0].path, "precision=s" in server.asked[1].path] == [True, True]
    assert packed.asked[0].headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.asked[0].body) == LINES


def test_an_error_within_an_answer_of_flux_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("word-1\n")
    access = Access(StoreKind.INFLUXDB_2, "http://127.0.0.1:1", "heat", "company", tmp_path / "token")
    rows = b",result,table,_time,_value,source\r\n,_result,0,1970-01-01T00:00:00.002Z,20,a\r\n\r\n"
    for begun in (b"", rows):
        broken = Answer(200, begun + b"error,reference\r\nengine: context canceled,\r\n")
        with told(access, broken) as (influx, _), pytest.raises(Unavailable, match="breaks off: engine: context"):
            influx.points(VALUES)
    with told(access, Answer(200, rows + rows)) as (influx, _), pytest.raises(Unavailable, match="no table"):
        influx.points(VALUES)


def test_an_error_that_csv_of_influxql_has_no_place_for_is_asked_for_as_json() -> None:
    access = Access(StoreKind.INFLUXDB_1, "http://127.0.0.1:1", "heat")
    wrong = Answer(200, b'{"results":[{"error":"database not found: heat"}]}')
    with told(access, Answer(200), wrong) as (influx, _), pytest.raises(Unavailable, match="database not found"):
        influx.points(VALUES)
    with told(access, Answer(200), Answer(200, b'{"results":[{}]}')) as (influx, _):
        assert len(influx.points(VALUES)) == 0


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"influx_url": "influxdb:8086"}, "no address"),
        ({"influx_url": "http://me:word@host:8086"}, "no user and no password"),
        ({"influx_url": "http://host:port"}, "no host or port"),
        ({"influx_ca": Path("ca.pem")}, "TLS only"),
        ({"influx_user": "ingest"}, "influx_password_file"),
        ({"influx_password_file": Path("word")}, "influx_user"),
        ({"store": StoreKind.INFLUXDB_2}, "without a token"),
        ({"store": StoreKind.INFLUXDB_2, "influx_token_file": Path("nowhere")}, "cannot be read"),
        ({"store": StoreKind.EMBEDDED}, "no InfluxDB"),
        ({"influx_url": "https://host", "influx_ca": Path("nowhere.pem")}, "no certificates"),
    ],
)
def test_settings_that_cannot_be_meant_are_told_before_anything_is_asked(wrong: dict[str, object], why: str) -> None:
    with pytest.raises(BadInput, match=why) as error:
        connect(Settings(**{"store": StoreKind.INFLUXDB_1, **wrong}))  # type: ignore[arg-type]
    assert "word@" not in str(error.value)
