"""Delivers events to listeners: the queue, the dispatcher, and the inbox for messages."""

from __future__ import annotations

from ._dispatcher import Dispatcher
from ._inbox import Inbox
from ._inbox_store import InboxStore
from ._journal import Journal
from ._queue import EventQueue, Stored

__all__ = ["Dispatcher", "EventQueue", "Inbox", "InboxStore", "Journal", "Stored"]
