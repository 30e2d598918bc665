"""Errors of the libraries and of the system in this SDK's words, proxies' addresses, and heads of answers."""

from __future__ import annotations

import errno
import itertools
import socket
import ssl
import time

import pytest
import requests
import urllib3
import websocket
from hypothesis import given
from hypothesis import strategies as st
from rows import each_row

from cometchat import AppSettings, CometChatException, ConnectionException, ConnectionTimeoutException
from cometchat._proxy_address import read_proxy
from cometchat._transport.http import RequestsRest
from cometchat._transport.http import _connections as connections_module
from cometchat._transport.http import _rest as rest_module
from cometchat._transport.net import (
    BadAnswer,
    BadProxy,
    BufferedStream,
    DeadlineReached,
    DialFailed,
    Interrupted,
    Route,
    network_reason,
    read_head,
)
from cometchat._transport.net._http_head import MAX_HEAD
from cometchat._transport.websocket import WebSocketClientSocket
from cometchat._transport.websocket import _socket as websocket_module
from cometchat._transport.websocket import socket_factory
from cometchat._transport.websocket._socket import _FrameBuffer


def exceptions_of(*modules):
    """Return all exception classes of the modules, without warnings, also those of later versions."""
    found = {item for module in modules for item in vars(module).values() if isinstance(item, type)}
    found = {item for item in found if issubclass(item, Exception) and not issubclass(item, Warning)}
    return sorted(found, key=lambda item: (item.__module__, item.__name__))


def instance_of(cls):
    """Return an instance, without the arguments of its ``__init__``."""
    error = cls.__new__(cls)
    error.args = ("secret-of-the-library",)
    return error


# Every class of the two libraries, also of later versions.


WEBSOCKET = exceptions_of(websocket._exceptions)
REQUESTS = exceptions_of(requests.exceptions, urllib3.exceptions)


def test_the_enumerations_find_something():
    """The lists below have the libraries' classes, and are not empty."""
    assert {"WebSocketException", "WebSocketProxyException"} <= {cls.__name__ for cls in WEBSOCKET}
    assert {"RequestException", "ProxyError", "ReadTimeout", "MaxRetryError"} <= {cls.__name__ for cls in REQUESTS}


@pytest.fixture
def client():
    return WebSocketClientSocket(proxies=None, ca_certs=None, max_message_size=1024)


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def opened(client, listener, monkeypatch):
    """Return a socket in its state after open()."""
    monkeypatch.setattr(client, "_shake_hands", lambda *args: None)
    client.open(f"ws://127.0.0.1:{listener.getsockname()[1]}/", 5)
    monkeypatch.setattr(client._stream, "take", lambda *args: [])  # no whole text: the library's parser reads
    yield client
    client.close()


PROTOCOL = ("WebSocketProtocolException", "WebSocketPayloadException")


@pytest.mark.parametrize("cls", WEBSOCKET, ids=lambda cls: cls.__name__)
def test_every_exception_of_websocket_client_in_receive(cls, opened, monkeypatch):
    """Any exception of websocket-client for a frame becomes an error of this SDK, with that exception as its cause."""
    failure = instance_of(cls)

    def recv_frame():
        raise failure

    monkeypatch.setattr(opened._frames, "recv_frame", recv_frame)
    with pytest.raises(ConnectionException) as caught:
        opened.receive(time.monotonic() + 5)
    assert caught.value.code == ("ERR_PROTOCOL" if cls.__name__ in PROTOCOL else "WS_CONNECTION_FAIL")
    assert caught.value.__cause__ is failure
    assert "secret-of-the-library" not in str(caught.value)


OTHERS = [OSError(5, "I/O error"), ssl.SSLError(1, "x"), ssl.CertificateError("x"), ValueError("x"), KeyError(1)]


@pytest.mark.parametrize("failure", OTHERS, ids=lambda failure: type(failure).__name__)
def test_any_other_exception_in_receive(opened, monkeypatch, failure):
    """The same holds for exceptions of the system, of ssl and of mistakes."""

    def recv_frame():
        raise failure

    monkeypatch.setattr(opened._frames, "recv_frame", recv_frame)
    with pytest.raises(ConnectionException) as caught:
        opened.receive(time.monotonic() + 5)
    assert (caught.value.code, caught.value.__cause__) == ("WS_CONNECTION_FAIL", failure)


@each_row("cls, proxy", itertools.product(REQUESTS, [None, "http://user:pa55@proxy.example:3128"]))
def test_every_exception_of_requests(cls, proxy, monkeypatch):
    """Any exception of requests or urllib3 becomes FAILED_TO_FETCH (except one) with the host and its cause."""
    failure = instance_of(cls)

    def send(*args, **more):
        raise failure

    route = Route(read_proxy(proxy) if proxy else None, requests.certs.where())
    monkeypatch.setattr(rest_module, "resolve_route", lambda *args: route)
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    rest = RequestsRest()
    with pytest.raises(CometChatException) as caught:
        rest.call("GET", "https://api.example/v3.0/me", headers={}, timeout=5)
    rest.close()
    # Only this one is about the answer, and not about the way.
    unpacking = cls is requests.exceptions.ContentDecodingError
    code = "ERR_BAD_RESPONSE" if unpacking else "FAILED_TO_FETCH"
    assert (caught.value.code, type(caught.value)) == (code, ConnectionException)
    assert caught.value.__cause__ is failure
    assert "api.example:443" in caught.value.message
    assert "secret-of-the-library" not in str(caught.value) and "pa55" not in str(caught.value)


# The sentence.


def _caused(error, cause):
    error.__cause__ = cause
    return error


def _verification(text):
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_message = text
    return error


def _without_a_class(code, text):
    """Return an OSError like those for which Windows's older Pythons have no class."""
    error = OSError(text)
    error.errno, error.strerror = code, text
    return error


def _tls(library, reason):
    """Return an error like OpenSSL's own, such as those of 3.5."""
    error = ssl.SSLError(1, "x")
    error.library, error.reason = library, reason
    return error


class CertificateError(ValueError):
    """The class of urllib3 1.26."""


OTHER_NAME = "hostname 'h' doesn't match 'other'"
REASONS = [
    (ConnectionRefusedError(), "connection refused by h:1"),
    (ConnectionResetError(), "h:1 reset the connection"),
    (BrokenPipeError(), "h:1 reset the connection"),
    (ConnectionAbortedError(), "h:1 reset the connection"),
    (TimeoutError(), "timeout: no answer from h:1"),
    (socket.timeout("timed out"), "timeout: no answer from h:1"),
    (DeadlineReached("timed out"), "timeout: no answer from h:1"),
    (_without_a_class(errno.ETIMEDOUT, "The connection timed out"), "timeout: no answer from h:1"),
    (OSError(113, "No route to host"), "network: No route to host (h:1)"),
    (OSError("of no number"), "connection to h:1 failed (OSError)"),
    (socket.gaierror(-2, "Name unknown"), "DNS: no address for h:1: Name unknown"),
    (socket.gaierror(), "DNS: no address for h:1: lookup failed"),
    (UnicodeError("encoding with 'idna' codec failed"), "DNS: h:1 is not the name of a host"),
    (requests.exceptions.InvalidURL("URL has an invalid label."), "DNS: h:1 is not the name of a host"),
    (UnicodeError("another"), "connection to h:1 failed (UnicodeError)"),
    (_verification("expired"), "TLS: the certificate of h:1 is not trusted: expired"),
    (_verification(""), "TLS: the certificate of h:1 is not trusted: verification failed"),
    (CertificateError(OTHER_NAME), f"TLS: the certificate of h:1 is not trusted: {OTHER_NAME}"),
    (ssl.SSLError(1, "x"), "TLS: the connection to h:1 failed: the peer does not use TLS"),
    (ssl.SSLEOFError(8, "x"), "TLS: the connection to h:1 failed: the peer closed it"),
    (ssl.SSLZeroReturnError(6, "x"), "TLS: the connection to h:1 failed: the peer closed it"),
    (_tls("SYS", None), "TLS: the connection to h:1 failed: the peer closed it"),
    (_tls("SSL", "UNEXPECTED_EOF_WHILE_READING"), "TLS: the connection to h:1 failed: the peer closed it"),
    (
        _tls("SSL", "WRONG_VERSION_NUMBER"),
        "TLS: the connection to h:1 failed: the peer does not use TLS (WRONG_VERSION_NUMBER)",
    ),
    (_tls("SSL", "UNSUPPORTED_PROTOCOL"), "TLS: the connection to h:1 failed: UNSUPPORTED_PROTOCOL"),
    (DialFailed("proxy: p made no tunnel"), "proxy: p made no tunnel"),
    (BadProxy("why"), "proxy: why"),
    (KeyError("x"), "connection to h:1 failed (KeyError)"),
    (Interrupted("x"), "connection to h:1 failed (Interrupted)"),
    # Wrapped like in the libraries.
    (_caused(ValueError("x"), _caused(KeyError(), ConnectionRefusedError())), "connection refused by h:1"),
    (ValueError(KeyError(ConnectionResetError())), "h:1 reset the connection"),
    (urllib3.exceptions.MaxRetryError(None, "/", TimeoutError()), "timeout: no answer from h:1"),
]


@each_row("error, reason", REASONS)
def test_the_sentence(error, reason):
    """The decisive exception is found at any depth, and becomes one sentence with the host."""
    assert network_reason(error, "h:1") == reason


def test_causes_in_a_circle():
    """Exceptions that are each other's causes are visited once."""
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert network_reason(one, "h:1") == "connection to h:1 failed (ValueError)"


# Addresses of proxies.


@each_row(
    "address, expected, name",
    [
        ("http://h:3128", ("http", "h", 3128, None), "http://h:3128"),
        ("h:3128", ("http", "h", 3128, None), "http://h:3128"),
        ("HTTP://H", ("http", "h", 80, None), "http://h:80"),
        ("https://h", ("https", "h", 443, None), "https://h:443"),
        ("socks5h://h", ("socks5h", "h", 1080, None), "socks5h://h:1080"),
        ("http://u@h", ("http", "h", 80, ("u", "")), "http://h:80"),
        ("http://u:p@h/", ("http", "h", 80, ("u", "p")), "http://h:80"),
        ("http://u%40x:p%2F%3A@[::1]:1", ("http", "::1", 1, ("u@x", "p/:")), "http://[::1]:1"),
        ("http://@h", ("http", "h", 80, None), "http://h:80"),
        ("http://D\\u:p\\@h", ("http", "h", 80, ("D\\u", "p\\")), "http://h:80"),
    ],
)
def test_a_proxys_address(address, expected, name):
    """An address is split like in requests, which gets it escaped. Its name has neither user nor password."""
    proxy = read_proxy(address)
    assert proxy == (*expected, "")
    assert proxy.name == name
    assert read_proxy(proxy.address) == proxy
    host = urllib3.util.parse_url(proxy.address).host
    assert host == (f"[{proxy.host}]" if ":" in proxy.host else proxy.host)


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_a_password_never_becomes_a_name(password):
    """For any unescaped password, no part of it is in the host, or the address is refused without showing it."""
    try:
        proxy = read_proxy(f"http://user:{password}@proxy.example:3128")
    except BadProxy as error:
        assert str(error) == str(_refusal()) and error.__suppress_context__
    else:
        assert proxy.name == "http://proxy.example:3128" and read_proxy(proxy.address) == proxy


@each_row("address", ["http://h:0", "http://a b:1", "http://a\tb:1", "http://h\n", "http://[::1", "h:x", "h\\x:1"])
def test_an_address_of_no_proxy(address):
    """It is refused, instead of another host or port being called."""
    with pytest.raises(BadProxy) as caught:
        read_proxy(address)
    assert str(caught.value) == str(_refusal())


def _refusal():
    with pytest.raises(BadProxy) as caught:
        read_proxy("http://:1")
    return caught.value


# The head of an answer.


class _Pieces:
    """A socket whose bytes arrive in pieces of this size. Its peer then ends the connection."""

    def __init__(self, data, piece):
        self._data, self._piece = data, piece

    def setblocking(self, flag):
        pass

    def fileno(self):
        return 0

    def recv(self, size):
        chunk, self._data = self._data[: self._piece], self._data[self._piece :]
        return chunk


def _stream(data, piece=1):
    return BufferedStream(_Pieces(data, piece))


def _rest(stream):
    return b"".join(iter(lambda: stream.recv(MAX_HEAD), b""))


@pytest.mark.parametrize("piece", [1, 2, 7, 99])
def test_a_head_is_read_and_no_more(piece):
    """Status and headers are read, repeated ones joined, and bytes after the empty line are left."""
    stream = _stream(b"HTTP/1.1 503 Busy\r\nRetry-After:  5 \r\nX: 1\r\nno colon\r\nx: 2\r\n\r\nbody\n\n", piece)
    assert read_head(stream.take) == (503, {"retry-after": "5", "x": "1, 2"})
    assert _rest(stream) == b"body\n\n"


@pytest.mark.parametrize("line", [b"HTTP/1.0 200", b"HTTP/1.1 200 ", b"HTTP/1.1  200 ok then"])
def test_status_lines(line):
    """Status lines with and without a reason, and lines that end in LF alone, are understood."""
    assert read_head(_stream(line + b"\nA: b\n\n").take) == (200, {"a": "b"})


@each_row("line", [b"", b"HTTP/1.1", b"HTTP/1.1 20", b"HTTP/1.1 2000", b"HTTP/2 200", b" HTTP/1.1 200"])
def test_wrong_status_lines(line):
    """A line that is not a status line of HTTP/1 is an error."""
    with pytest.raises(BadAnswer, match="does not use HTTP"):
        read_head(_stream(line + b"\r\n\r\n").take)


def test_the_longest_head():
    """A head of 64 KiB is read. An endless one is not read further than that."""
    start = b"HTTP/1.1 200 ok\r\nX: "
    longest = start + b"y" * (MAX_HEAD - len(start) - 4) + b"\r\n\r\n"
    assert read_head(_stream(longest, MAX_HEAD).take).status == 200
    stream = _stream(start + b"y" * 2 * MAX_HEAD)
    with pytest.raises(BadAnswer, match="more than 65536 bytes"):
        read_head(stream.take)
    assert len(_rest(stream)) == len(start) + MAX_HEAD - 1


@given(st.binary())
def test_any_bytes_are_a_head_or_a_bad_answer(data):
    """For any bytes the result is a status of three digits, or BadAnswer."""
    try:
        head = read_head(_stream(data).take)
    except BadAnswer:
        return
    assert 100 <= head.status <= 999


# HTTP answers, and other parts that a server cannot easily cause.


@pytest.fixture
def connected():
    """Two sockets, connected to each other."""
    one, other = socket.socketpair()
    yield one, other
    one.close()
    other.close()


def test_an_answer_on_a_socket_without_a_timeout(connected):
    """Without a timeout of the socket, an answer has no limit."""
    one, other = connected
    with connections_module._DeadlineReader(one, connections_module.Attempt(1.0)) as reader:
        other.sendall(b"abc")
        assert (reader.readable(), reader.read(2), one.gettimeout()) == (True, b"ab", None)


def test_an_answer_whose_time_is_over(connected):
    """Once the time is over, no more is read, though bytes are available. The socket keeps its timeout."""
    one, other = connected
    one.settimeout(0.05)
    with connections_module._DeadlineReader(one, connections_module.Attempt(1.0)) as reader:
        with pytest.raises(socket.timeout):
            reader.read(2)
        other.sendall(b"abc")
        with pytest.raises(socket.timeout):
            reader.read(2)
    assert one.gettimeout() == 0.05
    assert one.recv(9) == b"abc"


def test_an_error_too_deep_to_show():
    """A value that can just be read, but not written again, does not lead to an exception of another kind."""
    deep = []
    for _ in range(200_000):
        deep = [deep]
    assert rest_module._text(deep) == "nested too deep to show"
    while deep:  # taken apart by hand, since not every Python does it without recursion
        deep = deep.pop()


def test_a_socket_that_is_closed_between_two_reads():
    """A parser that continues to read after close() gets an error that the stream was closed."""
    mine, peer = socket.socketpair()
    stream = BufferedStream(mine)
    stream.close()
    with peer, pytest.raises(Interrupted):
        _FrameBuffer(stream, 99).recv(1)


def test_a_pong_while_another_thread_sends(opened):
    """A PONG does not wait for another thread's turn to send. It stays due."""
    opened._pong = b"payload"
    with opened._sending:
        opened._send_pong()
    assert opened._pong == b"payload"
    opened._send_pong()
    assert opened._pong is None


def test_a_pong_that_another_thread_has_sent_already(opened, monkeypatch):
    """If two threads notice the same due PONG, one sends it and the other sends nothing."""
    written = []

    class Turn:
        def acquire(self, blocking):
            opened._pong = None  # the other thread was first
            return True

        def release(self):
            written.append("released")

    monkeypatch.setattr(opened, "_sending", Turn())
    monkeypatch.setattr(opened, "_write", lambda *args: written.append("a PONG"))
    opened._pong = b"payload"
    opened._send_pong()
    assert written == ["released"]
    monkeypatch.undo()


# The composition of the parts.


def test_the_sockets_of_a_client():
    """The factory gives each socket the settings that it needs. Each is a new one."""
    settings = AppSettings(region="us", proxies={"https": "http://h:1"}, max_message_size=2048)
    one, other = socket_factory(settings)(), socket_factory(settings)()
    assert one is not other
    assert (one._proxies, one._ca_certs, one._max_message_size) == (settings.proxies, None, 2048)


def test_deadlines_and_timeouts_differ():
    """A deadline counts as a timeout for all code that knows timeouts. An interrupt does not."""
    assert issubclass(DeadlineReached, socket.timeout) and not issubclass(Interrupted, socket.timeout)
    assert websocket_module.exception_for("ERR_CONNECT_TIMEOUT", "x").__class__ is ConnectionTimeoutException
