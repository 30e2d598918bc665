"""Formats events for ``watch --events``: a line or a JSON object for each.

An event has the name of the listener's method without ``on_``; the two of the outbox begin with ``outbox_``. In JSON
it also has the method's arguments by name, and each model has its fields.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Tuple, Type, TypeVar

from cometchat import (
    AIAssistantMessage,
    AIToolArgumentMessage,
    AIToolResultMessage,
    BaseMessage,
    Call,
    CallListener,
    CardMessage,
    Client,
    CometChatException,
    CustomMessage,
    Group,
    GroupListener,
    InteractiveMessage,
    MediaMessage,
    MessageListener,
    MessageReceipt,
    OutboxListener,
    ReactionEvent,
    TextMessage,
    User,
    UserListener,
)

L = TypeVar("L")

#: Maximum depth of other users' JSON. Deeper JSON could exhaust the stack.
_DEPTH = 40


class Event(NamedTuple):
    """A call of a listener's method."""

    name: str
    arguments: Dict[str, Any]


class Line(NamedTuple):
    """An event for people: its kind in one word, and the rest of the line. May contain control characters."""

    what: str
    text: str


Put = Callable[[Event], None]


def listen(client: Client, put: Put) -> None:
    """Pass on every event of a client. ``put`` is called on the client's dispatcher thread."""
    client.add_user_listener("watch", _feed(UserListener, put))
    client.add_message_listener("watch", _feed(MessageListener, put))
    client.add_group_listener("watch", _feed(GroupListener, put))
    client.add_call_listener("watch", _feed(CallListener, put))
    client.add_outbox_listener("watch", _feed(OutboxListener, put, "outbox_"))


def line_of(event: Event) -> Line:
    """Return the event in a form for people."""
    what, say = _LINES[event.name]
    return Line(what, say(*event.arguments.values()))


def record_of(event: Event) -> Dict[str, Any]:
    """Return the event in a form for JSON, without ``time``."""
    return {"event": event.name, **{name: _plain(value) for name, value in event.arguments.items()}}


def error_record(error: CometChatException) -> Dict[str, Any]:
    """Return an error in a form for JSON."""
    return {"code": error.code, "message": error.message, "details": error.details}


def _feed(base: Type[L], put: Put, prefix: str = "") -> L:
    """Return a listener that puts an event in every method."""

    def method(name: str, parameters: List[str]) -> Callable[..., None]:
        def happened(self: object, *values: Any) -> None:
            put(Event(prefix + name[len("on_") :], dict(zip(parameters, values))))

        return happened

    methods = {
        name: method(name, list(inspect.signature(function).parameters)[1:])
        for name, function in vars(base).items()
        if name.startswith("on_")
    }
    feed: L = type(f"{base.__name__}Feed", (base,), methods)()
    return feed


# For machines.


def _plain(value: Any, depth: int = 0) -> Any:
    """Return a value in a form for JSON. Of a model: its non-empty fields, without ``raw`` and credentials."""
    if depth > _DEPTH:
        return "..."
    if isinstance(value, CometChatException):
        return error_record(value)
    if dataclasses.is_dataclass(value):
        pairs = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
        hidden = _hidden(value)
        return {name: _plain(item, depth + 1) for name, item in pairs if name not in hidden and not _is_empty(item)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no such number
    return value


def _hidden(model: Any) -> Tuple[str, ...]:
    # The other fields of a message come from its data. A message of an unknown kind has only the data.
    double = isinstance(model, BaseMessage) and type(model) is not BaseMessage
    return ("raw", "auth_token", "data") if double else ("raw", "auth_token")


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, (Mapping, tuple)) and not value)


# For persons.


def _name(thing: Any) -> str:
    """Return the uid of a user or the guid of a group."""
    if isinstance(thing, User):
        return thing.uid
    return thing.guid if isinstance(thing, Group) else "?"


def _ways(thing: Any) -> str:
    """Return the sender and the receiver."""
    receiver = thing.receiver_id or "?"
    return f"{_name(thing.sender)} -> " + (f"group {receiver}" if thing.receiver_type == "group" else receiver)


def _json(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False)


def _content(message: BaseMessage) -> str:
    kind = message.type or message.category or "?"
    if isinstance(message, TextMessage):
        return message.text or ""
    if isinstance(message, MediaMessage):
        urls = [message.url, *(attachment.url for attachment in message.attachments)]
        return " ".join([kind, *dict.fromkeys(url for url in urls if url), *filter(None, [message.caption])])
    if isinstance(message, CustomMessage):
        return f"custom {kind} {_json(message.custom_data)}"
    if isinstance(message, InteractiveMessage):
        return f"interactive {kind} {_json(message.interactive_data)}"
    if isinstance(message, CardMessage):
        return f"card {message.fallback_text or message.text or _json(message.card)}"
    if isinstance(message, AIToolArgumentMessage):
        return f"{kind} {_json(message.tool_calls)}"
    if isinstance(message, (AIAssistantMessage, AIToolResultMessage)):
        return f"{kind} {message.text or ''}"
    return kind


def _message(message: BaseMessage) -> str:
    return f"#{message.id or '?'} {_ways(message)}: {_content(message)}"


def _deleted(message: BaseMessage) -> str:
    by = f" by {message.deleted_by}" if message.deleted_by else ""
    return f"#{message.id or '?'} {_ways(message)}, deleted{by}"


def _receipt(receipt: MessageReceipt) -> str:
    return f"{_name(receipt.sender)}: {receipt.receipt_type or '?'} up to #{receipt.message_id or '?'}"


def _reaction(event: ReactionEvent) -> str:
    return f"{_name(event.reacted_by)}: {event.reaction or '?'} on #{event.message_id or '?'}"


def _call(did: str) -> Callable[[Call], str]:
    def say(call: Call) -> str:
        return f"{_ways(call)}: {did} ({call.type or '?'}, session {call.session_id or '?'})"

    return say


def _delivered(sent: Any) -> str:
    if isinstance(sent, MessageReceipt):
        return f"sent: {sent.receipt_type} receipt for #{sent.message_id}"
    return f"delivered: {_message(sent)}"


def _failed(sent: Any, error: CometChatException) -> str:
    about = f"{sent.receipt_type} receipt" if isinstance(sent, MessageReceipt) else f"muid {sent.muid}"
    return f"refused for good: {about}: {error}"


def _member(did: str) -> Callable[..., str]:
    """Describe a change of the user's own membership, such as leaving."""
    return lambda action, user, group: f"{_name(group)}: {_name(user)} {did}"


def _to_member(did: str) -> Callable[..., str]:
    """Describe an action of a user on a member, such as kicking."""
    return lambda action, user, by, group: f"{_name(group)}: {_name(by)} {did} {_name(user)}"


#: Event -> (one word, function for the rest of the line).
_LINES: Dict[str, Tuple[str, Callable[..., str]]] = {
    "user_online": ("presence", lambda user: f"{_name(user)} is online"),
    "user_offline": ("presence", lambda user: f"{_name(user)} is offline"),
    "text_message_received": ("message", _message),
    "media_message_received": ("message", _message),
    "custom_message_received": ("message", _message),
    "interactive_message_received": ("message", _message),
    "card_message_received": ("message", _message),
    "ai_assistant_message_received": ("message", _message),
    "ai_tool_result_received": ("message", _message),
    "ai_tool_arguments_received": ("message", _message),
    "other_message_received": ("message", _message),
    "message_moderated": ("moderation", lambda message: f"{_message(message)}: {message.moderation_status or '?'}"),
    "message_pinned": ("pin", lambda message: f"{_message(message)}, pinned"),
    "message_unpinned": ("pin", lambda message: f"{_message(message)}, unpinned"),
    "message_saved": ("save", lambda message: f"{_message(message)}, saved"),
    "message_unsaved": ("save", lambda message: f"{_message(message)}, unsaved"),
    "message_edited": ("edit", _message),
    "message_deleted": ("delete", _deleted),
    "typing_started": ("typing", lambda typing: f"{_ways(typing)}: started"),
    "typing_ended": ("typing", lambda typing: f"{_ways(typing)}: ended"),
    "messages_delivered": ("receipt", _receipt),
    "messages_delivered_to_all": ("receipt", _receipt),
    "messages_read": ("receipt", _receipt),
    "messages_read_by_all": ("receipt", _receipt),
    "transient_message_received": ("transient", lambda message: f"{_ways(message)}: {_json(message.data)}"),
    "message_reaction_added": ("reaction", lambda event: f"{_reaction(event)} added"),
    "message_reaction_removed": ("reaction", lambda event: f"{_reaction(event)} removed"),
    "interaction_goal_completed": (
        "interaction",
        lambda receipt: f"{_name(receipt.sender)}: goal of #{receipt.message_id or '?'} completed",
    ),
    "group_member_joined": ("group", _member("joined")),
    "group_member_left": ("group", _member("left")),
    "group_member_kicked": ("group", _to_member("kicked")),
    "group_member_banned": ("group", _to_member("banned")),
    "group_member_unbanned": ("group", _to_member("unbanned")),
    "group_member_scope_changed": (
        "group",
        lambda action, by, user, new, old, group: f"{_name(group)}: {_name(by)} made {_name(user)} {new}, was {old}",
    ),
    "member_added_to_group": (
        "group",
        lambda action, by, user, group: f"{_name(group)}: {_name(by)} added {_name(user)}",
    ),
    "incoming_call_received": ("call", _call("rings")),
    "outgoing_call_accepted": ("call", _call("accepted")),
    "outgoing_call_rejected": ("call", _call("rejected")),
    "incoming_call_cancelled": ("call", _call("cancelled")),
    "call_ended_message_received": ("call", _call("ended")),
    "outbox_delivered": ("outbox", _delivered),
    "outbox_failed": ("outbox", _failed),
}
