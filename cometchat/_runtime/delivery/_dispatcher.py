"""The dispatcher thread: takes events off the queue and calls the listeners, one at a time, in order."""

from __future__ import annotations

import logging
import threading
import time
from operator import attrgetter, length_hint
from typing import Callable, Iterator, List, Optional, Protocol, Sequence, Tuple

from ..._fork_marks import process_mark
from ..._log import ClientLog
from .._registry import CONNECTION, Entry, ListenerRegistry
from .._threads import ServiceThread, Wakeup
from ._queue import Event, EventQueue, Stored

logger = logging.getLogger("cometchat.listeners")

#: Maximum number of listeners that are looked at one by one.
_FEW = 3

#: Seconds after which a callback is reported that others wait for.
_SLOW = 5.0


class DurableInbox(Protocol):
    """What the dispatcher needs of an inbox that records what is handled. On the dispatcher thread."""

    def addressed(self, event: Event) -> Optional[Event]:
        """Return the event as the listeners are to hear it; None if it has to wait for a listener."""

    def handled(self, stored: Stored) -> None:
        """Note that the callbacks of a message have returned."""

    def close(self) -> None:
        """Note that no callback follows."""


class Dispatcher:
    """Owns the thread: started on first use, ended by :meth:`close`.

    :param name: the thread's.
    :param client_name: returns how log records name the client.
    :param clock: monotonic seconds.
    :param inbox: is told which messages were handled; None if it does not record that.
    """

    def __init__(
        self,
        registry: ListenerRegistry,
        events: EventQueue,
        name: str,
        client_name: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
        inbox: Optional[DurableInbox] = None,
    ) -> None:
        self._registry = registry
        self._lock = registry.lock
        self._events = events
        self._name = name
        self._inbox = inbox
        self._clock = clock
        self._log = ClientLog(logger, client_name)
        self._thread: Optional[ServiceThread] = None
        self._closed = Wakeup()
        self._in_hand: List[Event | Wakeup] = []
        # The event that is being delivered: listeners whose turn is still to come, all of them, and since when.
        self._delivering: Optional[Tuple[Iterator[object], Sequence[Entry], float]] = None
        self._mark = process_mark()
        self._on_thread: Optional[int] = None
        self._reported = False
        self._reported_since = -1.0  # the start of the callback that was reported as slow
        self._dropped_before = 0

    def start(self) -> None:
        """Start the thread. No-op if it runs, and after :meth:`close`.

        :raises CometChatException: ``ERR_INTERNAL``: the system gives no thread.
        """
        with self._lock:
            if self._thread is not None or self._closed.is_set():
                return
            thread = self._thread = ServiceThread(self._name, self._run, wanted=lambda: True, wait=self._closed.wait)
        try:
            thread.start()
        except BaseException:
            self._thread = None
            raise

    @property
    def started(self) -> bool:
        """The thread was started, and was not closed."""
        return self._thread is not None and not self._closed.is_set()

    def drain(self, timeout: float) -> None:
        """Wait until what is queued now is delivered, for at most ``timeout`` seconds. No-op on the thread itself."""
        thread = self._thread
        if thread is None or not thread.alive or self._on_thread == threading.get_ident():
            return
        self._events.passed().wait(timeout)

    def close(self) -> None:
        """Let the thread end once it has delivered what is queued. Does not wait; no-op when called twice."""
        if not self._closed.is_set():
            self._closed.set()
            self._events.end()
            if self._thread is None and self._inbox is not None:
                self._inbox.close()

    def join(self, timeout: float) -> None:
        """Wait for the thread's end, for at most ``timeout`` seconds. No-op on the thread itself."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def report_overflow(self) -> None:
        """Log once that the listeners are too slow, until they have caught up. On any thread, without a lock."""
        if self._events.overflowed and not self._reported:
            self._warn_of_overflow()

    def report_slow_callback(self) -> None:
        """Log once that a callback has taken 5 s while events wait. On any thread, without a lock."""
        delivering = self._delivering
        if delivering is None or not len(self._events):
            return
        since = delivering[2]
        if since == self._reported_since or self._clock() - since < _SLOW:
            return
        self._reported_since = since
        self._log.warning(
            "%d events wait for the listeners%s. Return from a callback soon; hand longer work to a thread of your"
            " own.",
            len(self._events),
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
        if delivering is None:
            return ""
        turn, entries, since = delivering
        listener = entries[-1 - min(length_hint(turn), len(entries) - 1)].listener_id
        return f" (listener {listener!r} has been in a callback for {self._clock() - since:.1f} s)"

    def _run(self) -> None:
        self._on_thread = threading.get_ident()
        while True:
            # What an exception left in hand goes first.
            while self._in_hand:
                item = self._in_hand[-1]
                handled: Optional[Stored] = None
                if isinstance(item, Wakeup):
                    item.set()
                elif item.stored is not None and self._inbox is not None:
                    handled = self._deliver_stored(item, self._inbox)
                else:
                    self._deliver(item)
                if not self._mark[0]:
                    return  # a callback forked, and this is the child: the events are the parent's
                self._in_hand.pop()
                if handled is not None and self._inbox is not None:
                    self._inbox.handled(handled)
            taken = self._events.take()
            if taken:
                self._in_hand.extend(reversed(taken))
            elif self._events.caught_up():
                self._report_end()
            elif not self._events.wait():
                if self._inbox is not None:
                    self._inbox.close()
                return

    def _deliver_stored(self, event: Event, inbox: DurableInbox) -> Optional[Stored]:
        """Deliver a message, if there is a listener. Returns what was handled."""
        if self._delivering is None:
            addressed = inbox.addressed(event)
            if addressed is None:
                return None
            event = self._in_hand[-1] = addressed
        self._deliver(event)
        return event.stored

    def _report_end(self) -> None:
        """Log the end of an overflow. One that was over before its warning, and that dropped nothing, is not logged."""
        dropped, self._dropped_before = self._events.dropped - self._dropped_before, self._events.dropped
        if dropped and not self._reported:
            self._warn_of_overflow()
        if not self._reported:
            return
        self._reported = False
        self._log.info("the listeners have caught up; %d events were dropped", dropped)

    def _deliver(self, event: Event) -> None:
        """Call the listeners. After an exception that is not a listener's, the next call goes on where it stood."""
        number, kind, method, args = event[:4]
        changes = self._registry.changes  # before the look at what may change
        if self._delivering is not None:
            left, entries, _ = self._delivering
            turn = iter(entries[len(entries) - length_hint(left) :])
        elif self._events.is_discarded(event) and event.stored is None:
            return  # a stored event was taken before the discard, so the inbox counts it as delivered
        else:
            entries, listeners, since = self._registry.audience(kind)
            turn = iter(entries)
            if len(entries) > _FEW and since <= number and kind != CONNECTION:
                many = iter(listeners)
                self._delivering = many, entries, self._clock()
                self._call_all(many, entries, event, changes)
                turn = iter(entries[len(entries) - length_hint(many) :])  # those that are left
        self._delivering = turn, entries, self._clock()
        called = length_hint(turn) < len(entries)
        for entry in turn:
            if called and (self._events.is_discarded(event) or not self._mark[0]):
                break
            if not entry.active or entry.since > number or (kind == CONNECTION and not _is_news(entry, method)):
                continue
            called = True
            try:
                getattr(entry.listener, method)(*args)
            except BaseException:  # SystemExit too: a listener's error is its own, and must not end this thread
                if not self._mark[0]:
                    raise  # it ends the child of a fork
                self._log_error(entry, event)
        self._delivering = None

    def _call_all(self, turn: Iterator[object], entries: Sequence[Entry], event: Event, changes: int) -> None:
        """Call all of them, without a look at each, until the audience changes."""
        registry, args = self._registry, event.args
        methods = map(attrgetter(event.method), turn)
        while length_hint(turn) and registry.changes == changes:
            try:
                for method in methods:
                    method(*args)
                    if registry.changes != changes:
                        break
            except BaseException:  # as above
                if not self._mark[0]:
                    raise
                self._log_error(entries[-1 - length_hint(turn)], event)

    def _log_error(self, entry: Entry, event: Event) -> None:
        self._log.exception("The %s listener %r raised in %s().", event.kind, entry.listener_id, event.method)


def _is_news(entry: Entry, method: str) -> bool:
    """Return True if the listener does not know this transition yet."""
    if method == "on_connection_error":
        return True
    # A discard has removed what was between: a listener that knows of the disconnect is not told again.
    if method == entry.known == "on_disconnected":
        return False
    entry.known = method
    return True
