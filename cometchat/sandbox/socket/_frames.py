"""The checks of the frames that clients send."""

from __future__ import annotations

from typing import Any, Dict, List

from .._shape import (
    Check,
    any_text,
    app_info,
    exactly,
    is_object,
    milliseconds,
    number_or_text,
    one_of,
    problems,
    resource,
    text,
    texts,
    this_id,
)

#: JavaScript's client sends the text, Android's the boolean.
PINGS = ({"action": "ping", "ack": "true"}, {"action": "ping", "ack": True})
PRESENCE_SUBSCRIPTIONS = ("ALL_USERS", "FRIENDS", "ROLES")
TRANSIENT_TYPES = ("typing_indicator", "transient_message", "receipts")


def of_browser(name: str) -> bool:
    """Return whether a resource names a browser's tab. Tabs share a stored jwt, and each has its own resource."""
    return name.startswith("WEB-")


def auth_problems(frame: Dict[str, Any], app_id: str) -> List[str]:
    """Return the problems of an ``auth`` frame, without its credential. The frame of Android's client has no sender."""
    wrong = problems(
        "auth",
        frame,
        {"appId": exactly(app_id), "deviceId": resource, "type": exactly("auth"), "body": is_object},
        {"sender": text},
    )
    body = frame.get("body")
    if not isinstance(body, dict):
        return wrong
    wrong += problems(
        "auth.body",
        body,
        {"auth": text, "deviceId": exactly(frame.get("deviceId")), "params": is_object},
        {"presenceSubscription": one_of(*PRESENCE_SUBSCRIPTIONS), "roles": texts},
    )
    if ("roles" in body) != (body.get("presenceSubscription") == "ROLES"):
        wrong.append("auth.body.roles goes with presenceSubscription ROLES, and only with it")
    params = body.get("params")
    if not isinstance(params, dict):
        return wrong
    wrong += problems(
        "auth.body.params",
        params,
        {"appInfo": is_object, "userAgent": any_text, "deviceId": text, "platform": text},
        {},
    )
    more: Dict[str, Check] = {"origin": any_text, "uts": milliseconds}
    return wrong + app_info("auth.body.params.appInfo", params.get("appInfo"), more)


def transient_problems(frame: Dict[str, Any], app_id: str, uid: str, device_id: str) -> List[str]:
    """Return the problems of a typing indicator, a transient message or a receipt."""
    kind = frame["type"]
    fields: Dict[str, Check] = {
        "appId": exactly(app_id),
        "receiver": text,
        "receiverType": one_of("user", "group"),
        "deviceId": exactly(device_id),
        "type": exactly(kind),
        "sender": this_id(uid),
        "body": is_object,
    }
    if kind == "receipts":
        fields["messageSender"] = text
    wrong = problems(kind, frame, fields, {})
    bodies: Dict[str, Dict[str, Check]] = {
        "typing_indicator": {"action": one_of("started", "ended"), "user": is_object},
        "transient_message": {"user": is_object, "data": is_object},
        "receipts": {"action": one_of("delivered", "read"), "messageId": number_or_text, "user": is_object},
    }
    # The vendor's clients leave metadata out if the app gave none.
    optional: Dict[str, Check] = {"metadata": is_object} if kind == "typing_indicator" else {}
    body = frame.get("body")
    wrong += problems(f"{kind}.body", body, bodies[kind], optional)
    user = body.get("user") if isinstance(body, dict) else None
    if isinstance(user, dict) and not this_id(uid)(user.get("uid")):
        wrong.append(f"{kind}.body.user is not the sender")
    return wrong
