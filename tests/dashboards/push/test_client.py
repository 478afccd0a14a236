"""Whatever the library or the way to Grafana does, a call gives an answer or one of our errors."""

from __future__ import annotations

import ast
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import dashboards
from dashboards.push.applying import check
from dashboards.push.client import LONGEST_PAUSE_S, TRIES, Access, Address, Grafana, Refused, read_address
from heatwatch.errors import BadInput, Unavailable
from tests.authority import Authority
from tests.dashboards.push.fake import TOKEN, FakeGrafana
from tests.peers import HOST, free_port


def test_only_the_client_imports_the_library() -> None:
    """Decision 0004: the way out of it is one module."""
    root = Path(dashboards.__file__).parents[1]
    packages = ("heatwatch", "ingest", "analytics", "dispatch", "api", "dashboards", "simulators", "cli")
    importing = {
        file.relative_to(root).as_posix()
        for package in packages
        for file in (root / package).rglob("*.py")
        if "grafana_api" in file.read_text(encoding="utf-8") and _imports(file)
    }
    assert importing == {"dashboards/push/client.py"}


def _imports(file: Path) -> bool:
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    named = (node.module or "" for node in nodes if isinstance(node, ast.ImportFrom))
    return any(name.startswith("grafana_api") for name in named)


class TestAnswers:
    """What the library makes of answers is put right."""

    @pytest.mark.parametrize("status", [200, 202])
    def test_an_empty_one_is_no_failure(self, fake: FakeGrafana, grafana: Grafana, status: int) -> None:
        fake.fails[1], fake.failure = status, b""
        assert grafana.put("/folders/ops", {"title": "x"}) == {}

    def test_204_is_no_failure(self, fake: FakeGrafana, grafana: Grafana) -> None:
        grafana.delete("/v1/provisioning/templates/theirs")
        assert "theirs" not in fake.templates

    def test_what_is_not_there_is_none_and_need_not_be_deleted(self, fake: FakeGrafana, grafana: Grafana) -> None:
        assert grafana.find("/folders/none") is None
        grafana.delete("/dashboards/uid/none")
        assert [verb for verb, _ in fake.calls] == ["GET", "DELETE"]

    @pytest.mark.parametrize(
        "body", [b'[{"message": "a"}]', b"null", b'"message"', b"7", b"<html>", b"", b'{"error": 1}']
    )
    def test_an_error_may_come_with_any_body(self, fake: FakeGrafana, grafana: Grafana, body: bytes) -> None:
        fake.fails[1], fake.failure = 400, body
        with pytest.raises(Refused) as refused:
            grafana.get("/health")
        assert refused.value.status == 400

    @pytest.mark.parametrize("body", [b"<html>sign in</html>", b"{"])
    def test_something_other_than_json_is_no_grafana(self, fake: FakeGrafana, grafana: Grafana, body: bytes) -> None:
        fake.fails[1], fake.failure = 200, body
        with pytest.raises(BadInput, match="not JSON"):
            grafana.get("/health")

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_a_redirect_is_told_and_not_followed(self, fake: FakeGrafana, grafana: Grafana, status: int) -> None:
        """Followed, a POST would become a GET that changes nothing, and answers 200."""
        fake.fails[1], fake.headers = status, {"Location": "https://grafana.example/api/folders"}
        with pytest.raises(BadInput, match=r"sends us on to https://grafana\.example/api/folders"):
            grafana.post("/folders", {"uid": "a", "title": "a"})
        assert len(fake.calls) == 1

    def test_what_is_no_grafana_is_told(self, fake: FakeGrafana, grafana: Grafana) -> None:
        assert check(grafana) == "13.0.1"
        fake.forget()
        fake.fails[1], fake.failure = 200, b'{"message": "hello"}'
        with pytest.raises(BadInput, match="not as a Grafana does"):
            check(grafana)


class TestTries:
    """What does no harm twice is tried again."""

    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    def test_reading_and_putting_are_tried_again(
        self, fake: FakeGrafana, grafana: Grafana, pauses: list[float], status: int
    ) -> None:
        fake.fails.update({1: status, 2: status})
        assert grafana.get("/health")["database"] == "ok"
        assert pauses == [0.5, 1.0]

    def test_posting_is_tried_again_only_where_it_was_turned_away(
        self, fake: FakeGrafana, grafana: Grafana, pauses: list[float]
    ) -> None:
        fake.fails[1] = 503
        with pytest.raises(Unavailable, match="503 out of order"):
            grafana.post("/folders", {"uid": "a", "title": "a"})
        fake.forget()
        fake.fails[1] = 429
        grafana.post("/folders", {"uid": "a", "title": "a"})
        assert pauses == [0.5]

    @pytest.mark.parametrize(("said", "pause_s"), [("3", 3.0), ("86400", LONGEST_PAUSE_S), ("soon", 0.5), ("-1", 0.5)])
    def test_grafana_says_how_long_to_wait_within_reason(
        self, fake: FakeGrafana, grafana: Grafana, pauses: list[float], said: str, pause_s: float
    ) -> None:
        fake.fails[1], fake.headers = 429, {"Retry-After": said}
        grafana.get("/health")
        assert pauses == [pause_s]

    def test_tries_end(self, fake: FakeGrafana, grafana: Grafana, pauses: list[float]) -> None:
        fake.fails.update(dict.fromkeys(range(1, 100), 503))
        with pytest.raises(Unavailable):
            grafana.get("/health")
        assert len(fake.calls) == TRIES
        assert len(pauses) == TRIES - 1

    def test_a_broken_server_is_not_asked_again(self, fake: FakeGrafana, grafana: Grafana) -> None:
        fake.fails[1] = 500
        with pytest.raises(Unavailable, match="500 out of order"):
            grafana.get("/health")
        assert len(fake.calls) == 1


class TestWays:
    """Addresses, sign-in and transport."""

    @pytest.mark.parametrize(
        ("url", "address"),
        [
            ("http://127.0.0.1:3000", Address("http", "127.0.0.1", 3000, "")),
            ("https://example.org/", Address("https", "example.org", None, "")),
            ("https://example.org/a/b/", Address("https", "example.org", None, "a/b/")),
            ("http://[::1]:3000/g", Address("http", "[::1]", 3000, "g/")),
        ],
    )
    def test_an_address_may_have_a_path(self, url: str, address: Address) -> None:
        assert read_address(url) == address
        assert str(address).rstrip("/") == url.rstrip("/")

    @pytest.mark.parametrize(
        "url",
        [
            "grafana:3000",
            "ftp://a",
            "http://",
            "http://u:secret@a",
            "http://a:x",
            "http://a/?token=secret",
            "http://a/#b",
        ],
    )
    def test_what_is_no_address_is_refused_without_telling_secrets(self, url: str) -> None:
        with pytest.raises(BadInput) as refused:
            read_address(url)
        assert "secret" not in str(refused.value).replace("secrets are read", "")

    def test_one_way_to_get_in_is_needed(self, token_file: Path) -> None:
        for access in (
            Access(),
            Access(token_file, user="admin", password_file=token_file),
            Access(user="admin"),
            Access(password_file=token_file),
            Access(token_file, user="admin"),
        ):
            with pytest.raises(BadInput, match="one way to get in"):
                access.words()
        assert Access(token_file).words() == TOKEN
        assert Access(user="admin", password_file=token_file).words() == ("admin", TOKEN)

    def test_nobody_there_is_unavailable(self, token_file: Path) -> None:
        client = Grafana(read_address(f"http://{HOST}:{free_port()}"), Access(token_file))
        with pytest.raises(Unavailable, match="does not answer"):
            client.get("/health")
        client.close()

    def test_a_wrong_token_is_told_and_not_shown(self, fake: FakeGrafana, tmp_path: Path) -> None:
        (tmp_path / "other").write_text("a-wrong-token")
        client = Grafana(read_address(fake.url), Access(tmp_path / "other"))
        with pytest.raises(Refused, match="token or password right"):
            client.get("/health")
        fake.forget()
        fake.fails[1], fake.failure = 400, b'{"message": "bad a-wrong-token here"}'
        with pytest.raises(Refused, match=r"bad \*\*\* here"):
            client.get("/health")
        client.close()

    def test_an_authority_of_ones_own_is_trusted_where_it_is_named(
        self, authority: Authority, encrypted: str, token_file: Path
    ) -> None:
        stranger = Grafana(read_address(encrypted), Access(token_file))
        with pytest.raises(BadInput, match="give the file of the authority"):
            stranger.get("/health")
        friend = Grafana(read_address(encrypted), Access(token_file, ca_file=authority.cert))
        assert friend.get("/health") == {}
        for client in (stranger, friend):
            client.close()

    def test_a_file_of_authorities_that_is_not_there_is_refused(self, token_file: Path, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="is no file"):
            Grafana(read_address("https://a"), Access(token_file, ca_file=tmp_path / "none"))

    def test_an_answer_that_never_comes_is_unavailable(self, token_file: Path) -> None:
        with HTTPServer((HOST, 0), BaseHTTPRequestHandler) as mute:
            client = Grafana(read_address(f"http://{HOST}:{mute.server_port}"), Access(token_file), timeout_s=0.05)
            with pytest.raises(Unavailable, match="timed out"):
                client.get("/health")
            client.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Give an authority."""
    return Authority(tmp_path / "authority")


@pytest.fixture
def encrypted(authority: Authority) -> Iterator[str]:
    """Give the address of a server whose certificate that authority signed; its answers are empty."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("grafana"))
    with HTTPServer((HOST, 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"https://{HOST}:{server.server_port}"
        server.shutdown()
        thread.join()
