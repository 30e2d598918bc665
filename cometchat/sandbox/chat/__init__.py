"""What users, groups, messages, conversations and calls do, and what is kept of them. It knows no network."""

from ._chat import Chat
from ._controls import ChatControls
from ._errors import ApiError

__all__ = ["ApiError", "Chat", "ChatControls"]
