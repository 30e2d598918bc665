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
from collections import OrderedDict, deque
from typing import Any, Callable, Container, Deque, Dict, FrozenSet, Iterable, List, Optional, Tuple

from ..._fields import mapping, text
from ..._log import SafeLog
from ..._protocol import Delivery, EventKind, deliver_message, id_of, is_changed, newer, older, rank
from ...listeners import MESSAGE_KINDS
from .._account import Account
from .._history import History, before_live
from .._registry import ListenerRegistry
from .._threads import Wakeup
from ._catch_up import CatchUp, CatchUpThread, Left, Message
from ._inbox_store import Progress
from ._journal import Journal
from ._queue import Event, EventQueue, Stored

logger = logging.getLogger("cometchat.messages")

#: Maximum number of remembered ids. They prevent that a message is delivered twice.
REMEMBERED = 20_000

#: Maximum number of live messages that wait for a catch-up, and their maximum size in bytes. The service stores the
#: others, and the catch-up asks for them too.
HELD = 1000
HELD_BYTES = 32 * 1024 * 1024

#: Number of ids before the newest known one at which a catch-up starts. When the connection broke, a message with a
#: lower id may have been stored but not yet pushed.
OVERLAP = 50

#: The event of a message that calls no listener. A durable inbox queues it, so that the position passes it in order.
_NOTHING = Delivery("nothing", "", (), EventKind.STORED)


class Held:
    """Live messages that wait for a catch-up.

    :ivar skipped: number of messages without room since the last request.
    """

    def __init__(self) -> None:
        self.messages: Deque[Message] = deque()
        self.skipped = 0
        self._bytes = 0

    def add(self, message: Message) -> bool:
        """Keep a message. Returns False without room."""
        if len(self.messages) >= HELD or self._bytes + message.size > HELD_BYTES:
            return False
        self.messages.append(message)
        self._bytes += message.size
        return True

    def drop(self, ids: Container[Optional[str]]) -> None:
        """Drop the messages with these ids."""
        self.messages = deque(message for message in self.messages if message.id not in ids)
        self._bytes = sum(message.size for message in self.messages)


class Changes(OrderedDict[str, Dict[str, Any]]):
    """The newest change of each older message, by its id, oldest first. Without the content, which is fetched later."""

    def keep(self, body: Dict[str, Any]) -> None:
        """Keep a change, which is newer than all kept ones."""
        message_id = id_of(body)
        if message_id is not None:
            self[message_id] = {key: value for key, value in body.items() if key != "data"}
            self.move_to_end(message_id)

    def keep_older(self, bodies: Iterable[Dict[str, Any]]) -> None:
        """Keep changes that are older than all kept ones."""
        newer_ones = list(self.values())
        self.clear()
        for body in [*bodies, *newer_ones]:
            self.keep(body)


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
        client_name: Callable[[], str],
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
        self._log = SafeLog(logger, client_name)
        self._clock = clock
        self._thread = CatchUpThread(self, events, account, history, journal, name, self._log, clock, jitter, wait)
        # The newest id that was queued, or that the service had when the first listener was added. None before that.
        self._known: Optional[str] = None
        # The newest id when this user's first listener was added. Older messages were not missed.
        self._floor: Optional[str] = None
        self._seen: OrderedDict[str, None] = OrderedDict()
        # The changes that had no room.
        self._changes = Changes()
        # The live messages that wait for the catch-up. None if live messages need not wait.
        self._held: Optional[Held] = None
        self._task: Optional[CatchUp] = None
        # The position of a catch-up that is not finished, or was broken off.
        self._unfinished: Optional[str] = None
        self._generation = 0
        self._up = False
        self.fetched: int = 0

    # --- the connection thread

    def begin(self, generation: int) -> None:
        """Note that a connection is up. From now on live messages wait until the missed ones are queued."""
        with self._lock:
            if self._events.generation != generation:
                return
            if self._generation != generation:
                self._changes.keep_older(self._discard_held())
            if not self._enabled and self._held is None:
                return
            self._generation, self._up = generation, True
            task = self._prepare()
        self._start(task)

    def take(self, generation: int, body: Dict[str, Any], own: bool, size: int) -> bool:
        """Take a live message. Returns False if the generation is not the current one.

        :param own: whether this connection sent it. Then it becomes known, and no listener is called.
        :param size: of its frame, in bytes.
        """
        task, message = None, None if own else self.read(body, size)
        with self._lock:
            if generation != self._events.generation:
                return False
            if self._journal is not None and self._known is None and self._held is None:
                return True  # without a listener the client does not yet fetch messages
            if message is None and self._journal is None:
                self._note(id_of(body))
            elif message is None:
                self._take_own(generation, id_of(body))
            elif self._held is not None:
                self._hold(self._held, message)
            else:
                task = self._take_live(generation, message)
        self._start(task)
        return True

    def lost(self) -> None:
        """Note that the connection is down. Waiting messages wait for the next connection."""
        with self._lock:
            self._up = False
            if self._task is not None and self._task.after is not None:
                self._stop()
            elif self._task is not None:
                self._task.continues = True

    # --- any thread

    def listeners_changed(self) -> None:
        """Request the newest id after the first message listener was added. From now on messages can be missed."""
        task = None
        with self._lock:
            if self._up and self._task is None and self._known is None:
                task = self._prepare()
        self._start(task)

    def sent(self, message_id: Optional[str]) -> None:
        """Note that this client sent a message, so that it is not delivered again from the history."""
        with self._lock:
            self._remember(message_id)

    def discard_old(self) -> None:
        """Discard the queued events of an old generation. Their messages become unknown again."""
        task = None
        with self._lock:
            changes: List[Dict[str, Any]] = []
            discarded = self._events.discard_old()
            for stored in discarded:
                if stored.message_id is not None:
                    self._seen.pop(stored.message_id, None)
                    self._known = older(_asked_from(stored), self._known)
                    self._floor = older(_asked_from(stored), self._floor)
                elif stored.body is not None:
                    changes.append(stored.body)
            is_old = self._generation != self._events.generation
            if is_old:
                self._up = False
                self._stop()
                changes += self._discard_held()
            self._changes.keep_older(changes)
            if discarded and not is_old and self._up:
                task = self._prepare()  # the next connection is up already, and its catch-up has passed them
        self._start(task)

    def forget(self) -> None:
        """Forget everything, because the user logged out or changed."""
        with self._lock:
            self._stop_listening()
            self._seen.clear()

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

    def wants(self, task: CatchUp) -> bool:
        """See :class:`CatchUpInbox`."""
        return self._task is task

    def resume(self, task: CatchUp, progress: Progress) -> None:
        """See :class:`CatchUpInbox`."""
        position = progress.position
        assert position is not None
        with self._lock:
            if self._task is task:
                self._seen = OrderedDict.fromkeys(progress.handled)
                self._resources = frozenset(map(str.lower, progress.resources))
                self._known = self._unfinished = position
                self._floor = progress.floor or position
                task.after = _overlapped(position, self._floor)

    def begin_after(self, task: CatchUp, newest: str) -> bool:
        """See :class:`CatchUpInbox`."""
        with self._lock:
            if self._task is task:
                # Not newer(): live messages may be older than the missed ones.
                self._known = newest if self._known is None else self._known
                self._floor = older(newest, self._known) if self._floor is None else self._floor
                if (task.continues and self._up) or self._changes:
                    task.after = self._unfinished = newer(newest, self._floor)
                    return False
                self._end(task, None)
            return True

    def add_page(self, task: CatchUp, page: List[Message]) -> Left:
        """See :class:`CatchUpInbox`."""
        with self._lock:
            if not self._is_current(task):
                return Left.NOTHING
            before, skipped = task.after, self._held.skipped if self._held is not None else 0
            if self._held is not None:
                self._held.skipped = 0
            for message in page:
                if not _is_older(message.id, self._floor):
                    self._post(task.generation, message, fetched=True)
                task.after = newer(message.id, task.after)
            if self._held is not None:
                # Now, while their ids are remembered.
                self._held.drop(self._seen)
            self._unfinished = task.after
            # A server may ignore the size of a page. A page without new messages is the end.
            if task.after != before or skipped:
                return Left.MESSAGES
            if not self._changes:
                # Under the same lock, so that no message arrives between the check and the release.
                self._end(task, None)
                return Left.NOTHING
            # The changes without room are newer than the waiting messages. Messages that arrive now wait for them.
            self._release(task.generation)
            self._held = Held()
            return Left.CHANGES

    def next_change(self, task: CatchUp) -> Optional[Tuple[str, Dict[str, Any]]]:
        """See :class:`CatchUpInbox`."""
        with self._lock:
            if not self._is_current(task) or not self._changes or not self._events.has_room():
                return None
            return next(iter(self._changes.items()))

    def add_change(self, task: CatchUp, message_id: str, change: Dict[str, Any], message: Message) -> None:
        """See :class:`CatchUpInbox`."""
        with self._lock:
            # If a newer change has replaced it, the newer one is next.
            if self._is_current(task) and self._changes.get(message_id) is change:
                del self._changes[message_id]
                self._post(task.generation, message)

    def before_held(self, newest: str) -> str:
        """See :class:`CatchUpInbox`."""
        with self._lock:
            held = self._held.messages if self._held is not None else ()
            return before_live(newest, [message.id for message in held])

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
            if refused and self._journal is not None and self._known is None:
                self._known = "0"  # no request is possible, so only the live messages are left
            self._end(task, unfinished=task.after)

    # --- the caller holds the lock

    def _prepare(self) -> Optional[CatchUp]:
        if not self._registry.has_listeners(MESSAGE_KINDS):
            # Without a listener, messages that arrive from now on do not count as missed.
            self._stop_listening()
            return None
        if self._known is None and self._task is not None and self._task.asks_for(self._generation):
            # An earlier connection sent a request that is not yet answered. A new one would treat missed messages as
            # known.
            if self._held is None:
                self._held = Held()
            return None
        self._stop()
        # A discard may have moved the known position to before the catch-up's position.
        after = older(self._unfinished, self._known)
        self._task = CatchUp(self._generation, after, self._clock())
        if after is None and self._journal is not None and self._held is None:
            self._held = Held()
        if after is not None:
            if self._floor is None:  # the inbox does not know the newest id yet
                self._floor = after
            self._unfinished = after
            self._task.after = _overlapped(after, self._floor)
            if self._held is None:
                self._held = Held()
        return self._task

    def _stop_listening(self) -> None:
        self._stop()
        self._known = self._floor = self._unfinished = self._held = None
        self._changes.clear()

    def _start(self, task: Optional[CatchUp]) -> None:
        """Start a catch-up that was prepared. The caller does not hold the lock, unlike those of the other methods."""
        if task is not None:
            self._thread.start(task)

    def _stop(self) -> None:
        if self._task is not None:
            self._task.stop()
            self._task = None

    def _hold(self, held: Held, message: Message) -> None:
        is_change = message.changed_id is not None
        if is_change and self._changes:
            self._changes.keep(message.body)  # after the kept ones
        elif not held.add(message):
            if is_change:
                self._changes.keep(message.body)
            else:
                held.skipped += 1

    def _discard_held(self) -> List[Dict[str, Any]]:
        """Discard the waiting messages, which are fetched later. Returns the changes, oldest first."""
        held, self._held = self._held, None
        return [message.body for message in held.messages if message.id is None] if held is not None else []

    def _open_gap(self, generation: int, message: Message) -> Optional[CatchUp]:
        """Note that messages must be fetched from this one on, when there is room."""
        self._held = Held()
        if message.changed_id is not None:
            self._changes.keep(message.body)
        else:
            self._held.add(message)
        if self._task is not None and self._task.after is not None:
            self._task.released = False
            return None  # it fetches these too
        self._stop()
        self._generation = generation
        # A catch-up that was given up may have left a gap before the known position.
        self._unfinished = older(self._unfinished, self._known)
        self._task = CatchUp(generation, self._unfinished, self._clock())
        return self._task

    def _is_current(self, task: CatchUp) -> bool:
        return self._task is task and task.generation == self._events.generation

    def _end(self, task: CatchUp, unfinished: Optional[str]) -> None:
        self._task, self._unfinished = None, unfinished
        self._release(task.generation)

    def _release(self, generation: int) -> None:
        if generation != self._events.generation or (self._journal is not None and self._known is None):
            self._changes.keep_older(self._discard_held())
        held, self._held = self._held, None
        for message in held.messages if held is not None else ():
            self._post(generation, message)

    def _take_live(self, generation: int, message: Message) -> Optional[CatchUp]:
        if self._known is not None and not self._events.has_room(fetchable=message.id is not None):
            return self._open_gap(generation, message)
        if self._known is None and rank(message.id or "") >= 0:
            self._floor = message.id  # nothing before it was missed
        if message.id is None:
            self._changes.pop(message.changed_id or "", None)  # an older change of the same message
        self._post(generation, message)
        return None

    def _take_own(self, generation: int, message_id: Optional[str]) -> None:
        if self._held is None:
            self._queue(generation, message_id, _NOTHING, 0)
        self._remember(message_id)  # if it waits for a catch-up, the catch-up delivers it

    def _post(self, generation: int, message: Message, fetched: bool = False) -> None:
        """Queue a message, unless it was queued before."""
        message_id, body, size, delivery = message
        if message_id in self._seen:
            return
        if delivery is not None and not self._was_sent_here(message, fetched):
            kept = body if message_id is None else None
            if self._queue(generation, message_id, delivery, size, kept, fetched):
                self.fetched += fetched
        elif self._journal is not None:
            self._queue(generation, message_id, _NOTHING, 0, None, fetched)
        else:
            self._note(message_id)

    def _was_sent_here(self, message: Message, fetched: bool) -> bool:
        """Return True if an earlier connection with this journal sent the message."""
        if not self._resources or not (fetched or message.changed_id is None):
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
        stored = Stored(message_id, self._known, body)
        if self._journal is not None:
            stored = stored._replace(uid=self._account.me.uid, position=self._position_after(message_id, fetched))
        queued = self._events.post_stored(delivery, generation, size, stored)
        if queued:
            self._note(message_id)
        return queued

    def _position_after(self, message_id: Optional[str], fetched: bool) -> Optional[str]:
        """Return the id up to which all messages are handled after this one is handled."""
        if fetched and self._task is not None:
            return newer(message_id, self._task.after)
        return newer(message_id, self._known) if self._unfinished is None else self._unfinished

    def _note(self, message_id: Optional[str]) -> None:
        self._remember(message_id)
        self._known = newer(message_id, self._known)

    def _remember(self, message_id: Optional[str]) -> None:
        if message_id is not None:
            self._seen[message_id] = None
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)


def _is_older(message_id: Optional[str], floor: Optional[str]) -> bool:
    return message_id is not None and floor is not None and 0 <= rank(message_id) <= rank(floor)


def _overlapped(after: str, floor: str) -> str:
    """Return the id to start a request from: a little before the newest known id, but at least the first one."""
    start = rank(after)
    return after if start < 0 else str(max(start - OVERLAP, min(rank(floor), start), 0))


def _asked_from(stored: Stored) -> Optional[str]:
    """Return the id to request from so that a message comes again, even if newer messages are known."""
    number_of = rank(stored.message_id or "")
    return stored.known_before if number_of < 1 else older(stored.known_before, str(number_of - 1))
