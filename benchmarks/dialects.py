"""The greeting of each protocol, and its envelope for the one payload: a presence frame of the service.

All protocols carry the same bytes of payload. A dialect says what the server sends when the socket opens, and what it
answers. It also says which frame shows that the client is ready for the stream, and how one event looks on the wire.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

#: As recorded (frames.json): with its keys in their order, without spaces.
PRESENCE: Dict[str, Any] = {
    "appId": "app",
    "receiver": "",
    "receiverType": "",
    "deviceId": "D2",
    "type": "presence",
    "sender": "uid2",
    "body": {
        "action": "online",
        "user": {"uid": "uid2", "name": "UID2", "status": "online", "role": "default"},
        "timestamp": 1700000000,
    },
}

#: A placeholder for the time of sending, in nanoseconds of the monotonic clock. It has the length of such a time.
STAMP = "0" * 19

TEXT, BINARY = 1, 2


def payload(stamped: bool = False) -> str:
    """Return the event's JSON.

    :param stamped: use :data:`STAMP` as the user's name.
    """
    event = PRESENCE
    if stamped:
        user = {**PRESENCE["body"]["user"], "name": STAMP}
        event = {**PRESENCE, "body": {**PRESENCE["body"], "user": user}}
    return json.dumps(event, separators=(",", ":"))


class Answer(NamedTuple):
    """The server's reaction to a frame of the client: the frames that it sends, and whether the client is ready."""

    frames: Tuple[bytes, ...] = ()
    ready: bool = False


class Dialect(NamedTuple):
    """One protocol.

    :ivar greeting: the frames that the server sends when the socket opens.
    :ivar answer: returns the reaction to a frame of the client.
    :ivar wrap: puts the payload into the protocol's envelope.
    """

    greeting: Tuple[bytes, ...]
    answer: Callable[[bytes], Answer]
    wrap: Callable[[str], bytes]
    opcode: int = TEXT
    subprotocol: Optional[str] = None


def _plain(data: bytes) -> Answer:
    return Answer(ready=True)


def _cometchat(data: bytes) -> Answer:
    if data == b'{"action":"ping","ack":"true"}':
        return Answer((b'{"action":"pong"}',))
    if b'"type":"auth"' in data:
        return Answer((b'{"type":"auth","body":{"code":"200","status":"OK"}}',), ready=True)
    return Answer()


def _pusher(data: bytes) -> Answer:
    if json.loads(data).get("event") != "pusher:subscribe":
        return Answer()
    return Answer((_json({"event": "pusher_internal:subscription_succeeded", "channel": "bench", "data": "{}"}),), True)


def _signalr(data: bytes) -> Answer:
    return Answer((b"{}\x1e",), ready=True) if b'"protocol"' in data else Answer()


def _socketio(data: bytes) -> Answer:
    if data.startswith(b"40"):
        return Answer((b'40{"sid":"bench"}',), ready=True)
    return Answer()


def _mqtt(data: bytes) -> Answer:
    kind = data[0] >> 4
    if kind == 1:  # CONNECT: CONNACK
        return Answer((b"\x20\x02\x00\x00",))
    if kind == 8:  # SUBSCRIBE: SUBACK with its number, granted
        return Answer((b"\x90\x03" + data[2:4] + b"\x00",), ready=True)
    return Answer((b"\xd0\x00",)) if kind == 12 else Answer()


def _mqtt_publish(text: str) -> bytes:
    rest = b"\x00\x05bench" + text.encode()
    length, digits = len(rest), b""
    while True:
        length, digit = divmod(length, 128)
        digits += bytes([digit | (0x80 if length else 0)])
        if not length:
            return b"\x30" + digits + rest


def _slack(data: bytes) -> Answer:
    return Answer()


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _within(before: str, after: str) -> Callable[[str], bytes]:
    return lambda text: f"{before}{text}{after}".encode()


DIALECTS: Dict[str, Dialect] = {
    "cometchat": Dialect((), _cometchat, _within("", "")),
    "plain": Dialect((), _plain, _within("", "")),
    "pusher": Dialect(
        (_json({"event": "pusher:connection_established", "data": '{"socket_id":"1.1","activity_timeout":120}'}),),
        _pusher,
        lambda text: _json({"event": "presence", "channel": "bench", "data": text}),
    ),
    "slack": Dialect(
        (_json({"type": "hello", "num_connections": 1, "connection_info": {"app_id": "A1"}}),),
        _slack,
        _within(
            '{"envelope_id":"57d6a792-4d35-4d0b-b6aa-3361493e1caf","type":"events_api",'
            '"accepts_response_payload":false,"payload":',
            "}",
        ),
    ),
    "signalr": Dialect((), _signalr, _within('{"type":1,"target":"presence","arguments":[', "]}\x1e")),
    "socketio": Dialect(
        (b'0{"sid":"bench","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}',),
        _socketio,
        _within('42["presence",', "]"),
    ),
    "mqtt": Dialect((), _mqtt, _mqtt_publish, opcode=BINARY, subprotocol="mqtt"),
}

#: These clients never say that they are ready. They are ready once the socket is open.
READY_AT_ONCE = frozenset({"slack"})


def dialect_of(path: str) -> str:
    """Return the dialect for a path of the server."""
    name = path.split("?")[0].strip("/").split("/")[0] or "cometchat"
    return {"app": "pusher", "socket.io": "socketio"}.get(name, name)


def frame(data: bytes, opcode: int = TEXT) -> bytes:
    """Return a whole WebSocket frame of a server, unmasked."""
    length = len(data)
    if length < 126:
        return bytes([0x80 | opcode, length]) + data
    if length < 65_536:
        return bytes([0x80 | opcode, 126]) + length.to_bytes(2, "big") + data
    return bytes([0x80 | opcode, 127]) + length.to_bytes(8, "big") + data


def encoded(name: str, *, stamped: bool = False) -> bytes:
    """Return one event as a frame of a dialect."""
    dialect = DIALECTS[name]
    return frame(dialect.wrap(payload(stamped)), dialect.opcode)


def names() -> List[str]:
    """Return the names of the dialects."""
    return sorted(DIALECTS)
