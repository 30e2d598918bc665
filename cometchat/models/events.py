"""What passes by and is not stored: typing, transient messages, receipts, reactions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional

from . import _fields
from .user import User


@dataclass(frozen=True)
class TypingIndicator:
    """Somebody types, or has stopped. ``receiver_id`` is a uid or guid, by ``receiver_type``."""

    sender: Optional[User] = None
    receiver_id: Optional[str] = None
    receiver_type: Optional[str] = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class TransientMessage:
    """A message that is not stored: a live reaction, say."""

    sender: Optional[User] = None
    receiver_id: Optional[str] = None
    receiver_type: Optional[str] = None
    data: Mapping[str, Any] = field(default_factory=dict, hash=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class MessageReceipt:
    """A message was delivered to or read by ``sender``.

    :ivar receipt_type: ``"delivered"``, ``"read"``, ``"deliveredToAll"`` or ``"readByAll"``.
    :ivar timestamp: Unix seconds.
    """

    message_id: Optional[str] = None
    sender: Optional[User] = None
    receiver_id: Optional[str] = None
    receiver_type: Optional[str] = None
    receipt_type: Optional[str] = None
    timestamp: Optional[int] = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class ReactionEvent:
    """A reaction was added to or removed from a message. The shape on the wire is not confirmed: see ``raw``.

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


@dataclass(frozen=True)
class InteractionReceipt:
    """Somebody completed the goal of an interactive message. The shape on the wire is not confirmed: see ``raw``."""

    message_id: Optional[str] = None
    sender: Optional[User] = None
    receiver_id: Optional[str] = None
    receiver_type: Optional[str] = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


def user_in(body: Mapping[str, Any], sender: Optional[str]) -> Optional[User]:
    """The user whom an event's body speaks of; by the envelope's sender where it does not say more."""
    inner = body.get("user")
    if isinstance(inner, dict) and _fields.text(inner, "uid"):
        return User.from_dict(inner)
    return User(sender) if sender else None
