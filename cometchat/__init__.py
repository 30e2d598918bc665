"""CometChat for Python: the connection that holds, and tells the truth about itself.

The names below are the SDK's public ones; a module or name with an underscore in front is not.
"""

from __future__ import annotations

import logging

from ._protocol.states import CometChatWSState
from ._runtime.secrets_filter import SecretsFilter
from ._runtime.session import FileSessionStore, MemorySessionStore
from .api import CometChat
from .client import Client
from .connection_info import ConnectionInfo
from .exceptions import (
    AuthenticationException,
    CometChatException,
    ConnectionException,
    ConnectionTimeoutException,
    InvalidArgumentException,
    RateLimitException,
)
from .listeners import (
    CallListener,
    ConnectionListener,
    GroupListener,
    LoginListener,
    MessageListener,
    OutboxListener,
    UserListener,
)
from .models import (
    Action,
    Attachment,
    BaseMessage,
    Call,
    CardMessage,
    CustomMessage,
    Group,
    InteractionReceipt,
    InteractiveMessage,
    MediaMessage,
    MessageReceipt,
    ReactionEvent,
    TextMessage,
    TransientMessage,
    TypingIndicator,
    User,
)
from .outbox import DeadLetter, Outbox
from .settings import AppSettings, SessionStore
from .stats import PastError, Stats
from .status_store import Member, Seat, SharedStatus, StatusStore
from .version import __version__

__all__ = [
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
    "CustomMessage",
    "DeadLetter",
    "FileSessionStore",
    "Group",
    "GroupListener",
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

logging.getLogger("cometchat").addHandler(logging.NullHandler())
