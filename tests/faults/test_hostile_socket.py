"""A hostile service, over the WebSocket: frames of any form, and events with any content.

No thread ends, no mistake is logged, only CometChatExceptions with a documented code are raised, and memory is bounded.
The connection still works, or the client makes a new one.
"""

from __future__ import annotations

import json
import logging
import struct
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.conftest import DEADLINE, QUICK, UID, Party, RawServer, Recorder, accept_upgrade, eventually, frame
from integration.transport_peers import answer

from cometchat import CallListener, Client, GroupListener, MessageListener, UserListener
from cometchat.sandbox import Sandbox

from . import fuzz_driver, fuzz_frames, fuzz_socket
from .conftest import SOAK
from .fuzz_peers import KEY, Memory, Service
from .fuzz_values import LONG, ODD, as_json, check, kept_by

pytestmark = pytest.mark.usefixtures("no_thread_dies", "no_mistake_in_the_log")

Serve = Callable[..., RawServer]

MB = 2**20

#: Maximum growth of a process by any content of the socket, in MB: 64 MB of it may wait for listeners, and a message of
#: 10 MB exists in several forms at once. PyPy frees them late.
GROWTH = 1000 if sys.implementation.name == "pypy" else 160

EXAMPLES = 20_000 if SOAK else 100

fuzzing = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Everything(MessageListener, UserListener, GroupListener, CallListener):
    """Gets all events, and reads its arguments, like a listener that prints them."""

    def __init__(self) -> None:
        self.names: List[str] = []
        self.raised: List[BaseException] = []

    def note(self, name: str, *args: Any) -> None:
        self.names.append(name)
        try:
            for arg in args:
                hash(repr(arg))
        except RecursionError:
            return  # at the limit of the depth that can be read
        except BaseException as error:
            self.raised.append(error)


def _noting(name: str) -> Callable[..., None]:
    return lambda self, *args: self.note(name, *args)


for _kind in (MessageListener, UserListener, GroupListener, CallListener):
    for _name in vars(_kind):
        if _name.startswith("on_"):
            setattr(Everything, _name, _noting(_name))


def listen(client: Client) -> Everything:
    """Return a listener for everything."""
    listener = Everything()
    client.add_message_listener("all", listener)
    client.add_user_listener("all", listener)
    client.add_group_listener("all", listener)
    client.add_call_listener("all", listener)
    return listener


@pytest.fixture
def joined(service: Service) -> Iterator[Callable[..., Tuple[Client, Recorder, Everything]]]:
    """Return a client that is connected to the service, and its listener."""
    clients: List[Client] = []

    def join(**overrides: Any) -> Tuple[Client, Recorder, Everything]:
        client = Client("app", service.settings(**{"reconnect_wait": QUICK, **overrides}))
        clients.append(client)
        recorder, listener = Recorder(), listen(client)
        client.add_connection_listener("heard", recorder)
        client.login(UID, KEY)
        client.connect(DEADLINE)
        recorder.wait_for("on_connected")
        return client, recorder, listener

    yield join
    for client in clients:
        client.close()


# Any content.


@fuzzing
@given(st.binary(max_size=400))
def test_any_frame_is_an_event_or_nothing(data: bytes) -> None:
    """JSON of every kind, and other bytes, in place of a frame are delivered, ignored or refused."""
    fuzz_frames.one_input(data)


@fuzzing
@given(st.binary(max_size=300))
def test_any_bytes_are_messages_and_then_an_error(data: bytes) -> None:
    """Frame headers, and answers to the upgrade, are nearly right, or not at all."""
    fuzz_socket.one_input(data)


@pytest.mark.skipif(not SOAK, reason="takes an hour: make soak")
@pytest.mark.skipif(not fuzz_driver.available, reason="atheris is not installed: make soak installs it if possible")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("target", ["fuzz_frames", "fuzz_socket"])
def test_atheris_finds_nothing(target: str, tmp_path: Path, figures: Callable[..., None]) -> None:
    """atheris chooses inputs by the SDK's own branches for a minute.

    None escapes, none is slow, and none makes it grow.
    """
    outcome = fuzz_driver.run(target, 60, tmp_path)
    assert outcome.status == 0, outcome.output
    assert outcome.inputs > 1000
    figures(inputs=outcome.inputs, escaped=0, threads_died=0, grown_mb=outcome.growth)
    assert outcome.growth < GROWTH


def test_a_client_lives_through_any_frames(sandbox: Sandbox, party: Party, figures: Callable[..., None]) -> None:
    """After frames of all kinds from the sandbox, a client with all listeners is connected, or connects again."""
    client, recorder = party.connected()
    listener = listen(client)
    count = 0

    @settings(fuzzing, max_examples=3000 if SOAK else 60)
    @given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=5))
    def send(pieces: List[bytes]) -> None:
        nonlocal count
        assert client.wait_for_status("connected", DEADLINE)
        for piece in pieces:
            wire = fuzz_frames.frame_of(piece)
            count += 1
            sandbox.send_raw(wire if piece[0] % 2 else wire.decode("utf-8", "replace"))

    send()
    recorder.wait_until(lambda: client.get_connection_status() == "connected", "connection")
    assert eventually(lambda: _pings(client))
    assert listener.names and listener.raised == []
    assert {error.code for error in recorder.errors} <= {"WS_AUTH_FAIL", "WS_CONNECTION_FAIL"}
    figures(inputs=count, escaped=0, threads_died=0, told=len(listener.names))


def _pings(client: Client) -> bool:
    try:
        return client.ping(1) > 0
    except Exception:  # the newest auth frame may just have ended the connection again
        return False


# Every event, with any content.

FIELDS = [
    "action",
    "user",
    "sender",
    "data",
    "id",
    "category",
    "type",
    "messageId",
    "reaction",
    "metadata",
    "timestamp",
]


@pytest.mark.parametrize("kind", sorted(fuzz_frames.TYPES))
def test_an_event_with_any_content_does_no_harm(
    service: Service, joined: Callable[..., Tuple[Client, Recorder, Everything]], kind: str
) -> None:
    """Each odd value is the body, a part of it, and a part of the envelope. The connection and the listeners live."""
    client, recorder, listener = joined(settings_refresh_interval=0)
    for value in ODD:
        bodies = [value, *({"action": "online", "user": {"uid": "u"}, key: value} for key in FIELDS)]
        if kind == "auth":
            bodies = [{"code": 200, "status": value, "message": value}]
        frames = [
            {"type": kind, "body": body, "sender": value, "receiver": value, "deviceId": value} for body in bodies
        ]
        service.say(b"".join(frame(1, as_json(each, twice=number % 2 == 1)) for number, each in enumerate(frames)))
    assert client.ping(DEADLINE) > 0
    assert recorder.names == ["on_connecting", "on_connected"] and listener.raised == []


def test_a_message_nested_too_deeply_is_counted_and_named(
    service: Service, joined: Callable[..., Tuple[Client, Recorder, Everything]], caplog: Any
) -> None:
    """Live or fetched: one warning for each id, and all of them in stats(). The others are whole."""

    def message(number: int, levels: int) -> str:
        data = '{"text":"x","metadata":{"k":' + "[" * levels + "]" * levels + "}}"
        ends = f'"category":"message","type":"text","receiverType":"user","receiver":"{UID}","sender":"b"'
        return f'{{"id":"{number}",{ends},"sentAt":{number},"conversationId":"c","data":{data}}}'

    def live(number: int, levels: int) -> bytes:
        return frame(1, f'{{"type":"message","body":{message(number, levels)}}}'.encode())

    client, recorder, listener = joined()
    with caplog.at_level(logging.WARNING, "cometchat.messages"):
        service.say(live(10, 100_000) + live(11, 200) + live(12, 100_000))
        assert eventually(lambda: listener.names.count("on_text_message_received") == 3)
        page = ",".join(message(number, levels) for number, levels in ((12, 100_000), (13, 100_000), (14, 1)))
        service.answers["history"] = answer(200, f'{{"data":[{page}]}}'.encode())
        service.drop()
        assert eventually(lambda: listener.names.count("on_text_message_received") == 5)
    warned = [record.getMessage() for record in caplog.records if "nested" in record.getMessage()]
    assert [text.partition("Message ")[2].partition(" ")[0] for text in warned] == ["10", "12", "13"]
    assert client.stats().messages_truncated == 3


CODES: List[Any] = [None, 401, True, "x" * LONG, "\ud800", [], float("nan"), 10**400, "200 ", "２００", 200.5, -200]


@pytest.mark.parametrize("code", CODES, ids=lambda value: ascii(value)[:10])
def test_an_odd_answer_to_auth_is_a_refusal(service: Service, code: Any) -> None:
    """No code is an acceptance: the result is ``WS_AUTH_FAIL`` after one new jwt, short, and fit for a log."""
    service.accept = frame(1, as_json({"type": "auth", "body": {"code": code, "status": code, "message": code}}))
    recorder = Recorder()
    with Client("app", service.settings(reconnect_wait=QUICK)) as client:
        client.add_connection_listener("heard", recorder)
        client.login(UID, KEY)
        recorder.wait_for("on_disconnected")
    (error,) = recorder.errors
    check(error)
    assert error.code == "WS_AUTH_FAIL" and service.count("upgrade") == 2


# Bytes that are not WebSocket frames.

BREACHES: Dict[str, bytes] = {
    "a masked frame": frame(1, b"x", masked=True),
    "a reserved bit": frame(1, b"x", rsv=4),
    "a wrong opcode": frame(11, b""),
    "a frame of 2**63 bytes": b"\x81\x7f" + struct.pack("!Q", 2**63),
    "a long ping": frame(9, b"x" * 126),
    "a fragment of nothing": frame(0, b"x"),
    "HTTP": answer(200, b"{}"),
    "TLS": b"\x16\x03\x03\x00\x05hello",
    "zeros": bytes(5000),
    "the end within a frame": frame(1, b"x" * 500)[:100],
    "a close of one byte": frame(8, b"x"),
}


def test_a_breach_ends_one_connection_and_the_next_one_works(
    service: Service, joined: Callable[..., Tuple[Client, Recorder, Everything]]
) -> None:
    """After each breach, one after the other, the error gives the reason, and the client is back."""
    client, recorder, _ = joined()
    for number, (name, wire) in enumerate(BREACHES.items()):
        service.say(wire)
        if "end" in name:
            service.drop()
        recorder.wait_for("on_connected", number + 2)
        check(recorder.errors[-1])
        expected = "WS_CONNECTION_FAIL" if "end" in name or name == "zeros" else "ERR_PROTOCOL"
        assert recorder.errors[-1].code in (expected, "ERR_PROTOCOL"), name
        assert client.ping(DEADLINE) > 0
    assert len(recorder.errors) == len(BREACHES)


UPGRADES: Dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda good: b"",
    "half": lambda good: good[:20],
    "another key": lambda good: good.replace(b"Accept: ", b"Accept: x"),
    "no key": lambda good: good.replace(b"Sec-WebSocket-Accept", b"X"),
    "200": lambda good: good.replace(b"101", b"200"),
    "99": lambda good: good.replace(b"101", b"099"),
    "no status": lambda good: good.replace(b" 101", b""),
    "an extension": lambda good: good.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
    "zero bytes": lambda good: bytes(70_000),
    "no end": lambda good: good[:-2] + b"X: y\r\n" * 20_000,
    "a redirect": lambda good: answer(302, headers={"Location": "http://localhost/"}),
    "a wrong Retry-After": lambda good: answer(503, headers={"Retry-After": "-1e9, \xff"}),
    "a redirect without a place": lambda good: answer(301),
}


@pytest.mark.parametrize("bend", UPGRADES.values(), ids=UPGRADES.keys())
def test_a_hostile_answer_to_the_upgrade_fails_one_attempt(service: Service, bend: Callable[[bytes], bytes]) -> None:
    """The attempt fails with an error that names the handshake or the loss, and a good answer is accepted next."""
    service.answers["upgrade"] = lambda peer: peer.socket.sendall(bend(accept_upgrade(service.asked[-1][1])))
    recorder = Recorder()
    with Client("app", service.settings(reconnect_wait=QUICK)) as client:
        client.add_connection_listener("heard", recorder)
        client.login(UID, KEY)
        error = recorder.wait_for("on_connection_error").argument
        check(error)
        service.answers.clear()
        # This server does not use an extension that the client did not ask for. Its frames are right.
        client.connect(DEADLINE)
    assert error.code in ("WS_CONNECTION_FAIL", "ERR_AUTH_TIMEOUT", "ERR_PROTOCOL")


# Memory.


def _message(identifier: Any, size: int = 0, **more: Any) -> bytes:
    data = {"text": "x" * size}
    body = {"id": identifier, "category": "message", "type": "text", "data": data, **more}
    return frame(1, json.dumps({"type": "message", "body": body}).encode())


#: Made once: this process is the server too, and its own memory does not count. Messages without an id are all
#: delivered.
TEN_MB = _message(None, 10 * MB)
LISTS = frame(1, b'{"type":"message","body":{"x":[' + b"[]," * 50_000 + b"0]}}")

FLOODS: Dict[str, Callable[[int], bytes]] = {
    "ids of 1 MB": lambda number: _message(f"{number}" + "i" * MB),
    "ids of 200 digits": lambda number: _message(int("9" * 200 + f"{number:06}")) * 100,
    "texts of 10 MB": lambda number: TEN_MB,
    "conversations of 1 MB": lambda number: _message(number, conversationId="c" * MB, muid="m" * MB),
    "typing of 1 MB": lambda number: frame(
        1, json.dumps({"type": "typing_indicator", "sender": "s" * MB, "body": {"action": "started"}}).encode()
    ),
    "a type of 1 MB": lambda number: frame(1, b'{"type":"' + b"t" * MB + b'","body":{}}'),
    "no JSON": lambda number: frame(2, b"\xff" * MB),
    "lists of lists": lambda number: LISTS,
    "100,000 levels": lambda number: frame(1, b'{"type":"message","body":' + b"[" * 100_000),
    "fragments": lambda number: frame(1, b"x" * MB, fin=False) + frame(0, b"", fin=False) * 50 + frame(0, b"y" * MB),
    "pings": lambda number: frame(9, b"p" * 125) * 200,
}


@pytest.mark.parametrize("wire", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_is_not_kept(
    service: Service,
    joined: Callable[..., Tuple[Client, Recorder, Everything]],
    wire: Callable[[int], bytes],
    figures: Callable[..., None],
) -> None:
    """50 MB in large frames (2 GB in the long form) make the process grow by at most 160 MB, and the client works."""
    logging.getLogger("cometchat").setLevel(logging.WARNING)  # pytest keeps all logged records
    client, recorder, _ = joined(settings_refresh_interval=0, pong_timeout=DEADLINE)
    size = len(wire(0))
    count = 10 + (2000 if SOAK else 40) * MB // max(size, MB)
    client.ping(DEADLINE)
    with Memory() as memory:
        for number in range(count):
            service.say(wire(number))
            if number % 4 == 3:
                client.ping(DEADLINE)  # the frames before it have been read
        client.ping(DEADLINE)
    figures(frames=count, frame_mb=round(size / MB, 1), peak_mb=round(memory.peak))
    assert memory.peak < GROWTH
    assert recorder.names == ["on_connecting", "on_connected"]


def test_an_error_does_not_keep_read_bytes(service: Service) -> None:
    """The client and the listeners keep the newest error, without the message of megabytes that it is about."""
    said = json.dumps({"type": "auth", "body": {"code": "401", "message": "m" * (5 * MB)}}).encode()
    service.accept = frame(1, said)
    recorder = Recorder()
    with Client("app", service.settings(reconnect_wait=QUICK)) as client:
        client.add_connection_listener("heard", recorder)
        client.login(UID, KEY)
        recorder.wait_for("on_disconnected")
        last = client.connection_info().last_error
    assert last is not None and kept_by(last) == []
