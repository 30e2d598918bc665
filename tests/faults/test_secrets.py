"""Auth key, auth token, jwt and a proxy's password go to the service, and nowhere else.

They go neither to the place that a redirect names, nor into a log at DEBUG (of any library), an exception, a traceback,
a warning, a repr, or a file that others can read. This holds for every answer of the service, and every place in which
the service repeats them.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import json
import logging
import pickle
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional
from unittest.mock import Mock

import pytest
from integration.conftest import DEADLINE, UID, Peer, RawServer, Recorder, accept_upgrade, finished, frame, in_thread
from integration.transport_peers import answer, unused_port

import cometchat
from cometchat import (
    AppSettings,
    Client,
    CometChat,
    CometChatException,
    FileSessionStore,
    MemorySessionStore,
    TextMessage,
)
from cometchat._runtime.account._redaction import Secrets
from cometchat._transport._exception_chain import exception_chain as causes

from .fuzz_peers import JWT, KEY, TOKEN, Answer, Service
from .fuzz_values import check

Serve = Callable[..., RawServer]

MB = 2**20

#: In characters. An attacker can use a piece of this length.
PIECE = 20

#: The password of a proxy. Its address has it with %XX, and the header in base64.
PASSWORD = "pr0xy-pa55word-0123456789"

SECRETS = {"auth key": KEY, "auth token": TOKEN, "jwt": JWT.partition(".")[2], "proxy password": PASSWORD}


def leaks(text: str) -> List[str]:
    """Return the secrets, or pieces of them, that a text shows, with the text around each."""
    found = []
    for name, secret in SECRETS.items():
        for start in range(len(secret) - PIECE + 1):
            at = text.find(secret[start : start + PIECE])
            if at >= 0:
                found.append(f"{name}: ...{text[max(0, at - 80) : at + 30]!r}")
                break
    return found


def shown(error: BaseException) -> str:
    """Return every text that a program could print of an error and of the errors that it wraps."""
    texts = ["".join(traceback.format_exception(type(error), error, error.__traceback__))]
    for each in causes(error):
        texts += [str(each), repr(each), repr(each.args)]
        if isinstance(each, CometChatException):
            texts += [str(each.details), each.name, repr(vars(each))]
    if isinstance(error, CometChatException):
        texts.append(repr(pickle.dumps(error)))
    return "\n".join(texts)


class Log(logging.Handler):
    """Keeps the records of all loggers, DEBUG included, as text."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.stream = io.StringIO()

    def emit(self, record: logging.LogRecord) -> None:
        self.stream.write(f"{self.format(record)} {record.args!r}\n")

    @property
    def text(self) -> str:
        return self.stream.getvalue()


@contextlib.contextmanager
def hearing_all(handler: logging.Handler) -> Iterator[None]:
    """Add this handler to all loggers, DEBUG included."""
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def log() -> Iterator[Log]:
    handler = Log()
    with hearing_all(handler):
        yield handler


# Redirects.

CALLS: Dict[str, Callable[[Client], object]] = {
    "auth_tokens": lambda client: client.login(UID, KEY),
    "me": lambda client: client.login_with_auth_token(TOKEN),
    "settings": lambda client: client._core.account.refresh_settings(),
    "history": lambda client: client._core.history.messages_after("5", 100),
    "messages": lambda client: client.send_message(TextMessage(receiver_id="u2", receiver_type="user", text="x")),
    "logout": lambda client: client.logout(),
}


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
def test_a_redirect_of_any_call_is_not_followed(
    service: Service, serve: Serve, new_client: Callable[..., Client], status: int
) -> None:
    """Each call with a credential is redirected to another port, host or scheme. No request goes there."""
    visited: List[Peer] = []
    other = serve(visited.append)
    for place in (
        f"http://127.0.0.1:{other.port}/me",
        f"http://localhost:{other.port}/",
        f"//127.0.0.1:{other.port}/x",
    ):
        for call, act in CALLS.items():
            client = new_client(auto_establish_socket_connection=False)
            if call not in ("auth_tokens", "me"):
                client.login(UID, KEY)
            service.answers[call] = answer(status, b'{"data": {}}', {"Location": place, "Refresh": f"0; url={place}"})
            with pytest.raises(CometChatException) as caught:
                act(client)
            assert (caught.value.code, caught.value.http_status) == ("ERR_BAD_RESPONSE", status)
            service.answers.clear()
            client.close()
    other.close()
    assert visited == []


def test_a_redirect_of_the_upgrade_is_not_followed(
    service: Service, serve: Serve, new_client: Callable[..., Client]
) -> None:
    """The WebSocket does not follow a redirect either: the attempt fails, with the status in its error."""
    visited: List[Peer] = []
    other = serve(visited.append)
    place = f"http://127.0.0.1:{other.port}/"
    recorder = Recorder()
    client = new_client()
    client.add_connection_listener("heard", recorder)
    service.answers["upgrade"] = answer(307, headers={"Location": place})
    client.login(UID, KEY)
    assert recorder.wait_for("on_connection_error").argument.details == "HTTP 307"
    other.close()
    assert visited == []


# A service that repeats the secrets.


def _http(head: str, body: str = "{}") -> Callable[[str], bytes]:
    return lambda secret: (head.format(s=secret) + "\r\n\r\n" + body.replace("SECRET", secret)).encode()


def _error(**fields: Any) -> Callable[[str], bytes]:
    return lambda secret: answer(400, json.dumps({"error": fields}).replace("SECRET", secret).encode())


ECHOES: Dict[str, Callable[[str], bytes]] = {
    "no HTTP": lambda secret: secret.encode() + b"\r\n\r\n",
    "the version": _http("HTTP/{s} 200 ok"),
    "the status": _http("HTTP/1.1 {s}"),
    "the reason": _http("HTTP/1.1 401 {s}\r\nContent-Length: 2"),
    "a header's name": _http("HTTP/1.1 401 no\r\n{s}: x\r\nContent-Length: 2"),
    "a header without a colon": _http("HTTP/1.1 401 no\r\nContent-Length: 2\r\n{s}\r\nX: y"),
    "Location": _http("HTTP/1.1 302 go\r\nLocation: http://[{s}]:x/\r\nContent-Length: 2"),
    "Content-Length": _http("HTTP/1.1 200 ok\r\nContent-Length: {s}"),
    "two Content-Lengths": _http("HTTP/1.1 200 ok\r\nContent-Length: 2, {s}"),
    "Content-Encoding": _http("HTTP/1.1 200 ok\r\nContent-Encoding: gzip, {s}\r\nContent-Length: 2"),
    "Content-Type": _http("HTTP/1.1 200 ok\r\nContent-Type: multipart/mixed; boundary={s}\r\nContent-Length: 2"),
    "Retry-After": _http("HTTP/1.1 429 no\r\nRetry-After: {s}\r\nContent-Length: 2"),
    "Set-Cookie": _http("HTTP/1.1 401 no\r\nSet-Cookie: {s}={s}; expires={s}\r\nContent-Length: 2"),
    "the length of a chunk": _http("HTTP/1.1 200 ok\r\nTransfer-Encoding: chunked", "SECRET\r\n"),
    "half a body": _http("HTTP/1.1 200 ok\r\nContent-Length: 5000", "SECRET"),
    "a body": _http("HTTP/1.1 500 no\r\nConnection: close", "<html>SECRET</html>"),
    "broken JSON": _http("HTTP/1.1 200 ok\r\nConnection: close", '{"data": SECRET'),
    "an error's code": _error(code="SECRET"),
    "an error's name": _error(code="ERR_X", name="SECRET", message="no"),
    "an error's message": _error(code="ERR_X", message="no SECRET, it is"),
    "an error's message, after 990 characters": _error(code="ERR_X", message="x" * 990 + "SECRET"),
    "an error's details": _error(code="ERR_X", message="no", details={"headers": ["SECRET"]}),
    "the error of too many requests": lambda secret: answer(429, b'{"error": {"message": "%s"}}' % secret.encode()),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())
def test_secrets_in_http_answers_are_not_shown(
    service: Service, new_client: Callable[..., Client], log: Log, echo: Callable[[str], bytes]
) -> None:
    """An answer may repeat auth key and auth token in any place: neither error, nor cause, nor log shows them."""
    client = new_client(auto_establish_socket_connection=False)
    seen = []
    for call, secret in (
        ("auth_tokens", KEY),
        ("me", TOKEN),
        ("settings", TOKEN),
        ("messages", TOKEN),
        ("logout", TOKEN),
    ):
        if call not in ("auth_tokens", "me") and client.get_logged_in_user() is None:
            client.login(UID, KEY)
        service.answers[call] = echo(secret)
        with pytest.raises(CometChatException) as caught:
            CALLS[call](client)
        seen.append(shown(caught.value))
        service.answers.clear()
    text = "\n".join([*seen, log.text])
    assert "127.0.0.1" in text and leaks(text) == []


def _auth(**fields: Any) -> Callable[[str], bytes]:
    return lambda secret: frame(1, json.dumps({"type": "auth", "body": fields}).replace("SECRET", secret).encode())


def _close(code: int) -> Callable[[str], bytes]:
    return lambda secret: frame(8, code.to_bytes(2, "big") + secret.encode()[:123])


AUTH_ECHOES: Dict[str, Callable[[str], bytes]] = {
    "the code": _auth(code="SECRET"),
    "the status": _auth(code="401", status="SECRET"),
    "the message": _auth(code="401", message="no SECRET no"),
    "the message, after 1990 characters": _auth(code="401", message="x" * 1990 + "SECRET"),
    "a close that refuses": _close(4001),
    "a close that passes": _close(1011),
    "a close with the jwt's middle": lambda secret: frame(8, b"\x0f\xa1" + secret[30:150].encode()),
    "a wrong frame": lambda secret: frame(1, secret.encode()) + frame(3, secret.encode()),
    "a type": lambda secret: frame(1, b'{"type":"%s","body":{}}' % secret.encode()) + frame(8, b""),
    "the service's trouble": _auth(code="500", message="SECRET"),
}


@pytest.mark.parametrize("secret", [JWT, TOKEN], ids=["jwt", "auth token"])
@pytest.mark.parametrize("echo", AUTH_ECHOES.values(), ids=AUTH_ECHOES.keys())
def test_secrets_in_an_answer_to_auth_are_not_shown(
    service: Service, new_client: Callable[..., Client], log: Log, echo: Callable[[str], bytes], secret: str
) -> None:
    """The answer to ``auth``, or a close, may repeat all or a part: neither error, nor cause, nor log shows it."""
    service.accept = echo(secret)
    client, recorder = new_client(auto_establish_socket_connection=False), Recorder()
    client.add_connection_listener("heard", recorder)
    client.login(UID, KEY)
    client.connect(0)
    recorder.wait_for("on_connection_error")
    with pytest.raises(CometChatException) as caught:
        client.connect(0.2)
    client.disconnect()
    info = client.connection_info()
    errors = [each for each in (*recorder.errors, caught.value, info.last_error) if each is not None]
    text = "\n".join([*map(shown, errors), repr(info), log.text])
    assert leaks(text) == []


UPGRADE_ECHOES: Dict[str, Callable[[bytes, bytes], bytes]] = {
    "no HTTP": lambda good, secret: secret + b"\r\n\r\n",
    "the reason": lambda good, secret: b"HTTP/1.1 403 " + secret + b"\r\n\r\n",
    "the version": lambda good, secret: good.replace(b"HTTP/1.1", b"HTTP/" + secret),
    "the key": lambda good, secret: good.replace(b"Accept: ", b"Accept: " + secret),
    "a protocol": lambda good, secret: good.replace(b"\r\n", b"\r\nSec-WebSocket-Protocol: " + secret + b"\r\n", 1),
    "the upgrade": lambda good, secret: good.replace(b"websocket", secret),
    "Retry-After": lambda good, secret: b"HTTP/1.1 503 no\r\nRetry-After: " + secret + b"\r\n\r\n",
}


@pytest.mark.parametrize("echo", UPGRADE_ECHOES.values(), ids=UPGRADE_ECHOES.keys())
def test_secrets_in_an_answer_to_the_upgrade_are_not_shown(
    service: Service, new_client: Callable[..., Client], log: Log, echo: Callable[[bytes, bytes], bytes]
) -> None:
    """The server can know the jwt from before: neither error, nor cause, nor log shows it."""

    def script(peer: Peer) -> None:
        peer.socket.sendall(echo(accept_upgrade(service.asked[-1][1]), JWT.encode()))

    recorder = Recorder()
    client = new_client(auth_timeout=0.2)
    client.add_connection_listener("heard", recorder)
    service.answers["upgrade"] = script
    client.login(UID, KEY)
    error = recorder.wait_for("on_connection_error").argument
    client.close()
    assert leaks("\n".join([shown(error), log.text])) == []


@pytest.mark.parametrize("token", ["{}\nx", "{}\r\nX: y", " {}", "{}\u20ac", "{}\ud800", "\0{}", "{}" * 300], ids=ascii)
def test_a_token_that_fits_no_header_is_not_shown(
    service: Service, new_client: Callable[..., Client], log: Log, token: str
) -> None:
    """For a token of the service or a similar jwt, ``ERR_BAD_RESPONSE`` says that it is of no use, without its text."""
    data = {"uid": UID, "authToken": token.replace("{}", TOKEN)}
    service.answers["auth_tokens"] = answer(200, json.dumps({"data": data}).encode())
    client = new_client(auto_establish_socket_connection=False)
    with pytest.raises(CometChatException) as caught:
        client.login(UID, KEY)
    check(caught.value)
    assert caught.value.code == "ERR_BAD_RESPONSE" and "authToken" in caught.value.message
    assert leaks(shown(caught.value) + log.text) == []


# No text repeats them, and no text shows them.


def _reprs(client: Client, *more: object) -> str:
    parts = [client.settings, client.outbox, client.get_logged_in_user(), client.connection_info(), client.stats()]
    public = [client, *parts, *more]
    return "\n".join(f"{each!r} {each}" for each in public)


def test_no_repr_and_no_warning_shows_a_secret(
    service: Service, new_client: Callable[..., Client], log: Log, tmp_path: Any
) -> None:
    """A life with messages, a loss and a logout leaves no secret in public objects and the log."""
    recorder, seen = Recorder(), []
    address = f"http://user:{PASSWORD}@127.0.0.1:{unused_port()}"
    stores = [FileSessionStore(tmp_path / "kept" / "session.json"), MemorySessionStore()]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for store in stores:
            client = new_client(session_store=store, proxies={"https": address})
            client.add_connection_listener("heard", recorder)
            client.login(UID, KEY)
            client.connect(DEADLINE)
            message = client.send_message(TextMessage(receiver_id="u2", receiver_type="user", text="x"))
            muid = client.outbox.put(TextMessage(receiver_id="u2", receiver_type="user", text="y"))
            assert muid and client.outbox.flush(DEADLINE)
            service.drop()
            recorder.wait_for("on_connected", 2)
            seen.append(_reprs(client, store, message, recorder.errors, *client.outbox.dead_letters()))
            client.logout()
            seen.append(_reprs(client, store))
            client.close()
            recorder.clear()
    text = "\n".join([*seen, log.text, *(str(each.message) for each in warned)])
    assert f"uid='{UID}'" in text and leaks(text) == []


@pytest.mark.parametrize("status", [403, 407, 502, None], ids=str)
def test_the_password_of_a_proxy_stays(serve: Serve, log: Log, status: Optional[int]) -> None:
    """For a proxy that refuses, or is away, errors and logs of HTTP and the socket name only its host and port."""
    refusal: Answer = answer(status or 502, b"<html>" + PASSWORD.encode() + b"</html>", {"Via": PASSWORD})

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.socket.sendall(refusal)

    port = serve(script).port if status else unused_port()
    proxies = {"https": f"http://user:{PASSWORD}@127.0.0.1:{port}", "http": f"http://user:{PASSWORD}@127.0.0.1:{port}"}
    for scheme in ("http", "https"):
        hosts = {"admin_host": f"{scheme}://unreachable.example", "client_host": f"{scheme}://unreachable.example"}
        with Client("app", Service().settings(**hosts, proxies=proxies)) as client:
            with pytest.raises(CometChatException) as caught:
                client.login(UID, KEY)
            text = shown(caught.value) + repr(client.settings) + log.text
        assert leaks(text) == [] and "dXNlcjpwcjB4" not in text


def test_the_other_half_of_a_secret_is_not_left(service: Service, new_client: Callable[..., Client]) -> None:
    """A token may be part of another one, or contain an auth key: no remainder of either is shown."""
    key, token = TOKEN[5:25], TOKEN
    client = new_client(auto_establish_socket_connection=False)
    service.answers["me"] = answer(400, json.dumps({"error": {"code": "ERR_X", "message": f"<{token}>"}}).encode())
    with pytest.raises(CometChatException) as caught:
        client.login(UID, key)
    assert caught.value.message == f"<{'*' * len(token)}>"


# The variables in a traceback.


def variables(error: BaseException) -> str:
    """Return a traceback in the form of a reporter of errors that shows the variables of each frame."""
    whole = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(whole.format())


def headers(error: BaseException) -> str:
    """Return the headers of the requests that the library's errors below an error keep."""
    requests = [getattr(each, "request", None) for each in causes(error)]
    return "".join(str(request.headers) for request in requests if request is not None)


REFUSED = answer(401, b'{"error": {"code": "AUTH_ERR_NO_ACCESS", "message": "no"}}')


@pytest.mark.parametrize("call", sorted(CALLS))
@pytest.mark.parametrize(
    "reply",
    [
        answer(400, b'{"error": {"code": "ERR_X", "message": "no"}}'),
        answer(500, b"<html>"),
        None,
        b"HTTP/1.1 200 ok\r\nContent-Length: 5000\r\n\r\n{}",
        b"HTTP/1.1 200 ok\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n{}",
        answer(200, b"{}", {"Content-Encoding": "gzip"}),
        answer(200, b"{}", {"Content-Encoding": "br"}),
    ],
    ids=["refused", "no JSON", "no answer", "half a body", "no chunk", "no gzip", "another encoding"],
)
def test_no_variable_of_the_sdk_in_a_traceback_is_a_secret(
    call: str, reply: Any, service: Service, new_client: Callable[..., Client]
) -> None:
    """The error of each call names the variables of its frames. Those of the SDK hold no key and no token.

    Nor does the request that requests keeps in its error.
    """
    client = new_client(auto_establish_socket_connection=False)
    if call not in ("auth_tokens", "me"):
        client.login(UID, KEY)
    service.answers[call] = reply or (lambda peer: peer.socket.close())
    with pytest.raises(CometChatException) as caught:
        CALLS[call](client)
    assert leaks(variables(caught.value)) == []
    assert leaks(headers(caught.value)) == []


@pytest.mark.parametrize(
    "variable, value", [("https_proxy", "ftp://proxy"), ("REQUESTS_CA_BUNDLE", "/no/such/file"), ("no_proxy", "h:²")]
)
def test_no_variable_is_a_secret_if_the_environment_is_wrong(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call fails before the service is asked."""
    monkeypatch.setenv(variable, value)
    with Client("app", AppSettings(admin_host="127.0.0.1:1", client_host="127.0.0.1:1")) as client:
        with pytest.raises(CometChatException) as caught:
            client.login(UID, KEY)
        assert caught.value.__cause__ is not None
        assert leaks(variables(caught.value)) == []


@pytest.mark.parametrize("failure", [TypeError("a bug"), MemoryError()])
def test_no_variable_is_a_secret_after_a_failure_of_another_kind(
    failure: Exception, service: Service, new_client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a lack of memory, or a bug in a library that records HTTP."""
    client = new_client(auto_establish_socket_connection=False)
    monkeypatch.setattr("requests.adapters.HTTPAdapter.build_response", Mock(side_effect=failure))
    with pytest.raises(CometChatException) as caught:
        client.login(UID, KEY)
    assert caught.value.__cause__ is failure
    assert leaks(variables(caught.value)) == []


@pytest.mark.parametrize("wrong", [f"{KEY}\n", f"{KEY}\u00e9"], ids=["line break", "accent"])
@pytest.mark.parametrize("shared", [False, True], ids=["Client", "CometChat"])
def test_no_variable_shows_a_key_or_token_of_a_wrong_form(wrong: str, shared: bool, service: Service) -> None:
    """A key that was read from a file, with its line break, is nearly right."""
    api: Any = Client("app", service.settings())
    if shared:
        api = CometChat
        CometChat.init("app", service.settings())
    try:
        for name in ("login", "login_with_auth_token"):
            with pytest.raises(CometChatException) as caught:
                getattr(api, name)(*([UID, wrong] if name == "login" else [wrong]))
            assert leaks(variables(caught.value.with_traceback(caught.tb.tb_next))) == []  # without this test's frame
    finally:
        api.close()


def test_no_variable_shows_a_token_that_a_refresh_returned(service: Service) -> None:
    """The service refuses the token, and the new one too, during a call."""
    with Client("app", service.settings(auto_establish_socket_connection=False)) as client:
        client.login_with_auth_token(TOKEN[::-1], refresh=lambda: TOKEN)
        service.answers["messages"] = service.answers["me"] = REFUSED
        with pytest.raises(CometChatException) as caught:
            CALLS["messages"](client)
    text = variables(caught.value)
    assert leaks(text) == [] and TOKEN[::-1] not in text


@pytest.mark.parametrize("new_token", [TOKEN[::-1], "", None], ids=["refused too", "empty", "raises"])
def test_no_variable_shows_a_token_that_was_refused_before_the_refresh(service: Service, new_token: Any) -> None:
    """The token may be of another device, where it is still valid. The error has no context that holds it."""

    def refresh() -> Any:
        return new_token if new_token is not None else 1 / 0

    service.answers["me"] = REFUSED
    with Client("app", service.settings(auto_establish_socket_connection=False)) as client:
        with pytest.raises(CometChatException) as caught:
            client.login_with_auth_token(TOKEN, refresh)
    assert leaks(variables(caught.value.with_traceback(caught.tb.tb_next))) == []  # without this test's frame


def test_no_variable_shows_a_token_that_no_file_could_keep(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning about a session file that can't be written has a traceback."""
    shown: List[str] = []

    class Reporter(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1] is not None:
                shown.append(variables(record.exc_info[1]))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("cometchat.session_store.os.fsync", full)
    store = FileSessionStore(tmp_path / "session.json")
    with hearing_all(Reporter()):
        with Client("app", service.settings(auto_establish_socket_connection=False, session_store=store)) as client:
            client.login(UID, KEY)
    assert len(shown) == 1 and "no space" in shown[0]
    assert leaks(shown[0]) == []


# The filter.


class Broken:
    """An argument that cannot be shown."""

    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.fixture
def said() -> Iterator[Callable[[], str]]:
    """Keeps all records, through a handler with the filter. The handler raises errors that others would print."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    handler.addFilter(cometchat.SecretsFilter())
    with hearing_all(handler):
        yield stream.getvalue


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    """A client that has used all three secrets."""
    with Client("app", service.settings(auto_establish_socket_connection=False)) as made:
        made.login(UID, KEY)
        yield made


def _raise(text: str) -> None:
    try:
        try:
            raise ValueError(text)
        except ValueError as error:
            raise RuntimeError("outer") from error
    except RuntimeError:
        logging.getLogger("app").exception("it failed")


WAYS: Dict[str, Callable[[str], object]] = {
    "the text": lambda secret: logging.getLogger("app").info(f"got {secret}!"),
    "an argument": lambda secret: logging.getLogger("app").info("got %s and %d", secret, 5),
    "an argument's repr": lambda secret: logging.getLogger("app").info("got %r", {"headers": [secret]}),
    "a mapping": lambda secret: logging.getLogger("app").info("got %(token)s", {"token": secret}),
    "bytes": lambda secret: logging.getLogger("app").info("got %r", secret.encode()),
    "JSON": lambda secret: logging.getLogger("app").info(json.dumps({"x": json.dumps({"y": secret})})),
    "an address": lambda secret: logging.getLogger("app").info("GET /?token=%s&x=1", secret),
    "an exception in place of a text": lambda secret: logging.getLogger("app").info(ValueError(secret)),
    "an exception": _raise,
    "another library": lambda secret: logging.getLogger("urllib3.connectionpool").debug('"PUT /me" {%s}', secret),
    "a piece": lambda secret: logging.getLogger("app").info("got %s", secret[3:40]),
    "a stack": lambda secret: logging.getLogger("app").info("x", stack_info=True, extra={"y": secret}),
}


def test_the_filter_removes_secrets_of_clients(client: Client, said: Callable[[], str]) -> None:
    """For every way to log them, the handler writes no piece of them, and the rest of the record stays."""
    wrong = []
    for name, way in WAYS.items():
        for secret in (KEY, TOKEN, JWT):
            before = len(said())
            way(secret)
            text, body = said()[before:], secret.partition(".")[2] or secret
            if not text.startswith(("app ", "urllib3")):
                wrong.append(f"{name}: the record is not there: {text!r}")
            if any(body[at : at + PIECE] in text for at in range(len(body) - PIECE + 1)):
                wrong.append(f"{name}: {text!r}")
    assert not wrong, "\n".join(wrong)


STRANGE: List[str] = [
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "authToken: 0123456789abcdef0123",
    '"apiKey": "0123456789abcdef0123"',
    "{'authToken': '0123456789abcdef0123'}",
    "Authorization: Bearer 0123456789abcdef0123",
    "Proxy-Authorization: Basic dXNlcjpwYXNzd29yZDAxMjM0NQ==",
    "Proxy-Authorization: Negotiate dXNlcjpwYXNzd29yZDAxMjM0NQ==",
    '"authorization": "NTLM dXNlcjpwYXNzd29yZDAxMjM0NQ=="',
    'a text that was cut: {"authToken": "0123456789abcdef0123',
    "auth_key=0123456789abcdef0123&x",
    "x-api-key: 0123456789abcdef0123",
    "Auth-Token = 0123456789abcdef0123",
    "cometchat watch --auth-key 0123456789abcdef0123",
    "{b'authToken': b'0123456789abcdef0123'}",
    json.dumps(json.dumps({"authToken": "0123456789abcdef0123"})),
    "redis://user:0123456789abcdef0123@host:6379/0",
    "proxy http://user:0123456789abcdef0123@host",
    "[('Accept', '*/*'), ('authToken', '0123456789abcdef0123')]",
    "(b'Proxy-Authorization', b'Basic dXNlcjpwYXNzd29yZDAxMjM0NQ==')",
    "next=/login%3Fauth_key%3D0123456789abcdef0123%26uid%3Du1",
    "body=%7B%22authToken%22%3A%220123456789abcdef0123%22%7D",
]


def test_the_filter_removes_texts_that_look_like_secrets(said: Callable[[], str]) -> None:
    """The filter also removes unknown secrets: a jwt, and values named as a key, a token or a header."""
    for text in STRANGE:
        before = len(said())
        logging.getLogger("app").info("before %s after", text)
        new = said()[before:]
        assert new.startswith("app before ") and " after" in new, text
        pieces = ("0123456789", "dXNlcjpwYXNz", "MjM0NTY3", "dozjgNryP4J3")
        assert [piece for piece in pieces if piece in new] == [], text


def test_the_filter_leaves_other_texts_alone(said: Callable[[], str]) -> None:
    """A text without a secret is written unchanged."""
    texts = ["the author: me", "tokens: 5 of 7", "jwt expired", "a.b.c", "key=value", "eyJust saying"]
    texts += ["a%3Db", "('author', 'me')", "f('x', 'y')"]
    texts += ["http://host:80/a:b@c", "redis://user@host", "--auth-key --uid u1", "12:30 me@example.org"]
    for text in texts:
        logging.getLogger("app").info("before %s after", text)
    assert said() == "".join(f"app before {text} after\n" for text in texts)


def test_the_filter_raises_nothing() -> None:
    """Records of any logger that fit no format pass the filter, and the handler reports them as without it."""
    one = cometchat.SecretsFilter()
    for message, args in (
        ("%d", ("x",)),
        ("%s", (Broken(),)),
        (None, ()),
        (Broken(), ()),
        ("%s %s", ("one",)),
        ("%", (5,)),
    ):
        record = logging.LogRecord("app", logging.INFO, "f", 1, message, args, None)  # type: ignore[arg-type]
        assert one.filter(record) is True
    for exc_info in ((None, None, None), (ValueError, ValueError("x"), None)):
        assert one.filter(logging.LogRecord("app", 20, "f", 1, "x", (), exc_info)) is True  # type: ignore[arg-type]


def test_the_filter_works_while_clients_come_and_go(said: Callable[[], str]) -> None:
    """While threads log and another one makes clients, no call to a logger raises."""
    rounds, done, before = 1000, [], sys.getswitchinterval()

    def come() -> None:
        kept = [Secrets() for _ in range(50)]
        for each in kept:
            each.add(TOKEN)

    def come_and_go() -> None:
        while not done:
            come()
            if sys.implementation.name == "pypy":  # else they stay for long, and the filter asks all
                gc.collect()

    sys.setswitchinterval(1e-6)  # so that the threads take turns in the middle of a call
    maker = in_thread(come_and_go)
    try:
        for number in range(rounds):
            logging.getLogger("app").info("number %d", number)
    finally:
        sys.setswitchinterval(before)
        done.append(True)
        finished(*maker)
    assert said().count("number") == rounds
