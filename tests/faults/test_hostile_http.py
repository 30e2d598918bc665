"""A hostile service, over HTTP: any answer to any call.

A user gets a CometChatException with a documented code and the reason. No thread ends, memory is bounded, and
credentials go nowhere else. Once the service is healthy again, everything works with the same client.
"""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.conftest import DEADLINE, RawServer, Recorder, eventually
from integration.transport_peers import Stopwatch, answer, unused_port

from cometchat import Client, CometChatException, MessageListener, TextMessage
from cometchat._runtime._threads import Backoff
from cometchat._transport.http import MAX_BODY, RequestsRest

from . import fuzz_answers, fuzz_driver, fuzz_http
from .conftest import SOAK
from .fuzz_peers import KEY, Answer, Memory, Service, dripping, endless, ok
from .fuzz_values import ThreadWatch, check, deep, kept_by

pytestmark = pytest.mark.usefixtures("no_thread_dies", "no_mistake_in_the_log")

Serve = Callable[..., RawServer]

UID = "cometchat-uid-1"

#: In seconds. The limit of a call without a right answer, and the limit for noticing that.
SHORT, SOON = 0.3, 5.0

#: Maximum growth of a process by one answer, in MB: twice the limit of 16 MiB, and the objects made of the answer.
#: PyPy frees them late.
GROWTH = 250 if sys.implementation.name == "pypy" else 100

#: Number of hypothesis's inputs. atheris tries many more.
EXAMPLES = 5000 if SOAK else 60

fuzzing = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

HEAD = b"HTTP/1.1 200 ok\r\n"
MB = 2**20


@pytest.fixture(autouse=True)
def end_of_the_answering_server(no_thread_left: None, no_thread_dies: ThreadWatch) -> Iterator[None]:
    yield
    fuzz_http.answering.close()


# Any answer.


@fuzzing
@given(st.binary(max_size=300))
def test_any_answer_is_an_object_or_an_error_that_says_what_was_wrong(data: bytes) -> None:
    """Status lines, headers, lengths, chunks, encodings and bodies are nearly right, or not at all."""
    fuzz_http.one_input(data)


@fuzzing
@given(st.binary(max_size=300))
def test_any_value_in_any_answer_or_store_is_used_or_refused(data: bytes) -> None:
    """Values come from login, PUT /me, GET /settings, GET /messages, POST /messages, and the stored session."""
    fuzz_answers.one_input(data)


@pytest.mark.skipif(not SOAK, reason="takes an hour: make soak")
@pytest.mark.skipif(not fuzz_driver.available, reason="atheris is not installed: make soak installs it if possible")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("target", ["fuzz_http", "fuzz_answers"])
def test_atheris_finds_nothing(target: str, tmp_path: Path, figures: Callable[..., None]) -> None:
    """atheris chooses inputs by the SDK's own branches for a minute.

    None escapes, none is slow, and none makes it grow.
    """
    outcome = fuzz_driver.run(target, 60, tmp_path)
    assert outcome.status == 0, outcome.output
    assert outcome.inputs > 1000
    figures(inputs=outcome.inputs, escaped=0, threads_died=0, grown_mb=outcome.growth)
    assert outcome.growth < GROWTH


# Inputs that are known to be hard, at every call.

STRING = b"x" * (10 * MB)

ANSWERS: Dict[str, Tuple[Answer, str]] = {
    "null": (answer(200, b"null"), "ERR_BAD_RESPONSE"),
    "a list": (answer(200, b"[1, 2]"), "ERR_BAD_RESPONSE"),
    "no data": (answer(200, b'{"date": {}}'), "ERR_BAD_RESPONSE"),
    "data that is text": (ok("text"), "ERR_BAD_RESPONSE"),
    "data that is a number": (ok(5), "ERR_BAD_RESPONSE"),
    "NaN": (answer(200, b'{"data": NaN}'), "ERR_BAD_RESPONSE"),
    "a number of 10,000 digits": (answer(200, b'{"data": ' + b"9" * 10_000 + b"}"), "ERR_BAD_RESPONSE"),
    "100,000 lists": (answer(200, b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "ERR_BAD_RESPONSE"),
    "10 MB of text": (answer(200, b'{"data": "' + STRING + b'"}'), "ERR_BAD_RESPONSE"),
    "no UTF-8": (answer(200, b'{"data": {"uid": "\xff\xfe"}}'), "ERR_BAD_RESPONSE"),
    "an error of 10 MB": (answer(400, b'{"error": {"code": "ERR_X", "message": "' + STRING + b'"}}'), "ERR_X"),
    "an error of odd types": (answer(400, b'{"error": {"code": ["ERR_X"], "details": NaN}}'), '["ERR_X"]'),
    "an error that no log can take": (answer(400, b'{"error": {"code": "ERR_X", "message": "\\ud800"}}'), "ERR_X"),
    "a length that is too long": (HEAD + b"Content-Length: 500\r\n\r\n{}", "FAILED_TO_FETCH"),
    "a negative length": (HEAD + b"Content-Length: -5\r\n\r\n{}", "ERR_BAD_RESPONSE"),
    "a wrong chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}", "FAILED_TO_FETCH"),
    "no gzip": (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", "ERR_BAD_RESPONSE"),
    "half of gzip": (
        answer(200, gzip.compress(b'{"data": {}}')[:-14], {"Content-Encoding": "gzip"}),
        "ERR_BAD_RESPONSE",
    ),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", "FAILED_TO_FETCH"),
    "nothing": (b"", "FAILED_TO_FETCH"),
    "a redirect to nowhere": (answer(302, headers={"Location": "http://["}), "ERR_BAD_RESPONSE"),
    "a redirect without end": (endless(b"HTTP/1.1 307 go\r\nLocation: /me\r\n\r\n", megabytes=60), "ERR_BAD_RESPONSE"),
    "drops": (dripping(HEAD + b"Content-Length: 5000\r\n\r\n" + b" " * 5000), "FAILED_TO_FETCH"),
}

#: A list is right for GET /messages, and wrong for the others.
NOT_FOR_HISTORY = ("a list", "100,000 lists")


def _call(client: Client, call: str) -> object:
    if call in ("auth_tokens", "me"):
        return client.login(UID, KEY)
    return client.send_message(TextMessage(receiver_id="u2", receiver_type="user", text="hello"))


@pytest.mark.parametrize("call", ["auth_tokens", "me", "messages"])
@pytest.mark.parametrize("reply, code", ANSWERS.values(), ids=ANSWERS.keys())
def test_a_hostile_answer_is_one_error_and_the_next_call_works(
    service: Service, new_client: Callable[..., Client], call: str, reply: Answer, code: str
) -> None:
    """The code fits, the text names the host, and the same client continues with a healthy service."""
    # A short limit for answers that only the limit ends. A size ends the others.
    limit = SHORT if callable(reply) and code == "FAILED_TO_FETCH" else SOON
    client = new_client(auto_establish_socket_connection=False, connect_timeout=limit)
    if call == "messages":
        client.login(UID, KEY)
    service.answers[call] = reply
    with pytest.raises(CometChatException) as caught, Stopwatch() as watch:
        _call(client, call)
    assert caught.value.code == code and watch.seconds < SOON
    check(caught.value, servers_own=code.startswith(("ERR_X", "[")))
    if not caught.value.http_status == 400:
        assert f"127.0.0.1:{service.port}" in caught.value.message
    service.answers.clear()
    assert _call(client, call) is not None


def test_an_answer_of_100_000_objects_is_read_in_part(service: Service, new_client: Callable[..., Client]) -> None:
    """The upper levels of it are read, quickly. A login misses its fields in it, and a message its id."""
    client = new_client(auto_establish_socket_connection=False)
    nested = answer(200, b'{"data": ' * 100_000 + b"5" + b"}" * 100_000)
    for call in ("auth_tokens", "me", "messages"):
        if call == "messages":
            client.login(UID, KEY)
        service.answers[call] = nested
        with pytest.raises(CometChatException) as caught, Stopwatch() as watch:
            _call(client, call)
        assert caught.value.code == "ERR_BAD_RESPONSE" and watch.seconds < SOON
        service.answers.clear()


TEXT = {"category": "message", "type": "text"}

BEHIND = [name for name in ANSWERS if name not in NOT_FOR_HISTORY]


class Heard(MessageListener):
    """Keeps the texts of messages."""

    def __init__(self) -> None:
        self.texts: List[Any] = []

    def on_text_message_received(self, message: Any) -> None:
        self.texts.append(message.text)


def _quick(backoff: Backoff, asked: Optional[float] = None) -> float:
    """Short waits: between two questions for missed messages, and of a thread that continues."""
    return 0.02


def test_hostile_answers_behind_a_connection_harm_it_not(
    service: Service, new_client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, no_thread_dies: ThreadWatch
) -> None:
    """GET /settings and GET /messages run in the background. The connection stays, and messages arrive."""
    monkeypatch.setattr(Backoff, "next", _quick)
    service.history = [{"id": "5"}]
    client = new_client(settings_refresh_interval=0.05, connect_timeout=SHORT)
    recorder, heard = Recorder(), Heard()
    client.add_connection_listener("heard", recorder)
    client.add_message_listener("heard", heard)
    client.login(UID, KEY)
    client.connect(DEADLINE)
    for number, name in enumerate(BEHIND):
        service.answers.update(settings=ANSWERS[name][0], history=ANSWERS[name][0])
        asked = service.count("settings"), service.count("history")
        service.drop()
        recorder.wait_for("on_connected", number + 2)
        service.wait_for("settings", asked[0] + 2)
        service.wait_for("history", asked[1] + 1)
        assert client.ping(DEADLINE) > 0
        service.answers.clear()
        service.event(type="message", body={**TEXT, "id": f"{100 + number}", "data": {"text": name}})
        assert eventually(lambda: name in heard.texts), name
        assert no_thread_dies.deaths == []
    assert heard.texts == BEHIND and client.get_connection_status() == "connected"


IDS: List[Any] = [
    *("\ud800", "x" * (10 * MB), -5, 5.5, True, None, "", [], {"a": 1}, 10**30, "9" * 5000, "\0", "a b", "²", 1e400),
]


@pytest.mark.parametrize("hostile", IDS, ids=lambda value: str(value)[:10].encode("ascii", "backslashreplace").decode())
def test_messages_with_hostile_ids_are_delivered(
    service: Service, new_client: Callable[..., Client], hostile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages with unusable ids, live and missed, are delivered. The next catch-up asks with a usable id."""
    monkeypatch.setattr(Backoff, "next", _quick)
    client, heard, recorder = new_client(), Heard(), Recorder()
    client.add_message_listener("heard", heard)
    client.add_connection_listener("heard", recorder)
    client.login(UID, KEY)
    client.connect(DEADLINE)
    # messages that are stored from here on can be missed
    assert eventually(lambda: client._core.inbox._position.known is not None)
    service.event(type="message", body={**TEXT, "id": hostile, "data": {"text": "live"}})
    assert eventually(lambda: "live" in heard.texts)
    service.history = [
        {**TEXT, "id": hostile, "data": {"text": "again"}},
        {**TEXT, "id": "6", "data": {"text": "missed"}},
    ]
    service.drop()
    recorder.wait_for("on_connected", 2)
    assert eventually(lambda: "missed" in heard.texts)
    service.history = []
    service.event(type="message", body={**TEXT, "id": "7", "data": {"text": "after"}})
    assert eventually(lambda: "after" in heard.texts)
    assert max(len(head) for call, head in service.asked if call == "history") < 2000


SETTINGS: List[Tuple[str, Any]] = [
    *[("CHAT_HOST", value) for value in ("a b", "[", "http://", "x" * MB, "\ud800", "h:99999", "//", "a@", "\0")],
    *[("CHAT_WS_PORT", value) for value in (0, -1, 65536, 5.5, True, "x", "9" * 5000, [], {}, deep(300), 1e400, "٣٣٣")],
]


@pytest.mark.parametrize("key, value", SETTINGS, ids=lambda value: ascii(value)[:20])
def test_hostile_settings_are_named_and_good_ones_taken(
    service: Service, new_client: Callable[..., Client], key: str, value: Any
) -> None:
    """A wrong address fails the attempts with an error that names it. The next good settings are used."""
    client, recorder = new_client(), Recorder()
    client.add_connection_listener("heard", recorder)
    good = json.loads(service.good("me").partition(b"\r\n\r\n")[2])["data"]
    service.answers["me"] = ok({**good, "settings": {**good["settings"], key: value}})
    client.login(UID, KEY)
    error = recorder.wait_for("on_connection_error").argument
    check(error)
    assert error.code in ("ERR_BAD_RESPONSE", "WS_CONNECTION_FAIL")
    assert any(word in error.message for word in ("host", "port", "DNS"))
    assert len(client.connection_info().websocket_url or "") <= MB + 20
    service.answers.clear()
    assert recorder.wait_for("on_connected") and client.ping(DEADLINE) > 0


def test_a_service_that_has_moved_is_found(service: Service, new_client: Callable[..., Client]) -> None:
    """If the WebSocket's address no longer works, the client asks for the settings again, and uses the new address."""
    client, recorder = new_client(), Recorder()
    client.add_connection_listener("heard", recorder)
    good = json.loads(service.good("me").partition(b"\r\n\r\n")[2])["data"]
    service.answers["me"] = ok({**good, "settings": {**good["settings"], "CHAT_WS_PORT": unused_port()}})
    client.login(UID, KEY)
    recorder.wait_for("on_connected")
    assert recorder.errors[0].code == "WS_CONNECTION_FAIL" and len(recorder.errors) < 20


# Memory.

FLOODS: Dict[str, Answer] = {
    "a body": endless(HEAD + b"Connection: close\r\n\r\n"),
    "a body of 2**40": endless(HEAD + b"Content-Length: 1099511627776\r\n\r\n"),
    "the body of a redirect": endless(b"HTTP/1.1 302 go\r\nLocation: http://localhost/\r\n\r\n"),
    "the body of an error": endless(b"HTTP/1.1 500 no\r\nConnection: close\r\n\r\n"),
    "a chunk of -1": endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n"),
    "a chunk of 2**60": endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1000000000000000\r\n"),
    "the length of a chunk": endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n"),
    "a status line": endless(b""),
    "a header": endless(HEAD + b"X: "),
}

#: Floods of lines. The standard library takes a second of CPU time for ten megabytes of them.
LINES: Dict[str, Answer] = {
    "empty trailers": endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 10_000, 5),
    "interim answers": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 5),
}


def packed(megabytes: int, wbits: int) -> bytes:
    """Return zeros, packed. One megabyte is packed and repeated. The checksum is missing: no client reads so far."""
    packer = zlib.compressobj(9, wbits=wbits)
    first, again = (packer.compress(bytes(MB)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * (megabytes - 1)


GZIP, DEFLATE = 31, 15

#: A body's encoding -> the packed body.
PACKED: Dict[str, bytes] = {
    "gzip": packed(300, GZIP),
    "gzip, gzip": gzip.compress(packed(300, GZIP)),
    "deflate, gzip": gzip.compress(packed(200, DEFLATE)),
}


def _after_the_request(reply: Answer) -> Callable[[Any], None]:
    def script(peer: Any) -> None:
        peer.read_head()
        if callable(reply):
            reply(peer)
        else:
            peer.socket.sendall(reply)

    return script


@pytest.mark.parametrize("name", [*FLOODS, *PACKED])
def test_a_flood_is_cut_off(serve: Serve, name: str, figures: Callable[..., None]) -> None:
    """300 MB in one answer, in any part of it, packed or not, make the process grow by at most 100 MB."""
    reply = FLOODS[name] if name in FLOODS else answer(200, PACKED[name], {"Content-Encoding": name})
    server, rest = serve(_after_the_request(reply)), RequestsRest()
    with Memory() as memory, pytest.raises(CometChatException) as caught:
        rest.call("GET", f"http://127.0.0.1:{server.port}/me", headers={}, timeout=DEADLINE)
    rest.close()
    check(caught.value)
    assert caught.value.code in ("ERR_BAD_RESPONSE", "FAILED_TO_FETCH")
    figures(peak_mb=round(memory.peak))
    assert memory.peak < GROWTH


@pytest.mark.parametrize("name", LINES)
def test_a_flood_of_lines_is_cut_off(serve: Serve, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes outside of the body count too. The limit is lower here."""
    monkeypatch.setattr("cometchat._transport.http._connections.MAX_ANSWER", 2 * MB)
    server, rest = serve(_after_the_request(LINES[name])), RequestsRest()
    with pytest.raises(CometChatException, match="sent an answer of more than") as caught:
        rest.call("GET", f"http://127.0.0.1:{server.port}/me", headers={}, timeout=DEADLINE)
    rest.close()
    check(caught.value)
    assert caught.value.code == "ERR_BAD_RESPONSE"


#: The worst case of Python's objects for a body: for each two bytes of ``{},`` an object of 64 and a pointer of 8.
BLOWN_UP = 40


@pytest.mark.parametrize("item", [b"{},", b"[],", b'{"a":{}},', b"1.5,", b'"ab",'])
def test_json_that_is_small_as_text_is_given_back(serve: Serve, item: bytes, figures: Callable[..., None]) -> None:
    """Millions of small values briefly take about forty times the bytes of their text, and are not kept."""
    size = MAX_BODY - 100 if SOAK else 2 * MB
    body = b'{"data": [' + item * (size // len(item)) + b"5]}"
    server, rest = serve(_after_the_request(answer(200, body))), RequestsRest()
    with Memory() as memory, pytest.raises(CometChatException) as caught:
        rest.call("GET", f"http://127.0.0.1:{server.port}/me", headers={}, timeout=DEADLINE)
    rest.close()
    assert caught.value.code == "ERR_BAD_RESPONSE"
    assert kept_by(caught.value) == []
    figures(peak_mb=round(memory.peak))
    assert memory.peak < BLOWN_UP * size / MB + 20


def test_an_error_without_end_is_read_through_at_once(service: Service, new_client: Callable[..., Client]) -> None:
    """The search for secrets in a service's text takes time that grows only with the length of the text."""
    token = "a" * 8000
    client = new_client(auto_establish_socket_connection=False)
    service.answers["me"] = answer(
        400, b'{"error": {"code": "ERR_X", "message": "' + b"aaaaaaaaaaaaaaaaaaab" * 200_000 + b'"}}'
    )
    with Stopwatch() as watch, pytest.raises(CometChatException) as caught:
        client.login_with_auth_token(token)
    assert caught.value.code == "ERR_X" and watch.seconds < SOON
