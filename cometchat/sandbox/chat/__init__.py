"""Users, groups, messages, conversations and calls: their actions and their data. No network in here."""

from ._chat import Chat
from ._controls import ChatControls
from ._errors import ApiError

__all__ = ["ApiError", "Chat", "ChatControls"]
