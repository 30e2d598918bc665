"""From event to listener: the queue, the dispatcher, the registry of listeners, and the inbox for messages."""

from ._dispatcher import Dispatcher
from ._inbox import Inbox
from ._queue import EventQueue, Owed, Stored
from ._registry import CONNECTION, ListenerRegistry, ScopedListener

__all__ = ["CONNECTION", "Dispatcher", "EventQueue", "Inbox", "ListenerRegistry", "Owed", "ScopedListener", "Stored"]
