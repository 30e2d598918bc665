"""CometChat for Python: a real-time client that keeps its connection and reports its true state.

The names below are the SDK's public API. Modules and names that start with an underscore are private.
"""

from __future__ import annotations

import importlib
import typing

from ._protocol._states import CometChatWSState
from .api import CometChat
from .client import Client
from .exceptions import (
    AuthenticationException,
    CometChatException,
    ConnectionException,
    ConnectionTimeoutException,
    InvalidArgumentException,
    RateLimitException,
)
from .listeners import (
    AIAssistantListener,
    CallListener,
    ConnectionListener,
    ConversationListener,
    EventListener,
    GroupListener,
    LoginListener,
    MessageListener,
    OutboxListener,
    UserListener,
)
from .outbox import DeadLetter, Outbox
from .session_store import FileSessionStore, MemorySessionStore
from .settings import AppSettings, SessionStore
from .version import __version__

if typing.TYPE_CHECKING:
    # Loaded by __getattr__ at first use: creating these classes would take half of the import time.
    from ._runtime.account import SecretsFilter
    from .models import (
        Action,
        AIAssistantEvent,
        AIAssistantMessage,
        AIToolArgumentMessage,
        AIToolResultMessage,
        Attachment,
        BaseMessage,
        Call,
        CardMessage,
        Conversation,
        CustomMessage,
        Group,
        Interaction,
        InteractionReceipt,
        InteractiveMessage,
        MediaMessage,
        MessageReceipt,
        ReactionCount,
        ReactionEvent,
        TextMessage,
        TransientMessage,
        TypingIndicator,
        User,
    )
    from .status import ConnectionInfo, PastError, Stats
    from .status_store import Member, Seat, SharedStatus, StatusStore

__all__ = [
    "AIAssistantEvent",
    "AIAssistantListener",
    "AIAssistantMessage",
    "AIToolArgumentMessage",
    "AIToolResultMessage",
    "Action",
    "AppSettings",
    "Attachment",
    "AuthenticationException",
    "BaseMessage",
    "Call",
    "CallListener",
    "CardMessage",
    "Client",
    "CometChat",
    "CometChatException",
    "CometChatWSState",
    "ConnectionException",
    "ConnectionInfo",
    "ConnectionListener",
    "ConnectionTimeoutException",
    "Conversation",
    "ConversationListener",
    "CustomMessage",
    "DeadLetter",
    "EventListener",
    "FileSessionStore",
    "Group",
    "GroupListener",
    "Interaction",
    "InteractionReceipt",
    "InteractiveMessage",
    "InvalidArgumentException",
    "LoginListener",
    "MediaMessage",
    "Member",
    "MemorySessionStore",
    "MessageListener",
    "MessageReceipt",
    "Outbox",
    "OutboxListener",
    "PastError",
    "RateLimitException",
    "ReactionCount",
    "ReactionEvent",
    "Seat",
    "SecretsFilter",
    "SessionStore",
    "SharedStatus",
    "Stats",
    "StatusStore",
    "TextMessage",
    "TransientMessage",
    "TypingIndicator",
    "User",
    "UserListener",
    "__version__",
]


_LATER = ("models", "status", "status_store")


def __getattr__(name: str) -> object:
    if name in _LATER:
        return importlib.import_module(f"{__name__}.{name}")
    for home in (*_LATER, "_runtime.account") if name in __all__ else ():
        value: object = getattr(importlib.import_module(f"{__name__}.{home}"), name, None)
        if value is not None:
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> typing.List[str]:
    return sorted({*globals(), *__all__})
