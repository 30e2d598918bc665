"""Sends messages, files, receipts and pings, changes messages, and reads the history, for the public methods."""

from __future__ import annotations

from ._media import Media
from ._messages import Messages, history_path
from ._sender import Sender

__all__ = ["Media", "Messages", "Sender", "history_path"]
