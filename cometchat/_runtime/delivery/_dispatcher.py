"""The dispatcher thread: takes events off the queue and calls the listeners, one at a time, in order."""

from __future__ import annotations

import logging
import threading
import time
from operator import length_hint
from typing import Callable, Iterator, List, Optional, Sequence, Set, Tuple

from ..._fork_marks import process_mark
from ..._log import SafeLog
from .._registry import CONNECTION, Entry, ListenerRegistry
from .._threads import ServiceThread, Wakeup
from ._inbox import Inbox
from ._queue import Event, EventQueue, Stored

logger = logging.getLogger("cometchat.listeners")

#: Maximum number of listeners that are checked one by one.
_FEW = 3

#: Seconds after which a callback that delays others is reported.
_SLOW = 5.0


class Dispatcher:
    """Owns the dispatcher thread, which ends after :meth:`close`.

    It runs only in a client that is in use and had a listener: without one, the queue keeps no event.

    :param name: of the thread.
    :param client_name: returns the client's name for log records.
    :param clock: monotonic seconds.
    :param inbox: a durable inbox, which records handled messages; or None.
    """

    def __init__(
        self,
        registry: ListenerRegistry,
        events: EventQueue,
        name: str,
        client_name: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
        inbox: Optional[Inbox] = None,
    ) -> None:
        self._registry = registry
        self._lock = registry.lock
        self._events = events
        self._inbox = inbox
        self._clock = clock
        self._log = SafeLog(logger, client_name)
        self._closed = Wakeup()
        self._thread = ServiceThread(name, self._run, wanted=lambda: True, wait=self._closed.wait)
        self._starts: Set[object] = set()  # the start() calls in progress
        self._last_callback = Wakeup()  # is set after it
        self._turn: Optional[Wakeup] = None  # is set when it is this dispatcher's turn; None before its first start
        self._in_hand: List[Event | Wakeup] = []
        # The event in delivery: its remaining listeners, all its listeners, and the start time.
        self._delivering: Optional[Tuple[Iterator[object], Sequence[Entry], float]] = None
        self._mark = process_mark()
        self._on_thread: Optional[int] = None
        self._reported = False
        self._reported_since = -1.0  # start of the callback that was reported as slow
        self._dropped_before = 0

    def start(self) -> None:
        """Start the thread if the client has a listener. Otherwise :meth:`listener_added` starts it.

        No-op if it runs, and after :meth:`close`. Waits while another thread starts it.

        :raises CometChatException: ``ERR_INTERNAL``: the system can't start a thread.
        """
        call = object()
        try:
            with self._lock:
                if self._closed.is_set():
                    return
                if self._turn is None:
                    self._turn = self._registry.queue_up(self._last_callback)
                if not self._registry.audiences:
                    return
                self._starts.add(call)
            self._thread.start()
        finally:
            self._starts.discard(call)
            if self._closed.is_set():
                self._end_without_thread()

    def listener_added(self) -> None:
        """Start the thread if the client is in use. Raises as :meth:`start`."""
        if self._turn is not None:  # else start() will find the listener
            self.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.alive

    def drain(self, timeout: float) -> None:
        """Wait at most ``timeout`` seconds until the events in the queue are delivered. No-op on the thread itself."""
        if not self._thread.alive or self._on_thread == threading.get_ident():
            return
        self._events.passed().wait(timeout)

    def close(self) -> None:
        """Make the thread end after it has delivered the queue. Does not wait.

        A second call does what is left if a KeyboardInterrupt has ended the first one.
        """
        self._closed.set()
        self._events.end()
        self._end_without_thread()

    def join(self, timeout: float) -> None:
        """Wait at most ``timeout`` seconds for the thread's end. No-op on the thread itself."""
        self._thread.join(timeout)

    def _end_without_thread(self) -> None:
        """Do what the thread does at its end, unless there is a thread that does it, or a call that may start one."""
        with self._lock:
            if self._starts or self._thread.alive or self._on_thread is not None:
                return
        self._end()

    def _end(self) -> None:
        self._last_callback.set()
        if self._inbox is not None:
            self._inbox.close()

    def report_delay(self) -> None:
        """Log once that the listeners are too slow, or that a callback delays events for 5 s.

        On any thread, without a lock.
        """
        events, delivering = self._events, self._delivering
        if events.overflowed and not self._reported:
            self._warn_of_overflow()
        if delivering is None:
            return
        waiting, since = len(events), delivering[2]
        if not waiting or since == self._reported_since or self._clock() - since < _SLOW:
            return
        self._reported_since = since
        self._log.warning(
            "%d event%s for the listeners%s. Return from a callback soon; hand longer work to a thread of your own.",
            waiting,
            " waits" if waiting == 1 else "s wait",
            self._slow_listener(),
        )

    def _warn_of_overflow(self) -> None:
        self._reported = True
        self._log.warning(
            "Too many events wait for the listeners%s: the oldest typing indicators, receipts and the like are dropped,"
            " and messages are fetched later. Return from a callback soon; hand longer work to a thread of your own.",
            self._slow_listener(),
        )

    def _slow_listener(self) -> str:
        delivering = self._delivering
        if delivering is None or not delivering[1]:
            return ""
        turn, entries, since = delivering
        listener = (_called(entries, turn) or entries[:1])[-1].listener_id
        return f" (listener {listener!r} has been in a callback for {self._clock() - since:.1f} s)"

    def _run(self) -> None:
        self._on_thread = threading.get_ident()
        if self._turn is not None:
            self._turn.wait(_SLOW)
        in_hand, inbox = self._in_hand, self._inbox
        while True:
            # First finish the event that an exception interrupted.
            while in_hand:
                item = in_hand[-1]
                handled: Optional[Stored] = None
                if not isinstance(item, Event):
                    item.set()
                elif inbox is not None and item.stored is not None:
                    handled = self._deliver_stored(item, inbox)
                else:
                    self._deliver(item)
                if not self._mark[0]:
                    return  # a callback forked, and this is the child, without events of its own
                in_hand.pop()
                if handled is not None and inbox is not None:
                    inbox.handled(handled)
            taken = self._events.take()
            if taken:
                in_hand.extend(reversed(taken))
            elif self._events.caught_up():
                self._report_end()
            elif not self._events.wait(None if inbox is None else inbox.write_waiting()):
                self._end()
                return

    def _deliver_stored(self, event: Event, inbox: Inbox) -> Optional[Stored]:
        """Deliver a message if there is a listener. Returns the handled message."""
        while True:
            changes = self._registry.changes
            if self._delivering is None:
                deliverable = inbox.for_listeners(event)
                if deliverable is None:
                    return None
                event = self._in_hand[-1] = deliverable
            if self._deliver(event) or self._registry.changes == changes:
                return event.stored
            # Its listener was just removed, so the message waits for another one.

    def _report_end(self) -> None:
        """Log the end of an overflow, unless it ended before its warning and dropped no event."""
        dropped, self._dropped_before = self._events.dropped - self._dropped_before, self._events.dropped
        if dropped and not self._reported:
            self._warn_of_overflow()
        if not self._reported:
            return
        self._reported = False
        self._log.info("the listeners have caught up; %d events were dropped", dropped)

    def _deliver(self, event: Event) -> bool:
        """Call the listeners. After an exception outside a listener, the next call continues with the next listener.

        :returns: False if no listener was called.
        """
        number, kind, method, args, _, _, stored = event
        changes = self._registry.changes  # before the check of things that may change
        if self._delivering is not None:
            interrupted, entries, _ = self._delivering
            turn = iter(_not_called(entries, interrupted))
            called = length_hint(turn) < len(entries)
        elif stored is None and self._events.is_discarded(event):
            return False  # the inbox counts a stored event as delivered if it was taken before the discard
        else:
            entries, listeners, since = self._registry.audience(kind)
            turn = iter(entries)
            called = False
            if len(entries) > _FEW and since <= number and kind != CONNECTION:
                many = iter(listeners)
                self._delivering = many, entries, self._clock()
                self._call_all(many, entries, event, changes)
                turn = iter(_not_called(entries, many))
                called = length_hint(turn) < len(entries)
        self._delivering = turn, entries, self._clock()
        for entry in turn:
            if called and (self._events.is_discarded(event) or not self._mark[0]):
                break
            if not entry.active or entry.since > number or (kind == CONNECTION and not _is_news(entry, method)):
                continue
            called = True
            try:
                getattr(entry.listener, method)(*args)
            except BaseException:  # includes SystemExit: an error of a listener must not end this thread
                if not self._mark[0]:
                    raise  # it ends the child of a fork
                self._log_error(entry, event)
        self._delivering = None
        return called

    def _call_all(self, turn: Iterator[object], entries: Sequence[Entry], event: Event, changes: int) -> None:
        """Call all listeners, without a check of each, until the audience changes."""
        registry, name, args = self._registry, event.method, event.args
        has_one = len(args) == 1  # as most events; a call with *args takes longer
        while length_hint(turn) and registry.changes == changes:
            try:
                for listener in turn:
                    if has_one:
                        getattr(listener, name)(args[0])
                    else:
                        getattr(listener, name)(*args)
                    if registry.changes != changes:
                        break
            except BaseException:  # as above
                if not self._mark[0]:
                    raise
                self._log_error(_called(entries, turn)[-1], event)

    def _log_error(self, entry: Entry, event: Event) -> None:
        self._log.exception("The %s listener %r raised in %s().", event.kind, entry.listener_id, event.method)


def _called(entries: Sequence[Entry], turn: Iterator[object]) -> Sequence[Entry]:
    """Return the entries that an iterator of them, or of their listeners, has reached."""
    return entries[: len(entries) - length_hint(turn)]


def _not_called(entries: Sequence[Entry], turn: Iterator[object]) -> Sequence[Entry]:
    """Return the entries that an iterator of them, or of their listeners, has not yet reached."""
    return entries[len(entries) - length_hint(turn) :]


def _is_news(entry: Entry, method: str) -> bool:
    """Return True if the listener does not yet know this transition."""
    if method == "on_connection_error":
        return True
    # A discard removed the events in between. A listener that knows the disconnect is not called again.
    if method == entry.known == "on_disconnected":
        return False
    entry.known = method
    return True
