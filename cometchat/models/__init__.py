"""Frozen dataclasses for the data of the service. They tolerate wrong data, and never show secrets."""

from __future__ import annotations

from ._conversation import Conversation
from ._events import (
    AIAssistantEvent,
    InteractionReceipt,
    MessageReceipt,
    ReactionEvent,
    TransientMessage,
    TypingIndicator,
)
from ._group import Group
from ._message import (
    Action,
    AIAssistantMessage,
    AIToolArgumentMessage,
    AIToolResultMessage,
    Attachment,
    BaseMessage,
    Call,
    CardMessage,
    CustomMessage,
    Interaction,
    InteractiveMessage,
    MediaMessage,
    ReactionCount,
    TextMessage,
)
from ._user import User

__all__ = [
    "AIAssistantEvent",
    "AIAssistantMessage",
    "AIToolArgumentMessage",
    "AIToolResultMessage",
    "Action",
    "Attachment",
    "BaseMessage",
    "Call",
    "CardMessage",
    "Conversation",
    "CustomMessage",
    "Group",
    "Interaction",
    "InteractionReceipt",
    "InteractiveMessage",
    "MediaMessage",
    "MessageReceipt",
    "ReactionCount",
    "ReactionEvent",
    "TextMessage",
    "TransientMessage",
    "TypingIndicator",
    "User",
]
