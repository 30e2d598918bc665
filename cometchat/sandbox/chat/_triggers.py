"""Events of webhooks: the names and the data for each stored message and for some frames.

The shapes are those of the vendor's published payload examples. They leave out facts that only the service's media
servers know, such as the participants who joined a call.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Iterator, Mapping, Tuple

#: Called with the name of an event and its data.
Trigger = Callable[[str, Dict[str, Any]], None]

_Event = Tuple[str, Dict[str, Any]]

_RECEIPTS = {"delivered": "message_delivery_receipt", "read": "message_read_receipt"}
_MODERATED = {"approved": "moderation_engine_approved", "disapproved": "moderation_engine_blocked"}

#: The fields that a deleted message keeps.
_DELETED = ("id", "conversationId", "deletedAt", "deletedBy")


def of_message(message: Mapping[str, Any]) -> Iterator[_Event]:
    """Yield the events of a new message, action or call."""
    action = message["data"].get("action")
    if message["category"] == "call":
        if action == "initiated":
            yield "call_initiated", {"call": message}
    elif message["category"] == "action" and message["type"] == "groupMember":
        yield _of_member(action, message["data"])
    elif message["category"] == "action":
        yield f"message_{action}", {"message": _of_change(message)}
    else:
        yield "message_sent", {"message": message}
        if "mentions" in message["data"]:
            yield "user_mentioned", {"message": message}


def of_frame(frame: Mapping[str, Any]) -> Iterator[_Event]:
    """Yield the event of a frame: a reaction, a receipt or a moderator's verdict."""
    body = frame.get("body", {})
    if frame["type"] == "reaction":
        fields = ("id", "messageId", "reaction", "uid", "reactedAt", "reactedBy")
        yield body["action"], {"reaction": {name: body[name] for name in fields}}
    elif frame["type"] == "receipts" and body["action"] in _RECEIPTS:
        user = {name: body["user"][name] for name in ("uid", "name", "status")}
        envelope = {name: frame[name] for name in ("receiver", "receiverType", "type", "sender", "messageSender")}
        yield _RECEIPTS[body["action"]], {**envelope, "body": {**body, "user": user}}
    elif frame["type"] == "on_moderation_status_changed":
        status = body["data"]["moderation"]["status"]
        if status in _MODERATED:
            yield _MODERATED[status], {"message": body}


def of_connection(user: Dict[str, Any], current: Dict[str, Any], presence_changed: bool) -> _Event:
    """Return the event of a connection that opened or ended, with ``action``, ``platform`` and ``connectedAt``."""
    data = {
        "timestamp": int(time.time() * 1000),
        "user": {name: user[name] for name in ("uid", "name", "status", "role")},
        "status": user["status"],
        "currentConnection": current,
        "userPresenceChanged": presence_changed,
    }
    return "user_connection_status_changed", data


def _of_member(action: str, data: Mapping[str, Any]) -> _Event:
    entities = data["entities"]
    by = entities["by"]["entity"]
    member = dict(entities["on"]["entity"] if "on" in entities else by)
    if action == "scopeChanged":
        scope = data["extras"]["scope"]
        member.update(scope=scope["new"], oldScope=scope["old"])
    event: Dict[str, Any] = {"members": {member["uid"]: member}, "group": entities["for"]["entity"]}
    if "on" in entities:
        event["by"] = by
    return "group_member_scope_changed" if action == "scopeChanged" else f"group_member_{action}", event


def _of_change(message: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the action of an edit or a deletion. A deleted message in it has only a few fields."""
    data = message["data"]
    on = data["entities"]["on"]
    if data["action"] == "deleted":
        on = {**on, "entity": {name: on["entity"][name] for name in _DELETED if name in on["entity"]}}
    entities = {"by": data["entities"]["by"], "on": on}
    return {**message, "data": {**data, "entities": entities}}
