"""What comes from the service, as frozen dataclasses: liberal in what they read, silent about secrets."""

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

# For the floors above, not for users: functions that read a part of a frame.
from ._events import present_user as present_user, user_in as user_in  # isort: skip
from ._message import changed_message as changed_message, message_from_dict as message_from_dict  # isort: skip

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
