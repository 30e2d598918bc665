"""The shapes of the service's objects, by hand from the vendor's published facts: kind -> field -> its reader.

``wire`` is the place of the field, as a path. ``name`` is the model's field. ``kind`` says which values it may have.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from cometchat import Attachment, BaseMessage, Conversation, Group, User
from cometchat.models._message import message_from_dict


class Shape(NamedTuple):
    """One field."""

    wire: Tuple[str, ...]
    name: str
    kind: str


def _shapes(kind: str, *fields: str, under: Tuple[str, ...] = ()) -> List[Shape]:
    """Each field is ``wireName>model_name``, or one name for both."""
    pairs = (field.partition(">") for field in fields)
    return [Shape((*under, wire), name or wire, kind) for wire, _, name in pairs]


USER = [
    *_shapes("text", "name", "avatar", "link", "role", "statusMessage>status_message"),
    *_shapes("text", "conversationId>conversation_id"),
    *_shapes("time", "lastActiveAt>last_active_at", "createdAt>created_at", "updatedAt>updated_at"),
    *_shapes("time", "deactivatedAt>deactivated_at", "blockedAt>blocked_at", "blockedByMeAt>blocked_by_me_at"),
    *_shapes("flag", "hasBlockedMe>has_blocked_me", "blockedByMe>blocked_by_me"),
    *_shapes("object", "metadata"),
    *_shapes("list", "tags"),
]

GROUP = [
    *_shapes("text", "name", "type", "icon", "description", "owner", "scope", "conversationId>conversation_id"),
    *_shapes("text", "updatedBy>updated_by"),
    *_shapes("count", "membersCount>members_count", "onlineMembersCount>online_members_count"),
    *_shapes("flag", "hasJoined>has_joined", "isBannedFromGroup>is_banned_from_group"),
    *_shapes("time", "joinedAt>joined_at", "createdAt>created_at", "updatedAt>updated_at"),
    *_shapes("object", "metadata"),
    *_shapes("list", "tags"),
]

MESSAGE = [
    *_shapes("id", "id", "conversationId>conversation_id", "parentId>parent_message_id", "receiver>receiver_id"),
    *_shapes("id", "quotedMessageId>quoted_message_id", "editedBy>edited_by", "deletedBy>deleted_by"),
    *_shapes("id", "pinnedBy>pinned_by"),
    *_shapes("text", "muid", "receiverType>receiver_type"),
    *_shapes("time", "sentAt>sent_at", "updatedAt>updated_at", "editedAt>edited_at", "deletedAt>deleted_at"),
    *_shapes("time", "deliveredAt>delivered_at", "readAt>read_at", "pinnedAt>pinned_at", "savedAt>saved_at"),
    *_shapes("time", "deliveredAt>delivered_to_me_at", "readAt>read_by_me_at", under=("myReceipt",)),
    *_shapes("count", "replyCount>reply_count", "unreadRepliesCount>unread_replies_count"),
    *_shapes("flag", "threadSubscribed>thread_subscribed"),
    *_shapes("list", "tags"),
    *_shapes("object", "metadata", under=("data",)),
    *_shapes("text", "status>moderation_status", under=("data", "moderation")),
]

_DATA = ("data",)
_CALL = ("data", "entities", "on", "entity")

TEXT = _shapes("text", "text", under=_DATA)
CUSTOM = [
    *_shapes("object", "customData>custom_data", under=_DATA),
    *_shapes("text", "subType>sub_type", under=_DATA),
    *_shapes("id", "text>conversation_text", under=_DATA),  # empty text does not count
    *_shapes("flag", "updateConversation>update_conversation", "sendNotification>send_notification", under=_DATA),
]
MEDIA = [*_shapes("text", "url", under=_DATA), *_shapes("id", "text>caption", under=_DATA)]
INTERACTIVE = [
    *_shapes("object", "interactiveData>interactive_data", "interactionGoal>interaction_goal", under=_DATA),
    *_shapes("flag", "allowSenderInteraction>allow_sender_interaction", under=_DATA),
]
CARD = [
    *_shapes("text", "text", under=_DATA),
    *_shapes("text", "fallbackText>fallback_text", under=(*_DATA, "card")),
]
AGENTIC = _shapes("id", "runId>run_id", "threadId>thread_id", under=_DATA)
CALL = [
    *_shapes("id", "sessionid>session_id", "status", under=_CALL),
    *_shapes("time", "initiatedAt>initiated_at", "startedAt>started_at", "joinedAt>joined_at", under=_CALL),
]
ACTION = [
    *_shapes("text", "action", under=_DATA),
    *_shapes("text", "old>old_scope", "new>new_scope", under=(*_DATA, "extras", "scope")),
]

ATTACHMENT = [
    *_shapes("text", "url", "name", "extension", "mimeType>mime_type"),
    *_shapes("count", "size"),
    *_shapes("object", "metadata"),
]

CONVERSATION = [
    *_shapes("id", "conversationId>conversation_id", "lastReadMessageId>last_read_message_id"),
    *_shapes("id", "latestMessageId>latest_message_id", "pinnedBy>pinned_by"),
    *_shapes("text", "conversationType>conversation_type"),
    *_shapes("count", "unreadMessageCount>unread_message_count", "unreadMentionsCount>unread_mentions_count"),
    *_shapes("time", "pinnedAt>pinned_at", "createdAt>created_at", "updatedAt>updated_at"),
    *_shapes("list", "tags"),
]

#: Kind -> the reader, the fields of every object of the kind, and its own fields.
SHAPES: Dict[str, Tuple[Callable[[Dict[str, Any]], Any], Dict[str, Any], List[Shape]]] = {
    "user": (User.from_dict, {"uid": "u"}, USER),
    "group": (Group.from_dict, {"guid": "g"}, GROUP),
    "attachment": (Attachment.from_dict, {}, ATTACHMENT),
    "conversation": (Conversation.from_dict, {}, CONVERSATION),
    "message": (BaseMessage.from_dict, {}, MESSAGE),
    **{
        f"{category} {kind}": (message_from_dict, {"category": category, "type": kind}, [*MESSAGE, *own])
        for category, kind, own in (
            ("message", "text", TEXT),
            ("message", "image", MEDIA),
            ("message", "custom", CUSTOM),
            ("custom", "place", CUSTOM),
            ("interactive", "form", INTERACTIVE),
            ("card", "text", CARD),
            ("agentic", "assistant", [*AGENTIC, *TEXT]),
            ("agentic", "tool-result", [*AGENTIC, *TEXT, *_shapes("id", "toolCallId>tool_call_id", under=_DATA)]),
            ("agentic", "tool-arguments", AGENTIC),
            ("call", "audio", CALL),
            ("action", "groupMember", ACTION),
        )
    },
}

#: Kind of field -> (the service's value, the model's value). The first is the vendor's documented one.
VALUES: Dict[str, List[Tuple[Any, Any]]] = {
    "text": [("x", "x"), (5, "5"), ("5", "5"), ("", ""), (True, None), ([], None), ({}, None), (1.5, None)],
    "id": [("17", "17"), (17, "17"), ("a-b", "a-b"), ("", None), (True, None), ([17], None), ({}, None)],
    "count": [(5, 5), ("5", 5), (0, 0), ("0", 0), (5.0, 5), ("x", None), ("", None), (True, None), ([], None)],
    "time": [(5, 5), ("5", 5), (0, None), ("0", None), ("", None), (-5, None), ("x", None), (True, None), ({}, None)],
    "flag": [(True, True), (False, False), (1, True), (0, False), ("true", True), ("0", False), ("x", None)],
    "object": [({"a": 1}, {"a": 1}), ('{"a": 1}', {"a": 1}), ("{}", {}), ("", {}), ("[1]", {}), ([], {}), (5, {})],
    "list": [(["a", "b"], ("a", "b")), ([], ()), (["a", 5, None], ("a",)), ("a", ()), ({}, ()), (5, ())],
}

#: The value of a field that is absent or null.
NOTHING: Dict[str, Any] = {"object": {}, "list": ()}
