"""The dispatcher thread: takes notifications off a queue and calls the listeners, one at a time, in order."""

from __future__ import annotations

import logging
import queue
import threading
from typing import Any, Callable, NamedTuple, Optional, Tuple, Union

from ..exceptions import ERR_INTERNAL, exception_for
from .registry import Registry

logger = logging.getLogger("cometchat.listeners")


class Notification(NamedTuple):
    """A call that the listeners of a kind are owed."""

    seq: int
    kind: str
    method: str
    args: Tuple[Any, ...]
    of_connection: bool
    claim: Optional[Callable[[], bool]]


class Dispatcher:
    """Owns one thread, started on first need and ended by :meth:`close`.

    :param name: the thread's.
    """

    def __init__(self, registry: Registry, name: str) -> None:
        self._registry = registry
        self._name = name
        # A notification; an event, set when its turn comes; or None, the end.
        self._queue: queue.SimpleQueue[Union[Notification, threading.Event, None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: Optional[threading.Thread] = None
        self._closed = False
        # A connection's calls with a lower number are dropped.
        self._cut = 0

    def post(
        self,
        kind: str,
        method: str,
        *args: Any,
        of_connection: bool = False,
        claim: Optional[Callable[[], bool]] = None,
    ) -> int:
        """Queue a call and return its number. Any thread; does not wait.

        :param of_connection: it comes from a connection, and a :meth:`cut` may drop it.
        :param claim: asked on the dispatcher thread when the call's turn has come; False: it is not made.
        """

        def enqueue(seq: int) -> None:
            self._queue.put(Notification(seq, kind, method, args, of_connection, claim))

        return self._registry.stamp(enqueue)

    def drain(self, timeout: float) -> None:
        """Wait until what is queued now is delivered, at most ``timeout`` seconds; not on the thread itself."""
        thread = self._thread
        if thread is None or thread is threading.current_thread() or not thread.is_alive():
            return
        turn = threading.Event()
        self._queue.put(turn)
        turn.wait(timeout)

    def cut(self, last: int) -> None:
        """Drop the calls of a connection that are still queued and older than number ``last``."""
        self._cut = max(self._cut, last)

    def start(self) -> None:
        """Start the thread, if it does not run yet.

        :raises CometChatException: ``ERR_INTERNAL``: the system gives no thread.
        """
        with self._lock:
            if self._thread is not None or self._closed:
                return
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError as cause:  # the interpreter ends, or the system has no more threads
                raise exception_for(ERR_INTERNAL, f"No thread can be started: {cause}.") from cause
            self._thread = thread

    def close(self) -> None:
        """Let the thread end once it has delivered what is queued. Does not wait; again: nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)

    def join(self, timeout: float) -> None:
        """Wait for the thread's end, at most ``timeout`` seconds; not on the thread itself."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        while True:
            notification = self._queue.get()
            if notification is None:
                return
            if isinstance(notification, threading.Event):
                notification.set()
            else:
                self._deliver(notification)

    def _deliver(self, notification: Notification) -> None:
        seq, kind, method, args, of_connection, claim = notification
        if of_connection and seq < self._cut or claim is not None and not claim():
            return
        for entry in self._registry.entries(kind):
            if of_connection and seq < self._cut:
                return
            if not entry.active or entry.since > seq:
                continue
            if kind == "connection" and method != "on_connection_error":
                # A cut has dropped what was between: who knows that the connection is down is not told again.
                if method == entry.told == "on_disconnected":
                    continue
                entry.told = method
            try:
                getattr(entry.listener, method)(*args)
            except BaseException:  # SystemExit too: a listener's error is its own, and must not end this thread
                logger.exception("The %s listener %r raised in %s().", kind, entry.listener_id, method)
