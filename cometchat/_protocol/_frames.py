"""Encodes this SDK's JSON frames and decodes the server's; the events in them, the ids of messages, the heartbeat.

Shapes and times are as recorded from the vendor's client 4.2.0. It sends ``{"action": "ping", "ack": "true"}`` 15 s
after the last one, and takes the connection for dead if no ``{"action": "pong"}`` arrives within 3 s. Message ids are
numbers that grow with time, as text or not. (That they are numbers is not confirmed.)
"""

from __future__ import annotations

import enum
import json
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Union

from .._fields import identifier, text, text_of
from ..exceptions import CometChatException
from ._endpoints import DEFAULT_API_VERSION as API_VERSION
from ._error_codes import ErrorKind, error_kind


class EventKind(enum.Enum):
    """Whether an event on its way to the listeners may be dropped, or fetched again."""

    #: The service stores this event. If the queue has no room for it, the client fetches it later.
    STORED = "stored"
    #: The service does not store this event, so the client keeps it until 64 MiB wait.
    KEPT = "kept"
    #: The service does not store this event. If too many wait, the oldest are dropped and counted.
    EPHEMERAL = "ephemeral"


#: The frames about pinned and saved messages, and about pinned conversations.
PIN_TYPES = (
    *("message_pin", "message_pinned", "message_unpinned", "pin"),
    *("message_save", "message_saved", "message_unsaved", "save"),
    *("conversation_pin", "conversation_pinned", "conversation_unpinned"),
)

#: Frame type -> kind of event. All other types are kept, and have no callback of their own.
#: (wire-protocol, 3.3 and 3.5. STATE events do not come from frames.)
EVENT_KINDS: Dict[str, EventKind] = {
    "message": EventKind.STORED,  # with edits, deletions, group actions and calls
    "on_moderation_status_changed": EventKind.STORED,
    **dict.fromkeys(
        (
            "presence",
            "typing_indicator",
            "transient_message",
            "receipts",
            "reaction",
        ),
        EventKind.EPHEMERAL,
    ),
    **dict.fromkeys(
        (
            "interaction_completed",
            "streamed_message",
            "notification_feed_item",
            *PIN_TYPES,
        ),
        EventKind.KEPT,
    ),
}


class AuthAnswer(NamedTuple):
    """The answer to ``auth``. ``code`` is ``"200"`` if the server accepted it."""

    code: Optional[str]
    status: Optional[str]
    message: Optional[str]

    @property
    def accepted(self) -> bool:
        """Whether the server accepted: code 200 (text or number), or status OK. (``"200"`` is confirmed.)"""
        if self.code is None:
            return self.status is not None and self.status.upper() == "OK"
        return self.code == "200"

    @property
    def kind(self) -> ErrorKind:
        """The kind of a refusal: 5xx, 408 and 429 are server trouble; others are judged by code. (Not confirmed.)

        A missing or unknown code means that the server refuses the credential.
        """
        code = self.code or ""
        if code in ("408", "429") or (len(code) == 3 and code.isdigit() and code[0] == "5"):
            return ErrorKind.TEMPORARY
        return error_kind(code, 401)


class Pong(NamedTuple):
    """The answer to a ping."""


class ServerEvent(NamedTuple):
    """An event for the listeners: the envelope of wire-protocol 3.3, with its ``body`` as it arrived.

    :ivar action: the envelope's ``action``. Only frames about pins and saves have one.
    """

    type: str
    body: Dict[str, Any]
    sender: Optional[str]
    receiver: Optional[str]
    receiver_type: Optional[str]
    device_id: Optional[str]
    message_sender: Optional[str] = None
    action: Optional[str] = None


class Ignored(NamedTuple):
    """A frame that does not follow the protocol. It is counted, and is never fatal."""

    reason: str


Event = Union[AuthAnswer, Pong, ServerEvent, Ignored]


PLATFORM = "python"

#: The heartbeat's frame. ``ack`` is a string on the wire.
PING = '{"action":"ping","ack":"true"}'

_PONG = Pong()
_NO_EVENTS = frozenset({"auth", ""})
_new = tuple.__new__
_SUBSCRIPTIONS = frozenset({"ALL_USERS", "FRIENDS", "ROLES"})
_SENT_TYPES = frozenset({"typing_indicator", "transient_message", "receipts"})


class Identity(NamedTuple):
    """The identity of a client on its socket.

    :ivar resource: names this connection on the wire (``PYTHON-0_1_0-{uuid4}-{epoch_ms}``).
    :ivar device_id: names the stored session (``{app_id}_{uuid4}_{epoch_ms}``).
    """

    app_id: str
    uid: str
    resource: str
    device_id: str
    sdk_version: str


def user_agent(sdk_version: str) -> str:
    """Return the name and version of this SDK, for the service."""
    return f"cometchat-python/{sdk_version}"


def app_info(sdk_version: str) -> Dict[str, Any]:
    """Return the ``appInfo`` for the login's HTTP bodies."""
    return {"version": sdk_version, "apiVersion": API_VERSION, "userAgent": user_agent(sdk_version)}


def encode_auth(identity: Identity, jwt: str, subscription_type: str, roles: Sequence[str], now_ms: int) -> str:
    """Encode ``auth``, the first frame on a socket (wire-protocol, 3.1).

    :param jwt: the ``jwt`` from ``PUT /me``. Not the auth token: the live service does not answer it.
    :param subscription_type: as in AppSettings; ``"NONE"`` leaves the key out.
    :param now_ms: Unix time in milliseconds.
    """
    body: Dict[str, Any] = {"auth": jwt, "deviceId": identity.resource}
    if subscription_type in _SUBSCRIPTIONS:
        body["presenceSubscription"] = subscription_type
    if subscription_type == "ROLES":
        body["roles"] = list(roles)
    body["params"] = {
        "appInfo": {"version": identity.sdk_version, "apiVersion": API_VERSION, "origin": "", "uts": now_ms},
        "userAgent": user_agent(identity.sdk_version),
        "deviceId": identity.device_id,
        "platform": PLATFORM,
    }
    frame = {"appId": identity.app_id, "deviceId": identity.resource, "type": "auth", "sender": identity.uid}
    return _dump({**frame, "body": body})


def encode_typing(
    identity: Identity,
    receiver: str,
    receiver_type: str,
    user: Dict[str, Any],
    *,
    started: bool,
    metadata: Optional[Dict[str, Any]] = None,
) -> str:
    """Encode a typing indicator to a user or group (wire-protocol, 3.4)."""
    body = {"action": "started" if started else "ended", "user": user, "metadata": metadata or {}}
    return _dump(_envelope(identity, receiver, receiver_type, "typing_indicator", body))


def encode_transient_message(
    identity: Identity, receiver: str, receiver_type: str, user: Dict[str, Any], data: Dict[str, Any]
) -> str:
    """Encode a transient message (wire-protocol, 3.4)."""
    return _dump(_envelope(identity, receiver, receiver_type, "transient_message", {"user": user, "data": data}))


def encode_receipt(
    identity: Identity,
    receiver: str,
    receiver_type: str,
    user: Dict[str, Any],
    *,
    action: str,
    message_id: str,
    message_sender: str,
) -> str:
    """Encode a receipt, ``"delivered"`` or ``"read"``, for a message of ``message_sender`` (wire-protocol, 3.4)."""
    frame = _envelope(
        identity, receiver, receiver_type, "receipts", {"action": action, "messageId": message_id, "user": user}
    )
    frame["messageSender"] = message_sender
    return _dump(frame)


def readdress(data: str, identity: Identity) -> Optional[str]:
    """Convert a frame of the user's other connection to this one's. Returns None if it must not be sent."""
    try:
        frame = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(frame, dict) or (text(frame, "sender") or "").lower() != identity.uid.lower():
        return None
    kind = frame.get("type")
    if not isinstance(kind, str) or kind not in _SENT_TYPES:
        return None
    return _dump({**frame, "appId": identity.app_id, "deviceId": identity.resource})


def decode(data: bytes, loads: Callable[[bytes], Any] = json.loads) -> Event:
    """Read one frame of the server. Never raises: for an unusable frame it returns :class:`Ignored` with the reason.

    :param loads: decodes JSON, or raises ValueError or RecursionError.
    """
    try:
        frame = loads(data)
    except (ValueError, RecursionError) as error:
        return Ignored(f"not JSON: {type(error).__name__}")
    if type(frame) is not dict:
        return Ignored(f"not a JSON object but {type(frame).__name__}")
    get = frame.get
    kind, body, action = get("type"), get("body"), get("action")
    if isinstance(action, str) and action.lower() == "pong":
        return _PONG  # the type does not matter
    if type(kind) is not str or kind in _NO_EVENTS:
        return _other(kind, body)
    if type(body) is not dict:
        if kind in EVENT_KINDS:
            return Ignored(f"{kind!r} without a body")
        body = {}  # the shape of an unknown type is unknown
    sender, receiver, receiver_type, device_id, message_sender = (
        get("sender"),
        get("receiver"),
        get("receiverType"),
        get("deviceId"),
        get("messageSender"),
    )
    # A faster ServerEvent(...).
    return _new(
        ServerEvent,
        (
            kind,
            body,
            sender if type(sender) is str else text_of(sender),
            receiver if type(receiver) is str else text_of(receiver),
            receiver_type if type(receiver_type) is str else None,
            device_id if type(device_id) is str else text_of(device_id),
            None if message_sender is None else text_of(message_sender),
            None if action is None else text_of(action),
        ),
    )


def _other(kind: object, body: object) -> Event:
    if kind is None:
        return Ignored("neither a type nor a pong")
    if kind == "auth":  # an answer without a body is not an acceptance
        answer = body if isinstance(body, dict) else {}
        code = text(answer, "code")
        return AuthAnswer(None if code is None else code[:80], text(answer, "status"), text(answer, "message"))
    return Ignored("its type is empty or not text")


def _envelope(identity: Identity, receiver: str, receiver_type: str, kind: str, body: Dict[str, Any]) -> Dict[str, Any]:
    return {
        "appId": identity.app_id,
        "receiver": receiver,
        "receiverType": receiver_type,
        "deviceId": identity.resource,
        "type": kind,
        "sender": identity.uid,
        "body": body,
    }


def _dump(frame: Dict[str, Any]) -> str:
    dumped = json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
    try:
        dumped.encode()
    except UnicodeEncodeError:  # a lone surrogate is not valid UTF-8: the server would close the connection (1007)
        return json.dumps(frame, separators=(",", ":"))
    return dumped


#: Maximum length of an id, in characters: the client remembers thousands of ids.
LONGEST = 100

_SURROGATE = re.compile("[\ud800-\udfff]")


def id_of(body: Mapping[str, Any]) -> Optional[str]:
    """Return a message's id as text; None without a usable id."""
    value = identifier(body, "id")
    if value is None or len(value) > LONGEST:
        return None
    # An address can't contain a lone surrogate.
    return value if _SURROGATE.search(value) is None else None


def rank(message_id: str) -> int:
    """Return an id as a number; -1 if it is not a number."""
    return int(message_id) if message_id.isdecimal() and len(message_id) < 40 else -1


def newer(one: Optional[str], other: Optional[str]) -> Optional[str]:
    """Return the newer of two ids, which is the larger number; the first one if they are not numbers."""
    if one is None or other is None:
        return one if other is None else other
    return other if rank(other) > rank(one) else one


def older(one: Optional[str], other: Optional[str]) -> Optional[str]:
    """Return the older of two ids, which is the smaller number; the first one if they are not numbers."""
    if one is None or other is None:
        return one if other is None else other
    return other if rank(other) < rank(one) else one


@dataclass(eq=False)
class Ping:
    """A ping of the heartbeat, or of ``Client.ping()``.

    :ivar sent_at: monotonic seconds.
    :ivar wake: called when its pong has arrived, and when it can't arrive because the connection is down.
    :ivar round_trip: in seconds; None without a pong.
    :ivar error: the reason if the connection is down; None if it was closed on purpose.
    """

    sent_at: float
    wake: Callable[[], object] = lambda: None
    round_trip: Optional[float] = None
    error: Optional[CometChatException] = None


class Heartbeat:
    """The heartbeat of one socket, and all pings on it. Not thread-safe: the callers that change it hold a lock.

    :param interval: seconds between pings.
    :param timeout: seconds to wait for a pong.
    """

    def __init__(self, interval: float, timeout: float, now: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._next_ping = now + interval
        self._expires: Optional[float] = None
        # Oldest first. A pong has no number, so it answers the oldest ping.
        self._unanswered: List[Ping] = []

    def sent(self, now: float) -> None:
        """Note that a ping of the heartbeat was sent."""
        self._unanswered.append(Ping(now))
        self._next_ping = now + self._interval
        if self._expires is None:
            self._expires = now + self._timeout

    def sent_by_user(self, ping: Ping) -> None:
        """Note that a ping of ``Client.ping()`` was sent. Without an answer to it the connection may still be alive."""
        self._unanswered.append(ping)

    def forget(self, ping: Ping) -> None:
        """Forget a ping whose caller has stopped waiting. A later pong must not be matched with it."""
        if ping in self._unanswered:
            self._unanswered.remove(ping)

    def pong(self, now: float) -> Optional[float]:
        """Note a pong. Returns the round trip in seconds; None if no ping waits for an answer."""
        self._expires = None
        if not self._unanswered:
            return None
        ping = self._unanswered.pop(0)
        ping.round_trip = now - ping.sent_at
        ping.wake()
        return ping.round_trip

    def end(self, error: Optional[CometChatException]) -> None:
        """Fail all pings, because the connection is down. None: it was closed on purpose."""
        while self._unanswered:
            ping = self._unanswered.pop(0)
            ping.error = error
            ping.wake()

    def due(self, now: float) -> bool:
        """Return True if it is time to send a ping. False while a ping is unanswered."""
        return self._expires is None and now >= self._next_ping

    def expired(self, now: float) -> bool:
        """Return True if the pong is overdue."""
        return self._expires is not None and now >= self._expires

    @property
    def deadline(self) -> float:
        """Return when to check again, on the clock of ``now``."""
        return self._next_ping if self._expires is None else self._expires
