"""Encodes this SDK's JSON frames and decodes the server's. Shapes as recorded from the vendor's client 4.2.0."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence

from .._fields import text, text_of
from ._endpoints import DEFAULT_API_VERSION as API_VERSION
from ._events import AuthAnswer, Event, Ignored, Pong, ServerEvent

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
    if action is not None and isinstance(action, str) and action.lower() == "pong":
        return _PONG  # the type does not matter
    if type(kind) is not str or type(body) is not dict or kind in _NO_EVENTS:
        return _other(kind, body)
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
    if not isinstance(kind, str):
        return Ignored("its type is not text")
    if kind == "auth":  # an answer without a body is not an acceptance
        answer = body if isinstance(body, dict) else {}
        code = text(answer, "code")
        return AuthAnswer(None if code is None else code[:80], text(answer, "status"), text(answer, "message"))
    return Ignored(f"{kind[:40]!r} without a body" if kind else "an empty type")


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
