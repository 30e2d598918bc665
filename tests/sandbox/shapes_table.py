"""The shapes of the service's objects: a hand-written table of fields and types, from the vendor's published examples.

The tests check the sandbox's answers and frames against it, and may check the client's models. ``fields(kind)`` returns
the fields, ``sample(kind)`` an object with each of them, and ``problems(kind, value)`` the mistakes in an object. The
table knows neither the sandbox nor the client. Other tests import it by ``from sandbox import shapes_table``.

A type is one of the words of ``TYPES``, a kind of the table, ``[type]`` for a list, ``{type}`` for an object with any
keys, or ``=a|b`` for one of several texts. A ``!`` after the type means that the field is always present.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Tuple


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


#: By type: the check, and a sample.
TYPES: Mapping[str, Tuple[Callable[[Any], bool], Any]] = {
    # An id of digits is text in the API.
    "id": (lambda value: isinstance(value, str) and value.isdigit(), "17"),
    "uid": (lambda value: isinstance(value, str) and value != "" and value == value.lower(), "cometchat-uid-1"),
    "text": (_is_text, "some text"),
    "number": (_is_number, 7),
    "flag": (lambda value: isinstance(value, bool), True),
    "seconds": (lambda value: _is_number(value) and 10**9 <= value < 10**10, 1_795_866_833),
    "milliseconds": (lambda value: _is_number(value) and 10**12 <= value < 10**13, 1_795_866_833_152),
    "object": (lambda value: isinstance(value, dict), {"key": "value"}),
    "conversation_id": (
        lambda value: isinstance(value, str) and re.fullmatch(r"group_.+|.+_user_.+", value) is not None,
        "cometchat-uid-1_user_cometchat-uid-2",
    ),
}

_USER = {
    "uid": "uid!",
    "name": "text!",
    "role": "text!",
    "avatar": "text",
    "link": "text",
    "metadata": "object",
    "tags": "[text]",
    "statusMessage": "text",
    "lastActiveAt": "seconds",
    "createdAt": "seconds",
    "updatedAt": "seconds",
    "blockedByMe": "flag",
    "hasBlockedMe": "flag",
    "deactivatedAt": "seconds",
}

#: The fields of every stored message, also of actions and calls.
_STORED = {
    "id": "id!",
    "conversationId": "conversation_id!",
    "sender": "uid!",
    "receiverType": "=user|group!",
    "receiver": "uid!",
    "type": "text!",
    "sentAt": "seconds!",
    "updatedAt": "seconds!",
}

#: By kind of object: its fields and their types.
KINDS: Mapping[str, Mapping[str, str]] = {
    "user": {
        **_USER,
        "status": "=available|offline!",
        "conversationId": "conversation_id",
        "blockedByMeAt": "seconds",
        "blockedAt": "seconds",
        # Of a member, or of a banned user, of a group.
        "scope": "=participant|moderator|admin",
        "joinedAt": "seconds",
        "bannedAt": "seconds",
    },
    "socket_user": {**_USER, "status": "=online|offline!"},
    "group": {
        "guid": "uid!",
        "name": "text!",
        "type": "=public|private|password!",
        "description": "text",
        "icon": "text",
        "owner": "uid!",
        "scope": "=participant|moderator|admin",
        "membersCount": "number!",
        "onlineMembersCount": "number!",
        "joinedAt": "seconds",
        "hasJoined": "flag",
        "isBanned": "flag",
        "conversationId": "conversation_id!",
        "tags": "[text]",
        "metadata": "object",
        "createdAt": "seconds!",
        "updatedAt": "seconds!",
        "members": "object",
    },
    "message": {
        **_STORED,
        "category": "=message|custom|interactive|card|agentic!",
        "data": "message_data!",
        "muid": "text",
        "editedAt": "seconds",
        "editedBy": "uid",
        "deletedAt": "seconds",
        "deletedBy": "uid",
        "deliveredAt": "seconds",
        "readAt": "seconds",
        "parentId": "id",
        "replyCount": "number",
        "unreadRepliesCount": "number",
        "tags": "[text]",
        "quotedMessage": "message",
        "pinnedAt": "seconds",
        "pinnedBy": "text",
        "savedAt": "seconds",
        "threadSubscribed": "flag",
        "receipts": "receipts",
        "myReceipt": "message_receipt",
    },
    "receipts": {"data": "[message_receipt]!"},
    "message_receipt": {"recipient": "user", "deliveredAt": "seconds", "readAt": "seconds"},
    "message_data": {
        "text": "text",
        "resource": "text",
        "metadata": "object",
        "mentions": "{user}",
        "reactions": "[reaction_count]",
        "moderation": "moderation",
        "attachments": "[attachment]",
        "entities": "entities!",
        "url": "text",
        "caption": "text",
        # Custom.
        "customData": "object",
        "subType": "text",
        "updateConversation": "flag",
        "sendNotification": "flag",
        # Interactive.
        "interactiveData": "object",
        "interactionGoal": "goal",
        "interactions": "[interaction]",
        "allowSenderInteraction": "flag",
        # Card and agentic.
        "card": "object",
        "runId": "number",
        "threadId": "text",
        "toolCallId": "text",
        "toolCalls": "[tool_call]",
        "elements": "[element]",
    },
    "entities": {"sender": "entity!", "receiver": "entity!"},
    "moderation": {"status": "=pending|approved|disapproved|unmoderated!"},
    "attachment": {
        "url": "text!",
        "name": "text!",
        "mimeType": "text!",
        "extension": "text!",
        "size": "number!",
        "metadata": "object",
    },
    "goal": {"type": "=anyAction|anyOf|allOf|none!", "elementIds": "[text]"},
    "interaction": {"elementId": "text!", "interactedAt": "seconds!"},
    "tool_call": {
        "id": "text!",
        "type": "text!",
        "displayName": "text",
        "executionText": "text",
        "function": "object!",
    },
    "element": {"type": "=text|card!", "value": "object!"},
    "reaction_count": {"reaction": "text!", "count": "number!", "reactedByMe": "flag!"},
    "reaction": {
        "id": "id!",
        "messageId": "id!",
        "reaction": "text!",
        "uid": "uid!",
        "reactedAt": "seconds!",
        "reactedBy": "user!",
    },
    "reaction_event": {
        "action": "=message_reaction_added|message_reaction_removed!",
        "id": "id!",
        "messageId": "id!",
        "reaction": "text!",
        "uid": "uid!",
        "reactedAt": "seconds!",
        "reactedBy": "user!",
        "conversationId": "conversation_id!",
        "parentId": "id",
    },
    "group_action": {**_STORED, "category": "=action!", "data": "group_action_data!"},
    "group_action_data": {
        "action": "=joined|left|kicked|banned|unbanned|added|scopeChanged!",
        "resource": "text!",
        "entities": "group_action_entities!",
        "extras": "object",
    },
    "group_action_entities": {"by": "entity!", "on": "entity", "for": "entity!"},
    "message_action": {**_STORED, "category": "=action!", "data": "message_action_data!"},
    "message_action_data": {
        "action": "=edited|deleted!",
        "resource": "text!",
        "entities": "message_action_entities!",
    },
    "message_action_entities": {"by": "entity!", "on": "entity!", "for": "entity"},
    "call_message": {**_STORED, "category": "=call!", "data": "call_data!", "muid": "text"},
    "call_data": {"action": "text!", "resource": "text!", "entities": "call_entities!"},
    "call_entities": {"by": "entity!", "on": "entity!", "for": "entity!"},
    "call": {
        "sessionid": "text!",
        "status": "=initiated|ongoing|cancelled|rejected|unanswered|busy|ended!",
        "type": "=audio|video!",
        "initiator": "uid!",
        "receiver": "uid!",
        "receiverType": "=user|group!",
        "conversationId": "conversation_id!",
        "initiatedAt": "seconds!",
        "startedAt": "seconds",
        "joinedAt": "seconds",
        "endedAt": "seconds",
        "data": "object!",
    },
    "conversation": {
        "conversationId": "conversation_id!",
        "conversationType": "=user|group!",
        "conversationWith": "object!",
        "lastMessage": "any_message!",
        "latestMessageId": "id!",
        "lastReadMessageId": "id",
        "unreadMessageCount": "number!",
        "unreadMentionsCount": "number!",
        "tags": "[text]",
        "pinnedAt": "seconds",
        "pinnedBy": "text",
        "createdAt": "seconds!",
        "updatedAt": "seconds!",
    },
    "receipt": {
        "action": "=delivered|read|deliveredToAll|readByAll!",
        "messageId": "id!",
        "user": "socket_user!",
        "timestamp": "seconds!",
    },
    "typing": {"action": "=started|ended!", "user": "socket_user!", "metadata": "object"},
    "transient": {"user": "socket_user!", "data": "object!"},
    "presence": {"action": "=online|offline!", "user": "socket_user!", "timestamp": "seconds!"},
    "interaction_event": {
        "messageId": "id!",
        "user": "socket_user!",
        "interactions": "[interaction]!",
        "timestamp": "seconds!",
    },
    "stream_event": {
        "type": "text!",
        "conversationId": "conversation_id!",
        "id": "number!",
        "parentId": "text",
        "data": "stream_data!",
    },
    "stream_data": {
        "timestamp": "milliseconds!",
        "runId": "number",
        "threadId": "text",
        "streamMessageId": "text",
        "toolCallId": "text",
        "toolCallName": "text",
        "displayName": "text",
        "executionText": "text",
        "arguments": "text",
        "delta": "text",
        "content": "text",
        "role": "text",
        "cardId": "text",
        "card": "object",
    },
    "pin_event": {
        "action": "=message_pinned|message_unpinned|message_saved|message_unsaved!",
        "message": "message!",
        "pinnedBy": "text",
    },
    "conversation_pin_event": {
        "action": "=conversation_pinned|conversation_unpinned!",
        "conversation": "conversation!",
    },
    "error": {
        "code": "text!",
        "message": "text!",
        "devMessage": "text!",
        "source": "=chat-api!",
        "details": "{[text]}!",
    },
}

#: The types that depend on the content: of an entity beside its ``entityType``, and of any message.
_ENTITIES = {"user": "user", "group": "group", "call": "call", "message": "message"}


class Field(NamedTuple):
    """One field of a kind: its type without the ``!``, and whether it is always present."""

    name: str
    type: str
    required: bool


def fields(kind: str) -> List[Field]:
    """Return the fields of a kind."""
    return [Field(name, written.rstrip("!"), written.endswith("!")) for name, written in KINDS[kind].items()]


def kind_of_message(message: Mapping[str, Any]) -> str:
    """Return the kind of a stored message, by its category and type."""
    if message.get("category") == "call":
        return "call_message"
    if message.get("category") == "action":
        return "message_action" if message.get("type") == "message" else "group_action"
    return "message"


def problems(kind: str, value: Any, where: str = "") -> List[str]:
    """Return the mistakes in an object of a kind: missing and unknown fields, and values of another type."""
    where = where or kind
    if not isinstance(value, dict):
        return [f"{where} is not an object"]
    known = {field.name: field for field in fields(kind)}
    wrong = [f"{where}.{name} is missing" for name, field in known.items() if field.required and name not in value]
    for name, content in value.items():
        if name in known:
            wrong += _type_problems(known[name].type, content, f"{where}.{name}")
        else:
            wrong.append(f"{where}.{name} is not in the table")
    return wrong


def _type_problems(written: str, value: Any, where: str) -> List[str]:
    if written.startswith("="):
        return [] if value in written[1:].split("|") else [f"{where} is {value!r}, not one of {written[1:]}"]
    if written.startswith("["):
        if not isinstance(value, list):
            return [f"{where} is not a list"]
        return [wrong for each in value for wrong in _type_problems(written[1:-1], each, f"{where}[]")]
    if written.startswith("{"):
        if not isinstance(value, dict):
            return [f"{where} is not an object"]
        return [wrong for each in value.values() for wrong in _type_problems(written[1:-1], each, f"{where}{{}}")]
    if written == "entity":
        return _entity_problems(value, where)
    if written == "any_message":
        return problems(kind_of_message(value), value, where) if isinstance(value, dict) else [f"{where} is not one"]
    if written in KINDS:
        return problems(written, value, where)
    return [] if TYPES[written][0](value) else [f"{where} is {value!r}, not of the type {written}"]


def _entity_problems(value: Any, where: str) -> List[str]:
    if not isinstance(value, dict) or set(value) != {"entity", "entityType"}:
        return [f"{where} is not an entity"]
    if value["entityType"] not in _ENTITIES:
        return [f"{where}.entityType is {value['entityType']!r}"]
    return problems(_ENTITIES[value["entityType"]], value["entity"], f"{where}.entity")


def sample(kind: str) -> Dict[str, Any]:
    """Return an object of a kind with every field of the table. A quoted message quotes no other message."""
    return {field.name: _type_sample(field.type) for field in fields(kind) if field.name != "quotedMessage"}


def _type_sample(written: str) -> Any:
    if written.startswith("="):
        return written[1:].split("|")[0]
    if written.startswith("["):
        return [_type_sample(written[1:-1])]
    if written.startswith("{"):
        return {"cometchat-uid-1": _type_sample(written[1:-1])}
    if written == "entity":
        return {"entity": sample("user"), "entityType": "user"}
    if written == "any_message":
        return sample("message")
    return sample(written) if written in KINDS else TYPES[written][1]
