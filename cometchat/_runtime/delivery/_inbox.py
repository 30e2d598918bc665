"""The inbox delivers each message once, and after a reconnect the missed messages first.

The service stores messages. So the inbox can fetch those that it missed while the connection was down, by the id of the
newest known message. Live messages wait until the missed ones have arrived, which keeps the order. The requests run on
a thread of their own (:mod:`._catch_up`). This module makes no request and no thread.

The inbox fetches in the same way the messages that had no room in the queue because the listeners were slow. A change
of an older message (an edit or a deletion without its own id) can't be fetched by id order. It may exceed the queue's
limit on the number of events. Beyond the limit in bytes, the inbox keeps the newest change of each message.

A message is *known* once it is in the queue. If ``disconnect()`` discards it there, it becomes unknown again, and the
next connection asks for it.

A *durable* inbox has a journal of the messages that the callbacks have handled. Before its first delivery it reads its
position from the journal, and it fetches messages from there. Without a listener the messages stay at the service.
Live messages are never delivered before missed ones.
"""

from __future__ import annotations

import logging
import random
import time
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Tuple

from ..._fields import mapping, text
from ..._log import SafeLog
from ..._protocol._delivery import Delivery, deliver_message, is_changed
from ..._protocol._frames import EventKind, id_of
from ..._protocol._position import Gap, Position
from ...listeners import MESSAGE_KINDS
from .._registry import ListenerRegistry
from .._threads import Wakeup
from ..account import Account
from ._catch_up import CatchUp, CatchUpThread
from ._history import History, before_live
from ._inbox_store import Progress
from ._journal import Journal
from ._queue import Event, EventQueue, Stored
from ._waiting import Message, Waiting

logger = logging.getLogger("cometchat.messages")

#: The event of a message that calls no listener. A durable inbox queues it, so that the position passes it in order.
_NOTHING = Delivery("nothing", "", (), EventKind.STORED)


class Inbox:
    """One client's inbox. The connection thread calls :meth:`begin` and :meth:`lost`; the router's thread :meth:`take`.

    :param journal: of a durable inbox.
    :param enabled: whether to fetch the messages that arrived while the connection was down.
    :param name: of the thread that fetches.
    :param clock: monotonic seconds.
    :param jitter: returns 0 to 1, at random.
    :param wait: waits for an event, for at most some seconds.
    :ivar fetched: number of messages that were fetched and queued.
    """

    def __init__(
        self,
        registry: ListenerRegistry,
        events: EventQueue,
        account: Account,
        history: History,
        *,
        journal: Optional[Journal] = None,
        enabled: bool,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        wait: Callable[[Wakeup, float], object] = Wakeup.wait,
    ) -> None:
        self._registry = registry
        self._lock = registry.lock
        self._events = events
        self._account = account
        self._journal = journal
        # Of this user's connections that had the same journal, in lower case.
        self._resources: FrozenSet[str] = frozenset()
        self._enabled = enabled
        self._log = SafeLog(logger, account.client_name)
        self._clock = clock
        self._thread = CatchUpThread(self, events, account, history, journal, name, self._log, clock, jitter, wait)
        self._position = Position()
        self._waiting = Waiting()
        self._task: Optional[CatchUp] = None
        # Monotonic seconds of the first request for the newest id, until an answer or a live message tells it.
        self._asked_at: Optional[float] = None
        self._generation = 0  # of the newest connection
        self._forgotten = 0  # the newest generation of an earlier login
        self._up = False
        self.fetched: int = 0

    # --- the connection thread

    def begin(self, generation: int) -> None:
        """Note that a connection is up. From now on live messages wait until the missed ones are queued."""
        with self._lock:
            if self._events.generation != generation:
                return
            if self._generation != generation:
                self._waiting.discard()
                self._generation = generation
            if not self._enabled and not self._waiting.holding:
                return
            self._up = True
            task = self._prepare()
        self._start(task)

    def take(self, generation: int, body: Dict[str, Any], own: bool, size: int) -> None:
        """Take a live message, unless the generation is not the current one.

        :param own: whether this connection sent it. Then no listener is called, and it becomes known. A change does not
            make its message known, which may still be missed.
        :param size: of its frame, in bytes.
        """
        task, message = None, None if own else self.read(body, size)
        with self._lock:
            if generation != self._events.generation:
                return
            if self._position.known is None and self._journal is not None and not self._waiting.holding:
                self._generation = generation  # a message may come before begin()
                task = self._prepare()
                if task is None:
                    return  # without a listener the client does not yet fetch messages
            if message is None:
                self._take_own(generation, None if is_changed(body) else id_of(body))
            elif self._waiting.holding:
                self._waiting.add(message)
            else:
                task = self._take_live(generation, message)
        self._start(task)

    def lost(self, generation: int) -> None:
        """Note that the connection is down. Waiting messages wait for the next connection."""
        with self._lock:
            if self._events.generation == generation:  # else the next connection may be up already
                self._up = False
                self._stop()

    # --- any thread

    def listeners_changed(self) -> None:
        """Request the newest id after the first message listener was added. From now on messages can be missed."""
        task = None
        with self._lock:
            if self._up and self._task is None and self._position.known is None:
                task = self._prepare()
        self._start(task)

    def sent(self, message_id: Optional[str]) -> None:
        """Note that this client sent a message, so that it is not delivered again from the history."""
        if message_id is not None:
            with self._lock:
                self._position.remember(message_id)

    def discard_old(self) -> None:
        """Discard the queued events of an old generation. Their messages become unknown again."""
        task = None
        with self._lock:
            changes: List[Dict[str, Any]] = []
            discarded = self._events.discard_old(after=self._forgotten)
            if discarded and self._journal is not None:
                # The next connection's messages would move the position past them. They are fetched again, in order.
                discarded += self._events.discard_messages()
            for stored in discarded:
                if stored.message_id is not None:
                    self._position.remove(stored.message_id, stored.known_before)
                elif stored.body is not None:
                    changes.append(stored.body)
            if self._generation != self._events.generation:
                self._up = False
                self._stop()
                self._waiting.discard(changes)
            else:
                self._waiting.keep_older(changes)
            if discarded and self._up:
                task = self._prepare()  # the next connection is up already, and its catch-up has passed them
        self._start(task)

    def forget(self) -> None:
        """Forget everything, because the user logged out or changed."""
        with self._lock:
            self._stop_listening()
            self._position = Position()
            self._forgotten = self._generation

    # --- the dispatcher thread, of a durable inbox

    def for_listeners(self, event: Event) -> Optional[Event]:
        """Return the event in the form for the listeners; None if it must wait for a listener.

        A message that no listener got is delivered to a listener that is added later.
        """
        with self._lock:
            if not self._registry.has_listeners(MESSAGE_KINDS):
                self._events.discard_messages()
                self._stop_listening()
                return None
            entries = self._registry.audience(event.kind).entries
            if entries and all(entry.since > event.number for entry in entries):
                return event._replace(number=max(entry.since for entry in entries))
            return event

    def handled(self, stored: Stored) -> None:
        """Note that the callbacks of a message have returned."""
        if self._journal is not None:
            self._journal.handled(stored)

    def write_waiting(self) -> Optional[float]:
        """Try again to record handled messages. Returns the seconds until the next attempt; None without such messages.

        The dispatcher calls it whenever no event waits.
        """
        return None if self._journal is None else self._journal.write_waiting()

    def close(self) -> None:
        """Note that no further callback follows."""
        with self._lock:
            self._stop()
        if self._journal is not None:
            self._journal.close()

    # --- the catch-up's thread: see CatchUpInbox

    def read(self, body: Dict[str, Any], size: int, *, fetched: bool = False) -> Message:
        """See :class:`CatchUpInbox`."""
        delivery = None
        try:
            delivery = deliver_message(body, self._account.me, fetched=fetched)
        except MemoryError:
            raise  # later there may be room for it
        except Exception:  # a message must not end a thread; a failure to read it is a bug of this SDK
            self._log.exception("A message can't be delivered.")
        return Message(None if not fetched and is_changed(body) else id_of(body), body, size, delivery)

    def resume(self, task: CatchUp, progress: Progress) -> None:
        """See :class:`CatchUpInbox`."""
        position = progress.position
        assert position is not None
        with self._lock:
            if self._task is task:
                self._resources = frozenset(map(str.lower, progress.resources))
                self._asked_at = None
                task.gap = self._position.resume(position, progress.floor, progress.handled)

    def begin_after(self, task: CatchUp, newest: str) -> None:
        """See :class:`CatchUpInbox`."""
        with self._lock:
            if not self._is_current(task):
                return
            self._asked_at = None
            self._position.begin(newest)
            if task.since is not None or self._waiting.changes:
                task.gap = self._position.open_gap_after(newest)
            else:
                self._end(task)

    def add_page(self, task: CatchUp, page: List[Message]) -> bool:
        """See :class:`CatchUpInbox`."""
        with self._lock:
            gap = task.gap
            if gap is None or not self._is_current(task):
                task.stop()
                return False
            before, skipped, self._waiting.skipped = gap.after, self._waiting.skipped, 0
            for message in page:
                if not self._position.is_older(message.id):
                    self._post(task.generation, message, fetched=True)
                gap.advance(message.id)
            # Now, while their ids are remembered.
            self._waiting.remove(self._position.ids)
            # A server may ignore the size of a page. A page without new messages is the end.
            if gap.after != before or skipped:
                return False
            if not self._waiting.changes:
                # Under the same lock, so that no message arrives between the check and the release.
                self._position.close_gap()
                self._end(task)
                return False
            # The changes without room are newer than the waiting messages. Messages that arrive now wait for them.
            self._release(task.generation)
            self._hold(task)
            return True

    def next_change(self, task: CatchUp) -> Optional[Tuple[str, Dict[str, Any]]]:
        """See :class:`CatchUpInbox`."""
        with self._lock:
            changes = self._waiting.changes
            if not self._is_current(task) or not changes or not self._events.has_room():
                return None
            return next(iter(changes.items()))

    def add_change(self, task: CatchUp, message_id: str, change: Dict[str, Any], message: Message) -> None:
        """See :class:`CatchUpInbox`."""
        with self._lock:
            # If a newer change has replaced it, the newer one is next.
            if self._is_current(task) and self._waiting.changes.get(message_id) is change:
                del self._waiting.changes[message_id]
                self._post(task.generation, message)

    def discard_held(self, task: CatchUp) -> None:
        """See :class:`CatchUpInbox`."""
        with self._lock:
            if self._task is task:
                self._waiting.clear()
                self._hold(task)

    def before_held(self, newest: str) -> str:
        """See :class:`CatchUpInbox`."""
        with self._lock:
            return before_live(newest, [message.id for message in self._waiting.live])

    def release_early(self, task: CatchUp) -> bool:
        """See :class:`CatchUpInbox`."""
        with self._lock:
            if self._task is not task or not self._events.has_room():
                return False
            task.released = True
            if self._journal is None:
                self._release(task.generation)
            return True

    def give_up(self, task: CatchUp, *, refused: bool = False) -> None:
        """See :class:`CatchUpInbox`."""
        with self._lock:
            if self._task is not task:
                return
            if refused and self._journal is not None and self._position.known is None:
                self._position.begin_without_id()  # so that live messages are delivered
            self._end(task)

    # --- the caller holds the lock

    def _prepare(self) -> Optional[CatchUp]:
        if not self._registry.has_listeners(MESSAGE_KINDS):
            # Without a listener, messages that arrive from now on do not count as missed.
            self._stop_listening()
            return None
        self._stop()
        self._task = task = self._new_catch_up(self._position.open_gap)
        if task.gap is not None or task.since is not None or self._journal is not None:
            self._hold(task)
        return task

    def _new_catch_up(self, open_gap: Callable[[], Optional[Gap]]) -> CatchUp:
        """Return a catch-up for a gap, or one that requests the newest id first."""
        if self._asked_at is not None:  # that request has no answer: messages may be missed since then
            return CatchUp(self._generation, None, self._asked_at)
        gap = open_gap()
        if gap is None:
            self._asked_at = self._clock()
        return CatchUp(self._generation, gap)

    def _stop_listening(self) -> None:
        self._stop()
        self._asked_at = None
        self._position.reset()
        self._waiting.clear()

    def _start(self, task: Optional[CatchUp]) -> None:
        """Start a catch-up that was prepared. The caller does not hold the lock, unlike those of the other methods."""
        if task is not None:
            self._thread.start(task)

    def _stop(self) -> None:
        if self._task is not None:
            self._task.stop()
            self._task = None

    def _open_gap(self, generation: int, message: Message) -> Optional[CatchUp]:
        """Note that messages must be fetched from this one on, when there is room."""
        task, new = self._task, None
        if task is None or (task.gap is None and task.since is None):  # any other catch-up fetches this message too
            self._stop()
            self._generation = generation  # as in take()
            self._task = task = new = self._new_catch_up(self._position.extend_gap)
        self._hold(task)
        if message.changed_id is not None:
            self._waiting.keep_change(message.body)
        else:
            self._waiting.add(message)
        return new

    def _hold(self, task: CatchUp) -> None:
        """Let live messages wait for a catch-up. Its patience begins again."""
        self._waiting.hold()
        task.released = False

    def _has_been_up_since(self) -> bool:
        """Return True if the connection has not broken since the first request for the newest id."""
        return self._task is not None and self._task.since is None

    def _is_current(self, task: CatchUp) -> bool:
        return self._task is task and task.generation == self._events.generation

    def _end(self, task: CatchUp) -> None:
        self._stop()
        self._release(task.generation)

    def _release(self, generation: int) -> None:
        if generation != self._events.generation or (self._journal is not None and self._position.known is None):
            self._waiting.discard()
        for message in self._waiting.release():
            self._post(generation, message)

    def _take_live(self, generation: int, message: Message) -> Optional[CatchUp]:
        is_first = self._position.known is None and (self._asked_at is None or self._has_been_up_since())
        if is_first and message.id is not None:  # a change does not tell where the messages begin
            self._position.begin_live(message.id)
            self._asked_at = None
        elif not self._events.has_room(fetchable=message.id is not None):
            return self._open_gap(generation, message)
        if message.id is None:
            self._waiting.changes.pop(message.changed_id or "", None)  # an older change of the same message
        self._post(generation, message)
        return None

    def _take_own(self, generation: int, message_id: Optional[str]) -> None:
        if message_id is None:
            return
        if self._journal is None:
            self._position.add(message_id)
        elif not self._waiting.holding:
            self._queue(generation, message_id, _NOTHING, 0)
        else:
            self._position.remember(message_id)  # the catch-up passes it

    def _post(self, generation: int, message: Message, fetched: bool = False) -> None:
        """Queue a message, unless it was queued before."""
        message_id, body, size, delivery = message
        if message_id in self._position.ids:
            return
        if delivery is not None and not self._was_sent_here(message):
            if self._queue(generation, message_id, delivery, size, body, fetched):
                self.fetched += fetched
        elif self._journal is not None:
            self._queue(generation, message_id, _NOTHING, 0, None, fetched)
        else:
            self._position.add(message_id)

    def _was_sent_here(self, message: Message) -> bool:
        """Return True if the user sent the message over an earlier connection with this journal."""
        if not self._resources or message.changed_id is not None or not self._account.me.may_have_sent(message.body):
            return False
        return (text(mapping(message.body, "data"), "resource") or "").lower() in self._resources

    def _queue(
        self,
        generation: int,
        message_id: Optional[str],
        delivery: Delivery,
        size: int,
        body: Optional[Dict[str, Any]] = None,
        fetched: bool = False,
    ) -> bool:
        stored = Stored(message_id, self._position.known, body)
        if self._journal is not None:
            handled_up_to = self._position.handled_up_to(message_id, fetched)
            stored = stored._replace(uid=self._account.me.uid, position=handled_up_to)
        queued = self._events.post_stored(delivery, generation, size, stored)
        if queued:
            self._position.add(message_id)
        return queued
