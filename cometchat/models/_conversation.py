"""A conversation of the logged-in user."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Tuple

from .. import _fields
from ._group import Group
from ._message import BaseMessage, Entity, message_from_dict
from ._user import User


@dataclass(frozen=True)
class Conversation:
    """A conversation with a user or a group. Times are Unix times in seconds. Unknown fields are None.

    :ivar conversation_type: ``"user"`` or ``"group"``.
    :ivar conversation_with: the other user, or the group.
    :ivar pinned_by: a uid, or ``"app_system"``.
    """

    conversation_id: Optional[str] = None
    conversation_type: Optional[str] = None
    conversation_with: Entity = None
    last_message: Optional[BaseMessage] = None
    unread_message_count: Optional[int] = None
    unread_mentions_count: Optional[int] = None
    last_read_message_id: Optional[str] = None
    latest_message_id: Optional[str] = None
    tags: Tuple[str, ...] = ()
    pinned_at: Optional[int] = None
    pinned_by: Optional[str] = None
    created_at: Optional[int] = None
    updated_at: Optional[int] = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Conversation:
        """Read the service's JSON object. Never raises: fields that are missing or of a wrong type are None."""
        last_message = _fields.mapping(data, "lastMessage")
        return cls(
            conversation_id=_fields.identifier(data, "conversationId"),
            conversation_type=_fields.text(data, "conversationType"),
            conversation_with=_other_side(data),
            last_message=message_from_dict(last_message) if last_message else None,
            unread_message_count=_fields.number(data, "unreadMessageCount"),
            unread_mentions_count=_fields.number(data, "unreadMentionsCount"),
            last_read_message_id=_fields.identifier(data, "lastReadMessageId"),
            latest_message_id=_fields.identifier(data, "latestMessageId"),
            tags=_fields.texts(data, "tags"),
            pinned_at=_fields.moment(data, "pinnedAt"),
            pinned_by=_fields.identifier(data, "pinnedBy"),
            created_at=_fields.moment(data, "createdAt"),
            updated_at=_fields.moment(data, "updatedAt"),
            raw=_fields.raw(data),
        )


def _other_side(data: Mapping[str, Any]) -> Entity:
    other = _fields.mapping(data, "conversationWith")
    if _fields.text(other, "guid"):
        return Group.from_dict(other)
    return User.from_dict(other) if _fields.text(other, "uid") else None
