"""Delivers events to listeners: the queue, the dispatcher, and for messages the inbox and the stored history."""

from __future__ import annotations

from ._dispatcher import Dispatcher
from ._history import PAGE, AccountHistory, History, before_live, next_page_size, read_page
from ._inbox import Inbox
from ._inbox_store import InboxStore
from ._journal import Journal
from ._queue import EventQueue, Stored
from ._truncation import Truncation

__all__ = [
    "AccountHistory",
    "Dispatcher",
    "EventQueue",
    "History",
    "Inbox",
    "InboxStore",
    "Journal",
    "PAGE",
    "Stored",
    "Truncation",
    "before_live",
    "next_page_size",
    "read_page",
]
