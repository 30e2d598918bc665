"""Users, groups, messages, conversations and calls: their actions and their data. It does not use the network."""

from ._chat import Chat
from ._controls import ChatControls
from ._errors import ApiError

__all__ = ["ApiError", "Chat", "ChatControls"]
