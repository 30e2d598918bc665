"""The dispatcher thread: takes notifications off a queue and calls the listeners, one at a time, in order."""

from __future__ import annotations

import logging
import threading
import time
from operator import attrgetter, length_hint
from typing import Any, Callable, Iterator, Optional, Sequence, Tuple

from .._protocol import Delivery
from ..exceptions import ERR_INTERNAL, exception_for
from ..settings import DEFAULT_MAX_QUEUED_EVENTS
from .call_queue import Call, CallQueue
from .registry import Entry, Registry

logger = logging.getLogger("cometchat.listeners")


#: The kind whose listeners are told of a change only where it is one for them.
KIND_OF_CONNECTION = "connection"

#: So many listeners are looked at one by one.
_FEW = 3

#: A call that the listeners are owed for an event, and the bytes of its frame.
Owed = Tuple[Delivery, int]


class Dispatcher:
    """Owns one thread, started on first need and ended by :meth:`close`.

    :param name: the thread's.
    :param limit: how many events may wait for the listeners, and how many messages.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        registry: Registry,
        name: str,
        limit: int = DEFAULT_MAX_QUEUED_EVENTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._name = name
        self._clock = clock
        #: What waits.
        self.queue = CallQueue(limit)
        self._lock = threading.Lock()
        self._thread: Optional[threading.Thread] = None
        self._closed = False
        #: Not the garbage collector's while the thread runs.
        self.keeps: object = None
        # A connection's calls with a lower number are dropped.
        self._cut = 0
        # Who is being told of something: those whose turn is still to come, all of them, and since when.
        self._telling: Optional[Tuple[Iterator[object], Sequence[Entry], float]] = None
        self._reported = -1
        self._dropped_before = 0
        self.queue.on_caught_up = self._report_end

    def post(
        self,
        kind: str,
        method: str,
        *args: Any,
        of_connection: bool = False,
        claim: Optional[Callable[[], bool]] = None,
        size: int = 0,
        passing: bool = False,
    ) -> int:
        """Queue a call and return its number. Any thread; does not wait.

        :param of_connection: it comes from a connection, and a :meth:`cut` may drop it.
        :param claim: asked on the dispatcher thread when the call's turn has come; False: it is not made.
        :param size: bytes of the frame that it tells of.
        :param passing: an event that may be dropped where too many wait.
        """

        def enqueue(seq: int) -> None:
            self.queue.put(Call(seq, kind, method, args, of_connection, claim, size, passing))

        return self._registry.stamp(enqueue)

    def post_events(self, owed: Sequence[Owed]) -> None:
        """Queue calls that come from a connection and may be dropped, in one step, with one wake-up."""

        def enqueue(seq: int) -> None:
            self.queue.put_events(
                [
                    Call(number, delivery.kind, delivery.method, delivery.args, True, None, size, True)
                    for number, (delivery, size) in enumerate(owed, seq)
                ]
            )

        self._registry.stamp(enqueue, len(owed))

    def report(self) -> None:
        """Say, once until the listeners have caught up, that they are too slow. Any thread that holds no lock."""
        times = self.queue.times_caught_up
        if not self.queue.overflowed or self._reported == times:
            return
        self._reported = times
        logger.warning(
            "Too many events wait for the listeners%s: the oldest typing indicators, receipts and the like are dropped,"
            " and messages are fetched later. Return from a callback soon; hand longer work to a thread of your own.",
            self._whose_turn(),
        )

    def _whose_turn(self) -> str:
        telling = self._telling
        if telling is None:
            return ""
        turn, entries, since = telling
        listener = entries[-1 - min(length_hint(turn), len(entries) - 1)].listener_id
        return (
            f" (listener {listener!r} has its turn, with an event that is being told for {self._clock() - since:.1f} s)"
        )

    def drain(self, timeout: float) -> None:
        """Wait until what is queued now is delivered, at most ``timeout`` seconds; not on the thread itself."""
        thread = self._thread
        if thread is None or thread is threading.current_thread() or not thread.is_alive():
            return
        turn = threading.Event()
        self.queue.put(turn)
        turn.wait(timeout)

    def cut(self, last: int) -> None:
        """Drop the calls of a connection that are still queued and older than number ``last``."""
        self._cut = max(self._cut, last)
        self._registry.disturb()

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
                self.queue.put(None)

    def join(self, timeout: float) -> None:
        """Wait for the thread's end, at most ``timeout`` seconds; not on the thread itself."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        while True:
            call = self.queue.get()
            if call is None:
                return
            if isinstance(call, threading.Event):
                call.set()
            else:
                self._deliver(call)

    def _report_end(self) -> None:
        dropped, self._dropped_before = self.queue.dropped - self._dropped_before, self.queue.dropped
        logger.info("the listeners have caught up; %d events were dropped meanwhile", dropped)

    def _deliver(self, call: Call) -> None:
        seq, kind, method, args, of_connection, claim, _, _ = call
        changes = self._registry.changes  # before the look at what may change
        if of_connection and seq < self._cut or claim is not None and not claim():
            return
        entries, listeners, newest = self._registry.heard(kind)
        turn = iter(entries)
        if len(entries) > _FEW and newest <= seq and kind != KIND_OF_CONNECTION:
            many = iter(listeners)
            self._telling = many, entries, self._clock()
            self._tell(many, entries, call, changes)
            turn = iter(entries[len(entries) - length_hint(many) :])  # those that are left
        self._telling = turn, entries, self._clock()
        for entry in turn:
            if of_connection and seq < self._cut:
                break
            if not entry.active or entry.since > seq or (kind == KIND_OF_CONNECTION and not _is_news(entry, method)):
                continue
            try:
                getattr(entry.listener, method)(*args)
            except BaseException:  # SystemExit too: a listener's error is its own, and must not end this thread
                self._log_error(entry, call)
        self._telling = None

    def _tell(self, turn: Iterator[object], entries: Sequence[Entry], call: Call, changes: int) -> None:
        """Tell all of them, without a look at each, until something changes in who is to hear what."""
        registry, args = self._registry, call.args
        methods = map(attrgetter(call.method), turn)
        while length_hint(turn) and registry.changes == changes:
            try:
                for method in methods:
                    method(*args)
                    if registry.changes != changes:
                        break
            except BaseException:  # as above
                self._log_error(entries[-1 - length_hint(turn)], call)

    def _log_error(self, entry: Entry, call: Call) -> None:
        logger.exception("The %s listener %r raised in %s().", call.kind, entry.listener_id, call.method)


def _is_news(entry: Entry, method: str) -> bool:
    """A change of the connection that the listener does not know yet."""
    if method == "on_connection_error":
        return True
    # A cut has dropped what was between: who knows that the connection is down is not told again.
    if method == entry.told == "on_disconnected":
        return False
    entry.told = method
    return True
