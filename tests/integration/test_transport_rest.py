"""HTTP over real sockets: requests, answers, proxies, TLS, limits, and reused connections."""

from __future__ import annotations

import contextlib
import gzip
import http.cookiejar as http_cookiejar
import json
import os
import socket
import ssl
import struct
import threading
import warnings
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple
from unittest.mock import Mock

import pytest
import requests
import urllib3

from cometchat import AuthenticationException, CometChatException, ConnectionException, RateLimitException
from cometchat._proxy_address import read_proxy
from cometchat._transport.http import MAX_BODY, RequestsRest, shared_connections
from cometchat._transport.http._connections import _POOL, SharedConnections, Way
from cometchat._transport.net import Address, _dial, host_probe_for, look_up
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, Party, Peer, RawServer, eventually, finished, in_thread
from .transport_peers import (
    Authority,
    ConnectProxy,
    Count,
    SilentAddress,
    Stopwatch,
    answer,
    drip,
    error_of,
    headers_of,
    unused_port,
    whole_text,
)

Serve = Callable[..., RawServer]
NewRest = Callable[..., RequestsRest]

#: In seconds: a limit that a test lets pass, and the maximum time until its end is noticed on a slow machine.
SHORT, SOON = 0.3, 5.0

TOKEN = "t0ken-of-the-user"

OK = answer(200, b'{"data": {"ok": 1}}')


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def new_rest(authority: Authority) -> Iterator[NewRest]:
    """Make transports, and close all of them after the test."""
    made: List[RequestsRest] = []

    def make(**overrides: Any) -> RequestsRest:
        made.append(RequestsRest(**{"ca_certs": authority.bundle, **overrides}))
        return made[-1]

    yield make
    for each in made:
        each.close()


class Asked:
    """The script of a server. It records the requests, and answers each. The last answer repeats."""

    def __init__(self, *replies: bytes, keep: bool = True) -> None:
        self.heads: List[str] = []
        self.bodies: List[bytes] = []
        self.connections = 0
        self._replies = list(replies) or [OK]
        self._keep = keep
        self._lock = threading.Lock()

    def __call__(self, peer: Peer) -> None:
        with self._lock:
            self.connections += 1
        while True:
            head = peer.read_head()
            body = peer.read(int(headers_of(head).get("content-length", "0")))
            with self._lock:
                self.heads.append(head)
                self.bodies.append(body)
                reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
            peer.socket.sendall(reply)
            if not self._keep:
                return

    @property
    def methods(self) -> List[str]:
        return [head.split(" ")[0] for head in self.heads]


def http(server: RawServer, host: str = "127.0.0.1", tls: bool = False) -> str:
    return f"{'https' if tls else 'http'}://{host}:{server.port}/v3.0/me"


def get(rest: RequestsRest, url: str, timeout: float = 10, method: str = "GET", **more: Any) -> Any:
    return rest.call(method, url, headers={"authToken": TOKEN}, timeout=timeout, **more)


def failed(rest: RequestsRest, url: str, timeout: float = 10, code: str = "FAILED_TO_FETCH", **more: Any) -> Any:
    error = error_of(lambda: get(rest, url, timeout, **more), code)
    assert TOKEN not in whole_text(error)
    assert (error.__cause__ is not None) == (code == "FAILED_TO_FETCH")
    return error


# One call.


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_call(serve: Serve, new_rest: NewRest, authority: Authority, tls: bool) -> None:
    """Method, path, headers and the body as JSON are sent, and the envelope's data is returned."""
    script = Asked(answer(200, '{"data": {"name": "Zoë"}}'.encode()))
    url = http(serve(script, authority.server() if tls else None), tls=tls)
    assert get(new_rest(), url, method="POST", body={"text": "grüße"}) == {"name": "Zoë"}
    assert script.heads[0].startswith("POST /v3.0/me HTTP/1.1\r\n")
    assert headers_of(script.heads[0])["authtoken"] == TOKEN
    assert json.loads(script.bodies[0]) == {"text": "grüße"}


def test_a_call_without_a_body(serve: Serve, new_rest: NewRest) -> None:
    """A call without a body sends no body."""
    script = Asked()
    assert get(new_rest(), http(serve(script)), method="DELETE") == {"ok": 1}
    assert script.bodies == [b""]


def test_a_list(serve: Serve, new_rest: NewRest) -> None:
    """Data may be a list if the call expects one. Otherwise a list is a wrong answer."""
    url = http(serve(Asked(answer(200, b'{"data": [1, 2]}'))))
    assert get(new_rest(), url, expect=list) == [1, 2]
    failed(new_rest(), url, code="ERR_BAD_RESPONSE")


def test_an_answer_in_chunks_and_gzip(serve: Serve, new_rest: NewRest) -> None:
    """A chunked and compressed answer is read like any other."""
    body = gzip.compress(b'{"data": {"ok": 2}}')
    head = b"HTTP/1.1 200 ok\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    assert get(new_rest(), http(serve(Asked(head + chunks + b"0\r\n\r\n")))) == {"ok": 2}


@pytest.mark.parametrize("piece", [1, 7, 1000])
@pytest.mark.parametrize("tail", [b"", b"\0" * 20, b"\x1f"], ids=["nothing", "zeros", "the first byte of a part"])
def test_gzip_in_several_parts(serve: Serve, new_rest: NewRest, piece: int, tail: bytes) -> None:
    """A compressed body may have several parts, as RFC 1952 allows. Bytes after them do not count."""
    body = gzip.compress(b'{"data": {"ok"') + gzip.compress(b"") + gzip.compress(b": 3}}") + tail
    head = b"HTTP/1.1 200 ok\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces)
    assert get(new_rest(), http(serve(Asked(head + chunks + b"0\r\n\r\n")))) == {"ok": 3}


def test_interim_answers_are_skipped(serve: Serve, new_rest: NewRest) -> None:
    """Early hints, or any other 1xx, may come before the answer."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    assert get(new_rest(), http(serve(Asked(hints + OK)))) == {"ok": 1}


def test_no_password_file(serve: Serve, new_rest: NewRest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ~/.netrc for the host adds no credentials."""
    script, netrc = Asked(), tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password word\n")
    monkeypatch.setenv("NETRC", str(netrc))
    get(new_rest(), http(serve(script)))
    assert "authorization" not in headers_of(script.heads[0])


def test_cookies_are_not_kept(serve: Serve, new_rest: NewRest) -> None:
    """A cookie is not sent back, since it would outlive the logout."""
    script = Asked(OK.replace(b"\r\n", b"\r\nSet-Cookie: session=1; Path=/\r\n", 1))
    rest, url = new_rest(), http(serve(script))
    get(rest, url)
    get(rest, url)
    assert ["cookie" in headers_of(head) for head in script.heads] == [False, False]


def test_cookies_are_not_read(serve: Serve, new_rest: NewRest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard library takes a minute for 6 MB of cookies, for which no time limit would hold."""
    reader = Mock(wraps=http_cookiejar.split_header_words)
    monkeypatch.setattr(http_cookiejar, "split_header_words", reader)
    reply = OK.replace(b"\r\n", b"\r\nSet-Cookie: a=b\r\nSet-Cookie2: " + b"a," * 1000 + b"\r\n", 1)
    assert get(new_rest(), http(serve(Asked(reply)))) == {"ok": 1}
    assert not reader.called


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(serve: Serve, new_rest: NewRest, status: int) -> None:
    """A redirect is a wrong answer, and nothing is sent to its target."""
    visited: List[Peer] = []
    target = serve(visited.append)
    url = http(serve(Asked(answer(status, headers={"Location": http(target, "localhost")}))))
    assert failed(new_rest(), url, code="ERR_BAD_RESPONSE").details == f"HTTP {status}"
    target.close()
    assert visited == []


# Calls without an answer.


def test_dns(new_rest: NewRest, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a name without an address, the text says DNS and the host."""

    def lookup(*args: object, **more: object) -> List[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    error = failed(new_rest(), "https://nowhere.example/v3.0/me")
    reason = "DNS: no address for nowhere.example:443: Name or service not known"
    assert error.message == f"GET nowhere.example:443: {reason}."


def test_refused(new_rest: NewRest) -> None:
    """For a refused connection, the text says that, and the host."""
    port = unused_port()
    error = failed(new_rest(), f"http://127.0.0.1:{port}/")
    assert error.message == f"GET 127.0.0.1:{port}: connection refused by 127.0.0.1:{port}."
    assert isinstance(error, ConnectionException)


def test_untrusted_certificates(serve: Serve, new_rest: NewRest, authority: Authority) -> None:
    """Certificates of an unknown CA, of another host, or out of date are refused, and the text has the reason."""
    now = datetime.now(timezone.utc)
    old = {"not_before": now - timedelta(days=9), "not_after": now - timedelta(days=2)}
    servers = [
        (None, serve(Asked(), authority.server()), "certificate verify failed|self.signed|issuer"),
        (authority.bundle, serve(Asked(), authority.server("other.example")), "mismatch|doesn't match"),
        (authority.bundle, serve(Asked(), authority.server("127.0.0.1", **old)), "expired"),
    ]
    for bundle, server, why in servers:
        error = failed(new_rest(ca_certs=bundle), http(server, tls=True))
        assert "TLS: the certificate of 127.0.0.1:" in error.message and "not trusted" in error.message
        assert any(word in error.message for word in why.split("|"))


def test_a_server_without_tls(serve: Serve, new_rest: NewRest) -> None:
    """Plain HTTP in place of TLS is reported as a failure of TLS."""

    def script(peer: Peer) -> None:
        peer.read(1)
        peer.socket.sendall(answer(400))
        peer.wait_for_end()

    assert "TLS: " in failed(new_rest(), http(serve(script), tls=True)).message


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_bundle_of_the_environment(
    serve: Serve, new_rest: NewRest, authority: Authority, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Without a given bundle, the environment's is used."""
    monkeypatch.setenv(name, authority.bundle)
    assert get(new_rest(ca_certs=None), http(serve(Asked(), authority.server()), tls=True)) == {"ok": 1}


def test_a_bundle_that_cannot_be_read(new_rest: NewRest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For a bundle that is missing or not a PEM file, the error names it."""
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    for path in (str(nonsense), str(tmp_path / "absent.pem")):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", path)
        error = failed(new_rest(ca_certs=None), f"https://127.0.0.1:{unused_port()}/")
        assert f"TLS: the CA bundle {path!r} can't be read" in error.message


@pytest.mark.skipif(not hasattr(ssl.SSLContext, "keylog_filename"), reason="PyPy writes no key log")
def test_a_key_log_that_cannot_be_written(
    new_rest: NewRest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: Authority
) -> None:
    """The error names the variable of the environment, not the CA bundle."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "absent" / "keys"))
    error = failed(new_rest(ca_certs=Authority(tmp_path).bundle), f"https://127.0.0.1:{unused_port()}/")
    assert "of SSLKEYLOGFILE can't be written" in error.message and "CA bundle" not in error.message


def test_tcp_that_never_answers(new_rest: NewRest) -> None:
    """An address without any answer uses up the time limit, and no more."""
    with SilentAddress() as silent, Stopwatch() as watch:
        error = failed(new_rest(), f"http://127.0.0.1:{silent.port}/", SHORT)
    assert "timeout: no answer from 127.0.0.1" in error.message
    assert SHORT <= watch.seconds < SOON


def test_silence_leaves_an_address_to_ask_and_an_answer_none(serve: Serve, new_rest: NewRest) -> None:
    """If a jwt cannot be renewed for lack of a network, the error says so, like the error for a silent WebSocket."""
    with SilentAddress() as silent:
        probe = host_probe_for(failed(new_rest(), f"http://127.0.0.1:{silent.port}/", SHORT))
        assert probe is not None and not probe.is_back()
        probe.close()
    assert host_probe_for(failed(new_rest(), f"http://127.0.0.1:{unused_port()}/")) is None
    assert host_probe_for(failed(new_rest(), http(serve(Peer.wait_for_end)), SHORT)) is None


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_the_addresses_of_a_name_have_their_turns(
    serve: Serve, new_rest: NewRest, authority: Authority, tls: bool
) -> None:
    """HTTP gets them from the WebSocket's source. One refuses, one is silent, and the third is the server's."""
    server = serve(Asked(), authority.server("three.example") if tls else None)
    asked: List[Tuple[str, int]] = []

    with SilentAddress() as silent:

        def addresses_of(host: str, port: int) -> List[Address]:
            asked.append((host, port))
            ports = (unused_port(), silent.port, server.port)
            return [Address(socket.AF_INET, socket.SOCK_STREAM, 6, ("127.0.0.1", each)) for each in ports]

        url = http(server, "three.example", tls)
        with Stopwatch() as watch:
            assert get(new_rest(addresses_of=addresses_of), url, timeout=30) == {"ok": 1}
    assert watch.seconds < SOON
    assert asked == [("three.example", server.port)]


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_server_that_never_answers(serve: Serve, new_rest: NewRest, tls: bool) -> None:
    """A TLS handshake or an answer that never arrives uses up the time limit, and no more."""
    url = http(serve(Peer.wait_for_end), tls=tls)
    with Stopwatch() as watch:
        assert "timeout: no answer from 127.0.0.1" in failed(new_rest(), url, SHORT).message
    assert SHORT <= watch.seconds < SOON


HEAD = b"HTTP/1.1 200 ok\r\n"
DRIPS: Dict[str, Tuple[bytes, bytes]] = {
    "status line": (b"", b"HTTP/1.1 200 " + b"x" * 5000),
    "headers": (HEAD, b"X: " + b"y" * 5000),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 300),
    "body": (HEAD + b"Content-Length: 5000\r\n\r\n", b" " * 5000),
    "body to the end": (HEAD + b"Connection: close\r\n\r\n", b" " * 5000),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1000),
}


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("start, rest_of_it", DRIPS.values(), ids=DRIPS.keys())
def test_an_answer_that_drips(
    serve: Serve, new_rest: NewRest, authority: Authority, start: bytes, rest_of_it: bytes, tls: bool
) -> None:
    """An answer that drips, in any part of it, gets the time limit once, not once for each drop."""

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.socket.sendall(start)
        drip(peer, (b"%c" % byte for byte in rest_of_it))

    url = http(serve(script, authority.server() if tls else None), tls=tls)
    with Stopwatch() as watch:
        assert "timeout" in failed(new_rest(), url, SHORT).message
    assert SHORT <= watch.seconds < SOON


def test_the_limit_is_for_each_answer(serve: Serve, new_rest: NewRest) -> None:
    """Each call on one kept connection gets its whole time."""
    never = threading.Event()

    def script(peer: Peer) -> None:
        for _ in range(4):
            peer.read_head()
            never.wait(0.3)
            peer.socket.sendall(OK)

    rest, url = new_rest(), http(serve(script))
    assert [get(rest, url, 1) for _ in range(4)] == [{"ok": 1}] * 4


CUT: Dict[str, Tuple[bytes, str]] = {
    "nothing": (b"", "reset the connection"),
    "half a status line": (b"HTTP/1.", "sent an answer that is not HTTP"),
    "half a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", "before its answer was complete"),
    "no last chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "before its answer was complete"),
    "no size of a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n", "is not HTTP"),
    "a negative size of a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nab\r\n", "is not HTTP"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", "is not HTTP"),
    "a long header": (HEAD + b"X: " + b"y" * 70_000 + b"\r\n\r\n", "is not HTTP"),
    "many headers": (HEAD + b"X: y\r\n" * 200 + b"\r\n", "is not HTTP"),
    "two lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "is not HTTP"),
}


@pytest.mark.parametrize("reply, why", CUT.values(), ids=CUT.keys())
def test_an_answer_that_is_broken(serve: Serve, new_rest: NewRest, reply: bytes, why: str) -> None:
    """An answer that ends too early, or is not HTTP, is a failure of the network. The text says which.

    The traceback shows no frame of a library.
    """
    error = failed(new_rest(), http(serve(Asked(reply, keep=False))), method="POST")
    assert "127.0.0.1" in error.message and why in error.message
    assert error.__cause__.__traceback__ is None and error.__cause__.__suppress_context__


def test_a_body_that_can_not_be_unpacked(serve: Serve, new_rest: NewRest) -> None:
    """The server answered in HTTP, but not with the protocol's JSON: a broken body with the encoding gzip."""
    reply = HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"
    with pytest.raises(CometChatException) as caught:
        get(new_rest(), http(serve(Asked(reply, keep=False))))
    assert caught.value.code == "ERR_BAD_RESPONSE"
    assert isinstance(caught.value.__cause__, requests.exceptions.ContentDecodingError)


def test_half_a_body(serve: Serve, new_rest: NewRest) -> None:
    """A body that ends before its announced length is an error, of the network if urllib3 notices it (from 2.0 on)."""
    url = http(serve(Asked(HEAD + b"Content-Length: 100\r\n\r\n{", keep=False)))
    seen = int(requests.packages.urllib3.__version__.split(".")[0]) >= 2
    failed(new_rest(), url, code="FAILED_TO_FETCH" if seen else "ERR_BAD_RESPONSE")


# Answers outside of the protocol.


WRONG: Dict[str, Tuple[bytes, str]] = {
    "HTML": (b"<html>secret-of-the-page</html>", "text that is not JSON"),
    "no UTF-8": (b'{"data": "\xff"}', "text that is not JSON"),
    "half": (b'{"data": {', "text that is not JSON"),
    "deep": (b"[" * 100_000, "text that is not JSON"),
    "empty": (b"", "an empty body"),
    "white space": (b" \r\n", "an empty body"),
    "list": (b"[]", "JSON of another shape"),
    "null": (b"null", "JSON of another shape"),
    "no data": (b"{}", "JSON of another shape"),
    "data of another type": (b'{"data": "x"}', "JSON of another shape"),
    "data null": (b'{"data": null}', "JSON of another shape"),
    "error of another type": (b'{"error": "secret-of-the-page"}', "JSON of another shape"),
    "empty error": (b'{"error": {}}', "JSON of another shape"),
}


@pytest.mark.parametrize("body, what", WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("status", [200, 404])
def test_a_wrong_answer(serve: Serve, new_rest: NewRest, status: int, body: bytes, what: str) -> None:
    """Anything but the envelope is ERR_BAD_RESPONSE with host and status, and without its text."""
    error = failed(new_rest(), http(serve(Asked(answer(status, body)))), code="ERR_BAD_RESPONSE")
    assert f"answered HTTP {status} with {what}, not" in error.message
    assert "127.0.0.1:" in error.message and error.details == f"HTTP {status}"
    assert "secret-of-the-page" not in whole_text(error)


def test_data_with_an_error_status(serve: Serve, new_rest: NewRest) -> None:
    """An answer of status 500 is an error, also with data."""
    url = http(serve(Asked(answer(500, b'{"data": {"ok": 1}}', {"Retry-After": "4"}))))
    assert failed(new_rest(), url, code="ERR_BAD_RESPONSE").retry_after == 4.0


def test_a_body_of_more_than_16_mib(serve: Serve, new_rest: NewRest) -> None:
    """An endless body is cut off at 16 MiB, long before the time limit."""

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.socket.sendall(HEAD + b"Connection: close\r\n\r\n")
        drip(peer, (b" " * 2**20 for _ in range(1000)), pause=0)

    with Stopwatch() as watch:
        error = failed(new_rest(), http(serve(script)), 50, "ERR_BAD_RESPONSE")
    assert f"more than {MAX_BODY} bytes" in error.message and watch.seconds < 20


def test_a_body_that_unpacks_to_more(serve: Serve, new_rest: NewRest) -> None:
    """The limit is for the unpacked content of gzip."""
    body = gzip.compress(b'{"data": {"x": "' + b" " * MAX_BODY + b'"}}')
    url = http(serve(Asked(answer(200, body, {"Content-Encoding": "gzip"}))))
    assert f"more than {MAX_BODY} bytes" in failed(new_rest(), url, code="ERR_BAD_RESPONSE").message


# The server's own errors.


def test_too_many_requests(serve: Serve, new_rest: NewRest) -> None:
    """429 is a RateLimitException with the server's number of seconds, in each form.

    Its code is the server's own, or ERR_TOO_MANY_REQUESTS.
    """
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    date = format_datetime(now + timedelta(seconds=40), usegmt=True)
    body = b'{"error": {"code": "ERR_X", "message": "slowly"}}'
    none = "ERR_TOO_MANY_REQUESTS"
    expected: List[Tuple[Optional[str], bytes, Optional[float], str]] = [
        ("15", body, 15.0, "ERR_X"),
        ("15", b'{"error": {"message": "slowly"}}', 15.0, none),
        (date, b"<html>", 40.0, none),
        ("soon", b'{"error": "x"}', None, none),
        (None, b"", None, none),
    ]
    for header, content, seconds, code in expected:
        headers = {} if header is None else {"Retry-After": header}
        url = http(serve(Asked(answer(429, content, headers))))
        error = failed(new_rest(wall_clock=now.timestamp), url, code=code)
        assert isinstance(error, RateLimitException)
        assert (error.retry_after, error.http_status) == (seconds, 429)


def test_the_reset_of_the_rate_limit(serve: Serve, new_rest: NewRest) -> None:
    """Without a usable Retry-After, 429 gives the end of the limit by the server's own clock. Other statuses do not."""
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    reset, date = f"{now.timestamp() + 25:.0f}", format_datetime(now, usegmt=True)
    later = format_datetime(now + timedelta(seconds=40), usegmt=True)
    expected: List[Tuple[int, Dict[str, str], Optional[float]]] = [
        (429, {"X-Rate-Limit-Reset": reset, "Date": date}, 25.0),
        (429, {"X-Rate-Limit-Reset": reset, "Date": date, "Retry-After": "7"}, 7.0),
        (429, {"X-Rate-Limit-Reset": reset, "Date": date, "Retry-After": "soon"}, 25.0),
        (429, {"X-Rate-Limit-Reset": reset, "Date": date, "Retry-After": later}, 40.0),
        (503, {"Date": date, "Retry-After": later}, 40.0),
        (429, {"X-Rate-Limit-Reset": reset}, 15.0),  # by this machine's clock, which is 10 s ahead
        (429, {"X-Rate-Limit-Reset": "0", "Date": date}, 0.0),
        (429, {"X-Rate-Limit-Reset": "9" * 30, "Date": date}, 3600.0),
        (429, {"X-Rate-Limit-Reset": "soon", "Date": date}, None),
        (503, {"X-Rate-Limit-Reset": reset, "Date": date}, None),
    ]
    for status, headers, seconds in expected:
        url = http(serve(Asked(answer(status, b'{"error": {"code": "ERR_X"}}', headers))))
        rest = new_rest(wall_clock=lambda: now.timestamp() + 10)
        assert failed(rest, url, code="ERR_X").retry_after == seconds


def test_the_code_of_a_rate_limit_counts_with_any_status(serve: Serve, new_rest: NewRest) -> None:
    """ERR_TOO_MANY_REQUESTS with another status is a rate limit too, with the same headers."""
    body = b'{"error": {"code": "ERR_TOO_MANY_REQUESTS"}}'
    date = "Thu, 01 Jan 2026 00:00:00 GMT"
    reset = str(int(datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp()) + 25)
    for status in (200, 400, 403, 503):
        url = http(serve(Asked(answer(status, body, {"X-Rate-Limit-Reset": reset, "Date": date}))))
        error = failed(new_rest(), url, code="ERR_TOO_MANY_REQUESTS")
        assert isinstance(error, RateLimitException)
        assert (error.retry_after, error.http_status) == (25.0, status)


def test_the_rest_of_the_rate_limit(serve: Serve, new_rest: NewRest) -> None:
    """The newest X-Rate-Limit-Remaining is known, also from errors. A wrong value changes nothing."""
    replies = [answer(200, b'{"data": {}}', {"X-Rate-Limit-Remaining": text}) for text in ("698", "x", "-1")]
    replies.append(answer(404, b"{}", {"X-Rate-Limit-Remaining": "697"}))
    rest, url = new_rest(), http(serve(Asked(*replies)))
    assert rest.rate_limit_remaining is None
    seen = []
    for _ in replies[:3]:
        get(rest, url)
        seen.append(rest.rate_limit_remaining)
    failed(rest, url, code="ERR_BAD_RESPONSE")
    assert [*seen, rest.rate_limit_remaining] == [698, 698, 698, 697]


def test_the_service_s_time(serve: Serve, new_rest: NewRest) -> None:
    """The time continues from the Date of the newest answer, by this machine's monotonic clock.

    Without a date it is None.
    """
    date = {"Date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    replies = [answer(200, b'{"data": {}}', headers) for headers in (date, {"Date": "x"}, date)]
    now = 100.0
    rest, url = new_rest(clock=lambda: now), http(serve(Asked(*replies)))
    assert rest.service_time is None
    get(rest, url)
    now += 5
    assert rest.service_time == datetime(2026, 10, 21, 7, 28, 5, tzinfo=timezone.utc).timestamp()
    get(rest, url)
    assert rest.service_time is None


ERRORS = [
    (400, "ERR_BAD_REQUEST", CometChatException),
    (404, "ERR_UID_NOT_FOUND", CometChatException),
    (401, "ERR_THEIRS", AuthenticationException),
    (403, "ERR_PLAN_RESTRICTION", CometChatException),
    (403, "AUTH_ERR_NO_ACCESS", AuthenticationException),
    (400, "AUTH_ERR_AUTH_TOKEN_NOT_FOUND", AuthenticationException),
    (404, "ERR_AUTH_TOKEN_NOT_FOUND", AuthenticationException),
    (400, "ERR_AUTHTOKEN_UNAVAILABLE", AuthenticationException),
    (500, "AUTH_ERR_EMPTY_APPID", AuthenticationException),
    (408, "ERR_THEIRS", ConnectionException),
    (500, "ERR_THEIRS", ConnectionException),
    (503, "ERR_THEIRS", ConnectionException),
    (200, "ERR_THEIRS", CometChatException),
    (400, "ERR_TOO_MANY_REQUESTS", RateLimitException),
]


@pytest.mark.parametrize("status, code, cls", ERRORS)
def test_the_servers_error(serve: Serve, new_rest: NewRest, status: int, code: str, cls: type) -> None:
    """The server's code, message, name and details are kept, in a class that fits the code and then the status."""
    fields = {"code": code, "message": "Their words.", "name": "THEIR_NAME", "details": "more"}
    body = json.dumps({"error": fields}).encode()
    error = failed(new_rest(), http(serve(Asked(answer(status, body, {"Retry-After": "9"})))), code=code)
    assert type(error) is cls
    assert (error.message, error.name, error.details) == ("Their words.", "THEIR_NAME", "more")
    assert (error.retry_after, error.http_status) == (9.0, status)


DETAILS: List[Tuple[Dict[str, Any], Optional[str]]] = [
    ({"details": {"uid": ["is too long.", "has spaces."], "name": "is missing."}},
     "uid: is too long. has spaces.; name: is missing."),
    ({"details": {"limit": {"max": 1000}}}, 'limit: {"max": 1000}'),
    ({"details": {}, "devMessage": "look here"}, "look here"),
    ({"devMessage": "look here"}, "look here"),
    ({"devMessage": "no"}, None),
    ({"details": "more", "devMessage": "look here"}, "more"),
    ({"details": ["a", 1]}, '["a", 1]'),
    ({}, None),
]


@pytest.mark.parametrize("fields, details", DETAILS)
def test_details_of_many_shapes(
    serve: Serve, new_rest: NewRest, fields: Dict[str, Any], details: Optional[str]
) -> None:
    """An object of details becomes one readable text. The devMessage replaces it if it says more."""
    body = json.dumps({"error": {"code": "ERR_BAD_REQUEST", "message": "no", **fields}}).encode()
    assert failed(new_rest(), http(serve(Asked(answer(400, body)))), code="ERR_BAD_REQUEST").details == details


def test_the_servers_text_is_escaped(serve: Serve, new_rest: NewRest) -> None:
    """Line breaks, ANSI sequences and bidi marks of a server do not reach a log or a terminal."""
    nasty = "a\nERROR faked\r\x1b[2J\u202egnp.exe\u2028b"
    fields = {"code": nasty, "message": nasty, "name": nasty, "details": {nasty: [nasty]}}
    shown = r"a\nERROR faked\r\x1b[2J\u202egnp.exe\u2028b"
    error = failed(new_rest(), http(serve(Asked(answer(400, json.dumps({"error": fields}).encode())))), code=shown)
    assert (error.message, error.name, error.details) == (shown, shown, f"{shown}: {shown}")


def test_an_error_without_anything(serve: Serve, new_rest: NewRest) -> None:
    """An error status without a body is an error for a DELETE too."""
    failed(new_rest(), http(serve(Asked(answer(502)))), code="ERR_BAD_RESPONSE", method="DELETE")


def test_an_error_without_words(serve: Serve, new_rest: NewRest) -> None:
    """If the server sends only a code, the message is the status."""
    url = http(serve(Asked(answer(400, b'{"error": {"code": "AUTH_ERR_AUTH_TOKEN_NOT_FOUND"}}'))))
    assert failed(new_rest(), url, code="AUTH_ERR_AUTH_TOKEN_NOT_FOUND").message == "HTTP status 400"


@pytest.mark.parametrize("reply", [b"HTTP/1.1 204 No Content\r\n\r\n", answer(200), answer(202, b" \r\n")])
def test_an_empty_answer_to_a_delete(serve: Serve, new_rest: NewRest, reply: bytes) -> None:
    """An empty answer is a success for a DELETE, and an error for any other call."""
    rest, url = new_rest(), http(serve(Asked(reply)))
    assert get(rest, url, method="DELETE") == {}
    assert get(rest, url, method="DELETE", expect=list) == []
    failed(rest, url, code="ERR_BAD_RESPONSE")


def test_a_body_that_is_nested_too_deep(new_rest: NewRest) -> None:
    """Such a body is a wrong argument, and nothing is sent."""
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError) as caught:
        get(new_rest(), f"http://127.0.0.1:{unused_port()}/", method="POST", body={"data": deep})
    assert isinstance(caught.value, CometChatException) and "nested" in caught.value.message
    while deep:  # taken apart by hand, since not every Python does it without recursion
        deep = deep.pop()


def test_a_long_integer(serve: Serve, new_rest: NewRest) -> None:
    """One integer of 5,000 digits does not make an answer unreadable."""
    url = http(serve(Asked(answer(200, b'{"data": {"ok": 1, "n": ' + b"9" * 5000 + b"}}"))))
    assert get(new_rest(), url) == {"ok": 1, "n": float("inf")}


def test_an_error_of_odd_types(serve: Serve, new_rest: NewRest) -> None:
    """Fields that are not texts become texts, also deeply nested ones. Without a code the status is one."""
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    fields = {"message": {"en": "no"}, "details": deep, "name": 7}
    url = http(serve(Asked(answer(400, json.dumps({"error": fields}).encode()))))
    error = failed(new_rest(), url, code="HTTP_400")
    assert (error.message, error.name) == ('{"en": "no"}', "7")
    assert error.details is not None and error.details.startswith("[[[")


# Kept connections.


def test_a_connection_is_reused(serve: Serve, new_rest: NewRest) -> None:
    """Successive calls use one connection."""
    script = Asked()
    rest, url = new_rest(), http(serve(script))
    for _ in range(3):
        get(rest, url)
    assert (script.connections, len(script.heads)) == (1, 3)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_kept_connection_that_was_closed(serve: Serve, new_rest: NewRest, method: str) -> None:
    """A kept connection whose end has arrived before the next call is not used, also not for a POST."""
    ended = Count()

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.socket.sendall(OK)
        socket.socket.shutdown(peer.socket, socket.SHUT_RDWR)
        ended.up()

    rest, url = new_rest(), http(serve(script))
    for number in range(1, 4):
        assert get(rest, url, method=method) == {"ok": 1}
        ended.wait_for(number)


def test_forgotten_connections_are_ended_and_not_used(serve: Serve, new_rest: NewRest) -> None:
    """The next call makes a new connection, and the server sees the end of the old one."""
    ended = Count()
    asked = Asked()

    def script(peer: Peer) -> None:
        try:
            asked(peer)
        finally:
            ended.up()

    rest, url = new_rest(), http(serve(script))
    for number in range(1, 4):
        get(rest, url)
        get(rest, url)
        assert asked.connections == number
        rest.forget_connections()
        ended.wait_for(number)
    rest.forget_connections()
    assert len(asked.heads) == 6


@pytest.mark.parametrize("closed_too", [False, True])
def test_forgetting_cuts_no_running_call(serve: Serve, new_rest: NewRest, closed_too: bool) -> None:
    """The call gets its answer, and then its connection ends, also if the transport was closed meanwhile."""
    came, go_on, ended = Count(), threading.Event(), Count()

    def script(peer: Peer) -> None:
        peer.read_head()
        if came.up() == 1:
            assert go_on.wait(DEADLINE)
        peer.socket.sendall(OK)
        peer.wait_for_end()
        ended.up()

    rest, url = new_rest(), http(serve(script))
    slow = in_thread(lambda: get(rest, url))
    came.wait_for(1)
    rest.forget_connections()
    assert get(rest, url) == {"ok": 1}
    assert came.value == 2 and ended.value == 0
    rest.forget_connections()
    ended.wait_for(1)
    if closed_too:
        rest.close()
    go_on.set()
    assert finished(*slow) == {"ok": 1}
    ended.wait_for(2)


def test_calls_that_begin_while_connections_are_forgotten(serve: Serve, new_rest: NewRest) -> None:
    """Four threads call without a pause, and a fifth releases connections without a pause.

    No call fails, not even a POST.
    """
    rest, url, stop = new_rest(), http(serve(Asked())), threading.Event()

    def calls() -> int:
        for number in range(1, 101):
            assert get(rest, url, method="POST" if number % 2 else "GET") == {"ok": 1}
        return number

    def forget() -> None:
        while not stop.is_set():
            rest.forget_connections()

    forgetting = in_thread(forget)
    try:
        calling = [in_thread(calls) for _ in range(4)]
        assert [finished(*each) for each in calling] == [100] * 4
    finally:
        stop.set()
        finished(*forgetting)


def test_clients_share_their_connections(serve: Serve, new_rest: NewRest) -> None:
    """Three clients use one connection. It ends when the last client closes, or when one of them forgets it."""
    ended, asked = Count(), Asked()

    def script(peer: Peer) -> None:
        try:
            asked(peer)
        finally:
            ended.up()

    shared, url = shared_connections(None, None, look_up), http(serve(script))
    assert shared_connections(None, None, look_up) is shared
    assert shared_connections("/other/bundle.pem", None, look_up) is not shared
    first, second, third = (new_rest(connections=shared) for _ in range(3))
    for rest in (first, second, third, first):
        assert get(rest, url) == {"ok": 1}
    assert (asked.connections, len(asked.heads)) == (1, 4)
    first.close()
    assert get(second, url) == {"ok": 1} and asked.connections == 1
    third.forget_connections()
    ended.wait_for(1)
    assert get(second, url) == get(third, url) == {"ok": 1} and asked.connections == 2
    second.close()
    assert get(third, url) == {"ok": 1} and (asked.connections, ended.value) == (2, 1)
    third.close()
    ended.wait_for(2)


def test_a_closed_client_leaves_during_its_call(serve: Serve, new_rest: NewRest) -> None:
    """The connection of the last client's call ends with the call, if the client was closed meanwhile."""
    came, go_on, ended = Count(), threading.Event(), Count()

    def script(peer: Peer) -> None:
        peer.read_head()
        came.up()
        assert go_on.wait(DEADLINE)
        peer.socket.sendall(OK)
        peer.wait_for_end()
        ended.up()

    rest, url = new_rest(connections=SharedConnections(Way(look_up))), http(serve(script))
    slow = in_thread(lambda: get(rest, url))
    came.wait_for(1)
    rest.close()
    go_on.set()
    assert finished(*slow) == {"ok": 1}
    ended.wait_for(1)


class LockWithHook:
    """A lock that calls a function once, when it is released for the first time."""

    def __init__(self, hook: Callable[[], object]) -> None:
        self._lock = threading.RLock()
        self._hooks = [hook]

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if self._hooks:
            self._hooks.pop()()


def test_a_call_that_begins_while_the_last_client_leaves() -> None:
    """Its connections are closed at its end, and not before."""
    shared, calls = SharedConnections(Way(look_up)), contextlib.ExitStack()
    with shared.lent(1, None):
        pass
    pools: List[Any] = []

    def begin() -> None:
        connections: Any = calls.enter_context(shared.lent(2, None))
        pools.append(connections.poolmanager.connection_from_host("127.0.0.1", 9))

    shared._lock = LockWithHook(begin)  # type: ignore[assignment]
    shared.leave(1)
    assert pools[0].pool is not None
    calls.close()
    assert pools[0].pool is None


def test_clients_with_many_proxies() -> None:
    """The connections of further proxies replace all that are not in use."""
    shared, proxies = SharedConnections(Way(look_up)), [read_proxy(f"http://proxy:{port}") for port in range(1, 21)]
    with shared.lent(1, proxies[0]) as busy:
        for proxy in proxies:
            with shared.lent(1, proxy):
                assert len(shared._current) <= 16
    with shared.lent(1, proxies[0]) as later:
        assert later is not busy


def test_a_full_pool_closes_its_oldest_connection(serve: Serve, new_rest: NewRest) -> None:
    """More calls at the same time than kept connections: urllib3 would log a warning for each."""
    calls, ended = _POOL + 3, Count()
    everyone = threading.Barrier(calls)

    def script(peer: Peer) -> None:
        try:
            peer.read_head()
            everyone.wait(DEADLINE)
            peer.socket.sendall(OK)
            peer.wait_for_end()
        finally:
            ended.up()

    rest, url = new_rest(), http(serve(script))
    calling = [in_thread(lambda: get(rest, url)) for _ in range(calls)]
    assert [finished(*each) for each in calling] == [{"ok": 1}] * calls
    ended.wait_for(3)


def test_the_child_of_a_fork_uses_new_connections(serve: Serve, new_rest: NewRest) -> None:
    """The parent's connection stays open, and the child never uses it."""
    asked = Asked()
    shared, url = SharedConnections(Way(look_up)), http(serve(asked))
    rest = new_rest(connections=shared)
    assert get(rest, url) == {"ok": 1}
    before = shared._current
    shared.reset_after_fork()
    assert get(rest, url) == {"ok": 1} and asked.connections == 2
    assert before in shared._of_parent and before is not shared._current
    before[None].close()


def test_a_websocket_that_is_lost_makes_http_forget(
    sandbox: Sandbox, party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP forgets its connections before any listener is notified, and could call.

    The intended end of a connection is not a loss.
    """
    statuses: List[str] = []
    client, heard = party.connected()
    forget = RequestsRest.forget_connections

    def forget_connections(rest: RequestsRest) -> None:
        statuses.append(str(client.get_connection_status()))
        forget(rest)

    monkeypatch.setattr(RequestsRest, "forget_connections", forget_connections)
    sandbox.drop_connections()
    assert eventually(lambda: heard.names.count("on_connected") == 2)
    client.disconnect()
    assert statuses == ["connected"]


class ClosesOnRequest:
    """The script of a server that ends a connection at a request on it, except on the first ``good`` ones."""

    def __init__(self, good: int, then: Callable[[Peer], object] = lambda peer: None) -> None:
        self.methods: List[str] = []
        self.connections = 0
        self._good = good
        self._then = then

    def __call__(self, peer: Peer) -> None:
        self.connections += 1
        good = self._good if self.connections == 1 else 0
        while True:
            self.methods.append(peer.read_head().split(" ")[0])
            if len(self.methods) > good:
                self._then(peer)
                return
            peer.socket.sendall(OK)


@pytest.mark.parametrize("through_proxy", [False, True], ids=["direct", "proxy"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_kept_connection_that_ends_meanwhile(
    serve: Serve, new_rest: NewRest, method: str, through_proxy: bool
) -> None:
    """If a kept connection ends just at the call, the call is made once more, on a new connection."""
    script = ClosesOnRequest(1)

    def answers_again(peer: Peer) -> None:
        if script.connections == 0:
            script(peer)
        else:
            script.methods.append(peer.read_head().split(" ")[0])
            peer.socket.sendall(OK)

    rest, url = new_rest(), http(serve(answers_again))
    if through_proxy:
        rest, url = new_rest(proxies={"http": url}), "http://unreachable.example/v3.0/me"
    assert get(rest, url) == {"ok": 1}
    assert get(rest, url, method=method) == {"ok": 1}
    assert script.methods == ["GET", method, method]


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_kept_connection_that_was_reset_unnoticed(
    serve: Serve, new_rest: NewRest, authority: Authority, monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    """If the reset comes between the check of a kept connection and the call, the call is made once more."""
    answered, ended = threading.Event(), Count()

    def script(peer: Peer) -> None:
        again = answered.is_set()
        peer.read_head()
        peer.socket.sendall(OK)
        if not again:
            assert answered.wait(DEADLINE)
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(peer.socket.detach())
            ended.up()

    rest, url = new_rest(), http(serve(script, authority.server() if tls else None), tls=tls)
    assert get(rest, url) == {"ok": 1}
    answered.set()
    ended.wait_for(1)
    monkeypatch.setattr("urllib3.connectionpool.is_connection_dropped", lambda connection: False)
    assert get(rest, url) == {"ok": 1}


class Clock:
    """A clock that the test advances."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_connection_that_was_idle_for_long_is_not_used(serve: Serve, new_rest: NewRest) -> None:
    """After 30 s (5 s for calls that cannot be repeated) it is not used, and ends."""
    script, clock = Asked(), Clock()
    rest, url = new_rest(clock=clock), http(serve(script))
    connections = []
    for method, idle in [("GET", 0.0), ("GET", 29.9), ("GET", 30.1), ("POST", 4.9), ("POST", 5.1), ("GET", 5.1)]:
        clock.now += idle
        get(rest, url, method=method)
        connections.append(script.connections)
    assert connections == [1, 1, 2, 2, 3, 3]


REPEATABLE: List[Tuple[str, str, Optional[Dict[str, Any]]]] = [
    ("GET", "me", None),
    ("PUT", "me", {"x": 1}),
    ("DELETE", "me", None),
    ("POST", "messages", {"muid": "m1", "text": "x"}),
    ("POST", "users/u1/auth_tokens", {}),
]


@pytest.mark.parametrize("method, path, body", REPEATABLE)
@pytest.mark.parametrize("end", ["resets", "hangs"])
def test_a_repeatable_call_on_a_dead_connection(
    serve: Serve, new_rest: NewRest, method: str, path: str, body: Optional[Dict[str, Any]], end: str
) -> None:
    """The call is repeated on a new connection, also if the dead one is only silent, within the time of one call."""
    script, clock = ClosesOnRequest(2, Peer.wait_for_end if end == "hangs" else lambda peer: None), Clock()
    good = Asked()

    def serving(peer: Peer) -> None:
        (script if script.connections < 1 else good)(peer)

    rest, url = new_rest(clock=clock), http(serve(serving)).replace("me", path)
    get(rest, url)
    get(rest, url)
    clock.now += 10.0
    with Stopwatch() as watch:
        assert get(rest, url, 4 if end == "resets" else 2, method=method, body=body) == {"ok": 1}
    assert script.methods == ["GET", "GET", method] and good.methods == [method]
    assert (1.0 <= watch.seconds < 2.0) if end == "hangs" else watch.seconds < SOON


def test_nothing_is_repeated_after_close(serve: Serve, new_rest: NewRest) -> None:
    """A call whose connection ends after close() fails, and makes no new connection."""
    rest = new_rest()
    script = ClosesOnRequest(1, lambda peer: rest.close())
    url = http(serve(script))
    get(rest, url)
    error_of(lambda: get(rest, url), "ERR_CLIENT_CLOSED")
    assert (script.methods, script.connections) == (["GET", "GET"], 1)


def test_a_slow_server_is_not_asked_twice(serve: Serve, new_rest: NewRest) -> None:
    """A connection that was in use just now is alive. Its server is slow, and the call gets its whole time."""
    never, methods = threading.Event(), []

    def script(peer: Peer) -> None:
        while True:
            methods.append(peer.read_head().split(" ")[0])
            never.wait(0.6 if len(methods) == 2 else 0)
            peer.socket.sendall(OK)

    rest, url = new_rest(clock=Clock()), http(serve(script))
    assert [get(rest, url, 1) for _ in range(2)] == [{"ok": 1}] * 2
    assert len(methods) == 2


class DeadTls(ssl.SSLError):
    """Raises a plain SSLError of the system's library, like OpenSSL 3.5 after a reset."""

    library = "SYS"
    reason = None  # type: ignore[assignment]


def test_a_stale_connection_of_openssl_3_5(
    serve: Serve, new_rest: NewRest, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL's plain SSLError is the end of the connection: the call is made once more, and the error says reset."""
    rest, url = new_rest(), http(serve(Asked(), authority.server()), tls=True)
    get(rest, url)
    on_pypy = hasattr(ssl.SSLSocket, "_send_with_length")
    name = "_send_with_length" if on_pypy else "send"  # what sendall() calls
    original, left = getattr(ssl.SSLSocket, name), [1]

    def send(*args: Any, **more: Any) -> Any:
        if left:
            left.pop()
            raise DeadTls(1, "[SYS] unknown error (_ssl.c:2580)")
        return original(*args, **more)

    monkeypatch.setattr(ssl.SSLSocket, name, send)
    assert get(rest, url) == {"ok": 1} and left == []
    left.append(1)
    assert "the peer closed it" in failed(rest, url, method="POST").message


def test_a_patched_library_is_used_for_as_long_as_it_is_patched(
    serve: Serve, new_rest: NewRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recorder of HTTP replaces urllib3's class. Afterwards all works again, for new and old clients."""
    original = urllib3.connectionpool.HTTPConnectionPool.ConnectionCls
    url = http(serve(Asked()))

    class Recorder(original):  # type: ignore[misc, valid-type]
        def connect(self) -> None:
            raise AssertionError("not recorded")

        def request(self, *args: Any, **more: Any) -> None:
            raise AssertionError("not recorded")

    before = new_rest()
    get(before, url)
    before.forget_connections()
    with monkeypatch.context() as patch:
        patch.setattr(urllib3.connectionpool.HTTPConnectionPool, "ConnectionCls", Recorder)
        during = new_rest()
        for rest in (before, during):
            failed(rest, url)
    for rest in (before, during, new_rest()):
        rest.forget_connections()
        assert get(rest, url) == {"ok": 1}


def test_a_post_is_not_sent_twice(serve: Serve, new_rest: NewRest) -> None:
    """A POST whose connection ends without an answer may have arrived. It is not repeated, and its error says so."""
    script = ClosesOnRequest(1)
    rest, url = new_rest(), http(serve(script))
    get(rest, url)
    error = failed(rest, url, method="POST", body={"muid": "", "text": "a"})
    assert "reset the connection" in error.message and script.methods == ["GET", "POST"]


def test_one_retry_and_no_more(serve: Serve, new_rest: NewRest) -> None:
    """A server that ends every connection gets two requests."""
    script = ClosesOnRequest(0)
    failed(new_rest(), http(serve(script)))
    assert script.methods == ["GET", "GET"]


def test_the_second_failure_is_reported(new_rest: NewRest, serve: Serve) -> None:
    """If the second attempt fails for another reason than the first, the error has the second reason."""
    servers: List[RawServer] = []
    rest = new_rest()

    def script(peer: Peer) -> None:
        peer.read_head()
        servers[0]._listener.shutdown(socket.SHUT_RDWR)
        servers[0]._listener.close()

    servers.append(serve(script))
    assert "connection refused by" in failed(rest, http(servers[0])).message


def test_a_timeout_is_not_retried(serve: Serve, new_rest: NewRest) -> None:
    """A call that reached its time limit is not made again."""
    script = ClosesOnRequest(0, Peer.wait_for_end)
    failed(new_rest(), http(serve(script)), SHORT)
    assert script.methods == ["GET"]


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_calls_of_several_threads(serve: Serve, new_rest: NewRest, authority: Authority, tls: bool) -> None:
    """Each of eight threads makes ten calls, and gets its own answers. Connections are reused."""
    connections = Count()

    def script(peer: Peer) -> None:
        connections.up()
        while True:
            head = peer.read_head()
            body = peer.read(int(headers_of(head)["content-length"]))
            peer.socket.sendall(answer(200, b'{"data": ' + body + b"}"))

    rest, url = new_rest(), http(serve(script, authority.server() if tls else None), tls=tls)

    def calls(thread: int) -> bool:
        bodies = [{"number": thread * 10 + number} for number in range(10)]
        return [get(rest, url, method="PUT", body=body) for body in bodies] == bodies

    threads = [in_thread(lambda thread=thread: calls(thread)) for thread in range(8)]
    assert [finished(*each) for each in threads] == [True] * 8
    assert connections.value < 80


# Proxies.


@pytest.mark.parametrize("given", ["settings", "environment"])
def test_https_through_a_proxy(
    serve: Serve, new_rest: NewRest, authority: Authority, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """https goes through the proxy by CONNECT, with user and password, over one tunnel for several calls."""
    script, proxy = Asked(), ConnectProxy()
    server = serve(script, authority.server())
    address = f"http://us%40er:pass@127.0.0.1:{serve(proxy).port}"
    if given == "environment":
        monkeypatch.setenv("https_proxy", address)
    rest = new_rest(proxies={"https": address} if given == "settings" else None)
    assert [get(rest, http(server, tls=True)) for _ in range(2)] == [{"ok": 1}] * 2
    assert proxy.targets == [f"127.0.0.1:{server.port}"]
    assert proxy.header("Proxy-Authorization") == "Basic dXNAZXI6cGFzcw=="  # us@er:pass
    assert all("proxy-authorization" not in headers_of(head) for head in script.heads)


def test_through_a_proxy_of_https(serve: Serve, new_rest: NewRest, authority: Authority) -> None:
    """A proxy over TLS makes a tunnel, and one connection is kept."""
    script = Asked()
    server, proxy = serve(script, authority.server()), serve(ConnectProxy(), authority.server())
    rest = new_rest(proxies={"all": f"https://user:pass@127.0.0.1:{proxy.port}"})
    assert [get(rest, http(server, tls=True)) for _ in range(2)] == [{"ok": 1}] * 2
    assert script.connections == 1


def test_a_proxy_of_https_that_answers_twice(serve: Serve, new_rest: NewRest, authority: Authority) -> None:
    """Its interim answers are skipped, like those of a proxy without TLS."""
    proxy = ConnectProxy()

    def script(peer: Peer) -> None:
        peer.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        proxy(peer)

    server = serve(Asked(), authority.server())
    rest = new_rest(proxies={"all": f"https://127.0.0.1:{serve(script, authority.server()).port}"})
    assert get(rest, http(server, tls=True)) == {"ok": 1}


def test_http_through_a_proxy(serve: Serve, new_rest: NewRest) -> None:
    """For http, the proxy gets the whole address."""
    script = Asked()
    rest = new_rest(proxies={"http": f"http://user:pass@127.0.0.1:{serve(script).port}"})
    assert get(rest, "http://unreachable.example/v3.0/me") == {"ok": 1}
    assert script.heads[0].startswith("GET http://unreachable.example/v3.0/me HTTP/1.1")
    assert headers_of(script.heads[0])["proxy-authorization"] == "Basic dXNlcjpwYXNz"  # user:pass


@pytest.mark.parametrize("tls", [False, True])
def test_any_letter_in_the_password_of_a_proxy(
    serve: Serve, new_rest: NewRest, authority: Authority, tls: bool
) -> None:
    """User and password go to the proxy in UTF-8, whether it forwards or makes a tunnel."""
    forwards, tunnels = Asked(), ConnectProxy()
    server = serve(Asked(), authority.server())
    port = serve(tunnels if tls else forwards).port
    rest = new_rest(proxies={"all": f"http://us%C3%A9r:p%E2%82%ACss%3A@127.0.0.1:{port}"})
    assert get(rest, http(server, tls=True) if tls else "http://unreachable.example/") == {"ok": 1}
    head = tunnels.heads[0] if tls else forwards.heads[0]
    assert headers_of(head)["proxy-authorization"] == "Basic dXPDqXI6cOKCrHNzOg=="  # usér:p€ss:


def test_a_user_of_a_windows_domain(serve: Serve, new_rest: NewRest) -> None:
    """A proxy that forwards gets the request, although urllib3 ends the host at a backslash in the user's name."""
    script = Asked()
    rest = new_rest(proxies={"http": f"http://office\\user:pass@127.0.0.1:{serve(script).port}"})
    assert get(rest, "http://unreachable.example/") == {"ok": 1}
    assert headers_of(script.heads[0])["proxy-authorization"] == "Basic b2ZmaWNlXHVzZXI6cGFzcw=="  # office\\user:pass


def test_no_proxy(serve: Serve, new_rest: NewRest, monkeypatch: pytest.MonkeyPatch) -> None:
    """no_proxy switches the environment's proxies off."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_port()}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert get(new_rest(), http(serve(Asked()))) == {"ok": 1}


def test_http_and_https_have_each_their_way(serve: Serve, new_rest: NewRest, authority: Authority) -> None:
    """The proxy for https is not used for http, even for the same host and port."""
    server = serve(Asked())
    rest = new_rest(proxies={"https": f"http://127.0.0.1:{unused_port()}"})
    assert "proxy" in failed(rest, http(server, tls=True)).message
    assert get(rest, http(server)) == {"ok": 1}


def _through(new_rest: NewRest, port: int, timeout: float = 5, scheme: str = "http") -> Any:
    """Return the error of an attempt through a proxy with a password, which is in no part of it."""
    rest = new_rest(proxies={"https": f"{scheme}://user:pa55w0rd@127.0.0.1:{port}"})
    error = failed(rest, "https://unreachable.example/", timeout)
    text = whole_text(error)
    assert "pa55" not in text and "w0rd" not in text and "dXNlcj" not in text
    assert error.message.startswith("GET unreachable.example:443: ") and f"{scheme}://127.0.0.1:{port}" in error.message
    return error


@pytest.mark.parametrize("status, scheme", [(407, "http"), (502, "https")])
def test_a_proxy_that_refuses(
    serve: Serve, new_rest: NewRest, authority: Authority, status: int, scheme: str
) -> None:
    """The error names a proxy that makes no tunnel, with its answer and without its password."""
    tls = authority.server() if scheme == "https" else None
    error = _through(new_rest, serve(ConnectProxy(answer(status)), tls).port, scheme=scheme)
    assert f"made no tunnel to unreachable.example:443: it answered HTTP {status}" in error.message


def test_a_proxy_that_refuses_plain_http(serve: Serve, new_rest: NewRest) -> None:
    """HTTP 407 is the answer of the proxy, not of the host. The request is sent once."""
    asked = Asked(answer(407))
    proxy = serve(asked)
    rest = new_rest(proxies={"http": f"http://user:pa55w0rd@127.0.0.1:{proxy.port}"})
    error = failed(rest, "http://unreachable.example/")
    reason = f"proxy: http://127.0.0.1:{proxy.port} passed no request to unreachable.example:80: it answered HTTP 407"
    assert reason in error.message and "pa55" not in whole_text(error) and len(asked.heads) == 1


def test_a_proxy_that_is_not_there(new_rest: NewRest) -> None:
    """If a proxy refuses the connection, the error names the proxy and not the host."""
    assert "connection refused by proxy http://" in _through(new_rest, unused_port()).message
    plain = new_rest(proxies={"http": f"http://user:pa55w0rd@127.0.0.1:{unused_port()}"})
    error = failed(plain, "http://unreachable.example/")
    assert "connection refused by proxy http://127.0.0.1:" in error.message and "pa55" not in whole_text(error)


def test_a_proxy_that_hangs(serve: Serve, new_rest: NewRest) -> None:
    """A proxy that never answers CONNECT uses up the time limit, and no more."""
    with Stopwatch() as watch:
        assert "timeout" in _through(new_rest, serve(Peer.wait_for_end).port, SHORT).message
    assert SHORT <= watch.seconds < SOON


def test_a_proxy_that_drips(serve: Serve, new_rest: NewRest) -> None:
    """A proxy whose answer drips gets the time limit once."""

    def script(peer: Peer) -> None:
        peer.read_head()
        drip(peer, (b"%c" % byte for byte in b"HTTP/1.1 200 ok\r\nX: " + b"y" * 5000))

    with Stopwatch() as watch:
        assert "timeout" in _through(new_rest, serve(script).port, SHORT).message
    assert watch.seconds < SOON


def test_a_proxy_that_speaks_before_tls(serve: Serve, new_rest: NewRest) -> None:
    """Bytes after the proxy's answer are not a part of TLS: the call fails, and the socket is closed at once."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        _through(new_rest, serve(ConnectProxy(answer(200) + b"surprise")).port)
    assert not warned


def test_ctrl_c_while_a_proxy_is_asked(
    serve: Serve, new_rest: NewRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection to the proxy ends at once, although the program keeps the exception and so the frames."""
    ended = threading.Event()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_dial, "ask_for_tunnel", interrupt)
    port = serve(lambda peer: (peer.wait_for_end(), ended.set())).port
    rest = new_rest(proxies={"http": f"socks5h://127.0.0.1:{port}"})
    with pytest.raises(KeyboardInterrupt) as caught:
        get(rest, "http://unreachable.example/")
    assert ended.wait(SOON) and caught.value.__traceback__


@pytest.mark.parametrize(
    "address",
    [
        "http://user:pa55/w0rd@127.0.0.1:3128",
        "http://user:pa55#w0rd@127.0.0.1:3128",
        "http://user:pa55w0rd@:3128",
        "http://user:pa55w0rd@127.0.0.1:port",
        "ftp://user:pa55w0rd@127.0.0.1:3128",
    ],
)
def test_a_proxy_that_cannot_be_used(new_rest: NewRest, address: str) -> None:
    """The error explains an unreadable address of a proxy, without any piece of its password."""
    error = failed(new_rest(proxies={"http": address}), "http://unreachable.example/")
    assert "unreachable.example:80: proxy: " in error.message and "expected " in error.message
    text = whole_text(error)
    assert "pa55" not in text and "w0rd" not in text


def test_the_cause_of_a_failure(new_rest: NewRest) -> None:
    """The cause of a failure is the exception of requests, with the system's in its chain."""
    error = failed(new_rest(), f"http://127.0.0.1:{unused_port()}/")
    assert isinstance(error.__cause__, requests.exceptions.ConnectionError)
