"""Messages on their way to the listeners: each once, and after a reconnect the missed ones first.

The service stores messages. So the inbox can ask for those that came while the connection was down, by the id of the
newest one that it knows. Live messages wait until the answer is here, which keeps the order.

The inbox asks in the same way for messages that found no room in the queue because the listeners were slow. A change of
an older message (an edit or a deletion without an id of its own) cannot be asked for by id order. It stays in the queue
beyond the limit on their number; beyond the limit in bytes the inbox keeps the newest change of each message.

A message is *known* once it is in the queue. If ``disconnect()`` discards it there, it becomes unknown again, and the
next connection asks for it.
"""

from __future__ import annotations

import logging
import random
import time
from collections import OrderedDict, deque
from typing import Any, Callable, Deque, Dict, List, Optional, Protocol, Tuple

from ..._fields import number
from ..._log import ClientLog
from ..._protocol import Delivery, ErrorKind, Self, deliver_message, id_of, kind_of, newer, older, rank
from ...exceptions import ERR_BAD_RESPONSE, ERR_INTERNAL, CometChatException, ConnectionException
from ...listeners import MESSAGE_KINDS
from .._registry import ListenerRegistry
from .._threads import Backoff, ServiceThread, Wakeup, rate_limit_pause
from ._queue import EventQueue, Stored

logger = logging.getLogger("cometchat.messages")

#: Number of messages asked for at once: the vendor's documented size of a page.
PAGE = 100

#: Maximum number of live messages that wait for a catch-up, and their maximum size in bytes. The service stores the
#: others, and the catch-up asks for them too.
HELD = 1000
HELD_BYTES = 32 * 1024 * 1024

#: Maximum number of ids that are remembered, so that no message is delivered twice.
REMEMBERED = 20_000

#: Number of ids by which a catch-up asks back: a message with a lower id may have been stored, and not yet pushed, when
#: the connection broke.
OVERLAP = 50

#: Seconds that live messages wait for missed ones while asking for them fails.
PATIENCE = 5.0


class History(Protocol):
    """What the inbox needs of the account: the messages that the service stores, and who listens."""

    @property
    def me(self) -> Self:
        """Who listens: messages that this connection has sent are not news."""

    @property
    def rate_limit_remaining(self) -> Optional[int]:
        """How many requests the service takes in the current minute; None if unknown."""

    def messages_after(self, message_id: str, limit: int) -> List[Dict[str, Any]]:
        """Return the messages after one, oldest first."""

    def newest_message_id(self) -> str:
        """Return the id of the newest message, or ``"0"`` if there is none."""

    def message(self, message_id: str) -> Dict[str, Any]:
        """Return one message as it is now."""

    def renew(self) -> None:
        """Renew a login that was refused."""


class _Held:
    """Live messages that wait for a catch-up.

    :ivar skipped: how many found no room since the last question.
    """

    def __init__(self) -> None:
        self.messages: Deque[Tuple[Dict[str, Any], int]] = deque()
        self.skipped = 0
        self._bytes = 0

    def add(self, body: Dict[str, Any], size: int) -> bool:
        """Keep a message. Returns False if there is no room."""
        if len(self.messages) >= HELD or self._bytes + size > HELD_BYTES:
            return False
        self.messages.append((body, size))
        self._bytes += size
        return True

    def keep(self, wanted: Callable[[Dict[str, Any]], bool]) -> None:
        """Drop the messages that are not wanted."""
        self.messages = deque(entry for entry in self.messages if wanted(entry[0]))
        self._bytes = sum(size for _, size in self.messages)


class CatchUp:
    """One catch-up, with its thread.

    :ivar after: the newest known id; None if nothing is known, and only the newest id is asked for.
    :ivar limit: number of messages asked for at once.
    :ivar room: set when there may be room for a page, and when the catch-up is stopped.
    :ivar continues: a connection has come and gone since; what came after the newest id is asked for too.
    """

    def __init__(self, generation: int, after: Optional[str]) -> None:
        self.generation = generation
        self.after = after
        self.limit = PAGE
        self.stopped = Wakeup()
        self.room = Wakeup()
        self.released = self.renewed = self.continues = False

    def stop(self) -> None:
        """End the catch-up's waits."""
        self.stopped.set()
        self.room.set()


class Inbox:
    """One client's inbox. The connection thread calls :meth:`begin`, :meth:`take` and :meth:`lost`; any the rest.

    :param enabled: ask for messages that came while the connection was down.
    :param name: of the thread that asks.
    :param clock: monotonic seconds.
    :param new_backoff: makes the wait between failed questions.
    :param jitter: returns 0 to 1, at random.
    :param wait: waits for an event, for at most some seconds.
    :ivar fetched: number of messages that were asked for and queued.
    """

    def __init__(
        self,
        registry: ListenerRegistry,
        events: EventQueue,
        history: History,
        *,
        enabled: bool,
        name: str,
        client_name: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
        new_backoff: Callable[[], Backoff] = Backoff,
        jitter: Callable[[], float] = random.random,
        wait: Callable[[Wakeup, float], object] = Wakeup.wait,
    ) -> None:
        self._registry = registry
        self._lock = registry.lock
        self._events = events
        self._history = history
        self._enabled = enabled
        self._name = name
        self._log = ClientLog(logger, client_name)
        self._clock = clock
        self._new_backoff = new_backoff
        self._jitter = jitter
        self._wait = wait
        self._known: Optional[str] = None
        self._floor: Optional[str] = None  # the newest id when this user began to listen
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._changes: OrderedDict[str, Dict[str, Any]] = OrderedDict()
        self._generation = 0
        self._up = False
        self._task: Optional[CatchUp] = None
        self._unfinished: Optional[str] = None  # where a catch-up stands that has not come to its end
        self._held: Optional[_Held] = None
        self._refused_before = False
        self.fetched = 0

    # --- the connection thread

    def begin(self, generation: int) -> None:
        """Note that a connection is up: from here on live messages wait until the missed ones are queued."""
        with self._lock:
            if self._events.generation != generation:
                return
            if self._generation != generation:
                self._keep_older_changes(self._discard_held())
            if not self._enabled and self._held is None:
                return
            self._generation, self._up = generation, True
            task = self._prepare()
        self._start(task)

    def take(self, generation: int, body: Dict[str, Any], own: bool, size: int) -> bool:
        """Take a live message. Returns False if the generation is not the current one.

        :param own: this connection has sent it: it is known, and no listener is told.
        :param size: of its frame, in bytes.
        """
        task = None
        with self._lock:
            if generation != self._events.generation:
                return False
            if own:
                self._note(id_of(body))
            elif self._held is not None:
                self._hold(self._held, body, size)
            elif self._known is None or self._events.has_room(fetchable=_own_id(body) is not None):
                self._changes.pop(_changed_id(body) or "", None)  # an older change of the same message
                self._post(generation, body, size)
            else:
                task = self._open_gap(generation, body, size)
        self._start(task)
        return True

    def lost(self) -> None:
        """Note that the connection is down. What waits goes on waiting, for the next connection."""
        with self._lock:
            self._up = False
            if self._task is not None and self._task.after is not None:
                self._stop()

    # --- any thread

    def listeners_changed(self) -> None:
        """Ask for the newest id if the first listener for messages was added: from now on messages can be missed."""
        task = None
        with self._lock:
            if self._up and self._task is None and self._known is None:
                task = self._prepare()
        self._start(task)

    def sent(self, message_id: Optional[str]) -> None:
        """Note that this client has sent a message: it is not news when the history brings it."""
        with self._lock:
            self._remember(message_id)

    def discard_old(self) -> None:
        """Discard what waits in the queue for an old generation; its messages become unknown again."""
        with self._lock:
            changes: List[Dict[str, Any]] = []
            for stored in self._events.discard_old():
                if stored.message_id is not None:
                    self._seen.pop(stored.message_id, None)
                    self._known = older(_asked_from(stored), self._known)
                    self._floor = older(_asked_from(stored), self._floor)
                elif stored.body is not None:
                    changes.append(stored.body)
            if self._generation != self._events.generation:
                self._up = False
                self._stop()
                changes += self._discard_held()
            self._keep_older_changes(changes)

    def forget(self) -> None:
        """Forget everything: the user is another one, or none."""
        with self._lock:
            self._stop()
            self._known = self._floor = self._unfinished = self._held = None
            self._seen.clear()
            self._changes.clear()

    # --- the caller holds the lock

    def _prepare(self) -> Optional[CatchUp]:
        if not self._registry.has_listeners(MESSAGE_KINDS):
            # No listener: a message that passes from here on is not missed.
            self._stop()
            self._known = self._floor = self._unfinished = self._held = None
            self._changes.clear()
            return None
        if self._known is None and self._task is not None and self._task.generation == self._generation:
            # An earlier connection asked, and has no answer yet. A new question would take missed messages for known.
            self._task.continues = True
            self._held = _Held()
            return None
        self._stop()
        # A discard may have moved what is known to before the place where a catch-up stood.
        after = older(self._unfinished, self._known)
        self._task = CatchUp(self._generation, after)
        if after is not None:
            if self._floor is None:  # a message came before the newest id was known, and it is known now
                self._floor = after
            self._unfinished = after
            self._task.after = _overlapped(after, self._floor)
            if self._held is None:
                self._held = _Held()
        return self._task

    def _stop(self) -> None:
        if self._task is not None:
            self._task.stop()
            self._task = None

    def _hold(self, held: _Held, body: Dict[str, Any], size: int) -> None:
        is_change = _changed_id(body) is not None
        if is_change and self._changes:
            self._keep_change(body)  # behind those that are kept
        elif not held.add(body, size):
            if is_change:
                self._keep_change(body)
            else:
                held.skipped += 1

    def _discard_held(self) -> List[Dict[str, Any]]:
        """Discard the messages that wait: the service is asked for them later. Returns the changes, oldest first."""
        held, self._held = self._held, None
        return [body for body, _ in held.messages if _own_id(body) is None] if held is not None else []

    def _open_gap(self, generation: int, body: Dict[str, Any], size: int) -> Optional[CatchUp]:
        """From this message on, the service is asked once there is room."""
        self._held = _Held()
        if _changed_id(body) is not None:
            self._keep_change(body)
        else:
            self._held.add(body, size)
        if self._task is not None and self._task.after is not None:
            self._task.released = False
            return None  # it comes to these too
        self._stop()
        self._generation = generation
        self._task, self._unfinished = CatchUp(generation, self._known), self._known
        return self._task

    def _keep_change(self, body: Dict[str, Any]) -> None:
        """Keep the newest change of a message without its content, which is asked for later."""
        message_id = id_of(body)
        if message_id is not None:
            self._changes[message_id] = {key: value for key, value in body.items() if key != "data"}
            self._changes.move_to_end(message_id)

    def _keep_older_changes(self, bodies: List[Dict[str, Any]]) -> None:
        """Keep changes that came before all those that are kept."""
        newer_ones, self._changes = self._changes, OrderedDict()
        for body in [*bodies, *newer_ones.values()]:
            self._keep_change(body)

    def _is_current(self, task: CatchUp) -> bool:
        return self._task is task and task.generation == self._events.generation

    def _finish(self, task: CatchUp, unfinished: Optional[str] = None) -> None:
        with self._lock:
            if self._task is task:
                self._end(task, unfinished)

    def _end(self, task: CatchUp, unfinished: Optional[str]) -> None:
        self._task, self._unfinished = None, unfinished
        self._release(task.generation)

    def _release(self, generation: int) -> None:
        if generation != self._events.generation:
            self._keep_older_changes(self._discard_held())
        held, self._held = self._held, None
        for body, size in held.messages if held is not None else ():
            self._post(generation, body, size)

    def _post(self, generation: int, body: Dict[str, Any], size: int, fetched: bool = False) -> None:
        """Queue a message, unless it was queued before."""
        message_id = id_of(body) if fetched else _own_id(body)
        if message_id in self._seen:
            return
        delivery = self._delivery_of(body, fetched)
        if delivery is not None:
            stored = Stored(message_id, self._known, body if message_id is None else None)
            if not self._events.post_stored(delivery, generation, size, stored):
                return
            self.fetched += fetched
        if message_id is not None:
            self._note(message_id)

    def _note(self, message_id: Optional[str]) -> None:
        self._remember(message_id)
        self._known = newer(message_id, self._known)

    def _remember(self, message_id: Optional[str]) -> None:
        if message_id is not None:
            self._seen[message_id] = None
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)

    def _delivery_of(self, body: Dict[str, Any], fetched: bool) -> Optional[Delivery]:
        try:
            return deliver_message(body, self._history.me, fetched=fetched)
        except Exception:  # a message cannot end a thread; failing to read it is a mistake of this SDK
            self._log.exception("A message can't be delivered.")
            return None

    # --- the thread that asks

    def _start(self, task: Optional[CatchUp]) -> None:
        if task is None:
            return
        thread = ServiceThread(
            self._name,
            lambda: self._catch_up(task),
            wanted=lambda: self._task is task,
            wait=task.stopped.wait,
        )
        try:
            thread.start()
        except CometChatException as error:
            self._log.warning("Missed messages can't be asked for: %s", error)
            self._finish(task, unfinished=task.after)

    def _catch_up(self, task: CatchUp) -> None:
        """Ask until nothing is missed. On a thread of its own: the socket must not wait for HTTP."""
        backoff = self._new_backoff()
        failing_since: Optional[float] = None
        while not task.stopped.is_set():
            task.room.clear()
            if task.after is not None and not self._events.has_room():
                self._events.when_room(task.room)
                if not task.stopped.is_set():
                    task.room.wait()
                continue
            try:
                if self._ask(task):
                    return
                backoff.reset()
                failing_since = None
                self._slow_down(task)
            except CometChatException as caught:
                error = caught
            except Exception as cause:  # a mistake of this SDK: live messages must not wait for it for ever
                self._log.exception("Unexpected error while missed messages were asked for.")
                error = ConnectionException(ERR_INTERNAL, f"Unexpected {type(cause).__name__}.")
            else:
                continue
            if task.stopped.is_set():
                return
            if kind_of(error) is ErrorKind.CREDENTIAL and self._renew(task):
                continue
            if _is_final(error):
                self._refused(task, error)
                return
            if error.code == ERR_BAD_RESPONSE:  # the answer may have been too long
                task.limit = max(1, task.limit // 4)
            failing_since = self._clock() if failing_since is None else failing_since
            self._release_after_patience(task, error, self._clock() - failing_since)
            self._wait(task.stopped, backoff.next(error.retry_after))

    def _slow_down(self, task: CatchUp) -> None:
        """Leave the rest of the rate limit to the user's own calls."""
        pause = rate_limit_pause(self._history.rate_limit_remaining, self._jitter())
        if pause:
            self._wait(task.stopped, pause)

    def _ask(self, task: CatchUp) -> bool:
        """Ask the service one question. Returns True when nothing is left to ask."""
        if task.after is None:
            return self._ask_newest(task)
        page = [(body, len(str(body))) for body in self._history.messages_after(task.after, task.limit)]
        with self._lock:
            if not self._is_current(task):
                return True
            before, skipped = task.after, self._held.skipped if self._held is not None else 0
            if self._held is not None:
                self._held.skipped = 0
            for body, size in page:
                message_id = id_of(body)
                if not _is_older(message_id, self._floor):
                    self._post(task.generation, body, size, fetched=True)
                task.after = newer(message_id, task.after)
            if self._held is not None:
                # Now, while their ids are remembered.
                self._held.keep(lambda body: _own_id(body) not in self._seen)
            self._unfinished = task.after
            # A server may ignore the size of a page; a page that brings nothing new is the end.
            if task.after != before or skipped:
                return False
            if not self._changes:
                # Under the same lock: no message may come between the look and the release.
                self._end(task, None)
                return True
            # The changes that found no room came after what waits; what comes now waits for them.
            self._release(task.generation)
            self._held = _Held()
        self._deliver_changes(task)
        return False

    def _ask_newest(self, task: CatchUp) -> bool:
        newest = self._history.newest_message_id()
        with self._lock:
            if self._task is task:
                # Not newer(): a late answer may count what was stored after the connection broke.
                self._known = newest if self._known is None else self._known
                self._floor = older(newest, self._known) if self._floor is None else self._floor
                if task.continues or self._changes:
                    task.after = self._unfinished = newest
                    return False
        self._finish(task)
        return True

    def _deliver_changes(self, task: CatchUp) -> None:
        """Queue the changes that found no room, while there is some now."""
        while True:
            with self._lock:
                if not self._is_current(task) or not self._changes or not self._events.has_room():
                    return
                message_id, body = next(iter(self._changes.items()))
            changed = body if number(body, "deletedAt") else self._edited(message_id, body)
            with self._lock:
                # If a newer change has taken its place, that one is next.
                if self._is_current(task) and self._changes.get(message_id) is body:
                    del self._changes[message_id]
                    self._post(task.generation, changed, len(str(changed)))

    def _edited(self, message_id: str, body: Dict[str, Any]) -> Dict[str, Any]:
        """Return an edited message as it is now."""
        try:
            return {**body, **self._history.message(message_id)}
        except CometChatException as error:
            if not _is_final(error):
                raise
            self._log.info("the edited message %s can't be fetched: %s", message_id, error)
            return body

    def _renew(self, task: CatchUp) -> bool:
        """Renew a refused login, once. Returns True if that helped."""
        if task.renewed:
            return False
        task.renewed = True
        try:
            self._history.renew()
        except CometChatException as error:
            self._log.info("the login could not be renewed: %s", error)
            return False
        return True

    def _refused(self, task: CatchUp, error: CometChatException) -> None:
        report = self._log.info if self._refused_before else self._log.warning
        self._refused_before = True
        report("The service does not give missed messages, live ones go on: %s", error)
        self._finish(task, unfinished=task.after)  # the next connection asks from there

    def _release_after_patience(self, task: CatchUp, error: CometChatException, waited: float) -> None:
        if task.released or waited < PATIENCE:
            self._log.info("missed messages could not be fetched, it is tried again: %s", error)
            return
        with self._lock:
            if self._task is not task or not self._events.has_room():
                return
            task.released = True
            self._release(task.generation)
        self._log.warning(
            "Missed messages could not be fetched for %.0f s, live ones go before them: %s", waited, error
        )


def _own_id(body: Dict[str, Any]) -> Optional[str]:
    """Return a live message's id; None if it changes an older message, whose id it bears."""
    return None if number(body, "editedAt") or number(body, "deletedAt") else id_of(body)


def _changed_id(body: Dict[str, Any]) -> Optional[str]:
    """Return the id of the older message that a live message changes; None if it changes none."""
    return id_of(body) if _own_id(body) is None else None


def _is_older(message_id: Optional[str], floor: Optional[str]) -> bool:
    return message_id is not None and floor is not None and 0 <= rank(message_id) <= rank(floor)


def _overlapped(after: str, floor: str) -> str:
    """Return the id from which to ask: a little before the newest known one, and not before the first one."""
    start = rank(after)
    return after if start < 0 else str(max(start - OVERLAP, min(rank(floor), start), 0))


def _is_final(error: CometChatException) -> bool:
    """Return True if another question brings the same answer."""
    return kind_of(error) not in (ErrorKind.TEMPORARY, ErrorKind.RATE_LIMIT, ErrorKind.OPERATOR)


def _asked_from(stored: Stored) -> Optional[str]:
    """Return the id to ask from so that a message comes again: it may have come when newer ones were known."""
    number_of = rank(stored.message_id or "")
    return stored.known_before if number_of < 1 else older(stored.known_before, str(number_of - 1))
