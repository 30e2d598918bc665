"""The inbox delivers each message once, and after a reconnect the missed messages first.

The service stores messages. So the inbox can fetch those that it missed while the connection was down, by the id of the
newest known message. Live messages wait until the missed ones have arrived, which keeps the order.

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
from collections import OrderedDict
from typing import Any, Callable, Dict, FrozenSet, List, Optional

from ..._fields import mapping, moment, text
from ..._log import SafeLog
from ..._protocol import Delivery, ErrorKind, EventKind, deliver_message, id_of, kind_of, newer, older, rank
from ...exceptions import ERR_BAD_RESPONSE, ERR_INTERNAL, CometChatException, ConnectionException
from ...listeners import MESSAGE_KINDS
from .._history import History, before_live
from .._registry import ListenerRegistry
from .._threads import Backoff, ServiceThread, Wakeup, rate_limit_pause
from ._catch_up import CatchUp, Changes, Held, Receiver, asked_from, changed_id, is_final, is_older, overlapped, own_id
from ._journal import Journal
from ._queue import Event, EventQueue, Stored

logger = logging.getLogger("cometchat.messages")

#: Maximum number of remembered ids. They prevent that a message is delivered twice.
REMEMBERED = 20_000

#: Seconds between two attempts to become the delivering client while another client delivers.
TURN = 1.0

#: The event of a message that calls no listener. A durable inbox queues it, so that the position passes it in order.
_NOTHING = Delivery("nothing", "", (), EventKind.STORED)

#: Maximum wait of live messages for missed ones while the requests fail, in seconds.
PATIENCE = 5.0


class Inbox:
    """One client's inbox. The connection thread calls :meth:`begin` and :meth:`lost`; the router's thread :meth:`take`.

    :param journal: of a durable inbox.
    :param enabled: whether to fetch the messages that arrived while the connection was down.
    :param name: of the thread that fetches.
    :param clock: monotonic seconds.
    :param new_backoff: creates the backoff between failed requests.
    :param jitter: returns 0 to 1, at random.
    :param wait: waits for an event, for at most some seconds.
    :ivar fetched: number of messages that were fetched and queued.
    """

    def __init__(
        self,
        registry: ListenerRegistry,
        events: EventQueue,
        account: Receiver,
        history: History,
        *,
        journal: Optional[Journal] = None,
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
        self._account = account
        self._history = history
        self._journal = journal
        # Of this user's connections that had the same journal, in lower case.
        self._resources: FrozenSet[str] = frozenset()
        self._enabled = enabled
        self._name = name
        self._log = SafeLog(logger, client_name)
        self._clock = clock
        self._new_backoff = new_backoff
        self._jitter = jitter
        self._wait = wait
        self._known: Optional[str] = None
        self._floor: Optional[str] = None  # the newest id when this user's first listener was added
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._changes = Changes()
        self._generation = 0
        self._up = False
        self._task: Optional[CatchUp] = None
        self._unfinished: Optional[str] = None  # the position of an unfinished catch-up
        self._held: Optional[Held] = None
        self._refused_before = False
        self.fetched = 0

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
        task = None
        with self._lock:
            if generation != self._events.generation:
                return False
            if self._journal is not None and self._known is None and self._held is None:
                return True  # without a listener the client does not yet fetch messages
            if own and self._journal is None:
                self._note(id_of(body))
            elif own:
                self._take_own(generation, body)
            elif self._held is not None:
                self._hold(self._held, body, size)
            else:
                task = self._take_live(generation, body, size)
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
        with self._lock:
            changes: List[Dict[str, Any]] = []
            for stored in self._events.discard_old():
                if stored.message_id is not None:
                    self._seen.pop(stored.message_id, None)
                    self._known = older(asked_from(stored), self._known)
                    self._floor = older(asked_from(stored), self._floor)
                elif stored.body is not None:
                    changes.append(stored.body)
            if self._generation != self._events.generation:
                self._up = False
                self._stop()
                changes += self._discard_held()
            self._changes.keep_older(changes)

    def forget(self) -> None:
        """Forget everything, because the user logged out or changed."""
        with self._lock:
            self._stop_listening()
            self._seen.clear()

    # --- the dispatcher thread, of a durable inbox

    def addressed(self, event: Event) -> Optional[Event]:
        """See :class:`DurableInbox`. A message that no listener got is delivered to a listener that is added later."""
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
        """See :class:`DurableInbox`."""
        if self._journal is not None:
            self._journal.handled(stored)

    def close(self) -> None:
        """See :class:`DurableInbox`."""
        with self._lock:
            self._stop()
        if self._journal is not None:
            self._journal.close()

    # --- the caller holds the lock

    def _prepare(self) -> Optional[CatchUp]:
        if not self._registry.has_listeners(MESSAGE_KINDS):
            # Without a listener, messages that arrive from now on do not count as missed.
            self._stop_listening()
            return None
        if self._known is None and self._task is not None and self._task.asks_for(self._generation):
            # An earlier connection sent a request that is not yet answered. A new one would treat missed messages as
            # known.
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
            self._task.after = overlapped(after, self._floor)
            if self._held is None:
                self._held = Held()
        return self._task

    def _stop_listening(self) -> None:
        self._stop()
        self._known = self._floor = self._unfinished = self._held = None
        self._changes.clear()

    def _stop(self) -> None:
        if self._task is not None:
            self._task.stop()
            self._task = None

    def _hold(self, held: Held, body: Dict[str, Any], size: int) -> None:
        is_change = changed_id(body) is not None
        if is_change and self._changes:
            self._changes.keep(body)  # after the kept ones
        elif not held.add(body, size):
            if is_change:
                self._changes.keep(body)
            else:
                held.skipped += 1

    def _discard_held(self) -> List[Dict[str, Any]]:
        """Discard the waiting messages, which are fetched later. Returns the changes, oldest first."""
        held, self._held = self._held, None
        return [body for body, _ in held.messages if own_id(body) is None] if held is not None else []

    def _open_gap(self, generation: int, body: Dict[str, Any], size: int) -> Optional[CatchUp]:
        """Note that messages must be fetched from this one on, when there is room."""
        self._held = Held()
        if changed_id(body) is not None:
            self._changes.keep(body)
        else:
            self._held.add(body, size)
        if self._task is not None and self._task.after is not None:
            self._task.released = False
            return None  # it fetches these too
        self._stop()
        self._generation = generation
        self._task, self._unfinished = CatchUp(generation, self._known, self._clock()), self._known
        return self._task

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
        if generation != self._events.generation or (self._journal is not None and self._known is None):
            self._changes.keep_older(self._discard_held())
        held, self._held = self._held, None
        for body, size in held.messages if held is not None else ():
            self._post(generation, body, size)

    def _take_live(self, generation: int, body: Dict[str, Any], size: int) -> Optional[CatchUp]:
        new_id = own_id(body)
        if self._known is not None and not self._events.has_room(fetchable=new_id is not None):
            return self._open_gap(generation, body, size)
        if self._known is None and rank(new_id or "") >= 0:
            self._floor = new_id  # nothing before it was missed
        if new_id is None:
            self._changes.pop(id_of(body) or "", None)  # an older change of the same message
        self._post(generation, body, size)
        return None

    def _take_own(self, generation: int, body: Dict[str, Any]) -> None:
        if self._held is None:
            self._queue(generation, id_of(body), _NOTHING, 0)
        self._remember(id_of(body))  # if it waits for a catch-up, the catch-up delivers it

    def _post(self, generation: int, body: Dict[str, Any], size: int, fetched: bool = False) -> None:
        """Queue a message, unless it was queued before."""
        message_id = id_of(body) if fetched else own_id(body)
        if message_id in self._seen:
            return
        delivery = self._delivery_of(body, fetched)
        if delivery is not None:
            kept = body if message_id is None else None
            if self._queue(generation, message_id, delivery, size, kept, fetched):
                self.fetched += fetched
        elif self._journal is not None:
            self._queue(generation, message_id, _NOTHING, 0, None, fetched)
        else:
            self._note(message_id)

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

    def _delivery_of(self, body: Dict[str, Any], fetched: bool) -> Optional[Delivery]:
        may_be_own = bool(self._resources) and (fetched or changed_id(body) is None)
        if may_be_own and (text(mapping(body, "data"), "resource") or "").lower() in self._resources:
            return None  # this program sent it
        try:
            return deliver_message(body, self._account.me, fetched=fetched)
        except MemoryError:
            raise  # later there may be room for it
        except Exception:  # a message must not end a thread; a failure to read it is a bug of this SDK
            self._log.exception("A message can't be delivered.")
            return None

    # --- the thread that asks

    def _start(self, task: Optional[CatchUp]) -> None:
        if task is None:
            return
        try:
            task.thread = ServiceThread(
                self._name, lambda: self._catch_up(task), wanted=lambda: self._task is task, wait=task.stopped.wait
            )
            task.thread.start()
        except BaseException as error:  # a KeyboardInterrupt too: live messages would wait for this task forever
            self._finish(task, unfinished=task.after)
            if not isinstance(error, CometChatException):
                raise
            self._log.warning("Missed messages can't be fetched: %s", error)

    def _catch_up(self, task: CatchUp) -> None:
        """Fetch until no message is missing. On a separate thread, because the socket must not wait for HTTP."""
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
            except Exception as cause:  # a bug of this SDK: live messages must not wait forever
                self._log.exception("Unexpected error while fetching missed messages.")
                error = ConnectionException(ERR_INTERNAL, f"Unexpected {type(cause).__name__}.")
            else:
                continue
            if task.stopped.is_set():
                return
            if kind_of(error) is ErrorKind.CREDENTIAL and self._renew(task):
                continue
            if is_final(error):
                self._refused(task, error)
                return
            if error.code == ERR_BAD_RESPONSE:  # the answer may have been too long
                task.limit = max(1, task.limit // 4)
            failing_since = self._clock() if failing_since is None else failing_since
            self._release_after_patience(task, error, self._clock() - failing_since)
            self._wait(task.stopped, backoff.next(error.retry_after))

    def _slow_down(self, task: CatchUp) -> None:
        """Wait, to reserve the rest of the rate limit for the user's calls."""
        pause = rate_limit_pause(self._account.rate_limit_remaining, self._jitter())
        if pause:
            self._wait(task.stopped, pause)

    def _ask(self, task: CatchUp) -> bool:
        """Make one request to the service. Returns True when no request is left."""
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
                if not is_older(message_id, self._floor):
                    self._post(task.generation, body, size, fetched=True)
                task.after = newer(message_id, task.after)
            if self._held is not None:
                # Now, while their ids are remembered.
                self._held.keep(lambda body: own_id(body) not in self._seen)
            self._unfinished = task.after
            # A server may ignore the size of a page. A page without new messages is the end.
            if task.after != before or skipped:
                return False
            if not self._changes:
                # Under the same lock, so that no message arrives between the check and the release.
                self._end(task, None)
                return True
            # The changes without room are newer than the waiting messages. Messages that arrive now wait for them.
            self._release(task.generation)
            self._held = Held()
        self._deliver_changes(task)
        return False

    def _load(self, journal: Journal, task: CatchUp) -> bool:
        """Read from the journal where to continue. Returns False: the history is fetched from there."""
        me = self._account.me
        if me.uid is None:
            return True  # the login has just ended
        if not journal.hold(me.uid):
            self._wait(task.stopped, TURN)
            return False
        # An earlier event may still be in a callback, and is recorded only afterwards.
        task.room.clear()
        self._events.passed(task.room)
        if not task.stopped.is_set():
            task.room.wait()
        if task.stopped.is_set():
            return True
        progress = journal.load(me.uid, me.resource)
        position = progress.position
        if position is None:
            newest = self._newest_at_begin(task)
            if newest is None or task.stopped.is_set():  # a stopped one may have asked as another user
                return task.stopped.is_set()
            position = self._before_held(newest)
            journal.start(me.uid, position)
        with self._lock:
            if self._task is task:
                self._seen = OrderedDict.fromkeys(progress.handled)
                self._resources = frozenset(map(str.lower, progress.resources))
                self._known = self._unfinished = position
                self._floor = progress.floor or position
                task.after = overlapped(position, self._floor)
        return False

    def _newest_at_begin(self, task: CatchUp) -> Optional[str]:
        """Return the newest id when the catch-up began. Returns None if the connection broke during the request.

        The answer to that request may include a missed message, so the next request is for an earlier time.
        """
        continues = task.continues
        newest = self._history.newest_message_id(self._clock() - task.began if continues else None)
        return newest if continues == task.continues else None

    def _before_held(self, newest: str) -> str:
        """Return the newest id, or the one before the oldest live message that waits."""
        with self._lock:
            held = self._held.messages if self._held is not None else ()
            return before_live(newest, [own_id(body) for body, _ in held])

    def _ask_newest(self, task: CatchUp) -> bool:
        if self._journal is not None:
            return self._load(self._journal, task)
        newest = self._newest_at_begin(task)
        if newest is None:
            return False
        with self._lock:
            if self._task is task:
                # Not newer(): live messages may be older than the missed ones.
                self._known = newest if self._known is None else self._known
                self._floor = older(newest, self._known) if self._floor is None else self._floor
                newest = newer(newest, self._floor) or newest
                if (task.continues and self._up) or self._changes:
                    task.after = self._unfinished = newest
                    return False
        self._finish(task)
        return True

    def _deliver_changes(self, task: CatchUp) -> None:
        """Queue the kept changes while there is room."""
        while True:
            with self._lock:
                if not self._is_current(task) or not self._changes or not self._events.has_room():
                    return
                message_id, body = next(iter(self._changes.items()))
            changed = body if moment(body, "deletedAt") else self._edited(message_id, body)
            with self._lock:
                # If a newer change has replaced it, the newer one is next.
                if self._is_current(task) and self._changes.get(message_id) is body:
                    del self._changes[message_id]
                    self._post(task.generation, changed, len(str(changed)))

    def _edited(self, message_id: str, body: Dict[str, Any]) -> Dict[str, Any]:
        """Return an edited message in its current form."""
        try:
            return {**body, **self._history.message(message_id)}
        except CometChatException as error:
            if not is_final(error):
                raise
            self._log.info("the edited message %s can't be fetched: %s", message_id, error)
            return body

    def _renew(self, task: CatchUp) -> bool:
        """Renew a refused login, once. Returns True if that helped."""
        if task.renewed:
            return False
        task.renewed = True
        try:
            self._account.renew()
        except CometChatException as error:
            self._log.info("the login could not be renewed: %s", error)
            return False
        return True

    def _refused(self, task: CatchUp, error: CometChatException) -> None:
        report = self._log.info if self._refused_before else self._log.warning
        self._refused_before = True
        with self._lock:
            if self._journal is not None and self._known is None and self._task is task:
                self._known = "0"  # no request is possible, so only the live messages are left
        report("The service does not give missed messages. Live messages continue: %s", error)
        self._finish(task, unfinished=task.after)  # the next connection continues there

    def _release_after_patience(self, task: CatchUp, error: CometChatException, waited: float) -> None:
        if task.released or waited < PATIENCE:
            self._log.info("missed messages could not be fetched, trying again: %s", error)
            return
        with self._lock:
            if self._task is not task or not self._events.has_room():
                return
            task.released = True
            if self._journal is None:
                self._release(task.generation)
        order = "go before them" if self._journal is None else "wait for them"
        self._log.warning("Missed messages could not be fetched for %.0f s, live ones %s: %s", waited, order, error)
