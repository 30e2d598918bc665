"""What comes from the service, as frozen dataclasses: liberal in what they read, silent about secrets."""

from __future__ import annotations

from .events import InteractionReceipt, MessageReceipt, ReactionEvent, TransientMessage, TypingIndicator
from .group import Group
from .message import (
    Action,
    Attachment,
    BaseMessage,
    Call,
    CardMessage,
    CustomMessage,
    InteractiveMessage,
    MediaMessage,
    TextMessage,
)
from .user import User

__all__ = [
    "Action",
    "Attachment",
    "BaseMessage",
    "Call",
    "CardMessage",
    "CustomMessage",
    "Group",
    "InteractionReceipt",
    "InteractiveMessage",
    "MediaMessage",
    "MessageReceipt",
    "ReactionEvent",
    "TextMessage",
    "TransientMessage",
    "TypingIndicator",
    "User",
]
