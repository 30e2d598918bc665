"""Messages of all categories."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Dict, Mapping, Optional, Tuple, Type, TypeVar, Union

from .. import _fields
from ..exceptions import InvalidArgumentException
from ._group import Group
from ._user import User

Entity = Union[User, Group, None]

M = TypeVar("M", bound="BaseMessage")
if TYPE_CHECKING:
    from dataclasses import dataclass as keyword_dataclass
else:

    def keyword_dataclass(*, frozen: bool, kw_only: bool) -> Callable[[type], type]:
        """Do the same as ``dataclass``, in Python 3.9 too. There only ``__new__`` refuses positional arguments."""
        options = {"kw_only": kw_only} if "kw_only" in dataclass.__kwdefaults__ else {}
        return dataclass(frozen=frozen, **options)


@dataclass(frozen=True)
class ReactionCount:
    """The number of times that a message has one reaction. ``reaction`` is the emoji."""

    reaction: Optional[str] = None
    count: Optional[int] = None
    reacted_by_me: Optional[bool] = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ReactionCount:
        """Read the service's JSON object. Never raises."""
        return cls(
            reaction=_fields.text(data, "reaction"),
            count=_fields.number(data, "count"),
            reacted_by_me=_fields.flag(data, "reactedByMe"),
            raw=_fields.raw(data),
        )


@keyword_dataclass(frozen=True, kw_only=True)
class BaseMessage:
    """The base class of all messages. All fields are keyword-only. Times are Unix times in seconds.

    A field that the service did not send is None. ``dataclasses.replace()`` keeps ``id`` and ``muid``: the copy of a
    stored message is the same stored message, and can't be sent again.

    :ivar id: the service's id of the message, a number as a string. It grows with time.
    :ivar muid: the sender's id of the message. A service that knows it stores a message that is sent twice once. (The
        sandbox does; for the live service this is not confirmed.)
    :ivar receiver_id: a uid or guid, depending on ``receiver_type`` (``"user"`` or ``"group"``).
    :ivar delivered_at: time of delivery to the receiver; ``delivered_to_me_at``: to the logged-in user.
    :ivar read_at: time of reading by the receiver; ``read_by_me_at``: by the logged-in user.
    :ivar mentions: the users that the text mentions.
    :ivar reactions: one item for each different reaction.
    :ivar moderation_status: ``"pending"``, ``"approved"``, ``"disapproved"``; None if the message is not moderated.
    :ivar thread_subscribed: whether the logged-in user is subscribed to its thread. Only ``get_messages()`` knows it.
    :ivar quoted_message: the message that this one quotes. Its own quotes are in its ``raw`` only.
    :ivar pinned_by: a uid, or ``"app_system"``.
    :ivar data: the message's ``data`` object.
    :ivar raw: everything that the service sent, unknown fields included.
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
    delivered_to_me_at: Optional[int] = None
    read_by_me_at: Optional[int] = None
    parent_message_id: Optional[str] = None
    reply_count: Optional[int] = None
    unread_replies_count: Optional[int] = None
    thread_subscribed: Optional[bool] = None
    quoted_message_id: Optional[str] = None
    quoted_message: Optional[BaseMessage] = None
    mentions: Tuple[User, ...] = ()
    reactions: Tuple[ReactionCount, ...] = ()
    moderation_status: Optional[str] = None
    pinned_at: Optional[int] = None
    pinned_by: Optional[str] = None
    saved_at: Optional[int] = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    tags: Tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    #: An example of the constructor's arguments, for an error message.
    _form: ClassVar[str] = 'receiver_id="cometchat-uid-2", receiver_type="user"'

    def __new__(cls: Type[M], *values: object, **named: object) -> M:
        unknown = sorted(named.keys() - {each.name for each in fields(cls)})
        if values or unknown:
            got = "positional arguments" if values else f"the unknown field {unknown[0]}"
            raise InvalidArgumentException(
                "INVALID_MESSAGE",
                f"Invalid message: expected keyword arguments, such as {cls.__name__}({cls._form}), got {got}.",
                name="message",
            )
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name, value in self.__dict__.items():
            if isinstance(value, str) and type(value) is not str:
                object.__setattr__(self, name, _fields.plain_text(value))

    @property
    def is_stored(self) -> bool:
        """Whether the service has stored this message and given it an ``id``."""
        return self.id is not None

    @classmethod
    def from_dict(cls: Type[M], message: Mapping[str, Any]) -> M:
        """Read the service's JSON object. Never raises: fields that are missing or of a wrong type are None."""
        data = _fields.mapping(message, "data")
        found = data.get("entities")
        entities: Mapping[str, Any] = found if type(found) is dict else _fields.mapping(data, "entities")
        values = _NOTHING.copy()
        for key, value in message.items():
            field_and_reader = _READERS.get(key)
            if field_and_reader is not None:
                name, read = field_and_reader
                values[name] = value if type(value) is str and value and read in _AS_IT_IS else read(message, key)
        for key in data:
            field_and_reader = _DATA_READERS.get(key)
            if field_and_reader is not None:
                name, read = field_and_reader
                values[name] = read(data, key)
        if "metadata" not in data:
            values["metadata"] = {}
        if "myReceipt" in message:
            mine = _fields.mapping(message, "myReceipt")
            values["delivered_to_me_at"] = _fields.moment(mine, "deliveredAt")
            values["read_by_me_at"] = _fields.moment(mine, "readAt")
        if values["quoted_message"] is not None and values["quoted_message_id"] is None:
            values["quoted_message_id"] = values["quoted_message"].id
        values["sender"] = _sender(message, entities)
        values["receiver"] = entity(entities, "receiver")
        values["data"] = data
        values["raw"] = _fields.raw(message)
        values.update(cls._extra(message, data, entities))
        # Not through the frozen __init__, which would call object.__setattr__ for each field.
        model = object.__new__(cls)
        model.__dict__.update(values)
        return model

    @classmethod
    def _extra(cls, message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]) -> Dict[str, Any]:
        """Read the fields that a subclass adds or reads differently."""
        return {}


@keyword_dataclass(frozen=True, kw_only=True)
class TextMessage(BaseMessage):
    """Category ``message``, type ``text``."""

    text: Optional[str] = None

    _form: ClassVar[str] = f'text="Hello", {BaseMessage._form}'

    @classmethod
    def _extra(cls, message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]) -> Dict[str, Any]:
        return {"text": _fields.text(data, "text")}


@dataclass(frozen=True)
class Attachment:
    """A file of a media message. ``size`` is in bytes."""

    url: Optional[str] = None
    name: Optional[str] = None
    extension: Optional[str] = None
    mime_type: Optional[str] = None
    size: Optional[int] = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
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
            metadata=_fields.mapping(data, "metadata"),
            raw=_fields.raw(data),
        )


@keyword_dataclass(frozen=True, kw_only=True)
class MediaMessage(BaseMessage):
    """Category ``message``, any type but ``text`` and ``custom``: ``image``, ``video``, ``audio``, ``file``."""

    url: Optional[str] = None
    caption: Optional[str] = None
    attachments: Tuple[Attachment, ...] = ()

    @classmethod
    def _extra(cls, message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]) -> Dict[str, Any]:
        return {
            "url": _fields.text(data, "url"),
            "caption": _fields.text(data, "text") or _fields.text(data, "caption"),
            "attachments": tuple(map(Attachment.from_dict, _fields.mappings(data, "attachments"))),
        }


@keyword_dataclass(frozen=True, kw_only=True)
class CustomMessage(BaseMessage):
    """A message of category ``custom``. The app defines its ``type`` and ``custom_data``.

    :ivar conversation_text: the text that a list of conversations shows for it.
    :ivar update_conversation: whether it counts as the newest message of its conversation.
    :ivar send_notification: whether the service sends a push notification for it.
    """

    custom_data: Mapping[str, Any] = field(default_factory=dict, hash=False)
    sub_type: Optional[str] = None
    conversation_text: Optional[str] = None
    update_conversation: Optional[bool] = None
    send_notification: Optional[bool] = None

    _form: ClassVar[str] = f'type="location", custom_data={{"lat": 50.1}}, {BaseMessage._form}'

    @classmethod
    def _extra(cls, message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]) -> Dict[str, Any]:
        return {
            "custom_data": _fields.mapping(data, "customData"),
            "sub_type": _fields.text(data, "subType"),
            "conversation_text": _fields.text(data, "text") or _fields.text(data, "conversationText"),
            "update_conversation": _fields.flag(data, "updateConversation"),
            "send_notification": _fields.flag(data, "sendNotification"),
        }


@dataclass(frozen=True)
class Interaction:
    """A user's interaction with one element of an interactive message, with its time (Unix seconds)."""

    element_id: Optional[str] = None
    interacted_at: Optional[int] = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Interaction:
        """Read the service's JSON object. Never raises."""
        return cls(_fields.text(data, "elementId"), _fields.moment(data, "interactedAt"))


@keyword_dataclass(frozen=True, kw_only=True)
class InteractiveMessage(BaseMessage):
    """Category ``interactive``: a form or a card with buttons.

    :ivar interaction_goal: ``type`` (``"anyAction"``, ``"anyOf"``, ``"allOf"``, ``"none"``) and ``elementIds``.
    """

    interactive_data: Mapping[str, Any] = field(default_factory=dict, hash=False)
    interaction_goal: Mapping[str, Any] = field(default_factory=dict, hash=False)
    interactions: Tuple[Interaction, ...] = ()
    allow_sender_interaction: Optional[bool] = None

    @classmethod
    def _extra(cls, message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]) -> Dict[str, Any]:
        return {
            "interactive_data": _fields.mapping(data, "interactiveData"),
            "interaction_goal": _fields.mapping(data, "interactionGoal"),
            "interactions": tuple(map(Interaction.from_dict, _fields.mappings(data, "interactions"))),
            "allow_sender_interaction": _fields.flag(data, "allowSenderInteraction"),
        }


@keyword_dataclass(frozen=True, kw_only=True)
class CardMessage(BaseMessage):
    """Category ``card``. ``text`` is the preview. A program that can't show cards shows ``fallback_text``."""

    text: Optional[str] = None
    card: Mapping[str, Any] = field(default_factory=dict, hash=False)
    fallback_text: Optional[str] = None

    @classmethod
    def _extra(cls, message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]) -> Dict[str, Any]:
        card = _fields.mapping(data, "card")
        return {"text": _fields.text(data, "text"), "card": card, "fallback_text": _fields.text(card, "fallbackText")}


@keyword_dataclass(frozen=True, kw_only=True)
class AIAssistantMessage(BaseMessage):
    """Category ``agentic``, type ``assistant``. ``elements`` are ``{"type": "text" or "card", "value": ...}``."""

    text: Optional[str] = None
    run_id: Optional[str] = None
    thread_id: Optional[str] = None
    elements: Tuple[Mapping[str, Any], ...] = field(default=(), hash=False)

    @classmethod
    def _extra(cls, message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]) -> Dict[str, Any]:
        return {**_run(data), "text": _fields.text(data, "text"), "elements": _fields.mappings(data, "elements")}


@keyword_dataclass(frozen=True, kw_only=True)
class AIToolResultMessage(BaseMessage):
    """Category ``agentic``, type ``tool-result``. ``text`` is the result that a tool returned."""

    text: Optional[str] = None
    run_id: Optional[str] = None
    thread_id: Optional[str] = None
    tool_call_id: Optional[str] = None

    @classmethod
    def _extra(cls, message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]) -> Dict[str, Any]:
        return {
            **_run(data),
            "text": _fields.text(data, "text"),
            "tool_call_id": _fields.identifier(data, "toolCallId"),
        }


@keyword_dataclass(frozen=True, kw_only=True)
class AIToolArgumentMessage(BaseMessage):
    """Category ``agentic``, type ``tool-arguments``: the tools that the assistant calls, with their arguments.

    :ivar tool_calls: each has ``id``, ``type``, ``displayName``, ``executionText`` and ``function``.
    """

    run_id: Optional[str] = None
    thread_id: Optional[str] = None
    tool_calls: Tuple[Mapping[str, Any], ...] = field(default=(), hash=False)

    @classmethod
    def _extra(cls, message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]) -> Dict[str, Any]:
        return {**_run(data), "tool_calls": _fields.mappings(data, "toolCalls")}


@keyword_dataclass(frozen=True, kw_only=True)
class Action(BaseMessage):
    """Category ``action``: a user joined, left, was kicked, ...

    :ivar action: ``"joined"``, ``"left"``, ``"kicked"``, ``"banned"``, ``"unbanned"``, ``"added"``, ``"scopeChanged"``;
        ``"edited"`` and ``"deleted"`` of a message.
    :ivar action_by: the acting user; ``action_on``: the affected user; ``action_for``: the group.
    """

    action: Optional[str] = None
    action_by: Entity = None
    action_on: Entity = None
    action_for: Entity = None
    old_scope: Optional[str] = None
    new_scope: Optional[str] = None

    @classmethod
    def _extra(cls, message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]) -> Dict[str, Any]:
        scope = _fields.mapping(_fields.mapping(data, "extras"), "scope")
        by, where = entity(entities, "by"), entity(entities, "for")
        return {
            "sender": _sender(message, entities, by),
            "receiver": entity(entities, "receiver") or where,
            "action": _fields.text(data, "action"),
            "action_by": by,
            "action_on": entity(entities, "on"),
            "action_for": where,
            "old_scope": _fields.text(scope, "old"),
            "new_scope": _fields.text(scope, "new"),
        }


@keyword_dataclass(frozen=True, kw_only=True)
class Call(BaseMessage):
    """Category ``call``: the signalling of a call, without media. ``sender`` is the user who acted.

    :ivar status: ``"initiated"``, ``"ongoing"``, ``"rejected"``, ``"cancelled"``, ``"busy"``, ``"unanswered"``,
        ``"ended"``.
    :ivar action: the status, under another name.
    :ivar initiator: the calling user; ``call_receiver``: the called user or group.
    """

    session_id: Optional[str] = None
    action: Optional[str] = None
    status: Optional[str] = None
    initiator: Entity = None
    call_receiver: Entity = None
    initiated_at: Optional[int] = None
    started_at: Optional[int] = None
    joined_at: Optional[int] = None

    @classmethod
    def _extra(cls, message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]) -> Dict[str, Any]:
        call = _fields.mapping(_fields.mapping(entities, "on"), "entity")
        call_data = _fields.mapping(call, "data")
        call_entities = _fields.mapping(call_data, "entities")
        by, to = entity(entities, "by"), entity(entities, "for")
        return {
            **(_without_channel(message, data, entities) if "wsChannel" in call else {}),
            "sender": _sender(message, entities, by),
            "receiver": entity(entities, "receiver") or to,
            "metadata": _fields.mapping(data, "metadata") or _fields.mapping(call_data, "metadata"),
            "session_id": _fields.identifier(call, "sessionid") or _fields.identifier(data, "sessionid"),
            "action": _fields.text(data, "action"),
            "status": _fields.text(call, "status") or _fields.text(data, "status"),
            # Not "by": that user acted last, and may have accepted the call.
            "initiator": _sender(call, call_entities) or by,
            "call_receiver": entity(call_entities, "receiver") or to,
            "initiated_at": _fields.moment(call, "initiatedAt"),
            "started_at": _fields.moment(call, "startedAt"),
            "joined_at": _fields.moment(call, "joinedAt"),
        }


def _without_channel(
    message: Mapping[str, Any], data: Mapping[str, Any], entities: Mapping[str, Any]
) -> Dict[str, Any]:
    """Return the raw fields of a call without its channel, which has a secret."""
    on = _fields.mapping(entities, "on")
    call = _fields.raw(_fields.mapping(on, "entity"))
    shown = {**data, "entities": {**entities, "on": {**on, "entity": call}}}
    return {"data": shown, "raw": {**_fields.raw(message), "data": shown}}


def message_from_dict(message: Mapping[str, Any]) -> BaseMessage:
    """Read a message as the model of its category and type; a BaseMessage if they are unknown. Never raises."""
    category, kind = message.get("category"), message.get("type")
    if category == "message":
        return _KINDS.get(kind if isinstance(kind, str) else "", MediaMessage).from_dict(message)
    if category == "agentic":
        return _AGENTIC.get(kind if isinstance(kind, str) else "", BaseMessage).from_dict(message)
    return _CATEGORIES.get(category if isinstance(category, str) else "", BaseMessage).from_dict(message)


def changed_message(message: Mapping[str, Any], action: BaseMessage) -> BaseMessage:
    """Read the message that an action changed. A deleted one may lack the sender and the receiver of the action."""
    changed = message_from_dict(message)
    missing: Dict[str, Any] = {}
    if changed.sender is None:
        missing["sender"] = action.sender
    if changed.receiver_id is None:
        missing.update(receiver_id=action.receiver_id, receiver_type=action.receiver_type)
    if changed.receiver is None and changed.receiver_id in (None, action.receiver_id):
        missing["receiver"] = action.receiver
    if changed.conversation_id is None:
        missing["conversation_id"] = action.conversation_id
    changed.__dict__.update(missing)
    return changed


def entity(entities: Mapping[str, Any], role: str) -> Entity:
    """Read the user or group that has a role in a message."""
    holder = entities.get(role)
    inner = holder.get("entity") if isinstance(holder, dict) else None
    if not isinstance(inner, dict):
        return None
    if _fields.text(inner, "guid"):
        return Group.from_dict(inner)
    return User.from_dict(inner) if _fields.text(inner, "uid") else None


def _sender(message: Mapping[str, Any], entities: Mapping[str, Any], by: Entity = None) -> Optional[User]:
    known = entity(entities, "sender") or by
    if isinstance(known, User):
        return known
    uid = _fields.text(message, "sender")
    return User(uid) if uid else None


def _run(data: Mapping[str, Any]) -> Dict[str, Any]:
    return {"run_id": _fields.identifier(data, "runId"), "thread_id": _fields.identifier(data, "threadId")}


def _quoted(message: Mapping[str, Any], key: str) -> Optional[BaseMessage]:
    quoted = _fields.mapping(message, key)
    quoted_without_its_own = {name: value for name, value in quoted.items() if name != key}
    return message_from_dict(quoted_without_its_own) if quoted else None


def _mentions(data: Mapping[str, Any], key: str) -> Tuple[User, ...]:
    mentioned = ((uid, user) for uid, user in _fields.mapping(data, key).items() if uid and isinstance(user, dict))
    return tuple(User.from_dict({**user, "uid": _fields.identifier(user, "uid") or uid}) for uid, user in mentioned)


def _reactions(data: Mapping[str, Any], key: str) -> Tuple[ReactionCount, ...]:
    return tuple(map(ReactionCount.from_dict, _fields.mappings(data, key)))


def _moderation_status(data: Mapping[str, Any], key: str) -> Optional[str]:
    status = _fields.text(_fields.mapping(data, key), "status")
    return None if status == "unmoderated" else status  # the vendor's word for no status


_Readers = Dict[str, Tuple[str, Callable[[Mapping[str, Any], str], Any]]]

#: These readers return a text as it is, unless it is empty. Most fields are texts, so they need no call.
_AS_IT_IS = (_fields.text, _fields.identifier)

#: The service's key, the field that it goes to, and how it is read.
_READERS: _Readers = {
    "id": ("id", _fields.identifier),
    "muid": ("muid", _fields.text),
    "conversationId": ("conversation_id", _fields.identifier),
    "receiver": ("receiver_id", _fields.identifier),
    "receiverType": ("receiver_type", _fields.text),
    "category": ("category", _fields.text),
    "type": ("type", _fields.text),
    "sentAt": ("sent_at", _fields.moment),
    "updatedAt": ("updated_at", _fields.moment),
    "editedAt": ("edited_at", _fields.moment),
    "editedBy": ("edited_by", _fields.identifier),
    "deletedAt": ("deleted_at", _fields.moment),
    "deletedBy": ("deleted_by", _fields.identifier),
    "deliveredAt": ("delivered_at", _fields.moment),
    "readAt": ("read_at", _fields.moment),
    "parentId": ("parent_message_id", _fields.related_id),
    "replyCount": ("reply_count", _fields.number),
    "unreadRepliesCount": ("unread_replies_count", _fields.number),
    "threadSubscribed": ("thread_subscribed", _fields.flag),
    "quotedMessageId": ("quoted_message_id", _fields.related_id),
    "quotedMessage": ("quoted_message", _quoted),
    "pinnedAt": ("pinned_at", _fields.moment),
    "pinnedBy": ("pinned_by", _fields.identifier),
    "savedAt": ("saved_at", _fields.moment),
    "tags": ("tags", _fields.texts),
}

#: The same for the keys in ``data`` that every message may have.
_DATA_READERS: _Readers = {
    "metadata": ("metadata", _fields.mapping),
    "mentions": ("mentions", _mentions),
    "reactions": ("reactions", _reactions),
    "moderation": ("moderation_status", _moderation_status),
}

#: The fields of a message for which the service sent nothing.
_NOTHING: Dict[str, Any] = {
    **{each.name: None for each in fields(BaseMessage)},
    **dict.fromkeys(("tags", "mentions", "reactions"), ()),
}

_CATEGORIES: Dict[str, Type[BaseMessage]] = {
    "custom": CustomMessage,
    "interactive": InteractiveMessage,
    "card": CardMessage,
    "action": Action,
    "call": Call,
}

#: The types of category ``message``. Any other type is media.
_KINDS: Dict[str, Type[BaseMessage]] = {"text": TextMessage, "custom": CustomMessage}

_AGENTIC: Dict[str, Type[BaseMessage]] = {
    "assistant": AIAssistantMessage,
    "tool-result": AIToolResultMessage,
    "tool-arguments": AIToolArgumentMessage,
}
