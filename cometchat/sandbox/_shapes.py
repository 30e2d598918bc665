"""What a client may send, checked to the letter. Pure: data in, a list of what is wrong with it out.

Written from the protocol's description alone, not from the client's code, so that each is a check on the other.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, Mapping, Optional

_UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_RESOURCE = re.compile(rf"[A-Z]+-[0-9A-Za-z]+(_[0-9A-Za-z]+)*-{_UUID4}-\d{{13}}")
_SDK = re.compile(r"[A-Za-z]+@\S+")

PING = {"action": "ping", "ack": "true"}
PRESENCE_SUBSCRIPTIONS = ("ALL_USERS", "FRIENDS", "ROLES")
TRANSIENT_TYPES = ("typing_indicator", "transient_message", "receipts")

Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _any_text(value: Any) -> bool:
    return isinstance(value, str)


def _milliseconds(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 10**12 <= value < 10**13


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_text(item) for item in value)


def _resource(value: Any) -> bool:
    return isinstance(value, str) and _RESOURCE.fullmatch(value) is not None


def of_browser(resource: str) -> bool:
    """Whether it is a browser's tab that calls itself so: tabs share a stored jwt, each under a resource of its own."""
    return resource.startswith("WEB-")


def _one_of(*choices: str) -> Check:
    return lambda value: value in choices


def _exactly(wanted: Optional[str]) -> Check:
    return lambda value: value == wanted


def _device_id(app_id: str) -> Check:
    wanted = re.compile(rf"{re.escape(app_id)}_{_UUID4}_\d{{13}}")
    return lambda value: isinstance(value, str) and wanted.fullmatch(value) is not None


def _check(where: str, value: Any, fields: Mapping[str, Check], optional: Mapping[str, Check]) -> List[str]:
    """What is wrong with an object's keys and values. Values are not quoted: they may be credentials."""
    if not isinstance(value, dict):
        return [f"{where} is not an object"]
    wrong = [f"{where}.{key} is missing" for key in fields if key not in value]
    for key, found in value.items():
        check = fields.get(key) or optional.get(key)
        if check is None:
            wrong.append(f"{where}.{key} is not of the protocol")
        elif not check(found):
            wrong.append(f"{where}.{key} is wrong")
    return wrong


def auth_frame(frame: Dict[str, Any], app_id: str) -> List[str]:
    """What is wrong with an ``auth`` frame, apart from the credential."""
    wrong = _check(
        "auth",
        frame,
        {
            "appId": _exactly(app_id),
            "deviceId": _resource,
            "type": _exactly("auth"),
            "sender": _text,
            "body": _object,
        },
        {},
    )
    body = frame.get("body")
    if not isinstance(body, dict):
        return wrong
    wrong += _check(
        "auth.body",
        body,
        {"auth": _text, "deviceId": _exactly(frame.get("deviceId")), "params": _object},
        {"presenceSubscription": _one_of(*PRESENCE_SUBSCRIPTIONS), "roles": _texts},
    )
    if ("roles" in body) != (body.get("presenceSubscription") == "ROLES"):
        wrong.append("auth.body.roles goes with presenceSubscription ROLES, and only with it")
    return wrong + _auth_params(body.get("params"), app_id)


def _auth_params(params: Any, app_id: str) -> List[str]:
    if not isinstance(params, dict):
        return []
    wrong = _check(
        "auth.body.params",
        params,
        {"appInfo": _object, "userAgent": _any_text, "deviceId": _device_id(app_id), "platform": _text},
        {},
    )
    return wrong + _check(
        "auth.body.params.appInfo",
        params.get("appInfo"),
        {"version": _text, "apiVersion": _exactly("v3.0"), "origin": _any_text, "uts": _milliseconds},
        {},
    )


def transient_frame(frame: Dict[str, Any], app_id: str, uid: str, device_id: str) -> List[str]:
    """What is wrong with a typing indicator, a transient message or a receipt."""
    kind = frame["type"]
    fields: Dict[str, Check] = {
        "appId": _exactly(app_id),
        "receiver": _text,
        "receiverType": _one_of("user", "group"),
        "deviceId": _exactly(device_id),
        "type": _exactly(kind),
        "sender": _exactly(uid),
        "body": _object,
    }
    if kind == "receipts":
        fields["messageSender"] = _text
    wrong = _check(kind, frame, fields, {})
    bodies: Dict[str, Dict[str, Check]] = {
        "typing_indicator": {"action": _one_of("started", "ended"), "user": _object},
        "transient_message": {"user": _object, "data": _object},
        "receipts": {"action": _one_of("delivered", "read"), "messageId": _text, "user": _object},
    }
    # The vendor's client leaves metadata out where the app gave none.
    optional: Dict[str, Check] = {"metadata": _object} if kind == "typing_indicator" else {}
    body = frame.get("body")
    wrong += _check(f"{kind}.body", body, bodies[kind], optional)
    user = body.get("user") if isinstance(body, dict) else None
    if isinstance(user, dict) and user.get("uid") != uid:
        wrong.append(f"{kind}.body.user is not the sender")
    return wrong


def request_headers(headers: Mapping[str, str]) -> List[str]:
    """What is wrong with the headers that go with every HTTP call (``appId`` is judged by the API itself)."""
    wrong = []
    for name in ("Accept", "Content-Type"):
        if not headers.get(name, "").startswith("application/json"):
            wrong.append(f"header {name} is not application/json")
    if not _SDK.fullmatch(headers.get("sdk", "")):
        wrong.append("header sdk is missing or wrong")
    if not _resource(headers.get("resource")):
        wrong.append("header resource is missing or wrong")
    return wrong


def device_body(body: Any, app_id: str) -> List[str]:
    """What is wrong with the body of ``POST /users/{uid}/auth_tokens`` and ``PUT /me``."""
    wrong = _check("body", body, {"platform": _text, "deviceId": _device_id(app_id), "appInfo": _object}, {})
    if not isinstance(body, dict):
        return wrong
    return wrong + _check(
        "body.appInfo",
        body.get("appInfo"),
        {"version": _text, "apiVersion": _exactly("v3.0"), "userAgent": _any_text},
        {},
    )
