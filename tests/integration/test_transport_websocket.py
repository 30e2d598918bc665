"""The WebSocket over real sockets: TLS, proxies, limits, hostile peers, and calls of other threads."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import warnings
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple
from unittest.mock import Mock

import pytest
import websocket

from cometchat import CometChatException, ConnectionException, ConnectionTimeoutException
from cometchat._transport.http import RequestsRest
from cometchat._transport.net import Address, host_probe_for
from cometchat._transport.websocket import WebSocketClientSocket

from .conftest import DEADLINE, Peer, RawServer, accept_upgrade, eventually, finished, frame, in_thread
from .transport_peers import (
    Authority,
    ConnectProxy,
    SilentAddress,
    SocksProxy,
    Stopwatch,
    answer,
    drip,
    error_of,
    headers_of,
    unused_port,
    whole_text,
)

Serve = Callable[..., RawServer]
NewSocket = Callable[..., WebSocketClientSocket]

#: In seconds: a limit that a test lets pass, and the maximum time until its end is noticed on a slow machine.
SHORT, SOON = 0.3, 3.0

LIMIT = 4096

PASSWORD = "pa55-w0rd/of?the#proxy"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def new_socket(authority: Authority) -> Iterator[NewSocket]:
    """Make sockets, and close all of them after the test."""
    made: List[WebSocketClientSocket] = []

    def make(**overrides: Any) -> WebSocketClientSocket:
        values: Dict[str, Any] = {"proxies": None, "ca_certs": authority.bundle, "max_message_size": LIMIT}
        made.append(WebSocketClientSocket(**{**values, **overrides}))
        return made[-1]

    yield make
    for each in made:
        each.close()


class Line:
    """An open connection: the client's socket, and its peer, which is the test."""

    def __init__(self, serve: Serve, client: WebSocketClientSocket, tls: Optional[ssl.SSLContext]) -> None:
        self.client = client
        self.head = ""
        self._arrived = threading.Event()
        self._done = threading.Event()
        self.server = serve(self._script, tls)

    def _script(self, peer: Peer) -> None:
        self.head = peer.upgrade()
        self._peer = peer
        self._arrived.set()
        assert self._done.wait(60)

    def open(self) -> Line:
        self.client.open(self.server.url(), DEADLINE)
        assert self._arrived.wait(DEADLINE)
        return self

    @property
    def peer(self) -> Peer:
        return self._peer

    def say(self, *frames: bytes) -> None:
        self.peer.socket.sendall(b"".join(frames))

    def end(self) -> None:
        self._done.set()

    def hear(self, timeout: float = DEADLINE) -> Optional[bytes]:
        return next(iter(self.client.receive(time.monotonic() + timeout, only_one=True)), None)

    def fails(self, code: str) -> CometChatException:
        return error_of(self.hear, code)


@pytest.fixture
def line(serve: Serve, new_socket: NewSocket, authority: Authority) -> Iterator[Callable[..., Line]]:
    """Make open connections, with TLS on request."""
    lines: List[Line] = []

    def make(tls: bool = False, **overrides: Any) -> Line:
        lines.append(Line(serve, new_socket(**overrides), authority.server() if tls else None))
        return lines[-1].open()

    yield make
    for each in lines:
        each.end()


def get(url: str, **options: Any) -> Any:
    """Return the result of a call over HTTP, by a separate transport with these options."""
    with contextlib.closing(RequestsRest(**options)) as rest:
        return rest.call("GET", url, headers={}, timeout=5)


def refused(new: WebSocketClientSocket, url: str, code: str = "WS_CONNECTION_FAIL", limit: float = 5) -> Any:
    return error_of(lambda: new.open(url, limit), code)


def greet(peer: Peer) -> None:
    """Send one message, as the script of a server."""
    peer.upgrade()
    peer.socket.sendall(frame(1, b"hello"))
    peer.wait_for_end()


def greeted(client: WebSocketClientSocket, url: str) -> bool:
    client.open(url, DEADLINE)
    return client.receive(time.monotonic() + DEADLINE) == [b"hello"]


# The usual way.


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_a_conversation(line: Callable[..., Line], tls: bool) -> None:
    """Messages go both ways unchanged, and a close is a close frame with its code."""
    connection = line(tls)
    connection.say(frame(1, "grüße".encode()), frame(2, b"\x00\xff"))
    assert [connection.hear(), connection.hear()] == ["grüße".encode(), b"\x00\xff"]
    connection.client.send("zurück", SOON)
    heard = connection.peer.read_frame()
    assert (heard.opcode, heard.payload, heard.fin) == (1, "zurück".encode(), True)
    connection.client.close(4000)
    goodbye = connection.peer.read_frame()
    assert (goodbye.close_code, goodbye.payload[2:]) == (4000, b"")


def test_the_upgrade_request(line: Callable[..., Line]) -> None:
    """The upgrade has the host with its port and the SDK's name, and neither an Origin nor a Cookie."""
    connection = line()
    headers = headers_of(connection.head)
    assert connection.head.startswith("GET / HTTP/1.1\r\n")
    assert headers["host"] == f"127.0.0.1:{connection.server.port}"
    assert headers["user-agent"].startswith("cometchat-python/")
    assert headers["sec-websocket-version"] == "13"
    assert not {"origin", "cookie", "sec-websocket-extensions"} & set(headers)


@pytest.mark.parametrize(
    "authority_of_url, host",
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("bücher.example:80", "xn--bcher-kva.example"),
        ("bücher.example:443", "xn--bcher-kva.example:443"),
        ("[::1]:8080", "[::1]:8080"),
    ],
)
@pytest.mark.parametrize("tunnel", [False, True])
def test_the_host_in_a_request(
    serve: Serve, new_socket: NewSocket, authority_of_url: str, host: str, tunnel: bool
) -> None:
    """It is in the ASCII form, as for HTTP, to the server and to a proxy. The usual port of the scheme is left out."""
    heads: List[str] = []

    def script(peer: Peer) -> None:
        heads.append(peer.read_head())
        if tunnel:
            peer.socket.sendall(answer(200))
            heads.append(peer.read_head())

    server = serve(script)
    address = Address(socket.AF_INET, socket.SOCK_STREAM, 6, ("127.0.0.1", server.port))
    proxies = {"http": f"http://127.0.0.1:{server.port}"} if tunnel else None
    refused(new_socket(proxies=proxies, addresses_of=lambda *_: [address]), f"ws://{authority_of_url}/")
    assert headers_of(heads[-1])["host"] == host
    if tunnel:
        assert headers_of(heads[0])["host"] == (host if host[-1].isdigit() else f"{host}:80")


def test_path_and_query_are_kept(serve: Serve, new_socket: NewSocket) -> None:
    """The request is for the path of the address."""
    heads: List[str] = []
    server = serve(lambda peer: (heads.append(peer.upgrade()), peer.wait_for_end()))
    new_socket().open(server.url() + "v3/ws?x=1", DEADLINE)
    assert eventually(lambda: heads)[0].startswith("GET /v3/ws?x=1 HTTP/1.1")


def test_an_answer_with_odd_headers(serve: Serve, new_socket: NewSocket) -> None:
    """Unimportant headers may be odd: Latin-1, without a colon, twice, and broken cookies."""

    def script(peer: Peer) -> None:
        good = accept_upgrade(peer.read_head())
        odd = "Server: grün\r\nno colon here\r\nVia: a\r\nVia: b\r\nSet-Cookie: (=;;=,\r\n".encode("latin-1")
        peer.socket.sendall(good.replace(b"\r\n", b"\r\n" + odd, 1) + frame(1, b"hello"))
        peer.wait_for_end()

    assert greeted(new_socket(), serve(script).url())


@pytest.mark.parametrize(
    "value", ["keep-alive,\tUpgrade", "keep-alive,\r\n Upgrade", "keep-alive\r\nConnection: upgrade"], ids=ascii
)
def test_an_upgrade_in_a_list(serve: Serve, new_socket: NewSocket, value: str) -> None:
    """The header Connection may have several values, with tabs, on several lines, or several times."""

    def script(peer: Peer) -> None:
        good = accept_upgrade(peer.read_head())
        assert b"Connection: Upgrade" in good
        peer.socket.sendall(good.replace(b"Connection: Upgrade", b"Connection: " + value.encode()) + frame(1, b"hello"))
        peer.wait_for_end()

    assert greeted(new_socket(), serve(script).url())


def test_cookies_are_not_kept(serve: Serve, new_socket: NewSocket) -> None:
    """A cookie of one upgrade is not sent with the next. websocket-client would share it in the whole process."""
    heads: List[str] = []

    def script(peer: Peer) -> None:
        heads.append(peer.read_head())
        cookie = b"\r\nSet-Cookie: user=1; domain=127.0.0.1\r\n"
        peer.socket.sendall(accept_upgrade(heads[-1]).replace(b"\r\n", cookie, 1) + frame(1, b"hello"))
        peer.wait_for_end()

    server = serve(script)
    assert greeted(new_socket(), server.url()) and greeted(new_socket(), server.url())
    assert [headers_of(head).get("cookie") for head in heads] == [None, None]


# TLS.


def test_an_untrusted_certificate(serve: Serve, new_socket: NewSocket, authority: Authority) -> None:
    """A certificate of an unknown CA is refused, with the ssl module's error as the cause."""
    error = refused(new_socket(ca_certs=None), serve(greet, authority.server()).url())
    assert "not trusted" in error.message and "127.0.0.1:" in error.message
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)


def test_a_certificate_of_another_host(serve: Serve, new_socket: NewSocket, authority: Authority) -> None:
    """A certificate for another name is refused, and the text says that the name is wrong."""
    error = refused(new_socket(), serve(greet, authority.server("other.example")).url())
    assert "not trusted" in error.message and "mismatch" in error.message


def test_an_expired_certificate(serve: Serve, new_socket: NewSocket, authority: Authority) -> None:
    """An expired certificate is refused, and the text says so."""
    now = datetime.now(timezone.utc)
    old = {"not_before": now - timedelta(days=9), "not_after": now - timedelta(days=2)}
    error = refused(new_socket(), serve(greet, authority.server("127.0.0.1", **old)).url())
    assert "not trusted" in error.message and "expired" in error.message


def test_a_server_without_tls(serve: Serve, new_socket: NewSocket) -> None:
    """Plain HTTP in place of TLS is reported as that, quickly."""

    def script(peer: Peer) -> None:
        peer.read(1)
        peer.socket.sendall(answer(400, b"plain HTTP here"))
        peer.wait_for_end()

    error = refused(new_socket(), f"wss://127.0.0.1:{serve(script).port}/")
    assert error.message.startswith("TLS: ")
    assert isinstance(error.__cause__, ssl.SSLError)


def test_a_connection_cut_in_the_tls_handshake(serve: Serve, new_socket: NewSocket) -> None:
    """If the peer ends the connection in the handshake, that is a failure and not a timeout."""
    refused(new_socket(), f"wss://127.0.0.1:{serve(lambda peer: peer.read(1)).port}/")


def _old_tls(authority: Authority) -> ssl.SSLContext:
    context = authority.server()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def test_a_server_of_tls_1_1(serve: Serve, new_socket: NewSocket, authority: Authority) -> None:
    """A server with TLS 1.1 at most is refused, though a lenient client gets through to it."""
    server = serve(greet, _old_tls(authority))
    lenient = ssl.create_default_context(cafile=authority.bundle)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        lenient.minimum_version = ssl.TLSVersion.TLSv1
    lenient.set_ciphers("DEFAULT:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as raw:
        try:
            lenient.wrap_socket(raw, server_hostname="127.0.0.1").close()
        except ssl.SSLError as error:
            pytest.skip(f"this OpenSSL has no TLS 1.1 at all: {error.reason}")
    assert refused(new_socket(), server.url()).message.startswith("TLS: ")


def test_an_impossible_name(serve: Serve, new_socket: NewSocket, authority: Authority) -> None:
    """An impossible host name is a failure of the look-up, not a crash."""
    assert refused(new_socket(), f"ws://{'x' * 70}.example/").message.startswith("DNS: ")


def test_dns(new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name without an address is a failure that says DNS and the name."""

    def lookup(*args: object) -> List[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    error = refused(new_socket(), "wss://nowhere.example/")
    assert error.message == "DNS: no address for nowhere.example:443: Name or service not known."
    assert isinstance(error.__cause__, socket.gaierror)


# Client certificates.


def _wants_client_certificate(authority: Authority) -> ssl.SSLContext:
    context = authority.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.bundle)
    return context


def _client_files(authority: Authority, folder: Path) -> Tuple[str, str, str]:
    issued = authority.ca.issue_cert("client.example")
    paths = [str(folder / name) for name in ("cert.pem", "key.pem", "both.pem")]
    issued.cert_chain_pems[0].write_to_path(paths[0])
    issued.private_key_pem.write_to_path(paths[1])
    issued.private_key_and_cert_chain_pem.write_to_path(paths[2])
    return paths[0], paths[1], paths[2]


def test_a_client_certificate(serve: Serve, new_socket: NewSocket, authority: Authority, tmp_path: Path) -> None:
    """A client certificate works in one file or in two, over the WebSocket and over HTTP.

    Without a certificate the server refuses.
    """
    cert, key, both = _client_files(authority, tmp_path)
    web, api = serve(greet, _wants_client_certificate(authority)), serve(
        api_script, _wants_client_certificate(authority)
    )
    url = f"https://127.0.0.1:{api.port}/"
    given: Any
    for given in (both, (cert, key)):
        assert greeted(new_socket(client_cert=given), web.url())
        assert get(url, ca_certs=authority.bundle, client_cert=given) == {"ok": 1}
    refused(new_socket(), web.url())
    error_of(lambda: get(url, ca_certs=authority.bundle), "FAILED_TO_FETCH")


def test_a_client_certificate_that_cannot_be_used(
    serve: Serve, new_socket: NewSocket, authority: Authority, tmp_path: Path
) -> None:
    """The error names a missing file, or a key that does not fit. HTTP's error has the same words."""
    cert, _, _ = _client_files(authority, tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    _, wrong_key, _ = _client_files(authority, other)
    server = serve(greet, authority.server())
    given: Any
    for given in (str(tmp_path / "absent.pem"), (cert, wrong_key), (cert, authority.bundle)):
        error = refused(new_socket(client_cert=given), server.url())
        named = given if isinstance(given, str) else given[0]
        assert error.message.startswith(f"TLS: the client certificate {named!r}") and "can't be used: " in error.message
        url, options = f"https://127.0.0.1:{server.port}/", {"ca_certs": authority.bundle, "client_cert": given}
        over_http = error_of(lambda: get(url, **options), "FAILED_TO_FETCH")
        assert over_http.message == f"GET 127.0.0.1:{server.port}: {error.message}"


# The CA bundle.


def test_the_bundle_as_a_folder(serve: Serve, new_socket: NewSocket, authority: Authority, tmp_path: Path) -> None:
    """A folder of hashed names is a CA bundle. Without the CA in it, no server is trusted."""
    server = serve(greet, authority.server())
    assert "not trusted" in refused(new_socket(ca_certs=str(tmp_path)), server.url()).message
    if shutil.which("openssl") is None:
        pytest.skip("the name in the folder needs the openssl command")
    command = ["openssl", "x509", "-noout", "-hash", "-in", authority.bundle]
    name = subprocess.run(command, check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout.strip()
    shutil.copy(authority.bundle, str(tmp_path / f"{name}.0"))
    assert greeted(new_socket(ca_certs=str(tmp_path)), server.url())


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_bundle_of_the_environment(
    serve: Serve, new_socket: NewSocket, authority: Authority, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Without a given bundle the environment's is used, as in requests."""
    monkeypatch.setenv(name, authority.bundle)
    assert greeted(new_socket(ca_certs=None), serve(greet, authority.server()).url())


def test_the_bundle_that_is_given_goes_first(
    serve: Serve, new_socket: NewSocket, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A given bundle takes precedence over the environment's."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", Authority(tmp_path).bundle)
    server = serve(greet, authority.server())
    assert greeted(new_socket(), server.url())
    assert "not trusted" in refused(new_socket(ca_certs=None), server.url()).message


def test_a_bundle_that_cannot_be_read(new_socket: NewSocket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle that is missing or not a PEM file is named, and nothing is sent."""
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    url = f"wss://127.0.0.1:{unused_port()}/"
    for path in (str(nonsense), str(tmp_path / "absent.pem")):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", path)
        error = refused(new_socket(ca_certs=None), url)
        assert error.message.startswith(f"TLS: the CA bundle {path!r} can't be read")
        assert error.__cause__ is not None


def test_a_bundle_that_changes(serve: Serve, new_socket: NewSocket, authority: Authority, tmp_path: Path) -> None:
    """A bundle that was renewed on disk is used for the next connection, without a restart."""
    bundle = tmp_path / "bundle.pem"
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(Authority(other).bundle, str(bundle))
    server = serve(greet, authority.server())
    assert "not trusted" in refused(new_socket(ca_certs=str(bundle)), server.url()).message
    shutil.copy(authority.bundle, str(bundle))
    os.utime(str(bundle), (1, 1))
    assert greeted(new_socket(ca_certs=str(bundle)), server.url())


# Proxies.


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("given", ["settings", "environment"])
def test_through_a_proxy(
    serve: Serve,
    new_socket: NewSocket,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    tls: bool,
    given: str,
) -> None:
    """ws and wss go through the proxy by CONNECT, for a proxy of the settings and one of the environment."""
    server, script = serve(greet, authority.server() if tls else None), ConnectProxy()
    address = f"http://127.0.0.1:{serve(script).port}"
    scheme = "https" if tls else "http"
    proxies = {scheme: address} if given == "settings" else None
    if given == "environment":
        monkeypatch.setenv(f"{scheme}_proxy", address)
    assert greeted(new_socket(proxies=proxies), server.url())
    assert script.targets == [f"127.0.0.1:{server.port}"]
    assert script.header("Host") == f"127.0.0.1:{server.port}"
    assert script.header("Proxy-Authorization") is None


def test_the_password_goes_to_the_proxy(serve: Serve, new_socket: NewSocket) -> None:
    """User and password go to the proxy, unescaped, and no further."""
    heads: List[str] = []
    server = serve(lambda peer: (heads.append(peer.upgrade()), peer.wait_for_end()))
    script = ConnectProxy()
    address = f"http://us%40er:pa%3Ass%2F@127.0.0.1:{serve(script).port}"
    new_socket(proxies={"http": address}).open(server.url(), DEADLINE)
    assert script.header("Proxy-Authorization") == "Basic dXNAZXI6cGE6c3Mv"  # us@er:pa:ss/
    assert "authorization" not in eventually(lambda: heads)[0].lower()


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "127.0.0.0/8", "*", "[::1], 127.0.0.1"])
def test_no_proxy(serve: Serve, new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch, no_proxy: str) -> None:
    """no_proxy switches the environment's proxies off."""
    script = ConnectProxy()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{serve(script).port}")
    monkeypatch.setenv("no_proxy", no_proxy)
    assert greeted(new_socket(), serve(greet).url())
    assert script.heads == []


def test_an_empty_proxy_means_no_proxy(serve: Serve, new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty address in the settings switches the environment's proxy off."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_port()}")
    assert greeted(new_socket(proxies={"http": ""}), serve(greet).url())


def _through(new_socket: NewSocket, port: int, limit: float = 5, code: str = "WS_CONNECTION_FAIL") -> Any:
    """Return the error of an attempt through a proxy with a password, which is in no part of it."""
    escaped = PASSWORD.replace("/", "%2F").replace("?", "%3F").replace("#", "%23")
    address = f"http://user:{escaped}@127.0.0.1:{port}"
    error = refused(new_socket(proxies={"http": address}), "ws://unreachable.example:81/", code, limit)
    text = whole_text(error)
    assert "pa55" not in text and "w0rd" not in text and "dXNlcj" not in text
    assert f"http://127.0.0.1:{port}" in error.message
    return error


REFUSALS: Dict[str, Tuple[bytes, str]] = {
    "407": (answer(407, headers={"Proxy-Authenticate": "Basic"}), "it answered HTTP 407"),
    "502": (answer(502, b"no way"), "it answered HTTP 502"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "it does not use HTTP"),
    "nothing": (b"", "it closed the connection"),
    "half a head": (b"HTTP/1.1 200 ok\r\nVia", "it closed the connection"),
}


@pytest.mark.parametrize("reply, why", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_proxy_that_refuses(serve: Serve, new_socket: NewSocket, reply: bytes, why: str) -> None:
    """The error names a proxy that makes no tunnel, with its reason and without its password."""
    error = _through(new_socket, serve(ConnectProxy(reply)).port)
    assert error.message.startswith("proxy: ") and "made no tunnel to unreachable.example:81" in error.message
    assert why in error.message


def test_a_proxy_that_is_busy(serve: Serve, new_socket: NewSocket) -> None:
    """The error has the Retry-After of a proxy."""
    error = _through(new_socket, serve(ConnectProxy(answer(503, headers={"Retry-After": "7"}))).port)
    assert (error.details, error.retry_after) == ("HTTP 503", 7.0)


def test_a_proxy_that_is_not_there(new_socket: NewSocket) -> None:
    """If a proxy refuses the connection, the error names the proxy and not the host."""
    error = _through(new_socket, unused_port())
    assert error.message.startswith("connection refused by proxy http://")
    assert isinstance(error.__cause__, ConnectionRefusedError)


def test_a_proxy_that_hangs(serve: Serve, new_socket: NewSocket) -> None:
    """A proxy that never answers CONNECT uses up the time limit, and no more."""
    with Stopwatch() as watch:
        error = _through(new_socket, serve(Peer.wait_for_end).port, SHORT, "ERR_CONNECT_TIMEOUT")
    assert SHORT <= watch.seconds < SOON
    assert isinstance(error, ConnectionTimeoutException)


def test_a_proxy_that_drips(serve: Serve, new_socket: NewSocket) -> None:
    """A proxy whose answer drips byte by byte gets the time limit once, not once for each byte."""

    def script(peer: Peer) -> None:
        peer.read_head()
        drip(peer, (b"%c" % byte for byte in b"HTTP/1.1 200 ok\r\nX: " + b"y" * 500))

    with Stopwatch() as watch:
        _through(new_socket, serve(script).port, SHORT, "ERR_CONNECT_TIMEOUT")
    assert watch.seconds < SOON


def test_a_proxy_that_floods(serve: Serve, new_socket: NewSocket) -> None:
    """Endless headers from a proxy are cut off at 64 KiB, long before the time limit."""

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.socket.sendall(b"HTTP/1.1 200 ok\r\n")
        drip(peer, (b"X-Header: flood\r\n" * 1000 for _ in range(10_000)), pause=0)

    assert "more than 65536 bytes" in _through(new_socket, serve(script).port, 50).message


def test_a_proxy_that_speaks_before_tls(serve: Serve, new_socket: NewSocket) -> None:
    """Bytes after the proxy's answer are not a part of TLS: the connection is given up."""
    port = serve(ConnectProxy(answer(200) + b"surprise")).port
    refused(new_socket(proxies={"https": f"http://127.0.0.1:{port}"}), "wss://unreachable.example/")


BAD_PROXIES = [
    "ftp://user:pa55w0rd@127.0.0.1:3128",
    "https://user:pa55w0rd@127.0.0.1:3128",
    "http://user:pa55/w0rd@127.0.0.1:3128",
    "http://user:pa55#w0rd@127.0.0.1:3128",
    "http://user:1?pa55w0rd@127.0.0.1:3128",
    "http://user:pa55w0rd@:3128",
    "http://user:pa55w0rd@127.0.0.1:port",
    "http://user:pa55w0rd@127.0.0.1:70000",
    "http://user:pa55w0rd@[127.0.0.1:3128",
]


@pytest.mark.parametrize("address", BAD_PROXIES)
def test_a_proxy_that_cannot_be_used(new_socket: NewSocket, address: str) -> None:
    """The error explains an unknown scheme or an unreadable address, without any piece of the password."""
    error = refused(new_socket(proxies={"http": address}), "ws://unreachable.example/")
    assert error.message.startswith("proxy: ") and "expected " in error.message
    text = whole_text(error)
    assert "pa55" not in text and "w0rd" not in text


SOCKS_SCHEMES = ["socks4", "socks4a", "socks5", "socks5h"]


@pytest.mark.parametrize("scheme", SOCKS_SCHEMES)
@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_through_socks(serve: Serve, new_socket: NewSocket, authority: Authority, scheme: str, tls: bool) -> None:
    """WebSocket and HTTP use a SOCKS proxy in its version, with its user, and for the look-up if the scheme says so."""
    server = serve(greet, authority.server("localhost") if tls else None)
    socks = SocksProxy(user=None if scheme.startswith("socks4") else ("us@er", "pa:ss"))
    proxies = {"https" if tls else "http": f"{scheme}://us%40er:pa%3Ass@127.0.0.1:{serve(socks).port}"}
    name = f"{'wss' if tls else 'ws'}://localhost:{server.port}/"
    found = [Address(socket.AF_INET, socket.SOCK_STREAM, 6, ("127.0.0.1", server.port))]

    def addresses_of(host: str, port: int) -> List[Address]:
        proxy = Address(socket.AF_INET, socket.SOCK_STREAM, 6, (host, port))
        return found if host == "localhost" else [proxy]

    assert greeted(new_socket(proxies=proxies, addresses_of=addresses_of), name)
    api = serve(api_script, authority.server("localhost") if tls else None)
    found[0] = found[0]._replace(address=("127.0.0.1", api.port))
    rest = RequestsRest(proxies=proxies, ca_certs=authority.bundle, addresses_of=addresses_of)
    url = f"{'https' if tls else 'http'}://localhost:{api.port}/"
    assert [rest.call("GET", url, headers={}, timeout=5) for _ in range(2)] == [{"ok": 1}] * 2
    rest.close()
    asked = "localhost" if scheme in ("socks4a", "socks5h") else "127.0.0.1"
    assert socks.asked == [(asked, server.port), (asked, api.port)]
    assert socks.users == [("us@er", "" if scheme.startswith("socks4") else "pa:ss")] * 2


SOCKS_REFUSALS: Dict[str, Tuple[str, SocksProxy, str]] = {
    "wrong password": ("socks5://u:pa55@", SocksProxy(user=("u", "p")), "it refused the user name and password"),
    "no password": ("socks5://", SocksProxy(user=("u", "p")), "it requires a user name and password"),
    "host refuses": ("socks5h://", SocksProxy(code=5), "the host refused the connection"),
    "not allowed": ("socks5h://", SocksProxy(code=2), "its rules do not allow it"),
    "unknown": ("socks5h://", SocksProxy(code=77), "it gave no reason"),
    "version 4": ("socks4a://", SocksProxy(code=91), "it refused or failed"),
    "another protocol": ("socks4a://", SocksProxy(code=0), "it does not use SOCKS4"),
    "ends": ("socks5h://", SocksProxy(ends=True), "it closed the connection"),
}


@pytest.mark.parametrize("way, socks, why", SOCKS_REFUSALS.values(), ids=SOCKS_REFUSALS.keys())
def test_a_socks_proxy_that_refuses(
    serve: Serve, new_socket: NewSocket, authority: Authority, way: str, socks: SocksProxy, why: str
) -> None:
    """The error names the proxy, with its reason and without its password. HTTP's error has the same words."""
    port = serve(socks).port
    proxies = {"all": f"{way}127.0.0.1:{port}"}
    error = refused(new_socket(proxies=proxies), "ws://127.0.0.2:81/")
    scheme = way.partition(":")[0]
    assert error.message == f"proxy: {scheme}://127.0.0.1:{port} made no tunnel to 127.0.0.2:81: {why}."
    assert "pa55" not in whole_text(error)
    over_http = error_of(lambda: get("http://127.0.0.2:81/", proxies=proxies), "FAILED_TO_FETCH")
    assert over_http.message == f"GET 127.0.0.2:81: {error.message}"


def test_socks4_knows_no_ipv6(serve: Serve, new_socket: NewSocket) -> None:
    """A SOCKS4 proxy cannot reach a host without an IPv4 address."""
    port = serve(SocksProxy()).port
    error = refused(new_socket(proxies={"all": f"socks4://127.0.0.1:{port}"}), "ws://[::1]:81/")
    assert "made no tunnel to [::1]:81: ::1 has no IPv4 address" in error.message


@pytest.mark.parametrize(
    "scheme, host, why",
    [
        ("socks4", "nowhere.example", "no address for nowhere.example:81: Name or service not known"),
        ("socks5", "nowhere.example", "no address for nowhere.example:81: Name or service not known"),
        ("socks4a", "a..example", "a..example:81 is not the name of a host"),
        ("socks5h", "a..example", "a..example:81 is not the name of a host"),
    ],
)
def test_a_wrong_name_is_not_blamed_on_the_socks_proxy(
    serve: Serve, new_socket: NewSocket, scheme: str, host: str, why: str
) -> None:
    """The proxy answers. The client looks the host's name up, or puts it into the request."""

    def addresses_of(name: str, port: int) -> List[Address]:
        if name == host:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [Address(socket.AF_INET, socket.SOCK_STREAM, 6, (name, port))]

    options = {"proxies": {"all": f"{scheme}://127.0.0.1:{serve(SocksProxy()).port}"}, "addresses_of": addresses_of}
    assert refused(new_socket(**options), f"ws://{host}:81/").message == f"DNS: {why}."
    error = error_of(lambda: get(f"http://{host}:81/", **options), "FAILED_TO_FETCH")
    assert error.message == f"GET {host}:81: DNS: {why}."


@pytest.mark.parametrize("scheme", ["http", *SOCKS_SCHEMES])
def test_a_dead_proxy_is_the_one_to_blame(new_socket: NewSocket, scheme: str) -> None:
    """Over the WebSocket and over HTTP, the error does not name the host, which got no request."""
    port = unused_port()
    proxies = {"all": f"{scheme}://127.0.0.1:{port}"}
    why = f"connection refused by proxy {scheme}://127.0.0.1:{port}."
    assert refused(new_socket(proxies=proxies), "ws://127.0.0.2:81/").message == why
    error = error_of(lambda: get("https://127.0.0.2:81/", proxies=proxies), "FAILED_TO_FETCH")
    assert error.message == f"GET 127.0.0.2:81: {why}"


def test_the_environment_is_read_at_each_attempt(
    serve: Serve, new_socket: NewSocket, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a change of the proxy, WebSocket and HTTP use the new one, or none if it was removed."""
    old, new = ConnectProxy(), ConnectProxy()
    web, api = serve(greet, authority.server()), serve(api_script, authority.server())
    rest = RequestsRest(ca_certs=authority.bundle)
    counts = []
    for proxy in (old, new, None):
        if proxy is None:
            monkeypatch.setenv("no_proxy", f"127.0.0.1:{web.port},127.0.0.1:{api.port}")
        else:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{serve(proxy).port}")
        assert greeted(new_socket(), web.url())
        url = f"https://127.0.0.1:{api.port}/v3.0/me"
        assert rest.call("GET", url, headers={}, timeout=5) == {"ok": 1}
        counts.append((len(old.heads), len(new.heads)))
    rest.close()
    assert counts == [(2, 0), (2, 2), (2, 2)]


def api_script(peer: Peer) -> None:
    """Answer every call, as the script of a server."""
    while True:
        peer.read_head()
        peer.socket.sendall(answer(200, b'{"data": {"ok": 1}}'))


@pytest.mark.parametrize("interrupts", [False, True])
def test_an_address_that_sent_nothing(serve: Serve, new_socket: NewSocket, interrupts: bool) -> None:
    """It is not the first one in the next attempt, unless the client itself ended the connection."""
    asked: List[int] = []

    def script(number: int) -> Callable[[Peer], None]:
        def upgrade(peer: Peer) -> None:
            asked.append(number)
            peer.upgrade()
            peer.wait_for_end()

        return upgrade

    ports = [serve(script(1)).port, serve(script(2)).port]
    found = [Address(socket.AF_INET, socket.SOCK_STREAM, 6, ("127.0.0.1", port)) for port in ports]
    for _ in range(2):
        client = new_socket(addresses_of=lambda host, port: found)
        client.open(f"ws://two.example:{ports[0]}/", DEADLINE)
        if interrupts:
            client.interrupt()
        client.close()
    assert asked == ([1, 1] if interrupts else [1, 2])


def test_a_host_with_a_trailing_dot(serve: Serve, new_socket: NewSocket, authority: Authority) -> None:
    """A name with a trailing dot works over the WebSocket's TLS and over HTTP's."""
    web, api = serve(greet, authority.server("localhost")), serve(api_script, authority.server("localhost"))

    def addresses_of(host: str, port: int) -> List[Address]:
        assert host == "localhost."
        return [Address(socket.AF_INET, socket.SOCK_STREAM, 6, ("127.0.0.1", port))]

    assert greeted(new_socket(addresses_of=addresses_of), f"wss://localhost.:{web.port}/")
    url = f"https://localhost.:{api.port}/"
    assert get(url, ca_certs=authority.bundle, addresses_of=addresses_of) == {"ok": 1}


# Time limits.


def test_tcp_that_never_answers(new_socket: NewSocket) -> None:
    """An address without any answer uses up the time limit, and no more."""
    with SilentAddress() as silent, Stopwatch() as watch:
        error = refused(new_socket(), f"ws://127.0.0.1:{silent.port}/", "ERR_CONNECT_TIMEOUT", SHORT)
    assert SHORT <= watch.seconds < SOON
    assert isinstance(error, ConnectionTimeoutException) and f"127.0.0.1:{silent.port}" in error.message


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_server_that_never_speaks(serve: Serve, new_socket: NewSocket, scheme: str) -> None:
    """A TLS handshake or an upgrade that hangs uses up the time limit, and no more."""
    server = serve(Peer.wait_for_end)
    with Stopwatch() as watch:
        refused(new_socket(), f"{scheme}://127.0.0.1:{server.port}/", "ERR_CONNECT_TIMEOUT", SHORT)
    assert SHORT <= watch.seconds < SOON


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_an_upgrade_that_drips(serve: Serve, new_socket: NewSocket, authority: Authority, tls: bool) -> None:
    """An answer that drips byte by byte gets the time limit once, not once for each byte."""

    def script(peer: Peer) -> None:
        peer.read_head()
        drip(peer, (b"%c" % byte for byte in b"HTTP/1.1 101 ok\r\nX: " + b"y" * 500))

    server = serve(script, authority.server() if tls else None)
    with Stopwatch() as watch:
        refused(new_socket(), server.url(), "ERR_CONNECT_TIMEOUT", SHORT)
    assert watch.seconds < SOON


def _addresses(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """Give every name these addresses: the loopback's, with these ports."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: found)


def test_the_next_address_has_its_turn(serve: Serve, new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    """If one address of a name refuses and the next is silent, the third is reached within the time limit."""
    with SilentAddress() as silent:
        _addresses(monkeypatch, unused_port(), silent.port, serve(greet).port)
        new = new_socket()
        with Stopwatch() as watch:
            new.open("ws://three.example/", 30)
        assert watch.seconds < SOON
        assert new.receive(time.monotonic() + DEADLINE) == [b"hello"]


def _silence(peer: Peer) -> None:
    peer.wait_for_end()


def _upgrade_and_silence(peer: Peer) -> None:
    peer.upgrade()
    peer.wait_for_end()


@pytest.mark.parametrize("useless", [_silence, _upgrade_and_silence], ids=["no upgrade", "no message"])
def test_an_address_whose_server_is_dead_is_last_the_next_time(
    serve: Serve, new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch, useless: Callable[[Peer], None]
) -> None:
    """TCP answers there, and nothing more. The next attempt, and all after it, go to the other address."""
    _addresses(monkeypatch, serve(useless).port, serve(greet).port)
    first = new_socket()
    with contextlib.suppress(CometChatException):
        first.open(f"ws://{useless.__name__}.example/", SHORT)
        assert first.receive(time.monotonic() + SHORT) == []
    first.close()
    assert [greeted(new_socket(), f"ws://{useless.__name__}.example/") for _ in range(3)] == [True] * 3


def test_an_address_whose_http_server_is_dead_is_last_the_next_time(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for calls."""
    heads: List[str] = []

    def good(peer: Peer) -> None:
        heads.append(peer.read_head())
        peer.socket.sendall(answer(200, b'{"data":{}}', {"Connection": "close"}))

    _addresses(monkeypatch, serve(_silence).port, serve(good).port)
    with contextlib.closing(RequestsRest()) as rest:
        for timeout in (SHORT, DEADLINE, DEADLINE):
            with contextlib.suppress(CometChatException):
                rest.call("POST", "http://dead.example/messages", headers={}, timeout=timeout)
    assert len(heads) == 2


def test_no_address_has_an_answer(new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    """If all addresses refuse, the error says refused."""
    _addresses(monkeypatch, unused_port(), unused_port())
    assert "refused by two.example:80" in refused(new_socket(), "ws://two.example/").message


def test_silence_leaves_addresses_to_ask(new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no address has answered, the error carries a probe that notices the first answer."""
    with SilentAddress() as silent:
        _addresses(monkeypatch, silent.port, silent.port)
        probe = host_probe_for(refused(new_socket(), "ws://two.example/", "ERR_CONNECT_TIMEOUT", SHORT))
        assert probe is not None and not probe.is_back()
        silent._listener.listen(64)
        assert eventually(probe.is_back)
        probe.close()


def test_a_proxys_silence_leaves_its_address(new_socket: NewSocket) -> None:
    """The probe is for the proxy."""
    with SilentAddress() as silent:
        new = new_socket(proxies={"http": f"http://127.0.0.1:{silent.port}"})
        probe = host_probe_for(refused(new, "ws://service.example/", "ERR_CONNECT_TIMEOUT", SHORT))
        assert probe is not None and not probe.is_back()
        probe.close()


@pytest.mark.parametrize("what", ["refusal", "a refusal and silence", "tls", "upgrade", "status", "dns"])
def test_an_answer_leaves_none(
    what: str, serve: Serve, new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    """A host has answered, or there is no address. So the next attempt comes at its usual time."""
    with SilentAddress() as silent:
        if what == "refusal":
            _addresses(monkeypatch, unused_port())
        elif what == "a refusal and silence":
            _addresses(monkeypatch, unused_port(), silent.port)
        elif what == "dns":
            monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=socket.gaierror(socket.EAI_AGAIN, "later")))
        else:
            server = serve(_answering(answer(503)) if what == "status" else Peer.wait_for_end)
            _addresses(monkeypatch, server.port)
        with pytest.raises(CometChatException) as caught:
            new_socket().open("wss://one.example/" if what == "tls" else "ws://one.example/", SHORT)
        assert host_probe_for(caught.value) is None


# The answer to the upgrade.


def _answering(reply: bytes) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.socket.sendall(reply)
        peer.wait_for_end()

    return script


@pytest.mark.parametrize("status", [200, 204, 401, 403, 404, 429, 500, 503])
def test_another_status(serve: Serve, new_socket: NewSocket, status: int) -> None:
    """Any other status than 101 is named."""
    server = serve(_answering(answer(status, b"<h1>secret-of-the-page</h1>")))
    error = refused(new_socket(), server.url())
    assert error.details == f"HTTP {status}" and f"HTTP {status}" in error.message
    assert error.message.startswith(f"handshake: 127.0.0.1:{server.port} ")
    assert "secret-of-the-page" not in whole_text(error)


def test_retry_after(serve: Serve, new_socket: NewSocket) -> None:
    """The error has Retry-After: seconds, or a date."""
    server = serve(_answering(answer(429, headers={"Retry-After": "12"})))
    assert refused(new_socket(), server.url()).retry_after == 12.0
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    date = format_datetime(now + timedelta(seconds=30), usegmt=True)
    server = serve(_answering(answer(503, headers={"Retry-After": date})))
    assert refused(new_socket(wall_clock=now.timestamp), server.url()).retry_after == 30.0


BODIES = [b"Content-Length: 1000000\r\n\r\nonly this", b"Content-Length: nonsense\r\n\r\n"]


@pytest.mark.parametrize("tail", BODIES, ids=["hangs", "nonsense"])
def test_a_body_that_never_comes(serve: Serve, new_socket: NewSocket, tail: bytes) -> None:
    """The client does not wait for the body of a refusal: the error has status and Retry-After at once."""
    server = serve(_answering(b"HTTP/1.1 503 busy\r\nRetry-After: 3\r\n" + tail))
    with Stopwatch() as watch:
        error = refused(new_socket(), server.url(), limit=30)
    assert (error.details, error.retry_after) == ("HTTP 503", 3.0)
    assert watch.seconds < 10


def test_a_redirect_is_not_followed(serve: Serve, new_socket: NewSocket) -> None:
    """A redirect is a refusal, and nothing connects to its target."""
    visited: List[Peer] = []
    target = serve(visited.append)
    server = serve(_answering(answer(302, headers={"Location": target.url()})))
    assert refused(new_socket(), server.url()).details == "HTTP 302"
    target.close()
    assert visited == []


def test_interim_answers_are_skipped(serve: Serve, new_socket: NewSocket) -> None:
    """Early hints, or any other 1xx, may come before the 101."""

    def script(peer: Peer) -> None:
        good = accept_upgrade(peer.read_head())
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
        peer.socket.sendall(hints + good + frame(1, b"hello"))
        peer.wait_for_end()

    assert greeted(new_socket(), serve(script).url())


def test_interim_answers_without_end(serve: Serve, new_socket: NewSocket) -> None:
    """Their common limit is that of a head."""

    def script(peer: Peer) -> None:
        peer.read_head()
        drip(peer, (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000 for _ in range(1000)), pause=0)

    with Stopwatch() as watch:
        error = refused(new_socket(), serve(script).url(), limit=50)
    assert "more than 65536 bytes" in error.message and watch.seconds < 10


def test_the_reset_of_a_rate_limit(serve: Serve, new_socket: NewSocket) -> None:
    """Without a Retry-After, 429 gives the end of the limit by the server's own clock."""
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    headers = {"X-Rate-Limit-Reset": f"{now.timestamp() + 25:.0f}", "Date": format_datetime(now, usegmt=True)}
    server = serve(_answering(answer(429, headers=headers)))
    assert refused(new_socket(wall_clock=lambda: 0.0), server.url()).retry_after == 25.0


GARBAGE: Dict[str, bytes] = {
    "no HTTP": b"\x00\x01garbage\r\n\r\n",
    "empty line": b"\r\n\r\n",
    "no status": b"HTTP/1.1 abc\r\n\r\n",
    "odd digits": "HTTP/1.1 \u00b2\u00b2\u00b2 ok\r\n\r\n".encode("latin-1"),
    "HTTP/2": b"HTTP/2 101\r\n\r\n",
    "no upgrade": b"HTTP/1.1 101 ok\r\n\r\n",
    "another upgrade": b"HTTP/1.1 101 ok\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "no key": b"HTTP/1.1 101 ok\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "wrong key": b"HTTP/1.1 101 ok\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
}


@pytest.mark.parametrize("reply", GARBAGE.values(), ids=GARBAGE.keys())
def test_an_answer_that_is_not_an_upgrade(serve: Serve, new_socket: NewSocket, reply: bytes) -> None:
    """For an answer that is not HTTP, or a 101 that does not fit the request, the error says so."""
    error = refused(new_socket(), serve(_answering(reply)).url())
    assert error.message.startswith("handshake: ") and "made no WebSocket upgrade" in error.message


def test_an_answer_that_does_not_switch_the_connection(serve: Serve, new_socket: NewSocket) -> None:
    """A proxy that knows no WebSocket may pass the other headers."""

    def script(peer: Peer) -> None:
        good = accept_upgrade(peer.read_head())
        peer.socket.sendall(good.replace(b"Connection: Upgrade", b"Connection: close"))
        peer.wait_for_end()

    assert "made no WebSocket upgrade" in refused(new_socket(), serve(script).url()).message


@pytest.mark.parametrize("header", ["Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Protocol: chat"])
def test_an_upgrade_to_what_was_not_offered(serve: Serve, new_socket: NewSocket, header: str) -> None:
    """The server's next frames could not be read, so the client does not become connected first (RFC 6455, 4.1)."""

    def script(peer: Peer) -> None:
        good = accept_upgrade(peer.read_head())
        peer.socket.sendall(good.replace(b"\r\n", f"\r\n{header}\r\n".encode(), 1))
        peer.wait_for_end()

    error = refused(new_socket(), serve(script).url())
    assert error.message.startswith("handshake: ") and header.partition(": ")[2] in error.message
    assert "which the client did not offer" in error.message


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 101 ok\r\nUpgra"], ids=["nothing", "half a head"])
def test_an_end_before_the_upgrade(serve: Serve, new_socket: NewSocket, reply: bytes) -> None:
    """For a connection that ends during the upgrade, the error says so."""
    server = serve(lambda peer: (peer.read_head(), peer.socket.sendall(reply)))
    assert "it closed the connection" in refused(new_socket(), server.url()).message


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_a_reset_before_the_upgrade(serve: Serve, new_socket: NewSocket) -> None:
    """For a reset during the upgrade, the error says so."""
    server = serve(lambda peer: (peer.read_head(), _reset(peer.socket)))
    assert "reset the connection" in refused(new_socket(), server.url()).message


@pytest.mark.parametrize("piece", [b"X-Header: flood\r\n" * 1000, b"x" * 17_000], ids=["many", "one long"])
def test_headers_without_end(serve: Serve, new_socket: NewSocket, piece: bytes) -> None:
    """Endless headers are cut off at 64 KiB, long before the time limit."""

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.socket.sendall(b"HTTP/1.1 101 ok\r\n")
        drip(peer, (piece for _ in range(10_000)), pause=0)

    with Stopwatch() as watch:
        error = refused(new_socket(), serve(script).url(), limit=50)
    assert "more than 65536 bytes" in error.message and watch.seconds < 10


# interrupt().


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_interrupt_wakes_receive(line: Callable[..., Line], tls: bool) -> None:
    """A blocked receive() ends at once, and a close frame can still be sent."""
    connection = line(tls)
    thread, outcome = in_thread(lambda: connection.hear(60))
    assert eventually(lambda: _is_waiting(thread))
    with Stopwatch() as watch:
        connection.client.interrupt()
        error = finished(thread, outcome)
    assert watch.seconds < 1
    assert (error.code, error.message[-12:]) == ("WS_CONNECTION_FAIL", "interrupted.")
    assert connection.fails("WS_CONNECTION_FAIL").message.endswith("interrupted.")  # and so does the next one
    connection.client.close(1001)
    assert connection.peer.read_frame().close_code == 1001


def _is_waiting(thread: threading.Thread) -> bool:
    """Return whether the thread is in poll()."""
    current = sys._current_frames().get(thread.ident or 0)
    return current is not None and current.f_code.co_name == "_poll"


def _interrupted_open(client: WebSocketClientSocket, url: str) -> None:
    thread, outcome = in_thread(lambda: client.open(url, 60))
    assert eventually(lambda: _is_waiting(thread))
    with Stopwatch() as watch:
        client.interrupt()
        error = finished(thread, outcome)
    assert watch.seconds < 1
    assert error.code == "WS_CONNECTION_FAIL" and "interrupted" in error.message


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_interrupt_wakes_the_handshakes(serve: Serve, new_socket: NewSocket, scheme: str) -> None:
    """A TLS handshake or an upgrade that hangs ends at once."""
    _interrupted_open(new_socket(), f"{scheme}://127.0.0.1:{serve(Peer.wait_for_end).port}/")


def test_interrupt_wakes_a_tunnel(serve: Serve, new_socket: NewSocket) -> None:
    """A hanging proxy is left at once."""
    proxies = {"http": f"http://127.0.0.1:{serve(Peer.wait_for_end).port}"}
    _interrupted_open(new_socket(proxies=proxies), "ws://unreachable.example/")


@pytest.mark.skipif(sys.platform != "linux", reason="on other systems shutdown() does not wake a connect()")
def test_interrupt_wakes_tcp(new_socket: NewSocket) -> None:
    """An address without an answer is left at once."""
    with SilentAddress() as silent:
        _interrupted_open(new_socket(), f"ws://127.0.0.1:{silent.port}/")


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_interrupt_before_the_socket_exists(
    serve: Serve, new_socket: NewSocket, authority: Authority, tls: bool
) -> None:
    """An interrupt that comes before open() is not lost."""
    client = new_socket()
    client.interrupt()
    assert "interrupted" in refused(client, serve(greet, authority.server() if tls else None).url()).message


def test_interrupt_does_not_lose_a_send(line: Callable[..., Line]) -> None:
    """After an interrupt a message can still be sent whole."""
    connection = line()
    connection.client.interrupt()
    connection.client.send("last words", SOON)
    assert connection.peer.read_frame().payload == b"last words"


# The end of a connection.


CLOSES: Dict[str, Tuple[bytes, Optional[int], str, int]] = {
    "no code": (b"", None, "close code 1005", 1000),
    "code": (b"\x03\xe9", 1001, "close code 1001", 1001),
    "code and reason": (b"\x0f\xa1elsewhere", 4001, "close code 4001: elsewhere", 4001),
    "reason of no UTF-8": (b"\x0f\xa1a\xffb", 4001, "close code 4001: a\ufffdb", 1007),
    "an unprintable reason": (b"\x0f\xa1a\n\x1b[2Jb", 4001, r"close code 4001: a\n\x1b[2Jb", 4001),
    "the longest reason": (b"\x0f\xa1" + b"r" * 123, 4001, "close code 4001: " + "r" * 123, 4001),
}


@pytest.mark.parametrize("payload, code, details, echo", CLOSES.values(), ids=CLOSES.keys())
def test_a_close_frame(line: Callable[..., Line], payload: bytes, code: Optional[int], details: str, echo: int) -> None:
    """A close frame ends the connection with its code and reason, and the code is echoed.

    A reason must be UTF-8: 1007.
    """
    connection = line()
    connection.say(frame(1, b"before"), frame(8, payload))
    assert connection.hear() == b"before"
    error = connection.fails("WS_CONNECTION_FAIL")
    assert isinstance(error, ConnectionException)
    assert (error.close_code, error.details) == (code, details)
    assert connection.peer.read_frame().close_code == echo
    assert connection.fails("WS_CONNECTION_FAIL").message.endswith("not open.")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535])
def test_an_invalid_close_code(line: Callable[..., Line], code: int) -> None:
    """An invalid close code is a breach of the protocol."""
    connection = line()
    connection.say(frame(8, struct.pack("!H", code)))
    connection.fails("ERR_PROTOCOL")
    assert connection.peer.read_frame().close_code == 1002


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_an_end_without_a_close_frame(line: Callable[..., Line], tls: bool) -> None:
    """An end of the stream is close code 1006, also in TLS, where it is not announced. It stays so."""
    connection = line(tls)
    socket.socket.shutdown(connection.peer.socket, socket.SHUT_WR)
    for _ in range(2):
        error = connection.fails("WS_CONNECTION_FAIL")
        assert error.details == "close code 1006" and "without a close frame" in error.message


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_a_reset(line: Callable[..., Line], tls: bool) -> None:
    """A reset ends the connection, for receive() and for send(), and close() does not raise."""
    connection = line(tls)
    _reset(connection.peer.socket)
    message = connection.fails("WS_CONNECTION_FAIL").message
    # Python's ssl reports a reset as an end of the stream.
    assert "reset the connection" in message or (tls and "without a close frame" in message)
    error_of(lambda: connection.client.send("x", SHORT), "WS_CONNECTION_FAIL")
    connection.client.close()


def test_an_end_within_a_frame(line: Callable[..., Line]) -> None:
    """Half a frame is not a message."""
    connection = line()
    connection.say(frame(1, b"whole"), frame(1, b"in two")[:4])
    socket.socket.shutdown(connection.peer.socket, socket.SHUT_WR)
    assert connection.hear() == b"whole"
    assert connection.fails("WS_CONNECTION_FAIL").details == "close code 1006"


def test_a_socket_that_is_not_open(new_socket: NewSocket) -> None:
    """Before open(), nothing can be sent or received, and close() and interrupt() are no-ops."""
    client = new_socket()
    error_of(lambda: client.send("x", SHORT), "WS_CONNECTION_FAIL")
    error_of(lambda: client.receive(time.monotonic() + SHORT), "WS_CONNECTION_FAIL")
    client.interrupt()
    client.close()


def test_close_twice(line: Callable[..., Line]) -> None:
    """The second close() is a no-op: there is one close frame, and then the end."""
    connection = line()
    connection.client.close()
    connection.client.close(4000)
    assert connection.peer.read_frame().close_code == 1000
    with pytest.raises(EOFError):
        connection.peer.read(1)


def test_close_without_memory_for_the_close_frame(line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch) -> None:
    """close() does not raise, and releases the socket."""

    def no_memory(frame: websocket.ABNF) -> bytes:
        raise MemoryError

    connection = line()
    monkeypatch.setattr(websocket.ABNF, "format", no_memory)
    connection.client.close()
    with pytest.raises(EOFError):
        connection.peer.read(1)


# Control frames and fragments.


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("payload", [b"", b"are you there", b"\x00" * 125], ids=["empty", "text", "125 bytes"])
def test_a_ping_is_answered(line: Callable[..., Line], tls: bool, payload: bytes) -> None:
    """A PING is answered by a PONG with the same payload, while receive() waits for messages."""
    connection = line(tls)
    connection.say(frame(9, payload))
    thread, outcome = in_thread(connection.hear)
    pong = connection.peer.read_frame()
    assert (pong.opcode, pong.payload) == (10, payload)
    connection.say(frame(10, b"of no use"), frame(1, b"done"))
    assert finished(thread, outcome) == b"done"


def test_fragments(line: Callable[..., Line]) -> None:
    """Fragments make one message, with control frames and empty fragments between them."""
    connection = line()
    connection.say(frame(1, b"", fin=False), frame(0, b"one ", fin=False), frame(9, b"p"), frame(0, b"", fin=False))
    connection.say(frame(0, b"message"), frame(1, b"next"))
    assert [connection.hear(), connection.hear()] == [b"one message", b"next"]
    assert connection.peer.read_frame().opcode == 10


def test_control_frames_do_not_count_as_the_message(line: Callable[..., Line]) -> None:
    """A PING between the fragments of a message that is nearly too long does not make it too long."""
    connection = line()
    connection.say(frame(1, b"x" * (LIMIT - 1), fin=False), frame(9, b"p" * 125), frame(0, b"y"))
    assert connection.hear() == b"x" * (LIMIT - 1) + b"y"


def test_control_frames_do_not_put_off_the_deadline(line: Callable[..., Line]) -> None:
    """Endless PINGs do not keep receive() from its deadline."""
    connection = line()
    stop = threading.Event()

    def ping() -> None:
        while not stop.wait(0.005):
            connection.say(frame(9))

    thread, outcome = in_thread(ping)
    with Stopwatch() as watch:
        assert connection.hear(SHORT) is None
    stop.set()
    finished(thread, outcome)
    assert SHORT <= watch.seconds < SOON


#: The length of a message that does not fit into the buffers of :func:`_fill`.
LONG = 2**20


def _fill(connection: Line, timeout: float) -> Tuple[threading.Thread, List[Any]]:
    """Send a message that the peer does not read. Returns once the sender waits for room, or has given up."""
    stream = connection.client._stream
    assert stream is not None
    stream._raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)
    connection.peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
    thread, outcome = in_thread(lambda: connection.client.send("x" * LONG, timeout))
    assert eventually(lambda: _is_waiting(thread) or outcome)
    return thread, outcome


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_a_ping_while_another_thread_sends(line: Callable[..., Line], tls: bool) -> None:
    """If a PING arrives while a long message waits for room, its PONG follows the message."""
    connection = line(tls)
    thread, outcome = _fill(connection, 60)
    connection.say(frame(9, b"old"), frame(9, b"new"), frame(1, b"message"))
    assert connection.hear() == b"message"
    receiver = in_thread(connection.hear)
    assert len(connection.peer.read_frame().payload) == LONG
    assert finished(thread, outcome) is None
    pong = connection.peer.read_frame()
    assert (pong.opcode, pong.payload) == (10, b"new")
    connection.say(frame(1, b"next"))
    assert finished(*receiver) == b"next"


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_a_peer_that_does_not_read(line: Callable[..., Line], tls: bool) -> None:
    """A send() without room in time ends the connection: half a frame may be out, and nothing may follow it."""
    connection = line(tls)
    thread, outcome = _fill(connection, SHORT)
    error = finished(thread, outcome)
    assert error.code == "WS_CONNECTION_FAIL" and "no room to send" in error.message
    assert "no room to send" in connection.fails("WS_CONNECTION_FAIL").message
    assert "no room to send" in error_of(lambda: connection.client.send("more", SHORT), "WS_CONNECTION_FAIL").message
    connection.client.close()
    with pytest.raises((EOFError, OSError)):
        connection.peer.read_frame()


def test_a_second_sender_has_its_own_limit(line: Callable[..., Line]) -> None:
    """A sender that waits for its turn gives up at its own limit. The first one's frame stays whole."""
    connection = line()
    thread, outcome = _fill(connection, 60)
    error = error_of(lambda: connection.client.send("second", SHORT), "WS_CONNECTION_FAIL")
    assert "no room" in error.message
    assert len(connection.peer.read_frame().payload) == LONG
    assert finished(thread, outcome) is None


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_an_interrupt_ends_a_send_to_a_peer_that_does_not_read(line: Callable[..., Line], tls: bool) -> None:
    """The connection thread may be in such a send: of a ping. When logout() returns, the connection is closed."""
    connection = line(tls)
    sender = _fill(connection, 3 * DEADLINE)
    connection.client.interrupt()
    assert finished(*sender).code == "WS_CONNECTION_FAIL"


def test_close_while_another_thread_sends(line: Callable[..., Line]) -> None:
    """close() does not wait for a sender without room. That sender, and one that waits for its turn, get an error."""
    connection = line()
    first, second = _fill(connection, 60), in_thread(lambda: connection.client.send("second", 60))
    with Stopwatch() as watch:
        connection.client.close()
    assert watch.seconds < 1
    assert [finished(*each).code for each in (first, second)] == ["WS_CONNECTION_FAIL"] * 2


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_frames_of_several_threads_stay_whole(line: Callable[..., Line], tls: bool) -> None:
    """Six threads send at once, while messages arrive. Every frame arrives whole."""
    connection = line(tls)
    texts = [chr(ord("a") + number) * size for number in range(6) for size in (1, 200, 70_000)]
    stop, received = threading.Event(), []

    def receive() -> None:
        while not stop.is_set():
            received.append(connection.hear(0.05))

    receiver = in_thread(receive)

    def send(part: List[str]) -> None:
        for text in part:
            connection.client.send(text, DEADLINE)

    senders = [in_thread(functools.partial(send, texts[number::6])) for number in range(6)]
    heard = []
    for _ in texts:
        connection.say(frame(1, b"m" * 100))
        heard.append(connection.peer.read_frame().payload.decode())
    for sender in senders:
        assert finished(*sender) is None
    assert eventually(lambda: received.count(b"m" * 100) == len(texts))
    stop.set()
    finished(*receiver)
    assert sorted(heard) == sorted(texts)


# Too much data, and breaches of the protocol.


def test_a_frame_of_2_to_the_40(line: Callable[..., Line]) -> None:
    """A frame that announces 2^40 bytes is refused by its header, without a wait for its payload."""
    connection = line()
    connection.say(frame(1, b"first"), b"\x82\x7f" + struct.pack("!Q", 2**40))
    assert connection.hear() == b"first"
    error = connection.fails("ERR_PROTOCOL")
    assert f"{2**40} bytes" in error.message and str(LIMIT) in error.message
    assert error.details == "closed with code 1009"
    assert connection.peer.read_frame().close_code == 1009


@pytest.mark.parametrize("length", [2**63, 2**64 - 1])
def test_a_length_with_the_highest_bit(line: Callable[..., Line], length: int) -> None:
    """A length that RFC 6455 does not allow is over the limit too."""
    connection = line()
    connection.say(b"\x82\x7f" + struct.pack("!Q", length))
    connection.fails("ERR_PROTOCOL")
    assert connection.peer.read_frame().close_code == 1009


@pytest.mark.parametrize("over", [0, 1])
def test_the_limit_is_exact(line: Callable[..., Line], over: int) -> None:
    """A message of the maximum size is accepted, alone or in fragments. One byte more is refused."""
    for parts in ((LIMIT + over,), (LIMIT - 10, 10 + over)):
        connection = line()
        last = len(parts) - 1
        connection.say(*(frame(2 * (at == 0), b"x" * part, fin=at == last) for at, part in enumerate(parts)))
        if over:
            connection.fails("ERR_PROTOCOL")
            assert connection.peer.read_frame().close_code == 1009
        else:
            assert connection.hear() == b"x" * LIMIT


@pytest.mark.parametrize("size", [0, 1, 100])
def test_fragments_without_end(line: Callable[..., Line], size: int) -> None:
    """Endless fragments are cut off at the limit. An empty one counts as one byte."""
    connection = line()
    connection.say(frame(1, b"", fin=False), frame(0, b"x" * size, fin=False) * (LIMIT // max(size, 1) + 1))
    connection.fails("ERR_PROTOCOL")
    assert connection.peer.read_frame().close_code == 1009


BREACHES: Dict[str, bytes] = {
    "reserved bit 1": frame(1, b"x", rsv=4),
    "reserved bit 2": frame(1, b"x", rsv=2),
    "reserved bit 3": frame(9, b"x", rsv=1),
    "opcode 3": frame(3, b"x"),
    "opcode 7": frame(7, b""),
    "opcode 11": frame(11, b"x"),
    "opcode 15": frame(15, b"x"),
    "masked text": frame(1, b"x", masked=True),
    "masked ping": frame(9, b"x", masked=True),
    "ping in fragments": frame(9, b"x", fin=False),
    "pong in fragments": frame(10, b"x", fin=False),
    "close in fragments": frame(8, b"\x03\xe8", fin=False),
    "long ping": frame(9, b"x" * 126),
    "long pong": frame(10, b"x" * 126),
    "long close": frame(8, b"\x03\xe8" + b"x" * 124),
    "close of one byte": frame(8, b"\x03"),
    "continuation of nothing": frame(0, b"x"),
    "last continuation of nothing": frame(0, b"x", fin=False),
    "message within a message": frame(1, b"x", fin=False) + frame(1, b"y"),
    "a second continuation": frame(1, b"x", fin=False) + frame(0, b"y") + frame(0, b"z"),
}


@pytest.mark.parametrize("data", BREACHES.values(), ids=BREACHES.keys())
def test_a_breach_of_the_protocol(line: Callable[..., Line], data: bytes) -> None:
    """A breach of RFC 6455 ends the connection with 1002. Messages before it are accepted."""
    connection = line()
    connection.say(frame(1, b"before"), data)
    assert connection.hear() == b"before"

    def rest() -> None:
        while connection.hear() is not None:
            pass

    error = error_of(rest, "ERR_PROTOCOL")
    assert error.details == "closed with code 1002" and error.__cause__ is not None
    assert connection.peer.read_frame().close_code == 1002


def test_a_breach_is_seen_in_the_header(line: Callable[..., Line]) -> None:
    """A breach in the header is reported at once, without a wait for the announced payload."""
    connection = line()
    connection.say(frame(3, b"x")[:2])
    assert connection.fails("ERR_PROTOCOL").details == "closed with code 1002"


# Deadlines, and bytes in odd portions.


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_a_deadline_in_the_middle_loses_nothing(line: Callable[..., Line], tls: bool) -> None:
    """Deadlines at any point within a frame, in its header or its payload, lose no byte of it."""
    connection = line(tls)
    text = b"y" * 200
    heard = []
    for byte in frame(1, b"x", fin=False) + frame(0, text) + frame(9, b"ping"):
        connection.say(bytes([byte]))
        heard.append(connection.hear(0))
    assert eventually(lambda: heard.append(connection.hear(0.01)) or heard[-10:] == [None] * 10)
    assert [message for message in heard if message is not None] == [b"x" + text]
    assert connection.peer.read_frame().payload == b"ping"


def test_a_past_deadline_returns_available_messages(line: Callable[..., Line]) -> None:
    """With a deadline in the past, receive() does not wait, and returns the available message."""
    connection = line()
    with Stopwatch() as watch:
        assert connection.hear(-1) is None
    assert watch.seconds < 1
    connection.say(frame(1, b"here"))
    assert eventually(lambda: connection.hear(-1)) == b"here"


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_a_flood(line: Callable[..., Line], tls: bool) -> None:
    """Twenty thousand frames at once, many to a TLS record, all arrive in order."""
    connection = line(tls)
    count = 20_000
    thread, outcome = in_thread(lambda: connection.say(*(frame(1, b"%d" % number) for number in range(count))))
    heard = [connection.hear() for _ in range(count)]
    finished(thread, outcome)
    assert heard == [b"%d" % number for number in range(count)]


@pytest.mark.parametrize("piece", [1, 7])
def test_tls_records_in_pieces(serve: Serve, new_socket: NewSocket, authority: Authority, piece: int) -> None:
    """TLS records in pieces of a few bytes carry handshake and messages as usual."""

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.socket.sendall(frame(1, b"a" * 500))
        peer.socket.sendall(frame(1, peer.read_frame().payload))
        peer.wait_for_end()

    client = new_socket(proxies={"https": f"http://127.0.0.1:{serve(ConnectProxy(piece=piece)).port}"})
    client.open(serve(script, authority.server()).url(), DEADLINE)
    assert client.receive(time.monotonic() + DEADLINE) == [b"a" * 500]
    client.send("b" * 500, DEADLINE)
    assert client.receive(time.monotonic() + DEADLINE) == [b"b" * 500]


def test_garbage_within_tls(serve: Serve, new_socket: NewSocket, authority: Authority) -> None:
    """Bytes that are not a TLS record, in the middle of a TLS connection, are a failure of TLS."""

    def script(peer: Peer) -> None:
        peer.upgrade()
        with socket.socket(fileno=os.dup(peer.socket.fileno())) as raw:
            raw.sendall(b"this is no record of TLS at all")
        peer.wait_for_end()

    client = new_socket()
    client.open(serve(script, authority.server()).url(), DEADLINE)
    error = error_of(lambda: client.receive(time.monotonic() + DEADLINE), "WS_CONNECTION_FAIL")
    assert "TLS: " in error.message and isinstance(error.__cause__, ssl.SSLError)


def test_nothing_is_left_open(serve: Serve, new_socket: NewSocket, authority: Authority) -> None:
    """Attempts that fail, each at another step, leave no connection behind: every peer sees its end."""
    ended: List[str] = []

    def script(name: str, reply: bytes = b"") -> Callable[[Peer], None]:
        def run(peer: Peer) -> None:
            peer.socket.sendall(reply)
            peer.wait_for_end()
            ended.append(name)

        return run

    hanging, busy = serve(script("hanging")), serve(script("busy", answer(503)))
    no_tls, proxy = serve(script("no TLS", answer(400))), serve(script("proxy", answer(407)))
    refused(new_socket(), hanging.url(), "ERR_CONNECT_TIMEOUT", SHORT)
    refused(new_socket(), busy.url())
    refused(new_socket(), f"wss://127.0.0.1:{no_tls.port}/")
    refused(new_socket(proxies={"http": f"http://127.0.0.1:{proxy.port}"}), busy.url())
    assert eventually(lambda: sorted(ended) == ["busy", "hanging", "no TLS", "proxy"])
