"""Models of events that the service does not store: typing, transient messages, receipts, reactions, AI events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Tuple

from .. import _fields
from ._message import Interaction
from ._user import User


@dataclass(frozen=True)
class TypingIndicator:
    """A user started or stopped typing. ``receiver_id`` is a uid or guid, depending on ``receiver_type``."""

    sender: Optional[User] = None
    receiver_id: Optional[str] = None
    receiver_type: Optional[str] = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class TransientMessage:
    """A message that is not stored, such as a live reaction."""

    sender: Optional[User] = None
    receiver_id: Optional[str] = None
    receiver_type: Optional[str] = None
    data: Mapping[str, Any] = field(default_factory=dict, hash=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class MessageReceipt:
    """A message was delivered to or read by ``sender``. Times are Unix times in seconds.

    :ivar receipt_type: ``"delivered"``, ``"read"``, ``"deliveredToAll"`` or ``"readByAll"``.
    :ivar timestamp: the time. ``delivered_at`` or ``read_at`` is the same, depending on ``receipt_type``.
    :ivar message_sender: the uid of the user who sent the message.
    """

    message_id: Optional[str] = None
    sender: Optional[User] = None
    receiver_id: Optional[str] = None
    receiver_type: Optional[str] = None
    receipt_type: Optional[str] = None
    timestamp: Optional[int] = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    message_sender: Optional[str] = None

    @property
    def delivered_at(self) -> Optional[int]:
        """The time of the delivery; None for a receipt of another type."""
        return self.timestamp if self.receipt_type in ("delivered", "deliveredToAll") else None

    @property
    def read_at(self) -> Optional[int]:
        """The time of the reading; None for a receipt of another type."""
        return self.timestamp if self.receipt_type in ("read", "readByAll") else None


@dataclass(frozen=True)
class ReactionEvent:
    """A reaction was added to or removed from a message.

    :ivar reaction: the emoji.
    :ivar reacted_at: Unix seconds.
    """

    message_id: Optional[str] = None
    reaction: Optional[str] = None
    reacted_by: Optional[User] = None
    reacted_at: Optional[int] = None
    receiver_id: Optional[str] = None
    receiver_type: Optional[str] = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    reaction_id: Optional[str] = None
    conversation_id: Optional[str] = None
    parent_message_id: Optional[str] = None


@dataclass(frozen=True)
class InteractionReceipt:
    """A user completed the goal of an interactive message.

    :ivar interactions: the user's interactions with the elements of the message.
    :ivar message_sender: the uid of the user who sent the message.
    """

    message_id: Optional[str] = None
    sender: Optional[User] = None
    receiver_id: Optional[str] = None
    receiver_type: Optional[str] = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    interactions: Tuple[Interaction, ...] = ()
    message_sender: Optional[str] = None


@dataclass(frozen=True)
class AIAssistantEvent:
    """One event of an AI assistant's run, while it writes its answer.

    :ivar type: such as ``"run_started"``, ``"text_message_content"``, ``"tool_call_start"``, ``"card"``,
        ``"run_finished"``.
    :ivar timestamp: as the service sent it.
    :ivar data: the event's ``data`` object. It depends on the type: ``delta``, ``toolCallId``, ``content``, ...
    """

    type: Optional[str] = None
    conversation_id: Optional[str] = None
    message_id: Optional[str] = None
    parent_message_id: Optional[str] = None
    run_id: Optional[str] = None
    thread_id: Optional[str] = None
    timestamp: Optional[int] = None
    data: Mapping[str, Any] = field(default_factory=dict, hash=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> AIAssistantEvent:
        """Read the service's JSON object. Never raises."""
        data = _fields.mapping(body, "data")
        return cls(
            type=_fields.text(body, "type"),
            conversation_id=_fields.identifier(body, "conversationId"),
            message_id=_fields.identifier(body, "id") or _fields.identifier(body, "messageId"),
            parent_message_id=_fields.related_id(body, "parentId") or _fields.related_id(body, "parentMessageId"),
            run_id=_fields.identifier(data, "runId"),
            thread_id=_fields.identifier(data, "threadId"),
            timestamp=_fields.moment(data, "timestamp"),
            data=data,
            raw=_fields.raw(body),
        )


def user_in(body: Mapping[str, Any], sender: Optional[str]) -> Optional[User]:
    """Read the user from an event's body, or else from the envelope's sender."""
    inner = body.get("user")
    if isinstance(inner, dict) and _fields.identifier(inner, "uid"):
        return User.from_dict(inner)
    return User(sender) if sender else None


def present_user(body: Mapping[str, Any], sender: Optional[str], status: str) -> Optional[User]:
    """Read the user of a presence event. The event's status and time override those of the user's object."""
    user = user_in(body, sender)
    if user is not None:
        said = user.__dict__  # the object is new: no other code has it yet
        said["status"] = status
        at = _fields.moment(body, "timestamp")
        if at is not None:
            said["last_active_at"] = at
    return user
