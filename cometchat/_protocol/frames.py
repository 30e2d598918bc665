"""JSON frames: this SDK's to text, the server's to events. Shapes as recorded from the vendor's client 4.2.0."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence

from .events import EVENT_TYPES, AuthAnswer, Event, Ignored, Pong, ServerEvent

PLATFORM = "python"
API_VERSION = "v3.0"

#: The heartbeat's frame. ``ack`` is a string on the wire.
PING = '{"action":"ping","ack":"true"}'

_PONG = Pong()
_SUBSCRIPTIONS = frozenset({"ALL_USERS", "FRIENDS", "ROLES"})
_SENT_TYPES = frozenset({"typing_indicator", "transient_message", "receipts"})


class Identity(NamedTuple):
    """Who speaks on a socket.

    :ivar resource: names this connection on the wire (``PYTHON-0_1_0-{uuid4}-{epoch_ms}``).
    :ivar device_id: names the stored session (``{app_id}_{uuid4}_{epoch_ms}``).
    """

    app_id: str
    uid: str
    resource: str
    device_id: str
    sdk_version: str


def user_agent(sdk_version: str) -> str:
    """How this SDK names itself."""
    return f"cometchat-python/{sdk_version}"


def app_info(sdk_version: str) -> Dict[str, Any]:
    """The ``appInfo`` of the login's HTTP bodies."""
    return {"version": sdk_version, "apiVersion": API_VERSION, "userAgent": user_agent(sdk_version)}


def encode_auth(identity: Identity, jwt: str, subscription_type: str, roles: Sequence[str], now_ms: int) -> str:
    """The first frame on a socket (wire-protocol, 3.1).

    :param jwt: the ``jwt`` of ``PUT /me``. Not the auth token: the live service never answers that.
    :param subscription_type: one of AppSettings; ``"NONE"`` leaves the key out.
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
    """A typing indicator to a user or group (wire-protocol, 3.4)."""
    body = {"action": "started" if started else "ended", "user": user, "metadata": metadata or {}}
    return _dump(_envelope(identity, receiver, receiver_type, "typing_indicator", body))


def encode_transient_message(
    identity: Identity, receiver: str, receiver_type: str, user: Dict[str, Any], data: Dict[str, Any]
) -> str:
    """A message that is not stored (wire-protocol, 3.4)."""
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
    """A receipt, ``"delivered"`` or ``"read"``, for a message of ``message_sender`` (wire-protocol, 3.4)."""
    frame = _envelope(
        identity, receiver, receiver_type, "receipts", {"action": action, "messageId": message_id, "user": user}
    )
    frame["messageSender"] = message_sender
    return _dump(frame)


def readdress(text: str, identity: Identity) -> Optional[str]:
    """A frame that another connection of the same user wants sent, as this one's; None: it is none that may be sent."""
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(frame, dict) or frame.get("sender") != identity.uid:
        return None
    kind = frame.get("type")
    if not isinstance(kind, str) or kind not in _SENT_TYPES:
        return None
    return _dump({**frame, "appId": identity.app_id, "deviceId": identity.resource})


def decode(data: bytes, loads: Callable[[bytes], Any] = json.loads) -> Event:
    """Read one frame of the server. Never raises: what it can't use comes back as :class:`Ignored` with the reason.

    :param loads: reads JSON; raises ValueError or RecursionError where it can't.
    """
    try:
        frame = loads(data)
    except (ValueError, RecursionError) as error:
        return Ignored(f"not JSON: {type(error).__name__}")
    if type(frame) is not dict:
        return Ignored(f"not a JSON object but {type(frame).__name__}")
    get = frame.get
    kind, body = get("type"), get("body")
    if type(kind) is str and kind in EVENT_TYPES and type(body) is dict:  # nearly all that comes
        sender, receiver, receiver_type, device_id = (
            get("sender"),
            get("receiver"),
            get("receiverType"),
            get("deviceId"),
        )
        return ServerEvent(
            kind,
            body,
            sender if type(sender) is str else None,
            receiver if type(receiver) is str else None,
            receiver_type if type(receiver_type) is str else None,
            device_id if type(device_id) is str else None,
        )
    return _other(frame, kind, body)


def _other(frame: Dict[str, Any], kind: object, body: object) -> Event:
    if kind is None:
        return _PONG if frame.get("action") == "pong" else Ignored("neither a type nor a pong")
    if not isinstance(kind, str):
        return Ignored("its type is not text")
    if kind == "auth":  # without a body, it is an answer all the same, and no acceptance
        answer = body if isinstance(body, dict) else {}
        return AuthAnswer(_code(answer), _text(answer, "status"), _text(answer, "message"))
    return Ignored(f"unknown type {kind[:40]!r}" if isinstance(body, dict) else f"{kind[:40]!r} without a body")


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
    text = json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: raw it is no UTF-8, and the server closes (1007)
        return json.dumps(frame, separators=(",", ":"))
    return text


def _text(data: Dict[str, Any], key: str) -> Optional[str]:
    value = data.get(key)
    return value if isinstance(value, str) else None


def _code(body: Dict[str, Any]) -> Optional[str]:
    value = body.get("code")
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value)[:80]
