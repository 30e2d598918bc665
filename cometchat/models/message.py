"""Messages of all categories."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple, Type, TypeVar, Union

from . import _fields
from .group import Group
from .user import User

Entity = Union[User, Group, None]

M = TypeVar("M", bound="BaseMessage")


@dataclass(frozen=True)
class BaseMessage:
    """What every message has. Times are Unix times in seconds; what the service did not send is None.

    :ivar id: the service's number of the message, as text; grows with time.
    :ivar muid: made by the sender, so that a repeated sending is recognised.
    :ivar receiver_id: a uid or guid, by ``receiver_type`` (``"user"`` or ``"group"``).
    :ivar data: the message's own ``data`` object.
    :ivar raw: all that came, unknown fields too.
    """

    id: Optional[str] = None
    muid: Optional[str] = None
    conversation_id: Optional[str] = None
    sender: Optional[User] = None
    receiver_id: Optional[str] = None
    receiver_type: Optional[str] = None
    receiver: Entity = None
    category: Optional[str] = None
    type: Optional[str] = None
    sent_at: Optional[int] = None
    updated_at: Optional[int] = None
    edited_at: Optional[int] = None
    edited_by: Optional[str] = None
    deleted_at: Optional[int] = None
    deleted_by: Optional[str] = None
    delivered_at: Optional[int] = None
    read_at: Optional[int] = None
    parent_message_id: Optional[str] = None
    reply_count: Optional[int] = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    tags: Tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_dict(cls: Type[M], message: Mapping[str, Any]) -> M:
        """Read the service's JSON object. Never raises: what is missing or of another type is None."""
        data = _fields.mapping(message, "data")
        entities = _fields.mapping(data, "entities")
        fields: Dict[str, Any] = {
            "id": _fields.text(message, "id"),
            "muid": _fields.text(message, "muid"),
            "conversation_id": _fields.text(message, "conversationId"),
            "sender": _sender(message, entities),
            "receiver_id": _fields.text(message, "receiver"),
            "receiver_type": _fields.text(message, "receiverType"),
            "receiver": entity(entities, "receiver"),
            "category": _fields.text(message, "category"),
            "type": _fields.text(message, "type"),
            "sent_at": _fields.number(message, "sentAt"),
            "updated_at": _fields.number(message, "updatedAt"),
            "edited_at": _fields.number(message, "editedAt"),
            "edited_by": _fields.text(message, "editedBy"),
            "deleted_at": _fields.number(message, "deletedAt"),
            "deleted_by": _fields.text(message, "deletedBy"),
            "delivered_at": _fields.number(message, "deliveredAt"),
            "read_at": _fields.number(message, "readAt"),
            "parent_message_id": _fields.text(message, "parentId"),
            "reply_count": _fields.number(message, "replyCount"),
            "metadata": _fields.mapping(data, "metadata"),
            "tags": _fields.texts(message, "tags"),
            "data": data,
            "raw": _fields.raw(message),
        }
        fields.update(cls._own(message, data, entities))
        return cls(**fields)

    @classmethod
    def _own(cls, message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]) -> Dict[str, Any]:
        """The fields that a subclass adds."""
        return {}


@dataclass(frozen=True)
class TextMessage(BaseMessage):
    """Category ``message``, type ``text``."""

    text: Optional[str] = None

    @classmethod
    def _own(cls, message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]) -> Dict[str, Any]:
        return {"text": _fields.text(data, "text")}


@dataclass(frozen=True)
class Attachment:
    """A file of a media message. ``size`` is in bytes."""

    url: Optional[str] = None
    name: Optional[str] = None
    extension: Optional[str] = None
    mime_type: Optional[str] = None
    size: Optional[int] = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Attachment:
        """Read the service's JSON object. Never raises."""
        return cls(
            url=_fields.text(data, "url"),
            name=_fields.text(data, "name"),
            extension=_fields.text(data, "extension"),
            mime_type=_fields.text(data, "mimeType"),
            size=_fields.number(data, "size"),
            raw=_fields.raw(data),
        )


@dataclass(frozen=True)
class MediaMessage(BaseMessage):
    """Category ``message``, any type but ``text``: ``image``, ``video``, ``audio``, ``file``."""

    url: Optional[str] = None
    caption: Optional[str] = None
    attachments: Tuple[Attachment, ...] = ()

    @classmethod
    def _own(cls, message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]) -> Dict[str, Any]:
        listed = data.get("attachments")
        attachments: List[Any] = listed if isinstance(listed, list) else []
        return {
            "url": _fields.text(data, "url"),
            "caption": _fields.text(data, "text") or _fields.text(data, "caption"),
            "attachments": tuple(Attachment.from_dict(item) for item in attachments if isinstance(item, dict)),
        }


@dataclass(frozen=True)
class CustomMessage(BaseMessage):
    """Category ``custom``: its ``type`` and ``custom_data`` are the app's own."""

    custom_data: Mapping[str, Any] = field(default_factory=dict, hash=False)
    sub_type: Optional[str] = None

    @classmethod
    def _own(cls, message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]) -> Dict[str, Any]:
        return {"custom_data": _fields.mapping(data, "customData"), "sub_type": _fields.text(data, "subType")}


@dataclass(frozen=True)
class InteractiveMessage(BaseMessage):
    """Category ``interactive``: a form or a card with buttons."""

    interactive_data: Mapping[str, Any] = field(default_factory=dict, hash=False)
    interaction_goal: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def _own(cls, message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]) -> Dict[str, Any]:
        return {
            "interactive_data": _fields.mapping(data, "interactiveData"),
            "interaction_goal": _fields.mapping(data, "interactionGoal"),
        }


@dataclass(frozen=True)
class CardMessage(BaseMessage):
    """Category ``card``. What is in it is not confirmed: see ``data``."""


@dataclass(frozen=True)
class Action(BaseMessage):
    """Category ``action``: somebody joined, left, was kicked, ...

    :ivar action: ``"joined"``, ``"left"``, ``"kicked"``, ``"banned"``, ``"unbanned"``, ``"added"``, ``"scopeChanged"``.
    :ivar action_by: who did it; ``action_on`` to whom; ``action_for`` where (the group).
    """

    action: Optional[str] = None
    action_by: Entity = None
    action_on: Entity = None
    action_for: Entity = None
    old_scope: Optional[str] = None
    new_scope: Optional[str] = None

    @classmethod
    def _own(cls, message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]) -> Dict[str, Any]:
        scope = _fields.mapping(_fields.mapping(data, "extras"), "scope")
        return {
            "action": _fields.text(data, "action"),
            "action_by": entity(entities, "by"),
            "action_on": entity(entities, "on"),
            "action_for": entity(entities, "for"),
            "old_scope": _fields.text(scope, "old"),
            "new_scope": _fields.text(scope, "new"),
        }


@dataclass(frozen=True)
class Call(BaseMessage):
    """Category ``call``: the signalling of a call, without media.

    :ivar action: ``"initiated"``, ``"ongoing"``, ``"rejected"``, ``"cancelled"``, ``"busy"``, ``"unanswered"``,
        ``"ended"``.
    """

    session_id: Optional[str] = None
    action: Optional[str] = None
    status: Optional[str] = None
    initiator: Entity = None

    @classmethod
    def _own(cls, message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]) -> Dict[str, Any]:
        call = _fields.mapping(_fields.mapping(entities, "on"), "entity")
        return {
            "session_id": _fields.text(call, "sessionid") or _fields.text(data, "sessionid"),
            "action": _fields.text(data, "action"),
            "status": _fields.text(call, "status") or _fields.text(data, "status"),
            "initiator": entity(entities, "by"),
        }


def message_from_dict(message: Mapping[str, Any]) -> BaseMessage:
    """The model of a message, by its category and type; a BaseMessage where they are unknown. Never raises."""
    category = message.get("category")
    if category == "message":
        return TextMessage.from_dict(message) if message.get("type") == "text" else MediaMessage.from_dict(message)
    return _CATEGORIES.get(category if isinstance(category, str) else "", BaseMessage).from_dict(message)


def entity(entities: Mapping[str, Any], role: str) -> Entity:
    """The user or group that has a role in a message."""
    holder = _fields.mapping(entities, role)
    inner = _fields.mapping(holder, "entity")
    if _fields.text(inner, "guid"):
        return Group.from_dict(inner)
    return User.from_dict(inner) if _fields.text(inner, "uid") else None


def _sender(message: Mapping[str, Any], entities: Mapping[str, Any]) -> Optional[User]:
    known = entity(entities, "sender")
    if isinstance(known, User):
        return known
    uid = _fields.text(message, "sender")
    return User(uid) if uid else None


_CATEGORIES: Dict[str, Type[BaseMessage]] = {
    "custom": CustomMessage,
    "interactive": InteractiveMessage,
    "card": CardMessage,
    "action": Action,
    "call": Call,
}
